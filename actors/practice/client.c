/* SPDX-License-Identifier: Apache-2.0 */
/* One request a connection, HTTP/1.0, so that the end of the answer is the end of the stream. */
#include "practice/practice_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (1 << 20)

static int connect_loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

static int read_all(int fd, char **ret_text)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    char piece[4096];
    ssize_t n = -1;

    while (out && size < ANSWER_BYTES_MAX && (n = read(fd, piece, sizeof(piece))) > 0) {
        fwrite(piece, 1, (size_t)n, out);
        fflush(out);
    }
    if (out)
        fclose(out);
    if (n == 0) {
        *ret_text = text;
        return 0;
    }
    free(text);
    return n < 0 ? -EIO : -EMSGSIZE;
}

int practice_fetch(uint16_t port, const char *path, const char *body, char **ret_body)
{
    char head[512], *text = NULL, *end;
    size_t size = body ? strlen(body) : 0;
    int fd = connect_loopback(port), rc;

    if (fd < 0)
        return fd;
    snprintf(head, sizeof(head),
             "%s %s HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             body ? "POST" : "GET", path, size);
    rc = send(fd, head, strlen(head), MSG_NOSIGNAL) < 0 ||
                 (size > 0 && send(fd, body, size, MSG_NOSIGNAL) < 0)
             ? -EIO
             : read_all(fd, &text);
    close(fd);
    if (rc < 0)
        return rc;
    end = strstr(text, "\r\n\r\n");
    rc = end && strncmp(text, "HTTP/", 5) == 0 && strstr(text, " 200 ") ? 0 : -EBADMSG;
    if (rc == 0) {
        *ret_body = strdup(end + 4);
        rc = *ret_body ? 0 : -ENOMEM;
    }
    free(text);
    return rc;
}
