/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between two processes over ipc, beside bare ZeroMQ sockets in the same run.
 *
 *     link_bench [one]      with `one`, both processes share one core
 *
 * round trip   one request after the other: p50 and p99 of the time to its answer
 * requests     answered a second with 256 under way
 * parts        of a stream a second, 64 bytes each, under credit 1024
 *
 * The rival is a DEALER and a ROUTER that send the same bytes back and forth or one way, one
 * message a frame, no addresses, no deadlines, no answer owed: the floor that libzmq sets. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "runtime/link.h"

#define ROUNDS 20000
#define WINDOW 256
#define REQUESTS 200000
#define PARTS 1000000
#define CREDIT 1024
#define BODY 64
#define SECONDS_MAX 60

enum type { ECHO = 0x7100, STREAM, PART };

extern char **environ;

static uint64_t now_ns(void)
{
    return clock_real()->now_ns(clock_real());
}

static void fail(const char *what)
{
    fprintf(stderr, "link_bench: %s\n", what);
    exit(1);
}

/* ---- the process at the other end -------------------------------------------------------- */

struct echo {
    struct request_id stream;
    uint32_t sent, wanted;
};

static struct message *body_message(uint32_t type)
{
    struct message *message = message_new(type, BODY);
    memset(message->body, 'x', BODY);
    return message;
}

static int on_echo(void *state, struct context *context, const void *body)
{
    (void)state;
    (void)body;
    return context_reply(context, body_message(ECHO));
}

static int go_on(void *state, struct context *context, struct request_id request)
{
    struct echo *echo = state;
    while (echo->sent < echo->wanted && context_credit_left(context, request) > 0) {
        context_part(context, request, body_message(PART));
        echo->sent++;
    }
    return echo->sent == echo->wanted ? context_answer(context, request, body_message(ECHO)) : 0;
}

static int on_stream(void *state, struct context *context, const void *body)
{
    struct echo *echo = state;
    (void)body;
    *echo = (struct echo){.stream = context_defer(context), .wanted = PARTS};
    return go_on(state, context, echo->stream);
}

static const struct actor_handler echo_handlers[] = {
    {ECHO, FROM_ANYONE, "echo", NULL, on_echo},
    {STREAM, FROM_ANYONE, "stream", NULL, on_stream},
    {0, 0, NULL, NULL, NULL},
};

static const struct actor_ops echo_ops = {
    .name = "echo",
    .state_size = sizeof(struct echo),
    .handlers = echo_handlers,
    .on_credit = go_on,
};

