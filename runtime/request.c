/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: exactly one answer each.
 *
 * A request is known at both ends. The requester has an `open_out` from the moment it asks: its
 * number is the request's number, and the first thing that arrives under it - answer, status, or
 * its own deadline - removes it; whatever comes later finds nothing and is counted. That is the
 * whole of "exactly once". The answerer needs an entry only when it defers: an `open_in`, found by
 * requester and number. A request in a mailbox or in a running handler is its own entry.
 *
 * Who ends while owing answers gives each the status DIED. The memory for that is set aside when
 * the request is deferred (the `carrier`), so it cannot fail. A monitor is such a request, of the
 * core's own type, which only the end answers; so is each half of a link.
 *
 * A requester that no longer waits says CANCEL to the holder. The holder of a forwarded request is
 * another: who forwards tells the requester (HOLDER), or, when the requester had already given
 * up, the requester finds no entry and cancels at the new holder. CANCEL travels ahead of ordinary
 * messages; if the request is still queued it is taken out of the queue.
 *
 * Deadlines are the requester's business. Only for a requester in another process the answerer's
 * side watches too, for a program that is not ours may never cancel. */
#include <errno.h>
#include <stdlib.h>

#include "core.h"

#define DEADLINE_DEFAULT_NS (60 * UINT64_C(1000000000))

struct open_tables *open_tables_get(struct actor *actor)
{
    if (actor->open)
        return actor->open;
    struct open_tables *open = calloc(1, sizeof *open);
    if (!open)
        return NULL;
    table_init(&open->out, sizeof(struct open_out));
    table_init(&open->in, sizeof(struct open_in));
    table_init(&open->timers, sizeof(struct open_timer));
    open->armed_ns = UINT64_MAX;
    open->tick.flags = MESSAGE_INTERNAL | MESSAGE_CONTROL | MESSAGE_UNTRACED;
    open->tick.type = RUNTIME_TICK;
    spin_lock(&actor->lock);
    actor->open = open;
    spin_unlock(&actor->lock);
    return open;
}

static void send_cancel(struct runtime *runtime, struct worker *worker, struct actor_id from,
                        const struct open_out *out)
{
    struct message *cancel = message_new(out->type, 0);
    if (!cancel)
        return; /* the answer will find nobody */
    cancel->flags = MESSAGE_CANCEL | MESSAGE_CONTROL | MESSAGE_UNTRACED;
    cancel->from = from;
    cancel->to = out->holder;
    cancel->request = out->item.id;
    route(runtime, worker, cancel);
}

void open_tables_end(struct context *context, struct open_tables *open, enum exit_reason reason,
                     int error)
{
    uint32_t cursor = 0;
    struct open_in *in;
    struct open_out *out;

    if (!open)
        return;
    while ((in = table_next(&open->in, &cursor)))
        answer_died(context->runtime, context->worker, in->carrier, reason, error);
    cursor = 0;
    while ((out = table_next(&open->out, &cursor)))
        send_cancel(context->runtime, context->worker, context->self, out);
    table_deinit(&open->in);
    table_deinit(&open->out);
    table_deinit(&open->timers);
    free(open->heap);
    free(open);
}

/* ---- asking -------------------------------------------------------------------------------- */

static void out_remove(struct context *context, struct open_out *out)
{
    struct open_tables *open = context->actor->open;

    due_remove(open, &out->item);
    spin_lock(&context->actor->lock);
    if (out->kind != OPEN_REQUEST)
        open->monitors_out--;
    table_remove(&open->out, out);
    spin_unlock(&context->actor->lock);
}

