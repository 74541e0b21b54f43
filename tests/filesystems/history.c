/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "filler.h"
#include "history_tokens.h"
#include "mounts.h"
#include "token/credential.h"
#include "token/store_file.h"

#define AUDIT_ROTATE_SIZE 1000 /* so that the log is rotated, and no line of it dropped */

/* ---- the table ---- */

static void add(struct history *history, enum history_call call, unsigned profile,
                unsigned generation, unsigned attempt)
{
    assert(history->count < HISTORY_STEPS_MAX);
    history->steps[history->count++] = (struct history_step){
        call, (uint8_t)profile, (uint16_t)generation, (uint8_t)attempt, false};
}

static void add_spend(struct history *history, unsigned profile, unsigned generation,
                      unsigned attempt)
{
    add(history, CALL_RESERVE, profile, generation, attempt);
    add(history, CALL_INTENT, profile, generation, attempt);
}

static void add_save(struct history *history, unsigned profile, unsigned generation,
                     unsigned attempt)
{
    add(history, CALL_ANSWER, profile, generation, attempt);
    add(history, CALL_RECORD, profile, generation + 1, 0);
    add(history, CALL_AUDIT, 0, 0, 0);
}

static void add_restart(struct history *history)
{
    add(history, CALL_CLOSE, 0, 0, 0);
    add(history, CALL_OPEN, 0, 0, 0);
}

void history_make(struct history *history)
{
    *history = (struct history){0};
    add(history, CALL_OPEN, 0, 0, 0);
    add(history, CALL_RECORD, 0, 1, 0); /* a login */
    add(history, CALL_AUDIT, 0, 0, 0);
    add_spend(history, 0, 1, 1); /* an ordinary refresh */
    add_save(history, 0, 1, 1);
    add(history, CALL_RECORD, 1, 1, 0); /* a second account */
    add_spend(history, 0, 2, 1); /* the outcome stays unknown; sent again after a restart */
    add_restart(history);
    add_spend(history, 0, 2, 2);
    add_save(history, 0, 2, 2);
    add(history, CALL_RESERVE, 0, 3, 1); /* the connection fails: nothing was spent */
    add(history, CALL_RELEASE, 0, 3, 1);
    add_spend(history, 0, 3, 1); /* the provider says that it took nothing */
    add(history, CALL_RELEASE, 0, 3, 1);
    add(history, CALL_RECORD, 2, 1, 0); /* a third account, that ends in needs-login */
    add_spend(history, 2, 1, 1);
    add(history, CALL_ANSWER, 2, 1, 1);
    add(history, CALL_MARK, 2, 1, 0);
    add(history, CALL_AUDIT, 0, 0, 0);
    add(history, CALL_REMOVE, 2, 1, 0); /* and is logged out with all its files, and in again */
    add(history, CALL_RECORD, 2, 1, 0);
    add(history, CALL_ADOPT, 0, 0, 0);
    add_spend(history, 0, 3, 1); /* killed between answer and record */
    add(history, CALL_ANSWER, 0, 3, 1);
    add_restart(history);
    add(history, CALL_RECORD, 0, 4, 0);
    for (unsigned generation = 4; generation < 7; generation++) {
        add_spend(history, 0, generation, 1);
        add_save(history, 0, generation, 1);
        add_spend(history, 1, generation - 3, 1);
        add_save(history, 1, generation - 3, 1);
    }
    add_restart(history);
    add(history, CALL_CLOSE, 0, 0, 0);
}

/* ---- a full disk ---- */

static void may_fail(struct history *history)
{
    history->steps[history->count - 1].may_fail = true;
}

/* A step that is made again when there is space. */
static void again(struct history *history, const struct history_step *step)
{
    add(history, step->call, step->profile, step->generation, step->attempt);
}

static void full_before_the_reservation(struct history *history, bool is_mixed)
{
    (void)is_mixed;
    add(history, CALL_FILL, 0, 0, 0);
    add(history, CALL_RESERVE, 0, 1, 1);
    may_fail(history);
    add(history, CALL_AUDIT, 0, 0, 0);
    may_fail(history);
    add(history, CALL_EMPTY, 0, 0, 0);
    add_spend(history, 0, 1, 2);
    add_save(history, 0, 1, 2);
}

