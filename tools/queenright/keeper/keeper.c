/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper process. Hardening first, then the token actor with the store under its lock, and only
 * then the socket: a second keeper ends at the lock, before it could take the first one's clients.
 * It ends by itself when no swarm and no refresh needs it, or when it was told to drain. */
#include "queenright/keeper/keeper.h"
#include "queenright/keeper/rules.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/handler.h"
#include "control/control.h"
#include "proto/token.h"
#include "queenright/config/config.h"
#include "queenright/process/process.h"
#include "queenright/version.h"
#include "runtime/link.h"
#include "runtime/runtime.h"
#include "token/exchange.h"
#include "token/harden.h"
#include "token/store_file.h"
#include "token/token.h"
#include "token/wipe.h"

#define LINGER_MS 15000
#define LINGER_STAY_MS (100ull * 365 * 86400 * 1000) /* a unit's keeper outlives its swarms */
#define DRAIN_NS 300000000000ull

struct keeper {
    const struct command_call *call;
    struct store_port *store;
    struct exchange_port *exchange;
    struct runtime *runtime;
    int ready_fd;
    char alarm[512]; /* the latest: why a store did not open */
    bool orphaned;   /* its TokenActor has ended */
};

/* Going to rest is a drain like any other: who comes before the end begins nothing that the end
 * would cut off, and is told to ask the next keeper. */
static void on_idle(void *arg, bool drained)
{
    struct token_drain question = {.why = proto_text("nobody needs it")};
    struct keeper *keeper = arg;

    if (drained)
        runtime_stop(keeper->runtime);
    else
        runtime_post(keeper->runtime, runtime_lookup(keeper->runtime, "token"),
                     actor_pack(token_drain, &question));
}

static void on_alarm(void *arg, const char *line)
{
    struct keeper *keeper = arg;

    snprintf(keeper->alarm, sizeof(keeper->alarm), "%s", line);
    fprintf(stderr, "%s\n", line);
}

static sigset_t end_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

/* Before any thread starts, so that all inherit it. */
static void block_signals(void)
{
    sigset_t signals = end_signals();

    sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* SIGTERM is an ordinary shutdown. It does not cut a refresh: the exchange closes only after the
 * one in flight has ended, and what it brought is on disk by then (promise 4). */
static void *wait_for_signal(void *arg)
{
    struct keeper *keeper = arg;
    sigset_t signals = end_signals();
    int number;

    for (;;) {
        struct token_drain question = {.why = proto_text("a signal")};
        struct message *answer = NULL;

        sigwait(&signals, &number);
        runtime_ask(keeper->runtime, runtime_lookup(keeper->runtime, "token"),
                    actor_pack(token_drain, &question), DRAIN_NS, &answer);
        message_free(answer);
        runtime_stop(keeper->runtime);
    }
    return NULL;
}

static int watch_signals(struct keeper *keeper)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, wait_for_signal, keeper) != 0)
        return -EAGAIN;
    return -pthread_detach(thread);
}

/* ---- the guard: a keeper without its TokenActor is only in the way of the next one ---------- */

struct guard {
    struct keeper *keeper;
};

static int guard_start(void *state, struct context *context, const void *config)
{
    struct guard *guard = state;

    guard->keeper = *(struct keeper *const *)config;
    context_monitor(context, context_lookup(context, "token"));
    return 0;
}

static int guard_on_down(void *state, struct context *context, struct actor_id who,
                         enum exit_reason reason, int error)
{
    struct guard *guard = state;

    (void)context;
    (void)who;
    if (reason == EXIT_NORMAL || reason == EXIT_SHUTDOWN)
        return 0;
    guard->keeper->orphaned = true;
    snprintf(guard->keeper->alarm, sizeof(guard->keeper->alarm),
             "the TokenActor has ended: %s; the next keeper goes on", strerror(-error));
    runtime_stop(guard->keeper->runtime);
    return 0;
}

static const struct actor_ops guard_ops = {
    .name = "guard",
    .state_size = sizeof(struct guard),
    .start = guard_start,
    .on_down = guard_on_down,
};

