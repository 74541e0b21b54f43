/* SPDX-License-Identifier: Apache-2.0 */
/* One peer process as the transport sees it, and the queue towards it.
 *
 * Fields marked L are guarded by the transport's lock, for any thread may send; atomic ones are
 * counters that inspection reads; all others belong to the transport's thread.
 *
 * A queue is bounded three ways. What begins something (a tell, a request) is refused with
 * -EAGAIN over `queue_limit`, and its sender answers busy. Answers, parts, credit and cancels
 * belong to what was already admitted and are let through to a higher bound, or a request would
 * lose its answer; a peer that makes even that overflow does not read, and is cut. */
#pragma once

#include <stdatomic.h>

#include <zmq.h>

#include "runtime/transport.h"
#include "frame.h"

struct link_outgoing { /* one queued message, with its names */
    struct link_outgoing *next;
    struct message *message;
    char to[FRAME_NAME_MAX + 1], from[FRAME_NAME_MAX + 1];
};

struct link_queue {
    struct link_outgoing *head, **tail;
    unsigned begun, count;
    size_t bytes;
};

enum link_state {
    LINK_AWAITED, /* never been up: messages wait in the queue */
    LINK_UP,
    LINK_DOWN     /* known to be gone: messages are refused at once */
};

struct link_peer {
    struct link_peer *next;
    unsigned number;
    char name[PEER_NAME_MAX];
    enum link_state state;      /* L for changes */
    struct link_queue queue;    /* L */
    size_t body_max;            /* L: what the peer takes */
    bool dirty;                 /* L: in the transport's dirty list */
    struct link_peer *next_dirty; /* L */
    bool overflown;             /* L: does not read its answers */
    bool hangup;                /* L: asked for by link_hangup */
    bool hang_up, cut;          /* the two above, taken over */
    bool leaving;               /* struct goes when the link does: clients, hung-up dials */
    enum peer_kind kind;        /* L */
    int pid;                    /* L: 0 unknown */
    char endpoint[128];         /* L: dialled; "" when it dialled us */

    struct link_outgoing *taken; /* from the queue, not yet in a frame */
    zmq_msg_t frame;            /* a batch that libzmq had no room for */
    bool has_frame;
    uint64_t retry_ns, retry_delay_ns; /* towards a ROUTER's peer: no event says "room" */
    uint64_t sequence_out, sequence_in;
    uint64_t up_ns, awaited_until_ns, died_ns;
    bool closing;               /* its connection has ended; last frames may still be here */
    unsigned strikes;
    int pidfd;

    void *new_dealer, *new_monitor; /* L: on their way to the transport's thread */
    bool dialled;               /* by us, at `endpoint` */
    void *dealer, *monitor;
    bool connected;             /* a hello is due or was sent */
    bool greeted;               /* it was sent */
    char refused[FRAME_TEXT_MAX + 1]; /* what the listener said to it, last */
    uint64_t hello_ns, redial_ns;
    unsigned failures;
    size_t item;                /* of the dealer among the transport's poll items; 0: none */
    struct link_connection *connection; /* of a peer that dialled us */

    _Atomic uint64_t messages_in, messages_out, bytes_in, bytes_out, gaps, drops, reconnects;
    _Atomic uint64_t rtt_ns;
};

static inline void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

void link_queue_init(struct link_queue *queue);
/* 0, -EAGAIN or -EMSGSIZE; the caller holds the lock. */
int link_queue_admit(struct link_peer *peer, const struct message *message, unsigned limit);
void link_queue_push(struct link_queue *queue, struct link_outgoing *outgoing);
struct link_outgoing *link_outgoing_new(const char *to_name, const char *from_name,
                                        struct message *message);
/* Also frees the message. */
void link_outgoing_free(struct link_outgoing *outgoing);

/* Makes one frame of as much of `*list` as fits, and takes that off; what has expired is taken off
 * too and counted. *ret_taken says what left the list. False when nothing was left to send, or
 * without memory. */
bool link_batch_make(struct runtime *runtime, struct link_outgoing **list, uint64_t sequence,
                     uint64_t now_ns, zmq_msg_t *ret_frame, struct link_queue *ret_taken,
                     unsigned *ret_messages);
