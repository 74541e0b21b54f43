/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks and who waits: promise 2, several logins, drains, limits. */
#include "step_fixture.h"

#include <errno.h>

static void sixty_four_waiters_make_one_refresh_by_promise_2(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiters[64];

    (void)s;
    bench_pass(bench, BENCH_LIFE_MS); /* nobody used it: it has ended without a refresh */
    assert_int_equal(bench->spends, 0);
    for (int i = 0; i < 64; i++)
        waiters[i] = bench_ask(bench, "lab:me", 0, i % 3 == 0);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_refresh(bench, "lab:me");
    for (int i = 0; i < 64; i++)
        assert_granted(bench, waiters[i], 2);
    assert_int_equal(bench->spends, 1);
    assert_int_equal(bench_profile(bench, "lab:me")->waited, 64);
    bench_pass(bench, 6000);
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    assert_int_equal(bench_profile(bench, "lab:me")->waited, 1);
    bench_free(bench);
}

static void while_it_refreshes_the_still_valid_token_is_handed_out_by_promise_2(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t forced = bench_ask(bench, "lab:me", 0, true), plain, longer;

    (void)s;
    bench_send(bench, "lab:me");
    bench_pass(bench, 1000);
    plain = bench_ask(bench, "lab:me", 0, false);
    longer = bench_ask(bench, "lab:me", BENCH_LIFE_MS, false);
    assert_granted(bench, plain, 1);
    assert_granted(bench, longer, 1); /* three quarters of a life is the most one can ask for */
    assert_waiting(bench, forced);
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    assert_granted(bench, forced, 2);
    assert_int_equal(bench->spends, 1);
    bench_free(bench);
}

static void a_wish_longer_than_a_fresh_tokens_life_gets_the_fresh_one_not_a_loop(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_pass(bench, BENCH_LIFE_MS / 2);
    waiter = bench_ask(bench, "lab:me", 100 * BENCH_LIFE_MS, false);
    assert_waiting(bench, waiter);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, waiter, 2);
    waiter = bench_ask(bench, "lab:me", 100 * BENCH_LIFE_MS, false);
    assert_granted(bench, waiter, 2);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void forced_requests_just_after_a_refresh_get_that_one(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    for (int i = 0; i < 10; i++) {
        waiter = bench_ask(bench, "lab:me", 0, true);
        assert_granted(bench, waiter, 2);
    }
    bench_pass(bench, 6000);
    waiter = bench_ask(bench, "lab:me", 0, true);
    assert_waiting(bench, waiter);
    bench_free(bench);
}

static void a_login_in_use_is_refreshed_at_half_its_life_an_idle_one_is_not(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);

    (void)s;
    bench_load(bench, "lab:me");
    bench_load(bench, "lab:idle");
    bench_ready(bench, 0);
    bench_ask(bench, "lab:me", 0, false);
    bench_pass(bench, BENCH_LIFE_MS / 2 - 1000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_pass(bench, BENCH_LIFE_MS / 20 + 2000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    assert_state(bench, "lab:me", "refreshing");
    bench_refresh(bench, "lab:me");
    bench_pass(bench, 10 * BENCH_LIFE_MS);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1); /* not asked for since */
    bench_free(bench);
}

