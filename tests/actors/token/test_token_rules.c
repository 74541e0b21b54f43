/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a TokenActor in words that cannot be meant, swarms and their configs, and what a
 * stored login is pinned to. */
#include "support/token_rig.h"

#include "store/store_place.h"
#include "store_actor.h"
#include "token_internal.h"

#define LONG_NAME                                                                                  \
    "lab:a_name_of_more_than_one_hundred_and_twenty_eight_bytes_which_no_profile_no_model_and_no_" \
    "swarm_can_have_whoever_asks_for_it_here"

static struct rig *plain_rig(struct provider_rule *rule)
{
    return rig_with_login(rule, ROTATION_STRICT);
}

static void what_names_no_profile_is_refused(void **s)
{
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);
    struct proto_text name = proto_text(LONG_NAME);
    struct proto_text hash = {"0123456789abcdef0123456789abcdef", 32};

    (void)s;
    assert_code(rig, rig_ask(rig, token_get, .profile = name), "unknown_profile");
    assert_code(rig, rig_ask(rig, token_watch, .profile = name), "unknown_profile");
    assert_code(rig, rig_ask(rig, token_adopt, .profile = name), "unknown_profile");
    assert_code(rig, rig_ask(rig, quota_hit, .profile = name), "unknown_profile");
    assert_code(rig, rig_ask(rig, quota_hit, .profile = proto_text("lab:me"), .model = name),
                "bad_request");
    assert_code(rig, rig_ask(rig, token_rejected, .profile = name, .access_sha256 = hash),
                "unknown_profile");
    hash.size = 31;
    assert_code(rig,
                rig_ask(rig, token_rejected, .profile = proto_text("lab:me"),
                        .access_sha256 = hash),
                "bad_request");
    rig_free(rig);
}

static uint64_t import_as(struct rig *rig, struct token_import import)
{
    if (import.profile.size == 0)
        import.profile = proto_text("x:1");
    if (import.provider.size == 0)
        import.provider = proto_text("lab");
    if (import.mode.size == 0)
        import.mode = proto_text("oauth");
    if (import.access.size == 0)
        import.access = proto_text("access-1");
    return rig_send(rig, actor_pack(token_import, &import), 0, 60000);
}

static void imports_that_do_not_fit_are_refused(void **s)
{
    static char long_token[TOKEN_MAX + 1];
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);
    struct proto_text too_long = proto_text(LONG_NAME LONG_NAME LONG_NAME);
    struct proto_text token = {long_token, TOKEN_MAX}, nul = {"a\0b", 3};

    (void)s;
    memset(long_token, 'a', TOKEN_MAX);
    const struct token_import imports[] = {
        {.profile = too_long},         {.profile = proto_text("-x")},
        {.profile = proto_text("a,b")}, {.profile = proto_text("a/b")},
        {.profile = proto_text("a\x7f")}, {.profile = proto_text("a\x1f")},
        {.provider = too_long},        {.mode = too_long},
        {.account = too_long},         {.source = too_long},
        {.access = token},             {.refresh = token},
        {.id_token = token},           {.config = nul},
        {.expires_at_ms = -1},         {.refreshed_at_ms = INT64_MIN},
    };
    for (size_t i = 0; i < sizeof(imports) / sizeof(*imports); i++) {
        const struct answer_row *row = rig_answer(rig, import_as(rig, imports[i]));

        if (row == NULL || strcmp(row->code, "bad_request") != 0)
            fail_msg("import %zu: %s", i, row != NULL ? row->code : "no answer");
    }
    rig_free(rig);
}

static void what_may_be_missing_of_an_import_may_be_missing(void **s)
{
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);
    struct token_import refresh_only = {.profile = proto_text("x:2"),
                                        .provider = proto_text("lab"),
                                        .mode = proto_text("oauth"),
                                        .refresh = proto_text("refresh-2"), .take_over = true,
                                        .refreshed_at_ms = 1700000000000};
    uint64_t tag = rig_send(rig, actor_pack(token_import, &refresh_only), 0, 60000);

    (void)s;
    assert_string_equal(rig_answer(rig, tag)->outcome, "stored");
    refresh_only.profile = proto_text("x:3"); /* nothing at all */
    refresh_only.refresh = (struct proto_text){0};
    tag = rig_send(rig, actor_pack(token_import, &refresh_only), 0, 60000);
    assert_code(rig, tag, "bad_request");
    refresh_only.take_over = false;
    refresh_only.refresh = proto_text("refresh-3");
    tag = rig_send(rig, actor_pack(token_import, &refresh_only), 0, 60000);
    assert_code(rig, tag, "bad_request"); /* it would serve nobody */
    tag = import_as(rig, (struct token_import){.mode = proto_text("api_key"), .take_over = true});
    assert_string_equal(rig_answer(rig, tag)->outcome, "stored"); /* a key has nothing to take */
    rig_free(rig);
}

