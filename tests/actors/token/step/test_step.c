/* SPDX-License-Identifier: Apache-2.0 */
/* What the step says and when it wakes: audit, alarms, shown faults, timers, turns. */
#include "step_fixture.h"

#include <errno.h>

/* The keeper may end anywhere; the sanitizer's leak check is the judge. */
static void a_step_that_ends_halfway_gives_back_all_it_holds(void **s)
{
    (void)s;
    for (int moves = 0; moves <= 7; moves++) {
        struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

        bench_ask(bench, "lab:me", 0, true);
        if (moves > 0)
            bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
        if (moves > 1)
            bench_tell(bench, "lab:me", EVENT_GATE, 0);
        if (moves > 2)
            bench_tell(bench, "lab:me", EVENT_INTENT_SAVED, 0);
        if (moves > 3)
            bench_exchanged(bench, "lab:me", EXCHANGE_ANSWERED, 200);
        if (moves > 4)
            bench_tell(bench, "lab:me", EVENT_ANSWER_SAVED, 0);
        if (moves > 5)
            bench_parsed(bench, "lab:me", OUTCOME_ROTATED, "");
        if (moves > 6)
            bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -EIO);
        bench_free(bench);
    }
}

/* ---- the audit ------------------------------------------------------------------------------ */

/* Since the last time it was asked for: lines of audit, alarms with a mark, moves of the state. */
static void assert_journal(struct bench *bench, const char *expected)
{
    char text[4096] = "";
    size_t used = 0;

    for (size_t i = 0; i < bench->action_count; i++) {
        const struct bench_action *row = &bench->actions[i];
        const char *mark = row->kind == ACTION_ALARM ? "ALARM " : row->kind == ACTION_TRACE ? "-> "
                                                                                            : "";

        if (row->kind == ACTION_AUDIT || row->kind == ACTION_ALARM || row->kind == ACTION_TRACE)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s\n", mark, row->text);
    }
    bench->action_count = 0;
    assert_string_equal(text, expected);
}

static void the_audit_has_each_grant_spend_and_save(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_watch(bench, "lab:me", 0, 0);
    bench_ask(bench, "lab:me", 0, false);
    assert_journal(bench,
                   "grant profile=lab:me generation=1 to=atlas how=push\n"
                   "grant profile=lab:me generation=1 to=atlas\n");
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    assert_journal(bench,
                   "-> refreshing\n"
                   "spend profile=lab:me generation=1 attempt=1 why=demand "
                   "origin=https://login.example.test\n"
                   "save profile=lab:me generation=2\n"
                   "-> valid\n"
                   "grant profile=lab:me generation=2 to=atlas\n");
    bench_free(bench);
}

static void the_audit_has_each_attempt_that_was_not_sent(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, -ENOSPC);
    assert_journal(bench,
                   "-> refreshing\n"
                   "ALARM lab:me: the disk does not take what must be saved "
                   "before and after a refresh: No space left on device; make "
                   "space in, or allow writing to, the state directory\n"
                   "refresh profile=lab:me generation=1 attempt=1 "
                   "outcome=not_sent why=\"No space left on device\"\n"
                   "-> valid\n");
    bench_pass(bench, 1000);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    assert_journal(bench,
                   "-> refreshing\n"
                   "ALARM lab:me: the provider cannot be reached or fails: "
                   "scripted; wait: it is tried again by itself\n"
                   "refresh profile=lab:me generation=1 attempt=1 "
                   "outcome=not_sent why=\"scripted\"\n"
                   "-> valid\n");
    bench_free(bench);
}

static void the_audit_has_each_unknown_outcome_and_each_probe(void **s)
{
    struct bench *bench = bench_with(ROTATION_NONE, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    assert_journal(bench,
                   "-> refreshing\n"
                   "spend profile=lab:me generation=1 attempt=1 why=demand "
                   "origin=https://login.example.test\n"
                   "ALARM lab:me: the last refresh was sent and its outcome is "
                   "not known: scripted; wait: it is sent again when the "
                   "provider's rule allows it\n"
                   "refresh profile=lab:me generation=1 attempt=1 outcome=unknown "
                   "why=\"scripted\"\n"
                   "-> uncertain\n");
    bench_pass(bench, 1000);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 400, OUTCOME_TERMINAL, "invalid_grant");
    bench_tell(bench, "lab:me", EVENT_LOOKED, 0);
    assert_journal(bench,
                   "-> refreshing\n"
                   "probe profile=lab:me generation=1 attempt=2 why=resend "
                   "origin=https://login.example.test\n"
                   "ALARM lab:me: the provider ended this login (invalid_grant); "
                   "log in again\n"
                   "-> needs_login\n"
                   "refuse profile=lab:me code=needs_login to=atlas\n");
    bench_free(bench);
}

