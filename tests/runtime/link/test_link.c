/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, tells and streams between two runtimes in one process. */
#include "link_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- requests ---------------------------------------------------------------------------- */

static void a_request_crosses_in_both_directions(void **state)
{
    struct fixture *fixture = *state;
    connect_two(fixture);
    assert_echo(fixture->home, "b");
    struct link_info info;
    assert_true(link_find(fixture->b, "home", &info));
    assert_string_equal(info.state, "up");
    assert_string_equal(info.kind, "node");
    assert_string_equal(info.endpoint, fixture->endpoint);
    assert_int_equal(info.pid, getpid());
    assert_int_equal(info.gaps, 0);
    assert_true(info.messages_in >= 2 && info.messages_out >= 2 && info.rtt_ns > 0);
}

static void *listen_later(void *arg)
{
    struct fixture *fixture = arg;
    pause_ms(50);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
    return NULL;
}

static void a_request_waits_for_a_listener_that_comes_later(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    fixture->home = link_test_runtime("home", PEER_NODE);
    fixture->b = link_test_runtime("b", PEER_NODE);
    assert_int_equal(link_dial(fixture->b, "home", fixture->endpoint), 0);
    assert_int_equal(pthread_create(&thread, NULL, listen_later, fixture), 0);
    assert_echo(fixture->b, "home");
    pthread_join(thread, NULL);
}

static void *dial_later(void *arg)
{
    struct fixture *fixture = arg;
    pause_ms(50);
    assert_int_equal(link_dial(fixture->b, "home", fixture->endpoint), 0);
    return NULL;
}

