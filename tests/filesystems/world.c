/* SPDX-License-Identifier: Apache-2.0 */
/* What a crash left: the real store opens it, and what it finds is held against the promises. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "history_tokens.h"
#include "mounts.h"
#include "token/credential.h"
#include "token/store_file.h"

struct finding {
    const struct history_step *under_way;
    struct world *world;
    char *why; /* "" while all is well */
};

__attribute__((format(printf, 2, 3)))
static int wrong(char ret_why[HISTORY_TEXT_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ret_why, HISTORY_TEXT_MAX, format, arguments);
    va_end(arguments);
    return -1;
}

static void note_stored(void *arg, struct stored *stored)
{
    struct finding *finding = arg;
    int number = tokens_check(stored);
    if (number < 0) {
        wrong(finding->why, "%s holds what was never saved", stored->credential.profile);
    } else {
        finding->world->profiles[number] = (struct world_profile){
            .generation = (uint16_t)stored->credential.generation,
            .intent = stored->has_intent ? (uint8_t)stored->intent.attempt : 0,
            .answer = stored->has_answer ? (uint8_t)stored->answer.attempt : 0,
            .needs_login = stored->credential.needs_login[0] != '\0'};
    }
    stored_deinit(stored);
}

/* The file that the call under way is writing may be torn. */
static void note_bad(void *arg, const char *file, const char *why)
{
    struct finding *finding = arg;
    const struct history_step *step = finding->under_way;
    char start[32], end[64] = "";
    if (step != NULL && (step->call == CALL_INTENT || step->call == CALL_ANSWER)) {
        snprintf(start, sizeof(start), "lab_p%u-", step->profile);
        snprintf(end, sizeof(end), ".g%u.a%u.%s", step->generation, step->attempt,
                 step->call == CALL_INTENT ? "intent" : "answer");
        const char *at = strstr(file, end);
        if (strncmp(file, start, strlen(start)) == 0 && at != NULL && at[strlen(end)] == '\0') {
            return;
        }
    }
    wrong(finding->why, "%.150s: %.200s", file, why);
}

int world_load(const struct history_step *under_way, bool is_made, struct store_port **ret_store,
               struct world *ret_world, char ret_why[HISTORY_TEXT_MAX])
{
    struct finding finding = {under_way, ret_world, ret_why};
    struct store_port *store =
        store_file_new(&(struct store_file_options){.state_dir = STATE_DIR});
    assert(store != NULL);
    *ret_store = store;
    *ret_world = (struct world){.is_made = true};
    ret_why[0] = '\0';
    int notes = store->open(store);
    if (notes < 0) {
        return wrong(ret_why, "the store does not open: %s", store->why(store));
    }
    if (is_made && notes != 0) {
        return wrong(ret_why, "the store is %s", (notes & STORE_FRESH) != 0 ? "gone" : "a copy");
    }
    if (store->load(store, &finding, note_stored, note_bad) < 0) {
        return wrong(ret_why, "the store does not load: %s", store->why(store));
    }
    int lines = store_file_audit_verify(store);
    if (lines < 0) {
        return wrong(ret_why, "%s", store->why(store));
    }
    ret_world->audit_lines = (unsigned)lines;
    return ret_why[0] == '\0' ? 0 : -1;
}

int world_compare(const struct world *found, const struct world *before,
                  const struct world *after, char ret_why[HISTORY_TEXT_MAX])
{
    for (unsigned i = 0; i < HISTORY_PROFILES; i++) {
        const struct world_profile *is = &found->profiles[i], *was = &before->profiles[i],
                                   *will = &after->profiles[i];
        bool old = is->generation == was->generation && is->needs_login == was->needs_login;
        bool new = is->generation == will->generation && is->needs_login == will->needs_login;
        if (!old && !new) {
            return wrong(ret_why, TOKENS_PROFILE " is at generation %u%s, and %u%s was promised",
                         i, is->generation, is->needs_login ? " (needs login)" : "",
                         was->generation, was->needs_login ? " (needs login)" : "");
        }
        /* Of a generation that is over, intent and answer are. */
        const struct world_profile *rule = is->generation == was->generation ? was : will;
        if (is->intent != rule->intent && is->intent != will->intent) {
            return wrong(ret_why, TOKENS_PROFILE " has intent %u, and %u was promised", i,
                         is->intent, rule->intent);
        }
        if (is->answer != rule->answer && is->answer != will->answer) {
            return wrong(ret_why, TOKENS_PROFILE " has answer %u, and %u was promised", i,
                         is->answer, rule->answer);
        }
    }
    if (found->audit_lines < before->audit_lines || found->audit_lines > after->audit_lines) {
        return wrong(ret_why, "the log has %u lines, and %u were promised", found->audit_lines,
                     before->audit_lines);
    }
    return 0;
}
