/* SPDX-License-Identifier: Apache-2.0 */
/* Fair sharing of an account's concurrency.
 *
 * A provider lets one account make a few calls at a time. Each account is a lane with that many
 * places; who finds none waits. A free place goes to the waiting agent that has the fewest calls
 * running there and, among those, was served longest ago: an agent that asks a hundred times
 * waits with ninety-nine of them, not the others. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct lane;
struct share;

/* {0} is none. */
struct lanes {
    struct lane *table;
    unsigned waiting;
    uint64_t clock; /* counts turns served */
};

/* A call's place in a lane, or its wait for one. {0}: neither. */
struct lane_place {
    TAILQ_ENTRY(lane_place) waiting;
    struct lane *lane;
    struct share *share;
    bool running;
};

enum { LANE_ENTERED = 0, LANE_QUEUED = 1 };

/* LANE_ENTERED, LANE_QUEUED, -EAGAIN when too many wait, -ENOMEM. `limit` 0 is no limit. */
int lane_enter(struct lanes *lanes, const char *account, unsigned limit, const char *agent,
               struct lane_place *place);
/* Gives the place, or the wait, up. Returns who has a place now instead, NULL for nobody. */
struct lane_place *lane_leave(struct lanes *lanes, struct lane_place *place);
