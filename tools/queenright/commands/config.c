/* SPDX-License-Identifier: Apache-2.0 */
/* config check, config diff; practice; help. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "practice/practice.h"
#include "queenright/cli/output.h"
#include "queenright/commands/commands.h"
#include "queenright/config/config.h"

static void print_errors_json(const struct config_errors *errors)
{
    json_t *array = json_array();

    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->items[i];

        json_array_append_new(array, json_pack("{s:s, s:i, s:i, s:s, s:s}", "file", errors->file,
                                               "line", (int)error->line, "column",
                                               (int)error->column, "path", error->path, "message",
                                               error->message));
    }
    json_dumpf(array, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(array);
}

static int load(const struct command_call *call, const char *path, struct config **ret_config)
{
    struct config_errors errors;
    int rc = config_load(path, ret_config, &errors);

    if (rc < 0 && call->json) {
        print_errors_json(&errors);
    } else if (rc < 0) {
        char *text = config_errors_text(&errors);

        fprintf(stderr, "%s\n", text ? text : strerror(-rc));
        free(text);
    }
    config_errors_deinit(&errors);
    return rc < 0 ? EXIT_CODE_CONFIG : 0;
}

int cmd_config_check(struct command_call *call)
{
    struct config *config;
    char path[PATH_MAX];
    int code;

    if (config_find(call->args[0], path, sizeof(path)) < 0) {
        command_error("queenright config check FILE", "no config: looked for %s", path);
        return EXIT_CODE_CONFIG;
    }
    code = load(call, path, &config);
    if (code != 0)
        return code;
    if (call->json)
        puts("[]");
    else
        printf("%s: good; swarm %s, %zu agents on %zu node%s\n", path, config->swarm,
               config->agent_count, config->node_count, config->node_count == 1 ? "" : "s");
    config_free(config);
    return 0;
}

int cmd_config_diff(struct command_call *call)
{
    static const struct column columns[] = {{"subject", COLUMN_EXTRA}, {"change", COLUMN_TEXT}};
    struct config *before = NULL, *after = NULL;
    struct config_changes changes = {0};
    struct output *output = output_new(columns, 2, call->json);
    int code = output ? load(call, call->args[0], &before) : EXIT_CODE_FAILED;

    if (code == 0)
        code = load(call, call->args[1], &after);
    if (code == 0 && config_diff(before, after, &changes) < 0)
        code = EXIT_CODE_FAILED;
    for (size_t i = 0; i < changes.count; i++)
        output_row(output,
                   (const char *const[]){changes.items[i].subject, changes.items[i].text});
    if (code == 0 && output_print(output, "no difference that matters") < 0)
        code = EXIT_CODE_FAILED;
    config_changes_deinit(&changes);
    config_free(before);
    config_free(after);
    output_free(output);
    return code;
}

/* The provider knows its own options; they become ours by number. */
size_t cmd_practice_options(struct argp_option *ret_options, size_t max)
{
    const char *argument, *help, *name;
    size_t n = 0;

    for (; n < max && (name = practice_option_name(n, &argument, &help)); n++)
        ret_options[n] = (struct argp_option){
            .name = name, .key = KEY_PROGRAM + (int)n, .arg = argument, .doc = help};
    return n;
}

static int set_practice_options(const struct command_call *call, struct practice_options *options)
{
    const char *argument, *help, *name;
    char why[256] = "";

    for (size_t i = 0; (name = practice_option_name(i, &argument, &help)); i++) {
        const char *value = call->values[KEY_PROGRAM + i];

        if (value && practice_option_set(options, name, value, why, sizeof(why)) < 0) {
            command_error("queenright help practice", "--%s %s: %s", name, value, why);
            return EXIT_CODE_USAGE;
        }
    }
    return 0;
}

int cmd_practice(struct command_call *call)
{
    const char *fd = command_value(call, KEY_READY_FD);
    struct practice_run_options run = {.json = call->json,
                                       .ready_fd = fd ? (int)strtol(fd, NULL, 10) : -1};
    int rc;

    practice_options_init(&run.options);
    rc = set_practice_options(call, &run.options);
    if (rc != 0)
        return rc;
    rc = practice_run(&run, stdout);
    if (rc < 0)
        command_error("another --port", "the practice provider did not start: %s", strerror(-rc));
    return rc < 0 ? EXIT_CODE_FAILED : 0;
}

int cmd_help(struct command_call *call)
{
    char name[128];
    const struct command *command;

    if (call->arg_count == 0)
        return command_help(NULL);
    snprintf(name, sizeof(name), "%s%s%s", call->args[0], call->arg_count > 1 ? " " : "",
             call->arg_count > 1 ? call->args[1] : "");
    command = command_find(name);
    if (!command) {
        const char *nearest = command_nearest(name);

        command_error(nearest ? nearest : "queenright help", "no command \"%s\"", name);
        return EXIT_CODE_USAGE;
    }
    return command_help(command);
}
