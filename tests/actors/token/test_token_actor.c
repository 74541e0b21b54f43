/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor as others meet it: messages in, messages out, a store and an exchange behind. */
#include "support/token_rig.h"

#include <unistd.h>

static uint64_t get(struct rig *rig, bool force)
{
    return rig_ask(rig, token_get, .profile = proto_text("lab:me"), .who = proto_text("atlas"),
                   .force = force);
}

static void an_imported_login_is_served_and_refreshed_over_its_whole_way(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t plain = get(rig, false), forced;

    (void)s;
    assert_token(rig, plain, "access-0");
    forced = get(rig, true);
    assert_null(rig_answer(rig, forced));
    assert_string_equal(rig_call(rig, 0)->refresh, "refresh-0");
    script_reach_gate(rig_call(rig, 0));
    rig_run(rig);
    assert_true(rig_call(rig, 0)->open);
    script_end(rig_call(rig, 0), EXCHANGE_ANSWERED, 200,
               "{\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_in\":60}");
    rig_run(rig);
    assert_token(rig, forced, "a1");
    assert_int_equal(rig_answer(rig, forced)->generation, 2);
    rig_free(rig);
}

static void sixty_four_agents_at_one_expiry_make_one_exchange_by_promise_2(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tags[64];

    (void)s;
    rig_pass(rig, 61000);
    for (int i = 0; i < 64; i++)
        tags[i] = get(rig, false);
    rig->script.auto_life_s = 60;
    rig_run(rig);
    for (int i = 0; i < 64; i++)
        assert_token(rig, tags[i], "access-1");
    assert_int_equal(rig->script.count, 1);
    rig_free(rig);
}

static void hours_of_use_spend_each_generation_once(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    rig->script.auto_life_s = 20;
    for (int i = 0; i < 120; i++) {
        uint64_t tag = get(rig, false);

        assert_non_null(rig_answer(rig, tag));
        assert_int_equal(rig_answer(rig, tag)->type, MSG_token_grant);
        rig_pass(rig, 2000);
    }
    assert_in_range(rig->script.count, 15, 30);
    for (size_t i = 0; i < rig->script.count; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rig->script.calls[i].refresh, rig->script.calls[j].refresh);
    rig_free(rig);
}

static void crash_at(struct rig *rig, int point)
{
    get(rig, true);
    if (point >= 1) {
        script_reach_gate(rig_call(rig, 0));
        rig_run(rig);
    }
    rig_crash(rig);
}

static void a_crash_before_the_gate_spends_nothing(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag;

    (void)s;
    crash_at(rig, 0);
    rig->script.auto_life_s = 60;
    rig_boot(rig);
    tag = get(rig, true);
    assert_token(rig, tag, "access-1");
    rig_free(rig);
}

static void a_crash_after_the_gate_is_found_again_and_the_rule_decides(void **s)
{
    static const enum rotation rules[] = {ROTATION_STRICT, ROTATION_NONE, ROTATION_GRACE,
                                          ROTATION_TWO_PHASE};

    (void)s;
    for (int i = 0; i < 4; i++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, rules[i]);
        bool at_once = rules[i] == ROTATION_NONE || rules[i] == ROTATION_GRACE;
        uint64_t tag;

        crash_at(rig, 1);
        rig->script.auto_life_s = 60;
        rig_boot(rig);
        assert_int_equal(rig->script.count, at_once);
        tag = get(rig, false);
        assert_token(rig, tag, at_once ? "access-1" : "access-0");
        rig_pass(rig, 125000); /* strict: when the access token has ended and the drain is over */
        tag = get(rig, false);
        assert_int_equal(rig_answer(rig, tag)->type, MSG_token_grant);
        assert_string_equal(rig_call(rig, 0)->refresh, "refresh-0");
        rig_free(rig);
    }
}

static void a_disk_that_fails_at_the_record_keeps_the_token_in_use_by_promise_5(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, true), later;

    (void)s;
    script_reach_gate(rig_call(rig, 0));
    rig_run(rig);
    memory_disk_fail(rig->disk, 2, ENOSPC, true); /* the answer is sealed, the record is not */
    script_end(rig_call(rig, 0), EXCHANGE_ANSWERED, 200,
               "{\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_in\":600}");
    rig_run(rig);
    assert_token(rig, tag, "a1");
    rig_pass(rig, 60000);
    assert_true(rig->alarms > 0);
    later = get(rig, true);
    assert_code(rig, later, "unavailable");
    rig_crash(rig); /* with the answer sealed, even now nothing is lost */
    memory_disk_fail(rig->disk, 0, 0, false);
    rig_boot(rig);
    rig->script.auto_life_s = 600;
    later = get(rig, false);
    assert_token(rig, later, "a1");
    rig_pass(rig, 6000);
    get(rig, true);
    assert_string_equal(rig_call(rig, 0)->refresh, "r1");
    rig_free(rig);
}

