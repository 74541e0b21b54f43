/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider/answer_json.h"
#include "token/store.h"

static json_t *load(const char *text)
{
    json_t *root = bounded_json_load(text, strlen(text), NULL);
    assert_non_null(root);
    return root;
}

/* `count` pieces, then `middle`, then `count` ends; malloc'd, without a NUL. */
static char *nested(const char *piece, int count, const char *middle, const char *end,
                    size_t *ret_length)
{
    char *text = malloc(4096), *exact;
    size_t at = 0;
    assert_non_null(text);
    for (int i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, 4096 - at, "%s", piece);
    }
    at += (size_t)snprintf(text + at, 4096 - at, "%s", middle);
    for (int i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, 4096 - at, "%s", end);
    }
    exact = malloc(at);
    assert_non_null(exact);
    memcpy(exact, text, at);
    free(text);
    *ret_length = at;
    return exact;
}

static void nesting_is_counted_outside_of_texts(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        int count;
        const char *middle, *end;
        bool is_read;
    } cases[] = {
        {"[", JSON_DEPTH_MAX, "", "]", true},
        {"[", JSON_DEPTH_MAX + 1, "", "]", false},
        {"{\"a\":", JSON_DEPTH_MAX, "1", "}", true},
        {"{\"a\":", JSON_DEPTH_MAX + 1, "1", "}", false},
        {"[1,", JSON_DEPTH_MAX + 1, "1", "]", false},
        {"[\"a\",", JSON_DEPTH_MAX + 1, "1", "]", false}, /* a text has an end */
        {"[", 1, "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
                 "[],[],[],[],[],[],[],[],[],[],[]", "]", true},
        {"[", 1, "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},"
                 "{},{},{},{},{},{},{},{},{},{},{}", "]", true},
        {"[", 1, "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"", "]", true},
        {"[", 1, "\"\\\"{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{\"", "]", true},
        {"[", 1, "\"{\\\\\",1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "]",
         true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t length;
        char *text = nested(cases[i].piece, cases[i].count, cases[i].middle, cases[i].end,
                            &length);
        json_error_t error = {0};
        json_t *root = bounded_json_load(text, length, &error);
        if ((root != NULL) != cases[i].is_read ||
            (root == NULL && strcmp(error.text, "nested deeper than 32 levels") != 0)) {
            fail_msg("%.*s: %s", (int)length, text, error.text);
        }
        json_decref(root);
        free(text);
    }
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

    root = json_object(); /* the longest name that is looked for, and one more */
    for (size_t length = 255; length <= 256; length++) {
        long_pointer[length + 1] = '\0';
        json_object_set_new(root, long_pointer + 1, json_integer(1));
        assert_int_equal(json_integer_value(json_at(root, long_pointer)), length == 255);
        long_pointer[length + 1] = 'a';
    }
    json_decref(root);
}

