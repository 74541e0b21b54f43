/* SPDX-License-Identifier: Apache-2.0 */
/* The k-th allocation fails, for every k, once and from there on, in the life of a whole keeper:
 * runtime, store actor and file store, TokenActor, and a proxy before it; starting, importing,
 * granting, refreshing, listing, joining a swarm, draining.
 *
 * It must not crash or leak. Whoever asked has one answer. After a single failure the keeper goes
 * on as if nothing had been: it serves tokens, and has the newest. Then it is killed, and the next
 * one, which has memory, serves a generation that is no older than any that was served, and what
 * it spends is what the provider gave last; only when memory never came back may it be what was
 * last saved. A keeper that does not start says so. */
#include "proxy/proxy.h"
#include "support/failing_memory.h"
#include "support/temp_dir.h"
#include "support/token_rig.h"
#include "token/store_file.h"
#include "token/wipe.h"

#define LIFE_S 600

struct place {
    char directory[TEMP_DIR_MAX];
    struct rig *rig;
    struct provider_rule rule;
    bool with_proxy;
    uint64_t generation; /* highest handed out */
    unsigned issued;     /* by the provider */
    unsigned recorded;   /* of these surely saved */
};

/* ---- running -------------------------------------------------------------------------------- */

/* As script_step, with what belongs to the provider not counted. */
static bool provider_step(struct rig *rig)
{
    bool moved = false;

    for (size_t i = 0; i < rig->script.count; i++) {
        struct script_call *call = &rig->script.calls[i];
        struct exchange_result result = {.end = EXCHANGE_NOT_SENT};
        char body[256];

        if (call->ended || (call->at_gate && !call->gated))
            continue;
        moved = true;
        if (!call->at_gate) {
            memory_counts(true);
            script_reach_gate(call);
            memory_counts(false);
            continue;
        }
        if (call->open) {
            rig->script.issued++;
            snprintf(body, sizeof(body),
                     "{\"access_token\":\"access-%u\",\"refresh_token\":\"refresh-%u\","
                     "\"expires_in\":%d}",
                     rig->script.issued, rig->script.issued, LIFE_S);
            result = (struct exchange_result){.end = EXCHANGE_ANSWERED, .http_status = 200,
                                              .body = secret_new(body, strlen(body))};
        }
        call->ended = true;
        memory_counts(true);
        call->request.done(call->request.arg, call->id, &result);
        memory_counts(false);
        secret_free(result.body);
    }
    return moved;
}

static void run(struct rig *rig)
{
    do {
        memory_counts(true);
        while (runtime_step(rig->runtime))
            continue;
        memory_counts(false);
    } while (provider_step(rig));
}

static void pass(struct rig *rig, uint64_t ms)
{
    uint64_t end = rig->clock.now_ns + ms * MS_NS;

    run(rig);
    while (runtime_next_timer_ns(rig->runtime) <= end) {
        uint64_t next = runtime_next_timer_ns(rig->runtime);

        if (next > rig->clock.now_ns)
            rig->clock.now_ns = next;
        run(rig);
    }
    rig->clock.now_ns = end;
    run(rig);
}

/* ---- booting -------------------------------------------------------------------------------- */

/* Whether an actor that did not start has had its store cannot be told; a keeper ends then. So it
 * is watched whether somebody closes it. */
static struct store_port *store_open;
static void (*store_close)(struct store_port *store);

static void watched_close(struct store_port *store)
{
    store_open = NULL;
    store_close(store);
}

static struct store_port *store_new(const struct place *place)
{
    struct store_port *store =
        store_file_new(&(struct store_file_options){.state_dir = place->directory});

    if (store != NULL) {
        store_close = store->close;
        store->close = watched_close;
    }
    return store_open = store;
}

static int boot_counted(struct place *place)
{
    struct rig *rig = place->rig;
    struct runtime_options options = {.name = "keeper", .clock = &rig->clock.port,
                                      .random = &rig->random.port,
                                      .scheduler = SCHEDULER_MANUAL, .log = rig_log};
    struct spawn_options token = {.name = place->with_proxy ? "keeper" : "token"};
    struct spawn_options proxy = {.name = "token"};
    struct proxy_config proxy_config = {.actor = "keeper", .swarm = "five",
                                        .config = "good.json"};
    struct spawn_options asker = {.name = "asker"};
    struct asker asker_config = {rig->rows, &rig->row_count};
    int error = runtime_new(&options, &rig->runtime);

    if (error != 0) {
        rig->runtime = NULL;
        return error;
    }
    memory_counts(false); /* the asker, and the list of who is ready, which threads do not have */
    error = runtime_spawn(rig->runtime, &asker_ops, &asker_config, &asker, &rig->asker);
    assert_int_equal(error, 0);
    memory_counts(true);
    rig->config.store = store_new(place);
    if (rig->config.store == NULL)
        return -ENOMEM;
    error = runtime_spawn(rig->runtime, &token_ops, &rig->config, &token, &rig->token);
    if (error == 0 && place->with_proxy)
        error = runtime_spawn(rig->runtime, &proxy_ops, &proxy_config, &proxy, &rig->token);
    return error;
}

