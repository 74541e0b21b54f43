/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs next. One worker a core, each with a ring of actors that have mail: only its owner
 * appends, owner and thieves take from the front. An actor that is sent to goes to the ring of the
 * sender's worker: the message is in that core's cache, and two actors that talk to each other need
 * no second thread to be woken. A worker without work looks into the common queue (what foreign
 * and pinned threads scheduled, and what did not fit a ring), then into the others' rings, then
 * parks on a futex; nothing ticks.
 *
 * Parking: set the own bit in `parked`, then look once more; who schedules writes the queue first
 * and reads the bits after. Both are read-modify-writes of one word, so one of the two sees the
 * other. A worker that pushed to its own ring wakes another only when there is more than its next
 * turn, or when its handlers are slow; an actor left behind a handler that then takes long is
 * found by the watch (watch.c).
 *
 * A turn that met a full mailbox is followed by sched_yield: the sender would only try again, and
 * the thread that empties the mailbox may be one the system wants to run on this very core.
 *
 * SCHEDULER_MANUAL: no threads; runtime_step picks a runnable actor by the random port. */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

#define INJECT_EVERY 61u       /* turns; a full ring must not starve the common queue */
#define SLOW_HANDLER_NS 20000u /* about what waking another worker takes */

/* ---- futex --------------------------------------------------------------------------------- */

void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void futex_wait_for(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u),
                               (long)(timeout_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &timeout, NULL, 0);
}

void futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void spin_wait(struct spin *spin)
{
    unsigned rounds = 0;
    do {
        while (atomic_load_explicit(&spin->held, memory_order_relaxed))
            if (++rounds % 64 == 0)
                sched_yield();
    } while (atomic_exchange_explicit(&spin->held, true, memory_order_acquire));
}

/* ---- queues -------------------------------------------------------------------------------- */

static bool ring_push(struct worker *worker, struct actor *actor)
{
    uint32_t tail = atomic_load_explicit(&worker->ring_tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&worker->ring_head, memory_order_acquire);

    if (tail - head >= RING_SIZE)
        return false;
    atomic_store_explicit(&worker->ring[tail % RING_SIZE], actor, memory_order_relaxed);
    atomic_store_explicit(&worker->ring_tail, tail + 1, memory_order_release);
    return true;
}

static struct actor *ring_pop(struct worker *worker)
{
    uint32_t head = atomic_load_explicit(&worker->ring_head, memory_order_acquire);
    struct actor *actor;

