/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned actors: a thread each, for those that must wait on something else than their mailbox.
 *
 * The thread runs turns until the mailbox rests, then calls the actor's `wait` (or sleeps on a
 * futex when it has none). A sender that finds the mailbox idle calls `wake`. The actor may have
 * woken by itself, handled that very message and ended in the meantime; so `wake` runs under a
 * lock with a flag that the end clears before the state is freed. A `struct pin` outlives its
 * actor, for a late sender may still hold it; it serves another pinned actor then, so that one
 * spawned for each of many short tasks costs no more than as many as live at a time. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

void pin_wake(struct pin *pin)
{
    pthread_mutex_lock(&pin->lock);
    if (pin->alive && pin->actor->ops->wake) {
        pin->actor->ops->wake(pin->actor->state);
    } else {
        atomic_store_explicit(&pin->bell, 1, memory_order_release);
        futex_wake(&pin->bell, 1);
    }
    pthread_mutex_unlock(&pin->lock);
}

void pin_release(struct pin *pin)
{
    pthread_mutex_lock(&pin->lock);
    pin->alive = false;
    pthread_mutex_unlock(&pin->lock);
}

/* For who looks while the actor is inside its wait. */
static void pin_describe(struct actor *actor)
{
    char text[sizeof actor->cold->described];

    if (!actor->ops->describe || !actor->cold)
        return;
    actor->ops->describe(actor->state, text, sizeof text);
    spin_lock(&actor->lock);
    memcpy(actor->cold->described, text, sizeof text);
    spin_unlock(&actor->lock);
}

/* The mailbox is at rest. True: the actor has ended. */
static bool pin_rest(struct pin *pin, struct actor *actor)
{
    struct worker *worker = &pin->worker;
    struct runtime *runtime = worker->runtime;
    bool ended = false;

    pin_describe(actor);
    if (actor->ops->wait) {
        uint64_t due_ns = actor_next_due_ns(actor), timeout_ns = UINT64_MAX;
        worker->now_ns = runtime->clock->now_ns(runtime->clock);
        if (due_ns != UINT64_MAX)
            timeout_ns = due_ns > worker->now_ns ? due_ns - worker->now_ns : 0;
        if (atomic_load(&runtime->ending))
            timeout_ns = 0;
        ended = actor_wait(worker, actor, timeout_ns);
    } else {
        while (!atomic_load_explicit(&pin->bell, memory_order_acquire) &&
               !atomic_load(&runtime->ending))
            futex_wait(&pin->bell, 0);
        atomic_store_explicit(&pin->bell, 0, memory_order_relaxed);
    }
    if (!ended)
        mailbox_claim(&actor->mailbox);
    worker->now_ns = runtime->clock->now_ns(runtime->clock);
    return ended;
}

static void pin_run(struct pin *pin)
{
    struct worker *worker = &pin->worker;
    struct runtime *runtime = worker->runtime;
    struct actor *actor = pin->actor;
    struct context context;

    for (;;) {
        watch_arm(runtime);
        switch (actor_turn(worker, actor)) {
        case TURN_ENDED:
            return;
        case TURN_IDLE:
            if (pin_rest(pin, actor))
                return;
            break;
        case TURN_MORE:
            break;
        }
        if (atomic_load(&runtime->ending)) {
            context_init(&context, runtime, worker, actor);
            actor_end(&context, EXIT_SHUTDOWN, 0);
            return;
        }
    }
}

struct pin_started {
    int error;
    _Atomic uint32_t done; /* futex */
};

/* For who looks at the process from outside (top -H, gdb, strace). The kernel keeps 15 bytes. */
static void name_thread(const struct actor *actor)
{
    char text[16];

    snprintf(text, sizeof text, "%.15s", actor->ops->name);
    pthread_setname_np(pthread_self(), text);
}