static int spawn_actors(struct keeper *keeper)
{
    bool stay = command_value(keeper->call, KEY_LINGER) != NULL;
    struct token_config token = {
        .store = keeper->store,
        .exchange = keeper->exchange,
        .tunables = {.linger_ms = stay ? LINGER_STAY_MS : LINGER_MS},
        .load_rules = keeper_load_rules,
        .idle = on_idle,
        .alarm = on_alarm,
        .arg = keeper,
    };
    struct control_config control = {
        .kind = "keeper", .version = QUEENRIGHT_VERSION, .config = ""};
    struct actor_id id;
    int rc;

    token_boot_id(token.boot_id);
    rc = runtime_spawn(keeper->runtime, &token_ops, &token,
                       &(struct spawn_options){.name = "token"}, &id);
    if (rc == 0)
        rc = runtime_spawn(keeper->runtime, &control_actor_ops, &control,
                           &(struct spawn_options){.name = "control"}, &id);
    if (rc == 0)
        rc = runtime_spawn(keeper->runtime, &guard_ops, &keeper,
                           &(struct spawn_options){.name = "guard"}, &id);
    return rc;
}

static int listen_here(struct keeper *keeper)
{
    char endpoint[256];
    int rc = paths_keeper_endpoint(&keeper->call->paths, endpoint, sizeof(endpoint));

    return rc < 0 ? rc : link_listen(keeper->runtime, endpoint);
}

static int serve(struct keeper *keeper)
{
    struct runtime_options options = {.name = "keeper", .workers = 1};
    struct link_options links = {.kind = PEER_KEEPER};
    int rc;

    block_signals();
    rc = runtime_new(&options, &keeper->runtime);
    if (rc == 0)
        rc = link_start(keeper->runtime, &links);
    if (rc == 0)
        rc = spawn_actors(keeper);
    if (rc == -EBUSY) {
        process_say_ready(keeper->ready_fd, "busy");
        keeper->ready_fd = -1;
    }
    if (rc == 0)
        rc = listen_here(keeper);
    if (rc == 0)
        rc = watch_signals(keeper);
    if (rc == 0) {
        process_say_ready(keeper->ready_fd, "ready");
        keeper->ready_fd = -1;
        runtime_wait(keeper->runtime);
        rc = keeper->orphaned ? -ECHILD : 0;
    }
    return rc;
}

/* Before a secret is touched and before a thread starts. */
static void harden(const struct command_call *call, int ready_fd)
{
    const char *const writable[] = {call->paths.state, call->paths.run};
    struct harden_options options = {.writable = writable,
                                     .writable_count = 2,
                                     .keep_fds = &ready_fd,
                                     .keep_fd_count = ready_fd > 2};
    struct harden_report report;

    keeper_harden(&options, &report);
    fprintf(stderr, "keeper %s (pid %d): %s\n", QUEENRIGHT_VERSION, getpid(), report.text);
}

int cmd_keeper(struct command_call *call)
{
    const char *fd = command_value(call, KEY_READY_FD);
    struct keeper keeper = {.call = call, .ready_fd = fd ? (int)strtol(fd, NULL, 10) : -1};
    struct store_file_options store = {.state_dir = call->paths.state};
    int rc;

    harden(call, keeper.ready_fd);
    if (wipe_install() < 0)
        return EXIT_CODE_FAILED;
    keeper.store = store_file_new(&store);
    keeper.exchange = exchange_curl_new(NULL);
    rc = keeper.store && keeper.exchange ? serve(&keeper) : -ENOMEM;
    if (rc < 0 && rc != -EBUSY) {
        const char *line = keeper.alarm[0] != '\0' ? keeper.alarm : strerror(-rc);

        fprintf(stderr, "keeper: %s\n", line);
        process_say_ready(keeper.ready_fd, line);
    }
    runtime_free(keeper.runtime);
    if (keeper.exchange)
        keeper.exchange->close(keeper.exchange);
    return rc == -EBUSY ? EXIT_CODE_TEMPORARY : rc < 0 ? EXIT_CODE_FAILED : 0;
}
