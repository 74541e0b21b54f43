/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor: sole owner of the credentials.
 *
 * Takes:  token_get, token_rejected, quota_hit, token_watch, token_status, swarm_join, token_drain,
 *         token_adopt from anyone who may speak to it; token_import from the keeper's own socket.
 * Sends:  jobs to the store actor, which it starts; answers.
 * Owns:   the step and with it all credentials; the exchanges in flight; the list of swarms.
 * Rules:  it decides nothing. A message becomes an event of the step (token/step.h), an action of
 *         the step becomes an answer, a job, an exchange, a timer. What an exchange says on its own
 *         thread arrives through an inbox that cannot be full; it is looked into at each turn.
 *         Everything else that the step is told comes from the context: time, random, messages. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "token_internal.h"

#define FROM_ASKER (FROM_LOCAL | FROM_NODE | FROM_CLIENT)

/* ---- events --------------------------------------------------------------------------------- */

struct token_event token_event(struct token_state *state, enum token_event_kind kind)
{
    uint64_t nonce[2] = {context_random(state->context), context_random(state->context)};

    memcpy(state->nonce, nonce, sizeof(state->nonce));
    return (struct token_event){.kind = kind,
                                .now_ns = context_now_ns(state->context),
                                .wall_ms = context_wall_ms(state->context),
                                .random = context_random(state->context),
                                .nonce = state->nonce,
                                .boot_id = state->config.boot_id,
                                .name = "", .who = "", .model = "", .text = ""};
}

void token_pend(struct token_state *state, struct pending pending)
{
    assert(state->pending_count < sizeof(state->pending) / sizeof(state->pending[0]));
    state->pending[state->pending_count++] = pending;
}

static void tell_failed(struct token_state *state)
{
    struct store_job *job = state->jobs_failed;

    state->jobs_failed = job->next;
    job->next = state->jobs;
    state->jobs = job;
    token_job_done(state, job);
}

static void run_pending(struct token_state *state)
{
    while (state->pending_count > 0 || state->jobs_failed != NULL) {
        if (state->pending_count == 0) {
            tell_failed(state);
            continue;
        }
        struct pending pending = state->pending[0];
        struct token_event event = token_event(state, pending.kind);

        memmove(state->pending, state->pending + 1,
                --state->pending_count * sizeof(state->pending[0]));
        event.profile = pending.profile;
        event.ticket = pending.ticket;
        event.error = pending.error;
        event.outcome = pending.outcome;
        event.text = pending.text;
        event.end = EXCHANGE_NOT_SENT;
        token_step_run(&state->step, &event);
    }
}

void token_run(struct token_state *state, const struct token_event *event)
{
    token_step_run(&state->step, event);
    run_pending(state);
}

/* ---- the end of a turn ---------------------------------------------------------------------- */

static bool is_idle(const struct token_state *state)
{
    return state->swarm_count == 0 && state->step.waiter_count == 0 && state->jobs == NULL &&
           token_step_quiet(&state->step);
}

static void linger(struct token_state *state)
{
    if (state->lingering || state->config.idle == NULL || !is_idle(state))
        return;
    state->lingering = true;
    context_timer(state->context, state->step.tunables.linger_ms * MS_NS, TIMER_LINGER);
}

static void on_linger(struct token_state *state)
{
    uint64_t quiet_ns = context_now_ns(state->context) - state->activity_ns;

    state->lingering = false;
    if (is_idle(state) && quiet_ns >= state->step.tunables.linger_ms * MS_NS)
        state->config.idle(state->config.arg, false);
}

static void turn_begin(struct token_state *state, struct context *context)
{
    state->context = context;
    token_inbox_drain(state);
}

static int turn_end(struct token_state *state)
{
    run_pending(state);
    token_audit_flush(state);
    linger(state);
    return 0;
}

/* A turn that somebody outside asked for. */
static void asked(struct token_state *state, struct context *context)
{
    turn_begin(state, context);
    state->activity_ns = context_now_ns(context);
}

/* ---- messages ------------------------------------------------------------------------------- */

