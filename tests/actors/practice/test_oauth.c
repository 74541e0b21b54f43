/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of spending, over real HTTP. */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client.h"

static int setup(void **state)
{
    struct bench *bench = malloc(sizeof(*bench));
    bench_init(bench);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    bench_stop(*state);
    free(*state);
    return 0;
}

static void expect(struct answer answer, long status, const char *error)
{
    assert_int_equal(answer.failed, 0);
    assert_int_equal(answer.status, status);
    assert_string_equal(answer_error(&answer), error);
    answer_deinit(&answer);
}

static void each_refresh_rotates(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    for (int i = 0; i < 20; i++) {
        char *before = strdup(bench->refresh);
        client_rotate(bench, &bench->refresh);
        assert_string_not_equal(bench->refresh, before);
        assert_non_null(strstr(bench->refresh, "practice"));
        free(before);
    }
    assert_int_equal(client_stat(bench, "rotations"), 20);
    assert_int_equal(client_stat(bench, "reused"), 0);
    assert_int_equal(client_stat(bench, "families_ended"), 0);
}

static void a_reused_token_ends_the_login_and_its_access_tokens(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    char *first = strdup(bench->refresh);
    client_rotate(bench, &bench->refresh);
    struct answer good = client_ask(bench, "hello");
    assert_int_equal(good.status, 200);
    answer_deinit(&good);
    expect(client_refresh(bench, first), 401, "refresh_token_reused");
    expect(client_refresh(bench, bench->refresh), 401, "refresh_token_invalidated");
    expect(client_ask(bench, "hello"), 401, "token_invalidated");
    assert_int_equal(client_stat(bench, "reused"), 1);
    assert_int_equal(client_stat(bench, "families_ended"), 1);
    assert_int_equal(client_stat(bench, "model_401_ended"), 1);
    free(first);
}

static void reuse_may_be_told_to_leave_the_login_alone(void **state)
{
    struct bench *bench = *state;
    bench->options.reuse_ends_login = false;
    bench_start(bench);
    char *first = strdup(bench->refresh);
    client_rotate(bench, &bench->refresh);
    expect(client_refresh(bench, first), 401, "refresh_token_reused");
    client_rotate(bench, &bench->refresh);
    assert_int_equal(client_stat(bench, "families_ended"), 0);
    free(first);
}

static void grace_gives_the_same_successor_again_until_it_is_over(void **state)
{
    struct bench *bench = *state;
    bench->options.rotation = PRACTICE_GRACE;
    bench->options.grace_ms = 300;
    bench_start(bench);
    char *first = strdup(bench->refresh);
    client_rotate(bench, &bench->refresh);
    struct answer again = client_refresh(bench, first);
    assert_int_equal(again.status, 200);
    assert_string_equal(answer_text(&again, "refresh_token"), bench->refresh);
    answer_deinit(&again);
    assert_int_equal(client_stat(bench, "repeated"), 1);
    client_wait(350);
    expect(client_refresh(bench, first), 401, "refresh_token_reused");
    free(first);
}

static void grace_covers_only_the_token_before_the_current_one(void **state)
{
    struct bench *bench = *state;
    bench->options.rotation = PRACTICE_GRACE;
    bench_start(bench);
    char *first = strdup(bench->refresh);
    client_rotate(bench, &bench->refresh);
    client_rotate(bench, &bench->refresh);
    expect(client_refresh(bench, first), 401, "refresh_token_reused");
    free(first);
}

static void two_phase_keeps_the_old_token_until_the_new_pair_is_used(void **state)
{
    struct bench *bench = *state;
    bench->options.rotation = PRACTICE_TWO_PHASE;
    bench_start(bench);
    char *first = strdup(bench->refresh);
    struct answer next = client_refresh(bench, first);
    free(bench->access);
    bench->access = strdup(answer_text(&next, "access_token"));
    answer_deinit(&next);
    next = client_refresh(bench, first);
    assert_int_equal(next.status, 200);
    answer_deinit(&next);
    struct answer used = client_ask(bench, "hello");
    assert_int_equal(used.status, 200);
    answer_deinit(&used);
    expect(client_refresh(bench, first), 401, "refresh_token_reused");
    free(first);
}

