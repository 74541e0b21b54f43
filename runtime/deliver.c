/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in over a link, and links that come and go. See remote.c for the tables.
 *
 * The peer is not trusted to be sane: flags are checked, what it may not set is cleared, and the
 * number of requests it can have open here is bounded. What it may ask of whom is the handler
 * tables' business (FROM_...). */
#include <errno.h>

#include "remote.h"

#define OPEN_MAX 16384u /* requests at a time from one peer */

int remote_cancel(struct runtime *runtime, struct worker *worker, struct actor_id from,
                  struct actor_id holder, uint64_t request)
{
    struct message *message = message_new(0, 0);
    if (!message)
        return -ENOMEM;
    message->flags = MESSAGE_CANCEL | MESSAGE_CONTROL | MESSAGE_UNTRACED;
    message->from = from;
    message->to = holder;
    message->request = request;
    return route(runtime, worker, message);
}

static struct actor_id intern(struct peer *peer, const char *name)
{
    pthread_mutex_lock(&peer->lock);
    struct actor_id id = peer_name_intern(peer, name ? name : "");
    pthread_mutex_unlock(&peer->lock);
    return id;
}

/* An answer or part for a request of ours. */
static void deliver_answer(struct runtime *runtime, struct peer *peer, struct message *message)
{
    struct message *carrier = NULL;

    pthread_mutex_lock(&peer->lock);
    struct remote_out *out = table_find(&peer->out, message->request);
    if (out) {
        message->from = out->target;
        message->to.n = out->item.key[0];
        message->request = out->item.key[1];
        if (message->flags & MESSAGE_ANSWER) {
            carrier = out->carrier;
            table_remove(&peer->out, out);
        }
    }
    pthread_mutex_unlock(&peer->lock);
    message_free(carrier);
    if (out) {
        route(runtime, NULL, message);
        return;
    }
    if (!(message->flags & MESSAGE_STATUS))
        runtime_count_drop(runtime, STATUS_CANCELLED, message->type, peer->name, "");
    message_free(message);
}

/* Credit or cancel for a request of the peer's. */
static void deliver_to_holder(struct runtime *runtime, struct peer *peer, struct message *message)
{
    bool cancel = message->flags & MESSAGE_CANCEL;

    pthread_mutex_lock(&peer->lock);
    struct remote_in *in = table_find_key(&peer->in, message->request, 0);
    if (in) {
        message->from = in->from;
        message->to = in->holder;
        message->request = in->item.id;
        if (cancel)
            table_remove(&peer->in, in);
        else
            in->granted += message->size;
    }
    pthread_mutex_unlock(&peer->lock);
    message->flags |= MESSAGE_CONTROL | MESSAGE_UNTRACED;
    if (in)
        route(runtime, NULL, message);
    else
        message_free(message);
}

static void deliver_request(struct runtime *runtime, struct peer *peer, struct message *message,
                            const char *from_name)
{
    enum runtime_status refusal = STATUS_OK;

    pthread_mutex_lock(&peer->lock);
    message->from = peer_name_intern(peer, from_name ? from_name : "");
    struct remote_in *in = NULL;
    if (table_find_key(&peer->in, message->request, 0))
        refusal = STATUS_MALFORMED; /* a number in use: its first owner gets the answer */
    else if (peer->in.count >= OPEN_MAX)
        refusal = STATUS_BUSY;
    else if (!(in = table_add(&peer->in, message->request, 0)))
        refusal = STATUS_NO_MEMORY;
    if (in) {
        in->from = message->from;
        in->holder = message->to;
        in->granted = message->part;
        message->request = in->item.id;
    }
    pthread_mutex_unlock(&peer->lock);

    if (in) {
        route(runtime, NULL, message);
        return;
    }
    count_drop(runtime, refusal, message);
    struct transport_port *transport = atomic_load(&runtime->remote->transport);
    if (refusal == STATUS_MALFORMED || !transport) {
        message_free(message);
        return;
    }
    message->flags = MESSAGE_ANSWER | MESSAGE_STATUS;
    message->status = (uint16_t)refusal;
    message->retry_after_ms = 100;
    message->size = message->part = 0;
    transport->send(transport, peer->number, NULL, "", message);
}

static bool flags_make_sense(const struct message *message)
{
    unsigned kind = message->flags & (MESSAGE_REQUEST | MESSAGE_ANSWER | MESSAGE_PART |
                                      MESSAGE_CREDIT | MESSAGE_CANCEL);
    if (kind & (kind - 1) || (kind && !message->request) || (!kind && message->request))
        return false;
    if (message->flags & MESSAGE_STATUS && kind != MESSAGE_ANSWER)
        return false;
    if (message->flags & MESSAGE_INTERNAL)
        return message->type == RUNTIME_MONITOR &&
               (kind == MESSAGE_REQUEST || kind == MESSAGE_ANSWER);
    return true;
}

