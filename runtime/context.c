/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler sees and does that needs no open request: who am I, who sent this, what time is
 * it; telling, spawning, stopping. */
#include <errno.h>
#include <string.h>

#include "core.h"

struct actor_id context_self(const struct context *context)
{
    return context->self;
}

const char *context_name(const struct context *context)
{
    return context->actor && context->actor->cold ? context->actor->cold->name : "";
}

struct runtime *context_runtime(const struct context *context)
{
    return context->runtime;
}

uint64_t context_now_ns(const struct context *context)
{
    return context->now_ns;
}

int64_t context_wall_ms(const struct context *context)
{
    return context->runtime->clock->wall_ms(context->runtime->clock);
}

uint64_t context_random(struct context *context)
{
    uint64_t value;
    context->runtime->random->fill(context->runtime->random, &value, sizeof value);
    return value;
}

const struct message *context_message(const struct context *context)
{
    return context->message;
}

uint64_t context_tag(const struct context *context)
{
    return context->tag;
}

bool context_is_part(const struct context *context)
{
    return context->is_part;
}

uint32_t context_sender_kind(const struct context *context)
{
    if (!context->message)
        return 0;
    unsigned link = id_link(context->message->from);
    return link ? remote_kind(context->runtime, link) : (uint32_t)FROM_LOCAL;
}

const char *context_sender_peer(const struct context *context)
{
    unsigned link = context->message ? id_link(context->message->from) : 0;
    return link ? runtime_peer_name(context->runtime, link) : "";
}

int context_send(struct context *context, struct actor_id to, struct message *message)
{
    if (!message)
        return -ENOMEM;
    message->flags &= MESSAGE_WIPE | MESSAGE_CONTROL | MESSAGE_UNTRACED;
    message->from = context->self;
    message->to = to;
    message->request = 0;
    message->deadline_ns = 0;
    message->trace = context->trace ? context->trace : trace_new(context->runtime);
    int error = route(context->runtime, context->worker, message);
    if (error < 0 && context->actor)
        atomic_fetch_add_explicit(&context->actor->failed_sends, 1, memory_order_relaxed);
    return error;
}

int context_spawn(struct context *context, const struct actor_ops *ops, const void *config,
                  const struct spawn_options *options, struct actor_id *ret_id)
{
    return actor_new(context, context->runtime, ops, config, options, ret_id);
}

void context_stop(struct context *context, int error)
{
    if (context->stopping)
        return;
    context->stopping = true;
    context->stop_error = error;
    context->stop_reason = error < 0 ? EXIT_FAILED : EXIT_NORMAL;
}

static void send_stop(struct runtime *runtime, struct worker *worker, struct actor_id from,
                      struct actor_id who)
{
    struct message *message = message_internal(0, from, who);
    if (!message) {
        runtime_log(runtime, 3, "no memory to stop an actor");
        return;
    }
    message->type = ACTOR_STOP_TYPE;
    message->flags &= ~MESSAGE_CONTROL; /* behind what was sent before */
    route(runtime, worker, message);
}

void context_stop_other(struct context *context, struct actor_id who)
{
    if (!id_link(who)) /* what lives in another process is that process's to stop */
        send_stop(context->runtime, context->worker, context->self, who);
}

void runtime_stop_actor(struct runtime *runtime, struct actor_id who)
{
    if (!id_link(who))
        send_stop(runtime, NULL, (struct actor_id){0}, who);
}

struct actor_id context_lookup(struct context *context, const char *name)
{
    return name_find(context->runtime, name);
}

struct actor_id context_remote(struct context *context, const char *peer, const char *name)
{
    return runtime_remote(context->runtime, peer, name);
}

void context_watch_links(struct context *context)
{
    remote_watch(context->runtime, context->self);
}
