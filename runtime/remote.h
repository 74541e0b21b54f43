/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by remote.c (out) and deliver.c (in). */
#pragma once

#include "core.h"

#define WATCHERS_MAX 256u

struct remote_out {
    struct table_item item; /* key: requester and its number */
    struct actor_id target;
    struct message *carrier;
};

struct remote_in {
    struct table_item item; /* key: the peer's number */
    struct actor_id from, holder;
    uint32_t granted, hops;
};

struct peer {
    pthread_mutex_t lock;
    char name[PEER_NAME_MAX];
    unsigned number, incarnation;
    _Atomic uint32_t kind; /* FROM_... */
    struct table out, in;
    char **names; /* slot n is names[n - 1] */
    unsigned name_count;
    _Atomic bool used;
    bool is_up; /* under the lock of struct remote */
};

struct remote {
    pthread_mutex_t lock; /* peers, watchers */
    _Atomic(struct peer *) peers[PEER_MAX + 1];
    _Atomic(struct transport_port *) transport; /* NULL: out of use */
    struct transport_port *transport_made;      /* to be freed at the end */
    struct actor_id watchers[WATCHERS_MAX];
    unsigned watcher_count, peer_count;
};

struct peer *peer_get(struct runtime *runtime, unsigned number);
/* Under the peer's lock. Slot 0, "somebody there", when the name is empty or there is no room. */
struct actor_id peer_name_intern(struct peer *peer, const char *name);
int remote_cancel(struct runtime *runtime, struct worker *worker, struct actor_id from,
                  struct actor_id holder, uint64_t request);
