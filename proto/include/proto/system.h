/* SPDX-License-Identifier: Apache-2.0 */
/* What every actor may answer. */
#pragma once

#include "proto/schema.h"

#define SYSTEM_MESSAGES(X)                                                                         \
    X(0x0001, done, DONE_FIELDS, "It is done; nothing more to say.")                               \
    X(0x0002, refusal, REFUSAL_FIELDS, "It was not done, and why. `code` is for programs.")

#define DONE_FIELDS(F) F(u64, count, "how many, where that means something")

#define REFUSAL_FIELDS(F)                                                                          \
    F(text, code, "short name, e.g. needs_login; the list is in docs/PROTOCOL.md")                 \
    F(text, why, "one sentence for people: what happened, to what")                                \
    F(text, remedy, "what to do next; may be empty")                                               \
    F(u64, retry_after_ms, "0: do not retry by yourself")                                          \
    F(i64, until_ms, "Unix time in ms at which the cause ends, if known; else 0")

PROTO_DECLARE(system, SYSTEM_MESSAGES)

/* Refusal codes. Append only. */
#define REFUSAL_CODES(X)                                                                           \
    X(bad_request, "the request does not make sense as it stands")                                 \
    X(unknown_profile, "no such credential profile")                                               \
    X(unknown_agent, "no such agent")                                                              \
    X(unknown_model, "the model reference names no configured provider")                           \
    X(needs_login, "only a new login helps: the provider ended this one")                          \
    X(cooling, "the account's quota is used up until the given time")                              \
    X(token_refused, "the model side refuses fresh access tokens of this account")                 \
    X(unavailable, "the provider cannot be reached or fails just now")                             \
    X(not_configured, "the provider's token endpoint refuses our request form")                    \
    X(stale_copy, "an older copy of a login that is here already")                                 \
    X(access_only, "imported without its refresh token, and the access token has ended")           \
    X(copied_store, "this store is a copy; not spent until adopted")                               \
    X(loop, "agents asking each other in a circle, or too deep")                                   \
    X(not_paid, "only a paid model is left, and paid is not allowed")                              \
    X(model_error, "the model answered with an error")                                             \
    X(cut, "the stream ended without its terminal event")                                          \
    X(interrupted, "the turn was cut off by a crash or a restart")                                 \
    X(bad_config, "the config file is refused")                                                    \
    X(busy, "too much at once; try again")                                                         \
    X(too_large, "over a limit")                                                                   \
    X(timeout, "no answer within the time limit")                                                  \
    X(internal, "a fault of ours")                                                                 \
    X(not_saved, "it could not be written to disk, so it was not done")                            \
    X(stopping, "the keeper is about to end and begins nothing new; ask the next one")
