/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted model: the shape of its streams, its faults, and many of them at once. */
#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "client.h"

static int setup(void **state)
{
    struct bench *bench = malloc(sizeof(*bench));
    bench_init(bench);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    bench_stop(*state);
    free(*state);
    return 0;
}

/* The events of a stream, each {"event": type, "data": {...}}. */
static json_t *events_of(const char *body)
{
    json_t *events = json_array();
    while (*body != '\0') {
        const char *end = strstr(body, "\n\n");
        assert_non_null(end);
        char type[64] = "";
        const char *data = strstr(body, "data: ");
        assert_true(data != NULL && data < end);
        if (strncmp(body, "event: ", 7) == 0)
            snprintf(type, sizeof(type), "%.*s", (int)strcspn(body + 7, "\n"), body + 7);
        json_t *parsed = json_loadb(data + 6, (size_t)(end - data) - 6, 0, NULL);
        json_array_append_new(events, json_pack("{s:s, s:o?}", "event", type, "data", parsed));
        body = end + 2;
    }
    return events;
}

static const char *event_type(const json_t *events, size_t index)
{
    const char *type = json_string_value(json_object_get(json_array_get(events, index), "event"));
    return type ? type : "";
}

static json_t *event_data(const json_t *events, size_t index)
{
    return json_object_get(json_array_get(events, index), "data");
}

/* All deltas of one type, joined; malloc'd. */
static char *deltas_of(const json_t *events, const char *type)
{
    char *text = calloc(1, 4096);
    for (size_t i = 0; i < json_array_size(events); i++) {
        if (strcmp(event_type(events, i), type) == 0)
            strncat(text, json_string_value(json_object_get(event_data(events, i), "delta")), 512);
    }
    return text;
}

static void a_stream_has_the_shape_of_the_responses_api(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    struct answer answer = client_ask(bench, "count the hives");
    assert_int_equal(answer.failed, 0);
    assert_int_equal(answer.status, 200);
    json_t *events = events_of(answer.body);
    size_t count = json_array_size(events);
    assert_true(count > 10);
    assert_string_equal(event_type(events, 0), "response.created");
    assert_string_equal(event_type(events, count - 1), "response.completed");
    for (size_t i = 0; i < count; i++) {
        json_t *data = event_data(events, i);
        assert_string_equal(json_string_value(json_object_get(data, "type")),
                            event_type(events, i));
        assert_int_equal(json_integer_value(json_object_get(data, "sequence_number")), i);
    }
    char *text = deltas_of(events, "response.output_text.delta");
    assert_non_null(strstr(text, "Practice"));
    assert_non_null(strstr(text, "Nova, the tester"));
    assert_non_null(strstr(text, "count the hives"));
    json_t *response = json_object_get(event_data(events, count - 1), "response");
    json_t *item = json_array_get(json_object_get(response, "output"), 0);
    json_t *part = json_array_get(json_object_get(item, "content"), 0);
    assert_string_equal(json_string_value(json_object_get(part, "text")), text);
    assert_true(json_integer_value(json_object_get(json_object_get(response, "usage"),
                                                   "total_tokens")) > 0);
    free(text);
    json_decref(events);
    answer_deinit(&answer);
    assert_int_equal(client_stat(bench, "model_answers"), 1);
}

static void the_same_question_gets_the_same_answer(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        struct answer answer = client_ask(bench, "what next?");
        json_t *events = events_of(answer.body);
        texts[i] = deltas_of(events, "response.output_text.delta");
        json_decref(events);
        answer_deinit(&answer);
    }
    assert_string_equal(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}

static struct answer post(const struct bench *bench, const char *path, json_t *body)
{
    char *bytes = json_dumps(body, 0);
    struct answer answer = client_request(bench, path, "application/json", bench->access, bytes,
                                          5000);
    free(bytes);
    json_decref(body);
    return answer;
}

static json_t *ask_tool(void)
{
    return json_loads("{\"type\": \"function\", \"name\": \"ask\", \"parameters\": {\"type\": "
                      "\"object\", \"properties\": {\"agent\": {\"type\": \"string\"}, "
                      "\"question\": {\"type\": \"string\"}}}}", 0, NULL);
}

