/* SPDX-License-Identifier: Apache-2.0 */
/* Other processes, as this one sees them.
 *
 * Each peer has the names of actors there that somebody here holds an address of, and two tables:
 * `out`, requests from here that wait for an answer from there, found by their number on the wire
 * or by (requester, its number); and `in`, requests from there that wait for an answer from here,
 * found by the number local actors answer to or by the peer's number. So a local actor deals with a
 * remote one exactly as with a local one: answers, parts, credit and cancel carry local numbers,
 * and are translated as they pass. A request that passes through (from one peer to another, by an
 * alias) has an entry in both.
 *
 * When a link goes down, every `out` entry is answered PEER_DOWN, in memory set aside when the
 * request was sent, and every `in` entry is cancelled at its holder. Monitors of actors there are
 * requests like any other, so they fire by the same loop. The answer that arrives just after finds
 * no entry and is counted.
 *
 * An actor there without a name cannot be addressed, only answered: its messages come from slot 0
 * of the peer. The names are bounded, for a stranger could invent them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote.h"

#define NAMES_MAX 4096u

/* ---- peers --------------------------------------------------------------------------------- */

int remote_new(struct remote **ret_remote)
{
    struct remote *remote = calloc(1, sizeof *remote);
    if (!remote)
        return -ENOMEM;
    pthread_mutex_init(&remote->lock, NULL);
    *ret_remote = remote;
    return 0;
}

static void forget_names(struct peer *peer)
{
    for (unsigned i = 0; i < peer->name_count; i++)
        free(peer->names[i]);
    free(peer->names);
    peer->names = NULL;
    peer->name_count = 0;
}

void remote_free(struct remote *remote)
{
    if (!remote)
        return;
    if (remote->transport_made && remote->transport_made->free)
        remote->transport_made->free(remote->transport_made);
    for (unsigned i = 1; i <= remote->peer_count; i++) {
        struct peer *peer = remote->peers[i];
        struct remote_out *out;
        uint32_t cursor = 0;
        while ((out = table_next(&peer->out, &cursor)))
            message_free(out->carrier);
        table_deinit(&peer->out);
        table_deinit(&peer->in);
        forget_names(peer);
        pthread_mutex_destroy(&peer->lock);
        free(peer);
    }
    pthread_mutex_destroy(&remote->lock);
    free(remote);
}

void runtime_transport_set(struct runtime *runtime, struct transport_port *transport)
{
    if (transport)
        runtime->remote->transport_made = transport;
    atomic_store(&runtime->remote->transport, transport);
}

struct transport_port *runtime_transport(struct runtime *runtime)
{
    return atomic_load(&runtime->remote->transport);
}

struct peer *peer_get(struct runtime *runtime, unsigned number)
{
    if (number == 0 || number > PEER_MAX)
        return NULL;
    return atomic_load_explicit(&runtime->remote->peers[number], memory_order_acquire);
}

static struct peer *peer_new(struct remote *remote)
{
    struct peer *peer;

    for (unsigned i = 1; i <= remote->peer_count; i++)
        if (!remote->peers[i]->used)
            return remote->peers[i];
    if (remote->peer_count == PEER_MAX || !(peer = calloc(1, sizeof *peer)))
        return NULL;
    pthread_mutex_init(&peer->lock, NULL);
    table_init(&peer->out, sizeof(struct remote_out));
    table_init(&peer->in, sizeof(struct remote_in));
    peer->number = remote->peer_count + 1;
    atomic_store_explicit(&remote->peers[++remote->peer_count], peer, memory_order_release);
    return peer;
}

