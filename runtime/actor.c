/* SPDX-License-Identifier: Apache-2.0 */
/* An actor's life: spawn, turns, end.
 *
 * Only one thread at a time runs an actor: the one that found its mailbox word non-idle in a run
 * queue, or its own thread when it is pinned. So state, open tables and private queues need no
 * lock; what inspection reads too is changed under the actor's spin lock.
 *
 * The end has a fixed order. `stop` runs first, with everything still there. Then the address
 * stops working and the mailbox closes; then the slot and the name are free for a successor, so
 * that who hears of the death can restart under the same name at once; only then are those told
 * who wait: queued requests, deferred ones, monitors (which are requests, too). Requests of its
 * own are cancelled at whoever holds them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "fair.h"

#define TURN_NS UINT64_C(100000)

void context_init(struct context *context, struct runtime *runtime, struct worker *worker,
                  struct actor *actor)
{
    *context = (struct context){
        .runtime = runtime,
        .worker = worker,
        .actor = actor,
        .self = {atomic_load_explicit(&actor->id, memory_order_relaxed)},
        .now_ns = worker ? worker->now_ns : runtime->clock->now_ns(runtime->clock),
    };
}

bool context_finish(struct context *context, int error)
{
    if (error < 0) {
        actor_end(context, EXIT_FAILED, error);
        return true;
    }
    if (context->stopping) {
        actor_end(context, context->stop_reason, context->stop_error);
        return true;
    }
    return false;
}

static void cold_free(struct cold *cold)
{
    if (cold)
        inspection_free(cold->inspection);
    free(cold);
}

void actor_set_past(struct runtime *runtime, struct actor_id id, unsigned restarts, int last_error)
{
    struct actor *actor = actor_find(runtime, id);

    spin_lock(&actor->lock);
    if (atomic_load_explicit(&actor->id, memory_order_relaxed) == id.n && actor->cold)
        actor->cold->restarts = restarts;
    atomic_store_explicit(&actor->last_error, last_error, memory_order_relaxed);
    spin_unlock(&actor->lock);
}

/* ---- spawn ------------------------------------------------------------------------------- */

static int actor_prepare(struct runtime *runtime, struct actor *actor, const struct actor_ops *ops,
                         const char *name, struct actor_id supervisor)
{
    struct cold *cold = NULL;
    struct fair *fair = ops->fair_senders ? fair_new(mailbox_limit(ops->mailbox_limit)) : NULL;
    void *state = ops->state_size ? calloc(1, ops->state_size) : NULL;

    bool has_cold = name || actor_id_is_set(supervisor);

    if (has_cold) {
        cold = calloc(1, sizeof *cold);
        if (cold && name)
            strncpy(cold->name, name, sizeof cold->name - 1);
        if (cold)
            cold->supervisor = supervisor;
    }
    if ((!state && ops->state_size) || (!fair && ops->fair_senders) || (!cold && has_cold)) {
        free(state);
        free(cold);
        fair_free(fair);
        return -ENOMEM;
    }
    spin_lock(&actor->lock);
    actor->ops = ops;
    actor->state = state;
    actor->cold = cold;
    actor->queues.fair = fair;
    actor->open = NULL;
    actor->row = 0;
    actor->stop_asked = false;
    actor->started = atomic_fetch_add_explicit(&runtime->starts, 1, memory_order_relaxed);
    spin_unlock(&actor->lock);
    atomic_store_explicit(&actor->handled, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->busy_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->failed_sends, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->queue_high, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->oldest_sent_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->last_error, 0, memory_order_relaxed);
    atomic_store_explicit(&actor->pin, NULL, memory_order_relaxed);
    return 0;
}

int actor_start(struct runtime *runtime, struct worker *worker, struct actor *actor,
                const void *config)
{
    struct context context;
    int error = 0;

    context_init(&context, runtime, worker, actor);
    if (actor->ops->start)
        error = actor->ops->start(actor->state, &context, config);
    context_finish(&context, error < 0 ? error : 0);
    return error < 0 ? error : 0;
}

/* After start: the actor is running as far as its mailbox knows. */
static void actor_settle(struct runtime *runtime, struct worker *worker, struct actor *actor,
                         struct actor_id id)
{
    if (atomic_load_explicit(&actor->id, memory_order_relaxed) != id.n)
        return; /* it stopped itself in start */
    mailbox_take(&actor->mailbox, &actor->queues);
    if (!mailbox_rest(&actor->mailbox, &actor->queues))
        schedule(runtime, worker, actor);
}

