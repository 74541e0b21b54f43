/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor and the proxy on real threads: many askers, exchanges on threads of their own, a
 * strict provider in memory that counts every refresh token it sees. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "actors/handler.h"
#include "proto/system.h"
#include "proto/token.h"
#include "proxy/proxy.h"
#include "runtime/runtime.h"
#include "token/credential.h"
#include "support/store_memory.h"
#include "token/token.h"

#define ASKERS 8
#define RUN_MS 2500

struct provider {
    struct exchange_port port;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned running, current, reused, rotations;
    uint64_t last_id;
    struct call *calls;
};

struct call {
    struct call *next;
    struct provider *provider;
    struct exchange_request request;
    char refresh[64];
    uint64_t id;
    int gate; /* 0: not answered, 1: open, -1: refused */
};

static void ms_sleep(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

/* Strict: only the newest refresh token is good, any other is reuse. */
static void serve(struct call *call, struct exchange_result *result)
{
    struct provider *provider = call->provider;
    char expected[64], body[256];

    pthread_mutex_lock(&provider->lock);
    snprintf(expected, sizeof(expected), "refresh-%u", provider->current);
    if (strcmp(expected, call->refresh) == 0) {
        provider->rotations++;
        provider->current++;
        result->http_status = 200;
        snprintf(body, sizeof(body),
                 "{\"access_token\":\"access-%u\",\"refresh_token\":\"refresh-%u\","
                 "\"expires_in\":1}",
                 provider->current, provider->current);
    } else {
        provider->reused++;
        result->http_status = 401;
        snprintf(body, sizeof(body), "{\"error\":{\"code\":\"refresh_token_reused\"}}");
    }
    pthread_mutex_unlock(&provider->lock);
    result->end = EXCHANGE_ANSWERED;
    result->body = secret_new(body, strlen(body));
}

static void *run_call(void *arg)
{
    struct call *call = arg;
    struct provider *provider = call->provider;
    struct exchange_result result = {.end = EXCHANGE_NOT_SENT};
    int gate;

    call->request.at_gate(call->request.arg, call->id);
    pthread_mutex_lock(&provider->lock);
    while (call->gate == 0)
        pthread_cond_wait(&provider->changed, &provider->lock);
    gate = call->gate;
    for (struct call **at = &provider->calls; *at != NULL; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            break;
        }
    pthread_mutex_unlock(&provider->lock);
    if (gate > 0) {
        ms_sleep(5);
        serve(call, &result);
    }
    call->request.done(call->request.arg, call->id, &result);
    free(call);
    pthread_mutex_lock(&provider->lock);
    provider->running--;
    pthread_cond_broadcast(&provider->changed);
    pthread_mutex_unlock(&provider->lock);
    return NULL;
}

static int provider_start(struct exchange_port *port, const struct exchange_request *request,
                          uint64_t *ret_id)
{
    struct provider *provider = (struct provider *)port;
    struct call *call = calloc(1, sizeof(*call));
    pthread_t thread;

    assert_non_null(call);
    call->provider = provider;
    call->request = *request;
    snprintf(call->refresh, sizeof(call->refresh), "%s", secret_data(request->refresh));
    pthread_mutex_lock(&provider->lock);
    call->id = *ret_id = ++provider->last_id;
    call->next = provider->calls;
    provider->calls = call;
    provider->running++;
    pthread_mutex_unlock(&provider->lock);
    assert_int_equal(pthread_create(&thread, NULL, run_call, call), 0);
    pthread_detach(thread);
    return 0;
}

static void provider_gate(struct exchange_port *port, uint64_t id, bool open)
{
    struct provider *provider = (struct provider *)port;

    pthread_mutex_lock(&provider->lock);
    for (struct call *call = provider->calls; call != NULL; call = call->next)
        if (call->id == id)
            call->gate = open ? 1 : -1;
    pthread_cond_broadcast(&provider->changed);
    pthread_mutex_unlock(&provider->lock);
}

static void provider_close(struct exchange_port *port)
{
    struct provider *provider = (struct provider *)port;

    pthread_mutex_lock(&provider->lock);
    while (provider->running > 0)
        pthread_cond_wait(&provider->changed, &provider->lock);
    pthread_mutex_unlock(&provider->lock);
}

/* ---- the run -------------------------------------------------------------------------------- */

struct run {
    struct runtime *runtime;
    struct actor_id proxy;
    atomic_bool stop;
    atomic_uint grants, others, backwards;
};

static void *ask(void *arg)
{
    struct run *run = arg;
    uint64_t highest = 0;

    while (!atomic_load(&run->stop)) {
        struct token_get get = {.profile = proto_text("lab:me"), .who = proto_text("asker")};
        struct message *answer = NULL;
        struct token_grant grant;

        if (runtime_ask(run->runtime, run->proxy, actor_pack(token_get, &get), 5000000000ull,
                        &answer) < 0)
            continue;
        if (answer->type == MSG_token_grant &&
            proto_unpack(&token_grant_schema, answer->body, answer->size, &grant) == 0) {
            atomic_fetch_add(&run->grants, 1);
            if (grant.generation < highest)
                atomic_fetch_add(&run->backwards, 1);
            highest = grant.generation;
        } else {
            atomic_fetch_add(&run->others, 1);
        }
        message_free(answer);
    }
    return NULL;
}

static void import(struct runtime *runtime, struct actor_id keeper)
{
    struct token_import import = {.profile = proto_text("lab:me"),
                                  .provider = proto_text("lab"),
                                  .mode = proto_text("oauth"),
                                  .refresh = proto_text("refresh-0"),
                                  .take_over = true,
                                  .config = proto_text("any")};
    struct message *answer = NULL;

    assert_int_equal(runtime_ask(runtime, keeper, actor_pack(token_import, &import),
                                 5000000000ull, &answer), 0);
    assert_int_equal(answer->type, MSG_token_imported);
    message_free(answer);
}

static int give_rule(void *arg, const char *path, token_rule_sink rule, void *sink, char *ret_why,
                     size_t why_size)
{
    struct provider_rule lab = {.rotation = ROTATION_STRICT};

    (void)arg;
    (void)path;
    (void)ret_why;
    (void)why_size;
    snprintf(lab.id, sizeof(lab.id), "lab");
    snprintf(lab.token_url, sizeof(lab.token_url), "https://login.example.test/token");
    snprintf(lab.client_id, sizeof(lab.client_id), "lab");
    snprintf(lab.expiry, sizeof(lab.expiry), "expires_in");
    rule(sink, &lab, "");
    return 0;
}

static void run_askers(struct run *run)
{
    pthread_t threads[ASKERS];

    for (int i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, run), 0);
    ms_sleep(RUN_MS);
    atomic_store(&run->stop, true);
    for (int i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
}

static void many_threads_over_many_expiries_spend_each_generation_once(void **s)
{
    struct provider provider = {.port = {provider_start, provider_gate, provider_close}};
    struct memory_disk *disk = memory_disk_new();
    struct token_config config = {.store = store_memory_new(disk), .exchange = &provider.port,
                                  .load_rules = give_rule};
    struct proxy_config proxy_config = {.actor = "keeper"};
    struct spawn_options keeper_name = {.name = "keeper"}, proxy_name = {.name = "token"};
    struct runtime_options options = {.name = "node", .workers = 2};
    struct run run = {0};
    struct actor_id keeper;
    struct message *answer = NULL;

    (void)s;
    pthread_mutex_init(&provider.lock, NULL);
    pthread_cond_init(&provider.changed, NULL);
    assert_int_equal(runtime_new(&options, &run.runtime), 0);
    assert_int_equal(runtime_spawn(run.runtime, &token_ops, &config, &keeper_name, &keeper), 0);
    assert_int_equal(runtime_spawn(run.runtime, &proxy_ops, &proxy_config, &proxy_name,
                                   &run.proxy), 0);
    import(run.runtime, keeper);
    run_askers(&run);
    assert_int_equal(runtime_ask(run.runtime, keeper,
                                 actor_pack(token_drain, (&(struct token_drain){{0}})),
                                 5000000000ull, &answer), 0);
    assert_int_equal(answer->type, MSG_done);
    message_free(answer);
    runtime_free(run.runtime);
    provider.port.close(&provider.port);
    print_message("%u grants, %u rotations, %u reused\n", run.grants, provider.rotations,
                  provider.reused);
    assert_true(run.grants > 100);
    assert_in_range(provider.rotations, 2, 10);
    assert_int_equal(provider.reused, 0);
    assert_int_equal(run.others, 0);
    assert_int_equal(run.backwards, 0);
    memory_disk_free(disk);
    pthread_cond_destroy(&provider.changed);
    pthread_mutex_destroy(&provider.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_over_many_expiries_spend_each_generation_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
