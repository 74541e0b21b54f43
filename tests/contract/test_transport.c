/* SPDX-License-Identifier: Apache-2.0 */
/* The transport port's contract, held against the links over ZeroMQ and the simulator's.
 *
 * Half of the port is calls of the transport's (runtime_link_up, runtime_deliver ...), whose order
 * is what it promises. So what is judged is what two actors see, one at each end, in runtimes that
 * take turns when told: the core between them is the same in both worlds. The keeper listens, the
 * node dials. Their clocks are hours apart.
 *
 * Not here, for the simulator has neither threads nor foreign peers: sends from many threads and
 * bytes that make no sense (tests/runtime/link/). What must not come is waited for, in real time
 * for a moment only. */
#include "transport_world.h"

#include <errno.h>

#define QUEUE 1024u        /* docs/wire.md, "Limits" */
#define BODY (4u << 20)

/* ---- what is said arrives ------------------------------------------------------------------- */

static void one_way(struct place *place, struct voice *from, struct voice *to, uint32_t kind)
{
    from->size = 1000;
    from->flags = MESSAGE_WIPE;
    from->credit = 3;
    from->deadline_ns = 40 * SECOND;
    to->way = WAY_TELL_BACK;
    act(from, act_ask);
    until(place, &from->answers, 1);
    until(place, &from->tells, 1); /* addressed by the name that came with the request */
    assert_int_equal(to->last.size, 1000);
    assert_int_equal(to->last.flags & (MESSAGE_WIPE | MESSAGE_REQUEST),
                     MESSAGE_WIPE | MESSAGE_REQUEST);
    assert_int_equal(to->last.trace, from->trace);
    assert_int_equal(to->last.part, 3);
    assert_true(to->left_ns > 10 * SECOND && to->left_ns <= 40 * SECOND + MS);
    assert_int_equal(to->kind, kind);
    assert_string_equal(to->peer, from->peer_name);
    to->way = WAY_BUSY;
    act(from, act_ask);
    until(place, &from->statuses[STATUS_BUSY], 1);
    assert_int_equal(from->retry_after_ms, 1234);
    assert_int_equal(from->disorder + to->disorder, 0);
}

static void it_arrives_as_it_was_said(void **state)
{
    struct place *place = *state;
    meet(place);
    one_way(place, &place->node, &place->keeper, FROM_NODE);
    one_way(place, &place->keeper, &place->node, FROM_KEEPER);
}

static void a_sender_keeps_its_order_and_nothing_comes_twice(void **state)
{
    struct place *place = *state;
    enum { ROUNDS = 8, EACH = 200 };
    meet(place);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned i = 0; i < 2; i++) {
            (i == 0 ? &place->node : &place->keeper)->amount = EACH;
            act(i == 0 ? &place->node : &place->keeper, act_tell_and_ask);
        }
        until(place, &place->node.answers, round * EACH);
        until(place, &place->keeper.answers, round * EACH);
    }
    rest(place);
    for (unsigned i = 0; i < 2; i++) {
        const struct voice *voice = i == 0 ? &place->node : &place->keeper;
        assert_int_equal(voice->tells, ROUNDS * EACH);
        assert_int_equal(voice->asks, ROUNDS * EACH);
        assert_int_equal(voice->answers, ROUNDS * EACH);
        assert_int_equal(voice->disorder, 0);
    }
    assert_int_equal(drops(place, STATUS_OK, 0), 0);
}

static void a_stream_passes_under_credit_and_its_answer_comes_last(void **state)
{
    struct place *place = *state;
    meet(place);
    place->keeper.way = WAY_STREAM;
    place->keeper.amount = 100;
    place->node.credit = 4;
    act(&place->node, act_ask);
    until(place, &place->node.parts, 4);
    rest(place);
    assert_int_equal(place->node.parts, 4);
    for (unsigned granted = 7; place->node.parts < 100; granted += 3) {
        act(&place->node, act_credit); /* three more */
        until(place, &place->node.parts, granted < 100 ? granted : 100);
        assert_true(place->node.parts <= granted);
    }
    until(place, &place->node.answers, 1);
    assert_int_equal(place->node.parts, 100);
    assert_int_equal(place->node.answers, 1);
    assert_int_equal(place->node.disorder, 0);
    act(&place->node, act_ask);
    until(place, &place->node.parts, 104);
    act(&place->node, act_cancel);
    until(place, &place->keeper.cancels, 1);
    assert_int_equal(place->node.parts, 104);
    assert_int_equal(place->node.answers, 1);
}

/* ---- what does not arrive is answered, or counted ------------------------------------------- */