static void a_save_that_fails_is_an_alarm_once_and_its_end_is_in_the_audit(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench->action_count = 0;
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -EIO);
    assert_journal(bench,
                   "ALARM lab:me: the disk does not take what must be saved "
                   "before and after a refresh: Input/output error; make space "
                   "in, or allow writing to, the state directory\n"
                   "-> unsaved\n"
                   "grant profile=lab:me generation=2 to=atlas\n");
    bench_pass(bench, 500);
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -EIO);
    assert_journal(bench, "");
    bench_pass(bench, 1000);
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, 0);
    assert_journal(bench,
                   "save profile=lab:me generation=2\n"
                   "-> valid\n");
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_NONE);
    bench_free(bench);
}

static void the_audit_has_each_401_and_each_refusal(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_reject(bench, "lab:me");
    assert_journal(bench,
                   "rejected profile=lab:me generation=1 in_a_row=1\n"
                   "-> refreshing\n");
    bench_refresh(bench, "lab:me");
    bench->action_count = 0;
    bench_reject(bench, "lab:me");
    assert_journal(bench,
                   "rejected profile=lab:me generation=2 in_a_row=2\n"
                   "ALARM lab:me: the model side refuses fresh tokens of this "
                   "account\n"
                   "-> refused\n"
                   "refuse profile=lab:me code=token_refused to=atlas\n");
    bench_free(bench);
}

static void the_audit_has_each_quota(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event = bench_event(bench, EVENT_QUOTA);

    (void)s;
    event.waiter = ++bench->last_waiter;
    event.name = "lab:me";
    event.model = "nova";
    event.text = "usage_limit_reached";
    event.until_ms = bench->wall_ms + 90000;
    token_step_run(&bench->step, &event);
    assert_journal(bench,
                   "quota profile=lab:me model=nova seconds=90 "
                   "reason=usage_limit_reached from=atlas\n");
    bench_free(bench);
}

/* ---- faults that are shown ------------------------------------------------------------------ */

static void tell_ready(struct bench *bench, unsigned notes)
{
    bench_load(bench, "lab:me");
    bench_ready(bench, notes);
}

static void a_copied_store_shows_as_a_fault_and_goes_when_it_is_adopted(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct token_event event;

    (void)s;
    tell_ready(bench, STORE_COPIED);
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_COPIED);
    assert_journal(bench,
                   "ALARM lab:me: this store is a copy of another one; run "
                   "`queenright auth adopt` if the other one is not used any "
                   "more\n");
    event = bench_event(bench, EVENT_ADOPTED);
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_NONE);
    assert_string_equal(profile_reason(bench_profile(bench, "lab:me")), "");
    assert_journal(bench,
                   "adopt store\n");
    bench_free(bench);
}

static void a_restored_store_shows_as_a_fault_and_goes_when_a_new_login_is_past_it(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct profile *profile = bench_profile(bench, "lab:me");

    (void)s;
    bench_watch(bench, "lab:me", 0, 9);
    assert_int_equal(profile->fault, FAULT_RESTORED);
    assert_journal(bench,
                   "ALARM lab:me: atlas has seen generation 9, the store has 1\n"
                   "ALARM lab:me: a later generation of this login has been seen "
                   "than the store has; run `queenright auth adopt`, or log in "
                   "again\n"
                   "grant profile=lab:me generation=1 to=atlas how=push\n");
    profile->credential.generation = 9;
    bench_ask(bench, "lab:me", 0, false);
    assert_int_equal(profile->fault, FAULT_NONE);
    bench_free(bench);
}

static void a_login_without_a_rule_shows_so_until_there_is_one(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:me", "lab:me")};
    struct token_event event = bench_event(bench, EVENT_LOADED);
    uint8_t sha[32];

    (void)s;
    bench_sha(&stored.credential, sha);
    event.stored = &stored;
    event.sha256 = sha;
    token_step_run(&bench->step, &event);
    bench_ready(bench, 0);
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_NO_RULE);
    assert_journal(bench,
                   "ALARM lab:me: no rule is known for the provider of this "
                   "login; add the provider to the config, with its oauth object\n");
    event = bench_event(bench, EVENT_RULE);
    event.rule = &bench->rule;
    token_step_run(&bench->step, &event);
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_NONE);
    bench_free(bench);
}

