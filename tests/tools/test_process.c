/* SPDX-License-Identifier: Apache-2.0 */
/* The start of processes. The child is this program itself, started as the real ones are: main
 * looks which of the children below it is to be. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "queenright/process/process.h"
#include "support/temp_dir.h"

#define READY_FD 3
#define LONG_MS 20000 /* for what must come */
#define SHORT_MS 200

/* ---- children ------------------------------------------------------------------------------- */

static int child_ready(void)
{
    process_say_ready(READY_FD, "ready and well");
    return 0;
}

static int child_in_pieces(void)
{
    const char *pieces[] = {"rea", "dy\nand", " more\n"};
    for (int i = 0; i < 3; i++) {
        if (write(READY_FD, pieces[i], strlen(pieces[i])) < 0)
            return 1;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return 0;
}

static int child_says_too_much(void)
{
    for (int i = 0; i < 1000; i++)
        dprintf(READY_FD, "x");
    return 0;
}

static int child_ends(void)
{
    return 3;
}

static int child_mute(void)
{
    pause();
    return 0;
}

/* What it was given, a line each. */
static int child_tells(char **argv)
{
    sigset_t blocked;
    char line[256], byte;
    int signals = 0;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("fd %d\n", fd);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int i = 1; i < 32; i++)
        signals += sigismember(&blocked, i);
    printf("blocked %d\n", signals);
    for (int i = 0; argv[i]; i++)
        printf("arg %s\n", argv[i]);
    for (char **at = environ; *at; at++)
        printf("env %s\n", *at);
    fprintf(stderr, "end\n");
    fflush(stdout);
    snprintf(line, sizeof(line), "pid=%d parent=%d session=%d input=%d", (int)getpid(),
             (int)getppid(), (int)getsid(0), (int)read(STDIN_FILENO, &byte, 1));
    process_say_ready(READY_FD, line);
    return 0;
}

static int be_child(const char *which, char **argv)
{
    alarm(60); /* whatever becomes of the test */
    if (strcmp(which, "tells") == 0)
        return child_tells(argv);
    return strcmp(which, "ready") == 0       ? child_ready()
           : strcmp(which, "in_pieces") == 0 ? child_in_pieces()
           : strcmp(which, "too_much") == 0  ? child_says_too_much()
           : strcmp(which, "mute") == 0      ? child_mute()
                                             : child_ends();
}

/* ---- their parent --------------------------------------------------------------------------- */

struct place {
    char directory[TEMP_DIR_MAX], log_path[TEMP_DIR_MAX + 8], log[65536];
    char line[256];
    pid_t pid;
    int ready_fd;
};

static void start(struct place *place, const char *which, bool own_session)
{
    struct process_spec spec = {.args = {which}, .log_path = place->log_path,
                                .own_session = own_session};
    assert_int_equal(process_spawn(&spec, &place->pid, &place->ready_fd), 0);
}

static int wait_ready(struct place *place, int timeout_ms)
{
    int rc = process_wait_ready(place->ready_fd, timeout_ms, place->line, sizeof(place->line));
    assert_int_equal(fcntl(place->ready_fd, F_GETFD), -1); /* closed, whatever came */
    return rc;
}

/* Its end is there to be seen, and then no more. */
static int end_of(pid_t pid)
{
    struct pollfd end = {.fd = process_pidfd(pid), .events = POLLIN};
    int status;
    assert_true(end.fd >= 0);
    assert_int_equal(poll(&end, 1, LONG_MS), 1);
    close(end.fd);
    assert_int_equal(waitpid(pid, &status, WNOHANG), pid);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return status;
}

static void read_log(struct place *place)
{
    FILE *file = fopen(place->log_path, "re");
    assert_non_null(file);
    place->log[fread(place->log, 1, sizeof(place->log) - 1, file)] = '\0';
    fclose(file);
}

static unsigned lines_with(const struct place *place, const char *start_)
{
    unsigned count = 0;
    for (const char *at = place->log; *at; at = strchr(at, '\n') + 1)
        count += strncmp(at, start_, strlen(start_)) == 0;
    return count;
}

static void the_ready_line_comes_without_its_newline(void **state)
{
    struct place *place = *state;
    start(place, "ready", false);
    assert_int_equal(wait_ready(place, LONG_MS), 0);
    assert_string_equal(place->line, "ready and well");
    assert_int_equal(end_of(place->pid), 0);
    start(place, "in_pieces", false);
    assert_int_equal(wait_ready(place, LONG_MS), 0);
    assert_string_equal(place->line, "ready");
    end_of(place->pid); /* of SIGPIPE, or not: nobody listens any more */
}

