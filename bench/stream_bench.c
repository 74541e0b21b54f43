/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming model calls, many at once: what they cost this process in CPU and memory.
 *
 *     stream_bench [STREAMS [PACE_MS]]
 *
 * The practice provider runs in a child process, so its cost is not counted. Each call goes the
 * whole way of a real one: model actor, token, http actor, socket, event stream, deltas to the
 * caller under credit, answer. All are started at once; memory is read while all of them stream.
 * The resident size of an idle process with the same actors is taken off. */
#include "actors/handler.h"
#include "http/http.h"
#include "model/model.h"
#include "practice/practice.h"
#include "proto/model.h"
#include "proto/system.h"
#include "proto/token.h"
#include "runtime/runtime.h"

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct bench {
    unsigned streams, pace_ms;
    uint16_t port;
    char token[4096];
    atomic_uint streaming, answered, refused;
    atomic_ullong deltas, bytes;
};

/* ---- the provider -------------------------------------------------------------------------- */

/* Serves in a child until the returned descriptor is closed. */
static int serve(struct bench *bench, pid_t *ret_child)
{
    int ready[2], end[2];
    int result = pipe(ready) | pipe(end);
    assert(result == 0);
    *ret_child = fork();
    if (*ret_child == 0) {
        struct practice_options options;
        struct practice *practice;
        char byte;
        close(end[1]);
        practice_options_init(&options);
        options.access_life_ms = 600000;
        options.model_delay_ms = 1000;
        options.model_pace_ms = bench->pace_ms;
        options.max_connections = bench->streams + 100;
        if (practice_start(&options, &practice) < 0)
            _exit(1);
        uint16_t port = practice_port(practice);
        if (write(ready[1], &port, sizeof(port)) < 0 || read(end[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    close(end[0]);
    ssize_t got = read(ready[0], &bench->port, sizeof(bench->port));
    assert(got == sizeof(bench->port));
    return end[1];
}

/* A login, by the shortest way there is. */
static void log_in(struct bench *bench)
{
    static const char request[] = "POST /practice/login HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(bench->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[16384];
    size_t size = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(fd, (struct sockaddr *)&address, sizeof(address));
    assert(result == 0);
    ssize_t got = send(fd, request, strlen(request), 0);
    while (got > 0 && size < sizeof(text) - 1) {
        got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        size += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    text[size] = '\0';
    char *token = strstr(text, "\"access_token\"");
    assert(token);
    result = sscanf(token, "\"access_token\" : \"%4095[^\"]", bench->token);
    assert(result == 1);
}

/* ---- the actor "token" --------------------------------------------------------------------- */

struct state {
    struct bench *bench;
};

static int start(void *arg, struct context *context, const void *config)
{
    (void)context;
    memcpy(arg, config, sizeof(struct state));
    return 0;
}

static int on_token_get(struct state *state, struct context *context, const struct token_get *get)
{
    struct token_grant grant = {.profile = get->profile,
                                .access = proto_text(state->bench->token)};
    return context_reply(context, actor_pack(token_grant, &grant));
}
ACTOR_HANDLER(token_get)

static const struct actor_handler token_handlers[] = {
    ACTOR_ROW(token_get, FROM_LOCAL),
    ACTOR_ROW_END,
};

static const struct actor_ops token_ops = {
    .name = "token", .state_size = sizeof(struct state), .decode = proto_unpack,
    .mailbox_limit = 16384, .handlers = token_handlers, .start = start,
};

/* ---- the callers, as one actor ------------------------------------------------------------- */

struct caller {
    struct state state;
    struct request_id *requests;
    bool *streaming;
};

static int on_done(struct caller *caller, struct context *context, const struct done *message)
{
    struct bench *bench = caller->state.bench;
    struct actor_id model = context_lookup(context, "model");
    (void)message;
    caller->requests = calloc(bench->streams, sizeof(*caller->requests));
    caller->streaming = calloc(bench->streams, sizeof(*caller->streaming));
    assert(caller->requests && caller->streaming);
    for (unsigned i = 0; i < bench->streams; i++) {
        char agent[32];
        snprintf(agent, sizeof(agent), "agent-%u", i);
        struct model_call call = {
            .agent = proto_text(agent),
            .session = proto_text("main"),
            .models = proto_text("lab/practice"),
            .instructions = proto_text("You are an agent of a swarm."),
            .input = proto_text("[{\"role\":\"user\",\"content\":\"count the hives\"}]")};
        struct request_options options = {.deadline_ns = context_now_ns(context) + 120000000000u,
                                          .tag = i, .credit = 8,
                                          .ret_request = &caller->requests[i]};
        context_request(context, model, actor_pack(model_call, &call), &options);
    }
    return 0;
}
ACTOR_HANDLER(done)

static int on_model_delta(struct caller *caller, struct context *context,
                          const struct model_delta *delta)
{
    struct bench *bench = caller->state.bench;
    uint64_t i = context_tag(context);
    if (!caller->streaming[i])
        atomic_fetch_add(&bench->streaming, 1);
    caller->streaming[i] = true;
    atomic_fetch_add(&bench->deltas, 1);
    atomic_fetch_add(&bench->bytes, delta->text.size);
    context_credit(context, caller->requests[i], 1);
    return 0;
}
ACTOR_HANDLER(model_delta)

static int on_model_answer(struct caller *caller, struct context *context,
                           const struct model_answer *answer)
{
    (void)context;
    (void)answer;
    atomic_fetch_add(&caller->state.bench->answered, 1);
    return 0;
}
ACTOR_HANDLER(model_answer)

static int on_refusal(struct caller *caller, struct context *context,
                      const struct refusal *refusal)
{
    (void)context;
    if (atomic_fetch_add(&caller->state.bench->refused, 1) == 0)
        fprintf(stderr, "refused: %.*s\n", (int)refusal->why.size, refusal->why.data);
    return 0;
}
ACTOR_HANDLER(refusal)

static int on_status(void *arg, struct context *context, uint64_t tag, enum runtime_status status)
{
    struct caller *caller = arg;
    (void)context;
    (void)tag;
    if (atomic_fetch_add(&caller->state.bench->refused, 1) == 0)
        fprintf(stderr, "status: %s\n", runtime_status_name(status));
    return 0;
}

static void stop(void *arg, struct context *context)
{
    struct caller *caller = arg;
    (void)context;
    free(caller->requests);
    free(caller->streaming);
}

static const struct actor_handler caller_handlers[] = {
    ACTOR_ROW(done, FROM_LOCAL),
    ACTOR_ROW(model_delta, FROM_ANSWER),
    ACTOR_ROW(model_answer, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW_END,
};

static const struct actor_ops caller_ops = {
    .name = "caller", .state_size = sizeof(struct caller), .decode = proto_unpack,
    .mailbox_limit = 65536, .handlers = caller_handlers, .start = start, .stop = stop,
    .on_status = on_status,
};

/* ---- figures ------------------------------------------------------------------------------- */

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned long resident_kb(void)
{
    unsigned long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%lu %lu", &all, &pages) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

static void wait_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void spawn(struct runtime *runtime, const struct actor_ops *ops, const void *config,
                  const char *name, bool pinned, struct actor_id *ret_id)
{
    struct spawn_options options = {.name = name, .pinned = pinned};
    int result = runtime_spawn(runtime, ops, config, &options, ret_id);
    assert(result == 0);
}

static struct runtime *build(struct bench *bench, struct actor_id *ret_caller)
{
    struct runtime_options options = {.name = "bench"};
    struct runtime *runtime;
    struct actor_id id;
    struct state state = {bench};
    char models[256];
    int result = runtime_new(&options, &runtime);
    assert(result == 0);
    snprintf(models, sizeof(models),
             "{\"providers\":{\"lab\":{\"baseUrl\":\"http://127.0.0.1:%u/v1\",\"auth\":\"oauth\","
             "\"api\":\"openai-responses\",\"maxConcurrent\":0}}}", bench->port);
    struct model_config config = {models, NULL};
    spawn(runtime, &token_ops, &state, "token", false, &id);
    spawn(runtime, &http_actor_ops, &(struct http_config){.host_connections = bench->streams},
          "http", true, &id);
    spawn(runtime, &model_actor_ops, &config, "model", false, &id);
    spawn(runtime, &caller_ops, &(struct caller){.state = state}, "caller", false, ret_caller);
    return runtime;
}

static void measure(struct bench *bench)
{
    struct actor_id caller;
    struct runtime *runtime = build(bench, &caller);
    wait_ms(200);
    unsigned long before_kb = resident_kb(), most_kb = before_kb;
    double cpu = cpu_s(), wall = now_s();
    unsigned most = 0;
    runtime_post(runtime, caller, actor_pack(done, &(struct done){0}));
    while (atomic_load(&bench->answered) + atomic_load(&bench->refused) < bench->streams) {
        unsigned over = atomic_load(&bench->answered) + atomic_load(&bench->refused);
        unsigned live = atomic_load(&bench->streaming) - (over < bench->streams ? over : 0);
        unsigned long kb = resident_kb();
        most = live > most ? live : most;
        most_kb = kb > most_kb ? kb : most_kb;
        wait_ms(20);
    }
    cpu = cpu_s() - cpu;
    wall = now_s() - wall;
    double deltas = (double)atomic_load(&bench->deltas);
    printf("streams            %u, at once %u; answered %u, refused %u\n", bench->streams, most,
           atomic_load(&bench->answered), atomic_load(&bench->refused));
    printf("deltas             %.0f in %.2f s\n", deltas, wall);
    printf("CPU                %.2f s: %.0f us a stream, %.1f us a delta, %.0f%% of a core\n", cpu,
           cpu * 1e6 / bench->streams, cpu * 1e6 / deltas, cpu / wall * 100);
    printf("memory             %lu kB more than the %lu kB of the idle process: %.1f kB a stream\n",
           most_kb - before_kb, before_kb, (double)(most_kb - before_kb) / bench->streams);
    runtime_free(runtime);
}

int main(int argc, char **argv)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct rlimit files;
    pid_t child;
    assert(bench);
    bench->streams = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    bench->pace_ms = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int end = serve(bench, &child);
    log_in(bench);
    measure(bench);
    unsigned bad = atomic_load(&bench->refused);
    close(end);
    waitpid(child, NULL, 0);
    free(bench);
    return bad > 0;
}