static void a_fault_of_the_network_is_shown_until_a_refresh_succeeds(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, 0);
    bench_exchanged(bench, "lab:me", EXCHANGE_NOT_SENT, 0);
    bench_ask(bench, "lab:me", 0, false);
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_NETWORK);
    bench_pass(bench, 1000);
    bench_refresh(bench, "lab:me");
    assert_int_equal(bench_profile(bench, "lab:me")->fault, FAULT_NONE);
    bench_free(bench);
}

static void an_api_key_has_no_fault_of_a_refresh_it_cannot_have(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct stored stored = {.credential = bench_credential(bench, "lab:key", "lab:key")};

    (void)s;
    credential_set(&stored.credential.refresh, NULL);
    bench_load_stored(bench, &stored);
    bench_ready(bench, STORE_COPIED);
    assert_int_equal(bench_profile(bench, "lab:key")->fault, FAULT_NONE);
    bench_free(bench);
}

/* ---- timers and turns ----------------------------------------------------------------------- */

static uint64_t wakes_in_ms(struct bench *bench, const char *name)
{
    uint64_t timer_ns = bench_profile(bench, name)->timer_ns;

    return timer_ns == 0 ? 0 : (timer_ns - bench->now_ns) / MS_NS;
}

static void cool(struct bench *bench, const char *model, int64_t ms)
{
    struct token_event event = bench_event(bench, EVENT_QUOTA);

    event.waiter = ++bench->last_waiter;
    event.name = "lab:me";
    event.model = model;
    event.until_ms = bench->wall_ms + ms;
    token_step_run(&bench->step, &event);
}

static void the_timer_stands_at_the_next_time_that_matters_and_is_not_set_twice(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    size_t set;

    (void)s;
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 0); /* an idle login plans nothing */
    cool(bench, "a", 5000);
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 5000);
    cool(bench, "b", 3000);
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 3000);
    cool(bench, "c", 9000);
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 3000);
    set = bench_count(bench, ACTION_TIMER);
    assert_int_equal(set, 2);
    bench_pass(bench, 3000);
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 2000);
    bench_pass(bench, 6000);
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 0);
    bench_free(bench);
}

static void no_timer_is_set_for_what_is_in_flight_or_forbidden(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    bench_ask(bench, "lab:me", 0, false);
    assert_true(wakes_in_ms(bench, "lab:me") >= BENCH_LIFE_MS / 2);
    bench_ask(bench, "lab:me", 0, true);
    assert_int_equal(bench_profile(bench, "lab:me")->phase, PHASE_RESERVE);
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 0);
    assert_int_equal(bench_last(bench, ACTION_TIMER)->at_ns, 0); /* taken back */
    bench_refresh(bench, "lab:me");
    bench_watch(bench, "lab:me", 0, 9); /* a restored store: no refresh */
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 0);
    bench_free(bench);
}

static void logins_of_one_origin_take_turns_and_idle_ones_keep_a_little_apart(void **s)
{
    static const char *const names[] = {"lab:a", "lab:b", "lab:c"};
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct profile *c;

    (void)s;
    for (size_t i = 0; i < 3; i++)
        bench_load(bench, names[i]);
    bench_ready(bench, 0);
    bench_ask(bench, "lab:b", 0, true);
    bench_ask(bench, "lab:c", 0, true);
    bench_ask(bench, "lab:a", 0, true);
    bench_refresh(bench, "lab:b");
    c = bench_profile(bench, "lab:c"); /* the next after b, though a comes first in the list */
    assert_int_equal(c->phase, PHASE_RESERVE);
    assert_int_equal(bench_profile(bench, "lab:a")->phase, PHASE_NONE);
    bench_tell(bench, "lab:c", EVENT_RESERVED, -EIO); /* it held the turn */
    assert_int_equal(bench_profile(bench, "lab:a")->phase, PHASE_RESERVE);
    assert_in_range(bench_profile(bench, "lab:b")->retry_at_ns, bench->now_ns,
                    bench->now_ns + 250 * MS_NS);
    bench_free(bench);
}

