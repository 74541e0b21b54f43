/* SPDX-License-Identifier: Apache-2.0 */
/* The practice provider as a program: start, say where, wait for a signal. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "practice/practice.h"

/* Each open stream is a descriptor. */
static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void say(const struct practice_run_options *run, uint16_t port, FILE *out)
{
    if (run->json) {
        fprintf(out, "{\"service\":\"practice provider\",\"url\":\"http://127.0.0.1:%u\","
                "\"port\":%u,\"client_id\":\"%s\"}\n", port, port, run->options.client_id);
    } else if (!run->quiet) {
        fprintf(out,
                "practice provider at http://127.0.0.1:%u  (nothing here is real)\n"
                "  a new login   curl -X POST http://127.0.0.1:%u/practice/login\n"
                "  token url     http://127.0.0.1:%u/oauth/token   (client id: %s)\n"
                "  models        http://127.0.0.1:%u/v1   (any model name)\n"
                "  what it saw   http://127.0.0.1:%u/stats\n"
                "  end it        Ctrl-C\n",
                port, port, port, run->options.client_id, port, port);
    }
    fflush(out);
}

static int port_tell(int fd, uint16_t port)
{
    char line[16];
    int size = snprintf(line, sizeof(line), "%u\n", port);
    if (fd < 0)
        return 0;
    ssize_t written = write(fd, line, (size_t)size);
    return written == size ? 0 : -EPIPE;
}

/* Until a signal comes, or the parent is gone. */
static int wait_for_end(const struct practice_run_options *run, int signal_fd)
{
    /* A descriptor with no events asked for still reports POLLERR and POLLHUP. */
    struct pollfd fds[2] = { { signal_fd, POLLIN, 0 },
                             { run->ends_with_fd ? run->ready_fd : -1, 0, 0 } };
    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int practice_run(const struct practice_run_options *run, FILE *out)
{
    struct practice *practice = NULL;
    sigset_t signals;
    sigset_t before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGPIPE); /* a parent that left shows as POLLERR, not as a death */
    descriptors_raise();
    sigprocmask(SIG_BLOCK, &signals, &before);
    sigdelset(&signals, SIGPIPE);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    int r = signal_fd < 0 ? -errno : practice_start(&run->options, &practice);
    if (r == 0) {
        say(run, practice_port(practice), out);
        r = port_tell(run->ready_fd, practice_port(practice));
    }
    if (r == 0)
        r = wait_for_end(run, signal_fd);
    practice_stop(practice);
    if (signal_fd >= 0)
        close(signal_fd);
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    sigtimedwait(&signals, NULL, &(struct timespec){ 0 }); /* take it before it is let in again */
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}