/* Longer ones are cut: a name for the audit, not an identity. A blank would split the line. */
static void copy_who(struct proto_text text, char ret_who[STEP_WHO_MAX])
{
    size_t size = text.size < STEP_WHO_MAX - 1 ? text.size : STEP_WHO_MAX - 1;

    if (size != 0)
        memcpy(ret_who, text.data, size);
    ret_who[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)ret_who[i] <= ' ')
            ret_who[i] = '_';
}

/* One who asks about a profile: the names of the event, and its request. False: answered. */
static bool read_names(struct token_state *state, struct proto_text name, struct proto_text who,
                       char ret_name[PROFILE_ID_MAX], char ret_who[STEP_WHO_MAX],
                       struct token_event *event)
{
    if (!proto_text_copy(name, ret_name, PROFILE_ID_MAX)) {
        actor_reply_refusal(state->context, "unknown_profile", "no profile has such a name",
                            "run `queenright auth list`");
        return false;
    }
    copy_who(who, ret_who);
    event->name = ret_name;
    event->who = ret_who;
    event->waiter = context_defer(state->context).n;
    return true;
}

static int on_token_get(struct token_state *state, struct context *context,
                        const struct token_get *message)
{
    struct token_event event;
    char name[PROFILE_ID_MAX], who[STEP_WHO_MAX];

    asked(state, context);
    event = token_event(state, EVENT_GET);
    event.min_valid_ms = message->min_valid_ms;
    event.force = message->force;
    if (read_names(state, message->profile, message->who, name, who, &event))
        token_run(state, &event);
    return turn_end(state);
}

static int on_token_rejected(struct token_state *state, struct context *context,
                             const struct token_rejected *message)
{
    struct token_event event;
    char name[PROFILE_ID_MAX], who[STEP_WHO_MAX];

    if (message->access_sha256.size != SECRET_SHA256_SIZE)
        return actor_reply_refusal(context, "bad_request", "a SHA-256 has 32 bytes", "");
    asked(state, context);
    event = token_event(state, EVENT_REJECTED);
    event.sha256 = (const uint8_t *)message->access_sha256.data;
    if (read_names(state, message->profile, message->who, name, who, &event))
        token_run(state, &event);
    return turn_end(state);
}

static int on_quota_hit(struct token_state *state, struct context *context,
                        const struct quota_hit *message)
{
    struct token_event event;
    char name[PROFILE_ID_MAX], who[STEP_WHO_MAX], model[128], reason[STEP_WHO_MAX];

    if (!proto_text_copy(message->model, model, sizeof(model)))
        return actor_reply_refusal(context, "bad_request", "no model has such a name", "");
    asked(state, context);
    event = token_event(state, EVENT_QUOTA);
    copy_who(message->reason, reason);
    event.model = model;
    event.text = reason;
    event.until_ms = message->resets_at_ms;
    if (read_names(state, message->profile, message->who, name, who, &event))
        token_run(state, &event);
    return turn_end(state);
}

static int on_token_watch(struct token_state *state, struct context *context,
                          const struct token_watch *message)
{
    struct token_event event;
    char name[PROFILE_ID_MAX], who[STEP_WHO_MAX];

    asked(state, context);
    event = token_event(state, EVENT_WATCH);
    event.version = message->version;
    event.generation_seen = message->generation_seen;
    if (read_names(state, message->profile, message->who, name, who, &event))
        token_run(state, &event);
    return turn_end(state);
}

static int on_token_status(struct token_state *state, struct context *context,
                           const struct token_status *message)
{
    asked(state, context);
    token_status_begin(state, message);
    return turn_end(state);
}

static int on_token_import(struct token_state *state, struct context *context,
                           const struct token_import *message)
{
    asked(state, context);
    token_import(state, message);
    return turn_end(state);
}

static int on_swarm_join(struct token_state *state, struct context *context,
                         const struct swarm_join *message)
{
    asked(state, context);
    token_join(state, message);
    return turn_end(state);
}

