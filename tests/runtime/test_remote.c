/* SPDX-License-Identifier: Apache-2.0 */
/* The core's half of links: two runtimes, and between them a transport that keeps messages in a
 * list until the test moves them. */
#include "script.h"

#include "runtime/transport.h"

struct wire {
    struct transport_port port;
    struct runtime *from, *to;
    unsigned peer_there; /* how the receiver numbers the sender */
    bool up;
    struct packet {
        struct message *message;
        char to_name[64], from_name[64];
        bool named;
    } packets[64];
    unsigned first, count;
};

struct ends {
    struct manual home, away;
    struct wire out, back;
    struct log log;
    struct script a, b, c;
    struct actor_id a_id, b_id, c_id; /* a at home, b and c away */
};

static int wire_send(struct transport_port *port, unsigned peer, const char *to_name,
                     const char *from_name, struct message *message)
{
    struct wire *wire = (struct wire *)port;
    if (!wire->up) {
        message_free(message);
        return -EHOSTUNREACH;
    }
    assert_string_equal(runtime_peer_name(wire->from, peer), runtime_name(wire->to));
    assert_true(wire->count < 64);
    struct packet *packet = &wire->packets[(wire->first + wire->count++) % 64];
    *packet = (struct packet){.message = message, .named = to_name != NULL};
    snprintf(packet->to_name, sizeof packet->to_name, "%s", to_name ? to_name : "");
    snprintf(packet->from_name, sizeof packet->from_name, "%s", from_name);
    return 0;
}

static bool wire_move(struct wire *wire)
{
    if (!wire->count)
        return false;
    struct packet packet = wire->packets[wire->first++ % 64];
    wire->count--;
    packet.message->from = packet.message->to = (struct actor_id){0};
    assert_int_equal(runtime_deliver(wire->to, wire->peer_there, packet.message,
                                     packet.named ? packet.to_name : NULL, packet.from_name),
                     0);
    return true;
}

static void run(struct ends *ends)
{
    do {
        manual_run(&ends->home);
        manual_run(&ends->away);
    } while (wire_move(&ends->out) || wire_move(&ends->back));
}

static void open_named(struct manual *manual, const char *name)
{
    manual_open(manual);
    runtime_free(manual->runtime);
    struct runtime_options options = {.name = name,
                                      .clock = &manual->clock.port,
                                      .random = &manual->random.port,
                                      .scheduler = SCHEDULER_MANUAL,
                                      .log = manual_log,
                                      .log_arg = manual};
    assert_int_equal(runtime_new(&options, &manual->runtime), 0);
}

static void ends_open(struct ends *ends)
{
    *ends = (struct ends){0};
    open_named(&ends->home, "home");
    open_named(&ends->away, "away");
    struct runtime *home = ends->home.runtime, *away = ends->away.runtime;
    ends->out = (struct wire){.port.send = wire_send,
                              .from = home,
                              .to = away,
                              .peer_there = runtime_peer(away, "home"),
                              .up = true};
    ends->back = (struct wire){.port.send = wire_send,
                               .from = away,
                               .to = home,
                               .peer_there = runtime_peer(home, "away"),
                               .up = true};
    runtime_transport_set(home, &ends->out.port);
    runtime_transport_set(away, &ends->back.port);
    ends->a_id = script_spawn(&ends->home, &ends->a, &ends->log, "a");
    ends->b_id = script_spawn(&ends->away, &ends->b, &ends->log, "b");
    ends->c_id = script_spawn(&ends->away, &ends->c, &ends->log, "c");
    runtime_link_up(home, ends->back.peer_there, PEER_NODE);
    runtime_link_up(away, ends->out.peer_there, PEER_NODE);
    ends->a.to = runtime_remote(home, "away", "b");
    ends->b.to = ends->c_id;
    assert_true(actor_id_is_set(ends->a.to));
}

