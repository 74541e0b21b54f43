/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that die, come back, stand still, or do nothing. */
#include "link_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- peers that go ----------------------------------------------------------------------- */

static void a_killed_peer_answers_peer_down_within_a_second(void **state)
{
    struct fixture *fixture = *state;
    static const char *const how[] = {"listen", "dial"};
    fixture->home = link_test_runtime("home", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
    for (int i = 0; i < 2; i++) {
        pid_t pid = i == 0 ? process_start("b", how[i], fixture->other, NULL)
                           : process_start("c", how[i], fixture->endpoint, "home");
        const char *peer = i == 0 ? "b" : "c";
        if (i == 0)
            assert_int_equal(link_dial(fixture->home, "b", fixture->other), 0);
        assert_echo(fixture->home, peer);
        struct reader_result *result = &fixture->results[i];
        *result = (struct reader_result){.peer = peer, .type = TEST_SILENT, .status = -1};
        reader_run(fixture->home, result);
        pause_ms(50);
        assert_int_equal(result->done, 0);
        uint64_t start_ns = now_ns();
        process_kill(pid);
        wait_until(&result->done, 1, SECOND);
        wait_until(&result->downs, 1, SECOND);
        print_message("noticed after %.1f ms\n", (double)(now_ns() - start_ns) / 1e6);
        assert_int_equal(result->status, STATUS_PEER_DOWN);
        assert_int_equal(result->reason, EXIT_PEER_DOWN);
        /* Known to be gone: the next one does not wait for its deadline. */
        assert_int_equal(status_of(ask(fixture->home, peer, "echo",
                                       text_message(TEST_ECHO, "x"), 5 * SECOND)),
                         STATUS_PEER_DOWN);
        assert_true(now_ns() - start_ns < SECOND);
    }
}

static void a_dialled_link_comes_back_by_itself(void **state)
{
    struct fixture *fixture = *state;
    fixture->home = link_test_runtime("home", PEER_NODE);
    assert_int_equal(link_dial(fixture->home, "b", fixture->other), 0);
    for (int i = 0; i < 3; i++) {
        pid_t pid = process_start("b", "listen", fixture->other, NULL);
        assert_state(fixture->home, "b", "up");
        assert_echo(fixture->home, "b");
        process_kill(pid);
        assert_state(fixture->home, "b", "down");
    }
    struct link_info info;
    assert_true(link_find(fixture->home, "b", &info));
    assert_int_equal(info.reconnects, 2);
}

static void a_process_that_ends_in_order_loses_no_answer(void **state)
{
    struct fixture *fixture = *state;
    fixture->home = link_test_runtime("home", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
    assert_int_equal(link_dial(fixture->home, "b", fixture->other), 0);
    for (int i = 0; i < 2; i++) {
        pid_t pid = i == 0 ? process_start("b", "listen", fixture->other, NULL)
                           : process_start("c", "dial", fixture->endpoint, "home");
        const char *peer = i == 0 ? "b" : "c";
        assert_echo(fixture->home, peer);
        struct message *answer =
            ask(fixture->home, peer, "echo", message_new(TEST_END, 0), 5 * SECOND);
        assert_int_equal(status_of(answer), STATUS_OK);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_state(fixture->home, peer, "down");
    }
}

static void a_peer_that_stands_still_makes_its_senders_busy(void **state)
{
    struct fixture *fixture = *state;
    fixture->home = link_test_runtime("home", PEER_NODE);
    pid_t pid = process_start("b", "listen", fixture->other, NULL);
    assert_int_equal(link_dial(fixture->home, "b", fixture->other), 0);
    assert_echo(fixture->home, "b");
    kill(pid, SIGSTOP);
    struct actor_id echo = runtime_remote(fixture->home, "b", "echo");
    int error = 0;
    unsigned sent = 0;
    for (; error == 0 && sent < 100000; sent++) {
        struct message *message = message_new(TEST_COUNT, 1000);
        memset(message->body, 0, message->size);
        error = runtime_post(fixture->home, echo, message);
    }
    assert_int_equal(error, -EAGAIN);
    assert_true(sent < 10000); /* the bound of messages, well below that of bytes */
    print_message("busy after %u messages\n", sent);
    kill(pid, SIGCONT);
    for (int i = 0; i < 100 && error != 0; i++) {
        pause_ms(10);
        struct message *message = message_new(TEST_COUNT, 1000);
        memset(message->body, 0, message->size);
        error = runtime_post(fixture->home, echo, message);
    }
    assert_int_equal(error, 0);
    assert_echo(fixture->home, "b");
    process_kill(pid);
}

static void a_hung_up_link_stays_down(void **state)
{
    struct fixture *fixture = *state;
    connect_two(fixture);
    assert_int_equal(link_hangup(fixture->b, "home"), 0);
    assert_state(fixture->b, "home", "down");
    assert_state(fixture->home, "b", "down");
    assert_int_equal(
        status_of(ask(fixture->b, "home", "echo", text_message(TEST_ECHO, "x"), SECOND)),
        STATUS_PEER_DOWN);
    assert_int_equal(link_dial(fixture->b, "home", fixture->endpoint), 0);
    assert_state(fixture->b, "home", "up");
    assert_echo(fixture->b, "home");
    assert_echo(fixture->home, "b");
}

static void another_name_at_the_address_is_not_taken_for_the_peer(void **state)
{
    struct fixture *fixture = *state;
    fixture->home = link_test_runtime("home", PEER_NODE);
    fixture->b = link_test_runtime("b", PEER_NODE);
    assert_int_equal(link_listen(fixture->b, fixture->other), 0);
    assert_int_equal(link_dial(fixture->home, "atlas", fixture->other), 0);
    assert_state(fixture->home, "atlas", "down");
    assert_int_equal(
        status_of(ask(fixture->home, "atlas", "echo", text_message(TEST_ECHO, "x"), SECOND)),
        STATUS_PEER_DOWN);
}

static void both_dialling_each_other_end_with_one_link(void **state)
{
    struct fixture *fixture = *state;
    fixture->home = link_test_runtime("home", PEER_NODE);
    fixture->b = link_test_runtime("b", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
    assert_int_equal(link_listen(fixture->b, fixture->other), 0);
    assert_int_equal(link_dial(fixture->b, "home", fixture->endpoint), 0);
    assert_int_equal(link_dial(fixture->home, "b", fixture->other), 0);
    assert_echo(fixture->b, "home");
    assert_echo(fixture->home, "b");
    pause_ms(500);
    assert_echo(fixture->b, "home");
    assert_echo(fixture->home, "b");
}

/* ---- rest -------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * SECOND +
           ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

static void an_idle_link_uses_no_cpu(void **state)
{
    struct fixture *fixture = *state;
    connect_two(fixture);
    pid_t pid = process_start("c", "dial", fixture->endpoint, "home");
    assert_echo(fixture->home, "c");
    pause_ms(100);
    uint64_t start_ns = cpu_ns();
    pause_ms(1000);
    uint64_t used_ns = cpu_ns() - start_ns;
    print_message("%.3f ms of CPU in a second\n", (double)used_ns / 1e6);
    assert_true(used_ns < 10 * MS);
    process_kill(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(a_killed_peer_answers_peer_down_within_a_second),
        LINK_TEST(a_dialled_link_comes_back_by_itself),
        LINK_TEST(a_process_that_ends_in_order_loses_no_answer),
        LINK_TEST(a_peer_that_stands_still_makes_its_senders_busy),
        LINK_TEST(a_hung_up_link_stays_down),
        LINK_TEST(another_name_at_the_address_is_not_taken_for_the_peer),
        LINK_TEST(both_dialling_each_other_end_with_one_link),
        LINK_TEST(an_idle_link_uses_no_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
