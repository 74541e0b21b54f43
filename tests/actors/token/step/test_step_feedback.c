/* SPDX-License-Identifier: Apache-2.0 */
/* What agents report and what they are told: rejected tokens, quota, watching. */
#include "step_fixture.h"

/* ---- rejected ------------------------------------------------------------------------------- */

static void a_rejected_token_that_was_rotated_gets_the_newer_one(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint8_t old[32];
    uint64_t waiter;

    (void)s;
    bench_sha(&bench_profile(bench, "lab:me")->credential, old);
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    waiter = bench_reject_sha(bench, "lab:me", old);
    assert_granted(bench, waiter, 2);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void a_rejected_current_token_is_refreshed_once_and_handed_to_nobody_meanwhile(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiters[8], plain;

    (void)s;
    for (int i = 0; i < 8; i++)
        waiters[i] = bench_reject(bench, "lab:me");
    plain = bench_ask(bench, "lab:me", 0, false);
    assert_waiting(bench, plain);
    bench_refresh(bench, "lab:me");
    for (int i = 0; i < 8; i++)
        assert_granted(bench, waiters[i], 2);
    assert_granted(bench, plain, 2);
    assert_int_equal(bench->spends, 1);
    bench_free(bench);
}

/* A call may begin with a token that ends on the way. That is an expiry like any other, however
 * often it happens. */
static void a_rejected_token_that_has_ended_is_no_rejection(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    for (uint64_t generation = 2; generation < 6; generation++) {
        uint64_t waiters[2], usable_ns = profile->expires_ns - 30000 * MS_NS;

        bench->now_ns = generation % 2 == 0 ? profile->expires_ns : usable_ns;
        waiters[0] = bench_reject(bench, "lab:me");
        waiters[1] = bench_reject(bench, "lab:me");
        assert_int_equal(profile->rejections, 0);
        assert_false(profile->access_rejected);
        bench_refresh(bench, "lab:me");
        assert_granted(bench, waiters[0], generation);
        assert_granted(bench, waiters[1], generation);
        assert_int_equal(bench->spends, generation - 1);
    }
    bench->now_ns = profile->expires_ns - 30000 * MS_NS - 1;
    bench_reject(bench, "lab:me"); /* a moment earlier it is one */
    assert_int_equal(profile->rejections, 1);
    bench_free(bench);
}

static void a_fresh_token_rejected_again_is_refused_with_backoff_and_never_loops(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter, longest = 0;

    (void)s;
    bench_reject(bench, "lab:me");
    bench_refresh(bench, "lab:me");
    for (int i = 0; i < 5; i++) {
        uint64_t left;

        waiter = bench_reject(bench, "lab:me");
        assert_refused(bench, waiter, "token_refused");
        assert_state(bench, "lab:me", "refused");
        left = bench_answer(bench, waiter)->retry_after_ms;
        if (left > longest)
            longest = left;
        waiter = bench_ask(bench, "lab:me", 0, false);
        assert_refused(bench, waiter, "token_refused");
        bench_pass(bench, left + 1);
        assert_state(bench, "lab:me", "valid");
        waiter = bench_ask(bench, "lab:me", 0, false);
        assert_granted(bench, waiter, 2);
    }
    assert_true(longest >= 240000);
    assert_int_equal(bench->spends, 1);
    bench_free(bench);
}

static void a_rejection_long_after_the_last_one_is_a_first_one(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_reject(bench, "lab:me");
    bench_refresh(bench, "lab:me");
    bench_pass(bench, 660000);
    waiter = bench_reject(bench, "lab:me");
    assert_waiting(bench, waiter);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, waiter, 3);
    bench_free(bench);
}

/* A bench with a login that has nothing to refresh it by; its token has an end, or none. */
static struct bench *bench_with_fixed(const char *name, const char *mode, bool endless)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored;

    bench->endless = endless;
    stored = (struct stored){.credential = bench_credential(bench, name, name)};
    snprintf(stored.credential.mode, sizeof(stored.credential.mode), "%s", mode);
    credential_set(&stored.credential.refresh, NULL);
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    return bench;
}

