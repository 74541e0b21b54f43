/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of a token endpoint. Input: a byte that chooses the HTTP status, a byte for the rule,
 * then the body.
 *
 * Only an answer with tokens changes a credential, each outcome has the tokens it says, and every
 * token could stand in a header. */
#include "fuzz.h"
#include "secrets.h"
#include "token/answer.h"
#include "token/credential.h"

#define NOW_MS 1790000000000
#define YEAR_10000_MS 253402300800000

static const long statuses[] = {200, 201, 204, 302, 400, 401, 403, 404, 408, 429, 500, 503, 0};

static void rule_make(uint8_t choice, struct provider_rule *ret_rule)
{
    static const char *const expiries[] = {"expires_in", "jwt", "expires_at", ""};

    *ret_rule = (struct provider_rule){
        .id = "lab",
        .account_claim = "/https:~1~1api.openai.com~1auth/chatgpt_account_id",
        .terminal_codes = {"app_session_terminated"},
        .terminal_code_count = 1,
        .refresh_life_seconds = choice & 4 ? 3600 : 0,
    };
    strncpy(ret_rule->expiry, expiries[choice & 3], sizeof(ret_rule->expiry) - 1);
    if (choice & 8)
        strncpy(ret_rule->account_claim, "/sub", sizeof(ret_rule->account_claim));
}

static void check_token(const struct secret *token)
{
    if (!token)
        return;
    assert(secret_length(token) > 0 && secret_length(token) < TOKEN_MAX);
    for (size_t i = 0; i < secret_length(token); i++)
        assert(secret_data(token)[i] > ' ' && secret_data(token)[i] < 0x7f);
}

static void check_text(const char *text, size_t size)
{
    assert(memchr(text, 0, size));
    for (; *text; text++)
        assert((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_answer(enum token_outcome outcome, long status,
                         const struct token_answer *answer)
{
    bool has_tokens = outcome == OUTCOME_ROTATED || outcome == OUTCOME_KEPT;

    assert(has_tokens ? status / 100 == 2 : !answer->access && !answer->refresh);
    assert((outcome == OUTCOME_ROTATED) == (answer->refresh != NULL));
    assert(outcome != OUTCOME_KEPT || answer->access || answer->id_token);
    assert(outcome != OUTCOME_TERMINAL || (answer->error_code[0] && status < 500));
    assert(outcome != OUTCOME_NOT_SPENT || status == 429);
    check_token(answer->access);
    check_token(answer->refresh);
    check_token(answer->id_token);
    check_text(answer->account, sizeof(answer->account));
    check_text(answer->error_code, sizeof(answer->error_code));
    check_text(answer->why, sizeof(answer->why));
    assert(answer->expires_at_ms >= 0 && answer->expires_at_ms < YEAR_10000_MS);
    assert(answer->earliest_refresh_at_ms >= 0);
    assert(answer->refresh_expires_at_ms >= 0 && answer->refresh_expires_at_ms < YEAR_10000_MS);
}

static void apply(struct token_answer *answer)
{
    struct credential credential;

    credential_init(&credential);
    credential.generation = 4;
    credential.access = fuzz_secret("a", 1);
    credential.refresh = fuzz_secret("r", 1);
    bool other = answer->refresh && secret_length(answer->refresh) > 1;
    bool rotated = token_answer_apply(answer, &credential, NOW_MS);
    assert(rotated || !other);
    assert(credential.generation == 5 && credential.refresh && credential.access);
    credential_deinit(&credential);
}

static void one(const uint8_t *bytes, size_t size)
{
    long status = statuses[fuzz_take(&bytes, &size) % (sizeof(statuses) / sizeof(statuses[0]))];
    struct provider_rule rule;
    struct token_answer answer;

    rule_make(fuzz_take(&bytes, &size), &rule);
    struct secret *body = fuzz_secret(bytes, size);
    enum token_outcome outcome = token_answer_parse(&rule, status, body, NOW_MS, &answer);
    check_answer(outcome, status, &answer);
    assert(token_outcome_name(outcome));
    if (outcome == OUTCOME_ROTATED || outcome == OUTCOME_KEPT)
        apply(&answer);
    token_answer_deinit(&answer);
    secret_free(body);
}

FUZZ_TARGET(one, 65536, 256)
