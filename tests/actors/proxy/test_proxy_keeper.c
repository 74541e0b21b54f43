/* SPDX-License-Identifier: Apache-2.0 */
/* The token proxy: what it makes of what a keeper says to it, or leaves unsaid. */
#include "keeper_bench.h"
#include "runtime/introspect.h"

/* ---- tests ---------------------------------------------------------------------------------- */

static void an_older_store_is_named_and_told_what_was_seen(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t first = get(bench, "lab:me", false), forced;
    struct asked last;

    (void)s;
    reply(bench, MSG_token_get, grant(5, 50));
    assert_token(bench->rig, first, "access-5");
    assert_int_equal(asked(bench, MSG_token_watch, &last), 1);
    reply(bench, MSG_token_watch, grant(4, 50)); /* older, and of the version that is known */
    get(bench, "lab:me", false);
    reply(bench, MSG_token_watch, grant(4, 40));
    forced = get(bench, "lab:me", true);
    asked(bench, MSG_token_watch, &last);
    assert_int_equal(last.version, 40); /* which was seen, though not taken */
    reply(bench, MSG_token_get, grant(3, 30));
    assert_code(bench->rig, forced, "copied_store");
    assert_string_equal(rig_answer(bench->rig, forced)->text,
                        "lab:me: the keeper's store is older than what was seen here");
    asked(bench, MSG_token_watch, &last);
    assert_int_equal(last.generation_seen, 5);
    bench_free(bench);
}

static void a_refused_watch_is_not_asked_for_until_the_next_use(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag = get(bench, "lab:me", false);
    struct asked last;
    size_t watches;

    (void)s;
    reply(bench, MSG_token_get, grant(5, 50));
    watches = asked(bench, MSG_token_watch, &last);
    reply(bench, MSG_token_watch, refusal("busy"));
    rig_pass(bench->rig, 60000);
    assert_int_equal(asked(bench, MSG_token_watch, &last), watches);
    tag = get(bench, "lab:me", false);
    assert_token(bench->rig, tag, "access-5");
    assert_int_equal(asked(bench, MSG_token_watch, &last), watches + 1);
    reply(bench, MSG_token_watch, NULL); /* busy, says the runtime */
    rig_pass(bench->rig, 60000);
    assert_int_equal(asked(bench, MSG_token_watch, &last), watches + 1);
    get(bench, "lab:me", false);
    assert_int_equal(asked(bench, MSG_token_get, &last), 1); /* it is not said to end */
    bench_free(bench);
}

static void a_request_that_is_never_answered_is_asked_again(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag = get(bench, "lab:me", false);
    struct asked last;

    (void)s;
    rig_pass(bench->rig, GET_DEADLINE_MS + 1000);
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    assert_null(rig_answer(bench->rig, tag));
    reply(bench, MSG_token_get, grant(5, 50));
    assert_token(bench->rig, tag, "access-5");
    get(bench, "lab:me", false);
    assert_int_equal(asked(bench, MSG_token_watch, &last), 1);
    rig_pass(bench->rig, 3601000); /* and so is a watch, while it is of use */
    assert_int_equal(asked(bench, MSG_token_watch, &last), 2);
    bench_free(bench);
}

static void a_refused_join_is_tried_again(void **s)
{
    struct bench *bench =
        bench_new((struct proxy_config){.swarm = "five", .config = "a.json", .retry_ms = 100});
    struct asked last;

    (void)s;
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 1);
    reply(bench, MSG_swarm_join, refusal("bad_config"));
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 1);
    rig_pass(bench->rig, 500);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    reply(bench, MSG_swarm_join, actor_pack(done, (&(struct done){.count = 1})));
    rig_pass(bench->rig, 60000);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    bench_free(bench);
}