static void asking_another_agent_calls_the_function(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    struct answer answer = post(bench, "/v1/responses", json_pack(
        "{s:s, s:b, s:[{s:s, s:s}], s:[o]}", "model", "m", "stream", 1, "input", "role", "user",
        "content", "please ask Nova to ask axon how many", "tools", ask_tool()));
    json_t *events = events_of(answer.body);
    size_t count = json_array_size(events);
    char *pieces = deltas_of(events, "response.function_call_arguments.delta");
    json_t *response = json_object_get(event_data(events, count - 1), "response");
    json_t *item = json_array_get(json_object_get(response, "output"), 0);
    assert_string_equal(json_string_value(json_object_get(item, "type")), "function_call");
    assert_string_equal(json_string_value(json_object_get(item, "name")), "ask");
    assert_string_equal(json_string_value(json_object_get(item, "arguments")), pieces);
    json_t *arguments = json_loads(pieces, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(arguments, "agent")), "nova");
    assert_string_equal(json_string_value(json_object_get(arguments, "question")),
                        "ask axon how many");
    json_decref(arguments);
    free(pieces);
    json_decref(events);
    answer_deinit(&answer);
}

/* As the official subscription back end wants functions declared. */
static void functions_inside_a_namespace_are_found(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    struct answer answer = post(bench, "/v1/responses", json_pack(
        "{s:s, s:b, s:[{s:s, s:s}], s:[{s:s, s:s, s:[o]}]}", "model", "m", "stream", 1, "input",
        "role", "user", "content", "ask nova how many", "tools", "type", "namespace", "name",
        "agents", "tools", ask_tool()));
    assert_non_null(strstr(answer.body, "\"type\":\"function_call\""));
    answer_deinit(&answer);
    assert_int_equal(client_stat(bench, "model_function_calls"), 1);
}

static void what_the_function_answered_is_quoted(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    struct answer answer = post(bench, "/v1/responses", json_pack(
        "{s:s, s:b, s:[{s:s, s:s}, {s:s, s:s, s:s, s:s}, {s:s, s:s, s:s}], s:[o]}", "model", "m",
        "stream", 1, "input", "role", "user", "content", "ask nova how many", "type",
        "function_call", "call_id", "c1", "name", "ask", "arguments", "{}", "type",
        "function_call_output", "call_id", "c1", "output", "seven hives", "tools", ask_tool()));
    json_t *events = events_of(answer.body);
    char *text = deltas_of(events, "response.output_text.delta");
    assert_non_null(strstr(text, "\"seven hives\""));
    free(text);
    json_decref(events);
    answer_deinit(&answer);
}

static void telling_a_story_is_no_errand(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    json_t *tool = ask_tool();
    json_object_set_new(tool, "name", json_string("tell"));
    struct answer answer = post(bench, "/v1/responses", json_pack(
        "{s:s, s:b, s:[{s:s, s:s}], s:[o]}", "model", "m", "stream", 1, "input", "role", "user",
        "content", "tell me a story", "tools", tool));
    assert_non_null(strstr(answer.body, "response.output_text.delta"));
    answer_deinit(&answer);
    assert_int_equal(client_stat(bench, "model_function_calls"), 0);
}

static json_t *chat_body(int stream)
{
    return json_pack("{s:s, s:b, s:[{s:s, s:s}, {s:s, s:s}]}", "model", "m", "stream", stream,
                     "messages", "role", "system", "content", "You are Lumi, the guide.", "role",
                     "user", "content", "hello");
}

static void chat_completions_answer_whole_and_as_a_stream(void **state)
{
    struct bench *bench = *state;
    bench_start(bench);
    struct answer whole = post(bench, "/v1/chat/completions", chat_body(0));
    json_t *choice = json_array_get(json_object_get(whole.json, "choices"), 0);
    const char *text = json_string_value(
        json_object_get(json_object_get(choice, "message"), "content"));
    assert_non_null(strstr(text, "Lumi, the guide"));
    struct answer stream = post(bench, "/v1/chat/completions", chat_body(1));
    assert_string_equal(stream.body + stream.size - 14, "data: [DONE]\n\n");
    char joined[2048] = "";
    json_t *events = events_of(stream.body);
    for (size_t i = 0; i + 1 < json_array_size(events); i++) {
        choice = json_array_get(json_object_get(event_data(events, i), "choices"), 0);
        const char *piece = json_string_value(
            json_object_get(json_object_get(choice, "delta"), "content"));
        strncat(joined, piece ? piece : "", 256);
    }
    assert_string_equal(joined, text);
    json_decref(events);
    answer_deinit(&whole);
    answer_deinit(&stream);
}

