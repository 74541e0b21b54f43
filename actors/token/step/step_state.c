/* SPDX-License-Identifier: Apache-2.0 */
/* States of a profile: which there are follows from facts, which moves are allowed is a table.
 *
 * The state is derived, never set, so it cannot disagree with the facts; the table is a check that
 * facts change only in the ways that were thought of. A move it does not allow is a bug, and the
 * assertion stops the keeper before the bug can spend a token. */
#include "step_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TO(name) (1u << PROFILE_##name)

static const unsigned edges[PROFILE_STATE_COUNT] = {
    /* UNSAVED without a refresh: a restored store was adopted under the generation seen. */
    [PROFILE_VALID] = TO(REFRESHING) | TO(REFUSED) | TO(UNSAVED),
    [PROFILE_REFRESHING] = TO(VALID) | TO(UNCERTAIN) | TO(UNSAVED) | TO(REFUSED) | TO(NEEDS_LOGIN),
    /* n is sent again; or a login was imported over it. */
    [PROFILE_UNCERTAIN] = TO(REFRESHING) | TO(VALID) | TO(UNSAVED),
    [PROFILE_UNSAVED] = TO(VALID) | TO(REFUSED) | TO(UNCERTAIN),
    [PROFILE_REFUSED] = TO(VALID) | TO(REFRESHING) | TO(UNSAVED),
    [PROFILE_NEEDS_LOGIN] = TO(VALID),
};

static const char *const state_names[PROFILE_STATE_COUNT] = {
#define X(name, text) [PROFILE_##name] = text,
    PROFILE_STATES(X)
#undef X
};

const char *profile_state_name(enum profile_state state)
{
    return (unsigned)state < PROFILE_STATE_COUNT ? state_names[state] : "?";
}

static enum profile_state state_of_facts(const struct profile *profile, uint64_t now_ns)
{
    if (profile->credential.needs_login[0] != '\0')
        return PROFILE_NEEDS_LOGIN;
    if (profile->unsaved)
        return PROFILE_UNSAVED;
    if (profile->phase != PHASE_NONE)
        return PROFILE_REFRESHING;
    if (profile->maybe_spent)
        return PROFILE_UNCERTAIN;
    if (profile->refused_until_ns > now_ns)
        return PROFILE_REFUSED;
    return PROFILE_VALID;
}

void profile_state_init(struct token_step *step, struct profile *profile)
{
    profile->state = state_of_facts(profile, step_now(step));
}

void profile_restate(struct token_step *step, struct profile *profile)
{
    enum profile_state state = state_of_facts(profile, step_now(step));

    if (state == profile->state)
        return;
    assert(edges[profile->state] & (1u << state));
    profile->state = state;
    step_act(step, (struct token_action){.kind = ACTION_TRACE, .profile = profile,
                                         .text = profile_state_name(state)});
}

/* ---- what watchers see ---------------------------------------------------------------------- */

static uint64_t mix(uint64_t digest, uint64_t value)
{
    digest ^= value + 0x9e3779b97f4a7c15ull;
    digest ^= digest >> 30;
    digest *= 0xbf58476d1ce4e5b9ull;
    return digest ^ (digest >> 27);
}

static uint64_t mix_text(uint64_t digest, const char *text)
{
    for (; *text != '\0'; text++)
        digest = mix(digest, (unsigned char)*text);
    return digest;
}

static uint64_t visible_of(const struct profile *profile, uint64_t now_ns)
{
    uint64_t digest = mix(0, profile->credential.generation);

    digest = mix(digest, profile->access_rejected);
    digest = mix(digest, profile->refused_until_ns > now_ns);
    digest = mix_text(digest, profile->credential.needs_login);
    digest = mix(digest, (uint64_t)profile->credential.expires_at_ms);
    for (size_t i = 0; i < profile->cooling_count; i++)
        if (profile->coolings[i].until_ns > now_ns)
            digest = mix_text(mix(digest, profile->coolings[i].until_ns),
                              profile->coolings[i].model);
    return digest;
}

void profile_publish(struct token_step *step, struct profile *profile)
{
    uint64_t visible = visible_of(profile, step_now(step));

    if (visible == profile->visible)
        return;
    profile->visible = visible;
    /* The first one comes from the random port: numbers of an earlier process must not fit. */
    if (profile->version == 0)
        profile->version = step_random(step) >> 2;
    profile->version++;
}

/* ---- faults, in words ----------------------------------------------------------------------- */

struct fault_words {
    const char *why, *remedy;
};

static const struct fault_words faults[] = {
    [FAULT_NONE] = {"", ""},
    [FAULT_NETWORK] = {"the provider cannot be reached or fails",
                       "wait: it is tried again by itself"},
    [FAULT_STORE] = {"the disk does not take what must be saved before and after a refresh",
                     "make space in, or allow writing to, the state directory"},
    [FAULT_CONFIG] = {"the provider refuses the form of our request",
                      "check tokenUrl, clientId, encoding and extra of the provider, then reload"},
    [FAULT_UNKNOWN] = {"the last refresh was sent and its outcome is not known",
                       "wait: it is sent again when the provider's rule allows it"},
    [FAULT_COPIED] = {"this store is a copy of another one",
                      "run `queenright auth adopt` if the other one is not used any more"},
    [FAULT_RESTORED] = {"a later generation of this login has been seen than the store has",
                        "run `queenright auth adopt`, or log in again"},
    [FAULT_NO_RULE] = {"no rule is known for the provider of this login",
                       "add the provider to the config, with its oauth object"},
};

void profile_fault(struct token_step *step, struct profile *profile, enum fault fault,
                   const char *text)
{
    bool alarming = fault != FAULT_NONE && fault != profile->fault;

    profile->fault = fault;
    snprintf(profile->fault_text, sizeof(profile->fault_text), "%s%s%s", faults[fault].why,
             text[0] != '\0' ? ": " : "", text);
    if (alarming)
        step_alarm(step, "%s: %s; %s", profile->credential.profile, profile->fault_text,
                   faults[fault].remedy);
}

const char *profile_reason(const struct profile *profile)
{
    switch (profile->state) {
    case PROFILE_NEEDS_LOGIN:
        return profile->credential.needs_login;
    case PROFILE_UNSAVED:
        return "the new token is in use but not on disk yet";
    case PROFILE_REFUSED:
        return "the model side refuses fresh access tokens of this account";
    default:
        return profile->fault_text;
    }
}

const char *profile_remedy(const struct profile *profile)
{
    switch (profile->state) {
    case PROFILE_NEEDS_LOGIN:
        return "log in again with the program it came from, then queenright auth import "
               "--take-over PATH";
    case PROFILE_UNSAVED:
        return faults[FAULT_STORE].remedy;
    case PROFILE_REFUSED:
        return "check the account at the provider; it is tried again by itself";
    default:
        return faults[profile->fault].remedy;
    }
}
