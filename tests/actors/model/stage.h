/* SPDX-License-Identifier: Apache-2.0 */
/* The model actor on a stage: scripted actors "token" and "http" around it, a clock that only moves
 * when all is said, one thread. */
#pragma once

#include "model/model.h"
#include "proto/model.h"
#include "proto/system.h"
#include "proto/token.h"
#include "support/probe.h"

#define STAGE_LOG_MAX 32

/* What the actor "http" does with one request. */
struct stage_reply {
    unsigned status;
    const char *headers, *body;
    const char *refuse;   /* a refusal of this code, after the body */
    bool hang;            /* no end */
};

/* What the actor "http" was asked. */
struct stage_request {
    char url[200], headers[400], bearer[64], api_key[64];
    char *body;
    bool cancelled;
};

struct stage_profile {
    char id[64];
    unsigned generation;
    const char *refuse;      /* token_get is refused with this code */
    const char *origin;
    int64_t cooling_until_ms;
    char cooling_model[64];
};

struct stage {
    struct runtime *runtime;
    struct actor_id model;
    struct probe probe;
    uint64_t now_ns;
    struct clock_port *clock;

    struct stage_reply replies[STAGE_LOG_MAX]; /* in order of the requests */
    size_t reply_count;
    size_t piece;                              /* bytes a chunk; 0: 40 */
    struct stage_request requests[STAGE_LOG_MAX];
    size_t request_count;
    size_t live, live_most;                    /* requests not yet answered */
    size_t chunks;

    struct stage_profile profiles[8];
    size_t profile_count;
    unsigned gets, rejected, quota_hits;
    bool refuse_rejected;                      /* token_rejected: token_refused */
    char rejected_sha256[65];
    char quota_profile[64], quota_model[64], quota_reason[64];
    int64_t quota_resets_at_ms;
};

#define STAGE_WALL_MS 1700000000000

struct stage *stage_new(const char *models, const char *auth);
void stage_free(struct stage *stage);
void stage_reply(struct stage *stage, struct stage_reply reply);
struct stage_profile *stage_profile(struct stage *stage, const char *id);
/* Sends a call of these models as agent; its number. */
unsigned stage_call(struct stage *stage, const char *agent, const char *models, uint32_t credit,
                    bool keep_credit);
/* Runs until nothing moves without time passing. */
void stage_settle(struct stage *stage);
/* Runs until the call is over; time passes as needed, at most 60 s of it. */
struct probe_call *stage_finish(struct stage *stage, unsigned call);
/* The model_answer of a call that has one. */
struct model_answer stage_answer(const struct probe_call *call);
