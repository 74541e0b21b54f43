/* SPDX-License-Identifier: Apache-2.0 */
/* One refresh, its ways out, and what each rotation rule makes of an unknown outcome. */
#include "step_fixture.h"

#include <errno.h>

static void a_refresh_reserves_connects_and_has_its_intent_durable_before_the_gate_opens(void **s)
{
    static const enum token_action_kind order[] = {
        ACTION_RESERVE, ACTION_EXCHANGE, ACTION_WRITE_INTENT, ACTION_GATE,
        ACTION_WRITE_ANSWER, ACTION_PARSE, ACTION_WRITE_RECORD};
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);
    size_t at = 0;

    (void)s;
    bench_refresh(bench, "lab:me");
    for (size_t i = 0; i < bench->action_count; i++) {
        enum token_action_kind kind = bench->actions[i].kind;

        if (kind <= ACTION_WRITE_RECORD)
            assert_int_equal(kind, order[at++]);
        if (kind == ACTION_GRANT)
            assert_int_equal(at, 7); /* promise 3: nobody is told before the record */
    }
    assert_int_equal(at, 7);
    assert_granted(bench, waiter, 2);
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void a_failed_reservation_spends_nothing_and_is_tried_again(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);

    (void)s;
    bench_tell(bench, "lab:me", EVENT_RESERVED, -ENOSPC);
    assert_state(bench, "lab:me", "valid");
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_STORE);
    assert_int_equal(bench_count(bench, ACTION_EXCHANGE), 0);
    assert_int_equal(bench_count(bench, ACTION_RELEASE), 1);
    assert_waiting(bench, waiter);
    bench_pass(bench, 1000);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, waiter, 2);
    bench_free(bench);
}

static void what_fails_before_the_gate_spends_nothing_whatever_the_rule(void **s)
{
    (void)s;
    for (int rotation = ROTATION_STRICT; rotation <= ROTATION_TWO_PHASE; rotation++) {
        struct bench *bench = bench_with((enum rotation)rotation, "lab:me");

        bench_ask(bench, "lab:me", 0, true);
        bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
        bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
        assert_state(bench, "lab:me", "valid");
        assert_false(bench_profile(bench, "lab:me")->maybe_spent);
        assert_int_equal(bench_count(bench, ACTION_RELEASE), 1);
        assert_int_equal(bench->spends, 0);
        bench_free(bench);
    }
}

static void an_intent_that_cannot_be_written_keeps_the_gate_shut(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_tell(bench, "lab:me", EVENT_GATE, 0);
    bench_tell(bench, "lab:me", EVENT_INTENT_SAVED, -EIO);
    assert_false(bench_last(bench, ACTION_GATE)->open);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_int_equal(bench->spends, 0);
    assert_int_equal(bench_count(bench, ACTION_RELEASE), 1);
    assert_false(bench_profile(bench, "lab:me")->maybe_spent);
    bench_free(bench);
}

static void an_exchange_that_ends_while_the_intent_is_written_is_not_sent(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_tell(bench, "lab:me", EVENT_GATE, 0);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_int_equal(bench_count(bench, ACTION_RELEASE), 0); /* its file is being written */
    bench_tell(bench, "lab:me", EVENT_INTENT_SAVED, 0);
    assert_int_equal(bench_count(bench, ACTION_RELEASE), 1);
    assert_int_equal(bench_count(bench, ACTION_GATE), 0);
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

/* ---- the outcome table ---------------------------------------------------------------------- */

struct outcome_row {
    enum token_outcome outcome;
    const char *code;
    const char *state;
    bool releases;
    uint64_t generation;
    enum fault fault;
};

static const struct outcome_row rows[] = {
    {OUTCOME_ROTATED, "", "valid", false, 2, FAULT_NONE},
    {OUTCOME_KEPT, "", "valid", false, 2, FAULT_NONE},
    {OUTCOME_NOT_SPENT, "slow down", "valid", true, 1, FAULT_NETWORK},
    {OUTCOME_CONFIG, "invalid_client", "valid", true, 1, FAULT_CONFIG},
    {OUTCOME_TERMINAL, "refresh_token_reused", "needs_login", false, 1, FAULT_NONE},
    {OUTCOME_UNKNOWN, "HTML", "uncertain", false, 1, FAULT_UNKNOWN},
};

static void each_outcome_leads_to_its_state_under_each_rule(void **s)
{
    (void)s;
    for (int rotation = ROTATION_STRICT; rotation <= ROTATION_TWO_PHASE; rotation++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            const struct outcome_row *row = &rows[i];
            struct bench *bench = bench_with((enum rotation)rotation, "lab:me");

            bench_ask(bench, "lab:me", 0, true);
            bench_send(bench, "lab:me");
            bench_answered(bench, "lab:me", 200, row->outcome, row->code);
            if (row->outcome == OUTCOME_ROTATED || row->outcome == OUTCOME_KEPT)
                bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
            if (row->outcome == OUTCOME_TERMINAL)
                bench_tell(bench, "lab:me", EVENT_LOOKED, 0);
            assert_state(bench, "lab:me", row->state);
            assert_int_equal(bench_count(bench, ACTION_RELEASE), row->releases);
            assert_int_equal(bench_profile(bench, "lab:me")->credential.generation,
                             row->generation);
            assert_int_equal(bench_profile(bench, "lab:me")->fault, row->fault);
            bench_free(bench);
        }
    }
}

