/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens: asked of the TokenActor (actor name "token" in the keeper), mostly through the
 * proxy of the same name on each node. */
#pragma once

#include "proto/schema.h"

#define TOKEN_MESSAGES(X)                                                                          \
    X(0x0101, token_get, TOKEN_GET_FIELDS,                                                         \
      "Ask for an access token. Answer: token_grant or refusal.")                                  \
    X(0x0102, token_grant, TOKEN_GRANT_FIELDS, "A lease on one generation of a profile.")          \
    X(0x0103, token_rejected, TOKEN_REJECTED_FIELDS,                                               \
      "The model side answered 401 to this token. Answer: token_grant with a newer one, or "       \
      "refusal.")                                                                                  \
    X(0x0104, quota_hit, QUOTA_HIT_FIELDS,                                                         \
      "The account's quota is used up. Answer: done. Shared by all agents of the account.")        \
    X(0x0105, token_watch, TOKEN_WATCH_FIELDS,                                                     \
      "Answered with token_grant as soon as the profile's version differs from the given one.")    \
    X(0x0106, token_status, TOKEN_STATUS_FIELDS,                                                   \
      "Stream of token_profile parts, then done.")                                                 \
    X(0x0107, token_profile, TOKEN_PROFILE_FIELDS, "One profile, without secrets.")                \
    X(0x0108, token_import, TOKEN_IMPORT_FIELDS,                                                   \
      "Take over a credential. Only on the keeper's own socket. Answer: token_imported or "        \
      "refusal.")                                                                                  \
    X(0x0109, token_imported, TOKEN_IMPORTED_FIELDS, "What became of an import.")                  \
    X(0x010a, swarm_join, SWARM_JOIN_FIELDS,                                                       \
      "A swarm starts, or its accepted config changed: read the provider rules from there. "       \
      "Held open by the sender's link: when it goes, the swarm has left. Answer: done or "         \
      "refusal.")                                                                                  \
    X(0x010b, token_drain, TOKEN_DRAIN_FIELDS,                                                     \
      "Finish what is in flight, start nothing new, then end. Answer: done, when drained.")        \
    X(0x010c, token_adopt, TOKEN_ADOPT_FIELDS,                                                     \
      "A person says that this store is the one to go on with, though it looks like a copy or a "  \
      "restored backup. Answer: done or refusal.")

#define TOKEN_GET_FIELDS(F)                                                                        \
    F(text, profile, "profile id, or an alias of one")                                             \
    F(u64, min_valid_ms, "the token must live at least this long; 0: any that is valid")           \
    F(text, who, "who asks, for the audit: an agent or a program")                                 \
    F(boolean, force, "refresh even if the token would do; joins a running refresh")

#define TOKEN_GRANT_FIELDS(F)                                                                      \
    F(text, profile, "the profile's own id")                                                       \
    F(u64, generation, "of the saved refresh token; never falls")                                  \
    F(u64, version, "changes with generation, state and cooling; for token_watch")                 \
    F(secret, access, "the access token; empty in an answer to token_watch when none is valid")    \
    F(i64, expires_at_ms, "Unix ms; 0: does not expire")                                           \
    F(i64, renew_at_ms, "Unix ms; after this ask again")                                           \
    F(text, account, "the account id, from the provider's claim; may be empty")                    \
    F(i64, cooling_until_ms, "Unix ms; 0: not cooling")                                            \
    F(text, cooling_model, "the model that cools; empty: the whole account")                       \
    F(text, origin, "scheme://host[:port] this token may be sent to; empty: see config")

#define TOKEN_REJECTED_FIELDS(F)                                                                   \
    F(text, profile, "profile id or alias")                                                        \
    F(bytes, access_sha256, "SHA-256 of the access token that got the 401, 32 bytes")              \
    F(text, who, "who met it")

