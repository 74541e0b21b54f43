/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange port: one POST to a token endpoint, split at the gate.
 *
 * start connects; after TCP and TLS and before the first request byte (libcurl's
 * CURLOPT_PREREQFUNCTION) it calls `at_gate` and waits until exchange_port.gate answers. Only then
 * may the token have been sent. So a failure before the gate provably spent nothing.
 *
 * Callbacks come from the exchange's own thread (the simulator: from its step), `done` exactly
 * once, and never from inside start; its *result is borrowed, the body in it the receiver's. A
 * running exchange is never cancelled once the gate opened. `gate` may be called from any thread,
 * also from inside at_gate. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "token/provider.h"
#include "token/store.h"

enum exchange_end {
    EXCHANGE_NOT_SENT,  /* ended before the gate opened: resolve, connect, TLS, gate refused */
    EXCHANGE_ANSWERED,  /* a complete HTTP answer */
    EXCHANGE_UNKNOWN    /* sent, and no complete answer: reset, timeout, over the byte cap */
};

struct exchange_result {
    enum exchange_end end;
    long http_status;          /* of the answer, also of a part of one; 0: none came */
    struct secret *body;       /* what came, also a part of it; NULL: nothing. Receiver's to free;
                                * the struct itself lasts for the call only */
    uint32_t retry_after_ms;   /* from Retry-After; 0: none */
    char error[256];           /* for people, no secrets */
};

struct exchange_request {
    const struct provider_rule *rule; /* borrowed during start; copied */
    const struct secret *refresh;     /* borrowed during start; copied */
    uint64_t timeout_ms;              /* total, from the opening of the gate */
    uint64_t connect_timeout_ms;
    void *arg;
    void (*at_gate)(void *arg, uint64_t id);
    void (*done)(void *arg, uint64_t id, struct exchange_result *result);
};

struct exchange_port {
    /* *ret_id names it. 0 or negative errno (then no callback comes). */
    int (*start)(struct exchange_port *exchange, const struct exchange_request *request,
                 uint64_t *ret_id);
    /* true: send; false: abort, ends as EXCHANGE_NOT_SENT. */
    void (*gate)(struct exchange_port *exchange, uint64_t id, bool open);
    /* Waits for running ones, refuses those at the gate, frees. Not from a callback. */
    void (*close)(struct exchange_port *exchange);
};

struct exchange_curl_options {
    const char *proxy;   /* NULL: none, whatever the environment says */
    const char *ca_file; /* NULL: the system's */
};

/* One thread an exchange, libcurl. `options` may be NULL. NULL without memory. */
struct exchange_port *exchange_curl_new(const struct exchange_curl_options *options);

/* The body of a refresh request by the rule, as text of its encoding. NULL without memory. */
struct secret *exchange_body(const struct provider_rule *rule, const struct secret *refresh);
