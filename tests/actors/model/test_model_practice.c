/* SPDX-License-Identifier: Apache-2.0 */
/* The model and http actors against the practice provider: real streams over real sockets, with
 * the faults it can play. Only the actor "token" is a stand-in: it gives out the login's first
 * token. */
#include "http/http.h"
#include "model/model.h"
#include "practice/practice.h"
#include "proto/model.h"
#include "proto/system.h"
#include "proto/token.h"
#include "support/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

struct fixture {
    struct practice *practice;
    struct runtime *runtime;
    struct probe logins, calls;
    char token[4096];
    atomic_uint rejected, quota_hits;
};

/* ---- the stand-in for the actor "token" ---------------------------------------------------- */

struct purse {
    struct fixture *fixture;
};

static int start(void *arg, struct context *context, const void *config)
{
    (void)context;
    memcpy(arg, config, sizeof(struct purse));
    return 0;
}

static int grant(struct purse *purse, struct context *context)
{
    struct token_grant grant = {.access = proto_text(purse->fixture->token)};
    return context_reply(context, actor_pack(token_grant, &grant));
}

static int on_token_get(struct purse *purse, struct context *context, const struct token_get *m)
{
    (void)m;
    return grant(purse, context);
}
ACTOR_HANDLER(token_get)

static int on_token_rejected(struct purse *purse, struct context *context,
                             const struct token_rejected *m)
{
    (void)m;
    atomic_fetch_add(&purse->fixture->rejected, 1);
    return grant(purse, context);
}
ACTOR_HANDLER(token_rejected)

static int on_quota_hit(struct purse *purse, struct context *context, const struct quota_hit *m)
{
    (void)m;
    atomic_fetch_add(&purse->fixture->quota_hits, 1);
    return actor_reply_done(context, 0);
}
ACTOR_HANDLER(quota_hit)

static const struct actor_handler purse_handlers[] = {
    ACTOR_ROW(token_get, FROM_LOCAL),
    ACTOR_ROW(token_rejected, FROM_LOCAL),
    ACTOR_ROW(quota_hit, FROM_LOCAL),
    ACTOR_ROW_END,
};

static const struct actor_ops purse_ops = {
    .name = "token", .state_size = sizeof(struct purse), .decode = proto_unpack,
    .handlers = purse_handlers, .start = start,
};

/* ---- set-up -------------------------------------------------------------------------------- */

static void quiet(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void spawn(struct fixture *f, const struct actor_ops *ops, const void *config,
                  const char *name, bool pinned)
{
    struct spawn_options options = {.name = name, .pinned = pinned};
    struct actor_id id;
    assert_int_equal(runtime_spawn(f->runtime, ops, config, &options, &id), 0);
}

static void log_in(struct fixture *f)
{
    char url[100];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/practice/login", practice_port(f->practice));
    struct http_request request = {.method = proto_text("POST"), .url = proto_text(url)};
    probe_start(&f->logins, f->runtime, "http");
    unsigned call = probe_send(&f->logins, actor_pack(http_request, &request), 4, false);
    probe_wait(&f->logins, call);
    json_t *tokens = json_loads(f->logins.calls[call].text, 0, NULL);
    const char *token = json_string_value(json_object_get(tokens, "access_token"));
    assert_non_null(token);
    snprintf(f->token, sizeof(f->token), "%s", token);
    json_decref(tokens);
}

static struct fixture *set_up(enum practice_fault fault, uint32_t times)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct practice_options practice;
    char models[600];
    practice_options_init(&practice);
    practice.access_life_ms = 600000;
    practice.model_delay_ms = practice.model_pace_ms = 1;
    practice.max_connections = 700;
    practice.quota_reset_ms = 3600000;
    if (fault != PRACTICE_OK) {
        practice.model_faults[0] = (struct practice_fault_rule){fault, 1, times};
        practice.model_fault_count = 1;
    }
    assert_int_equal(practice_start(&practice, &f->practice), 0);
    struct runtime_options options = {.name = "test", .workers = 2, .log = quiet};
    assert_int_equal(runtime_new(&options, &f->runtime), 0);
    struct purse purse = {f};
    spawn(f, &purse_ops, &purse, "token", false);
    spawn(f, &http_actor_ops, NULL, "http", true);
    unsigned port = practice_port(f->practice);
    snprintf(models, sizeof(models),
             "{\"providers\":{\"lab\":{\"baseUrl\":\"http://127.0.0.1:%u/v1\",\"auth\":\"oauth\","
             "\"api\":\"openai-responses\",\"maxConcurrent\":0},\"chat\":{\"baseUrl\":"
             "\"http://127.0.0.1:%u/v1\",\"auth\":\"oauth\",\"maxConcurrent\":0}}}", port, port);
    struct model_config config = {models, NULL};
    spawn(f, &model_actor_ops, &config, "model", false);
    log_in(f);
    probe_start(&f->calls, f->runtime, "model");
    return f;
}

static void tear_down(struct fixture *f)
{
    runtime_free(f->runtime);
    probe_deinit(&f->logins);
    probe_deinit(&f->calls);
    practice_stop(f->practice);
    free(f);
}

