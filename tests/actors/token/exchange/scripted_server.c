/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "scripted_server.h"

static bool wait_readable(const struct server *server, int fd)
{
    struct pollfd polls[] = {{fd, POLLIN, 0}, {server->stop[0], POLLIN, 0}};
    return poll(polls, 2, -1) > 0 && polls[0].revents != 0; /* what came first, before the end */
}

/* Reads until the headers and a body of their Content-Length are there. */
static void read_request(struct server *server, int fd)
{
    size_t start = server->seen_size;
    while (wait_readable(server, fd)) {
        ssize_t got = read(fd, server->seen + server->seen_size,
                           sizeof(server->seen) - 1 - server->seen_size);
        if (got <= 0) {
            return;
        }
        server->seen_size += (size_t)got;
        server->seen[server->seen_size] = '\0';
        const char *length = strstr(server->seen + start, "Content-Length: ");
        const char *body = strstr(server->seen + start, "\r\n\r\n");
        if (length != NULL && body != NULL &&
            strlen(body + 4) >= strtoul(length + strlen("Content-Length: "), NULL, 10)) {
            return;
        }
    }
}

static void send_text(int fd, const char *text)
{
    if (text != NULL) {
        send(fd, text, strlen(text), MSG_NOSIGNAL);
    }
}

static void drip(const struct server *server, int fd)
{
    for (const char *at = server->text; *at != '\0'; at++) {
        struct pollfd stop = {server->stop[0], POLLIN, 0};
        if (poll(&stop, 1, 50) > 0 || send(fd, at, 1, MSG_NOSIGNAL) < 1) {
            return;
        }
    }
}

static void flood(int fd)
{
    char block[4096];
    memset(block, 'x', sizeof(block));
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0) {
    }
}

static void serve_one(struct server *server, int fd)
{
    read_request(server, fd);
    switch (server->script) {
    case SCRIPT_ANSWER:
        send_text(fd, server->text);
        break;
    case SCRIPT_DRIP:
        drip(server, fd);
        break;
    case SCRIPT_RESET: {
        struct linger hard = {1, 0};
        send_text(fd, server->text);
        struct timespec pause = {0, 500000000}; /* so that the text is read before the reset */
        nanosleep(&pause, NULL);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        break;
    }
    case SCRIPT_FLOOD:
        flood(fd);
        break;
    case SCRIPT_SILENT:
        wait_readable(server, server->stop[0]);
        break;
    case SCRIPT_CLOSE:
        break;
    }
    close(fd);
}

static void *serve(void *arg)
{
    struct server *server = arg;
    while (wait_readable(server, server->listener)) {
        int fd = accept(server->listener, NULL, NULL);
        server->connections++;
        serve_one(server, fd);
    }
    return NULL;
}

void server_start(struct server *server, enum script script, const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *server = (struct server){.script = script, .text = text};
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pipe(server->stop), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

void server_stop(struct server *server)
{
    assert_int_equal(write(server->stop[1], "x", 1), 1);
    pthread_join(server->thread, NULL);
    close(server->listener);
    close(server->stop[0]);
    close(server->stop[1]);
}

int server_count(const struct server *server, const char *text)
{
    int found = 0;
    for (const char *at = server->seen; (at = strstr(at, text)) != NULL; at++) {
        found++;
    }
    return found;
}