static struct open_out *out_add(struct context *context, struct actor_id to, enum open_kind kind,
                                uint32_t type, uint64_t deadline_ns)
{
    struct open_tables *open = open_tables_get(context->actor);
    if (!open)
        return NULL;

    spin_lock(&context->actor->lock);
    struct open_out *out = table_add(&open->out, 0, 0);
    if (out) {
        out->holder = to;
        out->kind = kind;
        out->type = type;
        out->status = STATUS_EXPIRED;
        out->deadline_ns = deadline_ns;
        out->since_ns = context->now_ns;
        if (kind != OPEN_REQUEST)
            open->monitors_out++;
    }
    spin_unlock(&context->actor->lock);
    if (out && deadline_ns &&
        due_add(context->runtime, context->actor, deadline_ns, DUE_OUT, &out->item) < 0) {
        out_remove(context, out);
        return NULL;
    }
    return out;
}

static uint64_t deadline_of(const struct context *context, const struct request_options *options)
{
    if (options->deadline_ns)
        return options->deadline_ns;
    if (context->message && context->message->deadline_ns)
        return context->message->deadline_ns;
    return context->now_ns + DEADLINE_DEFAULT_NS;
}

int context_request(struct context *context, struct actor_id to, struct message *message,
                    const struct request_options *options)
{
    static const struct request_options plain = {0};
    if (!options)
        options = &plain;
    uint64_t deadline_ns = message ? deadline_of(context, options) : context->now_ns;

    struct open_out *out = out_add(context, to, OPEN_REQUEST, message ? message->type : 0,
                                   deadline_ns);
    if (!out) {
        message_free(message);
        return -ENOMEM;
    }
    out->tag = options->tag;
    out->credit = out->granted = options->credit;
    if (options->ret_request)
        options->ret_request->n = out->item.id;
    if (!message) { /* comes back through the timer, which needs no memory */
        out->status = STATUS_NO_MEMORY;
        return 0;
    }
    message->flags = (message->flags & (MESSAGE_WIPE | MESSAGE_CONTROL | MESSAGE_UNTRACED)) |
                     MESSAGE_REQUEST;
    message->from = context->self;
    message->to = to;
    message->request = out->item.id;
    message->part = options->credit;
    message->retry_after_ms = 0;
    message->deadline_ns = deadline_ns;
    message->trace = context->trace ? context->trace : trace_new(context->runtime);
    route(context->runtime, context->worker, message);
    return 0;
}

static void monitor(struct context *context, struct actor_id who, enum open_kind kind)
{
    struct message *message = message_internal(RUNTIME_MONITOR, context->self, who);
    struct open_out *out = message ? out_add(context, who, kind, RUNTIME_MONITOR, 0) : NULL;

    if (!out) {
        message_free(message);
        context_stop(context, -ENOMEM);
        return;
    }
    message->flags |= MESSAGE_REQUEST;
    message->request = out->item.id;
    route(context->runtime, context->worker, message);
}

void context_monitor(struct context *context, struct actor_id who)
{
    monitor(context, who, OPEN_MONITOR);
}

void monitor_link(struct context *context, struct actor_id who)
{
    monitor(context, who, OPEN_LINK);
}

void context_demonitor(struct context *context, struct actor_id who)
{
    struct open_tables *open = context->actor->open;
    uint32_t cursor = 0;
    struct open_out *out;

    while (open && (out = table_next(&open->out, &cursor))) {
        if (out->kind == OPEN_MONITOR && actor_id_equal(out->holder, who)) {
            send_cancel(context->runtime, context->worker, context->self, out);
            out_remove(context, out);
            return;
        }
    }
}

void context_cancel(struct context *context, struct request_id request)
{
    struct open_tables *open = context->actor->open;
    struct open_out *out = open ? table_find(&open->out, request.n) : NULL;

    if (!out)
        return;
    send_cancel(context->runtime, context->worker, context->self, out);
    out_remove(context, out);
}

/* ---- what comes back ----------------------------------------------------------------------- */

static bool on_status(struct context *context, uint64_t tag, enum runtime_status status)
{
    const struct actor_ops *ops = context->actor->ops;
    return ops->on_status &&
           context_finish(context, ops->on_status(context->actor->state, context, tag, status));
}

