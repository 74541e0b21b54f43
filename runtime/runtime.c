/* SPDX-License-Identifier: Apache-2.0 */
/* Making, stopping and freeing a runtime, and what threads that are not its own may do.
 *
 * runtime_free stops in reverse order of start. Actors that somebody can have relied on - named,
 * pinned, or with a row for being asked to stop - are asked one after another, each may finish what
 * was sent to it before, and the next is asked when it has ended; supervised ones are left to their
 * supervisor, who does the same. The rest are ended, in order, when the workers are gone. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core.h"

#define TURN_MESSAGES 64u
#define LONG_TURN_NS UINT64_C(1000000000)
#define STOP_PATIENCE_NS (5 * UINT64_C(1000000000))

static unsigned default_workers(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (unsigned)cores;
}

static void runtime_init(struct runtime *runtime, const struct runtime_options *options)
{
    runtime->options = *options;
    runtime->clock = options->clock ? options->clock : clock_real();
    runtime->random = options->random ? options->random : random_real();
    runtime->manual = options->scheduler == SCHEDULER_MANUAL;
    runtime->worker_count = runtime->manual                   ? 1
                            : options->workers == 0           ? default_workers()
                            : options->workers > WORKERS_MAX  ? WORKERS_MAX
                                                              : options->workers;
    runtime->turn_messages = options->turn_messages ? options->turn_messages : TURN_MESSAGES;
    runtime->long_turn_ns = options->long_turn_ns ? options->long_turn_ns : LONG_TURN_NS;
    runtime->watch_event = runtime->watch_timer = runtime->stop_event = -1;
    snprintf(runtime->name, sizeof runtime->name, "%s", options->name ? options->name : "");
    runtime->options.name = runtime->name;
    pthread_mutex_init(&runtime->slots_lock, NULL);
    pthread_mutex_init(&runtime->inject_lock, NULL);
    pthread_mutex_init(&runtime->timers_lock, NULL);
    message_depot_init(&runtime->depot);
}

#define READY_FIRST 64u /* actors ready to run, of a runtime that is stepped by hand */

static int runtime_build(struct runtime *runtime)
{
    int error;

    runtime->chunks = calloc(CHUNKS_MAX, sizeof *runtime->chunks);
    if (!runtime->chunks)
        return -ENOMEM;
    runtime->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (runtime->stop_event < 0)
        return -errno;
    if ((error = names_new(&runtime->names)) < 0 || (error = drops_new(&runtime->drops)) < 0 ||
        (error = taps_new(&runtime->taps)) < 0 ||
        (error = remote_new(&runtime->remote)) < 0)
        return error;
    if (!runtime->manual && (error = watch_start(runtime)) < 0)
        return error;
    if (runtime->manual) {
        runtime->ready = malloc(READY_FIRST * sizeof *runtime->ready);
        if (!runtime->ready)
            return -ENOMEM;
        runtime->ready_capacity = READY_FIRST;
    }
    return scheduler_start(runtime);
}

int runtime_new(const struct runtime_options *options, struct runtime **ret_runtime)
{
    static const struct runtime_options plain = {0};
    struct runtime *runtime = aligned_alloc(_Alignof(struct runtime), sizeof *runtime);

    if (!runtime)
        return -ENOMEM;
    memset(runtime, 0, sizeof *runtime);
    runtime_init(runtime, options ? options : &plain);
    int error = runtime_build(runtime);
    if (error < 0) {
        runtime_free(runtime);
        return error;
    }
    *ret_runtime = runtime;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

struct living {
    struct actor *actor;
    uint64_t id, started;
    bool ask;
};

static int later_first(const void *a, const void *b)
{
    const struct living *left = a, *right = b;
    return left->started < right->started ? 1 : left->started > right->started ? -1 : 0;
}

static bool has_stop_row(const struct actor_ops *ops)
{
    for (const struct actor_handler *row = ops->handlers; row && row->handle; row++)
        if (row->type == ACTOR_STOP_TYPE)
            return true;
    return false;
}

static size_t collect_living(struct runtime *runtime, struct living **ret_living)
{
    uint32_t slots = atomic_load(&runtime->slots_used);
    struct living *living = calloc(slots + 1, sizeof *living);
    size_t count = 0;

    CORE_ASSERT(runtime, living);
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct actor *actor = actor_find(runtime, id_make(0, slot, 1));
        spin_lock(&actor->lock);
        uint64_t id = atomic_load(&actor->id);
        if (id) {
            bool supervised = actor->cold && actor_id_is_set(actor->cold->supervisor);
            bool named = actor->cold && actor->cold->name[0];
            living[count++] = (struct living){
                actor, id, actor->started,
                !supervised && (named || atomic_load(&actor->pin) || has_stop_row(actor->ops))};
        }
        spin_unlock(&actor->lock);
    }
    qsort(living, count, sizeof *living, later_first);
    *ret_living = living;
    return count;
}

static void wait_end(struct runtime *runtime, struct actor *actor, uint64_t id)
{
    uint64_t give_up_ns = clock_real()->now_ns(clock_real()) + STOP_PATIENCE_NS;

    if (runtime->manual) {
        while (atomic_load(&actor->id) == id && runtime_step(runtime))
            continue;
        return;
    }
    atomic_fetch_add(&runtime->death_waiters, 1);
    for (;;) {
        uint32_t deaths = atomic_load(&runtime->deaths);
        uint64_t now_ns = clock_real()->now_ns(clock_real());
        if (atomic_load(&actor->id) != id)
            break;
        if (now_ns >= give_up_ns) {
            runtime_log(runtime, 4, "an actor does not stop; going on without it");
            break;
        }
        futex_wait_for(&runtime->deaths, deaths, give_up_ns - now_ns);
    }
    atomic_fetch_sub(&runtime->death_waiters, 1);
}

