/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl, threads and memory as an exchange meets them, with the faults that a test asks for. The
 * linker puts them in place of the real ones. A lock taken twice or let go by another stops the
 * test: a fault of locking is told to nobody else. One exchange at a time. */
#pragma once

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "token/secret.h"

#define ODD_OPTIONS_MAX 64

struct odd_option {
    CURLoption option;
    long number;
    char text[64]; /* of those that are texts */
};

struct odd_curl {
    unsigned calls, fail_at; /* of the thread of an exchange, and of its start */
    bool counting;
    bool breaks_in_perform, breaks_in_poll; /* once the gate is open */
    bool gate_first;         /* the gate is asked before anything else */
    const char *remote;      /* what the gate is told instead */
    bool twice;              /* the gate is passed twice, as for a second connection */
    void (*before_gate)(void);
    bool leaps_in_poll, leaps_at_end; /* the clock, by an hour, with the gate open */
    bool has_retry_after;
    curl_off_t retry_after_s;
    /* What it saw. */
    bool performed, polled;
    int (*gate)(void *arg, char *remote, char *local, int remote_port, int local_port);
    void *gate_arg;
    atomic_bool gate_is_open;
    struct odd_option options[ODD_OPTIONS_MAX]; /* of the exchange that began last */
    size_t option_count;
    char headers[256];            /* a line each */
    int running, longest_poll_ms; /* once the gate is open */
    bool polled_in_vain;          /* when nothing was running any more */
    int64_t ahead_ns;             /* how far the clock has leapt */
    atomic_int waiting; /* for a condition */
    /* Made and not unmade yet. */
    atomic_int mutexes, conditions, threads, attached, installed;
};

/* The functions it replaces have no argument to find it by. */
extern struct odd_curl odd_curl;

/* For the token, and so for all that an exchange makes of it. */
const struct secret_memory *odd_curl_memory(void);

/* Of the test's own; not counted, and never failing. */
pthread_t odd_curl_thread(void *(*work)(void *));
void odd_curl_join(pthread_t thread);
