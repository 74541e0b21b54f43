/* SPDX-License-Identifier: Apache-2.0 */
/* The reference of the command line, printed from the command table: docs/COMMANDS.md and the man
 * page. */
#include <stdio.h>
#include <string.h>

#include "queenright/cli/command_list.h"
#include "queenright/commands/commands.h"
#include "queenright/version.h"

static const struct {
    const char *name, *meaning;
} files[] = {
    {"./queenright.json, ~/.config/queenright/queenright.json", "the config, see docs/CONFIG.md"},
    {"$QUEENRIGHT_STATE, $XDG_STATE_HOME/queenright, ~/.local/state/queenright",
     "the first that is set holds credentials, transcripts and logs"},
    {"$XDG_RUNTIME_DIR/queenright, /tmp/queenright-UID", "sockets"},
};

#define FILES_COUNT (sizeof files / sizeof files[0])

/* ---- man ------------------------------------------------------------------------------------- */

/* Hyphens stay hyphens, backslashes themselves, and no line starts a request. */
static void roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++)
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
}

static void man_command(const struct command *command)
{
    struct command_options options;

    printf(".SS queenright ");
    roff(command->name);
    printf("%s", *command->args ? " " : "");
    roff(command->args);
    printf("\n");
    roff(command->help);
    printf(".\n");
    if (command->text) {
        printf(".PP\n");
        roff(command->text);
        printf("\n");
    }
    command_options(command, &options);
    for (size_t i = 0; i < options.count; i++) {
        const struct argp_option *option = &options.items[i];

        printf(".TP\n\\fB\\-\\-");
        roff(option->name);
        printf("\\fR");
        if (option->arg)
            printf("=\\fI%s\\fR", option->arg);
        printf("\n");
        roff(option->doc);
        printf("\n");
    }
}

static void man_print(void)
{
    printf(".TH QUEENRIGHT 1 \"\" \"queenright " QUEENRIGHT_VERSION "\" \"User Commands\"\n"
           ".SH NAME\nqueenright \\- run swarms of agents with one owner for every login\n"
           ".SH SYNOPSIS\n.B queenright\n.I COMMAND\n[\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n"
           ".SH COMMANDS\n");
    for (const struct command *command = command_table; command->name; command++)
        if (!command->hidden)
            man_command(command);
    printf(".SH EXIT STATUS\n");
#define X(name, code, meaning) printf(".TP\n%d\n%s\n", code, meaning);
    COMMAND_EXITS(X)
#undef X
    printf(".SH FILES\n");
    for (size_t i = 0; i < FILES_COUNT; i++) {
        printf(".TP\n");
        roff(files[i].name);
        printf("\n");
        roff(files[i].meaning);
        printf("\n");
    }
}

/* ---- markdown -------------------------------------------------------------------------------- */

static void markdown_command(const struct command *command)
{
    struct command_options options;

    printf("\n## queenright %s%s%s\n\n%s.%s%s\n\n", command->name, *command->args ? " " : "",
           command->args, command->help, command->text ? " " : "",
           command->text ? command->text : "");
    command_options(command, &options);
    for (size_t i = 0; i < options.count; i++)
        printf("* `--%s%s%s`: %s\n", options.items[i].name, options.items[i].arg ? "=" : "",
               options.items[i].arg ? options.items[i].arg : "", options.items[i].doc);
}

static void markdown_print(void)
{
    printf("<!-- Printed from tools/queenright/commands.c; edit that and run `ninja docs`. -->\n"
           "# Commands\n\n"
           "Errors go to stderr, as `queenright: WHAT` and a line `  try: WHAT NEXT`.\n\n"
           "| exit code | meaning |\n| --- | --- |\n");
#define X(name, code, meaning) printf("| %d | %s |\n", code, meaning);
    COMMAND_EXITS(X)
#undef X
    printf("\n| where | what |\n| --- | --- |\n");
    for (size_t i = 0; i < FILES_COUNT; i++)
        printf("| `%s` | %s |\n", files[i].name, files[i].meaning);
    for (const struct command *command = command_table; command->name; command++)
        if (!command->hidden)
            markdown_command(command);
}

int cmd_manual(struct command_call *call)
{
    const char *format = call->args[0];
    bool man = strcmp(format, "man") == 0;

    if (!man && strcmp(format, "markdown") != 0) {
        command_error("queenright manual man", "no manual in \"%s\": man or markdown", format);
        return EXIT_CODE_USAGE;
    }
    if (man)
        man_print();
    else
        markdown_print();
    return EXIT_CODE_OK;
}
