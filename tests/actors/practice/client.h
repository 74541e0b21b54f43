/* SPDX-License-Identifier: Apache-2.0 */
/* A client of the practice provider, over real HTTP. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "practice/practice.h"

struct answer {
    int failed;   /* libcurl's code; 0: an answer came whole */
    long status;
    long retry_after_s;
    char *body;
    size_t size;
    json_t *json; /* NULL: not JSON */
};

struct bench {
    struct practice *practice;
    struct practice_options options;
    char url[64];
    char *access;
    char *refresh;
};

/* Starts the server with `bench->options`, and logs in. */
void bench_start(struct bench *bench);
void bench_stop(struct bench *bench);
/* The defaults, made quick. */
void bench_init(struct bench *bench);

/* GET if `body` is NULL. `bearer` and `type` may be NULL. */
struct answer client_request(const struct bench *bench, const char *path, const char *type,
                             const char *bearer, const char *body, long timeout_ms);
void answer_deinit(struct answer *answer);
const char *answer_text(const struct answer *answer, const char *name);
/* error, or error.code */
const char *answer_error(const struct answer *answer);

struct answer client_refresh(const struct bench *bench, const char *token);
/* A refresh that must be good: *token becomes the next one. */
void client_rotate(const struct bench *bench, char **token);
long long client_stat(const struct bench *bench, const char *name);
struct answer client_ask(const struct bench *bench, const char *text);
/* One option of the running server. */
void client_set(const struct bench *bench, const char *name, const char *value);
/* Where a GET is redirected to; malloc'd, NULL: nowhere. */
char *client_location(const struct bench *bench, const char *path);
void client_wait(long ms);
