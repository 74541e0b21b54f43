/* SPDX-License-Identifier: Apache-2.0 */
/* What the model actor does when all goes well, and when it does not. */
#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODELS                                                                                     \
    "{\"providers\":{"                                                                             \
    "\"lab\":{\"baseUrl\":\"http://127.0.0.1:8443/v1\",\"api\":\"openai-responses\","              \
    "\"auth\":\"oauth\",\"accountHeader\":\"X-Account\",\"maxConcurrent\":2},"                     \
    "\"chat\":{\"baseUrl\":\"http://127.0.0.1:9/v1\",\"auth\":\"oauth\"},"                         \
    "\"local\":{\"baseUrl\":\"http://127.0.0.1:7/v1\",\"auth\":\"none\"},"                         \
    "\"key\":{\"baseUrl\":\"https://key.example.test/v1\",\"api\":\"anthropic-messages\","         \
    "\"auth\":\"api-key\"}}}"
#define AUTH                                                                                       \
    "{\"profiles\":{\"lab:me\":{\"provider\":\"lab\"},\"lab:you\":{\"provider\":\"lab\"},"         \
    "\"chat:me\":{\"provider\":\"chat\"}}}"
#define ONE "{\"profiles\":{\"lab:me\":{\"provider\":\"lab\"}}}"

#define DELTA(text) "data: {\"type\":\"response.output_text.delta\",\"delta\":\"" text "\"}\n\n"
#define COMPLETED                                                                                  \
    "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,"          \
    "\"output_tokens\":2}}}\n\n"
#define FAILED(code)                                                                               \
    "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"" code "\"}}}\n\n"
#define STREAM "content-type: text/event-stream\n"
#define GOOD (struct stage_reply){200, STREAM, DELTA("Hi, ") DELTA("axon.") COMPLETED, NULL, false}
#define CHAT                                                                                       \
    (struct stage_reply){200, STREAM,                                                              \
                         "data: {\"choices\":[{\"delta\":{\"content\":\"chat\"},"                  \
                         "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", NULL, false}
#define ANSWER(body) (struct stage_reply){200, STREAM, body, NULL, false}
#define ERROR(status, body)                                                                        \
    (struct stage_reply){status, "content-type: application/json\n", body, NULL, false}

static void assert_text(struct proto_text text, const char *expected)
{
    char copy[2000];
    assert_true(proto_text_copy(text, copy, sizeof(copy)));
    assert_string_equal(copy, expected);
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

static void assert_note(struct proto_text note, const char *part)
{
    char copy[2000];
    assert_true(proto_text_copy(note, copy, sizeof(copy)));
    assert_says(copy, part);
}

static void a_call_streams_its_text_and_then_answers(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    struct model_answer answer = stage_answer(call);
    assert_string_equal(call->text, "Hi, axon.");
    assert_int_equal(call->parts, 2);
    assert_text(answer.text, "Hi, axon.");
    assert_text(answer.model, "lab/gpt");
    assert_text(answer.profile, "lab:me");
    assert_text(answer.note, "");
    assert_text(answer.calls, "");
    assert_int_equal(answer.input_tokens, 3);
    const struct stage_request *request = &stage->requests[0];
    assert_string_equal(request->url, "http://127.0.0.1:8443/v1/responses");
    assert_string_equal(request->bearer, "lab:me-1");
    assert_says(request->headers, "\nX-Account: acct-7");
    assert_says(request->body, "\"store\":false");
    assert_says(request->body, "\"model\":\"gpt\"");
    assert_null(strstr(request->body, "atlas"));
    stage_free(stage);
}

static void a_caller_without_credit_gets_the_answer_alone(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 0, false));
    assert_int_equal(call->parts, 0);
    assert_text(stage_answer(call).text, "Hi, axon.");
    stage_free(stage);
}

