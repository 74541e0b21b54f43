/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "links": one pinned thread that owns every socket of a runtime.
 *
 * Takes nothing: all comes in by link_* calls, transport->send and the sockets.
 * Sends what peers send, through runtime_deliver.
 * Owns the ZeroMQ context, one ROUTER where this process listens, one DEALER for each peer it
 * dials, and the struct link_peer of every process it talks to.
 *
 * Rules
 * - Who sends only queues: a message goes into its peer's queue under the lock, and the thread is
 *   woken by one write to an eventfd when it sleeps. Under load it does not sleep, so there are no
 *   writes, and what has gathered meanwhile leaves as one frame.
 * - A frame that libzmq has no room for is kept and tried again: at the DEALER's POLLOUT; at a
 *   ROUTER, which has no such event for one peer, after 1 ms, doubling to 20.
 * - A peer ends by the first of: its connection's end, its bye, its process's end (pidfd), or ours
 *   to cut it (three refused frames, answers it does not read). What it had sent before is read
 *   first, for up to 100 ms where only the pidfd has spoken.
 * - No timer runs while nothing is due: an idle swarm leaves this thread asleep. */
#include "transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "socket.h"

#define NS_PER_MS ((uint64_t)1000000)
#define WAIT_MAX_MS 3600000
#define QUEUE_DEFAULT 1024u
#define LAST_WORDS_NS (100 * NS_PER_MS)
#define STOP_TRIES 40
#define STOP_PAUSE_MS 5

enum { ITEM_WAKE, ITEM_PROCESSES, ITEM_ROUTER, ITEM_ROUTER_MONITOR, ITEM_DIALS };

struct link_actor {
    struct link_transport *transport;
};

void link_wake(struct link_transport *transport)
{
    uint64_t one = 1;
    if (write(transport->wake_fd, &one, sizeof one) < 0)
        return; /* it is full of wakes already */
}

/* ---- what other threads asked for -------------------------------------------------------- */

static void say_bye(struct link_transport *transport, struct link_peer *peer, const char *why)
{
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    zmq_msg_t frame;
    frame_put_reason(bytes, FRAME_BYE, STATUS_SHUTDOWN, why);
    if (peer->state != LINK_UP || zmq_msg_init_size(&frame, sizeof bytes) != 0)
        return;
    memcpy(zmq_msg_data(&frame), bytes, sizeof bytes);
    int error = peer->connection != NULL
                    ? link_accept_send(transport, peer, &frame)
                    : zmq_msg_send(&frame, peer->dealer, ZMQ_DONTWAIT);
    if (error < 0)
        zmq_msg_close(&frame);
}

static void hang_up(struct link_transport *transport, struct link_peer *peer)
{
    say_bye(transport, peer, "hung up");
    if (peer->connection != NULL) {
        link_accept_hangup(transport, peer);
    } else {
        link_dial_close(peer);
        link_peer_down(transport, peer, "hung up");
    }
    peer->dialled = false;
    pthread_mutex_lock(&transport->lock);
    peer->endpoint[0] = '\0';
    pthread_mutex_unlock(&transport->lock);
}

/* Under the lock: what was handed over becomes this thread's. */
static void take_over(struct link_transport *transport)
{
    while (transport->fresh != NULL) {
        struct link_peer *peer = transport->fresh;
        transport->fresh = peer->next;
        peer->next = transport->peers;
        transport->peers = peer;
    }
    if (transport->new_router != NULL) {
        transport->router = transport->new_router;
        transport->router_monitor = transport->new_router_monitor;
        transport->new_router = NULL;
    }
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next) {
        peer->hang_up = peer->hangup;
        peer->hangup = false;
        peer->cut = peer->overflown;
        if (peer->new_dealer == NULL)
            continue;
        peer->dialled = true;
        peer->leaving = false;
        peer->dealer = peer->new_dealer;
        peer->monitor = peer->new_monitor;
        peer->new_dealer = NULL;
    }
}

