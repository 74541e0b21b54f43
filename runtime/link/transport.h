/* SPDX-License-Identifier: Apache-2.0 */
/* The transport actor's state, shared by its files: link.c (what other threads ask for),
 * transport.c (the actor and its loop), peer.c (peers and what is queued towards them),
 * dial.c (links we dial) and accept.c (links that come in).
 *
 * One thread, the actor's, owns all sockets. link_listen and link_dial make theirs in the caller's
 * thread, so that an error is the caller's to see, and hand them over under the lock; ZeroMQ
 * allows that. Under the lock nothing blocks and nothing of the core is called. */
#pragma once

#include <pthread.h>

#include "peer.h"
#include "runtime/link.h"

struct link_connection; /* these two: accept.c */
struct link_waiting;

struct link_transport {
    struct transport_port port;
    struct runtime *runtime;
    struct link_options options;
    uint64_t incarnation;
    uint64_t now_ns; /* of the turn */

    pthread_mutex_t lock;
    struct link_peer *by_number[PEER_MAX + 1]; /* L */
    struct link_peer *dirty;                   /* L: have something queued */
    bool changed;                              /* L: new socket, hangup */
    void *new_router, *new_router_monitor;     /* L: on their way to the transport's thread */
    struct link_peer *fresh;                   /* L: new peers, by next */
    bool listens;                              /* L */
    char endpoint[128];                        /* L: of the listener */
    uint64_t started_ns;
    _Atomic unsigned monitors; /* made so far, for their addresses */

    _Atomic bool asleep; /* who turns it false writes to wake_fd */
    int wake_fd, process_fd; /* eventfd; epoll over the peers' pidfds */

    void *zmq, *router, *router_monitor;
    struct link_peer *peers;               /* all, by next; the transport's thread */
    struct link_connection *connections; /* uthash, by routing id */
    struct link_waiting *waiting;        /* uthash, by descriptor */
    unsigned suspects;                   /* connections that may have ended */
    bool no_more_frames; /* the last look at the ROUTER left nothing unread */
    zmq_pollitem_t *items;
    size_t item_count, item_capacity;
    bool items_stale;
};

/* ---- link.c ------------------------------------------------------------------------------ */

/* transport_port.links */
size_t link_transport_links(struct transport_port *port, uint64_t *cursor,
                            struct link_info *ret_rows, size_t max);

/* ---- peer.c ------------------------------------------------------------------------- */

uint64_t link_now(const struct link_transport *transport);
void link_wake(struct link_transport *transport);

/* The peer of that name; made when new (NULL: bad name, table full, no memory). From any thread;
 * only the transport's may keep the pointer. */
struct link_peer *link_peer_get(struct link_transport *transport, const char *name);
/* True: the peer, whose link is down, is out of the tables and freed. False: somebody has an
 * address behind it, so it stays known. */
bool link_peer_forget(struct link_transport *transport, struct link_peer *peer);
/* A hello was agreed on. */
void link_peer_up(struct link_transport *transport, struct link_peer *peer,
                  const struct frame_hello *hello, pid_t pid);
/* The link is gone: everybody who waits for something of it is told. `why` is for the log; NULL:
 * not worth a line. */
void link_peer_down(struct link_transport *transport, struct link_peer *peer, const char *why);
/* A batch that frame_open took. False: the peer breaks the protocol too often, cut it. */
bool link_peer_receive(struct link_transport *transport, struct link_peer *peer,
                       struct frame_reader *reader, zmq_msg_t *frame);
/* Counts a frame that was refused. False: once too often. */
bool link_peer_strike(struct link_transport *transport, struct link_peer *peer,
                      const char *what);
/* Sends what is queued, as far as libzmq has room. */
void link_peer_flush(struct link_transport *transport, struct link_peer *peer);
/* The same for all peers that have got something since. */
void link_flush(struct link_transport *transport);
/* transport_port.send */
int link_transport_send(struct transport_port *port, unsigned number, const char *to_name,
                        const char *from_name, struct message *message);

/* ---- dial.c ------------------------------------------------------------------------- */

/* Makes the sockets and starts to connect. 0 or negative errno. From any thread. */
int link_dial_open(struct link_transport *transport, const char *endpoint, void **ret_dealer,
                   void **ret_monitor);
void link_dial_close(struct link_peer *peer);
/* The link ended: take it down and try again in a while. */
void link_dial_lost(struct link_transport *transport, struct link_peer *peer, const char *why);
/* Reads what the dealer and its monitor have; redials when it is time. */
void link_dial_turn(struct link_transport *transport, struct link_peer *peer);
/* When this link wants the next turn though nothing arrives; UINT64_MAX: never. */
uint64_t link_dial_due_ns(const struct link_peer *peer);

/* ---- accept.c ----------------------------------------------------------------------- */

int link_accept_open(struct link_transport *transport, const char *endpoint, void **ret_router,
                     void **ret_monitor);
void link_accept_close(struct link_transport *transport);
void link_accept_turn(struct link_transport *transport, bool events, bool frames);
uint64_t link_accept_due_ns(const struct link_transport *transport);
/* Sends a frame to a peer that dialled us. 0 (and the frame is gone), -EAGAIN, -EHOSTUNREACH. */
int link_accept_send(struct link_transport *transport, struct link_peer *peer, zmq_msg_t *frame);
/* The link is over for us; the peer closes the connection when it has read our bye. */
void link_accept_hangup(struct link_transport *transport, struct link_peer *peer);
/* The peer's connection ends as if it had closed it itself. */
void link_accept_cut(struct link_transport *transport, struct link_peer *peer);
/* Peer and connection forget each other. */
void link_accept_detach(struct link_peer *peer);
