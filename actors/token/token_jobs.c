/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor's ways to the world: the store through the store actor, the exchange through its
 * port, and the parsing of an answer. Each ends in exactly one event of the step. */
#include "token_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"
#include "token/answer.h"

/* ---- the store ------------------------------------------------------------------------------ */

static void unlink_job(struct token_state *state, struct store_job *job)
{
    struct store_job **at = &state->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
}

/* What could not be sent fails later: whoever sends it may be in the middle of a step. */
static void fail_later(struct token_state *state, struct store_job *job)
{
    struct store_job **at = &state->jobs_failed;

    while (*at != NULL)
        at = &(*at)->next;
    job->error = -ENOMEM;
    job->next = NULL;
    *at = job;
}

void token_job_send(struct token_state *state, struct store_job *job)
{
    struct message *message = message_new(STORE_JOB_TYPE, sizeof(job));
    struct request_options options = {.deadline_ns = UINT64_MAX - 1, .tag = (uintptr_t)job};

    if (message != NULL)
        memcpy(message->body, &job, sizeof(job));
    if (message == NULL || context_request(state->context, state->store, message, &options) != 0) {
        fail_later(state, job);
        return;
    }
    job->next = state->jobs;
    state->jobs = job;
}

struct route {
    enum token_action_kind action;
    enum store_job_kind job;
    bool has_event;
    enum token_event_kind event;
    bool whole; /* the store needs the credential's secrets */
};

static const struct route routes[] = {
    {ACTION_RESERVE, JOB_RESERVE, true, EVENT_RESERVED, false},
    {ACTION_WRITE_INTENT, JOB_WRITE_INTENT, true, EVENT_INTENT_SAVED, false},
    {ACTION_WRITE_ANSWER, JOB_WRITE_ANSWER, true, EVENT_ANSWER_SAVED, false},
    {ACTION_LOOK, JOB_LOOK, true, EVENT_LOOKED, false},
    {ACTION_WRITE_RECORD, JOB_WRITE_RECORD, true, EVENT_RECORD_SAVED, true},
    {ACTION_RELEASE, JOB_RELEASE, false, 0, false},
    {ACTION_WRITE_MARK, JOB_WRITE_RECORD, false, 0, true},
    {ACTION_WRITE_IMPORT, JOB_WRITE_RECORD, true, EVENT_IMPORT_SAVED, true},
    {ACTION_ADOPT_STORE, JOB_ADOPT, true, EVENT_ADOPTED, false},
};

/* Names and numbers without the secrets: enough to find the files. */
static void copy_plain(const struct credential *from, struct credential *ret_to)
{
    *ret_to = *from;
    ret_to->access = ret_to->refresh = ret_to->id_token = NULL;
    ret_to->rule = NULL;
    ret_to->digests = NULL;
    ret_to->digest_count = 0;
}

static struct store_job *make_job(const struct route *route, const struct token_action *action)
{
    struct store_job *job = store_job_new(route->job);
    const struct profile *profile = action->profile;
    int error = 0;

    if (job == NULL)
        return NULL;
    job->has_event = route->has_event;
    job->event = route->event;
    job->profile = profile != NULL ? profile->index : 0;
    job->ticket = action->ticket;
    job->attempt = action->attempt;
    if (route->whole)
        error = credential_copy(action->credential, &job->credential);
    else if (action->credential != NULL)
        copy_plain(action->credential, &job->credential);
    if (route->action == ACTION_WRITE_INTENT)
        job->intent = profile->intent_new;
    if (route->action == ACTION_WRITE_ANSWER) {
        job->answer = profile->answer;
        job->answer.body = secret_copy(profile->answer.body);
        if (job->answer.body == NULL && profile->answer.body != NULL)
            error = -ENOMEM;
    }
    if (error == 0)
        return job;
    store_job_free(job);
    return NULL;
}

void token_store_action(struct token_state *state, const struct token_action *action)
{
    const struct route *route = routes;
    struct store_job *job;

    while (route->action != action->kind) {
        route++;
        assert(route < routes + sizeof(routes) / sizeof(routes[0]));
    }
    job = make_job(route, action);
    if (job != NULL)
        token_job_send(state, job);
    else if (route->has_event)
        token_pend(state, (struct pending){
                              .kind = route->event,
                              .profile = action->profile != NULL ? action->profile->index : 0,
                              .ticket = action->ticket,
                              .error = -ENOMEM});
}

static void job_failed(struct token_state *state, const struct store_job *job)
{
    char line[2 * STEP_TEXT_MAX];

    if (job->error >= 0 || job->kind == JOB_AUDIT || job->kind == JOB_RULES)
        return;
    snprintf(line, sizeof(line), "store: %s",
             job->why[0] != '\0' ? job->why : strerrordesc_np(-job->error));
    token_act(state, &(struct token_action){.kind = ACTION_ALARM, .text = line});
}

