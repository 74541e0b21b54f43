/* SPDX-License-Identifier: Apache-2.0 */
/* The door in front of the scripted model, the same for each API: bearer, quota, faults. */
#pragma once

#include "script.h"
#include "server.h"

/* Checks the bearer and what the next fault is, and parses the body. NULL: the reply is made
 * already. */
json_t *model_enter(struct practice *practice, struct request *request,
                    enum practice_fault *ret_fault);
/* Applies what a fault does to an answer that is made. */
void model_fault_apply(struct reply *reply, enum practice_fault fault);
/* Answers 401 and returns false without a good bearer. */
bool model_authorize(struct practice *practice, struct request *request,
                     struct login **ret_login);
void model_bad_request(struct request *request, const char *what);
/* The text of a content that is a string or an array of parts with text; the last part wins. */
const char *model_content_text(const json_t *content);
/* Adds {name, parameters} for each function in `tools`, also inside namespaces. */
void model_tools_collect(json_t *into, const json_t *tools);
