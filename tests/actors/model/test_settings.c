/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODELS                                                                                     \
    "{\"providers\":{"                                                                             \
    "\"lab\":{\"baseUrl\":\"http://127.0.0.1:8443/v1/\",\"api\":\"openai-responses\","             \
    "\"auth\":\"oauth\",\"headers\":{\"X-A\":\"1\"},\"accountHeader\":\"X-Account\","              \
    "\"maxConcurrent\":2},"                                                                        \
    "\"local\":{\"baseUrl\":\"http://127.0.0.1:1/v1\",\"auth\":\"none\"},"                         \
    "\"chatgpt\":{\"baseUrl\":\"https://api.example.test/v1\",\"api\":\"openai-responses\","       \
    "\"auth\":\"oauth\"},"                                                                         \
    "\"openai-codex\":{\"baseUrl\":\"https://chat.example.test/codex\","                           \
    "\"api\":\"openai-responses\",\"auth\":\"oauth\",\"headers\":{}},"                             \
    "\"openai\":{\"baseUrl\":\"https://api.example.test/v1\",\"api\":\"openai-responses\","        \
    "\"auth\":\"api-key\"}}}"
#define AUTH                                                                                       \
    "{\"profiles\":{\"lab:me\":{\"provider\":\"lab\"},\"lab:you\":{\"provider\":\"lab\"}},"        \
    "\"order\":{\"lab\":[\"lab:you\",\"lab:me\"]}}"

static struct settings *parse(const char *models, const char *auth)
{
    struct settings *settings = NULL;
    char why[256] = "";
    int result = settings_parse(proto_text(models), proto_text(auth), &settings, why, sizeof(why));
    if (result < 0)
        fail_msg("%s", why);
    return settings;
}

static const struct provider *of(const struct settings *settings, const char *id)
{
    return settings_provider(settings, id, strlen(id));
}

static void a_provider_is_read_with_its_profiles_in_order(void **state)
{
    (void)state;
    struct settings *settings = parse(MODELS, AUTH);
    const struct provider *lab = of(settings, "lab");
    assert_string_equal(lab->url, "http://127.0.0.1:8443/v1/responses");
    assert_string_equal(lab->origin, "http://127.0.0.1:8443");
    assert_string_equal(lab->headers, "X-A: 1\n");
    assert_string_equal(lab->account_header, "X-Account");
    assert_int_equal(lab->concurrent_max, 2);
    assert_false(lab->paid);
    assert_int_equal(lab->profile_count, 2);
    assert_string_equal(lab->profiles[0], "lab:you");
    assert_string_equal(of(settings, "local")->url, "http://127.0.0.1:1/v1/chat/completions");
    assert_int_equal(of(settings, "local")->profile_count, 0);
    assert_string_equal(of(settings, "openai")->profiles[0], "openai:default");
    assert_true(of(settings, "openai")->paid);
    assert_null(of(settings, "la"));
    settings_unref(settings);
}

static void known_providers_bring_what_the_config_has_no_word_for(void **state)
{
    (void)state;
    struct settings *settings = parse(MODELS, AUTH);
    assert_string_equal(of(settings, "chatgpt")->tool_space, "queenright");
    assert_true(of(settings, "chatgpt")->reasoning);
    assert_string_equal(of(settings, "openai-codex")->headers, "originator: queenright\n");
    assert_null(of(settings, "lab")->tool_space);
    settings_unref(settings);
}

static void what_makes_no_sense_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *models, *auth, *why;
    } rows[] = {
        {"[]", "", "not a JSON object"},
        {"{", "", "not a JSON object"},
        {"{\"providers\":{\"a\":{\"api\":\"morse\"}}}", "", "provider a: api"},
        {"{\"providers\":{\"a\":{\"baseUrl\":\"ftp://x\"}}}", "", "provider a: baseUrl"},
        {"{\"providers\":{\"a\":{\"baseUrl\":\"http://u@x\"}}}", "", "provider a: baseUrl"},
        {"{\"providers\":{\"a\":{\"headers\":{\"A\":\"b\\r\\nC: d\"}}}}", "",
         "provider a: headers"},
        {"{\"providers\":{\"a\":{\"headers\":{\"A b\":\"c\"}}}}", "", "provider a: headers"},
        {"{\"providers\":{\"a\":{}}}", "{\"order\":{\"a\":[1]}}", "provider a: order"},
        {"{\"providers\":{\"a\":{}}}",
         "{\"profiles\":{\"b:me\":{\"provider\":\"b\"}},\"order\":{\"a\":[\"b:me\"]}}",
         "provider a: order"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct settings *settings = NULL;
        char why[256] = "";
        assert_int_equal(settings_parse(proto_text(rows[i].models), proto_text(rows[i].auth),
                                        &settings, why, sizeof(why)), -EINVAL);
        if (!strstr(why, rows[i].why))
            fail_msg("row %zu: %s", i, why);
        assert_null(settings);
    }
}

static void origins_are_compared_in_one_form(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"https://API.example.test/v1", "https://api.example.test"},
        {"https://api.example.test:443/", "https://api.example.test"},
        {"http://127.0.0.1:80", "http://127.0.0.1"},
        {"http://127.0.0.1:8080?x", "http://127.0.0.1:8080"},
        {"https://api.example.test@evil.example.test/", NULL},
        {"https:///v1", NULL},
        {"api.example.test", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char origin[64] = "";
        assert_int_equal(url_origin(rows[i][0], origin, sizeof(origin)), rows[i][1] != NULL);
        if (rows[i][1])
            assert_string_equal(origin, rows[i][1]);
    }
}

static void each_profile_of_each_model_is_a_route(void **state)
{
    (void)state;
    struct settings *settings = parse(MODELS, AUTH);
    char models[] = "lab/gpt-5.5\nlocal/a/b\n\nopenai/gpt\n$openai/gpt\nnobody/x\nlab";
    struct route *routes;
    size_t count;
    assert_int_equal(routes_make(settings, models, &routes, &count), 0);
    assert_int_equal(count, 7);
    assert_string_equal(routes[0].profile, "lab:you");
    assert_string_equal(routes[1].profile, "lab:me");
    assert_string_equal(routes[1].model, "gpt-5.5");
    assert_int_equal(routes[0].number, routes[1].number);
    assert_string_equal(routes[2].model, "a/b");
    assert_string_equal(routes[2].profile, "");
    assert_true(routes[3].forbidden);
    assert_false(routes[4].forbidden);
    assert_string_equal(routes[4].ref, "openai/gpt");
    assert_null(routes[5].provider);
    assert_null(routes[6].provider);
    free(routes);
    settings_unref(settings);
}

static void after_a_paid_first_model_paid_ones_are_free_to_take(void **state)
{
    (void)state;
    struct settings *settings = parse(MODELS, AUTH);
    char models[] = "openai/gpt\nopenai/other";
    struct route *routes;
    size_t count;
    assert_int_equal(routes_make(settings, models, &routes, &count), 0);
    assert_int_equal(count, 2);
    assert_false(routes[0].forbidden || routes[1].forbidden);
    free(routes);
    settings_unref(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_provider_is_read_with_its_profiles_in_order),
        cmocka_unit_test(known_providers_bring_what_the_config_has_no_word_for),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_a_sentence),
        cmocka_unit_test(origins_are_compared_in_one_form),
        cmocka_unit_test(each_profile_of_each_model_is_a_route),
        cmocka_unit_test(after_a_paid_first_model_paid_ones_are_free_to_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