static void a_key_cannot_be_refreshed_so_its_rejection_refuses(void **s)
{
    struct bench *bench = bench_with_fixed("lab:key", "api_key", true);
    uint64_t waiter;

    (void)s;
    bench_pass(bench, 100 * BENCH_LIFE_MS);
    waiter = bench_ask(bench, "lab:key", BENCH_LIFE_MS, false);
    assert_granted(bench, waiter, 1);
    waiter = bench_reject(bench, "lab:key");
    assert_refused(bench, waiter, "token_refused");
    bench_pass(bench, 31000);
    waiter = bench_ask(bench, "lab:key", 0, false);
    assert_granted(bench, waiter, 1);
    bench_free(bench);
}

static void access_only_serves_until_its_end_then_says_so(void **s)
{
    struct bench *bench = bench_with_fixed("lab:me", "access_only", false);
    uint64_t waiter;

    (void)s;
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_granted(bench, waiter, 1);
    bench_pass(bench, BENCH_LIFE_MS);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_refused(bench, waiter, "access_only");
    bench_free(bench);
}

static void a_key_with_an_end_is_refused_after_it(void **s)
{
    struct bench *bench = bench_with_fixed("lab:key", "api_key", false);
    uint64_t waiter;

    (void)s;
    bench_pass(bench, BENCH_LIFE_MS);
    waiter = bench_ask(bench, "lab:key", 0, false);
    assert_refused(bench, waiter, "token_refused");
    bench_free(bench);
}

static void a_rejected_token_that_cannot_be_refreshed_is_not_handed_out_again(void **s)
{
    struct bench *bench = bench_with_fixed("lab:me", "access_only", false);
    uint64_t waiter;

    (void)s;
    waiter = bench_reject(bench, "lab:me");
    assert_refused(bench, waiter, "access_only");
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_refused(bench, waiter, "access_only");
    bench_free(bench);
}

/* ---- quota, watching --------------------------------------------------------------------*/

static void quota(struct bench *bench, const char *name, const char *model, int64_t until_ms)
{
    struct token_event event = bench_event(bench, EVENT_QUOTA);

    event.waiter = ++bench->last_waiter;
    event.name = name;
    event.model = model;
    event.until_ms = until_ms;
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_answer(bench, event.waiter)->kind, ACTION_DONE);
}

static void a_quota_cools_all_logins_of_the_account_and_no_state_moves_by_promise_7(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;

    (void)s;
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"lab:one", "lab:two", "lab:other"};
        struct stored stored = {.credential = bench_credential(bench, names[i], names[i])};

        snprintf(stored.credential.account, sizeof(stored.credential.account), "%s",
                 i < 2 ? "acct" : "else");
        bench_load_stored(bench, &stored);
    }
    bench_ready(bench, 0);
    quota(bench, "lab:one", "", bench->wall_ms + 60000);
    waiter = bench_ask(bench, "lab:two", 0, false);
    assert_refused(bench, waiter, "cooling");
    assert_state(bench, "lab:two", "valid");
    waiter = bench_ask(bench, "lab:other", 0, false);
    assert_granted(bench, waiter, 1);
    bench_pass(bench, 60001);
    waiter = bench_ask(bench, "lab:two", 0, false);
    assert_granted(bench, waiter, 1);
    bench_free(bench);
}

static void a_quota_of_one_model_leaves_the_others(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    for (int i = 0; i < 20; i++) {
        char model[16];

        snprintf(model, sizeof(model), "model-%d", i);
        quota(bench, "lab:me", model, 0);
    }
    assert_int_equal(bench_profile(bench, "lab:me")->cooling_count, STEP_COOLINGS_MAX);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_granted(bench, waiter, 1);
    bench_free(bench);
}

