/* SPDX-License-Identifier: Apache-2.0 */
#include "reading_fixture.h"

#define CREATED "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\n"
#define DELTA(text)                                                                                \
    "event: response.output_text.delta\n"                                                          \
    "data: {\"type\":\"response.output_text.delta\",\"delta\":\"" text "\"}\n\n"
#define ITEM(item)                                                                                 \
    "event: response.output_item.done\n"                                                           \
    "data: {\"type\":\"response.output_item.done\",\"item\":" item "}\n\n"
#define MESSAGE                                                                                    \
    "{\"id\":\"msg_1\",\"status\":\"completed\",\"type\":\"message\",\"role\":\"assistant\","      \
    "\"content\":[{\"type\":\"output_text\",\"text\":\"Hi, axon.\"}]}"
#define KEPT                                                                                       \
    "{\"type\":\"message\",\"role\":\"assistant\","                                                \
    "\"content\":[{\"type\":\"output_text\",\"text\":\"Hi, axon.\"}]}"
#define COMPLETED(output)                                                                          \
    "event: response.completed\n"                                                                  \
    "data: {\"type\":\"response.completed\",\"response\":{\"output\":[" output "],\"usage\":{"     \
    "\"input_tokens\":11,\"output_tokens\":5}}}\n\n"

static void text_comes_as_deltas_and_the_item_once(void **state)
{
    (void)state;
    read_stream(&api_responses,
                CREATED DELTA("Hi, ") ": ping\n\n" DELTA("axon.") ITEM(MESSAGE)
                    COMPLETED(MESSAGE),
                &(struct expected){.text = "Hi, axon.", .calls = "[]", .items = "[" KEPT "]",
                                   .input_tokens = 11, .output_tokens = 5});
}

static void an_answer_may_stand_only_in_the_terminal_event(void **state)
{
    (void)state;
    read_stream(&api_responses, CREATED COMPLETED(MESSAGE),
                &(struct expected){.text = "Hi, axon.", .items = "[" KEPT "]",
                                   .input_tokens = 11, .output_tokens = 5});
}

static void deltas_without_an_item_make_one(void **state)
{
    (void)state;
    read_stream(&api_responses, CREATED DELTA("Hi, ") DELTA("axon.") COMPLETED(""),
                &(struct expected){.text = "Hi, axon.", .items = "[" KEPT "]",
                                   .input_tokens = 11, .output_tokens = 5});
}

static void a_function_call_is_taken_with_its_arguments(void **state)
{
    (void)state;
    read_stream(&api_responses,
                CREATED ITEM("{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[]}")
                    ITEM("{\"type\":\"reasoning\",\"id\":\"rs_2\",\"encrypted_content\":\"x\"}")
                    ITEM("{\"id\":\"fc_1\",\"type\":\"function_call\",\"call_id\":\"c1\","
                         "\"name\":\"queenright.ask\",\"arguments\":\"{\\\"agent\\\":\\\"nova\\\"}"
                         "\"}")
                    COMPLETED(""),
                &(struct expected){
                    .text = "",
                    .calls = "[{\"call_id\":\"c1\",\"name\":\"ask\","
                             "\"arguments\":\"{\\\"agent\\\":\\\"nova\\\"}\"}]",
                    .items = "[{\"type\":\"reasoning\",\"encrypted_content\":\"x\","
                             "\"_by\":\"lab lab:me\"},"
                             "{\"type\":\"function_call\",\"call_id\":\"c1\","
                             "\"name\":\"queenright.ask\","
                             "\"arguments\":\"{\\\"agent\\\":\\\"nova\\\"}\"}]",
                    .input_tokens = 11, .output_tokens = 5});
}

static void without_the_terminal_event_it_is_cut(void **state)
{
    (void)state;
    read_stream(&api_responses, CREATED DELTA("Hi, ") ITEM(MESSAGE),
                &(struct expected){.fault = FAULT_CUT, .code = "cut"});
    read_stream(&api_responses, CREATED DELTA("Hi, ") "data: {\"type\":\"response.comp",
                &(struct expected){.fault = FAULT_CUT, .code = "cut"});
    read_stream(&api_responses, "", &(struct expected){.fault = FAULT_CUT, .code = "cut"});
}

static void an_overload_inside_the_stream_is_transient(void **state)
{
    (void)state;
    read_stream(&api_responses,
                CREATED "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":"
                        "{\"error\":{\"code\":\"server_is_overloaded\",\"message\":\"busy\"}}}\n\n",
                &(struct expected){.fault = FAULT_TRANSIENT, .code = "server_is_overloaded"});
    read_stream(&api_responses,
                "event: error\ndata: {\"type\":\"error\",\"code\":\"slow_down\",\"message\":\"m\"}"
                "\n\n",
                &(struct expected){.fault = FAULT_TRANSIENT, .code = "slow_down"});
    read_stream(&api_responses,
                "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n",
                &(struct expected){.fault = FAULT_TRANSIENT, .code = "server_error"});
}