static void a_429_is_waited_out_as_long_as_it_says(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    event = bench_event(bench, EVENT_EXCHANGED);
    event.profile = profile->index;
    event.ticket = profile->ticket;
    event.end = EXCHANGE_ANSWERED;
    event.http_status = 429;
    event.retry_after_ms = 20000;
    event.body = secret_new("", 0);
    token_step_run(&bench->step, &event);
    bench_tell(bench, "lab:me", EVENT_ANSWER_SAVED, 0);
    bench_parsed(bench, "lab:me", OUTCOME_NOT_SPENT, "429");
    bench_ask(bench, "lab:me", 0, true);
    bench_pass(bench, 19000);
    assert_int_equal(bench->spends, 1);
    assert_true(profile->retry_at_ns >= bench->now_ns + 900 * MS_NS);
    bench_free(bench);
}

static void a_config_error_stops_until_the_rule_changes(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;
    uint64_t first = bench_ask(bench, "lab:me", 0, true), second;

    (void)s;
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 400, OUTCOME_CONFIG, "invalid_client");
    assert_refused(bench, first, "not_configured");
    bench_pass(bench, 86400000);
    assert_int_equal(bench->spends, 1);
    event = bench_event(bench, EVENT_RULE);
    event.rule = &bench->rule;
    event.origin = "https://login.example.test";
    token_step_run(&bench->step, &event);
    second = bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, second, 2);
    bench_free(bench);
}

static void a_terminal_code_looks_whether_the_store_moved_on_before_it_gives_up(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);
    struct credential found;
    struct token_event event;
    uint8_t sha[32];

    (void)s;
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 401, OUTCOME_TERMINAL, "refresh_token_reused");
    found = bench_credential(bench, "lab:me", "newer");
    found.generation = 5;
    bench_sha(&found, sha);
    event = bench_event(bench, EVENT_LOOKED);
    event.ticket = bench_profile(bench, "lab:me")->ticket;
    event.found = true;
    event.credential = &found;
    event.sha256 = sha;
    token_step_run(&bench->step, &event);
    assert_state(bench, "lab:me", "valid");
    assert_granted(bench, waiter, 5);
    bench_free(bench);
}

static void a_login_that_ended_keeps_its_records_and_serves_what_still_lives(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t forced = bench_ask(bench, "lab:me", 0, true), plain, late;

    (void)s;
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 400, OUTCOME_TERMINAL, "invalid_grant");
    bench_tell(bench, "lab:me", EVENT_LOOKED, 0);
    assert_refused(bench, forced, "needs_login");
    assert_int_equal(bench_count(bench, ACTION_WRITE_MARK), 1);
    plain = bench_ask(bench, "lab:me", 0, false);
    assert_granted(bench, plain, 1);
    bench_pass(bench, BENCH_LIFE_MS);
    late = bench_ask(bench, "lab:me", 0, false);
    assert_refused(bench, late, "needs_login");
    assert_int_equal(bench->spends, 1);
    bench_free(bench);
}