static void requests_out_of_order_are_refused(void **state)
{
    static const char *const bodies[] = {
        "{\"model\": \"m\", \"stream\": true, \"input\": \"a string\"}",
        "{\"model\": \"m\", \"input\": []}", "{\"stream\": true, \"input\": []}", "[]", "{", "",
    };
    struct bench *bench = *state;
    bench_start(bench);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct answer answer = client_request(bench, "/v1/responses", "application/json",
                                              bench->access, bodies[i], 3000);
        assert_int_equal(answer.status, 400);
        answer_deinit(&answer);
    }
    struct answer answer = client_request(bench, "/v1/responses", "application/json", NULL,
                                          bodies[0], 3000);
    assert_int_equal(answer.status, 401);
    answer_deinit(&answer);
    answer = client_request(bench, "/v1/nothing", NULL, NULL, NULL, 3000);
    assert_int_equal(answer.status, 404);
    answer_deinit(&answer);
    answer = client_request(bench, "/v1/responses", NULL, bench->access, NULL, 3000);
    assert_int_equal(answer.status, 405);
    answer_deinit(&answer);
    char *large = malloc(9 * 1024 * 1024);
    memset(large, ' ', 9 * 1024 * 1024);
    large[9 * 1024 * 1024 - 1] = '\0';
    answer = client_request(bench, "/v1/responses", NULL, bench->access, large, 3000);
    assert_true(answer.status == 413 || answer.failed == CURLE_SEND_ERROR);
    answer_deinit(&answer);
    free(large);
}

struct fault_row {
    const char *fault;
    int failed;
    long status;
    const char *holds;
    const char *lacks;
};

static void each_model_fault_shows_as_it_says(void **state)
{
    static const struct fault_row rows[] = {
        { "401", 0, 401, "token_invalidated", "response." },
        { "500-before", 0, 500, "server_error", "response." },
        { "overload", 0, 200, "server_is_overloaded", "response.completed" },
        { "cut", 0, 200, "response.output_text.delta", "response.completed" },
        { "reset", CURLE_PARTIAL_FILE, 200, "response.output_text.delta", "response.completed" },
        { "hang", CURLE_OPERATION_TIMEDOUT, 200, "response.created", "response.completed" },
        { "429", 0, 429, "usage_limit_reached", "response." },
    };
    struct bench *bench = *state;
    bench->options.quota_reset_ms = 60000;
    bench_start(bench);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        client_set(bench, "model-faults", rows[i].fault);
        struct answer answer = client_request(
            bench, "/v1/responses", "application/json", bench->access,
            "{\"model\":\"m\",\"stream\":true,\"input\":[{\"role\":\"user\",\"content\":\"a\"}]}",
            700);
        print_message("%s: curl %d, status %ld\n", rows[i].fault, answer.failed, answer.status);
        if (rows[i].failed == CURLE_PARTIAL_FILE)
            assert_true(answer.failed == CURLE_PARTIAL_FILE || answer.failed == CURLE_RECV_ERROR);
        else
            assert_int_equal(answer.failed, rows[i].failed);
        assert_int_equal(answer.status, rows[i].status);
        assert_non_null(strstr(answer.body, rows[i].holds));
        assert_null(strstr(answer.body, rows[i].lacks));
        answer_deinit(&answer);
    }
    client_set(bench, "model-faults", "none");
    struct answer cooling = client_ask(bench, "hello");
    assert_int_equal(cooling.status, 429);
    assert_true(cooling.retry_after_s > 50 && cooling.retry_after_s <= 60);
    answer_deinit(&cooling);
    assert_int_equal(client_stat(bench, "model_while_cooling"), 1);
    assert_int_equal(client_stat(bench, "model_answers"), 0);
}

#define MANY 200

static size_t count_bytes(char *bytes, size_t one, size_t count, void *arg)
{
    char *tail = arg; /* the last bytes that came */
    size_t keep = count < 40 ? count : 40;
    memmove(tail, tail + keep, 40 - keep);
    memcpy(tail + 40 - keep, bytes + count - keep, keep);
    return one * count;
}

static double thread_cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void many_streams_run_at_once(void **state)
{
    static const char body[] =
        "{\"model\":\"m\",\"stream\":true,\"input\":[{\"role\":\"user\",\"content\":\"all\"}]}";
    struct bench *bench = *state;
    bench->options.model_delay_ms = 600; /* all are open before the first ends */
    bench->options.model_pace_ms = 5;
    bench_start(bench);
    char url[128];
    char line[2048];
    snprintf(url, sizeof(url), "%s/v1/responses", bench->url);
    snprintf(line, sizeof(line), "Authorization: Bearer %s", bench->access);
    struct curl_slist *headers = curl_slist_append(NULL, line);
    CURLM *multi = curl_multi_init();
    CURL **easy = calloc(MANY, sizeof(*easy));
    char (*tails)[41] = calloc(MANY, sizeof(*tails));
    for (int i = 0; i < MANY; i++) {
        easy[i] = curl_easy_init();
        curl_easy_setopt(easy[i], CURLOPT_URL, url);
        curl_easy_setopt(easy[i], CURLOPT_PROXY, "");
        curl_easy_setopt(easy[i], CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(easy[i], CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, count_bytes);
        curl_easy_setopt(easy[i], CURLOPT_WRITEDATA, tails[i]);
        curl_easy_setopt(easy[i], CURLOPT_TIMEOUT_MS, 20000L);
        curl_multi_add_handle(multi, easy[i]);
    }
    int running = MANY;
    while (running > 0) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 100, NULL);
    }
    for (int i = 0; i < MANY; i++) {
        long status = 0;
        curl_easy_getinfo(easy[i], CURLINFO_RESPONSE_CODE, &status);
        assert_int_equal(status, 200);
        assert_non_null(strstr(tails[i], "\n\n"));
        curl_multi_remove_handle(multi, easy[i]);
        curl_easy_cleanup(easy[i]);
    }
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
    free(easy);
    free(tails);
    assert_int_equal(client_stat(bench, "model_answers"), MANY);
    assert_int_equal(client_stat(bench, "streams_peak"), MANY);
    assert_int_equal(client_stat(bench, "streams_open"), 0);
}