static void nothing_is_refreshed_before_the_earliest_time_the_provider_gave(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me")};
    uint64_t forced, rejected;

    (void)s;
    stored.credential.earliest_refresh_at_ms = bench->wall_ms + BENCH_LIFE_MS - 360000;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    forced = bench_ask(bench, "lab:me", 0, true);
    assert_granted(bench, forced, 1); /* a refresh now would cost the login */
    rejected = bench_reject(bench, "lab:me");
    assert_refused(bench, rejected, "unavailable");
    bench_pass(bench, BENCH_LIFE_MS - 360000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_pass(bench, 61000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void an_idle_login_is_kept_alive_inside_its_refresh_tokens_life(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);

    (void)s;
    bench->rule.refresh_life_seconds = 30 * 86400;
    bench_load(bench, "lab:me");
    bench_ready(bench, 0);
    bench_pass(bench, 6ull * 86400000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_pass(bench, 2ull * 86400000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void waiters_outlive_near_retries_and_are_refused_with_the_time_of_a_far_one(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;
    int failures = 0;

    (void)s;
    bench_pass(bench, BENCH_LIFE_MS);
    waiter = bench_ask(bench, "lab:me", 0, false);
    while (bench_answer(bench, waiter) == NULL) {
        bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
        bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
        failures++;
        if (bench_answer(bench, waiter) == NULL)
            bench_pass(bench, 6000);
    }
    assert_in_range(failures, 3, 6);
    assert_refused(bench, waiter, "unavailable");
    assert_true(bench_answer(bench, waiter)->retry_after_ms > 5000);
    assert_int_equal(bench->spends, 0);
    bench_free(bench);
}

static void a_waiter_that_gives_up_never_cancels_the_refresh_by_promise_4(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);
    struct token_event event;

    (void)s;
    bench_send(bench, "lab:me");
    event = bench_event(bench, EVENT_CANCELLED);
    event.waiter = waiter;
    token_step_run(&bench->step, &event);
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    assert_waiting(bench, waiter);
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 2);
    assert_int_equal(bench->step.waiter_count, 0);
    bench_free(bench);
}

/* ---- several logins, drains, limits ----------------------------------------------------*/

static void accounts_of_one_origin_go_one_after_another_others_do_not_wait(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct profile *other;

    (void)s;
    bench_load(bench, "lab:one");
    bench_load(bench, "lab:two");
    bench_load(bench, "far:one");
    other = bench_profile(bench, "far:one");
    snprintf(other->origin, sizeof(other->origin), "https://far.example.test");
    bench_ready(bench, 0);
    bench_ask(bench, "lab:one", 0, true);
    bench_ask(bench, "lab:two", 0, true);
    bench_ask(bench, "far:one", 0, true);
    assert_state(bench, "lab:one", "refreshing");
    assert_state(bench, "lab:two", "valid");
    assert_state(bench, "far:one", "refreshing");
    bench_refresh(bench, "lab:one");
    assert_state(bench, "lab:two", "refreshing");
    bench_refresh(bench, "lab:two");
    bench_refresh(bench, "far:one");
    assert_int_equal(bench->spends, 3);
    bench_free(bench);
}

static uint64_t drain(struct bench *bench)
{
    struct token_event event = bench_event(bench, EVENT_DRAIN);

    event.waiter = ++bench->last_waiter;
    token_step_run(&bench->step, &event);
    return event.waiter;
}

static void a_drain_waits_for_what_was_sent_and_starts_nothing_by_promise_4(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter, drained, late;

    (void)s;
    bench_load(bench, "lab:one");
    bench_load(bench, "lab:two");
    bench_ready(bench, 0);
    waiter = bench_ask(bench, "lab:one", 0, true);
    bench_send(bench, "lab:one");
    drained = drain(bench);
    late = bench_ask(bench, "lab:two", 0, true);
    assert_refused(bench, late, "stopping");
    assert_waiting(bench, drained);
    bench_answered(bench, "lab:one", 200, OUTCOME_ROTATED, "");
    assert_waiting(bench, drained);
    bench_tell(bench, "lab:one", EVENT_RECORD_SAVED, 0);
    assert_granted(bench, waiter, 2);
    assert_int_equal(bench_answer(bench, drained)->kind, ACTION_DONE);
    bench_free(bench);
}

static void a_drain_stops_what_has_not_passed_the_gate(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t drained;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    drained = drain(bench);
    bench_tell(bench, "lab:me", EVENT_GATE, 0);
    assert_false(bench_last(bench, ACTION_GATE)->open);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_int_equal(bench_answer(bench, drained)->kind, ACTION_DONE);
    assert_int_equal(bench->spends, 0);
    bench_free(bench);
}

static void a_drain_waits_for_an_unsaved_token_unless_its_answer_is_sealed(void **s)
{
    (void)s;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
        uint64_t drained;

        bench_ask(bench, "lab:me", 0, true);
        bench_send(bench, "lab:me");
        bench_exchanged(bench, "lab:me", EXCHANGE_ANSWERED, 200);
        bench_tell(bench, "lab:me", EVENT_ANSWER_SAVED, sealed ? 0 : -EIO);
        bench_parsed(bench, "lab:me", OUTCOME_ROTATED, "");
        bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -EIO);
        drained = drain(bench);
        assert_int_equal(bench_answer(bench, drained) != NULL, sealed);
        bench_pass(bench, 2000);
        bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
        assert_non_null(bench_answer(bench, drained));
        bench_free(bench);
    }
}

static void waiters_over_the_limit_are_told_busy_by_promise_9(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = 0;

    (void)s;
    for (int i = 0; i < STEP_WAITERS_MAX; i++)
        waiter = bench_ask(bench, "lab:me", 0, true);
    assert_waiting(bench, waiter);
    waiter = bench_ask(bench, "lab:me", 0, true);
    assert_refused(bench, waiter, "busy");
    bench_refresh(bench, "lab:me");
    assert_int_equal(bench_count(bench, ACTION_GRANT), STEP_WAITERS_MAX);
    bench_free(bench);
}

static void an_unknown_name_is_refused(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:nobody", 0, false);

    (void)s;
    assert_refused(bench, waiter, "unknown_profile");
    waiter = bench_ask(bench, "", 0, false);
    assert_refused(bench, waiter, "unknown_profile");
    bench_free(bench);
}

static void a_jump_of_the_wall_clock_changes_no_expiry(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench->wall_ms += 1000 * BENCH_LIFE_MS;
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_granted(bench, waiter, 1);
    bench->wall_ms -= 2000 * BENCH_LIFE_MS;
    bench_pass(bench, BENCH_LIFE_MS);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_waiting(bench, waiter);
    bench_free(bench);
}

static void assert_told(struct bench *bench, uint64_t waiter, const char *code, const char *why,
                        const char *remedy)
{
    const struct bench_action *row = bench_answer(bench, waiter);

    assert_refused(bench, waiter, code);
    assert_string_equal(row->text, why);
    assert_string_equal(row->detail, remedy);
}

static void each_refusal_says_what_stands_in_the_way(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");
    struct secret *refresh = profile->credential.refresh;

    (void)s;
    snprintf(profile->credential.needs_login, 64, "invalid_grant");
    profile->state = PROFILE_NEEDS_LOGIN;
    assert_told(bench, bench_ask(bench, "lab:me", 0, true), "needs_login",
                "lab:me: the provider ended this login",
                "log in again with the program it came from, then queenright auth import "
                "--take-over PATH");
    profile->credential.needs_login[0] = '\0';
    profile->state = PROFILE_VALID;
    snprintf(profile->credential.mode, sizeof(profile->credential.mode), "access_only");
    assert_told(bench, bench_ask(bench, "lab:me", 0, true), "access_only",
                "lab:me: it was imported without its refresh token, and the access token has ended",
                "");
    snprintf(profile->credential.mode, sizeof(profile->credential.mode), "oauth");
    profile->credential.refresh = NULL;
    assert_told(bench, bench_ask(bench, "lab:me", 0, true), "token_refused",
                "lab:me: the model side refuses this key", "");
    assert_int_equal(bench_last(bench, ACTION_REFUSE)->until_ms, 0);
    profile->credential.refresh = refresh;
    bench_watch(bench, "lab:me", 0, 9);
    assert_told(bench, bench_ask(bench, "lab:me", 0, true), "copied_store",
                "lab:me: a later generation of this login has been seen than the store has",
                "run `queenright auth adopt`, or log in again");
    profile->generation_seen = 0;
    bench->step.draining = true;
    assert_told(bench, bench_ask(bench, "lab:me", 0, true), "stopping",
                "lab:me: the keeper is stopping", "ask again: who asks starts the next keeper");
    bench->step.draining = false;
    bench_free(bench);
}

static void what_is_not_on_disk_yet_is_why_a_newer_token_is_refused(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -EIO);
    bench->now_ns += 60000 * MS_NS;
    assert_told(bench, bench_ask(bench, "lab:me", 0, true), "unavailable",
                "lab:me: the last refresh is not on disk yet",
                "make space in, or allow writing to, the state directory");
    bench_free(bench);
}

