/* SPDX-License-Identifier: Apache-2.0 */
/* The token proxy between an asker and a real TokenActor, in one runtime. */
#include "proxy/proxy.h"

#include "support/token_rig.h"

static void start_proxy(struct rig *rig, struct proxy_config config)
{
    struct spawn_options options = {.name = "token"};

    config.actor = "keeper";
    assert_int_equal(runtime_spawn(rig->runtime, &proxy_ops, &config, &options, &rig->token), 0);
    rig_run(rig);
}

static struct rig *rig_with_proxy(struct provider_rule *rule, enum rotation rotation)
{
    struct rig *rig = rig_with_login_as(rule, rotation, "keeper");

    start_proxy(rig, (struct proxy_config){0});
    return rig;
}

static uint64_t get(struct rig *rig, uint64_t min_valid_ms, bool force)
{
    return rig_ask(rig, token_get, .profile = proto_text("lab:me"), .who = proto_text("atlas"),
                   .min_valid_ms = min_valid_ms, .force = force);
}

/* How often the keeper wrote this into its audit. */
static unsigned audited(struct rig *rig, const char *what)
{
    unsigned count = 0;

    for (size_t i = 0; memory_disk_audit(rig->disk, i) != NULL; i++)
        count += strstr(memory_disk_audit(rig->disk, i), what) != NULL;
    return count;
}

static uint64_t ask_keeper(struct rig *rig, struct message *message)
{
    struct actor_id proxy = rig->token;
    uint64_t tag;

    rig->token = runtime_lookup(rig->runtime, "keeper");
    tag = rig_send(rig, message, 0, 60000);
    rig->token = proxy;
    return tag;
}

static void a_valid_token_is_answered_from_memory(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);

    (void)s;
    for (int i = 0; i < 100; i++) {
        uint64_t tag = get(rig, 1000, false);

        assert_token(rig, tag, "access-0");
    }
    assert_int_equal(audited(rig, "grant profile=lab:me"), 1);
    rig_free(rig);
}

static void sixty_four_waiters_make_one_request_upstream_by_promise_2(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tags[64];

    (void)s;
    rig_pass(rig, 61000);
    for (int i = 0; i < 64; i++)
        tags[i] = get(rig, 0, false);
    rig->script.auto_life_s = 60;
    rig_run(rig);
    for (int i = 0; i < 64; i++)
        assert_token(rig, tags[i], "access-1");
    assert_int_equal(rig->script.count, 1);
    assert_in_range(audited(rig, "grant profile=lab:me"), 1, 2);
    rig_free(rig);
}

static void a_forced_request_that_meets_a_plain_one_on_its_way_asks_for_itself(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t plain, forced;

    (void)s;
    plain = get(rig, 0, false);
    assert_token(rig, plain, "access-0");
    forced = get(rig, 0, true);
    plain = get(rig, 0, false);
    assert_token(rig, plain, "access-0"); /* while it refreshes, the valid one is handed out */
    assert_null(rig_answer(rig, forced));
    rig->script.auto_life_s = 60;
    rig_run(rig);
    assert_token(rig, forced, "access-1");
    rig_free(rig);
}

static void a_newer_token_is_pushed_and_the_next_one_who_asks_has_it(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, 0, false);
    unsigned before;

    (void)s;
    assert_token(rig, tag, "access-0");
    rig->script.auto_life_s = 60;
    rig_pass(rig, 40000); /* half of its life: the keeper renews what is in use */
    assert_int_equal(rig->script.count, 1);
    before = audited(rig, "to=keeper/");
    tag = get(rig, 0, false);
    assert_token(rig, tag, "access-1");
    assert_int_equal(audited(rig, "to=keeper/"), before); /* the node's name in this runtime */
    rig_free(rig);
}

static void a_profile_nobody_asks_for_is_let_go(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);

    (void)s;
    get(rig, 0, false);
    rig->script.auto_life_s = 60;
    rig_pass(rig, 3600000);
    assert_in_range(rig->script.count, 1, 2);
    rig_free(rig);
}