static unsigned call(struct fixture *f, const char *models, const char *says, uint32_t credit)
{
    char input[300];
    snprintf(input, sizeof(input), "[{\"role\":\"user\",\"content\":\"%s\"}]", says);
    struct model_call message = {.agent = proto_text("atlas"),
                                 .session = proto_text("main"),
                                 .models = proto_text(models),
                                 .instructions = proto_text("You are atlas."),
                                 .input = proto_text(input),
                                 .tools = proto_text("[{\"name\":\"ask\",\"description\":\"Ask.\","
                                                     "\"parameters\":{\"type\":\"object\","
                                                     "\"properties\":{\"agent\":{\"type\":"
                                                     "\"string\"},\"text\":{\"type\":\"string\"}}"
                                                     "}}]")};
    return probe_send(&f->calls, actor_pack(model_call, &message), credit, false);
}

static struct probe_call *finish(struct fixture *f, unsigned number)
{
    probe_wait(&f->calls, number);
    return &f->calls.calls[number];
}

static struct model_answer answer_of(const struct probe_call *done)
{
    struct model_answer answer;
    if (done->type != MSG_model_answer)
        fail_msg("%s: %s", done->code, done->why);
    assert_int_equal(proto_unpack(&model_answer_schema, done->answer->body, done->answer->size,
                                  &answer), 0);
    return answer;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void both_apis_answer_with_the_text_they_streamed(void **state)
{
    (void)state;
    static const char *const models[] = {"lab/practice", "chat/practice"};
    struct fixture *f = set_up(PRACTICE_OK, 0);
    for (int i = 0; i < 2; i++) {
        struct probe_call *done = finish(f, call(f, models[i], "count the hives", 4));
        struct model_answer answer = answer_of(done);
        assert_true(done->parts > 3);
        assert_int_equal(answer.text.size, done->text_size);
        assert_memory_equal(answer.text.data, done->text, done->text_size);
        assert_non_null(strstr(done->text, "count the hives"));
        assert_true(answer.input_tokens > 0 && answer.output_tokens > 0);
        assert_int_equal(answer.calls.size, 0);
        assert_int_equal(answer.note.size, 0);
    }
    tear_down(f);
}

static void both_apis_call_functions(void **state)
{
    (void)state;
    static const char *const models[] = {"lab/practice", "chat/practice"};
    struct fixture *f = set_up(PRACTICE_OK, 0);
    for (int i = 0; i < 2; i++) {
        struct model_answer answer = answer_of(finish(f, call(f, models[i], "ask nova hi", 4)));
        json_t *calls = json_loadb(answer.calls.data, answer.calls.size, 0, NULL);
        json_t *first = json_array_get(calls, 0);
        assert_int_equal(json_array_size(calls), 1);
        assert_string_equal(json_string_value(json_object_get(first, "name")), "ask");
        const char *text = json_string_value(json_object_get(first, "arguments"));
        json_t *arguments = json_loads(text, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(arguments, "agent")), "nova");
        json_decref(arguments);
        json_decref(calls);
    }
    tear_down(f);
}

static void faults_that_pass_are_survived(void **state)
{
    (void)state;
    static const enum practice_fault faults[] = {PRACTICE_OVERLOADED, PRACTICE_ERROR_BEFORE,
                                                 PRACTICE_FORBIDDEN_HTML, PRACTICE_DROP_BEFORE,
                                                 PRACTICE_UNAUTHORIZED, PRACTICE_CUT,
                                                 PRACTICE_RESET};
    static const char *const models[] = {"lab/practice", "chat/practice"};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct fixture *f = set_up(faults[i], 2 - (faults[i] == PRACTICE_UNAUTHORIZED));
        answer_of(finish(f, call(f, models[i % 2], "count", 0)));
        assert_int_equal(atomic_load(&f->rejected), faults[i] == PRACTICE_UNAUTHORIZED);
        tear_down(f);
    }
}

static void half_an_answer_is_refused_not_continued(void **state)
{
    (void)state;
    static const struct {
        enum practice_fault fault;
        const char *code;
    } rows[] = {{PRACTICE_CUT, "cut"}, {PRACTICE_RESET, "unavailable"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture *f = set_up(rows[i].fault, 1);
        struct probe_call *done = finish(f, call(f, "lab/practice", "count", 4));
        assert_true(done->parts > 0);
        assert_string_equal(done->code, rows[i].code);
        tear_down(f);
    }
}

static void a_spent_quota_says_until_when(void **state)
{
    (void)state;
    struct fixture *f = set_up(PRACTICE_LIMITED, 0);
    struct probe_call *done = finish(f, call(f, "lab/practice", "count", 4));
    assert_string_equal(done->code, "cooling");
    assert_true(done->until_ms > 0);
    assert_true(atomic_load(&f->quota_hits) >= 1);
    tear_down(f);
}

static void three_hundred_calls_at_once(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct fixture *f = set_up(PRACTICE_OK, 0);
    for (unsigned i = 0; i < COUNT; i++)
        call(f, i % 2 ? "lab/practice" : "chat/practice", "count the hives", 4);
    for (unsigned i = 0; i < COUNT; i++) {
        struct probe_call *done = finish(f, i);
        assert_int_equal(answer_of(done).text.size, done->text_size);
    }
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_apis_answer_with_the_text_they_streamed),
        cmocka_unit_test(both_apis_call_functions),
        cmocka_unit_test(faults_that_pass_are_survived),
        cmocka_unit_test(half_an_answer_is_refused_not_continued),
        cmocka_unit_test(a_spent_quota_says_until_when),
        cmocka_unit_test(three_hundred_calls_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