static void a_name_that_nobody_has_is_answered(void **state)
{
    static const char *const names[] = {"nobody", "no name"};
    struct place *place = *state;
    meet(place);
    /* The second is somebody's, but no wire carries it. */
    assert_int_equal(runtime_register(place->keeper.runtime, "no name", place->keeper.self), 0);
    for (unsigned i = 0; i < 2; i++) {
        place->node.to = runtime_remote(place->node.runtime, "keeper", names[i]);
        act(&place->node, act_ask);
        until(place, &place->node.statuses[STATUS_NO_ACTOR], i + 1);
        act(&place->node, act_tell);
        until_drops(place, STATUS_NO_ACTOR, TELL, i + 1);
    }
    rest(place);
    assert_int_equal(all_statuses(&place->node), 2);
    assert_int_equal(place->keeper.asks + place->keeper.tells, 0);
}

static void a_peer_that_is_none_is_answered(void **state)
{
    struct place *place = *state;
    meet(place);
    for (unsigned i = 0; i < 2; i++) {
        struct voice *voice = i == 0 ? &place->node : &place->keeper;
        voice->to = runtime_remote(voice->runtime, "lumi", "voice");
        act(voice, act_ask);
        act(voice, act_tell);
        pass(place, 10 * SECOND); /* it may be waited for, but not for long */
        until(place, &voice->statuses[STATUS_PEER_DOWN], 1);
        until_drops(place, STATUS_PEER_DOWN, TELL, i + 1);
        assert_int_equal(all_statuses(voice), 1);
    }
    assert_int_equal(place->keeper.asks + place->keeper.tells, 0);
    assert_int_equal(place->node.asks + place->node.tells, 0);
}

static void a_full_queue_says_busy(void **state)
{
    struct place *place = *state;
    enum { MORE = 100 };
    meet(place);
    place->node.amount = QUEUE + MORE;
    act(&place->node, act_ask); /* all in one turn: nothing leaves meanwhile */
    until(place, &place->node.answers, QUEUE);
    until(place, &place->node.statuses[STATUS_BUSY], MORE);
    rest(place);
    assert_int_equal(place->node.answers, QUEUE);
    assert_int_equal(all_statuses(&place->node), MORE);
    assert_int_equal(place->keeper.asks, QUEUE);

    act(&place->node, act_tell);
    until(place, &place->keeper.tells, QUEUE);
    rest(place);
    assert_int_equal(place->keeper.tells, QUEUE);
    assert_int_equal(drops(place, STATUS_BUSY, TELL), MORE);
    assert_int_equal(place->keeper.disorder, 0);
}

static void a_full_queue_still_takes_answers(void **state)
{
    struct place *place = *state;
    meet(place);
    place->keeper.way = WAY_HOLD;
    for (unsigned i = 1; i <= 3; i++) {
        place->node.amount = QUEUE;
        act(&place->node, act_ask);
        until(place, &place->keeper.asks, i * QUEUE);
    }
    place->keeper.amount = QUEUE + 1;
    act(&place->keeper, act_tell_and_answer_held);
    until(place, &place->node.answers, 3 * QUEUE);
    rest(place);
    assert_int_equal(place->node.answers, 3 * QUEUE);
    assert_int_equal(place->node.disorder, 0);
    assert_int_equal(place->node.tells, QUEUE);
    assert_int_equal(drops(place, STATUS_BUSY, TELL), 1);
}

static void the_largest_body_passes_and_a_byte_more_is_refused(void **state)
{
    struct place *place = *state;
    meet(place);
    for (unsigned more = 0; more < 2; more++) {
        const unsigned *ends =
            more != 0 ? &place->node.statuses[STATUS_TOO_LARGE] : &place->node.answers;
        place->node.size = BODY + more;
        place->keeper.way = WAY_REPLY;
        place->keeper.size = 0;
        act(&place->node, act_ask);
        act(&place->node, act_tell);
        until(place, ends, 1);
        place->node.size = 0;
        place->node.credit = 1;
        place->keeper.way = WAY_STREAM; /* of one part, and the answer */
        place->keeper.size = BODY + more;
        act(&place->node, act_ask);
        until(place, ends, 2);
    }
    rest(place);
    assert_int_equal(place->node.answers, 2);
    assert_int_equal(all_statuses(&place->node), 2);
    assert_int_equal(place->keeper.tells, 1);
    assert_int_equal(place->keeper.asks, 3);
    assert_int_equal(drops(place, STATUS_TOO_LARGE, TELL), 1);
    assert_int_equal(place->node.parts, 1);
    assert_int_equal(drops(place, STATUS_TOO_LARGE, PART), 1);
    assert_int_equal(drops(place, STATUS_TOO_LARGE, ANSWER), 1);
    assert_int_equal(place->node.disorder + place->keeper.disorder, 0);
}