/* What was reserved is enough for intent and answer, whatever comes. */
static void full_after_the_reservation(struct history *history, bool is_mixed)
{
    add(history, CALL_RESERVE, 0, 1, 1);
    add(history, CALL_FILL, 0, 0, 0);
    add(history, CALL_INTENT, 0, 1, 1);
    add(history, CALL_ANSWER, 0, 1, 1);
    add(history, CALL_RECORD, 0, 2, 0);
    struct history_step *save = &history->steps[history->count - 1];
    save->may_fail = is_mixed;
    add(history, CALL_AUDIT, 0, 0, 0);
    may_fail(history);
    if (!is_mixed) {
        add(history, CALL_RESERVE, 0, 2, 1);
        may_fail(history);
    }
    add(history, CALL_EMPTY, 0, 0, 0);
    again(history, save);
    add_spend(history, 0, 2, 2);
    add_save(history, 0, 2, 2);
}

/* Killed between answer and record: the reservation's descriptors are gone. */
static void full_at_a_restart(struct history *history, bool is_mixed)
{
    (void)is_mixed;
    add_spend(history, 0, 1, 1);
    add(history, CALL_ANSWER, 0, 1, 1);
    add(history, CALL_FILL, 0, 0, 0);
    add_restart(history);
    add(history, CALL_RECORD, 0, 2, 0);
    may_fail(history);
    struct history_step *save = &history->steps[history->count - 1];
    add(history, CALL_EMPTY, 0, 0, 0);
    again(history, save);
}

static void full_at_a_logout(struct history *history, bool is_mixed)
{
    (void)is_mixed;
    add_spend(history, 1, 1, 1);
    add(history, CALL_FILL, 0, 0, 0);
    add(history, CALL_MARK, 0, 1, 0);
    may_fail(history);
    add(history, CALL_REMOVE, 1, 1, 0); /* removing needs space where blocks are copied */
    may_fail(history);
    add(history, CALL_EMPTY, 0, 0, 0);
    add(history, CALL_MARK, 0, 1, 0);
}

static void full_at_a_release(struct history *history, bool is_mixed)
{
    (void)is_mixed;
    add_spend(history, 0, 1, 1);
    add(history, CALL_FILL, 0, 0, 0);
    add(history, CALL_RELEASE, 0, 1, 1);
    may_fail(history);
    add(history, CALL_ADOPT, 0, 0, 0);
    may_fail(history);
    add(history, CALL_EMPTY, 0, 0, 0);
    add(history, CALL_ADOPT, 0, 0, 0);
}

const char *history_make_full(struct history *history, unsigned number, bool is_mixed)
{
    static const struct {
        const char *name;
        void (*make)(struct history *history, bool is_mixed);
    } lives[] = {{"full before the reservation", full_before_the_reservation},
                 {"full after the reservation", full_after_the_reservation},
                 {"full at a restart", full_at_a_restart},
                 {"full at a logout", full_at_a_logout},
                 {"full at a release", full_at_a_release}};
    if (number >= sizeof(lives) / sizeof(*lives)) {
        return NULL;
    }
    *history = (struct history){0};
    add(history, CALL_OPEN, 0, 0, 0);
    add(history, CALL_RECORD, 0, 1, 0);
    add(history, CALL_RECORD, 1, 1, 0);
    lives[number].make(history, is_mixed);
    add_restart(history);
    add(history, CALL_CLOSE, 0, 0, 0);
    return lives[number].name;
}

void world_after(struct world *world, const struct history_step *step)
{
    struct world_profile *profile = &world->profiles[step->profile];
    switch (step->call) {
    case CALL_OPEN:
        world->is_made = true;
        break;
    case CALL_RECORD:
        *profile = (struct world_profile){.generation = step->generation};
        break;
    case CALL_MARK:
        profile->needs_login = true;
        break;
    case CALL_INTENT:
        profile->intent = step->attempt;
        break;
    case CALL_ANSWER:
        profile->answer = step->attempt;
        break;
    case CALL_RELEASE:
        assert(step->attempt == 1); /* there is no earlier one to go back to */
        profile->intent = profile->answer = 0;
        break;
    case CALL_REMOVE:
        *profile = (struct world_profile){0};
        break;
    case CALL_AUDIT:
        world->audit_lines++;
        break;
    case CALL_CLOSE:
    case CALL_RESERVE:
    case CALL_ADOPT:
    case CALL_FILL:
    case CALL_EMPTY:
        break;
    }
}

