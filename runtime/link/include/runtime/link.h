/* SPDX-License-Identifier: Apache-2.0 */
/* Links: messages to and from other processes, over ZeroMQ.
 *
 * Who listens has one ROUTER; who joins dials one DEALER and says hello with its name and kind. One
 * pinned transport actor owns all sockets of a runtime. Peers on ipc are of the same uid (the
 * listener checks SO_PEERCRED, the socket's directory is 0700) and are watched by pidfd and socket
 * monitor; there are no beats, so an idle link costs nothing. tcp is refused until CURVE is there.
 *
 * When a peer goes, every request open towards it is answered STATUS_PEER_DOWN and every monitor
 * of an actor behind it fires. A dialled link comes back by itself, with backoff and jitter. */
#pragma once

#include "runtime/runtime.h"

struct link_options {
    enum peer_kind kind;   /* what this process is */
    size_t body_max;       /* bytes accepted in one message; 0: 4 MiB */
    unsigned queue_limit;  /* messages queued towards one peer; 0: 1024 */
};

/* Starts the transport actor. Once per runtime, before listen and dial. */
int link_start(struct runtime *runtime, const struct link_options *options);
/* Endpoint "ipc://PATH". The caller holds the lock that makes it the only one to bind here: a
 * second bind on a living path silently takes its clients. -EPROTONOSUPPORT for tcp. */
int link_listen(struct runtime *runtime, const char *endpoint);
/* `peer` is the name to expect and to use with context_remote. Returns at once. */
int link_dial(struct runtime *runtime, const char *peer, const char *endpoint);
int link_hangup(struct runtime *runtime, const char *peer);

/* ---- a peer without a runtime: what a command line needs ---------------------------------- */

struct link_client;

/* Connects, says hello as PEER_CLIENT under `name`. 0; -ECONNREFUSED when nobody listens;
 * -ETIMEDOUT; -EPROTO for another version (text in ret_why, may be NULL). */
int link_client_open(const char *endpoint, const char *name, uint64_t timeout_ns,
                     char *ret_why, size_t why_size, struct link_client **ret_client);
void link_client_close(struct link_client *client);
const char *link_client_peer(const struct link_client *client);
/* One request to the actor named `to`; takes the message. For each part `on_part` is called (NULL:
 * parts are refused) and credit returned by itself; a negative return cancels. *ret_answer is the
 * final answer or a status message, the caller's to free. */
int link_client_call(struct link_client *client, const char *to, struct message *message,
                     uint64_t timeout_ns,
                     int (*on_part)(void *arg, const struct message *part), void *arg,
                     struct message **ret_answer);