static void a_cooling_that_has_ended_makes_room_and_one_told_again_moves(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    quota(bench, "lab:me", "one", bench->wall_ms + 1000);
    quota(bench, "lab:me", "two", bench->wall_ms + 90000);
    bench_pass(bench, 2000);
    quota(bench, "lab:me", "three", bench->wall_ms + 90000);
    assert_int_equal(profile->cooling_count, 2);
    assert_string_equal(profile->coolings[0].model, "three");
    quota(bench, "lab:me", "two", bench->wall_ms + 5000);
    assert_int_equal(profile->cooling_count, 2);
    assert_in_range(profile->coolings[1].until_ns, bench->now_ns, bench->now_ns + 5000 * MS_NS);
    bench_free(bench);
}

static void a_quota_that_says_no_time_to_come_cools_for_a_while(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    const uint64_t most_ms = 31ull * 86400000;
    const int64_t times[] = {0, bench->wall_ms - 1, bench->wall_ms, INT64_MIN, INT64_MAX};

    (void)s;
    for (size_t i = 0; i < 5; i++) {
        uint64_t waiter;

        quota(bench, "lab:me", "", times[i]);
        waiter = bench_ask(bench, "lab:me", 0, false);
        assert_refused(bench, waiter, "cooling");
        assert_in_range(bench_answer(bench, waiter)->retry_after_ms, i < 4 ? 60000 : most_ms,
                        i < 4 ? 60001 : most_ms + 1);
        bench_pass(bench, bench_answer(bench, waiter)->retry_after_ms);
    }
    bench_free(bench);
}

static void a_quota_of_one_provider_leaves_an_account_of_the_same_name(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;

    (void)s;
    for (int i = 0; i < 2; i++) {
        struct stored stored = {.credential = bench_credential(bench, i == 0 ? "a:me" : "b:me",
                                                               i == 0 ? "a" : "b")};

        snprintf(stored.credential.account, sizeof(stored.credential.account), "acct");
        snprintf(stored.credential.provider, sizeof(stored.credential.provider), "lab-%d", i);
        bench_load_stored(bench, &stored);
    }
    bench_ready(bench, 0);
    quota(bench, "a:me", "", bench->wall_ms + 60000);
    waiter = bench_ask(bench, "b:me", 0, false);
    assert_granted(bench, waiter, 1);
    bench_free(bench);
}

static void when_there_is_no_room_the_cooling_that_ends_first_gives_way(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");
    bool found = false;

    (void)s;
    for (int i = 0; i < STEP_COOLINGS_MAX; i++) {
        char model[16];

        snprintf(model, sizeof(model), "model-%d", i);
        quota(bench, "lab:me", model, bench->wall_ms + (i == 5 ? 10000 : 20000 + i));
    }
    quota(bench, "lab:me", "one-more", bench->wall_ms + 30000);
    for (size_t i = 0; i < profile->cooling_count; i++) {
        assert_string_not_equal(profile->coolings[i].model, "model-5");
        found |= strcmp(profile->coolings[i].model, "one-more") == 0;
    }
    assert_true(found);
    bench_free(bench);
}

static void a_refusal_says_when_to_come_back_and_why(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    quota(bench, "lab:me", "", bench->wall_ms + 30000);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_in_range(bench_answer(bench, waiter)->retry_after_ms, 30000, 30001);
    assert_non_null(strstr(bench_answer(bench, waiter)->text, "lab:me"));
    assert_non_null(strstr(bench_answer(bench, waiter)->text, "quota"));
    bench_pass(bench, 30001);
    waiter = bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 400, OUTCOME_TERMINAL, "invalid_grant");
    bench_tell(bench, "lab:me", EVENT_LOOKED, 0);
    assert_non_null(strstr(bench_answer(bench, waiter)->text, "ended this login"));
    assert_int_equal(bench_answer(bench, waiter)->retry_after_ms, 0);
    bench_free(bench);
}

