/* SPDX-License-Identifier: Apache-2.0 */
/* Links that come in: one ROUTER, a record for each connection, a peer after its hello.
 *
 * A connection is its routing id. Of its end libzmq says only that some connection with this
 * descriptor was closed (DISCONNECTED), and the number may serve the next one before the last
 * frames of the former are read. So that event makes a record suspect, and the ROUTER is asked:
 * sending to a routing id that is gone fails with EHOSTUNREACH. The link ends when it is gone and
 * everything it had sent is read. (To ask is to send an empty frame. Who is there after all
 * ignores it.)
 *
 * Who may come in: processes of our uid (libzmq asks SO_PEERCRED for us, and we look again), which
 * say hello within two seconds, in this version, under a name no living process has. A
 * refusal is a frame with a sentence; the connection is cut when its two seconds are over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1 /* what could not be added is not there, and we go on */
#define HASH_FUNCTION(key, size, hash) HASH_FNV(key, size, hash) /* the default's switch warns */
#include <uthash.h>

#include "socket.h"
#include "transport.h"

#define HELLO_NS 2000000000u
#define ASK_FIRST_NS 1000000u /* a suspect; then twice as long each time */
#define ASK_TIMES 7
#define FRAMES_A_TURN 64
#define ROUTING_MAX 255

struct link_waiting { /* an accepted connection that has not said hello */
    UT_hash_handle hh;
    int fd;
    uint64_t accepted_ns;
    bool closed;    /* since accepted_ns, rather; its first frame may still be unread */
    bool ambiguous; /* or that of the one before it */
};

struct link_connection {
    UT_hash_handle hh;
    struct link_credentials credentials;
    uint8_t routing[ROUTING_MAX];
    unsigned routing_size;
    struct link_peer *peer; /* from its hello to its end */
    bool over;              /* nothing more is read from it */
    bool gone;              /* the ROUTER does not know it any more */
    unsigned asked;
    uint64_t ask_ns; /* suspect: when to ask; 0: not suspect */
};

int link_accept_open(struct link_transport *transport, const char *endpoint, void **ret_router,
                     void **ret_monitor)
{
    const struct {
        int option, value;
    } options[] = {
        {ZMQ_ROUTER_MANDATORY, 1}, /* a gone peer is an error, not a silent drop */
        {ZMQ_ROUTER_HANDOVER, 0},  /* nobody takes over another's routing id */
        {ZMQ_BACKLOG, 1024},
        {ZMQ_IPC_FILTER_UID, (int)geteuid()},
    };
    void *router = zmq_socket(transport->zmq, ZMQ_ROUTER);
    if (router == NULL)
        return -errno;
    int error = link_socket_bound(router, transport->options.body_max);
    for (size_t i = 0; error == 0 && i < sizeof options / sizeof *options; i++)
        if (zmq_setsockopt(router, options[i].option, &options[i].value, sizeof(int)) != 0)
            error = -errno;
    void *monitor = error == 0
                        ? link_monitor_open(transport->zmq, router,
                                            atomic_fetch_add(&transport->monitors, 1))
                        : NULL;
    if (error == 0 && monitor == NULL)
        error = -ENOMEM;
    if (error == 0 && zmq_bind(router, endpoint) != 0)
        error = -errno;
    if (error != 0) {
        zmq_close(router);
        if (monitor != NULL)
            zmq_close(monitor);
        return error;
    }
    *ret_router = router;
    *ret_monitor = monitor;
    return 0;
}

/* ---- connections ------------------------------------------------------------------------- */

void link_accept_detach(struct link_peer *peer)
{
    if (peer->connection != NULL)
        peer->connection->peer = NULL;
    peer->connection = NULL;
}

static void connection_over(struct link_transport *transport, struct link_connection *connection,
                            const char *why)
{
    connection->over = true;
    if (connection->peer != NULL)
        link_peer_down(transport, connection->peer, why);
}

static void connection_free(struct link_transport *transport, struct link_connection *connection)
{
    connection_over(transport, connection, "its connection ended");
    HASH_DEL(transport->connections, connection);
    free(connection);
}

static void waiting_end(struct link_transport *transport, int fd)
{
    struct link_waiting *waiting;
    HASH_FIND_INT(transport->waiting, &fd, waiting);
    if (waiting == NULL)
        return;
    HASH_DEL(transport->waiting, waiting);
    free(waiting);
}

