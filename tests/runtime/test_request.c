/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

/* a asks b, b may pass on to c. */
static void chain_open(struct stage *stage)
{
    stage_spawn(stage, &stage->a, "a");
    stage->a.to = stage_spawn(stage, &stage->b, "b");
    stage->b.to = stage_spawn(stage, &stage->c, "c");
}

static int chain_setup(void **state)
{
    int error = stage_setup(state);
    chain_open(*state);
    return error;
}

#define ON_CHAIN(test) cmocka_unit_test_setup_teardown(test, chain_setup, stage_teardown)

static void post_control(struct stage *stage)
{
    struct message *message = message_new(MSG_DO, 0);
    message->flags = MESSAGE_CONTROL;
    runtime_post(stage->manual.runtime, stage->a.id, message);
}

static void ask(struct stage *stage)
{
    act(&stage->manual, &stage->a, do_ask);
}

static void a_reply_answers_the_request_at_hand(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_reply;
    ask(stage);
    assert_log(&stage->log, "a:do b:ask a:answer ");
    manual_pass(&stage->manual, 100 * SECOND); /* its deadline is gone with it */
    assert_log(&stage->log, "");
}

static void a_handler_that_forgets_is_answered_unanswered(void **state)
{
    struct stage *stage = *state;
    ask(stage);
    assert_log(&stage->log, "a:do b:ask a:status(unanswered,7) ");
    assert_int_equal(manual_drops(&stage->manual, STATUS_UNANSWERED), 1);
}

static void a_deferred_request_is_answered_later_and_once(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_defer;
    ask(stage);
    act(&stage->manual, &stage->b, do_answer_held);
    act(&stage->manual, &stage->b, do_answer_held);
    assert_log(&stage->log, "a:do b:ask b:do a:answer b:do ");
}

static void the_deadline_answers_and_cancels(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_defer;
    ask(stage);
    manual_pass(&stage->manual, 59 * SECOND);
    assert_log(&stage->log, "a:do b:ask ");
    manual_pass(&stage->manual, 2 * SECOND);
    assert_log(&stage->log, "a:status(expired,7) b:cancel ");
    act(&stage->manual, &stage->b, do_answer_held);
    assert_log(&stage->log, "b:do ");
}

static int do_ask_on(struct script *script, struct context *context, const struct message *message)
{
    script->held = context_defer(context);
    return do_ask(script, context, message);
}

static void a_request_inherits_the_deadline_of_the_one_at_hand(void **state)
{
    struct stage *stage = *state;
    stage->a.deadline_ns = stage->manual.clock.now_ns + SECOND;
    stage->b.on_ask = do_ask_on;
    stage->c.on_ask = do_defer;
    ask(stage);
    manual_pass(&stage->manual, 2 * SECOND);
    assert_non_null(strstr(stage->log.text, "a:status(expired,7)"));
    assert_non_null(strstr(stage->log.text, "b:status(expired,7)"));
    assert_non_null(strstr(stage->log.text, "c:cancel"));
}

static void the_death_of_the_holder_answers(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_defer;
    ask(stage);
    act(&stage->manual, &stage->b, do_fail);
    assert_log(&stage->log, "a:do b:ask b:do b:stop a:status(died,7) ");
}

static void a_handler_that_fails_answers_what_it_held(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_fail;
    ask(stage);
    assert_log(&stage->log, "a:do b:ask b:stop a:status(died,7) ");
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
    struct stage *stage = *state;
    stage->b.on_ask = do_reply;
    act(&stage->manual, &stage->a, do_ask_twice_then_stop);
    assert_non_null(strstr(stage->log.text, "a:answer"));
    assert_non_null(strstr(stage->log.text, "a:status(died,7)"));
    assert_int_equal(manual_drops(&stage->manual, STATUS_DIED), 1);
}

static void failing_at_once_comes_as_a_status_in_a_later_turn(void **state)
{
    struct stage *stage = *state;
    stage->a.to = (struct actor_id){0};
    ask(stage);
    assert_log(&stage->log, "a:do a:status(no_such_actor,7) ");
}

static void the_forwarded_answer_goes_straight_to_the_requester(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_forward;
    stage->c.on_ask = do_reply;
    ask(stage);
    assert_log(&stage->log, "a:do b:ask c:ask a:answer ");
}

static void cancel_reaches_the_holder_of_a_forwarded_request(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_forward;
    stage->c.on_ask = do_defer;
    ask(stage);
    act(&stage->manual, &stage->a, do_cancel);
    assert_log(&stage->log, "a:do b:ask c:ask a:do c:cancel ");
    manual_pass(&stage->manual, 100 * SECOND);
    assert_log(&stage->log, "");
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
    struct stage *stage = *state;
    stage->b.on_ask = do_reply;
    act(&stage->manual, &stage->a, do_ask_and_cancel);
    assert_log(&stage->log, "a:do ");
}

static void the_death_of_the_requester_cancels(void **state)
{
    struct stage *stage = *state;
    stage->b.on_ask = do_defer;
    ask(stage);
    act(&stage->manual, &stage->a, do_stop);
    assert_log(&stage->log, "a:do b:ask a:do a:stop b:cancel ");
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
    struct stage *stage = *state;
    stage->b.on_ask = quiet_reply;
    stage->a.on_answer = quiet_answer;
    act(&stage->manual, &stage->a, do_flood);
    assert_int_equal(stage->a.number, 1024);
    assert_int_equal(manual_drops(&stage->manual, STATUS_BUSY), 1);
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
    struct stage *stage = *state;
    stage->a.credit = 2;
    stage->b.on_ask = do_defer;
    ask(stage);
    act(&stage->manual, &stage->b, do_parts);
    assert_log(&stage->log, "a:do b:ask b:do dry a:part a:part ");
    act(&stage->manual, &stage->a, do_credit);
    assert_log(&stage->log, "a:do b:credit(1) ");
    act(&stage->manual, &stage->b, do_parts);
    act(&stage->manual, &stage->b, do_answer_held);
    act(&stage->manual, &stage->b, do_parts);
    assert_log(&stage->log, "b:do dry a:part b:do a:answer b:do over ");
}

