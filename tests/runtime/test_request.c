/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

struct pair {
    struct manual manual;
    struct log log;
    struct script a, b, c;
    struct actor_id a_id, b_id, c_id;
};

static void pair_open(struct pair *pair)
{
    *pair = (struct pair){0};
    manual_open(&pair->manual);
    pair->a_id = script_spawn(&pair->manual, &pair->a, &pair->log, "a");
    pair->b_id = script_spawn(&pair->manual, &pair->b, &pair->log, "b");
    pair->c_id = script_spawn(&pair->manual, &pair->c, &pair->log, "c");
    pair->a.to = pair->b_id;
    pair->b.to = pair->c_id;
}

static void ask(struct pair *pair)
{
    act(&pair->manual, pair->a_id, &pair->a, do_ask);
}

static void a_reply_answers_the_request_at_hand(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_reply;
    ask(&pair);
    assert_log(&pair.log, "a:do b:ask a:answer ");
    manual_pass(&pair.manual, 100 * SECOND); /* its deadline is gone with it */
    assert_log(&pair.log, "");
    manual_close(&pair.manual);
}

static void a_handler_that_forgets_is_answered_unanswered(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    ask(&pair);
    assert_log(&pair.log, "a:do b:ask a:status(unanswered,7) ");
    assert_int_equal(manual_drops(&pair.manual, STATUS_UNANSWERED), 1);
    manual_close(&pair.manual);
}

static void a_deferred_request_is_answered_later_and_once(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_defer;
    ask(&pair);
    act(&pair.manual, pair.b_id, &pair.b, do_answer_held);
    act(&pair.manual, pair.b_id, &pair.b, do_answer_held);
    assert_log(&pair.log, "a:do b:ask b:do a:answer b:do ");
    manual_close(&pair.manual);
}

static void the_deadline_answers_and_cancels(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_defer;
    ask(&pair);
    manual_pass(&pair.manual, 59 * SECOND);
    assert_log(&pair.log, "a:do b:ask ");
    manual_pass(&pair.manual, 2 * SECOND);
    assert_log(&pair.log, "a:status(expired,7) b:cancel ");
    act(&pair.manual, pair.b_id, &pair.b, do_answer_held);
    assert_log(&pair.log, "b:do ");
    manual_close(&pair.manual);
}

static int do_ask_on(struct script *script, struct context *context, const struct message *message)
{
    script->held = context_defer(context);
    return do_ask(script, context, message);
}

static void a_request_inherits_the_deadline_of_the_one_at_hand(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.a.deadline_ns = pair.manual.clock.now_ns + SECOND;
    pair.b.on_ask = do_ask_on;
    pair.c.on_ask = do_defer;
    ask(&pair);
    manual_pass(&pair.manual, 2 * SECOND);
    assert_non_null(strstr(pair.log.text, "a:status(expired,7)"));
    assert_non_null(strstr(pair.log.text, "b:status(expired,7)"));
    assert_non_null(strstr(pair.log.text, "c:cancel"));
    manual_close(&pair.manual);
}

static void the_death_of_the_holder_answers(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_defer;
    ask(&pair);
    act(&pair.manual, pair.b_id, &pair.b, do_fail);
    assert_log(&pair.log, "a:do b:ask b:do b:stop a:status(died,7) ");
    manual_close(&pair.manual);
}

static void a_handler_that_fails_answers_what_it_held(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_fail;
    ask(&pair);
    assert_log(&pair.log, "a:do b:ask b:stop a:status(died,7) ");
    manual_close(&pair.manual);
}

static int do_ask_twice_then_stop(struct script *script, struct context *context,
                                  const struct message *message)
{
    do_ask(script, context, message);
    context_stop_other(context, script->to);
    return do_ask(script, context, message);
}

static void what_is_queued_at_the_dead_is_answered(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_reply;
    act(&pair.manual, pair.a_id, &pair.a, do_ask_twice_then_stop);
    assert_non_null(strstr(pair.log.text, "a:answer"));
    assert_non_null(strstr(pair.log.text, "a:status(died,7)"));
    assert_int_equal(manual_drops(&pair.manual, STATUS_DIED), 1);
    manual_close(&pair.manual);
}

static void failing_at_once_comes_as_a_status_in_a_later_turn(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.a.to = (struct actor_id){0};
    ask(&pair);
    assert_log(&pair.log, "a:do a:status(no_such_actor,7) ");
    manual_close(&pair.manual);
}

static void the_forwarded_answer_goes_straight_to_the_requester(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_forward;
    pair.c.on_ask = do_reply;
    ask(&pair);
    assert_log(&pair.log, "a:do b:ask c:ask a:answer ");
    manual_close(&pair.manual);
}

