/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a credential at the edges of what a provider can say. */
#include "step_fixture.h"

#include "step_inner.h"

static struct bench *with_times(int64_t obtained_ms, int64_t expires_ms, int64_t earliest_ms)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me")};

    stored.credential.obtained_at_ms = obtained_ms;
    stored.credential.expires_at_ms = expires_ms;
    stored.credential.earliest_refresh_at_ms = earliest_ms;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    return bench;
}

static void a_life_is_bounded_whatever_the_times_say(void **s)
{
    static const int64_t year_ms = 365ll * 86400000;
    const struct {
        int64_t obtained_ms, expires_ms, life_ms;
    } rows[] = {
        {BENCH_WALL_MS, BENCH_WALL_MS + 100 * year_ms, 10 * year_ms},
        {BENCH_WALL_MS - 20 * year_ms, BENCH_WALL_MS + year_ms, 10 * year_ms},
        {0, BENCH_WALL_MS + 5000, 5000},
        {0, BENCH_WALL_MS - 5000, 0},
        {BENCH_WALL_MS, BENCH_WALL_MS - 5000, 0}, /* obtained after its end */
        {BENCH_WALL_MS - 1000, BENCH_WALL_MS + 5000, 6000},
    };

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = with_times(rows[i].obtained_ms, rows[i].expires_ms, 0);
        struct profile *profile = bench_profile(bench, "lab:me");

        assert_int_equal(profile->life_ns / MS_NS, rows[i].life_ms);
        assert_true(profile->expires_ns != 0);
        bench_free(bench);
    }
}

static void a_token_that_ended_has_nothing_left(void **s)
{
    struct bench *bench = with_times(0, BENCH_WALL_MS + 5000, 0);
    const struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    assert_int_equal(profile_left_ms(profile, bench->now_ns), 5000);
    assert_int_equal(profile_left_ms(profile, bench->now_ns + 5000 * MS_NS), 0);
    assert_int_equal(profile_left_ms(profile, bench->now_ns + 9000 * MS_NS), 0);
    bench_free(bench);
}

static void an_earliest_time_at_the_end_of_all_times_is_never(void **s)
{
    struct bench *bench = with_times(0, BENCH_WALL_MS + BENCH_LIFE_MS, 253402300799000ll);
    uint64_t waiter;

    (void)s;
    assert_true(bench_profile(bench, "lab:me")->earliest_ns > UINT64_MAX / 2);
    waiter = bench_ask(bench, "lab:me", 0, true);
    assert_granted(bench, waiter, 1); /* what is good is good enough */
    bench_pass(bench, 2 * BENCH_LIFE_MS);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_refused(bench, waiter, "unavailable");
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_free(bench);
}

static void a_refresh_token_of_unknown_age_is_kept_alive_from_now(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me")};

    (void)s;
    stored.credential.obtained_at_ms = 0;
    stored.credential.refresh_expires_at_ms = BENCH_WALL_MS + 10000;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    assert_int_equal(bench_profile(bench, "lab:me")->keep_alive_at_ns,
                     bench->now_ns + 5000 * MS_NS);
    bench_free(bench);
}

static void what_is_tuned_is_not_overwritten_by_defaults(void **s)
{
    struct token_tunables tunables = {.patience_ms = 77};
    struct token_step *step = calloc(1, sizeof(*step));

    (void)s;
    token_step_init(step, &tunables, bench_act, NULL);
    assert_int_equal(step->tunables.patience_ms, 77);
    assert_int_equal(step->tunables.drain_ms, 60000);
    token_step_deinit(step);
    free(step);
}

static void a_state_that_is_none_has_no_name(void **s)
{
    (void)s;
    assert_string_equal(profile_state_name(PROFILE_VALID), "valid");
    assert_string_equal(profile_state_name((enum profile_state)99), "?");
}

static void an_end_without_a_code_is_one_all_the_same(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 400, OUTCOME_TERMINAL, "");
    bench_tell(bench, "lab:me", EVENT_LOOKED, 0);
    assert_state(bench, "lab:me", "needs_login");
    assert_string_equal(bench_profile(bench, "lab:me")->credential.needs_login, "terminal");
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_is_bounded_whatever_the_times_say),
        cmocka_unit_test(a_token_that_ended_has_nothing_left),
        cmocka_unit_test(an_earliest_time_at_the_end_of_all_times_is_never),
        cmocka_unit_test(a_refresh_token_of_unknown_age_is_kept_alive_from_now),
        cmocka_unit_test(what_is_tuned_is_not_overwritten_by_defaults),
        cmocka_unit_test(an_end_without_a_code_is_one_all_the_same),
        cmocka_unit_test(a_state_that_is_none_has_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
