/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 128

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct loop *loop = arg;
    (void)multi;
    loop->due_ns = timeout_ms < 0 ? UINT64_MAX : monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
    return 0;
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *socket_arg)
{
    struct loop *loop = arg;
    struct epoll_event event = {.data.fd = socket};
    (void)easy;
    (void)socket_arg;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, socket, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN)
        event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        event.events |= EPOLLOUT;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, socket, &event) == 0)
        return 0;
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, socket, &event) == 0 ? 0 : -1;
}

int loop_init(struct loop *loop)
{
    *loop = (struct loop){.due_ns = UINT64_MAX};
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0)
        return -errno;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = loop->wake};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) < 0)
        return -errno;
    loop->multi = curl_multi_init();
    if (!loop->multi)
        return -ENOMEM;
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return 0;
}

void loop_deinit(struct loop *loop)
{
    if (loop->multi)
        curl_multi_cleanup(loop->multi);
    if (loop->epoll > 0)
        close(loop->epoll);
    if (loop->wake > 0)
        close(loop->wake);
    *loop = (struct loop){.due_ns = UINT64_MAX};
}

static int timeout_of(const struct loop *loop, uint64_t timeout_ns)
{
    uint64_t now_ns = monotonic_ns();
    uint64_t curl_ns = loop->due_ns <= now_ns ? 0 : loop->due_ns - now_ns;
    if (loop->due_ns == UINT64_MAX)
        curl_ns = UINT64_MAX;
    uint64_t wait_ns = timeout_ns < curl_ns ? timeout_ns : curl_ns;
    if (wait_ns == UINT64_MAX)
        return -1;
    uint64_t wait_ms = wait_ns / 1000000u + (wait_ns % 1000000u != 0); /* rather late than twice */
    return wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
}

static void take_event(struct loop *loop, const struct epoll_event *event)
{
    int running, what = 0;
    uint64_t count;
    if (event->data.fd == loop->wake) {
        ssize_t got = read(loop->wake, &count, sizeof(count));
        (void)got; /* non-blocking: nothing to read is as good */
        return;
    }
    if (event->events & EPOLLIN)
        what |= CURL_CSELECT_IN;
    if (event->events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (event->events & (EPOLLERR | EPOLLHUP))
        what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(loop->multi, event->data.fd, what, &running);
}

int loop_run(struct loop *loop, uint64_t timeout_ns)
{
    struct epoll_event events[EVENTS_MAX];
    int running;
    int count = epoll_wait(loop->epoll, events, EVENTS_MAX, timeout_of(loop, timeout_ns));
    if (count < 0 && errno != EINTR)
        return -errno;
    for (int i = 0; i < count; i++)
        take_event(loop, &events[i]);
    if (loop->due_ns <= monotonic_ns()) {
        loop->due_ns = UINT64_MAX; /* curl sets the next one */
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    return 0;
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t put = write(loop->wake, &one, sizeof(one));
    (void)put; /* a full counter wakes just as well */
}