static const struct {
    const char *json;
    int64_t ms; /* 0: it is none */
} times[] = {
    {"[1790003600]", 1790003600000},
    {"[1790003600123]", 1790003600123},
    {"[\"1790003600.5\"]", 1790003600500},
    {"[0]", 0},
    {"[-1]", 0},
    {"[1e300]", 0},
    {"[99999999999]", 99999999999000}, /* the last that are seconds */
    {"[100000000000]", 100000000000},
    {"[253402300799000]", 253402300799000}, /* the end of the year 9999 */
    {"[253402300799001]", 0},
    {"[0.001]", 1},
    {"[0.0009]", 0},
    {"[\"1.2.3\"]", 0},
    {"[\".5\"]", 0},
    {"[\"\"]", 0},
    {"[\"1790003600x\"]", 0},
    {"[\"0x6ab13000\"]", 0},
    {"[\"1e9\"]", 0},
    {"[\"2026-09-21T13:33:20Z\"]", 1789997600000},
    {"[\"2026-09-21t13:33:20z\"]", 1789997600000},
    {"[\"2026-09-21 13:33:20.123456789Z\"]", 1789997600123},
    {"[\"2026-09-21T15:33:20+02:00\"]", 1789997600000},
    {"[\"2026-09-21T11:33:20-02:00\"]", 1789997600000},
    {"[\"1970-01-01T00:00:01Z\"]", 1000},
    {"[\"2016-12-31T23:59:60Z\"]", 1483228800000}, /* a leap second */
    {"[\"2026-09-21T13:33:20+23:59\"]", 1789911260000}, /* the farthest from Greenwich */
    {"[\"2026-09-21T13:33:20-23:59\"]", 1790083940000},
    {"[\"2026-09-21T13:33:20-00:00\"]", 1789997600000},
    {"[\"2026-09-21T13:33:20.5z\"]", 1789997600500},
    {"[\"2028-02-29T00:00:00Z\"]", 1835395200000},
    {"[\"2026-01-31T23:59:59Z\"]", 1769903999000},
    {"[\"1970-01-01T00:00:00.001Z\"]", 1},
    {"[\"9999-12-31T23:59:59Z\"]", 253402300799000},
    {"[\"2026-09-21T13:33:20+24:00\"]", 0},
    {"[\"2026-09-21T13:33:20-24:00\"]", 0},
    {"[\"2026-09-21T13:33:20+00:60\"]", 0},
    {"[\"2026-09-21T13:33:20+99:99\"]", 0},
    {"[\"2026-09-21T13:33:20+ 2: 0\"]", 0},
    {"[\"2026-09-21T13:33:20+02:-1\"]", 0},
    {"[\"2026-09-21T13:33:20+02.00\"]", 0},
    {"[\"2026-09-21T13:33:20*02:00\"]", 0},
    {"[\"2026-09-21T13:33:20+02:\"]", 0},
    {"[\"2026-09-21T13:33:20ZZ\"]", 0},
    {"[\"2026-09-21T13:33:20.Z\"]", 0},
    {"[\"2026-09-21T13:33:20.\"]", 0},
    {"[\"2026-02-29T00:00:00Z\"]", 0},
    {"[\"2026-04-31T00:00:00Z\"]", 0},
    {"[\" 2026-09-21T13:33:20Z\"]", 0},
    {"[\"2026- 9-21T13:33:20Z\"]", 0},
    {"[\"2026x09-21T13:33:20Z\"]", 0},
    {"[\"2026-09x21T13:33:20Z\"]", 0},
    {"[\"2026-09-21x13:33:20Z\"]", 0},
    {"[\"2026-09-21T13x33:20Z\"]", 0},
    {"[\"2026-09-21T13:33x20Z\"]", 0},
    {"[\"2026-09-21T-1:33:20Z\"]", 0},
    {"[\"1970-01-01T00:00:00Z\"]", 0},
    {"[\"1970-01-01T00:00:00+00:01\"]", 0},
    {"[\"9999-12-31T23:59:60Z\"]", 0},
    {"[\"10000-01-01T00:00:00Z\"]", 0},
    {"[\"2026-09-21T13:33:20\"]", 0},
    {"[\"2026-09-21T13:33:2Z\"]", 0},
    {"[\"2026-09-21T13:33:20+xx:00\"]", 0},
    {"[\"2026-09-21T13:33:20Y\"]", 0},
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

static void a_time_is_read_in_each_form_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        json_t *root = load(times[i].json);
        int64_t ms = 0;
        bool is_time = json_time_ms(json_array_get(root, 0), &ms);
        if (is_time != (times[i].ms != 0) || ms != times[i].ms) {
            fail_msg("%s: %lld", times[i].json, (long long)ms);
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
    assert_true(token_text_valid("a", 1));
    char *longest = malloc(TOKEN_MAX);
    assert_non_null(longest);
    memset(longest, 'a', TOKEN_MAX);
    assert_true(token_text_valid(longest, TOKEN_MAX - 1));
    assert_false(token_text_valid(longest, TOKEN_MAX));
    free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_is_counted_outside_of_texts),
        cmocka_unit_test(a_pointer_finds_what_rfc_6901_says),
        cmocka_unit_test(a_time_is_read_in_each_form_or_not_at_all),
        cmocka_unit_test(a_number_too_large_to_be_one_is_no_time),
        cmocka_unit_test(claims_are_read_from_a_token_of_three_parts),
        cmocka_unit_test(claims_nested_too_deep_are_not_read),
        cmocka_unit_test(a_token_is_visible_text_of_bounded_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