static void a_late_answer_of_a_gone_asker_still_counts_by_promise_4(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag, plain;

    (void)s;
    tag = rig_send(rig, actor_pack(token_get, (&(struct token_get){
                                                  .profile = proto_text("lab:me"),
                                                  .force = true})), 0, 1000);
    script_reach_gate(rig_call(rig, 0));
    rig_run(rig);
    rig_pass(rig, 2000);
    assert_int_equal(rig_answer(rig, tag)->status, STATUS_EXPIRED);
    script_end(rig_call(rig, 0), EXCHANGE_ANSWERED, 200,
               "{\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_in\":60}");
    rig_run(rig);
    plain = get(rig, false);
    assert_token(rig, plain, "a1");
    rig_free(rig);
}

static void an_exchange_that_cannot_start_is_not_sent(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag;

    (void)s;
    rig->script.fail_start = -EMFILE;
    tag = get(rig, true);
    assert_null(rig_answer(rig, tag));
    rig->script.fail_start = 0;
    rig->script.auto_life_s = 60;
    rig_pass(rig, 3000);
    assert_token(rig, tag, "access-1");
    rig_free(rig);
}

static void status_streams_one_profile_a_part_under_credit(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag;
    size_t parts = 0;

    (void)s;
    for (int i = 0; i < 5; i++) {
        char name[16];

        snprintf(name, sizeof(name), "key:%d", i);
        rig_ask(rig, token_import, .profile = proto_text(name), .provider = proto_text("openai"),
                .mode = proto_text("api_key"), .access = proto_text(name));
    }
    tag = rig_send(rig, actor_pack(token_status, (&(struct token_status){{0}})), 16, 60000);
    for (size_t i = 0; i < rig->row_count; i++)
        parts += rig->rows[i].tag == tag && rig->rows[i].part;
    assert_int_equal(parts, 6);
    assert_int_equal(rig_answer(rig, tag)->count, 6);
    rig_free(rig);
}

static void a_swarm_joins_with_its_rules_and_keeps_the_keeper_alive(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t good, bad;

    (void)s;
    bad = rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("bad.json"));
    assert_code(rig, bad, "bad_config");
    rig_pass(rig, 61000);
    assert_int_equal(rig->idles, 1); /* nobody there: it may end */
    good = rig_ask(rig, swarm_join, .swarm = proto_text("five"),
                   .config = proto_text("good.json"));
    assert_int_equal(rig_answer(rig, good)->type, MSG_done);
    rig_pass(rig, 600000);
    assert_int_equal(rig->idles, 1);
    runtime_stop_actor(rig->runtime, rig->asker); /* the swarm has left */
    rig_pass(rig, 61000);
    assert_int_equal(rig->idles, 2);
    rig_free(rig);
}

static void a_config_may_change_how_a_token_is_sent_but_not_where_to(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    rule.encoding = ENCODING_JSON;
    rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("good.json"));
    get(rig, true);
    assert_int_equal(rig_call(rig, 0)->rule.encoding, ENCODING_JSON);
    script_end(rig_call(rig, 0), EXCHANGE_NOT_SENT, 0, NULL);
    rig_run(rig);
    snprintf(rule.token_url, sizeof(rule.token_url), "https://elsewhere.example.test/token");
    rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("good.json"));
    assert_non_null(strstr(rig->alarm, "pinned"));
    rig_pass(rig, 5000);
    assert_string_equal(rig_call(rig, 1)->rule.token_url, "https://login.example.test/token");
    rig_free(rig);
}

static void a_drain_finishes_what_was_sent_then_calls_for_the_end_by_promise_4(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, true), drained;

    (void)s;
    script_reach_gate(rig_call(rig, 0));
    rig_run(rig);
    drained = rig_ask(rig, token_drain, .why = proto_text("down"));
    rig_pass(rig, 30000);
    assert_null(rig_answer(rig, drained));
    script_end(rig_call(rig, 0), EXCHANGE_ANSWERED, 200,
               "{\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_in\":60}");
    rig_run(rig);
    assert_token(rig, tag, "a1");
    assert_int_equal(rig_answer(rig, drained)->type, MSG_done);
    rig_pass(rig, 200);
    assert_int_equal(rig->drained, 1);
    rig_free(rig);
}

