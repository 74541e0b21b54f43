/* SPDX-License-Identifier: Apache-2.0 */
/* From a transcript's lines back to where the session stood. Pure: lines in, state out.
 *
 * An answered turn becomes history. A failed or interrupted one is left out of it: half a turn
 * tells a model nothing true. What was queued and had no turn is given back. An open turn at the
 * end is one that a crash cut off: something told is tried again, if no tool had been called and
 * not too often; for something asked nobody waits any more. */
#pragma once

#include "history.h"
#include "item.h"

/* Turns of one told item that a restart may cut off before it is given up. */
#define RESTORE_TRIES_MAX 3

struct restore {
    struct history history;
    size_t turns_max;
    struct item_queue waiting;
    uint64_t turns; /* number of the last turn */
    uint64_t items; /* highest item id */
    uint64_t unreadable; /* lines that make no sense */
    /* the turn at hand */
    uint64_t open_turn; /* 0: none */
    json_t *open_items;
    struct item *open_item;
    bool open_tools; /* a tool was called */
};

/* In place; its queue points into itself. */
void restore_init(struct restore *restore, size_t turns_max);
void restore_deinit(struct restore *restore);
void restore_line(struct restore *restore, const char *line, size_t size);
/* After the last line, with a turn open: what becomes of its item. True when it is back in the
 * queue. `ret_item` is its id, 0 when it was never queued. Closes the turn. */
bool restore_interrupt(struct restore *restore, uint64_t *ret_item);