static void a_request_waits_for_a_peer_that_dials_later(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    fixture->home = link_test_runtime("home", PEER_NODE);
    fixture->b = link_test_runtime("b", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
    assert_int_equal(pthread_create(&thread, NULL, dial_later, fixture), 0);
    assert_echo(fixture->home, "b");
    pthread_join(thread, NULL);
}

static void a_request_that_waits_ends_with_its_deadline(void **state)
{
    struct fixture *fixture = *state;
    fixture->b = link_test_runtime("b", PEER_NODE);
    assert_int_equal(link_dial(fixture->b, "home", fixture->endpoint), 0);
    uint64_t start_ns = now_ns();
    assert_int_equal(status_of(ask(fixture->b, "home", "echo", text_message(TEST_ECHO, "x"),
                                   100 * MS)),
                     STATUS_EXPIRED);
    assert_true(now_ns() - start_ns < SECOND);
}

static void what_nobody_takes_is_answered_by_name(void **state)
{
    struct fixture *fixture = *state;
    connect_two(fixture);
    assert_int_equal(status_of(ask(fixture->b, "home", "nobody", text_message(TEST_ECHO, "x"),
                                   5 * SECOND)),
                     STATUS_NO_ACTOR);
    assert_int_equal(status_of(ask(fixture->b, "home", "echo", text_message(0x7fff, "x"),
                                   5 * SECOND)),
                     STATUS_UNKNOWN_TYPE);
    assert_int_equal(status_of(ask(fixture->b, "home", "echo",
                                   message_new(TEST_ECHO, (4 << 20) + 1), 5 * SECOND)),
                     STATUS_TOO_LARGE);
    struct message *large = message_new(TEST_ECHO, 4 << 20);
    memset(large->body, 'x', large->size);
    struct message *answer = ask(fixture->b, "home", "echo", large, 5 * SECOND);
    assert_int_equal(answer->size, 4 << 20);
    assert_int_equal(answer->body[(4 << 20) - 1], 'x');
    message_free(answer);
    assert_int_equal(status_of(ask(fixture->b, "home", "echo",
                                   number_message(TEST_LARGE, 4 << 20), 5 * SECOND)),
                     STATUS_OK);
    assert_int_equal(status_of(ask(fixture->b, "home", "echo",
                                   number_message(TEST_LARGE, (4 << 20) + 1), 5 * SECOND)),
                     STATUS_TOO_LARGE);
    assert_echo(fixture->b, "home");
}

static void many_tells_arrive_in_order_without_a_gap(void **state)
{
    struct fixture *fixture = *state;
    enum { TELLS = 20000, AT_ONCE = 500 };
    connect_two(fixture);
    struct actor_id echo = runtime_remote(fixture->b, "home", "echo");
    uint32_t arrived = 0, out_of_order = 0;
    for (uint32_t i = 0; i < TELLS; i++) {
        assert_int_equal(runtime_post(fixture->b, echo, number_message(TEST_COUNT, i % AT_ONCE)),
                         0);
        if ((i + 1) % AT_ONCE == 0) { /* and none in a queue or a mailbox any more */
            struct message *answer =
                ask(fixture->b, "home", "echo", message_new(TEST_COUNTED, 0), 5 * SECOND);
            arrived += number_of(answer, 0);
            out_of_order += number_of(answer, 1);
            message_free(answer);
        }
    }
    assert_int_equal(arrived, TELLS);
    assert_int_equal(out_of_order, 0);
    struct link_info info;
    assert_true(link_find(fixture->home, "b", &info));
    assert_int_equal(info.gaps, 0);
}

/* ---- streams ---------------------------------------------------------------------------- */

static void a_stream_crosses_under_credit(void **state)
{
    struct fixture *fixture = *state;
    connect_two(fixture);
    struct reader_result *result = &fixture->results[0];
    *result = (struct reader_result){.wanted = 1000, .peer = "home", .type = TEST_STREAM};
    reader_run(fixture->b, result);
    wait_until(&result->done, 1, 10 * SECOND);
    assert_int_equal(result->status, STATUS_OK);
    assert_int_equal(result->parts, 1000);
    assert_int_equal(result->wrong, 0);
}

/* ---- addresses --------------------------------------------------------------------------- */

static void endpoints_that_are_not_ours_alone_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char deep[300];
    fixture->home = link_test_runtime("home", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, "tcp://127.0.0.1:0"), -EPROTONOSUPPORT);
    assert_int_equal(link_dial(fixture->home, "b", "tcp://127.0.0.1:1"), -EPROTONOSUPPORT);
    assert_int_equal(link_listen(fixture->home, "ipc://@abstract"), -EINVAL);
    assert_int_equal(link_listen(fixture->home, "ipc://*"), -EINVAL);
    assert_int_equal(link_listen(fixture->home, "ipc://relative/path"), -EINVAL);
    snprintf(deep, sizeof deep, "ipc:///%0200d", 0);
    assert_int_equal(link_listen(fixture->home, deep), -ENAMETOOLONG);
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), -EPERM);
    assert_int_equal(link_dial(fixture->home, "b", fixture->other), -EPERM);
    assert_int_equal(chmod(fixture->directory, 0700), 0);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
    assert_int_equal(link_listen(fixture->home, fixture->other), -EALREADY);
    assert_int_equal(link_dial(fixture->home, "a b", fixture->other), -EINVAL);
    assert_int_equal(link_dial(fixture->home, "b", fixture->other), 0);
    assert_int_equal(link_dial(fixture->home, "b", fixture->other), -EALREADY);
    assert_int_equal(link_start(fixture->home, &(struct link_options){0}), -EEXIST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(a_request_crosses_in_both_directions),
        LINK_TEST(a_request_waits_for_a_listener_that_comes_later),
        LINK_TEST(a_request_waits_for_a_peer_that_dials_later),
        LINK_TEST(a_request_that_waits_ends_with_its_deadline),
        LINK_TEST(what_nobody_takes_is_answered_by_name),
        LINK_TEST(many_tells_arrive_in_order_without_a_gap),
        LINK_TEST(a_stream_crosses_under_credit),
        LINK_TEST(endpoints_that_are_not_ours_alone_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
