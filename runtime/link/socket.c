/* SPDX-License-Identifier: Apache-2.0 */
#include "socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"

#define IPC "ipc://"
#define FRAMES_EACH_WAY 16 /* libzmq's own queues stay short: ours answer `busy` by name */
#define HANDSHAKE_MS 2000
#define LINGER_MS 200
#define RECONNECT_MS 10
#define RECONNECT_MAX_MS 1000

int link_endpoint_check(const char *endpoint)
{
    if (strncmp(endpoint, IPC, strlen(IPC)) != 0)
        return -EPROTONOSUPPORT;
    const char *path = endpoint + strlen(IPC);
    const char *slash = strrchr(path, '/');
    if (path[0] != '/' || slash[1] == '\0')
        return -EINVAL;
    struct sockaddr_un address;
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    char directory[sizeof address.sun_path];
    snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
    struct stat stat_;
    if (lstat(directory[0] != '\0' ? directory : "/", &stat_) != 0)
        return -errno;
    if (!S_ISDIR(stat_.st_mode) || stat_.st_uid != geteuid() || (stat_.st_mode & 077) != 0)
        return -EPERM;
    return 0;
}

/* Largest frame with bodies up to body_max. */
static size_t link_frame_max(size_t body_max)
{
    size_t one = FRAME_HEADER_SIZE + FRAME_MESSAGE_SIZE + FRAME_NAME_MAX + body_max;
    return one > LINK_BATCH_BYTES ? one : LINK_BATCH_BYTES;
}

int link_socket_bound(void *socket, size_t body_max)
{
    const struct {
        int option, value;
    } bounds[] = {
        {ZMQ_SNDHWM, FRAMES_EACH_WAY},
        {ZMQ_RCVHWM, FRAMES_EACH_WAY},
        {ZMQ_SNDTIMEO, 0},
        {ZMQ_LINGER, LINGER_MS},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_RECONNECT_IVL, RECONNECT_MS}, /* libzmq adds up to as much again at random */
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (zmq_setsockopt(socket, bounds[i].option, &bounds[i].value, sizeof(int)) != 0)
            return -errno;
    int64_t frame_max = (int64_t)link_frame_max(body_max);
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) != 0)
        return -errno;
    return 0;
}

void link_hello_make(struct frame_hello *ret_hello, unsigned peer_kind, const char *name,
                     uint64_t incarnation, size_t body_max)
{
    *ret_hello = (struct frame_hello){.peer_kind = (uint8_t)peer_kind,
                                      .pid = (uint32_t)getpid(),
                                      .incarnation = incarnation,
                                      .body_max = (uint32_t)body_max};
    snprintf(ret_hello->name, sizeof ret_hello->name, "%s", name);
    snprintf(ret_hello->program, sizeof ret_hello->program, "%s", QUEENRIGHT_VERSION);
}

int link_pidfd_open(pid_t pid)
{
    return pid > 0 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

int link_send_copy(void *socket, zmq_msg_t *routing, const void *bytes, size_t size)
{
    if (routing != NULL) {
        zmq_msg_t copy;
        zmq_msg_init(&copy);
        zmq_msg_copy(&copy, routing);
        if (zmq_msg_send(&copy, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
            int error = errno;
            zmq_msg_close(&copy);
            return -error;
        }
    }
    return zmq_send(socket, bytes, size, ZMQ_DONTWAIT) < 0 ? -errno : 0;
}

int link_receive(void *socket, zmq_msg_t *routing, zmq_msg_t *frame)
{
    zmq_msg_init(frame);
    if (routing != NULL) {
        zmq_msg_init(routing);
        if (zmq_msg_recv(routing, socket, ZMQ_DONTWAIT) < 0)
            return -errno;
    }
    if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0)
        return -errno;
    if (!zmq_msg_more(frame))
        return 0;
    for (bool more = true; more;) {
        zmq_msg_t rest;
        zmq_msg_init(&rest);
        more = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&rest);
        zmq_msg_close(&rest);
    }
    return -EMSGSIZE;
}

int link_credentials_of(zmq_msg_t *frame, struct link_credentials *ret_credentials)
{
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    if (address == NULL)
        return -ENOENT;
    const char *at = address + strlen(address);
    for (int colons = 0; at > address && colons < 3;)
        colons += *--at == ':';
    unsigned uid, gid;
    int pid;
    if (sscanf(at, ":%u:%u:%d", &uid, &gid, &pid) != 3)
        return -ENOENT;
    *ret_credentials =
        (struct link_credentials){.fd = zmq_msg_get(frame, ZMQ_SRCFD), .pid = pid, .uid = uid};
    return 0;
}

void link_connection_cut(int fd, const char *endpoint)
{
    struct sockaddr_un address = {0};
    socklen_t size = sizeof address;
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
        address.sun_family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path) &&
        strncmp(address.sun_path, endpoint + strlen(IPC), sizeof address.sun_path) == 0)
        shutdown(fd, SHUT_RDWR);
}

void *link_monitor_open(void *zmq, void *socket, unsigned number)
{
    char address[32];
    snprintf(address, sizeof address, "inproc://monitor-%u", number);
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                 ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED;
    if (zmq_socket_monitor(socket, address, events) != 0)
        return NULL;
    void *monitor = zmq_socket(zmq, ZMQ_PAIR);
    if (monitor == NULL)
        return NULL;
    int zero = 0;
    zmq_setsockopt(monitor, ZMQ_LINGER, &zero, sizeof zero);
    if (zmq_connect(monitor, address) != 0) {
        zmq_close(monitor);
        return NULL;
    }
    return monitor;
}

bool link_monitor_next(void *monitor, struct link_event *ret_event)
{
    zmq_msg_t record, address;
    bool found = false;
    zmq_msg_init(&record);
    if (zmq_msg_recv(&record, monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        int32_t value = 0;
        const char *bytes = zmq_msg_data(&record);
        if (zmq_msg_size(&record) >= sizeof event + sizeof value) {
            memcpy(&event, bytes, sizeof event);
            memcpy(&value, bytes + sizeof event, sizeof value);
        }
        *ret_event = (struct link_event){.event = event, .value = value};
        found = true;
        if (zmq_msg_more(&record)) {
            zmq_msg_init(&address);
            zmq_msg_recv(&address, monitor, ZMQ_DONTWAIT);
            zmq_msg_close(&address);
        }
    }
    zmq_msg_close(&record);
    return found;
}