static void a_401_is_told_once_and_the_new_token_is_used(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, ERROR(401, "{\"error\":{\"code\":\"token_expired\"}}"));
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_text(stage_answer(call).text, "Hi, axon.");
    assert_text(stage_answer(call).note, "");
    assert_int_equal(stage->rejected, 1);
    assert_int_equal(stage->gets, 1);
    assert_string_equal(stage->requests[1].bearer, "lab:me-2");
    stage_free(stage);
}

static void a_token_that_the_model_repeats_is_not_repeated(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, ERROR(400, "{\"error\":{\"message\":\"no 'lab:me-1'.\"}}"));
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_says(call->why, "no '***'.");
    stage_reply(stage, ANSWER("data: {\"type\":\"response.failed\",\"response\":{\"error\":"
                              "{\"code\":\"invalid_prompt\",\"message\":\"lab:me-1\"}}}\n\n"));
    call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_says(call->why, ": ***");
    stage_free(stage);
}

static void a_second_401_is_not_told_again(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    stage_reply(stage, ERROR(401, ""));
    stage_reply(stage, ERROR(401, ""));
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_text(stage_answer(call).profile, "lab:you");
    assert_note(stage_answer(call).note, "lab/gpt (lab:me): ");
    assert_int_equal(stage->rejected, 1);
    stage_free(stage);
}

static void a_refused_login_says_what_the_keeper_says(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_profile(stage, "lab:me")->refuse = "needs_login";
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_string_equal(call->code, "needs_login");
    assert_int_equal(stage->request_count, 0);
    stage_free(stage);
}

static void a_spent_quota_is_told_and_the_next_profile_is_used(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    stage_reply(stage, ERROR(429, "{\"error\":{\"type\":\"usage_limit_reached\","
                                  "\"resets_at\":1700003600}}"));
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_text(stage_answer(call).profile, "lab:you");
    assert_note(stage_answer(call).note, "usage_limit_reached");
    assert_int_equal(stage->quota_hits, 1);
    assert_string_equal(stage->quota_profile, "lab:me");
    assert_string_equal(stage->quota_model, "");
    assert_string_equal(stage->quota_reason, "usage_limit_reached");
    assert_int_equal(stage->quota_resets_at_ms, 1700003600000);
    assert_string_equal(stage->requests[1].bearer, "lab:you-1");
    stage_free(stage);
}

static void then_the_next_model_is_used(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    const char *spent = "{\"error\":{\"type\":\"usage_limit_reached\",\"resets_in_seconds\":3600}}";
    stage_reply(stage, ERROR(429, spent));
    stage_reply(stage, ERROR(404, spent));
    stage_reply(stage, CHAT);
    unsigned number = stage_call(stage, "atlas", "lab/gpt\nchat/small", 4, false);
    struct probe_call *call = stage_finish(stage, number);
    assert_text(stage_answer(call).model, "chat/small");
    assert_text(stage_answer(call).text, "chat");
    assert_int_equal(stage->quota_hits, 2);
    assert_string_equal(stage->requests[2].url, "http://127.0.0.1:9/v1/chat/completions");
    stage_free(stage);
}

static void a_cooling_account_is_not_asked(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    stage_profile(stage, "lab:me")->cooling_until_ms = STAGE_WALL_MS + 3600000;
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_text(stage_answer(call).profile, "lab:you");
    assert_int_equal(stage->request_count, 1);
    stage_free(stage);
}

static void when_all_cool_the_refusal_says_until_when(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    stage_profile(stage, "lab:me")->cooling_until_ms = STAGE_WALL_MS + 7200000;
    stage_profile(stage, "lab:you")->cooling_until_ms = STAGE_WALL_MS + 3600000;
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_string_equal(call->code, "cooling");
    assert_int_equal(call->until_ms, STAGE_WALL_MS + 3600000);
    stage_free(stage);
}

static void a_short_rate_limit_is_waited_for(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, (struct stage_reply){429, "retry-after: 2\n",
                                            "{\"error\":{\"code\":\"rate_limit_exceeded\"}}",
                                            NULL, false});
    stage_reply(stage, GOOD);
    uint64_t before_ns = stage->now_ns;
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_text(stage_answer(call).text, "Hi, axon.");
    assert_true(stage->now_ns - before_ns >= 2000000000);
    assert_string_equal(stage->quota_model, "gpt");
    stage_free(stage);
}

