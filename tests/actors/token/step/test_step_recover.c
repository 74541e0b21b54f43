/* SPDX-License-Identifier: Apache-2.0 */
/* Starts after a crash: from what was found on disk alone. */
#include "step_fixture.h"

#include <errno.h>

static struct bench *restart(enum rotation rotation, uint64_t ago_ms)
{
    struct bench *bench = bench_new(rotation);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    stored.intent = bench_intent(bench, ago_ms, 1);
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    return bench;
}

static void a_complete_answer_found_is_parsed_and_finished_without_asking_again(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true, .has_answer = true};
    uint64_t waiter;

    (void)s;
    stored.intent = bench_intent(bench, 1000, 1);
    stored.answer = (struct answer){.generation = 1, .attempt = 1, .complete = true,
                                    .http_status = 200, .body = secret_new("{}", 2)};
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_int_equal(bench_count(bench, ACTION_PARSE), 1);
    assert_non_null(bench_profile(bench, "lab:me")->answer.body);
    waiter = bench_ask(bench, "lab:me", 0, true);
    bench_parsed(bench, "lab:me", OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    assert_granted(bench, waiter, 2);
    assert_int_equal(bench->spends, 0);
    bench_free(bench);
}

static void a_found_answer_that_says_nothing_leaves_it_uncertain(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true, .has_answer = true};

    (void)s;
    stored.intent = bench_intent(bench, 1000, 2);
    stored.answer = (struct answer){.generation = 1, .attempt = 1, .complete = true,
                                    .http_status = 429, .body = secret_new("{}", 2)};
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    /* It is of attempt 1, and says that this one spent nothing; attempt 2 is another matter. */
    bench_parsed(bench, "lab:me", OUTCOME_NOT_SPENT, "429");
    assert_state(bench, "lab:me", "uncertain");
    assert_int_equal(bench_profile(bench, "lab:me")->intent.attempt, 2);
    bench_free(bench);
}

static void an_intent_alone_is_sent_again_at_once_where_the_rule_allows_it(void **s)
{
    (void)s;
    for (int rotation = ROTATION_NONE; rotation <= ROTATION_GRACE; rotation++) {
        struct bench *bench = restart((enum rotation)rotation, 2000);

        assert_int_equal(bench_profile(bench, "lab:me")->phase, PHASE_RESERVE);
        assert_int_equal(bench_last(bench, ACTION_RESERVE)->attempt, 2);
        bench_refresh(bench, "lab:me");
        assert_state(bench, "lab:me", "valid");
        bench_free(bench);
    }
}

