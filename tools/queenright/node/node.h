/* SPDX-License-Identifier: Apache-2.0 */
/* A node process, and its actor "node", which makes the process as the accepted config says. */
#pragma once

#include "queenright/cli/command.h"
#include "queenright/config/config.h"
#include "runtime/runtime.h"

struct node_options {
    const char *name;               /* of this node */
    struct config *config;          /* taken */
    struct actor_id agents;         /* the supervisor that agents live under */
};

int cmd_node(struct command_call *call);

extern const struct actor_ops node_actor_ops;
