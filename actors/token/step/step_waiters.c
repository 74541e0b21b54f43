/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, who waits, who is answered.
 *
 * N waiters, one refresh: a request that the token at hand does not satisfy becomes a waiter, and
 * any waiter makes a refresh due. When n+1 is published it satisfies all of them, also those who
 * wanted a longer life than a fresh token has: they get the fresh one, not another refresh.
 * A waiter is kept while the next try is near (patience_ms) and refused with its time when it is
 * far, so that a caller can turn to another account. */
#include "step_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum verdict { VERDICT_WAIT, VERDICT_GRANT, VERDICT_REFUSE };

struct judgement {
    enum verdict verdict;
    const char *code, *why;
    uint64_t until_ns; /* 0: no end known */
};

static struct judgement refuse(const char *code, const char *why, uint64_t until_ns)
{
    return (struct judgement){VERDICT_REFUSE, code, why, until_ns};
}

bool waiters_demand(const struct profile *profile)
{
    for (size_t i = 0; i < profile->waiter_count; i++)
        if (profile->waiters[i].kind == WAITER_GET)
            return true;
    return false;
}

/* More than three quarters of a token's life cannot be asked for: at the end of such a token's
 * first quarter everybody would want another one. */
static uint64_t wanted_ms(const struct profile *profile, uint64_t min_valid_ms)
{
    uint64_t most = profile->life_ns / MS_NS / 4 * 3; /* 0: without an end, any wish is met */

    return min_valid_ms > most ? most : min_valid_ms;
}

static const char *obstacle_text(const struct profile *profile, const char *code)
{
    if (strcmp(code, "needs_login") == 0)
        return "the provider ended this login";
    if (strcmp(code, "access_only") == 0)
        return "it was imported without its refresh token, and the access token has ended";
    if (strcmp(code, "token_refused") == 0)
        return "the model side refuses this key";
    if (strcmp(code, "stopping") == 0)
        return STOPPING_WHY;
    return profile->unsaved ? "the last refresh is not on disk yet" : profile->fault_text;
}

static struct judgement judge_refresh(const struct token_step *step, const struct profile *profile,
                                      const struct waiter *waiter, bool good)
{
    uint64_t now = step_now(step), allowed;
    const char *code;

    if ((profile->phase != PHASE_NONE && !profile->unsaved) || profile->importing)
        return (struct judgement){.verdict = VERDICT_WAIT};
    code = policy_obstacle(step, profile);
    if (code != NULL)
        return good && !waiter->newer ? (struct judgement){.verdict = VERDICT_GRANT}
                                      : refuse(code, obstacle_text(profile, code), 0);
    allowed = policy_allowed_at(step, profile);
    if (allowed <= step_after(step, step->tunables.patience_ms))
        return (struct judgement){.verdict = VERDICT_WAIT};
    /* Before its earliest time a refresh would cost the login, so what is good is good enough. */
    if (good && (!waiter->newer || profile->earliest_ns > now))
        return (struct judgement){.verdict = VERDICT_GRANT};
    return refuse("unavailable",
                  profile->fault_text[0] != '\0' ? profile->fault_text
                                                 : "the provider allows no refresh yet",
                  allowed);
}

