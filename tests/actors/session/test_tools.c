/* SPDX-License-Identifier: Apache-2.0 */
/* Tools, names of sessions and their files, and an agent's settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/session.h"
#include "tools.h"

/* Its own name is in the list that all agents share. */
static struct agent_names peers = {.references = 1, .count = 3, .names = {"axon", "atlas", "nova"}};
static const struct agent_config atlas = {
    .id = "atlas", .tools = "ask,tell", .peers = &peers, .max_ask_depth = 4};

static void the_tools_name_the_other_agents(void **state)
{
    static struct agent_names self = {.count = 1, .names = {"atlas"}};
    const struct agent_config alone = {.id = "atlas", .tools = "ask,tell", .peers = &self};
    const struct agent_config quiet = {.id = "atlas", .tools = "tell", .peers = &peers};
    char *text = tools_json(&atlas);
    json_t *tools = json_loads(text, 0, NULL);
    json_t *first = json_array_get(tools, 0);

    (void)state;
    assert_int_equal(json_array_size(tools), 2);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "ask");
    assert_non_null(strstr(json_string_value(json_object_get(first, "description")),
                           "axon, nova."));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(first, "parameters"), "type")),
        "object");
    json_decref(tools);
    free(text);

    text = tools_json(&alone);
    assert_string_equal(text, "[]");
    free(text);
    text = tools_json(&quiet);
    assert_null(strstr(text, "\"ask\""));
    assert_non_null(strstr(text, "\"tell\""));
    free(text);
}

static char *objection_to(const char *path, const char *tool, const char *arguments)
{
    json_t *calls = json_pack("[{s:s, s:s, s:s}]", "call_id", "c1", "name", tool, "arguments",
                              arguments);
    char *json = json_dumps(calls, 0), *objection;
    struct tool_call *parsed;
    size_t count;

    assert_int_equal(tool_calls_parse(proto_text(json), &parsed, &count), 0);
    assert_int_equal(count, 1);
    objection = parsed[0].output ? strdup(parsed[0].output)
                                 : tool_call_objection(&atlas, path, &parsed[0]);
    tool_calls_free(parsed, count);
    json_decref(calls);
    free(json);
    return objection;
}

static void expect_objection(const char *path, const char *tool, const char *arguments,
                             const char *piece)
{
    char *objection = objection_to(path, tool, arguments);

    if (piece) {
        assert_non_null(objection);
        assert_non_null(strstr(objection, piece));
    } else {
        assert_null(objection);
    }
    free(objection);
}

static void calls_are_checked_before_they_are_made(void **state)
{
    const char *axon = "{\"agent\":\"axon\",\"text\":\"hi\"}";

    (void)state;
    expect_objection("", "ask", axon, NULL);
    expect_objection("nova", "ask", axon, NULL);
    expect_objection("nova,axon", "ask", axon, "waits for your answer");
    expect_objection("nova,axon", "tell", axon, NULL); /* it may answer by telling */
    expect_objection("axonite", "ask", axon, NULL);    /* a name is a whole name */
    expect_objection("a,b,c", "ask", axon, NULL);
    expect_objection("a,b,c,d", "ask", axon, "the limit");
    expect_objection("a,b,c,d", "tell", axon, "the limit");
    expect_objection("", "ask", "{\"agent\":\"lumi\",\"text\":\"hi\"}", "There are: axon, nova");
    expect_objection("", "ask", "{\"agent\":\"atlas\",\"text\":\"hi\"}", "yourself");
    expect_objection("", "ask", "{\"agent\":\"axon\"}", "no text");
    expect_objection("", "ask", "not json", "no JSON object");
    expect_objection("", "ask", "[1]", "no JSON object");
    expect_objection("", "ask", "{\"agent\":5,\"text\":[]}", "no text");
    expect_objection("", "sing", axon, "no tool of the name sing");
}

static void calls_that_cannot_be_read_are_an_error(void **state)
{
    struct tool_call *calls = NULL;
    size_t count = 7;

    (void)state;
    assert_int_equal(tool_calls_parse(proto_text("{}"), &calls, &count), -EBADMSG);
    assert_int_equal(tool_calls_parse(proto_text("[{"), &calls, &count), -EBADMSG);
    assert_int_equal(tool_calls_parse(proto_text(""), &calls, &count), 0);
    assert_int_equal(count, 0);
    tool_calls_free(calls, count);
    assert_int_equal(tool_calls_parse(proto_text("[{}, 5]"), &calls, &count), 0);
    assert_int_equal(count, 2);
    assert_non_null(calls[0].output);
    assert_non_null(calls[1].output);
    tool_calls_free(calls, count);
}

