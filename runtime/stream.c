/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: numbered parts before the final answer, as many as the requester has given credit for.
 *
 * The first credit travels with the request, more of it in CREDIT messages to the holder. When a
 * request is forwarded, credit may be on its way to who held it before. So the forwarder tells the
 * requester how much the request had when it was passed on, and the requester grants the new
 * holder the difference to all it ever granted. The forwarder keeps nothing and ignores what
 * comes late. */
#include <errno.h>

#include "core.h"

int context_part(struct context *context, struct request_id request, struct message *message)
{
    struct open_tables *open = context->actor->open;
    struct open_in *in = open ? table_find(&open->in, request.n) : NULL;

    if (!in) {
        message_free(message);
        return -ENOENT;
    }
    if (!message)
        return -ENOMEM;
    if (in->credit == 0) {
        in->starved = true;
        return -EAGAIN;
    }
    spin_lock(&context->actor->lock);
    in->credit--;
    message->part = in->parts++;
    spin_unlock(&context->actor->lock);
    message->flags = (message->flags & (MESSAGE_WIPE | MESSAGE_UNTRACED)) | MESSAGE_PART;
    message->from = context->self;
    message->to.n = in->item.key[0];
    message->request = in->item.key[1];
    message->trace = in->trace;
    message->deadline_ns = 0;
    return route(context->runtime, context->worker, message);
}

uint32_t context_credit_left(const struct context *context, struct request_id request)
{
    struct open_tables *open = context->actor->open;
    struct open_in *in = open ? table_find(&open->in, request.n) : NULL;
    if (in && in->credit == 0)
        in->starved = true;
    return in ? in->credit : 0;
}

int stream_grant(struct runtime *runtime, struct worker *worker, struct actor_id from,
                 struct actor_id holder, uint64_t request, uint32_t parts)
{
    struct message *message = message_new(0, 0);
    if (!message)
        return -ENOMEM;
    message->flags = MESSAGE_CREDIT | MESSAGE_CONTROL | MESSAGE_UNTRACED;
    message->from = from;
    message->to = holder;
    message->request = request;
    message->size = parts;
    route(runtime, worker, message);
    return 0;
}

void context_credit(struct context *context, struct request_id request, uint32_t parts)
{
    struct open_tables *open = context->actor->open;
    struct open_out *out = open ? table_find(&open->out, request.n) : NULL;

    if (!out || parts == 0)
        return;
    spin_lock(&context->actor->lock);
    out->credit += parts;
    out->granted += parts;
    spin_unlock(&context->actor->lock);
    if (stream_grant(context->runtime, context->worker, context->self, out->holder, request.n,
                     parts) < 0)
        context_stop(context, -ENOMEM); /* the stream would stand still for ever */
}

/* Credit for a request of which we are the holder: deferred, or still queued. */
bool stream_credit(struct context *context, struct message *message)
{
    const struct actor_ops *ops = context->actor->ops;
    struct open_tables *open = context->actor->open;
    struct actor_id from = message->from;
    uint64_t number = message->request;
    uint32_t parts = message->size;

    message_free(message);
    struct open_in *in = open ? table_find_key(&open->in, from.n, number) : NULL;
    if (!in) {
        struct actor *actor = context->actor;
        struct message *queued = mailbox_find(&actor->mailbox, &actor->queues, from, number);
        if (queued)
            queued->part += parts;
        return false;
    }
    struct request_id request = {in->item.id};
    bool starved = in->starved;
    in->credit += parts;
    in->starved = false;
    return starved && ops->on_credit &&
           context_finish(context, ops->on_credit(context->actor->state, context, request));
}