void history_describe(const struct history_step *step, char *ret_text, size_t size)
{
    static const char *const names[] = {
        [CALL_OPEN] = "open", [CALL_CLOSE] = "close", [CALL_RECORD] = "write_record",
        [CALL_MARK] = "write_record (needs login)", [CALL_RESERVE] = "reserve",
        [CALL_INTENT] = "write_intent", [CALL_ANSWER] = "write_answer",
        [CALL_RELEASE] = "release", [CALL_REMOVE] = "remove", [CALL_ADOPT] = "adopt",
        [CALL_AUDIT] = "audit", [CALL_FILL] = "filling the disk", [CALL_EMPTY] = "making space"};
    int length = snprintf(ret_text, size, "%s", names[step->call]);
    if (step->generation != 0) {
        length += snprintf(ret_text + length, size - (size_t)length, " of " TOKENS_PROFILE
                           ", generation %u", step->profile, step->generation);
    }
    if (step->attempt != 0) {
        snprintf(ret_text + length, size - (size_t)length, ", attempt %u", step->attempt);
    }
}

/* ---- the calls ---- */

static void drop_stored(void *arg, struct stored *stored)
{
    (void)arg;
    stored_deinit(stored);
}

static void note_bad(void *arg, const char *file, const char *why)
{
    snprintf(arg, HISTORY_TEXT_MAX, "load: %.100s %.200s", file, why);
}

static int open_store(const struct disk_port *disk, struct store_port **store,
                      char ret_why[HISTORY_TEXT_MAX])
{
    *store = store_file_new(&(struct store_file_options){.state_dir = STATE_DIR, .disk = disk,
                                                         .audit_rotate_bytes = AUDIT_ROTATE_SIZE});
    assert(*store != NULL);
    int error = (*store)->open(*store);
    if (error < 0) {
        return error;
    }
    ret_why[0] = '\0';
    error = (*store)->load(*store, ret_why, drop_stored, note_bad);
    return error < 0 ? error : ret_why[0] == '\0' ? 0 : -EBADMSG;
}

static int call_with_credential(const struct history_step *step, struct store_port *store)
{
    struct credential credential;
    tokens_credential(step, step->call == CALL_MARK, &credential);
    struct intent intent;
    struct answer answer;
    int error = -EINVAL;
    switch (step->call) {
    case CALL_RESERVE:
        error = store->reserve(store, &credential, step->attempt);
        break;
    case CALL_INTENT:
        tokens_intent(step, &intent);
        error = store->write_intent(store, &credential, &intent);
        break;
    case CALL_ANSWER:
        tokens_answer(step, &answer);
        error = store->write_answer(store, &credential, &answer);
        secret_free(answer.body);
        break;
    case CALL_RELEASE:
        error = store->release(store, &credential, step->attempt);
        break;
    default:
        error = store->write_record(store, &credential);
    }
    credential_deinit(&credential);
    return error;
}

int history_call(const struct history_step *step, const struct disk_port *disk,
                 struct store_port **store, char ret_why[HISTORY_TEXT_MAX])
{
    char profile[PROFILE_ID_MAX];
    int error = 0;
    ret_why[0] = '\0';
    switch (step->call) {
    case CALL_OPEN:
        error = open_store(disk, store, ret_why);
        break;
    case CALL_CLOSE:
        (*store)->close(*store);
        *store = NULL;
        break;
    case CALL_REMOVE:
        tokens_profile(step->profile, profile);
        error = (*store)->remove(*store, profile);
        break;
    case CALL_ADOPT:
        error = (*store)->adopt(*store);
        break;
    case CALL_FILL:
        error = filler_fill();
        break;
    case CALL_EMPTY:
        error = filler_empty();
        break;
    case CALL_AUDIT:
        error = (*store)->audit(*store, "save lab:p0 generation 2, attempt 1, by atlas");
        break;
    default:
        error = call_with_credential(step, *store);
    }
    if (error < 0 && ret_why[0] == '\0' && *store != NULL) {
        snprintf(ret_why, HISTORY_TEXT_MAX, "%s", (*store)->why(*store));
    }
    return error;
}
