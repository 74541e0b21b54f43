/* SPDX-License-Identifier: Apache-2.0 */
/* The http actor against a real server on loopback. */
#include "support/probe.h"
#include "http/http.h"
#include "proto/model.h"
#include "proto/system.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct fixture {
    struct server server;
    struct runtime *runtime;
    struct probe probe;
};

static void quiet(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static struct fixture *set_up(const struct http_config *config)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct runtime_options options = {.name = "test", .workers = 2, .log = quiet};
    struct actor_id id;
    server_start(&f->server);
    assert_int_equal(runtime_new(&options, &f->runtime), 0);
    assert_int_equal(runtime_spawn(f->runtime, &http_actor_ops, config,
                                   &(struct spawn_options){.name = "http", .pinned = true}, &id),
                     0);
    probe_start(&f->probe, f->runtime, "http");
    return f;
}

static void tear_down(struct fixture *f)
{
    runtime_free(f->runtime);
    probe_deinit(&f->probe);
    server_stop(&f->server);
    free(f);
}

static struct http_request request_to(struct fixture *f, const char *method, const char *path,
                                      char ret_url[200])
{
    snprintf(ret_url, 200, "http://127.0.0.1:%u%s", f->server.port, path);
    return (struct http_request){.method = proto_text(method), .url = proto_text(ret_url)};
}

static unsigned send(struct fixture *f, struct http_request request, uint32_t credit,
                     bool keep_credit)
{
    return probe_send(&f->probe, actor_pack(http_request, &request), credit, keep_credit);
}

static struct probe_call *get(struct fixture *f, const char *path)
{
    char url[200];
    unsigned call = send(f, request_to(f, "GET", path, url), 4, false);
    probe_wait(&f->probe, call);
    return &f->probe.calls[call];
}

static struct probe_call *post(struct fixture *f, const char *path, const char *body)
{
    char url[200];
    struct http_request request = request_to(f, "POST", path, url);
    request.body = proto_text(body);
    unsigned call = send(f, request, 4, false);
    probe_wait(&f->probe, call);
    return &f->probe.calls[call];
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l}, NULL);
}

/* Until the server has noticed that nobody is there any more. */
static void wait_for_nobody(struct fixture *f)
{
    for (int i = 0; i < 3000 && atomic_load(&f->server.live) > 0; i++)
        sleep_ms(10);
    assert_int_equal(atomic_load(&f->server.live), 0);
}