static int on_token_drain(struct token_state *state, struct context *context,
                          const struct token_drain *message)
{
    struct token_event event;
    char why[STEP_WHO_MAX], line[2 * STEP_WHO_MAX];

    asked(state, context);
    copy_who(message->why, why);
    snprintf(line, sizeof(line), "drain why=%s", why);
    token_audit(state, line);
    event = token_event(state, EVENT_DRAIN);
    event.waiter = context_defer(context).n;
    token_run(state, &event);
    return turn_end(state);
}

static int on_token_adopt(struct token_state *state, struct context *context,
                          const struct token_adopt *message)
{
    struct token_event event;
    char name[PROFILE_ID_MAX], who[STEP_WHO_MAX];

    asked(state, context);
    event = token_event(state, EVENT_ADOPT);
    if (read_names(state, message->profile, (struct proto_text){0}, name, who, &event))
        token_run(state, &event);
    return turn_end(state);
}

/* ---- from the store and the exchanges ------------------------------------------------------- */

static int on_store_job(void *state_, struct context *context, const void *body)
{
    struct token_state *state = state_;
    struct store_job *job;

    turn_begin(state, context);
    memcpy(&job, body, sizeof(job));
    token_job_done(state, job);
    return turn_end(state);
}

static int token_on_status(void *state_, struct context *context, uint64_t tag,
                           enum runtime_status status)
{
    struct token_state *state = state_;
    struct store_job *job = (struct store_job *)(uintptr_t)tag;

    (void)status;
    turn_begin(state, context);
    token_job_done(state, job);
    return turn_end(state);
}

static int on_wake(void *state_, struct context *context, const void *body)
{
    struct token_state *state = state_;

    (void)body;
    turn_begin(state, context);
    return turn_end(state);
}

static int token_on_timer(void *state_, struct context *context, uint64_t tag)
{
    struct token_state *state = state_;
    struct token_event event;

    turn_begin(state, context);
    if (tag == TIMER_LINGER) {
        on_linger(state);
    } else if (tag == TIMER_DRAINED) {
        if (state->config.idle != NULL)
            state->config.idle(state->config.arg, true);
    } else {
        state->timers[tag] = (struct timer_id){0};
        event = token_event(state, EVENT_TIMER);
        event.profile = (uint32_t)tag;
        token_run(state, &event);
    }
    return turn_end(state);
}

static int token_on_credit(void *state_, struct context *context, struct request_id request)
{
    struct token_state *state = state_;

    turn_begin(state, context);
    token_status_go_on(state, request);
    return turn_end(state);
}

static int token_on_cancel(void *state_, struct context *context, struct request_id request)
{
    struct token_state *state = state_;
    struct token_event event;

    turn_begin(state, context);
    if (!token_status_cancel(state, request)) {
        event = token_event(state, EVENT_CANCELLED);
        event.waiter = request.n;
        token_run(state, &event);
    }
    return turn_end(state);
}

static int token_on_down(void *state_, struct context *context, struct actor_id who,
                         enum exit_reason reason, int error)
{
    struct token_state *state = state_;

    (void)reason;
    (void)error;
    asked(state, context);
    token_leave(state, who); /* or the link to it is gone */
    return turn_end(state);
}

/* ---- start and stop ------------------------------------------------------------------------- */

static int start_store(struct token_state *state)
{
    struct store_actor_config config = {.store = state->config.store,
                                        .load_rules = state->config.load_rules,
                                        .arg = state->config.arg,
                                        .share = state->share};
    struct spawn_options options = {.name = "store", .pinned = true, .link = true};

    return context_spawn(state->context, &store_actor_ops, &config, &options, &state->store);
}

/* The store is gone when the spawn has failed; this is the only chance to say what was wrong. */
static void say_why(struct token_state *state)
{
    if (state->config.alarm != NULL && state->config.store->why != NULL)
        state->config.alarm(state->config.arg, state->config.store->why(state->config.store));
}

