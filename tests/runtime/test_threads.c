/* SPDX-License-Identifier: Apache-2.0 */
/* The threaded scheduler under load: many actors that ask, tell, forward, cancel, time out, die and
 * are born, on several workers and pinned threads. Under the thread sanitizer this is the test
 * that the simulator cannot be. Every request must end exactly once. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/introspect.h"
#include "runtime/supervisor.h"

#define MS UINT64_C(1000000)
#define PEERS 16
#define IDLE_WATCH_NS (500 * MS)
#if defined(__SANITIZE_THREAD__)
#define SWITCHES_IDLE 12 /* its own thread looks ten times a second */
#else
#define SWITCHES_IDLE 3 /* our nap */
#endif
#define OPEN_MAX 64 /* so that a slow machine is busy, not drowned */
#define RUN_NS (1500 * MS)

enum { MSG_GO = 0x0100, MSG_ASK, MSG_ANSWER, MSG_TELL, MSG_DIE };

struct arena {
    _Atomic uint64_t asked, ended, told, twice;
    _Atomic bool over;
    _Atomic uint64_t ids[PEERS];
};

struct peer {
    struct arena *arena;
    uint64_t seed, next_tag, open;
    struct request_id held;
    struct request_id last;
    uint8_t seen[65536];
};

static struct actor_id someone(struct peer *peer)
{
    peer->seed = peer->seed * UINT64_C(6364136223846793005) + 1;
    return (struct actor_id){atomic_load(&peer->arena->ids[(peer->seed >> 40) % PEERS])};
}

static int ended(struct peer *peer, uint64_t tag)
{
    if (peer->seen[tag % 65536]++)
        atomic_fetch_add(&peer->arena->twice, 1);
    peer->open--;
    atomic_fetch_add(&peer->arena->ended, 1);
    return 0;
}

static int peer_start(void *state, struct context *context, const void *config)
{
    struct peer *peer = state;
    peer->arena = *(struct arena *const *)config;
    peer->seed = context_random(context);
    context_timer(context, MS, 0);
    return 0;
}

static void ask_someone(struct peer *peer, struct context *context)
{
    struct request_options options = {.tag = peer->next_tag++, .ret_request = &peer->last};

    peer->seen[options.tag % 65536] = 0;
    options.deadline_ns = context_now_ns(context) + (peer->seed >> 50) % 20 * MS + MS;
    peer->open++;
    atomic_fetch_add(&peer->arena->asked, 1);
    context_request(context, someone(peer), message_new(MSG_ASK, 8), &options);
}

static int peer_timer(void *state, struct context *context, uint64_t tag)
{
    struct peer *peer = state;
    (void)tag;
    peer->last.n = 0;
    if (!atomic_load(&peer->arena->over)) {
        for (int i = 0; i < 20 && peer->open < OPEN_MAX; i++) {
            ask_someone(peer, context);
            context_send(context, someone(peer), message_new(MSG_TELL, 100));
        }
        if (peer->seed >> 60 == 3 && peer->last.n) { /* one ask was not meant */
            context_cancel(context, peer->last);
            ended(peer, peer->next_tag - 1);
        }
    }
    context_timer(context, MS, 0);
    return 0;
}

static int peer_ask(void *state, struct context *context, const void *body)
{
    struct peer *peer = state;
    (void)body;
    switch ((peer->seed = peer->seed * UINT64_C(6364136223846793005) + 1) >> 61) {
    case 0:
        context_forward(context, someone(peer));
        return 0;
    case 1:
        context_answer(context, peer->held, message_new(MSG_ANSWER, 4));
        peer->held = context_defer(context);
        return 0;
    case 2:
        context_reply_status(context, STATUS_BUSY, 5);
        return 0;
    case 3:
        return 0; /* forgets */
    default:
        context_reply(context, message_new(MSG_ANSWER, 4));
        return 0;
    }
}

static int peer_answer(void *state, struct context *context, const void *body)
{
    (void)body;
    return ended(state, context_tag(context));
}

static int peer_status(void *state, struct context *context, uint64_t tag,
                       enum runtime_status status)
{
    (void)context;
    (void)status;
    return ended(state, tag);
}

