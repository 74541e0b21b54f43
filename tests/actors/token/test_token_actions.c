/* SPDX-License-Identifier: Apache-2.0 */
/* What a TokenActor makes of the actions of its step: the times in a grant, timers, the end after a
 * drain, lines of audit. (The last byte of those: test_token_jobs.c.) */
#include "support/token_rig.h"

static int64_t renewed_in_ms(const struct rig *rig, uint64_t tag)
{
    assert_non_null(rig_answer(rig, tag));
    return rig_answer(rig, tag)->renew_at_ms - rig_wall_ms(&rig->clock.port);
}

/* The provider is away: past its time of renewal a token is still handed out, for half of what is
 * left of it, and no more after its end. */
static void what_is_past_its_renewal_is_renewed_at_half_of_what_is_left(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    for (int i = 0; i < 60; i += 5) {
        rig_ask(rig, token_watch, .profile = proto_text("lab:me"));
        uint64_t tag = rig_ask(rig, token_get, .profile = proto_text("lab:me"));
        if (i == 0) /* a little after half of its life */
            assert_in_range(renewed_in_ms(rig, tag), 37500, 40500);
        if (i == 45)
            assert_int_equal(renewed_in_ms(rig, tag), 7500);
        for (size_t j = 0; j < rig->script.count; j++)
            if (!rig->script.calls[j].ended)
                script_end(&rig->script.calls[j], EXCHANGE_NOT_SENT, 0, NULL);
        rig_pass(rig, 5000);
    }
    uint64_t watch = rig_ask(rig, token_watch, .profile = proto_text("lab:me"));
    assert_int_equal(rig_answer(rig, watch)->renew_at_ms, rig_answer(rig, watch)->expires_at_ms);
    assert_string_equal(rig_answer(rig, watch)->text, ""); /* it has ended */
    rig_free(rig);
}

static void nothing_but_a_drain_calls_for_the_end(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    uint64_t tag = rig_ask(rig, quota_hit, .profile = proto_text("lab:me"));
    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    rig_pass(rig, 1000);
    assert_int_equal(rig->drained, 0);
    for (int i = 0; i < 2; i++)
        rig_ask(rig, token_drain, .why = proto_text("down"));
    rig_pass(rig, 1000);
    assert_int_equal(rig->drained, 1);
    rig_free(rig);
}

/* A refresh moves the time of the next one. */
static void a_time_that_is_moved_is_not_kept_beside_the_new_one(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t before;

    (void)s;
    rig_crash(rig);
    rig->config.idle = NULL; /* which would have a time of its own */
    rig_boot(rig);
    rig_ask(rig, token_get, .profile = proto_text("lab:me"));
    rig_pass(rig, 20000);
    rig->script.auto_life_s = 60;
    rig_ask(rig, token_get, .profile = proto_text("lab:me"), .force = true);
    assert_int_equal(rig->script.count, 1);
    before = rig->random.state;
    rig_pass(rig, 15000);
    assert_true(rig->random.state == before); /* of which each turn of the step takes some */
    rig_free(rig);
}

static void more_lines_of_audit_than_there_is_room_for_are_counted(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    char name[PROFILE_ID_MAX];

    (void)s;
    snprintf(name, sizeof(name), "lab:%0120d", 0);
    rig_ask(rig, token_import, .profile = proto_text(name), .provider = proto_text("lab"),
            .mode = proto_text("oauth"), .access = proto_text("a"), .refresh = proto_text("r"),
            .take_over = true);
    for (int i = 0; i < 500; i++) { /* all answered in one turn */
        char who[48];

        snprintf(who, sizeof(who), "%046d", i);
        rig_ask(rig, token_get, .profile = proto_text(name), .force = true,
                .who = proto_text(who));
    }
    rig->row_count = 0;
    rig->script.auto_life_s = 60;
    rig_run(rig);
    assert_int_equal(rig->row_count, 500);
    assert_true(rig_audit_has(rig, "lost lines=")); /* 64 KiB hold fewer */
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_past_its_renewal_is_renewed_at_half_of_what_is_left),
        cmocka_unit_test(nothing_but_a_drain_calls_for_the_end),
        cmocka_unit_test(a_time_that_is_moved_is_not_kept_beside_the_new_one),
        cmocka_unit_test(more_lines_of_audit_than_there_is_room_for_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
