/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a credential at the edges of what a provider can say. */
#include "step_fixture.h"

#include "step/step_internal.h"

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
        {BENCH_WALL_MS + 5000, BENCH_WALL_MS + 5000, 5000}, /* and at its end */
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
    assert_string_equal(profile_state_name(PROFILE_STATE_COUNT), "?");
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

/* ---- to the millisecond ------------------------------------------------------------------- */

/* The pure half of the policy, asked outside a run at a time of the test's own. */
static struct token_event at_ms(struct bench *bench, uint64_t ms)
{
    struct token_event event = bench_event(bench, EVENT_TIMER);

    event.now_ns += ms * MS_NS;
    event.wall_ms += (int64_t)ms;
    bench->step.event = NULL;
    return event;
}

static void a_backoff_doubles_from_its_base_to_its_most_and_half_of_it_is_chance(void **s)
{
    static const struct {
        uint64_t base, most;
        unsigned failures;
        uint64_t low, high;
    } rows[] = {{4, 16, 0, 2, 4},  {4, 16, 1, 2, 4},   {4, 16, 2, 4, 8},   {4, 16, 3, 8, 16},
                {4, 16, 4, 8, 16}, {4, 16, 99, 8, 16}, {4, 10, 3, 5, 10},  {4, 3, 1, 2, 3},
                {1, 9, 1, 1, 1},   {0, 9, 5, 0, 0},    {5, 99, 2, 5, 10}};
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event = at_ms(bench, 0);

    (void)s;
    bench->step.event = &event;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint64_t low = UINT64_MAX, high = 0;

        for (int draw = 0; draw < 400; draw++) {
            uint64_t delay = step_backoff(&bench->step, rows[i].base, rows[i].most,
                                          rows[i].failures);

            low = delay < low ? delay : low;
            high = delay > high ? delay : high;
        }
        assert_int_equal(low, rows[i].low);
        assert_int_equal(high, rows[i].high);
    }
    bench->step.event = NULL;
    bench_free(bench);
}

static void a_time_too_far_away_is_the_last_there_is_and_not_an_early_one(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event = at_ms(bench, 0);
    uint64_t last = (UINT64_MAX - 1 - event.now_ns) / MS_NS;

    (void)s;
    bench->step.event = &event;
    assert_int_equal(step_after(&bench->step, 7), event.now_ns + 7 * MS_NS);
    assert_int_equal(step_after(&bench->step, last), event.now_ns + last * MS_NS);
    assert_int_equal(step_after(&bench->step, last + 1), UINT64_MAX - 1);
    assert_int_equal(step_after(&bench->step, UINT64_MAX), UINT64_MAX - 1);
    bench->step.event = NULL;
    bench_free(bench);
}

static void times_before_the_machine_started_and_at_its_start_are_times_all_the_same(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");
    struct token_event event = at_ms(bench, 0);
    static const struct {
        uint64_t now_ms;
        int64_t earliest_ms;
        uint64_t at_ns;
    } rows[] = {{1000, 1, 1001 * MS_NS}, {1000, -1, 999 * MS_NS}, {1000, -1000, 1},
                {1000, -1001, 1},        {0, 0, 1},               {0, 5, 5 * MS_NS + 1},
                {1000, 0, 1000 * MS_NS}};

    (void)s;
    bench->step.event = &event;
    profile->credential.expires_at_ms = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        event.now_ns = rows[i].now_ms * MS_NS;
        profile->credential.earliest_refresh_at_ms = event.wall_ms + rows[i].earliest_ms;
        profile_plan(&bench->step, profile);
        assert_int_equal(profile->earliest_ns, rows[i].at_ns);
    }
    bench->step.event = NULL;
    bench_free(bench);
}

static void to_the_earliest_time_a_quarter_of_the_rest_is_added_and_a_minute_at_most(void **s)
{
    static const struct {
        int64_t earliest_ms, expires_ms, at_ms;
    } rows[] = {{1000, 5000, 2000},    {1000, 241000, 61000}, {1000, 241004, 61000},
                {1000, 9000000, 61000}, {5000, 5000, 5000},    {5000, 4000, 5000}};

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = with_times(0, BENCH_WALL_MS + rows[i].expires_ms,
                                         BENCH_WALL_MS + rows[i].earliest_ms);

        assert_int_equal(bench_profile(bench, "lab:me")->earliest_ns,
                         bench->now_ns + (uint64_t)rows[i].at_ms * MS_NS);
        bench_free(bench);
    }
}

