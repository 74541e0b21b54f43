/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: copies of what an actor receives, for someone who looks. Nobody looks most of the time, so
 * the price then is one relaxed load a message. Events are ordinary messages into a bounded
 * mailbox: the tapped never waits, and what does not fit is counted in the next event. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define TAPS_MAX 16u
#define TAP_BODY_MAX 4096u

struct tap {
    struct actor_id who, to; /* to {0}: free */
    uint32_t type, lost;
    unsigned left;
    bool bodies;
};

struct taps {
    pthread_mutex_t lock;
    struct tap taps[TAPS_MAX];
};

int taps_new(struct taps **ret_taps)
{
    struct taps *taps = calloc(1, sizeof *taps);
    if (!taps)
        return -ENOMEM;
    pthread_mutex_init(&taps->lock, NULL);
    *ret_taps = taps;
    return 0;
}

void taps_free(struct taps *taps)
{
    if (!taps)
        return;
    pthread_mutex_destroy(&taps->lock);
    free(taps);
}

int introspect_tap(struct runtime *runtime, struct actor_id who, struct actor_id to, uint32_t type,
                   unsigned limit, bool bodies)
{
    int error = -ENOSPC;

    pthread_mutex_lock(&runtime->taps->lock);
    for (unsigned i = 0; i < TAPS_MAX && error < 0; i++) {
        struct tap *tap = &runtime->taps->taps[i];
        if (actor_id_is_set(tap->to))
            continue;
        *tap = (struct tap){.who = who,
                            .to = to,
                            .type = type,
                            .left = limit ? limit : UINT32_MAX,
                            .bodies = bodies};
        atomic_fetch_add(&runtime->taps_on, 1);
        error = 0;
    }
    pthread_mutex_unlock(&runtime->taps->lock);
    return error;
}

static void tap_end(struct runtime *runtime, struct tap *tap)
{
    *tap = (struct tap){.left = 0};
    atomic_fetch_sub(&runtime->taps_on, 1);
}

void introspect_untap(struct runtime *runtime, struct actor_id to)
{
    pthread_mutex_lock(&runtime->taps->lock);
    for (unsigned i = 0; i < TAPS_MAX; i++)
        if (actor_id_is_set(to) && actor_id_equal(runtime->taps->taps[i].to, to))
            tap_end(runtime, &runtime->taps->taps[i]);
    pthread_mutex_unlock(&runtime->taps->lock);
}

static struct message *event_message(struct context *context, const struct message *message,
                                     bool bodies)
{
    bool shown = bodies && !(message->flags & (MESSAGE_WIPE | MESSAGE_STATUS));
    uint32_t body_size = !shown                         ? 0
                         : message->size > TAP_BODY_MAX ? TAP_BODY_MAX
                                                        : message->size;
    struct message *copy = message_new(INTROSPECT_TAP_TYPE, sizeof(struct tap_event) + body_size);
    if (!copy)
        return NULL;
    struct tap_event event = {
        .from = message->from,
        .to = message->to,
        .request = message->request,
        .trace = message->trace,
        .at_ns = context->now_ns,
        .waited_ns = message->sent_ns && context->now_ns > message->sent_ns
                         ? context->now_ns - message->sent_ns
                         : 0,
        .type = message->type,
        .size = message->size,
        .body_size = body_size,
        .flags = message->flags,
        .status = message->status,
    };
    name_of(context->runtime, message->from, event.from_name, sizeof event.from_name);
    name_of(context->runtime, message->to, event.to_name, sizeof event.to_name);
    copy->flags = MESSAGE_UNTRACED;
    memcpy(copy->body, &event, sizeof event);
    memcpy(copy->body + sizeof event, message->body, body_size);
    return copy;
}

/* Under the lock. Straight into the mailbox: a full one is no drop, it is counted in `lost`. */
static void tap_send(struct context *context, struct tap *tap, const struct message *message)
{
    struct runtime *runtime = context->runtime;
    struct actor *actor = actor_find(runtime, tap->to);
    struct message *copy = event_message(context, message, tap->bodies);

    if (!copy) {
        tap->lost++;
        return;
    }
    copy->to = tap->to;
    memcpy(copy->body + offsetof(struct tap_event, lost), &tap->lost, sizeof tap->lost);
    bool alive = actor && atomic_load(&actor->id) == tap->to.n;
    switch (alive ? mailbox_push(&actor->mailbox, copy, 0) : MAILBOX_CLOSED) {
    case MAILBOX_PUSHED_WAKE:
        schedule(runtime, context->worker, actor);
        /* fall through */
    case MAILBOX_PUSHED:
        tap->lost = 0;
        if (--tap->left == 0)
            tap_end(runtime, tap);
        return;
    case MAILBOX_FULL:
        tap->lost++;
        break;
    case MAILBOX_CLOSED:
        tap_end(runtime, tap);
        break;
    }
    message_free(copy);
}

void tap_message(struct context *context, const struct message *message)
{
    struct taps *taps = context->runtime->taps;

    if (message->flags & MESSAGE_UNTRACED)
        return;
    pthread_mutex_lock(&taps->lock);
    for (unsigned i = 0; i < TAPS_MAX; i++) {
        struct tap *tap = &taps->taps[i];
        if (!actor_id_is_set(tap->to) || actor_id_equal(tap->to, message->to))
            continue;
        if ((!actor_id_is_set(tap->who) || actor_id_equal(tap->who, message->to)) &&
            (!tap->type || tap->type == message->type))
            tap_send(context, tap, message);
    }
    pthread_mutex_unlock(&taps->lock);
}
