/* SPDX-License-Identifier: Apache-2.0 */
/* The intent: what is durable before the gate opens, and what a restart makes of it. */
#include "step_fixture.h"

#include <errno.h>

static void the_intent_says_which_attempt_it_is_and_when_and_in_which_boot(void **s)
{
    struct bench *bench = bench_with(ROTATION_NONE, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");
    const struct intent *intent = &profile->intent;
    uint8_t first_boot[16];
    uint64_t first_ns = bench->now_ns;
    int64_t first_ms = bench->wall_ms;

    (void)s;
    memcpy(first_boot, bench->boot_id, 16);
    memset(bench->nonce, 3, 16);
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    assert_int_equal(intent->generation, 1);
    assert_int_equal(intent->attempt, 1);
    assert_int_equal(intent->wall_ms, first_ms);
    assert_int_equal(intent->boot_ns, first_ns);
    assert_memory_equal(intent->nonce, bench->nonce, 16);
    assert_memory_equal(intent->boot_id, first_boot, 16);
    assert_memory_equal(intent->first_boot_id, first_boot, 16);
    assert_int_equal(intent->first_wall_ms, first_ms);
    assert_int_equal(intent->first_boot_ns, first_ns);
    bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    /* The second attempt keeps when the first was: a grace window counts from there. */
    memset(bench->boot_id, 9, 16);
    memset(bench->nonce, 4, 16);
    bench_pass(bench, 1000);
    bench_send(bench, "lab:me");
    assert_int_equal(intent->attempt, 2);
    assert_true(intent->wall_ms > first_ms && intent->boot_ns > first_ns);
    assert_memory_equal(intent->nonce, bench->nonce, 16);
    assert_memory_equal(intent->boot_id, bench->boot_id, 16);
    assert_memory_equal(intent->first_boot_id, first_boot, 16);
    assert_int_equal(intent->first_wall_ms, first_ms);
    assert_int_equal(intent->first_boot_ns, first_ns);
    bench_free(bench);
}

/* What was sent after the provider's window had closed is a first attempt for a window of its own;
 * inside it, or under a rule without windows, the first one stays the first. */
static void a_grace_window_counts_from_the_first_attempt_in_it(void **s)
{
    static const struct {
        enum rotation rotation;
        uint64_t pause_ms;
        bool is_new;
    } rows[] = {{ROTATION_GRACE, 1000, false},
                {ROTATION_GRACE, 2 * BENCH_LIFE_MS, true},
                {ROTATION_STRICT, 2 * BENCH_LIFE_MS, false},
                {ROTATION_TWO_PHASE, 2 * BENCH_LIFE_MS, false}};

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = bench_with(rows[i].rotation, "lab:me");
        const struct intent *intent = &bench_profile(bench, "lab:me")->intent;
        int64_t first_ms = bench->wall_ms;
        uint64_t first_ns = bench->now_ns;

        bench_ask(bench, "lab:me", 0, true);
        bench_send(bench, "lab:me");
        bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
        bench_pass(bench, rows[i].pause_ms);
        bench_send(bench, "lab:me");
        assert_int_equal(intent->attempt, 2);
        assert_true(intent->wall_ms > first_ms && intent->boot_ns > first_ns);
        assert_int_equal(intent->first_wall_ms, rows[i].is_new ? intent->wall_ms : first_ms);
        assert_int_equal(intent->first_boot_ns, rows[i].is_new ? intent->boot_ns : first_ns);
        bench_free(bench);
    }
}

