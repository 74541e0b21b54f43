/* SPDX-License-Identifier: Apache-2.0 */
/* A keeper's life as its store sees it: a table of calls, and after each what must be found by
 * whoever opens the store then.
 *
 * A call that returned 0 has promised something. What a crash leaves must be what the last call
 * that had returned promised, or what the call under way would have, for each profile; nothing
 * older, and nothing that cannot be read. Only the file that the call under way was writing may be
 * torn, and is then reported by name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "token/disk.h"
#include "token/store.h"

#define HISTORY_PROFILES 3
#define HISTORY_STEPS_MAX 120
#define HISTORY_TEXT_MAX 400

enum history_call {
    CALL_OPEN, /* and load */
    CALL_CLOSE,
    CALL_RECORD,
    CALL_MARK, /* the stored generation needs a login */
    CALL_RESERVE,
    CALL_INTENT,
    CALL_ANSWER,
    CALL_RELEASE,
    CALL_REMOVE,
    CALL_ADOPT,
    CALL_AUDIT,
    CALL_FILL, /* the disk, to the last block */
    CALL_EMPTY
};

struct history_step {
    enum history_call call;
    uint8_t profile;
    uint16_t generation; /* saved by RECORD; of the others: that is stored */
    uint8_t attempt;
    bool may_fail; /* for want of space; then it says so, and has lost nothing */
};

/* What must be found. */
struct world {
    struct world_profile {
        uint16_t generation; /* 0: there is no such profile */
        uint8_t intent, answer; /* newest attempt; 0: none */
        bool needs_login;
    } profiles[HISTORY_PROFILES];
    unsigned audit_lines;
    bool is_made; /* the store was opened once */
};

struct history {
    struct history_step steps[HISTORY_STEPS_MAX];
    size_t count;
};

void history_make(struct history *history);
/* Lives on a disk that gets full at bad moments; their names, NULL past the last. On a mixed file
 * system the rename of a record may be refused; its answer is on the disk then. */
const char *history_make_full(struct history *history, unsigned number, bool is_mixed);
void history_describe(const struct history_step *step, char *ret_text, size_t size);
/* What a step makes of a world. */
void world_after(struct world *world, const struct history_step *step);

/* Makes one call. *store is made by OPEN, and NULL after CLOSE. 0; or negative errno, with what the
 * store says. */
int history_call(const struct history_step *step, const struct disk_port *disk,
                 struct store_port **store, char ret_why[HISTORY_TEXT_MAX]);

/* ---- world.c ---- */

/* Opens and loads the store of a world and says what is there. `under_way` may be NULL. 0; or -1
 * and what is wrong: it does not open, a file is bad, a credential is not the one that was saved,
 * the log does not follow. */
int world_load(const struct history_step *under_way, bool is_made, struct store_port **ret_store,
               struct world *ret_world, char ret_why[HISTORY_TEXT_MAX]);
/* Whether what was found lies between two worlds. */
int world_compare(const struct world *found, const struct world *before,
                  const struct world *after, char ret_why[HISTORY_TEXT_MAX]);
