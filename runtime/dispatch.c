/* SPDX-License-Identifier: Apache-2.0 */
/* One message for one actor: find its row, check who sent it, decode it, call the handler, and see
 * that a request was answered. A message without a right row, body or sender is answered and
 * counted here, and the actor never hears of it. */
#include <errno.h>

#include "core.h"

static const struct actor_handler *find_row(struct actor *actor, uint32_t type)
{
    const struct actor_handler *rows = actor->ops->handlers;

    if (!rows)
        return NULL;
    if (rows[actor->row].handle && rows[actor->row].type == type)
        return &rows[actor->row];
    for (uint16_t i = 0; rows[i].handle; i++) {
        if (rows[i].type == type) {
            actor->row = i;
            return &rows[i];
        }
    }
    return NULL;
}

static uint32_t sender_kind(struct context *context, const struct message *message)
{
    if (message->flags & (MESSAGE_ANSWER | MESSAGE_PART))
        return FROM_ANSWER;
    return id_link(message->from) ? remote_kind(context->runtime, id_link(message->from))
                                  : (uint32_t)FROM_LOCAL;
}

enum runtime_status dispatch_check(struct context *context, const struct message *message,
                                   const struct actor_handler **ret_row, const void **ret_decoded)
{
    const struct actor_handler *row = find_row(context->actor, message->type);
    actor_decode_fn decode = context->actor->ops->decode;

    if (!row)
        return STATUS_UNKNOWN_TYPE;
    if (!(row->from & sender_kind(context, message)))
        return STATUS_FORBIDDEN;
    *ret_row = row;
    *ret_decoded = message->body;
    if (decode && row->schema) {
        if (decode(row->schema, message->body, message->size, context->worker->decoded) < 0)
            return STATUS_MALFORMED;
        *ret_decoded = context->worker->decoded;
    }
    return STATUS_OK;
}

/* The handler has returned; the request at hand is answered, kept or passed on. True: ended. */
static bool settle(struct context *context, struct message *message, int error)
{
    struct runtime *runtime = context->runtime;
    bool request = message->flags & MESSAGE_REQUEST;

    if (actor_id_is_set(context->forward_to) && error >= 0) {
        request_forward(context, message);
    } else if (context->deferred.n) {
        request_keep(context, message);
    } else if (request && (!context->settled || actor_id_is_set(context->forward_to))) {
        if (error < 0 || context->stopping) {
            count_drop(runtime, STATUS_DIED, message);
            answer_died(runtime, context->worker, message,
                        error < 0 ? EXIT_FAILED : context->stop_reason, error);
        } else {
            bounce(runtime, context->worker, message, STATUS_UNANSWERED, 0);
        }
    } else if (!context->stolen) {
        message_free(message);
    }
    context->message = NULL;
    return context_finish(context, error);
}

static bool handle(struct context *context, struct message *message)
{
    const struct actor_handler *row;
    const void *decoded;

    if (message->deadline_ns && message->deadline_ns <= context->now_ns) {
        bounce(context->runtime, context->worker, message, STATUS_EXPIRED, 0);
        return false;
    }
    enum runtime_status status = dispatch_check(context, message, &row, &decoded);
    if (status != STATUS_OK) {
        bounce(context->runtime, context->worker, message, status, 0);
        return false;
    }
    context->message = message;
    context->trace = message->trace;
    inspection_row(context->actor, context->actor->row);
    int error = row->handle(context->actor->state, context, decoded);
    return settle(context, message, error);
}

static bool stop_asked(struct context *context, struct message *message)
{
    context->actor->stop_asked = true;
    if (find_row(context->actor, ACTOR_STOP_TYPE))
        return handle(context, message);
    message_free(message);
    actor_end(context, EXIT_SHUTDOWN, 0);
    return true;
}

static bool link_changed(struct context *context, struct message *message)
{
    const struct actor_ops *ops = context->actor->ops;
    unsigned peer = id_link(message->from);
    bool up = message->part;

    message_free(message);
    if (!ops->on_link)
        return false;
    return context_finish(context, ops->on_link(context->actor->state, context,
                                                runtime_peer_name(context->runtime, peer), up));
}

static bool dispatch_internal(struct context *context, struct message *message)
{
    switch (message->type) {
    case ACTOR_STOP_TYPE:
        return stop_asked(context, message);
    case RUNTIME_MONITOR:
        context->message = message;
        if (context_defer(context).n)
            request_keep(context, message);
        else
            answer_status(context->runtime, context->worker, message, STATUS_NO_MEMORY, 0);
        context->message = NULL;
        return false;
    case RUNTIME_TICK:
        return timers_tick(context);
    case RUNTIME_HOLDER:
        request_moved(context, message);
        return false;
    case RUNTIME_LINK:
        return link_changed(context, message);
    default:
        message_free(message);
        return false;
    }
}

static void record(struct context *context, const struct message *message)
{
    struct worker *worker = context->worker;
    struct record *record = &worker->records[worker->record_next++ % RECORDS];

    atomic_store_explicit(&worker->running_type, message->type, memory_order_relaxed);
    atomic_store_explicit(&record->actor, context->self.n, memory_order_relaxed);
    atomic_store_explicit(&record->at_ns, context->now_ns, memory_order_relaxed);
    atomic_store_explicit(&record->type, message->type, memory_order_relaxed);
    atomic_store_explicit(&record->flags, message->flags, memory_order_relaxed);
    inspection_note(context, message);
    if (atomic_load_explicit(&context->runtime->taps_on, memory_order_relaxed))
        tap_message(context, message);
}

bool dispatch(struct context *context, struct message *message)
{
    if (message->to.n != context->self.n) {
        /* For the one who lived here before. */
        bounce(context->runtime, context->worker, message, STATUS_NO_ACTOR, 0);
        return false;
    }
    record(context, message);
    if (message->flags & (MESSAGE_ANSWER | MESSAGE_PART))
        return request_answered(context, message);
    if (message->flags & MESSAGE_CREDIT)
        return stream_credit(context, message);
    if (message->flags & MESSAGE_CANCEL)
        return request_cancelled(context, message);
    if (message->flags & MESSAGE_INTERNAL)
        return dispatch_internal(context, message);
    return handle(context, message);
}
