/* SPDX-License-Identifier: Apache-2.0 */
/* What a transport and the core say to each other: for those who carry messages to other processes
 * (runtime/link/, the simulator), not for actors.
 *
 * The core owns addresses, open requests and their answers; the link code owns sockets and bytes.
 * A peer is another process under a name; it has a number in 1..PEER_MAX for as long as this
 * runtime knows it, whether a link to it is up or not. An actor id with that number in its link
 * part is an actor there: the core keeps the actor's name for it, and names are all that goes on
 * the wire.
 *
 * Request numbers on the wire are always the requester's. So the direction follows from the flags:
 * REQUEST, CREDIT and CANCEL carry a number of the process that sends them, ANSWER and PART one of
 * the process that receives them. The core translates on both sides; the link code copies
 * `request` as it is. It also copies type, size, part (for a REQUEST: the first credit), flags,
 * status, retry_after_ms and trace; `from`, `to`, `next`, `reserved` never leave the process, and
 * a deadline travels as time left. */
#pragma once

#include "runtime/introspect.h"
#include "runtime/runtime.h"

#define PEER_MAX 4095
#define PEER_NAME_MAX 64

/* Set on the core's own messages (types below). Of these only RUNTIME_MONITOR, as a request,
 * passes a link: the flag then is on the wire, too. */
#define MESSAGE_INTERNAL (1 << 15)

enum runtime_type {
    RUNTIME_MONITOR = 2, /* request, answered STATUS_DIED when the actor ends: part is the
                          * exit_reason, retry_after_ms the error as uint32_t */
    RUNTIME_TICK = 3,    /* a time of this actor's has come */
    RUNTIME_HOLDER = 4,  /* `request` of yours is now with the actor `from` */
    RUNTIME_LINK = 5     /* a link came up (part 1) or went down (part 0); from names the peer */
};

struct transport_port {
    /* Sends to a peer. From any thread, also from inside runtime_deliver; never blocks; takes the
     * message. to_name is NULL for what belongs to an open request (ANSWER, PART, CREDIT, CANCEL):
     * message->request says which. from_name is the sender's registered name or "".
     * 0, -EHOSTUNREACH (no link), -EAGAIN (queue full), -EMSGSIZE, -ENOENT (no actor can have such
     * a name), -ENOMEM. The core counts what failed, and answers it. */
    int (*send)(struct transport_port *transport, unsigned peer, const char *to_name,
                const char *from_name, struct message *message);
    /* introspect_links. May be NULL. */
    size_t (*links)(struct transport_port *transport, uint64_t *cursor,
                    struct link_info *ret_rows, size_t max);
    /* When the runtime ends, after its last thread: so a late sender never meets freed memory. May
     * be NULL. */
    void (*free)(struct transport_port *transport);
};

/* Once per runtime; NULL takes it out of use (when the transport actor ends). */
void runtime_transport_set(struct runtime *runtime, struct transport_port *transport);
struct transport_port *runtime_transport(struct runtime *runtime); /* NULL: none */

/* The number of a peer, made known when new. 0: bad name or table full. */
unsigned runtime_peer(struct runtime *runtime, const char *name);
/* "" for an unknown number. Valid until runtime_peer_release. */
const char *runtime_peer_name(struct runtime *runtime, unsigned peer);
/* A peer that will hardly come back under this name (a client that left). After runtime_link_down.
 * True: its number may be given out again. False: somebody made an address of an actor there,
 * which stays good for when it does come back. */
bool runtime_peer_release(struct runtime *runtime, unsigned peer);

/* After the hello. Messages delivered from now on come from a sender of this kind. */
void runtime_link_up(struct runtime *runtime, unsigned peer, enum peer_kind kind);
/* Answers what is open towards the peer STATUS_PEER_DOWN, cancels what it had asked for here,
 * fires monitors and on_link. */
void runtime_link_down(struct runtime *runtime, unsigned peer);

/* A message that came in, with absolute deadline_ns; takes it. to_name as in send. Never fails in
 * a way the caller must handle: what cannot be delivered is answered over the transport, or
 * counted. May call transport->send before it returns. -EBADMSG: flags that make no sense, the
 * peer breaks the protocol. */
int runtime_deliver(struct runtime *runtime, unsigned peer, struct message *message,
                    const char *to_name, const char *from_name);

/* For counting what a link loses itself. Names may be "". */
void runtime_count_drop(struct runtime *runtime, enum runtime_status reason, uint32_t type,
                        const char *from, const char *to);
const struct clock_port *runtime_clock(const struct runtime *runtime);
const struct random_port *runtime_random(const struct runtime *runtime);
void runtime_log(struct runtime *runtime, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