static void who_ends_before_it_is_not_ready(void **state)
{
    struct place *place = *state;
    start(place, "ends", false);
    assert_int_equal(wait_ready(place, LONG_MS), -ECHILD);
    int status = end_of(place->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    start(place, "ends", true);
    assert_int_equal(wait_ready(place, LONG_MS), -ECHILD);
    start(place, "too_much", false); /* a line that never ends is none */
    assert_int_equal(wait_ready(place, LONG_MS), -ECHILD);
    end_of(place->pid);
}

static void who_never_says_it_is_given_up_after_the_limit(void **state)
{
    struct place *place = *state;
    struct timespec from, until;
    start(place, "mute", false);
    clock_gettime(CLOCK_BOOTTIME, &from);
    assert_int_equal(wait_ready(place, SHORT_MS), -ETIMEDOUT);
    clock_gettime(CLOCK_BOOTTIME, &until);
    assert_true((until.tv_sec - from.tv_sec) * 1000 + (until.tv_nsec - from.tv_nsec) / 1000000 >=
                SHORT_MS - 1);
    assert_int_equal(waitpid(place->pid, NULL, WNOHANG), 0); /* it lives: who started it decides */
    assert_int_equal(kill(place->pid, SIGKILL), 0);
    int status = end_of(place->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void who_says_it_to_nobody_lives_on(void **state)
{
    struct place *place = *state;
    start(place, "ready", false);
    close(place->ready_fd); /* SIGPIPE is ignored here, as in the real program, and so there */
    assert_int_equal(end_of(place->pid), 0);
}

static void a_child_is_ours_and_with_a_session_of_its_own_nobodys(void **state)
{
    struct place *place = *state;
    int pid, parent, session, input, ends[2], own_input = dup(STDIN_FILENO);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "for us", 6), 6);
    dup2(ends[0], STDIN_FILENO);
    for (int own = 0; own < 2; own++) {
        start(place, "tells", own);
        assert_int_equal(wait_ready(place, LONG_MS), 0);
        assert_int_equal(sscanf(place->line, "pid=%d parent=%d session=%d input=%d", &pid, &parent,
                                &session, &input), 4);
        if (!own) {
            assert_int_equal(place->pid, pid);
            assert_int_equal(parent, getpid());
            assert_int_equal(session, getsid(0));
            end_of(place->pid);
            continue;
        }
        assert_int_equal(place->pid, 0);
        assert_int_not_equal(session, getsid(0));
        assert_int_not_equal(session, pid); /* it leads none: no terminal can become its own */
        assert_int_not_equal(parent, getpid());
        assert_int_equal(input, 0); /* nor does it read what was meant for us */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
    }
    dup2(own_input, STDIN_FILENO);
    close(own_input);
    close(ends[0]);
    close(ends[1]);
}

static void it_has_what_it_was_given_and_nothing_else(void **state)
{
    struct place *place = *state;
    sigset_t signals, before;
    int leaked[3];
    unsigned environment = 0;
    for (char **at = environ; *at; at++)
        environment++;
    sigfillset(&signals);
    sigprocmask(SIG_BLOCK, &signals, &before);
    for (int i = 0; i < 3; i++)
        leaked[i] = dup(STDERR_FILENO); /* as a shell may leave some */
    start(place, "tells", false);
    for (int i = 0; i < 3; i++)
        close(leaked[i]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(wait_ready(place, LONG_MS), 0);
    end_of(place->pid);
    read_log(place);
    assert_int_equal(lines_with(place, "fd "), 4);
    for (int fd = 0; fd <= READY_FD; fd++)
        assert_int_equal(lines_with(place, (char[]){'f', 'd', ' ', (char)('0' + fd), '\0'}), 1);
    assert_int_equal(lines_with(place, "blocked 0\n"), 1);
    assert_int_equal(lines_with(place, "arg "), 3);
    assert_int_equal(lines_with(place, "arg queenright\n"), 1);
    assert_int_equal(lines_with(place, "arg --ready-fd=3\n"), 1);
    assert_int_equal(lines_with(place, "env "), environment);
    assert_int_equal(lines_with(place, "end\n"), 1);
}

static void its_log_is_private_and_appended_to(void **state)
{
    struct place *place = *state;
    struct stat stat_;
    char other[TEMP_DIR_MAX + 8];
    for (int i = 0; i < 2; i++) {
        start(place, "tells", false);
        assert_int_equal(wait_ready(place, LONG_MS), 0);
        end_of(place->pid);
    }
    read_log(place);
    assert_int_equal(lines_with(place, "end\n"), 2);
    assert_int_equal(stat(place->log_path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0600);
    snprintf(other, sizeof(other), "%s/other", place->directory);
    assert_int_equal(symlink(place->log_path, other), 0);
    struct process_spec spec = {.args = {"ready"}, .log_path = other};
    assert_int_equal(process_spawn(&spec, &place->pid, &place->ready_fd), -ELOOP);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing was started */
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    assert_int_equal(temp_dir_make(place->directory), 0);
    snprintf(place->log_path, sizeof(place->log_path), "%s/log", place->directory);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    temp_dir_remove(place->directory);
    free(place);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_ready_line_comes_without_its_newline),
        TEST(who_ends_before_it_is_not_ready),
        TEST(who_never_says_it_is_given_up_after_the_limit),
        TEST(who_says_it_to_nobody_lives_on),
        TEST(a_child_is_ours_and_with_a_session_of_its_own_nobodys),
        TEST(it_has_what_it_was_given_and_nothing_else),
        TEST(its_log_is_private_and_appended_to),
    };
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (argc > 1)
        return be_child(argv[1], argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
