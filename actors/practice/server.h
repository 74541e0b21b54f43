/* SPDX-License-Identifier: Apache-2.0 */
/* The server's state and what its pages see of a request. All of it belongs to one thread. */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faults.h"
#include "login.h"
#include "practice/practice.h"
#include "reply.h"
#include "timers.h"

#define CODES_MAX 64

/* Names in /stats are the names here. */
#define PRACTICE_COUNTERS(X)                                                                       \
    X(logins, "logins minted")                                                                     \
    X(token_requests, "requests at the token endpoint")                                            \
    X(rotations, "refresh tokens spent and replaced")                                              \
    X(repeated, "answers given again under grace or two-phase")                                    \
    X(kept, "refreshes that left the refresh token as it was")                                     \
    X(reused, "spent refresh tokens presented again")                                              \
    X(early, "refreshes before the earliest time, spent and refused")                              \
    X(refused_ended, "refreshes of a login that had ended")                                        \
    X(overlapping, "refreshes that came while another of that login was unanswered")               \
    X(token_refused, "other refusals at the token endpoint")                                       \
    X(model_calls, "calls of the model")                                                           \
    X(model_answers, "calls whose answer was sent whole")                                          \
    X(model_401, "calls without a good access token")                                              \
    X(model_401_expired, "of them with one that had expired")                                      \
    X(model_401_ended, "of them with one of an ended login")                                       \
    X(model_429, "calls refused for quota")                                                        \
    X(model_while_cooling, "calls of a login that had been told to wait")                          \
    X(model_function_calls, "answers that called a function")                                      \
    X(streams_abandoned, "model streams the client left before the end")

struct practice_counters {
#define COUNTER(name, help) uint64_t name;
    PRACTICE_COUNTERS(COUNTER)
#undef COUNTER
};

struct auth_code {
    char code[64];
    char challenge[64];
    char redirect[512];
    uint64_t until_ms;
};

struct MHD_Daemon;
struct MHD_Connection;
struct request;

struct practice {
    struct practice_options options;
    struct logins logins;
    struct fault_plan token_plan;
    struct fault_plan model_plan;
    struct practice_counters counters;
    struct auth_code codes[CODES_MAX];
    size_t code_next;
    uint64_t model_serial;
    uint64_t streams_open;
    uint64_t streams_peak;
    uint64_t started_ms;

    struct MHD_Daemon *daemon;
    struct timers timers;
    struct request *requests; /* all that live */
    uint16_t port;
    char issuer[64];
    int stop_fd;
    bool stopping;
    pthread_t thread;
};

struct request {
    struct practice *practice;
    struct MHD_Connection *connection;
    const struct route *route;
    struct request *next;
    struct request *previous;
    struct timer_slot timer;
    char *body; /* with a closing NUL */
    size_t size;
    size_t capacity;
    struct reply reply;
    uint64_t began_ms;  /* when the first byte of the body could leave */
    uint32_t login;     /* whose refresh this is, while unanswered; 0: none */
    bool routed;
    bool waited;        /* the delay before the head is over */
    bool suspended;
    bool gone;          /* the client left while this one was suspended */
    bool model;         /* a model's answer, counted when it is sent whole */
};

uint64_t server_now_ms(void); /* does not jump; counts a laptop's sleep */
int64_t server_wall_s(void);  /* Unix time */
const char *request_header(const struct request *request, const char *name);
const char *request_query(const struct request *request, const char *name);
/* The body as an object, from JSON or from a form by its Content-Type. NULL: neither. */
json_t *request_object(const struct request *request);

/* Is a refresh of this login unanswered, with its client still there? */
bool server_refresh_open(const struct practice *practice, uint32_t login);

/* Pages: each fills request->reply. */
void page_token(struct practice *practice, struct request *request);
void page_login(struct practice *practice, struct request *request);
void page_revoke(struct practice *practice, struct request *request);
void page_authorize(struct practice *practice, struct request *request);
void page_discovery(struct practice *practice, struct request *request);
void page_responses(struct practice *practice, struct request *request);
void page_chat(struct practice *practice, struct request *request);
void page_models(struct practice *practice, struct request *request);
void page_stats(struct practice *practice, struct request *request);
void page_options(struct practice *practice, struct request *request);
void page_home(struct practice *practice, struct request *request);

/* Shared between the pages of one topic. */
struct auth_code *authorize_take(struct practice *practice, const char *code);
bool authorize_verifies(const struct auth_code *code, const char *verifier);
void token_refuse(struct request *request, unsigned status, const char *error,
                  const char *description);
/* {access_token, refresh_token, expires_in, ...}; NULL: no memory. `padding` as access_terms. */
json_t *practice_token_answer(struct practice *practice, struct login *login, bool with_refresh,
                     size_t padding);
