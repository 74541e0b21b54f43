/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queenright/config/keys.h"

void command_error(const char *remedy, const char *format, ...)
{
    va_list args;

    fputs("queenright: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (remedy)
        fprintf(stderr, "  try: %s\n", remedy);
}

bool command_duration(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (end == text || text[0] == '-' || value > 1000000000ull)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].unit) == 0) {
            *ret_ms = value * units[i].ms;
            return true;
        }
    return false;
}

const struct command *command_find(const char *name)
{
    for (const struct command *command = command_table; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

const char *command_nearest(const char *name)
{
    const char *nearest = NULL;
    size_t best = word_distance_max(name) > 2 ? word_distance_max(name) + 1 : 3; /* "aks" */

    for (const struct command *command = command_table; command->name; command++) {
        size_t far = word_distance(name, command->name);

        if (!command->hidden && far < best) {
            best = far;
            nearest = command->name;
        }
    }
    return nearest;
}

static void list_commands(void)
{
    printf("Usage: queenright COMMAND [OPTION...]\n\n"
           "One owner for every login, for swarms of agents.\n\n");
    for (const struct command *command = command_table; command->name; command++) {
        char call[64];

        if (command->hidden)
            continue;
        snprintf(call, sizeof(call), "%s %s", command->name, command->args);
        printf("  %-34s %s\n", call, command->help);
    }
    printf("\nEach command has --help; what prints has --json. Exit codes:\n");
#define X(name, code, meaning) printf("  %3d  %s\n", code, meaning);
    COMMAND_EXITS(X)
#undef X
}

static void list_options(const struct argp_option *options)
{
    for (const struct argp_option *option = options; option && option->name; option++)
        if (!(option->flags & OPTION_HIDDEN))
            printf("  --%s%s%s\n        %s\n", option->name, option->arg ? "=" : "",
                   option->arg ? option->arg : "", option->doc);
}

int command_help(const struct command *command)
{
    struct argp_option more[COMMAND_KEYS - KEY_PROGRAM + 1] = {{0}};

    if (!command) {
        list_commands();
        return EXIT_CODE_OK;
    }
    printf("Usage: queenright %s %s\n\n%s.\n", command->name, command->args, command->help);
    if (command->text)
        printf("\n%s\n", command->text);
    list_options(command->options);
    if (command->more_options && command->more_options(more, COMMAND_KEYS - KEY_PROGRAM) > 0)
        list_options(more);
    return EXIT_CODE_OK;
}