static void an_intent_alone_of_a_strict_provider_waits_while_the_access_token_serves(void **s)
{
    struct bench *bench = restart(ROTATION_STRICT, 2000);
    uint64_t waiter = bench_ask(bench, "lab:me", 0, false);

    (void)s;
    assert_state(bench, "lab:me", "uncertain");
    assert_granted(bench, waiter, 1);
    bench_pass(bench, BENCH_LIFE_MS - 60000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_pass(bench, 60000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void outside_the_grace_window_an_intent_alone_is_not_sent_again(void **s)
{
    struct bench *bench = restart(ROTATION_GRACE, 29000);

    (void)s;
    assert_state(bench, "lab:me", "uncertain");
    bench_free(bench);
}

static void after_a_reboot_the_grace_window_is_judged_by_the_wall_clock_alone(void **s)
{
    static const struct {
        int64_t ago_ms;
        bool inside;
    } rows[] = {{5000, true}, {29000, false}, {-5000, false}};

    (void)s;
    for (size_t i = 0; i < 3; i++) {
        struct bench *bench = bench_new(ROTATION_GRACE);
        struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                                .has_intent = true};

        stored.intent = bench_intent(bench, 0, 1);
        stored.intent.first_wall_ms = stored.intent.wall_ms = bench->wall_ms - rows[i].ago_ms;
        memset(stored.intent.boot_id, 9, 16);
        memset(stored.intent.first_boot_id, 9, 16);
        bench_load_stored(bench, &stored);
        bench_ready(bench, 0);
        assert_int_equal(bench_count(bench, ACTION_RESERVE), rows[i].inside);
        bench_free(bench);
    }
}

static void within_one_boot_a_wall_clock_that_jumps_back_does_not_open_the_window_again(void **s)
{
    struct bench *bench = bench_new(ROTATION_GRACE);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    (void)s;
    stored.intent = bench_intent(bench, 60000, 1);
    stored.intent.first_wall_ms = bench->wall_ms + 3600000;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_free(bench);
}

static void within_one_boot_the_window_is_open_though_the_wall_clock_went_back(void **s)
{
    struct bench *bench = bench_new(ROTATION_GRACE);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    (void)s;
    stored.intent = bench_intent(bench, 3000, 1);
    stored.intent.wall_ms = stored.intent.first_wall_ms = bench->wall_ms + 3600000;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void without_a_boot_id_only_the_wall_clock_counts(void **s)
{
    struct bench *bench = bench_new(ROTATION_GRACE);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    (void)s;
    memset(bench->boot_id, 0, 16);
    stored.intent = bench_intent(bench, 3000, 1);
    stored.intent.first_wall_ms = bench->wall_ms + 3600000;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_free(bench);
}

static void a_strict_probe_waits_for_the_drain_even_when_nothing_is_left_to_serve(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};
    uint64_t waiter;

    (void)s;
    stored.credential.obtained_at_ms -= 2 * BENCH_LIFE_MS;
    stored.credential.expires_at_ms -= 2 * BENCH_LIFE_MS;
    stored.intent = bench_intent(bench, 10000, 1);
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_refused(bench, waiter, "unavailable");
    assert_true(bench_answer(bench, waiter)->retry_after_ms > 59000);
    bench_pass(bench, 59000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_pass(bench, 1100);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void a_request_that_ended_long_ago_needs_no_more_drain(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    (void)s;
    stored.credential.obtained_at_ms -= 2 * BENCH_LIFE_MS;
    stored.credential.expires_at_ms -= 2 * BENCH_LIFE_MS;
    stored.intent = bench_intent(bench, 121000, 1);
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void an_intent_of_an_older_generation_means_nothing(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    (void)s;
    stored.intent = bench_intent(bench, 1000, 1);
    stored.credential.generation = 2;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void needs_login_survives_a_restart(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    (void)s;
    stored.intent = bench_intent(bench, 1000, 1);
    snprintf(stored.credential.needs_login, sizeof(stored.credential.needs_login),
             "refresh_token_reused");
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_state(bench, "lab:me", "needs_login");
    assert_false(bench_profile(bench, "lab:me")->maybe_spent);
    bench_pass(bench, 2 * BENCH_LIFE_MS);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_free(bench);
}

static void a_copied_store_serves_access_tokens_but_spends_nothing_until_adopted(void **s)
{
    struct bench *bench = bench_new(ROTATION_NONE);
    struct token_event event;
    uint64_t plain, forced, again;

    (void)s;
    bench_load(bench, "lab:me");
    bench_ready(bench, STORE_COPIED);
    plain = bench_ask(bench, "lab:me", 0, false);
    forced = bench_ask(bench, "lab:me", 0, true);
    assert_granted(bench, plain, 1);
    assert_refused(bench, forced, "copied_store");
    bench_pass(bench, BENCH_LIFE_MS);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    event = bench_event(bench, EVENT_ADOPT);
    event.waiter = ++bench->last_waiter;
    token_step_run(&bench->step, &event);
    assert_waiting(bench, event.waiter);
    event = bench_event(bench, EVENT_ADOPTED);
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_last(bench, ACTION_DONE)->waiter, bench->last_waiter);
    again = bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, again, 2);
    bench_free(bench);
}

/* A higher number would drop the intent, and with it all that is known of the first request. */
static void adoption_in_doubt_keeps_the_intent_until_the_doubt_is_settled(void **s)
{
    struct bench *bench = restart(ROTATION_TWO_PHASE, 2000);
    struct token_event event;

    (void)s;
    bench_watch(bench, "lab:me", 0, 9);
    bench_pass(bench, 120000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    event = bench_event(bench, EVENT_ADOPT);
    event.waiter = ++bench->last_waiter;
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_count(bench, ACTION_WRITE_RECORD), 0);
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 1);
    assert_int_equal(bench_last(bench, ACTION_RESERVE)->attempt, 2);
    bench_refresh(bench, "lab:me");
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 10);
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void a_restored_old_store_is_not_spent_once_a_node_has_seen_more(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;
    uint64_t forced;

    (void)s;
    bench_watch(bench, "lab:me", 0, 9);
    forced = bench_ask(bench, "lab:me", 0, true);
    assert_refused(bench, forced, "copied_store");
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    event = bench_event(bench, EVENT_ADOPT);
    event.waiter = ++bench->last_waiter;
    event.name = "lab:me";
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_last(bench, ACTION_WRITE_RECORD)->generation, 9);
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    forced = bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, forced, 10);
    bench_free(bench);
}

static void a_found_answer_that_is_cut_or_of_another_generation_says_nothing(void **s)
{
    (void)s;
    for (int i = 0; i < 2; i++) {
        struct bench *bench = bench_new(ROTATION_TWO_PHASE);
        struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                                .has_intent = true, .has_answer = true};

        stored.intent = bench_intent(bench, 1000, 1);
        stored.answer = (struct answer){.generation = i == 0 ? 1 : 2, .attempt = 1,
                                        .complete = i != 0, .http_status = 200,
                                        .body = secret_new("{}", 2)};
        bench_load_stored(bench, &stored);
        bench_ready(bench, 0);
        assert_state(bench, "lab:me", "uncertain");
        assert_int_equal(bench_count(bench, ACTION_PARSE), 0);
        bench_free(bench);
    }
}

