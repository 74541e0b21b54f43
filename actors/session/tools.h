/* SPDX-License-Identifier: Apache-2.0 */
/* The tools a model may call: `ask` and `tell` another agent. Pure: what is offered, what a call
 * means, and whether it may be made; making it is the turn's business.
 *
 * A call that may not be made is answered with a text that tells the model why, for it can then do
 * something else. Agents that wait for each other are kept apart by `path`, the agents that wait
 * for the present answer: to ask one of them would be to wait for oneself. A told text waits for
 * nothing, so it may go back to where it came from, but not on for ever: its path grows too. */
#pragma once

#include <jansson.h>

#include "proto/schema.h"
#include "runtime/message.h"
#include "session/agent_config.h"

enum tool { TOOL_UNKNOWN, TOOL_ASK, TOOL_TELL };

struct tool_call {
    enum tool tool;
    char *call_id;
    char *agent, *text;
    char *output;              /* what the model is told; NULL: not known yet */
    struct request_id request; /* open while there is no output */
};

/* JSON array of {name, description, parameters}; malloc'd. "[]" without tools or peers. */
char *tools_json(const struct agent_config *config);

/* The calls of a model_answer; *ret_count 0 when there is none. -EBADMSG when it is no such array,
 * -ENOMEM. */
int tool_calls_parse(struct proto_text json, struct tool_call **ret_calls, size_t *ret_count);
void tool_calls_free(struct tool_call *calls, size_t count);

/* Why this call cannot be made by a turn of `config`'s agent with this path; malloc'd, NULL: it
 * can. */
char *tool_call_objection(const struct agent_config *config, const char *path,
                          const struct tool_call *call);
/* {"type": "function_call_output", ...} */
json_t *tool_call_item(const struct tool_call *call);

/* Comma-separated names. */
bool path_has(const char *path, const char *name);
unsigned path_depth(const char *path);
char *path_with(const char *path, const char *name); /* malloc'd */
/* The session that asks along this path are heard in: "from~atlas~axon"; malloc'd. A session of
 * its own for each chain, or two agents that ask each other would each wait for the other's turn
 * to end. */
char *path_session(const char *path);
