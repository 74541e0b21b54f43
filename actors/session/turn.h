/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a turn share: turn.c (beginning and ends), turn_model.c, turn_tools.c. */
#pragma once

#include "lane.h"

/* The turn ends here, and its asker is told why. */
void turn_fail(struct lane *lane, struct context *context, const struct refusal *refusal);
void turn_fail_with(struct lane *lane, struct context *context, const char *code, const char *why);
void turn_call_model(struct lane *lane, struct context *context);
/* Sends what can be sent, and passes the asker's credit on to the model. */
void turn_flush(struct lane *lane, struct context *context);

static inline const char *or_empty(const char *text)
{
    return text ? text : "";
}
