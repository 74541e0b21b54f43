/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange against a server that is scripted byte by byte, on loopback. What counts is what the
 * server saw: how many connections, and how many times the token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scripted_server.h"
#include "token/exchange.h"
#include "token/secret.h"

#define TOKEN "refresh-canary"

/* For what must come, however busy the machine; limits that a test waits for are its own. */
#define PATIENCE_MS 60000

/* One exchange and what it reported. */
struct run {
    struct exchange_port *exchange;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool gate_answer;
    bool gate_later; /* the test answers the gate itself */
    uint64_t connect_timeout_ms;
    enum token_encoding encoding;
    int gates;
    int dones;
    uint64_t id;
    struct exchange_result result;
};

static void on_gate(void *arg, uint64_t id)
{
    struct run *run = arg;
    pthread_mutex_lock(&run->mutex);
    run->gates++;
    run->id = id;
    pthread_cond_broadcast(&run->moved);
    pthread_mutex_unlock(&run->mutex);
    if (!run->gate_later) {
        run->exchange->gate(run->exchange, id, run->gate_answer);
    }
}

static void on_done(void *arg, uint64_t id, struct exchange_result *result)
{
    struct run *run = arg;
    (void)id;
    pthread_mutex_lock(&run->mutex);
    run->dones++;
    run->result = *result;
    pthread_cond_broadcast(&run->moved);
    pthread_mutex_unlock(&run->mutex);
}

static void run_init(struct run *run)
{
    *run = (struct run){.gate_answer = true, .connect_timeout_ms = PATIENCE_MS};
    pthread_mutex_init(&run->mutex, NULL);
    pthread_cond_init(&run->moved, NULL);
    run->exchange = exchange_curl_new(NULL);
    assert_non_null(run->exchange);
}

static int run_start(struct run *run, const char *url, uint64_t timeout_ms)
{
    struct provider_rule rule = {.id = "lab", .client_id = "lab client",
                                 .extra = "{\"resource\":\"https://example.test/v1\"}",
                                 .headers = "{\"X-Lab\":\"7\"}", .encoding = run->encoding};
    snprintf(rule.token_url, sizeof(rule.token_url), "%s", url);
    struct secret *refresh = secret_new(TOKEN "+/=", strlen(TOKEN "+/="));
    struct exchange_request request = {.rule = &rule, .refresh = refresh, .arg = run,
                                       .timeout_ms = timeout_ms,
                                       .connect_timeout_ms = run->connect_timeout_ms,
                                       .at_gate = on_gate, .done = on_done};
    uint64_t id = 0;
    int error = run->exchange->start(run->exchange, &request, &id);
    secret_free(refresh); /* it was copied */
    memset(&rule, 0, sizeof(rule));
    return error;
}

static void run_wait(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    while (run->dones == 0) {
        pthread_cond_wait(&run->moved, &run->mutex);
    }
    pthread_mutex_unlock(&run->mutex);
}

static void run_close(struct run *run)
{
    run->exchange->close(run->exchange);
    pthread_mutex_destroy(&run->mutex);
    pthread_cond_destroy(&run->moved);
    secret_free(run->result.body);
}

static void run_end(struct run *run)
{
    run_wait(run);
    run_close(run);
}

static void run_whole(struct run *run, struct server *server, uint64_t timeout_ms)
{
    char url[64];
    run_init(run);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/token", server->port);
    assert_int_equal(run_start(run, url, timeout_ms), 0);
    run_wait(run);
    run->exchange->close(run->exchange);
    assert_int_equal(run->dones, 1);
}

/* One exchange with a server that does this, from the server's start to its stop. */
static void run_against(struct run *run, struct server *server, enum script script,
                        const char *text, uint64_t timeout_ms)
{
    server_start(server, script, text);
    run_whole(run, server, timeout_ms);
    server_stop(server);
}

static void run_forget(struct run *run)
{
    secret_free(run->result.body);
}

#define OK_TEXT                                                                                    \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"             \
    "{\"access_token\":\"a\"}"