static void what_is_seen_under_one_name_is_seen_under_all(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag;
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    get(bench, "lab:alias", false);
    reply(bench, MSG_token_get, grant(6, 60)); /* of the same profile */
    tag = get(bench, "lab:me", false);
    assert_null(rig_answer(bench->rig, tag)); /* what it holds is an older one */
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    reply(bench, MSG_token_get, grant(6, 60));
    assert_token(bench->rig, tag, "access-6");
    tag = get(bench, "lab:other", false);
    reply(bench, MSG_token_get, grant(5, 50)); /* older than what others have seen of it */
    assert_code(bench->rig, tag, "copied_store");
    bench_free(bench);
}

static void past_its_renewal_a_token_is_served_and_asked_for_anew_now_and_then(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, short_grant(bench, 5));
    rig_pass(bench->rig, 6000);
    for (int i = 0; i < 3; i++)
        assert_token(bench->rig, get(bench, "lab:me", false), "a");
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    assert_string_equal(last.who, "keeper/"); /* nobody waits for it */
    reply(bench, MSG_token_get, refusal("unavailable"));
    for (int i = 0; i < 4; i++) {
        assert_token(bench->rig, get(bench, "lab:me", false), "a");
        rig_pass(bench->rig, 2000);
    }
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    bench_free(bench);
}

static void the_times_to_ask_anew_have_passed_only_a_moment_after_them(void **s)
{
    static const struct {
        int64_t renew_ms, first_ms; /* after the last request: five seconds are between two */
    } rows[] = {{5500, 5500}, {1000, 5000}};

    (void)s;
    for (size_t i = 0; i < 2; i++) {
        struct bench *bench = bench_new((struct proxy_config){0});
        struct asked last;

        get(bench, "lab:me", false);
        reply(bench, MSG_token_get, grant_to_renew(bench, 5, rows[i].renew_ms));
        rig_pass(bench->rig, rows[i].first_ms);
        get(bench, "lab:me", false);
        assert_int_equal(asked(bench, MSG_token_get, &last), 1);
        rig_pass(bench->rig, 1);
        get(bench, "lab:me", false);
        assert_int_equal(asked(bench, MSG_token_get, &last), 2);
        bench_free(bench);
    }
}

static void names_that_are_none_never_reach_the_keeper(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    char name[200];
    struct asked last;

    (void)s;
    snprintf(name, sizeof(name), "%0150d", 0);
    assert_code(bench->rig, get(bench, "", false), "unknown_profile");
    assert_code(bench->rig, get(bench, name, false), "unknown_profile");
    assert_int_equal(asked(bench, MSG_token_get, &last), 0);
    rig_ask(bench->rig, token_get, .profile = proto_text("lab:me"),
            .who = proto_text("a_name_of_forty_six_bytes_and_then_a_letter_o_\xc3\xb6"));
    asked(bench, MSG_token_get, &last);
    assert_string_equal(last.who, "keeper/a_name_of_forty_six_bytes_and_then_a_letter_o_");
    rig_ask(bench->rig, token_get, .profile = proto_text("lab:two"), .who = proto_text("x"));
    asked(bench, MSG_token_get, &last);
    assert_string_equal(last.who, "keeper/x");
    bench_free(bench);
}

static void the_longest_life_that_somebody_waits_for_is_asked_for(void **s)
{
    static const uint64_t wishes_ms[] = {10, 5000, 90000, 7000};
    struct bench *bench = bench_new((struct proxy_config){0});
    struct asked last;

    (void)s;
    for (size_t i = 0; i < 4; i++)
        rig_ask(bench->rig, token_get, .profile = proto_text("lab:me"),
                .min_valid_ms = wishes_ms[i]);
    asked(bench, MSG_token_get, &last);
    assert_int_equal(last.min_valid_ms, 10);
    reply(bench, MSG_token_get, refusal("unavailable")); /* to the first */
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    assert_int_equal(last.min_valid_ms, 90000);
    bench_free(bench);
}

