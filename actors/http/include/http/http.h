/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "http": all transfers of a node, on one curl multi handle. Spawn it pinned. */
#pragma once

#include "runtime/actor.h"

#include <stdbool.h>
#include <stdint.h>

/* {0} is a good one: https with the system's certificates, http to loopback only, no proxy. The
 * strings are copied by start. */
struct http_config {
    bool allow_http;            /* plain http also to other machines */
    const char *proxy;          /* URL; NULL: none, whatever the environment says */
    const char *ca_file;        /* PEM; NULL: the system's */
    unsigned host_connections;  /* at once to one origin, more wait in line; 0: 1024 */
    unsigned transfers;         /* at once and waiting, more are refused as busy; 0: 8192 */
    uint64_t connect_ms;        /* to be connected, TLS included; 0: 15 s */
    uint64_t idle_ms;           /* default of http_request.idle_ms; 0: 300 s */
    uint64_t body_max;          /* default of http_request.body_max; 0: 32 MiB */
};

extern const struct actor_ops http_actor_ops;
