/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/commands/practice_swarm.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "practice/practice_client.h"
#include "proto/system.h"
#include "proto/token.h"
#include "queenright/keeper/ask.h"

#define PROFILE "practice:me"

static const char config_text[] =
    "{ \"swarm\": \"practice\",\n"
    "  \"models\": { \"providers\": { \"practice\": {\n"
    "    \"baseUrl\": \"http://127.0.0.1:%1$u/v1\",\n"
    "    \"api\": \"openai-responses\", \"auth\": \"oauth\",\n"
    "    \"oauth\": { \"tokenUrl\": \"http://127.0.0.1:%1$u/oauth/token\",\n"
    "      \"clientId\": \"%2$s\", \"encoding\": \"json\", \"rotation\": \"strict\" } } } },\n"
    "  \"auth\": { \"profiles\": {\n"
    "    \"" PROFILE "\": { \"provider\": \"practice\", \"mode\": \"oauth\" } } },\n"
    "  \"agents\": {\n"
    "    \"defaults\": { \"model\": { \"primary\": \"practice/scripted\" } },\n"
    "    \"entries\": {\n"
    "      \"atlas\": { \"instructions\": \"You are atlas. You plan.\" },\n"
    "      \"axon\":  { \"instructions\": \"You are axon. You write code.\" },\n"
    "      \"nova\":  { \"instructions\": \"You are nova. You review.\" },\n"
    "      \"nexis\": { \"instructions\": \"You are nexis. You test.\", \"node\": \"b\" },\n"
    "      \"lumi\":  { \"instructions\": \"You are lumi. You write the docs.\","
    " \"node\": \"b\" } } },\n"
    "  \"nodes\": { \"home\": {}, \"b\": {} } }\n";

int practice_swarm_start(const struct practice_options *options, struct practice **ret_practice,
                         struct config **ret_config)
{
    struct config_errors errors;
    struct practice *practice;
    char text[4096], *why;
    int rc = practice_start(options, &practice), n;

    if (rc < 0) {
        command_error(NULL, "the practice provider did not start: %s", strerror(-rc));
        return EXIT_CODE_FAILED;
    }
    n = snprintf(text, sizeof(text), config_text, practice_port(practice), options->client_id);
    rc = config_parse("practice", text, (size_t)n, ret_config, &errors);
    if (rc < 0) {
        why = config_errors_text(&errors);
        command_error(NULL, "the practice config is wrong: %s", why ? why : "no memory");
        free(why);
        practice_stop(practice);
    } else {
        *ret_practice = practice;
    }
    config_errors_deinit(&errors);
    return rc < 0 ? EXIT_CODE_FAILED : 0;
}

static json_t *fetch(const struct practice *practice, const char *path, const char *body)
{
    json_t *object = NULL;
    char *text;
    int rc = practice_fetch(practice_port(practice), path, body, &text);

    if (rc == 0) {
        object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        explicit_bzero(text, strlen(text));
        free(text);
    }
    if (!object)
        command_error(NULL, "the practice provider did not answer %s", path);
    return object;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

int practice_swarm_login(const struct command_call *call, const struct practice *practice,
                         const char *config_path, uint64_t *ret_generation)
{
    json_t *login = fetch(practice, "/practice/login", "{}");
    struct token_import import = {0};
    struct message *answer = NULL;
    struct token_imported imported;
    struct keeper_line keeper = {.paths = &call->paths};
    struct timespec now;
    int code;

    if (!login)
        return EXIT_CODE_FAILED;
    clock_gettime(CLOCK_REALTIME, &now);
    import = (struct token_import){
        .profile = proto_text(PROFILE),
        .provider = proto_text("practice"),
        .mode = proto_text("oauth"),
        .access = proto_text(text_of(login, "access_token")),
        .refresh = proto_text(text_of(login, "refresh_token")),
        .expires_at_ms = (int64_t)now.tv_sec * 1000 +
                         json_integer_value(json_object_get(login, "expires_in")) * 1000,
        .take_over = true,
        .relogin = true,
        .source = proto_text("practice login"),
        .config = proto_text(config_path),
    };
    code = keeper_ask(&keeper, token_import, &import, CLIENT_TIMEOUT_MS, NULL, NULL, token_imported,
                      &answer);
    keeper_hang_up(&keeper);
    if (code == 0 &&
        proto_unpack(&token_imported_schema, answer->body, answer->size, &imported) == 0)
        *ret_generation = imported.generation;
    message_free(answer);
    json_decref(login);
    return code;
}

static int on_generation(void *arg, const struct message *part)
{
    uint64_t *generation = arg;
    struct token_profile row;

    if (part->type == MSG_token_profile &&
        proto_unpack(&token_profile_schema, part->body, part->size, &row) == 0)
        *generation = row.generation;
    return 0;
}

/* The stored generation, 0 when the keeper does not say. */
static uint64_t stored_generation(const struct command_call *call)
{
    struct token_status question = {.profile = proto_text(PROFILE)};
    struct keeper_line keeper = {.paths = &call->paths};
    uint64_t generation = 0;

    keeper_ask(&keeper, token_status, &question, CLIENT_TIMEOUT_MS, on_generation, &generation,
               done, NULL);
    keeper_hang_up(&keeper);
    return generation;
}

bool practice_swarm_report(const struct command_call *call, const struct practice *practice,
                           uint64_t first_generation, FILE *out)
{
    json_t *stats = fetch(practice, "/stats", NULL);
    json_int_t rotations, reused, rejected, answers;
    uint64_t generation = stored_generation(call);
    bool good;

    if (!stats)
        return false;
    rotations = json_integer_value(json_object_get(stats, "rotations"));
    reused = json_integer_value(json_object_get(stats, "reused"));
    rejected = json_integer_value(json_object_get(stats, "model_401")) -
               json_integer_value(json_object_get(stats, "model_401_expired"));
    answers = json_integer_value(json_object_get(stats, "model_answers"));
    json_decref(stats);
    good = reused == 0 && rejected == 0 && generation == first_generation + (uint64_t)rotations;
    fprintf(out,
            "The practice provider's own count:\n"
            "  refresh tokens rotated   %" JSON_INTEGER_FORMAT "\n"
            "  generations stored       %" PRIu64 "  (after the login's first)\n"
            "  reused refresh tokens    %" JSON_INTEGER_FORMAT "\n"
            "  wrong tokens at a model  %" JSON_INTEGER_FORMAT "\n"
            "  answers of the model     %" JSON_INTEGER_FORMAT "\n",
            rotations, generation - first_generation, reused, rejected, answers);
    return good;
}
