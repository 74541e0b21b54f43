/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>

#include "runtime/message.h"

struct message_queue {
    struct message *head, *tail;
};

void message_queue_append(struct message_queue *queue, struct message *message);
struct message *message_queue_pop(struct message_queue *queue);

/* What senders touch. It shares no cache line with the queues, which the reader writes all the
 * time. */
struct mailbox {
    _Atomic uint64_t word;
    _Atomic uint32_t waiting; /* in the queues, as last published */
    _Atomic uint32_t limit;
};

/* The reader's own. */
struct mailbox_queues {
    struct message_queue control, normal;
    struct fair *fair; /* NULL: senders share `normal`; else only what was promised room is there */
    uint32_t count;    /* in control and normal */
};

#define MAILBOX_LIMIT_MAX 32768u
#define MAILBOX_LIMIT_DEFAULT 1024u
#define MAILBOX_CONTROL 64u
#define MAILBOX_RESERVED (1u << 30)

enum mailbox_push {
    MAILBOX_PUSHED,
    MAILBOX_PUSHED_WAKE, /* it was idle: who pushed must schedule the actor */
    MAILBOX_FULL,        /* not taken */
    MAILBOX_CLOSED       /* not taken */
};

void mailbox_init(struct mailbox *mailbox); /* closed */
/* Opens a closed mailbox in the running state. A limit of 0 is the default. */
unsigned mailbox_limit(unsigned limit); /* what a limit comes to */
void mailbox_open(struct mailbox *mailbox, unsigned limit);
/* From any thread. `extra` is room over the limit, for control messages, and MAILBOX_RESERVED for
 * what was promised room before: answers, parts, the core's own. */
enum mailbox_push mailbox_push(struct mailbox *mailbox, struct message *message, unsigned extra);

/* Only by who runs the actor: */
/* Moves what was pushed to the queues. */
void mailbox_take(struct mailbox *mailbox, struct mailbox_queues *queues);
struct message *mailbox_pop(struct mailbox *mailbox, struct mailbox_queues *queues);
/* True: nothing was there, the actor is idle and no longer the caller's. */
bool mailbox_rest(struct mailbox *mailbox, struct mailbox_queues *queues);
/* Makes the caller the runner of an idle actor: a pinned one that woke by itself, or who looks. */
bool mailbox_claim(struct mailbox *mailbox);
/* Takes the request that `from` sent under this number out of the queues. */
struct message *mailbox_remove(struct mailbox *mailbox, struct mailbox_queues *queues,
                               struct actor_id from, uint64_t request);
struct message *mailbox_find(struct mailbox *mailbox, struct mailbox_queues *queues,
                             struct actor_id from, uint64_t request);
/* Closes; what was in it is the caller's. */
void mailbox_close(struct mailbox *mailbox, struct mailbox_queues *queues,
                   struct message_queue *ret_left);

/* From any thread, approximate: */
bool mailbox_is_idle(const struct mailbox *mailbox);
unsigned mailbox_length(const struct mailbox *mailbox);