static void on_accepted(struct link_transport *transport, int fd)
{
    struct link_waiting *waiting;
    HASH_FIND_INT(transport->waiting, &fd, waiting);
    if (waiting != NULL) {
        waiting->ambiguous = true;
    } else {
        waiting = calloc(1, sizeof *waiting);
        if (waiting == NULL)
            return; /* then nobody waits for its hello */
        waiting->fd = fd;
        HASH_ADD_INT(transport->waiting, fd, waiting);
        struct link_waiting *found;
        HASH_FIND_INT(transport->waiting, &fd, found);
        if (found == NULL) {
            free(waiting);
            return;
        }
    }
    waiting->closed = false;
    waiting->accepted_ns = transport->now_ns;
}

static void suspect(struct link_transport *transport, struct link_connection *connection)
{
    transport->suspects += connection->ask_ns == 0;
    connection->ask_ns = transport->now_ns + ASK_FIRST_NS;
    connection->asked = 0;
}

static void on_disconnected(struct link_transport *transport, int fd)
{
    struct link_connection *connection;
    struct link_waiting *waiting;
    HASH_FIND_INT(transport->waiting, &fd, waiting);
    if (waiting != NULL) {
        waiting->closed = true;
        waiting->accepted_ns = transport->now_ns;
    }
    for (connection = transport->connections; connection != NULL;
         connection = connection->hh.next) {
        if (connection->credentials.fd == fd && !connection->gone)
            suspect(transport, connection);
    }
}

static void accept_events(struct link_transport *transport)
{
    struct link_event event;
    while (link_monitor_next(transport->router_monitor, &event)) {
        if (event.event == ZMQ_EVENT_ACCEPTED)
            on_accepted(transport, event.value);
        else if (event.event == ZMQ_EVENT_DISCONNECTED)
            on_disconnected(transport, event.value);
        else if (event.event == ZMQ_EVENT_ACCEPT_FAILED)
            runtime_count_drop(transport->runtime, STATUS_FORBIDDEN, 0, "", "");
    }
}

/* The record of the connection a frame came over, made with its first frame. NULL without memory,
 * or when libzmq does not say who sent it. */
static struct link_connection *connection_of(struct link_transport *transport, zmq_msg_t *routing,
                                             zmq_msg_t *frame)
{
    struct link_connection *connection;
    const void *id = zmq_msg_data(routing);
    unsigned size = (unsigned)zmq_msg_size(routing);
    HASH_FIND(hh, transport->connections, id, size, connection);
    if (connection != NULL)
        return connection;
    struct link_credentials credentials;
    if (size > ROUTING_MAX || link_credentials_of(frame, &credentials) != 0)
        return NULL;
    connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    memcpy(connection->routing, id, size);
    connection->routing_size = size;
    connection->credentials = credentials;
    HASH_ADD(hh, transport->connections, routing, size, connection);
    struct link_connection *found;
    HASH_FIND(hh, transport->connections, id, size, found);
    if (found == NULL) {
        free(connection);
        return NULL;
    }
    struct link_waiting *waiting;
    accept_events(transport);
    HASH_FIND_INT(transport->waiting, &credentials.fd, waiting);
    if (waiting == NULL || waiting->closed || waiting->ambiguous)
        suspect(transport, connection);
    return connection;
}

static int connection_send(struct link_transport *transport,
                           const struct link_connection *connection, const void *bytes,
                           size_t size)
{
    zmq_msg_t routing;
    if (zmq_msg_init_size(&routing, connection->routing_size) != 0)
        return -ENOMEM;
    memcpy(zmq_msg_data(&routing), connection->routing, connection->routing_size);
    int error = link_send_copy(transport->router, &routing, bytes, size);
    zmq_msg_close(&routing);
    return error;
}

static void connection_refuse(struct link_transport *transport,
                              struct link_connection *connection, enum runtime_status status,
                              const char *why)
{
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    frame_put_reason(bytes, FRAME_REFUSED, status, why);
    connection_send(transport, connection, bytes, sizeof bytes);
    connection->over = true;
    runtime_count_drop(transport->runtime, status, 0, "", "");
}

/* ---- hello ------------------------------------------------------------------------------- */

/* NULL, or why this hello is refused. */
static const char *hello_fault(struct link_transport *transport,
                               const struct link_connection *connection,
                               const struct frame_hello *hello, char text[FRAME_TEXT_MAX + 1])
{
    if (connection->credentials.uid != geteuid())
        return "this process talks to processes of its own user only";
    if (hello->peer_kind > PEER_CLIENT)
        return "the hello names a kind of peer that does not exist";
    if (strcmp(hello->name, runtime_name(transport->runtime)) == 0) {
        snprintf(text, FRAME_TEXT_MAX + 1, "the name %s is this process's own", hello->name);
        return text;
    }
    return NULL;
}

