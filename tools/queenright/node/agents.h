/* SPDX-License-Identifier: Apache-2.0 */
/* The agents of one node: children of a supervisor when they live here, a second name for a remote
 * address when they live elsewhere. Used by the node actor only. */
#pragma once

#include "queenright/config/config.h"
#include "runtime/actor.h"

struct node_agents;

/* NULL without memory. `supervisor` is where local agents live. */
struct node_agents *node_agents_new(const char *node, struct actor_id supervisor);
void node_agents_free(struct node_agents *agents); /* NULL is allowed */

/* Asks an agent to finish the turns at work and begin no other; the answer comes under `tag`. */
void node_agents_drain(struct context *context, struct actor_id agent, uint64_t limit_ns,
                       uint64_t tag);

/* Step 1: drains and then stops the agents that `next` no longer has here, and forgets the names of
 * those that are no longer where they were. How many are ending: node_agents_drained is to be told
 * of every answer, and node_agents_left tells of each that has ended. */
unsigned node_agents_leave(struct node_agents *agents, struct context *context,
                           const struct config *next);
void node_agents_drained(struct node_agents *agents, struct context *context, uint64_t tag);
/* True when `who` was one of those. */
bool node_agents_left(struct node_agents *agents, struct actor_id who);
/* Step 2: starts the agents that are new here, names those that are new elsewhere, and gives
 * changed ones their new settings. `before` is NULL at first. 0, or the last error. */
int node_agents_enter(struct node_agents *agents, struct context *context,
                      const struct config *before, const struct config *next);
