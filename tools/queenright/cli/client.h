/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a running process, from the command line: connect, ask, and turn whatever comes
 * back into an exit code and words. Each function that returns an exit code has printed the reason
 * when it is not 0. */
#pragma once

#include "actors/handler.h"
#include "proto/system.h"
#include "runtime/link.h"

#define CLIENT_TIMEOUT_MS 30000

/* 0, or an exit code after an error like "swarm five does not run". `what` names the other side
 * for that message; `remedy` says what to do when nobody listens. */
int client_open(const char *endpoint, const char *what, const char *remedy,
              struct link_client **ret_client);

typedef int (*client_part_fn)(void *arg, const struct message *part);

/* Sends `schema`'s struct to the actor `to`; *ret_answer is whatever comes back, a refusal or a
 * status too, and the caller's to free. */
int client_call(struct link_client *client, const char *to, const struct proto_schema *schema,
                const void *question, uint64_t timeout_ms, client_part_fn on_part, void *arg,
                struct message **ret_answer);
/* Takes the answer over: 0 when it is of type `wanted`, and then it is handed on in *ret_answer
 * (may be NULL); refusals and statuses are printed. */
int client_judge(const struct link_client *client, const char *to, struct message *answer,
                 uint32_t wanted, struct message **ret_answer);
/* Both in one. */
int client_run(struct link_client *client, const char *to, const struct proto_schema *schema,
             const void *question, uint64_t timeout_ms, client_part_fn on_part, void *arg,
             uint32_t wanted, struct message **ret_answer);
#define client_ask(client, to, name, question, timeout_ms, on_part, arg, wanted, ret_answer)       \
    client_run(client, to, &name##_schema, (const struct name *){(question)}, timeout_ms, on_part, \
               arg, MSG_##wanted, ret_answer)
