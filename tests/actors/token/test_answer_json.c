/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_json.h"

static json_t *load(const char *text)
{
    json_t *root = bounded_json_load(text, strlen(text), NULL);
    assert_non_null(root);
    return root;
}

static void a_pointer_finds_what_rfc_6901_says(void **state)
{
    (void)state;
    static const struct {
        const char *pointer;
        int value; /* 0: nothing there */
    } cases[] = {
        {"/a/b", 1}, {"/list/0", 2}, {"/list/1", 3}, {"/list/2", 0}, {"/list/x", 0},
        {"/list/1x", 0}, {"/list/", 0}, {"/a~1b", 4}, {"/a~0b", 5}, {"/a~2b", 6}, {"/c~", 7},
        {"/a/b/c", 0}, {"a", 0}, {"/none/b", 0},
    };
    json_t *root = load("{\"a\":{\"b\":1},\"list\":[2,3],\"a/b\":4,\"a~b\":5,\"a~2b\":6,\"c~\":7}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (json_integer_value(json_at(root, cases[i].pointer)) != cases[i].value) {
            fail_msg("%s", cases[i].pointer);
        }
    }
    assert_ptr_equal(json_at(root, ""), root);
    char long_pointer[400] = "/";
    memset(long_pointer + 1, 'a', sizeof(long_pointer) - 2);
    assert_null(json_at(root, long_pointer));
    json_decref(root);
}

static void a_time_is_read_in_each_form_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t ms; /* 0: it is none */
    } cases[] = {
        {"[1790003600]", 1790003600000},
        {"[1790003600123]", 1790003600123},
        {"[\"1790003600.5\"]", 1790003600500},
        {"[0]", 0},
        {"[-1]", 0},
        {"[1e300]", 0},
        {"[\"1790003600x\"]", 0},
        {"[\"0x6ab13000\"]", 0},
        {"[\"1e9\"]", 0},
        {"[\"2026-09-21T13:33:20Z\"]", 1789997600000},
        {"[\"2026-09-21t13:33:20z\"]", 1789997600000},
        {"[\"2026-09-21 13:33:20.123456789Z\"]", 1789997600123},
        {"[\"2026-09-21T15:33:20+02:00\"]", 1789997600000},
        {"[\"2026-09-21T11:33:20-02:00\"]", 1789997600000},
        {"[\"2026-09-21T13:33:20\"]", 0},
        {"[\"2026-09-21T13:33:20+2\"]", 0},
        {"[\"2026-09-21T13:33:20+02:000\"]", 0},
        {"[\"2026-9-1T1:3:2Z\"]", 0},
        {"[\"2026-09-21\"]", 0},
        {"[\"1969-09-21T13:33:20Z\"]", 0},
        {"[\"2026-00-21T13:33:20Z\"]", 0},
        {"[\"2026-13-21T13:33:20Z\"]", 0},
        {"[\"2026-09-00T13:33:20Z\"]", 0},
        {"[\"2026-09-32T13:33:20Z\"]", 0},
        {"[\"2026-09-21T24:33:20Z\"]", 0},
        {"[\"2026-09-21T13:60:20Z\"]", 0},
        {"[\"2026-09-21T13:33:61Z\"]", 0},
        {"[true]", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *root = load(cases[i].json);
        int64_t ms = 0;
        bool is_time = json_time_ms(json_array_get(root, 0), &ms);
        if (is_time != (cases[i].ms != 0) || ms != cases[i].ms) {
            fail_msg("%s: %lld", cases[i].json, (long long)ms);
        }
        json_decref(root);
    }
}

static void a_number_too_large_to_be_one_is_no_time(void **state)
{
    (void)state;
    char text[420];
    memset(text, '9', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    json_t *value = json_string(text);
    int64_t ms = 5;
    assert_false(json_time_ms(value, &ms));
    assert_int_equal(ms, 5);
    json_decref(value);
}

static void claims_are_read_from_a_token_of_three_parts(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        bool is_read;
    } cases[] = {
        {"e30.eyJleHAiOjV9.sig", true},
        {"e30.eyJleHAiOjV9==.sig", true}, /* some pad it */
        {"e30.eyJleHAiOjV9", false},      /* two parts */
        {"opaque", false},
        {"e30..sig", false},
        {"e30.==.sig", false},
        {"e30.eyJ*.sig", false}, /* no base64 */
        {"e30.eyJl.sig", false}, /* no JSON */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *claims = jwt_claims(cases[i].token, strlen(cases[i].token));
        if ((json_integer_value(json_object_get(claims, "exp")) == 5) != cases[i].is_read) {
            fail_msg("%s", cases[i].token);
        }
        json_decref(claims);
    }
}

static void claims_nested_too_deep_are_not_read(void **state)
{
    (void)state;
    char token[200] = "e30."; /* "W1tb" is three times '[' */
    for (int i = 0; i < JSON_DEPTH_MAX / 3 + 1; i++) {
        snprintf(token + strlen(token), sizeof(token) - strlen(token), "W1tb");
    }
    snprintf(token + strlen(token), sizeof(token) - strlen(token), ".sig");
    assert_null(jwt_claims(token, strlen(token)));
}

static void a_token_is_visible_text_of_bounded_length(void **state)
{
    (void)state;
    assert_true(token_text_valid("!~", 2));
    assert_false(token_text_valid("", 0));
    assert_false(token_text_valid("a b", 3));
    assert_false(token_text_valid("a\x7f", 2));
    assert_false(token_text_valid("\xc3\xa9", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pointer_finds_what_rfc_6901_says),
        cmocka_unit_test(a_time_is_read_in_each_form_or_not_at_all),
        cmocka_unit_test(a_number_too_large_to_be_one_is_no_time),
        cmocka_unit_test(claims_are_read_from_a_token_of_three_parts),
        cmocka_unit_test(claims_nested_too_deep_are_not_read),
        cmocka_unit_test(a_token_is_visible_text_of_bounded_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