static void cancel_reaches_the_holder_of_a_forwarded_request(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_forward;
    pair.c.on_ask = do_defer;
    ask(&pair);
    act(&pair.manual, pair.a_id, &pair.a, do_cancel);
    assert_log(&pair.log, "a:do b:ask c:ask a:do c:cancel ");
    manual_pass(&pair.manual, 100 * SECOND);
    assert_log(&pair.log, "");
    manual_close(&pair.manual);
}

static int do_ask_and_cancel(struct script *script, struct context *context,
                             const struct message *message)
{
    do_ask(script, context, message);
    context_cancel(context, script->asked);
    return 0;
}

static void a_cancelled_request_leaves_the_queue_unseen(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_reply;
    act(&pair.manual, pair.a_id, &pair.a, do_ask_and_cancel);
    assert_log(&pair.log, "a:do ");
    manual_close(&pair.manual);
}

static void the_death_of_the_requester_cancels(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = do_defer;
    ask(&pair);
    act(&pair.manual, pair.a_id, &pair.a, do_stop);
    assert_log(&pair.log, "a:do b:ask a:do a:stop b:cancel ");
    manual_close(&pair.manual);
}

static int do_flood(struct script *script, struct context *context, const struct message *message)
{
    for (int i = 0; i < 1025; i++)
        do_ask(script, context, message);
    return 0;
}

static int quiet_reply(struct script *script, struct context *context,
                       const struct message *message)
{
    script->log->length = 0;
    return do_reply(script, context, message);
}

static int quiet_answer(struct script *script, struct context *context,
                        const struct message *message)
{
    (void)context;
    (void)message;
    script->log->length = 0;
    script->number++;
    return 0;
}

static void answers_never_meet_a_full_mailbox(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.b.on_ask = quiet_reply;
    pair.a.on_answer = quiet_answer;
    act(&pair.manual, pair.a_id, &pair.a, do_flood);
    assert_int_equal(pair.a.number, 1024);
    assert_int_equal(manual_drops(&pair.manual, STATUS_BUSY), 1);
    manual_close(&pair.manual);
}

static int do_parts(struct script *script, struct context *context, const struct message *message)
{
    (void)message;
    for (;;) {
        struct message *part = message_new(MSG_PART, 0);
        int error = context_part(context, script->held, part);
        if (error < 0) {
            say(script->log, "%s ", error == -EAGAIN ? "dry" : "over");
            if (error == -EAGAIN)
                message_free(part);
            return 0;
        }
    }
}

static int do_credit(struct script *script, struct context *context, const struct message *message)
{
    (void)message;
    context_credit(context, script->asked, 1);
    return 0;
}

static void parts_stop_when_credit_ends_and_go_on_with_more(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.a.credit = 2;
    pair.b.on_ask = do_defer;
    ask(&pair);
    act(&pair.manual, pair.b_id, &pair.b, do_parts);
    assert_log(&pair.log, "a:do b:ask b:do dry a:part a:part ");
    act(&pair.manual, pair.a_id, &pair.a, do_credit);
    assert_log(&pair.log, "a:do b:credit(1) ");
    act(&pair.manual, pair.b_id, &pair.b, do_parts);
    act(&pair.manual, pair.b_id, &pair.b, do_answer_held);
    act(&pair.manual, pair.b_id, &pair.b, do_parts);
    assert_log(&pair.log, "b:do dry a:part b:do a:answer b:do over ");
    manual_close(&pair.manual);
}

static void credit_given_before_a_forward_is_known_is_not_lost(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.a.credit = 1;
    pair.b.on_ask = do_forward;
    pair.c.on_ask = do_defer;
    pair.a.on_do = do_ask;
    post(&pair.manual, pair.a_id, MSG_DO);
    runtime_step(pair.manual.runtime); /* a asks */
    runtime_step(pair.manual.runtime); /* b passes on; a has not heard */
    pair.a.on_do = do_credit;
    struct message *first = message_new(MSG_DO, 0);
    first->flags = MESSAGE_CONTROL;
    runtime_post(pair.manual.runtime, pair.a_id, first);
    manual_run(&pair.manual);
    act(&pair.manual, pair.c_id, &pair.c, do_parts);
    assert_non_null(strstr(pair.log.text, "dry a:part a:part "));
    assert_null(strstr(strstr(pair.log.text, "dry a:part a:part "), "a:part a:part a:part"));
    manual_close(&pair.manual);
}

static int do_strange_part(struct script *script, struct context *context,
                           const struct message *message)
{
    (void)message;
    return context_part(context, script->held, message_new(0x0999, 0));
}