static int token_start(void *state_, struct context *context, const void *config)
{
    struct token_state *state = state_;
    int notes, error;

    state->config = *(const struct token_config *)config;
    state->context = context;
    state->activity_ns = context_now_ns(context);
    token_step_init(&state->step, &state->config.tunables, token_act, state);
    state->share = calloc(1, sizeof(*state->share));
    if (state->share == NULL)
        return -ENOMEM;
    state->share->refs = 1;
    error = token_inbox_new(state);
    if (error != 0)
        return error;
    notes = state->config.store->open(state->config.store);
    if (notes < 0) {
        say_why(state);
        return notes;
    }
    error = start_store(state);
    if (error == 0)
        error = token_load(state, notes);
    return error != 0 ? error : turn_end(state);
}

static void token_stop(void *state_, struct context *context)
{
    struct token_state *state = state_;

    state->context = context;
    token_inbox_close(state);
    if (!actor_id_is_set(state->store))
        state->config.store->close(state->config.store);
    if (state->share != NULL)
        state->share->left = state->jobs;
    while (state->jobs_failed != NULL) {
        struct store_job *next = state->jobs_failed->next;

        store_job_free(state->jobs_failed);
        state->jobs_failed = next;
    }
    store_share_unref(state->share);
    token_step_deinit(&state->step);
    free(state->rules);
    free(state->audit);
}

static size_t token_describe(const void *state_, char *ret_text, size_t size)
{
    const struct token_state *state = state_;
    unsigned refreshing = 0;

    for (uint32_t i = 0; i < state->step.profile_count; i++)
        refreshing += state->step.profiles[i]->phase != PHASE_NONE;
    return (size_t)snprintf(ret_text, size, "%u profiles, %u refreshing, %zu waiters, %zu swarms%s",
                            state->step.profile_count, refreshing, state->step.waiter_count,
                            state->swarm_count, state->step.draining ? ", draining" : "");
}

void token_boot_id(uint8_t ret_id[16])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    char text[36];

    memset(ret_id, 0, 16);
    if (fd < 0)
        return;
    if (read(fd, text, sizeof(text)) == sizeof(text))
        sodium_hex2bin(ret_id, 16, text, sizeof(text), "-", NULL, NULL);
    close(fd);
}

ACTOR_HANDLER(token_get)
ACTOR_HANDLER(token_rejected)
ACTOR_HANDLER(quota_hit)
ACTOR_HANDLER(token_watch)
ACTOR_HANDLER(token_status)
ACTOR_HANDLER(token_import)
ACTOR_HANDLER(swarm_join)
ACTOR_HANDLER(token_drain)
ACTOR_HANDLER(token_adopt)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(token_get, FROM_ASKER),
    ACTOR_ROW(token_rejected, FROM_ASKER),
    ACTOR_ROW(quota_hit, FROM_ASKER),
    ACTOR_ROW(token_watch, FROM_ASKER),
    ACTOR_ROW(token_status, FROM_ASKER),
    ACTOR_ROW(token_import, FROM_LOCAL | FROM_CLIENT),
    ACTOR_ROW(swarm_join, FROM_ASKER),
    ACTOR_ROW(token_drain, FROM_LOCAL | FROM_CLIENT | FROM_NODE),
    ACTOR_ROW(token_adopt, FROM_LOCAL | FROM_CLIENT),
    {STORE_JOB_TYPE, FROM_ANSWER, "store_job", NULL, on_store_job},
    {TOKEN_WAKE_TYPE, FROM_LOCAL, "wake", NULL, on_wake},
    ACTOR_ROW_END,
};

const struct actor_ops token_ops = {
    .name = "token",
    .state_size = sizeof(struct token_state),
    .mailbox_limit = 2 * STEP_WAITERS_MAX,
    .fair_senders = true,
    .decode = proto_unpack,
    .handlers = handlers,
    .start = token_start,
    .stop = token_stop,
    .on_status = token_on_status,
    .on_timer = token_on_timer,
    .on_credit = token_on_credit,
    .on_cancel = token_on_cancel,
    .on_down = token_on_down,
    .describe = token_describe,
};