static void more_than_can_wait_for_one_token_are_sent_away(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag = 0;

    (void)s;
    for (int i = 0; i < LEASE_WAITERS_MAX; i++)
        tag = get(bench, "lab:me", false);
    assert_null(rig_answer(bench->rig, tag));
    tag = get(bench, "lab:me", false);
    assert_code(bench->rig, tag, "busy");
    runtime_stop_actor(bench->rig->runtime, bench->rig->asker); /* it has no room for so many */
    rig_run(bench->rig);
    bench_free(bench);
}

static void profiles_beyond_those_it_keeps_are_asked_of_the_keeper_itself(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct asked last;
    uint64_t tag;
    char name[32];

    (void)s;
    for (int i = 0; i < LEASES_MAX; i++) {
        snprintf(name, sizeof(name), "lab:%d", i);
        get(bench, name, false);
    }
    assert_int_equal(asked(bench, MSG_token_get, &last), LEASES_MAX);
    tag = get(bench, "one more", false);
    assert_int_equal(asked(bench, MSG_token_get, &last), LEASES_MAX + 1);
    reply(bench, MSG_token_get, grant(9, 90));
    assert_token(bench->rig, tag, "access-9");
    bench_free(bench);
}

static void who_has_gone_is_forgotten_and_what_stands_is_described(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct actor_info info;
    char text[128];

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    get(bench, "lab:two", false);
    get(bench, "lab:two", true);
    assert_int_equal(introspect_actor(bench->rig->runtime, "token", &info, text, sizeof(text)), 0);
    assert_string_equal(text, "2 leases, 2 waiters, keeper met");
    reply(bench, MSG_token_get, NULL);
    introspect_actor(bench->rig->runtime, "token", &info, text, sizeof(text));
    assert_non_null(strstr(text, "keeper away"));
    runtime_stop_actor(bench->rig->runtime, bench->rig->asker);
    rig_run(bench->rig);
    introspect_actor(bench->rig->runtime, "token", &info, text, sizeof(text));
    assert_non_null(strstr(text, " 0 waiters"));
    bench_free(bench);
}

static void what_is_rejected_by_some_is_still_asked_for_by_others(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t one, other;
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    one = reject(bench, "0123456789abcdef0123456789abcdef");
    other = reject(bench, "0123456789abcdef0123456789abcdeX");
    assert_int_equal(asked(bench, MSG_token_rejected, &last), 1);
    reply(bench, MSG_token_rejected, refusal("token_refused"));
    assert_code(bench->rig, one, "token_refused");
    assert_null(rig_answer(bench->rig, other));
    assert_int_equal(asked(bench, MSG_token_rejected, &last), 2);
    reply(bench, MSG_token_rejected, grant(6, 60));
    assert_token(bench->rig, other, "access-6");
    bench_free(bench);
}

static void two_rejected_tokens_and_a_forced_request_are_each_asked_for_by_itself(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t one, other, first, forced;
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    first = get(bench, "lab:me", true);
    one = reject(bench, "0123456789abcdef0123456789abcdef");
    other = reject(bench, "0123456789abcdef0123456789abcdeX");
    forced = get(bench, "lab:me", true);
    reply(bench, MSG_token_get, refusal("one"));
    assert_code(bench->rig, first, "one");
    reply(bench, MSG_token_rejected, refusal("two"));
    assert_code(bench->rig, one, "two");
    assert_null(rig_answer(bench->rig, other));
    reply(bench, MSG_token_rejected, refusal("three"));
    assert_code(bench->rig, other, "three");
    assert_null(rig_answer(bench->rig, forced));
    reply(bench, MSG_token_get, grant(6, 60));
    assert_token(bench->rig, forced, "access-6");
    assert_int_equal(asked(bench, MSG_token_rejected, &last), 2);
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    bench_free(bench);
}

static void a_rejected_token_that_the_keeper_gives_again_is_served_again(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct asked last;
    uint64_t tag;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    tag = reject(bench, "0123456789abcdef0123456789abcdef");
    reply(bench, MSG_token_rejected, grant(5, 50));
    assert_token(bench->rig, tag, "access-5");
    assert_token(bench->rig, get(bench, "lab:me", false), "access-5");
    assert_int_equal(asked(bench, MSG_token_get, &last), 1);
    bench_free(bench);
}

