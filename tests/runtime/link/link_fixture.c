/* SPDX-License-Identifier: Apache-2.0 */
#include "link_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int link_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_int_equal(temp_dir_make(fixture->directory), 0);
    snprintf(fixture->endpoint, sizeof fixture->endpoint, "ipc://%s/home", fixture->directory);
    snprintf(fixture->other, sizeof fixture->other, "ipc://%s/b", fixture->directory);
    *state = fixture;
    return 0;
}

int link_teardown(void **state)
{
    struct fixture *fixture = *state;
    runtime_free(fixture->b);
    runtime_free(fixture->home);
    temp_dir_remove(fixture->directory);
    free(fixture);
    return 0;
}

uint64_t now_ns(void)
{
    return clock_real()->now_ns(clock_real());
}

void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* ---- asking ------------------------------------------------------------------------------ */

struct message *text_message(uint32_t type, const char *text)
{
    struct message *message = message_new(type, strlen(text));
    memcpy(message->body, text, strlen(text));
    return message;
}

struct message *number_message(uint32_t type, uint32_t number)
{
    struct message *message = message_new(type, sizeof number);
    memcpy(message->body, &number, sizeof number);
    return message;
}

uint32_t number_of(const struct message *message, size_t i)
{
    uint32_t number;
    assert_true(message->size >= (i + 1) * sizeof number);
    memcpy(&number, message->body + i * sizeof number, sizeof number);
    return number;
}

struct message *ask(struct runtime *runtime, const char *peer, const char *name,
                    struct message *message, uint64_t timeout_ns)
{
    struct message *answer = NULL;
    assert_int_equal(
        runtime_ask(runtime, runtime_remote(runtime, peer, name), message, timeout_ns, &answer),
        0);
    assert_non_null(answer);
    return answer;
}

enum runtime_status status_of(struct message *answer)
{
    enum runtime_status status =
        answer->flags & MESSAGE_STATUS ? (enum runtime_status)answer->status : STATUS_OK;
    message_free(answer);
    return status;
}

void assert_echo(struct runtime *runtime, const char *peer)
{
    struct message *answer =
        ask(runtime, peer, "echo", text_message(TEST_ECHO, "hello"), 5 * SECOND);
    if (answer->flags & MESSAGE_STATUS)
        fail_msg("answered %s", runtime_status_name(answer->status));
    assert_int_equal(answer->size, 5);
    assert_memory_equal(answer->body, "hello", 5);
    message_free(answer);
}

bool link_find(struct runtime *runtime, const char *peer, struct link_info *ret_info)
{
    uint64_t cursor = 0;
    while (introspect_links(runtime, &cursor, ret_info, 1) == 1)
        if (strcmp(ret_info->peer, peer) == 0)
            return true;
    return false;
}

void assert_state(struct runtime *runtime, const char *peer, const char *state)
{
    struct link_info info;
    for (int i = 0; i < 300; i++) {
        if (link_find(runtime, peer, &info) && strcmp(info.state, state) == 0)
            return;
        pause_ms(10);
    }
    fail_msg("%s never became %s", peer, state);
}

/* ---- a second process -------------------------------------------------------------------- */

pid_t process_start(const char *name, const char *how, const char *endpoint, const char *peer)
{
    int ready[2];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    char *argv[] = {(char *)(uintptr_t)LINK_PROCESS, (char *)(uintptr_t)name,
                    (char *)(uintptr_t)how, (char *)(uintptr_t)endpoint, (char *)(uintptr_t)peer,
                    NULL};
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], 1);
    assert_int_equal(posix_spawn(&pid, LINK_PROCESS, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, '0');
    close(ready[0]);
    return pid;
}

void process_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void connect_two(struct fixture *fixture)
{
    fixture->home = link_test_runtime("home", PEER_NODE);
    fixture->b = link_test_runtime("b", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
    assert_int_equal(link_dial(fixture->b, "home", fixture->endpoint), 0);
    assert_echo(fixture->b, "home");
}

/* ---- a requester of streams -------------------------------------------------------------- */

struct reader { /* an actor that reads one stream and then says so */
    struct reader_result *result;
    struct request_id request;
};

static int reader_start(void *state, struct context *context, const void *config)
{
    struct reader *reader = state;
    reader->result = *(struct reader_result *const *)config;
    struct actor_id to = context_remote(context, reader->result->peer, "echo");
    struct request_options options = {.credit = 4, .ret_request = &reader->request};
    reader->result->credit = 4;
    context_monitor(context, to);
    context_watch_links(context);
    return context_request(context, to,
                           number_message(reader->result->type, reader->result->wanted),
                           &options);
}

static int reader_on_stream(void *state, struct context *context, const void *body)
{
    struct reader *reader = state;
    struct reader_result *result = reader->result;
    uint32_t number;
    memcpy(&number, body, sizeof number);
    result->wrong += number != result->parts++ || !context_is_part(context);
    result->wrong += result->parts > result->credit;
    if (result->parts == result->credit) {
        result->credit += 3;
        context_credit(context, reader->request, 3);
    }
    return 0;
}

static int reader_on_echo(void *state, struct context *context, const void *body)
{
    struct reader *reader = state;
    (void)context;
    (void)body;
    reader->result->done++;
    return 0;
}

static int reader_on_status(void *state, struct context *context, uint64_t tag,
                            enum runtime_status status)
{
    struct reader *reader = state;
    (void)context;
    (void)tag;
    reader->result->status = (int)status;
    reader->result->done++;
    return 0;
}

static int reader_on_down(void *state, struct context *context, struct actor_id who,
                          enum exit_reason reason, int error)
{
    struct reader *reader = state;
    (void)context;
    (void)who;
    (void)error;
    reader->result->reason = (int)reason;
    reader->result->downs++;
    return 0;
}

static const struct actor_handler reader_handlers[] = {
    {TEST_STREAM, FROM_ANSWER, "stream", NULL, reader_on_stream},
    {TEST_ECHO, FROM_ANSWER, "echo", NULL, reader_on_echo},
    {0, 0, NULL, NULL, NULL},
};

static const struct actor_ops reader_ops = {
    .name = "reader",
    .state_size = sizeof(struct reader),
    .handlers = reader_handlers,
    .start = reader_start,
    .on_status = reader_on_status,
    .on_down = reader_on_down,
};

void reader_run(struct runtime *runtime, struct reader_result *result)
{
    struct actor_id id;
    struct spawn_options options = {0};
    assert_int_equal(runtime_spawn(runtime, &reader_ops, &result, &options, &id), 0);
}

void wait_until(const _Atomic uint32_t *counter, uint32_t wanted, uint64_t timeout_ns)
{
    uint64_t end_ns = now_ns() + timeout_ns;
    while (*counter < wanted && now_ns() < end_ns)
        pause_ms(1);
    assert_true(*counter >= wanted);
}
