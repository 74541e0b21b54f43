/* SPDX-License-Identifier: Apache-2.0 */
/* Model calls (actor "model", one on each node) and the HTTP transfers below them (actor "http").
 * These stay inside one process. */
#pragma once

#include "proto/schema.h"

#define MODEL_MESSAGES(X)                                                                          \
    X(0x0201, model_call, MODEL_CALL_FIELDS,                                                       \
      "One call of a language model. Stream of model_delta, then model_answer or refusal.")        \
    X(0x0202, model_delta, MODEL_DELTA_FIELDS, "A piece of visible text.")                         \
    X(0x0203, model_answer, MODEL_ANSWER_FIELDS, "The whole answer.")                              \
    X(0x0210, http_request, HTTP_REQUEST_FIELDS,                                                   \
      "One transfer. Stream: http_head, then http_chunk parts; final http_end or refusal "         \
      "(unavailable, timeout, too_large).")                                                        \
    X(0x0211, http_head, HTTP_HEAD_FIELDS, "Status line and headers are there.")                   \
    X(0x0212, http_chunk, HTTP_CHUNK_FIELDS, "Bytes of the body, as they came.")                   \
    X(0x0213, http_end, HTTP_END_FIELDS, "The body is complete.")                                  \
    X(0x0220, model_reconfigure, MODEL_RECONFIGURE_FIELDS,                                         \
      "New provider and fallback settings, as the config's models and auth objects. Calls in "     \
      "flight go on as they are. Answer: done or refusal.")

#define MODEL_CALL_FIELDS(F)                                                                       \
    F(text, agent, "who calls, for fair sharing and the audit")                                    \
    F(text, session, "session key, for the provider's cache")                                      \
    F(text, models, "provider/model references by preference, newline-separated; a leading $ "     \
                    "marks one that may cost money and is allowed to")                             \
    F(text, instructions, "system instructions")                                                   \
    F(text, input, "JSON array of conversation items, in the form of OpenAI Responses input")      \
    F(text, tools, "JSON array of {name, description, parameters}; may be empty")

#define MODEL_DELTA_FIELDS(F) F(text, text, "")

#define MODEL_ANSWER_FIELDS(F)                                                                     \
    F(text, text, "all visible text")                                                              \
    F(text, calls, "JSON array of {call_id, name, arguments (a JSON string)}; empty: none")        \
    F(text, items, "JSON array of the answer's items, to be appended to the next input")           \
    F(text, model, "the reference that answered")                                                  \
    F(text, profile, "the credential profile that was used")                                       \
    F(u64, input_tokens, "")                                                                       \
    F(u64, output_tokens, "")                                                                      \
    F(text, note, "e.g. that a fallback answered, and why")

#define HTTP_REQUEST_FIELDS(F)                                                                     \
    F(text, method, "GET or POST")                                                                 \
    F(text, url, "http or https")                                                                  \
    F(text, headers, "Name: value lines, newline-separated, without credentials")                  \
    F(secret, bearer, "sent as Authorization: Bearer; never follows a redirect")                   \
    F(bytes, body, "")                                                                             \
    F(u64, body_max, "bytes of answer accepted; 0: the default")                                   \
    F(u64, idle_ms, "give up when no byte came for so long; 0: the default")                       \
    F(secret, api_key, "sent as x-api-key")

#define HTTP_HEAD_FIELDS(F)                                                                        \
    F(u64, status, "HTTP status")                                                                  \
    F(text, headers, "name: value lines in lower-case names, newline-separated")
#define HTTP_CHUNK_FIELDS(F) F(bytes, bytes, "")
#define HTTP_END_FIELDS(F)                                                                         \
    F(u64, status, "HTTP status")                                                                  \
    F(u64, size, "bytes of body")

#define MODEL_RECONFIGURE_FIELDS(F)                                                                \
    F(text, models, "the config's `models` object, JSON")                                          \
    F(text, auth, "the config's `auth` object, JSON")

PROTO_DECLARE(model, MODEL_MESSAGES)
