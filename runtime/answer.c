/* SPDX-License-Identifier: Apache-2.0 */
/* The answerer's side of a request: reply, defer, answer later, forward, and what becomes of a
 * deferred one that is cancelled or too late. See request.c for the whole. */
#include <errno.h>

#include "core.h"

#define FORWARDS_MAX 64u  /* more is a loop */
#define CARRIER_KEEP 128u /* bytes of a request's body worth keeping as carrier */

static void in_remove(struct context *context, struct open_in *in)
{
    struct open_tables *open = context->actor->open;

    due_remove(open, &in->item);
    spin_lock(&context->actor->lock);
    if (in->type == RUNTIME_MONITOR)
        open->monitors_in--;
    table_remove(&open->in, in);
    spin_unlock(&context->actor->lock);
}

/* Makes `message` the answer to the request that `to` sent under `request`. */
static int send_answer(struct context *context, struct message *message, struct actor_id to,
                       uint64_t request, uint64_t trace)
{
    message->flags = (message->flags & (MESSAGE_WIPE | MESSAGE_UNTRACED)) | MESSAGE_ANSWER;
    message->from = context->self;
    message->to = to;
    message->request = request;
    message->trace = trace;
    message->deadline_ns = 0;
    return route(context->runtime, context->worker, message);
}

static bool at_hand_is_open(const struct context *context)
{
    return context->message && (context->message->flags & MESSAGE_REQUEST) && !context->settled;
}

int context_reply(struct context *context, struct message *message)
{
    if (!at_hand_is_open(context)) {
        message_free(message);
        return context->settled ? -EALREADY : 0;
    }
    if (!message)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    context->settled = true;
    send_answer(context, message, context->message->from, context->message->request,
                context->message->trace);
    return 0;
}

int context_reply_status(struct context *context, enum runtime_status status,
                         uint32_t retry_after_ms)
{
    if (!at_hand_is_open(context))
        return context->settled ? -EALREADY : 0;
    struct message *message = message_new(context->message->type, 0);
    if (!message)
        return -ENOMEM; /* UNANSWERED follows, in the request's own memory */
    context->settled = true;
    message->from = context->message->from;
    message->to = context->self;
    message->request = context->message->request;
    message->trace = context->message->trace;
    answer_status(context->runtime, context->worker, message, status, retry_after_ms);
    return 0;
}

struct request_id context_defer(struct context *context)
{
    struct message *message = context->message;

    if (!at_hand_is_open(context))
        return (struct request_id){0};
    struct open_tables *open = open_tables_get(context->actor);
    if (!open)
        return (struct request_id){0};
    spin_lock(&context->actor->lock);
    struct open_in *in = table_add(&open->in, message->from.n, message->request);
    if (in) {
        in->type = message->type;
        in->credit = message->part;
        in->trace = message->trace;
        in->since_ns = context->now_ns;
        in->deadline_ns = message->deadline_ns;
        if (in->type == RUNTIME_MONITOR)
            open->monitors_in++;
    }
    spin_unlock(&context->actor->lock);
    if (!in)
        return (struct request_id){0};
    context->settled = true;
    context->deferred.n = in->item.id;
    if (id_link(message->from) && message->deadline_ns)
        due_add(context->runtime, context->actor, message->deadline_ns, DUE_IN, &in->item);
    return context->deferred;
}

/* The handler that deferred has returned: its message becomes the carrier of a later status. */
void request_keep(struct context *context, struct message *message)
{
    struct open_in *in = table_find(&context->actor->open->in, context->deferred.n);
    struct message *carrier = message;

    if (!in) { /* answered before the handler returned */
        message_free(message);
        return;
    }
    if (message->flags & MESSAGE_WIPE)
        memory_wipe(message->body, message->size);
    if (message->size > CARRIER_KEEP && (carrier = message_new(message->type, 0))) {
        carrier->from = message->from;
        carrier->to = message->to;
        carrier->request = message->request;
        carrier->trace = message->trace;
        carrier->flags = message->flags;
        message_free(message);
    } else if (!carrier) {
        carrier = message; /* large, but there is nothing else */
    }
    carrier->size = 0;
    in->carrier = carrier;
}

