/* SPDX-License-Identifier: Apache-2.0 */
/* Each call that an exchange makes of libcurl fails in turn, and libcurl does what it must not. The
 * end is told once, nothing is sent before the gate is open, and the token goes out once at
 * most. What was made is unmade at the end of each test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "odd_curl.h"
#include "scripted_server.h"
#include "token/exchange.h"
#include "token/secret.h"

#define TOKEN "refresh-canary"
#define OK_TEXT "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"access_token\":\"a\"}"

static struct run {
    struct exchange_port *exchange;
    struct provider_rule rule;
    struct secret *refresh;
    struct exchange_request request;
    uint64_t timeout_ms;
    unsigned gates;
    atomic_uint dones;
    uint64_t id;
    bool gate_kept_shut, gate_later, again; /* starts another when it ends */
    bool takes_signals;
    int again_error;
    struct exchange_result result;
} run;

static void on_gate(void *arg, uint64_t id)
{
    (void)arg;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int i = 1; i < 32; i++) {
        run.takes_signals |= i != SIGKILL && i != SIGSTOP && !sigismember(&blocked, i);
    }
    run.gates++;
    run.id = id;
    if (run.gate_later) {
        return;
    }
    run.exchange->gate(run.exchange, id + 1000, run.gate_kept_shut); /* of nobody */
    run.exchange->gate(run.exchange, id, !run.gate_kept_shut);
    run.exchange->gate(run.exchange, id, run.gate_kept_shut); /* it has been answered */
}

static void on_done(void *arg, uint64_t id, struct exchange_result *result)
{
    uint64_t other;
    (void)arg;
    (void)id;
    if (run.again) {
        run.again_error = run.exchange->start(run.exchange, &run.request, &other);
    }
    run.result = *result;
    run.dones++;
}

static int setup(void **state)
{
    (void)state;
    memset(&odd_curl, 0, sizeof(odd_curl));
    memset(&run, 0, sizeof(run));
    run.timeout_ms = 20000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(run.result.body);
    secret_free(run.refresh);
    run.result.body = run.refresh = NULL;
    assert_int_equal(odd_curl.mutexes, 0);
    assert_int_equal(odd_curl.conditions, 0);
    assert_int_equal(odd_curl.threads, 0);
    assert_int_equal(odd_curl.attached, 0);
    assert_int_equal(odd_curl.installed, 0);
    assert_false(odd_curl.polled_in_vain);
    assert_false(run.takes_signals);
    return 0;
}

static void wait_a_moment(void)
{
    struct timespec moment = {.tv_nsec = 1000000};
    nanosleep(&moment, NULL);
}

/* Not for a condition: who waits for one is part of the exchange. */
static void wait_done(unsigned dones)
{
    while (run.dones < dones) {
        wait_a_moment();
    }
}

/* 0, or the error of its start. */
static int begin(const char *scheme, int port, const struct exchange_curl_options *options)
{
    uint64_t id;
    run.rule = (struct provider_rule){.id = "lab", .headers = "{\"X-Lab\":\"7\"}"};
    snprintf(run.rule.token_url, sizeof(run.rule.token_url), "%s://127.0.0.1:%d/token", scheme,
             port);
    run.refresh = secret_new_in(odd_curl_memory(), TOKEN, strlen(TOKEN));
    run.request = (struct exchange_request){.rule = &run.rule, .refresh = run.refresh,
                                            .timeout_ms = run.timeout_ms,
                                            .connect_timeout_ms = 20000,
                                            .at_gate = on_gate, .done = on_done};
    run.exchange = exchange_curl_new(options);
    assert_non_null(run.exchange);
    odd_curl.counting = true;
    return run.exchange->start(run.exchange, &run.request, &id);
}

/* To its end, or the error of its start. */
static int exchange(const char *scheme, int port, const struct exchange_curl_options *options)
{
    int error = begin(scheme, port, options);
    if (error == 0) {
        wait_done(1);
    }
    odd_curl.counting = false;
    run.exchange->close(run.exchange);
    return error;
}