/* ---- unknown outcomes ----------------------------------------------------------------------- */

static void lose_answer(struct bench *bench)
{
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    assert_state(bench, "lab:me", "uncertain");
}

static void without_rotation_at_once_and_in_two_phases_drained_n_is_sent_again(void **s)
{
    static const enum rotation rules[] = {ROTATION_NONE, ROTATION_TWO_PHASE};

    (void)s;
    for (size_t i = 0; i < 2; i++) {
        struct bench *bench = bench_with(rules[i], "lab:me");

        lose_answer(bench);
        if (rules[i] == ROTATION_TWO_PHASE) { /* the first may still lie with the server */
            bench_pass(bench, 59000);
            assert_int_equal(bench_profile(bench, "lab:me")->phase, PHASE_NONE);
            bench_pass(bench, 1000);
        }
        bench_pass(bench, 600);
        bench_refresh(bench, "lab:me");
        assert_int_equal(bench->spends, 2);
        assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 2);
        bench_free(bench);
    }
}

static void inside_the_grace_window_n_is_sent_again_outside_it_is_as_strict_by_promise_6(void **s)
{
    struct bench *bench = bench_with(ROTATION_GRACE, "lab:me");

    (void)s;
    lose_answer(bench);
    bench_pass(bench, 600);
    bench_send(bench, "lab:me");
    assert_int_equal(bench->spends, 2);
    assert_int_equal(bench_profile(bench, "lab:me")->intent.attempt, 2);
    bench_pass(bench, 29000); /* the window counts from the first attempt */
    bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    bench_pass(bench, 120000);
    assert_int_equal(bench->spends, 2);
    assert_state(bench, "lab:me", "uncertain");
    bench_pass(bench, BENCH_LIFE_MS);
    bench_refresh(bench, "lab:me");
    assert_int_equal(bench->spends, 3);
    bench_free(bench);
}

static void a_slow_connect_that_outlasts_the_grace_window_finds_the_gate_shut(void **s)
{
    struct bench *bench = bench_with(ROTATION_GRACE, "lab:me");

    (void)s;
    lose_answer(bench);
    bench_pass(bench, 600);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_pass(bench, 29000);
    bench_tell(bench, "lab:me", EVENT_GATE, 0);
    assert_false(bench_last(bench, ACTION_GATE)->open);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_int_equal(bench->spends, 1);
    assert_state(bench, "lab:me", "uncertain"); /* attempt 1 is as unknown as before */
    assert_int_equal(bench_profile(bench, "lab:me")->intent.attempt, 1);
    bench_free(bench);
}

static void strict_serves_the_access_token_to_its_end_then_sends_n_again_by_promise_6(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter, late;

    (void)s;
    lose_answer(bench);
    bench_pass(bench, BENCH_LIFE_MS / 2);
    waiter = bench_ask(bench, "lab:me", 0, false);
    assert_granted(bench, waiter, 1);
    assert_int_equal(bench->spends, 1);
    bench_pass(bench, BENCH_LIFE_MS / 2);
    assert_state(bench, "lab:me", "refreshing");
    late = bench_ask(bench, "lab:me", 0, false);
    bench_refresh(bench, "lab:me");
    assert_granted(bench, late, 2);
    assert_int_equal(bench->spends, 2);
    bench_free(bench);
}

static void strict_with_no_access_token_left_waits_for_the_drain_then_never_stops_asking(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    lose_answer(bench);
    bench_reject(bench, "lab:me"); /* the access token is dead: nothing is left to lose */
    bench_pass(bench, 59000);
    assert_int_equal(bench->spends, 1);
    for (unsigned i = 2; i < 12; i++) {
        bench_pass(bench, 400000);
        bench_send(bench, "lab:me");
        assert_int_equal(bench->spends, i);
        assert_int_equal(bench_last(bench, ACTION_WRITE_INTENT)->attempt, i);
        bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    }
    bench_pass(bench, 400000);
    bench_refresh(bench, "lab:me");
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void strict_without_a_known_end_of_the_access_token_waits_an_hour(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);

    (void)s;
    bench->endless = true;
    bench_load(bench, "lab:me");
    bench_ready(bench, 0);
    lose_answer(bench);
    bench_pass(bench, 3600000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_pass(bench, 61000);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 2);
    bench_free(bench);
}

