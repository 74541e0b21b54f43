/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/system.h"
#include "queenright/cli/command.h"

#define OPEN_NS 5000000000ull

static const struct {
    const char *code;
    int exit;
} refusal_exits[] = {
    {"bad_request", EXIT_CODE_USAGE},      {"unavailable", EXIT_CODE_UNAVAILABLE},
    {"busy", EXIT_CODE_TEMPORARY},         {"cooling", EXIT_CODE_TEMPORARY},
    {"timeout", EXIT_CODE_TEMPORARY},      {"stopping", EXIT_CODE_TEMPORARY},
    {"needs_login", EXIT_CODE_LOGIN},      {"access_only", EXIT_CODE_LOGIN},
    {"copied_store", EXIT_CODE_LOGIN},     {"bad_config", EXIT_CODE_CONFIG},
    {"not_configured", EXIT_CODE_CONFIG},
};

static int exit_of_refusal(const char *code)
{
    for (size_t i = 0; i < sizeof(refusal_exits) / sizeof(refusal_exits[0]); i++)
        if (strcmp(refusal_exits[i].code, code) == 0)
            return refusal_exits[i].exit;
    return EXIT_CODE_FAILED;
}

int client_open(const char *endpoint, const char *what, const char *remedy,
              struct link_client **ret_client)
{
    char why[256] = "";
    int rc = link_client_open(endpoint, "queenright", OPEN_NS, why, sizeof(why), ret_client);

    if (rc == 0)
        return 0;
    if (rc == -ECONNREFUSED || rc == -ENOENT)
        command_error(remedy, "%s does not run", what);
    else
        command_error(remedy, "%s does not answer: %s", what, why[0] ? why : strerror(-rc));
    return EXIT_CODE_UNAVAILABLE;
}

static int fail_refusal(const struct message *answer)
{
    char code[64], remedy[512];
    struct refusal refusal;

    if (proto_unpack(&refusal_schema, answer->body, answer->size, &refusal) < 0) {
        command_error(NULL, "the answer could not be read");
        return EXIT_CODE_FAILED;
    }
    proto_text_copy(refusal.code, code, sizeof(code));
    proto_text_copy(refusal.remedy, remedy, sizeof(remedy));
    command_error(remedy[0] ? remedy : NULL, "%s: %.*s", code, (int)refusal.why.size,
                  refusal.why.data ? refusal.why.data : "");
    return exit_of_refusal(code);
}

static int fail_status(const char *to, const char *peer, const struct message *answer)
{
    command_error(NULL, "%s at %s: %s", to, peer, runtime_status_name(answer->status));
    return answer->status == STATUS_BUSY || answer->status == STATUS_EXPIRED
               ? EXIT_CODE_TEMPORARY
               : EXIT_CODE_UNAVAILABLE;
}

int client_call(struct link_client *client, const char *to, const struct proto_schema *schema,
                const void *question, uint64_t timeout_ms, client_part_fn on_part, void *arg,
                struct message **ret_answer)
{
    struct message *message = actor_pack_schema(schema, question);
    int rc;

    if (!message) {
        command_error(NULL, "the request is not valid UTF-8 or too large");
        return EXIT_CODE_USAGE;
    }
    rc = link_client_call(client, to, message, timeout_ms * 1000000, on_part, arg, ret_answer);
    if (rc < 0 && ferror(stdout)) { /* on_part had enough */
        command_error(NULL, "the output cannot be written");
        return EXIT_CODE_FAILED;
    }
    if (rc < 0) {
        command_error(NULL, "%s: %s", link_client_peer(client), strerror(-rc));
        return rc == -ETIMEDOUT ? EXIT_CODE_TEMPORARY : EXIT_CODE_UNAVAILABLE;
    }
    return 0;
}

int client_judge(const struct link_client *client, const char *to, struct message *answer,
                 uint32_t wanted, struct message **ret_answer)
{
    int code = 0;

    if (answer->flags & MESSAGE_STATUS) {
        code = fail_status(to, link_client_peer(client), answer);
    } else if (answer->type == MSG_refusal) {
        code = fail_refusal(answer);
    } else if (answer->type != wanted) {
        command_error(NULL, "%s answered with an unexpected message", to);
        code = EXIT_CODE_FAILED;
    } else if (ret_answer) {
        *ret_answer = answer;
        return 0;
    }
    message_free(answer);
    return code;
}

int client_run(struct link_client *client, const char *to, const struct proto_schema *schema,
               const void *question, uint64_t timeout_ms, client_part_fn on_part, void *arg,
               uint32_t wanted, struct message **ret_answer)
{
    struct message *answer = NULL;
    int code = client_call(client, to, schema, question, timeout_ms, on_part, arg, &answer);

    return code != 0 ? code : client_judge(client, to, answer, wanted, ret_answer);
}