static void a_call_that_fails_ends_it_once_and_sends_the_token_once_at_most(void **state)
{
    bool hit = true;
    unsigned before = 0, after = 0;
    for (unsigned k = 1; hit; k++) {
        struct server server;
        setup(state);
        server_start(&server, SCRIPT_ANSWER, OK_TEXT);
        odd_curl.fail_at = k;
        int error = exchange("http", server.port, NULL);
        hit = odd_curl.calls >= k;
        server_stop(&server);
        int seen = server_count(&server, TOKEN);
        assert_in_range(seen, 0, 1);
        if (error != 0) {
            assert_true(error == -EAGAIN || error == -ENOMEM || error == -EINVAL);
            assert_int_equal(run.dones, 0);
        } else {
            assert_int_equal(run.dones, 1);
            assert_true(seen == 0 || run.gates == 1);
            assert_true((run.result.end == EXCHANGE_NOT_SENT) == (run.gates == 0));
            assert_true(run.result.end == EXCHANGE_ANSWERED || run.result.error[0] != '\0');
        }
        before += run.gates == 0;
        after += run.gates != 0 && run.result.end == EXCHANGE_UNKNOWN;
        teardown(state);
    }
    print_message("%u before the gate, %u after it\n", before, after);
    assert_true(before > 25 && after > 0);
    setup(state);
}

static void a_transfer_that_breaks_behind_the_gate_has_no_known_end(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct server server;
        setup(state);
        server_start(&server, SCRIPT_SILENT, NULL);
        odd_curl.breaks_in_perform = i == 0;
        odd_curl.breaks_in_poll = i == 1;
        assert_int_equal(exchange("http", server.port, NULL), 0);
        server_stop(&server);
        assert_int_equal(run.gates, 1);
        assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
        teardown(state);
    }
    setup(state);
}

static void without_a_connection_of_its_own_nothing_is_sent(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    odd_curl.twice = true;
    assert_int_equal(exchange("http", server.port, NULL), 0);
    server_stop(&server);
    assert_int_equal(run.gates, 1); /* it is asked once */
    assert_int_equal(server_count(&server, TOKEN), 0);
}

static void in_the_clear_only_this_machine_is_spoken_to(void **state)
{
    static const struct {
        const char *remote;
        unsigned gates;
    } rows[] = {{"192.0.2.1", 0}, {"::1", 1}, {"127.1.2.3", 1}, {"2001:db8::1", 0}};
    for (size_t i = 0; i < 4; i++) {
        struct server server;
        setup(state);
        odd_curl.remote = rows[i].remote;
        server_start(&server, SCRIPT_ANSWER, OK_TEXT);
        assert_int_equal(exchange("http", server.port, NULL), 0);
        server_stop(&server);
        assert_int_equal(run.gates, rows[i].gates);
        assert_int_equal(server_count(&server, TOKEN), rows[i].gates);
        teardown(state);
    }
    setup(state);
}

static void with_tls_any_peer_is_spoken_to(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, SCRIPT_ANSWER, "this is no TLS");
    odd_curl.gate_first = true;
    run.timeout_ms = 500;
    assert_int_equal(exchange("https", server.port, NULL), 0);
    server_stop(&server);
    assert_int_equal(run.gates, 1);
    assert_int_equal(server_count(&server, TOKEN), 0); /* but only inside of it */
}

static void *close_it(void *arg)
{
    (void)arg;
    run.exchange->close(run.exchange);
    return NULL;
}

static pthread_t closer;

/* Returns when the close has begun and waits for the exchange. */
static void begin_to_close(void)
{
    closer = odd_curl_thread(close_it);
    while (odd_curl.waiting == 0) {
        wait_a_moment();
    }
}

static void a_close_that_has_begun_opens_no_gate_and_starts_nothing(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    odd_curl.before_gate = begin_to_close;
    run.again = true;
    assert_int_equal(begin("http", server.port, NULL), 0);
    wait_done(1);
    odd_curl_join(closer);
    server_stop(&server);
    assert_int_equal(run.gates, 0);
    assert_int_equal(run.again_error, -ESHUTDOWN);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_int_equal(server_count(&server, TOKEN), 0);
}

static void a_close_waits_for_what_was_sent_and_does_not_call_it_unsent(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, SCRIPT_SILENT, NULL);
    assert_int_equal(begin("http", server.port, NULL), 0);
    while (!odd_curl.gate_is_open) {
        wait_a_moment();
    }
    begin_to_close();
    server_stop(&server); /* which ends the exchange */
    odd_curl_join(closer);
    assert_int_equal(run.dones, 1);
    assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
}

static void who_waits_at_the_gate_is_woken_by_its_answer_and_by_a_close(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct server server;
        setup(state);
        run.gate_later = true;
        server_start(&server, SCRIPT_ANSWER, OK_TEXT);
        assert_int_equal(begin("http", server.port, NULL), 0);
        while (odd_curl.waiting == 0) {
            wait_a_moment();
        }
        if (i == 0) {
            run.exchange->gate(run.exchange, run.id, true);
            wait_done(1);
        }
        run.exchange->close(run.exchange);
        server_stop(&server);
        assert_int_equal(run.dones, 1);
        assert_int_equal(run.result.end, i == 0 ? EXCHANGE_ANSWERED : EXCHANGE_NOT_SENT);
        assert_int_equal(server_count(&server, TOKEN), i == 0);
        teardown(state);
    }
    setup(state);
}