static bool on_down(struct context *context, const struct open_out *out,
                    const struct message *message)
{
    const struct actor_ops *ops = context->actor->ops;
    enum exit_reason reason = message->status == STATUS_DIED        ? message->part
                              : message->status == STATUS_PEER_DOWN ? EXIT_PEER_DOWN
                                                                    : EXIT_NO_ACTOR;
    int error = message->status == STATUS_DIED ? (int)message->retry_after_ms : 0;

    if (out->kind == OPEN_LINK) {
        if (reason == EXIT_NORMAL)
            return false;
        actor_end(context, EXIT_LINKED, error);
        return true;
    }
    return ops->on_down && context_finish(context, ops->on_down(context->actor->state, context,
                                                                out->holder, reason, error));
}

static bool on_answer(struct context *context, struct message *message)
{
    const struct actor_handler *row;
    const void *decoded;
    enum runtime_status status = dispatch_check(context, message, &row, &decoded);

    if (status != STATUS_OK) {
        count_drop(context->runtime, status, message);
        if (context->is_part) /* this status is the one answer; no more of the stream */
            context_cancel(context, (struct request_id){message->request});
        return on_status(context, context->tag, status);
    }
    inspection_row(context->actor, context->actor->row);
    return context_finish(context, row->handle(context->actor->state, context, decoded));
}

/* A part takes one credit; who sends more than was allowed breaks the protocol. */
static bool take_part(struct context *context, struct open_out *out, struct message *message)
{
    if (out->credit == 0) {
        count_drop(context->runtime, STATUS_FORBIDDEN, message);
        return false;
    }
    spin_lock(&context->actor->lock);
    out->credit--;
    spin_unlock(&context->actor->lock);
    return true;
}

bool request_answered(struct context *context, struct message *message)
{
    struct open_tables *open = context->actor->open;
    struct open_out *out = open ? table_find(&open->out, message->request) : NULL;
    bool ended = false;

    if (!out || (message->flags & MESSAGE_PART && !take_part(context, out, message))) {
        if (!out && !(message->flags & (MESSAGE_INTERNAL | MESSAGE_STATUS)))
            count_drop(context->runtime, STATUS_CANCELLED, message);
        message_free(message);
        return false;
    }
    struct open_out was = *out;
    context->message = message;
    context->tag = was.tag;
    context->trace = message->trace;
    context->is_part = message->flags & MESSAGE_PART;
    if (!context->is_part)
        out_remove(context, out);
    if (was.kind != OPEN_REQUEST)
        ended = on_down(context, &was, message);
    else if (ask_take(context, message))
        ended = context_finish(context, 0);
    else if (message->flags & MESSAGE_STATUS)
        ended = on_status(context, was.tag, message->status);
    else
        ended = on_answer(context, message);
    if (!context->stolen)
        message_free(message);
    return ended;
}

bool request_out_expired(struct context *context, struct open_out *out)
{
    uint64_t tag = out->tag;
    enum runtime_status status = out->status;

    if (status == STATUS_EXPIRED)
        send_cancel(context->runtime, context->worker, context->self, out);
    out_remove(context, out);
    return on_status(context, tag, status);
}

void request_moved(struct context *context, struct message *message)
{
    struct open_tables *open = context->actor->open;
    struct open_out *out = open ? table_find(&open->out, message->request) : NULL;

    if (!out) {
        struct open_out gone = {.item.id = message->request, .holder = message->from};
        send_cancel(context->runtime, context->worker, context->self, &gone);
    } else if (message->retry_after_ms > out->hops) { /* else a later holder is known already */
        spin_lock(&context->actor->lock);
        out->holder = message->from;
        out->hops = message->retry_after_ms;
        spin_unlock(&context->actor->lock);
        if (out->granted > message->part)
            stream_grant(context->runtime, context->worker, context->self, out->holder,
                         out->item.id, out->granted - message->part);
    }
    message_free(message);
}
