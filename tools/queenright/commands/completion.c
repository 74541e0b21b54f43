/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts, printed from the command table. What a word may be is told by the name the
 * table gives an argument: FILE and PATH are files; AGENT and PROFILE are asked of the running
 * swarm, which answers in milliseconds or, when none runs, with nothing. */
#include <stdio.h>
#include <string.h>

#include "queenright/cli/command_list.h"
#include "queenright/commands/commands.h"

/* How the program tells the values of an argument, a line each with the value first. */
static const struct {
    const char *argument, *command;
} values[] = {
    {"AGENT", "agents"},
    {"PROFILE", "auth list"},
    {"ACTOR", "zmq ls"},
};

#define VALUES_COUNT (sizeof values / sizeof values[0])

static bool takes_files(const struct command *command)
{
    return strstr(command->args, "FILE") || strstr(command->args, "PATH") ||
           strstr(command->args, "OLD");
}

static const char *values_command(const struct command *command)
{
    for (size_t i = 0; i < VALUES_COUNT; i++)
        if (strstr(command->args, values[i].argument))
            return values[i].command;
    return NULL;
}

/* Text inside '...' of a shell. */
static void quoted(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
}

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_words(void)
{
    size_t size;

    printf("    case \"$1\" in\n    '') words='");
    for (const struct command *command = command_table; command->name; command++)
        if (!command->hidden && command_is_first(command, &size))
            printf("%.*s ", (int)size, command->name);
    printf("--help --version' ;;\n");
    for (const struct command *group = command_table; group->name; group++) {
        if (group->hidden || !strchr(group->name, ' ') || !command_is_first(group, &size))
            continue;
        printf("    %.*s) words='", (int)size, group->name);
        for (const struct command *command = group; command->name; command++)
            if (!command->hidden && command_second(command, group->name))
                printf("%s ", command_second(command, group->name));
        printf("' ;;\n");
    }
    printf("    esac\n");
}

static void bash_command(const struct command *command)
{
    struct command_options options;

    command_options(command, &options);
    printf("    '%s') options='", command->name);
    for (size_t i = 0; i < options.count; i++)
        printf("--%s%s ", options.items[i].name, options.items[i].arg ? "=" : "");
    printf("--help'");
    if (values_command(command))
        printf(" values='%s'", values_command(command));
    if (takes_files(command))
        printf(" files=1");
    printf(" ;;\n");
}

static void bash_print(void)
{
    printf("# bash completion for queenright: source <(queenright completion bash)\n"
           "_queenright_words() {\n    local words=''\n");
    bash_words();
    printf("    printf '%%s' \"$words\"\n}\n\n"
           "_queenright() {\n"
           "    local current=${COMP_WORDS[COMP_CWORD]} options='' values='' files='' name=''\n"
           "    local first=${COMP_WORDS[1]} second=${COMP_WORDS[2]}\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        COMPREPLY=($(compgen -W \"$(_queenright_words '')\" -- \"$current\"))\n"
           "        return\n"
           "    fi\n"
           "    if ((COMP_CWORD == 2)) && [[ -n $(_queenright_words \"$first\") ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$(_queenright_words \"$first\")\" -- \"$current\"))\n"
           "        return\n"
           "    fi\n"
           "    name=$first\n"
           "    [[ -n $(_queenright_words \"$first\") ]] && name=\"$first $second\"\n"
           "    case \"$name\" in\n");
    for (const struct command *command = command_table; command->name; command++)
        if (!command->hidden)
            bash_command(command);
    printf("    esac\n"
           "    if [[ $current == -* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
           "        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
           "    elif [[ -n $values ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" $values 2>/dev/null |\n"
           "            awk 'NR > 1 { print $1 }')\" -- \"$current\"))\n"
           "    elif [[ -n $files ]]; then\n"
           "        compopt -o filenames\n"
           "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
           "    fi\n"
           "}\n"
           "complete -F _queenright queenright\n");
}

/* ---- zsh ------------------------------------------------------------------------------------- */

/* One item of _describe: `name:help`. */
static void zsh_item(const char *prefix, const char *name, size_t size, const char *help)
{
    printf(" '%s%.*s:", prefix, (int)size, name);
    quoted(help);
    printf("'");
}