static void an_answer_after_the_deadline_finds_nobody(void **state)
{
    struct place *place = *state;
    meet(place);
    place->keeper.way = WAY_HOLD;
    place->node.deadline_ns = 5 * SECOND;
    act(&place->node, act_ask);
    until(place, &place->keeper.asks, 1);
    pass(place, 6 * SECOND);
    until(place, &place->node.statuses[STATUS_EXPIRED], 1);
    until(place, &place->keeper.cancels, 1);
    act(&place->keeper, act_answer_held);
    rest(place);
    assert_int_equal(place->node.answers, 0);
    assert_int_equal(all_statuses(&place->node), 1);
    assert_int_equal(place->keeper.cancels, 1);
}

/* ---- links come and go ---------------------------------------------------------------------- */

static void before_the_first_link_a_request_has_one_end(void **state)
{
    struct place *place = *state;
    act(&place->node, act_ask);
    act(&place->node, act_tell);
    meet(place); /* a transport may have waited, or not */
    rest(place);
    assert_int_equal(place->node.answers + place->node.statuses[STATUS_PEER_DOWN], 1);
    assert_int_equal(all_statuses(&place->node), place->node.statuses[STATUS_PEER_DOWN]);
    assert_int_equal(place->keeper.tells + drops(place, STATUS_PEER_DOWN, TELL), 1);
}

static void who_hears_of_a_link_may_speak_and_is_heard_later(void **state)
{
    struct place *place = *state;
    place->node.first_words = place->keeper.first_words = true;
    for (unsigned times = 1; times <= 3; times++) {
        meet(place);
        until(place, &place->node.tells, times);
        until(place, &place->keeper.tells, times);
        part(place);
    }
    rest(place);
    for (unsigned i = 0; i < 2; i++) {
        const struct voice *voice = i == 0 ? &place->node : &place->keeper;
        assert_int_equal(voice->ups, 3);
        assert_int_equal(voice->downs, 3);
        assert_int_equal(voice->early, 0); /* heard nobody whose link was not up */
        assert_int_equal(voice->disorder, 0);
    }
}

static void who_watches_late_is_told_of_what_is_up(void **state)
{
    struct place *place = *state;
    meet(place);
    act(&place->node, act_watch);
    until(place, &place->node.ups, 2);
    rest(place);
    assert_int_equal(place->node.ups, 2);
    part(place);
    assert_int_equal(place->node.downs, 1);
    act(&place->node, act_watch);
    rest(place);
    assert_int_equal(place->node.ups, 2);
}

static void a_link_that_goes_ends_what_was_open(void **state)
{
    struct place *place = *state;
    struct voice *ends[] = {&place->node, &place->keeper};
    meet(place);
    for (unsigned i = 0; i < 2; i++) {
        ends[i]->way = WAY_HOLD;
        act(ends[i], act_monitor);
        act(ends[i], act_ask);
    }
    until(place, &place->node.asks, 1);
    until(place, &place->keeper.asks, 1);
    part(place);
    for (unsigned i = 0; i < 2; i++) {
        until(place, &ends[i]->statuses[STATUS_PEER_DOWN], 1);
        until(place, &ends[i]->cancels, 1);
        until(place, &ends[i]->deaths, 1);
        assert_int_equal(ends[i]->reason, EXIT_PEER_DOWN);
        act(ends[i], act_ask); /* at one that is gone */
        act(ends[i], act_tell);
        until(place, &ends[i]->statuses[STATUS_PEER_DOWN], 2);
    }
    assert_int_equal(drops(place, STATUS_PEER_DOWN, TELL), 2);
    meet(place);
    for (unsigned i = 0; i < 2; i++)
        act(ends[i], act_answer_held); /* nobody's any more */
    rest(place);
    for (unsigned i = 0; i < 2; i++) {
        ends[i]->way = WAY_REPLY;
        assert_int_equal(ends[i]->asks, 1);
        assert_int_equal(ends[i]->tells, 0);
        assert_int_equal(ends[i]->answers, 0);
        assert_int_equal(ends[i]->deaths, 1);
        assert_int_equal(ends[i]->downs, 1);
        assert_int_equal(all_statuses(ends[i]), 2);
    }
    act(&place->node, act_ask);
    until(place, &place->node.answers, 1);
}

/* What waits where the link is ended is lost and counted; what waits at the other end arrives, is
 * counted, or was with the kernel already. Nothing outlives its link. */
