/* SPDX-License-Identifier: Apache-2.0 */
/* What both ends of a link need of libzmq 4.3.4, in one place: bounds on a socket, a check of the
 * endpoint, who is at the other end, and the monitor's events.
 *
 * Tried on Debian's package: each message carries the peer's SO_PEERCRED in its "Peer-Address"
 * property (":uid:gid:pid" at the end), so uid and pid are the kernel's word, not the peer's; and
 * ZMQ_SRCFD says which connection it came over, which is what the monitor's events speak of. There
 * is no call to close one connection of a ROUTER: link_connection_cut does it below libzmq.
 *
 * ZMQ_IMMEDIATE stays 0: with 1 a DEALER throws away what it has not read yet when its connection
 * ends, and so the last answer of a process that leaves. Instead nothing is sent before the
 * handshake, and a lost connection's socket is closed without linger, so that libzmq takes nothing
 * of the old connection into a new one.
 *
 * What libzmq does not bound: the parts of one multipart message that never ends. It keeps them all
 * and shows none. MAXMSGSIZE holds for each part only. On ipc only processes of the same uid
 * can connect, and a connection without a hello is cut after two seconds; a program of the same
 * user that means harm can do worse than that without us. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <zmq.h>

#define LINK_BODY_DEFAULT (4u << 20)
#define LINK_BATCH_BYTES (64u << 10) /* a batch grows to about this; one message may be larger */

/* 0; -EPROTONOSUPPORT for anything but ipc; -EINVAL, -ENAMETOOLONG for the path; -EPERM when its
 * directory is not ours alone (owner and 0700); or what stat said. */
int link_endpoint_check(const char *endpoint);

/* Bounds and timing that every data socket of ours has. 0 or negative errno. */
int link_socket_bound(void *socket, size_t body_max);

/* What this process says of itself. `name` must fit. */
struct frame_hello;
void link_hello_make(struct frame_hello *ret_hello, unsigned peer_kind, const char *name,
                     uint64_t incarnation, size_t body_max);
/* A descriptor that becomes readable when the process ends; -1 when there is none to be had. */
int link_pidfd_open(pid_t pid);

/* Sends a copy of a small frame, to `routing` first when not NULL. 0, -EAGAIN, -EHOSTUNREACH. */
int link_send_copy(void *socket, zmq_msg_t *routing, const void *bytes, size_t size);

/* Receives one frame (after its routing id when not NULL) without waiting. 0; -EAGAIN; -EMSGSIZE
 * when it had more parts than that: they are thrown away. Both messages are initialised in any
 * case: close them. */
int link_receive(void *socket, zmq_msg_t *routing, zmq_msg_t *frame);

struct link_credentials {
    int fd; /* the connection's descriptor inside libzmq; -1: unknown */
    pid_t pid; /* 0: of another pid namespace, or unknown */
    uid_t uid;
};

/* -ENOENT when libzmq did not say. */
int link_credentials_of(zmq_msg_t *frame, struct link_credentials *ret_credentials);

/* Ends one connection as if the peer had closed it. Does nothing unless `fd` is a unix socket
 * accepted at `endpoint`: the number may have been reused for something else. */
void link_connection_cut(int fd, const char *endpoint);

struct link_event {
    int event; /* ZMQ_EVENT_... */
    int value; /* fd, or an error number */
};

/* A socket that yields the events of `socket`; `number` makes its address unique in the context.
 * NULL on failure. */
void *link_monitor_open(void *zmq, void *socket, unsigned number);
bool link_monitor_next(void *monitor, struct link_event *ret_event);
