/* SPDX-License-Identifier: Apache-2.0 */
/* Peers: known, up, down; what goes to them and what they send. The rules are in
 * transport.c. */
#include "transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "message.h"
#include "socket.h"

#define STRIKES_MAX 3
#define FRAMES_A_FLUSH 64
#define PEERS_A_FLUSH 256
#define RETRY_FIRST_NS 1000000u
#define RETRY_MAX_NS 20000000u
#define AWAIT_NS 5000000000u /* after the start, peers that will dial us are waited for */

uint64_t link_now(const struct link_transport *transport)
{
    const struct clock_port *clock = runtime_clock(transport->runtime);
    return clock->now_ns(clock);
}

/* ---- peers ------------------------------------------------------------------------------- */

static struct link_peer *peer_make(struct link_transport *transport, unsigned number,
                                   const char *name)
{
    struct link_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->number = number;
    peer->pidfd = -1;
    peer->body_max = transport->options.body_max;
    peer->awaited_until_ns = transport->started_ns + AWAIT_NS;
    snprintf(peer->name, sizeof peer->name, "%s", name);
    link_queue_init(&peer->queue);
    pthread_mutex_lock(&transport->lock);
    struct link_peer *found = transport->by_number[number];
    if (found == NULL) {
        transport->by_number[number] = peer;
        peer->next = transport->fresh;
        transport->fresh = peer;
        transport->changed = true;
    }
    pthread_mutex_unlock(&transport->lock);
    if (found != NULL)
        free(peer);
    return found != NULL ? found : peer;
}

struct link_peer *link_peer_get(struct link_transport *transport, const char *name)
{
    unsigned number = runtime_peer(transport->runtime, name);
    return number != 0 ? peer_make(transport, number, name) : NULL;
}

/* Under the lock. */
static void mark_dirty(struct link_transport *transport, struct link_peer *peer)
{
    if (peer->dirty)
        return;
    peer->dirty = true;
    peer->next_dirty = transport->dirty;
    transport->dirty = peer;
}

void link_peer_up(struct link_transport *transport, struct link_peer *peer,
                  const struct frame_hello *hello, pid_t pid)
{
    count(&peer->reconnects, peer->up_ns != 0);
    peer->up_ns = transport->now_ns;
    peer->sequence_in = peer->sequence_out = 0;
    peer->strikes = 0;
    peer->died_ns = 0;
    peer->closing = false;
    peer->pidfd = link_pidfd_open(pid);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = peer->number};
    if (peer->pidfd >= 0)
        epoll_ctl(transport->process_fd, EPOLL_CTL_ADD, peer->pidfd, &event);
    pthread_mutex_lock(&transport->lock);
    peer->state = LINK_UP;
    peer->kind = hello->peer_kind;
    peer->pid = pid;
    peer->body_max = hello->body_max;
    peer->overflown = false;
    mark_dirty(transport, peer); /* what has waited goes out in this turn */
    pthread_mutex_unlock(&transport->lock);
    if (peer->kind != PEER_CLIENT)
        runtime_log(transport->runtime, 6, "link to %s is up (process %d, version %s)",
                    peer->name, (int)pid, hello->program);
    runtime_link_up(transport->runtime, peer->number, peer->kind);
}

static void drop_all(struct link_transport *transport, struct link_outgoing *list)
{
    while (list != NULL) {
        struct link_outgoing *next = list->next;
        runtime_count_drop(transport->runtime, STATUS_PEER_DOWN, list->message->type, list->from,
                           list->to);
        link_outgoing_free(list);
        list = next;
    }
}

void link_peer_down(struct link_transport *transport, struct link_peer *peer, const char *why)
{
    pthread_mutex_lock(&transport->lock);
    bool was_up = peer->state == LINK_UP;
    struct link_outgoing *queued = peer->queue.head;
    peer->state = LINK_DOWN;
    link_queue_init(&peer->queue);
    pthread_mutex_unlock(&transport->lock);
    drop_all(transport, peer->taken);
    drop_all(transport, queued);
    peer->taken = NULL;
    if (peer->has_frame)
        zmq_msg_close(&peer->frame);
    peer->has_frame = false;
    if (peer->pidfd >= 0)
        close(peer->pidfd); /* which takes it out of the epoll set, too */
    peer->pidfd = -1;
    peer->died_ns = 0;
    link_accept_detach(peer);
    if (was_up && why != NULL && peer->kind != PEER_CLIENT)
        runtime_log(transport->runtime, 5, "link to %s is down: %s", peer->name, why);
    runtime_link_down(transport->runtime, peer->number);
}

