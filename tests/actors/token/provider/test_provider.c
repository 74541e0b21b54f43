/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/provider.h"

static const char *const builtins[] = {"chatgpt", "openai-codex", "openai", "anthropic"};

static void what_is_printed_parses_to_the_same_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct provider_rule *rule = provider_builtin(builtins[i]);
        assert_non_null(rule);
        char *text = provider_rule_print(rule);
        char why[256] = "";
        struct provider_rule again;
        assert_int_equal(provider_rule_parse(rule->id, text, &again, why, sizeof(why)), 0);
        assert_memory_equal(rule, &again, sizeof(again));
        free(text);
    }
    assert_null(provider_builtin("nobody"));
}

static void a_config_object_becomes_a_rule(void **state)
{
    (void)state;
    struct provider_rule rule;
    char why[256] = "";
    assert_int_equal(
        provider_rule_parse(
            "lab",
            "{\"tokenUrl\":\"http://127.0.0.1:8443/oauth/token\",\"clientId\":\"lab\","
            "\"encoding\":\"json\",\"rotation\":\"grace\",\"graceSeconds\":30,"
            "\"extra\":{\"audience\":\"x\"},\"headers\":{\"X-Lab\":\"1\"},"
            "\"terminalCodes\":[\"gone\"],\"expiry\":\"jwt\",\"accountClaim\":\"/sub\"}",
            &rule, why, sizeof(why)),
        0);
    assert_string_equal(rule.id, "lab");
    assert_int_equal(rule.encoding, ENCODING_JSON);
    assert_int_equal(rule.rotation, ROTATION_GRACE);
    assert_int_equal(rule.grace_seconds, 30);
    assert_string_equal(rule.extra, "{\"audience\":\"x\"}");
    assert_string_equal(rule.headers, "{\"X-Lab\":\"1\"}");
    assert_int_equal(rule.terminal_code_count, 1);
    assert_string_equal(rule.terminal_codes[0], "gone");
    char *text = provider_rule_print(&rule);
    struct provider_rule again;
    assert_int_equal(provider_rule_parse("lab", text, &again, why, sizeof(why)), 0);
    assert_memory_equal(&rule, &again, sizeof(again));
    free(text);
}

static void what_is_not_said_is_strict(void **state)
{
    (void)state;
    struct provider_rule rule;
    char why[256] = "";
    assert_int_equal(provider_rule_parse("lab", "{\"tokenUrl\":\"https://example.test/t\"}", &rule,
                                         why, sizeof(why)),
                     0);
    assert_int_equal(rule.rotation, ROTATION_STRICT);
    assert_int_equal(rule.encoding, ENCODING_FORM);
    assert_string_equal(rule.expiry, "expires_in");
    assert_int_equal(provider_rule_parse("lab", "{\"issuer\":\"https://example.test\"}", &rule, why,
                                         sizeof(why)),
                     0); /* its endpoint is still to be discovered */
    assert_string_equal(rule.token_url, "");
}

static void a_built_in_rule_can_be_changed_in_one_key(void **state)
{
    (void)state;
    struct provider_rule rule;
    char why[256] = "";
    assert_int_equal(provider_rule_parse("chatgpt", "{\"clientId\":\"oaiapp_1\"}", &rule, why,
                                         sizeof(why)),
                     0);
    assert_string_equal(rule.client_id, "oaiapp_1");
    assert_string_equal(rule.token_url, provider_builtin("chatgpt")->token_url);
}

static void what_is_said_takes_the_place_of_all_that_was_built_in(void **state)
{
    (void)state;
    struct provider_rule rule;
    char why[256] = "";
    assert_int_equal(provider_rule_parse("chatgpt", "{\"extra\":{\"a\":\"b\"},"
                                         "\"terminalCodes\":[\"gone\"]}", &rule, why, sizeof(why)),
                     0);
    assert_string_equal(rule.extra, "{\"a\":\"b\"}");
    assert_int_equal(rule.terminal_code_count, 1);
    assert_string_equal(rule.terminal_codes[0], "gone");
    assert_int_equal(provider_rule_parse("chatgpt", "{\"extra\":{}}", &rule, why, sizeof(why)), 0);
    assert_string_equal(rule.extra, "");
}