static void ends_close(struct ends *ends)
{
    ends->out.up = ends->back.up = false;
    manual_close(&ends->home);
    manual_close(&ends->away);
    while (ends->out.count)
        message_free(ends->out.packets[(ends->out.first + --ends->out.count) % 64].message);
    while (ends->back.count)
        message_free(ends->back.packets[(ends->back.first + --ends->back.count) % 64].message);
}

static void home_acts(struct ends *ends, script_fn what)
{
    act(&ends->home, &ends->a, what);
    run(ends);
}

static void b_acts(struct ends *ends, script_fn what)
{
    act(&ends->away, &ends->b, what);
    run(ends);
}

static void link_drops(struct ends *ends)
{
    ends->out.up = ends->back.up = false;
    runtime_link_down(ends->home.runtime, ends->back.peer_there);
    runtime_link_down(ends->away.runtime, ends->out.peer_there);
    run(ends);
}

static void a_request_to_another_process_is_answered(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.b.on_ask = do_reply;
    home_acts(&ends, do_ask);
    assert_log(&ends.log, "a:do b:ask a:answer ");
    ends_close(&ends);
}

static int say_sender(struct script *script, struct context *context,
                      const struct message *message)
{
    say(script->log, "kind=%u,peer=%s ", context_sender_kind(context),
        context_sender_peer(context));
    return context_send(context, message->from, message_new(MSG_TELL, 0));
}

static int do_tell(struct script *script, struct context *context, const struct message *message)
{
    (void)message;
    return context_send(context, script->to, message_new(MSG_NODE_ONLY, 0));
}

static void a_tell_says_which_peer_it_comes_from_and_can_be_answered_by_name(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.b.on_tell = say_sender;
    home_acts(&ends, do_tell);
    assert_log(&ends.log, "a:do b:tell kind=2,peer=home a:tell ");
    ends_close(&ends);
}

static void nobody_there_and_no_link_are_statuses(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.a.to = runtime_remote(ends.home.runtime, "away", "nobody");
    home_acts(&ends, do_ask);
    assert_log(&ends.log, "a:do a:status(no_such_actor,7) ");
    ends.a.to = runtime_remote(ends.home.runtime, "elsewhere", "b");
    ends.out.up = false;
    ends.out.to = NULL;
    runtime_transport_set(ends.home.runtime, NULL);
    home_acts(&ends, do_ask);
    assert_log(&ends.log, "a:do a:status(peer_down,7) ");
    ends_close(&ends);
}

static void deferred_answers_deadlines_and_cancels_cross(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.b.on_ask = do_defer;
    home_acts(&ends, do_ask);
    b_acts(&ends, do_answer_held);
    assert_log(&ends.log, "a:do b:ask b:do a:answer ");

    home_acts(&ends, do_ask);
    home_acts(&ends, do_cancel);
    assert_log(&ends.log, "a:do b:ask a:do b:cancel ");

    home_acts(&ends, do_ask);
    manual_pass(&ends.home, 61 * SECOND);
    run(&ends);
    assert_log(&ends.log, "a:do b:ask a:status(expired,7) b:cancel ");
    ends_close(&ends);
}

static void a_requester_that_never_cancels_is_still_let_go_of(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.b.on_ask = do_defer;
    home_acts(&ends, do_ask);
    manual_pass(&ends.away, 61 * SECOND); /* only this side's clock: home has died, say */
    assert_log(&ends.log, "a:do b:ask b:cancel ");
    ends_close(&ends);
}

static int do_parts(struct script *script, struct context *context, const struct message *message)
{
    struct message *part;
    (void)message;
    while (context_part(context, script->held, part = message_new(MSG_PART, 0)) == 0)
        continue;
    message_free(part);
    return 0;
}

static int do_credit_two(struct script *script, struct context *context,
                         const struct message *message)
{
    (void)message;
    context_credit(context, script->asked, 2);
    return 0;
}

