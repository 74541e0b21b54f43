/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "node" of a node process: makes the process as the accepted config says. */
#pragma once

#include "queenright/config.h"
#include "runtime/runtime.h"

struct node_options {
    const char *name;               /* of this node */
    struct config *config;          /* taken */
    struct actor_id agents;         /* the supervisor that agents live under */
};

extern const struct actor_ops node_actor_ops;