static void a_token_without_an_end_inherits_none_from_the_one_before(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me")};
    struct profile *profile;

    (void)s;
    stored.credential.refresh_expires_at_ms = bench->wall_ms + 864000000;
    stored.credential.earliest_refresh_at_ms = bench->wall_ms + 1000;
    bench_load_stored(bench, &stored);
    bench_ready(bench, 0);
    profile = bench_profile(bench, "lab:me");
    assert_true(profile->expires_ns != 0 && profile->keep_alive_at_ns != 0 &&
                profile->earliest_ns != 0);
    bench_pass(bench, 70000);
    bench->endless = true;
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    assert_true(profile->expires_ns == 0 && profile->life_ns == 0 &&
                profile->refresh_at_ns == 0 && profile->keep_alive_at_ns == 0 &&
                profile->earliest_ns == 0);
    bench_free(bench);
}

static void a_later_attempt_that_was_not_sent_does_not_clear_the_doubt_about_the_first(void **s)
{
    struct bench *bench = bench_with(ROTATION_NONE, "lab:me");

    (void)s;
    lose_answer(bench);
    bench_pass(bench, 600);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_state(bench, "lab:me", "uncertain");
    bench_pass(bench, 5000);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 429, OUTCOME_NOT_SPENT, "slow down");
    assert_state(bench, "lab:me", "uncertain");
    assert_int_equal(bench_profile(bench, "lab:me")->intent.attempt, 1);
    bench_free(bench);
}

static void a_cut_answer_is_kept_and_its_outcome_is_unknown(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    event = bench_event(bench, EVENT_EXCHANGED);
    event.ticket = profile->ticket;
    event.end = EXCHANGE_UNKNOWN;
    event.body = secret_new("{\"acc", 5);
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_count(bench, ACTION_WRITE_ANSWER), 1);
    bench_tell(bench, "lab:me", EVENT_ANSWER_SAVED, 0);
    assert_state(bench, "lab:me", "uncertain");
    assert_int_equal(bench_count(bench, ACTION_PARSE), 0);
    bench_free(bench);
}

static void what_was_known_of_n_is_not_carried_over_to_n_plus_1(void **s)
{
    struct bench *bench = bench_with(ROTATION_NONE, "lab:me");
    uint64_t waiter;

    (void)s;
    lose_answer(bench);
    for (int i = 0; i < 6; i++) { /* the backoff grows */
        bench_pass(bench, 60000);
        bench_send(bench, "lab:me");
        bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    }
    bench_pass(bench, 60000);
    bench_refresh(bench, "lab:me");
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_NONE);
    bench_pass(bench, 6000);
    waiter = bench_ask(bench, "lab:me", 0, true);
    assert_int_equal(bench_last(bench, ACTION_RESERVE)->attempt, 1);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_waiting(bench, waiter); /* a first failure again: the next try is near */
    assert_int_equal(bench_profile(bench, "lab:me")->failures, 1);
    bench_free(bench);
}

static void a_shut_gate_is_no_fault_of_the_network(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_tell(bench, "lab:me", EVENT_GATE, 0);
    bench_tell(bench, "lab:me", EVENT_INTENT_SAVED, -ENOSPC);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_STORE);
    bench_free(bench);
}

/* ---- saving --------------------------------------------------------------------------------- */

static void a_failed_save_keeps_n_plus_1_in_use_retries_and_alarms_by_promise_5(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true), plain;

    (void)s;
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -ENOSPC);
    assert_state(bench, "lab:me", "unsaved");
    assert_granted(bench, waiter, 2);
    assert_true(bench_count(bench, ACTION_ALARM) > 0);
    for (int i = 0; i < 20; i++) {
        bench_pass(bench, 40000);
        assert_int_equal(bench_profile(bench, "lab:me")->phase, PHASE_RECORD);
        bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -ENOSPC);
        plain = bench_ask(bench, "lab:me", 0, false);
        assert_granted(bench, plain, 2);
    }
    bench_pass(bench, 40000);
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    assert_state(bench, "lab:me", "valid");
    assert_int_equal(bench_profile(bench, "lab:me")->failures, 0);
    assert_int_equal(bench_last(bench, ACTION_WRITE_RECORD)->generation, 2);
    bench_free(bench);
}