static void streams_cross_under_credit(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.a.credit = 1;
    ends.b.on_ask = do_defer;
    home_acts(&ends, do_ask);
    b_acts(&ends, do_parts);
    home_acts(&ends, do_credit_two);
    b_acts(&ends, do_parts);
    b_acts(&ends, do_answer_held);
    assert_log(&ends.log, "a:do b:ask b:do a:part a:do b:credit(2) b:do a:part a:part "
                          "b:do a:answer ");
    ends_close(&ends);
}

static void a_forward_there_keeps_credit_and_cancel(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.a.credit = 1;
    ends.b.on_ask = do_forward;
    ends.c.on_ask = do_defer;
    home_acts(&ends, do_ask);
    home_acts(&ends, do_credit_two);
    act(&ends.away, &ends.c, do_parts);
    run(&ends);
    home_acts(&ends, do_cancel);
    assert_log(&ends.log,
               "a:do b:ask c:ask a:do c:do a:part a:part a:part a:do c:cancel ");
    ends_close(&ends);
}

/* The request comes from away, reaches an alias at home, and goes back to an actor away. */
static void an_alias_relays_and_the_answer_finds_back(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    struct actor_id remote_b = runtime_remote(ends.home.runtime, "away", "b");
    assert_int_equal(runtime_register(ends.home.runtime, "lumi", remote_b), 0);
    assert_int_equal(runtime_register(ends.home.runtime, "a", remote_b), -EEXIST);
    assert_int_equal(runtime_register(ends.home.runtime, "lumi", remote_b), -EEXIST);
    assert_int_equal(runtime_unregister(ends.home.runtime, "a"), -ENOENT);
    ends.b.on_ask = do_reply;
    ends.c.to = runtime_remote(ends.away.runtime, "home", "lumi");
    act(&ends.away, &ends.c, do_ask);
    run(&ends);
    assert_log(&ends.log, "c:do b:ask c:answer ");

    ends.b.on_ask = do_defer;
    act(&ends.away, &ends.c, do_ask);
    run(&ends);
    act(&ends.away, &ends.c, do_cancel);
    run(&ends);
    assert_log(&ends.log, "c:do b:ask c:do b:cancel ");
    assert_int_equal(runtime_unregister(ends.home.runtime, "lumi"), 0);
    act(&ends.away, &ends.c, do_ask);
    run(&ends);
    assert_log(&ends.log, "c:do c:status(no_such_actor,7) ");
    ends_close(&ends);
}

static int do_watch(struct script *script, struct context *context, const struct message *message)
{
    (void)message;
    context_watch_links(context);
    context_monitor(context, script->to);
    return 0;
}

static void who_watches_late_is_told_of_the_links_that_are_up(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    home_acts(&ends, do_watch);
    assert_non_null(strstr(ends.log.text, "a:link(away,1)"));
    link_drops(&ends);
    ends.log.length = 0;
    home_acts(&ends, do_watch);
    assert_null(strstr(ends.log.text, "a:link(away"));
    ends_close(&ends);
}

static void a_lost_link_answers_cancels_and_tells(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.b.on_ask = do_defer;
    home_acts(&ends, do_watch);
    home_acts(&ends, do_ask);
    ends.log.length = 0;
    link_drops(&ends);
    assert_non_null(strstr(ends.log.text, "a:status(peer_down,7)"));
    assert_non_null(strstr(ends.log.text, "a:down(4,0)"));
    assert_non_null(strstr(ends.log.text, "a:link(away,0)"));
    assert_non_null(strstr(ends.log.text, "b:cancel"));
    ends.log.length = 0;
    b_acts(&ends, do_answer_held); /* too late: nothing arrives, nothing breaks */
    assert_log(&ends.log, "b:do ");
    ends_close(&ends);
}