static int peer_tell(void *state, struct context *context, const void *body)
{
    struct peer *peer = state;
    (void)context;
    (void)body;
    atomic_fetch_add(&peer->arena->told, 1);
    return 0;
}

static int peer_die(void *state, struct context *context, const void *body)
{
    (void)state;
    (void)context;
    (void)body;
    return -EIO;
}

static void peer_stop(void *state, struct context *context)
{
    struct peer *peer = state;
    (void)context;
    /* What it waited for dies with it. */
    if (peer->arena)
        atomic_fetch_add(&peer->arena->ended, peer->open);
}

static const struct actor_handler peer_handlers[] = {
    {MSG_ASK, FROM_LOCAL, "ask", NULL, peer_ask},
    {MSG_ANSWER, FROM_ANSWER, "answer", NULL, peer_answer},
    {MSG_TELL, FROM_LOCAL, "tell", NULL, peer_tell},
    {MSG_DIE, FROM_LOCAL, "die", NULL, peer_die},
    {0},
};

static const struct actor_ops peer_ops = {
    .name = "peer",
    .state_size = sizeof(struct peer),
    .mailbox_limit = 200,
    .handlers = peer_handlers,
    .start = peer_start,
    .stop = peer_stop,
    .on_status = peer_status,
    .on_timer = peer_timer,
};

static void quiet(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void nap(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&time, NULL);
}

static struct runtime *open_runtime(unsigned workers)
{
    struct runtime_options options = {.name = "threads", .workers = workers, .log = quiet};
    struct runtime *runtime;
    assert_int_equal(runtime_new(&options, &runtime), 0);
    return runtime;
}

static void spawn_peer(struct runtime *runtime, struct arena *arena, int i)
{
    char name[8] = {'p', (char)('a' + i), 0};
    struct spawn_options options = {.name = name, .pinned = i % 8 == 7};
    struct actor_id id;
    int error;

    while ((error = runtime_spawn(runtime, &peer_ops, &arena, &options, &id)) == -EEXIST)
        nap(MS / 10);
    assert_int_equal(error, 0);
    atomic_store(&arena->ids[i], id.n);
}

static void look_around(struct runtime *runtime)
{
    struct actor_info rows[8];
    struct open_info open[8];
    uint64_t cursor = 0, open_cursor = 0;

    while (introspect_actors(runtime, &cursor, rows, 8))
        introspect_open(runtime, rows[0].id, &open_cursor, open, 8);
}

static void every_request_under_load_ends_once(void **state)
{
    struct arena arena = {0};
    struct runtime *runtime = open_runtime(3);
    uint64_t end_ns = clock_real()->now_ns(clock_real()) + RUN_NS;
    (void)state;

    for (int i = 0; i < PEERS; i++)
        spawn_peer(runtime, &arena, i);
    for (int round = 0; clock_real()->now_ns(clock_real()) < end_ns; round++) {
        struct actor_id victim = {atomic_load(&arena.ids[round % PEERS])};
        struct message *answer = NULL;
        nap(2 * MS);
        if (runtime_ask(runtime, victim, message_new(MSG_ASK, 0), 5 * MS, &answer) == 0)
            message_free(answer);
        look_around(runtime);
        if (round % 2 == 0)
            runtime_stop_actor(runtime, victim);
        else
            while (runtime_post(runtime, victim, message_new(MSG_DIE, 0)) == -EAGAIN)
                nap(MS);
        spawn_peer(runtime, &arena, round % PEERS);
    }
    atomic_store(&arena.over, true);
    nap(50 * MS); /* all deadlines are over */
    runtime_free(runtime);
    assert_true(arena.asked > 1000);
    assert_true(arena.told > 1000);
    assert_int_equal(arena.twice, 0);
    assert_int_equal(arena.asked, arena.ended);
}

/* ---- pinned, with something else to wait for ------------------------------------------------- */

struct waiter {
    int event;
    _Atomic unsigned *woken;
};

static int waiter_start(void *state, struct context *context, const void *config)
{
    struct waiter *waiter = state;
    (void)context;
    waiter->woken = *(_Atomic unsigned *const *)config;
    waiter->event = eventfd(0, EFD_NONBLOCK);
    return waiter->event < 0 ? -errno : 0;
}

