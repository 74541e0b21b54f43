/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/cli/command_list.h"

#include <string.h>

static void options_add(struct command_options *options, const struct argp_option *more)
{
    for (; more && more->name; more++)
        if (!(more->flags & OPTION_HIDDEN) && options->count < COMMAND_OPTIONS_MAX)
            options->items[options->count++] = *more;
}

void command_options(const struct command *command, struct command_options *ret_options)
{
    struct argp_option more[COMMAND_KEYS - KEY_PROGRAM + 1] = {{0}}, common[COMMAND_COMMON_MAX];

    ret_options->count = 0;
    options_add(ret_options, command->options);
    if (command->more_options && command->more_options(more, COMMAND_KEYS - KEY_PROGRAM) > 0)
        options_add(ret_options, more);
    command_common_options(command, common);
    options_add(ret_options, common);
}

const char *command_second(const struct command *command, const char *first)
{
    size_t size = strcspn(first, " ");

    if (strncmp(command->name, first, size) != 0 || command->name[size] != ' ')
        return NULL;
    return command->name + size + 1;
}

bool command_is_first(const struct command *command, size_t *ret_size)
{
    *ret_size = strcspn(command->name, " ");
    for (const struct command *before = command_table; before < command; before++)
        if (!before->hidden && strncmp(before->name, command->name, *ret_size) == 0 &&
            strchr(" ", before->name[*ret_size]))
            return false;
    return true;
}