static void each_chain_of_asks_has_a_session_of_its_own(void **state)
{
    char *path = path_with("atlas", "axon"), *key = path_session(path);

    (void)state;
    assert_string_equal(path, "atlas,axon");
    assert_string_equal(key, "from~atlas~axon");
    assert_int_equal(path_depth(""), 0);
    assert_int_equal(path_depth(path), 2);
    free(path);
    free(key);
}

static void a_key_is_a_safe_file_name_and_comes_back(void **state)
{
    static const char *const keys[] = {"main", "from~atlas~axon", "discord:channel:7", "../../x",
                                       ".hidden", "a b", "100%", "\xc3\xa9", "a/b"};
    char file[SESSION_FILE_MAX], key[SESSION_KEY_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(session_file("atlas", keys[i], file, sizeof(file)), 0);
        assert_memory_equal(file, "agents/atlas/", 13);
        assert_null(strchr(file + 13, '/'));
        assert_int_not_equal(file[13], '.');
        assert_int_equal(session_key_of_file(file + 13, strlen(file + 13), key, sizeof(key)), 0);
        assert_string_equal(key, keys[i]);
    }
    assert_int_equal(session_file("atlas", "", file, sizeof(file)), -EINVAL);
    assert_int_equal(session_file("atlas", "a\nb", file, sizeof(file)), -EINVAL);
    char long_key[400];
    memset(long_key, 'x', sizeof(long_key));
    long_key[399] = 0;
    assert_int_equal(session_file("atlas", long_key, file, sizeof(file)), -ENAMETOOLONG);
    assert_int_equal(session_key_of_file("x.txt", 5, key, sizeof(key)), -EINVAL);
    assert_int_equal(session_key_of_file("%4.jsonl", 8, key, sizeof(key)), -EINVAL);
    assert_int_equal(session_key_of_file("%zz.jsonl", 9, key, sizeof(key)), -EINVAL);
}

static void settings_are_copied_with_defaults_and_merged(void **state)
{
    const char *json = "{\"id\":\"other\",\"instructions\":\"new\",\"tools\":[\"ask\"],"
                       "\"maxToolRounds\":2,\"timeoutSeconds\":5,\"peers\":[\"lumi\"]}";
    struct agent_config *copy = agent_config_new(
        &(struct agent_config){.id = "atlas", .models = "lab/a\n$lab/b", .peers = &peers});
    struct agent_config *merged = agent_config_merge(copy, json, strlen(json));

    (void)state;
    assert_string_equal(copy->tools, "ask,tell");
    assert_string_equal(copy->instructions, "");
    assert_int_equal(copy->max_tool_rounds, 8);
    assert_ptr_equal(copy->peers, &peers);
    assert_int_equal(peers.references, 2);
    assert_string_equal(merged->id, "atlas"); /* a name is for life */
    assert_string_equal(merged->instructions, "new");
    assert_string_equal(merged->models, "lab/a\n$lab/b");
    assert_string_equal(merged->tools, "ask");
    assert_int_equal(merged->max_tool_rounds, 2);
    assert_int_equal(merged->timeout_ms, 5000);
    assert_int_equal(merged->peers->count, 1);
    assert_string_equal(merged->peers->names[0], "lumi");
    assert_null(agent_config_merge(copy, "[]", 2));
    assert_null(agent_config_merge(copy, "{\"a\":1,\"a\":2}", 13));
    agent_config_unref(agent_config_ref(copy));
    assert_string_equal(copy->id, "atlas");
    agent_config_unref(copy);
    assert_int_equal(peers.references, 1);
    agent_config_unref(merged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tools_name_the_other_agents),
        cmocka_unit_test(calls_are_checked_before_they_are_made),
        cmocka_unit_test(calls_that_cannot_be_read_are_an_error),
        cmocka_unit_test(each_chain_of_asks_has_a_session_of_its_own),
        cmocka_unit_test(a_key_is_a_safe_file_name_and_comes_back),
        cmocka_unit_test(settings_are_copied_with_defaults_and_merged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
