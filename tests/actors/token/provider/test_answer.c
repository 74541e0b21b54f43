/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/answer.h"
#include "token/credential.h"
#include "token/store.h"

#define NOW_MS 1790000000000

static const struct provider_rule lab = {
    .id = "lab",
    .expiry = "expires_in",
    .account_claim = "/https:~1~1api.openai.com~1auth/chatgpt_account_id",
    .terminal_codes = {"app_session_terminated"},
    .terminal_code_count = 1,
};

static enum token_outcome parse(long status, const char *text, struct token_answer *ret_answer)
{
    struct secret *body = secret_new(text, strlen(text));
    enum token_outcome outcome = token_answer_parse(&lab, status, body, NOW_MS, ret_answer);
    secret_free(body);
    return outcome;
}

/* The table of DESIGN §7.3, one row each. */
static const struct {
    long status;
    const char *body;
    enum token_outcome outcome;
} rows[] = {
    {200, "{\"access_token\":\"a\",\"refresh_token\":\"r\"}", OUTCOME_ROTATED},
    {200, "{\"refresh_token\":\"r\"}", OUTCOME_ROTATED},
    {200, "{\"access_token\":\"a\"}", OUTCOME_KEPT},
    {200, "{\"access_token\":\"a\",\"refresh_token\":null}", OUTCOME_KEPT},
    {200, "{\"access_token\":\"a\",\"refresh_token\":\"\"}", OUTCOME_KEPT},
    {200, "{\"id_token\":\"i\"}", OUTCOME_KEPT},
    {200, "{\"access_token\":\"a\",\"refresh_token\":7}", OUTCOME_UNKNOWN},
    {200, "{\"access_token\":\"a\\r\\nX: y\",\"refresh_token\":\"r\"}", OUTCOME_UNKNOWN},
    {200, "{\"access_token\":\"a\",\"refresh_token\":\"r\",\"refresh_token\":\"s\"}",
     OUTCOME_UNKNOWN},
    {200, "{\"access_token\":\"a\",\"id_token\":[]}", OUTCOME_UNKNOWN},
    {200, "{\"access_token\":\"a\",\"refresh_to", OUTCOME_UNKNOWN},
    {200, "<html>welcome to the hotel</html>", OUTCOME_UNKNOWN},
    {200, "[]", OUTCOME_UNKNOWN},
    {200, "{}", OUTCOME_UNKNOWN},
    {200, "", OUTCOME_UNKNOWN},
    {204, "", OUTCOME_UNKNOWN},
    {199, "{\"access_token\":\"a\",\"refresh_token\":\"r\"}", OUTCOME_UNKNOWN},
    {299, "{\"access_token\":\"a\",\"refresh_token\":\"r\"}", OUTCOME_ROTATED},
    {199, "{\"error\":\"invalid_grant\"}", OUTCOME_UNKNOWN},
    {199, "{\"error\":\"invalid_client\"}", OUTCOME_UNKNOWN},
    {299, "{\"error\":\"invalid_client\"}", OUTCOME_CONFIG},
    {299, "{}", OUTCOME_UNKNOWN},
    {399, "{\"error\":\"invalid_grant\"}", OUTCOME_CONFIG},
    {499, "{\"error\":\"invalid_grant\"}", OUTCOME_TERMINAL},
    {200, "{\"error\":\"invalid_grant\"}", OUTCOME_TERMINAL},
    {400, "{\"error\":\"invalid_grant\"}", OUTCOME_TERMINAL},
    {401, "{\"error\":{\"code\":\"refresh_token_reused\",\"type\":\"invalid_request_error\"}}",
     OUTCOME_TERMINAL},
    {401, "{\"error\":{\"code\":\"REFRESH_TOKEN_EXPIRED\"}}", OUTCOME_TERMINAL},
    {403, "{\"code\":\"refresh_token_invalidated\"}", OUTCOME_TERMINAL},
    {400, "{\"error\":\"app_session_terminated\"}", OUTCOME_TERMINAL},
    {429, "{\"error\":\"slow_down\"}", OUTCOME_NOT_SPENT},
    {429, "", OUTCOME_NOT_SPENT},
    {400, "{\"error\":\"invalid_client\"}", OUTCOME_CONFIG},
    {401, "{\"error\":\"invalid_client\"}", OUTCOME_CONFIG},
    {400, "{\"error\":\"invalid_request\"}", OUTCOME_CONFIG},
    {400, "{\"error\":\"unsupported_grant_type\"}", OUTCOME_CONFIG},
    {400, "{\"error\":\"invalid_scope\"}", OUTCOME_CONFIG},
    {400, "{\"error\":\"unauthorized_client\"}", OUTCOME_CONFIG},
    {302, "", OUTCOME_CONFIG},
    {307, "{\"error\":\"invalid_grant\"}", OUTCOME_CONFIG},
    {308, "{\"access_token\":\"a\",\"refresh_token\":\"r\"}", OUTCOME_CONFIG},
    {401, "<html>sign in to the proxy</html>", OUTCOME_UNKNOWN},
    {403, "<html>blocked: invalid_grant</html>", OUTCOME_UNKNOWN},
    {403, "{\"error\":\"forbidden\"}", OUTCOME_UNKNOWN},
    {400, "{}", OUTCOME_UNKNOWN},
    {404, "", OUTCOME_UNKNOWN},
    {408, "", OUTCOME_UNKNOWN},
    {408, "{\"error\":\"invalid_request\"}", OUTCOME_UNKNOWN},
    {500, "{\"error\":\"invalid_grant\"}", OUTCOME_UNKNOWN},
    {503, "{\"error\":\"invalid_client\"}", OUTCOME_UNKNOWN},
    {0, "", OUTCOME_UNKNOWN},
};