static void an_adoption_while_a_drain_waits_ends_nothing(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t drained, adopted;

    (void)s;
    get(rig, true);
    script_reach_gate(rig_call(rig, 0));
    rig_run(rig);
    drained = rig_ask(rig, token_drain, .why = proto_text("down"));
    adopted = rig_ask(rig, token_adopt, .profile = {0});
    assert_int_equal(rig_answer(rig, adopted)->type, MSG_done);
    rig_pass(rig, 1000);
    assert_null(rig_answer(rig, drained));
    assert_int_equal(rig->drained, 0);
    script_end(rig_call(rig, 0), EXCHANGE_ANSWERED, 200,
               "{\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_in\":60}");
    rig_pass(rig, 1000);
    assert_int_equal(rig_answer(rig, drained)->type, MSG_done);
    assert_int_equal(rig->drained, 1);
    rig_free(rig);
}

static void clones_of_one_login_become_aliases_and_reach_no_provider(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag;

    (void)s;
    tag = rig_ask(rig, token_import, .profile = proto_text("lab:clone"),
                  .provider = proto_text("lab"), .mode = proto_text("oauth"),
                  .access = proto_text("access-0"), .refresh = proto_text("refresh-0"),
                  .take_over = true);
    assert_string_equal(rig_answer(rig, tag)->outcome, "alias");
    assert_string_equal(rig_answer(rig, tag)->text, "lab:me");
    rig->script.auto_life_s = 60;
    get(rig, true);
    tag = rig_ask(rig, token_import, .profile = proto_text("lab:old"),
                  .provider = proto_text("lab"), .mode = proto_text("oauth"),
                  .access = proto_text("access-0"), .refresh = proto_text("refresh-0"));
    assert_code(rig, tag, "stale_copy");
    rig_crash(rig); /* the family is remembered over a restart */
    rig_boot(rig);
    tag = rig_ask(rig, token_import, .profile = proto_text("lab:old"),
                  .provider = proto_text("lab"), .mode = proto_text("oauth"),
                  .access = proto_text("access-0"), .refresh = proto_text("refresh-0"),
                  .take_over = true, .config = proto_text("good.json"));
    assert_code(rig, tag, "stale_copy");
    tag = rig_ask(rig, token_get, .profile = proto_text("lab:clone"));
    assert_token(rig, tag, "access-1");
    rig_free(rig);
}

static void bad_imports_are_named(void **s)
{
    static const struct {
        const char *profile, *mode, *access, *refresh, *code;
    } rows[] = {{"", "oauth", "a", "r", "bad_request"},
                {"a b", "oauth", "a", "r", "bad_request"},
                {"x:1", "magic", "a", "r", "bad_request"},
                {"x:1", "oauth", "a", "", "bad_request"},
                {"x:1", "api_key", "", "", "bad_request"},
                {"x:1", "oauth", "a", "r", "not_configured"}};
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t tag = rig_ask(rig, token_import, .profile = proto_text(rows[i].profile),
                               .provider = proto_text("nowhere"),
                               .mode = proto_text(rows[i].mode),
                               .access = proto_text(rows[i].access),
                               .refresh = proto_text(rows[i].refresh), .take_over = true);

        assert_code(rig, tag, rows[i].code);
    }
    rig_free(rig);
}

static void a_copied_store_is_spent_only_after_adoption(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag;

    (void)s;
    rig->script.auto_life_s = 60;
    rig_boot_copied(rig);
    tag = get(rig, true);
    assert_code(rig, tag, "copied_store");
    tag = rig_ask(rig, token_adopt, .profile = {0});
    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    tag = get(rig, true);
    assert_token(rig, tag, "access-1");
    rig_free(rig);
}

static void every_grant_spend_and_save_leaves_a_line_of_audit_without_secrets(void **s)
{
    static const char *const words[] = {"import profile=lab:me", "grant profile=lab:me",
                                        "spend profile=lab:me", "save profile=lab:me"};
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    unsigned seen[4] = {0};

    (void)s;
    rig->script.auto_life_s = 60;
    rig_ask(rig, token_get, .profile = proto_text("lab:me"), .who = proto_text("a\nb"),
            .force = true);
    for (size_t i = 0; memory_disk_audit(rig->disk, i) != NULL; i++) {
        const char *line = memory_disk_audit(rig->disk, i);

        assert_null(strchr(line, '\n'));
        assert_null(strstr(line, "access-"));
        assert_null(strstr(line, "refresh-"));
        for (size_t j = 0; j < 4; j++)
            seen[j] += strstr(line, words[j]) != NULL;
    }
    for (size_t j = 0; j < 4; j++)
        assert_true(seen[j] > 0);
    rig_free(rig);
}