/* {"exp":1900000000} */
#define ENDS(signature) "e30.eyJleHAiOjE5MDAwMDAwMDB9." signature
#define ENDS_MS 1900000000000

static void an_import_is_kept_as_it_came(void **s)
{
    static const struct {
        const char *mode, *access, *refresh;
        bool take_over;
        int64_t expires_at_ms, refreshed_at_ms;
        const char *mode_kept, *refresh_kept;
        int64_t expires_kept_ms, obtained_kept_ms; /* 0: now */
    } rows[] = {
        {"oauth", ENDS("1"), "r1", true, 0, 0, "oauth", "r1", ENDS_MS, 0},
        {"oauth", ENDS("2"), "r2", true, 1, 1, "oauth", "r2", 1, 1},
        {"oauth", ENDS("3"), "r3", false, 0, 5, "access_only", "", ENDS_MS, 5},
        {"oauth", "opaque", "", false, 7, 0, "access_only", "", 7, 0},
        {"api_key", ENDS("4"), "r4", true, 0, 0, "api_key", "", 0, 0},
        {"api_key", "key", "", false, 9, 9, "api_key", "", 9, 9},
    };

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct provider_rule rule;
        struct rig *rig = plain_rig(&rule);
        int64_t now_ms = rig_wall_ms(&rig->clock.port);
        struct credential kept;
        struct store_port *store;
        uint64_t tag = rig_ask(rig, token_import, .profile = proto_text("x:1"),
                               .provider = proto_text("lab"), .mode = proto_text(rows[i].mode),
                               .access = proto_text(rows[i].access),
                               .refresh = proto_text(rows[i].refresh),
                               .take_over = rows[i].take_over,
                               .expires_at_ms = rows[i].expires_at_ms,
                               .refreshed_at_ms = rows[i].refreshed_at_ms);

        assert_string_equal(rig_answer(rig, tag)->outcome, "stored");
        rig_crash(rig);
        store = store_memory_new(rig->disk);
        assert_true(store->open(store) >= 0);
        assert_int_equal(store->look(store, "x:1", &kept), 0);
        store->close(store);
        assert_string_equal(kept.mode, rows[i].mode_kept);
        assert_string_equal(secret_data(kept.access), rows[i].access);
        assert_string_equal(kept.refresh != NULL ? secret_data(kept.refresh) : "",
                            rows[i].refresh_kept);
        assert_true(kept.expires_at_ms == rows[i].expires_kept_ms);
        assert_true(kept.obtained_at_ms ==
                    (rows[i].obtained_kept_ms != 0 ? rows[i].obtained_kept_ms : now_ms));
        assert_true(kept.generation == 1);
        credential_deinit(&kept);
        rig_free(rig);
    }
}

/* {"account":"acct-7"} */
#define JWT "e30.eyJhY2NvdW50IjoiYWNjdC03In0.sig"

static void the_account_is_read_from_whichever_token_has_it(void **s)
{
    const struct token_import imports[] = {
        {.profile = proto_text("a:1"), .access = proto_text(JWT)},
        {.profile = proto_text("a:2"), .id_token = proto_text(JWT)},
        {.profile = proto_text("a:3"), .id_token = proto_text(JWT), .account = proto_text("own")},
        {.profile = proto_text("a:4")},
    };
    static const char *const accounts[] = {"acct-7", "acct-7", "own", ""};
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);

    (void)s;
    snprintf(rule.account_claim, sizeof(rule.account_claim), "/account");
    rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("good.json"));
    for (size_t i = 0; i < 4; i++) {
        uint64_t tag = import_as(rig, imports[i]);

        assert_string_equal(rig_answer(rig, tag)->outcome, "stored");
        tag = rig_ask(rig, token_get, .profile = imports[i].profile);
        assert_string_equal(rig_answer(rig, tag)->account, accounts[i]);
    }
    rig_free(rig);
}

static void swarms_are_told_apart_and_counted(void **s)
{
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);
    uint64_t tag = 0;
    char name[32];

    (void)s;
    assert_code(rig, rig_ask(rig, swarm_join, .swarm = proto_text(LONG_NAME)), "bad_request");
    assert_code(rig,
                rig_ask(rig, swarm_join, .swarm = proto_text("five"),
                        .config = (struct proto_text){"a\0b", 3}),
                "bad_request");
    for (int i = 0; i < 2 * TOKEN_SWARMS_MAX; i++) { /* each twice: one place */
        snprintf(name, sizeof(name), "swarm-%d", i / 2);
        tag = rig_ask(rig, swarm_join, .swarm = proto_text(name));
        assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    }
    tag = rig_ask(rig, swarm_join, .swarm = proto_text("one more"));
    assert_code(rig, tag, "busy");
    runtime_stop_actor(rig->runtime, rig->asker);
    rig_pass(rig, 200000);
    assert_true(rig->idles > 0); /* all of them have left */
    rig_free(rig);
}

