/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "control", one in every process: packs the runtime's own introspection into messages
 * (proto/control.h) for whoever looks. */
#pragma once

#include "runtime/actor.h"

struct control_config {
    const char *kind;    /* "keeper", "node" or "up" */
    const char *version; /* of the program */
    const char *config;  /* path of the file this process runs on; "" */
};

extern const struct actor_ops control_actor_ops;