static void an_origins_turn_ends_once_and_is_nothing_to_other_origins(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct profile *a, *b, *c;
    uint64_t apart_ns;

    (void)s;
    bench_load(bench, "lab:a");
    bench_load(bench, "lab:b");
    bench_load(bench, "lab:c");
    bench_ready(bench, 0);
    a = bench_profile(bench, "lab:a");
    b = bench_profile(bench, "lab:b");
    c = bench_profile(bench, "lab:c");
    snprintf(c->origin, sizeof(c->origin), "https://other.example.test");
    bench_ask(bench, "lab:a", 0, true);
    bench_send(bench, "lab:a");
    assert_int_equal(b->retry_at_ns, 0);
    bench_exchanged(bench, "lab:a", EXCHANGE_ANSWERED, 200);
    apart_ns = b->retry_at_ns;
    assert_in_range(apart_ns, bench->now_ns, bench->now_ns + 250 * MS_NS);
    bench_pass(bench, 1000);
    bench_tell(bench, "lab:a", EVENT_ANSWER_SAVED, 0);
    bench_parsed(bench, "lab:a", OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:a", EVENT_RECORD_SAVED, 0);
    assert_int_equal(b->retry_at_ns, apart_ns);
    assert_int_equal(a->retry_at_ns, 0);
    assert_int_equal(c->retry_at_ns, 0);
    bench_free(bench);
}

static void a_login_nobody_wants_any_more_is_not_woken_for_its_retry(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event;

    (void)s;
    event = bench_event(bench, EVENT_CANCELLED);
    event.waiter = bench_ask(bench, "lab:me", 0, true);
    bench_tell(bench, "lab:me", EVENT_RESERVED, -ENOSPC);
    assert_true(bench_profile(bench, "lab:me")->retry_at_ns > bench->now_ns);
    assert_true(wakes_in_ms(bench, "lab:me") > 0);
    token_step_run(&bench->step, &event);
    assert_int_equal(wakes_in_ms(bench, "lab:me"), 0);
    bench_free(bench);
}

static void a_drain_tells_those_who_wait_for_a_retry_at_once(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event event = bench_event(bench, EVENT_DRAIN);
    uint64_t waiter = bench_ask(bench, "lab:me", 0, true);

    (void)s;
    bench_tell(bench, "lab:me", EVENT_RESERVED, -ENOSPC);
    assert_waiting(bench, waiter);
    event.waiter = ++bench->last_waiter;
    token_step_run(&bench->step, &event);
    assert_refused(bench, waiter, "stopping");
    assert_int_equal(bench_answer(bench, event.waiter)->kind, ACTION_DONE);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_that_ends_halfway_gives_back_all_it_holds),
        cmocka_unit_test(the_audit_has_each_grant_spend_and_save),
        cmocka_unit_test(the_audit_has_each_attempt_that_was_not_sent),
        cmocka_unit_test(the_audit_has_each_unknown_outcome_and_each_probe),
        cmocka_unit_test(a_save_that_fails_is_an_alarm_once_and_its_end_is_in_the_audit),
        cmocka_unit_test(the_audit_has_each_401_and_each_refusal),
        cmocka_unit_test(the_audit_has_each_quota),
        cmocka_unit_test(a_copied_store_shows_as_a_fault_and_goes_when_it_is_adopted),
        cmocka_unit_test(a_restored_store_shows_as_a_fault_and_goes_when_a_new_login_is_past_it),
        cmocka_unit_test(a_login_without_a_rule_shows_so_until_there_is_one),
        cmocka_unit_test(a_fault_of_the_network_is_shown_until_a_refresh_succeeds),
        cmocka_unit_test(an_api_key_has_no_fault_of_a_refresh_it_cannot_have),
        cmocka_unit_test(the_timer_stands_at_the_next_time_that_matters_and_is_not_set_twice),
        cmocka_unit_test(no_timer_is_set_for_what_is_in_flight_or_forbidden),
        cmocka_unit_test(logins_of_one_origin_take_turns_and_idle_ones_keep_a_little_apart),
        cmocka_unit_test(an_origins_turn_ends_once_and_is_nothing_to_other_origins),
        cmocka_unit_test(a_login_nobody_wants_any_more_is_not_woken_for_its_retry),
        cmocka_unit_test(a_drain_tells_those_who_wait_for_a_retry_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
