/* SPDX-License-Identifier: Apache-2.0 */
/* What an actor is, and what it may do from inside a handler.
 *
 * An actor is a const table: a name, the size of its state, start, stop, and rows of handlers. The
 * runtime allocates the state (zeroed) and runs the handlers to completion, one at a time; a
 * handler never blocks and never sees another actor's memory. What must wait on something else
 * than its mailbox (curl, sockets, a disk) is spawned pinned, on a thread of its own.
 *
 * A handler returns 0, or a negative errno that means: this actor cannot go on. Its supervisor
 * decides what follows. What a peer should know is an answer, not a return value.
 *
 * Requests: each is answered exactly once - in the handler (context_reply), later (context_defer,
 * context_answer), or by another actor (context_forward) - or by the runtime, when the deadline
 * passes, the answerer dies, or a handler returns without having done any of these. Sending a
 * request reserves the slot its answer will take in the sender's mailbox.
 *
 * Streams: before the final answer the answerer may send parts, as many as the requester has
 * given credit for. No credit pauses the source; context_part says -EAGAIN and `credit` is called
 * when there is some again. */
#pragma once

#include "runtime/message.h"

struct context; /* the handler's view of the runtime; valid during the call */
struct runtime;

/* Who may send a message: a column of the handler table. */
enum actor_from {
    FROM_LOCAL = 1 << 0,  /* an actor of this process, or the process itself */
    FROM_NODE = 1 << 1,   /* a node process over a link */
    FROM_KEEPER = 1 << 2, /* the keeper over a link */
    FROM_CLIENT = 1 << 3, /* a command line or another program over a link */
    FROM_ANSWER = 1 << 4, /* only as part of, or final, answer to a request of this actor */
    FROM_LINKS = FROM_NODE | FROM_KEEPER | FROM_CLIENT,
    FROM_ANYONE = FROM_LOCAL | FROM_LINKS
};

/* `message` is what `decode` made of the body, borrowed until the handler returns; the raw body
 * where the table has no decode (then use context_message). */
typedef int (*actor_handle_fn)(void *state, struct context *context, const void *message);

struct actor_handler {
    uint32_t type;
    uint32_t from;      /* enum actor_from, or-ed */
    const char *name;   /* for traces, e.g. "counter_add" */
    const void *schema; /* handed to decode; NULL: the handler gets the raw body */
    actor_handle_fn handle;
};

/* The runtime asks an actor to end by a message of this type. With a row for it the actor ends
 * itself (context_stop), now or when its work is done; without one it ends at once. It comes
 * behind what was sent before it. The number is far from those that the layers above give. */
#define ACTOR_STOP_TYPE 0xfffffff1u

/* Largest struct a decode may write, in bytes. */
#define ACTOR_DECODED_MAX 1024

/* Fills `ret_message` (ACTOR_DECODED_MAX bytes, aligned) from a body; the result borrows from the
 * body. 0, or -EBADMSG. No allocation. */
typedef int (*actor_decode_fn)(const void *schema, const uint8_t *body, size_t size,
                               void *ret_message);

enum exit_reason {
    EXIT_NORMAL,   /* context_stop(0) */
    EXIT_FAILED,   /* a handler or start returned a negative errno */
    EXIT_SHUTDOWN, /* its supervisor or the runtime stopped it */
    EXIT_LINKED,   /* an actor it is linked to ended abnormally */
    EXIT_PEER_DOWN,/* (seen by a monitor) the link to it is gone */
    EXIT_NO_ACTOR  /* (seen by a monitor) it did not exist */
};

struct actor_ops {
    const char *name;        /* kind, e.g. "counter" */
    size_t state_size;       /* bytes; the runtime allocates them, zeroed */
    unsigned mailbox_limit;  /* messages; 0 is the default of 1024 */
    bool fair_senders;       /* round-robin over senders (where strangers can send) */
    actor_decode_fn decode;  /* NULL: handlers get the raw body */
    const struct actor_handler *handlers; /* ends with a row whose handle is NULL */

    /* `config` is what spawn was given; borrowed during the call. 0 or negative errno. */
    int (*start)(void *state, struct context *context, const void *config);
    /* May be NULL. Must accept a state whose start failed half-way. */
    void (*stop)(void *state, struct context *context);

    /* Each may be NULL. The tag is what this actor gave with its request or timer. */
    /* A request of ours got a status of the runtime's instead of an answer. */
    int (*on_status)(void *state, struct context *context, uint64_t tag,
                     enum runtime_status status);
    int (*on_timer)(void *state, struct context *context, uint64_t tag);
    /* Parts may be sent again on this request. */
    int (*on_credit)(void *state, struct context *context, struct request_id request);
    /* Its requester gave up, died or is past its deadline: it is already answered; let go of it. */
    int (*on_cancel)(void *state, struct context *context, struct request_id request);
    int (*on_down)(void *state, struct context *context, struct actor_id who,
                   enum exit_reason reason, int error);
    /* A link to a peer process is up, or went down (after context_watch_links). */
    int (*on_link)(void *state, struct context *context, const char *peer, bool up);