#define CUT_TEXT "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"acc"

static void an_answer_arrives_whole_and_the_form_is_right(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    run_against(&run, &server, SCRIPT_ANSWER, OK_TEXT, PATIENCE_MS);
    assert_int_equal(run.gates, 1);
    assert_int_equal(run.result.end, EXCHANGE_ANSWERED);
    assert_int_equal(run.result.http_status, 200);
    assert_string_equal(secret_data(run.result.body), "{\"access_token\":\"a\"}");
    assert_int_equal(secret_length(run.result.body), 20);
    assert_string_equal(run.result.error, "");
    assert_int_equal(server.connections, 1);
    assert_non_null(strstr(server.seen, "POST /token HTTP/1.1\r\n"));
    assert_non_null(strstr(server.seen, "Content-Type: application/x-www-form-urlencoded\r\n"));
    assert_non_null(strstr(server.seen, "X-Lab: 7\r\n"));
    assert_null(strstr(server.seen, "Expect"));
    assert_non_null(strstr(server.seen,
                           "\r\n\r\ngrant_type=refresh_token&refresh_token=" TOKEN "%2B%2F%3D"
                           "&client_id=lab%20client&resource=https%3A%2F%2Fexample.test%2Fv1"));
    run_forget(&run);
}

static void a_rule_of_json_is_sent_as_json(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    char url[64];
    server_start(&server, SCRIPT_ANSWER, "HTTP/1.1 400 No\r\nContent-Length: 1\r\n\r\n{");
    run_init(&run);
    run.encoding = ENCODING_JSON;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    assert_int_equal(run_start(&run, url, PATIENCE_MS), 0);
    run_wait(&run);
    assert_int_equal(run.result.end, EXCHANGE_ANSWERED);
    assert_string_equal(secret_data(run.result.body), "{");
    run_close(&run);
    server_stop(&server);
    assert_non_null(strstr(server.seen, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(server.seen, "\r\n\r\n{\"grant_type\":\"refresh_token\","));
}

static void the_json_body_is_escaped(void **state)
{
    (void)state;
    struct provider_rule rule = {.client_id = "a\"b", .encoding = ENCODING_JSON};
    struct secret *refresh = secret_new("r\\\n\x1f ", 5);
    struct secret *body = exchange_body(&rule, refresh);
    assert_string_equal(secret_data(body), "{\"grant_type\":\"refresh_token\",\"refresh_token\":"
                                           "\"r\\\\\\u000a\\u001f \",\"client_id\":\"a\\\"b\"}");
    secret_free(body);
    secret_free(refresh);
}

static void a_close_before_the_answer_sends_the_token_once(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    run_against(&run, &server, SCRIPT_CLOSE, NULL, PATIENCE_MS);
    assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
    assert_true(run.result.error[0] != '\0');
    assert_null(strstr(run.result.error, TOKEN));
    assert_int_equal(server.connections, 1);
    assert_int_equal(server_count(&server, TOKEN), 1);
    run_forget(&run);
}

static void a_redirect_is_an_answer_and_not_followed(void **state)
{
    (void)state;
    struct server server, other;
    struct run run;
    char text[256];
    server_start(&other, SCRIPT_ANSWER, OK_TEXT);
    snprintf(text, sizeof(text),
             "HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n",
             other.port);
    run_against(&run, &server, SCRIPT_ANSWER, text, PATIENCE_MS);
    server_stop(&other);
    assert_int_equal(run.result.end, EXCHANGE_ANSWERED);
    assert_int_equal(run.result.http_status, 307);
    assert_int_equal(server.connections, 1);
    assert_int_equal(other.connections, 0);
    run_forget(&run);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void a_slow_drip_ends_at_the_limit(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    server_start(&server, SCRIPT_DRIP, OK_TEXT OK_TEXT);
    int64_t start_ms = now_ms();
    run_whole(&run, &server, 1500);
    int64_t took_ms = now_ms() - start_ms;
    server_stop(&server);
    assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
    assert_true(took_ms > 1400); /* the whole drip takes 9 s, and would be an answer */
    assert_int_equal(server_count(&server, TOKEN), 1);
    run_forget(&run);
}

static void a_silent_server_ends_at_the_limit(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    run_against(&run, &server, SCRIPT_SILENT, NULL, 1500);
    assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
    assert_null(run.result.body);
    assert_int_equal(server.connections, 1);
    run_forget(&run);
}

static void an_answer_over_the_cap_is_unknown_and_kept_up_to_it(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    run_against(&run, &server, SCRIPT_FLOOD, NULL, PATIENCE_MS);
    assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
    assert_int_equal(secret_length(run.result.body), ANSWER_MAX);
    assert_non_null(strstr(run.result.error, "larger"));
    run_forget(&run);
}

static void a_reset_in_the_answer_is_unknown_with_the_part_that_came(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    run_against(&run, &server, SCRIPT_RESET, CUT_TEXT, PATIENCE_MS);
    assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
    assert_string_equal(secret_data(run.result.body), "{\"acc");
    assert_int_equal(server_count(&server, TOKEN), 1);
    run_forget(&run);
}

static void a_truncated_answer_is_unknown(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    run_against(&run, &server, SCRIPT_ANSWER, CUT_TEXT, PATIENCE_MS);
    assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
    assert_string_equal(secret_data(run.result.body), "{\"acc");
    assert_non_null(strstr(run.result.error, "remaining")); /* what libcurl says of it */
    run_forget(&run);
}

static void retry_after_is_read(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    run_against(&run, &server, SCRIPT_ANSWER,
                "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", PATIENCE_MS);
    assert_int_equal(run.result.end, EXCHANGE_ANSWERED);
    assert_int_equal(run.result.http_status, 429);
    assert_int_equal(run.result.retry_after_ms, 7000);
    run_forget(&run);
}

static void a_refused_gate_sends_no_byte(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    char url[64];
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    run_init(&run);
    run.gate_answer = false;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    assert_int_equal(run_start(&run, url, PATIENCE_MS), 0);
    run_end(&run);
    server_stop(&server);
    assert_int_equal(run.gates, 1);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_true(server.connections <= 1); /* it may stop before it has accepted */
    assert_int_equal(server.seen_size, 0);
}

static void close_refuses_who_waits_at_the_gate(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    char url[64];
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    run_init(&run);
    run.gate_later = true;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    assert_int_equal(run_start(&run, url, PATIENCE_MS), 0);
    pthread_mutex_lock(&run.mutex);
    while (run.gates == 0) {
        pthread_cond_wait(&run.moved, &run.mutex);
    }
    pthread_mutex_unlock(&run.mutex);
    run_close(&run);
    server_stop(&server);
    assert_int_equal(run.dones, 1);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_int_equal(server.seen_size, 0);
}

static void a_gate_that_opens_late_has_its_whole_time_left(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    char url[64];
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    run_init(&run);
    run.gate_later = true;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    run.connect_timeout_ms = 1500;
    assert_int_equal(run_start(&run, url, 1600), 0);
    pthread_mutex_lock(&run.mutex);
    while (run.gates == 0) {
        pthread_cond_wait(&run.moved, &run.mutex);
    }
    pthread_mutex_unlock(&run.mutex);
    struct timespec pause = {1, 800000000};
    nanosleep(&pause, NULL);
    run.exchange->gate(run.exchange, run.id, true);
    run_end(&run);
    server_stop(&server);
    assert_int_equal(run.result.end, EXCHANGE_ANSWERED);
    assert_int_equal(server_count(&server, TOKEN), 1);
}

static void a_refused_connection_never_reaches_the_gate(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    char url[64];
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    server_stop(&server); /* its port is free now */
    run_init(&run);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    assert_int_equal(run_start(&run, url, PATIENCE_MS), 0);
    run_end(&run);
    assert_int_equal(run.gates, 0);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_true(run.result.error[0] != '\0');
}

static void tls_that_fails_never_reaches_the_gate(void **state)
{
    (void)state;
    struct server server;
    struct run run;
    char url[64];
    server_start(&server, SCRIPT_ANSWER, "this is no TLS");
    run_init(&run);
    run.connect_timeout_ms = 1000;
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
    assert_int_equal(run_start(&run, url, PATIENCE_MS), 0);
    run_end(&run);
    server_stop(&server);
    assert_int_equal(run.gates, 0);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_int_equal(server_count(&server, TOKEN), 0);
}

static void a_url_in_the_clear_is_refused_before_anything(void **state)
{
    (void)state;
    struct run run;
    run_init(&run);
    assert_int_equal(run_start(&run, "http://192.0.2.1/token", PATIENCE_MS), -EINVAL);
    run_close(&run);
    assert_int_equal(run.dones, 0);
}

static void a_proxy_of_the_environment_is_not_used(void **state)
{
    (void)state;
    struct server server, proxy;
    struct run run;
    char url[64];
    server_start(&proxy, SCRIPT_ANSWER, OK_TEXT);
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", proxy.port);
    setenv("http_proxy", url, 1);
    setenv("all_proxy", url, 1);
    run_whole(&run, &server, PATIENCE_MS);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    server_stop(&server);
    server_stop(&proxy);
    assert_int_equal(proxy.connections, 0);
    assert_int_equal(server.connections, 1);
    run_forget(&run);
}

static void many_run_at_once_and_none_waits_for_another(void **state)
{
    (void)state;
    struct server slow, fast;
    struct run runs[5];
    char url[64];
    server_start(&slow, SCRIPT_SILENT, NULL);
    server_start(&fast, SCRIPT_ANSWER, OK_TEXT);
    run_init(&runs[0]);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", slow.port);
    assert_int_equal(run_start(&runs[0], url, PATIENCE_MS), 0);
    for (int i = 1; i < 5; i++) {
        run_whole(&runs[i], &fast, PATIENCE_MS);
        assert_int_equal(runs[i].result.end, EXCHANGE_ANSWERED);
        run_forget(&runs[i]);
    }
    pthread_mutex_lock(&runs[0].mutex);
    while (runs[0].gates == 0) { /* before that it would be known as not sent */
        pthread_cond_wait(&runs[0].moved, &runs[0].mutex);
    }
    assert_int_equal(runs[0].dones, 0);
    pthread_mutex_unlock(&runs[0].mutex);
    server_stop(&slow); /* which ends the slow one */
    run_end(&runs[0]);
    assert_int_equal(runs[0].result.end, EXCHANGE_UNKNOWN);
    server_stop(&fast);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_arrives_whole_and_the_form_is_right),
        cmocka_unit_test(a_rule_of_json_is_sent_as_json),
        cmocka_unit_test(the_json_body_is_escaped),
        cmocka_unit_test(a_close_before_the_answer_sends_the_token_once),
        cmocka_unit_test(a_redirect_is_an_answer_and_not_followed),
        cmocka_unit_test(a_slow_drip_ends_at_the_limit),
        cmocka_unit_test(a_silent_server_ends_at_the_limit),
        cmocka_unit_test(an_answer_over_the_cap_is_unknown_and_kept_up_to_it),
        cmocka_unit_test(a_reset_in_the_answer_is_unknown_with_the_part_that_came),
        cmocka_unit_test(a_truncated_answer_is_unknown),
        cmocka_unit_test(retry_after_is_read),
        cmocka_unit_test(a_refused_gate_sends_no_byte),
        cmocka_unit_test(close_refuses_who_waits_at_the_gate),
        cmocka_unit_test(a_gate_that_opens_late_has_its_whole_time_left),
        cmocka_unit_test(a_refused_connection_never_reaches_the_gate),
        cmocka_unit_test(tls_that_fails_never_reaches_the_gate),
        cmocka_unit_test(a_url_in_the_clear_is_refused_before_anything),
        cmocka_unit_test(a_proxy_of_the_environment_is_not_used),
        cmocka_unit_test(many_run_at_once_and_none_waits_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