static void who_needs_a_newer_token_waits_as_long_as_patience_and_no_moment_longer(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");
    uint64_t near, far, good;

    (void)s;
    profile->retry_at_ns = bench->now_ns + 5000 * MS_NS;
    near = bench_ask(bench, "lab:me", 0, true);
    assert_waiting(bench, near);
    profile->retry_at_ns++;
    far = bench_ask(bench, "lab:me", 0, true);
    assert_told(bench, far, "unavailable", "lab:me: the provider allows no refresh yet", "");
    assert_int_equal(bench_answer(bench, far)->retry_after_ms, 5001);
    assert_int_equal(bench_answer(bench, far)->until_ms, bench->wall_ms + 5001);
    bench_free(bench);

    bench = bench_with(ROTATION_STRICT, "lab:me");
    profile = bench_profile(bench, "lab:me");
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, -ENOSPC);
    profile->retry_at_ns = bench->now_ns + 9000 * MS_NS;
    far = bench_ask(bench, "lab:me", 0, true);
    assert_told(bench, far, "unavailable",
                "lab:me: the disk does not take what must be saved before and after a refresh: No "
                "space left on device",
                "make space in, or allow writing to, the state directory");
    /* A wish for a longer life only is met by what there is, while no other can be had. */
    bench->now_ns += BENCH_LIFE_MS / 2 * MS_NS;
    profile->retry_at_ns = bench->now_ns + 9000 * MS_NS;
    good = bench_ask(bench, "lab:me", BENCH_LIFE_MS, false);
    assert_granted(bench, good, 1);
    bench_free(bench);
}