#define QUOTA_HIT_FIELDS(F)                                                                        \
    F(text, profile, "profile id or alias")                                                        \
    F(text, model, "the model it was met with; empty: the whole account")                          \
    F(i64, resets_at_ms, "Unix ms; 0: unknown, the default wait applies")                          \
    F(text, reason, "the provider's code, e.g. usage_limit_reached")                               \
    F(text, who, "who met it")

#define TOKEN_WATCH_FIELDS(F)                                                                      \
    F(text, profile, "profile id or alias")                                                        \
    F(u64, version, "the version known to the asker; 0: none")                                     \
    F(text, who, "the node that asks")                                                             \
    F(u64, generation_seen, "highest generation the asker ever saw, against restored stores")

#define TOKEN_STATUS_FIELDS(F) F(text, profile, "only this one; empty: all")

#define TOKEN_PROFILE_FIELDS(F)                                                                    \
    F(text, profile, "id")                                                                         \
    F(text, provider, "id of the provider")                                                        \
    F(text, mode, "oauth, api_key or access_only")                                                 \
    F(text, account, "account id, may be empty")                                                   \
    F(text, state, "valid, refreshing, uncertain, unsaved, refused, needs_login")                  \
    F(text, reason, "why it is in this state; empty when all is well")                             \
    F(text, remedy, "what to do")                                                                  \
    F(u64, generation, "of the saved refresh token")                                               \
    F(i64, expires_at_ms, "of the access token, Unix ms; 0: never")                                \
    F(i64, refresh_at_ms, "when the next refresh is planned; 0: on demand")                        \
    F(i64, cooling_until_ms, "0: not cooling")                                                     \
    F(text, cooling_model, "empty: the whole account")                                             \
    F(u64, waiters, "requests waiting for the running refresh")                                    \
    F(u64, refreshes, "refreshes that succeeded since the keeper started")                         \
    F(u64, waited, "requests that waited for the last refresh")                                    \
    F(u64, grants, "tokens handed out since the keeper started")                                   \
    F(i64, refreshed_at_ms, "last success, Unix ms; 0: none since start")                          \
    F(text, aliases, "other ids of the same login, comma-separated")                               \
    F(text, origin, "token endpoint it is pinned to")                                              \
    F(text, rotation, "none, grace, two-phase or strict")                                          \
    F(u64, attempts, "attempts for the generation in flight")

#define TOKEN_IMPORT_FIELDS(F)                                                                     \
    F(text, profile, "id to store it under, e.g. openai-codex:default")                            \
    F(text, provider, "id of the provider, built in or from the config")                           \
    F(text, mode, "oauth or api_key")                                                              \
    F(secret, access, "access token or API key")                                                   \
    F(secret, refresh, "refresh token; empty for an API key")                                      \
    F(secret, id_token, "may be empty")                                                            \
    F(i64, expires_at_ms, "of the access token; 0: read it from the token, else unknown")          \
    F(text, account, "account id, may be empty: then from the token's claim")                      \
    F(boolean, take_over, "own it: refresh it. Else access-only, never refreshed")                 \
    F(text, source, "file it came from, for the audit")                                            \
    F(i64, refreshed_at_ms, "when the source last refreshed it; 0: unknown")                       \
    F(text, config, "config file with the provider's rule; empty: built-in or known")              \
    F(boolean, relogin, "a fresh login: replaces what is stored under this profile")

#define TOKEN_IMPORTED_FIELDS(F)                                                                   \
    F(text, profile, "the id it is known by")                                                      \
    F(text, outcome, "stored, replaced, alias, unchanged")                                         \
    F(u64, generation, "")                                                                         \
    F(text, note, "a sentence worth telling the user")

#define SWARM_JOIN_FIELDS(F)                                                                       \
    F(text, swarm, "its name")                                                                     \
    F(text, config, "absolute path of its accepted config")                                        \
    F(u64, pid, "of the process that holds it")

#define TOKEN_DRAIN_FIELDS(F) F(text, why, "for the audit")

#define TOKEN_ADOPT_FIELDS(F)                                                                      \
    F(text, profile, "only this one; empty: all, and the store itself")

PROTO_DECLARE(token, TOKEN_MESSAGES)
