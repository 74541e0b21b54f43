/* SPDX-License-Identifier: Apache-2.0 */
/* Links that come in: one ROUTER, a record for each connection, a peer after its hello.
 *
 * A connection is known from the monitor's ACCEPTED event by its descriptor; its first frame adds
 * the routing id. libzmq's thread sends the event before it passes on the frame, so the monitor is
 * drained before an unknown routing id is looked at, and a descriptor used again is never taken for
 * its former owner. DISCONNECTED ends the connection, but only once the ROUTER has nothing more
 * to read: what a process sent before it ended is still delivered.
 *
 * Who may come in: processes of our uid (libzmq asks SO_PEERCRED for us, and we look again), which
 * say hello within two seconds, in this version, under a name no living process has. A
 * refusal is a frame with a sentence; the connection is cut when its two seconds are over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uthash.h>

#include "link_socket.h"
#include "link_transport.h"

#define HELLO_NS 2000000000u
#define FRAMES_A_TURN 64
#define ROUTING_MAX 255

struct link_connection {
    UT_hash_handle hh_fd, hh_routing;
    int fd;
    struct link_credentials credentials;
    uint64_t accepted_ns;
    uint8_t routing[ROUTING_MAX];
    unsigned routing_size; /* 0: no frame yet */
    struct link_peer *peer; /* after hello */
    bool refused;           /* nothing more is read from it */
    bool greeted;           /* its time for a hello no longer runs */
    bool ended;             /* to be taken down when all it sent is read */
    bool unsettled;         /* counted as such: not greeted, or ended */
};

static void connection_note(struct link_transport *transport, struct link_connection *connection)
{
    bool unsettled = !connection->greeted || connection->ended;
    if (unsettled != connection->unsettled)
        transport->unsettled += unsettled ? 1 : -1;
    connection->unsettled = unsettled;
}

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

static struct link_connection *find_by_fd(struct link_transport *transport, int fd)
{
    struct link_connection *found;
    HASH_FIND(hh_fd, transport->by_fd, &fd, sizeof fd, found);
    return found;
}

static void connection_free(struct link_transport *transport, struct link_connection *connection)
{
    HASH_DELETE(hh_fd, transport->by_fd, connection);
    if (connection->routing_size > 0)
        HASH_DELETE(hh_routing, transport->by_routing, connection);
    transport->unsettled -= connection->unsettled;
    if (connection->peer != NULL)
        link_peer_down(transport, connection->peer, "its connection ended");
    free(connection);
}

void link_accept_detach(struct link_peer *peer)
{
    if (peer->connection != NULL)
        peer->connection->peer = NULL;
    peer->connection = NULL;
}

static void on_accepted(struct link_transport *transport, int fd)
{
    struct link_connection *connection = find_by_fd(transport, fd);
    if (connection != NULL)
        connection_free(transport, connection);
    connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return; /* its frames will find no record and be dropped */
    connection->fd = fd;
    connection->accepted_ns = transport->now_ns;
    HASH_ADD(hh_fd, transport->by_fd, fd, sizeof fd, connection);
    connection_note(transport, connection);
}

static void on_disconnected(struct link_transport *transport, int fd)
{
    struct link_connection *connection = find_by_fd(transport, fd);
    if (connection == NULL)
        return;
    connection->ended = true;
    connection_note(transport, connection);
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

/* The record of the connection a frame came over; NULL when that is gone already. */
static struct link_connection *connection_of(struct link_transport *transport, zmq_msg_t *routing,
                                             zmq_msg_t *frame)
{
    struct link_connection *connection;
    const void *id = zmq_msg_data(routing);
    unsigned size = (unsigned)zmq_msg_size(routing);
    HASH_FIND(hh_routing, transport->by_routing, id, size, connection);
    if (connection != NULL)
        return connection;
    struct link_credentials credentials;
    accept_events(transport);
    if (size > ROUTING_MAX || link_credentials_of(frame, &credentials) != 0)
        return NULL;
    connection = find_by_fd(transport, credentials.fd);
    if (connection == NULL || connection->routing_size > 0)
        return NULL;
    memcpy(connection->routing, id, size);
    connection->routing_size = size;
    connection->credentials = credentials;
    HASH_ADD(hh_routing, transport->by_routing, routing, size, connection);
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
    connection->refused = true;
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
                  (peer->connection != NULL && peer->connection->ended);
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
    connection->greeted = true;
    connection_note(transport, connection);
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

static void connection_end(struct link_transport *transport, struct link_connection *connection)
{
    connection->refused = true;
    connection->ended = true;
    connection_note(transport, connection);
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
    if (connection->refused)
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
        connection_end(transport, connection);
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

static void end_connections(struct link_transport *transport)
{
    struct link_connection *connection, *next;
    if (transport->unsettled == 0)
        return;
    HASH_ITER(hh_fd, transport->by_fd, connection, next)
    {
        bool late = !connection->greeted &&
                    transport->now_ns - connection->accepted_ns >= HELLO_NS;
        if (connection->ended && transport->no_more_frames) {
            connection_free(transport, connection);
        } else if (late) {
            link_connection_cut(connection->fd, transport->endpoint);
            connection->accepted_ns = transport->now_ns; /* again, should that not have helped */
        }
    }
}

void link_accept_turn(struct link_transport *transport, bool events, bool frames)
{
    if (transport->router == NULL)
        return;
    if (events)
        accept_events(transport);
    if (frames || events) {
        int budget = FRAMES_A_TURN;
        while (budget > 0 && accept_frame(transport))
            budget--;
        transport->no_more_frames = budget > 0;
    }
    end_connections(transport);
}

uint64_t link_accept_due_ns(const struct link_transport *transport)
{
    uint64_t due_ns = UINT64_MAX;
    const struct link_connection *connection = transport->unsettled > 0 ? transport->by_fd : NULL;
    for (; connection != NULL; connection = connection->hh_fd.next) {
        if (connection->ended)
            return 0;
        if (!connection->greeted && connection->accepted_ns + HELLO_NS < due_ns)
            due_ns = connection->accepted_ns + HELLO_NS;
    }
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
    connection_end(transport, peer->connection);
    link_peer_down(transport, peer, "hung up");
}

void link_accept_cut(struct link_transport *transport, struct link_peer *peer)
{
    struct link_connection *connection = peer->connection;
    if (connection == NULL)
        return;
    connection_end(transport, connection);
    link_connection_cut(connection->fd, transport->endpoint);
    link_peer_down(transport, peer, "it was cut off");
}

void link_accept_close(struct link_transport *transport)
{
    struct link_connection *connection, *next;
    HASH_ITER(hh_fd, transport->by_fd, connection, next)
    {
        HASH_DELETE(hh_fd, transport->by_fd, connection);
        if (connection->routing_size > 0)
            HASH_DELETE(hh_routing, transport->by_routing, connection);
        free(connection);
    }
    if (transport->router != NULL) {
        zmq_socket_monitor(transport->router, NULL, 0);
        zmq_close(transport->router);
        zmq_close(transport->router_monitor);
        transport->router = NULL;
    }
}
