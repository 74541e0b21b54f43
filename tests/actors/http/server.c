/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX (256 << 10)


struct request {
    char *text; /* head and body */
    size_t head_size, size;
    char path[128];
};

static bool send_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static void pause_ms(struct server *server, int ms)
{
    for (; ms > 0 && !atomic_load(&server->stopping); ms -= 20)
        nanosleep(&(struct timespec){.tv_nsec = (ms < 20 ? ms : 20) * 1000000l}, NULL);
}

static void hang(struct server *server, int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLRDHUP};
    while (!atomic_load(&server->stopping) && poll(&poll_fd, 1, 100) == 0)
        ;
}

static bool read_request(int fd, struct request *request)
{
    size_t wanted = 0;
    request->size = request->head_size = 0;
    for (;;) {
        ssize_t got = recv(fd, request->text + request->size, REQUEST_MAX - request->size, 0);
        if (got <= 0)
            return false;
        request->size += (size_t)got;
        request->text[request->size] = '\0';
        char *end = strstr(request->text, "\r\n\r\n");
        if (end && !request->head_size) {
            char *length = strcasestr(request->text, "\r\ncontent-length:");
            request->head_size = (size_t)(end + 4 - request->text);
            wanted = request->head_size;
            if (length && length < end)
                wanted += strtoul(length + 17, NULL, 10);
        }
        if (request->head_size && request->size >= wanted)
            return sscanf(request->text, "%*s %127s", request->path) == 1;
    }
}

static bool send_body(struct server *server, int fd, const char *extra, const void *bytes,
                      size_t size)
{
    char head[256];
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Mixed-Case: Yes\r\n%s"
             "Content-Length: %zu\r\n\r\n", extra, size);
    atomic_fetch_add(&server->bytes, size);
    return send_text(fd, head) && send_all(fd, bytes, size);
}

static bool send_chunks(struct server *server, int fd, unsigned count, unsigned size, int ms)
{
    char *chunk = malloc(size + 32), line[32];
    int head = snprintf(line, sizeof(line), "%x\r\n", size);
    memcpy(chunk, line, (size_t)head);
    memset(chunk + head, 'x', size);
    memcpy(chunk + head + size, "\r\n", 2);
    bool good = send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 0; good && i < count && !atomic_load(&server->stopping); i++) {
        good = send_all(fd, chunk, (size_t)head + size + 2);
        atomic_fetch_add(&server->bytes, size);
        pause_ms(server, ms);
    }
    free(chunk);
    return good && send_text(fd, "0\r\n\r\n");
}

static bool send_wordy(int fd)
{
    char line[1024];
    bool good = send_text(fd, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; good && i < 200; i++) {
        int length = snprintf(line, sizeof(line), "X-Word-%u: %0*d\r\n", i, 980, 0);
        good = send_all(fd, line, (size_t)length);
    }
    return good && send_text(fd, "Content-Length: 0\r\n\r\n");
}

/* False: the connection ends. */
static bool serve(struct server *server, int fd, const struct request *request, unsigned number)
{
    unsigned count, size;
    int ms;
    const char *path = request->path;
    if (sscanf(path, "/stream/%u/%u/%d", &count, &size, &ms) == 3)
        return send_chunks(server, fd, count, size, ms);
    if (sscanf(path, "/gather/%u", &count) == 1) {
        while (atomic_load(&server->live_most) < count && !atomic_load(&server->stopping))
            pause_ms(server, 20);
        return send_chunks(server, fd, 10, 200, 1);
    }
    if (strcmp(path, "/endless") == 0)
        return send_chunks(server, fd, UINT32_MAX, 4096, 0);
    if (strcmp(path, "/hang") == 0)
        hang(server, fd);
    else if (strcmp(path, "/head") == 0 && send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
                                                         "\r\n"))
        hang(server, fd);
    else if (strcmp(path, "/half") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    else if (strcmp(path, "/wordy") == 0)
        return send_wordy(fd);
    else if (strcmp(path, "/redirect") == 0)
        return send_text(fd, "HTTP/1.1 302 Found\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/hints") == 0)
        return send_text(fd, "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n") &&
               send_body(server, fd, "", "ok", 2);
    else if (strcmp(path, "/echo") == 0 || (strcmp(path, "/once") == 0 && number == 0))
        return send_body(server, fd, "", request->text, request->size);
    return false;
}

static void *run_connection(void *arg)
{
    struct server_slot *slot = arg;
    struct server *server = slot->server;
    struct request request = {.text = malloc(REQUEST_MAX + 1)};
    for (unsigned number = 0; read_request(slot->fd, &request); number++) {
        atomic_fetch_add(&server->requests, 1);
        unsigned live = atomic_fetch_add(&server->live, 1) + 1;
        unsigned most = atomic_load(&server->live_most);
        while (live > most && !atomic_compare_exchange_weak(&server->live_most, &most, live))
            ;
        bool more = serve(server, slot->fd, &request, number);
        atomic_fetch_sub(&server->live, 1);
        if (!more)
            break;
    }
    shutdown(slot->fd, SHUT_RDWR);
    free(request.text);
    return NULL;
}

static void *run_listener(void *arg)
{
    struct server *server = arg;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 << 10);
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        unsigned number = atomic_load(&server->connections);
        if (fd < 0 || atomic_load(&server->stopping))
            break;
        assert(number < SERVER_CONNECTIONS_MAX);
        struct server_slot *slot = &server->slots[number];
        *slot = (struct server_slot){.fd = fd, .server = server};
        int result = pthread_create(&slot->thread, &attributes, run_connection, slot);
        assert(result == 0);
        atomic_store(&server->connections, number + 1);
    }
    pthread_attr_destroy(&attributes);
    return NULL;
}

void server_start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    memset(server, 0, sizeof(*server));
    server->slots = calloc(SERVER_CONNECTIONS_MAX, sizeof(*server->slots));
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = bind(server->listener, (struct sockaddr *)&address, sizeof(address));
    assert(result == 0 && server->slots);
    result = listen(server->listener, 1024);
    assert(result == 0);
    getsockname(server->listener, (struct sockaddr *)&address, &size);
    server->port = ntohs(address.sin_port);
    result = pthread_create(&server->thread, NULL, run_listener, server);
    assert(result == 0);
}

void server_stop(struct server *server)
{
    atomic_store(&server->stopping, true);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (unsigned i = 0; i < atomic_load(&server->connections); i++) {
        shutdown(server->slots[i].fd, SHUT_RDWR);
        pthread_join(server->slots[i].thread, NULL);
        close(server->slots[i].fd);
    }
    free(server->slots);
}
