/* SPDX-License-Identifier: Apache-2.0 */
/* The command table as other things read it: all options of a row in one list, and its words. For
 * completion and the manual, so that both show what the parser takes. */
#pragma once

#include "queenright/cli/command.h"

#define COMMAND_OPTIONS_MAX 48

struct command_options {
    struct argp_option items[COMMAND_OPTIONS_MAX];
    size_t count;
};

/* Visible options: its own, those of its other table, the common ones. */
void command_options(const struct command *command, struct command_options *ret_options);
/* The row is "FIRST second": the second word, when its first is that; else NULL. */
const char *command_second(const struct command *command, const char *first);
/* Whether no visible row before it has the same first word; *ret_size is that word's. */
bool command_is_first(const struct command *command, size_t *ret_size);