/* NULL, or why `peer` cannot come in now: alive under this name already. */
static const char *name_fault(struct link_transport *transport, struct link_peer *peer,
                              const struct frame_hello *hello, char text[FRAME_TEXT_MAX + 1])
{
    bool ending = peer->closing || peer->died_ns != 0 ||
                  (peer->connection != NULL && peer->connection->ask_ns != 0);
    if (peer->state == LINK_UP && !ending) {
        snprintf(text, FRAME_TEXT_MAX + 1, "the name %s is taken by process %d", hello->name,
                 peer->pid);
        return text;
    }
    if (peer->state == LINK_UP)
        link_peer_down(transport, peer, NULL);
    /* Both dial each other: the link dialled by the lesser name is the one that stays. */
    if (peer->dealer != NULL && strcmp(runtime_name(transport->runtime), peer->name) < 0) {
        snprintf(text, FRAME_TEXT_MAX + 1, "this process dials %s itself", hello->name);
        return text;
    }
    if (peer->dealer != NULL)
        link_dial_close(peer);
    return NULL;
}

static void on_hello(struct link_transport *transport, struct link_connection *connection,
                     const struct frame_reader *reader)
{
    char text[FRAME_TEXT_MAX + 1];
    struct frame_hello hello, welcome;
    frame_get_hello(reader, &hello);
    accept_events(transport); /* who it follows under its name may have just ended */
    const char *why = hello_fault(transport, connection, &hello, text);
    struct link_peer *peer = why == NULL ? link_peer_get(transport, hello.name) : NULL;
    if (why == NULL && peer == NULL)
        why = "too many peers";
    if (why == NULL)
        why = name_fault(transport, peer, &hello, text);
    if (why != NULL) {
        connection_refuse(transport, connection, STATUS_FORBIDDEN, why);
        return;
    }
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    link_hello_make(&welcome, transport->options.kind, runtime_name(transport->runtime),
                    transport->incarnation, transport->options.body_max);
    frame_put_hello(bytes, FRAME_WELCOME, &welcome);
    if (connection_send(transport, connection, bytes, sizeof bytes) != 0)
        return;
    waiting_end(transport, connection->credentials.fd);
    connection->peer = peer;
    peer->connection = connection;
    peer->leaving = hello.peer_kind == PEER_CLIENT && !peer->dialled;
    link_peer_up(transport, peer, &hello, connection->credentials.pid);
}

static void on_first_frame(struct link_transport *transport, struct link_connection *connection,
                           const struct frame_reader *reader, enum frame_fault fault)
{
    char text[FRAME_TEXT_MAX + 1];
    if (fault == FRAME_FAULT_NONE && reader->kind == FRAME_HELLO) {
        on_hello(transport, connection, reader);
    } else if (fault == FRAME_FAULT_VERSION) {
        snprintf(text, sizeof text, "this process speaks protocol version %u, not %u",
                 FRAME_VERSION, reader->version);
        connection_refuse(transport, connection, STATUS_VERSION, text);
    } else {
        snprintf(text, sizeof text, "the first frame must be a hello; this one %s",
                 fault == FRAME_FAULT_NONE ? "is not" : frame_fault_text(fault));
        connection_refuse(transport, connection, STATUS_MALFORMED, text);
    }
}

/* ---- frames ------------------------------------------------------------------------------ */

static void on_frame(struct link_transport *transport, struct link_connection *connection,
                     zmq_msg_t *frame, bool multipart)
{
    struct frame_reader reader;
    struct link_peer *peer = connection->peer;
    enum frame_fault fault =
        multipart ? FRAME_FAULT_MULTIPART
                  : frame_open(&reader, zmq_msg_data(frame), zmq_msg_size(frame),
                               transport->options.body_max);
    if (connection->over)
        return;
    if (peer == NULL) {
        on_first_frame(transport, connection, &reader, fault);
        return;
    }
    bool goes_on = true;
    if (fault != FRAME_FAULT_NONE)
        goes_on = link_peer_strike(transport, peer, frame_fault_text(fault));
    else if (reader.kind == FRAME_BATCH)
        goes_on = link_peer_receive(transport, peer, &reader, frame);
    else if (reader.kind == FRAME_BYE)
        connection_over(transport, connection, "it said bye");
    else
        goes_on = link_peer_strike(transport, peer, "is a hello in the wrong place");
    if (!goes_on)
        link_accept_cut(transport, peer);
}

