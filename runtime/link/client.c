/* SPDX-License-Identifier: Apache-2.0 */
/* A peer without a runtime: one DEALER, one request at a time, for the command line.
 *
 * It speaks the same frames as a runtime does and is watched, and watches, in the same way: the
 * monitor says when the connection ends, a pidfd when the process at the other end does. What has
 * arrived is read before either is believed, so an answer sent with the last breath counts.
 *
 * A status of the runtime at the other end, the end of our patience (STATUS_EXPIRED) and the
 * peer's death (STATUS_PEER_DOWN) all come back as a status message: a caller has one thing to
 * look at. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "message.h"
#include "socket.h"
#include "runtime/link.h"
#include "runtime/ports.h"

#define CREDIT 32 /* parts under way at most; given back in halves */
#define NS_PER_MS 1000000u
/* How long after a process's end its last bytes may still be on their way through libzmq. */
#define LAST_WORDS_NS (100 * (uint64_t)NS_PER_MS)

struct link_client {
    void *zmq, *dealer, *monitor;
    int pidfd;
    bool down;
    uint64_t died_ns; /* when the pidfd said so; 0: not */
    uint64_t sequence_out, sequence_in, request;
    struct frame_hello peer;
    zmq_msg_t frame; /* the one being read */
    bool has_frame;
    struct frame_reader reader;
    char name[FRAME_NAME_MAX + 1];
};

static uint64_t now_ns(void)
{
    return clock_real()->now_ns(clock_real());
}

/* Reads what the monitor has to say. */
static void client_check_monitor(struct link_client *client, bool *ret_refused)
{
    struct link_event event;
    while (link_monitor_next(client->monitor, &event)) {
        client->down |= event.event == ZMQ_EVENT_DISCONNECTED;
        *ret_refused |= event.event == ZMQ_EVENT_CONNECT_RETRIED;
    }
}

static int client_has(const struct link_client *client, int wanted)
{
    int events = 0;
    size_t size = sizeof events;
    zmq_getsockopt(client->dealer, ZMQ_EVENTS, &events, &size);
    return events & wanted;
}

static bool client_is_dead(struct link_client *client, uint64_t now)
{
    struct pollfd process = {.fd = client->pidfd, .events = POLLIN};
    if (client->died_ns == 0 && client->pidfd >= 0 && poll(&process, 1, 0) > 0)
        client->died_ns = now;
    return client->down || (client->died_ns != 0 && now - client->died_ns >= LAST_WORDS_NS);
}

static void client_sleep(struct link_client *client, int wanted, uint64_t limit_ns)
{
    zmq_pollitem_t items[] = {
        {.socket = client->dealer, .events = (short)wanted},
        {.socket = client->monitor, .events = ZMQ_POLLIN},
        {.fd = client->pidfd, .events = ZMQ_POLLIN},
    };
    bool watch = client->pidfd >= 0 && client->died_ns == 0;
    if (client->died_ns != 0 && limit_ns > LAST_WORDS_NS / 10)
        limit_ns = LAST_WORDS_NS / 10;
    uint64_t limit_ms = (limit_ns + NS_PER_MS - 1) / NS_PER_MS;
    zmq_poll(items, watch ? 3 : 2, limit_ms < 3600000 ? (long)limit_ms : 3600000);
}

/* Until the socket is ready (ZMQ_POLLIN or ZMQ_POLLOUT): 0; -ETIMEDOUT; -EPIPE the peer is gone;
 * -ECONNREFUSED nobody listens. */
static int client_wait(struct link_client *client, int wanted, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now = now_ns();
        bool refused = false, dead = client_is_dead(client, now);
        if (client_has(client, wanted))
            return 0;
        if (dead)
            return -EPIPE;
        client_check_monitor(client, &refused);
        if (client->down)
            continue; /* look once more for what came before the end */
        if (refused)
            return -ECONNREFUSED;
        if (now >= deadline_ns)
            return -ETIMEDOUT;
        client_sleep(client, wanted, deadline_ns - now);
    }
}

static int client_send(struct link_client *client, const void *bytes, size_t size,
                       uint64_t deadline_ns)
{
    for (;;) {
        int error = client_wait(client, ZMQ_POLLOUT, deadline_ns);
        if (error == 0)
            error = link_send_copy(client->dealer, NULL, bytes, size);
        if (error != -EAGAIN)
            return error;
    }
}

static int client_send_message(struct link_client *client, const struct frame_message *message,
                               uint64_t deadline_ns)
{
    size_t size = FRAME_HEADER_SIZE + frame_message_size(message);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL)
        return -ENOMEM;
    frame_append(bytes + FRAME_HEADER_SIZE, message);
    frame_finish(bytes, 1, ++client->sequence_out);
    int error = client_send(client, bytes, size, deadline_ns);
    if (message->flags & MESSAGE_WIPE)
        memory_wipe(bytes, size);
    free(bytes);
    return error;
}

static void client_release_frame(struct link_client *client)
{
    if (!client->has_frame)
        return;
    memory_wipe(zmq_msg_data(&client->frame), zmq_msg_size(&client->frame));
    zmq_msg_close(&client->frame);
    client->has_frame = false;
}