/* The parsed answer's new refresh token has its digest now (or went without). */
static void digest_done(struct token_state *state, struct store_job *job)
{
    struct token_event event = token_event(state, EVENT_PARSED);
    uint8_t sha256[SECRET_SHA256_SIZE];

    secret_sha256(job->credential.access, sha256);
    event.profile = job->profile;
    event.ticket = job->ticket;
    event.error = job->error; /* then the answer is parsed anew */
    event.outcome = job->outcome;
    event.text = "";
    event.credential = &job->credential;
    event.sha256 = sha256;
    token_run(state, &event);
}

static void event_done(struct token_state *state, struct store_job *job)
{
    struct token_event event = token_event(state, job->event);
    uint8_t sha256[SECRET_SHA256_SIZE];

    event.profile = job->profile;
    event.ticket = job->ticket;
    event.error = job->error;
    if (job->found) {
        secret_sha256(job->credential.access, sha256);
        event.found = true;
        event.credential = &job->credential;
        event.sha256 = sha256;
    }
    token_run(state, &event);
}

void token_job_done(struct token_state *state, struct store_job *job)
{
    unlink_job(state, job);
    job_failed(state, job);
    if (job->kind == JOB_AUDIT)
        state->audit_busy = false;
    else if (job->kind == JOB_RULES)
        token_rules_done(state, job);
    else if (job->kind == JOB_DIGEST)
        digest_done(state, job);
    else if (job->has_event)
        event_done(state, job);
    store_job_free(job);
}

/* ---- what an exchange says, from its own thread --------------------------------------------- */

