/* SPDX-License-Identifier: Apache-2.0 */
/* Supervisors restart what fails, as in Erlang/OTP's supervisor behaviour: three strategies, an
 * intensity within a window, and a backoff with jitter between restarts of one child. A
 * supervisor that exceeds its intensity fails itself, and its own supervisor decides. */
#pragma once

#include "runtime/actor.h"

enum supervisor_strategy { ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE };
enum child_restart { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };

struct child_spec {
    const char *name; /* registered; also the child's key here */
    const struct actor_ops *ops;
    const void *config;                 /* handed to each start; see free_config */
    /* NULL: borrowed, must outlive the supervisor. Else the supervisor owns config from the call
     * on, whatever the call returns. */
    void (*free_config)(const void *config);
    enum child_restart restart;
    bool pinned;
};

struct supervisor_spec {
    enum supervisor_strategy strategy;
    unsigned intensity;  /* restarts allowed ... (0: 5) */
    uint64_t window_ns;  /* ... within this (0: 60 s) */
    uint64_t backoff_ns; /* first wait; doubles to backoff_max_ns (0: 100 ms, 10 s) */
    uint64_t backoff_max_ns;
    const struct child_spec *children; /* copied */
    size_t child_count;
};

/* config is a struct supervisor_spec. */
extern const struct actor_ops supervisor_ops;

/* From any thread. Children are added at the end; removal stops the child. 0, -EEXIST, -ENOENT, or
 * what start returned. Both block until done: not from a handler of the same runtime - use the
 * context_ forms there, which return at once. */
int supervisor_add(struct runtime *runtime, struct actor_id supervisor,
                   const struct child_spec *child);
int supervisor_remove(struct runtime *runtime, struct actor_id supervisor, const char *name);
/* One message for all of them: a supervisor's mailbox has room for a thousand messages, and a swarm
 * may have ten thousand agents. One that does not start is logged, and the others start. */
int context_supervisor_add(struct context *context, struct actor_id supervisor,
                           const struct child_spec *children, size_t count);
int context_supervisor_remove(struct context *context, struct actor_id supervisor,
                              const char *name);