/* The next frame, checked, in client->reader. 0, as client_wait, or -EBADMSG. */
static int client_receive(struct link_client *client, uint64_t deadline_ns)
{
    client_release_frame(client);
    int error = client_wait(client, ZMQ_POLLIN, deadline_ns);
    if (error != 0)
        return error;
    error = link_receive(client->dealer, NULL, &client->frame);
    client->has_frame = true;
    if (error == -EAGAIN || (error == 0 && zmq_msg_size(&client->frame) == 0))
        return client_receive(client, deadline_ns); /* an empty frame says nothing */
    if (error != 0)
        return -EBADMSG;
    enum frame_fault fault =
        frame_open(&client->reader, zmq_msg_data(&client->frame), zmq_msg_size(&client->frame),
                   LINK_BODY_DEFAULT);
    if (fault != FRAME_FAULT_NONE)
        return fault == FRAME_FAULT_VERSION ? -EPROTO : -EBADMSG;
    return 0;
}

/* ---- opening ---------------------------------------------------------------------------- */

static int refuse(char *ret_why, size_t why_size, int error, const char *why)
{
    if (ret_why != NULL && why_size > 0)
        snprintf(ret_why, why_size, "%s", why);
    return error;
}

static int client_check_peer(struct link_client *client, char *ret_why, size_t why_size)
{
    struct link_credentials credentials;
    if (link_credentials_of(&client->frame, &credentials) != 0 || credentials.uid != geteuid())
        return refuse(ret_why, why_size, -EPERM, "the listener belongs to another user");
    frame_get_hello(&client->reader, &client->peer);
    client->pidfd = link_pidfd_open(credentials.pid);
    return 0;
}

static int client_hello(struct link_client *client, uint64_t deadline_ns, char *ret_why,
                        size_t why_size)
{
    uint64_t incarnation;
    random_real()->fill(random_real(), &incarnation, sizeof incarnation);
    struct frame_hello hello;
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    link_hello_make(&hello, PEER_CLIENT, client->name, incarnation, LINK_BODY_DEFAULT);
    /* Names of living peers are unique, and a user may well run one program twice at once. */
    snprintf(hello.name, sizeof hello.name, "%.40s.%d.%04x", client->name, (int)getpid(),
             (unsigned)(incarnation & 0xffff));
    frame_put_hello(bytes, FRAME_HELLO, &hello);
    int error = client_send(client, bytes, sizeof bytes, deadline_ns);
    if (error == 0)
        error = client_receive(client, deadline_ns);
    if (error == -EPROTO)
        return refuse(ret_why, why_size, error, "the listener speaks another protocol version");
    if (error == -EBADMSG)
        return refuse(ret_why, why_size, -EPROTO, "the listener speaks another protocol");
    if (error != 0)
        return error == -EPIPE ? -ECONNREFUSED : error;
    if (client->reader.kind == FRAME_WELCOME)
        return client_check_peer(client, ret_why, why_size);
    if (client->reader.kind != FRAME_REFUSED)
        return refuse(ret_why, why_size, -EPROTO, "the listener answered hello with nonsense");
    struct frame_reason reason;
    frame_get_reason(&client->reader, &reason);
    return refuse(ret_why, why_size, -EPROTO, reason.text);
}

static int client_connect(struct link_client *client, const char *endpoint)
{
    client->zmq = zmq_ctx_new();
    client->dealer = client->zmq != NULL ? zmq_socket(client->zmq, ZMQ_DEALER) : NULL;
    if (client->dealer == NULL)
        return -ENOMEM;
    int error = link_socket_bound(client->dealer, LINK_BODY_DEFAULT);
    if (error != 0)
        return error;
    client->monitor = link_monitor_open(client->zmq, client->dealer, 0);
    if (client->monitor == NULL)
        return -ENOMEM;
    return zmq_connect(client->dealer, endpoint) != 0 ? -errno : 0;
}

static void client_free(struct link_client *client)
{
    client_release_frame(client);
    if (client->dealer != NULL) {
        zmq_socket_monitor(client->dealer, NULL, 0);
        zmq_close(client->dealer);
    }
    if (client->monitor != NULL)
        zmq_close(client->monitor);
    if (client->zmq != NULL)
        zmq_ctx_term(client->zmq);
    if (client->pidfd >= 0)
        close(client->pidfd);
    free(client);
}

int link_client_open(const char *endpoint, const char *name, uint64_t timeout_ns, char *ret_why,
                     size_t why_size, struct link_client **ret_client)
{
    uint64_t deadline_ns = now_ns() + timeout_ns;
    int error = link_endpoint_check(endpoint);
    if (error == -ENOENT)
        error = -ECONNREFUSED; /* not even the directory: nobody has ever listened */
    if (error == 0 && !frame_name_is_valid(name, strlen(name)))
        error = -EINVAL;
    if (error != 0)
        return refuse(ret_why, why_size, error, strerror(-error));
    struct link_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return refuse(ret_why, why_size, -ENOMEM, strerror(ENOMEM));
    client->pidfd = -1;
    snprintf(client->name, sizeof client->name, "%s", name);
    refuse(ret_why, why_size, 0, "");
    error = client_connect(client, endpoint);
    if (error == 0)
        error = client_hello(client, deadline_ns, ret_why, why_size);
    if (error != 0) {
        if (ret_why != NULL && why_size > 0 && ret_why[0] == '\0')
            refuse(ret_why, why_size, error, strerror(-error));
        client_free(client);
        return error;
    }
    *ret_client = client;
    return 0;
}

