/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the step share. See token/step.h for what it is. */
#pragma once

#include "token/step.h"

/* A keeper that drains finishes what has begun, serves what is valid, and begins nothing: who needs
 * more is sent to the next keeper. */
#define STOPPING_WHY "the keeper is stopping"
#define STOPPING_REMEDY "ask again: who asks starts the next keeper"

/* ---- step_state.c: states, edges, what is visible ------------------------------------------- */

/* The state a profile starts in: no move led there. */
void profile_state_init(struct token_step *step, struct profile *profile);
/* The state that the facts call for; moves there, along an allowed edge, and traces it. */
void profile_restate(struct token_step *step, struct profile *profile);
/* Raises the version when something changed that a watcher should know. */
void profile_publish(struct token_step *step, struct profile *profile);
void profile_fault(struct token_step *step, struct profile *profile, enum fault fault,
                   const char *text);

/* ---- step_policy.c: when, and whether ------------------------------------------------------- */

uint64_t step_now(const struct token_step *step);
uint64_t step_random(struct token_step *step);
/* now + ms, without overflow. */
uint64_t step_after(const struct token_step *step, uint64_t ms);
/* base * 2^(failures-1), at most max, half of it by chance. */
uint64_t step_backoff(struct token_step *step, uint64_t base_ms, uint64_t max_ms,
                      unsigned failures);
/* Puts the credential's wall times onto the boot clock and plans its refresh. */
void profile_plan(struct token_step *step, struct profile *profile);
uint64_t profile_left_ms(const struct profile *profile, uint64_t now_ns); /* UINT64_MAX: no end */
bool profile_in_use(const struct profile *profile);
/* A refresh is called for at this time (UINT64_MAX: not at all), were nothing in its way. */
uint64_t policy_due(const struct profile *profile, uint64_t now_ns);
/* What stands in the way of a refresh for good: a refusal code; NULL: nothing. */
const char *policy_obstacle(const struct token_step *step, const struct profile *profile);
/* Somebody has seen a later generation than the store has, and nobody has said to go on. */
bool policy_restored(const struct profile *profile);
/* The earliest time a refresh may start, nothing standing in its way for good. */
uint64_t policy_allowed_at(const struct token_step *step, const struct profile *profile);
/* An attempt made now begins a grace window of its own. */
bool policy_new_window(const struct token_step *step, const struct profile *profile);
/* After an unknown outcome: when the provider's rule allows to send n again. */
uint64_t policy_resend_at(const struct token_step *step, const struct profile *profile);
/* At the start: when a request found in an intent had ended for certain. */
uint64_t policy_recovered_end(const struct token_step *step, const struct profile *profile);
/* At the gate, the last moment: may n be spent now? */
bool policy_may_open(const struct token_step *step, const struct profile *profile);

/* ---- step_refresh.c ------------------------------------------------------------------------- */

/* Begins one if it is wanted, allowed and nobody of its origin is at it. */
void refresh_start_if_due(struct token_step *step, struct profile *profile);
void refresh_retry_local(struct token_step *step, struct profile *profile);
void refresh_event(struct token_step *step, struct profile *profile,
                   const struct token_event *event);
/* What was found at the start: an intent, perhaps an answer. */
void refresh_recover(struct token_step *step, struct profile *profile, struct stored *stored);
/* Puts a credential (taken) in place of the one at hand: all that was known of the old is void. */
void refresh_replace(struct token_step *step, struct profile *profile,
                     struct credential *credential, const uint8_t *sha256);

/* ---- step_waiters.c ------------------------------------------------------------------------- */

void waiters_event(struct token_step *step, const struct token_event *event);
/* Answers everyone who can be answered now. */
void waiters_settle(struct token_step *step, struct profile *profile);
bool waiters_demand(const struct profile *profile); /* somebody waits for a newer token */
void waiters_cancel(struct token_step *step, uint64_t waiter);

/* ---- step_import.c -------------------------------------------------------------------------- */

void import_event(struct token_step *step, const struct token_event *event);
void import_next(struct token_step *step); /* starts the first in the queue, if it can */
void import_adopt(struct token_step *step, const struct token_event *event);
void import_adopted(struct token_step *step, const struct token_event *event);

/* ---- step.c --------------------------------------------------------------------------------- */

/* Makes the profile and its surroundings follow from the facts. */
void step_settle(struct token_step *step, struct profile *profile);
struct profile *step_add_profile(struct token_step *step);
void step_act(struct token_step *step, struct token_action action);
void step_refuse(struct token_step *step, uint64_t waiter, const char *code, const char *why,
                 const char *remedy);
/* One line of audit, or of alarm and audit. */
__attribute__((format(printf, 2, 3))) void step_audit(struct token_step *step, const char *format,
                                                      ...);
__attribute__((format(printf, 2, 3))) void step_alarm(struct token_step *step, const char *format,
                                                      ...);