static void a_part_that_is_not_understood_ends_the_stream_with_one_status(void **state)
{
    struct pair pair;
    (void)state;
    pair_open(&pair);
    pair.a.credit = 2;
    pair.b.on_ask = do_defer;
    ask(&pair);
    act(&pair.manual, pair.b_id, &pair.b, do_strange_part);
    act(&pair.manual, pair.b_id, &pair.b, do_answer_held);
    assert_log(&pair.log, "a:do b:ask b:do a:status(unknown_type,7) b:cancel b:do ");
    manual_close(&pair.manual);
}

/* ---- any order ------------------------------------------------------------------------------- */

/* a asks b, which passes on to c, which passes on to d; meanwhile a gives credit, or gives up. In
 * which order they run is drawn from the seed. */
struct passing {
    struct pair pair;
    struct script d;
    struct actor_id d_id;
};

static void passing_open(struct passing *passing, uint64_t seed)
{
    *passing = (struct passing){0};
    pair_open(&passing->pair);
    passing->pair.manual.random.state = seed;
    passing->d_id = script_spawn(&passing->pair.manual, &passing->d, &passing->pair.log, "d");
    passing->pair.a.credit = 1;
    passing->pair.c.to = passing->d_id;
    passing->pair.b.on_ask = passing->pair.c.on_ask = do_forward;
    passing->d.on_ask = do_defer;
    passing->pair.a.on_do = do_ask;
    post(&passing->pair.manual, passing->pair.a_id, MSG_DO);
    while (passing->pair.log.length == 0)
        runtime_step(passing->pair.manual.runtime);
}

static void post_control(struct passing *passing)
{
    struct message *message = message_new(MSG_DO, 0);
    message->flags = MESSAGE_CONTROL;
    runtime_post(passing->pair.manual.runtime, passing->pair.a_id, message);
}

static void steps(struct passing *passing, unsigned count)
{
    while (count-- && runtime_step(passing->pair.manual.runtime))
        continue;
}

static void a_cancel_finds_the_holder_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct passing passing;
        struct actor_info info;
        passing_open(&passing, seed);
        steps(&passing, seed % 5);
        passing.pair.a.on_do = do_cancel;
        post_control(&passing);
        manual_run(&passing.pair.manual);
        assert_int_equal(introspect_actor(passing.pair.manual.runtime, "d", &info, NULL, 0), 0);
        assert_int_equal(info.open_in, 0);
        assert_null(strstr(passing.pair.log.text, "a:status"));
        manual_close(&passing.pair.manual);
    }
}

static void credit_is_neither_lost_nor_doubled_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct passing passing;
        unsigned parts = 0;
        passing_open(&passing, seed);
        passing.pair.a.on_do = do_credit;
        for (unsigned i = 0; i < 3; i++) {
            post_control(&passing);
            steps(&passing, (unsigned)(seed >> i) % 3);
        }
        manual_run(&passing.pair.manual);
        act(&passing.pair.manual, passing.d_id, &passing.d, do_parts);
        for (const char *at = passing.pair.log.text; (at = strstr(at, "a:part")); at++)
            parts++;
        assert_int_equal(parts, 4);
        assert_int_equal(manual_drops(&passing.pair.manual, STATUS_FORBIDDEN), 0);
        manual_close(&passing.pair.manual);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_answers_the_request_at_hand),
        cmocka_unit_test(a_handler_that_forgets_is_answered_unanswered),
        cmocka_unit_test(a_deferred_request_is_answered_later_and_once),
        cmocka_unit_test(the_deadline_answers_and_cancels),
        cmocka_unit_test(a_request_inherits_the_deadline_of_the_one_at_hand),
        cmocka_unit_test(the_death_of_the_holder_answers),
        cmocka_unit_test(a_handler_that_fails_answers_what_it_held),
        cmocka_unit_test(what_is_queued_at_the_dead_is_answered),
        cmocka_unit_test(failing_at_once_comes_as_a_status_in_a_later_turn),
        cmocka_unit_test(the_forwarded_answer_goes_straight_to_the_requester),
        cmocka_unit_test(cancel_reaches_the_holder_of_a_forwarded_request),
        cmocka_unit_test(a_cancelled_request_leaves_the_queue_unseen),
        cmocka_unit_test(the_death_of_the_requester_cancels),
        cmocka_unit_test(answers_never_meet_a_full_mailbox),
        cmocka_unit_test(parts_stop_when_credit_ends_and_go_on_with_more),
        cmocka_unit_test(a_part_that_is_not_understood_ends_the_stream_with_one_status),
        cmocka_unit_test(a_cancel_finds_the_holder_in_any_order),
        cmocka_unit_test(credit_is_neither_lost_nor_doubled_in_any_order),
        cmocka_unit_test(credit_given_before_a_forward_is_known_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