static void what_is_not_on_disk_is_never_spent(void **s)
{
    struct bench *bench = bench_with(ROTATION_NONE, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -EIO);
    bench_pass(bench, 10000);
    waiter = bench_ask(bench, "lab:me", 0, true);
    assert_refused(bench, waiter, "unavailable");
    assert_int_equal(bench->spends, 1);
    bench_free(bench);
}

static void an_answer_that_cannot_be_sealed_is_still_parsed_and_saved(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);

    (void)s;
    bench_send(bench, "lab:me");
    bench_exchanged(bench, "lab:me", EXCHANGE_ANSWERED, 200);
    bench_tell(bench, "lab:me", EVENT_ANSWER_SAVED, -EIO);
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_STORE);
    bench_parsed(bench, "lab:me", OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    assert_granted(bench, waiter, 2);
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void parsing_without_memory_is_tried_again_and_nothing_is_lost(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);

    (void)s;
    bench_send(bench, "lab:me");
    bench_exchanged(bench, "lab:me", EXCHANGE_ANSWERED, 200);
    bench_tell(bench, "lab:me", EVENT_ANSWER_SAVED, 0);
    bench_tell(bench, "lab:me", EVENT_PARSED, -ENOMEM);
    assert_int_equal(bench_count(bench, ACTION_PARSE), 1);
    bench_pass(bench, 1000);
    assert_int_equal(bench_count(bench, ACTION_PARSE), 2);
    bench_parsed(bench, "lab:me", OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    assert_granted(bench, waiter, 2);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_refresh_reserves_connects_and_has_its_intent_durable_before_the_gate_opens),
        cmocka_unit_test(a_failed_reservation_spends_nothing_and_is_tried_again),
        cmocka_unit_test(what_fails_before_the_gate_spends_nothing_whatever_the_rule),
        cmocka_unit_test(an_intent_that_cannot_be_written_keeps_the_gate_shut),
        cmocka_unit_test(an_exchange_that_ends_while_the_intent_is_written_is_not_sent),
        cmocka_unit_test(each_outcome_leads_to_its_state_under_each_rule),
        cmocka_unit_test(a_429_is_waited_out_as_long_as_it_says),
        cmocka_unit_test(a_config_error_stops_until_the_rule_changes),
        cmocka_unit_test(a_terminal_code_looks_whether_the_store_moved_on_before_it_gives_up),
        cmocka_unit_test(a_login_that_ended_keeps_its_records_and_serves_what_still_lives),
        cmocka_unit_test(without_rotation_at_once_and_in_two_phases_drained_n_is_sent_again),
        cmocka_unit_test(
            inside_the_grace_window_n_is_sent_again_outside_it_is_as_strict_by_promise_6),
        cmocka_unit_test(a_slow_connect_that_outlasts_the_grace_window_finds_the_gate_shut),
        cmocka_unit_test(strict_serves_the_access_token_to_its_end_then_sends_n_again_by_promise_6),
        cmocka_unit_test(
            strict_with_no_access_token_left_waits_for_the_drain_then_never_stops_asking),
        cmocka_unit_test(strict_without_a_known_end_of_the_access_token_waits_an_hour),
        cmocka_unit_test(a_token_without_an_end_inherits_none_from_the_one_before),
        cmocka_unit_test(
            a_later_attempt_that_was_not_sent_does_not_clear_the_doubt_about_the_first),
        cmocka_unit_test(a_cut_answer_is_kept_and_its_outcome_is_unknown),
        cmocka_unit_test(what_was_known_of_n_is_not_carried_over_to_n_plus_1),
        cmocka_unit_test(a_shut_gate_is_no_fault_of_the_network),
        cmocka_unit_test(a_failed_save_keeps_n_plus_1_in_use_retries_and_alarms_by_promise_5),
        cmocka_unit_test(what_is_not_on_disk_is_never_spent),
        cmocka_unit_test(an_answer_that_cannot_be_sealed_is_still_parsed_and_saved),
        cmocka_unit_test(parsing_without_memory_is_tried_again_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
