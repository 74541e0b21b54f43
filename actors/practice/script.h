/* SPDX-License-Identifier: Apache-2.0 */
/* What the scripted model says. Pure: the same turn always gets the same answer. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* What a request says, whichever API it came by. Strings are borrowed. */
struct script_turn {
    const char *model;
    const char *instructions; /* NULL: none */
    const char *user;         /* the last thing a user said; NULL: nothing */
    const char *tool_output;  /* what a function answered after that; NULL: none did */
    json_t *tools;            /* array of {name, parameters}; owned */
};

struct script_plan {
    char *text;      /* the answer, or NULL: a function is called */
    char *function;
    char *arguments; /* JSON text */
    size_t input_tokens;
    size_t output_tokens;
};

int script_plan(const struct script_turn *turn, struct script_plan *ret_plan);
void script_plan_deinit(struct script_plan *plan);
/* The next piece of `text` to send as one delta: a word with the blanks after it. 0: the end. */
size_t script_piece(const char *text);