static struct judgement judge_get(const struct token_step *step, const struct profile *profile,
                                  const struct waiter *waiter)
{
    uint64_t now = step_now(step);
    const struct cooling *cooling = profile_cooling(profile, now);
    bool good = profile_usable(profile, now);

    if (cooling != NULL)
        return refuse("cooling", "the account's quota is used up", cooling->until_ns);
    if (profile->refused_until_ns > now)
        return refuse("token_refused", "the model side refuses fresh tokens of this account",
                      profile->refused_until_ns);
    if (good && (profile->credential.generation > waiter->generation ||
                 (!waiter->newer && profile_left_ms(profile, now) >=
                                        wanted_ms(profile, waiter->min_valid_ms))))
        return (struct judgement){.verdict = VERDICT_GRANT};
    return judge_refresh(step, profile, waiter, good);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void grant(struct token_step *step, struct profile *profile, const struct waiter *waiter)
{
    bool usable = profile_usable(profile, step_now(step));

    if (waiter->kind == WAITER_GET) {
        profile->used = true;
        profile->grants++;
    }
    step_act(step, (struct token_action){.kind = ACTION_GRANT, .profile = profile,
                                         .waiter = waiter->id,
                                         .generation = profile->credential.generation});
    if (usable)
        step_audit(step, "grant profile=%s generation=%llu to=%s%s", profile->credential.profile,
                   (unsigned long long)profile->credential.generation, waiter->who,
                   waiter->kind == WAITER_WATCH ? " how=push" : "");
}

static void refuse_waiter(struct token_step *step, const struct profile *profile,
                          const struct waiter *waiter, const struct judgement *judgement)
{
    bool stopping = strcmp(judgement->code, "stopping") == 0;
    char why[PROFILE_ID_MAX + STEP_TEXT_MAX + 8];
    uint64_t now = step_now(step), left_ms = 0;

    if (judgement->until_ns > now)
        left_ms = (judgement->until_ns - now) / MS_NS + 1;
    snprintf(why, sizeof(why), "%s: %s", profile->credential.profile, judgement->why);
    step_act(step, (struct token_action){
                       .kind = ACTION_REFUSE, .profile = profile, .waiter = waiter->id,
                       .code = judgement->code, .text = why,
                       .detail = stopping ? STOPPING_REMEDY : profile_remedy(profile),
                       .retry_after_ms = left_ms,
                       .until_ms = left_ms != 0 ? step->event->wall_ms + (int64_t)left_ms : 0});
    step_audit(step, "refuse profile=%s code=%s to=%s", profile->credential.profile,
               judgement->code, waiter->who);
}

static bool answer(struct token_step *step, struct profile *profile, struct waiter *waiter)
{
    struct judgement judgement;

    if (waiter->kind == WAITER_WATCH) {
        if (waiter->version == profile->version)
            return false;
        grant(step, profile, waiter);
        return true;
    }
    judgement = judge_get(step, profile, waiter);
    if (judgement.verdict == VERDICT_GRANT)
        grant(step, profile, waiter);
    else if (judgement.verdict == VERDICT_REFUSE)
        refuse_waiter(step, profile, waiter, &judgement);
    else if (!waiter->counted) {
        waiter->counted = true;
        profile->waited_now++;
    }
    return judgement.verdict != VERDICT_WAIT;
}

void waiters_settle(struct token_step *step, struct profile *profile)
{
    size_t kept = 0;

    for (size_t i = 0; i < profile->waiter_count; i++) {
        struct waiter *waiter = &profile->waiters[i];

        if (answer(step, profile, waiter))
            step->waiter_count--;
        else
            profile->waiters[kept++] = *waiter;
    }
    profile->waiter_count = kept;
}

void waiters_cancel(struct token_step *step, uint64_t id)
{
    for (uint32_t p = 0; p < step->profile_count; p++) {
        struct profile *profile = step->profiles[p];

        for (size_t i = 0; i < profile->waiter_count; i++) {
            if (profile->waiters[i].id != id)
                continue;
            memmove(&profile->waiters[i], &profile->waiters[i + 1],
                    (--profile->waiter_count - i) * sizeof(*profile->waiters));
            step->waiter_count--;
            step_settle(step, profile);
            return;
        }
    }
}

static struct waiter *add(struct token_step *step, struct profile *profile,
                          const struct token_event *event, enum waiter_kind kind)
{
    struct waiter *waiter;

    if (profile->waiter_count == profile->waiter_capacity) {
        size_t capacity = profile->waiter_capacity != 0 ? profile->waiter_capacity * 2 : 8;

        waiter = reallocarray(profile->waiters, capacity, sizeof(*waiter));
        if (waiter == NULL)
            return NULL;
        profile->waiters = waiter;
        profile->waiter_capacity = capacity;
    }
    waiter = &profile->waiters[profile->waiter_count++];
    step->waiter_count++;
    *waiter = (struct waiter){.id = event->waiter, .kind = kind,
                              .generation = profile->credential.generation};
    snprintf(waiter->who, sizeof(waiter->who), "%s", event->who);
    return waiter;
}

/* ---- a 401 at the model side ---------------------------------------------------------------- */

/* The token at hand met a 401. Refreshed once; a fresh one that is rejected as well before a while
 * has passed means that the model side refuses the account, and more refreshes would not help. One
 * that has ended meanwhile, on the way there or in a queue, or is within the margin of its end,
 * says nothing of the account. */
static void reject_current(struct token_step *step, struct profile *profile)
{
    uint64_t now = step_now(step), since = profile->rejected_at_ns;
    bool can_refresh = profile->credential.refresh != NULL;

    if (!profile_usable(profile, now) || profile->refused_until_ns > now)
        return; /* nothing new: the asker waits, or is told */
    if (profile->refused_until_ns > since)
        since = profile->refused_until_ns;
    if (now - since > step->tunables.rejected_window_ms * MS_NS)
        profile->rejections = 0;
    profile->rejections++;
    profile->rejected_at_ns = now;
    step_audit(step, "rejected profile=%s generation=%llu in_a_row=%u", profile->credential.profile,
               (unsigned long long)profile->credential.generation, profile->rejections);
    if (strcmp(profile->credential.mode, "access_only") == 0 ||
        (can_refresh && profile->rejections == 1)) {
        profile->access_rejected = true;
        return;
    }
    profile->refused_until_ns = step_after(
        step, step_backoff(step, step->tunables.refused_ms, step->tunables.refused_max_ms,
                           profile->rejections - (can_refresh ? 1 : 0)));
    step_alarm(step, "%s: the model side refuses fresh tokens of this account",
               profile->credential.profile);
}

/* ---- quota ---------------------------------------------------------------------------------- */

static void cool(struct token_step *step, struct profile *profile, const char *model,
                 uint64_t until_ns)
{
    struct cooling *slot = NULL;

    for (size_t i = 0; i < profile->cooling_count && slot == NULL; i++)
        if (strcmp(profile->coolings[i].model, model) == 0 ||
            profile->coolings[i].until_ns <= step_now(step))
            slot = &profile->coolings[i];
    if (slot == NULL && profile->cooling_count < STEP_COOLINGS_MAX)
        slot = &profile->coolings[profile->cooling_count++];
    if (slot == NULL) { /* no room: the one that ends first makes it */
        slot = &profile->coolings[0];
        for (size_t i = 1; i < profile->cooling_count; i++)
            if (profile->coolings[i].until_ns < slot->until_ns)
                slot = &profile->coolings[i];
    }
    slot->until_ns = until_ns;
    snprintf(slot->model, sizeof(slot->model), "%s", model);
}

static bool same_account(const struct profile *a, const struct profile *b)
{
    return a == b || (a->credential.account[0] != '\0' &&
                      strcmp(a->credential.account, b->credential.account) == 0 &&
                      strcmp(a->credential.provider, b->credential.provider) == 0);
}

static void on_quota(struct token_step *step, struct profile *profile,
                     const struct token_event *event)
{
    int64_t left_ms = (int64_t)step->tunables.cooling_ms, most_ms = 31ll * 86400000;
    uint64_t until_ns;

    if (event->until_ms > event->wall_ms) /* 0 is no time */
        left_ms = event->until_ms - event->wall_ms;
    until_ns = step_after(step, (uint64_t)(left_ms > most_ms ? most_ms : left_ms));
    step_audit(step, "quota profile=%s model=%s seconds=%lld reason=%s from=%s",
               profile->credential.profile, event->model, (long long)(left_ms / 1000), event->text,
               event->who);
    for (uint32_t i = 0; i < step->profile_count; i++)
        if (same_account(step->profiles[i], profile))
            cool(step, step->profiles[i], event->model, until_ns);
    step_act(step, (struct token_action){.kind = ACTION_DONE, .waiter = event->waiter});
    for (uint32_t i = 0; i < step->profile_count; i++)
        if (same_account(step->profiles[i], profile))
            step_settle(step, step->profiles[i]);
}

/* ---- events --------------------------------------------------------------------------------- */

static void on_get(struct token_step *step, struct profile *profile, struct waiter *waiter)
{
    const struct token_event *event = step->event;

    waiter->min_valid_ms = event->min_valid_ms;
    /* A herd of forced requests is one: who comes just after the refresh gets that one. */
    waiter->newer =
        event->force && (profile->refreshes == 0 ||
                         event->now_ns - profile->refreshed_ns >=
                             step->tunables.force_interval_ms * MS_NS);
}

static void on_watch(struct token_step *step, struct profile *profile, struct waiter *waiter)
{
    const struct token_event *event = step->event;

    waiter->version = event->version;
    if (event->generation_seen <= profile->generation_seen)
        return;
    profile->generation_seen = event->generation_seen;
    profile->adopted = false;
    if (profile->generation_seen > profile->credential.generation)
        step_alarm(step, "%s: %s has seen generation %llu, the store has %llu",
                   profile->credential.profile, event->who,
                   (unsigned long long)event->generation_seen,
                   (unsigned long long)profile->credential.generation);
}

void waiters_event(struct token_step *step, const struct token_event *event)
{
    struct profile *profile = token_step_find(step, event->name);
    struct waiter *waiter;

    if (profile == NULL) {
        step_refuse(step, event->waiter, "unknown_profile", event->name,
                    "run `queenright auth list`");
        return;
    }
    if (event->kind == EVENT_QUOTA) {
        on_quota(step, profile, event);
        return;
    }
    if (step->waiter_count >= STEP_WAITERS_MAX ||
        (waiter = add(step, profile, event,
                      event->kind == EVENT_WATCH ? WAITER_WATCH : WAITER_GET)) == NULL) {
        step_refuse(step, event->waiter, "busy", "too many requests wait for tokens", "");
        return;
    }
    if (event->kind == EVENT_GET)
        on_get(step, profile, waiter);
    else if (event->kind == EVENT_WATCH)
        on_watch(step, profile, waiter);
    else if (memcmp(event->sha256, profile->access_sha256, SECRET_SHA256_SIZE) == 0)
        reject_current(step, profile);
    step_settle(step, profile);
}
