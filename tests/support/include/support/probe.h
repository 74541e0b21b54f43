/* SPDX-License-Identifier: Apache-2.0 */
/* An actor that asks for streams and writes down what comes, for tests that look at it from
 * outside, with either scheduler. */
#pragma once

#include "actors/handler.h"
#include "runtime/runtime.h"

#include <pthread.h>

#define PROBE_CALLS_MAX 1024

/* What came of one request. */
struct probe_call {
    struct message *message; /* to be sent; the probe's from then on */
    uint32_t credit;         /* at first */
    bool keep_credit;        /* parts are not given back by themselves */
    uint64_t deadline_ns;    /* from now; 0: 20 s */

    struct request_id request;
    unsigned parts;
    char *text;              /* all bytes of parts, NUL-terminated; at most text_max kept */
    size_t text_size;
    uint64_t bytes;
    char head[2048];         /* of http_head */
    unsigned status;         /* HTTP status, of head or end */
    bool over;
    uint32_t type;           /* of the final answer; 0 for a status */
    enum runtime_status runtime_status;
    char code[64], why[700]; /* of a refusal */
    int64_t until_ms;
    struct message *answer;
};

struct probe {
    struct runtime *runtime;
    struct actor_id id, to;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct probe_call calls[PROBE_CALLS_MAX];
    unsigned started, over;
};

/* Spawns the probe; requests go to the actor of that name. Asserts on failure. */
void probe_start(struct probe *probe, struct runtime *runtime, const char *to);
void probe_deinit(struct probe *probe); /* after runtime_free */
/* Sends a request; the index of its call. */
unsigned probe_send(struct probe *probe, struct message *message, uint32_t credit,
                    bool keep_credit);
void probe_credit(struct probe *probe, unsigned call, uint32_t parts);
void probe_cancel(struct probe *probe, unsigned call);
/* Threads scheduler: waits at most 30 s until the call is over, or has so many parts. */
void probe_wait(struct probe *probe, unsigned call);
void probe_wait_parts(struct probe *probe, unsigned call, unsigned parts);
