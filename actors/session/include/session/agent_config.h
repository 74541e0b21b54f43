/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent is told about itself. Made once and never changed, so that the supervisor, the
 * agent and its sessions hold one piece of memory together; new settings are another piece. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Names of agents, one list for all who know them. Counted. */
struct agent_names {
    _Atomic unsigned references;
    size_t count;
    const char *names[];
};

/* A copy of the names; NULL without memory. */
struct agent_names *agent_names_new(const char *const *names, size_t count);
struct agent_names *agent_names_ref(struct agent_names *names); /* NULL is allowed */
void agent_names_unref(struct agent_names *names);              /* NULL is allowed */

struct agent_config {
    const char *id;           /* its name, also as an actor */
    const char *node;         /* where it lives, for agent_state */
    const char *instructions; /* may be empty */
    const char *models;       /* newline-separated references by preference; $ before one that may
                               * cost money and is allowed to */
    const char *tools;        /* comma-separated: ask, tell; NULL: both; empty: none */
    struct agent_names *peers; /* its own name among them is passed over; NULL: none */
    unsigned max_tool_rounds; /* 0: 8 */
    unsigned max_ask_depth;   /* agents in a chain of asks; 0: 4 */
    unsigned max_queued;      /* turns waiting in one session; 0: 64 */
    unsigned history_turns;   /* past turns given to the model; 0: 50 */
    uint64_t timeout_ms;      /* of one turn; 0: 10 minutes */
    _Atomic unsigned references; /* of one that agent_config_new made */
};

/* A copy in one piece of memory, defaults filled in, counted; NULL without memory. */
struct agent_config *agent_config_new(const struct agent_config *settings);
/* Takes a further reference to what agent_config_new made. */
const struct agent_config *agent_config_ref(const struct agent_config *config);
/* A new one with what the JSON object says instead: instructions, models, tools (array or
 * comma-separated), peers (array), maxToolRounds, maxAskDepth, maxQueued, historyTurns,
 * timeoutSeconds. Other keys are not looked at. NULL without memory or when it is no object. */
struct agent_config *agent_config_merge(const struct agent_config *config, const char *json,
                                        size_t size);
/* Fits child_spec.free_config. Accepts NULL. */
void agent_config_unref(const void *config);
