/* SPDX-License-Identifier: Apache-2.0 */
/* Which swarm a command means, and what belongs to it. */
#pragma once

#include "queenright/cli/command.h"
#include "runtime/link.h"

#define SWARM_PROCESSES_MAX 34

struct swarm_view_process {
    char name[64], kind[16], state[16], endpoint[256];
    uint64_t pid, restarts;
};

struct swarm_view_agent {
    char name[64], node[64], models[512], endpoint[256];
};

/* What its `up` says of a swarm. */
struct swarm_view {
    char name[64];
    struct swarm_view_process processes[SWARM_PROCESSES_MAX];
    size_t process_count;
    struct swarm_view_agent *agents;
    size_t agent_count, agent_capacity;
};

/* Connects to the chosen swarm's `up`. */
int swarms_open(const struct command_call *call, char *ret_name, size_t size,
                struct link_client **ret_client);
/* The whole view; up and keeper are among its processes. */
int swarms_view(const struct command_call *call, struct swarm_view **ret_view);
void swarms_view_free(struct swarm_view *view); /* NULL is allowed */
/* NULL after an error with the known names. */
const struct swarm_view_agent *swarms_agent(const struct swarm_view *view, const char *name);