unsigned runtime_peer(struct runtime *runtime, const char *name)
{
    struct remote *remote = runtime->remote;
    struct peer *peer = NULL;
    size_t length = name ? strlen(name) : 0;

    if (length == 0 || length >= PEER_NAME_MAX)
        return 0;
    pthread_mutex_lock(&remote->lock);
    for (unsigned i = 1; i <= remote->peer_count && !peer; i++)
        if (remote->peers[i]->used && strcmp(remote->peers[i]->name, name) == 0)
            peer = remote->peers[i];
    if (!peer && (peer = peer_new(remote))) {
        pthread_mutex_lock(&peer->lock);
        memcpy(peer->name, name, length + 1);
        peer->used = true;
        peer->incarnation = peer->incarnation % ID_INCARNATION_MAX + 1;
        pthread_mutex_unlock(&peer->lock);
    }
    pthread_mutex_unlock(&remote->lock);
    return peer ? peer->number : 0;
}

const char *runtime_peer_name(struct runtime *runtime, unsigned number)
{
    struct peer *peer = peer_get(runtime, number);
    return peer ? peer->name : "";
}

bool runtime_peer_release(struct runtime *runtime, unsigned number)
{
    struct peer *peer = peer_get(runtime, number);

    if (!peer)
        return true;
    pthread_mutex_lock(&runtime->remote->lock);
    pthread_mutex_lock(&peer->lock);
    bool addressed = peer->name_count > 0;
    peer->used = addressed;
    pthread_mutex_unlock(&peer->lock);
    pthread_mutex_unlock(&runtime->remote->lock);
    return !addressed;
}

uint32_t remote_kind(struct runtime *runtime, unsigned number)
{
    struct peer *peer = peer_get(runtime, number);
    return peer ? atomic_load_explicit(&peer->kind, memory_order_relaxed) : 0;
}

/* ---- names of actors there ------------------------------------------------------------------- */

/* Under the peer's lock. Slot 0, "somebody there", when the name is empty or there is no room. */
struct actor_id peer_name_intern(struct peer *peer, const char *name)
{
    unsigned slot = 0;

    for (unsigned i = 0; name[0] && i < peer->name_count && !slot; i++)
        if (strcmp(peer->names[i], name) == 0)
            slot = i + 1;
    if (name[0] && !slot && peer->name_count < NAMES_MAX && strlen(name) < INTROSPECT_NAME_MAX) {
        if ((peer->name_count & (peer->name_count - 1)) == 0) { /* grows at powers of two */
            unsigned capacity = peer->name_count ? peer->name_count * 2 : 1;
            char **names = realloc(peer->names, capacity * sizeof *names);
            if (!names)
                return id_make(peer->number, 0, peer->incarnation);
            peer->names = names;
        }
        char *copy = strdup(name);
        if (copy) {
            peer->names[peer->name_count] = copy;
            slot = ++peer->name_count;
        }
    }
    return id_make(peer->number, slot, peer->incarnation);
}

struct actor_id runtime_remote(struct runtime *runtime, const char *peer_name, const char *name)
{
    struct peer *peer = peer_get(runtime, runtime_peer(runtime, peer_name));
    struct actor_id id = {0};

    if (!peer || !name || !name[0])
        return id;
    pthread_mutex_lock(&peer->lock);
    id = peer_name_intern(peer, name);
    pthread_mutex_unlock(&peer->lock);
    return id_slot(id) ? id : (struct actor_id){0};
}

/* Under the peer's lock; "" when it has none or the address is an old one. */
static void name_copy(struct peer *peer, struct actor_id id, char *ret_name, size_t size)
{
    unsigned slot = id_slot(id);
    ret_name[0] = '\0';
    if (slot && slot <= peer->name_count && id_incarnation(id) == peer->incarnation)
        snprintf(ret_name, size, "%s", peer->names[slot - 1]);
}

void remote_name_of(struct runtime *runtime, struct actor_id id, char *ret_name, size_t size)
{
    struct peer *peer = peer_get(runtime, id_link(id));
    char name[INTROSPECT_NAME_MAX] = "";

    if (peer) {
        pthread_mutex_lock(&peer->lock);
        name_copy(peer, id, name, sizeof name);
        pthread_mutex_unlock(&peer->lock);
    }
    snprintf(ret_name, size, "%s/%s", peer ? peer->name : "?", name);
}

/* ---- to a peer ------------------------------------------------------------------------------- */