static void a_node_that_has_seen_more_raises_an_alarm_once(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    size_t alarms;

    (void)s;
    bench_watch(bench, "lab:me", 0, 1);
    assert_int_equal(bench_count(bench, ACTION_ALARM), 0);
    bench_watch(bench, "lab:me", 0, 4);
    alarms = bench_count(bench, ACTION_ALARM);
    assert_true(alarms > 0);
    bench_watch(bench, "lab:me", 0, 4);
    assert_int_equal(bench_count(bench, ACTION_ALARM), alarms);
    bench_free(bench);
}

static void a_watcher_is_told_the_newest_once_and_not_of_what_it_knows(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t first = bench_watch(bench, "lab:me", 0, 0), second;
    uint64_t version = bench_profile(bench, "lab:me")->version;

    (void)s;
    assert_granted(bench, first, 1);
    second = bench_watch(bench, "lab:me", version, 1);
    assert_waiting(bench, second);
    bench_pass(bench, BENCH_LIFE_MS * 3 / 4); /* a watcher means that it is in use */
    assert_waiting(bench, second);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, second, 2);
    assert_true(bench_profile(bench, "lab:me")->version != version);
    bench_free(bench);
}

static void watchers_hear_of_cooling_and_of_its_end(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_watch(bench, "lab:me", bench_profile(bench, "lab:me")->version, 0);

    (void)s;
    quota(bench, "lab:me", "", bench->wall_ms + 5000);
    assert_granted(bench, waiter, 1);
    waiter = bench_watch(bench, "lab:me", bench_profile(bench, "lab:me")->version, 0);
    bench_pass(bench, 5001);
    assert_granted(bench, waiter, 1);
    bench_free(bench);
}

static void each_rejection_in_a_row_doubles_the_refusal(void **s)
{
    static const struct {
        unsigned in_a_row;
        uint64_t least_ms, most_ms;
    } rows[] = {{2, 15000, 30000}, {3, 30000, 60000}, {4, 60000, 120000}};
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint64_t least = UINT64_MAX, most = 0;

        for (int draw = 0; draw < 60; draw++) {
            uint64_t left_ms;

            profile->rejections = rows[i].in_a_row - 1;
            profile->rejected_at_ns = bench->now_ns;
            profile->refused_until_ns = 0;
            bench_reject(bench, "lab:me");
            assert_int_equal(profile->rejections, rows[i].in_a_row);
            left_ms = (profile->refused_until_ns - bench->now_ns) / MS_NS;
            least = left_ms < least ? left_ms : least;
            most = left_ms > most ? left_ms : most;
        }
        assert_in_range(least, rows[i].least_ms, rows[i].least_ms * 5 / 4);
        assert_in_range(most, rows[i].most_ms * 4 / 5, rows[i].most_ms);
    }
    bench_free(bench);
}

static void rejections_are_in_a_row_up_to_the_whole_window_and_count_from_a_refusal(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    profile->rejections = 1;
    profile->rejected_at_ns = bench->now_ns - 600000 * MS_NS;
    bench_reject(bench, "lab:me");
    assert_int_equal(profile->rejections, 2);
    profile->rejections = 1;
    profile->rejected_at_ns = bench->now_ns - 600000 * MS_NS - 1;
    profile->refused_until_ns = 0;
    bench_reject(bench, "lab:me");
    assert_int_equal(profile->rejections, 1);
    profile->access_rejected = false;
    profile->refused_until_ns = bench->now_ns; /* over, to the moment */
    profile->rejected_at_ns = 1;
    bench_reject(bench, "lab:me");
    assert_int_equal(profile->rejections, 2);
    bench_free(bench);
}

static void a_quota_without_a_time_to_come_cools_for_a_minute_none_over_a_month(void **s)
{
    static const struct {
        int64_t until_ms, cools_ms;
    } rows[] = {{0, 60000}, {BENCH_WALL_MS - 1, 60000}, {BENCH_WALL_MS, 60000},
                {BENCH_WALL_MS + 1, 1}, {BENCH_WALL_MS + 40ll * 86400000, 31ll * 86400000}};

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

        quota(bench, "lab:me", "", rows[i].until_ms);
        assert_int_equal(bench_profile(bench, "lab:me")->coolings[0].until_ns,
                         bench->now_ns + (uint64_t)rows[i].cools_ms * MS_NS);
        bench_free(bench);
    }
}

