/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor's half of each action of the step that is an answer, a timer or a line. */
#include "token_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t token_wall(const struct token_state *state, uint64_t at_ns)
{
    uint64_t now = context_now_ns(state->context);
    int64_t wall = context_wall_ms(state->context);

    if (at_ns == 0)
        return 0;
    return at_ns >= now ? wall + (int64_t)((at_ns - now) / MS_NS)
                        : wall - (int64_t)((now - at_ns) / MS_NS);
}

void token_answer(struct token_state *state, uint64_t waiter, struct message *message)
{
    context_answer(state->context, (struct request_id){.n = waiter}, message);
}

/* ---- grants --------------------------------------------------------------------------------- */

/* A little after the refresh is planned, so that mostly the newer token is there before anybody has
 * to ask for it; when that is overdue, half of what is left. */
static uint64_t renew_at(const struct profile *profile, uint64_t now_ns)
{
    uint64_t at = profile->refresh_at_ns + profile->life_ns / 8;

    if (profile->expires_ns <= now_ns) /* 0: never */
        return profile->expires_ns;
    if (at < now_ns)
        at = now_ns + (profile->expires_ns - now_ns) / 2;
    return at < profile->expires_ns ? at : profile->expires_ns;
}

const struct cooling *token_cooling(const struct profile *profile, uint64_t now_ns)
{
    const struct cooling *found = profile_cooling(profile, now_ns);

    for (size_t i = 0; i < profile->cooling_count && found == NULL; i++)
        if (profile->coolings[i].until_ns > now_ns)
            found = &profile->coolings[i];
    return found;
}

static void grant(struct token_state *state, const struct token_action *action)
{
    const struct profile *profile = action->profile;
    const struct credential *credential = &profile->credential;
    uint64_t now = context_now_ns(state->context);
    const struct cooling *cooling = token_cooling(profile, now);
    struct token_grant grant = {
        .profile = proto_text(credential->profile),
        .generation = credential->generation,
        .version = profile->version,
        .expires_at_ms = token_wall(state, profile->expires_ns),
        .renew_at_ms = token_wall(state, renew_at(profile, now)),
        .account = proto_text(credential->account),
        .origin = proto_text(token_api_origin(state, credential->provider))};

    if (profile_usable(profile, now) && profile->refused_until_ns <= now)
        grant.access = (struct proto_text){secret_data(credential->access),
                                           (uint32_t)secret_length(credential->access)};
    if (cooling != NULL) {
        grant.cooling_until_ms = token_wall(state, cooling->until_ns);
        grant.cooling_model = proto_text(cooling->model);
    }
    token_answer(state, action->waiter, actor_pack(token_grant, &grant));
}

static void imported(struct token_state *state, const struct token_action *action)
{
    struct token_imported imported = {
        .profile = proto_text(action->profile->credential.profile),
        .outcome = proto_text(action->text),
        .generation = action->generation,
        .note = proto_text(action->detail)};

    token_answer(state, action->waiter, actor_pack(token_imported, &imported));
}

static void done(struct token_state *state, const struct token_action *action)
{
    struct done message = {0};

    token_answer(state, action->waiter, actor_pack(done, &message));
    if (state->drained || !state->step.draining || !token_step_quiet(&state->step))
        return;
    state->drained = true; /* the answer goes out before the end is called for */
    context_timer(state->context, 100 * MS_NS, TIMER_DRAINED);
}

/* ---- audit ---------------------------------------------------------------------------------- */

/* Control characters would let a name forge a line. */
static void clean(char *line)
{
    for (; *line != '\0'; line++)
        if ((unsigned char)*line < ' ' || *line == 127)
            *line = '?';
}

/* The store's engine adds the time. */
void token_audit(struct token_state *state, const char *line)
{
    char text[4 * STEP_TEXT_MAX];
    size_t size;

    snprintf(text, sizeof(text) - 1, "%s", line);
    clean(text);
    size = strlen(text);
    text[size++] = '\n';
    if (state->audit == NULL)
        state->audit = malloc(TOKEN_AUDIT_MAX);
    if (state->audit == NULL || state->audit_size + size >= TOKEN_AUDIT_MAX) {
        state->audit_lost++;
        return;
    }
    memcpy(state->audit + state->audit_size, text, size);
    state->audit_size += size;
}

/* At most one batch is under way: a flood of grants never crowds out what must be saved. */
void token_audit_flush(struct token_state *state)
{
    struct store_job *job;

    if (state->audit_busy || state->audit_size == 0)
        return;
    if (state->audit_lost != 0) {
        char line[64];

        snprintf(line, sizeof(line), "lost lines=%zu\n", state->audit_lost);
        if (state->audit_size + strlen(line) < TOKEN_AUDIT_MAX) {
            memcpy(state->audit + state->audit_size, line, strlen(line));
            state->audit_size += strlen(line);
            state->audit_lost = 0;
        }
    }
    job = store_job_new(JOB_AUDIT);
    if (job == NULL)
        return;
    state->audit[state->audit_size] = '\0';
    job->text = state->audit;
    state->audit = NULL;
    state->audit_size = 0;
    state->audit_busy = true;
    token_job_send(state, job);
}

static void alarm_line(struct token_state *state, const char *line)
{
    char text[4 * STEP_TEXT_MAX];

    snprintf(text, sizeof(text), "alarm %s", line);
    token_audit(state, text);
    if (state->config.alarm != NULL)
        state->config.alarm(state->config.arg, line);
}

static void trace(struct token_state *state, const struct token_action *action)
{
    char line[PROFILE_ID_MAX + 64];

    snprintf(line, sizeof(line), "state profile=%s to=%s", action->profile->credential.profile,
             action->text);
    token_audit(state, line);
}

static void set_timer(struct token_state *state, const struct token_action *action)
{
    uint32_t index = action->profile->index;
    uint64_t now = context_now_ns(state->context);

    context_timer_cancel(state->context, state->timers[index]);
    state->timers[index] = (struct timer_id){0};
    if (action->at_ns != 0)
        state->timers[index] = context_timer(
            state->context, action->at_ns > now ? action->at_ns - now : 0, index);
}

void token_act(void *arg, const struct token_action *action)
{
    struct token_state *state = arg;

    switch (action->kind) {
    case ACTION_EXCHANGE:
        token_exchange_start(state, action);
        break;
    case ACTION_GATE:
        token_exchange_gate(state, action);
        break;
    case ACTION_PARSE:
        token_parse(state, action);
        break;
    case ACTION_GRANT:
        grant(state, action);
        break;
    case ACTION_REFUSE:
        token_answer(state, action->waiter,
                     actor_refusal(action->code, action->text, action->detail,
                                   action->retry_after_ms, action->until_ms));
        break;
    case ACTION_DONE:
        done(state, action);
        break;
    case ACTION_IMPORTED:
        imported(state, action);
        break;
    case ACTION_TIMER:
        set_timer(state, action);
        break;
    case ACTION_AUDIT:
        token_audit(state, action->text);
        break;
    case ACTION_ALARM:
        alarm_line(state, action->text);
        break;
    case ACTION_TRACE:
        trace(state, action);
        break;
    default:
        token_store_action(state, action);
        break;
    }
}