static void wrong_objects_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"tokenUrl\":\"http://example.test/t\"}", "use https"},
        {"{\"tokenUrl\":\"http://127.0.0.1.example.test/t\"}", "use https"},
        {"{\"tokenUrl\":\"http://10.0.0.1/t\"}", "use https"},
        {"{\"tokenUrl\":\"ftp://example.test/t\"}", "neither https"},
        {"{\"tokenUrl\":\"https://user:pass@example.test/t\"}", "user name"},
        {"{\"tokenUrl\":\"https://example.test/t#x\"}", "fragment"},
        {"{\"tokenUrl\":\"example\\ntest\"}", "control characters"},
        {"{\"tokenUrl\":\"://\"}", "not a URL"},
        {"{\"tokenUrl\":5}", "tokenUrl must be text"},
        {"{}", "needs tokenUrl"},
        {"{\"tokenURL\":\"https://example.test/t\"}",
         "oauth.tokenURL is not known; known are tokenUrl, authorizeUrl, deviceUrl, "},
        {"{\"issuer\":\"https://example.test\",\"rotation\":\"sometimes\"}",
         "rotation must be one of \"strict\", \"none\", \"grace\", \"two-phase\""},
        {"{\"issuer\":\"https://example.test\",\"rotation\":\"grace\"}", "needs graceSeconds"},
        {"{\"issuer\":\"https://example.test\",\"graceSeconds\":-1}", "whole number"},
        {"{\"issuer\":\"https://example.test\",\"expiry\":\"later\"}", "\"expires_at\""},
        {"{\"issuer\":\"https://example.test\",\"extra\":{\"grant_type\":\"x\"}}",
         "set by the request"},
        {"{\"issuer\":\"https://example.test\",\"extra\":{\"a\":1}}", "extra.a must be text"},
        {"{\"issuer\":\"https://example.test\",\"headers\":{\"a b\":\"1\"}}", "header name"},
        {"{\"issuer\":\"https://example.test\",\"headers\":{\"a\":\"1\\r\\nb: 2\"}}",
         "control characters"},
        {"{\"issuer\":\"https://example.test\",\"accountClaim\":\"sub\"}", "JSON pointer"},
        {"{\"issuer\":\"https://example.test\",\"terminalCodes\":[\"\"]}", "terminalCodes[0]"},
        {"{\"id\":\"other\",\"issuer\":\"https://example.test\"}", "another provider"},
        {"{\"tokenUrl\":\"http://127.example.test/t\"}", "use https"},
        {"{\"tokenUrl\":\"file:///etc/passwd\"}", "has no host"},
        {"{\"tokenUrl\":\"https://example.test/\x7f\"}", "control characters"},
        {"{\"issuer\":\"https://example.test\",\"scopes\":\"\\u001f\"}", "control characters"},
        {"{\"issuer\":\"https://example.test\",\"rotation\":7}", "\"two-phase\""},
        {"{\"issuer\":\"https://example.test\",\"graceSeconds\":\"5\"}", "whole number"},
        {"{\"issuer\":\"https://example.test\",\"graceSeconds\":4294967296}", "whole number"},
        {"{\"issuer\":\"https://example.test\",\"extra\":[]}", "an object of texts"},
        {"{\"issuer\":\"https://example.test\",\"headers\":{\"\":\"1\"}}", "header name"},
        {"{\"issuer\":\"https://example.test\",\"terminalCodes\":\"gone\"}", "must be a list"},
        {"{\"issuer\":\"https://example.test\",\"terminalCodes\":[7]}", "terminalCodes[0]"},
        {"{\"issuer\":\"https://example.test\",\"terminalCodes\":[\"a\",\"a_code_that_is_longer_"
         "than_the_sixty_three_bytes_that_there_are_for_it\"]}", "terminalCodes[1]"},
        {"{\"id\":7,\"issuer\":\"https://example.test\"}", "another provider"},
        {"{\"issuer\":", "line 1, column"},
        {"[]", "must be an object"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct provider_rule rule = {.grace_seconds = 77};
        char why[512] = "";
        int error = provider_rule_parse("lab", cases[i].json, &rule, why, sizeof(why));
        if (error != -EINVAL || strstr(why, cases[i].says) == NULL) {
            fail_msg("%s: %d, \"%s\"", cases[i].json, error, why);
        }
        assert_int_equal(rule.grace_seconds, 77); /* nothing is written on failure */
    }
}

/* A rule of lab that holds `count` times the letter c, or as many members of a list. */
static int parse_long(const char *before, size_t count, const char *between, const char *after,
                      char *ret_why)
{
    char json[1400];
    struct provider_rule rule;
    snprintf(json, sizeof(json), "{\"issuer\":\"https://example.test\",%s", before);
    for (size_t i = 0; i < count; i++) {
        snprintf(json + strlen(json), sizeof(json) - strlen(json), "%sc", i == 0 ? "" : between);
    }
    snprintf(json + strlen(json), sizeof(json) - strlen(json), "%s}", after);
    ret_why[0] = '\0';
    return provider_rule_parse("lab", json, &rule, ret_why, 256);
}

