/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS 1700000000000

static const struct {
    unsigned status;
    const char *headers, *body;
    enum fault_kind kind;
    const char *code;
    int64_t until_ms;
} rows[] = {
    {401, "", "{\"error\":{\"code\":\"token_expired\"}}", FAULT_LOGIN, "token_expired", 0},
    {401, "", "{\"detail\":{\"error_code\":\"invalid_token\"}}", FAULT_LOGIN, "invalid_token", 0},
    {401, "", "", FAULT_LOGIN, "not_json", 0},
    {429, "",
     "{\"error\":{\"type\":\"usage_limit_reached\",\"plan_type\":\"plus\","
     "\"resets_at\":1700000500,\"resets_in_seconds\":7}}",
     FAULT_QUOTA, "usage_limit_reached", 1700000500000},
    {429, "", "{\"error\":{\"type\":\"usage_limit_reached\",\"resets_in_seconds\":7}}", FAULT_QUOTA,
     "usage_limit_reached", NOW_MS + 7000},
    {404, "", "{\"error\":{\"type\":\"usage_limit_reached\",\"resets_in_seconds\":7}}", FAULT_QUOTA,
     "usage_limit_reached", NOW_MS + 7000},
    {429, "date: x\nretry-after: 30\n", "{\"error\":{\"message\":\"slow\"}}", FAULT_RATE, "error",
     NOW_MS + 30000},
    {429, "retry-after-ms: 250\nretry-after: 30", "", FAULT_RATE, "not_json", NOW_MS + 250},
    {429, "retry-after: Wed, 21 Oct 2026 07:28:00 GMT\n", "<html>", FAULT_RATE, "not_json", 0},
    {429, "", "{\"error\":{\"code\":\"subscription_sharing_usage_limit_exceeded\"}}", FAULT_QUOTA,
     "subscription_sharing_usage_limit_exceeded", 0},
    {403, "", "{\"error\":{\"code\":\"subscription_sharing_user_not_eligible\"}}", FAULT_PROFILE,
     "subscription_sharing_user_not_eligible", 0},
    {403, "content-type: text/html\n", "<html>challenge</html>", FAULT_TRANSIENT, "not_json", 0},
    {404, "", "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"model_not_found\"}}",
     FAULT_MODEL, "model_not_found", 0},
    {400, "",
     "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}",
     FAULT_REQUEST, "context_length_exceeded", 0},
    {400, "", "{\"detail\":\"Input must be a list\"}", FAULT_REQUEST, "error", 0},
    {503, "", "{\"error\":{\"code\":\"server_is_overloaded\"}}", FAULT_TRANSIENT,
     "server_is_overloaded", 0},
    {529, "", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", FAULT_TRANSIENT,
     "overloaded_error", 0},
    {502, "", "<html>bad gateway</html>", FAULT_TRANSIENT, "not_json", 0},
    {302, "location: http://elsewhere.example.test/\n", "", FAULT_MODEL, "not_json", 0},
    {500, "", "{\"error\"", FAULT_TRANSIENT, "not_json", 0},
    {429, "", "{\"error\":{\"type\":\"usage_limit_reached\",\"resets_at\":1e300}}", FAULT_QUOTA,
     "usage_limit_reached", 0},
    {429, "retry-after: 1e300\n", "", FAULT_RATE, "not_json", 0},
};

static void each_refusal_gets_its_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fault fault = {0};
        fault_from_http(&fault, rows[i].status, proto_text(rows[i].headers), rows[i].body,
                        strlen(rows[i].body), NOW_MS);
        if (fault.kind != rows[i].kind || strcmp(fault.code, rows[i].code) != 0 ||
            fault.until_ms != rows[i].until_ms)
            fail_msg("row %zu: kind %d, code %s, until %lld", i, (int)fault.kind, fault.code,
                     (long long)fault.until_ms);
        assert_true(fault.why[0] != '\0');
    }
}

static void the_first_cause_stands(void **state)
{
    (void)state;
    struct fault fault = {0};
    fault_set(&fault, FAULT_QUOTA, "a", "first");
    fault_set(&fault, FAULT_CUT, "b", "second");
    assert_int_equal(fault.kind, FAULT_QUOTA);
    assert_string_equal(fault.why, "first");
}

static void long_words_are_cut_between_characters_and_tokens_are_not(void **state)
{
    (void)state;
    char why[400];
    for (size_t i = 0; i < sizeof(why) - 1; i += 3)
        memcpy(why + i, "\xe2\x82\xac", 3);
    why[sizeof(why) - 1] = '\0';
    struct fault fault = {0};
    fault_set(&fault, FAULT_CUT, "a\nb", why);
    assert_string_equal(fault.code, "a b");
    assert_int_equal(strlen(fault.why) % 3, 0);
    assert_true(strlen(fault.why) > 250);

    memset(why, 'k', sizeof(why) - 1);
    memcpy(why, "no key is ", 10);
    fault = (struct fault){0};
    fault_set(&fault, FAULT_CUT, why + 10, why);
    assert_string_equal(fault.code, "");
    assert_string_equal(fault.why, "no key is ");
}

static void headers_are_found_by_their_whole_name(void **state)
{
    (void)state;
    struct proto_text headers = proto_text("x-retry-after: 1\nretry-after:  2\n");
    struct proto_text value = header_value(headers, "retry-after");
    assert_true(proto_text_equal(value, "2"));
    assert_int_equal(header_value(headers, "retry").size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_gets_its_kind),
        cmocka_unit_test(the_first_cause_stands),
        cmocka_unit_test(long_words_are_cut_between_characters_and_tokens_are_not),
        cmocka_unit_test(headers_are_found_by_their_whole_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