static void a_proxy_and_a_certificate_file_are_used_when_named(void **state)
{
    (void)state;
    struct server server;
    char proxy[64];
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
    assert_int_equal(exchange("http", 9, &(struct exchange_curl_options){.proxy = proxy}), 0);
    server_stop(&server);
    assert_int_equal(server_count(&server, "POST http://127.0.0.1:9/token"), 1);
    teardown(state);
    setup(state);
    server_start(&server, SCRIPT_ANSWER, "this is no TLS");
    struct exchange_curl_options options = {.ca_file = "/nowhere/ca.pem"};
    assert_int_equal(exchange("https", server.port, &options), 0);
    server_stop(&server);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_int_equal(server_count(&server, TOKEN), 0);
}

static void a_rule_with_broken_headers_or_no_token_is_not_sent(void **state)
{
    (void)state;
    struct provider_rule rule = {.id = "lab", .headers = "{", .token_url = "http://127.0.0.1:9/"};
    struct secret *refresh = secret_new(TOKEN, strlen(TOKEN)), *empty = secret_new("", 0);
    uint64_t id;
    run.exchange = exchange_curl_new(NULL);
    run.request = (struct exchange_request){.rule = &rule, .refresh = empty, .timeout_ms = 1000,
                                            .connect_timeout_ms = 1000, .at_gate = on_gate,
                                            .done = on_done};
    assert_int_equal(run.exchange->start(run.exchange, &run.request, &id), -EINVAL);
    run.request.refresh = refresh;
    assert_int_equal(run.exchange->start(run.exchange, &run.request, &id), 0);
    wait_done(1);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    snprintf(rule.extra, sizeof(rule.extra), "{");
    assert_int_equal(run.exchange->start(run.exchange, &run.request, &id), -ENOMEM);
    run.exchange->close(run.exchange);
    assert_int_equal(run.gates, 0);
    secret_free(refresh);
    secret_free(empty);
}

static void a_time_to_come_back_is_cut_to_what_can_be_said(void **state)
{
    static const struct {
        curl_off_t told_s; /* negative: of a date in the past */
        uint32_t said_ms;
    } rows[] = {{-5, 0}, {0, 0}, {1, 1000}, {4294967, 4294967000}, {4294968, UINT32_MAX},
                {40000000000, UINT32_MAX}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct server server;
        setup(state);
        odd_curl.has_retry_after = true;
        odd_curl.retry_after_s = rows[i].told_s;
        server_start(&server, SCRIPT_ANSWER, OK_TEXT);
        assert_int_equal(exchange("http", server.port, NULL), 0);
        server_stop(&server);
        assert_int_equal(run.result.retry_after_ms, rows[i].said_ms);
        teardown(state);
    }
    setup(state);
}

static void what_was_refused_at_the_gate_stays_so(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    run.gate_kept_shut = true;
    assert_int_equal(exchange("http", server.port, NULL), 0);
    server_stop(&server);
    assert_int_equal(run.gates, 1);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_int_equal(server_count(&server, TOKEN), 0);
}

static void the_time_limit_is_looked_at_each_second_and_when_it_ends(void **state)
{
    static const struct {
        uint64_t timeout_ms;
        int at_least_ms, at_most_ms;
    } rows[] = {{20000, 1000, 1000}, {300, 0, 301}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct server server;
        setup(state);
        odd_curl.leaps_in_poll = true;
        run.timeout_ms = rows[i].timeout_ms;
        server_start(&server, SCRIPT_SILENT, NULL);
        assert_int_equal(exchange("http", server.port, NULL), 0);
        server_stop(&server);
        assert_int_equal(run.result.end, EXCHANGE_UNKNOWN);
        assert_string_equal(run.result.error, curl_easy_strerror(CURLE_OPERATION_TIMEDOUT));
        assert_in_range(odd_curl.longest_poll_ms, rows[i].at_least_ms, rows[i].at_most_ms);
        teardown(state);
    }
    setup(state);
}

static void an_answer_that_is_whole_when_the_time_ends_is_one(void **state)
{
    (void)state;
    struct server server;
    odd_curl.leaps_at_end = true;
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    assert_int_equal(exchange("http", server.port, NULL), 0);
    server_stop(&server);
    assert_int_equal(run.result.end, EXCHANGE_ANSWERED);
}

