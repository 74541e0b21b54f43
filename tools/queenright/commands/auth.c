/* SPDX-License-Identifier: Apache-2.0 */
/* auth list, token, adopt: questions to the keeper, which is started when none runs. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/system.h"
#include "proto/token.h"
#include "queenright/cli/output.h"
#include "queenright/commands/auth.h"
#include "queenright/commands/commands.h"
#include "queenright/keeper/ask.h"

#define TOKEN_TIMEOUT_MS 120000 /* a refresh may be on its way */

/* ---- list ------------------------------------------------------------------------------------ */

static const struct column list_columns[] = {
    {"profile", COLUMN_TEXT},          {"state", COLUMN_TEXT},
    {"generation", COLUMN_NUMBER},     {"expires", COLUMN_TEXT},
    {"cooling", COLUMN_TEXT},          {"account", COLUMN_TEXT},
    {"why", COLUMN_TEXT},              {"remedy", COLUMN_TEXT},
    {"provider", COLUMN_EXTRA},        {"mode", COLUMN_EXTRA},
    {"expires_at_ms", COLUMN_EXTRA_NUMBER},
    {"refresh_at_ms", COLUMN_EXTRA_NUMBER},
    {"cooling_until_ms", COLUMN_EXTRA_NUMBER},
    {"cooling_model", COLUMN_EXTRA},   {"refreshes", COLUMN_EXTRA_NUMBER},
    {"waiters", COLUMN_EXTRA_NUMBER},  {"grants", COLUMN_EXTRA_NUMBER},
    {"aliases", COLUMN_EXTRA},         {"origin", COLUMN_EXTRA},
    {"rotation", COLUMN_EXTRA},
};

struct logins {
    struct output *output;
    int64_t now_ms;
    bool broken, soon;
};

static char *copy(struct proto_text text, char *buffer, size_t size)
{
    proto_text_copy(text, buffer, size);
    return buffer;
}

static void judge(struct logins *logins, const struct token_profile *row)
{
    if (proto_text_equal(row->state, "needs_login"))
        logins->broken = true;
    else if (!proto_text_equal(row->state, "valid") && !proto_text_equal(row->state, "refreshing"))
        logins->soon = true;
}

static int on_profile(void *arg, const struct message *part)
{
    struct logins *logins = arg;
    struct token_profile row;
    char text[12][512], number[8][24], expires[40], cooling[40];

    if (part->type != MSG_token_profile ||
        proto_unpack(&token_profile_schema, part->body, part->size, &row) < 0)
        return 0;
    judge(logins, &row);
    snprintf(number[6], 24, "%" PRId64, row.expires_at_ms);
    snprintf(number[7], 24, "%" PRId64, row.refresh_at_ms);
    snprintf(number[5], 24, "%" PRId64, row.cooling_until_ms);
    output_row(logins->output,
               (const char *const[]){
                   copy(row.profile, text[0], 512), copy(row.state, text[1], 512),
                   output_number(number[0], row.generation),
                   output_when(expires, row.expires_at_ms, logins->now_ms),
                   output_when(cooling, row.cooling_until_ms, logins->now_ms),
                   copy(row.account, text[2], 512), copy(row.reason, text[3], 512),
                   copy(row.remedy, text[4], 512), copy(row.provider, text[5], 512),
                   copy(row.mode, text[6], 512), number[6], number[7], number[5],
                   copy(row.cooling_model, text[7], 512), output_number(number[1], row.refreshes),
                   output_number(number[2], row.waiters), output_number(number[3], row.grants),
                   copy(row.aliases, text[8], 512), copy(row.origin, text[9], 512),
                   copy(row.rotation, text[10], 512)});
    return 0;
}

int auth_print_logins(const struct command_call *call, const char *profile)
{
    struct keeper_line keeper = {.paths = &call->paths};
    struct logins logins = {
        .output = output_new(list_columns, sizeof(list_columns) / sizeof(list_columns[0]),
                             call->json)};
    struct token_status question = {.profile = proto_text(profile)};
    struct timespec now;
    int code;

    if (!logins.output)
        return EXIT_CODE_FAILED;
    clock_gettime(CLOCK_REALTIME, &now);
    logins.now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    code = keeper_ask(&keeper, token_status, &question, CLIENT_TIMEOUT_MS, on_profile, &logins,
                      done, NULL);
    keeper_hang_up(&keeper);
    if (code == 0 && output_print(logins.output, "no login yet; queenright auth import PATH") < 0)
        code = EXIT_CODE_FAILED;
    output_free(logins.output);
    if (code == 0)
        code = logins.broken ? EXIT_CODE_FAILED : logins.soon ? EXIT_CODE_SOON : 0;
    return code;
}

