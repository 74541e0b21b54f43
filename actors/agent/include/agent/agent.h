/* SPDX-License-Identifier: Apache-2.0 */
/* An agent, registered under its id. Messages: agent_* in proto/agent.h. Needs the actors "journal"
 * (session/journal.h) and "model" in its process.
 *
 *     struct child_spec child = {
 *         .name = "atlas",
 *         .ops = &agent_actor_ops,
 *         .config = agent_config_new(&(struct agent_config){.id = "atlas", ...}),
 *         .free_config = agent_config_unref,
 *     }; */
#pragma once

#include "runtime/actor.h"
#include "session/agent_config.h"

/* config is what agent_config_new made; a reference is taken. */
extern const struct actor_ops agent_actor_ops;