bool link_peer_forget(struct link_transport *transport, struct link_peer *peer)
{
    pthread_mutex_lock(&transport->lock);
    struct link_peer **at = &transport->dirty;
    while (*at != NULL && *at != peer)
        at = &(*at)->next_dirty;
    if (*at == peer)
        *at = peer->next_dirty;
    peer->dirty = false;
    transport->by_number[peer->number] = NULL; /* first: the number may be another's at once */
    pthread_mutex_unlock(&transport->lock);
    bool kept = !runtime_peer_release(transport->runtime, peer->number);
    pthread_mutex_lock(&transport->lock);
    kept = kept && transport->by_number[peer->number] == NULL;
    if (kept)
        transport->by_number[peer->number] = peer;
    pthread_mutex_unlock(&transport->lock);
    if (!kept)
        free(peer);
    return !kept;
}

bool link_peer_strike(struct link_transport *transport, struct link_peer *peer, const char *what)
{
    count(&peer->drops, 1);
    runtime_count_drop(transport->runtime, STATUS_MALFORMED, 0, peer->name, "");
    if (++peer->strikes < STRIKES_MAX)
        return true;
    runtime_log(transport->runtime, 4, "%s is cut off: bad frame number %d %s", peer->name,
                STRIKES_MAX, what);
    return false;
}

/* Control messages of strangers wait like everybody's; taps see all they send. */
static void mask_flags(const struct link_peer *peer, struct message *message)
{
    if (peer->kind == PEER_CLIENT)
        message->flags &= (uint16_t)~(MESSAGE_CONTROL | MESSAGE_UNTRACED);
}

static bool deliver(struct link_transport *transport, struct link_peer *peer,
                    const struct frame_message *wire)
{
    char to[FRAME_NAME_MAX + 1], from[FRAME_NAME_MAX + 1];
    snprintf(to, sizeof to, "%.*s", wire->to_size, wire->to);
    snprintf(from, sizeof from, "%.*s", wire->from_size, wire->from);
    struct message *message = frame_to_message(wire, transport->now_ns);
    if (message == NULL) {
        runtime_count_drop(transport->runtime, STATUS_NO_MEMORY, wire->type, from, to);
        return true;
    }
    mask_flags(peer, message);
    int error = runtime_deliver(transport->runtime, peer->number, message,
                                wire->to_size > 0 ? to : NULL, from);
    return error != -EBADMSG || link_peer_strike(transport, peer, "makes no sense");
}

bool link_peer_receive(struct link_transport *transport, struct link_peer *peer,
                       struct frame_reader *reader, zmq_msg_t *frame)
{
    bool wipe = false, goes_on = true;
    struct frame_message wire;
    if (reader->sequence != ++peer->sequence_in) {
        if (atomic_fetch_add(&peer->gaps, 1) == 0)
            runtime_log(transport->runtime, 4, "frames from %s: number %llu where %llu was due",
                        peer->name, (unsigned long long)reader->sequence,
                        (unsigned long long)peer->sequence_in);
        peer->sequence_in = reader->sequence;
    }
    count(&peer->messages_in, reader->count);
    count(&peer->bytes_in, reader->size);
    while (goes_on && frame_next(reader, &wire)) {
        wipe |= (wire.flags & MESSAGE_WIPE) != 0;
        goes_on = deliver(transport, peer, &wire);
    }
    if (wipe)
        memory_wipe(zmq_msg_data(frame), zmq_msg_size(frame));
    return goes_on;
}

/* ---- sending ----------------------------------------------------------------------------- */

/* Any thread, under the lock. */
static int peer_enqueue(struct link_transport *transport, struct link_peer *peer,
                        struct link_outgoing *outgoing)
{
    if (peer == NULL || peer->state == LINK_DOWN)
        return -EHOSTUNREACH;
    int error = link_queue_admit(peer, outgoing->message, transport->options.queue_limit);
    if (error != 0) {
        count(&peer->drops, 1);
        transport->changed |= peer->overflown;
        return error;
    }
    link_queue_push(&peer->queue, outgoing);
    mark_dirty(transport, peer);
    return 0;
}

static struct link_peer *peer_known(struct link_transport *transport, unsigned number)
{
    return number <= PEER_MAX ? transport->by_number[number] : NULL;
}

/* A peer nobody has dialled yet may be about to dial us. */
static void peer_await(struct link_transport *transport, unsigned number)
{
    const char *name = runtime_peer_name(transport->runtime, number);
    if (name[0] != '\0' && link_now(transport) < transport->started_ns + AWAIT_NS)
        peer_make(transport, number, name);
}

