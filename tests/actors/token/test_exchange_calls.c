/* SPDX-License-Identifier: Apache-2.0 */
/* Each call that an exchange makes of libcurl fails in turn, and libcurl does what it must not. The
 * end is told once, nothing is sent before the gate is open, and the token goes out once at
 * most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <curl/curl.h>
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
#define OK_TEXT "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"access_token\":\"a\"}"

typedef int (*prereq)(void *arg, char *remote, char *local, int remote_port, int local_port);

/* libcurl, as it behaves in the test at work. One exchange at a time. */
static struct {
    unsigned calls, fail_at; /* of the thread of an exchange, and of its start */
    bool counting;
    bool gate_first;         /* the gate is asked before anything else */
    prereq gate;
    void *gate_arg;
    const char *remote;      /* what the gate is told instead */
    bool twice;              /* the gate is passed twice, as for a second connection */
    void (*before_gate)(void);
} curl;

static bool fails(void)
{
    return curl.counting && ++curl.calls == curl.fail_at;
}

CURL *__real_curl_easy_init(void);
CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
struct curl_slist *__real_curl_slist_append(struct curl_slist *list, const char *line);
CURLM *__real_curl_multi_init(void);
CURLMcode __real_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __real_curl_multi_perform(CURLM *multi, int *running);
CURLMcode __real_curl_multi_poll(CURLM *multi, struct curl_waitfd *fds, unsigned count, int ms,
                                 int *ready);
CURLMsg *__real_curl_multi_info_read(CURLM *multi, int *left);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);
void *__real_calloc(size_t count, size_t size);
void *__real_sodium_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_sodium_malloc(size_t size);
CURL *__wrap_curl_easy_init(void);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
struct curl_slist *__wrap_curl_slist_append(struct curl_slist *list, const char *line);
CURLM *__wrap_curl_multi_init(void);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_perform(CURLM *multi, int *running);
CURLMcode __wrap_curl_multi_poll(CURLM *multi, struct curl_waitfd *fds, unsigned count, int ms,
                                 int *ready);
CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *left);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);

static int odd_gate(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    char text[64];
    (void)arg;
    snprintf(text, sizeof(text), "%s", curl.remote != NULL ? curl.remote : remote);
    if (curl.before_gate != NULL) {
        curl.before_gate();
    }
    int verdict = curl.gate(curl.gate_arg, text, local, remote_port, local_port);
    return curl.twice ? curl.gate(curl.gate_arg, text, local, remote_port, local_port) : verdict;
}

CURL *__wrap_curl_easy_init(void)
{
    return fails() ? NULL : __real_curl_easy_init();
}

/* What it is given is a pointer or as wide as one. */
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list arguments;
    va_start(arguments, option);
    void *value = va_arg(arguments, void *);
    va_end(arguments);
    if (fails()) {
        return CURLE_OUT_OF_MEMORY;
    }
    if (option == CURLOPT_PREREQFUNCTION) {
        memcpy(&curl.gate, &value, sizeof(value));
        return __real_curl_easy_setopt(easy, option, odd_gate);
    }
    if (option == CURLOPT_PREREQDATA) {
        curl.gate_arg = value;
    }
    return __real_curl_easy_setopt(easy, option, value);
}

struct curl_slist *__wrap_curl_slist_append(struct curl_slist *list, const char *line)
{
    return fails() ? NULL : __real_curl_slist_append(list, line);
}

CURLM *__wrap_curl_multi_init(void)
{
    return fails() ? NULL : __real_curl_multi_init();
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    return fails() ? CURLM_OUT_OF_MEMORY : __real_curl_multi_add_handle(multi, easy);
}

CURLMcode __wrap_curl_multi_perform(CURLM *multi, int *running)
{
    if (curl.gate_first) {
        char far[] = "192.0.2.1", here[] = "127.0.0.1";
        curl.gate_first = false;
        curl.gate(curl.gate_arg, far, here, 443, 1);
    }
    return fails() ? CURLM_INTERNAL_ERROR : __real_curl_multi_perform(multi, running);
}

CURLMcode __wrap_curl_multi_poll(CURLM *multi, struct curl_waitfd *fds, unsigned count, int ms,
                                 int *ready)
{
    return fails() ? CURLM_INTERNAL_ERROR : __real_curl_multi_poll(multi, fds, count, ms, ready);
}

CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *left)
{
    return fails() ? NULL : __real_curl_multi_info_read(multi, left);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_sodium_malloc(size_t size)
{
    return fails() ? NULL : __real_sodium_malloc(size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, run, arg);
}

/* ---- one exchange --------------------------------------------------------------------------- */

static struct run {
    struct exchange_port *exchange;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    struct exchange_request request;
    unsigned gates, dones;
    bool gate_kept_shut, again; /* starts another when it ends */
    int again_error;
    struct exchange_result result;
} run;

static void on_gate(void *arg, uint64_t id)
{
    (void)arg;
    run.gates++;
    run.exchange->gate(run.exchange, id + 1000, true); /* of nobody */
    run.exchange->gate(run.exchange, id, !run.gate_kept_shut);
    run.exchange->gate(run.exchange, id, !run.gate_kept_shut); /* once is enough */
}

static void on_done(void *arg, uint64_t id, struct exchange_result *result)
{
    uint64_t other;
    (void)arg;
    (void)id;
    if (run.again) {
        run.again_error = run.exchange->start(run.exchange, &run.request, &other);
    }
    pthread_mutex_lock(&run.mutex);
    run.dones++;
    run.result = *result;
    pthread_cond_broadcast(&run.moved);
    pthread_mutex_unlock(&run.mutex);
}

static int setup(void **state)
{
    (void)state;
    memset(&curl, 0, sizeof(curl));
    memset(&run, 0, sizeof(run));
    pthread_mutex_init(&run.mutex, NULL);
    pthread_cond_init(&run.moved, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(run.result.body);
    run.result.body = NULL;
    pthread_cond_destroy(&run.moved);
    pthread_mutex_destroy(&run.mutex);
    return 0;
}

static void wait_done(unsigned dones)
{
    pthread_mutex_lock(&run.mutex);
    while (run.dones < dones) {
        pthread_cond_wait(&run.moved, &run.mutex);
    }
    pthread_mutex_unlock(&run.mutex);
}

/* To its end, or the error of its start. */
static int exchange(const char *scheme, int port, const struct exchange_curl_options *options)
{
    struct provider_rule rule = {.id = "lab", .headers = "{\"X-Lab\":\"7\"}"};
    struct secret *refresh = secret_new(TOKEN, strlen(TOKEN));
    uint64_t id;
    snprintf(rule.token_url, sizeof(rule.token_url), "%s://127.0.0.1:%d/token", scheme, port);
    run.exchange = exchange_curl_new(options);
    assert_non_null(run.exchange);
    run.request = (struct exchange_request){.rule = &rule, .refresh = refresh, .timeout_ms = 20000,
                                            .connect_timeout_ms = 20000, .at_gate = on_gate,
                                            .done = on_done};
    curl.counting = true;
    int error = run.exchange->start(run.exchange, &run.request, &id);
    if (error == 0) {
        wait_done(1);
    }
    curl.counting = false;
    run.exchange->close(run.exchange);
    secret_free(refresh);
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
        curl.fail_at = k;
        int error = exchange("http", server.port, NULL);
        hit = curl.calls >= k;
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
}

static void without_a_connection_of_its_own_nothing_is_sent(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    curl.twice = true;
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
        curl.remote = rows[i].remote;
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
    curl.gate_first = true;
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

/* The close has begun, and waits for this exchange, when its connection stands. */
static void begin_to_close(void)
{
    struct timespec moment = {.tv_nsec = 100000000};
    __real_pthread_create(&closer, NULL, close_it, NULL);
    nanosleep(&moment, NULL); /* as long as it takes a thread to begin; longer is no harm */
}

static void a_close_that_has_begun_opens_no_gate_and_starts_nothing(void **state)
{
    (void)state;
    struct provider_rule rule = {.id = "lab"};
    struct secret *refresh = secret_new(TOKEN, strlen(TOKEN));
    struct server server;
    uint64_t id;
    server_start(&server, SCRIPT_ANSWER, OK_TEXT);
    snprintf(rule.token_url, sizeof(rule.token_url), "http://127.0.0.1:%d/", server.port);
    curl.before_gate = begin_to_close;
    run.again = true;
    run.exchange = exchange_curl_new(NULL);
    run.request = (struct exchange_request){.rule = &rule, .refresh = refresh, .timeout_ms = 20000,
                                            .connect_timeout_ms = 20000, .at_gate = on_gate,
                                            .done = on_done};
    assert_int_equal(run.exchange->start(run.exchange, &run.request, &id), 0);
    wait_done(1);
    pthread_join(closer, NULL);
    server_stop(&server);
    assert_int_equal(run.gates, 0);
    assert_int_equal(run.again_error, -ESHUTDOWN);
    assert_int_equal(run.result.end, EXCHANGE_NOT_SENT);
    assert_int_equal(server_count(&server, TOKEN), 0);
    secret_free(refresh);
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
    secret_free(run.result.body);
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

static void a_time_to_come_back_in_a_hundred_years_is_the_longest_there_is(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, SCRIPT_ANSWER,
                 "HTTP/1.1 429 Slow\r\nRetry-After: 4000000000\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(exchange("http", server.port, NULL), 0);
    server_stop(&server);
    assert_true(run.result.retry_after_ms == UINT32_MAX || run.result.retry_after_ms == 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_that_fails_ends_it_once_and_sends_the_token_once_at_most),
        TEST(without_a_connection_of_its_own_nothing_is_sent),
        TEST(in_the_clear_only_this_machine_is_spoken_to),
        TEST(with_tls_any_peer_is_spoken_to),
        TEST(a_close_that_has_begun_opens_no_gate_and_starts_nothing),
        TEST(a_proxy_and_a_certificate_file_are_used_when_named),
        TEST(a_rule_with_broken_headers_or_no_token_is_not_sent),
        TEST(a_time_to_come_back_in_a_hundred_years_is_the_longest_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