static void waiter_stop(void *state, struct context *context)
{
    (void)context;
    close(((struct waiter *)state)->event);
}

static int waiter_wait(void *state, struct context *context, uint64_t timeout_ns)
{
    struct waiter *waiter = state;
    struct pollfd fd = {.fd = waiter->event, .events = POLLIN};
    uint64_t count;
    (void)context;
    poll(&fd, 1, timeout_ns == UINT64_MAX ? -1 : (int)(timeout_ns / MS + 1));
    if (read(waiter->event, &count, sizeof count) > 0)
        atomic_fetch_add(waiter->woken, 1);
    return 0;
}

static void waiter_wake(void *state)
{
    uint64_t one = 1;
    if (write(((struct waiter *)state)->event, &one, sizeof one) < 0)
        return;
}

static int waiter_ask(void *state, struct context *context, const void *body)
{
    (void)state;
    (void)body;
    return context_reply(context, message_new(MSG_ANSWER, 0));
}

static const struct actor_handler waiter_handlers[] = {
    {MSG_ASK, FROM_LOCAL, "ask", NULL, waiter_ask},
    {0},
};

static const struct actor_ops waiter_ops = {
    .name = "waiter",
    .state_size = sizeof(struct waiter),
    .handlers = waiter_handlers,
    .start = waiter_start,
    .stop = waiter_stop,
    .wait = waiter_wait,
    .wake = waiter_wake,
};

static void a_pinned_actor_waits_elsewhere_and_is_woken(void **state)
{
    _Atomic unsigned woken = 0, *pointer = &woken;
    struct runtime *runtime = open_runtime(1);
    struct spawn_options options = {.name = "waiter", .pinned = true};
    struct actor_id id;
    (void)state;
    assert_int_equal(runtime_spawn(runtime, &waiter_ops, &pointer, &options, &id), 0);
    for (int i = 0; i < 50; i++) {
        struct message *answer;
        assert_int_equal(
            runtime_ask(runtime, id, message_new(MSG_ASK, 0), 1000 * MS, &answer), 0);
        assert_int_equal(answer->type, MSG_ANSWER);
        message_free(answer);
    }
    assert_in_range(woken, 1, 50);
    runtime_free(runtime);
}

