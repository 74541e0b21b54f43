/* SPDX-License-Identifier: Apache-2.0 */
/* The server: one thread that owns everything.
 *
 * libmicrohttpd runs without threads of its own: this thread waits on its epoll descriptor, on the
 * stop descriptor and on the next deadline, so no state here needs a lock and an idle server uses
 * no CPU. Waiting costs no thread, so thousands of streams can be open (request.c). */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "request.h"

#define CONNECTION_MEMORY (24 * 1024)
#define IDLE_LIMIT_S 75

uint64_t server_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t server_wall_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static void timers_fire(struct practice *practice)
{
    uint64_t now_ms = server_now_ms();
    struct timer_slot *slot = timers_first(&practice->timers);
    while (slot != NULL && slot->due_ms <= now_ms) {
        request_resume((struct request *)((char *)slot - offsetof(struct request, timer)));
        slot = timers_first(&practice->timers);
    }
}

/* Milliseconds until something is due; -1: nothing is. */
static int wait_ms(const struct practice *practice)
{
    MHD_UNSIGNED_LONG_LONG daemon_ms = 0;
    const struct timer_slot *first = timers_first(&practice->timers);
    uint64_t now_ms = server_now_ms();
    uint64_t wait = UINT64_MAX;
    if (MHD_get_timeout(practice->daemon, &daemon_ms) == MHD_YES)
        wait = daemon_ms;
    if (first != NULL) {
        uint64_t left_ms = first->due_ms > now_ms ? first->due_ms - now_ms : 0;
        wait = left_ms < wait ? left_ms : wait;
    }
    if (wait == UINT64_MAX)
        return -1;
    return wait > 60000 ? 60000 : (int)wait;
}

static void *serve(void *arg)
{
    struct practice *practice = arg;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(practice->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[2] = { { info->epoll_fd, POLLIN, 0 }, { practice->stop_fd, POLLIN, 0 } };
    while (fds[1].revents == 0) {
        if (poll(fds, 2, wait_ms(practice)) < 0 && errno != EINTR)
            break;
        timers_fire(practice);
        MHD_run(practice->daemon);
    }
    practice->stopping = true;
    for (struct request *request = practice->requests; request != NULL; request = request->next) {
        if (request->suspended)
            request_resume(request);
    }
    MHD_run(practice->daemon);
    return NULL;
}

static int daemon_open(struct practice *practice)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(practice->options.port),
                                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
    errno = 0;
    practice->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, request_on_part, practice,
        MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT,
        practice->options.max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_LIMIT_S,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_NOTIFY_COMPLETED, request_on_end,
        practice, MHD_OPTION_END);
    if (practice->daemon == NULL)
        return errno ? -errno : -EIO;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(practice->daemon, MHD_DAEMON_INFO_BIND_PORT);
    practice->port = info->port;
    snprintf(practice->issuer, sizeof(practice->issuer), "http://127.0.0.1:%u", practice->port);
    return 0;
}

/* A thread of this library takes no signals: they are for the program. */
static int thread_start(struct practice *practice)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&practice->thread, NULL, serve, practice);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

static void practice_free(struct practice *practice)
{
    if (practice->daemon != NULL)
        MHD_stop_daemon(practice->daemon);
    if (practice->stop_fd >= 0)
        close(practice->stop_fd);
    timers_deinit(&practice->timers);
    logins_deinit(&practice->logins);
    free(practice);
}

int practice_start(const struct practice_options *options, struct practice **ret_practice)
{
    struct practice *practice = calloc(1, sizeof(*practice));
    if (practice == NULL)
        return -ENOMEM;
    practice->options = *options;
    practice->started_ms = server_now_ms();
    practice->stop_fd = eventfd(0, EFD_CLOEXEC);
    fault_plan_set(&practice->token_plan, options->token_faults, options->token_fault_count);
    fault_plan_set(&practice->model_plan, options->model_faults, options->model_fault_count);
    int r = practice->stop_fd < 0 ? -errno : logins_init(&practice->logins);
    if (r == 0)
        r = daemon_open(practice);
    if (r == 0)
        r = thread_start(practice);
    if (r < 0)
        practice_free(practice);
    else
        *ret_practice = practice;
    return r;
}

uint16_t practice_port(const struct practice *practice)
{
    return practice->port;
}

void practice_stop(struct practice *practice)
{
    if (practice == NULL)
        return;
    eventfd_write(practice->stop_fd, 1);
    pthread_join(practice->thread, NULL);
    practice_free(practice);
}
