/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime core's figures, one a line: name, value, unit. bench/core.sh runs the same workloads
 * on other actor runtimes and prints ratios.
 *
 *   fan-in      4 producers send 8-byte tells to one consumer, 1000 at a time, then give way
 *   ping-pong   two actors, one tell in flight; and the same as request and reply
 *   spawn       100,000 actors that stay; bytes of each, of its own state nothing
 *   idle        processor time of those 100,000 over a second */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "runtime/runtime.h"

#define PRODUCERS 4
#define FAN_IN_EACH 1000000u
#define BURST 1000
#define PINGS 1000000u
#define IDLE_ACTORS 100000u

enum { MSG_ITEM = 0x0100, MSG_GO, MSG_PING, MSG_PONG, MSG_BEGIN };

struct bench {
    struct runtime *runtime;
    struct actor_id peer;
    uint64_t count, end;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void print(const char *name, double value, const char *unit)
{
    printf("%-24s %12.3f %s\n", name, value, unit);
    fflush(stdout);
}

static int start(void *state, struct context *context, const void *config)
{
    (void)context;
    memcpy(state, config, sizeof(struct bench));
    return 0;
}

/* ---- fan-in -------------------------------------------------------------------------------- */

static int on_item(void *state, struct context *context, const void *body)
{
    struct bench *bench = state;
    (void)context;
    (void)body;
    if (++bench->count == bench->end)
        runtime_stop(bench->runtime);
    return 0;
}

static int on_go(void *state, struct context *context, const void *body)
{
    struct bench *bench = state;
    (void)body;
    for (int i = 0; i < BURST && bench->count < bench->end; i++) {
        struct message *message = message_new(MSG_ITEM, sizeof bench->count);
        memcpy(message->body, &bench->count, sizeof bench->count);
        if (context_send(context, bench->peer, message) < 0)
            break; /* full: give way, then again */
        bench->count++;
    }
    if (bench->count < bench->end)
        return context_send(context, context_self(context), message_new(MSG_GO, 0));
    return 0;
}

static const struct actor_handler consumer_rows[] = {
    {MSG_ITEM, FROM_LOCAL, "item", NULL, on_item}, {0}};
static const struct actor_handler producer_rows[] = {{MSG_GO, FROM_LOCAL, "go", NULL, on_go},
                                                     {0}};
static const struct actor_ops consumer_ops = {.name = "consumer",
                                              .state_size = sizeof(struct bench),
                                              .handlers = consumer_rows,
                                              .start = start};
static const struct actor_ops producer_ops = {.name = "producer",
                                              .state_size = sizeof(struct bench),
                                              .handlers = producer_rows,
                                              .start = start};

static void fan_in(struct runtime *runtime)
{
    struct bench consumer = {.runtime = runtime, .end = (uint64_t)PRODUCERS * FAN_IN_EACH};
    struct bench producer = {.runtime = runtime, .end = FAN_IN_EACH};
    struct actor_id ids[PRODUCERS];

    runtime_spawn(runtime, &consumer_ops, &consumer, NULL, &producer.peer);
    for (int i = 0; i < PRODUCERS; i++)
        runtime_spawn(runtime, &producer_ops, &producer, NULL, &ids[i]);
    uint64_t start_ns = now_ns();
    for (int i = 0; i < PRODUCERS; i++)
        runtime_post(runtime, ids[i], message_new(MSG_GO, 0));
    runtime_wait(runtime);
    print("fan_in", (double)consumer.end * 1000 / (double)(now_ns() - start_ns), "M/s");
}

/* ---- ping-pong ------------------------------------------------------------------------------- */

static int on_ping(void *state, struct context *context, const void *body)
{
    struct bench *bench = state;
    (void)body;
    if (context_message(context)->flags & MESSAGE_REQUEST)
        return context_reply(context, message_new(MSG_PONG, 8));
    if (bench->end && ++bench->count == bench->end) {
        runtime_stop(bench->runtime);
        return 0;
    }
    return context_send(context, bench->end ? bench->peer : context_message(context)->from,
                        message_new(MSG_PING, 8));
}

static int on_pong(void *state, struct context *context, const void *body)
{
    struct bench *bench = state;
    (void)body;
    if (++bench->count == bench->end) {
        runtime_stop(bench->runtime);
        return 0;
    }
    return context_request(context, bench->peer, message_new(MSG_PING, 8), NULL);
}

static const struct actor_handler ping_rows[] = {
    {MSG_PING, FROM_LOCAL, "ping", NULL, on_ping},
    {MSG_PONG, FROM_ANSWER, "pong", NULL, on_pong},
    {MSG_BEGIN, FROM_LOCAL, "begin", NULL, on_pong},
    {0},
};
static const struct actor_ops ping_ops = {.name = "ping",
                                          .state_size = sizeof(struct bench),
                                          .handlers = ping_rows,
                                          .start = start};

static void ping_pong(struct runtime *runtime, uint32_t first, const char *name)
{
    struct bench a = {.runtime = runtime, .end = PINGS}, b = {.runtime = runtime};
    struct actor_id id;

    runtime_spawn(runtime, &ping_ops, &b, NULL, &a.peer);
    runtime_spawn(runtime, &ping_ops, &a, NULL, &id);
    uint64_t start_ns = now_ns();
    runtime_post(runtime, id, message_new(first, 8));
    runtime_wait(runtime);
    print(name, (double)(now_ns() - start_ns) / PINGS, "ns");
}

/* ---- spawn, idle ------------------------------------------------------------------------ */

static size_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t processor_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000u + (uint64_t)spent.tv_nsec;
}

