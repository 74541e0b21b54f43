/* SPDX-License-Identifier: Apache-2.0 */
/* What a token costs who asks for one: requests a second, and how long each takes.
 *
 *     token_bench [SECONDS]
 *
 * The owner is the real one: the token actor on a file store in a temporary directory, with its
 * audit, in a process of its own as the keeper is. It is asked in three ways: by an actor through
 * its node's proxy (no process boundary), by one other process over ipc with the client that the
 * command line uses, and by four such processes at once. The login is valid throughout: what a
 * refresh costs is the provider's. Latency is that of one asker who waits for each answer. */
#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actors/handler.h"
#include "proto/system.h"
#include "proto/token.h"
#include "proxy/proxy.h"
#include "runtime/link.h"
#include "runtime/runtime.h"
#include "token/exchange.h"
#include "token/store_file.h"
#include "token/token.h"

#define SECOND_NS 1000000000ull
#define SAMPLES_MAX 4000000u
#define CLIENTS_MAX 4u

struct place {
    char dir[64];
    char endpoint[128];
};

struct figures {
    uint64_t count, bad;
    double p50_us, p99_us, seconds;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

static void figures_of(uint32_t *samples_ns, uint64_t count, uint64_t bad, uint64_t took_ns,
                       struct figures *ret_figures)
{
    uint64_t kept = count < SAMPLES_MAX ? count : SAMPLES_MAX;

    qsort(samples_ns, kept, sizeof(*samples_ns), by_size);
    *ret_figures = (struct figures){.count = count, .bad = bad,
                                    .seconds = (double)took_ns / SECOND_NS};
    if (kept > 0) {
        ret_figures->p50_us = samples_ns[kept / 2] / 1e3;
        ret_figures->p99_us = samples_ns[kept * 99 / 100] / 1e3;
    }
}

static void print(const char *title, const struct figures *figures)
{
    printf("%-36s %9.0f a second   p50 %7.2f us   p99 %7.2f us   refused %llu\n", title,
           (double)figures->count / figures->seconds, figures->p50_us, figures->p99_us,
           (unsigned long long)figures->bad);
}

static struct message *question(void)
{
    return actor_pack(token_get, (&(struct token_get){.profile = proto_text("lab:me"),
                                                      .who = proto_text("atlas")}));
}

/* ---- the keeper ------------------------------------------------------------------------------ */

static int give_rule(void *arg, const char *path, token_rule_sink rule, void *sink, char *ret_why,
                     size_t size)
{
    static const char json[] = "{\"tokenUrl\": \"http://127.0.0.1:1/token\", \"clientId\": \"x\"}";
    struct provider_rule lab = {0};
    int rc = provider_rule_parse("lab", json, &lab, ret_why, size);

    (void)arg;
    (void)path;
    if (rc == 0)
        rule(sink, &lab, "");
    return rc;
}

static void import(struct runtime *runtime, struct actor_id token)
{
    struct message *answer = NULL;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    runtime_ask(runtime, token,
                actor_pack(token_import, (&(struct token_import){
                                             .profile = proto_text("lab:me"),
                                             .provider = proto_text("lab"),
                                             .mode = proto_text("oauth"),
                                             .access = proto_text("access"),
                                             .refresh = proto_text("refresh"),
                                             .expires_at_ms = (now.tv_sec + 86400) * 1000ll,
                                             .take_over = true,
                                             .config = proto_text("/none.json")})),
                5 * SECOND_NS, &answer);
    if (!answer || answer->type != MSG_token_imported) {
        fprintf(stderr, "the login was not imported\n");
        _exit(1);
    }
    message_free(answer);
}

/* Serves until its end of the pipe closes. */
static void keeper(const struct place *place, int ready_fd, int end_fd)
{
    struct runtime_options options = {.name = "keeper", .workers = 1};
    struct link_options links = {.kind = PEER_KEEPER};
    struct token_config config = {
        .store = store_file_new(&(struct store_file_options){.state_dir = place->dir}),
        .exchange = exchange_curl_new(NULL), .load_rules = give_rule};
    struct runtime *runtime;
    struct actor_id token;
    char byte = 0;
    int rc;

    token_boot_id(config.boot_id);
    rc = runtime_new(&options, &runtime);
    rc = rc ? rc : link_start(runtime, &links);
    rc = rc ? rc : runtime_spawn(runtime, &token_ops, &config,
                                 &(struct spawn_options){.name = "token"}, &token);
    rc = rc ? rc : link_listen(runtime, place->endpoint);
    if (rc < 0) {
        fprintf(stderr, "the keeper did not start: %s\n", strerror(-rc));
        _exit(1);
    }
    import(runtime, token);
    if (write(ready_fd, "r", 1) != 1 || read(end_fd, &byte, 1) < 0)
        _exit(1);
    runtime_free(runtime);
    _exit(0);
}

static pid_t start_keeper(const struct place *place, int *ret_end_fd)
{
    int ready[2], end[2];
    int rc = pipe(ready) | pipe(end);
    pid_t pid;
    char byte;

    assert(rc == 0);
    pid = fork();
    if (pid == 0) {
        close(end[1]);
        keeper(place, ready[1], end[0]);
    }
    close(ready[1]);
    close(end[0]);
    if (read(ready[0], &byte, 1) != 1)
        exit(1);
    close(ready[0]);
    *ret_end_fd = end[1];
    return pid;
}

/* ---- other processes, over ipc --------------------------------------------------------------- */

static void client(const struct place *place, uint64_t span_ns, int result_fd)
{
    uint32_t *samples_ns = calloc(SAMPLES_MAX, sizeof(*samples_ns));
    struct link_client *link;
    struct figures figures;
    uint64_t begin, at, count = 0, bad = 0;

    if (!samples_ns ||
        link_client_open(place->endpoint, "bench", 5 * SECOND_NS, NULL, 0, &link) < 0)
        _exit(1);
    begin = at = now_ns();
    while (at - begin < span_ns) {
        struct message *answer = NULL;
        int rc = link_client_call(link, "token", question(), 5 * SECOND_NS, NULL, NULL, &answer);
        uint64_t now = now_ns();

        bad += rc < 0 || answer->type != MSG_token_grant;
        message_free(answer);
        if (count < SAMPLES_MAX)
            samples_ns[count] = (uint32_t)(now - at);
        count++;
        at = now;
    }
    link_client_close(link);
    figures_of(samples_ns, count, bad, at - begin, &figures);
    free(samples_ns);
    _exit(write(result_fd, &figures, sizeof(figures)) != sizeof(figures));
}

/* The sum of what `count` processes got; the latencies are the slowest one's. */
static void clients(const struct place *place, unsigned count, uint64_t span_ns,
                    struct figures *ret_figures)
{
    struct figures sum = {0};
    int result[2], rc = pipe(result);