int actor_new(struct context *parent, struct runtime *runtime, const struct actor_ops *ops,
              const void *config, const struct spawn_options *options, struct actor_id *ret_id)
{
    static const struct spawn_options plain = {0};
    struct worker *worker = parent ? parent->worker : NULL;
    struct actor_id supervisor = {0};
    struct actor *actor;

    if (!options)
        options = &plain;
    if (parent && parent->actor->ops == &supervisor_ops)
        supervisor = parent->self;
    int error = slot_take(runtime, options->name, &actor);
    if (error < 0)
        return error;
    struct actor_id id = id_make(0, actor->slot, actor->incarnation);
    error = actor_prepare(runtime, actor, ops, options->name, supervisor);
    if (error < 0) {
        slot_give(runtime, actor, options->name ? options->name : "");
        return error;
    }
    atomic_fetch_add_explicit(&runtime->alive, 1, memory_order_relaxed);
    mailbox_open(&actor->mailbox, ops->mailbox_limit);
    atomic_store_explicit(&actor->id, id.n, memory_order_release);

    if (parent && options->link) {
        struct context child;
        context_init(&child, runtime, worker, actor);
        monitor_link(&child, parent->self);
        monitor_link(parent, id);
    }
    if (options->pinned && !runtime->manual) {
        error = pin_start(runtime, worker, actor, config);
    } else {
        error = actor_start(runtime, worker, actor, config);
        if (error == 0)
            actor_settle(runtime, worker, actor, id);
    }
    if (error == 0 && ret_id)
        *ret_id = id;
    return error;
}

/* ---- end --------------------------------------------------------------------------------- */

static void drain(struct context *context, struct message_queue *left, enum exit_reason reason,
                  int error)
{
    struct message *message;

    while ((message = message_queue_pop(left))) {
        if (message->flags & MESSAGE_INTERNAL && message->type == RUNTIME_TICK)
            continue; /* part of the open tables */
        if (message->to.n != context->self.n) {
            bounce(context->runtime, context->worker, message, STATUS_NO_ACTOR, 0);
        } else if (message->flags & MESSAGE_REQUEST) {
            if (!(message->flags & MESSAGE_INTERNAL))
                count_drop(context->runtime, STATUS_DIED, message);
            answer_died(context->runtime, context->worker, message, reason, error);
        } else {
            bounce(context->runtime, context->worker, message, STATUS_DIED, 0);
        }
    }
}

static void log_end(struct context *context, const char *name, const char *kind,
                    enum exit_reason reason, int error)
{
    if (reason == EXIT_FAILED)
        runtime_log(context->runtime, 3, "actor %s (%s) failed: %s", name[0] ? name : "-", kind,
                    strerror(-error));
}

void actor_end(struct context *context, enum exit_reason reason, int error)
{
    struct runtime *runtime = context->runtime;
    struct actor *actor = context->actor;
    const char *kind = actor->ops->name;
    struct cold *cold;
    struct open_tables *open;
    struct message_queue left;
    struct fair *fair;

    if (reason == EXIT_NORMAL && actor->stop_asked)
        reason = EXIT_SHUTDOWN;
    struct pin *pin = atomic_load_explicit(&actor->pin, memory_order_relaxed);
    if (pin) /* first: `wake` must not meet a state that `stop` is taking down */
        pin_release(pin);
    if (actor->ops->stop)
        actor->ops->stop(actor->state, context);

    timers_forget(runtime, actor);
    mailbox_close(&actor->mailbox, &actor->queues, &left);

    spin_lock(&actor->lock);
    cold = actor->cold;
    open = actor->open;
    fair = actor->queues.fair;
    actor->queues.fair = NULL;
    void *state = actor->state;
    actor->cold = NULL;
    actor->open = NULL;
    actor->state = NULL;
    actor->ops = NULL;
    atomic_store_explicit(&actor->id, 0, memory_order_release);
    spin_unlock(&actor->lock);

    free(state);
    fair_free(fair);
    log_end(context, cold ? cold->name : "", kind, reason, error);
    slot_give(runtime, actor, cold ? cold->name : "");
    context->actor = NULL;
    drain(context, &left, reason, error);
    open_tables_end(context, open, reason, error);
    cold_free(cold);

    atomic_fetch_sub_explicit(&runtime->alive, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&runtime->deaths, 1, memory_order_acq_rel);
    if (atomic_load_explicit(&runtime->death_waiters, memory_order_acquire))
        futex_wake(&runtime->deaths, INT32_MAX);
}

