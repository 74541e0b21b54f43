/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the TokenActor share. token_actor.c says what it is. */
#pragma once

#include <pthread.h>

#include "actors/handler.h"
#include "proto/system.h"
#include "proto/token.h"
#include "store_actor.h"

#define TOKEN_WAKE_TYPE 0x01f1u /* in-process only: look into the inbox */
#define TOKEN_SWARMS_MAX 64
#define TOKEN_STREAMS_MAX 16
#define TOKEN_AUDIT_MAX (64u << 10)
#define TIMER_LINGER STEP_PROFILES_MAX
#define TIMER_DRAINED (STEP_PROFILES_MAX + 1)

/* What an exchange, on its own thread, has to say: two of these lie ready before it starts, so
 * nothing it says can be lost for lack of memory or room in a mailbox. */
struct inbox_item {
    struct inbox_item *next;
    enum token_event_kind kind; /* EVENT_GATE, EVENT_EXCHANGED */
    struct token_exchange *exchange;
};

/* Outlives the actor while exchanges run. */
struct token_inbox {
    pthread_mutex_t lock;
    unsigned refs;
    bool closed; /* the actor has gone: gates are refused, answers dropped */
    struct inbox_item *first, **last;
    struct runtime *runtime;
    struct actor_id actor;
};

/* One exchange. */
struct token_exchange {
    struct token_inbox *inbox;
    struct exchange_port *port;
    struct inbox_item gate, done;
    uint64_t id; /* the port's */
    uint32_t profile;
    uint64_t ticket;
    struct exchange_result result;
};

/* An event of ours that had no way round through the store or the exchange. */
struct pending {
    enum token_event_kind kind;
    uint32_t profile;
    uint64_t ticket;
    int error;
    enum token_outcome outcome;
    char text[STEP_TEXT_MAX];
};

struct swarm {
    char name[128], peer[64];
    struct actor_id member;
};

struct status_stream {
    struct request_id request;
    uint32_t next;
    char only[PROFILE_ID_MAX];
};

struct token_state {
    struct token_config config;
    struct token_step step;
    struct context *context; /* of the turn at work; the step's actions go there */
    uint8_t nonce[16];

    struct actor_id store;
    struct store_job *jobs; /* in flight */
    struct store_job *jobs_failed; /* never sent, for want of memory; to be told */
    struct store_share *share;
    struct token_inbox *inbox;
    struct token_exchange *exchanges[STEP_PROFILES_MAX]; /* by profile; NULL: none */

    struct pending pending[STEP_PROFILES_MAX + 8];
    size_t pending_count;

    struct store_rule *rules; /* from configs, by provider */
    size_t rule_count;

    struct timer_id timers[STEP_PROFILES_MAX];
    struct swarm swarms[TOKEN_SWARMS_MAX];
    size_t swarm_count;
    struct status_stream streams[TOKEN_STREAMS_MAX];
    size_t stream_count;

    char *audit; /* lines to come */
    size_t audit_size, audit_lost;
    bool audit_busy;
    uint64_t activity_ns;
    bool lingering, drained;
};

/* ---- token_actor.c -------------------------------------------------------------------------- */

struct token_event token_event(struct token_state *state, enum token_event_kind kind);
/* Runs the step, then what followed without a way round. */
void token_run(struct token_state *state, const struct token_event *event);
/* To be run after the event at work. */
void token_pend(struct token_state *state, struct pending pending);

/* ---- token_load.c --------------------------------------------------------------------------- */

int token_load(struct token_state *state, int notes);

/* ---- token_actions.c ------------------------------------------------------------------------ */

void token_act(void *state, const struct token_action *action);
/* Whoever has gone, or only told (0), hears nothing; NULL says that there is no memory. */
void token_answer(struct token_state *state, uint64_t waiter, struct message *message);
/* The one to be shown: of the whole account, or else the first of a model; NULL: none. */
const struct cooling *token_cooling(const struct profile *profile, uint64_t now_ns);
void token_audit(struct token_state *state, const char *line);
void token_audit_flush(struct token_state *state);
int64_t token_wall(const struct token_state *state, uint64_t at_ns); /* boot clock to Unix ms */

/* ---- token_jobs.c: the store, the exchange, parsing ----------------------------------------- */

/* Sends a job (taken; NULL: no memory) to the store. */
void token_job_send(struct token_state *state, struct store_job *job);
void token_store_action(struct token_state *state, const struct token_action *action);
void token_exchange_start(struct token_state *state, const struct token_action *action);
void token_exchange_gate(struct token_state *state, const struct token_action *action);
void token_parse(struct token_state *state, const struct token_action *action);
void token_job_done(struct token_state *state, struct store_job *job);
void token_inbox_drain(struct token_state *state);
int token_inbox_new(struct token_state *state);
void token_inbox_close(struct token_state *state);

/* ---- token_rules.c: joining swarms, provider rules, imports --------------------------------- */

void token_join(struct token_state *state, const struct swarm_join *message);
void token_import(struct token_state *state, const struct token_import *message);
void token_rules_done(struct token_state *state, struct store_job *job);
void token_leave(struct token_state *state, struct actor_id member);
/* The rule that a stored credential is pinned to. False: none known. */
bool token_pinned_rule(struct token_state *state, const struct credential *credential,
                       struct provider_rule *ret_rule, char *ret_origin, size_t size);
const char *token_api_origin(const struct token_state *state, const char *provider);

/* ---- token_status.c ------------------------------------------------------------------------- */

int token_status_begin(struct token_state *state, const struct token_status *message);
void token_status_go_on(struct token_state *state, struct request_id request);
bool token_status_cancel(struct token_state *state, struct request_id request);