static void while_the_keeper_is_away_what_is_valid_is_served(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, 0, false), longer;

    (void)s;
    runtime_stop_actor(rig->runtime, runtime_lookup(rig->runtime, "keeper"));
    rig_run(rig);
    tag = get(rig, 0, false);
    assert_token(rig, tag, "access-0");
    longer = get(rig, 3600000, false);
    assert_token(rig, longer, "access-0"); /* better than none */
    rig_pass(rig, 61000);
    tag = get(rig, 0, false);
    assert_null(rig_answer(rig, tag));
    rig_pass(rig, 11000);
    assert_code(rig, tag, "unavailable");
    rig_free(rig);
}

static void who_waits_for_a_keeper_that_comes_back_in_time_is_served(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    struct actor_id proxy = rig->token;
    uint64_t tag;

    (void)s;
    runtime_stop_actor(rig->runtime, runtime_lookup(rig->runtime, "keeper"));
    runtime_stop_actor(rig->runtime, runtime_lookup(rig->runtime, "store"));
    rig_run(rig);
    tag = get(rig, 0, false);
    rig_pass(rig, 3000);
    assert_null(rig_answer(rig, tag));
    rig_start_token(rig);
    rig->token = proxy;
    rig_pass(rig, 1000);
    assert_token(rig, tag, "access-0");
    rig_free(rig);
}

static void an_older_generation_is_never_handed_on(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    struct actor_id proxy = rig->token;
    struct memory_disk *newer = rig->disk;
    uint64_t tag;

    (void)s;
    rig->script.auto_life_s = 60;
    tag = get(rig, 0, true);
    assert_token(rig, tag, "access-1");
    runtime_stop_actor(rig->runtime, runtime_lookup(rig->runtime, "keeper"));
    runtime_stop_actor(rig->runtime, runtime_lookup(rig->runtime, "store"));
    rig_run(rig);
    rig->disk = memory_disk_new(); /* an old backup was put back */
    rig_start_token(rig);
    rig_run(rig);
    rig_import(rig);
    rig->token = proxy;
    rig_pass(rig, 61000);
    tag = get(rig, 0, false);
    assert_code(rig, tag, "copied_store");
    rig_run(rig);
    tag = ask_keeper(rig, actor_pack(token_get, (&(struct token_get){
                                                    .profile = proto_text("lab:me"),
                                                    .force = true})));
    assert_code(rig, tag, "copied_store"); /* and the keeper was told: it spends nothing */
    rig_crash(rig);
    memory_disk_free(newer);
    rig_free(rig);
}

static uint64_t reject(struct rig *rig, const char *token)
{
    uint8_t sha256[32];
    struct secret *access = secret_new(token, strlen(token));

    secret_sha256(access, sha256);
    secret_free(access);
    return rig_ask(rig, token_rejected, .profile = proto_text("lab:me"),
                   .access_sha256 = {(const char *)sha256, 32}, .who = proto_text("axon"));
}

static void a_rejected_token_is_asked_for_anew_by_all(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, 0, false), other;

    (void)s;
    tag = reject(rig, "access-0");
    other = get(rig, 0, false);
    assert_null(rig_answer(rig, tag));
    assert_null(rig_answer(rig, other)); /* not the rejected one out of memory */
    rig->script.auto_life_s = 60;
    rig_run(rig);
    assert_token(rig, tag, "access-1");
    assert_token(rig, other, "access-1");
    assert_int_equal(rig->script.count, 1);
    rig_free(rig);
}

/* Nobody watches once the push came; the lease must learn of the newer one all the same. */
static void the_answer_to_a_rejected_token_is_what_the_next_one_gets(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, 0, false);
    unsigned before;

    (void)s;
    rig->script.auto_life_s = 60;
    tag = reject(rig, "access-0");
    assert_token(rig, tag, "access-1");
    before = audited(rig, "grant profile=lab:me");
    tag = get(rig, 0, false);
    assert_token(rig, tag, "access-1");
    assert_int_equal(audited(rig, "grant profile=lab:me"), before);
    rig_free(rig);
}

