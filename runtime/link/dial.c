/* SPDX-License-Identifier: Apache-2.0 */
/* Links we dial: one DEALER each, and its monitor.
 *
 * libzmq tries to connect until somebody listens, 10 ms to 1 s apart. When the handshake has
 * succeeded we say hello; the listener's welcome brings the link up. When a link that was up is
 * lost, or the listener refuses us, the socket is thrown away and a new one made: so nothing of the
 * old connection can turn up in the new one, and the wait before the next try is ours to choose.
 *
 * Before the first welcome messages wait in the queue, for who starts up together need not start
 * in order. After that a lost link is down until the next welcome, and senders are told at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"
#include "transport.h"

#define NS_PER_MS 1000000u
#define FRAMES_A_TURN 64
#define REDIAL_MS 10 /* doubles with each failure */
#define REDIAL_DOUBLINGS_MAX 9
#define REFUSED_DOUBLINGS 5 /* who was refused waits longer from the start */
#define WELCOME_NS (3000 * (uint64_t)NS_PER_MS) /* who says nothing so long is dialled again */
#define STEADY_NS (5000 * (uint64_t)NS_PER_MS) /* up for so long: the failures are forgotten */

int link_dial_open(struct link_transport *transport, const char *endpoint, void **ret_dealer,
                   void **ret_monitor)
{
    void *dealer = zmq_socket(transport->zmq, ZMQ_DEALER);
    if (dealer == NULL)
        return -errno;
    int error = link_socket_bound(dealer, transport->options.body_max);
    void *monitor = error == 0
                        ? link_monitor_open(transport->zmq, dealer,
                                            atomic_fetch_add(&transport->monitors, 1))
                        : NULL;
    if (error == 0 && monitor == NULL)
        error = -ENOMEM;
    if (error == 0 && zmq_connect(dealer, endpoint) != 0)
        error = -errno;
    if (error != 0) {
        zmq_close(dealer);
        if (monitor != NULL)
            zmq_close(monitor);
        return error;
    }
    *ret_dealer = dealer;
    *ret_monitor = monitor;
    return 0;
}

void link_dial_close(struct link_peer *peer)
{
    if (peer->dealer == NULL)
        return;
    zmq_socket_monitor(peer->dealer, NULL, 0);
    zmq_close(peer->dealer);
    zmq_close(peer->monitor);
    peer->dealer = NULL;
    peer->monitor = NULL;
    peer->connected = false;
    peer->greeted = false;
}

static uint64_t redial_delay_ns(struct link_transport *transport, struct link_peer *peer)
{
    unsigned doublings = peer->failures++;
    uint32_t random;
    if (peer->refused[0] != '\0' && doublings < REFUSED_DOUBLINGS)
        doublings = peer->failures = REFUSED_DOUBLINGS;
    if (doublings == 0)
        return 0;
    if (doublings > REDIAL_DOUBLINGS_MAX)
        doublings = REDIAL_DOUBLINGS_MAX;
    uint64_t delay_ns = ((uint64_t)REDIAL_MS * NS_PER_MS) << doublings;
    const struct random_port *port = runtime_random(transport->runtime);
    port->fill(port, &random, sizeof random);
    return delay_ns + delay_ns * (random & 0xffff) / 0x10000;
}

void link_dial_lost(struct link_transport *transport, struct link_peer *peer, const char *why)
{
    if (peer->state == LINK_UP && transport->now_ns - peer->up_ns >= STEADY_NS)
        peer->failures = 0;
    peer->redial_ns = transport->now_ns + redial_delay_ns(transport, peer);
    if (peer->dealer != NULL)
        zmq_setsockopt(peer->dealer, ZMQ_LINGER, &(int){0}, sizeof(int));
    link_dial_close(peer);
    if (peer->state == LINK_UP || peer->refused[0] != '\0')
        link_peer_down(transport, peer, why);
    peer->closing = false;
}

/* ---- what arrives ------------------------------------------------------------------------ */