static size_t count_audit(const struct rig *rig, const char *words)
{
    size_t count = 0;

    for (size_t i = 0; memory_disk_audit(rig->disk, i) != NULL; i++)
        count += strstr(memory_disk_audit(rig->disk, i), words) != NULL;
    return count;
}

/* From now on this one asks; whoever asked before can still be stopped. */
static struct actor_id another_asker(struct rig *rig)
{
    struct actor_id before = rig->asker;
    struct asker config = {rig->rows, &rig->row_count};
    char name[32];
    struct spawn_options options = {.name = name}; /* or a monitor finds it over no link */

    snprintf(name, sizeof(name), "asker-%u", (unsigned)rig->tag);
    assert_int_equal(runtime_spawn(rig->runtime, &asker_ops, &config, &options, &rig->asker), 0);
    rig_run(rig);
    return before;
}

static void join(struct rig *rig, const char *swarm)
{
    uint64_t tag = rig_ask(rig, swarm_join, .swarm = proto_text(swarm));

    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
}

static void swarms_of_one_name_and_of_two_askers_are_two(void **s)
{
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);
    struct actor_id first;

    (void)s;
    join(rig, "five");
    first = another_asker(rig);
    join(rig, "five");
    runtime_stop_actor(rig->runtime, first);
    rig_pass(rig, 200000);
    assert_int_equal(count_audit(rig, "leave swarm=five peer="), 1);
    assert_int_equal(rig->idles, 0);
    runtime_stop_actor(rig->runtime, rig->asker);
    rig_pass(rig, 61000);
    assert_int_equal(count_audit(rig, "leave swarm=five peer="), 2);
    assert_int_equal(rig->idles, 1);
    rig_free(rig);
}

/* The keeper is asked as by the node "north". */
static void a_swarm_of_a_node_is_one_whoever_joins_it_and_leaves_with_the_link(void **s)
{
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);
    struct mirror mirror;
    unsigned peer = runtime_peer(rig->runtime, "north");
    struct actor_id first;

    (void)s;
    mirror_init(&mirror, rig->runtime);
    rig->token = runtime_remote(rig->runtime, "north", "token");
    for (size_t i = 1; i <= 2; i++) {
        runtime_link_up(rig->runtime, peer, PEER_NODE);
        join(rig, "five");
        first = another_asker(rig);
        join(rig, "five"); /* before the end of the one before is heard of */
        runtime_stop_actor(rig->runtime, first);
        rig_pass(rig, 200000);
        assert_int_equal(rig->idles, i - 1);
        assert_int_equal(count_audit(rig, "join swarm=five peer=north"), 2 * i);
        assert_int_equal(count_audit(rig, "leave swarm=five peer=north"), i - 1);
        runtime_link_down(rig->runtime, peer);
        rig_pass(rig, 61000);
        assert_int_equal(rig->idles, i);
        assert_int_equal(count_audit(rig, "leave swarm=five peer=north"), i);
    }
    runtime_transport_set(rig->runtime, NULL);
    rig_free(rig);
}

/* ---- configs -------------------------------------------------------------------------------- */

static int many_rules(void *arg, const char *path, token_rule_sink sink_rule, void *sink,
                      char *ret_why, size_t why_size)
{
    struct provider_rule rule = {.rotation = ROTATION_STRICT};
    char url[1200];
    const char *const urls[] = {NULL, "no url", "https://api.example.test/v1", url};

    (void)arg;
    (void)ret_why;
    (void)why_size;
    memset(url, 'a', sizeof(url) - 1);
    memcpy(url, "https://", 8);
    url[sizeof(url) - 1] = '\0';
    if (strcmp(path, "without a word") == 0)
        return -EIO;
    for (int i = 0; i < (strcmp(path, "too many") == 0 ? STORE_RULES_MAX + 1 : 4); i++) {
        snprintf(rule.id, sizeof(rule.id), "provider-%d", i);
        sink_rule(sink, &rule, urls[i % 4]);
    }
    return 0;
}

