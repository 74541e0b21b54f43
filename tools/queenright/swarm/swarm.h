/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "swarm" of the process that `queenright up` is: it supervises the node processes, is
 * where a reload is decided, and ends the swarm. */
#pragma once

#include <limits.h>

#include "queenright/config/config.h"
#include "queenright/process/paths.h"
#include "runtime/runtime.h"

struct swarm_options {
    struct config *config; /* taken */
    const struct paths *paths;
    const char *source;    /* absolute path of the operator's file; "" for the practice swarm */
    int signal_fd;         /* SIGINT, SIGTERM, SIGHUP; -1: none */
    void *arg;
    void (*on_ready)(void *arg); /* once: every node has answered */
    /* A line for people: a process came up or went, a reload, the end. */
    void (*on_event)(void *arg, const char *line);
};

extern const struct actor_ops swarm_actor_ops;
