/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the swarm actor share. */
#pragma once

#include <sys/types.h>

#include "actors/handler.h"
#include "actors/listing.h"
#include "proto/control.h"
#include "proto/system.h"
#include "proto/token.h"
#include "queenright/swarm/swarm.h"

#define CHILDREN_MAX 32
#define DRAIN_MS_DEFAULT 10000
#define BACKOFF_MS_FIRST 100
#define BACKOFF_MS_MAX 10000
#define KEEPER_SOON_NS 10000000ull
#define KEEPER_AGAIN_NS 1000000000ull

enum child_state { CHILD_FREE, CHILD_STARTING, CHILD_UP, CHILD_WAITING, CHILD_STOPPING };

struct swarm_child {
    char name[64]; /* of the node */
    char peer[PATHS_PEER_MAX];
    enum child_state state;
    pid_t pid;
    int pid_fd;
    unsigned restarts;
    uint64_t backoff_ms;
    bool remove; /* the config no longer has it: when it ends, forget it */
};

/* A reload in work: one at a time. */
struct swarm_reload_state {
    struct request_id request;
    struct config *next; /* what is being applied */
    struct config_changes changes;
    unsigned step;    /* 0: none; 1: nodes stop what left; 2: nodes start what came */
    unsigned waiting; /* nodes that have not answered this step */
    bool failed;
    char why[512];
};

struct swarm_state {
    struct swarm_options options;
    struct config *config;
    char source[PATH_MAX];
    char accepted[PATH_MAX];
    struct swarm_child children[CHILDREN_MAX];
    struct swarm_reload_state reload;
    struct listings listings;
    int wake_fd;
    uint32_t keeper_look; /* the latest look; older timers are stale */
    uint64_t keeper_pause_ns; /* until the next one; longer each time */
    int keeper_ready_fd; /* of the keeper begun last; -1: none */
    char keeper_why[512]; /* why none starts, as said last */
    bool ready, ending, keeper_up;
};

/* Tags of our requests and timers: a purpose and the child it is about. */
enum swarm_purpose { TAG_JOIN = 1, TAG_APPLY, TAG_DOWN, TAG_RESTART, TAG_KILL, TAG_KEEPER };
#define SWARM_TAG(purpose, index) (((uint64_t)(purpose) << 32) | (uint32_t)(index))

void swarm_event(const struct swarm_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* children.c */
int swarm_child_add(struct swarm_state *state, struct context *context, const char *name);
void swarm_child_start(struct swarm_state *state, struct context *context,
                       struct swarm_child *child);
struct swarm_child *swarm_child_find(struct swarm_state *state, const char *name);
/* Waits for children, signals and wakes; handles the first two. */
int swarm_wait(void *state, struct context *context, uint64_t timeout_ns);
void swarm_wake(void *state);
void swarm_child_stop(struct swarm_state *state, struct context *context,
                      struct swarm_child *child, uint64_t drain_ms);
bool swarm_all_gone(const struct swarm_state *state);
bool swarm_all_up(const struct swarm_state *state);

/* reload.c */
int swarm_reload_begin(struct swarm_state *state, struct context *context, const char *path,
                       struct request_id request);
/* One node has applied (or could not). */
int swarm_reload_applied(struct swarm_state *state, struct context *context, const char *why);

/* swarm_actor.c */
void swarm_join_keeper(struct swarm_state *state, struct context *context);
void swarm_end(struct swarm_state *state, struct context *context, uint64_t drain_ms);
