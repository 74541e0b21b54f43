/* SPDX-License-Identifier: Apache-2.0 */
/* One refresh, from the reservation to the published token (DESIGN §7.2):
 *
 *   RESERVE -> CONNECT -> (gate) INTENT -> SENT -> ANSWER -> PARSE -> RECORD -> done
 *                 |            |            |                  |
 *                 +- not sent -+            +---- unknown -----+-> LOOK (terminal code)
 *
 * Up to SENT nothing was spent, and every way out releases what was reserved. From SENT on the
 * refresh is never cancelled: only the exchange's own end moves it. maybe_spent is set when the
 * gate opens and cleared by a definite answer alone; each attempt remembers what it was before, so
 * that "this attempt was not spent" never clears the doubt about an earlier one. */
#include "step_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void act(struct token_step *step, struct profile *profile, enum token_action_kind kind)
{
    step_act(step, (struct token_action){.kind = kind, .profile = profile,
                                         .ticket = profile->ticket, .attempt = profile->attempt,
                                         .credential = profile->has_next ? &profile->next
                                                                         : &profile->credential});
}

static void forget_answer(struct profile *profile)
{
    secret_free(profile->answer.body);
    profile->answer = (struct answer){0};
    profile->answer_sealed = profile->stalled = false;
}

/* ---- ways out ------------------------------------------------------------------------------- */

/* The attempt in flight spent nothing. */
static void end_not_sent(struct token_step *step, struct profile *profile, enum fault fault,
                         const char *text)
{
    uint64_t delay_ms;

    profile->maybe_spent = profile->maybe_spent_before;
    profile->intent = profile->intent_before;
    act(step, profile, ACTION_RELEASE);
    forget_answer(profile);
    profile->phase = PHASE_NONE;
    profile->failures++;
    delay_ms = step_backoff(step, step->tunables.backoff_ms, step->tunables.backoff_max_ms,
                            profile->failures);
    if (profile->retry_after_ms > delay_ms)
        delay_ms = profile->retry_after_ms;
    profile->retry_after_ms = 0;
    profile->retry_at_ns = step_after(step, delay_ms);
    profile_fault(step, profile, fault, text);
    step_audit(step, "refresh profile=%s generation=%llu attempt=%u outcome=not_sent why=\"%s\"",
               profile->credential.profile, (unsigned long long)profile->credential.generation,
               profile->attempt, text);
}

/* It was sent, and nobody can say what came of it. */
static void end_unknown(struct token_step *step, struct profile *profile, const char *text)
{
    char why[160];

    snprintf(why, sizeof(why), "%.150s", text); /* text may lie in what is forgotten */
    profile->ended_ns = step_now(step);
    forget_answer(profile);
    profile->phase = PHASE_NONE;
    profile->failures++;
    profile->retry_after_ms = 0;
    profile->retry_at_ns =
        step_after(step, step_backoff(step, step->tunables.backoff_ms,
                                      10 * step->tunables.backoff_max_ms, profile->failures));
    profile_fault(step, profile, FAULT_UNKNOWN, why);
    step_audit(step, "refresh profile=%s generation=%llu attempt=%u outcome=unknown why=\"%s\"",
               profile->credential.profile, (unsigned long long)profile->credential.generation,
               profile->attempt, why);
}

/* ---- n+1 ------------------------------------------------------------------------------------ */

void refresh_replace(struct token_step *step, struct profile *profile,
                     struct credential *credential, const uint8_t *sha256)
{
    assert(credential->generation >= profile->credential.generation);
    credential_deinit(&profile->credential);
    profile->credential = *credential;
    credential_init(credential);
    memcpy(profile->access_sha256, sha256, sizeof(profile->access_sha256));
    profile->maybe_spent = profile->maybe_spent_before = false;
    profile->intent = (struct intent){0};
    profile->access_rejected = profile->used = profile->unsaved = profile->adopted = false;
    profile->terminal[0] = '\0';
    profile->refused_until_ns = profile->retry_at_ns = 0;
    profile->failures = 0;
    profile->fault = FAULT_NONE;
    profile->fault_text[0] = '\0';
    profile_plan(step, profile);
}

/* n+1 becomes the one at hand, saved or not. */
static void take_next(struct token_step *step, struct profile *profile)
{
    refresh_replace(step, profile, &profile->next, profile->next_sha256);
    profile->has_next = false;
    profile->refreshes++;
    profile->refreshed_at_ms = step->event->wall_ms;
    profile->refreshed_ns = step_now(step);
    profile->waited = profile->waited_now;
    profile->waited_now = 0;
}