static void the_request_goes_out_as_asked(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    char url[200];
    struct http_request request = request_to(f, "POST", "/echo", url);
    request.headers = proto_text("Content-Type: application/json\nX-Agent: atlas\n");
    request.bearer = proto_text("sesame");
    request.api_key = proto_text("open");
    request.body = proto_text("{\"a\":1}");
    unsigned number = send(f, request, 4, false);
    probe_wait(&f->probe, number);
    struct probe_call *call = &f->probe.calls[number];
    assert_int_equal(call->type, MSG_http_end);
    assert_int_equal(call->status, 200);
    assert_non_null(strstr(call->head, "x-mixed-case: Yes\n"));
    assert_non_null(strstr(call->text, "POST /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(call->text, "Authorization: Bearer sesame\r\n"));
    assert_non_null(strstr(call->text, "x-api-key: open\r\n"));
    assert_non_null(strstr(call->text, "X-Agent: atlas\r\n"));
    assert_non_null(strstr(call->text, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(call->text, "Expect:"));
    tear_down(f);
}

static void connections_are_kept_and_used_again(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    for (int i = 0; i < 5; i++)
        assert_int_equal(post(f, "/echo", "x")->type, MSG_http_end);
    assert_int_equal(atomic_load(&f->server.connections), 1);
    assert_int_equal(atomic_load(&f->server.requests), 5);
    tear_down(f);
}

static void a_stream_comes_in_pieces_and_whole(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    struct probe_call *call = get(f, "/stream/20/100000/2"); /* more than one part can hold */
    assert_int_equal(call->type, MSG_http_end);
    assert_int_equal(call->bytes, 2000000);
    assert_true(call->parts > 5);
    tear_down(f);
}

static void without_credit_the_server_is_slowed_down(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    char url[200];
    unsigned call = send(f, request_to(f, "GET", "/endless", url), 3, true);
    probe_wait_parts(&f->probe, call, 3);
    unsigned long long before, now = 0;
    do { /* until the buffers between us are full */
        before = now;
        sleep_ms(300);
        now = atomic_load(&f->server.bytes);
    } while (now != before);
    assert_int_equal(f->probe.calls[call].parts, 3);
    for (unsigned parts = 1003; atomic_load(&f->server.bytes) == before; parts += 1000) {
        probe_credit(&f->probe, call, 1000);
        probe_wait_parts(&f->probe, call, parts);
    }
    probe_cancel(&f->probe, call);
    tear_down(f);
}

static void even_the_head_waits_for_credit(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    char url[200];
    unsigned call = send(f, request_to(f, "GET", "/redirect", url), 0, true);
    sleep_ms(100);
    assert_false(f->probe.calls[call].over);
    probe_credit(&f->probe, call, 1);
    probe_wait(&f->probe, call);
    assert_int_equal(f->probe.calls[call].status, 302);
    tear_down(f);
}

static void cancelling_ends_the_transfer(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    char url[200];
    unsigned call = send(f, request_to(f, "GET", "/endless", url), 100, false);
    probe_wait_parts(&f->probe, call, 10);
    probe_cancel(&f->probe, call);
    wait_for_nobody(f);
    tear_down(f);
}

static void the_deadline_ends_the_transfer(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    char url[200];
    f->probe.calls[0].deadline_ns = 100000000;
    unsigned call = send(f, request_to(f, "GET", "/hang", url), 4, false);
    probe_wait(&f->probe, call);
    assert_int_equal(f->probe.calls[call].runtime_status, STATUS_EXPIRED);
    wait_for_nobody(f);
    tear_down(f);
}

static void silence_is_a_timeout_but_our_own_pause_is_not(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    char url[200];
    struct http_request request = request_to(f, "GET", "/head", url);
    request.idle_ms = 100;
    unsigned silent = send(f, request, 4, false);
    request = request_to(f, "GET", "/endless", url);
    request.idle_ms = 1500;
    unsigned paused = send(f, request, 2, true);
    probe_wait(&f->probe, silent);
    assert_string_equal(f->probe.calls[silent].code, "timeout");
    probe_wait_parts(&f->probe, paused, 2);
    sleep_ms(2000);
    assert_false(f->probe.calls[paused].over);
    tear_down(f);
}

static void a_body_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    char url[200];
    struct http_request request = request_to(f, "GET", "/endless", url);
    request.body_max = 10000;
    unsigned call = send(f, request, 4, false);
    probe_wait(&f->probe, call);
    assert_string_equal(f->probe.calls[call].code, "too_large");
    assert_true(f->probe.calls[call].bytes <= 10000);
    assert_string_equal(get(f, "/wordy")->code, "too_large");
    tear_down(f);
}

static void a_torn_body_is_not_an_end(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    struct probe_call *call = get(f, "/half");
    assert_string_equal(call->code, "unavailable");
    assert_string_equal(call->text, "half");
    tear_down(f);
}

static void redirects_are_shown_not_followed(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    struct probe_call *call = get(f, "/redirect");
    assert_int_equal(call->status, 302);
    assert_non_null(strstr(call->head, "location: /echo"));
    assert_int_equal(atomic_load(&f->server.requests), 1);
    tear_down(f);
}

static void early_hints_are_not_the_head(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    struct probe_call *call = get(f, "/hints");
    assert_int_equal(call->status, 200);
    assert_null(strstr(call->head, "x-early"));
    assert_string_equal(call->text, "ok");
    tear_down(f);
}

/* The server takes the second request of a kept connection and closes. curl on its own sends the
 * POST again on a new connection; here the server must have seen it once. */
static void a_post_is_never_sent_twice(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    assert_int_equal(post(f, "/once", "first")->type, MSG_http_end);
    struct probe_call *call = post(f, "/once", "second");
    assert_int_equal(call->type, MSG_refusal);
    assert_string_equal(call->code, "unavailable");
    assert_int_equal(atomic_load(&f->server.requests), 2);
    assert_int_equal(post(f, "/once", "third")->type, MSG_http_end);
    tear_down(f);
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL);
    struct http_request request = {.method = proto_text("GET"),
                                   .url = proto_text("http://127.0.0.1:1/")};
    unsigned call = send(f, request, 4, false);
    probe_wait(&f->probe, call);
    assert_string_equal(f->probe.calls[call].code, "unavailable");
    assert_string_equal(get(f, "/close")->code, "unavailable");
    tear_down(f);
}

static void unsound_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *method, *url, *headers, *bearer;
    } rows[] = {
        {"PUT", "http://127.0.0.1/", "", ""},
        {"GET", "ftp://127.0.0.1/", "", ""},
        {"GET", "file:///etc/passwd", "", ""},
        {"GET", "http://models.example.test/", "", ""},
        {"GET", "http://user:word@127.0.0.1/", "", ""},
        {"GET", "http://127.0.0.1.example.test/", "", ""},
        {"GET", "http://127.0.0.1/", "no colon", ""},
        {"GET", "http://127.0.0.1/", "A: b\r\nC: d", ""},
        {"GET", "http://127.0.0.1/", "authorization: Bearer x", ""},
        {"GET", "http://127.0.0.1/", "Host: elsewhere", ""},
        {"GET", "http://127.0.0.1/", "", "two words"},
        {"GET", "http://127.0.0.1/", "", "line\nbreak"},
    };
    struct fixture *f = set_up(NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_request request = {.method = proto_text(rows[i].method),
                                       .url = proto_text(rows[i].url),
                                       .headers = proto_text(rows[i].headers),
                                       .bearer = proto_text(rows[i].bearer)};
        unsigned call = send(f, request, 4, false);
        probe_wait(&f->probe, call);
        if (strcmp(f->probe.calls[call].code, "bad_request") != 0)
            fail_msg("row %zu: %s", i, f->probe.calls[call].code);
    }
    tear_down(f);
}