static void an_answer_to_what_was_asked_before_a_rejection_does_not_end_it(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t forced, rejected, plain;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    forced = get(bench, "lab:me", true);
    rejected = reject(bench, "0123456789abcdef0123456789abcdef");
    reply(bench, MSG_token_get, grant(5, 51));
    assert_token(bench->rig, forced, "access-5");
    plain = get(bench, "lab:me", false);
    assert_null(rig_answer(bench->rig, plain));
    reply(bench, MSG_token_rejected, grant(6, 60));
    assert_token(bench->rig, rejected, "access-6");
    assert_token(bench->rig, plain, "access-6");
    bench_free(bench);
}

static void what_is_seen_of_one_profile_says_nothing_of_another(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct asked last;
    uint64_t tag;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(6, 60));
    tag = get(bench, "lab:two", false);
    reply(bench, MSG_token_get, grant_of("lab:two", 2, 20));
    assert_token(bench->rig, tag, "access-2");
    assert_token(bench->rig, get(bench, "lab:me", false), "access-6");
    assert_token(bench->rig, get(bench, "lab:two", false), "access-2");
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    tag = get(bench, "lab:me", true); /* and it is not forgotten for the other's sake */
    reply(bench, MSG_token_get, grant(4, 70));
    assert_code(bench->rig, tag, "copied_store");
    get(bench, "lab:two", true); /* nor does it count for the other when it is the later one */
    reply(bench, MSG_token_get, grant_of("lab:two", 9, 90));
    tag = get(bench, "lab:me", true);
    reply(bench, MSG_token_get, grant(6, 61));
    assert_token(bench->rig, tag, "access-6");
    bench_free(bench);
}

static void a_token_of_a_profile_whose_id_is_too_long_is_not_handed_on(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag = get(bench, "lab:me", false);
    struct asked last;
    char name[200];

    (void)s;
    snprintf(name, sizeof(name), "%0150d", 0);
    reply(bench, MSG_token_get, grant_of(name, 5, 50));
    assert_code(bench->rig, tag, "copied_store");
    assert_int_equal(asked(bench, MSG_token_watch, &last), 1);
    assert_string_equal(last.profile, "lab:me"); /* as there is no id to watch it by */
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_store_is_named_and_told_what_was_seen),
        cmocka_unit_test(a_refused_watch_is_not_asked_for_until_the_next_use),
        cmocka_unit_test(a_request_that_is_never_answered_is_asked_again),
        cmocka_unit_test(a_refused_join_is_tried_again),
        cmocka_unit_test(what_is_seen_under_one_name_is_seen_under_all),
        cmocka_unit_test(past_its_renewal_a_token_is_served_and_asked_for_anew_now_and_then),
        cmocka_unit_test(the_times_to_ask_anew_have_passed_only_a_moment_after_them),
        cmocka_unit_test(names_that_are_none_never_reach_the_keeper),
        cmocka_unit_test(the_longest_life_that_somebody_waits_for_is_asked_for),
        cmocka_unit_test(more_than_can_wait_for_one_token_are_sent_away),
        cmocka_unit_test(profiles_beyond_those_it_keeps_are_asked_of_the_keeper_itself),
        cmocka_unit_test(who_has_gone_is_forgotten_and_what_stands_is_described),
        cmocka_unit_test(what_is_rejected_by_some_is_still_asked_for_by_others),
        cmocka_unit_test(two_rejected_tokens_and_a_forced_request_are_each_asked_for_by_itself),
        cmocka_unit_test(a_rejected_token_that_the_keeper_gives_again_is_served_again),
        cmocka_unit_test(an_answer_to_what_was_asked_before_a_rejection_does_not_end_it),
        cmocka_unit_test(what_is_seen_of_one_profile_says_nothing_of_another),
        cmocka_unit_test(a_token_of_a_profile_whose_id_is_too_long_is_not_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