static void inbox_unref(struct token_inbox *inbox)
{
    unsigned refs;

    pthread_mutex_lock(&inbox->lock);
    refs = --inbox->refs;
    pthread_mutex_unlock(&inbox->lock);
    if (refs != 0)
        return;
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

int token_inbox_new(struct token_state *state)
{
    struct token_inbox *inbox = calloc(1, sizeof(*inbox));

    if (inbox == NULL)
        return -ENOMEM;
    pthread_mutex_init(&inbox->lock, NULL);
    inbox->refs = 1;
    inbox->last = &inbox->first;
    inbox->runtime = context_runtime(state->context);
    inbox->actor = context_self(state->context);
    state->inbox = inbox;
    return 0;
}

/* False: the actor has gone. The wake-up may fail, the item cannot: what keeps the wake-up out, a
 * full mailbox, is what makes the actor look into its inbox soon. */
static bool inbox_push(struct token_inbox *inbox, struct inbox_item *item)
{
    struct message *message = message_new(TOKEN_WAKE_TYPE, 0);
    bool open;

    pthread_mutex_lock(&inbox->lock);
    open = !inbox->closed;
    if (open) {
        item->next = NULL;
        *inbox->last = item;
        inbox->last = &item->next;
        if (message != NULL) {
            message->flags |= MESSAGE_CONTROL;
            runtime_post(inbox->runtime, inbox->actor, message);
            message = NULL;
        }
    }
    pthread_mutex_unlock(&inbox->lock);
    message_free(message);
    return open;
}

static void exchange_free(struct token_exchange *exchange)
{
    secret_free(exchange->result.body);
    inbox_unref(exchange->inbox);
    free(exchange);
}

static void at_gate(void *arg, uint64_t id)
{
    struct token_exchange *exchange = arg;

    if (!inbox_push(exchange->inbox, &exchange->gate))
        exchange->port->gate(exchange->port, id, false);
}

static void exchange_done(void *arg, uint64_t id, struct exchange_result *result)
{
    struct token_exchange *exchange = arg;

    (void)id;
    exchange->result = *result;
    result->body = NULL;
    if (!inbox_push(exchange->inbox, &exchange->done))
        exchange_free(exchange);
}

/* ---- the exchange, from the actor ----------------------------------------------------------- */

static int start(struct token_state *state, const struct token_action *action,
                 struct token_exchange *exchange)
{
    const struct profile *profile = action->profile;
    struct exchange_request request = {
        .rule = profile->rule,
        .refresh = profile->credential.refresh,
        .timeout_ms = state->step.tunables.exchange_timeout_ms,
        .connect_timeout_ms = state->step.tunables.connect_timeout_ms,
        .arg = exchange,
        .at_gate = at_gate,
        .done = exchange_done};

    exchange->inbox = state->inbox;
    exchange->port = state->config.exchange;
    exchange->profile = profile->index;
    exchange->ticket = action->ticket;
    exchange->gate = (struct inbox_item){.kind = EVENT_GATE, .exchange = exchange};
    exchange->done = (struct inbox_item){.kind = EVENT_EXCHANGED, .exchange = exchange};
    pthread_mutex_lock(&state->inbox->lock);
    state->inbox->refs++;
    pthread_mutex_unlock(&state->inbox->lock);
    state->exchanges[profile->index] = exchange;
    return exchange->port->start(exchange->port, &request, &exchange->id);
}

void token_exchange_start(struct token_state *state, const struct token_action *action)
{
    struct token_exchange *exchange = calloc(1, sizeof(*exchange));
    int error = exchange != NULL ? start(state, action, exchange) : -ENOMEM;
    struct pending pending = {.kind = EVENT_EXCHANGED, .profile = action->profile->index,
                              .ticket = action->ticket};

    if (error == 0)
        return;
    state->exchanges[action->profile->index] = NULL;
    if (exchange != NULL)
        exchange_free(exchange);
    snprintf(pending.text, sizeof(pending.text), "cannot start: %s", strerrordesc_np(-error));
    token_pend(state, pending);
}

void token_exchange_gate(struct token_state *state, const struct token_action *action)
{
    struct token_exchange *exchange = state->exchanges[action->profile->index];

    assert(exchange != NULL);
    exchange->port->gate(exchange->port, exchange->id, action->open);
}

static void handle_item(struct token_state *state, struct inbox_item *item)
{
    struct token_exchange *exchange = item->exchange;
    struct token_event event = token_event(state, item->kind);

    event.profile = exchange->profile;
    event.ticket = exchange->ticket;
    if (item->kind == EVENT_EXCHANGED) {
        state->exchanges[exchange->profile] = NULL;
        event.end = exchange->result.end;
        event.http_status = (uint32_t)exchange->result.http_status;
        event.retry_after_ms = exchange->result.retry_after_ms;
        event.text = exchange->result.error;
        event.body = exchange->result.body;
        exchange->result.body = NULL;
    }
    token_run(state, &event);
    if (item->kind == EVENT_EXCHANGED)
        exchange_free(exchange);
}

void token_inbox_drain(struct token_state *state)
{
    struct token_inbox *inbox = state->inbox;
    struct inbox_item *item;

    pthread_mutex_lock(&inbox->lock);
    item = inbox->first;
    inbox->first = NULL;
    inbox->last = &inbox->first;
    pthread_mutex_unlock(&inbox->lock);
    while (item != NULL) {
        struct inbox_item *next = item->next;

        handle_item(state, item);
        item = next;
    }
}

/* The actor ends. Who waits at the gate is turned away; who is past it ends by itself, and its
 * answer finds nobody: an ordinary stop drains first. */
void token_inbox_close(struct token_state *state)
{
    struct inbox_item *item;

    if (state->inbox == NULL)
        return;
    pthread_mutex_lock(&state->inbox->lock);
    state->inbox->closed = true;
    item = state->inbox->first;
    state->inbox->first = NULL;
    pthread_mutex_unlock(&state->inbox->lock);
    for (uint32_t i = 0; i < STEP_PROFILES_MAX; i++) {
        struct token_exchange *exchange = state->exchanges[i];

        if (exchange != NULL && state->step.profiles[i]->phase == PHASE_INTENT)
            exchange->port->gate(exchange->port, exchange->id, false);
    }
    while (item != NULL) {
        struct inbox_item *next = item->next;

        if (item->kind == EVENT_GATE)
            item->exchange->port->gate(item->exchange->port, item->exchange->id, false);
        else
            exchange_free(item->exchange);
        item = next;
    }
    inbox_unref(state->inbox);
    state->inbox = NULL;
}

/* ---- parsing -------------------------------------------------------------------------------- */

/* Builds n+1 from n and the answer; what the answer does not say stays as it was. */
static struct store_job *next_credential(struct token_state *state, const struct profile *profile,
                                         struct token_answer *answer)
{
    struct store_job *job = store_job_new(JOB_DIGEST);

    if (job == NULL || credential_copy(&profile->credential, &job->credential) != 0) {
        store_job_free(job);
        return NULL;
    }
    token_answer_apply(answer, &job->credential, context_wall_ms(state->context));
    job->profile = profile->index;
    job->ticket = profile->ticket;
    return job;
}

void token_parse(struct token_state *state, const struct token_action *action)
{
    static const struct provider_rule no_rule = {.expiry = "expires_in"};
    const struct profile *profile = action->profile;
    struct token_answer answer;
    struct pending pending = {.kind = EVENT_PARSED, .profile = profile->index,
                              .ticket = action->ticket};
    struct store_job *job;

    pending.outcome = token_answer_parse(profile->rule != NULL ? profile->rule : &no_rule,
                                         profile->answer.http_status, profile->answer.body,
                                         context_wall_ms(state->context), &answer);
    snprintf(pending.text, sizeof(pending.text), "%s",
             pending.outcome == OUTCOME_TERMINAL ? answer.error_code : answer.why);
    if (answer.no_memory)
        pending.error = -ENOMEM;
    if (pending.outcome != OUTCOME_ROTATED && pending.outcome != OUTCOME_KEPT) {
        token_pend(state, pending); /* and no token was kept of the answer */
        return;
    }
    job = next_credential(state, profile, &answer);
    token_answer_deinit(&answer);
    if (job == NULL) {
        pending.error = -ENOMEM;
        token_pend(state, pending);
        return;
    }
    job->outcome = pending.outcome;
    token_job_send(state, job);
}
