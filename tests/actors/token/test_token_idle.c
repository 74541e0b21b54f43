/* SPDX-License-Identifier: Apache-2.0 */
/* When a keeper may end: a while after the last one asked, and not while anything is under way. */
#include "support/token_rig.h"

static void ask_in_way(struct rig *rig, int way)
{
    struct proto_text me = proto_text("lab:me");
    struct proto_text hash = {"0123456789abcdef0123456789abcdef", 32};

    switch (way) {
    case 0:
        rig_ask(rig, token_get, .profile = me);
        break;
    case 1:
        rig_ask(rig, token_rejected, .profile = me, .access_sha256 = hash);
        break;
    case 2:
        rig_ask(rig, quota_hit, .profile = me);
        break;
    case 3:
        rig_ask(rig, token_watch, .profile = proto_text("nobody"));
        break;
    case 4:
        rig_ask(rig, token_status, .profile = {0});
        break;
    case 5:
        rig_ask(rig, token_import, .profile = {0});
        break;
    case 6:
        rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text("bad.json"));
        break;
    default:
        rig_ask(rig, token_adopt, .profile = me);
    }
}

/* A keeper ends a minute after the last one asked, and looks once a minute. */
static void whoever_asks_puts_off_the_end(void **s)
{
    (void)s;
    for (int way = 0; way < 8; way++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

        rig->script.auto_life_s = 600;
        rig_pass(rig, 30000);
        ask_in_way(rig, way);
        rig_pass(rig, 89000);
        if (rig->idles != 0)
            fail_msg("way %d: it ends too early", way);
        rig_pass(rig, 2000);
        if (rig->idles != 1)
            fail_msg("way %d: it does not end", way);
        rig_free(rig);
    }
}

static void a_keeper_that_nobody_ever_asks_ends_too(void **s)
{
    struct rig *rig = rig_new();

    (void)s;
    rig_boot(rig);
    rig_pass(rig, 59000);
    assert_int_equal(rig->idles, 0);
    rig_pass(rig, 2000);
    assert_int_equal(rig->idles, 1);
    rig_free(rig);
}

static void one_who_watches_no_more_keeps_no_keeper(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    struct token_watch watch = {.profile = proto_text("lab:me")};
    uint64_t tag;

    (void)s;
    rig->script.auto_life_s = 6000; /* nothing is pushed for as long as this test lasts */
    tag = rig_ask(rig, token_get, .profile = watch.profile, .force = true);
    watch.version = rig_answer(rig, tag)->version;
    watch.generation_seen = rig_answer(rig, tag)->generation;
    tag = rig_send(rig, actor_pack(token_watch, &watch), 0, 200000);
    rig_pass(rig, 199000);
    assert_null(rig_answer(rig, tag));
    assert_int_equal(rig->idles, 0);
    rig_pass(rig, 200000);
    assert_int_equal(rig_answer(rig, tag)->status, STATUS_EXPIRED);
    assert_true(rig->idles > 0);
    rig_free(rig);
}

/* With a deadline of a second the exchange alone is left: no swarm, nobody who waits, no job. */
static void a_keeper_lingers_while_an_exchange_is_out_whether_its_asker_waits_or_not(void **s)
{
    static const uint64_t deadlines_ms[] = {1000, 600000};

    (void)s;
    for (int i = 0; i < 2; i++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
        struct token_get message = {.profile = proto_text("lab:me"), .force = true};

        rig_send(rig, actor_pack(token_get, &message), 0, deadlines_ms[i]);
        script_reach_gate(rig_call(rig, 0));
        rig_pass(rig, 200000);
        assert_int_equal(rig->idles, 0);
        script_end(rig_call(rig, 0), EXCHANGE_ANSWERED, 200,
                   "{\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_in\":600}");
        rig_pass(rig, 61000);
        assert_int_equal(rig->idles, 1);
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_asks_puts_off_the_end),
        cmocka_unit_test(a_keeper_that_nobody_ever_asks_ends_too),
        cmocka_unit_test(one_who_watches_no_more_keeps_no_keeper),
        cmocka_unit_test(a_keeper_lingers_while_an_exchange_is_out_whether_its_asker_waits_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