static void log_nothing(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static struct runtime *runtime_with_links(const char *name)
{
    struct runtime *runtime;
    struct runtime_options options = {.name = name, .workers = 1, .log = log_nothing};
    struct link_options links = {.kind = PEER_NODE};
    if (runtime_new(&options, &runtime) != 0 || link_start(runtime, &links) != 0)
        fail("no runtime");
    return runtime;
}

static int serve_ours(const char *endpoint)
{
    struct runtime *runtime = runtime_with_links("b");
    struct spawn_options spawn = {.name = "echo"};
    struct actor_id id;
    if (runtime_spawn(runtime, &echo_ops, NULL, &spawn, &id) != 0 ||
        link_listen(runtime, endpoint) != 0)
        fail("cannot serve");
    runtime_wait(runtime);
    return 0;
}

static _Noreturn void serve_bare(const char *endpoint)
{
    void *zmq = zmq_ctx_new(), *router = zmq_socket(zmq, ZMQ_ROUTER);
    char id[256], body[BODY];
    int yes = 1;
    zmq_setsockopt(router, ZMQ_ROUTER_MANDATORY, &yes, sizeof yes); /* or it drops at its limit */
    if (zmq_bind(router, endpoint) != 0)
        fail("cannot bind");
    for (;;) {
        int id_size = zmq_recv(router, id, sizeof id, 0);
        zmq_recv(router, body, sizeof body, 0);
        for (int i = body[0] == 's' ? PARTS : 1; i > 0; i--) {
            zmq_send(router, id, (size_t)id_size, ZMQ_SNDMORE);
            zmq_send(router, body, sizeof body, 0);
        }
    }
}

/* ---- the one that measures --------------------------------------------------------------- */

struct figures {
    uint64_t times[ROUNDS];
    double requests, parts;
    _Atomic bool done;
};

struct driver {
    struct figures *figures;
    struct actor_id echo;
    struct request_id stream;
    uint64_t start_ns;
    unsigned phase, answered, sent, unreturned;
};

static int ask(struct driver *driver, struct context *context, uint32_t type)
{
    struct request_options options = {.credit = type == STREAM ? CREDIT : 0,
                                      .ret_request = &driver->stream};
    return context_request(context, driver->echo, body_message(type), &options);
}

static int driver_start(void *state, struct context *context, const void *config)
{
    struct driver *driver = state;
    driver->figures = *(struct figures *const *)config;
    driver->echo = context_remote(context, "b", "echo");
    driver->start_ns = now_ns();
    return ask(driver, context, ECHO);
}

static int after_round(struct driver *driver, struct context *context)
{
    uint64_t now = now_ns();
    driver->figures->times[driver->answered++] = now - driver->start_ns;
    driver->start_ns = now;
    if (driver->answered < ROUNDS)
        return ask(driver, context, ECHO);
    driver->phase = 1;
    driver->answered = 0;
    for (driver->sent = 0; driver->sent < WINDOW; driver->sent++)
        if (ask(driver, context, ECHO) != 0)
            return -ENOMEM;
    return 0;
}

static int after_request(struct driver *driver, struct context *context)
{
    if (driver->sent < REQUESTS) {
        driver->sent++;
        ask(driver, context, ECHO);
    }
    if (++driver->answered < REQUESTS)
        return 0;
    uint64_t now = now_ns();
    driver->figures->requests = REQUESTS / ((double)(now - driver->start_ns) / 1e9);
    driver->start_ns = now;
    driver->phase = 2;
    return ask(driver, context, STREAM);
}

static int driver_on_echo(void *state, struct context *context, const void *body)
{
    struct driver *driver = state;
    (void)body;
    if (driver->phase == 0)
        return after_round(driver, context);
    if (driver->phase == 1)
        return after_request(driver, context);
    driver->figures->parts = PARTS / ((double)(now_ns() - driver->start_ns) / 1e9);
    driver->figures->done = true;
    return 0;
}

static int driver_on_part(void *state, struct context *context, const void *body)
{
    struct driver *driver = state;
    (void)body;
    if (++driver->unreturned == CREDIT / 4) {
        context_credit(context, driver->stream, driver->unreturned);
        driver->unreturned = 0;
    }
    return 0;
}

static int driver_on_status(void *state, struct context *context, uint64_t tag,
                            enum runtime_status status)
{
    (void)state;
    (void)context;
    (void)tag;
    fail(runtime_status_name(status));
    return 0;
}

static const struct actor_handler driver_handlers[] = {
    {ECHO, FROM_ANSWER, "echo", NULL, driver_on_echo},
    {PART, FROM_ANSWER, "part", NULL, driver_on_part},
    {0, 0, NULL, NULL, NULL},
};

static const struct actor_ops driver_ops = {
    .name = "driver",
    .state_size = sizeof(struct driver),
    .mailbox_limit = 8192,
    .handlers = driver_handlers,
    .start = driver_start,
    .on_status = driver_on_status,
};

static void measure_ours(const char *endpoint, struct figures *figures)
{
    struct runtime *runtime = runtime_with_links("a");
    struct spawn_options spawn = {0};
    struct actor_id id;
    struct timespec pause = {.tv_nsec = 1000000};
    if (link_dial(runtime, "b", endpoint) != 0 ||
        runtime_spawn(runtime, &driver_ops, &figures, &spawn, &id) != 0)
        fail("cannot dial");
    for (uint64_t end_ns = now_ns() + SECONDS_MAX * 1000000000ull; !figures->done;) {
        nanosleep(&pause, NULL);
        if (now_ns() > end_ns)
            fail("too slow");
    }
    runtime_free(runtime);
}

static void measure_bare(const char *endpoint, struct figures *figures)
{
    void *zmq = zmq_ctx_new(), *dealer = zmq_socket(zmq, ZMQ_DEALER);
    char body[BODY] = "x";
    int zero = 0;
    zmq_setsockopt(dealer, ZMQ_LINGER, &zero, sizeof zero);
    zmq_connect(dealer, endpoint);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start_ns = now_ns();
        zmq_send(dealer, body, sizeof body, 0);
        zmq_recv(dealer, body, sizeof body, 0);
        figures->times[i] = now_ns() - start_ns;
    }
    uint64_t start_ns = now_ns();
    for (int i = 0; i < REQUESTS + WINDOW; i++) {
        if (i < REQUESTS)
            zmq_send(dealer, body, sizeof body, 0);
        if (i >= WINDOW)
            zmq_recv(dealer, body, sizeof body, 0);
    }
    figures->requests = REQUESTS / ((double)(now_ns() - start_ns) / 1e9);
    start_ns = now_ns();
    body[0] = 's';
    zmq_send(dealer, body, sizeof body, 0);
    for (int i = 0; i < PARTS; i++)
        zmq_recv(dealer, body, sizeof body, 0);
    figures->parts = PARTS / ((double)(now_ns() - start_ns) / 1e9);
    zmq_close(dealer);
    zmq_ctx_term(zmq);
}

/* ---- both -------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void run(const char *program, const char *kind, const char *directory)
{
    static struct figures figures;
    char endpoint[256];
    pid_t pid;
    snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", directory, kind);
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)kind, endpoint, NULL};
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) != 0)
        fail("cannot start a process");
    figures = (struct figures){0};
    (strcmp(kind, "ours") == 0 ? measure_ours : measure_bare)(endpoint, &figures);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    qsort(figures.times, ROUNDS, sizeof figures.times[0], by_size);
    printf("%-8s round trip p50 %7.1f us  p99 %7.1f us   %9.0f requests/s   %9.0f parts/s\n",
           strcmp(kind, "ours") == 0 ? "link" : "bare zmq", (double)figures.times[ROUNDS / 2] / 1e3,
           (double)figures.times[ROUNDS * 99 / 100] / 1e3, figures.requests, figures.parts);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (strcmp(argv[1], "ours") == 0)
            return serve_ours(argv[2]);
        serve_bare(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "one") == 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(0, &one);
        sched_setaffinity(0, sizeof one, &one);
    }
    char directory[] = "/tmp/link-bench-XXXXXX", path[64];
    if (mkdtemp(directory) == NULL)
        fail("no directory");
    run(argv[0], "ours", directory);
    run(argv[0], "bare", directory);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, i == 0 ? "ours" : "bare");
        unlink(path);
    }
    rmdir(directory);
    return 0;
}