/* False when nothing was there. */
static bool accept_frame(struct link_transport *transport)
{
    zmq_msg_t routing, frame;
    int error = link_receive(transport->router, &routing, &frame);
    if (error == 0 || error == -EMSGSIZE) {
        struct link_connection *connection = connection_of(transport, &routing, &frame);
        if (connection != NULL)
            on_frame(transport, connection, &frame, error == -EMSGSIZE);
    }
    zmq_msg_close(&routing);
    zmq_msg_close(&frame);
    return error == 0 || error == -EMSGSIZE;
}

static void ask(struct link_transport *transport, struct link_connection *connection)
{
    connection->gone = connection_send(transport, connection, "", 0) == -EHOSTUNREACH;
    uint64_t pause_ns = (uint64_t)ASK_FIRST_NS << ++connection->asked;
    connection->ask_ns = transport->now_ns + pause_ns;
    if (!connection->gone && connection->asked >= ASK_TIMES) {
        connection->ask_ns = 0; /* the event was another's */
        transport->suspects--;
    }
}

static void end_suspects(struct link_transport *transport)
{
    struct link_connection *connection, *next;
    if (transport->suspects == 0)
        return;
    HASH_ITER(hh, transport->connections, connection, next)
    {
        if (connection->ask_ns == 0)
            continue;
        if (!connection->gone && connection->ask_ns <= transport->now_ns)
            ask(transport, connection);
        if (connection->gone && transport->no_more_frames) {
            transport->suspects--;
            connection_free(transport, connection);
        }
    }
}

static void cut_waiting(struct link_transport *transport)
{
    struct link_waiting *waiting, *next;
    HASH_ITER(hh, transport->waiting, waiting, next)
    {
        if (transport->now_ns - waiting->accepted_ns < HELLO_NS)
            continue;
        if (waiting->closed) {
            waiting_end(transport, waiting->fd);
            continue;
        }
        link_connection_cut(waiting->fd, transport->endpoint);
        waiting->accepted_ns = transport->now_ns; /* again, should that not have helped */
    }
}

void link_accept_turn(struct link_transport *transport, bool events, bool frames)
{
    if (transport->router == NULL)
        return;
    if (events)
        accept_events(transport);
    int budget = frames || events ? FRAMES_A_TURN : 1;
    while (budget > 0 && (frames || events) && accept_frame(transport))
        budget--;
    transport->no_more_frames = budget > 0;
    end_suspects(transport);
    cut_waiting(transport);
}

uint64_t link_accept_due_ns(const struct link_transport *transport)
{
    uint64_t due_ns = UINT64_MAX;
    const struct link_waiting *waiting = transport->waiting;
    for (; waiting != NULL; waiting = waiting->hh.next)
        if (waiting->accepted_ns + HELLO_NS < due_ns)
            due_ns = waiting->accepted_ns + HELLO_NS;
    const struct link_connection *connection =
        transport->suspects > 0 ? transport->connections : NULL;
    for (; connection != NULL; connection = connection->hh.next)
        if (connection->ask_ns != 0 && connection->ask_ns < due_ns)
            due_ns = connection->gone ? 0 : connection->ask_ns;
    return due_ns;
}

int link_accept_send(struct link_transport *transport, struct link_peer *peer, zmq_msg_t *frame)
{
    const struct link_connection *connection = peer->connection;
    zmq_msg_t routing;
    if (connection == NULL)
        return -EHOSTUNREACH;
    if (zmq_msg_init_size(&routing, connection->routing_size) != 0)
        return -EAGAIN;
    memcpy(zmq_msg_data(&routing), connection->routing, connection->routing_size);
    if (zmq_msg_send(&routing, transport->router, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        int error = errno;
        zmq_msg_close(&routing);
        return -error;
    }
    return zmq_msg_send(frame, transport->router, ZMQ_DONTWAIT) < 0 ? -errno : 0;
}

void link_accept_hangup(struct link_transport *transport, struct link_peer *peer)
{
    connection_over(transport, peer->connection, "hung up");
}

void link_accept_cut(struct link_transport *transport, struct link_peer *peer)
{
    struct link_connection *connection = peer->connection;
    if (connection == NULL)
        return;
    accept_events(transport);
    if (connection->ask_ns == 0) /* else its descriptor may be another's by now */
        link_connection_cut(connection->credentials.fd, transport->endpoint);
    connection_over(transport, connection, "it was cut off");
}

void link_accept_close(struct link_transport *transport)
{
    struct link_connection *connection, *next;
    HASH_ITER(hh, transport->connections, connection, next)
        connection_free(transport, connection);
    while (transport->waiting != NULL)
        waiting_end(transport, transport->waiting->fd);
    if (transport->router != NULL) {
        zmq_socket_monitor(transport->router, NULL, 0);
        zmq_close(transport->router);
        zmq_close(transport->router_monitor);
        transport->router = NULL;
    }
}
