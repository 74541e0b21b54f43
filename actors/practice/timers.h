/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of deadlines, embedded in what waits. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct timer_slot {
    uint64_t due_ms;
    size_t index; /* its place in the heap, from 1; 0: not armed */
};

struct timers {
    struct timer_slot **heap;
    size_t count;
    size_t capacity;
};

void timers_deinit(struct timers *timers);
/* Arms or moves it. 0 or -ENOMEM. */
int timers_arm(struct timers *timers, struct timer_slot *slot, uint64_t due_ms);
void timers_disarm(struct timers *timers, struct timer_slot *slot);
/* The one that is due soonest, NULL: none. */
struct timer_slot *timers_first(const struct timers *timers);
