/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: lines that must survive. Registered as "journal", spawned pinned, one in a process
 * that hosts agents. Messages: journal_* in proto/agent.h. */
#pragma once

#include "runtime/actor.h"

struct journal_config {
    const char *root; /* absolute; made if missing, mode 0700. E.g. STATE/swarms/SWARM */
};

extern const struct actor_ops journal_actor_ops;