static void on_record_saved(struct token_step *step, struct profile *profile, int error)
{
    if (profile->has_next)
        take_next(step, profile);
    profile->phase = PHASE_NONE;
    if (error == 0) {
        step_audit(step, "save profile=%s generation=%llu", profile->credential.profile,
                   (unsigned long long)profile->credential.generation);
        profile->unsaved = false;
        profile->failures = 0;
        profile->retry_at_ns = 0;
        profile_fault(step, profile, FAULT_NONE, "");
        forget_answer(profile);
        return;
    }
    profile->unsaved = true;
    profile->failures++;
    profile->retry_at_ns =
        step_after(step, step_backoff(step, step->tunables.save_retry_ms,
                                      step->tunables.save_retry_max_ms, profile->failures));
    profile_fault(step, profile, FAULT_STORE, strerrordesc_np(-error));
}

/* ---- the answer ----------------------------------------------------------------------------- */

/* Of a family that is never forgotten, the middle of its digests may be: copies in the wild stem
 * from its first days, before it was ours alone. */
static void bound_digests(struct credential *credential)
{
    size_t over;

    if (credential->digest_count <= STEP_DIGESTS_MAX)
        return;
    over = credential->digest_count - STEP_DIGESTS_MAX;
    memmove(credential->digests + STEP_DIGESTS_OLDEST,
            credential->digests + STEP_DIGESTS_OLDEST + over,
            (credential->digest_count - STEP_DIGESTS_OLDEST - over) * sizeof(*credential->digests));
    credential->digest_count -= over;
}

static void on_rotated(struct token_step *step, struct profile *profile,
                       const struct token_event *event)
{
    assert(event->credential != NULL && event->sha256 != NULL);
    profile->next = *event->credential;
    credential_init(event->credential);
    profile->next.generation = profile->credential.generation + 1;
    if (profile->adopted) /* which a still later one that is seen would have ended */
        profile->next.generation = profile->generation_seen + 1;
    bound_digests(&profile->next);
    memcpy(profile->next_sha256, event->sha256, sizeof(profile->next_sha256));
    profile->has_next = true;
    profile->phase = PHASE_RECORD;
    act(step, profile, ACTION_WRITE_RECORD);
}

static void on_parsed(struct token_step *step, struct profile *profile,
                      const struct token_event *event)
{
    if (event->error != 0) { /* no memory: the answer is still there, and so are we */
        profile->stalled = true;
        profile->retry_at_ns = step_after(step, step->tunables.save_retry_ms);
        return;
    }
    switch (event->outcome) {
    case OUTCOME_ROTATED:
    case OUTCOME_KEPT:
        on_rotated(step, profile, event);
        return;
    case OUTCOME_NOT_SPENT:
        end_not_sent(step, profile, FAULT_NETWORK, event->text);
        return;
    case OUTCOME_CONFIG:
        end_not_sent(step, profile, FAULT_CONFIG, event->text);
        return;
    case OUTCOME_TERMINAL:
        snprintf(profile->terminal, sizeof(profile->terminal), "%.60s", event->text);
        profile->phase = PHASE_LOOK;
        act(step, profile, ACTION_LOOK);
        return;
    case OUTCOME_UNKNOWN:
    default:
        end_unknown(step, profile, event->text);
        return;
    }
}

/* The provider says that n is dead. If the store has moved on, somebody else had the right to. */
static void on_looked(struct token_step *step, struct profile *profile,
                      const struct token_event *event)
{
    forget_answer(profile);
    profile->phase = PHASE_NONE;
    if (event->error == 0 && event->found &&
        event->credential->generation > profile->credential.generation) {
        refresh_replace(step, profile, event->credential, event->sha256);
        step_audit(step, "adopt profile=%s generation=%llu why=\"the store has moved on\"",
                   profile->credential.profile,
                   (unsigned long long)profile->credential.generation);
        return;
    }
    snprintf(profile->credential.needs_login, sizeof(profile->credential.needs_login), "%s",
             profile->terminal[0] != '\0' ? profile->terminal : "terminal");
    profile->maybe_spent = profile->maybe_spent_before = false;
    profile->fault = FAULT_NONE;
    /* Should this save fail, the sealed answer leads the next start to the same end. */
    act(step, profile, ACTION_WRITE_MARK);
    step_alarm(step, "%s: the provider ended this login (%s); log in again",
               profile->credential.profile, profile->credential.needs_login);
}

