/* SPDX-License-Identifier: Apache-2.0 */
#include "reading_fixture.h"

#define CHUNK(choice) "data: {\"choices\":[" choice "]}\n\n"
#define TEXT(text) CHUNK("{\"index\":0,\"delta\":{\"content\":\"" text "\"}}")
#define CALL(call) CHUNK("{\"index\":0,\"delta\":{\"tool_calls\":[" call "]}}")
#define FINISH(reason) CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}")
#define USAGE                                                                                      \
    "data: {\"choices\":null,\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
#define DONE "data: [DONE]\n\n"

static void text_ends_with_a_finish_reason_and_done(void **state)
{
    (void)state;
    read_stream(&api_chat, TEXT("Hi, ") TEXT("axon.") FINISH("stop") USAGE DONE,
                &(struct expected){.text = "Hi, axon.", .calls = "[]",
                                   .items = "[{\"type\":\"message\",\"role\":\"assistant\","
                                            "\"content\":[{\"type\":\"output_text\","
                                            "\"text\":\"Hi, axon.\"}]}]",
                                   .input_tokens = 7, .output_tokens = 3});
}

static void either_end_alone_is_a_cut(void **state)
{
    (void)state;
    read_stream(&api_chat, TEXT("Hi") DONE, &(struct expected){.fault = FAULT_CUT, .code = "cut"});
    read_stream(&api_chat, TEXT("Hi") FINISH("stop"),
                &(struct expected){.fault = FAULT_CUT, .code = "cut"});
}

#define TWO_CALLS                                                                                  \
    "[{\"call_id\":\"a\",\"name\":\"ask\",\"arguments\":\"{\\\"x\\\":1}\"},"                       \
    "{\"call_id\":\"b\",\"name\":\"tell\",\"arguments\":\"{}\"}]"

static void fragments_of_calls_are_put_together_by_index(void **state)
{
    (void)state;
    read_stream(&api_chat,
                CALL("{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"ask\","
                     "\"arguments\":\"\"}}")
                    CALL("{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\"\"}}")
                    CALL("{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"tell\"}}")
                    CALL("{\"index\":0,\"function\":{\"arguments\":\":1}\"}}")
                    FINISH("tool_calls") DONE,
                &(struct expected){.text = "", .calls = TWO_CALLS});
}

static void servers_without_indexes_are_understood(void **state)
{
    (void)state;
    read_stream(&api_chat,
                CALL("{\"id\":\"a\",\"function\":{\"name\":\"ask\",\"arguments\":\"{\\\"x\\\"\"}}")
                    CALL("{\"id\":\"a\",\"function\":{\"name\":\"ask\",\"arguments\":\":1}\"}}")
                    CALL("{\"id\":\"b\",\"function\":{\"name\":\"tell\",\"arguments\":\"{}\"}}")
                    FINISH("tool_calls") DONE,
                &(struct expected){.text = "", .calls = TWO_CALLS});
}

static void an_error_may_come_as_data(void **state)
{
    (void)state;
    read_stream(&api_chat,
                TEXT("Hi") "data: {\"error\":{\"type\":\"rate_limit_exceeded\"}}\n\n",
                &(struct expected){.fault = FAULT_RATE, .code = "rate_limit_exceeded"});
}

static void a_length_stop_is_told(void **state)
{
    (void)state;
    read_stream(&api_chat, TEXT("Hi") FINISH("length") DONE,
                &(struct expected){.text = "Hi", .stop = "length"});
}

static void items_become_messages(void **state)
{
    (void)state;
    struct api_call call = {.model = "m", .instructions = proto_text("Be short.")};
    expect_body(
        &api_chat, &call,
        "[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"Hi\"}]},"
        "{\"type\":\"reasoning\",\"encrypted_content\":\"x\"},"
        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
        "\"text\":\"I ask.\"}]},"
        "{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"ask\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call\",\"call_id\":\"b\",\"name\":\"ask\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":\"yes\"},"
        "{\"role\":\"developer\",\"content\":\"note\"}]",
        "[{\"name\":\"ask\",\"description\":\"d\",\"parameters\":{}}]",
        "{\"model\":\"m\",\"messages\":["
        "{\"role\":\"system\",\"content\":\"Be short.\"},{\"role\":\"user\",\"content\":\"Hi\"},"
        "{\"role\":\"assistant\",\"content\":\"I ask.\",\"tool_calls\":["
        "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"ask\",\"arguments\":\"{}\"}},"
        "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"ask\",\"arguments\":\"{}\"}}"
        "]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"yes\"},"
        "{\"role\":\"system\",\"content\":\"note\"}],\"stream\":true,"
        "\"stream_options\":{\"include_usage\":true},\"tools\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"ask\",\"description\":\"d\",\"parameters\":{}}}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_ends_with_a_finish_reason_and_done),
        cmocka_unit_test(either_end_alone_is_a_cut),
        cmocka_unit_test(fragments_of_calls_are_put_together_by_index),
        cmocka_unit_test(servers_without_indexes_are_understood),
        cmocka_unit_test(an_error_may_come_as_data),
        cmocka_unit_test(a_length_stop_is_told),
        cmocka_unit_test(items_become_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