static void absorb(struct link_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    bool changed = transport->changed;
    transport->changed = false;
    if (changed)
        take_over(transport);
    pthread_mutex_unlock(&transport->lock);
    if (!changed)
        return;
    transport->items_stale = true;
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next) {
        if (peer->hang_up)
            hang_up(transport, peer);
        if (peer->cut && peer->state == LINK_UP) {
            runtime_log(transport->runtime, 4, "%s does not read its answers", peer->name);
            peer->died_ns = 1; /* long ago: cut in this turn */
        }
    }
}

/* ---- waiting ----------------------------------------------------------------------------- */

static int items_build(struct link_transport *transport)
{
    size_t needed = ITEM_DIALS;
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next)
        needed += peer->dealer != NULL ? 2 : 0;
    if (needed > transport->item_capacity) {
        zmq_pollitem_t *items = realloc(transport->items, needed * sizeof *items);
        if (items == NULL)
            return -ENOMEM;
        transport->items = items;
        transport->item_capacity = needed;
    }
    zmq_pollitem_t *items = transport->items;
    items[ITEM_WAKE] = (zmq_pollitem_t){.fd = transport->wake_fd, .events = ZMQ_POLLIN};
    items[ITEM_PROCESSES] = (zmq_pollitem_t){.fd = transport->process_fd, .events = ZMQ_POLLIN};
    bool listens = transport->router != NULL;
    items[ITEM_ROUTER] = (zmq_pollitem_t){
        .socket = transport->router, .fd = -1, .events = listens ? ZMQ_POLLIN : 0};
    items[ITEM_ROUTER_MONITOR] = (zmq_pollitem_t){
        .socket = transport->router_monitor, .fd = -1, .events = listens ? ZMQ_POLLIN : 0};
    size_t count_ = ITEM_DIALS;
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next) {
        peer->item = peer->dealer != NULL ? count_ : 0;
        if (peer->dealer == NULL)
            continue;
        items[count_++] = (zmq_pollitem_t){.socket = peer->dealer, .events = ZMQ_POLLIN};
        items[count_++] = (zmq_pollitem_t){.socket = peer->monitor, .events = ZMQ_POLLIN};
    }
    transport->item_count = count_;
    transport->items_stale = false;
    return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t peer_due_ns(const struct link_peer *peer)
{
    uint64_t due_ns = UINT64_MAX;
    bool dialled = peer->dialled && peer->connection == NULL;
    if (dialled)
        due_ns = link_dial_due_ns(peer);
    else if (peer->state == LINK_AWAITED)
        due_ns = peer->awaited_until_ns;
    if (peer->died_ns != 0)
        due_ns = least(due_ns, peer->died_ns + LAST_WORDS_NS);
    if (peer->has_frame || peer->taken != NULL)
        due_ns = least(due_ns, peer->retry_ns);
    return due_ns;
}

/* Sets what each dealer is polled for and returns when the next thing is due by itself. */
static uint64_t prepare(struct link_transport *transport)
{
    uint64_t due_ns = link_accept_due_ns(transport);
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next) {
        due_ns = least(due_ns, peer_due_ns(peer));
        if (peer->item == 0)
            continue;
        bool out = peer->has_frame || (peer->connected && !peer->greeted);
        transport->items[peer->item].events = (short)(ZMQ_POLLIN | (out ? ZMQ_POLLOUT : 0));
    }
    return due_ns;
}

static bool has_work(struct link_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    bool work = transport->dirty != NULL || transport->changed;
    pthread_mutex_unlock(&transport->lock);
    return work;
}

static void sleep_until_work(struct link_transport *transport, uint64_t timeout_ns)
{
    uint64_t due_ns = prepare(transport);
    uint64_t now_ns = link_now(transport);
    timeout_ns = least(timeout_ns, due_ns > now_ns ? due_ns - now_ns : 0);
    atomic_store(&transport->asleep, true);
    if (has_work(transport))
        timeout_ns = 0;
    uint64_t timeout_ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    zmq_poll(transport->items, (int)transport->item_count,
             timeout_ms < WAIT_MAX_MS ? (long)timeout_ms : WAIT_MAX_MS);
    atomic_store(&transport->asleep, false);
    transport->now_ns = link_now(transport);
}