static void what_a_found_answer_says_is_true_of_its_own_attempt_only(void **s)
{
    static const struct {
        uint32_t sent, answered;
        const char *state; /* after an answer that says: not spent */
    } rows[] = {{1, 1, "valid"}, {2, 2, "uncertain"}, {3, 3, "uncertain"}, {2, 1, "uncertain"},
                {1, 0, "uncertain"}};

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = bench_new(ROTATION_STRICT);
        struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                                .has_intent = true, .has_answer = true};
        struct profile *profile;

        stored.intent = bench_intent(bench, 1000, rows[i].sent);
        stored.answer = (struct answer){.generation = 1, .attempt = rows[i].answered,
                                        .complete = true, .http_status = 429,
                                        .body = secret_new("{}", 2)};
        bench_load_stored(bench, &stored);
        profile = bench_profile(bench, "lab:me");
        assert_int_equal(profile->fault, FAULT_UNKNOWN);
        assert_string_equal(bench_last(bench, ACTION_ALARM)->text,
                            "lab:me: the last refresh was sent and its outcome is not known: found "
                            "at the start; wait: it is sent again when the provider's rule allows "
                            "it");
        bench_ready(bench, 0);
        bench_parsed(bench, "lab:me", OUTCOME_NOT_SPENT, "slow_down");
        assert_state(bench, "lab:me", rows[i].state);
        /* The next attempt is another one, whatever this one was worth. */
        assert_int_equal(profile->intent.attempt,
                         strcmp(rows[i].state, "valid") == 0 ? 0 : rows[i].sent);
        bench_free(bench);
    }
}

static void a_request_found_had_ended_with_its_process_or_by_its_time_limit(void **s)
{
    static const struct {
        bool same_boot;
        int64_t boot_ago_ms, wall_ago_ms;
        uint64_t ended_ago_ms;
    } rows[] = {
        {true, 1000, 1000, 0},       {true, 60000, 5000, 0},   {true, 100000, 5000, 40000},
        {true, -5000, 100000, 0}, /* a boot clock of the future says: now */
        {false, 5000, 100000, 40000}, {false, 100000, 5000, 0}, {false, 100000, -5000, 0},
    };

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = bench_new(ROTATION_STRICT);
        struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me"),
                                .has_intent = true};

        stored.intent = bench_intent(bench, 0, 1);
        stored.intent.boot_ns = bench->now_ns - (uint64_t)(rows[i].boot_ago_ms * (int64_t)MS_NS);
        stored.intent.wall_ms = bench->wall_ms - rows[i].wall_ago_ms;
        stored.intent.boot_id[0] ^= rows[i].same_boot ? 0 : 1;
        bench_load_stored(bench, &stored);
        assert_int_equal(bench_profile(bench, "lab:me")->ended_ns,
                         bench->now_ns - rows[i].ended_ago_ms * MS_NS);
        bench_free(bench);
    }
}

/* Why a refresh was started stands in the audit. */
static void assert_cause(const struct bench *bench, const char *cause)
{
    char why[32];

    snprintf(why, sizeof(why), " why=%s ", cause);
    for (size_t i = bench->action_count; i-- > 0;)
        if (bench->actions[i].kind == ACTION_AUDIT &&
            strstr(bench->actions[i].text, "attempt=") != NULL) {
            assert_non_null(strstr(bench->actions[i].text, why));
            return;
        }
    fail();
}

static void the_audit_says_why_each_refresh_was_started(void **s)
{
    struct bench *bench = bench_with(ROTATION_NONE, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, false);
    bench_pass(bench, BENCH_LIFE_MS * 6 / 10);
    bench_send(bench, "lab:me");
    assert_cause(bench, "schedule");
    bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    bench_pass(bench, 1000);
    bench_send(bench, "lab:me");
    assert_cause(bench, "resend");
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    bench_ask(bench, "lab:me", BENCH_LIFE_MS, false);
    bench_pass(bench, 10000);
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    assert_cause(bench, "demand");
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    bench_reject(bench, "lab:me");
    bench_send(bench, "lab:me");
    assert_cause(bench, "rejected");
    bench_free(bench);
}

