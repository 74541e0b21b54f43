/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_FD 3

/* Between fork and exec: only async-signal-safe calls. */
static void child_exec(char *const *argv, int log_fd, int ready_fd, bool own_session)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (own_session) {
        pid_t own;

        setsid();
        own = fork(); /* the grandchild belongs to init: nobody here must reap it */
        if (own != 0)
            _exit(own < 0 ? 127 : 0);
        dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    }
    if (log_fd >= 0) {
        dup2(log_fd, STDOUT_FILENO);
        dup2(log_fd, STDERR_FILENO);
    }
    if (ready_fd == READY_FD)
        fcntl(ready_fd, F_SETFD, 0);
    else
        dup2(ready_fd, READY_FD);
    syscall(SYS_close_range, READY_FD + 1, ~0u, 0); /* what a shell left open, a lock say */
    execv("/proc/self/exe", argv);
    _exit(127);
}

static int open_log(const char *path)
{
    int fd;

    if (!path)
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

int process_spawn(const struct process_spec *spec, pid_t *ret_pid, int *ret_ready_fd)
{
    char ready_arg[] = "--ready-fd=3", program[] = "queenright";
    char *argv[PROCESS_ARGS_MAX + 3] = {program};
    int ends[2], log_fd, n = 1;
    pid_t pid;

    for (int i = 0; i < PROCESS_ARGS_MAX && spec->args[i]; i++)
        argv[n++] = (char *)(uintptr_t)spec->args[i]; /* execv does not write to them */
    argv[n++] = ready_arg;
    argv[n] = NULL;
    log_fd = open_log(spec->log_path);
    if (spec->log_path && log_fd < 0)
        return log_fd;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        int error = -errno;

        if (log_fd >= 0)
            close(log_fd);
        return error;
    }
    pid = fork();
    if (pid == 0)
        child_exec(argv, log_fd, ends[1], spec->own_session);
    close(ends[1]);
    if (log_fd >= 0)
        close(log_fd);
    if (pid < 0) {
        close(ends[0]);
        return -EAGAIN;
    }
    if (spec->own_session) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        pid = 0;
    }
    *ret_pid = pid;
    *ret_ready_fd = ends[0];
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One read; 1 when the line is complete, 0 to go on, negative errno. */
static int read_ready(int fd, char *line, size_t size, size_t *length)
{
    ssize_t n = read(fd, line + *length, size - 1 - *length);
    char *end;

    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0)
        return -ECHILD;
    *length += (size_t)n;
    line[*length] = '\0';
    end = strchr(line, '\n');
    if (end)
        *end = '\0';
    return end ? 1 : *length == size - 1 ? -ECHILD : 0;
}

int process_wait_ready(int ready_fd, int timeout_ms, char *ret_line, size_t size)
{
    int64_t end = now_ms() + timeout_ms;
    size_t length = 0;
    int rc = 0;

    while (rc == 0) {
        struct pollfd wait = {.fd = ready_fd, .events = POLLIN};
        int64_t left = end - now_ms();
        int ready = poll(&wait, 1, left > 0 ? (int)left : 0);

        if (ready < 0 && errno == EINTR)
            continue;
        rc = ready <= 0 ? -ETIMEDOUT : read_ready(ready_fd, ret_line, size, &length);
    }
    close(ready_fd);
    return rc > 0 ? 0 : rc;
}

void process_say_ready(int ready_fd, const char *line)
{
    if (ready_fd < 0)
        return;
    if (dprintf(ready_fd, "%s\n", line) < 0)
        fprintf(stderr, "queenright: nobody listens for the ready line\n");
    close(ready_fd);
}

int process_pidfd(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : (int)fd;
}
