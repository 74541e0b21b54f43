/* SPDX-License-Identifier: Apache-2.0 */
/* A message is one allocation: this header, then the body.
 *
 * In one process it moves by pointer; between processes the same bytes go on the wire
 * (docs/PROTOCOL.md). The runtime never looks into a body; `type` is a number that the layer
 * above gives a meaning to. A status (see enum runtime_status) is a message without a body.
 *
 * Ownership: a function whose name ends in _take, and every context_* function that sends, owns
 * the message from the call on, whatever it returns. A body handed to a handler is borrowed and
 * ends when the handler returns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest body the runtime accepts, in bytes. A link may set a lower bound. */
#define MESSAGE_BODY_MAX (8u << 20)

/* An address: link | slot | incarnation. {0} is nobody. Link 0 is this process; another number is
 * a peer process known to this runtime, so an id has meaning only inside one process and is
 * translated where a message enters or leaves it. Never put one into a body: names go there. */
struct actor_id {
    uint64_t n;
};

/* A request as its answerer holds it, to answer later. Not an actor id: the compiler keeps them
 * apart. */
struct request_id {
    uint64_t n;
};

struct timer_id {
    uint64_t n;
};

static inline bool actor_id_is_set(struct actor_id id)
{
    return id.n != 0;
}

static inline bool actor_id_equal(struct actor_id a, struct actor_id b)
{
    return a.n == b.n;
}

/* The runtime's own answers and drop reasons. The numbers are on the wire: append only. */
#define RUNTIME_STATUSES(X)                                                                        \
    X(0, OK, "ok", "")                                                                             \
    X(1, BUSY, "busy", "mailbox full; try again after the given time")                             \
    X(2, NO_ACTOR, "no_such_actor", "nobody has this address or name (any more)")                  \
    X(3, MOVED, "moved", "the actor has a new incarnation")                                        \
    X(4, EXPIRED, "expired", "the deadline passed before an answer")                               \
    X(5, PEER_DOWN, "peer_down", "the process at the other end is gone")                           \
    X(6, DIED, "died", "the actor ended with the request unanswered")                              \
    X(7, UNKNOWN_TYPE, "unknown_type", "the actor does not take this message")                     \
    X(8, MALFORMED, "malformed", "the body does not fit its message type")                         \
    X(9, FORBIDDEN, "forbidden", "this sender may not send this message")                          \
    X(10, CANCELLED, "cancelled", "the requester gave up")                                         \
    X(11, UNANSWERED, "unanswered", "the handler returned without an answer (a bug)")              \
    X(12, TOO_LARGE, "too_large", "body over the limit")                                           \
    X(13, SHUTDOWN, "shutdown", "the process is stopping")                                         \
    X(14, NO_MEMORY, "no_memory", "allocation failed")                                             \
    X(15, VERSION, "version", "the peer speaks another protocol version")

enum runtime_status {
#define X(number, name, text, help) STATUS_##name = number,
    RUNTIME_STATUSES(X)
#undef X
        STATUS_COUNT
};

/* The short name, e.g. "busy"; "?" for an unknown number. */
const char *runtime_status_name(unsigned status);

enum message_flag {
    MESSAGE_REQUEST = 1 << 0, /* wants one answer */
    MESSAGE_ANSWER = 1 << 1,  /* the one final answer of `request` */
    MESSAGE_PART = 1 << 2,    /* one numbered part of a stream that answers `request` */
    MESSAGE_CREDIT = 1 << 3,  /* the requester allows `size` more parts (header only) */
    MESSAGE_CANCEL = 1 << 4,  /* the requester no longer wants the answer (header only) */
    MESSAGE_STATUS = 1 << 5,  /* header only; `status` says what */
    MESSAGE_WIPE = 1 << 6,    /* body holds a secret: overwrite it before it is freed */
    MESSAGE_CONTROL = 1 << 7, /* travels in the control lane, ahead of ordinary messages */
    MESSAGE_UNTRACED = 1 << 8 /* part of looking: taps and rings do not show it */
};

struct message {
    struct message *next; /* the queue that holds it; NULL outside */
    struct actor_id from;
    struct actor_id to;
    uint64_t request;     /* id of the request it is or answers; 0 for a plain tell */
    uint64_t trace;       /* the same through all messages caused by one outside event */
    uint64_t deadline_ns; /* absolute, on the runtime's clock; 0 is none */
    uint64_t sent_ns;     /* when it was sent, for ages; 0 when nobody looks */
    uint32_t type;
    uint32_t size;        /* bytes of body; for MESSAGE_CREDIT the number of parts */
    uint32_t part;        /* number of this stream part, from 0 */
    uint16_t flags;       /* enum message_flag */
    uint16_t status;      /* enum runtime_status, with MESSAGE_STATUS */
    uint32_t retry_after_ms; /* with STATUS_BUSY */
    uint32_t reserved;
    uint8_t body[];
};

/* A message with `size` bytes of uninitialised body. NULL without memory or when size is over
 * MESSAGE_BODY_MAX. Free with message_free, or give it away. */
struct message *message_new(uint32_t type, size_t size);

/* Accepts NULL. Wipes the body first when MESSAGE_WIPE is set. */
void message_free(struct message *message);

/* Overwrites memory in a way the compiler keeps. */
void memory_wipe(void *memory, size_t size);