static void every_row_of_the_outcome_table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct token_answer answer;
        enum token_outcome outcome = parse(rows[i].status, rows[i].body, &answer);
        if (outcome != rows[i].outcome) {
            fail_msg("%ld %s: %s instead of %s", rows[i].status, rows[i].body,
                     token_outcome_name(outcome), token_outcome_name(rows[i].outcome));
        }
        bool kept = outcome == OUTCOME_ROTATED || outcome == OUTCOME_KEPT;
        assert_true(kept || (answer.access == NULL && answer.refresh == NULL));
        assert_true(kept || answer.why[0] != '\0');
        token_answer_deinit(&answer);
    }
}

static void a_body_that_is_missing_is_unknown(void **state)
{
    (void)state;
    struct token_answer answer;
    assert_int_equal(token_answer_parse(&lab, 200, NULL, NOW_MS, &answer), OUTCOME_UNKNOWN);
    token_answer_deinit(&answer);
}

static void expiry_is_read_where_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        int64_t expires_at_ms;
    } cases[] = {
        {"\"expires_in\":3600", NOW_MS + 3600000},
        {"\"expires_in\":\"3600\"", NOW_MS + 3600000},
        {"\"expires_in\":0", 0},
        {"\"expires_in\":-5", 0},
        {"\"expires_in\":1e300", NOW_MS + 10LL * 366 * 86400000},
        {"\"expires_in\":\"soon\"", 0},
        {"\"expires_at\":1790003600", 1790003600000},
        {"\"expires_at\":1790003600123", 1790003600123},
        {"\"expires_at\":\"2026-09-21T13:33:20Z\"", 1789997600000},
        {"\"expires_at\":\"2026-09-21T15:33:20.5+02:00\"", 1789997600500},
        {"\"expires_at\":\"2026-99-21T15:33:20Z\"", 0},
        {"\"scope\":\"x\"", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char body[256];
        struct token_answer answer;
        snprintf(body, sizeof(body), "{\"access_token\":\"a\",%s}", cases[i].field);
        assert_int_equal(parse(200, body, &answer), OUTCOME_KEPT);
        assert_int_equal(answer.expires_at_ms, cases[i].expires_at_ms);
        token_answer_deinit(&answer);
    }
}