static void *pin_main(void *arg)
{
    struct pin *pin = arg;
    struct worker *worker = &pin->worker;
    struct pin_started *started = pin->started;
    uint64_t id = atomic_load_explicit(&pin->actor->id, memory_order_relaxed);

    name_thread(pin->actor);
    message_pool_enter(&worker->pool, &worker->runtime->depot);
    atomic_store_explicit(&worker->self, (uint64_t)pthread_self(), memory_order_relaxed);
    worker->now_ns = worker->runtime->clock->now_ns(worker->runtime->clock);
    int error = actor_start(worker->runtime, worker, pin->actor, pin->config);
    bool alive = error == 0 && atomic_load_explicit(&pin->actor->id, memory_order_relaxed) == id;
    started->error = error;
    atomic_store_explicit(&started->done, 1, memory_order_release);
    futex_wake(&started->done, 1);
    if (alive)
        pin_run(pin);
    message_pool_leave(&worker->pool);
    atomic_store_explicit(&pin->finished, true, memory_order_release);
    return NULL;
}

/* A pin whose thread is through. A sender that still holds it for its last actor may wake the next
 * one for nothing, which a wake may always do. */
static struct pin *pin_reuse(struct runtime *runtime)
{
    for (struct pin *pin = atomic_load(&runtime->pins); pin; pin = pin->next) {
        if (!atomic_exchange_explicit(&pin->finished, false, memory_order_acq_rel))
            continue;
        if (pin->joinable)
            pthread_join(pin->worker.thread, NULL);
        pin->joinable = false;
        return pin;
    }
    return NULL;
}

static struct pin *pin_new(struct runtime *runtime)
{
    struct pin *pin = aligned_alloc(_Alignof(struct pin), sizeof *pin);
    if (!pin)
        return NULL;
    *pin = (struct pin){.worker = {.runtime = runtime, .index = -1}};
    pthread_mutex_init(&pin->lock, NULL);
    pin->next = atomic_load_explicit(&runtime->pins, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&runtime->pins, &pin->next, pin,
                                                  memory_order_release, memory_order_relaxed))
        continue;
    return pin;
}

/* Nothing has run: `stop` accepts a state that never started. */
static int pin_fail(struct runtime *runtime, struct worker *worker, struct actor *actor, int error)
{
    struct context context;

    context_init(&context, runtime, worker, actor);
    actor_end(&context, EXIT_FAILED, error);
    return error;
}

int pin_start(struct runtime *runtime, struct worker *worker, struct actor *actor,
              const void *config)
{
    struct pin_started started = {0};
    struct pin *pin = pin_reuse(runtime);

    if (!pin && !(pin = pin_new(runtime)))
        return pin_fail(runtime, worker, actor, -ENOMEM);
    pthread_mutex_lock(&pin->lock);
    pin->actor = actor;
    pin->alive = true;
    pthread_mutex_unlock(&pin->lock);
    pin->config = config;
    pin->started = &started;
    pin->joinable = true; /* before the thread can be through and the pin another's */
    atomic_store_explicit(&pin->bell, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->pin, pin, memory_order_release);
    int error = pthread_create(&pin->worker.thread, NULL, pin_main, pin);
    if (error) {
        pin->joinable = false;
        pin_fail(runtime, worker, actor, -error);
        atomic_store_explicit(&pin->finished, true, memory_order_release);
        return -error;
    }
    while (!atomic_load_explicit(&started.done, memory_order_acquire))
        futex_wait(&started.done, 0);
    return started.error;
}

void pins_join(struct runtime *runtime)
{
    for (struct pin *pin = runtime->pins; pin; pin = pin->next) {
        pin_wake(pin);
        if (pin->joinable)
            pthread_join(pin->worker.thread, NULL);
    }
}

void pins_free(struct runtime *runtime)
{
    while (runtime->pins) {
        struct pin *pin = runtime->pins;
        runtime->pins = pin->next;
        pthread_mutex_destroy(&pin->lock);
        free(pin);
    }
}

/* Manual: pinned actors take their turns like the others; their waits are polled when nothing else
 * can run. True when that made one runnable. */
bool pins_poll(struct runtime *runtime, struct worker *worker)
{
    uint32_t slots = atomic_load(&runtime->slots_used);

    for (uint32_t slot = 0; slot < slots; slot++) {
        struct actor *actor = actor_find(runtime, id_make(0, slot, 1));
        if (!atomic_load(&actor->id) || !actor->ops->wait)
            continue;
        if (mailbox_is_idle(&actor->mailbox) && actor_wait(worker, actor, 0))
            return true;
    }
    return runtime->ready_count > 0;
}