    do {
        if (head == atomic_load_explicit(&worker->ring_tail, memory_order_acquire))
            return NULL;
        actor = atomic_load_explicit(&worker->ring[head % RING_SIZE], memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&worker->ring_head, &head, head + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    return actor;
}

uint32_t worker_backlog(const struct worker *worker)
{
    return atomic_load_explicit(&worker->ring_tail, memory_order_relaxed) -
           atomic_load_explicit(&worker->ring_head, memory_order_relaxed);
}

static void inject_push(struct runtime *runtime, struct actor *actor)
{
    pthread_mutex_lock(&runtime->inject_lock);
    actor->run_next = NULL;
    if (runtime->inject_tail)
        runtime->inject_tail->run_next = actor;
    else
        runtime->inject_head = actor;
    runtime->inject_tail = actor;
    atomic_fetch_add_explicit(&runtime->inject_count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&runtime->inject_lock);
}

static struct actor *inject_pop(struct runtime *runtime)
{
    if (!atomic_load_explicit(&runtime->inject_count, memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&runtime->inject_lock);
    struct actor *actor = runtime->inject_head;
    if (actor) {
        runtime->inject_head = actor->run_next;
        if (!runtime->inject_head)
            runtime->inject_tail = NULL;
        atomic_fetch_sub_explicit(&runtime->inject_count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&runtime->inject_lock);
    return actor;
}

/* ---- waking ---------------------------------------------------------------------------------- */

void scheduler_wake_one(struct runtime *runtime)
{
    uint32_t parked = atomic_fetch_or_explicit(&runtime->parked, 0, memory_order_acq_rel);

    while (parked) {
        uint32_t bit = parked & -parked;
        if (atomic_fetch_and_explicit(&runtime->parked, ~bit, memory_order_acq_rel) & bit) {
            struct worker *worker = &runtime->workers[__builtin_ctz(bit)];
            atomic_store_explicit(&worker->park, 0, memory_order_release);
            futex_wake(&worker->park, 1);
            return;
        }
        parked = atomic_load_explicit(&runtime->parked, memory_order_acquire);
    }
}

static void ready_push(struct runtime *runtime, struct actor *actor)
{
    if (runtime->ready_count == runtime->ready_capacity) {
        size_t capacity = runtime->ready_capacity * 2;
        struct actor **ready = realloc(runtime->ready, capacity * sizeof(struct actor *));
        CORE_ASSERT(runtime, ready);
        runtime->ready = ready;
        runtime->ready_capacity = capacity;
    }
    runtime->ready[runtime->ready_count++] = actor;
}

void schedule(struct runtime *runtime, struct worker *worker, struct actor *actor)
{
    struct pin *pin = atomic_load_explicit(&actor->pin, memory_order_acquire);

    if (runtime->manual) {
        ready_push(runtime, actor);
    } else if (pin) {
        pin_wake(pin);
    } else if (worker && worker->index >= 0 && ring_push(worker, actor)) {
        if (atomic_load_explicit(&runtime->parked, memory_order_relaxed) &&
            (worker_backlog(worker) > 1 || worker->handler_ns > SLOW_HANDLER_NS))
            scheduler_wake_one(runtime);
    } else {
        inject_push(runtime, actor);
        scheduler_wake_one(runtime);
    }
}

/* ---- workers --------------------------------------------------------------------------------- */

static struct actor *find_work(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    struct actor *actor = NULL;

    if (++worker->ticks % INJECT_EVERY == 0)
        actor = inject_pop(runtime);
    if (!actor)
        actor = ring_pop(worker);
    if (!actor)
        actor = inject_pop(runtime);
    for (unsigned i = 1; !actor && i < runtime->worker_count; i++)
        actor = ring_pop(&runtime->workers[((unsigned)worker->index + i) % runtime->worker_count]);
    return actor;
}

static struct actor *park(struct worker *worker)
{
    struct runtime *runtime = worker->runtime;
    uint32_t bit = 1u << worker->index;

    atomic_store_explicit(&worker->park, 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&runtime->parked, bit, memory_order_acq_rel);
    struct actor *actor = find_work(worker);
    while (!actor && !atomic_load(&runtime->ending) &&
           atomic_load_explicit(&worker->park, memory_order_acquire))
        futex_wait(&worker->park, 1);
    atomic_fetch_and_explicit(&runtime->parked, ~bit, memory_order_acq_rel);
    watch_arm(runtime);
    worker->now_ns = runtime->clock->now_ns(runtime->clock);
    return actor;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct runtime *runtime = worker->runtime;

    message_pool_enter(&worker->pool, &runtime->depot);
    atomic_store_explicit(&worker->self, (uint64_t)pthread_self(), memory_order_relaxed);
    worker->now_ns = runtime->clock->now_ns(runtime->clock);
    watch_arm(runtime);
    while (!atomic_load_explicit(&runtime->ending, memory_order_relaxed)) {
        struct actor *actor = find_work(worker);
        if (!actor)
            actor = park(worker);
        if (!actor)
            continue;
        if (atomic_load_explicit(&runtime->inject_count, memory_order_relaxed) &&
            atomic_load_explicit(&runtime->parked, memory_order_relaxed))
            scheduler_wake_one(runtime);
        if (worker->met_full) { /* its reader may be a thread the system wants to run here */
            worker->met_full = false;
            sched_yield();
        }
        if (actor_turn(worker, actor) == TURN_MORE && !ring_push(worker, actor))
            inject_push(runtime, actor);
    }
    message_pool_leave(&worker->pool);
    return NULL;
}

int scheduler_start(struct runtime *runtime)
{
    runtime->workers =
        aligned_alloc(_Alignof(struct worker), runtime->worker_count * sizeof(struct worker));
    if (!runtime->workers)
        return -ENOMEM;
    for (unsigned i = 0; i < runtime->worker_count; i++)
        runtime->workers[i] = (struct worker){.runtime = runtime, .index = (int)i};
    if (runtime->manual)
        return 0;
    for (; runtime->workers_running < runtime->worker_count; runtime->workers_running++) {
        struct worker *worker = &runtime->workers[runtime->workers_running];
        int error = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (error)
            return -error;
    }
    return 0;
}

void scheduler_stop(struct runtime *runtime)
{
    atomic_store(&runtime->ending, true);
    for (unsigned i = 0; i < runtime->workers_running; i++) {
        atomic_store_explicit(&runtime->workers[i].park, 0, memory_order_release);
        futex_wake(&runtime->workers[i].park, 1);
    }
    for (unsigned i = 0; i < runtime->workers_running; i++)
        pthread_join(runtime->workers[i].thread, NULL);
    runtime->workers_running = 0;
}

/* ---- manual ---------------------------------------------------------------------------------- */

static struct actor *pick_ready(struct runtime *runtime)
{
    uint64_t value = 0;

    if (!runtime->ready_count)
        return NULL;
    if (runtime->ready_count > 1)
        runtime->random->fill(runtime->random, &value, sizeof value);
    size_t index = value % runtime->ready_count;
    struct actor *actor = runtime->ready[index];
    runtime->ready[index] = runtime->ready[--runtime->ready_count];
    return actor;
}

bool runtime_step(struct runtime *runtime)
{
    struct worker *worker = &runtime->workers[0];

    CORE_ASSERT(runtime, runtime->manual);
    worker->now_ns = runtime->clock->now_ns(runtime->clock);
    timers_fire(runtime, worker, worker->now_ns);
    struct actor *actor = pick_ready(runtime);
    if (!actor)
        return pins_poll(runtime, worker);
    if (actor_turn(worker, actor) == TURN_MORE)
        ready_push(runtime, actor);
    return true;
}

uint64_t runtime_next_timer_ns(struct runtime *runtime)
{
    return timers_next_ns(runtime);
}