static uint64_t version_after(struct bench *bench)
{
    bench_ask(bench, "lab:me", 0, false);
    return bench_profile(bench, "lab:me")->version;
}

static void the_version_begins_by_chance_and_moves_by_one_with_all_that_watchers_see(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");
    uint64_t version = profile->version;

    (void)s;
    assert_true(version > 1u << 30); /* those of an earlier process must not fit */
    assert_int_equal(version_after(bench), version);
    quota(bench, "lab:me", "nova", bench->wall_ms + 60000);
    assert_int_equal(version_after(bench), ++version);
    snprintf(profile->coolings[0].model, sizeof(profile->coolings[0].model), "lumi");
    assert_int_equal(version_after(bench), ++version);
    profile->coolings[0].until_ns++;
    assert_int_equal(version_after(bench), ++version);
    profile->credential.expires_at_ms++;
    assert_int_equal(version_after(bench), ++version);
    profile->credential.generation++;
    assert_int_equal(version_after(bench), ++version);
    profile->refused_until_ns = bench->now_ns + 1;
    assert_int_equal(version_after(bench), ++version);
    profile->refused_until_ns = bench->now_ns; /* over, to the moment */
    assert_int_equal(version_after(bench), ++version);
    profile->coolings[0].until_ns = bench->now_ns;
    assert_int_equal(version_after(bench), ++version);
    assert_int_equal(version_after(bench), version);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rejected_token_that_was_rotated_gets_the_newer_one),
        cmocka_unit_test(a_rejected_current_token_is_refreshed_once_and_handed_to_nobody_meanwhile),
        cmocka_unit_test(a_rejected_token_that_has_ended_is_no_rejection),
        cmocka_unit_test(a_fresh_token_rejected_again_is_refused_with_backoff_and_never_loops),
        cmocka_unit_test(a_rejection_long_after_the_last_one_is_a_first_one),
        cmocka_unit_test(a_key_cannot_be_refreshed_so_its_rejection_refuses),
        cmocka_unit_test(access_only_serves_until_its_end_then_says_so),
        cmocka_unit_test(a_key_with_an_end_is_refused_after_it),
        cmocka_unit_test(a_rejected_token_that_cannot_be_refreshed_is_not_handed_out_again),
        cmocka_unit_test(a_cooling_that_has_ended_makes_room_and_one_told_again_moves),
        cmocka_unit_test(a_quota_that_says_no_time_to_come_cools_for_a_while),
        cmocka_unit_test(a_quota_of_one_provider_leaves_an_account_of_the_same_name),
        cmocka_unit_test(a_quota_cools_all_logins_of_the_account_and_no_state_moves_by_promise_7),
        cmocka_unit_test(a_quota_of_one_model_leaves_the_others),
        cmocka_unit_test(when_there_is_no_room_the_cooling_that_ends_first_gives_way),
        cmocka_unit_test(a_refusal_says_when_to_come_back_and_why),
        cmocka_unit_test(a_node_that_has_seen_more_raises_an_alarm_once),
        cmocka_unit_test(a_watcher_is_told_the_newest_once_and_not_of_what_it_knows),
        cmocka_unit_test(watchers_hear_of_cooling_and_of_its_end),
        cmocka_unit_test(each_rejection_in_a_row_doubles_the_refusal),
        cmocka_unit_test(rejections_are_in_a_row_up_to_the_whole_window_and_count_from_a_refusal),
        cmocka_unit_test(a_quota_without_a_time_to_come_cools_for_a_minute_none_over_a_month),
        cmocka_unit_test(the_version_begins_by_chance_and_moves_by_one_with_all_that_watchers_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