static void proxies_of_the_environment_mean_nothing(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    struct fixture *f = set_up(NULL);
    assert_int_equal(get(f, "/echo")->type, MSG_http_end);
    tear_down(f);
    unsetenv("http_proxy");
}

static void an_origin_has_only_so_many_connections(void **state)
{
    (void)state;
    struct fixture *f = set_up(&(struct http_config){.host_connections = 3});
    char url[200];
    unsigned calls[12];
    for (unsigned i = 0; i < 12; i++)
        calls[i] = send(f, request_to(f, "GET", "/stream/3/10/5", url), 4, false);
    for (unsigned i = 0; i < 12; i++) {
        probe_wait(&f->probe, calls[i]);
        assert_int_equal(f->probe.calls[calls[i]].type, MSG_http_end);
    }
    assert_int_equal(atomic_load(&f->server.live_most), 3);
    tear_down(f);
}

static void more_than_the_limit_is_busy(void **state)
{
    (void)state;
    struct fixture *f = set_up(&(struct http_config){.transfers = 2});
    char url[200];
    send(f, request_to(f, "GET", "/hang", url), 4, false);
    send(f, request_to(f, "GET", "/hang", url), 4, false);
    unsigned call = send(f, request_to(f, "GET", "/hang", url), 4, false);
    probe_wait(&f->probe, call);
    assert_string_equal(f->probe.calls[call].code, "busy");
    tear_down(f);
}

static void five_hundred_streams_at_once(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct fixture *f = set_up(NULL);
    char url[200];
    for (unsigned i = 0; i < COUNT; i++) {
        f->probe.calls[i].deadline_ns = 60000000000;
        send(f, request_to(f, "GET", "/gather/500", url), 4, false);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        probe_wait(&f->probe, i);
        assert_int_equal(f->probe.calls[i].type, MSG_http_end);
        assert_int_equal(f->probe.calls[i].bytes, 2000);
    }
    assert_int_equal(atomic_load(&f->server.live_most), COUNT);
    tear_down(f);
}

static void stopping_with_transfers_open_is_clean(void **state)
{
    (void)state;
    struct fixture *f = set_up(&(struct http_config){.host_connections = 2});
    char url[200];
    unsigned call = send(f, request_to(f, "GET", "/endless", url), 2, true);
    for (int i = 0; i < 5; i++)
        send(f, request_to(f, "GET", "/hang", url), 4, false);
    probe_wait_parts(&f->probe, call, 2);
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_goes_out_as_asked),
        cmocka_unit_test(connections_are_kept_and_used_again),
        cmocka_unit_test(a_stream_comes_in_pieces_and_whole),
        cmocka_unit_test(without_credit_the_server_is_slowed_down),
        cmocka_unit_test(even_the_head_waits_for_credit),
        cmocka_unit_test(cancelling_ends_the_transfer),
        cmocka_unit_test(the_deadline_ends_the_transfer),
        cmocka_unit_test(silence_is_a_timeout_but_our_own_pause_is_not),
        cmocka_unit_test(a_body_over_the_limit_is_refused),
        cmocka_unit_test(a_torn_body_is_not_an_end),
        cmocka_unit_test(redirects_are_shown_not_followed),
        cmocka_unit_test(early_hints_are_not_the_head),
        cmocka_unit_test(a_post_is_never_sent_twice),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(unsound_requests_are_refused),
        cmocka_unit_test(proxies_of_the_environment_mean_nothing),
        cmocka_unit_test(an_origin_has_only_so_many_connections),
        cmocka_unit_test(more_than_the_limit_is_busy),
        cmocka_unit_test(five_hundred_streams_at_once),
        cmocka_unit_test(stopping_with_transfers_open_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