/* `retry_after_ms` of a request counts how often it was passed on, so that the requester, who
 * hears of each from another actor, knows the last. */
void request_forward(struct context *context, struct message *message)
{
    struct message *notice = NULL;

    if (message->retry_after_ms >= FORWARDS_MAX) {
        bounce(context->runtime, context->worker, message, STATUS_FORBIDDEN, 0);
        return;
    }
    if (message->flags & MESSAGE_REQUEST) {
        notice = message_internal(RUNTIME_HOLDER, context->forward_to, message->from);
        message->retry_after_ms++;
    }
    if (notice) {
        notice->request = message->request;
        notice->part = message->part;
        notice->retry_after_ms = message->retry_after_ms;
    }
    message->to = context->forward_to;
    if (route(context->runtime, context->worker, message) == 0 && notice)
        route(context->runtime, context->worker, notice);
    else
        message_free(notice);
}

int context_forward(struct context *context, struct actor_id to)
{
    if (!context->message || context->settled ||
        context->message->flags & (MESSAGE_ANSWER | MESSAGE_PART))
        return -EINVAL;
    context->settled = true;
    context->forward_to = to;
    return 0;
}

int context_answer(struct context *context, struct request_id request, struct message *message)
{
    struct open_tables *open = context->actor->open;
    struct open_in *in = open ? table_find(&open->in, request.n) : NULL;

    if (!in) {
        message_free(message);
        return -ENOENT;
    }
    if (!message)
        return context_answer_status(context, request, STATUS_NO_MEMORY, 0);
    struct open_in was = *in;
    in_remove(context, in);
    message_free(was.carrier);
    send_answer(context, message, (struct actor_id){was.item.key[0]}, was.item.key[1], was.trace);
    return 0;
}

int context_answer_status(struct context *context, struct request_id request,
                          enum runtime_status status, uint32_t retry_after_ms)
{
    struct open_tables *open = context->actor->open;
    struct open_in *in = open ? table_find(&open->in, request.n) : NULL;

    if (!in)
        return -ENOENT;
    struct open_in was = *in;
    struct message *carrier = was.carrier ? was.carrier : message_new(was.type, 0);
    if (!carrier)
        return -ENOMEM;
    in_remove(context, in);
    carrier->from.n = was.item.key[0];
    carrier->to = context->self;
    carrier->request = was.item.key[1];
    carrier->trace = was.trace;
    answer_status(context->runtime, context->worker, carrier, status, retry_after_ms);
    return 0;
}

bool request_in_expired(struct context *context, struct open_in *in)
{
    const struct actor_ops *ops = context->actor->ops;
    struct request_id request = {in->item.id};

    context_answer_status(context, request, STATUS_EXPIRED, 0);
    return ops->on_cancel &&
           context_finish(context, ops->on_cancel(context->actor->state, context, request));
}

bool request_cancelled(struct context *context, struct message *message)
{
    const struct actor_ops *ops = context->actor->ops;
    struct open_tables *open = context->actor->open;
    struct open_in *in =
        open ? table_find_key(&open->in, message->from.n, message->request) : NULL;

    if (!in) {
        struct actor *actor = context->actor;
        message_free(
            mailbox_remove(&actor->mailbox, &actor->queues, message->from, message->request));
        message_free(message);
        return false;
    }
    struct request_id request = {in->item.id};
    bool own = in->type == RUNTIME_MONITOR;
    message_free(in->carrier);
    message_free(message);
    in_remove(context, in);
    return !own && ops->on_cancel &&
           context_finish(context, ops->on_cancel(context->actor->state, context, request));
}
