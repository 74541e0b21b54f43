/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent is told about itself. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct agent_config {
    const char *id;           /* its name, also as an actor */
    const char *node;         /* where it lives, for agent_state */
    const char *instructions; /* may be empty */
    const char *models;       /* newline-separated references by preference; $ before one that may
                               * cost money and is allowed to */
    const char *tools;        /* comma-separated: ask, tell; NULL: both; empty: none */
    const char *const *peers; /* names of the other agents */
    size_t peer_count;
    unsigned max_tool_rounds; /* 0: 8 */
    unsigned max_ask_depth;   /* agents in a chain of asks; 0: 4 */
    unsigned max_queued;      /* turns waiting in one session; 0: 64 */
    unsigned history_turns;   /* past turns given to the model; 0: 50 */
    uint64_t timeout_ms;      /* of one turn; 0: 10 minutes */
};

/* A copy of its own in one piece of memory, defaults filled in; NULL without memory. */
struct agent_config *agent_config_copy(const struct agent_config *config);
/* The copy with what the JSON object says instead: instructions, models, tools (array or
 * comma-separated), peers (array), maxToolRounds, maxAskDepth, maxQueued, historyTurns,
 * timeoutSeconds. Other keys are not looked at. NULL without memory or when it is no object. */
struct agent_config *agent_config_merge(const struct agent_config *config, const char *json,
                                        size_t size);
/* Fits child_spec.free_config. Accepts NULL. */
void agent_config_free(const void *config);
