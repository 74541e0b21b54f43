/* SPDX-License-Identifier: Apache-2.0 */
/* What the TokenActor finds in the store when it starts, given to the step. All of it or nothing: a
 * login that is left out for want of memory would be unknown to those who ask for it, for as long
 * as this keeper lives. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "token/wipe.h"
#include "token_internal.h"

struct found {
    struct token_state *state;
    struct stored *all;
    size_t count;
    int error;
};

static void on_found(void *arg, struct stored *stored)
{
    struct found *found = arg;
    struct stored *all = reallocarray(found->all, found->count + 1, sizeof(*all));

    if (all == NULL) {
        found->error = -ENOMEM;
        stored_deinit(stored);
        return;
    }
    found->all = all;
    all[found->count++] = *stored;
}

static void on_bad(void *arg, const char *file, const char *why)
{
    struct found *found = arg;
    char line[2 * STEP_TEXT_MAX];

    snprintf(line, sizeof(line), "%s: left as it is: %s", file, why);
    token_act(found->state, &(struct token_action){.kind = ACTION_ALARM, .text = line});
}

/* -ENOMEM: there is no room for it, or its rule could not be read, and without one it would seem to
 * have no provider. */
static int give(struct token_state *state, struct stored *stored)
{
    struct token_event event = token_event(state, EVENT_LOADED);
    struct provider_rule rule;
    uint8_t sha256[SECRET_SHA256_SIZE];
    char origin[600];
    unsigned refusals = wipe_refusals();
    uint32_t count = state->step.profile_count;

    if (token_pinned_rule(state, &stored->credential, &rule, origin, sizeof(origin)))
        event.rule = &rule;
    else if (wipe_refusals() != refusals) {
        stored_deinit(stored);
        return -ENOMEM;
    }
    secret_sha256(stored->credential.access, sha256);
    event.stored = stored;
    event.sha256 = sha256;
    event.origin = origin;
    token_run(state, &event);
    if (count == STEP_PROFILES_MAX) /* said */
        return 0;
    return state->step.profile_count == count ||
                   (event.rule != NULL && state->step.profiles[count]->rule == NULL)
               ? -ENOMEM
               : 0;
}

int token_load(struct token_state *state, int notes)
{
    struct found found = {.state = state};
    struct token_event event;
    int error = state->config.store->load(state->config.store, &found, on_found, on_bad);

    if (error == 0)
        error = found.error;
    for (size_t i = 0; i < found.count; i++) {
        if (error == 0)
            error = give(state, &found.all[i]);
        else
            stored_deinit(&found.all[i]);
    }
    free(found.all);
    if (error != 0)
        return error;
    event = token_event(state, EVENT_READY);
    event.notes = (unsigned)notes;
    token_run(state, &event);
    return 0;
}