int runtime_deliver(struct runtime *runtime, unsigned number, struct message *message,
                    const char *to_name, const char *from_name)
{
    struct peer *peer = peer_get(runtime, number);

    if (!peer || !flags_make_sense(message)) {
        message_free(message);
        return -EBADMSG;
    }
    if (!(message->flags & MESSAGE_INTERNAL))
        message->flags &= ~MESSAGE_CONTROL;
    if (message->flags & (MESSAGE_ANSWER | MESSAGE_PART)) {
        deliver_answer(runtime, peer, message);
        return 0;
    }
    if (message->flags & (MESSAGE_CREDIT | MESSAGE_CANCEL)) {
        deliver_to_holder(runtime, peer, message);
        return 0;
    }
    message->retry_after_ms = 0;
    message->to = name_find(runtime, to_name ? to_name : "");
    if (message->flags & MESSAGE_REQUEST) {
        deliver_request(runtime, peer, message, from_name);
        return 0;
    }
    message->from = intern(peer, from_name);
    if (!actor_id_is_set(message->to)) {
        runtime_count_drop(runtime, STATUS_NO_ACTOR, message->type, peer->name,
                           to_name ? to_name : "");
        message_free(message);
        return 0;
    }
    route(runtime, NULL, message);
    return 0;
}

/* ---- up and down ----------------------------------------------------------------------------- */

/* Under the lock, so that what a watcher is told comes in the order in which it was. */
static void tell(struct runtime *runtime, struct actor_id watcher, const struct peer *peer)
{
    struct message *message =
        message_internal(RUNTIME_LINK, id_make(peer->number, 0, peer->incarnation), watcher);

    if (!message)
        return;
    message->part = peer->is_up;
    route(runtime, NULL, message);
}

void remote_watch(struct runtime *runtime, struct actor_id watcher)
{
    struct remote *remote = runtime->remote;
    unsigned kept = 0;

    pthread_mutex_lock(&remote->lock);
    for (unsigned i = 0; i < remote->watcher_count; i++) {
        struct actor_id id = remote->watchers[i];
        struct actor *actor = actor_find(runtime, id);
        bool alive = actor && atomic_load(&actor->id) == id.n;
        if (alive && !actor_id_equal(id, watcher))
            remote->watchers[kept++] = id;
    }
    if (kept < WATCHERS_MAX)
        remote->watchers[kept++] = watcher;
    remote->watcher_count = kept;
    for (unsigned i = 1; i <= remote->peer_count; i++)
        if (remote->peers[i]->is_up)
            tell(runtime, watcher, remote->peers[i]);
    pthread_mutex_unlock(&remote->lock);
}

static void tell_watchers(struct runtime *runtime, struct peer *peer, bool up)
{
    struct remote *remote = runtime->remote;

    pthread_mutex_lock(&remote->lock);
    peer->is_up = up;
    for (unsigned i = 0; i < remote->watcher_count; i++)
        tell(runtime, remote->watchers[i], peer);
    pthread_mutex_unlock(&remote->lock);
}

void runtime_link_up(struct runtime *runtime, unsigned number, enum peer_kind kind)
{
    static const uint32_t kinds[] = {
        [PEER_NODE] = FROM_NODE, [PEER_KEEPER] = FROM_KEEPER, [PEER_CLIENT] = FROM_CLIENT};
    struct peer *peer = peer_get(runtime, number);

    if (!peer)
        return;
    atomic_store(&peer->kind, kinds[kind]);
    tell_watchers(runtime, peer, true);
}

/* One entry at a time, for what is sent in consequence may change the table. */
static bool fail_one_out(struct runtime *runtime, struct peer *peer)
{
    uint32_t cursor = 0;

    pthread_mutex_lock(&peer->lock);
    struct remote_out *out = table_next(&peer->out, &cursor);
    struct message *carrier = out ? out->carrier : NULL;
    if (out)
        table_remove(&peer->out, out);
    pthread_mutex_unlock(&peer->lock);
    if (carrier)
        bounce(runtime, NULL, carrier, STATUS_PEER_DOWN, 0);
    return out;
}

static bool cancel_one_in(struct runtime *runtime, struct peer *peer)
{
    uint32_t cursor = 0;
    struct remote_in gone;

    pthread_mutex_lock(&peer->lock);
    struct remote_in *in = table_next(&peer->in, &cursor);
    if (in) {
        gone = *in;
        table_remove(&peer->in, in);
    }
    pthread_mutex_unlock(&peer->lock);
    if (in)
        remote_cancel(runtime, NULL, gone.from, gone.holder, gone.item.id);
    return in;
}

void runtime_link_down(struct runtime *runtime, unsigned number)
{
    struct peer *peer = peer_get(runtime, number);

    if (!peer)
        return;
    while (fail_one_out(runtime, peer))
        continue;
    while (cancel_one_in(runtime, peer))
        continue;
    tell_watchers(runtime, peer, false);
}