static void a_config_is_taken_whole_or_refused(void **s)
{
    struct rig *rig = rig_new();
    uint64_t tag;

    (void)s;
    rig->config.load_rules = many_rules;
    rig_boot(rig);
    tag = rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("a.json"));
    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    tag = rig_ask(rig, swarm_join, .swarm = proto_text("six"), .config = proto_text("too many"));
    assert_code(rig, tag, "bad_config");
    assert_non_null(strstr(rig_answer(rig, tag)->text, "no room"));
    tag = rig_ask(rig, swarm_join, .swarm = proto_text("six"),
                  .config = proto_text("without a word"));
    assert_code(rig, tag, "bad_config");
    assert_true(rig_answer(rig, tag)->text[0] != '\0');
    rig_free(rig);
}

static void without_a_reader_of_configs_the_built_in_rules_hold(void **s)
{
    struct rig *rig = rig_new();
    uint64_t tag;

    (void)s;
    rig->config.load_rules = NULL;
    rig_boot(rig);
    tag = rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("a.json"));
    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    tag = import_as(rig, (struct token_import){.provider = proto_text("chatgpt"),
                                               .refresh = proto_text("r"), .take_over = true});
    assert_string_equal(rig_answer(rig, tag)->outcome, "stored");
    rig_free(rig);
}

static void a_login_is_pinned_to_the_client_too(void **s)
{
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);

    (void)s;
    snprintf(rule.client_id, sizeof(rule.client_id), "another");
    rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("good.json"));
    assert_non_null(strstr(rig->alarm, "pinned"));
    rig->alarm[0] = '\0';
    rig_ask(rig, swarm_join, .swarm = proto_text("six"), .config = proto_text("good.json"));
    assert_string_equal(rig->alarm, ""); /* it was said, and nothing is new */
    rule.token_url[0] = '\0'; /* it would be discovered */
    rig_ask(rig, swarm_join, .swarm = proto_text("six"), .config = proto_text("good.json"));
    assert_non_null(strstr(rig->alarm, "pinned"));
    rig_free(rig);
}

/* A key of a provider that has no token endpoint, or that nobody knows, is served after a restart;
 * and a config that then has a rule for it changes nothing for it. */
static void keys_need_no_rule(void **s)
{
    static const char *const providers[] = {"openai", "nowhere"};
    struct provider_rule rule;
    struct rig *rig = plain_rig(&rule);

    (void)s;
    for (int i = 0; i < 2; i++)
        import_as(rig, (struct token_import){.profile = proto_text(i == 0 ? "k:0" : "k:1"),
                                             .provider = proto_text(providers[i]),
                                             .mode = proto_text("api_key")});
    rig_crash(rig);
    rig_boot(rig);
    snprintf(rule.id, sizeof(rule.id), "nowhere");
    snprintf(rule.token_url, sizeof(rule.token_url), "https://elsewhere.example.test/token");
    rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("good.json"));
    assert_token(rig, rig_ask(rig, token_get, .profile = proto_text("k:0")), "access-1");
    assert_token(rig, rig_ask(rig, token_get, .profile = proto_text("k:1")), "access-1");
    assert_string_equal(rig->alarm, "");
    rig_free(rig);
}

static void a_stored_rule_that_is_not_understood_is_told(void **s)
{
    struct rig *rig = rig_new();
    struct store_port *store = store_memory_new(rig->disk);
    struct credential credential = store_credential(1);

    (void)s;
    credential.rule = strdup("{\"tokenUrl\":7}");
    credential_set(&credential.refresh, NULL); /* whose refresh would be another alarm */
    assert_true(store->open(store) >= 0);
    assert_int_equal(store->write_record(store, &credential), 0);
    store->close(store);
    credential_deinit(&credential);
    rig_boot(rig);
    assert_non_null(strstr(rig->alarm, "lab:me: its stored provider rule is not understood: "));
    assert_true(strlen(rig->alarm) > 52);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_names_no_profile_is_refused),
        cmocka_unit_test(imports_that_do_not_fit_are_refused),
        cmocka_unit_test(what_may_be_missing_of_an_import_may_be_missing),
        cmocka_unit_test(an_import_is_kept_as_it_came),
        cmocka_unit_test(the_account_is_read_from_whichever_token_has_it),
        cmocka_unit_test(swarms_are_told_apart_and_counted),
        cmocka_unit_test(swarms_of_one_name_and_of_two_askers_are_two),
        cmocka_unit_test(a_swarm_of_a_node_is_one_whoever_joins_it_and_leaves_with_the_link),
        cmocka_unit_test(a_config_is_taken_whole_or_refused),
        cmocka_unit_test(without_a_reader_of_configs_the_built_in_rules_hold),
        cmocka_unit_test(a_login_is_pinned_to_the_client_too),
        cmocka_unit_test(keys_need_no_rule),
        cmocka_unit_test(a_stored_rule_that_is_not_understood_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
