/* SPDX-License-Identifier: Apache-2.0 */
/* The step: one event in, facts change, settle. See token/step.h. */
#include "step_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- actions -------------------------------------------------------------------------------- */

void step_act(struct token_step *step, struct token_action action)
{
    step->act(step->arg, &action);
}

void step_refuse(struct token_step *step, uint64_t waiter, const char *code, const char *why,
                 const char *remedy)
{
    step_act(step, (struct token_action){.kind = ACTION_REFUSE, .waiter = waiter, .code = code,
                                         .text = why, .detail = remedy});
}

__attribute__((format(printf, 3, 0))) static void
say(struct token_step *step, enum token_action_kind kind, const char *format, va_list list)
{
    char line[3 * STEP_TEXT_MAX];

    vsnprintf(line, sizeof(line), format, list);
    step_act(step, (struct token_action){.kind = kind, .text = line});
}

void step_audit(struct token_step *step, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    say(step, ACTION_AUDIT, format, list);
    va_end(list);
}

void step_alarm(struct token_step *step, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    say(step, ACTION_ALARM, format, list);
    va_end(list);
}

/* ---- profiles ------------------------------------------------------------------------------- */

static bool is_called(const struct credential *credential, const char *name)
{
    size_t length = strlen(name);
    const char *at = credential->aliases;

    if (strcmp(credential->profile, name) == 0)
        return true;
    while (*at != '\0') {
        size_t run = strcspn(at, ",");

        if (run == length && memcmp(at, name, length) == 0)
            return true;
        at += run + (at[run] == ',');
    }
    return false;
}

struct profile *token_step_find(const struct token_step *step, const char *name)
{
    for (uint32_t i = 0; i < step->profile_count; i++)
        if (is_called(&step->profiles[i]->credential, name))
            return step->profiles[i];
    return NULL;
}

struct profile *step_add_profile(struct token_step *step)
{
    struct profile *profile;

    if (step->profile_count >= STEP_PROFILES_MAX)
        return NULL;
    profile = calloc(1, sizeof(*profile));
    if (profile == NULL)
        return NULL;
    profile->index = step->profile_count;
    step->profiles[step->profile_count++] = profile;
    return profile;
}

static void free_profile(struct profile *profile)
{
    credential_deinit(&profile->credential);
    credential_deinit(&profile->next);
    secret_free(profile->answer.body);
    free(profile->waiters);
    free(profile->rule);
    free(profile);
}

/* ---- settling ------------------------------------------------------------------------------- */

/* What stands in the way for good shows as the profile's fault, and goes as it came. */
static void restate_fault(struct token_step *step, struct profile *profile)
{
    enum fault fault = FAULT_NONE;
    bool shown = profile->fault == FAULT_COPIED || profile->fault == FAULT_RESTORED ||
                 profile->fault == FAULT_NO_RULE;

    if (profile->credential.refresh == NULL)
        return;
    if (step->copied)
        fault = FAULT_COPIED;
    else if (policy_restored(profile))
        fault = FAULT_RESTORED;
    else if (profile->rule == NULL)
        fault = FAULT_NO_RULE;
    if (fault != profile->fault && (fault != FAULT_NONE || shown))
        profile_fault(step, profile, fault, "");
}

static void consider_time(uint64_t *earliest, uint64_t at_ns, uint64_t now_ns)
{
    if (at_ns > now_ns && at_ns < *earliest)
        *earliest = at_ns;
}

/* The next time at which something follows from time alone. */
static uint64_t next_wake(const struct token_step *step, const struct profile *profile)
{
    uint64_t now = step_now(step), wake = UINT64_MAX, due;

    for (size_t i = 0; i < profile->cooling_count; i++)
        consider_time(&wake, profile->coolings[i].until_ns, now);
    consider_time(&wake, profile->refused_until_ns, now);
    if (profile->stalled || (profile->unsaved && profile->phase == PHASE_NONE))
        consider_time(&wake, profile->retry_at_ns, now);
    if (profile->phase != PHASE_NONE || policy_obstacle(step, profile) != NULL)
        return wake;
    due = policy_due(profile, now);
    if (due != UINT64_MAX) {
        uint64_t allowed = policy_allowed_at(step, profile);

        consider_time(&wake, due > allowed ? due : allowed, now);
    }
    return wake;
}