/* ---- turns ------------------------------------------------------------------------------- */

static void turn_account(struct worker *worker, struct actor *actor, uint64_t handled,
                         uint64_t start_ns, bool alive)
{
    struct runtime *runtime = worker->runtime;
    worker->now_ns = runtime->clock->now_ns(runtime->clock);
    uint64_t spent_ns = worker->now_ns - start_ns;

    if (handled)
        worker->handler_ns = (worker->handler_ns * 7 + spent_ns / handled) / 8;
    if (!alive)
        return;
    /* Only the runner writes these: no atomic addition needed. */
    atomic_store_explicit(&actor->handled,
                          atomic_load_explicit(&actor->handled, memory_order_relaxed) + handled,
                          memory_order_relaxed);
    atomic_store_explicit(&actor->busy_ns,
                          atomic_load_explicit(&actor->busy_ns, memory_order_relaxed) + spent_ns,
                          memory_order_relaxed);
    inspection_turn(actor, spent_ns, handled);
}

static void note_queue(struct actor *actor)
{
    const struct message *oldest = actor->queues.normal.head;

    if (actor->queues.count > atomic_load_explicit(&actor->queue_high, memory_order_relaxed))
        atomic_store_explicit(&actor->queue_high, actor->queues.count, memory_order_relaxed);
    atomic_store_explicit(&actor->oldest_sent_ns, oldest ? oldest->sent_ns : 0,
                          memory_order_relaxed);
}

static void refuse_unfair(struct worker *worker, struct actor *actor)
{
    struct message *message;

    while (actor->queues.fair && (message = message_queue_pop(&actor->queues.fair->refused)))
        bounce(worker->runtime, worker, message, STATUS_BUSY, retry_after_ms(actor));
}

/* Turns are fair in time, not in number: with a backlog of messages that have been quick so far, as
 * many as fit TURN_NS. */
static uint64_t turn_limit(const struct runtime *runtime, const struct actor *actor)
{
    uint64_t limit = runtime->turn_messages;

    if (actor->queues.count > limit && !runtime->options.turn_messages) {
        uint64_t handled = atomic_load_explicit(&actor->handled, memory_order_relaxed);
        uint64_t busy_ns = atomic_load_explicit(&actor->busy_ns, memory_order_relaxed);
        uint64_t fit = busy_ns ? TURN_NS * handled / busy_ns : 0;
        limit = fit > limit ? fit : limit;
    }
    return limit;
}

enum turn actor_turn(struct worker *worker, struct actor *actor)
{
    struct runtime *runtime = worker->runtime;
    uint64_t start_ns = worker->now_ns, handled = 0, limit;
    struct context context;
    struct message *message;
    bool ended = false;

    atomic_store_explicit(&worker->running_since_ns, start_ns, memory_order_relaxed);
    atomic_store_explicit(&worker->running,
                          atomic_load_explicit(&actor->id, memory_order_relaxed),
                          memory_order_release);
    mailbox_take(&actor->mailbox, &actor->queues);
    refuse_unfair(worker, actor);
    note_queue(actor);
    limit = turn_limit(runtime, actor);
    while (handled < limit && (message = mailbox_pop(&actor->mailbox, &actor->queues))) {
        context_init(&context, runtime, worker, actor);
        handled++;
        ended = dispatch(&context, message);
        if (ended)
            break;
    }
    if (!ended)
        refuse_unfair(worker, actor); /* a handled cancel may have taken more in */
    turn_account(worker, actor, handled, start_ns, !ended);
    atomic_store_explicit(&worker->running, 0, memory_order_relaxed);
    if (ended)
        return TURN_ENDED;
    return mailbox_rest(&actor->mailbox, &actor->queues) ? TURN_IDLE : TURN_MORE;
}

bool actor_wait(struct worker *worker, struct actor *actor, uint64_t timeout_ns)
{
    struct context context;

    context_init(&context, worker->runtime, worker, actor);
    return context_finish(&context, actor->ops->wait(actor->state, &context, timeout_ns));
}