static void stop_actors(struct runtime *runtime)
{
    struct living *living;
    size_t count = collect_living(runtime, &living);

    for (size_t i = 0; i < count; i++) {
        if (!living[i].ask)
            continue;
        runtime_stop_actor(runtime, (struct actor_id){living[i].id});
        wait_end(runtime, living[i].actor, living[i].id);
    }
    free(living);
}

/* The threads are gone. */
static void end_rest(struct runtime *runtime)
{
    struct living *living;
    size_t count = collect_living(runtime, &living);

    for (size_t i = 0; i < count; i++) {
        struct context context;
        if (atomic_load(&living[i].actor->id) != living[i].id)
            continue;
        context_init(&context, runtime, &runtime->workers[0], living[i].actor);
        actor_end(&context, EXIT_SHUTDOWN, 0);
    }
    free(living);
}

void runtime_free(struct runtime *runtime)
{
    if (!runtime)
        return;
    if (runtime->workers) {
        stop_actors(runtime);
        scheduler_stop(runtime);
        watch_stop(runtime);
        pins_join(runtime);
        end_rest(runtime);
    }
    watch_stop(runtime);
    pins_free(runtime); /* now that the watch no longer looks at them */
    watch_close(runtime);
    if (runtime->stop_event >= 0)
        close(runtime->stop_event);
    remote_free(runtime->remote);
    drops_free(runtime->drops);
    taps_free(runtime->taps);
    names_free(runtime->names);
    for (uint32_t i = 0; runtime->chunks && i < CHUNKS_MAX && runtime->chunks[i]; i++)
        free(runtime->chunks[i]);
    free(runtime->chunks);
    free(runtime->workers);
    free(runtime->ready);
    free(runtime->timers);
    message_depot_deinit(&runtime->depot);
    pthread_mutex_destroy(&runtime->slots_lock);
    pthread_mutex_destroy(&runtime->inject_lock);
    pthread_mutex_destroy(&runtime->timers_lock);
    free(runtime);
}

/* ---- from other threads ---------------------------------------------------------------------- */

int runtime_spawn(struct runtime *runtime, const struct actor_ops *ops, const void *config,
                  const struct spawn_options *options, struct actor_id *ret_id)
{
    return actor_new(NULL, runtime, ops, config, options, ret_id);
}

struct actor_id runtime_lookup(struct runtime *runtime, const char *name)
{
    return name_find(runtime, name);
}

int runtime_post(struct runtime *runtime, struct actor_id to, struct message *message)
{
    if (!message)
        return -ENOMEM;
    message->flags &= MESSAGE_WIPE | MESSAGE_CONTROL | MESSAGE_UNTRACED;
    message->from = (struct actor_id){0};
    message->to = to;
    message->request = 0;
    message->trace = trace_new(runtime);
    return route(runtime, NULL, message);
}

void runtime_stop(struct runtime *runtime)
{
    uint64_t one = 1;
    ssize_t written = write(runtime->stop_event, &one, sizeof one);
    (void)written; /* EAGAIN: asked before */
}

void runtime_wait(struct runtime *runtime)
{
    struct pollfd fd = {.fd = runtime->stop_event, .events = POLLIN};
    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        continue;
}

/* ---- small things ---------------------------------------------------------------------------- */

const struct clock_port *runtime_clock(const struct runtime *runtime)
{
    return runtime->clock;
}

const struct random_port *runtime_random(const struct runtime *runtime)
{
    return runtime->random;
}

const char *runtime_name(const struct runtime *runtime)
{
    return runtime->name;
}

void runtime_log(struct runtime *runtime, int level, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (runtime->options.log)
        runtime->options.log(runtime->options.log_arg, level, line);
    else
        fprintf(stderr, "%s: %s\n", runtime->name[0] ? runtime->name : "runtime", line);
}

static void dump_worker(const struct runtime *runtime, const struct worker *worker, int fd)
{
    uint64_t now_ns = runtime->clock->now_ns(runtime->clock);

    dprintf(fd, "worker %d: running %016llx\n", worker->index,
            (unsigned long long)atomic_load(&worker->running));
    for (uint32_t i = 0; i < RECORDS; i++) {
        const struct record *record = &worker->records[(worker->record_next + i) % RECORDS];
        if (atomic_load(&record->actor))
            dprintf(fd, "  %8.3f ms ago  actor %016llx  type 0x%04x  flags 0x%04x\n",
                    (double)(now_ns - atomic_load(&record->at_ns)) / 1e6,
                    (unsigned long long)atomic_load(&record->actor), atomic_load(&record->type),
                    atomic_load(&record->flags));
    }
}

void runtime_dump(const struct runtime *runtime, int fd)
{
    for (unsigned i = 0; runtime->workers && i < runtime->worker_count; i++)
        dump_worker(runtime, &runtime->workers[i], fd);
    for (const struct pin *pin = runtime->pins; pin; pin = pin->next)
        dump_worker(runtime, &pin->worker, fd);
}

void core_fail(const struct runtime *runtime, const char *what, const char *file, int line)
{
    fprintf(stderr, "%s: %s:%d: assertion failed: %s\n", runtime->name, file, line, what);
    runtime_dump(runtime, 2);
    abort();
}