static void restart_timer(struct token_step *step, struct profile *profile)
{
    uint64_t wake = next_wake(step, profile);

    if (wake == UINT64_MAX)
        wake = 0;
    if (wake == profile->timer_ns)
        return;
    profile->timer_ns = wake;
    step_act(step, (struct token_action){.kind = ACTION_TIMER, .profile = profile, .at_ns = wake});
}

void step_settle(struct token_step *step, struct profile *profile)
{
    if (!step->ready)
        return;
    restate_fault(step, profile);
    profile_restate(step, profile);
    profile_publish(step, profile);
    waiters_settle(step, profile);
    refresh_retry_local(step, profile);
    refresh_start_if_due(step, profile);
    profile_restate(step, profile);
    restart_timer(step, profile);
}

static void settle_all(struct token_step *step)
{
    for (uint32_t i = 0; i < step->profile_count; i++)
        step_settle(step, step->profiles[i]);
}

/* ---- refreshes of one origin go one after another ------------------------------------------- */

static bool is_exchanging(const struct profile *profile)
{
    return profile->phase >= PHASE_RESERVE && profile->phase <= PHASE_SENT;
}

/* The next of the same origin may go: round-robin, those nobody waits for a little apart. */
static void let_others(struct token_step *step, const struct profile *profile)
{
    for (uint32_t i = 1; i < step->profile_count; i++) {
        uint32_t index = (profile->index + i) % step->profile_count;
        struct profile *other = step->profiles[index];
        uint64_t apart_ns = step_after(step, step_random(step) % 250);

        if (strcmp(other->origin, profile->origin) != 0 || other->phase != PHASE_NONE)
            continue;
        if (!waiters_demand(other) && other->retry_at_ns < apart_ns)
            other->retry_at_ns = apart_ns;
        step_settle(step, other);
    }
}

static void on_refresh_event(struct token_step *step, const struct token_event *event)
{
    struct profile *profile;
    bool was_exchanging;

    assert(event->profile < step->profile_count);
    profile = step->profiles[event->profile];
    was_exchanging = is_exchanging(profile);
    refresh_event(step, profile, event);
    step_settle(step, profile);
    if (was_exchanging && !is_exchanging(profile))
        let_others(step, profile);
    import_next(step);
}

/* ---- start, rules, drain -------------------------------------------------------------------- */

static void set_rule(struct profile *profile, const struct token_event *event)
{
    if (event->rule != NULL && profile->rule == NULL)
        profile->rule = malloc(sizeof(*profile->rule));
    if (event->rule != NULL && profile->rule != NULL)
        *profile->rule = *event->rule;
}

static void on_loaded(struct token_step *step, const struct token_event *event)
{
    struct profile *profile = step_add_profile(step);

    if (profile == NULL) {
        step_alarm(step, "%s: not loaded: too many logins, or no memory",
                   event->stored->credential.profile);
        stored_deinit(event->stored);
        return;
    }
    profile->credential = event->stored->credential;
    credential_init(&event->stored->credential);
    memcpy(profile->access_sha256, event->sha256, sizeof(profile->access_sha256));
    set_rule(profile, event);
    snprintf(profile->origin, sizeof(profile->origin), "%s",
             event->origin != NULL ? event->origin : "");
    profile_plan(step, profile);
    refresh_recover(step, profile, event->stored);
    stored_deinit(event->stored);
    profile_state_init(step, profile);
}

static void on_ready(struct token_step *step, const struct token_event *event)
{
    step->ready = true;
    step->copied = (event->notes & STORE_COPIED) != 0;
    settle_all(step);
    import_next(step);
}

static void on_rule(struct token_step *step, const struct token_event *event)
{
    struct profile *profile;

    assert(event->profile < step->profile_count);
    profile = step->profiles[event->profile];
    set_rule(profile, event);
    if (profile->fault == FAULT_CONFIG)
        profile_fault(step, profile, FAULT_NONE, "");
    step_settle(step, profile);
}