/* A blank would part it in two; a name that is too long is cut. */
static void a_name_is_one_word_of_the_audit(void **s)
{
    static const struct {
        const char *who, *words;
    } rows[] = {
        {"", " to="},
        {"x", " to=x"},
        {"at las\tand\x1fnova", " to=at_las_and_nova"},
        {"a_name_of_forty_seven_letters_is_the_longest_one", /* and this has 48 */
         " to=a_name_of_forty_seven_letters_is_the_longest_on"},
    };
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    size_t seen = 0;

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *line = NULL;

        rig_ask(rig, token_get, .profile = proto_text("lab:me"), .who = proto_text(rows[i].who));
        for (; memory_disk_audit(rig->disk, seen) != NULL; seen++)
            line = memory_disk_audit(rig->disk, seen);
        assert_non_null(line);
        assert_string_equal(strstr(line, " to="), rows[i].words);
    }
    rig_ask(rig, token_drain, .why = proto_text("going home"));
    assert_true(rig_audit_has(rig, "drain why=going_home"));
    rig_free(rig);
}

static void keep_nonce(void *nonce, struct stored *stored)
{
    assert_true(stored->has_intent);
    memcpy(nonce, stored->intent.nonce, 16);
    stored_deinit(stored);
}

static void each_intent_on_disk_has_a_nonce_of_its_own(void **s)
{
    static const uint8_t none[16];
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_NONE);
    uint8_t nonces[2][16];

    (void)s;
    crash_at(rig, 1);
    for (int i = 0; i < 2; i++) {
        struct store_port *store = store_memory_new(rig->disk);

        assert_true(store->open(store) >= 0);
        assert_int_equal(store->load(store, nonces[i], keep_nonce, NULL), 0);
        store->close(store);
        assert_memory_not_equal(nonces[i], none, 16);
        rig_boot(rig); /* which sends it again */
        script_reach_gate(rig_call(rig, 0));
        rig_run(rig);
        rig_crash(rig);
    }
    assert_memory_not_equal(nonces[0], nonces[1], 16);
    rig_free(rig);
}

static void the_boot_id_is_the_kernels(void **s)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    char text[64] = "", shown[40];
    uint8_t id[16];
    int next;

    (void)s;
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    next = dup(0);
    close(next);
    token_boot_id(id);
    assert_int_equal(dup(0), next); /* nothing was left open */
    close(next);
    snprintf(shown, sizeof(shown),
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1],
             id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13],
             id[14], id[15]);
    assert_memory_equal(shown, text, 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_imported_login_is_served_and_refreshed_over_its_whole_way),
        cmocka_unit_test(sixty_four_agents_at_one_expiry_make_one_exchange_by_promise_2),
        cmocka_unit_test(hours_of_use_spend_each_generation_once),
        cmocka_unit_test(a_crash_before_the_gate_spends_nothing),
        cmocka_unit_test(a_crash_after_the_gate_is_found_again_and_the_rule_decides),
        cmocka_unit_test(a_disk_that_fails_at_the_record_keeps_the_token_in_use_by_promise_5),
        cmocka_unit_test(a_late_answer_of_a_gone_asker_still_counts_by_promise_4),
        cmocka_unit_test(an_exchange_that_cannot_start_is_not_sent),
        cmocka_unit_test(status_streams_one_profile_a_part_under_credit),
        cmocka_unit_test(a_swarm_joins_with_its_rules_and_keeps_the_keeper_alive),
        cmocka_unit_test(a_config_may_change_how_a_token_is_sent_but_not_where_to),
        cmocka_unit_test(a_drain_finishes_what_was_sent_then_calls_for_the_end_by_promise_4),
        cmocka_unit_test(an_adoption_while_a_drain_waits_ends_nothing),
        cmocka_unit_test(clones_of_one_login_become_aliases_and_reach_no_provider),
        cmocka_unit_test(bad_imports_are_named),
        cmocka_unit_test(a_copied_store_is_spent_only_after_adoption),
        cmocka_unit_test(every_grant_spend_and_save_leaves_a_line_of_audit_without_secrets),
        cmocka_unit_test(a_name_is_one_word_of_the_audit),
        cmocka_unit_test(the_boot_id_is_the_kernels),
        cmocka_unit_test(each_intent_on_disk_has_a_nonce_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
