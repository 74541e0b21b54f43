/* SPDX-License-Identifier: Apache-2.0 */
/* Pinned actors: a thread each, for those that must wait on something else than their mailbox.
 *
 * The thread runs turns until the mailbox rests, then calls the actor's `wait` (or sleeps on a
 * futex when it has none). A sender that finds the mailbox idle calls `wake`. The actor may have
 * woken by itself, handled that very message and ended in the meantime; so `wake` runs under a
 * lock with a flag that the end clears before the state is freed. A `struct pin` outlives its
 * actor until the runtime ends, for a late sender may still hold it. */
#include <errno.h>
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

static void *pin_main(void *arg)
{
    struct pin *pin = arg;
    struct worker *worker = &pin->worker;
    uint64_t id = atomic_load_explicit(&pin->actor->id, memory_order_relaxed);

    message_pool_enter(&worker->pool, &worker->runtime->depot);
    worker->now_ns = worker->runtime->clock->now_ns(worker->runtime->clock);
    int error = actor_start(worker->runtime, worker, pin->actor, pin->config);
    bool alive = error == 0 && atomic_load_explicit(&pin->actor->id, memory_order_relaxed) == id;
    pin->start_error = error;
    atomic_store_explicit(&pin->started, 1, memory_order_release);
    futex_wake(&pin->started, 1);
    if (alive)
        pin_run(pin);
    message_pool_leave(&worker->pool);
    return NULL;
}

static struct pin *pin_new(struct runtime *runtime, struct actor *actor, const void *config)
{
    struct pin *pin = aligned_alloc(_Alignof(struct pin), sizeof *pin);
    if (!pin)
        return NULL;
    *pin = (struct pin){
        .worker = {.runtime = runtime, .index = -1},
        .alive = true,
        .actor = actor,
        .config = config,
    };
    pthread_mutex_init(&pin->lock, NULL);
    pthread_mutex_lock(&runtime->pins_lock);
    pin->next = runtime->pins;
    runtime->pins = pin;
    pthread_mutex_unlock(&runtime->pins_lock);
    atomic_store_explicit(&actor->pin, pin, memory_order_release);
    return pin;
}

int pin_start(struct runtime *runtime, struct worker *worker, struct actor *actor,
              const void *config)
{
    struct pin *pin = pin_new(runtime, actor, config);
    int error = pin ? pthread_create(&pin->worker.thread, NULL, pin_main, pin) : ENOMEM;

    if (error) { /* nothing has run: `stop` accepts a state that never started */
        struct context context;
        context_init(&context, runtime, worker, actor);
        actor_end(&context, EXIT_FAILED, -error);
        return -error;
    }
    pin->joinable = true;
    while (!atomic_load_explicit(&pin->started, memory_order_acquire))
        futex_wait(&pin->started, 0);
    return pin->start_error;
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