static void a_wish_that_is_just_met_starts_no_refresh(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_pass(bench, BENCH_LIFE_MS / 4); /* a wish for all of it is one for three quarters */
    assert_granted(bench, bench_ask(bench, "lab:me", BENCH_LIFE_MS, false), 1);
    bench_pass(bench, 1);
    assert_waiting(bench, bench_ask(bench, "lab:me", BENCH_LIFE_MS, false));
    bench_free(bench);
}

static void a_cancellation_of_what_does_not_wait_changes_nothing(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event = bench_event(bench, EVENT_CANCELLED);
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);

    (void)s;
    event.waiter = waiter + 77;
    token_step_run(&bench->step, &event);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, waiter, 2);
    bench_free(bench);
}

static void forced_requests_get_another_refresh_from_the_end_of_the_interval_on(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    bench_pass(bench, 4999);
    assert_granted(bench, bench_ask(bench, "lab:me", 0, true), 2);
    bench_pass(bench, 1);
    assert_waiting(bench, bench_ask(bench, "lab:me", 0, true));
    bench_free(bench);
}

static void a_refusal_of_fresh_tokens_ends_with_its_time(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_profile(bench, "lab:me")->refused_until_ns = bench->now_ns + 1;
    assert_refused(bench, bench_ask(bench, "lab:me", 0, false), "token_refused");
    assert_int_equal(bench_last(bench, ACTION_REFUSE)->until_ms, bench->wall_ms + 1);
    bench_profile(bench, "lab:me")->refused_until_ns = bench->now_ns;
    assert_granted(bench, bench_ask(bench, "lab:me", 0, false), 1);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixty_four_waiters_make_one_refresh_by_promise_2),
        cmocka_unit_test(while_it_refreshes_the_still_valid_token_is_handed_out_by_promise_2),
        cmocka_unit_test(a_wish_longer_than_a_fresh_tokens_life_gets_the_fresh_one_not_a_loop),
        cmocka_unit_test(forced_requests_just_after_a_refresh_get_that_one),
        cmocka_unit_test(a_login_in_use_is_refreshed_at_half_its_life_an_idle_one_is_not),
        cmocka_unit_test(nothing_is_refreshed_before_the_earliest_time_the_provider_gave),
        cmocka_unit_test(an_idle_login_is_kept_alive_inside_its_refresh_tokens_life),
        cmocka_unit_test(waiters_outlive_near_retries_and_are_refused_with_the_time_of_a_far_one),
        cmocka_unit_test(a_waiter_that_gives_up_never_cancels_the_refresh_by_promise_4),
        cmocka_unit_test(accounts_of_one_origin_go_one_after_another_others_do_not_wait),
        cmocka_unit_test(a_drain_waits_for_what_was_sent_and_starts_nothing_by_promise_4),
        cmocka_unit_test(a_drain_stops_what_has_not_passed_the_gate),
        cmocka_unit_test(a_drain_waits_for_an_unsaved_token_unless_its_answer_is_sealed),
        cmocka_unit_test(waiters_over_the_limit_are_told_busy_by_promise_9),
        cmocka_unit_test(an_unknown_name_is_refused),
        cmocka_unit_test(a_jump_of_the_wall_clock_changes_no_expiry),
        cmocka_unit_test(each_refusal_says_what_stands_in_the_way),
        cmocka_unit_test(what_is_not_on_disk_yet_is_why_a_newer_token_is_refused),
        cmocka_unit_test(who_needs_a_newer_token_waits_as_long_as_patience_and_no_moment_longer),
        cmocka_unit_test(a_wish_that_is_just_met_starts_no_refresh),
        cmocka_unit_test(a_cancellation_of_what_does_not_wait_changes_nothing),
        cmocka_unit_test(forced_requests_get_another_refresh_from_the_end_of_the_interval_on),
        cmocka_unit_test(a_refusal_of_fresh_tokens_ends_with_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
