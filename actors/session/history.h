/* SPDX-License-Identifier: Apache-2.0 */
/* The past turns a model is shown: whole turns only, the newest ones, within a number and a size.
 * A turn is an array of conversation items in the form of OpenAI Responses input. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct past_turn {
    json_t *items;
    size_t size; /* bytes as JSON */
};

struct history {
    struct past_turn *turns;
    size_t count, capacity;
    size_t size;
};

void history_deinit(struct history *history); /* {0} again */
/* Takes `items`. Drops the oldest over `turns_max`. 0 or -ENOMEM. */
int history_push(struct history *history, json_t *items, size_t turns_max);
/* All items and those of `current` as one JSON array; malloc'd, NULL without memory. */
char *history_input(const struct history *history, const json_t *current);

/* {"role": "user", ...} of a text; says so when it comes from another agent. */
json_t *history_user_item(const char *text, const char *from);
