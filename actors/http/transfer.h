/* SPDX-License-Identifier: Apache-2.0 */
/* One transfer: the request as curl wants it, and how far its answer has come. */
#pragma once

#include "http/http.h"
#include "proto/model.h"

#include <curl/curl.h>
#include <sys/queue.h>
#define HASH_NONFATAL_OOM 1 /* what could not be added is not there, and we go on */
#include <uthash.h>

#define TRANSFER_HEAD_MAX (64u << 10) /* bytes of answer headers */
#define TRANSFER_ORIGIN_MAX 300

struct host;
struct http_state;

struct transfer {
    struct request_id request;
    struct http_state *http;
    struct host *host;
    TAILQ_ENTRY(transfer) waiting; /* in host->queue, until started */
    UT_hash_handle hh;
    CURL *easy;
    char *url;
    char *body;
    size_t body_size;
    char *lines;               /* header lines, each with its NUL; holds secrets */
    size_t lines_size;
    struct curl_slist *list;   /* one element a line */
    char *head;                /* answer headers, lower-case names, newline-terminated */
    size_t head_size, head_capacity;
    uint64_t size, body_max;   /* bytes of answer body */
    uint64_t idle_ns, last_ns; /* allowed silence; when it was last heard of */
    struct timer_id idle_timer;
    unsigned status;
    unsigned sends;            /* how often curl was about to send the request */
    bool post;
    bool started;
    bool connecting;           /* started, but the request is not on its way yet */
    bool paused;               /* no credit: curl keeps the bytes */
    bool head_complete, head_sent;
    bool over_limit;
    bool done;                 /* curl is through with it; `result` says how */
    CURLcode result;
    char error[CURL_ERROR_SIZE];
};

/* What is wrong with a request, in words; NULL when nothing. */
const char *transfer_check(const struct http_request *message, const struct http_config *config,
                           char *ret_origin);
/* NULL without memory. The easy handle is made, with all options but the callbacks. */
struct transfer *transfer_new(const struct http_request *message, const struct http_config *config);
void transfer_free(struct transfer *transfer);
/* Frees the request's body once all of it has been sent: streams live long, and conversations are
 * long. It will not be sent again. */
void transfer_drop_body(struct transfer *transfer);
/* Takes one line of the answer's head, as curl hands it over. 0 or -EMSGSIZE, -ENOMEM. */
int transfer_take_header(struct transfer *transfer, const char *line, size_t size);