static void what_was_under_way_does_not_come_later(void **state)
{
    struct place *place = *state;
    struct voice *ends[] = {&place->node, &place->keeper};
    enum { EACH = 50 };
    meet(place);
    for (unsigned i = 0; i < 2; i++) {
        ends[i]->amount = EACH;
        act(ends[i], act_tell_and_ask);
    }
    part(place);
    until(place, &place->node.statuses[STATUS_PEER_DOWN], EACH - place->node.answers);
    until(place, &place->keeper.statuses[STATUS_PEER_DOWN], EACH - place->keeper.answers);
    unsigned before[] = {place->node.tells, place->keeper.tells};
    assert_int_equal(place->keeper.tells + drops_at(place->node.runtime, STATUS_PEER_DOWN, TELL),
                     EACH);
    assert_true(place->node.tells + drops_at(place->keeper.runtime, STATUS_PEER_DOWN, TELL) <=
                EACH);
    meet(place);
    for (unsigned i = 0; i < 2; i++)
        act(ends[i], act_tell);
    until(place, &place->node.tells, before[0] + EACH);
    until(place, &place->keeper.tells, before[1] + EACH);
    rest(place);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ends[i]->tells, before[i] + EACH);
        assert_int_equal(ends[i]->answers + all_statuses(ends[i]), EACH);
        assert_int_equal(ends[i]->disorder, 0);
    }
}

static void a_process_that_ends_is_told_once_and_its_successor_takes_its_place(void **state)
{
    struct place *place = *state;
    meet(place);
    place->node.way = WAY_HOLD;
    act(&place->keeper, act_monitor);
    act(&place->keeper, act_ask);
    until(place, &place->node.asks, 1);
    end_node(place);
    until(place, &place->keeper.downs, 1);
    until(place, &place->keeper.deaths, 1);
    act(&place->keeper, act_ask);
    rest(place);
    /* Its actors had a moment to say of what they died. */
    assert_int_equal(all_statuses(&place->keeper), 2);
    assert_int_equal(place->keeper.statuses[STATUS_PEER_DOWN] +
                         place->keeper.statuses[STATUS_DIED], 2);
    begin_node(place);
    meet(place);
    act(&place->keeper, act_ask); /* at the address it has had all along */
    until(place, &place->keeper.answers, 1);
    rest(place);
    assert_int_equal(place->keeper.answers, 1);
    assert_int_equal(place->keeper.ups, 2);
    assert_int_equal(place->keeper.downs, 1);
    assert_int_equal(place->keeper.deaths, 1);
    assert_int_equal(all_statuses(&place->keeper), 2);
}

static void the_end_of_an_actor_there_crosses_with_its_reason(void **state)
{
    struct place *place = *state;
    meet(place);
    act(&place->node, act_monitor);
    rest(place);
    act(&place->keeper, act_stop);
    until(place, &place->node.deaths, 1);
    rest(place);
    assert_int_equal(place->node.deaths, 1);
    assert_int_equal(place->node.reason, EXIT_FAILED);
    assert_int_equal(place->node.error, -EIO);
    assert_int_equal(place->node.downs, 0);
}

/* Nothing to assert: who runs this under a sanitizer sees what is not freed, or too early. */
static void a_world_may_end_with_messages_under_way(void **state)
{
    struct place *place = *state;
    meet(place);
    place->node.amount = place->keeper.amount = QUEUE;
    place->keeper.flags = MESSAGE_WIPE;
    act(&place->keeper, act_ask);
    act(&place->node, act_tell_and_ask);
}

#define BOTH(test)                                                                                 \
    {#test ", ZeroMQ", test, setup_real, teardown, NULL},                                          \
    {#test ", simulator", test, setup_simulated, teardown, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(it_arrives_as_it_was_said),
        BOTH(a_sender_keeps_its_order_and_nothing_comes_twice),
        BOTH(a_stream_passes_under_credit_and_its_answer_comes_last),
        BOTH(a_name_that_nobody_has_is_answered),
        BOTH(a_peer_that_is_none_is_answered),
        BOTH(a_full_queue_says_busy),
        BOTH(a_full_queue_still_takes_answers),
        BOTH(the_largest_body_passes_and_a_byte_more_is_refused),
        BOTH(an_answer_after_the_deadline_finds_nobody),
        BOTH(before_the_first_link_a_request_has_one_end),
        BOTH(who_hears_of_a_link_may_speak_and_is_heard_later),
        BOTH(who_watches_late_is_told_of_what_is_up),
        BOTH(a_link_that_goes_ends_what_was_open),
        BOTH(what_was_under_way_does_not_come_later),
        BOTH(a_process_that_ends_is_told_once_and_its_successor_takes_its_place),
        BOTH(the_end_of_an_actor_there_crosses_with_its_reason),
        BOTH(a_world_may_end_with_messages_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
