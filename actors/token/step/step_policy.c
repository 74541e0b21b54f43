/* SPDX-License-Identifier: Apache-2.0 */
/* When a refresh is due, when it is allowed, and what stands in its way.
 *
 * Times are kept on the boot clock, which counts a laptop's sleep and never jumps; wall times are
 * put onto it once, when a credential arrives. A refresh is due early, at half of the access
 * token's life, so that every wait below costs agents nothing; but never before the time the
 * provider gave, for some spend the token and refuse.
 *
 * After an unknown outcome the provider's rule decides:
 *     none              n may be sent again at once, the backoff apart
 *     grace             so inside the window, which counts from the first attempt; else as strict.
 *                       An attempt made outside it begins a window of its own: the provider either
 *                       had not seen n before, and counts from now, or has ended the family
 *     two-phase         n is good until n+1 is used, but a first request that still lies with the
 *                       server then comes too late and ends the family: it is left time to drain
 *     strict            a resend may end the whole family and with it the access token, so that is
 *                       served to its end first; and the first request is left time to drain. Then
 *                       nothing is left to lose, and n is sent again until a definite answer. */
#include "step_internal.h"

#include <string.h>

#define USABLE_MARGIN_MS 30000u  /* a token this close to its end is handed to nobody */
#define LIFE_MAX_MS (3650ll * 86400000) /* what a provider can claim */
#define UNKNOWN_LIFE_DRAINS 60u  /* strict, unknown outcome, unknown end of the access token */

uint64_t step_now(const struct token_step *step)
{
    return step->event->now_ns;
}