static int transmit(struct runtime *runtime, struct peer *peer, const char *to_name,
                    struct message *message)
{
    struct transport_port *transport = atomic_load(&runtime->remote->transport);
    char from_name[INTROSPECT_NAME_MAX] = "";

    if (!transport) {
        message_free(message);
        return -EHOSTUNREACH;
    }
    if (!id_link(message->from))
        name_of(runtime, message->from, from_name, sizeof from_name);
    return transport->send(transport, peer->number, to_name, from_name, message);
}

static enum runtime_status status_of(int error)
{
    return error == -EAGAIN     ? STATUS_BUSY
           : error == -EMSGSIZE ? STATUS_TOO_LARGE
           : error == -ENOENT   ? STATUS_NO_ACTOR
           : error == -ENOMEM   ? STATUS_NO_MEMORY
                                : STATUS_PEER_DOWN;
}

/* The request under this number gets a status, unless it was answered in the meantime. */
static void out_fail(struct runtime *runtime, struct worker *worker, struct peer *peer,
                     uint64_t number, enum runtime_status status)
{
    pthread_mutex_lock(&peer->lock);
    struct remote_out *out = table_find(&peer->out, number);
    struct message *carrier = out ? out->carrier : NULL;
    if (out)
        table_remove(&peer->out, out);
    pthread_mutex_unlock(&peer->lock);
    if (carrier)
        bounce(runtime, worker, carrier, status, status == STATUS_BUSY ? 100 : 0);
}

static int send_request(struct runtime *runtime, struct worker *worker, struct peer *peer,
                        struct message *message)
{
    char to_name[INTROSPECT_NAME_MAX];
    struct message *carrier = message_new(message->type, 0);
    struct remote_out *out = NULL;

    pthread_mutex_lock(&peer->lock);
    name_copy(peer, message->to, to_name, sizeof to_name);
    if (carrier)
        out = table_add(&peer->out, message->from.n, message->request);
    if (!out) {
        pthread_mutex_unlock(&peer->lock);
        message_free(carrier);
        bounce(runtime, worker, message, STATUS_NO_MEMORY, 0);
        return -ENOMEM;
    }
    carrier->from = message->from;
    carrier->to = message->to;
    carrier->request = message->request;
    carrier->trace = message->trace;
    carrier->flags = message->flags & ~MESSAGE_WIPE;
    out->carrier = carrier;
    out->target = message->to;
    uint64_t number = message->request = out->item.id;
    pthread_mutex_unlock(&peer->lock);

    int error = -ENOENT;
    if (to_name[0])
        error = transmit(runtime, peer, to_name, message);
    else
        message_free(message);
    if (error < 0)
        out_fail(runtime, worker, peer, number, status_of(error));
    return error;
}

/* An answer or a part that could not be sent has no status of its own, so it is counted; and where
 * the link is up the peer still waits for its answer. */
static int answer_failed(struct runtime *runtime, struct peer *peer, const struct message *header,
                         int error)
{
    char from_name[INTROSPECT_NAME_MAX];
    struct message *message = NULL;

    if (header->flags & MESSAGE_STATUS)
        return error;
    name_of(runtime, header->from, from_name, sizeof from_name);
    runtime_count_drop(runtime, status_of(error), header->type, from_name, peer->name);
    if ((error == -EMSGSIZE || error == -ENOMEM) && header->flags & MESSAGE_ANSWER)
        message = message_new(header->type, 0);
    if (!message)
        return error;
    message->flags = MESSAGE_ANSWER | MESSAGE_STATUS | (header->flags & MESSAGE_UNTRACED);
    message->status = (uint16_t)status_of(error);
    message->from = header->from;
    message->request = header->request;
    message->trace = header->trace;
    return transmit(runtime, peer, NULL, message);
}