static void credit_given_before_a_forward_is_known_is_not_lost(void **state)
{
    struct stage *stage = *state;
    stage->a.credit = 1;
    stage->b.on_ask = do_forward;
    stage->c.on_ask = do_defer;
    stage->a.on_do = do_ask;
    post(&stage->manual, stage->a.id, MSG_DO);
    runtime_step(stage->manual.runtime); /* a asks */
    runtime_step(stage->manual.runtime); /* b passes on; a has not heard */
    stage->a.on_do = do_credit;
    post_control(stage);
    manual_run(&stage->manual);
    act(&stage->manual, &stage->c, do_parts);
    assert_non_null(strstr(stage->log.text, "dry a:part a:part "));
    assert_null(strstr(strstr(stage->log.text, "dry a:part a:part "), "a:part a:part a:part"));
}

static int do_strange_part(struct script *script, struct context *context,
                           const struct message *message)
{
    (void)message;
    return context_part(context, script->held, message_new(0x0999, 0));
}

static void a_part_that_is_not_understood_ends_the_stream_with_one_status(void **state)
{
    struct stage *stage = *state;
    stage->a.credit = 2;
    stage->b.on_ask = do_defer;
    ask(stage);
    act(&stage->manual, &stage->b, do_strange_part);
    act(&stage->manual, &stage->b, do_answer_held);
    assert_log(&stage->log, "a:do b:ask b:do a:status(unknown_type,7) b:cancel b:do ");
}

/* ---- any order ------------------------------------------------------------------------------- */

/* a asks b, which passes on to c, which passes on to d; meanwhile a gives credit, or gives up. In
 * which order they run is drawn from the seed. */
static void passing_open(struct stage *stage, uint64_t seed)
{
    *stage = (struct stage){0};
    manual_open(&stage->manual);
    chain_open(stage);
    stage->manual.random.state = seed;
    stage->c.to = stage_spawn(stage, &stage->d, "d");
    stage->a.credit = 1;
    stage->b.on_ask = stage->c.on_ask = do_forward;
    stage->d.on_ask = do_defer;
    stage->a.on_do = do_ask;
    post(&stage->manual, stage->a.id, MSG_DO);
    while (stage->log.length == 0)
        runtime_step(stage->manual.runtime);
}

static void steps(struct stage *stage, unsigned count)
{
    while (count-- && runtime_step(stage->manual.runtime))
        continue;
}

static void a_cancel_finds_the_holder_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct stage stage;
        struct actor_info info;
        passing_open(&stage, seed);
        steps(&stage, seed % 5);
        stage.a.on_do = do_cancel;
        post_control(&stage);
        manual_run(&stage.manual);
        assert_int_equal(introspect_actor(stage.manual.runtime, "d", &info, NULL, 0), 0);
        assert_int_equal(info.open_in, 0);
        assert_null(strstr(stage.log.text, "a:status"));
        manual_close(&stage.manual);
    }
}

static void credit_is_neither_lost_nor_doubled_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct stage stage;
        unsigned parts = 0;
        passing_open(&stage, seed);
        stage.a.on_do = do_credit;
        for (unsigned i = 0; i < 3; i++) {
            post_control(&stage);
            steps(&stage, (unsigned)(seed >> i) % 3);
        }
        manual_run(&stage.manual);
        act(&stage.manual, &stage.d, do_parts);
        for (const char *at = stage.log.text; (at = strstr(at, "a:part")); at++)
            parts++;
        assert_int_equal(parts, 4);
        assert_int_equal(manual_drops(&stage.manual, STATUS_FORBIDDEN), 0);
        manual_close(&stage.manual);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CHAIN(a_reply_answers_the_request_at_hand),
        ON_CHAIN(a_handler_that_forgets_is_answered_unanswered),
        ON_CHAIN(a_deferred_request_is_answered_later_and_once),
        ON_CHAIN(the_deadline_answers_and_cancels),
        ON_CHAIN(a_request_inherits_the_deadline_of_the_one_at_hand),
        ON_CHAIN(the_death_of_the_holder_answers),
        ON_CHAIN(a_handler_that_fails_answers_what_it_held),
        ON_CHAIN(what_is_queued_at_the_dead_is_answered),
        ON_CHAIN(failing_at_once_comes_as_a_status_in_a_later_turn),
        ON_CHAIN(the_forwarded_answer_goes_straight_to_the_requester),
        ON_CHAIN(cancel_reaches_the_holder_of_a_forwarded_request),
        ON_CHAIN(a_cancelled_request_leaves_the_queue_unseen),
        ON_CHAIN(the_death_of_the_requester_cancels),
        ON_CHAIN(answers_never_meet_a_full_mailbox),
        ON_CHAIN(parts_stop_when_credit_ends_and_go_on_with_more),
        ON_CHAIN(a_part_that_is_not_understood_ends_the_stream_with_one_status),
        cmocka_unit_test(a_cancel_finds_the_holder_in_any_order),
        cmocka_unit_test(credit_is_neither_lost_nor_doubled_in_any_order),
        ON_CHAIN(credit_given_before_a_forward_is_known_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