/* 0, or why it does not start. */
static int boot(struct place *place)
{
    struct rig *rig = place->rig = rig_new();
    int error;

    rig->rules = &place->rule;
    rig->rule_count = 1;
    script_init(&rig->script);
    rig->script.issued = place->issued;
    rig->config.exchange = &rig->script.port;
    memory_counts(true);
    error = boot_counted(place);
    memory_counts(false);
    if (error == 0)
        run(rig);
    return error;
}

/* As kill -9, after taking down what it had said. */
static void kill_it(struct place *place)
{
    struct rig *rig = place->rig;

    for (size_t i = 0; i < rig->row_count; i++)
        if (rig->rows[i].type == MSG_token_grant && rig->rows[i].generation > place->generation)
            place->generation = rig->rows[i].generation;
    place->issued = rig->script.issued;
    rig_free(rig);
    place->rig = NULL;
    if (store_open != NULL)
        store_close(store_open);
    store_open = NULL;
}

/* ---- asking --------------------------------------------------------------------------------- */

static uint64_t ask(struct rig *rig, struct message *message)
{
    struct ask_order order = {.to = rig->token, .message = message, .tag = ++rig->tag,
                              .credit = 16, .deadline_ns = rig->clock.now_ns + 600000 * MS_NS};
    struct message *post = message_new(ASK_TYPE, sizeof(order));

    memcpy(post->body, &order, sizeof(order));
    assert_int_equal(runtime_post(rig->runtime, rig->asker, post), 0);
    runtime_step(rig->runtime); /* the asker's turn, which is not on trial */
    run(rig);
    return order.tag;
}

static uint64_t get(struct rig *rig, bool force)
{
    return ask(rig, actor_pack(token_get, (&(struct token_get){.profile = proto_text("lab:me"),
                                                               .who = proto_text("atlas"),
                                                               .force = force})));
}

static uint64_t import(struct rig *rig, const char *profile, const char *refresh)
{
    struct token_import message = {
        .profile = proto_text(profile), .provider = proto_text("lab"),
        .mode = proto_text("oauth"), .access = proto_text("access-0"),
        .refresh = proto_text(refresh),
        .expires_at_ms = rig_wall_ms(&rig->clock.port) + LIFE_S * 1000,
        .take_over = true, .config = proto_text("good.json")};
    struct actor_id proxy = rig->token;
    uint64_t tag;

    if (rig->token_name != NULL)
        rig->token = runtime_lookup(rig->runtime, rig->token_name);
    tag = ask(rig, actor_pack(token_import, &message));
    rig->token = proxy;
    return tag;
}

/* All that a keeper is asked in a day. */
static void live(struct place *place)
{
    struct rig *rig = place->rig;
    struct token_status status = {0};
    struct swarm_join join = {.swarm = proto_text("five"), .config = proto_text("good.json")};
    struct quota_hit quota = {.profile = proto_text("lab:me"), .model = proto_text("m"),
                              .who = proto_text("nova"), .reason = proto_text("limit")};
    struct token_watch watch = {.profile = proto_text("lab:me"), .who = proto_text("axon")};

    get(rig, false);
    ask(rig, actor_pack(swarm_join, &join));
    import(rig, "lab:b", "refresh-b");
    get(rig, true);
    ask(rig, actor_pack(token_watch, &watch));
    ask(rig, actor_pack(token_status, &status));
    ask(rig, actor_pack(quota_hit, &quota));
    pass(rig, 20000);
    get(rig, true);
    pass(rig, LIFE_S * 1000 / 2);
    get(rig, false);
}

/* An actor that cannot watch another one ends; then the keeper's process does, and is started
 * again. */
static bool is_alive(const struct place *place)
{
    const struct rig *rig = place->rig;

    return actor_id_is_set(runtime_lookup(rig->runtime, "token")) &&
           (!place->with_proxy || actor_id_is_set(runtime_lookup(rig->runtime, "keeper")));
}

static void check_answers(struct rig *rig, const char *what)
{
    for (uint64_t tag = 1; tag <= rig->tag; tag++)
        if (rig_answer(rig, tag) == NULL)
            fail_msg("%s: request %u has no answer", what, (unsigned)tag);
}