static void a_boot_clock_behind_the_first_attempt_is_not_believed(void **s)
{
    struct bench *bench = bench_new(ROTATION_GRACE);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    (void)s;
    stored.intent = bench_intent(bench, 1000, 1);
    stored.intent.first_boot_ns = bench->now_ns + MS_NS;
    stored.intent.first_wall_ms = bench->wall_ms - 60000; /* and by the wall it is over */
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_free(bench);
}

static void doubt_without_a_rule_or_an_access_token_waits_for_both(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};
    struct token_event event = bench_event(bench, EVENT_LOADED);
    uint8_t sha[32] = {0};
    uint64_t waiter;

    (void)s;
    stored.intent = bench_intent(bench, 1000, 1);
    credential_set(&stored.credential.access, NULL);
    event.stored = &stored;
    event.sha256 = sha;
    token_step_run(&bench->step, &event);
    assert_string_equal(bench_profile(bench, "lab:me")->origin, "");
    bench_ready(bench, 0);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_refused(bench, waiter, "not_configured");
    event = bench_event(bench, EVENT_RULE);
    event.rule = &bench->rule;
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_pass(bench, 120000); /* drained, and nothing is left to serve */
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void what_is_asked_before_all_is_loaded_is_answered_after(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;

    (void)s;
    bench_load(bench, "lab:me");
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_waiting(bench, waiter);
    bench_ready(bench, 0);
    assert_granted(bench, waiter, 1);
    bench_free(bench);
}

static void one_login_too_many_is_said_at_the_start(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    char name[32];

    (void)s;
    for (int i = 0; i <= STEP_PROFILES_MAX; i++) {
        snprintf(name, sizeof(name), "lab:%d", i);
        bench_load(bench, name);
    }
    assert_int_equal(bench->step.profile_count, STEP_PROFILES_MAX);
    assert_non_null(strstr(bench_last(bench, ACTION_ALARM)->text, name));
    bench_free(bench);
}

static uint64_t adopt(struct bench *bench, const char *name)
{
    struct token_event event = bench_event(bench, EVENT_ADOPT);

    event.waiter = ++bench->last_waiter;
    event.name = name;
    token_step_run(&bench->step, &event);
    return event.waiter;
}

static void adopting_a_store_happens_once_at_a_time_and_may_fail(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct token_event event;
    uint64_t first, second, drained;

    (void)s;
    bench_load(bench, "lab:me");
    bench_ready(bench, STORE_COPIED);
    assert_refused(bench, adopt(bench, "lab:nobody"), "unknown_profile");
    first = adopt(bench, "");
    second = adopt(bench, "");
    assert_refused(bench, second, "busy");
    event = bench_event(bench, EVENT_DRAIN);
    drained = event.waiter = ++bench->last_waiter;
    token_step_run(&bench->step, &event);
    assert_waiting(bench, drained);
    event = bench_event(bench, EVENT_ADOPTED);
    event.error = -EIO;
    token_step_run(&bench->step, &event);
    assert_refused(bench, first, "internal");
    assert_non_null(bench_answer(bench, drained));
    assert_true(bench->step.copied);
    bench_free(bench);
}