/* Answers and parts: to the peer's own number. */
static int send_answer(struct runtime *runtime, struct peer *peer, struct message *message)
{
    pthread_mutex_lock(&peer->lock);
    struct remote_in *in = table_find(&peer->in, message->request);
    if (in) {
        message->request = in->item.key[0];
        if (message->flags & MESSAGE_ANSWER)
            table_remove(&peer->in, in);
    }
    pthread_mutex_unlock(&peer->lock);
    if (in) {
        struct message header = *message;
        int error = transmit(runtime, peer, NULL, message);
        return error < 0 ? answer_failed(runtime, peer, &header, error) : 0;
    }
    if (!(message->flags & (MESSAGE_STATUS | MESSAGE_INTERNAL)))
        count_drop(runtime, STATUS_CANCELLED, message);
    message_free(message);
    return -ENOENT;
}

static int send_credit_or_cancel(struct runtime *runtime, struct peer *peer,
                                 struct message *message)
{
    struct message *carrier = NULL;

    pthread_mutex_lock(&peer->lock);
    struct remote_out *out = table_find_key(&peer->out, message->from.n, message->request);
    if (out) {
        message->request = out->item.id;
        if (message->flags & MESSAGE_CANCEL) {
            carrier = out->carrier;
            table_remove(&peer->out, out);
        }
    }
    pthread_mutex_unlock(&peer->lock);
    message_free(carrier);
    if (out)
        return transmit(runtime, peer, NULL, message);
    message_free(message);
    return -ENOENT;
}

/* A request of the peer's is now with another actor; the peer need not know, we do. */
static int holder_moved(struct runtime *runtime, struct worker *worker, struct peer *peer,
                        struct message *message)
{
    struct actor_id from = {0}, holder = message->from;
    uint64_t number = message->request;
    uint32_t missing = 0;

    pthread_mutex_lock(&peer->lock);
    struct remote_in *in = table_find(&peer->in, number);
    bool gone = !in;
    if (in && message->retry_after_ms > in->hops) {
        in->holder = holder;
        in->hops = message->retry_after_ms;
        from = in->from;
        missing = in->granted > message->part ? in->granted - message->part : 0;
    }
    pthread_mutex_unlock(&peer->lock);
    from = gone ? message->to : from;
    message_free(message);
    if (gone)
        return remote_cancel(runtime, worker, from, holder, number);
    return missing ? stream_grant(runtime, worker, from, holder, number, missing) : 0;
}

static int send_tell(struct runtime *runtime, struct worker *worker, struct peer *peer,
                     struct message *message)
{
    char to_name[INTROSPECT_NAME_MAX], from_name[INTROSPECT_NAME_MAX];
    uint32_t type = message->type;

    pthread_mutex_lock(&peer->lock);
    name_copy(peer, message->to, to_name, sizeof to_name);
    pthread_mutex_unlock(&peer->lock);
    if (!to_name[0]) {
        bounce(runtime, worker, message, STATUS_NO_ACTOR, 0);
        return -ENOENT;
    }
    name_of(runtime, message->from, from_name, sizeof from_name);
    int error = transmit(runtime, peer, to_name, message);
    if (error < 0)
        runtime_count_drop(runtime, status_of(error), type, from_name, to_name);
    return error;
}

int remote_send(struct runtime *runtime, struct worker *worker, struct message *message)
{
    struct peer *peer = peer_get(runtime, id_link(message->to));

    if (!peer || !peer->used) {
        bounce(runtime, worker, message, STATUS_PEER_DOWN, 0);
        return -EHOSTUNREACH;
    }
    if (message->flags & MESSAGE_REQUEST)
        return send_request(runtime, worker, peer, message);
    if (message->flags & (MESSAGE_ANSWER | MESSAGE_PART))
        return send_answer(runtime, peer, message);
    if (message->flags & (MESSAGE_CREDIT | MESSAGE_CANCEL))
        return send_credit_or_cancel(runtime, peer, message);
    if (message->flags & MESSAGE_INTERNAL && message->type == RUNTIME_HOLDER)
        return holder_moved(runtime, worker, peer, message);
    if (message->flags & MESSAGE_INTERNAL) {
        message_free(message);
        return -EINVAL;
    }
    return send_tell(runtime, worker, peer, message);
}