    /* Pinned actors only. wait blocks until there is work of its own, `wake` was called, or
     * timeout_ns passed (UINT64_MAX: no limit), and handles that work. wake is called from any
     * thread and must make a running or the next wait return at once. Both or neither. */
    int (*wait)(void *state, struct context *context, uint64_t timeout_ns);
    void (*wake)(void *state);

    /* For inspection: writes one line about the state, no secrets; returns its length. */
    size_t (*describe)(const void *state, char *ret_text, size_t size);
};

/* ---- from inside a handler -------------------------------------------------------------- */

struct actor_id context_self(const struct context *context);
const char *context_name(const struct context *context); /* registered name or "" */
struct runtime *context_runtime(const struct context *context);
uint64_t context_now_ns(const struct context *context); /* CLOCK_BOOTTIME, read once a turn */
int64_t context_wall_ms(const struct context *context); /* Unix time */
uint64_t context_random(struct context *context);
/* The message at hand; NULL in start, stop and the callbacks, except that on_status has the status
 * message where there was one: its retry_after_ms, and for STATUS_MOVED `from`, the new address. */
const struct message *context_message(const struct context *context);
/* The tag of the request of ours that the message at hand answers. */
uint64_t context_tag(const struct context *context);
/* True when the answer at hand is a stream part and more follow. */
bool context_is_part(const struct context *context);
/* Who sent the message at hand: one bit of enum actor_from, and the peer process's name
 * ("" when local). */
uint32_t context_sender_kind(const struct context *context);
const char *context_sender_peer(const struct context *context);

/* Sends take the message whatever happens. 0, or a negative errno for what is known at once:
 * -ENOENT no such actor, -EAGAIN mailbox full, -EHOSTUNREACH link down, -EMSGSIZE; each is also
 * counted as a drop with its reason. */
int context_send(struct context *context, struct actor_id to, struct message *message);

struct request_options {
    uint64_t deadline_ns; /* absolute; 0: none of its own, inherits that of the request at hand;
                           * if that has none either, now + 60 s */
    uint64_t tag;         /* given back with answer, status and parts */
    uint32_t credit;      /* parts allowed at first; 0 for a plain request */
    struct request_id *ret_request; /* may be NULL; for context_cancel, context_credit */
};

/* An answer or a status arrives exactly once for each call, also when it fails at once: then
 * on_status is called in a later turn and 0 is returned. Negative only for programming errors. */
int context_request(struct context *context, struct actor_id to, struct message *message,
                    const struct request_options *options);
void context_credit(struct context *context, struct request_id request, uint32_t parts);
/* No answer will be delivered after this call. */
void context_cancel(struct context *context, struct request_id request);

/* Answers the request at hand. A tell at hand: the message is freed, 0. Also 0 when the requester
 * has gone meanwhile, which is counted: handlers return this, and it is no failure of theirs. */
int context_reply(struct context *context, struct message *message);
int context_reply_status(struct context *context, enum runtime_status status,
                         uint32_t retry_after_ms);
/* Keeps the request at hand open. {0} when the message at hand is a tell. */
struct request_id context_defer(struct context *context);
int context_answer(struct context *context, struct request_id request, struct message *message);
int context_answer_status(struct context *context, struct request_id request,
                          enum runtime_status status, uint32_t retry_after_ms);
/* -EAGAIN: no credit left, nothing was sent (and the message is NOT taken: send it again after
 * on_credit); -ENOENT: the request is over (message taken). */
int context_part(struct context *context, struct request_id request, struct message *message);
/* When this says 0, on_credit follows as after -EAGAIN. */
uint32_t context_credit_left(const struct context *context, struct request_id request);
/* Hands the message at hand on, with the duty to answer it. */
int context_forward(struct context *context, struct actor_id to);

struct timer_id context_timer(struct context *context, uint64_t delay_ns, uint64_t tag);
void context_timer_cancel(struct context *context, struct timer_id timer);

struct spawn_options {
    const char *name; /* registered in this runtime; copied; NULL for none */
    bool pinned;
    bool link;        /* ends abnormally with its parent and the other way round */
};

/* start runs before this returns for unpinned actors' callers only in the sense that its result is
 * known: 0 and *ret_id, or the negative errno of start; -EEXIST when the name is taken. */
int context_spawn(struct context *context, const struct actor_ops *ops, const void *config,
                  const struct spawn_options *options, struct actor_id *ret_id);
void context_stop(struct context *context, int error); /* this actor ends after the handler */
void context_stop_other(struct context *context, struct actor_id who);

/* Names. A remote name is an address like any other; it needs no link to exist yet. */
struct actor_id context_lookup(struct context *context, const char *name);
struct actor_id context_remote(struct context *context, const char *peer, const char *name);

void context_monitor(struct context *context, struct actor_id who); /* one on_down */
void context_demonitor(struct context *context, struct actor_id who);
/* on_link for each link that is up now, and whenever one comes up or goes down. */
void context_watch_links(struct context *context);
