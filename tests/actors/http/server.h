/* SPDX-License-Identifier: Apache-2.0 */
/* A web server on loopback that misbehaves by path. A thread for each connection, blocking: plain
 * enough to be trusted more than what it tests.
 *
 *   /echo              the request's head and body, as text
 *   /stream/N/SIZE/MS  N chunks of SIZE bytes, one every MS ms
 *   /gather/N          answers when N requests are open at once
 *   /endless           chunks without end, as fast as they are taken
 *   /hang              never answers
 *   /head              head of a body that never comes
 *   /close             closes after reading the request
 *   /once              the first answer of a connection is good; then it closes on the next request
 *   /half              half of the body, then closes
 *   /redirect          302 to /echo
 *   /hints             103, then 200
 *   /wordy             200 kB of header lines */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SERVER_CONNECTIONS_MAX 1100

struct server {
    int listener;
    uint16_t port;
    pthread_t thread;
    atomic_bool stopping;
    atomic_uint connections, requests, live, live_most;
    atomic_ullong bytes; /* of bodies, sent */
    struct server_slot {
        pthread_t thread;
        int fd;
        struct server *server;
    } *slots;
};

/* Asserts on failure. */
void server_start(struct server *server);
void server_stop(struct server *server);