static size_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* A thread that nobody joins keeps its stack, 8 MiB of address space. */
static void pinned_actors_that_end_leave_no_stack_behind(void **state)
{
    _Atomic unsigned woken = 0, *pointer = &woken;
    struct runtime *runtime = open_runtime(1);
    struct spawn_options options = {.name = "waiter", .pinned = true};
    struct actor_id id;
    (void)state;
    size_t before = mapped_bytes();
    for (int i = 0; i < 40; i++) {
        assert_int_equal(runtime_spawn(runtime, &waiter_ops, &pointer, &options, &id), 0);
        runtime_stop_actor(runtime, id);
        while (actor_id_is_set(runtime_lookup(runtime, "waiter")))
            nap(MS / 10);
        nap(MS / 2);
    }
    assert_in_range(mapped_bytes() - before, 0, 120 << 20);
    runtime_free(runtime);
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000 * MS +
           ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

static void an_idle_runtime_uses_no_time(void **state)
{
    struct arena arena = {.over = true};
    struct runtime *runtime = open_runtime(2);
    struct rusage before, after;
    struct actor_id id;
    (void)state;
    struct arena *pointer = &arena;
    struct actor_ops idle_ops = {.name = "idle", .handlers = peer_handlers, .state_size = 8};
    for (int i = 0; i < 100; i++)
        assert_int_equal(runtime_spawn(runtime, &idle_ops, &pointer, NULL, &id), 0);
    nap(400 * MS); /* the watch disarms */
    uint64_t start_ns = cpu_ns();
    getrusage(RUSAGE_SELF, &before);
    nap(IDLE_WATCH_NS);
    getrusage(RUSAGE_SELF, &after);
    /* A share of the time watched, for a loaded machine and a sanitizer stretch what there is; that
     * nothing woke is shown by the switches. */
    assert_true(cpu_ns() - start_ns < IDLE_WATCH_NS / 50);
    assert_true(after.ru_nvcsw - before.ru_nvcsw <= SWITCHES_IDLE);
    runtime_free(runtime);
}

static int slow(void *state, struct context *context, const void *body)
{
    (void)state;
    (void)context;
    (void)body;
    nap(150 * MS);
    return 0;
}

static void count_long(void *arg, int level, const char *line)
{
    (void)level;
    if (strstr(line, "has been at work"))
        atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void a_long_handler_is_reported_once(void **state)
{
    static const struct actor_handler rows[] = {{MSG_ASK, FROM_LOCAL, "ask", NULL, slow}, {0}};
    static const struct actor_ops ops = {.name = "slow", .handlers = rows};
    _Atomic unsigned reports = 0;
    struct runtime_options options = {.name = "threads",
                                      .workers = 2,
                                      .long_turn_ns = 50 * MS,
                                      .log = count_long,
                                      .log_arg = &reports};
    struct runtime *runtime;
    struct actor_id id;
    (void)state;
    assert_int_equal(runtime_new(&options, &runtime), 0);
    assert_int_equal(runtime_spawn(runtime, &ops, NULL, NULL, &id), 0);
    runtime_post(runtime, id, message_new(MSG_ASK, 0));
    nap(200 * MS);
    runtime_free(runtime);
    assert_int_equal(reports, 1);
}

struct chain {
    struct actor_id next;
};

static int pass_and_block(void *state, struct context *context, const void *body)
{
    (void)body;
    context_send(context, ((struct chain *)state)->next, message_new(MSG_TELL, 0));
    nap(300 * MS);
    return 0;
}

static int chain_start(void *state, struct context *context, const void *config)
{
    (void)context;
    *(struct chain *)state = *(const struct chain *)config;
    return 0;
}

static int note_time(void *state, struct context *context, const void *body)
{
    (void)body;
    (void)context;
    _Atomic uint64_t *at = (_Atomic uint64_t *)(uintptr_t)((struct chain *)state)->next.n;
    atomic_store(at, clock_real()->now_ns(clock_real()));
    return 0;
}

static void mail_behind_a_stuck_worker_moves_to_another(void **state)
{
    static const struct actor_handler block[] = {
        {MSG_GO, FROM_LOCAL, "go", NULL, pass_and_block}, {0}};
    static const struct actor_handler note[] = {{MSG_TELL, FROM_LOCAL, "tell", NULL, note_time},
                                                {0}};
    static const struct actor_ops block_ops = {.name = "block",
                                               .state_size = sizeof(struct chain),
                                               .handlers = block,
                                               .start = chain_start};
    static const struct actor_ops note_ops = {.name = "note",
                                              .state_size = sizeof(struct chain),
                                              .handlers = note,
                                              .start = chain_start};
    _Atomic uint64_t at_ns = 0;
    struct chain last = {{(uintptr_t)&at_ns}}, first;
    struct runtime *runtime = open_runtime(2);
    struct actor_id id;
    (void)state;
    assert_int_equal(runtime_spawn(runtime, &note_ops, &last, NULL, &first.next), 0);
    assert_int_equal(runtime_spawn(runtime, &block_ops, &first, NULL, &id), 0);
    nap(20 * MS); /* both workers are parked */
    uint64_t start_ns = clock_real()->now_ns(clock_real());
    runtime_post(runtime, id, message_new(MSG_GO, 0));
    nap(200 * MS);
    assert_true(atomic_load(&at_ns) > start_ns);
    assert_true(atomic_load(&at_ns) - start_ns < 150 * MS);
    runtime_free(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_under_load_ends_once),
        cmocka_unit_test(a_pinned_actor_waits_elsewhere_and_is_woken),
        cmocka_unit_test(pinned_actors_that_end_leave_no_stack_behind),
        cmocka_unit_test(an_idle_runtime_uses_no_time),
        cmocka_unit_test(a_long_handler_is_reported_once),
        cmocka_unit_test(mail_behind_a_stuck_worker_moves_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