static void a_usage_limit_inside_the_stream_is_the_accounts(void **state)
{
    (void)state;
    read_stream(&api_responses,
                "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":"
                "\"usage_limit_reached\",\"resets_in_seconds\":60}}}\n\n",
                &(struct expected){.fault = FAULT_QUOTA, .code = "usage_limit_reached",
                                   .until_ms = NOW_MS + 60000});
}

static void an_incomplete_answer_says_why_it_stopped(void **state)
{
    (void)state;
    read_stream(&api_responses,
                CREATED DELTA("Hi, axon.")
                "data: {\"type\":\"response.incomplete\",\"response\":{\"incomplete_details\":"
                "{\"reason\":\"max_output_tokens\"}}}\n\n",
                &(struct expected){.text = "Hi, axon.", .items = "[" KEPT "]",
                                   .stop = "max_output_tokens"});
}

static void html_in_the_stream_is_no_answer(void **state)
{
    (void)state;
    read_stream(&api_responses, "<html>\n<body>data: no\n</body>\n\n",
                &(struct expected){.fault = FAULT_CUT, .code = "cut"});
    read_stream(&api_responses, "data: <html>\n\n",
                &(struct expected){.fault = FAULT_TRANSIENT, .code = "not_json"});
}

static void the_body_has_what_the_plans_backends_demand(void **state)
{
    (void)state;
    struct api_call call = {.model = "gpt-5.5", .instructions = proto_text("Be short."),
                            .reasoning = true, .cache_key = "k"};
    expect_body(&api_responses, &call, "[{\"role\":\"user\",\"content\":\"Hi\"}]", NULL,
                "{\"model\":\"gpt-5.5\",\"instructions\":\"Be short.\","
                "\"input\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"store\":false,"
                "\"stream\":true,\"include\":["
                "\"reasoning.encrypted_content\"],\"prompt_cache_key\":\"k\"}");
}

static void reasoning_goes_back_only_to_whom_it_came_from(void **state)
{
    (void)state;
    struct api_call call = {.model = "m", .by = "lab lab:me"};
    expect_body(&api_responses, &call,
                "[{\"type\":\"reasoning\",\"encrypted_content\":\"a\",\"_by\":\"lab lab:me\"},"
                "{\"type\":\"reasoning\",\"encrypted_content\":\"b\",\"_by\":\"lab lab:you\"},"
                "{\"type\":\"reasoning\",\"encrypted_content\":\"c\"},"
                "{\"role\":\"user\",\"content\":\"Hi\"}]", NULL,
                "{\"model\":\"m\",\"instructions\":\"\","
                "\"input\":[{\"type\":\"reasoning\",\"encrypted_content\":\"a\"},"
                "{\"role\":\"user\",\"content\":\"Hi\"}],\"store\":false,\"stream\":true}");
}

static void tools_stand_flat_or_in_a_namespace(void **state)
{
    (void)state;
    const char *tools = "[{\"name\":\"ask\",\"description\":\"d\",\"parameters\":"
                        "{\"type\":\"object\",\"properties\":{}}}]";
#define ASK                                                                                        \
    "{\"type\":\"function\",\"name\":\"ask\",\"description\":\"d\",\"parameters\":"               \
    "{\"type\":\"object\",\"properties\":{}}}"
#define BODY(tools)                                                                                \
    "{\"model\":\"m\",\"instructions\":\"\",\"input\":[],\"store\":false,\"stream\":true,"        \
    "\"tools\":[" tools "],\"tool_choice\":\"auto\",\"parallel_tool_calls\":true}"
    expect_body(&api_responses, &(struct api_call){.model = "m"}, "[]", tools, BODY(ASK));
    expect_body(&api_responses, &(struct api_call){.model = "m", .tool_space = "queenright"}, "[]",
                tools,
                BODY("{\"type\":\"namespace\",\"name\":\"queenright\",\"description\":"
                     "\"Tools of this agent.\",\"tools\":[" ASK "]}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_as_deltas_and_the_item_once),
        cmocka_unit_test(an_answer_may_stand_only_in_the_terminal_event),
        cmocka_unit_test(deltas_without_an_item_make_one),
        cmocka_unit_test(a_function_call_is_taken_with_its_arguments),
        cmocka_unit_test(without_the_terminal_event_it_is_cut),
        cmocka_unit_test(an_overload_inside_the_stream_is_transient),
        cmocka_unit_test(a_usage_limit_inside_the_stream_is_the_accounts),
        cmocka_unit_test(an_incomplete_answer_says_why_it_stopped),
        cmocka_unit_test(html_in_the_stream_is_no_answer),
        cmocka_unit_test(the_body_has_what_the_plans_backends_demand),
        cmocka_unit_test(reasoning_goes_back_only_to_whom_it_came_from),
        cmocka_unit_test(tools_stand_flat_or_in_a_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
