/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a running runtime, from any thread, without the looked-at actor's help. Every call
 * is bounded by the caller's buffers; lists are walked with a cursor that starts at 0. */
#pragma once

#include "runtime/runtime.h"

#define INTROSPECT_NAME_MAX 64
#define INTROSPECT_RING 16

struct actor_info {
    struct actor_id id;
    char name[INTROSPECT_NAME_MAX];
    char kind[INTROSPECT_NAME_MAX];
    char state[16]; /* idle, queued, running, stopping */
    bool pinned;
    unsigned queued, queue_limit, queue_high;
    uint64_t oldest_ns;  /* age of the oldest queued message, sampled; 0: none */
    uint64_t running_ns; /* how long the handler at work has run; 0: none */
    char running[INTROSPECT_NAME_MAX]; /* which message */
    uint64_t handled, failed_sends, busy_ns;
    unsigned open_in, open_out; /* unanswered requests it holds / it waits for */
    unsigned restarts;
    int last_error;
    char supervisor[INTROSPECT_NAME_MAX];
};

struct counter_info { /* messages handled by one actor, by type */
    char name[INTROSPECT_NAME_MAX];
    uint32_t type;
    uint64_t count, busy_ns;
};

struct open_info { /* one open request */
    bool outgoing;
    struct actor_id peer;
    char peer_name[INTROSPECT_NAME_MAX];
    uint32_t type;
    uint64_t age_ns, deadline_in_ns;
};

struct header_info { /* one past message header, newest last */
    struct actor_id from;
    char from_name[INTROSPECT_NAME_MAX];
    uint32_t type, size;
    uint16_t flags, status;
    uint64_t trace, age_ns;
};

struct drop_info {
    enum runtime_status reason;
    uint32_t type;
    char from[INTROSPECT_NAME_MAX], to[INTROSPECT_NAME_MAX];
    uint64_t count, last_age_ns;
};

struct link_info {
    char peer[INTROSPECT_NAME_MAX];
    char kind[16], state[16], endpoint[128];
    unsigned queued;
    uint64_t messages_in, messages_out, bytes_in, bytes_out, gaps, drops, reconnects;
    uint64_t rtt_ns; /* of the hello */
    int pid;
};

/* Each writes up to `max` rows and returns how many; *cursor moves on; 0 rows: the end. */
size_t introspect_actors(struct runtime *runtime, uint64_t *cursor, struct actor_info *ret_rows,
                         size_t max);
int introspect_actor(struct runtime *runtime, const char *name, struct actor_info *ret_info,
                     char *ret_text, size_t text_size);
size_t introspect_counters(struct runtime *runtime, struct actor_id who, uint64_t *cursor,
                           struct counter_info *ret_rows, size_t max);
size_t introspect_open(struct runtime *runtime, struct actor_id who, uint64_t *cursor,
                       struct open_info *ret_rows, size_t max);
size_t introspect_headers(struct runtime *runtime, struct actor_id who,
                          struct header_info *ret_rows, size_t max);
size_t introspect_drops(struct runtime *runtime, uint64_t *cursor, struct drop_info *ret_rows,
                        size_t max);
size_t introspect_links(struct runtime *runtime, uint64_t *cursor, struct link_info *ret_rows,
                        size_t max);

/* A tap copies the headers (and bodies, when `bodies`) of what `who` receives to the actor `to` as
 * messages of INTROSPECT_TAP_TYPE flagged MESSAGE_UNTRACED, whose body is a struct tap_event
 * followed by the tapped body. It ends by itself after `limit` messages (0: none). It never blocks
 * the tapped: what does not fit is counted in the next event's `lost`. Messages flagged
 * MESSAGE_WIPE show no body. {0} taps everyone. -ENOSPC: too many taps. */
#define INTROSPECT_TAP_TYPE 0xfffffff0u /* message type of tap events; never on a wire */
struct tap_event {
    struct actor_id from, to;
    char from_name[INTROSPECT_NAME_MAX], to_name[INTROSPECT_NAME_MAX];
    uint64_t request, trace, at_ns, waited_ns;
    uint32_t type, size, lost, body_size;
    uint16_t flags, status;
};
int introspect_tap(struct runtime *runtime, struct actor_id who, struct actor_id to, uint32_t type,
                   unsigned limit, bool bodies);
void introspect_untap(struct runtime *runtime, struct actor_id to);