static void adopting_is_in_the_audit_and_what_is_in_no_doubt_stays_as_it_is(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;
    size_t lines;

    (void)s;
    bench_watch(bench, "lab:me", 0, 1); /* what the store has */
    lines = bench_count(bench, ACTION_AUDIT);
    adopt(bench, "");
    assert_int_equal(bench_count(bench, ACTION_AUDIT), lines);
    assert_int_equal(bench_count(bench, ACTION_WRITE_RECORD), 0);
    bench_watch(bench, "lab:me", 0, 4);
    adopt(bench, "");
    assert_string_equal(bench_last(bench, ACTION_AUDIT)->text,
                        "adopt profile=lab:me generation=1 as=4");
    assert_int_equal(bench_count(bench, ACTION_WRITE_RECORD), 1);
    event = bench_event(bench, EVENT_ADOPTED);
    token_step_run(&bench->step, &event);
    assert_string_equal(bench_last(bench, ACTION_AUDIT)->text, "adopt store");
    bench_free(bench);
}

static void adopting_one_login_leaves_the_others_and_the_store(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);

    (void)s;
    bench_load(bench, "lab:one");
    bench_load(bench, "lab:two");
    bench_ready(bench, STORE_COPIED);
    bench_watch(bench, "lab:one", 0, 5);
    bench_watch(bench, "lab:two", 0, 5);
    assert_int_equal(bench_answer(bench, adopt(bench, "lab:two"))->kind, ACTION_DONE);
    assert_int_equal(bench_profile(bench, "lab:one")->credential.generation, 1);
    assert_int_equal(bench_profile(bench, "lab:two")->credential.generation, 5);
    assert_int_equal(bench_count(bench, ACTION_ADOPT_STORE), 0);
    bench_free(bench);
}

static void a_login_at_work_is_not_adopted(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_watch(bench, "lab:me", 0, 9);
    assert_int_equal(bench_answer(bench, adopt(bench, ""))->kind, ACTION_DONE);
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 1);
    assert_false(bench_profile(bench, "lab:me")->adopted);
    bench_profile(bench, "lab:me")->phase = PHASE_NONE;
    bench_profile(bench, "lab:me")->importing = true;
    adopt(bench, "");
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 1);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_complete_answer_found_is_parsed_and_finished_without_asking_again),
        cmocka_unit_test(a_found_answer_that_says_nothing_leaves_it_uncertain),
        cmocka_unit_test(an_intent_alone_is_sent_again_at_once_where_the_rule_allows_it),
        cmocka_unit_test(an_intent_alone_of_a_strict_provider_waits_while_the_access_token_serves),
        cmocka_unit_test(outside_the_grace_window_an_intent_alone_is_not_sent_again),
        cmocka_unit_test(after_a_reboot_the_grace_window_is_judged_by_the_wall_clock_alone),
        cmocka_unit_test(
            within_one_boot_a_wall_clock_that_jumps_back_does_not_open_the_window_again),
        cmocka_unit_test(within_one_boot_the_window_is_open_though_the_wall_clock_went_back),
        cmocka_unit_test(without_a_boot_id_only_the_wall_clock_counts),
        cmocka_unit_test(a_strict_probe_waits_for_the_drain_even_when_nothing_is_left_to_serve),
        cmocka_unit_test(a_request_that_ended_long_ago_needs_no_more_drain),
        cmocka_unit_test(an_intent_of_an_older_generation_means_nothing),
        cmocka_unit_test(needs_login_survives_a_restart),
        cmocka_unit_test(a_copied_store_serves_access_tokens_but_spends_nothing_until_adopted),
        cmocka_unit_test(adoption_in_doubt_keeps_the_intent_until_the_doubt_is_settled),
        cmocka_unit_test(a_restored_old_store_is_not_spent_once_a_node_has_seen_more),
        cmocka_unit_test(a_found_answer_that_is_cut_or_of_another_generation_says_nothing),
        cmocka_unit_test(a_boot_clock_behind_the_first_attempt_is_not_believed),
        cmocka_unit_test(doubt_without_a_rule_or_an_access_token_waits_for_both),
        cmocka_unit_test(what_is_asked_before_all_is_loaded_is_answered_after),
        cmocka_unit_test(one_login_too_many_is_said_at_the_start),
        cmocka_unit_test(adopting_a_store_happens_once_at_a_time_and_may_fail),
        cmocka_unit_test(adopting_is_in_the_audit_and_what_is_in_no_doubt_stays_as_it_is),
        cmocka_unit_test(adopting_one_login_leaves_the_others_and_the_store),
        cmocka_unit_test(a_login_at_work_is_not_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
