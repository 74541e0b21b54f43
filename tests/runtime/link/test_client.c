/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking client of the command line, against a runtime and against processes that die. */
#include "link_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct asked {
    struct fixture *fixture;
    struct link_client *client;
    unsigned parts, stop_after;
    struct message *answer;
    int result;
};

static void open_client(struct asked *asked, const char *endpoint)
{
    char why[128];
    int error = link_client_open(endpoint, "cli", 2 * SECOND, why, sizeof why, &asked->client);
    if (error != 0)
        fail_msg("open: %d %s", error, why);
}

static int on_part(void *arg, const struct message *part)
{
    struct asked *asked = arg;
    assert_int_equal(number_of(part, 0), asked->parts);
    assert_int_equal(part->part, asked->parts);
    asked->parts++;
    return asked->parts == asked->stop_after ? -ECANCELED : 0;
}

static void call(struct asked *asked, const char *to, struct message *message,
                 uint64_t timeout_ns)
{
    asked->parts = 0;
    asked->answer = NULL;
    asked->result = link_client_call(asked->client, to, message, timeout_ns, on_part, asked,
                                     &asked->answer);
}

static void assert_answer(struct asked *asked, const char *text)
{
    assert_int_equal(asked->result, 0);
    if (asked->answer->flags & MESSAGE_STATUS)
        fail_msg("answered %s", runtime_status_name(asked->answer->status));
    assert_int_equal(asked->answer->size, strlen(text));
    assert_memory_equal(asked->answer->body, text, strlen(text));
    message_free(asked->answer);
}

static void assert_number(struct asked *asked, uint32_t number)
{
    assert_int_equal(asked->result, 0);
    assert_false(asked->answer->flags & MESSAGE_STATUS);
    assert_int_equal(number_of(asked->answer, 0), number);
    message_free(asked->answer);
}

static void assert_status(struct asked *asked, enum runtime_status status)
{
    assert_int_equal(asked->result, 0);
    assert_int_equal(status_of(asked->answer), status);
}

static void home_listens(struct fixture *fixture)
{
    fixture->home = link_test_runtime("home", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
}

static void a_client_asks_and_is_answered(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {0}, second = {0};
    home_listens(fixture);
    open_client(&asked, fixture->endpoint);
    open_client(&second, fixture->endpoint); /* the same program twice at once is fine */
    assert_string_equal(link_client_peer(asked.client), "home");
    call(&asked, "echo", text_message(TEST_ECHO, "hello"), SECOND);
    assert_answer(&asked, "hello");
    call(&second, "echo", text_message(TEST_ECHO, "again"), SECOND);
    assert_answer(&second, "again");
    call(&asked, "nobody", text_message(TEST_ECHO, "x"), SECOND);
    assert_status(&asked, STATUS_NO_ACTOR);
    call(&asked, "echo", text_message(0x7fff, "x"), SECOND);
    assert_status(&asked, STATUS_UNKNOWN_TYPE);
    call(&asked, "echo", message_new(TEST_ECHO, (4 << 20) + 1), SECOND);
    assert_status(&asked, STATUS_TOO_LARGE);
    call(&asked, "no name", text_message(TEST_ECHO, "x"), SECOND);
    assert_int_equal(asked.result, -EINVAL);
    link_client_close(asked.client);
    link_client_close(second.client);
}

static void a_client_reads_a_stream_and_may_stop_it(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {0};
    uint32_t count = 1000;
    home_listens(fixture);
    open_client(&asked, fixture->endpoint);
    call(&asked, "echo", number_message(TEST_STREAM, count), 5 * SECOND);
    assert_int_equal(asked.parts, count);
    assert_number(&asked, count);
    asked.stop_after = 10;
    for (int i = 0; i < 40; i++) { /* more than it has room for: cancelled ones make room */
        call(&asked, "echo", number_message(TEST_STREAM, 100000), 5 * SECOND);
        assert_int_equal(asked.result, -ECANCELED);
        assert_int_equal(asked.parts, 10);
    }
    call(&asked, "echo", text_message(TEST_ECHO, "hello"), SECOND);
    assert_answer(&asked, "hello");
    link_client_close(asked.client);
}

static void a_clients_patience_ends_as_expired(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {0};
    home_listens(fixture);
    open_client(&asked, fixture->endpoint);
    uint64_t start_ns = now_ns();
    call(&asked, "echo", text_message(TEST_SILENT, "x"), 100 * MS);
    assert_status(&asked, STATUS_EXPIRED);
    assert_true(now_ns() - start_ns < SECOND);
    call(&asked, "echo", text_message(TEST_ECHO, "hello"), SECOND);
    assert_answer(&asked, "hello");
    link_client_close(asked.client);
}

static void *kill_later(void *arg)
{
    pid_t pid = *(const pid_t *)arg;
    pause_ms(100);
    process_kill(pid);
    return NULL;
}

static void a_client_sees_its_peer_die(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {0};
    pthread_t thread;
    pid_t pid = process_start("b", "listen", fixture->other, NULL);
    open_client(&asked, fixture->other);
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &pid), 0);
    uint64_t start_ns = now_ns();
    call(&asked, "echo", text_message(TEST_SILENT, "x"), 10 * SECOND);
    assert_status(&asked, STATUS_PEER_DOWN);
    assert_true(now_ns() - start_ns < SECOND);
    pthread_join(thread, NULL);
    call(&asked, "echo", text_message(TEST_ECHO, "x"), 10 * SECOND);
    assert_status(&asked, STATUS_PEER_DOWN);
    link_client_close(asked.client);
}