static void an_overload_in_the_stream_is_tried_again(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, ANSWER(FAILED("server_is_overloaded")));
    stage_reply(stage, (struct stage_reply){.refuse = "unavailable"});
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_text(stage_answer(call).text, "Hi, axon.");
    assert_int_equal(stage->request_count, 3);
    stage_free(stage);
}

static void after_a_few_tries_comes_the_next_model(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    for (int i = 0; i < 3; i++)
        stage_reply(stage, ERROR(503, "<html>"));
    stage_reply(stage, CHAT);
    unsigned number = stage_call(stage, "atlas", "lab/gpt\nchat/small", 4, false);
    assert_text(stage_answer(stage_finish(stage, number)).model, "chat/small");
    assert_int_equal(stage->request_count, 4);
    stage_free(stage);
}

static void a_cut_before_any_text_is_tried_again_and_then_refused(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    for (int i = 0; i < 3; i++)
        stage_reply(stage, ANSWER("data: {\"type\":\"response.created\"}\n\n"));
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_string_equal(call->code, "cut");
    assert_int_equal(stage->request_count, 3);
    stage_free(stage);
}

static void after_visible_text_there_is_no_other_try(void **state)
{
    (void)state;
    static const struct {
        struct stage_reply reply;
        const char *code;
    } rows[] = {
        {{200, STREAM, DELTA("Hi, "), NULL, false}, "cut"},
        {{200, STREAM, DELTA("Hi, "), "unavailable", false}, "unavailable"},
        {{200, STREAM, DELTA("Hi, ") FAILED("server_is_overloaded"), NULL, false}, "unavailable"},
        {{200, STREAM, DELTA("Hi, ") FAILED("usage_limit_reached"), NULL, false}, "cooling"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stage *stage = stage_new(MODELS, AUTH);
        stage_reply(stage, rows[i].reply);
        stage_reply(stage, GOOD);
        unsigned number = stage_call(stage, "atlas", "lab/gpt\nchat/small", 4, false);
        struct probe_call *call = stage_finish(stage, number);
        assert_string_equal(call->text, "Hi, ");
        assert_string_equal(call->code, rows[i].code);
        assert_int_equal(stage->request_count, 1);
        stage_free(stage);
    }
}

static void what_is_wrong_with_the_request_is_refused_at_once(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    stage_reply(stage, ERROR(400, "{\"error\":{\"code\":\"context_length_exceeded\","
                                  "\"message\":\"too long\"}}"));
    unsigned number = stage_call(stage, "atlas", "lab/gpt\nchat/small", 4, false);
    struct probe_call *call = stage_finish(stage, number);
    assert_string_equal(call->code, "model_error");
    assert_says(call->why, "context_length_exceeded: too long");
    assert_int_equal(stage->request_count, 1);
    stage_free(stage);
}

static void html_with_status_200_is_not_an_answer(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    for (int i = 0; i < 3; i++)
        stage_reply(stage, (struct stage_reply){200, "content-type: text/html\n",
                                                "<html>hello</html>", NULL, false});
    stage_reply(stage, CHAT);
    unsigned number = stage_call(stage, "atlas", "lab/gpt\nchat/small", 4, false);
    assert_text(stage_answer(stage_finish(stage, number)).model, "chat/small");
    stage_free(stage);
}

static void a_paid_fallback_needs_to_be_allowed(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    const char *spent = "{\"error\":{\"type\":\"usage_limit_reached\",\"resets_in_seconds\":3600}}";
    stage_reply(stage, ERROR(429, spent));
    struct probe_call *call =
        stage_finish(stage, stage_call(stage, "atlas", "lab/gpt\nkey/big", 4, false));
    assert_string_equal(call->code, "not_paid");
    assert_int_equal(call->until_ms, STAGE_WALL_MS + 3600000);
    assert_says(call->why, "usage_limit_reached");
    assert_int_equal(stage->request_count, 1);
    stage_reply(stage, (struct stage_reply){200, STREAM,
                                            "data: {\"type\":\"message_stop\"}\n\n", NULL, false});
    call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt\n$key/big", 4, false));
    assert_text(stage_answer(call).model, "key/big");
    assert_note(stage_answer(call).note, "cooling");
    assert_string_equal(stage->requests[1].api_key, "key:default-1");
    assert_string_equal(stage->requests[1].bearer, "");
    assert_says(stage->requests[1].headers, "anthropic-version: ");
    stage_free(stage);
}

static void a_token_never_goes_to_another_origin(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    stage_profile(stage, "lab:me")->origin = "https://elsewhere.example.test";
    stage_profile(stage, "lab:you")->origin = "HTTP://127.0.0.1:8443";
    stage_reply(stage, GOOD);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_text(stage_answer(call).profile, "lab:you");
    assert_int_equal(stage->request_count, 1);
    stage_free(stage);
}

static void a_provider_without_auth_needs_no_token(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    stage_reply(stage, CHAT);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "local/m", 4, false));
    assert_text(stage_answer(call).text, "chat");
    assert_int_equal(stage->gets, 0);
    assert_string_equal(stage->requests[0].bearer, "");
    stage_free(stage);
}

