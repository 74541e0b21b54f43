/* SPDX-License-Identifier: Apache-2.0 */
/* How an actor file joins messages (proto) to handlers (runtime).
 *
 *     static int on_token_get(struct token_state *state, struct context *context,
 *                             const struct token_get *message);
 *     ACTOR_HANDLER(token_get)                      // before the table
 *     static const struct actor_handler handlers[] = {
 *         ACTOR_ROW(token_get, FROM_ANYONE),
 *         ACTOR_ROW_END,
 *     };
 *
 * The actor's table sets `.decode = proto_unpack`. Sending: actor_pack(token_get, &message) makes
 * the struct message that context_send and its kin take. */
#pragma once

#include "proto/schema.h"
#include "runtime/actor.h"

#define ACTOR_HANDLER(name)                                                                        \
    static int handle_##name(void *state, struct context *context, const void *message)            \
    {                                                                                              \
        return on_##name(state, context, message);                                                 \
    }
#define ACTOR_ROW(name, from_) {MSG_##name, (from_), #name, &name##_schema, handle_##name}
#define ACTOR_ROW_END {0, 0, NULL, NULL, NULL}

/* The message for a struct; flagged MESSAGE_WIPE when its schema has a secret. NULL without
 * memory, or when the struct breaks its schema (bad UTF-8, over a limit). */
struct message *actor_pack_schema(const struct proto_schema *schema, const void *message);
#define actor_pack(name, pointer)                                                                  \
    actor_pack_schema(&name##_schema, (const struct name *){(pointer)})

/* Answers of the common kinds, to the request at hand. `code` is one of REFUSAL_CODES. */
int actor_reply_done(struct context *context, uint64_t count);
int actor_reply_refusal(struct context *context, const char *code, const char *why,
                        const char *remedy);
struct message *actor_refusal(const char *code, const char *why, const char *remedy,
                              uint64_t retry_after_ms, int64_t until_ms);
/* A runtime status as the refusal a user would understand. */
struct message *actor_refusal_of_status(enum runtime_status status, const char *what);
