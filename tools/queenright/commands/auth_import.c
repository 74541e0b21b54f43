/* SPDX-License-Identifier: Apache-2.0 */
/* auth import: reads the other program's files here and hands what can be taken straight to the
 * keeper; secrets never pass a node. Every entry of the files gets its line, taken or not. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/token.h"
#include "queenright/cli/output.h"
#include "queenright/commands/commands.h"
#include "queenright/config/accept.h"
#include "queenright/config/config.h"
#include "queenright/keeper/ask.h"
#include "token/harden.h"
#include "token/import.h"
#include "token/secret.h"

#define IMPORT_TIMEOUT_MS 30000

static const struct column columns[] = {
    {"profile", COLUMN_TEXT},    {"outcome", COLUMN_TEXT},   {"note", COLUMN_TEXT},
    {"provider", COLUMN_EXTRA},  {"source", COLUMN_EXTRA},   {"generation", COLUMN_EXTRA},
    {"code", COLUMN_EXTRA},
};

struct import {
    const struct command_call *call;
    struct keeper_line keeper;
    struct output *output;
    char config[PATH_MAX]; /* absolute; empty: none */
    bool unreachable;      /* no keeper could be had: the rest is not tried */
    unsigned taken, failed;
};

static struct proto_text text_of(const struct secret *secret)
{
    return secret ? (struct proto_text){.data = secret_data(secret),
                                        .size = (uint32_t)secret_length(secret)}
                  : (struct proto_text){0};
}

static void row(struct import *import, const struct import_entry *entry, const char *profile,
                const char *outcome, const char *note, const char *generation, const char *code)
{
    output_row(import->output, (const char *const[]){profile, outcome, note, entry->provider,
                                                     entry->source, generation, code});
}

static void tell_imported(struct import *import, const struct import_entry *entry,
                          const struct message *answer)
{
    char profile[PROFILE_ID_MAX], outcome[32], note[512], generation[24];
    struct token_imported imported;

    if (proto_unpack(&token_imported_schema, answer->body, answer->size, &imported) < 0)
        return;
    proto_text_copy(imported.profile, profile, sizeof(profile));
    proto_text_copy(imported.outcome, outcome, sizeof(outcome));
    proto_text_copy(imported.note, note, sizeof(note));
    row(import, entry, profile, outcome, note[0] ? note : entry->why,
        output_number(generation, imported.generation), "");
    import->taken++;
}

static void take(struct import *import, const struct import_entry *entry)
{
    const char *provider = command_value(import->call, KEY_PROVIDER);
    struct token_import question = {
        .profile = proto_text(entry->profile),
        .provider = proto_text(provider ? provider : entry->provider),
        .mode = proto_text(entry->mode),
        .access = text_of(entry->access),
        .refresh = text_of(entry->refresh),
        .id_token = text_of(entry->id_token),
        .expires_at_ms = entry->expires_at_ms,
        .account = proto_text(entry->account),
        .take_over = command_value(import->call, KEY_TAKE_OVER) != NULL,
        .source = proto_text(entry->source),
        .refreshed_at_ms = entry->refreshed_at_ms,
        .config = proto_text(import->config),
    };
    struct message *answer;

    import->unreachable = import->unreachable || keeper_dial(&import->keeper) != 0;
    if (import->unreachable ||
        keeper_ask(&import->keeper, token_import, &question, IMPORT_TIMEOUT_MS, NULL, NULL,
                   token_imported, &answer) != 0) {
        row(import, entry, entry->profile, "refused", "see the error above", "", "refused");
        import->failed++;
        return;
    }
    tell_imported(import, entry, answer);
    message_free(answer);
}

/* A clone goes to the keeper as well, so that its name becomes an alias of the login. */
static void each_entry(struct import *import, const struct import_entry *entry)
{
    const char *only = command_value(import->call, KEY_PROFILE);

    if (only && strcmp(only, entry->profile) != 0)
        return;
    if (entry->verdict == IMPORT_REFUSED) {
        row(import, entry, entry->profile, "refused", entry->why, "", entry->code);
        import->failed++;
        return;
    }
    take(import, entry);
}

/* Where the provider's rule stands: --config, else the config that `up` would take here, as an
 * accepted copy. */
static int accept_rules(struct import *import)
{
    const char *given = command_value(import->call, KEY_CONFIG);
    struct config *config = NULL;
    struct config_errors errors;
    char found[PATH_MAX];
    int rc;

    if (config_find(given, found, sizeof(found)) < 0) {
        if (given)
            command_error(NULL, "no config at %s", given);
        return given ? EXIT_CODE_CONFIG : 0;
    }
    rc = config_load(found, &config, &errors);
    if (rc < 0) {
        char *text = config_errors_text(&errors);

        command_error("mend it, or name another with --config", "%s", text ? text : found);
        free(text);
    } else {
        rc = paths_import_config(&import->call->paths, import->config, sizeof(import->config));
        if (rc == 0)
            rc = accept_config(config, import->config);
        if (rc < 0)
            command_error(NULL, "writing %s: %s", import->config, strerror(-rc));
    }
    config_errors_deinit(&errors);
    config_free(config);
    return rc < 0 ? EXIT_CODE_CONFIG : 0;
}

static int import_all(struct import *import, const struct import_list *list)
{
    int code = accept_rules(import);

    if (code == 0)
        code = keeper_dial(&import->keeper);
    if (code != 0)
        return code;
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].verdict != IMPORT_CLONE)
            each_entry(import, &list->entries[i]);
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].verdict == IMPORT_CLONE)
            each_entry(import, &list->entries[i]);
    keeper_hang_up(&import->keeper);
    if (output_print(import->output, "nothing to import in it") < 0)
        return EXIT_CODE_FAILED;
    if (import->taken > 0 && !command_value(import->call, KEY_TAKE_OVER))
        fprintf(stderr, "imported for use until the access token ends, never refreshed;\n"
                        "  try: queenright auth import --take-over PATH, once nothing else "
                        "refreshes it\n");
    return import->failed > 0 || import->taken == 0 ? EXIT_CODE_FAILED : 0;
}

int cmd_auth_import(struct command_call *call)
{
    struct import import = {.call = call, .keeper.paths = &call->paths};
    struct import_list list;
    struct harden_report report;
    char why[512] = "";
    int code;

    memory_harden(&report); /* here pass refresh tokens */
    if (import_read(call->args[0], &list, why, sizeof(why)) < 0) {
        command_error(NULL, "%s", why);
        return EXIT_CODE_FAILED;
    }
    import.output =
        output_new(columns, sizeof(columns) / sizeof(columns[0]), call->json);
    code = import.output ? import_all(&import, &list) : EXIT_CODE_FAILED;
    output_free(import.output);
    import_list_deinit(&list);
    return code;
}
