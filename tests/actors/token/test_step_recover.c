/* SPDX-License-Identifier: Apache-2.0 */
/* Starts after a crash: from what was found on disk alone. */
#include "step_fixture.h"

#include <errno.h>

static struct intent intent_at(const struct bench *bench, uint64_t ago_ms, uint32_t attempt)
{
    struct intent intent = {.generation = 1,
                            .attempt = attempt,
                            .wall_ms = bench->wall_ms - (int64_t)ago_ms,
                            .boot_ns = bench->now_ns - ago_ms * MS_NS};

    memcpy(intent.boot_id, bench->boot_id, 16);
    intent.first_wall_ms = intent.wall_ms;
    intent.first_boot_ns = intent.boot_ns;
    memcpy(intent.first_boot_id, intent.boot_id, 16);
    return intent;
}

static struct bench *restart(enum rotation rotation, uint64_t ago_ms)
{
    struct bench *bench = bench_new(rotation);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                            .has_intent = true};

    stored.intent = intent_at(bench, ago_ms, 1);
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
    stored.intent = intent_at(bench, 1000, 1);
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
    stored.intent = intent_at(bench, 1000, 2);
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

        stored.intent = intent_at(bench, 0, 1);
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
    stored.intent = intent_at(bench, 60000, 1);
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
    stored.intent = intent_at(bench, 3000, 1);
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
    stored.intent = intent_at(bench, 3000, 1);
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
    stored.intent = intent_at(bench, 10000, 1);
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
    stored.intent = intent_at(bench, 121000, 1);
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
    stored.intent = intent_at(bench, 1000, 1);
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
    stored.intent = intent_at(bench, 1000, 1);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