int link_transport_send(struct transport_port *port, unsigned number, const char *to_name,
                        const char *from_name, struct message *message)
{
    struct link_transport *transport = (struct link_transport *)port; /* its first member */
    bool addressed = to_name == NULL || frame_name_is_valid(to_name, strlen(to_name));
    if (!frame_name_is_valid(from_name, strlen(from_name)))
        from_name = NULL;
    struct link_outgoing *outgoing =
        addressed ? link_outgoing_new(to_name, from_name, message) : NULL;
    if (outgoing == NULL) {
        message_free(message);
        return addressed ? -ENOMEM : -ENOENT;
    }
    pthread_mutex_lock(&transport->lock);
    if (peer_known(transport, number) == NULL && number > 0 && number <= PEER_MAX) {
        pthread_mutex_unlock(&transport->lock);
        peer_await(transport, number);
        pthread_mutex_lock(&transport->lock);
    }
    struct link_peer *peer = peer_known(transport, number);
    int error = peer_enqueue(transport, peer, outgoing);
    pthread_mutex_unlock(&transport->lock);
    if (error != 0)
        link_outgoing_free(outgoing);
    if (error != -EHOSTUNREACH && atomic_exchange(&transport->asleep, false))
        link_wake(transport);
    return error;
}

/* The next frame for a peer into peer->frame; false when nothing is queued. */
static bool peer_next_frame(struct link_transport *transport, struct link_peer *peer)
{
    struct link_queue left;
    unsigned messages;
    if (peer->taken == NULL) {
        pthread_mutex_lock(&transport->lock);
        peer->taken = peer->queue.head;
        peer->queue.head = NULL;
        peer->queue.tail = &peer->queue.head;
        pthread_mutex_unlock(&transport->lock);
    }
    if (peer->taken == NULL)
        return false;
    bool made = link_batch_make(transport->runtime, &peer->taken, peer->sequence_out + 1,
                                transport->now_ns, &peer->frame, &left, &messages);
    pthread_mutex_lock(&transport->lock);
    peer->queue.begun -= left.begun;
    peer->queue.count -= left.count;
    peer->queue.bytes -= left.bytes;
    pthread_mutex_unlock(&transport->lock);
    if (!made)
        return false;
    peer->has_frame = true;
    peer->sequence_out++;
    count(&peer->messages_out, messages);
    count(&peer->bytes_out, zmq_msg_size(&peer->frame));
    return true;
}

static int peer_send_frame(struct link_transport *transport, struct link_peer *peer)
{
    if (peer->connection != NULL)
        return link_accept_send(transport, peer, &peer->frame);
    if (peer->dealer == NULL)
        return -EHOSTUNREACH;
    return zmq_msg_send(&peer->frame, peer->dealer, ZMQ_DONTWAIT) < 0 ? -errno : 0;
}

static void peer_blocked(struct link_transport *transport, struct link_peer *peer)
{
    uint64_t delay_ns = peer->retry_delay_ns * 2;
    if (delay_ns < RETRY_FIRST_NS)
        delay_ns = RETRY_FIRST_NS;
    peer->retry_delay_ns = delay_ns < RETRY_MAX_NS ? delay_ns : RETRY_MAX_NS;
    peer->retry_ns = transport->now_ns + peer->retry_delay_ns;
}

void link_peer_flush(struct link_transport *transport, struct link_peer *peer)
{
    for (int budget = FRAMES_A_FLUSH; budget > 0; budget--) {
        if (peer->state != LINK_UP || (!peer->has_frame && !peer_next_frame(transport, peer)))
            break;
        int error = peer_send_frame(transport, peer);
        if (error == -EAGAIN) {
            peer_blocked(transport, peer);
            return;
        }
        if (error != 0) { /* its end is on its way through the monitor, too */
            peer->died_ns = peer->died_ns != 0 ? peer->died_ns : transport->now_ns;
            return;
        }
        peer->has_frame = false;
        peer->retry_delay_ns = 0;
    }
    /* Without memory for a batch, or with more to do than one turn allows: again soon. */
    if (peer->taken != NULL || peer->has_frame)
        peer->retry_ns = transport->now_ns + RETRY_FIRST_NS;
}

void link_flush(struct link_transport *transport)
{
    for (int budget = PEERS_A_FLUSH; budget > 0; budget--) {
        pthread_mutex_lock(&transport->lock);
        struct link_peer *peer = transport->dirty;
        if (peer != NULL) {
            transport->dirty = peer->next_dirty;
            peer->dirty = false;
        }
        pthread_mutex_unlock(&transport->lock);
        if (peer == NULL)
            return;
        if (!peer->has_frame) /* or it waits for room */
            link_peer_flush(transport, peer);
    }
}
