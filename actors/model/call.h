/* SPDX-License-Identifier: Apache-2.0 */
/* One call of a model, from the request to its answer.
 *
 *     for each route (model reference, profile), in order:
 *         LANE      wait for a place among the account's calls
 *         TOKEN     ask the actor "token" for an access token
 *         HTTP      send it and read the stream
 *         BACKOFF   after a transient fault: wait, then LANE again
 *         REJECTED  after a 401: tell the actor "token", go on with the token it gives
 *         COOLING   all routes cool, but one of them only for a moment: wait, then from the start
 *
 * At any time a call waits for exactly one thing, and its step says which. Once text has gone out
 * to the caller there is no other try: the rest of the answer, or a refusal. */
#pragma once

#include "lane.h"
#include "model/model.h"
#include "proto/model.h"
#include "proto/token.h"
#include "reading.h"
#include "settings.h"

#define HASH_NONFATAL_OOM 1 /* what could not be added is not there, and we go on */
#include <uthash.h>

enum call_step {
    STEP_IDLE,
    STEP_LANE,
    STEP_TOKEN,
    STEP_HTTP,
    STEP_BACKOFF,
    STEP_REJECTED,
    STEP_COOLING,
    STEP_FLUSH /* the answer is complete, its last text waits for the caller's credit */
};

/* A model reference with one profile that may pay for it. */
struct route {
    const struct provider *provider; /* NULL: no such provider */
    const char *profile;             /* "" where none is needed */
    const char *ref;                 /* provider/model */
    const char *model;
    unsigned number;                 /* of the reference: routes of one model share it */
    bool forbidden;                  /* costs money, and is not allowed to */
};

/* Why the call has not been answered yet; a refusal's fields. */
struct trouble {
    char code[64], why[400], remedy[256];
    int64_t until_ms;
};

struct call {
    struct request_id request;
    UT_hash_handle by_request;
    UT_hash_handle by_id;
    uint64_t id;              /* tag of all its requests and timers */
    struct model_state *state;
    struct settings *settings;
    uint64_t deadline_ns;
    char *texts;              /* one block: what follows points into it */
    const char *agent;
    struct proto_text instructions, input, tools;
    char cache_key[33];
    struct route *routes;
    size_t route_count, route;

    enum call_step step;
    struct request_id outgoing; /* in STEP_TOKEN, STEP_REJECTED, STEP_HTTP */
    struct timer_id timer;      /* in STEP_BACKOFF, STEP_COOLING */
    struct lane_place place;
    unsigned tries;             /* on this route, that failed in passing */
    unsigned rounds;            /* through all routes */
    bool rejected;              /* this route's token was told as rejected */
    bool token_side;            /* the last request went to the actor "token" */
    uint8_t token_sha256[32];
    size_t token_size;
    char by[300];               /* provider and profile of the route; see ITEM_BY */

    struct reading reading;     /* in STEP_HTTP and STEP_FLUSH */
    bool reading_open, streaming;
    unsigned status;            /* of the HTTP answer */
    char *headers;
    struct buffer error_body;
    uint32_t owed;              /* parts read, but not given back as credit yet */
    size_t sent;                /* bytes of text that the caller has */
    bool quiet;                 /* the caller gave no credit: it wants the answer alone */

    struct trouble first, paid; /* the first cause; that a route was forbidden */
    int64_t cooling_until_ms;   /* the earliest end of cooling that was met; 0: none known */
    char note[600];
};

struct model_state {
    struct settings *settings;
    struct call *by_request, *by_id;
    struct lanes lanes;
    uint64_t last_id;
    uint64_t answered, refused, fallbacks, retries;
};

/* Takes a model_call up; refuses it where it makes no sense. */
int call_begin(struct model_state *state, struct context *context,
               const struct model_call *message);
/* Of one that is in no table and no lane. */
void call_free(struct call *call);
/* Lets go of a call that is answered or no longer wanted. */
void call_end(struct call *call, struct context *context);

/* ---- what may happen to a call (call.c) ---------------------------------------------------- */

void call_run(struct call *call, struct context *context); /* tries the route at hand */
void call_has_place(struct call *call, struct context *context);
void call_take_grant(struct call *call, struct context *context, const struct token_grant *grant);
/* The actor "token" or "http" refuses. */
void call_take_refusal(struct call *call, struct context *context, const char *code,
                       struct proto_text why, struct proto_text remedy, int64_t until_ms);
/* The attempt at hand has failed; decides what is next. */
void call_failed(struct call *call, struct context *context, const struct fault *fault);
/* The answer has been read. */
void call_complete(struct call *call, struct context *context);

/* ---- the stream (stream.c) ----------------------------------------------------------------- */

int stream_open(struct call *call);
void stream_close(struct call *call);
void stream_take_head(struct call *call, struct context *context, const struct http_head *head);
void stream_take_chunk(struct call *call, struct context *context, const struct http_chunk *chunk);
void stream_take_end(struct call *call, struct context *context);
/* Sends what text the caller's credit allows, and gives the http actor credit for it. */
void stream_flush(struct call *call, struct context *context);

/* ---- shared -------------------------------------------------------------------------------- */

/* 0, or -ENOMEM. Empty lines are left out; `models` is changed and must live as long. */
int routes_make(const struct settings *settings, char *models, struct route **ret_routes,
                size_t *ret_count);
/* The body of the request for the route at hand; malloc'd, NULL without memory. */
char *call_body(const struct call *call, size_t *ret_size);
/* The header lines; malloc'd. */
char *call_headers(const struct call *call, struct proto_text account);
