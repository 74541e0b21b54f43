/* SPDX-License-Identifier: Apache-2.0 */
/* A server on loopback that is scripted byte by byte and keeps all it sees. */
#pragma once

#include <pthread.h>
#include <stddef.h>

enum script {
    SCRIPT_ANSWER,  /* the whole text at once */
    SCRIPT_DRIP,    /* one byte every 50 ms */
    SCRIPT_CLOSE,   /* close after the request, without a byte */
    SCRIPT_RESET,   /* the text, then RST */
    SCRIPT_FLOOD,   /* a 200 with more than ANSWER_MAX bytes */
    SCRIPT_SILENT   /* accept, say nothing */
};

struct server {
    enum script script;
    const char *text;
    int listener;
    int port;
    int stop[2];
    pthread_t thread;
    char seen[16384]; /* all bytes of all connections */
    size_t seen_size;
    int connections;
};

/* On an ephemeral port, with a thread of its own. A fault fails the test. */
void server_start(struct server *server, enum script script, const char *text);
void server_stop(struct server *server);
/* How often the text stands in what it saw. After server_stop. */
int server_count(const struct server *server, const char *text);
