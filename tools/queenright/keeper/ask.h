/* SPDX-License-Identifier: Apache-2.0 */
/* A question to the keeper's TokenActor, from the command line. A keeper is started when none runs.
 * One that is about to end sends its askers to the next one, and so does one that dies: each
 * question may be asked twice, for it says what is wanted and not what is to be done to it. */
#pragma once

#include "queenright/cli/client.h"
#include "queenright/process/paths.h"

struct keeper_line {
    const struct paths *paths;
    struct link_client *client; /* NULL: not open yet */
};

/* Opens it, unless it is: for who would rather know before asking. 0, or an exit code after an
 * error. */
int keeper_dial(struct keeper_line *line);
/* As client_run; the time limit is that of all tries together, once a keeper has been met. */
int keeper_run(struct keeper_line *line, const struct proto_schema *schema, const void *question,
               uint64_t timeout_ms, client_part_fn on_part, void *arg, uint32_t wanted,
               struct message **ret_answer);
#define keeper_ask(line, name, question, timeout_ms, on_part, arg, wanted, ret_answer)             \
    keeper_run(line, &name##_schema, (const struct name *){(question)}, timeout_ms, on_part, arg,  \
               MSG_##wanted, ret_answer)
void keeper_hang_up(struct keeper_line *line);