static void of_two_expiries_the_one_where_the_rule_looks_counts(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *fields;
        int64_t expires_at_ms;
    } cases[] = {
        {"expires_in", "\"expires_in\":60,\"expires_at\":1790003600", NOW_MS + 60000},
        {"expires_at", "\"expires_in\":60,\"expires_at\":1790003600", 1790003600000},
        {"expires_at", "\"expires_in\":60", NOW_MS + 60000},
        {"aaa", "\"expires_in\":60,\"expires_at\":1790003600", NOW_MS + 60000},
        {"zzz", "\"expires_in\":60,\"expires_at\":1790003600", NOW_MS + 60000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct provider_rule rule = lab;
        char text[256];
        struct token_answer answer;
        snprintf(rule.expiry, sizeof(rule.expiry), "%s", cases[i].rule);
        snprintf(text, sizeof(text), "{\"access_token\":\"a\",%s}", cases[i].fields);
        struct secret *body = secret_new(text, strlen(text));
        token_answer_parse(&rule, 200, body, NOW_MS, &answer);
        assert_int_equal(answer.expires_at_ms, cases[i].expires_at_ms);
        token_answer_deinit(&answer);
        secret_free(body);
    }
}

/* {"exp":1790009000,"https://api.openai.com/auth":{"chatgpt_account_id":"acct-7"}} */
#define JWT                                                                                        \
    "e30.eyJleHAiOjE3OTAwMDkwMDAsImh0dHBzOi8vYXBpLm9wZW5haS5jb20vYXV0aCI6eyJjaGF0Z3B0X2FjY291bnRf" \
    "aWQiOiJhY2N0LTcifX0.sig"

static void claims_give_expiry_and_account(void **state)
{
    (void)state;
    struct token_answer answer;
    assert_int_equal(parse(200, "{\"access_token\":\"" JWT "\"}", &answer), OUTCOME_KEPT);
    assert_int_equal(answer.expires_at_ms, 1790009000000);
    assert_string_equal(answer.account, "acct-7");
    token_answer_deinit(&answer);

    /* The id token is looked at when the access token is opaque. */
    assert_int_equal(parse(200, "{\"access_token\":\"a\",\"id_token\":\"" JWT "\"}", &answer),
                     OUTCOME_KEPT);
    assert_int_equal(answer.expires_at_ms, 0);
    assert_string_equal(answer.account, "acct-7");
    token_answer_deinit(&answer);

    struct provider_rule jwt_first = lab;
    snprintf(jwt_first.expiry, sizeof(jwt_first.expiry), "jwt");
    const char *both = "{\"access_token\":\"" JWT "\",\"expires_in\":60}";
    struct secret *body = secret_new(both, strlen(both));
    assert_int_equal(token_answer_parse(&jwt_first, 200, body, NOW_MS, &answer), OUTCOME_KEPT);
    assert_int_equal(answer.expires_at_ms, 1790009000000);
    token_answer_deinit(&answer);
    secret_free(body);
}

static void earliest_refresh_is_a_number_a_text_or_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t at_ms;
    } cases[] = {
        {"1790003240", 1790003240000}, {"1790003240.5", 1790003240500},
        {"\"1790003240\"", 1790003240000}, {"\"2026-09-21T13:33:20Z\"", 1789997600000},
        {"null", 0}, {"\"\"", 0}, {"true", 0}, {"{}", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char body[256];
        struct token_answer answer;
        snprintf(body, sizeof(body), "{\"access_token\":\"a\",\"earliest_refresh_at\":%s}",
                 cases[i].value);
        assert_int_equal(parse(200, body, &answer), OUTCOME_KEPT);
        assert_int_equal(answer.earliest_refresh_at_ms, cases[i].at_ms);
        token_answer_deinit(&answer);
    }
}