int cmd_auth_list(struct command_call *call)
{
    return auth_print_logins(call, call->args[0]);
}

/* ---- token ----------------------------------------------------------------------------------- */

static bool parse_hash(const char *text, uint8_t ret_hash[32])
{
    if (strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64)
        return false;
    for (size_t i = 0; i < 32; i++) {
        char byte[3] = {text[2 * i], text[2 * i + 1], '\0'};

        ret_hash[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    return true;
}

/* Who asks, for the audit: the program's parent is more telling than we are. */
static void name_caller(char *ret_name, size_t size)
{
    char path[64], comm[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/comm", getppid());
    file = fopen(path, "re");
    if (file) {
        if (fgets(comm, sizeof(comm), file))
            comm[strcspn(comm, "\n")] = '\0';
        fclose(file);
    }
    snprintf(ret_name, size, "%s (pid %d)", comm[0] ? comm : "?", getppid());
}

static int ask_token(const struct command_call *call, struct keeper_line *keeper, uint64_t min_ms,
                     struct message **ret_answer)
{
    const char *rejected = command_value(call, KEY_REJECTED);
    uint8_t hash[32];
    char who[64];

    name_caller(who, sizeof(who));
    if (rejected) {
        struct token_rejected question = {
            .profile = proto_text(call->args[0]),
            .access_sha256 = {.data = (const char *)hash, .size = sizeof(hash)},
            .who = proto_text(who),
        };

        if (!parse_hash(rejected, hash)) {
            command_error("printf %s \"$TOKEN\" | sha256sum", "a SHA-256 has 64 hex digits");
            return EXIT_CODE_USAGE;
        }
        return keeper_ask(keeper, token_rejected, &question, TOKEN_TIMEOUT_MS, NULL, NULL,
                          token_grant, ret_answer);
    }
    return keeper_ask(keeper, token_get,
                      &((struct token_get){.profile = proto_text(call->args[0]),
                                           .min_valid_ms = min_ms,
                                           .who = proto_text(who),
                                           .force = command_value(call, KEY_FORCE) != NULL}),
                      TOKEN_TIMEOUT_MS, NULL, NULL, token_grant, ret_answer);
}

static const char *text_of(struct proto_text text)
{
    return text.data ? text.data : "";
}

static int print_grant(const struct command_call *call, const struct message *answer)
{
    struct token_grant grant;
    int code = 0;
    json_t *object;

    if (proto_unpack(&token_grant_schema, answer->body, answer->size, &grant) < 0) {
        command_error(NULL, "the keeper's answer could not be read");
        return EXIT_CODE_FAILED;
    }
    if (!call->json) {
        fwrite(grant.access.data, 1, grant.access.size, stdout);
        putchar('\n');
        return 0;
    }
    object = json_pack("{s:s%, s:I, s:I, s:s%, s:s%}", "profile", text_of(grant.profile),
                       (size_t)grant.profile.size, "generation", (json_int_t)grant.generation,
                       "expires_at_ms", (json_int_t)grant.expires_at_ms, "account",
                       text_of(grant.account), (size_t)grant.account.size, "access_token",
                       text_of(grant.access), (size_t)grant.access.size);
    if (!object || json_dumpf(object, stdout, 0) < 0)
        code = EXIT_CODE_FAILED;
    putchar('\n');
    json_decref(object);
    return code;
}

int cmd_auth_token(struct command_call *call)
{
    const char *min_valid = command_value(call, KEY_MIN_VALID);
    struct keeper_line keeper = {.paths = &call->paths};
    struct message *answer;
    uint64_t min_ms = 0;
    int code;

    if (min_valid && !command_duration(min_valid, &min_ms)) {
        command_error("--min-valid 10m", "\"%s\" is not a time", min_valid);
        return EXIT_CODE_USAGE;
    }
    code = ask_token(call, &keeper, min_ms, &answer);
    if (code == 0) {
        code = print_grant(call, answer);
        message_free(answer);
    }
    keeper_hang_up(&keeper);
    return code;
}

/* ---- adopt ----------------------------------------------------------------------------------- */

int cmd_auth_adopt(struct command_call *call)
{
    struct token_adopt question = {.profile = proto_text(call->args[0])};
    struct keeper_line keeper = {.paths = &call->paths};
    int code =
        keeper_ask(&keeper, token_adopt, &question, CLIENT_TIMEOUT_MS, NULL, NULL, done, NULL);

    if (code == 0)
        fprintf(stderr, "this store is ours now; make sure that the one it was copied from is not "
                        "used any more\n");
    if (code == 0 && call->json)
        puts("{\"adopted\": true}");
    keeper_hang_up(&keeper);
    return code;
}