static void dial_events(struct link_peer *peer)
{
    struct link_event event;
    while (link_monitor_next(peer->monitor, &event)) {
        if (event.event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            peer->connected = true;
        else if (event.event == ZMQ_EVENT_DISCONNECTED && peer->connected)
            peer->closing = true;
    }
}

static void dial_refused(struct link_transport *transport, struct link_peer *peer,
                         const char *why)
{
    if (strcmp(peer->refused, why) != 0)
        runtime_log(transport->runtime, 4, "link to %s refused: %s", peer->name, why);
    snprintf(peer->refused, sizeof peer->refused, "%s", why);
    peer->closing = true;
}

static void on_welcome(struct link_transport *transport, struct link_peer *peer,
                       const struct frame_reader *reader, zmq_msg_t *frame)
{
    struct frame_hello hello;
    struct link_credentials credentials;
    char text[FRAME_TEXT_MAX + 1];
    frame_get_hello(reader, &hello);
    if (link_credentials_of(frame, &credentials) != 0 || credentials.uid != geteuid()) {
        dial_refused(transport, peer, "the listener belongs to another user");
    } else if (strcmp(hello.name, peer->name) != 0) {
        snprintf(text, sizeof text, "%s answers at its address", hello.name);
        dial_refused(transport, peer, text);
    } else if (hello.peer_kind > PEER_CLIENT) {
        dial_refused(transport, peer, "it is of a kind that does not exist");
    } else {
        peer->refused[0] = '\0';
        peer->leaving = false;
        atomic_store(&peer->rtt_ns, transport->now_ns - peer->hello_ns);
        link_peer_up(transport, peer, &hello, credentials.pid);
    }
}

static void on_fault(struct link_transport *transport, struct link_peer *peer,
                     const struct frame_reader *reader, enum frame_fault fault)
{
    char text[FRAME_TEXT_MAX + 1];
    if (fault == FRAME_FAULT_VERSION && peer->state != LINK_UP) {
        snprintf(text, sizeof text, "it speaks protocol version %u, this process %u",
                 reader->version, FRAME_VERSION);
        dial_refused(transport, peer, text);
    } else if (!link_peer_strike(transport, peer, frame_fault_text(fault))) {
        peer->closing = true;
    }
}

static void on_frame(struct link_transport *transport, struct link_peer *peer, zmq_msg_t *frame,
                     bool multipart)
{
    struct frame_reader reader = {0};
    struct frame_reason reason;
    enum frame_fault fault =
        multipart ? FRAME_FAULT_MULTIPART
                  : frame_open(&reader, zmq_msg_data(frame), zmq_msg_size(frame),
                               transport->options.body_max);
    bool up = peer->state == LINK_UP;
    if (fault != FRAME_FAULT_NONE) {
        on_fault(transport, peer, &reader, fault);
    } else if (reader.kind == FRAME_BATCH && up) {
        peer->closing |= !link_peer_receive(transport, peer, &reader, frame);
    } else if (reader.kind == FRAME_WELCOME && !up && peer->greeted) {
        on_welcome(transport, peer, &reader, frame);
    } else if (reader.kind == FRAME_REFUSED && !up) {
        frame_get_reason(&reader, &reason);
        dial_refused(transport, peer, reason.text);
    } else if (reader.kind == FRAME_BYE) {
        peer->closing = true;
    } else if (!link_peer_strike(transport, peer, "is in the wrong place")) {
        peer->closing = true;
    }
}

/* True when nothing is left to read. */
static bool dial_frames(struct link_transport *transport, struct link_peer *peer)
{
    for (int budget = FRAMES_A_TURN; budget > 0; budget--) {
        zmq_msg_t frame;
        int error = link_receive(peer->dealer, NULL, &frame);
        bool asked = error == 0 && zmq_msg_size(&frame) == 0; /* whether we are here: we are */
        if ((error == 0 && !asked) || error == -EMSGSIZE)
            on_frame(transport, peer, &frame, error == -EMSGSIZE);
        zmq_msg_close(&frame);
        if (error != 0 && error != -EMSGSIZE)
            return true;
    }
    return false;
}

static void dial_hello(struct link_transport *transport, struct link_peer *peer)
{
    struct frame_hello hello;
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    link_hello_make(&hello, transport->options.kind, runtime_name(transport->runtime),
                    transport->incarnation, transport->options.body_max);
    frame_put_hello(bytes, FRAME_HELLO, &hello);
    if (link_send_copy(peer->dealer, NULL, bytes, sizeof bytes) == 0) {
        peer->greeted = true;
        peer->hello_ns = transport->now_ns;
    }
}

static uint64_t welcome_due_ns(const struct link_peer *peer)
{
    bool waits = peer->greeted && peer->state != LINK_UP;
    return waits ? peer->hello_ns + WELCOME_NS : UINT64_MAX;
}

void link_dial_turn(struct link_transport *transport, struct link_peer *peer)
{
    if (peer->dealer == NULL) {
        if (transport->now_ns < peer->redial_ns)
            return;
        int error = link_dial_open(transport, peer->endpoint, &peer->dealer, &peer->monitor);
        if (error != 0)
            peer->redial_ns = transport->now_ns + redial_delay_ns(transport, peer);
        transport->items_stale = true;
        return;
    }
    dial_events(peer);
    bool drained = dial_frames(transport, peer);
    if (peer->closing && drained) {
        link_dial_lost(transport, peer, "its connection ended");
        transport->items_stale = true;
    } else if (peer->connected && !peer->greeted) {
        dial_hello(transport, peer);
    } else if (welcome_due_ns(peer) <= transport->now_ns) {
        link_dial_lost(transport, peer, "no welcome");
        transport->items_stale = true;
    }
}

uint64_t link_dial_due_ns(const struct link_peer *peer)
{
    if (peer->dealer == NULL)
        return peer->redial_ns;
    return peer->closing ? 0 : welcome_due_ns(peer);
}