uint64_t step_random(struct token_step *step)
{
    uint64_t z = (step->random_state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t step_after(const struct token_step *step, uint64_t ms)
{
    uint64_t now = step_now(step);

    return ms > (UINT64_MAX - 1 - now) / MS_NS ? UINT64_MAX - 1 : now + ms * MS_NS;
}

uint64_t step_backoff(struct token_step *step, uint64_t base_ms, uint64_t max_ms,
                      unsigned failures)
{
    uint64_t delay = base_ms;

    for (unsigned i = 1; i < failures && delay < max_ms; i++)
        delay *= 2;
    if (delay > max_ms)
        delay = max_ms;
    return delay - delay / 2 + step_random(step) % (delay / 2 + 1);
}

/* A wall time on the boot clock; at least 1, for 0 means none. */
static uint64_t boot_time(const struct token_step *step, int64_t wall_ms)
{
    int64_t delta = wall_ms - step->event->wall_ms;
    uint64_t now = step_now(step);

    if (delta >= 0)
        return step_after(step, (uint64_t)delta) + (now == 0);
    return (uint64_t)-delta * MS_NS >= now ? 1 : now - (uint64_t)-delta * MS_NS;
}

static uint64_t before(uint64_t at_ns, uint64_t ns)
{
    return at_ns > ns ? at_ns - ns : 1;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the plan of a credential --------------------------------------------------------------- */

static void plan_keep_alive(struct token_step *step, struct profile *profile)
{
    const struct credential *credential = &profile->credential;
    int64_t from = credential->obtained_at_ms != 0 ? credential->obtained_at_ms
                                                   : step->event->wall_ms;
    int64_t end = credential->refresh_expires_at_ms;

    profile->keep_alive_at_ns = 0;
    if (end == 0 && profile->rule != NULL)
        end = from + (int64_t)profile->rule->refresh_life_seconds * 1000;
    if (end <= from)
        return;
    profile->keep_alive_at_ns = boot_time(
        step, from + (int64_t)min_u64((uint64_t)(end - from) / 2,
                                      step->tunables.keep_alive_max_ms));
}

/* The provider may be behind our clock: a quarter of the way to the end is left, at most 1 min. */
static void plan_earliest(struct token_step *step, struct profile *profile)
{
    const struct credential *credential = &profile->credential;
    int64_t earliest = credential->earliest_refresh_at_ms;

    profile->earliest_ns = 0;
    if (earliest == 0)
        return;
    if (credential->expires_at_ms > earliest)
        earliest += (int64_t)min_u64((uint64_t)(credential->expires_at_ms - earliest) / 4, 60000);
    profile->earliest_ns = boot_time(step, earliest);
}

void profile_plan(struct token_step *step, struct profile *profile)
{
    struct credential *credential = &profile->credential;
    int64_t wall = step->event->wall_ms;
    int64_t life, left = credential->expires_at_ms - wall;

    profile->expires_ns = profile->life_ns = profile->refresh_at_ns = 0;
    plan_earliest(step, profile);
    plan_keep_alive(step, profile);
    if (credential->expires_at_ms == 0)
        return;
    if (left > LIFE_MAX_MS)
        left = LIFE_MAX_MS;
    life = left;
    if (credential->obtained_at_ms != 0 && credential->obtained_at_ms < credential->expires_at_ms)
        life = credential->expires_at_ms - credential->obtained_at_ms;
    if (life < 0)
        life = 0;
    if (life > LIFE_MAX_MS)
        life = LIFE_MAX_MS;
    profile->expires_ns = boot_time(step, wall + left);
    profile->life_ns = (uint64_t)life * MS_NS;
    profile->refresh_at_ns = before(profile->expires_ns, profile->life_ns / 2);
    profile->refresh_at_ns += step_random(step) % (profile->life_ns / 20 + 1);
    profile->refresh_at_ns = max_u64(profile->refresh_at_ns, profile->earliest_ns);
}

uint64_t profile_left_ms(const struct profile *profile, uint64_t now_ns)
{
    if (profile->expires_ns == 0)
        return UINT64_MAX;
    return profile->expires_ns > now_ns ? (profile->expires_ns - now_ns) / MS_NS : 0;
}

/* When the access token stops being handed out; 0: not by age. */
static uint64_t unusable_at(const struct profile *profile)
{
    if (profile->expires_ns == 0)
        return 0;
    return before(profile->expires_ns,
                  min_u64(USABLE_MARGIN_MS * MS_NS, profile->life_ns / 10));
}

bool profile_usable(const struct profile *profile, uint64_t now_ns)
{
    uint64_t end = unusable_at(profile);

    return profile->credential.access != NULL && !profile->access_rejected &&
           (end == 0 || end > now_ns);
}

bool profile_in_use(const struct profile *profile)
{
    if (profile->used)
        return true;
    return profile->waiter_count > 0;
}

const struct cooling *profile_cooling(const struct profile *profile, uint64_t now_ns)
{
    for (size_t i = 0; i < profile->cooling_count; i++)
        if (profile->coolings[i].model[0] == '\0' && profile->coolings[i].until_ns > now_ns)
            return &profile->coolings[i];
    return NULL;
}

/* ---- due, in the way, allowed --------------------------------------------------------------- */

uint64_t policy_due(const struct profile *profile, uint64_t now_ns)
{
    uint64_t due = UINT64_MAX;

    if (profile->maybe_spent || waiters_demand(profile))
        return now_ns;
    if (profile_in_use(profile)) {
        if (profile->access_rejected)
            return now_ns;
        if (profile->refresh_at_ns != 0)
            due = profile->refresh_at_ns;
    }
    if (profile->keep_alive_at_ns != 0)
        due = min_u64(due, profile->keep_alive_at_ns);
    return due;
}

bool policy_restored(const struct profile *profile)
{
    return profile->generation_seen > profile->credential.generation && !profile->adopted;
}

const char *policy_obstacle(const struct token_step *step, const struct profile *profile)
{
    const struct credential *credential = &profile->credential;

    if (credential->needs_login[0] != '\0')
        return "needs_login";
    if (strcmp(credential->mode, "access_only") == 0)
        return "access_only";
    if (credential->refresh == NULL)
        return "token_refused";
    if (step->copied || policy_restored(profile))
        return "copied_store";
    if (profile->rule == NULL || profile->fault == FAULT_CONFIG)
        return "not_configured";
    if (step->draining)
        return "stopping";
    return profile->unsaved ? "unavailable" : NULL;
}

uint64_t policy_allowed_at(const struct token_step *step, const struct profile *profile)
{
    uint64_t at = max_u64(profile->retry_at_ns, profile->earliest_ns);

    return profile->maybe_spent ? max_u64(at, policy_resend_at(step, profile)) : at;
}

/* ---- after an unknown outcome --------------------------------------------------------------- */

static bool same_boot(const struct token_step *step, const uint8_t *boot_id)
{
    static const uint8_t none[16];

    return memcmp(boot_id, none, 16) != 0 && memcmp(boot_id, step->event->boot_id, 16) == 0;
}

/* Inside the provider's grace window, for certain. The later of both clocks counts; a wall clock
 * that went back over a restart says nothing, and then we are not certain. */
static bool in_grace(const struct token_step *step, const struct profile *profile)
{
    const struct intent *intent = &profile->intent;
    uint64_t window_ms = (uint64_t)profile->rule->grace_seconds * 1000, elapsed_ms = 0;
    int64_t wall_ms = step->event->wall_ms - intent->first_wall_ms;

    if (same_boot(step, intent->first_boot_id) && step_now(step) >= intent->first_boot_ns)
        elapsed_ms = (step_now(step) - intent->first_boot_ns) / MS_NS;
    else if (wall_ms < 0)
        return false;
    if (wall_ms > 0)
        elapsed_ms = max_u64(elapsed_ms, (uint64_t)wall_ms);
    return elapsed_ms < window_ms - min_u64(window_ms / 5, 2000);
}

bool policy_new_window(const struct token_step *step, const struct profile *profile)
{
    return profile->rule->rotation == ROTATION_GRACE && !in_grace(step, profile);
}

/* When the latest attempt was sent, on this boot's clock. */
static uint64_t last_sent(const struct token_step *step, const struct profile *profile)
{
    if (same_boot(step, profile->intent.boot_id))
        return min_u64(profile->intent.boot_ns, step_now(step));
    return min_u64(boot_time(step, profile->intent.wall_ms), step_now(step));
}

uint64_t policy_recovered_end(const struct token_step *step, const struct profile *profile)
{
    return min_u64(step_now(step), last_sent(step, profile) +
                                       step->tunables.exchange_timeout_ms * MS_NS);
}

uint64_t policy_resend_at(const struct token_step *step, const struct profile *profile)
{
    uint64_t drain_ns = step->tunables.drain_ms * MS_NS, drained, dead;
    enum rotation rotation = profile->rule->rotation; /* without a rule nothing is allowed */

    if (rotation == ROTATION_NONE || (rotation == ROTATION_GRACE && in_grace(step, profile)))
        return 0;
    drained = profile->ended_ns + drain_ns;
    if (rotation == ROTATION_TWO_PHASE)
        return drained;
    if (profile->credential.access == NULL || profile->access_rejected)
        return drained;
    dead = unusable_at(profile);
    if (dead == 0)
        dead = drained + UNKNOWN_LIFE_DRAINS * drain_ns;
    return max_u64(drained, dead);
}

bool policy_may_open(const struct token_step *step, const struct profile *profile)
{
    if (policy_obstacle(step, profile) != NULL)
        return false;
    return !profile->maybe_spent || policy_resend_at(step, profile) <= step_now(step);
}

uint64_t token_step_refresh_at(struct token_step *step, const struct profile *profile,
                               const struct token_event *look)
{
    uint64_t due = policy_due(profile, look->now_ns), at = 0;

    step->event = look;
    if (due != UINT64_MAX && policy_obstacle(step, profile) == NULL)
        at = max_u64(due, policy_allowed_at(step, profile));
    step->event = NULL;
    return at;
}