/* ---- lives ---------------------------------------------------------------------------------- */

/* A place with one login that was refreshed once. */
static void place_init(struct place *place, bool with_proxy)
{
    *place = (struct place){.with_proxy = with_proxy};
    assert_int_equal(temp_dir_make_in_memory(place->directory), 0);
    snprintf(place->rule.id, sizeof(place->rule.id), "lab");
    snprintf(place->rule.token_url, sizeof(place->rule.token_url),
             "https://login.example.test/token");
    snprintf(place->rule.client_id, sizeof(place->rule.client_id), "lab");
    snprintf(place->rule.expiry, sizeof(place->rule.expiry), "expires_in");
    place->rule.rotation = ROTATION_STRICT;
    memory_fail(0, false);
    assert_int_equal(boot(place), 0);
    place->rig->token_name = with_proxy ? "keeper" : NULL;
    import(place->rig, "lab:me", "refresh-0");
    get(place->rig, true);
    kill_it(place);
    assert_int_equal(place->issued, 1);
    assert_int_equal(place->generation, 2);
    place->recorded = 1;
}

static void succeed(struct place *place, bool newest, const char *what)
{
    char refresh[32];
    const struct answer_row *row;
    uint64_t tag;

    memory_fail(0, false);
    if (boot(place) != 0)
        fail_msg("%s: the next keeper does not start: %s", what, place->rig->alarm);
    tag = get(place->rig, true);
    pass(place->rig, 2 * LIFE_S * 1000); /* after an unknown outcome the token is used up first */
    row = rig_answer(place->rig, tag);
    if (row == NULL || row->type != MSG_token_grant)
        row = rig_answer(place->rig, get(place->rig, false));
    if (row == NULL || row->type != MSG_token_grant)
        fail_msg("%s: the next keeper serves nothing: %s", what, row != NULL ? row->text : "");
    if (row->generation < place->generation)
        fail_msg("%s: generation %u comes after %u", what, (unsigned)row->generation,
                 (unsigned)place->generation);
    snprintf(refresh, sizeof(refresh), "refresh-%u", place->issued);
    if (newest && strcmp(rig_call(place->rig, 0)->refresh, refresh) != 0)
        fail_msg("%s: it spends %s, the provider's last was %s", what,
                 rig_call(place->rig, 0)->refresh, refresh);
    kill_it(place);
}

static void serve_again(struct place *place, const char *what)
{
    struct rig *rig = place->rig;
    const struct answer_row *row;

    memory_fail(0, false);
    pass(rig, 2 * LIFE_S * 1000);
    check_answers(rig, what);
    row = rig_answer(rig, get(rig, false));
    if (row == NULL || row->type != MSG_token_grant)
        fail_msg("%s: memory is back, and it serves nothing: %s %s", what,
                 row != NULL ? row->code : "no answer", row != NULL ? row->text : "");
}

/* False: the life made fewer than k allocations. */
static bool fail_allocation(bool with_proxy, unsigned k, bool for_ever)
{
    struct place place;
    char what[64];
    bool hit, started, alive;

    snprintf(what, sizeof(what), "allocation %u %s", k, for_ever ? "from there on" : "once");
    place_init(&place, with_proxy);
    memory_fail(k, for_ever);
    started = boot(&place) == 0;
    if (started) {
        place.rig->token_name = with_proxy ? "keeper" : NULL;
        live(&place);
    }
    hit = memory_calls() >= k;
    alive = started && is_alive(&place);
    if (alive && !for_ever)
        serve_again(&place, what);
    kill_it(&place);
    succeed(&place, started && !for_ever, what);
    temp_dir_remove(place.directory);
    return hit;
}

static void fail_every_allocation(const char *name, bool with_proxy)
{
    unsigned count[2] = {0};

    for (int for_ever = 0; for_ever < 2; for_ever++)
        for (unsigned k = 1; fail_allocation(with_proxy, k, for_ever != 0); k++)
            count[for_ever]++;
    printf("%s: %u allocations failed once, %u from there on\n", name, count[0], count[1]);
    assert_true(count[0] > 100 && count[1] > 30);
}

static void want_of_memory_costs_a_keeper_nothing(void **state)
{
    (void)state;
    fail_every_allocation("keeper", false);
}

static void want_of_memory_costs_a_keeper_behind_a_proxy_nothing(void **state)
{
    (void)state;
    fail_every_allocation("keeper and proxy", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(want_of_memory_costs_a_keeper_nothing),
        cmocka_unit_test(want_of_memory_costs_a_keeper_behind_a_proxy_nothing),
    };

    if (wipe_install() != 0) /* jansson allocates as we do */
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