static void without_rotation_the_answer_has_no_refresh_token(void **state)
{
    struct bench *bench = *state;
    bench->options.rotation = PRACTICE_NONE;
    bench_start(bench);
    for (int i = 0; i < 3; i++) {
        struct answer answer = client_refresh(bench, bench->refresh);
        assert_int_equal(answer.status, 200);
        assert_null(json_object_get(answer.json, "refresh_token"));
        answer_deinit(&answer);
    }
    assert_int_equal(client_stat(bench, "kept"), 3);
    assert_int_equal(client_stat(bench, "rotations"), 0);
}

static void a_refresh_before_the_earliest_time_spends_the_token(void **state)
{
    struct bench *bench = *state;
    bench->options.earliest_refresh_ms = 10000;
    bench_start(bench);
    expect(client_refresh(bench, bench->refresh), 400, "invalid_grant");
    expect(client_refresh(bench, bench->refresh), 401, "refresh_token_reused");
    assert_int_equal(client_stat(bench, "early"), 1);
}

static void an_expired_access_token_is_refused(void **state)
{
    struct bench *bench = *state;
    bench->options.access_life_ms = 150;
    bench_start(bench);
    struct answer good = client_ask(bench, "hello");
    assert_int_equal(good.status, 200);
    answer_deinit(&good);
    client_wait(200);
    expect(client_ask(bench, "hello"), 401, "token_expired");
    assert_int_equal(client_stat(bench, "model_401_expired"), 1);
}

static void a_token_with_one_letter_changed_is_unknown(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    bench->access[20] ^= 1;
    expect(client_ask(bench, "hello"), 401, "invalid_token");
    size_t last = strlen(bench->refresh) - 1;
    bench->refresh[last] = bench->refresh[last] == '0' ? '1' : '0';
    expect(client_refresh(bench, bench->refresh), 400, "invalid_grant");
    assert_int_equal(client_stat(bench, "families_ended"), 0);
}

static void json_bodies_are_taken_and_bad_ones_named(void **state)
{
    static const struct { const char *type; const char *body; long status; const char *error; }
    rows[] = {
        { "application/json", "{\"grant_type\": \"refresh_token\"", 400, "invalid_request" },
        { "application/json", "{\"grant_type\": \"refresh_token\", \"client_id\": \"other\"}", 401,
          "invalid_client" },
        { "application/json", "{\"grant_type\": \"password\", \"client_id\": \"practice\"}", 400,
          "unsupported_grant_type" },
        { NULL, "grant_type=refresh_token&client_id=practice", 400, "invalid_request" },
        { NULL, "grant_type=refresh_token&grant_type=refresh_token&client_id=practice", 400,
          "invalid_request" },
        { NULL, "grant_type=authorization_code&client_id=practice&code=x", 400, "invalid_grant" },
        { NULL, "", 400, "invalid_request" },
    };
    struct bench *bench = *state;
    bench_start(bench);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect(client_request(bench, "/oauth/token", rows[i].type, NULL, rows[i].body, 3000),
               rows[i].status, rows[i].error);
    char body[512];
    snprintf(body, sizeof(body), "{\"grant_type\": \"refresh_token\", \"client_id\": \"practice\","
             " \"refresh_token\": \"%s\"}", bench->refresh);
    struct answer answer = client_request(bench, "/oauth/token", "application/json", NULL, body,
                                          3000);
    assert_int_equal(answer.status, 200);
    answer_deinit(&answer);
}

static void code_challenge(const char *verifier, char *ret_text, size_t size)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)verifier, strlen(verifier));
    sodium_bin2base64(ret_text, size, hash, sizeof(hash),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* Nothing listens at the redirect: the code is read from where it points. */
static void code_get(struct bench *bench, const char *challenge, char *ret_code, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "/oauth/authorize?response_type=code&client_id=practice"
             "&state=a%%26b&redirect_uri=http%%3A%%2F%%2F127.0.0.1%%3A1%%2Fcallback"
             "&code_challenge=%s&code_challenge_method=S256", challenge);
    char *location = client_location(bench, path);
    assert_non_null(location);
    assert_non_null(strstr(location, "&state=a%26b"));
    const char *code = strstr(location, "?code=");
    assert_non_null(code);
    code += strlen("?code=");
    snprintf(ret_code, size, "%.*s", (int)strcspn(code, "&"), code);
    free(location);
}