static void a_refresh_is_planned_between_half_of_the_life_and_a_twentieth_later(void **s)
{
    struct bench *bench = with_times(BENCH_WALL_MS - 1000, BENCH_WALL_MS + 3000, 0);
    struct profile *profile = bench_profile(bench, "lab:me");
    struct token_event event = at_ms(bench, 0);
    uint64_t low = UINT64_MAX, high = 0, half = event.now_ns + 1000 * MS_NS;

    (void)s;
    bench->step.event = &event;
    for (int draw = 0; draw < 2000; draw++) {
        profile_plan(&bench->step, profile);
        low = profile->refresh_at_ns < low ? profile->refresh_at_ns : low;
        high = profile->refresh_at_ns > high ? profile->refresh_at_ns : high;
    }
    assert_in_range(low, half, half + 2 * MS_NS);
    assert_in_range(high, half + 198 * MS_NS, half + 200 * MS_NS);
    bench->step.event = NULL;
    bench_free(bench);
}

static void a_refresh_token_is_kept_alive_at_half_of_its_life_or_after_the_longest_wait(void **s)
{
    static const struct {
        uint64_t rule_s;
        int64_t obtained_ms, end_ms; /* from now; an end of 0 is unknown */
        uint64_t keep_alive_ms;      /* from now; 0: none */
    } rows[] = {{0, 0, 10000, 5000},      {0, -2000, 10000, 4000},
                {0, -2000, 0, 0},         {20, -2000, 0, 8000},
                {20, -2000, 10000, 4000}, {0, 0, 30ll * 86400000, 7ull * 86400000},
                {0, 2000, 2000, 0},       {0, 2000, 1000, 0}, {0, 0, 14ll * 86400000,
                 7ull * 86400000}};

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = bench_new(ROTATION_STRICT);
        struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me")};
        uint64_t expected = rows[i].keep_alive_ms;

        bench->rule.refresh_life_seconds = (uint32_t)rows[i].rule_s;
        stored.credential.obtained_at_ms = BENCH_WALL_MS + rows[i].obtained_ms;
        if (rows[i].end_ms != 0)
            stored.credential.refresh_expires_at_ms = BENCH_WALL_MS + rows[i].end_ms;
        bench_load_stored(bench, &stored);
        assert_int_equal(bench_profile(bench, "lab:me")->keep_alive_at_ns,
                         expected != 0 ? bench->now_ns + expected * MS_NS : 0);
        bench_free(bench);
    }
}

static void a_token_is_handed_out_to_half_a_minute_or_a_tenth_of_its_life_before_its_end(void **s)
{
    static const struct {
        int64_t life_ms, last_ms;
    } rows[] = {{3600000, 3570000}, {300000, 270000}, {100000, 90000}, {10, 9}};

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = with_times(BENCH_WALL_MS, BENCH_WALL_MS + rows[i].life_ms, 0);
        struct profile *profile = bench_profile(bench, "lab:me");
        uint64_t last = bench->now_ns + (uint64_t)rows[i].last_ms * MS_NS;

        assert_true(profile_usable(profile, last - 1));
        assert_false(profile_usable(profile, last));
        bench_free(bench);
    }
}

static void an_account_cools_until_its_time_and_models_only_for_themselves(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    assert_null(profile_cooling(profile, 0));
    profile->coolings[0] = (struct cooling){.until_ns = 50, .model = "gpt"};
    profile->coolings[1] = (struct cooling){.until_ns = 40};
    profile->coolings[2] = (struct cooling){.until_ns = 60};
    profile->cooling_count = 2;
    assert_ptr_equal(profile_cooling(profile, 39), &profile->coolings[1]);
    assert_null(profile_cooling(profile, 40)); /* and the third is none of its own */
    bench_free(bench);
}

/* An intent as it lies there after a restart, and the policy's word on it. */
static bool may_resend(struct bench *bench, const struct intent *intent, uint64_t now_ms,
                       int64_t wall_ms)
{
    struct profile *profile = bench_profile(bench, "lab:me");
    struct token_event event = at_ms(bench, 0);
    bool may;

    event.now_ns = now_ms * MS_NS;
    event.wall_ms = wall_ms;
    bench->step.event = &event;
    profile->intent = *intent;
    profile->maybe_spent = true;
    profile->ended_ns = UINT64_MAX / 2; /* the drain is out of sight: grace alone can allow it */
    may = policy_resend_at(&bench->step, profile) == 0;
    bench->step.event = NULL;
    return may;
}