/* Our clock is ten minutes ahead of the provider's. */
static void earliest_refresh_is_put_on_our_clock(void **state)
{
    (void)state;
    static const struct {
        const char *rest;
        int64_t at_ms;
    } cases[] = {
        {"\"id_token\":\"e30.eyJpYXQiOjE3ODk5OTk0MDB9.c2ln\"", 1790003840000},
        {"\"id_token\":\"e30.e30.c2ln\"", 1790003240000},
        {"\"id_token\":\"opaque\"", 1790003240000},
        /* Issued in a future so far that the time is long past: it is one all the same. */
        {"\"id_token\":\"e30.eyJpYXQiOjM1ODAwMDMyNDB9.c2ln\"", 1},
        {"\"id_token\":\"e30.eyJpYXQiOjQwMDAwMDAwMDB9.c2ln\"", 1},
        /* A time of issue from long ago: not beyond the end of the access token. */
        {"\"expires_in\":3600,\"id_token\":\"e30.eyJpYXQiOjE2OTAwMDAwMDB9.c2ln\"",
         NOW_MS + 3600000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char body[256];
        struct token_answer answer;
        snprintf(body, sizeof(body),
                 "{\"access_token\":\"a\",\"earliest_refresh_at\":1790003240,%s}",
                 cases[i].rest);
        assert_int_equal(parse(200, body, &answer), OUTCOME_KEPT);
        assert_int_equal(answer.earliest_refresh_at_ms, cases[i].at_ms);
        token_answer_deinit(&answer);
    }
    struct token_answer answer; /* where only the access token says when it was issued */
    parse(200, "{\"access_token\":\"e30.eyJpYXQiOjE3ODk5OTk0MDB9.c2ln\","
               "\"earliest_refresh_at\":1790003240}", &answer);
    assert_int_equal(answer.earliest_refresh_at_ms, 1790003840000);
    token_answer_deinit(&answer);
}

static void hostile_bodies_are_unknown(void **state)
{
    (void)state;
    struct token_answer answer;
    size_t size = 1 << 20;
    char *body = malloc(size + 64);
    int length = snprintf(body, size, "{\"access_token\":\"");
    memset(body + length, 'a', TOKEN_MAX);
    snprintf(body + length + TOKEN_MAX, 64, "\",\"refresh_token\":\"r\"}"); /* over its cap */
    assert_int_equal(parse(200, body, &answer), OUTCOME_UNKNOWN);
    token_answer_deinit(&answer);

    memset(body + length, 'a', size - (size_t)length); /* 1 MB */
    snprintf(body + size, 64, "\"}");
    assert_int_equal(parse(200, body, &answer), OUTCOME_UNKNOWN);
    token_answer_deinit(&answer);

    for (int over = 0; over <= 1; over++) { /* white space up to the limit, and over it */
        memset(body, ' ', ANSWER_MAX);
        snprintf(body + ANSWER_MAX + over - 20, 64, "{\"access_token\":\"ab\"}");
        assert_int_equal(strlen(body), ANSWER_MAX + over + 1);
        assert_int_equal(parse(200, body + 1, &answer),
                         over ? OUTCOME_UNKNOWN : OUTCOME_KEPT);
        token_answer_deinit(&answer);
    }

    length = snprintf(body, size, "{\"access_token\":\"a\",\"x\":");
    memset(body + length, '[', 100000);
    body[length + 100000] = '\0';
    assert_int_equal(parse(200, body, &answer), OUTCOME_UNKNOWN);
    token_answer_deinit(&answer);
    free(body);
}

static void a_refusal_says_its_status_and_code_or_what_is_wrong_with_the_url(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *body, *why;
    } cases[] = {
        {400, "{\"error\":\"invalid_grant\"}", "HTTP 400, invalid_grant"},
        {502, "<html>", "HTTP 502, no error code"},
        {200, "<html>", "HTTP 200 with a body that does not parse"},
        {302, "", "HTTP 302: the token URL redirects, which is never followed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct token_answer answer;
        parse(cases[i].status, cases[i].body, &answer);
        assert_string_equal(answer.why, cases[i].why);
        token_answer_deinit(&answer);
    }
}

static void a_code_that_is_not_a_code_is_not_shown(void **state)
{
    (void)state;
    struct token_answer answer;
    assert_int_equal(parse(400, "{\"error\":\"<script>alert(1)</script>\"}", &answer),
                     OUTCOME_UNKNOWN);
    assert_string_equal(answer.error_code, "");
    assert_null(strstr(answer.why, "script"));
    token_answer_deinit(&answer);
}

static void a_code_or_a_claim_that_is_too_long_is_not_taken(void **state)
{
    (void)state;
    struct token_answer answer;
    assert_int_equal(parse(400, "{\"error\":\"invalid_grant_and_then_sixty_more_letters_that_no_"
                                "code_of_any_provider_has\"}", &answer),
                     OUTCOME_UNKNOWN);
    assert_string_equal(answer.error_code, "");
    token_answer_deinit(&answer);
    for (size_t length = 63; length <= 64; length++) { /* to the byte */
        char code[80];
        snprintf(code, sizeof(code), "{\"error\":\"%0*d\"}", (int)length, 7);
        parse(400, code, &answer);
        assert_int_equal(strlen(answer.error_code), length == 63 ? 63 : 0);
        token_answer_deinit(&answer);
    }
    struct secret *token = secret_new(JWT, strlen(JWT));
    char text[8] = "before";
    assert_false(token_claim(token, lab.account_claim, text, strlen("acct-7")));
    assert_string_equal(text, "before");
    assert_true(token_claim(token, lab.account_claim, text, sizeof(text)));
    assert_string_equal(text, "acct-7");
    secret_free(token);
}

static void a_claim_that_cannot_be_printed_is_not_taken(void **state)
{
    (void)state;
    /* {"a":"x\u0007","b":"x\u007f","c":"","d":"x ~","e":"x\u001f"} */
    static const char jwt[] =
        "e30.eyJhIjoieFx1MDAwNyIsImIiOiJ4XHUwMDdmIiwiYyI6IiIsImQiOiJ4IH4i"
        "LCJlIjoieFx1MDAxZiJ9.sig";
    struct secret *token = secret_new(jwt, strlen(jwt));
    char text[8];
    assert_false(token_claim(token, "/a", text, sizeof(text)));
    assert_false(token_claim(token, "/b", text, sizeof(text)));
    assert_false(token_claim(token, "/c", text, sizeof(text)));
    assert_true(token_claim(token, "/d", text, sizeof(text)));
    assert_false(token_claim(token, "/e", text, sizeof(text)));
    secret_free(token);
}

static void an_opaque_token_of_a_jwt_provider_ends_as_it_says(void **state)
{
    (void)state;
    struct provider_rule jwt_first = lab;
    snprintf(jwt_first.expiry, sizeof(jwt_first.expiry), "jwt");
    const char *opaque = "{\"access_token\":\"a\",\"expires_in\":60}";
    struct secret *body = secret_new(opaque, strlen(opaque));
    struct token_answer answer;
    assert_int_equal(token_answer_parse(&jwt_first, 200, body, NOW_MS, &answer), OUTCOME_KEPT);
    assert_int_equal(answer.expires_at_ms, NOW_MS + 60000);
    token_answer_deinit(&answer);
    secret_free(body);
}

static void a_refresh_token_lives_as_long_as_the_rule_says(void **state)
{
    (void)state;
    struct provider_rule rule = lab;
    rule.refresh_life_seconds = 1;
    static const struct {
        const char *body;
        int64_t ends_ms;
    } cases[] = {
        {"{\"access_token\":\"a\",\"refresh_token\":\"r\"}", NOW_MS + 1000},
        {"{\"access_token\":\"a\",\"refresh_token\":\"r\",\"refresh_expires_in\":5}",
         NOW_MS + 5000},
        {"{\"access_token\":\"a\"}", 0},
    };
    struct token_answer endless;
    parse(200, cases[0].body, &endless); /* of a rule that says nothing */
    assert_int_equal(endless.refresh_expires_at_ms, 0);
    token_answer_deinit(&endless);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct secret *body = secret_new(cases[i].body, strlen(cases[i].body));
        struct token_answer answer;
        token_answer_parse(&rule, 200, body, NOW_MS, &answer);
        assert_int_equal(answer.refresh_expires_at_ms, cases[i].ends_ms);
        token_answer_deinit(&answer);
        secret_free(body);
    }
}