static void what_just_fits_is_taken_and_no_byte_more(void **state)
{
    (void)state;
    static const struct {
        const char *before, *between, *after;
        size_t most;
        const char *says;
    } cases[] = {
        {"\"tokenUrl\":\"https://example.test/", "", "\"", 511 - 21, "tokenUrl is longer than 511"},
        {"\"extra\":{\"a\":\"", "", "\"}", 511 - 8, "extra is larger than 511"},
        {"\"terminalCodes\":[\"", "", "\"]", 63,
         "terminalCodes[0] must be a code of 1 to 63 bytes"},
        {"\"terminalCodes\":[\"", "\",\"", "\"]", PROVIDER_LIST_MAX, "at most"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[256];
        for (size_t count = 1; count <= cases[i].most; count += cases[i].most - 1) {
            if (parse_long(cases[i].before, count, cases[i].between, cases[i].after, why) != 0) {
                fail_msg("%s", why);
            }
        }
        assert_int_equal(parse_long(cases[i].before, cases[i].most + 1, cases[i].between,
                                    cases[i].after, why),
                         -EINVAL);
        if (strstr(why, cases[i].says) == NULL) {
            fail_msg("%s", why);
        }
    }
}

static void seconds_are_any_number_of_32_bits(void **state)
{
    (void)state;
    struct provider_rule rule;
    char why[256] = "";
    assert_int_equal(provider_rule_parse("lab", "{\"issuer\":\"https://example.test\","
                                         "\"rotation\":\"grace\",\"graceSeconds\":1,"
                                         "\"refreshLifeSeconds\":4294967295}", &rule, why,
                                         sizeof(why)), 0);
    assert_int_equal(rule.grace_seconds, 1);
    assert_int_equal(rule.refresh_life_seconds, UINT32_MAX);
}

static void a_provider_has_a_name_that_can_be_printed(void **state)
{
    (void)state;
    struct provider_rule rule;
    char why[256] = "", id[sizeof(rule.id) + 1];
    memset(id, 'a', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    const char *const names[] = {"", id, "la\nb"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(provider_rule_parse(names[i], "{\"issuer\":\"https://example.test\"}",
                                             &rule, why, sizeof(why)),
                         -EINVAL);
        assert_non_null(strstr(why, "provider's id"));
    }
    id[sizeof(id) - 2] = '\0';
    assert_int_equal(provider_rule_parse(id, "{\"issuer\":\"https://example.test\"}", &rule, why,
                                         sizeof(why)),
                     0);
    assert_string_equal(rule.id, id);
}

static void a_name_of_localhost_is_loopback(void **state)
{
    (void)state;
    char why[256];
    assert_true(provider_url_check("http://localhost:9/t", why, sizeof(why)));
    assert_true(provider_url_check("http://[::1]:9/t", why, sizeof(why)));
    assert_true(provider_url_check("http://127.0.0.2/t", why, sizeof(why)));
    assert_false(provider_url_check("http://localhost.example.test/t", why, sizeof(why)));
}

static void the_origin_is_scheme_host_and_unusual_port(void **state)
{
    (void)state;
    static const struct {
        const char *url, *origin;
    } cases[] = {
        {"https://example.test/oauth/token", "https://example.test"},
        {"https://example.test:443/t", "https://example.test"},
        {"https://EXAMPLE.test:8443/t?x=1", "https://example.test:8443"},
        {"http://[::1]:9/t", "http://[::1]:9"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct provider_rule rule = {0};
        memcpy(rule.token_url, cases[i].url, strlen(cases[i].url));
        char origin[64];
        size_t length = strlen(cases[i].origin);
        memset(origin, 'x', sizeof(origin));
        assert_false(provider_rule_origin(&rule, origin, length));
        assert_int_equal(origin[0], 'x');
        assert_true(provider_rule_origin(&rule, origin, length + 1));
        assert_string_equal(origin, cases[i].origin);
    }
    char origin[64];
    assert_false(provider_rule_origin(provider_builtin("openai"), origin, sizeof(origin)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_parses_to_the_same_rule),
        cmocka_unit_test(a_config_object_becomes_a_rule),
        cmocka_unit_test(what_is_not_said_is_strict),
        cmocka_unit_test(a_built_in_rule_can_be_changed_in_one_key),
        cmocka_unit_test(what_is_said_takes_the_place_of_all_that_was_built_in),
        cmocka_unit_test(wrong_objects_are_refused_with_a_sentence),
        cmocka_unit_test(what_just_fits_is_taken_and_no_byte_more),
        cmocka_unit_test(seconds_are_any_number_of_32_bits),
        cmocka_unit_test(a_provider_has_a_name_that_can_be_printed),
        cmocka_unit_test(a_name_of_localhost_is_loopback),
        cmocka_unit_test(the_origin_is_scheme_host_and_unusual_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