static void an_unknown_model_is_named(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, AUTH);
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "nobody/m", 4, false));
    assert_string_equal(call->code, "unknown_model");
    assert_says(call->why, "nobody/m");
    stage_free(stage);
}

#define LONG20(d) d d d d d d d d d d d d d d d d d d d d

static void a_caller_that_does_not_read_pauses_the_transfer(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    static const char body[] = LONG20(DELTA("abcde")) LONG20(DELTA("fghij")) COMPLETED;
    stage->piece = 64;
    stage_reply(stage, ANSWER(body));
    unsigned number = stage_call(stage, "atlas", "lab/gpt", 2, true);
    stage_settle(stage);
    struct probe_call *call = &stage->probe.calls[number];
    assert_int_equal(call->parts, 2);
    size_t chunks = stage->chunks;
    assert_true(chunks < sizeof(body) / 64);
    probe_credit(&stage->probe, number, 1);
    stage_settle(stage);
    assert_int_equal(call->parts, 3);
    assert_true(stage->chunks > chunks);
    assert_false(call->over);
    probe_credit(&stage->probe, number, 1000);
    stage_finish(stage, number);
    assert_int_equal(call->bytes, 200);
    assert_int_equal(stage_answer(call).text.size, 200);
    stage_free(stage);
}

static void cancelling_ends_the_transfer(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, (struct stage_reply){200, STREAM, DELTA("Hi"), NULL, true});
    unsigned number = stage_call(stage, "atlas", "lab/gpt", 4, false);
    stage_settle(stage);
    assert_int_equal(stage->live, 1);
    probe_cancel(&stage->probe, number);
    stage_settle(stage);
    assert_true(stage->requests[0].cancelled);
    stage_reply(stage, GOOD); /* the place is free again */
    number = stage_call(stage, "atlas", "lab/gpt", 4, false);
    assert_text(stage_answer(stage_finish(stage, number)).text, "Hi, axon.");
    stage_free(stage);
}

static void an_account_has_only_so_many_calls_at_once(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    unsigned calls[7];
    for (int i = 0; i < 2; i++)
        stage_reply(stage, (struct stage_reply){200, STREAM, DELTA("Hi"), NULL, true});
    for (int i = 0; i < 5; i++)
        stage_reply(stage, GOOD);
    for (int i = 0; i < 7; i++)
        calls[i] = stage_call(stage, i < 5 ? "atlas" : "nova", "lab/gpt", 4, false);
    stage_settle(stage);
    assert_int_equal(stage->request_count, 2);
    probe_cancel(&stage->probe, calls[0]);
    probe_cancel(&stage->probe, calls[1]);
    for (int i = 2; i < 7; i++)
        assert_text(stage_answer(stage_finish(stage, calls[i])).text, "Hi, axon.");
    assert_int_equal(stage->live_most, 2);
    stage_free(stage);
}