static void an_earliest_time_that_cannot_be_is_kept_within_the_tokens_life(void **state)
{
    (void)state;
    static const struct {
        const char *claims; /* {"iat":1790000000} and {"iat":1790009000} */
        const char *earliest;
        int64_t at_ms;
    } cases[] = {
        {"eyJpYXQiOjE3OTAwMDAwMDB9", "1790000900", NOW_MS + 900000}, /* past the end, as told */
        {"eyJpYXQiOjE3OTAwMDkwMDB9", "5", 1}, /* before this clock began */
    };
    for (size_t i = 0; i < 2; i++) {
        char body[256];
        struct token_answer answer;
        snprintf(body, sizeof(body),
                 "{\"access_token\":\"e30.%s.sig\",\"expires_in\":60,"
                 "\"earliest_refresh_at\":%s}",
                 cases[i].claims, cases[i].earliest);
        assert_int_equal(parse(200, body, &answer), OUTCOME_KEPT);
        assert_int_equal(answer.earliest_refresh_at_ms, cases[i].at_ms);
        token_answer_deinit(&answer);
    }
}

static void absent_fields_never_erase_stored_ones(void **state)
{
    (void)state;
    struct credential credential;
    credential_init(&credential);
    credential.generation = 4;
    credential.refresh = secret_new("r4", 2);
    credential.id_token = secret_new("i4", 2);
    credential.earliest_refresh_at_ms = 5;
    credential.refresh_expires_at_ms = 6;
    snprintf(credential.account, sizeof(credential.account), "acct-1");

    struct token_answer answer;
    assert_int_equal(parse(200, "{\"access_token\":\"a5\",\"expires_in\":60}", &answer),
                     OUTCOME_KEPT);
    assert_false(token_answer_apply(&answer, &credential, NOW_MS));
    token_answer_deinit(&answer);
    assert_int_equal(credential.generation, 5); /* every saved answer is a generation */
    assert_string_equal(secret_data(credential.access), "a5");
    assert_string_equal(secret_data(credential.refresh), "r4");
    assert_string_equal(secret_data(credential.id_token), "i4");
    assert_string_equal(credential.account, "acct-1");
    assert_int_equal(credential.earliest_refresh_at_ms, 5);
    assert_int_equal(credential.refresh_expires_at_ms, 6);
    assert_int_equal(credential.expires_at_ms, NOW_MS + 60000);

    assert_int_equal(parse(200, "{\"refresh_token\":\"r4\"}", &answer), OUTCOME_ROTATED);
    assert_false(token_answer_apply(&answer, &credential, NOW_MS)); /* the same one again */
    token_answer_deinit(&answer);

    assert_int_equal(parse(200, "{\"refresh_token\":\"r5\"}", &answer), OUTCOME_ROTATED);
    assert_true(token_answer_apply(&answer, &credential, NOW_MS));
    assert_int_equal(credential.generation, 7);
    assert_string_equal(secret_data(credential.access), "a5");
    assert_int_equal(credential.expires_at_ms, NOW_MS + 60000);
    token_answer_deinit(&answer);

    assert_int_equal(parse(200, "{\"access_token\":\"" JWT "\",\"id_token\":\"i8\"}", &answer),
                     OUTCOME_KEPT);
    assert_false(token_answer_apply(&answer, &credential, NOW_MS));
    assert_string_equal(secret_data(credential.id_token), "i8"); /* present ones do */
    assert_string_equal(credential.account, "acct-7");
    token_answer_deinit(&answer);
    credential_deinit(&credential);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_outcome_table_holds),
        cmocka_unit_test(a_body_that_is_missing_is_unknown),
        cmocka_unit_test(expiry_is_read_where_it_stands),
        cmocka_unit_test(of_two_expiries_the_one_where_the_rule_looks_counts),
        cmocka_unit_test(claims_give_expiry_and_account),
        cmocka_unit_test(earliest_refresh_is_a_number_a_text_or_nothing),
        cmocka_unit_test(earliest_refresh_is_put_on_our_clock),
        cmocka_unit_test(hostile_bodies_are_unknown),
        cmocka_unit_test(a_refusal_says_its_status_and_code_or_what_is_wrong_with_the_url),
        cmocka_unit_test(a_code_that_is_not_a_code_is_not_shown),
        cmocka_unit_test(a_code_or_a_claim_that_is_too_long_is_not_taken),
        cmocka_unit_test(a_claim_that_cannot_be_printed_is_not_taken),
        cmocka_unit_test(an_opaque_token_of_a_jwt_provider_ends_as_it_says),
        cmocka_unit_test(a_refresh_token_lives_as_long_as_the_rule_says),
        cmocka_unit_test(an_earliest_time_that_cannot_be_is_kept_within_the_tokens_life),
        cmocka_unit_test(absent_fields_never_erase_stored_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