void link_client_close(struct link_client *client)
{
    if (client == NULL)
        return;
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    frame_put_reason(bytes, FRAME_BYE, STATUS_SHUTDOWN, "done");
    link_send_copy(client->dealer, NULL, bytes, sizeof bytes);
    client_free(client);
}

const char *link_client_peer(const struct link_client *client)
{
    return client->peer.name;
}

/* ---- calling ---------------------------------------------------------------------------- */

struct call {
    struct link_client *client;
    int (*on_part)(void *arg, const struct message *part);
    void *arg;
    uint64_t deadline_ns;
    uint32_t next_part, unreturned;
    struct message *answer;
};

static int call_control(struct call *call, uint16_t flag, uint32_t size)
{
    struct frame_message message = {
        .flags = flag, .request = call->client->request, .size = size};
    return client_send_message(call->client, &message, call->deadline_ns);
}

/* 0, or what on_part said: then the call is over. */
static int call_part(struct call *call, const struct message *part)
{
    if (call->on_part == NULL || part->part != call->next_part++)
        return -EPROTO;
    int error = call->on_part(call->arg, part);
    if (error < 0 || ++call->unreturned < CREDIT / 2)
        return error < 0 ? error : 0;
    error = call_control(call, MESSAGE_CREDIT, call->unreturned);
    call->unreturned = 0;
    return error;
}

static int call_take_message(struct call *call, const struct frame_message *frame)
{
    bool ours = frame->flags & (MESSAGE_ANSWER | MESSAGE_PART | MESSAGE_STATUS) &&
                frame->request == call->client->request;
    if (!ours || call->answer != NULL)
        return 0; /* the rest of a call that timed out */
    struct message *message = frame_to_message(frame, now_ns());
    if (message == NULL)
        return -ENOMEM;
    if (!(frame->flags & MESSAGE_PART)) {
        call->answer = message;
        return 0;
    }
    int error = call_part(call, message);
    message_free(message);
    return error;
}

static int call_take_frame(struct call *call)
{
    struct link_client *client = call->client;
    if (client->reader.kind == FRAME_BYE) {
        client->down = true;
        return -EPIPE;
    }
    if (client->reader.kind != FRAME_BATCH || client->reader.sequence != ++client->sequence_in)
        return -EPROTO;
    struct frame_message frame;
    int error = 0;
    while (error == 0 && frame_next(&client->reader, &frame))
        error = call_take_message(call, &frame);
    return error;
}

static int call_status(struct call *call, enum runtime_status status)
{
    call->answer = message_new(0, 0);
    if (call->answer == NULL)
        return -ENOMEM;
    call->answer->flags = MESSAGE_STATUS | MESSAGE_ANSWER;
    call->answer->status = (uint16_t)status;
    return 0;
}

static int call_run(struct call *call, const char *to, struct message *message)
{
    struct frame_message request;
    message->flags = (uint16_t)((message->flags & MESSAGE_WIPE) | MESSAGE_REQUEST);
    message->request = ++call->client->request;
    message->part = call->on_part != NULL ? CREDIT : 0;
    message->deadline_ns = call->deadline_ns;
    frame_from_message(&request, message, to, NULL, now_ns());
    int error = client_send_message(call->client, &request, call->deadline_ns);
    while (error == 0 && call->answer == NULL) {
        error = client_receive(call->client, call->deadline_ns);
        if (error == 0)
            error = call_take_frame(call);
    }
    if (error == -EPIPE)
        return call_status(call, STATUS_PEER_DOWN);
    if (error == 0)
        return 0;
    call->deadline_ns = now_ns() + 100 * (uint64_t)NS_PER_MS;
    call_control(call, MESSAGE_CANCEL, 0);
    return error == -ETIMEDOUT ? call_status(call, STATUS_EXPIRED) : error;
}

int link_client_call(struct link_client *client, const char *to, struct message *message,
                     uint64_t timeout_ns,
                     int (*on_part)(void *arg, const struct message *part), void *arg,
                     struct message **ret_answer)
{
    struct call call = {.client = client,
                        .on_part = on_part,
                        .arg = arg,
                        .deadline_ns = now_ns() + timeout_ns};
    int error = -EINVAL;
    if (!frame_name_is_valid(to, strlen(to)))
        error = -EINVAL;
    else if (message->size > client->peer.body_max)
        error = call_status(&call, STATUS_TOO_LARGE);
    else
        error = call_run(&call, to, message);
    message_free(message);
    if (error == 0)
        *ret_answer = call.answer;
    else
        message_free(call.answer);
    return error;
}