static void a_reload_leaves_calls_in_flight_alone(void **state)
{
    (void)state;
    struct stage *stage = stage_new(MODELS, ONE);
    stage_reply(stage, ANSWER(FAILED("server_is_overloaded")));
    stage_reply(stage, GOOD);
    unsigned number = stage_call(stage, "atlas", "lab/gpt", 4, false);
    stage_settle(stage);
    struct model_reconfigure none = {.models = proto_text("{\"providers\":{}}")};
    struct message *answer = NULL;
    assert_int_equal(runtime_ask(stage->runtime, stage->model,
                                 actor_pack(model_reconfigure, &none), 1000000000, &answer), 0);
    assert_int_equal(answer->type, MSG_done);
    message_free(answer);
    assert_text(stage_answer(stage_finish(stage, number)).text, "Hi, axon.");
    struct probe_call *call = stage_finish(stage, stage_call(stage, "atlas", "lab/gpt", 4, false));
    assert_string_equal(call->code, "unknown_model");
    struct model_reconfigure bad = {.models = proto_text("{")};
    assert_int_equal(runtime_ask(stage->runtime, stage->model, actor_pack(model_reconfigure, &bad),
                                 1000000000, &answer), 0);
    assert_int_equal(answer->type, MSG_refusal);
    message_free(answer);
    stage_free(stage);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *models, *input, *tools;
    } rows[] = {{"", "[]", ""}, {"lab/gpt", "{}", ""}, {"lab/gpt", "", ""}, {"lab/gpt", "[]", "x"}};
    struct stage *stage = stage_new(MODELS, ONE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_call message = {.models = proto_text(rows[i].models),
                                     .input = proto_text(rows[i].input),
                                     .tools = proto_text(rows[i].tools)};
        unsigned number = probe_send(&stage->probe, actor_pack(model_call, &message), 4, false);
        assert_string_equal(stage_finish(stage, number)->code, "bad_request");
    }
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_streams_its_text_and_then_answers),
        cmocka_unit_test(a_caller_without_credit_gets_the_answer_alone),
        cmocka_unit_test(a_401_is_told_once_and_the_new_token_is_used),
        cmocka_unit_test(a_token_that_the_model_repeats_is_not_repeated),
        cmocka_unit_test(a_second_401_is_not_told_again),
        cmocka_unit_test(a_refused_login_says_what_the_keeper_says),
        cmocka_unit_test(a_spent_quota_is_told_and_the_next_profile_is_used),
        cmocka_unit_test(then_the_next_model_is_used),
        cmocka_unit_test(a_cooling_account_is_not_asked),
        cmocka_unit_test(when_all_cool_the_refusal_says_until_when),
        cmocka_unit_test(a_short_rate_limit_is_waited_for),
        cmocka_unit_test(an_overload_in_the_stream_is_tried_again),
        cmocka_unit_test(after_a_few_tries_comes_the_next_model),
        cmocka_unit_test(a_cut_before_any_text_is_tried_again_and_then_refused),
        cmocka_unit_test(after_visible_text_there_is_no_other_try),
        cmocka_unit_test(what_is_wrong_with_the_request_is_refused_at_once),
        cmocka_unit_test(html_with_status_200_is_not_an_answer),
        cmocka_unit_test(a_paid_fallback_needs_to_be_allowed),
        cmocka_unit_test(a_token_never_goes_to_another_origin),
        cmocka_unit_test(a_provider_without_auth_needs_no_token),
        cmocka_unit_test(an_unknown_model_is_named),
        cmocka_unit_test(a_caller_that_does_not_read_pauses_the_transfer),
        cmocka_unit_test(cancelling_ends_the_transfer),
        cmocka_unit_test(an_account_has_only_so_many_calls_at_once),
        cmocka_unit_test(a_reload_leaves_calls_in_flight_alone),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