static void what_has_ended_is_cleared_away_by_the_next(void **state)
{
    (void)state;
    unsigned started = 1;
    uint64_t id;
    assert_int_equal(begin("http", 9, NULL), 0);
    do {
        wait_done(started);
        wait_a_moment(); /* it has told its end, and ends a moment later */
        assert_int_equal(run.exchange->start(run.exchange, &run.request, &id), 0);
        started++;
    } while ((unsigned)odd_curl.threads == started && started < 1000); /* none was joined */
    assert_true(started < 1000);
    run.exchange->close(run.exchange);
}

static void the_caller_keeps_its_signals(void **state)
{
    (void)state;
    sigset_t blocked;
    sigemptyset(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    assert_int_equal(exchange("http", 9, NULL), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    assert_int_equal(sigisemptyset(&blocked), 1);
}

/* What libcurl was told of this option last, as a text or a number. */
static void assert_told(CURLoption option, long number, const char *text)
{
    for (size_t i = odd_curl.option_count; i-- > 0;) {
        if (odd_curl.options[i].option == option) {
            if (text != NULL) {
                assert_string_equal(odd_curl.options[i].text, text);
            } else {
                assert_int_equal(odd_curl.options[i].number, number);
            }
            return;
        }
    }
    fail_msg("option %d was not set", (int)option);
}

static void libcurl_is_told_all_that_it_must_not_do_by_itself(void **state)
{
    static const struct {
        CURLoption option;
        long number;
        const char *text;
    } rows[] = {
        {CURLOPT_POST, 1, NULL},
        {CURLOPT_POSTFIELDSIZE_LARGE, strlen("grant_type=refresh_token&refresh_token=" TOKEN),
         NULL},
        {CURLOPT_USERAGENT, 0, "queenright"},
        {CURLOPT_CONNECTTIMEOUT_MS, 20000, NULL},
        {CURLOPT_FRESH_CONNECT, 1, NULL},
        {CURLOPT_FORBID_REUSE, 1, NULL},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1, NULL},
        {CURLOPT_FOLLOWLOCATION, 0, NULL},
        {CURLOPT_MAXREDIRS, 0, NULL},
        {CURLOPT_REDIR_PROTOCOLS_STR, 0, "https"},
        {CURLOPT_UNRESTRICTED_AUTH, 0, NULL},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED, NULL},
        {CURLOPT_SSL_VERIFYPEER, 1, NULL},
        {CURLOPT_SSL_VERIFYHOST, 2, NULL},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2, NULL},
        {CURLOPT_NOSIGNAL, 1, NULL},
    };
    static const char *const schemes[] = {"http", "https"};
    for (size_t k = 0; k < 2; k++) {
        struct exchange_curl_options options = {.ca_file = k == 0 ? NULL : "/nowhere/ca.pem"};
        setup(state);
        assert_int_equal(exchange(schemes[k], 9, &options), 0);
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
            assert_told(rows[i].option, rows[i].number, rows[i].text);
        }
        assert_string_equal(odd_curl.headers, "Content-Type: application/x-www-form-urlencoded\n"
                                              "Accept: application/json\nExpect:\nX-Lab: 7\n");
        assert_told(CURLOPT_PROTOCOLS_STR, 0, schemes[k]);
        assert_told(CURLOPT_PROXY, 0, ""); /* which also keeps it from asking the environment */
        teardown(state);
    }
    assert_told(CURLOPT_CAINFO, 0, "/nowhere/ca.pem");
    setup(state);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_that_fails_ends_it_once_and_sends_the_token_once_at_most),
        TEST(a_transfer_that_breaks_behind_the_gate_has_no_known_end),
        TEST(without_a_connection_of_its_own_nothing_is_sent),
        TEST(in_the_clear_only_this_machine_is_spoken_to),
        TEST(with_tls_any_peer_is_spoken_to),
        TEST(a_close_that_has_begun_opens_no_gate_and_starts_nothing),
        TEST(a_close_waits_for_what_was_sent_and_does_not_call_it_unsent),
        TEST(who_waits_at_the_gate_is_woken_by_its_answer_and_by_a_close),
        TEST(a_proxy_and_a_certificate_file_are_used_when_named),
        TEST(a_rule_with_broken_headers_or_no_token_is_not_sent),
        TEST(a_time_to_come_back_is_cut_to_what_can_be_said),
        TEST(what_was_refused_at_the_gate_stays_so),
        TEST(the_time_limit_is_looked_at_each_second_and_when_it_ends),
        TEST(an_answer_that_is_whole_when_the_time_ends_is_one),
        TEST(what_has_ended_is_cleared_away_by_the_next),
        TEST(the_caller_keeps_its_signals),
        TEST(libcurl_is_told_all_that_it_must_not_do_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
