/* SPDX-License-Identifier: Apache-2.0 */
/* One thread that sleeps until the next timer. While a worker is busy it also looks every
 * LOOK_NS whether a handler runs too long (that is reported, once), and whether an actor waits in
 * the ring of a worker that is stuck while others are parked. Some looks after the last worker has
 * parked it disarms itself; the next worker that leaves its park arms it again. So an idle runtime
 * has no periodic tick, and a busy one pays for arming at most a few times a second.
 *
 * Timers go through timerfd on CLOCK_BOOTTIME, since a futex's or poll's timeout does not count the
 * time a machine sleeps. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core.h"

#define LOOK_NS (10 * UINT64_C(1000000))
#define QUIET_LOOKS 20

void watch_poke(struct runtime *runtime)
{
    uint64_t one = 1;
    ssize_t written = write(runtime->watch_event, &one, sizeof one);
    (void)written; /* EAGAIN: it is poked already */
}

void watch_arm(struct runtime *runtime)
{
    if (!atomic_load(&runtime->watch_armed) && !atomic_exchange(&runtime->watch_armed, true))
        watch_poke(runtime);
}

static void report_long(struct runtime *runtime, struct worker *worker, uint64_t now_ns)
{
    uint64_t since_ns = atomic_load_explicit(&worker->running_since_ns, memory_order_relaxed);
    uint64_t id = atomic_load_explicit(&worker->running, memory_order_acquire);
    char name[INTROSPECT_NAME_MAX];

    if (!id || since_ns == worker->reported || now_ns < since_ns + runtime->long_turn_ns)
        return;
    worker->reported = since_ns;
    name_of(runtime, (struct actor_id){id}, name, sizeof name);
    runtime_log(runtime, 4, "actor %s has been at work for %llu ms (message type 0x%04x)",
                name[0] ? name : "-", (unsigned long long)((now_ns - since_ns) / 1000000),
                atomic_load_explicit(&worker->running_type, memory_order_relaxed));
}

/* True when some thread is at work. */
static bool look(struct runtime *runtime, uint64_t now_ns)
{
    uint32_t parked = atomic_load(&runtime->parked);
    bool busy = parked != (1u << runtime->worker_count) - 1;

    for (unsigned i = 0; i < runtime->worker_count; i++) {
        report_long(runtime, &runtime->workers[i], now_ns);
        if (parked && !(parked & (1u << i)) && worker_backlog(&runtime->workers[i]))
            scheduler_wake_one(runtime);
    }
    for (struct pin *pin = atomic_load(&runtime->pins); pin; pin = pin->next) {
        report_long(runtime, &pin->worker, now_ns);
        busy = busy || atomic_load_explicit(&pin->worker.running, memory_order_relaxed);
    }
    return busy;
}

static void sleep_until(struct runtime *runtime, uint64_t now_ns, uint64_t when_ns)
{
    struct pollfd fds[2] = {{.fd = runtime->watch_event, .events = POLLIN},
                            {.fd = runtime->watch_timer, .events = POLLIN}};
    struct itimerspec timer = {0};
    uint64_t count;

    if (when_ns != UINT64_MAX) {
        uint64_t delay_ns = when_ns > now_ns ? when_ns - now_ns : 1;
        timer.it_value.tv_sec = (time_t)(delay_ns / 1000000000u);
        timer.it_value.tv_nsec = (long)(delay_ns % 1000000000u);
    }
    timerfd_settime(runtime->watch_timer, 0, &timer, NULL);
    poll(fds, 2, -1);
    for (int i = 0; i < 2; i++)
        if (fds[i].revents && read(fds[i].fd, &count, sizeof count) < 0)
            continue;
}

static void *watch_main(void *arg)
{
    struct runtime *runtime = arg;
    int quiet = 0;

    while (!atomic_load(&runtime->watch_ending)) {
        uint64_t now_ns = runtime->clock->now_ns(runtime->clock);
        timers_fire(runtime, NULL, now_ns);
        uint64_t next_ns = timers_next_ns(runtime);
        if (atomic_load(&runtime->watch_armed)) {
            quiet = look(runtime, now_ns) ? 0 : quiet + 1;
            if (quiet > QUIET_LOOKS) {
                atomic_store(&runtime->watch_armed, false);
                if (look(runtime, now_ns)) /* someone began just before: it saw us armed */
                    atomic_store(&runtime->watch_armed, true);
                quiet = 0;
            }
            if (atomic_load(&runtime->watch_armed) && next_ns > now_ns + LOOK_NS)
                next_ns = now_ns + LOOK_NS;
        }
        sleep_until(runtime, now_ns, next_ns);
    }
    return NULL;
}

int watch_start(struct runtime *runtime)
{
    runtime->watch_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    runtime->watch_timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (runtime->watch_event < 0 || runtime->watch_timer < 0)
        return -errno;
    int error = pthread_create(&runtime->watch, NULL, watch_main, runtime);
    runtime->watch_running = error == 0;
    return -error;
}

void watch_stop(struct runtime *runtime)
{
    if (runtime->watch_running) {
        atomic_store(&runtime->watch_ending, true);
        watch_poke(runtime);
        pthread_join(runtime->watch, NULL);
        runtime->watch_running = false;
    }
}

/* When no thread is left that could poke it. */
void watch_close(struct runtime *runtime)
{
    if (runtime->watch_event >= 0)
        close(runtime->watch_event);
    if (runtime->watch_timer >= 0)
        close(runtime->watch_timer);
    runtime->watch_event = runtime->watch_timer = -1;
}
