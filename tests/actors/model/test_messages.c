/* SPDX-License-Identifier: Apache-2.0 */
#include "reading_fixture.h"

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                                      \
    EVENT("message_start", ",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}")
#define BLOCK(block) EVENT("content_block_start", ",\"index\":0,\"content_block\":" block)
#define DELTA(delta) EVENT("content_block_delta", ",\"index\":0,\"delta\":" delta)
#define STOP EVENT("content_block_stop", ",\"index\":0")
#define TEXT(text) DELTA("{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define END(reason)                                                                                \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\"},"                          \
                           "\"usage\":{\"output_tokens\":4}")
#define LAST EVENT("message_stop", "")

static void text_and_a_call_come_as_blocks(void **state)
{
    (void)state;
    read_stream(&api_messages,
                START BLOCK("{\"type\":\"text\",\"text\":\"\"}") EVENT("ping", "") TEXT("I ")
                    TEXT("ask.") STOP
                    BLOCK("{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"ask\",\"input\":{}}")
                    DELTA("{\"type\":\"input_json_delta\",\"partial_json\":\"\"}")
                    DELTA("{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"x\\\"\"}")
                    DELTA("{\"type\":\"input_json_delta\",\"partial_json\":\":1}\"}") STOP
                    END("tool_use") LAST,
                &(struct expected){
                    .text = "I ask.",
                    .calls = "[{\"call_id\":\"t1\",\"name\":\"ask\","
                             "\"arguments\":\"{\\\"x\\\":1}\"}]",
                    .items = "[{\"type\":\"message\",\"role\":\"assistant\",\"content\":["
                             "{\"type\":\"output_text\",\"text\":\"I ask.\"}]},"
                             "{\"type\":\"function_call\",\"call_id\":\"t1\",\"name\":\"ask\","
                             "\"arguments\":\"{\\\"x\\\":1}\"}]",
                    .input_tokens = 9, .output_tokens = 4});
}

static void without_message_stop_it_is_cut(void **state)
{
    (void)state;
    read_stream(&api_messages,
                BLOCK("{\"type\":\"text\",\"text\":\"\"}") TEXT("Hi") STOP,
                &(struct expected){.fault = FAULT_CUT, .code = "cut"});
}

static void an_overload_may_come_at_any_time(void **state)
{
    (void)state;
    read_stream(&api_messages, EVENT("error", ",\"error\":{\"type\":\"overloaded_error\"}"),
                &(struct expected){.fault = FAULT_TRANSIENT, .code = "overloaded_error"});
}

static void items_become_turns_of_blocks(void **state)
{
    (void)state;
    struct api_call call = {.model = "m", .instructions = proto_text("Be short.")};
    expect_body(
        &api_messages, &call,
        "[{\"role\":\"user\",\"content\":\"Hi\"},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"I ask.\"}]},"
        "{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"ask\","
        "\"arguments\":\"{\\\"x\\\":1}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":\"yes\"},"
        "{\"role\":\"user\",\"content\":\"so?\"}]",
        "[{\"name\":\"ask\",\"description\":\"d\"}]",
        "{\"model\":\"m\",\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"I ask.\"},"
        "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"ask\",\"input\":{\"x\":1}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\","
        "\"content\":\"yes\"},{\"type\":\"text\",\"text\":\"so?\"}]}],"
        "\"stream\":true,\"max_tokens\":8192,\"system\":\"Be short.\",\"tools\":["
        "{\"name\":\"ask\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_a_call_come_as_blocks),
        cmocka_unit_test(without_message_stop_it_is_cut),
        cmocka_unit_test(an_overload_may_come_at_any_time),
        cmocka_unit_test(items_become_turns_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