    assert(rc == 0);
    for (unsigned i = 0; i < count; i++) {
        if (fork() == 0)
            client(place, span_ns, result[1]);
    }
    close(result[1]);
    for (unsigned i = 0; i < count; i++) {
        struct figures one;

        if (read(result[0], &one, sizeof(one)) != sizeof(one)) {
            fprintf(stderr, "a client failed\n");
            exit(1);
        }
        sum.count += one.count;
        sum.bad += one.bad;
        sum.seconds = one.seconds > sum.seconds ? one.seconds : sum.seconds;
        sum.p50_us = one.p50_us > sum.p50_us ? one.p50_us : sum.p50_us;
        sum.p99_us = one.p99_us > sum.p99_us ? one.p99_us : sum.p99_us;
    }
    close(result[0]);
    *ret_figures = sum;
}

/* ---- an actor, through its node's proxy ------------------------------------------------------ */

struct asker_config {
    unsigned window; /* requests out at once */
    uint64_t span_ns;
    struct figures *figures;
    atomic_bool *over;
};

struct asker {
    struct asker_config config;
    struct actor_id token;
    uint32_t *samples_ns;
    uint64_t begin_ns, count, bad;
    unsigned out;
};

static void ask(struct asker *asker, struct context *context)
{
    struct request_options options = {.tag = now_ns()};

    asker->out++;
    context_request(context, asker->token, question(), &options);
}

static int answered(struct asker *asker, struct context *context, uint64_t tag, bool good)
{
    uint64_t now = now_ns();

    if (asker->count < SAMPLES_MAX)
        asker->samples_ns[asker->count] = (uint32_t)(now - tag);
    asker->count++;
    asker->bad += !good;
    asker->out--;
    if (now - asker->begin_ns < asker->config.span_ns) {
        ask(asker, context);
    } else if (asker->out == 0) {
        figures_of(asker->samples_ns, asker->count, asker->bad, now - asker->begin_ns,
                   asker->config.figures);
        free(asker->samples_ns);
        asker->samples_ns = NULL;
        atomic_store(asker->config.over, true);
        context_stop(context, 0);
    }
    return 0;
}

static int on_token_grant(struct asker *asker, struct context *context,
                          const struct token_grant *grant)
{
    return answered(asker, context, context_tag(context), grant->access.size > 0);
}
ACTOR_HANDLER(token_grant)

static int on_refusal(struct asker *asker, struct context *context, const struct refusal *refusal)
{
    (void)refusal;
    return answered(asker, context, context_tag(context), false);
}
ACTOR_HANDLER(refusal)

static int on_status(void *state, struct context *context, uint64_t tag,
                     enum runtime_status status)
{
    (void)status;
    return answered(state, context, tag, false);
}

static int asker_start(void *state, struct context *context, const void *config)
{
    struct asker *asker = state;

    memcpy(&asker->config, config, sizeof(asker->config));
    asker->token = context_lookup(context, "token");
    asker->samples_ns = calloc(SAMPLES_MAX, sizeof(*asker->samples_ns));
    assert(asker->samples_ns);
    asker->begin_ns = now_ns();
    for (unsigned i = 0; i < asker->config.window; i++)
        ask(asker, context);
    return 0;
}

static const struct actor_handler asker_handlers[] = {
    ACTOR_ROW(token_grant, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW_END,
};

static const struct actor_ops asker_ops = {
    .name = "asker", .state_size = sizeof(struct asker), .decode = proto_unpack,
    .handlers = asker_handlers, .start = asker_start, .on_status = on_status,
};

static void actor(struct runtime *runtime, unsigned window, uint64_t span_ns,
                  struct figures *ret_figures)
{
    atomic_bool over = false;
    struct asker_config config = {window, span_ns, ret_figures, &over};
    struct actor_id id;
    int rc = runtime_spawn(runtime, &asker_ops, &config, &(struct spawn_options){0}, &id);

    assert(rc == 0);
    while (!atomic_load(&over))
        poll(NULL, 0, 10);
}

static struct runtime *start_node(const struct place *place)
{
    struct runtime_options options = {.name = "home", .workers = 1};
    struct link_options links = {.kind = PEER_NODE};
    struct proxy_config config = {.peer = "keeper", .swarm = "bench", .config = "/none.json"};
    struct runtime *runtime;
    struct actor_id proxy;
    struct message *answer = NULL;
    int rc = runtime_new(&options, &runtime);

    rc = rc ? rc : link_start(runtime, &links);
    rc = rc ? rc : link_dial(runtime, "keeper", place->endpoint);
    rc = rc ? rc : runtime_spawn(runtime, &proxy_ops, &config,
                                 &(struct spawn_options){.name = "token"}, &proxy);
    assert(rc == 0);
    rc = runtime_ask(runtime, proxy, question(), 20 * SECOND_NS, &answer); /* it has one now */
    assert(rc == 0 && answer->type == MSG_token_grant);
    message_free(answer);
    return runtime;
}

static void remove_place(const struct place *place)
{
    static const char *const words[] = {"rm", "-rf", "--", NULL, NULL};
    const char *args[5];
    pid_t pid;

    memcpy(args, words, sizeof(words));
    args[3] = place->dir;
    pid = fork();
    if (pid == 0) {
        execvp("rm", (char *const *)(uintptr_t)args);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    uint64_t span_ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 3) * SECOND_NS;
    struct place place = {.dir = "/tmp/token-bench-XXXXXX"};
    struct figures figures;
    struct runtime *node;
    int end_fd;
    pid_t pid;

    if (!mkdtemp(place.dir))
        return 1;
    snprintf(place.endpoint, sizeof(place.endpoint), "ipc://%s/keeper.sock", place.dir);
    pid = start_keeper(&place, &end_fd);
    clients(&place, 1, span_ns, &figures);
    print("another process over ipc", &figures);
    clients(&place, CLIENTS_MAX, span_ns, &figures);
    print("four processes over ipc, together", &figures);
    node = start_node(&place);
    actor(node, 1, span_ns, &figures);
    print("an actor through the proxy", &figures);
    actor(node, 64, span_ns, &figures);
    print("the same, 64 requests out", &figures);
    runtime_free(node);
    close(end_fd);
    waitpid(pid, NULL, 0);
    remove_place(&place);
    return 0;
}