static void zsh_groups(void)
{
    size_t size;

    for (const struct command *group = command_table; group->name; group++) {
        if (group->hidden || !strchr(group->name, ' ') || !command_is_first(group, &size))
            continue;
        printf("    if [[ $words[2] == %.*s ]]; then\n"
               "        if (( CURRENT == 3 )); then\n            items=(",
               (int)size, group->name);
        for (const struct command *command = group; command->name; command++) {
            const char *second = command_second(command, group->name);

            if (!command->hidden && second)
                zsh_item("", second, strlen(second), command->help);
        }
        printf(")\n            _describe command items\n            return\n        fi\n"
               "        name=\"$words[2] $words[3]\"\n    fi\n");
    }
}

static void zsh_command(const struct command *command)
{
    struct command_options options;

    command_options(command, &options);
    printf("    '%s') items=(", command->name);
    for (size_t i = 0; i < options.count; i++)
        zsh_item("--", options.items[i].name, strlen(options.items[i].name), options.items[i].doc);
    printf(")");
    if (values_command(command))
        printf(" values='%s'", values_command(command));
    printf(" ;;\n");
}

static void zsh_print(void)
{
    size_t size;

    printf("#compdef queenright\n"
           "_queenright() {\n    local -a items\n    local name=$words[2] values=''\n"
           "    if (( CURRENT == 2 )); then\n        items=(");
    for (const struct command *command = command_table; command->name; command++)
        if (!command->hidden && command_is_first(command, &size))
            zsh_item("", command->name, size, strchr(command->name, ' ') ? "" : command->help);
    printf(")\n        _describe command items\n        return\n    fi\n");
    zsh_groups();
    printf("    case \"$name\" in\n");
    for (const struct command *command = command_table; command->name; command++)
        if (!command->hidden)
            zsh_command(command);
    printf("    esac\n"
           "    if [[ $PREFIX == -* ]]; then\n"
           "        _describe -o option items\n"
           "    elif [[ -n $values ]]; then\n"
           "        compadd -- ${(f)\"$($words[1] ${=values} 2>/dev/null |\n"
           "            awk 'NR > 1 { print $1 }')\"}\n"
           "    else\n        _files\n    fi\n}\n"
           "compdef _queenright queenright\n");
}

/* ---- fish ------------------------------------------------------------------------------------ */

/* The condition under which a command's options are offered. */
static void fish_condition(const struct command *command)
{
    const char *space = strchr(command->name, ' ');

    if (space)
        printf("complete -c queenright -n '__fish_seen_subcommand_from %.*s; and "
               "__fish_seen_subcommand_from %s'",
               (int)(space - command->name), command->name, space + 1);
    else
        printf("complete -c queenright -n '__fish_seen_subcommand_from %s'", command->name);
}

static void fish_command(const struct command *command)
{
    struct command_options options;

    command_options(command, &options);
    for (size_t i = 0; i < options.count; i++) {
        fish_condition(command);
        printf(" -l %s%s -d '", options.items[i].name, options.items[i].arg ? " -r" : "");
        quoted(options.items[i].doc);
        printf("'\n");
    }
    fish_condition(command);
    if (values_command(command))
        printf(" -f -a '(queenright %s 2>/dev/null | awk \"NR > 1 { print \\$1 }\")'",
               values_command(command));
    else
        printf(" %s", takes_files(command) ? "-F" : "-f");
    printf("\n");
}

static void fish_names(const struct command *command)
{
    size_t size;
    const char *space = strchr(command->name, ' ');

    if (command_is_first(command, &size)) {
        printf("complete -c queenright -f -n __fish_use_subcommand -a %.*s -d '", (int)size,
               command->name);
        quoted(space ? "" : command->help);
        printf("'\n");
    }
    if (!space)
        return;
    printf("complete -c queenright -f -n '__fish_seen_subcommand_from %.*s; and not "
           "__fish_seen_subcommand_from",
           (int)size, command->name);
    for (const struct command *other = command_table; other->name; other++)
        if (!other->hidden && command_second(other, command->name))
            printf(" %s", command_second(other, command->name));
    printf("' -a %s -d '", space + 1);
    quoted(command->help);
    printf("'\n");
}

static void fish_print(void)
{
    printf("# fish completion for queenright: queenright completion fish | source\n");
    for (const struct command *command = command_table; command->name; command++)
        if (!command->hidden) {
            fish_names(command);
            fish_command(command);
        }
}

int cmd_completion(struct command_call *call)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", bash_print}, {"zsh", zsh_print}, {"fish", fish_print}};

    const char *shell = call->args[0];

    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shells[i].shell, shell) == 0) {
            shells[i].print();
            return EXIT_CODE_OK;
        }
    command_error("queenright completion bash", "no completion for \"%s\": bash, zsh or fish",
                  shell);
    return EXIT_CODE_USAGE;
}