static void a_code_works_once_and_only_with_its_verifier(void **state)
{
    static const char verifier[] = "practice-verifier-practice-verifier-practice-verifier";
    struct bench *bench = *state;
    char challenge[64];
    char code[128];
    char body[1024];
    bench_start(bench);
    code_challenge(verifier, challenge, sizeof(challenge));
    code_get(bench, challenge, code, sizeof(code));
    snprintf(body, sizeof(body), "grant_type=authorization_code&client_id=practice&code=%s"
             "&redirect_uri=http://127.0.0.1:1/callback&code_verifier=%s", code, verifier);
    struct answer answer = client_request(bench, "/oauth/token", NULL, NULL, body, 3000);
    assert_int_equal(answer.status, 200);
    assert_non_null(json_object_get(answer.json, "refresh_token"));
    answer_deinit(&answer);
    expect(client_request(bench, "/oauth/token", NULL, NULL, body, 3000), 400, "invalid_grant");
    code_get(bench, challenge, code, sizeof(code));
    snprintf(body, sizeof(body), "grant_type=authorization_code&client_id=practice&code=%s"
             "&redirect_uri=http://127.0.0.1:1/callback&code_verifier=%sx", code, verifier);
    expect(client_request(bench, "/oauth/token", NULL, NULL, body, 3000), 400, "invalid_grant");
}

/* Tokens given as a file of another program are as good as those given plainly. */
static void a_login_can_be_had_as_another_programs_file(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    struct answer openclaw = client_request(bench, "/practice/login?form=openclaw&profile=lab:me",
                                            NULL, NULL, "", 3000);
    json_t *profile = json_object_get(json_object_get(openclaw.json, "profiles"), "lab:me");
    assert_string_equal(json_string_value(json_object_get(profile, "provider")), "lab");
    assert_true(json_integer_value(json_object_get(profile, "expires")) > 1000000000000);
    char *token = strdup(json_string_value(json_object_get(profile, "refresh")));
    client_rotate(bench, &token);
    free(token);
    struct answer codex = client_request(bench, "/practice/login?form=codex", NULL, NULL, "", 3000);
    token = strdup(json_string_value(
        json_object_get(json_object_get(codex.json, "tokens"), "refresh_token")));
    client_rotate(bench, &token);
    free(token);
    answer_deinit(&openclaw);
    answer_deinit(&codex);
    expect(client_request(bench, "/practice/login?form=other", NULL, NULL, "", 3000), 400,
           "invalid_request");
    assert_int_equal(client_stat(bench, "logins"), 3);
}

static void a_port_in_use_is_told(void **state)
{
    struct bench *bench = *state;
    struct practice *second = NULL;
    bench_start(bench);
    struct practice_options options = bench->options;
    options.port = practice_port(bench->practice);
    assert_int_equal(practice_start(&options, &second), -EADDRINUSE);
    assert_null(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_refresh_rotates),
        TEST(a_reused_token_ends_the_login_and_its_access_tokens),
        TEST(reuse_may_be_told_to_leave_the_login_alone),
        TEST(grace_gives_the_same_successor_again_until_it_is_over),
        TEST(grace_covers_only_the_token_before_the_current_one),
        TEST(two_phase_keeps_the_old_token_until_the_new_pair_is_used),
        TEST(without_rotation_the_answer_has_no_refresh_token),
        TEST(a_refresh_before_the_earliest_time_spends_the_token),
        TEST(an_expired_access_token_is_refused),
        TEST(a_token_with_one_letter_changed_is_unknown),
        TEST(json_bodies_are_taken_and_bad_ones_named),
        TEST(a_code_works_once_and_only_with_its_verifier),
        TEST(a_login_can_be_had_as_another_programs_file),
        TEST(a_port_in_use_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
