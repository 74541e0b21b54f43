/* SPDX-License-Identifier: Apache-2.0 */
/* A session: a lane of turns with one agent, under a key. Spawned by its agent, registered as
 * "agent/key". Takes what agent_ask and agent_tell bring when the agent forwards them. */
#pragma once

#include "runtime/actor.h"
#include "session/agent_config.h"

#define SESSION_KEY_MAX 129  /* bytes with NUL */
#define SESSION_FILE_MAX 600 /* of a path below the journal's root, with NUL */

struct session_config {
    const struct agent_config *agent; /* a reference is taken */
    const char *key;
    struct actor_id parent; /* the agent: told session_state; its end is the session's end */
};

extern const struct actor_ops session_actor_ops;

/* agents/AGENT, and agents/AGENT/KEY.jsonl: what is not plain in a name is written %XX.
 * -ENAMETOOLONG, -EINVAL for an empty one or one with control characters. */
int session_folder(const char *agent, char *ret_path, size_t size);
int session_file(const char *agent, const char *key, char *ret_path, size_t size);
/* The key back from a file's name, without its folder. -EINVAL for a file of another kind. */
int session_key_of_file(const char *name, size_t name_size, char *ret_key, size_t size);
