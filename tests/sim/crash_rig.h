/* SPDX-License-Identifier: Apache-2.0 */
/* One life of a keeper on a model disk: the file store and the step as they are, a server model,
 * and time that passes when nothing else can happen.
 *
 * A life opens the store, loads it, asks for a token of the generation that is the goal, and goes
 * on until the login is at rest. Before the first login it imports one. At every point where a
 * crash would leave another world behind, `at_point` is called; it may copy the world, and runs the
 * copy in a life of its own. */
#pragma once

#include "crash_server.h"
#include "disk_model.h"
#include "token/step.h"

#define CRASH_WHY_MAX 512

/* What outlives a keeper. */
struct crash_world {
    struct disk_model *disk;
    struct crash_server server;
    uint64_t now_ns; /* of this boot's clock */
    int64_t wall_ms;
    uint8_t boots;      /* of the machine */
    bool imported;      /* the person was told that the login is stored */
    bool answer_lost;   /* a crash came after a rotation and before its answer was durable */
    bool used_unsaved;  /* a token was in use that no call could save: promise 5 */
    bool slept;         /* longer than the grace window, over a crash */
    bool fills;         /* the disk is full as soon as a reservation is made */
    bool filled;        /* it was, and stayed so for longer than the grace window */
    uint64_t goal;      /* generation that is asked for; older ones are to be refreshed */
    uint64_t published; /* highest generation handed out */
    unsigned crashes;
    unsigned id, parent; /* of whoever keeps a list of worlds */
    const char *where;   /* the last crash came */
};

/* What a crash makes of it, but for the disk. */
void crash_world_crashed(struct crash_world *world);

struct crash_life {
    struct crash_world *world;
    void *arg;
    void (*at_point)(void *arg, const char *where); /* or NULL */
    const struct disk_port *disk; /* NULL: the world's model */
    const char *state_dir;        /* NULL: a place on the model */
    void (*outside)(void *arg, bool is); /* around what is no part of the keeper; or NULL */
    bool audits;   /* writes the audit, which is many more points to crash at */
    bool may_fail; /* calls fail: a store that does not open, or refuses, is no violation */

    /* Outcome. */
    bool opened;             /* and loaded */
    char sentence[CRASH_WHY_MAX]; /* the store's own, when it did not open */
    bool granted; /* somebody got a token */
    enum profile_state state;
    char why[CRASH_WHY_MAX]; /* what is against the promises; empty: nothing */
};

void crash_world_init(struct crash_world *world, enum rotation rule, struct model_names *names);
void crash_world_deinit(struct crash_world *world);
void crash_life_run(struct crash_life *life);
