/* SPDX-License-Identifier: Apache-2.0 */
/* One runtime: a set of actors, their workers, timers and links. Many may live in one process;
 * there is no global state. */
#pragma once

#include "runtime/actor.h"
#include "runtime/ports.h"

enum scheduler_kind {
    SCHEDULER_THREADS, /* `workers` threads, and one for each pinned actor */
    SCHEDULER_MANUAL   /* no threads: runtime_step runs turns, pinned actors included, in an
                        * order drawn from the random port; time stands still in between */
};

enum peer_kind { PEER_NODE, PEER_KEEPER, PEER_CLIENT }; /* what a process is to another */

struct runtime_options {
    const char *name;               /* of this process, as peers will see it: "home", "keeper" */
    const struct clock_port *clock; /* NULL: real */
    const struct random_port *random;
    enum scheduler_kind scheduler;
    unsigned workers;               /* 0: one a core, at most 8 */
    unsigned turn_messages;         /* messages a turn; 0: default */
    uint64_t long_turn_ns;          /* a handler over this is reported; 0: 1 s */
    /* Called for a few rare events (actor failed, long turn, supervisor gave up); any thread.
     * One line, no newline, no secrets. NULL: to stderr. */
    void (*log)(void *arg, int level, const char *line);
    void *log_arg;
};

/* 0 and *ret_runtime, or negative errno. */
int runtime_new(const struct runtime_options *options, struct runtime **ret_runtime);
/* Stops all actors in reverse order of start, joins the threads, frees. Accepts NULL. */
void runtime_free(struct runtime *runtime);

int runtime_spawn(struct runtime *runtime, const struct actor_ops *ops, const void *config,
                  const struct spawn_options *options, struct actor_id *ret_id);
void runtime_stop_actor(struct runtime *runtime, struct actor_id who);
struct actor_id runtime_lookup(struct runtime *runtime, const char *name);
/* The address of an actor in another process, as context_remote. */
struct actor_id runtime_remote(struct runtime *runtime, const char *peer, const char *name);
const char *runtime_name(const struct runtime *runtime); /* as given in the options */
/* A second way to an actor, mostly a remote one: `name` looks up to `id` until runtime_unregister.
 * -EEXIST when the name is taken. */
int runtime_register(struct runtime *runtime, const char *name, struct actor_id id);
int runtime_unregister(struct runtime *runtime, const char *name);
/* From any thread, also one the runtime does not know. Takes the message. Errors as
 * context_send. */
int runtime_post(struct runtime *runtime, struct actor_id to, struct message *message);
/* Blocks a foreign thread until the answer, a status or the deadline. *ret_answer is the caller's
 * to free. 0, or -(enum runtime_status) is never returned: a status comes as a message. */
int runtime_ask(struct runtime *runtime, struct actor_id to, struct message *message,
                uint64_t timeout_ns, struct message **ret_answer);

/* SCHEDULER_MANUAL: runs one turn; false when nothing is runnable. The next timer's time
 * (UINT64_MAX: none) lets a simulator move its clock. */
bool runtime_step(struct runtime *runtime);
uint64_t runtime_next_timer_ns(struct runtime *runtime);

/* Writes the flight recorder (what each thread handled last) to a descriptor; for the last moments
 * of a process. */
void runtime_dump(const struct runtime *runtime, int fd);

/* Blocks until runtime_stop was called (any thread, async-signal-safe). */
void runtime_wait(struct runtime *runtime);
void runtime_stop(struct runtime *runtime);