static void the_grace_window_ends_two_seconds_or_a_fifth_early_by_the_later_clock(void **s)
{
    struct bench *bench = bench_with(ROTATION_GRACE, "lab:me");
    struct intent intent = {.first_boot_ns = 1000000 * MS_NS, .first_wall_ms = BENCH_WALL_MS};
    uint64_t sent = 1000000;

    (void)s;
    memcpy(intent.first_boot_id, bench->boot_id, 16); /* 30 s of grace */
    assert_true(may_resend(bench, &intent, sent, BENCH_WALL_MS));
    assert_true(may_resend(bench, &intent, sent + 27999, BENCH_WALL_MS));
    assert_false(may_resend(bench, &intent, sent + 28000, BENCH_WALL_MS));
    assert_true(may_resend(bench, &intent, sent, BENCH_WALL_MS + 27999));
    assert_false(may_resend(bench, &intent, sent, BENCH_WALL_MS + 28000));
    assert_true(may_resend(bench, &intent, sent, BENCH_WALL_MS - 1));
    bench_profile(bench, "lab:me")->rule->grace_seconds = 5;
    assert_true(may_resend(bench, &intent, sent + 3999, BENCH_WALL_MS));
    assert_false(may_resend(bench, &intent, sent + 4000, BENCH_WALL_MS));
    /* Another boot, or a boot clock before the request: the wall clock alone, if not past. */
    assert_true(may_resend(bench, &intent, sent - 1, BENCH_WALL_MS + 1));
    assert_false(may_resend(bench, &intent, sent - 1, BENCH_WALL_MS - 1));
    intent.first_boot_id[15] ^= 1;
    assert_true(may_resend(bench, &intent, sent + 100000, BENCH_WALL_MS));
    assert_false(may_resend(bench, &intent, sent, BENCH_WALL_MS - 1));
    bench_free(bench);
}

static void a_token_without_an_end_has_all_time_left_and_is_never_due_though_in_use(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct profile *profile;

    (void)s;
    bench->endless = true;
    bench_load(bench, "lab:me");
    bench_ready(bench, 0);
    profile = bench_profile(bench, "lab:me");
    assert_granted(bench, bench_ask(bench, "lab:me", 86400000, false), 1);
    assert_true(profile_in_use(profile));
    assert_true(profile_left_ms(profile, bench->now_ns) == UINT64_MAX);
    assert_true(policy_due(profile, bench->now_ns) == UINT64_MAX);
    bench_pass(bench, 100 * BENCH_LIFE_MS);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    bench_free(bench);
}

static void a_token_unusable_since_the_machine_started_does_not_count_as_endless(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    profile->expires_ns = 5;
    profile->life_ns = 50;
    assert_false(profile_usable(profile, 1));
    assert_true(profile_usable(profile, 0));
    bench_free(bench);
}

static void n_may_be_sent_again_from_the_very_moment_that_it_has_drained(void **s)
{
    struct bench *bench = bench_with(ROTATION_TWO_PHASE, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");
    struct token_event event = at_ms(bench, 60000);

    (void)s;
    profile->maybe_spent = true;
    profile->ended_ns = bench->now_ns;
    bench->step.event = &event;
    assert_true(policy_may_open(&bench->step, profile));
    event.now_ns--;
    assert_false(policy_may_open(&bench->step, profile));
    bench->step.event = NULL;
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
        cmocka_unit_test(a_backoff_doubles_from_its_base_to_its_most_and_half_of_it_is_chance),
        cmocka_unit_test(a_time_too_far_away_is_the_last_there_is_and_not_an_early_one),
        cmocka_unit_test(times_before_the_machine_started_and_at_its_start_are_times_all_the_same),
        cmocka_unit_test(to_the_earliest_time_a_quarter_of_the_rest_is_added_and_a_minute_at_most),
        cmocka_unit_test(a_refresh_is_planned_between_half_of_the_life_and_a_twentieth_later),
        cmocka_unit_test(
            a_refresh_token_is_kept_alive_at_half_of_its_life_or_after_the_longest_wait),
        cmocka_unit_test(
            a_token_is_handed_out_to_half_a_minute_or_a_tenth_of_its_life_before_its_end),
        cmocka_unit_test(an_account_cools_until_its_time_and_models_only_for_themselves),
        cmocka_unit_test(
            a_token_without_an_end_has_all_time_left_and_is_never_due_though_in_use),
        cmocka_unit_test(a_token_unusable_since_the_machine_started_does_not_count_as_endless),
        cmocka_unit_test(n_may_be_sent_again_from_the_very_moment_that_it_has_drained),
        cmocka_unit_test(the_grace_window_ends_two_seconds_or_a_fifth_early_by_the_later_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