bool token_step_quiet(const struct token_step *step)
{
    if (step->import_saving || step->adopting)
        return false;
    for (uint32_t i = 0; i < step->profile_count; i++) {
        const struct profile *profile = step->profiles[i];

        if (profile->unsaved ? !profile->answer_sealed : profile->phase != PHASE_NONE)
            return false;
    }
    return true;
}

static void on_drain(struct token_step *step, const struct token_event *event)
{
    uint64_t *drains = reallocarray(step->drains, step->drain_count + 1, sizeof(*drains));

    if (drains == NULL) {
        step_refuse(step, event->waiter, "busy", "out of memory", "try again");
        return;
    }
    step->drains = drains;
    drains[step->drain_count++] = event->waiter;
    step->draining = true;
    settle_all(step);
}

static void answer_drains(struct token_step *step)
{
    if (step->drain_count == 0 || !token_step_quiet(step))
        return;
    for (size_t i = 0; i < step->drain_count; i++)
        step_act(step, (struct token_action){.kind = ACTION_DONE, .waiter = step->drains[i]});
    step->drain_count = 0;
}

/* ---- dispatch ------------------------------------------------------------------------------- */

static void dispatch(struct token_step *step, const struct token_event *event)
{
    switch (event->kind) {
    case EVENT_LOADED:
        on_loaded(step, event);
        break;
    case EVENT_READY:
        on_ready(step, event);
        break;
    case EVENT_RULE:
        on_rule(step, event);
        break;
    case EVENT_GET:
    case EVENT_REJECTED:
    case EVENT_QUOTA:
    case EVENT_WATCH:
        waiters_event(step, event);
        break;
    case EVENT_CANCELLED:
        waiters_cancel(step, event->waiter);
        break;
    case EVENT_IMPORT:
    case EVENT_IMPORT_SAVED:
        import_event(step, event);
        break;
    case EVENT_ADOPT:
        import_adopt(step, event);
        break;
    case EVENT_ADOPTED:
        import_adopted(step, event);
        break;
    case EVENT_DRAIN:
        on_drain(step, event);
        break;
    case EVENT_TIMER:
        assert(event->profile < step->profile_count);
        step->profiles[event->profile]->timer_ns = 0;
        step_settle(step, step->profiles[event->profile]);
        break;
    default:
        on_refresh_event(step, event);
        break;
    }
}

void token_step_run(struct token_step *step, const struct token_event *event)
{
    step->event = event;
    step->random_state ^= event->random;
    dispatch(step, event);
    answer_drains(step);
    step->event = NULL;
}

struct tunable_default {
    size_t offset;
    uint64_t value;
};

static const struct tunable_default defaults[] = {
#define DEFAULT(name, value) {offsetof(struct token_tunables, name), value}
    DEFAULT(connect_timeout_ms, 10000),   DEFAULT(exchange_timeout_ms, 60000),
    DEFAULT(drain_ms, 60000),             DEFAULT(backoff_ms, 500),
    DEFAULT(backoff_max_ms, 30000),       DEFAULT(patience_ms, 5000),
    DEFAULT(save_retry_ms, 500),          DEFAULT(save_retry_max_ms, 30000),
    DEFAULT(refused_ms, 30000),           DEFAULT(refused_max_ms, 900000),
    DEFAULT(rejected_window_ms, 600000),  DEFAULT(cooling_ms, 60000),
    DEFAULT(force_interval_ms, 5000),     DEFAULT(keep_alive_max_ms, 7 * 86400000ull),
    DEFAULT(linger_ms, 60000),
#undef DEFAULT
};

void token_step_init(struct token_step *step, const struct token_tunables *tunables,
                     void (*act)(void *arg, const struct token_action *action), void *arg)
{
    *step = (struct token_step){.tunables = *tunables, .act = act, .arg = arg};
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        uint64_t *field = (uint64_t *)(void *)((char *)&step->tunables + defaults[i].offset);

        if (*field == 0)
            *field = defaults[i].value;
    }
}

void token_step_deinit(struct token_step *step)
{
    for (uint32_t i = 0; i < step->profile_count; i++)
        free_profile(step->profiles[i]);
    for (size_t i = 0; i < step->import_count; i++)
        token_import_job_free(step->imports[i]);
    credential_deinit(&step->import_result);
    free(step->drains);
    *step = (struct token_step){0};
}