static int on_spawn(void *state, struct context *context, const void *body)
{
    static const struct actor_ops idle_ops = {.name = "idle", .handlers = consumer_rows};
    struct bench *bench = state;
    struct actor_id id;

    (void)body;
    for (uint64_t i = 0; i < bench->end; i++)
        if (context_spawn(context, &idle_ops, NULL, NULL, &id) < 0)
            return -ENOMEM;
    runtime_stop(bench->runtime);
    return 0;
}

static const struct actor_handler spawner_rows[] = {{MSG_GO, FROM_LOCAL, "go", NULL, on_spawn},
                                                    {0}};
static const struct actor_ops spawner_ops = {.name = "spawner",
                                             .state_size = sizeof(struct bench),
                                             .handlers = spawner_rows,
                                             .start = start};

static void spawn_and_idle(struct runtime *runtime)
{
    struct bench spawner = {.runtime = runtime, .end = IDLE_ACTORS};
    struct timespec second = {1, 0}, settle = {0, 500000000};
    struct actor_id id;

    runtime_spawn(runtime, &spawner_ops, &spawner, NULL, &id);
    size_t before = resident_bytes();
    uint64_t start_ns = now_ns();
    runtime_post(runtime, id, message_new(MSG_GO, 0));
    runtime_wait(runtime);
    print("spawn", (double)IDLE_ACTORS * 1e6 / (double)(now_ns() - start_ns), "k/s");
    print("idle_bytes", (double)(resident_bytes() - before) / IDLE_ACTORS, "B");
    nanosleep(&settle, NULL);
    uint64_t spent_ns = processor_ns();
    nanosleep(&second, NULL);
    print("idle_cpu", (double)(processor_ns() - spent_ns) / 1e6, "ms/s");
}

static void ping_pong_tells(struct runtime *runtime)
{
    ping_pong(runtime, MSG_PING, "ping_pong");
}

static void ping_pong_requests(struct runtime *runtime)
{
    ping_pong(runtime, MSG_BEGIN, "request_reply");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct runtime *runtime);
    } benches[] = {{"spawn", spawn_and_idle},
                   {"fan_in", fan_in},
                   {"ping_pong", ping_pong_tells},
                   {"request_reply", ping_pong_requests}};
    unsigned workers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;

    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        struct runtime_options options = {.name = "bench", .workers = workers};
        struct runtime *runtime;
        if (argc > 2 && strcmp(argv[2], benches[i].name) != 0)
            continue;
        if (runtime_new(&options, &runtime) < 0)
            return 1;
        benches[i].run(runtime);
        runtime_free(runtime);
    }
    return 0;
}