static void no_answer_is_kept_in_memory_once_it_was_judged(void **s)
{
    static const enum token_outcome outcomes[] = {OUTCOME_NOT_SPENT, OUTCOME_UNKNOWN,
                                                  OUTCOME_TERMINAL, OUTCOME_ROTATED};

    (void)s;
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++) {
        struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

        bench_ask(bench, "lab:me", 0, true);
        bench_send(bench, "lab:me");
        bench_answered(bench, "lab:me", 400, outcomes[i], "code");
        if (outcomes[i] == OUTCOME_TERMINAL)
            bench_tell(bench, "lab:me", EVENT_LOOKED, 0);
        if (outcomes[i] == OUTCOME_ROTATED) {
            assert_non_null(bench_profile(bench, "lab:me")->answer.body); /* until it is saved */
            bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
        }
        assert_null(bench_profile(bench, "lab:me")->answer.body);
        bench_free(bench);
    }
}

static void what_came_before_the_gate_is_given_back(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    event = bench_event(bench, EVENT_EXCHANGED);
    event.ticket = bench_profile(bench, "lab:me")->ticket;
    event.end = EXCHANGE_NOT_SENT;
    event.body = secret_new("proxy", 5); /* the sanitizer's leak check is the judge */
    token_step_run(&bench->step, &event);
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void why_an_exchange_ended_early_is_said_when_its_intent_has_settled(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_tell(bench, "lab:me", EVENT_GATE, 0);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    bench_tell(bench, "lab:me", EVENT_INTENT_SAVED, 0);
    assert_string_equal(bench_last(bench, ACTION_AUDIT)->text,
                        "refresh profile=lab:me generation=1 attempt=1 outcome=not_sent "
                        "why=\"scripted\"");
    bench_free(bench);
}

static void a_store_that_moved_on_is_adopted_and_that_is_in_the_audit(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;
    struct credential later;
    uint8_t sha[32];

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 400, OUTCOME_TERMINAL, "invalid_grant");
    later = bench_credential(bench, "lab:me", "later");
    later.generation = 5;
    bench_sha(&later, sha);
    event = bench_event(bench, EVENT_LOOKED);
    event.ticket = bench_profile(bench, "lab:me")->ticket;
    event.found = true;
    event.credential = &later;
    event.sha256 = sha;
    token_step_run(&bench->step, &event);
    assert_state(bench, "lab:me", "valid");
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 5);
    for (size_t i = 0, found = 0; i < bench->action_count || found != 1; i++) {
        assert_true(i < bench->action_count);
        found += strcmp(bench->actions[i].text,
                        "adopt profile=lab:me generation=5 why=\"the store has moved on\"") == 0;
    }
    bench_free(bench);
}

static void a_login_whose_request_was_sent_holds_its_origins_turn(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);

    (void)s;
    bench_load(bench, "lab:a");
    bench_load(bench, "lab:b");
    bench_ready(bench, 0);
    bench_ask(bench, "lab:b", 0, true);
    bench_send(bench, "lab:b");
    bench_ask(bench, "lab:a", 0, true);
    assert_int_equal(bench_profile(bench, "lab:a")->phase, PHASE_NONE);
    bench_exchanged(bench, "lab:b", EXCHANGE_ANSWERED, 200); /* only its disk is at work now */
    assert_int_equal(bench_profile(bench, "lab:a")->phase, PHASE_RESERVE);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_intent_says_which_attempt_it_is_and_when_and_in_which_boot),
        cmocka_unit_test(a_grace_window_counts_from_the_first_attempt_in_it),
        cmocka_unit_test(what_a_found_answer_says_is_true_of_its_own_attempt_only),
        cmocka_unit_test(a_request_found_had_ended_with_its_process_or_by_its_time_limit),
        cmocka_unit_test(the_audit_says_why_each_refresh_was_started),
        cmocka_unit_test(no_answer_is_kept_in_memory_once_it_was_judged),
        cmocka_unit_test(what_came_before_the_gate_is_given_back),
        cmocka_unit_test(why_an_exchange_ended_early_is_said_when_its_intent_has_settled),
        cmocka_unit_test(a_store_that_moved_on_is_adopted_and_that_is_in_the_audit),
        cmocka_unit_test(a_login_whose_request_was_sent_holds_its_origins_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