static void on_exchanged(struct token_step *step, struct profile *profile,
                         const struct token_event *event)
{
    if (event->end == EXCHANGE_NOT_SENT) {
        secret_free(event->body);
        if (profile->phase == PHASE_INTENT) { /* its file must settle before it can be released */
            profile->ended_early = true;
            snprintf(profile->ended_text, sizeof(profile->ended_text), "%s", event->text);
            return;
        }
        end_not_sent(step, profile, profile->phase == PHASE_ABORT ? profile->fault : FAULT_NETWORK,
                     event->text);
        return;
    }
    assert(profile->phase == PHASE_SENT);
    profile->retry_after_ms = event->retry_after_ms;
    profile->answer = (struct answer){.generation = profile->credential.generation,
                                      .attempt = profile->attempt,
                                      .complete = event->end == EXCHANGE_ANSWERED,
                                      .http_status = event->http_status,
                                      .body = event->body};
    if (event->end == EXCHANGE_UNKNOWN && event->body == NULL) {
        end_unknown(step, profile, event->text);
        return;
    }
    profile->phase = PHASE_ANSWER;
    act(step, profile, ACTION_WRITE_ANSWER);
}

static void on_answer_saved(struct token_step *step, struct profile *profile, int error)
{
    profile->answer_sealed = error == 0;
    if (error != 0)
        profile_fault(step, profile, FAULT_STORE, strerrordesc_np(-error));
    if (!profile->answer.complete) {
        end_unknown(step, profile, "the answer was cut off");
        return;
    }
    profile->phase = PHASE_PARSE;
    act(step, profile, ACTION_PARSE);
}

/* ---- up to the gate ------------------------------------------------------------------------- */

static bool origin_busy(const struct token_step *step, const struct profile *profile)
{
    for (uint32_t i = 0; i < step->profile_count; i++) {
        const struct profile *other = step->profiles[i];

        if (other != profile && other->phase >= PHASE_RESERVE && other->phase <= PHASE_SENT &&
            strcmp(other->origin, profile->origin) == 0)
            return true;
    }
    return false;
}

static const char *cause_of(const struct profile *profile)
{
    if (profile->maybe_spent)
        return "resend";
    if (profile->access_rejected)
        return "rejected";
    return waiters_demand(profile) ? "demand" : "schedule";
}

void refresh_start_if_due(struct token_step *step, struct profile *profile)
{
    uint64_t now = step_now(step);

    if (profile->phase != PHASE_NONE || profile->importing ||
        policy_due(profile, now) > now || policy_obstacle(step, profile) != NULL ||
        policy_allowed_at(step, profile) > now || origin_busy(step, profile))
        return;
    profile->ticket = ++step->last_ticket;
    profile->attempt = profile->intent.attempt + 1;
    profile->maybe_spent_before = profile->maybe_spent;
    profile->intent_before = profile->intent;
    profile->ended_early = false;
    profile->retry_after_ms = 0;
    profile->cause = cause_of(profile);
    profile->phase = PHASE_RESERVE;
    act(step, profile, ACTION_RESERVE);
}

/* What did not work for a reason of this machine's is done again: the save of n+1, for ever; the
 * parsing of an answer. Nothing else happens to the profile meanwhile. */
void refresh_retry_local(struct token_step *step, struct profile *profile)
{
    if (profile->retry_at_ns > step_now(step))
        return;
    if (profile->phase == PHASE_PARSE && profile->stalled) {
        profile->stalled = false;
        act(step, profile, ACTION_PARSE);
    } else if (profile->phase == PHASE_NONE && profile->unsaved && !profile->importing) {
        profile->ticket = ++step->last_ticket;
        profile->phase = PHASE_RECORD;
        act(step, profile, ACTION_WRITE_RECORD);
    }
}

static void on_reserved(struct token_step *step, struct profile *profile, int error)
{
    if (error != 0) {
        end_not_sent(step, profile, FAULT_STORE, strerrordesc_np(-error));
        return;
    }
    if (!policy_may_open(step, profile)) {
        end_not_sent(step, profile, profile->fault, "not started: it may not be spent now");
        return;
    }
    profile->phase = PHASE_CONNECT;
    act(step, profile, ACTION_EXCHANGE);
}

static void gate(struct token_step *step, struct profile *profile, bool open)
{
    profile->phase = open ? PHASE_SENT : PHASE_ABORT;
    step_act(step, (struct token_action){.kind = ACTION_GATE, .profile = profile,
                                         .ticket = profile->ticket, .open = open});
}