/* ---- one turn ---------------------------------------------------------------------------- */

static void note_dead_processes(struct link_transport *transport)
{
    struct epoll_event events[16];
    int found = epoll_wait(transport->process_fd, events, 16, 0);
    for (int i = 0; i < found; i++) {
        struct link_peer *peer = transport->by_number[events[i].data.u32];
        if (peer == NULL || peer->pidfd < 0)
            continue;
        epoll_ctl(transport->process_fd, EPOLL_CTL_DEL, peer->pidfd, NULL);
        peer->died_ns = transport->now_ns;
    }
}

static void peer_turn(struct link_transport *transport, struct link_peer *peer)
{
    const zmq_pollitem_t *items = transport->items;
    uint64_t now_ns = transport->now_ns;
    bool dialled = peer->dialled && peer->connection == NULL;
    bool ready = peer->item != 0 &&
                 (items[peer->item].revents != 0 || items[peer->item + 1].revents != 0);
    if (dialled && (ready || link_dial_due_ns(peer) <= now_ns))
        link_dial_turn(transport, peer);
    if (!dialled && peer->state == LINK_AWAITED && peer->awaited_until_ns <= now_ns)
        link_peer_down(transport, peer, "it never came");
    if (peer->died_ns != 0 && peer->died_ns + LAST_WORDS_NS <= now_ns) {
        if (peer->connection != NULL)
            link_accept_cut(transport, peer);
        else if (peer->dealer != NULL)
            link_dial_lost(transport, peer, "its process ended");
        peer->died_ns = 0;
    }
    bool room = peer->item != 0 && (items[peer->item].revents & ZMQ_POLLOUT) != 0;
    if ((peer->has_frame || peer->taken != NULL) && (room || peer->retry_ns <= now_ns))
        link_peer_flush(transport, peer);
}

/* Clients that left go for good. */
static void sweep(struct link_transport *transport)
{
    for (struct link_peer **at = &transport->peers; *at != NULL;) {
        struct link_peer *peer = *at;
        if (!peer->leaving || peer->state != LINK_DOWN) {
            at = &peer->next;
            continue;
        }
        struct link_peer *next = peer->next;
        peer->leaving = false;
        if (link_peer_forget(transport, peer))
            *at = next;
    }
}

static int links_wait(void *state, struct context *context, uint64_t timeout_ns)
{
    (void)context;
    struct link_transport *transport = ((struct link_actor *)state)->transport;
    absorb(transport);
    if (transport->items_stale && items_build(transport) != 0)
        return -ENOMEM;
    sleep_until_work(transport, timeout_ns);
    const zmq_pollitem_t *items = transport->items;
    uint64_t wakes;
    if (items[ITEM_WAKE].revents != 0 && read(transport->wake_fd, &wakes, sizeof wakes) < 0)
        wakes = 0;
    absorb(transport);
    if (items[ITEM_PROCESSES].revents != 0)
        note_dead_processes(transport);
    link_accept_turn(transport, items[ITEM_ROUTER_MONITOR].revents != 0,
                     items[ITEM_ROUTER].revents != 0);
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next)
        peer_turn(transport, peer);
    link_flush(transport);
    sweep(transport);
    return 0;
}

static void links_wake(void *state)
{
    link_wake(((struct link_actor *)state)->transport);
}

/* ---- start and stop ---------------------------------------------------------------------- */

static int links_start(void *state, struct context *context, const void *config)
{
    struct link_transport *transport = *(struct link_transport *const *)config;
    ((struct link_actor *)state)->transport = transport;
    runtime_transport_set(context_runtime(context), &transport->port);
    return 0;
}

/* What is queued still leaves, if the peers read it within a moment. */
static void drain(struct link_transport *transport)
{
    for (int tries = 0; tries < STOP_TRIES; tries++) {
        bool waiting = false;
        transport->now_ns = link_now(transport);
        link_flush(transport);
        for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next) {
            if (peer->has_frame || peer->taken != NULL)
                link_peer_flush(transport, peer);
            waiting |= peer->state == LINK_UP && (peer->has_frame || peer->taken != NULL);
        }
        if (!waiting)
            return;
        zmq_poll(NULL, 0, STOP_PAUSE_MS);
    }
}

