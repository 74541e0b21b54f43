/* SPDX-License-Identifier: Apache-2.0 */
/* The worlds that were met before, by a hash of all that decides what becomes of them: equal ones
 * have equal futures, so one life stands for all. */
#pragma once

#include "crash_rig.h"

struct crash_seen {
    uint64_t (*slots)[2];
    size_t size, count;
};

/* True: it is new. */
bool crash_seen_add(struct crash_seen *seen, const struct crash_world *world);
void crash_seen_deinit(struct crash_seen *seen);