static void the_death_of_a_monitored_actor_crosses_with_its_reason(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    home_acts(&ends, do_monitor);
    b_acts(&ends, do_fail);
    assert_log(&ends.log, "a:do b:do b:stop a:down(1,-5) ");
    ends_close(&ends);
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const uint16_t bad[] = {MESSAGE_REQUEST | MESSAGE_ANSWER, MESSAGE_STATUS,
                                   MESSAGE_INTERNAL, MESSAGE_CANCEL};
    struct ends ends;
    (void)state;
    ends_open(&ends);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct message *message = message_new(MSG_TELL, 0);
        message->flags = bad[i];
        assert_int_equal(
            runtime_deliver(ends.home.runtime, ends.back.peer_there, message, "a", ""), -EBADMSG);
    }
    struct message *stray = message_new(MSG_ANSWER, 0);
    stray->flags = MESSAGE_ANSWER;
    stray->request = 12345;
    assert_int_equal(runtime_deliver(ends.home.runtime, ends.back.peer_there, stray, NULL, ""), 0);
    assert_int_equal(manual_drops(&ends.home, STATUS_CANCELLED), 1);
    struct message *control = message_new(MSG_DO, 0); /* FROM_LOCAL only */
    assert_int_equal(runtime_deliver(ends.home.runtime, ends.back.peer_there, control, "a", ""),
                     0);
    run(&ends);
    assert_log(&ends.log, "");
    assert_int_equal(manual_drops(&ends.home, STATUS_FORBIDDEN), 1);
    ends_close(&ends);
}

static struct message *raw(uint32_t type, uint16_t flags, uint64_t request)
{
    struct message *message = message_new(type, 0);
    message->flags = flags;
    message->request = request;
    return message;
}

static void more_parts_than_credit_are_dropped(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.a.credit = 1;
    act(&ends.home, &ends.a, do_ask);
    uint64_t request = ends.out.packets[0].message->request;
    for (int i = 0; i < 3; i++)
        runtime_deliver(ends.home.runtime, ends.back.peer_there,
                        raw(MSG_PART, MESSAGE_PART, request), NULL, "");
    manual_run(&ends.home);
    assert_log(&ends.log, "a:do a:part ");
    assert_int_equal(manual_drops(&ends.home, STATUS_FORBIDDEN), 2);
    ends_close(&ends);
}

static void a_peer_may_use_a_number_again_after_the_answer(void **state)
{
    struct ends ends;
    (void)state;
    ends_open(&ends);
    ends.b.on_ask = do_reply;
    for (int i = 0; i < 2; i++) {
        runtime_deliver(ends.away.runtime, ends.out.peer_there, raw(MSG_ASK, MESSAGE_REQUEST, 77),
                        "b", "");
        manual_run(&ends.away);
    }
    assert_log(&ends.log, "b:ask b:ask ");
    ends.b.on_ask = do_defer;
    for (int i = 0; i < 2; i++) /* while one is open the second is refused */
        runtime_deliver(ends.away.runtime, ends.out.peer_there, raw(MSG_ASK, MESSAGE_REQUEST, 78),
                        "b", "");
    manual_run(&ends.away);
    assert_log(&ends.log, "b:ask ");
    assert_int_equal(manual_drops(&ends.away, STATUS_MALFORMED), 1);
    ends_close(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_to_another_process_is_answered),
        cmocka_unit_test(a_tell_says_which_peer_it_comes_from_and_can_be_answered_by_name),
        cmocka_unit_test(nobody_there_and_no_link_are_statuses),
        cmocka_unit_test(deferred_answers_deadlines_and_cancels_cross),
        cmocka_unit_test(a_requester_that_never_cancels_is_still_let_go_of),
        cmocka_unit_test(streams_cross_under_credit),
        cmocka_unit_test(a_forward_there_keeps_credit_and_cancel),
        cmocka_unit_test(an_alias_relays_and_the_answer_finds_back),
        cmocka_unit_test(who_watches_late_is_told_of_the_links_that_are_up),
        cmocka_unit_test(a_lost_link_answers_cancels_and_tells),
        cmocka_unit_test(the_death_of_a_monitored_actor_crosses_with_its_reason),
        cmocka_unit_test(more_parts_than_credit_are_dropped),
        cmocka_unit_test(a_peer_may_use_a_number_again_after_the_answer),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