static void thirty_rejections_of_one_token_are_one_upstream(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tags[30], plain = get(rig, 0, false);

    (void)s;
    for (int i = 0; i < 30; i++)
        tags[i] = reject(rig, "access-0");
    plain = get(rig, 0, false);
    rig->script.auto_life_s = 60;
    rig_run(rig);
    for (int i = 0; i < 30; i++)
        assert_token(rig, tags[i], "access-1");
    assert_token(rig, plain, "access-1");
    assert_int_equal(rig->script.count, 1);
    assert_in_range(audited(rig, "grant profile=lab:me generation=2"), 1, 2);
    rig_free(rig);
}

static void a_hash_of_another_size_is_refused(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tag = rig_ask(rig, token_rejected, .profile = proto_text("lab:me"),
                           .access_sha256 = {"short", 5});

    (void)s;
    assert_code(rig, tag, "bad_request");
    rig_free(rig);
}

static void a_quota_reaches_all_agents_of_the_node_and_ends_for_all(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, 0, false);

    (void)s;
    tag = rig_ask(rig, quota_hit, .profile = proto_text("lab:me"),
                  .resets_at_ms = rig_wall_ms(&rig->clock.port) + 5000,
                  .reason = proto_text("usage_limit_reached"));
    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    tag = get(rig, 0, false);
    assert_code(rig, tag, "cooling");
    assert_string_equal(rig_answer(rig, tag)->text, "lab:me: the account's quota is used up");
    rig_pass(rig, 5100);
    tag = get(rig, 0, false);
    assert_token(rig, tag, "access-0");
    rig_free(rig);
}

static void refusals_and_status_come_through(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_proxy(&rule, ROTATION_STRICT);
    uint64_t tag = rig_ask(rig, token_get, .profile = proto_text("lab:nobody"));
    size_t parts = 0;

    (void)s;
    assert_code(rig, tag, "unknown_profile");
    tag = rig_send(rig, actor_pack(token_status, (&(struct token_status){{0}})), 8, 60000);
    for (size_t i = 0; i < rig->row_count; i++)
        parts += rig->rows[i].tag == tag && rig->rows[i].part;
    assert_int_equal(parts, 1);
    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    rig_free(rig);
}

static void the_swarm_is_joined_when_the_keeper_is_met(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login_as(&rule, ROTATION_STRICT, "keeper");
    struct actor_id proxy;

    (void)s;
    runtime_stop_actor(rig->runtime, runtime_lookup(rig->runtime, "keeper"));
    runtime_stop_actor(rig->runtime, runtime_lookup(rig->runtime, "store"));
    rig_run(rig);
    start_proxy(rig, (struct proxy_config){.swarm = "five", .config = "good.json", .pid = 7});
    proxy = rig->token;
    rig_pass(rig, 5000);
    rig_start_token(rig);
    rig->token = proxy;
    rig_pass(rig, 2000);
    assert_int_equal(audited(rig, "join swarm=five"), 1);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_valid_token_is_answered_from_memory),
        cmocka_unit_test(sixty_four_waiters_make_one_request_upstream_by_promise_2),
        cmocka_unit_test(a_forced_request_that_meets_a_plain_one_on_its_way_asks_for_itself),
        cmocka_unit_test(a_newer_token_is_pushed_and_the_next_one_who_asks_has_it),
        cmocka_unit_test(a_profile_nobody_asks_for_is_let_go),
        cmocka_unit_test(while_the_keeper_is_away_what_is_valid_is_served),
        cmocka_unit_test(who_waits_for_a_keeper_that_comes_back_in_time_is_served),
        cmocka_unit_test(an_older_generation_is_never_handed_on),
        cmocka_unit_test(a_rejected_token_is_asked_for_anew_by_all),
        cmocka_unit_test(the_answer_to_a_rejected_token_is_what_the_next_one_gets),
        cmocka_unit_test(thirty_rejections_of_one_token_are_one_upstream),
        cmocka_unit_test(a_hash_of_another_size_is_refused),
        cmocka_unit_test(a_quota_reaches_all_agents_of_the_node_and_ends_for_all),
        cmocka_unit_test(refusals_and_status_come_through),
        cmocka_unit_test(the_swarm_is_joined_when_the_keeper_is_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