static void the_last_answer_of_a_process_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {0};
    process_start("b", "listen", fixture->other, NULL);
    open_client(&asked, fixture->other);
    call(&asked, "echo", text_message(TEST_END, ""), 5 * SECOND);
    assert_answer(&asked, "end");
    link_client_close(asked.client);
}

static void opening_fails_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct link_client *client = NULL;
    char why[128] = "x";
    uint64_t start_ns = now_ns();
    assert_int_equal(link_client_open(fixture->endpoint, "cli", 5 * SECOND, why, sizeof why,
                                      &client),
                     -ECONNREFUSED);
    assert_true(now_ns() - start_ns < SECOND);
    assert_string_not_equal(why, "");
    assert_int_equal(link_client_open("tcp://127.0.0.1:1", "cli", SECOND, why, sizeof why,
                                      &client),
                     -EPROTONOSUPPORT);
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    assert_int_equal(link_client_open(fixture->endpoint, "cli", SECOND, NULL, 0, &client),
                     -EPERM);
    assert_int_equal(chmod(fixture->directory, 0700), 0);
    /* A stale socket that nobody serves any more. */
    pid_t pid = process_start("b", "listen", fixture->other, NULL);
    process_kill(pid);
    assert_int_equal(link_client_open(fixture->other, "cli", 5 * SECOND, why, sizeof why,
                                      &client),
                     -ECONNREFUSED);
    /* One that stands still. */
    pid = process_start("b", "listen", fixture->other, NULL);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
    start_ns = now_ns();
    assert_int_equal(link_client_open(fixture->other, "cli", 200 * MS, why, sizeof why, &client),
                     -ETIMEDOUT);
    assert_true(now_ns() - start_ns < 2 * SECOND);
    process_kill(pid);
    assert_null(client);
}

static void a_request_is_relayed_through_a_process_in_between(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked = {0};
    pthread_t thread;
    home_listens(fixture);
    pid_t pid = process_start("b", "dial", fixture->endpoint, "home");
    open_client(&asked, fixture->endpoint);
    call(&asked, "echo", text_message(TEST_FORWARD, "relayed"), 5 * SECOND);
    assert_answer(&asked, "relayed");
    /* The same without an actor in between: a name that stands for one there. */
    assert_int_equal(runtime_register(fixture->home, "echo-b",
                                      runtime_remote(fixture->home, "b", "echo")),
                     0);
    uint32_t count = 500;
    call(&asked, "echo-b", number_message(TEST_STREAM, count), 5 * SECOND);
    assert_int_equal(asked.parts, count);
    assert_number(&asked, count);
    call(&asked, "echo-b", text_message(TEST_SILENT, "x"), 100 * MS);
    assert_status(&asked, STATUS_EXPIRED);
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &pid), 0);
    uint64_t start_ns = now_ns();
    call(&asked, "echo-b", text_message(TEST_SILENT, "x"), 10 * SECOND);
    assert_status(&asked, STATUS_PEER_DOWN);
    assert_true(now_ns() - start_ns < SECOND);
    pthread_join(thread, NULL);
    link_client_close(asked.client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(a_client_asks_and_is_answered),
        LINK_TEST(a_client_reads_a_stream_and_may_stop_it),
        LINK_TEST(a_clients_patience_ends_as_expired),
        LINK_TEST(a_client_sees_its_peer_die),
        LINK_TEST(the_last_answer_of_a_process_is_read),
        LINK_TEST(opening_fails_by_name),
        LINK_TEST(a_request_is_relayed_through_a_process_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
