/* SPDX-License-Identifier: Apache-2.0 */
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

static void place(struct timers *timers, size_t index, struct timer_slot *slot)
{
    timers->heap[index - 1] = slot;
    slot->index = index;
}

static void sift_up(struct timers *timers, struct timer_slot *slot)
{
    size_t index = slot->index;
    while (index > 1 && timers->heap[index / 2 - 1]->due_ms > slot->due_ms) {
        place(timers, index, timers->heap[index / 2 - 1]);
        index /= 2;
    }
    place(timers, index, slot);
}

static void sift_down(struct timers *timers, struct timer_slot *slot)
{
    size_t index = slot->index;
    for (;;) {
        size_t child = index * 2;
        if (child > timers->count)
            break;
        if (child < timers->count &&
            timers->heap[child]->due_ms < timers->heap[child - 1]->due_ms)
            child++;
        if (timers->heap[child - 1]->due_ms >= slot->due_ms)
            break;
        place(timers, index, timers->heap[child - 1]);
        index = child;
    }
    place(timers, index, slot);
}

void timers_deinit(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){ 0 };
}

int timers_arm(struct timers *timers, struct timer_slot *slot, uint64_t due_ms)
{
    timers_disarm(timers, slot);
    if (timers->count == timers->capacity) {
        size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
        struct timer_slot **heap = realloc(timers->heap, capacity * sizeof(*heap));
        if (heap == NULL)
            return -ENOMEM;
        timers->heap = heap;
        timers->capacity = capacity;
    }
    slot->due_ms = due_ms;
    timers->count++;
    place(timers, timers->count, slot);
    sift_up(timers, slot);
    return 0;
}

void timers_disarm(struct timers *timers, struct timer_slot *slot)
{
    if (slot->index == 0)
        return;
    struct timer_slot *last = timers->heap[timers->count - 1];
    size_t index = slot->index;
    timers->count--;
    slot->index = 0;
    if (last == slot)
        return;
    place(timers, index, last);
    sift_up(timers, last);
    sift_down(timers, last);
}

struct timer_slot *timers_first(const struct timers *timers)
{
    return timers->count ? timers->heap[0] : NULL;
}