static void peer_free(struct link_peer *peer)
{
    struct link_outgoing *lists[] = {peer->taken, peer->queue.head};
    for (size_t i = 0; i < 2; i++)
        for (struct link_outgoing *next; lists[i] != NULL; lists[i] = next) {
            next = lists[i]->next;
            link_outgoing_free(lists[i]);
        }
    if (peer->has_frame)
        zmq_msg_close(&peer->frame);
    if (peer->pidfd >= 0)
        close(peer->pidfd);
    free(peer);
}

/* Everything but the struct: a late sender may still look into it. */
static void transport_close(struct link_transport *transport)
{
    link_accept_close(transport);
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next)
        link_dial_close(peer);
    if (transport->zmq != NULL)
        zmq_ctx_term(transport->zmq);
    transport->zmq = NULL;
}

static void transport_free(struct transport_port *port)
{
    struct link_transport *transport = (struct link_transport *)port; /* its first member */
    take_over(transport);
    transport_close(transport);
    for (struct link_peer *next, *peer = transport->peers; peer != NULL; peer = next) {
        next = peer->next;
        peer_free(peer);
    }
    if (transport->wake_fd >= 0)
        close(transport->wake_fd);
    if (transport->process_fd >= 0)
        close(transport->process_fd);
    pthread_mutex_destroy(&transport->lock);
    free(transport->items);
    free(transport);
}

static void links_stop(void *state, struct context *context)
{
    struct link_transport *transport = ((struct link_actor *)state)->transport;
    if (transport == NULL)
        return;
    absorb(transport);
    drain(transport);
    for (struct link_peer *peer = transport->peers; peer != NULL; peer = peer->next) {
        say_bye(transport, peer, "shutting down");
        link_peer_down(transport, peer, NULL);
    }
    runtime_transport_set(context_runtime(context), NULL);
    transport_close(transport);
}

static const struct actor_handler links_handlers[] = {{0, 0, NULL, NULL, NULL}};

static const struct actor_ops links_ops = {
    .name = "links",
    .state_size = sizeof(struct link_actor),
    .handlers = links_handlers,
    .start = links_start,
    .stop = links_stop,
    .wait = links_wait,
    .wake = links_wake,
};

static int transport_new(struct runtime *runtime, const struct link_options *options,
                         struct link_transport **ret_transport)
{
    struct link_transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL)
        return -ENOMEM;
    transport->port = (struct transport_port){.send = link_transport_send,
                                              .links = link_transport_links,
                                              .free = transport_free};
    transport->runtime = runtime;
    transport->options = *options;
    if (transport->options.body_max == 0)
        transport->options.body_max = LINK_BODY_DEFAULT;
    if (transport->options.queue_limit == 0)
        transport->options.queue_limit = QUEUE_DEFAULT;
    const struct random_port *random = runtime_random(runtime);
    random->fill(random, &transport->incarnation, sizeof transport->incarnation);
    pthread_mutex_init(&transport->lock, NULL);
    transport->started_ns = transport->now_ns = link_now(transport);
    transport->items_stale = true;
    transport->zmq = zmq_ctx_new();
    transport->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    transport->process_fd = epoll_create1(EPOLL_CLOEXEC);
    if (transport->zmq == NULL || transport->wake_fd < 0 || transport->process_fd < 0) {
        transport_free(&transport->port);
        return -ENOMEM;
    }
    *ret_transport = transport;
    return 0;
}

int link_start(struct runtime *runtime, const struct link_options *options)
{
    struct link_transport *transport;
    if (runtime_transport(runtime) != NULL)
        return -EEXIST;
    int error = transport_new(runtime, options, &transport);
    if (error != 0)
        return error;
    struct actor_id id;
    struct spawn_options spawn = {.name = "links", .pinned = true};
    error = runtime_spawn(runtime, &links_ops, &transport, &spawn, &id);
    if (error != 0)
        transport_free(&transport->port);
    return error;
}
