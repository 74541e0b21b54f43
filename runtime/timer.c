/* SPDX-License-Identifier: Apache-2.0 */
/* Times. Each actor has a heap of its own: the deadlines of its open requests and its timers, only
 * touched by who runs it. The runtime has one heap with at most one entry an actor, under a lock.
 *
 * An actor registers with the runtime only when its next time is earlier than the one registered;
 * when a request is answered its deadline leaves the actor's heap, but the registration stays and
 * wakes the actor once for nothing. So a stream of a million requests a second with a deadline of
 * a minute costs the lock twice a minute, and an idle actor is woken at most once. */
#include <errno.h>
#include <stdlib.h>

#include "core.h"

#define NEVER UINT64_MAX

/* ---- the actor's heap ---------------------------------------------------------------------- */

static struct table *due_table(struct open_tables *open, enum due_kind kind)
{
    return kind == DUE_OUT ? &open->out : kind == DUE_IN ? &open->in : &open->timers;
}

static void due_place(struct open_tables *open, uint32_t position, struct due due)
{
    open->heap[position] = due;
    struct table_item *item = table_at(due_table(open, due.kind), due.index);
    item->heap = position + 1;
}

static uint32_t due_up(struct open_tables *open, uint32_t position, struct due due)
{
    while (position && open->heap[(position - 1) / 2].when_ns > due.when_ns) {
        due_place(open, position, open->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    return position;
}

static uint32_t due_down(struct open_tables *open, uint32_t position, struct due due)
{
    for (;;) {
        uint32_t child = 2 * position + 1;
        if (child >= open->heap_count)
            return position;
        if (child + 1 < open->heap_count &&
            open->heap[child + 1].when_ns < open->heap[child].when_ns)
            child++;
        if (open->heap[child].when_ns >= due.when_ns)
            return position;
        due_place(open, position, open->heap[child]);
        position = child;
    }
}

static int timers_register(struct runtime *runtime, struct actor *actor, uint64_t when_ns);

int due_add(struct runtime *runtime, struct actor *actor, uint64_t when_ns, enum due_kind kind,
            struct table_item *item)
{
    struct open_tables *open = actor->open;

    if (open->heap_count == open->heap_capacity) {
        uint32_t capacity = open->heap_capacity ? open->heap_capacity * 2 : 8;
        struct due *heap = realloc(open->heap, capacity * sizeof *heap);
        if (!heap)
            return -ENOMEM;
        open->heap = heap;
        open->heap_capacity = capacity;
    }
    if (when_ns < open->armed_ns) {
        int error = timers_register(runtime, actor, when_ns);
        if (error < 0)
            return error;
        open->armed_ns = when_ns;
    }
    struct due due = {when_ns, kind, table_index(item->id)};
    due_place(open, due_up(open, open->heap_count++, due), due);
    return 0;
}

void due_remove(struct open_tables *open, struct table_item *item)
{
    if (!item->heap)
        return;
    uint32_t position = item->heap - 1;
    struct due last = open->heap[--open->heap_count];

    item->heap = 0;
    if (position == open->heap_count)
        return;
    uint32_t up = due_up(open, position, last);
    due_place(open, up != position ? up : due_down(open, position, last), last);
}

uint64_t actor_next_due_ns(const struct actor *actor)
{
    return actor->open && actor->open->heap_count ? actor->open->heap[0].when_ns : NEVER;
}

static bool timer_due(struct context *context, struct open_timer *timer)
{
    const struct actor_ops *ops = context->actor->ops;
    uint64_t tag = timer->tag;

    spin_lock(&context->actor->lock);
    table_remove(&context->actor->open->timers, timer);
    spin_unlock(&context->actor->lock);
    return ops->on_timer &&
           context_finish(context, ops->on_timer(context->actor->state, context, tag));
}

static bool due_run(struct context *context, struct due due)
{
    struct open_tables *open = context->actor->open;
    struct table_item *item = table_at(due_table(open, due.kind), due.index);

    due_remove(open, item);
    switch (due.kind) {
    case DUE_OUT:
        return request_out_expired(context, (struct open_out *)item);
    case DUE_IN:
        return request_in_expired(context, (struct open_in *)item);
    case DUE_TIMER:
        break;
    }
    return timer_due(context, (struct open_timer *)item);
}

bool timers_tick(struct context *context)
{
    struct actor *actor = context->actor;
    struct open_tables *open = actor->open;
    uint64_t now_ns = context->runtime->clock->now_ns(context->runtime->clock);

    context->now_ns = now_ns;
    open->armed_ns = NEVER;
    atomic_store_explicit(&open->tick_queued, false, memory_order_release);
    while (open->heap_count && open->heap[0].when_ns <= now_ns)
        if (due_run(context, open->heap[0]))
            return true;
    if (open->heap_count && open->heap[0].when_ns < open->armed_ns &&
        timers_register(context->runtime, actor, open->heap[0].when_ns) == 0)
        open->armed_ns = open->heap[0].when_ns;
    return false;
}

struct timer_id context_timer(struct context *context, uint64_t delay_ns, uint64_t tag)
{
    struct open_tables *open = open_tables_get(context->actor);
    struct open_timer *timer = NULL;
    uint64_t now_ns = context->runtime->clock->now_ns(context->runtime->clock);
    uint64_t when_ns = delay_ns < NEVER - now_ns ? now_ns + delay_ns : NEVER - 1;

    if (open) {
        spin_lock(&context->actor->lock);
        timer = table_add(&open->timers, 0, 0);
        spin_unlock(&context->actor->lock);
    }
    if (!timer || due_add(context->runtime, context->actor, when_ns, DUE_TIMER, &timer->item) < 0) {
        /* A timer that never fires would hang whoever waits for it: better a restart. */
        context_stop(context, -ENOMEM);
        return (struct timer_id){0};
    }
    timer->tag = tag;
    return (struct timer_id){timer->item.id};
}

void context_timer_cancel(struct context *context, struct timer_id id)
{
    struct open_tables *open = context->actor->open;
    struct open_timer *timer = open ? table_find(&open->timers, id.n) : NULL;

    if (!timer)
        return;
    due_remove(open, &timer->item);
    spin_lock(&context->actor->lock);
    table_remove(&open->timers, timer);
    spin_unlock(&context->actor->lock);
}

/* ---- the runtime's heap -------------------------------------------------------------------- */

static void entry_place(struct runtime *runtime, uint32_t position, struct deadline_entry entry)
{
    runtime->timers[position] = entry;
    entry.actor->timer_index = position + 1;
}

static void entry_sift(struct runtime *runtime, uint32_t position, struct deadline_entry entry)
{
    struct deadline_entry *heap = runtime->timers;

    while (position && heap[(position - 1) / 2].when_ns > entry.when_ns) {
        entry_place(runtime, position, heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * position + 1;
        if (child >= runtime->timers_count)
            break;
        if (child + 1 < runtime->timers_count && heap[child + 1].when_ns < heap[child].when_ns)
            child++;
        if (heap[child].when_ns >= entry.when_ns)
            break;
        entry_place(runtime, position, heap[child]);
        position = child;
    }
    entry_place(runtime, position, entry);
}

static void entry_remove(struct runtime *runtime, uint32_t position)
{
    runtime->timers[position].actor->timer_index = 0;
    struct deadline_entry last = runtime->timers[--runtime->timers_count];
    if (position < runtime->timers_count)
        entry_sift(runtime, position, last);
}

static int timers_room(struct runtime *runtime)
{
    if (runtime->timers_count < runtime->timers_capacity)
        return 0;
    uint32_t capacity = runtime->timers_capacity ? runtime->timers_capacity * 2 : 64;
    struct deadline_entry *heap = realloc(runtime->timers, capacity * sizeof *heap);
    if (!heap)
        return -ENOMEM;
    runtime->timers = heap;
    runtime->timers_capacity = capacity;
    return 0;
}

static int timers_register(struct runtime *runtime, struct actor *actor, uint64_t when_ns)
{
    struct deadline_entry entry = {when_ns, actor};
    int error = 0;

    pthread_mutex_lock(&runtime->timers_lock);
    if (actor->timer_index)
        entry_sift(runtime, actor->timer_index - 1, entry);
    else if ((error = timers_room(runtime)) == 0)
        entry_sift(runtime, runtime->timers_count++, entry);
    bool first = error == 0 && actor->timer_index == 1;
    pthread_mutex_unlock(&runtime->timers_lock);
    if (first && !runtime->manual)
        watch_poke(runtime);
    return error;
}

void timers_forget(struct runtime *runtime, struct actor *actor)
{
    if (!actor->open)
        return;
    pthread_mutex_lock(&runtime->timers_lock);
    if (actor->timer_index)
        entry_remove(runtime, actor->timer_index - 1);
    pthread_mutex_unlock(&runtime->timers_lock);
}

/* The lock is held over the push: after timers_forget nobody touches the actor for its timers. */
void timers_fire(struct runtime *runtime, struct worker *worker, uint64_t now_ns)
{
    pthread_mutex_lock(&runtime->timers_lock);
    while (runtime->timers_count && runtime->timers[0].when_ns <= now_ns) {
        struct actor *actor = runtime->timers[0].actor;
        struct open_tables *open = actor->open;
        entry_remove(runtime, 0);
        if (atomic_exchange_explicit(&open->tick_queued, true, memory_order_acq_rel))
            continue;
        open->tick.to.n = atomic_load_explicit(&actor->id, memory_order_relaxed);
        if (mailbox_push(&actor->mailbox, &open->tick, MAILBOX_RESERVED) == MAILBOX_PUSHED_WAKE)
            schedule(runtime, worker, actor);
    }
    pthread_mutex_unlock(&runtime->timers_lock);
}

uint64_t timers_next_ns(struct runtime *runtime)
{
    pthread_mutex_lock(&runtime->timers_lock);
    uint64_t next_ns = runtime->timers_count ? runtime->timers[0].when_ns : NEVER;
    pthread_mutex_unlock(&runtime->timers_lock);
    return next_ns;
}