static void on_gate(struct token_step *step, struct profile *profile,
                    const struct token_event *event)
{
    struct intent *intent = &profile->intent_new;

    if (!policy_may_open(step, profile)) {
        gate(step, profile, false);
        return;
    }
    *intent = (struct intent){.generation = profile->credential.generation,
                              .attempt = profile->attempt,
                              .wall_ms = event->wall_ms,
                              .boot_ns = event->now_ns};
    memcpy(intent->nonce, event->nonce, sizeof(intent->nonce));
    memcpy(intent->boot_id, event->boot_id, sizeof(intent->boot_id));
    if (profile->maybe_spent && !policy_new_window(step, profile)) {
        intent->first_wall_ms = profile->intent.first_wall_ms;
        intent->first_boot_ns = profile->intent.first_boot_ns;
        memcpy(intent->first_boot_id, profile->intent.first_boot_id, 16);
    } else {
        intent->first_wall_ms = intent->wall_ms;
        intent->first_boot_ns = intent->boot_ns;
        memcpy(intent->first_boot_id, intent->boot_id, 16);
    }
    profile->phase = PHASE_INTENT;
    act(step, profile, ACTION_WRITE_INTENT);
}

static void on_intent_saved(struct token_step *step, struct profile *profile, int error)
{
    if (profile->ended_early) {
        profile->phase = PHASE_ABORT;
        end_not_sent(step, profile, FAULT_NETWORK, profile->ended_text);
        return;
    }
    if (error != 0)
        profile_fault(step, profile, FAULT_STORE, strerrordesc_np(-error));
    if (error != 0 || !policy_may_open(step, profile)) {
        gate(step, profile, false);
        return;
    }
    profile->intent = profile->intent_new;
    profile->maybe_spent = true;
    step_audit(step, "%s profile=%s generation=%llu attempt=%u why=%s origin=%s",
               profile->maybe_spent_before ? "probe" : "spend", profile->credential.profile,
               (unsigned long long)profile->credential.generation, profile->attempt,
               profile->cause, profile->origin);
    gate(step, profile, true);
}

/* ---- dispatch and recovery ------------------------------------------------------------------ */

/* Which phases an event belongs to. */
static const struct {
    enum refresh_phase first, last;
} fits[] = {
    [EVENT_RESERVED] = {PHASE_RESERVE, PHASE_RESERVE},
    [EVENT_GATE] = {PHASE_CONNECT, PHASE_CONNECT},
    [EVENT_INTENT_SAVED] = {PHASE_INTENT, PHASE_INTENT},
    [EVENT_EXCHANGED] = {PHASE_CONNECT, PHASE_SENT},
    [EVENT_ANSWER_SAVED] = {PHASE_ANSWER, PHASE_ANSWER},
    [EVENT_PARSED] = {PHASE_PARSE, PHASE_PARSE},
    [EVENT_LOOKED] = {PHASE_LOOK, PHASE_LOOK},
    [EVENT_RECORD_SAVED] = {PHASE_RECORD, PHASE_RECORD},
};

void refresh_event(struct token_step *step, struct profile *profile,
                   const struct token_event *event)
{
    assert(event->ticket == profile->ticket && profile->phase >= fits[event->kind].first &&
           profile->phase <= fits[event->kind].last);
    switch (event->kind) {
    case EVENT_RESERVED:
        on_reserved(step, profile, event->error);
        break;
    case EVENT_GATE:
        on_gate(step, profile, event);
        break;
    case EVENT_INTENT_SAVED:
        on_intent_saved(step, profile, event->error);
        break;
    case EVENT_EXCHANGED:
        on_exchanged(step, profile, event);
        break;
    case EVENT_ANSWER_SAVED:
        on_answer_saved(step, profile, event->error);
        break;
    case EVENT_PARSED:
        on_parsed(step, profile, event);
        break;
    case EVENT_LOOKED:
        on_looked(step, profile, event);
        break;
    default:
        on_record_saved(step, profile, event->error);
        break;
    }
}

void refresh_recover(struct token_step *step, struct profile *profile, struct stored *stored)
{
    if (profile->credential.needs_login[0] != '\0' || !stored->has_intent ||
        stored->intent.generation != profile->credential.generation)
        return;
    profile->intent = stored->intent;
    profile->maybe_spent = true;
    /* What the answer says is true of its own attempt only. */
    profile->maybe_spent_before =
        stored->intent.attempt > 1 || stored->answer.attempt != stored->intent.attempt;
    if (profile->maybe_spent_before)
        profile->intent_before = stored->intent;
    /* The request ended with the process that sent it, at the latest now; or by its time limit. */
    profile->ended_ns = policy_recovered_end(step, profile);
    profile_fault(step, profile, FAULT_UNKNOWN, "found at the start");
    if (!stored->has_answer || !stored->answer.complete ||
        stored->answer.generation != profile->credential.generation)
        return;
    profile->answer = stored->answer;
    stored->answer.body = NULL;
    profile->attempt = profile->answer.attempt;
    profile->answer_sealed = true;
    profile->ticket = ++step->last_ticket;
    profile->phase = PHASE_PARSE;
    act(step, profile, ACTION_PARSE);
}
