/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "console" of `queenright up`: shows on a terminal, or as lines, what happens in the
 * swarm, and in a practice swarm gives the agents something to talk about. It looks from outside,
 * by the same messages everybody may send, and only while somebody watches. */
#pragma once

#include "queenright/config/config.h"
#include "runtime/runtime.h"

/* Agents shown and asked at most; the rest runs unseen. */
#define CONSOLE_AGENTS_MAX 256

struct console_options {
    const struct config *config; /* borrowed during start */
    int fd;                      /* where to write */
    bool screen;                 /* somebody watches: keep the tables current */
    bool practice;               /* ask the agents questions, show the badge */
    uint64_t for_ms;             /* stop the swarm after this; 0: never */
    uint64_t access_life_ms;     /* practice: how long an access token lives */
};

/* What the console counted; kept after the runtime ended. */
struct console_totals {
    uint64_t asked, answered, failed;
    uint64_t rotations, waited_most;
};

extern const struct actor_ops console_actor_ops;

/* A line for people, from any thread; shown with the events. */
void console_say(struct runtime *runtime, const char *line);

struct console_config {
    struct console_options options;
    struct console_totals *totals; /* written by the actor; read after runtime_free */
};
