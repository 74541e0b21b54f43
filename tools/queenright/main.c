/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the command in the table, lets argp read its options, runs it. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "queenright/cli/command.h"
#include "queenright/version.h"

static error_t on_common(int key, char *argument, struct argp_state *state)
{
    struct command_call *call = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        if (call->arg_count >= call->command->args_max)
            argp_error(state, "too many arguments: \"%s\"", argument);
        call->args[call->arg_count++] = argument;
        return 0;
    case ARGP_KEY_END:
        if (call->arg_count < call->command->args_min)
            argp_error(state, "it needs %s", call->command->args);
        return 0;
    case ARGP_KEY_INIT:
        for (unsigned i = 0; state->root_argp->children[i].argp; i++)
            state->child_inputs[i] = call;
        return 0;
    }
    if (key <= 0 || key >= COMMAND_KEYS)
        return ARGP_ERR_UNKNOWN;
    call->values[key] = argument ? argument : "";
    return 0;
}

static error_t on_option(int key, char *argument, struct argp_state *state)
{
    struct command_call *call = state->input;

    if (key <= 0 || key >= COMMAND_KEYS)
        return ARGP_ERR_UNKNOWN;
    call->values[key] = argument ? argument : "";
    return 0;
}

/* The words of a command become argv[0], so that usage lines name the whole of it. */
static int parse(struct command_call *call, int words, int argc, char **argv)
{
    const struct command *command = call->command;
    struct argp_option more[COMMAND_KEYS - KEY_PROGRAM + 1] = {{0}};
    struct argp own = {.options = command->options, .parser = on_option};
    struct argp added = {.options = more, .parser = on_option};
    struct argp_child children[3] = {{0}};
    char doc[2048], name[64];
    struct argp_option common[COMMAND_COMMON_MAX];
    struct argp argp = {.options = common,
                        .parser = on_common,
                        .args_doc = command->args,
                        .doc = doc,
                        .children = children};

    command_common_options(command, common);
    if (command->options)
        children[0] = (struct argp_child){&own, 0, NULL, -1};
    if (command->more_options && command->more_options(more, COMMAND_KEYS - KEY_PROGRAM) > 0)
        children[command->options != NULL] = (struct argp_child){&added, 0, NULL, -1};
    snprintf(doc, sizeof(doc), "%s.%s%s", command->help, command->text ? "\n" : "",
             command->text ? command->text : "");
    snprintf(name, sizeof(name), "queenright %s", command->name);
    argv[words] = name;
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&argp, argc - words, argv + words, 0, NULL, call) != 0)
        return EXIT_CODE_USAGE;
    call->json = call->values[KEY_JSON] != NULL;
    return 0;
}

static int unknown(const char *word)
{
    const char *nearest = command_nearest(word);
    char first[64], remedy[128] = "queenright help";

    snprintf(first, sizeof(first), "%.*s", (int)strcspn(word, " "), word);
    if (!nearest)
        nearest = command_nearest(first);
    if (nearest)
        snprintf(remedy, sizeof(remedy), "queenright %s", nearest);
    command_error(remedy, "no command \"%s\"", word);
    return EXIT_CODE_USAGE;
}

/* Two words first ("zmq ls"), then one ("up"). */
static const struct command *find(int argc, char **argv, int *ret_words)
{
    char two[128];
    const struct command *command = NULL;

    if (argc > 2 && argv[2][0] != '-') {
        snprintf(two, sizeof(two), "%s %s", argv[1], argv[2]);
        command = command_find(two);
        *ret_words = 2;
    }
    if (!command) {
        command = command_find(argv[1]);
        *ret_words = 1;
    }
    return command;
}

static int run(int argc, char **argv)
{
    struct command_call call = {0};
    char why[PATH_MAX + 256], two[128];
    int words, rc;

    call.command = find(argc, argv, &words);
    if (!call.command) {
        snprintf(two, sizeof(two), "%s%s%s", argv[1], argc > 2 ? " " : "",
                 argc > 2 && argv[2][0] != '-' ? argv[2] : "");
        return unknown(two);
    }
    rc = parse(&call, words, argc, argv);
    if (rc != 0)
        return rc;
    if (!call.command->no_paths) {
        rc = paths_init(&call.paths, why, sizeof(why));
        if (rc < 0) {
            command_error(NULL, "%s", why);
            return rc == -EACCES ? EXIT_CODE_PERMISSION : EXIT_CODE_FAILED;
        }
    }
    return call.command->run(&call);
}

/* A closed standard stream would become the next file or socket that is opened, which would then
 * take what is printed. Opened the wrong way round, so that its use still fails. */
static bool hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    int code;

    if (!hold_standard_streams()) {
        dprintf(STDERR_FILENO, "queenright: a standard stream is closed, and no /dev/null here\n");
        return EXIT_CODE_FAILED;
    }
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (argc < 2)
        return command_help(NULL), EXIT_CODE_USAGE;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help(NULL);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return printf("queenright " QUEENRIGHT_VERSION "\n") < 0;
    code = run(argc, argv);
    if (fflush(stdout) != 0 && code == 0) {
        command_error(NULL, "writing the output: %s", strerror(errno));
        code = EXIT_CODE_FAILED;
    }
    return code;
}
