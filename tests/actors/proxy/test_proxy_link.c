/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy of a node and the keeper, in two runtimes joined by a real link: over the keeper's
 * death and return. */
#include <time.h>

#include "proxy/proxy.h"
#include "runtime/introspect.h"
#include "runtime/link.h"
#include "support/temp_dir.h"
#include "support/token_rig.h"

#define SECOND_NS 1000000000ull

struct pair {
    char dir[TEMP_DIR_MAX], endpoint[300];
    struct memory_disk *disk;
    struct runtime *keeper, *node;
    struct actor_id proxy;
    struct script script; /* never called here */
    struct token_config config;
    struct provider_rule rule;
};

static int give_rule(void *arg, const char *path, token_rule_sink rule, void *sink, char *ret_why,
                     size_t why_size)
{
    struct pair *pair = arg;

    (void)path;
    (void)ret_why;
    (void)why_size;
    rule(sink, &pair->rule, "");
    return 0;
}

static void start_keeper(struct pair *pair)
{
    struct runtime_options options = {.name = "keeper", .workers = 1, .log = rig_log};
    struct link_options links = {.kind = PEER_KEEPER};
    struct spawn_options name = {.name = "token"};
    struct actor_id id;

    pair->config = (struct token_config){.store = store_memory_new(pair->disk),
                                         .exchange = &pair->script.port,
                                         .load_rules = give_rule,
                                         .arg = pair};
    assert_int_equal(runtime_new(&options, &pair->keeper), 0);
    assert_int_equal(link_start(pair->keeper, &links), 0);
    assert_int_equal(runtime_spawn(pair->keeper, &token_ops, &pair->config, &name, &id), 0);
    assert_int_equal(link_listen(pair->keeper, pair->endpoint), 0);
}

static void stop_keeper(struct pair *pair)
{
    runtime_free(pair->keeper);
    pair->keeper = NULL;
}

static void start_node(struct pair *pair)
{
    struct runtime_options options = {.name = "home", .workers = 1, .log = rig_log};
    struct link_options links = {.kind = PEER_NODE};
    struct spawn_options name = {.name = "token"};
    struct proxy_config config = {.peer = "keeper", .swarm = "five", .config = "/a.json"};

    assert_int_equal(runtime_new(&options, &pair->node), 0);
    assert_int_equal(link_start(pair->node, &links), 0);
    assert_int_equal(link_dial(pair->node, "keeper", pair->endpoint), 0);
    assert_int_equal(runtime_spawn(pair->node, &proxy_ops, &config, &name, &pair->proxy), 0);
}

static struct message *ask(struct runtime *runtime, struct actor_id to, struct message *message)
{
    struct message *answer = NULL;

    assert_int_equal(runtime_ask(runtime, to, message, 20 * SECOND_NS, &answer), 0);
    assert_non_null(answer);
    return answer;
}

static void import(struct pair *pair)
{
    struct timespec now;
    struct message *answer;

    clock_gettime(CLOCK_REALTIME, &now);
    answer = ask(pair->keeper, runtime_lookup(pair->keeper, "token"),
                 actor_pack(token_import, (&(struct token_import){
                                              .profile = proto_text("lab:me"),
                                              .provider = proto_text("lab"),
                                              .mode = proto_text("oauth"),
                                              .access = proto_text("access-0"),
                                              .refresh = proto_text("refresh-0"),
                                              .expires_at_ms = (now.tv_sec + 3600) * 1000,
                                              .take_over = true,
                                              .config = proto_text("/a.json")})));
    assert_int_equal(answer->type, MSG_token_imported);
    message_free(answer);
}

static void get(struct pair *pair, uint32_t type)
{
    struct message *answer = ask(pair->node, pair->proxy,
                                 actor_pack(token_get, (&(struct token_get){
                                                           .profile = proto_text("lab:me"),
                                                           .who = proto_text("atlas")})));

    assert_int_equal(answer->type, type);
    message_free(answer);
}

static unsigned status_lines(struct pair *pair)
{
    struct message *answer = ask(pair->node, pair->proxy,
                                 actor_pack(quota_hit, (&(struct quota_hit){
                                                           .profile = proto_text("lab:me"),
                                                           .model = proto_text("m"),
                                                           .who = proto_text("atlas")})));
    unsigned type = answer->type;

    message_free(answer);
    return type;
}

static uint64_t joins(struct pair *pair)
{
    struct counter_info rows[16];
    uint64_t cursor = 0;
    size_t count;

    while ((count = introspect_counters(pair->keeper, runtime_lookup(pair->keeper, "token"),
                                        &cursor, rows, 16)))
        for (size_t i = 0; i < count; i++)
            if (rows[i].type == MSG_swarm_join)
                return rows[i].count;
    return 0;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* The link may carry other messages before the proxy has heard that it is there, and joins. */
static void await_join(struct pair *pair)
{
    while (joins(pair) == 0)
        pause_ms(5);
}

/* Lines of the keeper's audit go to the store in batches, in order with all other work for it:
 * after two more pieces of work are done, what was before them is there. */
static void settle_audit(struct pair *pair)
{
    import(pair);
    import(pair);
}

static unsigned audited(struct pair *pair, const char *what)
{
    unsigned count = 0;

    settle_audit(pair);
    stop_keeper(pair); /* the disk may be looked at now */
    for (size_t i = 0; memory_disk_audit(pair->disk, i) != NULL; i++)
        count += strstr(memory_disk_audit(pair->disk, i), what) != NULL;
    return count;
}

static void a_node_gets_tokens_over_a_link_and_over_the_keepers_restart(void **s)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    (void)s;
    assert_non_null(pair);
    assert_int_equal(temp_dir_make(pair->dir), 0);
    snprintf(pair->endpoint, sizeof(pair->endpoint), "ipc://%s/keeper.sock", pair->dir);
    snprintf(pair->rule.id, sizeof(pair->rule.id), "lab");
    snprintf(pair->rule.token_url, sizeof(pair->rule.token_url),
             "https://login.example.test/token");
    script_init(&pair->script);
    pair->disk = memory_disk_new();
    start_node(pair); /* before there is a keeper */
    start_keeper(pair);
    import(pair);
    get(pair, MSG_token_grant);
    assert_int_equal(status_lines(pair), MSG_done); /* passed on, and answered by the keeper */
    await_join(pair);
    settle_audit(pair);
    stop_keeper(pair);
    get(pair, MSG_token_grant); /* from memory */
    start_keeper(pair);
    while (status_lines(pair) != MSG_done) /* until the link is back */
        pause_ms(20);
    await_join(pair);
    get(pair, MSG_token_grant);
    assert_int_equal(audited(pair, "join swarm=five peer=home"), 2);
    runtime_free(pair->node);
    memory_disk_free(pair->disk);
    temp_dir_remove(pair->dir);
    free(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_gets_tokens_over_a_link_and_over_the_keepers_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
