/* SPDX-License-Identifier: Apache-2.0 */
/* The children of one supervisor, in the order in which they were added, found by name and by the
 * actor they are. A supervisor may have ten thousand: nothing here looks at all of them, and to
 * stop them one by one from the end looks at each once. */
#pragma once

#define HASH_NONFATAL_OOM 1 /* what could not be added is not there, and we go on */
#include <uthash.h>

#include "core.h"

struct child {
    UT_hash_handle by_name; /* of all; keeps the order in which they were added */
    UT_hash_handle by_id;   /* of those that run */
    struct child_spec spec;
    char name[INTROSPECT_NAME_MAX];
    uint64_t key; /* grows in that order; tag of its timer */
    struct actor_id id; /* {0}: not running */
    struct timer_id timer;
    uint64_t started_ns, backoff_ns;
    unsigned restarts;
    int last_error;
    bool done;        /* ended as it may; not started again */
    bool removing;
    struct request_id remover;
};

struct children {
    struct child *all;     /* by name */
    struct child *running; /* by id */
    struct child *stop_at; /* none after it runs; NULL: not known */
    uint64_t next_key;
};

void child_spec_free(const struct child_spec *spec);
/* Copies the spec. -EINVAL, -EEXIST, -ENOMEM: then its config is still the caller's. */
int children_add(struct children *children, const struct child_spec *spec,
                 struct child **ret_child);
/* Frees one that does not run. */
void children_drop(struct children *children, struct child *child);
/* 0, or -ENOMEM: it is not known to run, and must not. */
int children_started(struct children *children, struct child *child, struct actor_id id);
void children_ended(struct children *children, struct child *child);

/* NULL: none. */
struct child *children_by_id(const struct children *children, struct actor_id id);
struct child *children_by_name(const struct children *children, const char *name);
struct child *children_first(const struct children *children);
struct child *children_last(const struct children *children);
struct child *child_next(const struct child *child);
/* The last running one whose key is `first` or above. */
struct child *children_last_running(struct children *children, uint64_t first);
bool child_runs(const struct child *child);
unsigned children_count(const struct children *children);
unsigned children_running(const struct children *children);