static void an_idle_server_and_a_waiting_stream_use_no_cpu(void **state)
{
    struct bench *bench = *state;
    bench->options.model_delay_ms = 1000;
    bench->options.model_pace_ms = 0;
    bench_start(bench);
    double before = thread_cpu_s();
    struct answer answer = client_ask(bench, "hello");
    assert_int_equal(answer.status, 200);
    answer_deinit(&answer);
    client_wait(500);
    assert_true(thread_cpu_s() - before < 0.1);
}

struct pace {
    struct timespec began;
    double first_s;
    double last_s;
    size_t pieces;
};

static size_t note_time(char *bytes, size_t one, size_t count, void *arg)
{
    struct pace *pace = arg;
    struct timespec now;
    (void)bytes;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pace->last_s = (double)(now.tv_sec - pace->began.tv_sec) +
                   (double)(now.tv_nsec - pace->began.tv_nsec) / 1e9;
    if (pace->pieces++ == 0)
        pace->first_s = pace->last_s;
    return one * count;
}

static void words_come_one_by_one(void **state)
{
    struct bench *bench = *state;
    bench->options.model_delay_ms = 300;
    bench->options.model_pace_ms = 20;
    bench_start(bench);
    struct pace pace = { 0 };
    char url[128];
    char line[2048];
    snprintf(url, sizeof(url), "%s/v1/responses", bench->url);
    snprintf(line, sizeof(line), "Authorization: Bearer %s", bench->access);
    struct curl_slist *headers = curl_slist_append(NULL, line);
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                     "{\"model\":\"m\",\"stream\":true,\"input\":[{\"role\":\"user\","
                     "\"content\":\"one two three four\"}]}");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, note_time);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &pace);
    clock_gettime(CLOCK_MONOTONIC, &pace.began);
    assert_int_equal(curl_easy_perform(easy), CURLE_OK);
    assert_true(pace.first_s < 0.25);
    assert_true(pace.last_s > 0.5);
    assert_true(pace.pieces > 10);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
}

static void stopping_ends_what_is_open(void **state)
{
    struct bench *bench = *state;
    bench->options.model_delay_ms = 60000;
    bench_start(bench);
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    char url[128];
    char line[2048];
    char tail[41] = "";
    snprintf(url, sizeof(url), "%s/v1/responses", bench->url);
    snprintf(line, sizeof(line), "Authorization: Bearer %s", bench->access);
    struct curl_slist *headers = curl_slist_append(NULL, line);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                     "{\"model\":\"m\",\"stream\":true,\"input\":[{\"role\":\"user\","
                     "\"content\":\"x\"}]}");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, tail);
    curl_multi_add_handle(multi, easy);
    int running = 1;
    for (int i = 0; i < 200 && tail[39] == '\0'; i++) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 10, NULL);
    }
    assert_int_equal(running, 1);
    practice_stop(bench->practice);
    bench->practice = NULL;
    for (int i = 0; i < 200 && running > 0; i++) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 10, NULL);
    }
    assert_int_equal(running, 0);
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_has_the_shape_of_the_responses_api),
        TEST(the_same_question_gets_the_same_answer),
        TEST(asking_another_agent_calls_the_function),
        TEST(functions_inside_a_namespace_are_found),
        TEST(what_the_function_answered_is_quoted),
        TEST(telling_a_story_is_no_errand),
        TEST(chat_completions_answer_whole_and_as_a_stream),
        TEST(requests_out_of_order_are_refused),
        TEST(each_model_fault_shows_as_it_says),
        TEST(many_streams_run_at_once),
        TEST(an_idle_server_and_a_waiting_stream_use_no_cpu),
        TEST(words_come_one_by_one),
        TEST(stopping_ends_what_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
