/* SPDX-License-Identifier: Apache-2.0 */
/* The config library. Files that must be refused lie in config/bad beside what is to be said about
 * them, NAME.txt; files that must be accepted in config/good. What no editor would keep
 * (NUL, broken UTF-8, 10 MB) is made here. */
#include <errno.h>
#include <glob.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "queenright/config/config.h"
#include "token/provider.h"

#define CORPUS TEST_SOURCE_DIR "/config/"

/* All errors, one a line, with the bare file name. */
static char *errors_print(struct config_errors *errors)
{
    char *text = NULL, *file = errors->file, *all, *slash = strrchr(file, '/');
    errors->file = slash ? slash + 1 : file;
    all = config_errors_text(errors);
    errors->file = file;
    assert_true(asprintf(&text, "%s%s", all, *all ? "\n" : "") >= 0);
    free(all);
    return text;
}

static char *file_read(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return strdup("(no such file)\n");
    char *text = calloc(1, 65536);
    size_t size = fread(text, 1, 65535, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void bad_files_are_refused_with_all_that_is_wrong(void **state)
{
    (void)state;
    glob_t found;
    size_t failed = 0;
    assert_int_equal(glob(CORPUS "bad/*.json", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 15);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct config *config = NULL;
        struct config_errors errors;
        int error = config_load(found.gl_pathv[i], &config, &errors);
        char *got = errors_print(&errors), *expected_path = strdup(found.gl_pathv[i]);
        memcpy(strrchr(expected_path, '.'), ".txt", 5);
        char *expected = file_read(expected_path);
        if (error != -EBADMSG || strcmp(got, expected) != 0) {
            print_error("%s: %d\n--- got\n%s--- expected\n%s", found.gl_pathv[i], error, got,
                        expected);
            failed++;
        }
        assert_null(config);
        free(expected);
        free(expected_path);
        free(got);
        config_errors_deinit(&errors);
    }
    globfree(&found);
    assert_int_equal(failed, 0);
}

static struct config *load_good(const char *name)
{
    char path[512];
    struct config *config = NULL;
    struct config_errors errors;
    snprintf(path, sizeof path, CORPUS "good/%s", name);
    int error = config_load(path, &config, &errors);
    char *text = errors_print(&errors);
    if (error < 0)
        print_error("%s", text);
    free(text);
    config_errors_deinit(&errors);
    assert_int_equal(error, 0);
    return config;
}

static void five_agents_load_as_the_example_says(void **state)
{
    (void)state;
    struct config *config = load_good("five.json");
    assert_string_equal(config->swarm, "five");
    assert_int_equal(config->agent_count, 5);
    assert_string_equal(config->agents[0].id, "atlas");
    assert_string_equal(config->agents[4].id, "lumi");
    assert_string_equal(config->agents[0].models, "lab/gpt-5.5");
    assert_string_equal(config->agents[0].instructions, "You are Atlas.");
    assert_string_equal(config->agents[0].node, "home");
    assert_string_equal(config->agents[4].node, "b");
    assert_string_equal(config->agents[0].tools, "ask,tell");
    assert_int_equal(config->agents[0].timeout_ms, 600000);
    assert_int_equal(config->node_count, 2);
    assert_int_equal(config->supervision.window_ms, 60000);
    const struct config_provider *lab = config_provider(config, "lab");
    assert_non_null(lab);
    assert_int_equal(lab->auth, AUTH_OAUTH);
    assert_false(lab->paid || lab->builtin);
    char *rule = config_provider_rule_json(lab);
    assert_string_equal(rule,
                        "{\"tokenUrl\":\"http://127.0.0.1:8443/oauth/token\","
                        "\"clientId\":\"lab\",\"encoding\":\"json\",\"rotation\":\"strict\"}");
    free(rule);
    config_free(config);
}

static void every_key_takes_effect(void **state)
{
    (void)state;
    struct config *config = load_good("everything.json");
    assert_string_equal(config->swarm, "full");
    const struct config_agent *atlas = config_agent(config, "ATLAS");
    assert_non_null(atlas);
    assert_string_equal(atlas->id, "atlas");
    assert_string_equal(atlas->node, "b");
    assert_string_equal(atlas->models, "lab/small\nlocal/tiny\n$openai/gpt-5.5");
    assert_string_equal(atlas->instructions, "Price: ${NOT_A_VARIABLE} ${lower}");
    assert_string_equal(atlas->tools, "tell");
    assert_int_equal(atlas->max_tool_rounds, 3);
    assert_int_equal(atlas->max_ask_depth, 2);
    assert_int_equal(atlas->max_queued, 5);
    assert_int_equal(atlas->history_turns, 7);
    assert_int_equal(atlas->timeout_ms, 60000);
    assert_int_equal(atlas->restart, CONFIG_RESTART_ON_FAILURE);
    const struct config_agent *axon = config_agent(config, "axon");
    assert_string_equal(axon->node, "a"); /* no home: the first */
    assert_string_equal(axon->models, "$openai/gpt-5.5");
    assert_string_equal(axon->tools, "");
    assert_string_equal(axon->instructions, "");
    assert_int_equal(axon->max_tool_rounds, 1);
    assert_int_equal(axon->max_ask_depth, 2);
    assert_int_equal(axon->restart, CONFIG_RESTART_NEVER);
    assert_int_equal(config_node(config, "a")->workers, 2);
    assert_int_equal(config->supervision.strategy, CONFIG_REST_FOR_ONE);
    assert_int_equal(config->supervision.backoff_max_ms, 500);
    assert_int_equal(config_provider(config, "lab")->max_concurrent, 2);
    assert_int_equal(config_provider(config, "openai")->max_concurrent, 0);
    assert_true(config_provider(config, "openai")->paid);
    assert_int_equal(config_provider(config, "local")->auth, AUTH_NONE);
    assert_int_equal(config_profile(config, "openai:default")->mode, AUTH_API_KEY);
    config_free(config);
}

static void actors_get_json_with_all_defaults(void **state)
{
    (void)state;
    struct config *config = load_good("everything.json");
    char *models_text = config_models_json(config), *auth_text = config_auth_json(config);
    char *agent_text = config_agent_json(config_agent(config, "atlas"));
    json_t *models = json_loads(models_text, 0, NULL), *auth = json_loads(auth_text, 0, NULL);
    json_t *agent = json_loads(agent_text, 0, NULL);
    json_t *openai = json_object_get(json_object_get(models, "providers"), "openai");
    assert_string_equal(json_string_value(json_object_get(openai, "baseUrl")),
                        "https://api.openai.com/v1");
    assert_true(json_is_true(json_object_get(openai, "paid")));
    json_t *order = json_object_get(auth, "order");
    json_t *lab = json_object_get(order, "lab"), *chatgpt = json_object_get(order, "chatgpt");
    assert_string_equal(json_string_value(json_array_get(lab, 0)), "lab:spare");
    assert_string_equal(json_string_value(json_array_get(chatgpt, 0)), "chatgpt:default");
    assert_null(json_object_get(order, "local"));
    assert_int_equal(json_integer_value(json_object_get(agent, "maxToolRounds")), 3);
    assert_int_equal(json_array_size(json_object_get(agent, "tools")), 1);
    json_decref(models);
    json_decref(auth);
    json_decref(agent);
    free(models_text);
    free(auth_text);
    free(agent_text);
    config_free(config);
}

/* The one error's text, or "" when accepted. */
static char *parse_text(const char *text, size_t size)
{
    struct config *config = NULL;
    struct config_errors errors;
    config_parse("f", text, size, &config, &errors);
    char *printed = errors_print(&errors);
    config_errors_deinit(&errors);
    config_free(config);
    return printed;
}

static void assert_says(const char *text, size_t size, const char *expected)
{
    char *got = parse_text(text, size);
    assert_string_equal(got, expected);
    free(got);
}

#define SAYS(text, expected) assert_says(text, sizeof(text) - 1, expected)

static void bytes_no_editor_keeps_are_refused(void **state)
{
    (void)state;
    SAYS("{ \"swarm\":\0 \"a\" }", "f:1:11: a NUL byte: this is not a text file\n");
    SAYS("{\n \"swarm\": \"a\xff\" }", "f:2:13: not UTF-8: save the file as UTF-8\n");
    SAYS("\xff\xfe{\0}\0", "f:1:1: the file is UTF-16: save it as UTF-8\n");
    SAYS("\xef\xbb\xbf{ \"swarm\": \"a\" }", "");
    SAYS("\xef\xbb\xbf{ \"swarm\": 1 }", "f:1:12: swarm: expected a string, found a number\n");
    SAYS("{ \"swarm\": 123456789012345678901234567890 }", "f:1:12: too big integer\n");
}

static void deep_nesting_is_refused_before_parsing(void **state)
{
    (void)state;
    size_t size = 1000000;
    char *text = malloc(size);
    memset(text, '[', size);
    char *got = parse_text(text, size);
    assert_string_equal(got, "f:1:13: nested deeper than anything a config holds\n");
    free(got);
    free(text);
}

static void a_file_of_10_mb_is_refused_unread(void **state)
{
    (void)state;
    char path[] = "/tmp/queenright-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 10 << 20), 0);
    close(fd);
    struct config *config = NULL;
    struct config_errors errors;
    assert_int_equal(config_load(path, &config, &errors), -EFBIG);
    assert_int_equal(errors.count, 1);
    assert_non_null(strstr(errors.items[0].message, "larger than 1048576 bytes"));
    config_errors_deinit(&errors);
    unlink(path);
    assert_int_equal(config_load("/", &config, &errors), -EISDIR);
    config_errors_deinit(&errors);
    assert_int_equal(config_load(path, &config, &errors), -ENOENT);
    assert_int_equal(errors.count, 1);
    config_errors_deinit(&errors);
    assert_null(config);
}

static void random_bytes_never_harm(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]\",:\\ab1 \n\xc3\xa9${}/";
    uint32_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        char text[48];
        size_t size = round % sizeof text;
        for (size_t i = 0; i < size; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        free(parse_text(text, size));
    }
}

static void variables_are_replaced(void **state)
{
    (void)state;
    static const char text[] =
        "{\"swarm\": \"${QUEENRIGHT_TEST_NAME}\", \"agents\": {\"defaults\": "
        "{\"instructions\": \"a $${X} b ${QUEENRIGHT_TEST_NAME}$\"}, "
        "\"entries\": {\"atlas\": {\"model\": \"openai/x\"}}}}";
    struct config *config = NULL;
    struct config_errors errors;
    setenv("QUEENRIGHT_TEST_NAME", "Nexis", 1);
    assert_int_equal(config_parse("f", text, sizeof text - 1, &config, &errors), 0);
    assert_string_equal(config->swarm, "nexis");
    assert_string_equal(config->agents[0].instructions, "a ${X} b Nexis$");
    config_errors_deinit(&errors);
    config_free(config);
}

static struct config *parse_good(const char *text)
{
    struct config *config = NULL;
    struct config_errors errors;
    int error = config_parse("f", text, strlen(text), &config, &errors);
    config_errors_deinit(&errors);
    assert_int_equal(error, 0);
    return config;
}

static void assert_diff(const char *before, const char *after, const char *expected)
{
    struct config *was = parse_good(before), *now = parse_good(after);
    struct config_changes changes;
    char text[2048] = "";
    assert_int_equal(config_diff(was, now, &changes), 0);
    for (size_t i = 0; i < changes.count; i++) {
        strncat(text, changes.items[i].text, sizeof text - strlen(text) - 2);
        strncat(text, "\n", 2);
    }
    assert_string_equal(text, expected);
    config_changes_deinit(&changes);
    config_free(was);
    config_free(now);
}

static void a_diff_says_what_a_reload_has_to_do(void **state)
{
    (void)state;
    static const char base[] =
        "{\"agents\": {\"defaults\": {\"model\": \"openai/a\"}, \"entries\": {\"atlas\": {}, "
        "\"axon\": {}, \"nova\": {}}}, \"nodes\": {\"home\": {}, \"b\": {}}}";
    assert_diff(base, base, "");
    assert_diff(base,
                "{\"nodes\": {\"b\": {}, \"home\": {}}, \"agents\": {\"entries\": {\"Nova\": "
                "{\"model\": \"openai/a\"}, \"axon\": {}, \"atlas\": {\"node\": \"home\"}}, "
                "\"defaults\": {\"model\": {\"primary\": \"openai/a\"}}}}",
                "");
    assert_diff(base,
                "{\"swarm\": \"x\", \"agents\": {\"defaults\": {\"model\": \"openai/a\"}, "
                "\"entries\": {\"atlas\": {\"model\": {\"primary\": \"openai/b\", \"fallbacks\": "
                "[\"openai/c\"]}}, \"axon\": {\"node\": \"b\", \"instructions\": \"hm\"}, "
                "\"lumi\": {\"node\": \"c\"}}}, \"nodes\": {\"home\": {\"workers\": 1}, "
                "\"b\": {}, \"c\": {}}, \"models\": {\"providers\": {\"openai\": "
                "{\"maxConcurrent\": 1}, \"lab\": {}}}, \"auth\": {\"profiles\": {\"openai:x\": "
                "{\"provider\": \"openai\", \"mode\": \"api_key\"}}}, "
                "\"supervision\": {\"intensity\": 1}}",
                "swarm: renamed from main to x; needs down and up\n"
                "node c: added\n"
                "node home: workers 0 -> 1; the node restarts\n"
                "agent lumi: added on c with openai/a\n"
                "agent nova: removed\n"
                "agent axon: moved from home to b, instructions changed\n"
                "agent atlas: model openai/a -> openai/b, openai/c\n"
                "provider openai: changed\n"
                "provider lab: added\n"
                "auth: profiles changed\n"
                "auth: order of openai changed\n"
                "supervision: changed\n");
}

/* What the nodes load is what config_json printed for them, in another environment. */
static void a_resolved_config_loads_as_itself(void **state)
{
    (void)state;
    static const char *const files[] = {"five.json", "everything.json", "empty_object.json"};
    for (size_t i = 0; i < 3; i++) {
        struct config *config = load_good(files[i]);
        char *text = config_json(config);
        struct config *again = parse_good(text);
        struct config_changes changes;
        assert_int_equal(config_diff(config, again, &changes), 0);
        assert_int_equal(changes.count, 0);
        char *text_again = config_json(again);
        assert_string_equal(text, text_again);
        free(text_again);
        free(text);
        config_free(config);
        config_free(again);
    }
}

/* Both sides check the oauth object; the keeper must not refuse what was accepted here. */
static void the_keeper_takes_every_rule_that_was_accepted(void **state)
{
    (void)state;
    static const char *const files[] = {"five.json", "everything.json", "empty_object.json"};
    size_t rules = 0;
    for (size_t i = 0; i < 3; i++) {
        struct config *config = load_good(files[i]);
        for (size_t j = 0; j < config->provider_count; j++) {
            struct provider_rule rule;
            char why[256] = "";
            if (config->providers[j].auth != AUTH_OAUTH)
                continue;
            char *json = config_provider_rule_json(&config->providers[j]);
            if (provider_rule_parse(config->providers[j].id, json, &rule, why, sizeof why) < 0)
                fail_msg("%s: %s", config->providers[j].id, why);
            rules++;
            free(json);
        }
        config_free(config);
    }
    assert_true(rules >= 8);
}

static void the_order_of_the_file_counts_where_none_is_given(void **state)
{
    (void)state;
    assert_diff("{\"auth\": {\"profiles\": {\"openai:a\": {\"provider\": \"openai\", \"mode\": "
                "\"api_key\"}, \"openai:b\": {\"provider\": \"openai\", \"mode\": \"api_key\"}}}}",
                "{\"auth\": {\"profiles\": {\"openai:b\": {\"provider\": \"openai\", \"mode\": "
                "\"api_key\"}, \"openai:a\": {\"provider\": \"openai\", \"mode\": \"api_key\"}}}}",
                "auth: order of openai changed\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused_with_all_that_is_wrong),
        cmocka_unit_test(five_agents_load_as_the_example_says),
        cmocka_unit_test(every_key_takes_effect),
        cmocka_unit_test(actors_get_json_with_all_defaults),
        cmocka_unit_test(bytes_no_editor_keeps_are_refused),
        cmocka_unit_test(deep_nesting_is_refused_before_parsing),
        cmocka_unit_test(a_file_of_10_mb_is_refused_unread),
        cmocka_unit_test(random_bytes_never_harm),
        cmocka_unit_test(variables_are_replaced),
        cmocka_unit_test(a_diff_says_what_a_reload_has_to_do),
        cmocka_unit_test(a_resolved_config_loads_as_itself),
        cmocka_unit_test(the_keeper_takes_every_rule_that_was_accepted),
        cmocka_unit_test(the_order_of_the_file_counts_where_none_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
