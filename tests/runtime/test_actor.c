/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

static void a_tell_reaches_its_handler_once(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script atlas = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &atlas, &log, "atlas");
    assert_true(actor_id_equal(runtime_lookup(manual.runtime, "atlas"), id));
    assert_int_equal(post(&manual, id, MSG_TELL), 0);
    manual_run(&manual);
    assert_log(&log, "atlas:tell ");
    manual_close(&manual);
    assert_log(&log, "atlas:stop ");
}

static void a_failed_start_frees_the_name_and_reports_its_error(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script bad = {.log = &log, .name = "bad", .start_error = -EACCES}, good = {0};
    struct spawn_options options = {.name = "atlas"};
    struct actor_id id;
    (void)state;
    manual_open(&manual);
    assert_int_equal(runtime_spawn(manual.runtime, &script_ops, &bad, &options, &id), -EACCES);
    assert_log(&log, "bad:stop ");
    id = script_spawn(&manual, &good, &log, "atlas");
    assert_int_equal(runtime_spawn(manual.runtime, &script_ops, &good, &options, &id), -EEXIST);
    manual_close(&manual);
}

static void unknown_and_forbidden_messages_are_counted(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script atlas = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &atlas, &log, "atlas");
    post(&manual, id, 0x0999);
    post(&manual, id, MSG_NODE_ONLY);
    post(&manual, id, MSG_ANSWER); /* not an answer to anything */
    manual_run(&manual);
    assert_log(&log, "");
    assert_int_equal(manual_drops(&manual, STATUS_UNKNOWN_TYPE), 1);
    assert_int_equal(manual_drops(&manual, STATUS_FORBIDDEN), 2);
    manual_close(&manual);
}

static void a_full_mailbox_says_so_and_counts(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script atlas = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &atlas, &log, "atlas");
    for (int i = 0; i < 1024; i++)
        assert_int_equal(post(&manual, id, 0x0999), 0);
    assert_int_equal(post(&manual, id, MSG_TELL), -EAGAIN);
    assert_int_equal(manual_drops(&manual, STATUS_BUSY), 1);
    manual_run(&manual);
    assert_int_equal(post(&manual, id, MSG_TELL), 0);
    manual_close(&manual);
}

static void control_overtakes_what_is_queued(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script atlas = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &atlas, &log, "atlas");
    post(&manual, id, MSG_TELL);
    struct message *control = message_new(MSG_DO, 0);
    control->flags = MESSAGE_CONTROL;
    runtime_post(manual.runtime, id, control);
    manual_run(&manual);
    assert_log(&log, "atlas:do atlas:tell ");
    manual_close(&manual);
}

static void an_old_address_never_reaches_a_namesake(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script first = {.name = "first"}, second = {.name = "second"};
    struct script asker = {.name = "asker"};
    (void)state;
    manual_open(&manual);
    struct actor_id old = script_spawn(&manual, &first, &log, "atlas");
    act(&manual, old, &first, do_stop);
    assert_int_equal(post(&manual, old, MSG_TELL), -ENOENT);
    struct actor_id new = script_spawn(&manual, &second, &log, "atlas");
    assert_false(actor_id_equal(old, new));
    assert_int_equal(post(&manual, old, MSG_TELL), -ENOENT);
    assert_int_equal(manual_drops(&manual, STATUS_MOVED), 1);
    assert_int_equal(manual_drops(&manual, STATUS_NO_ACTOR), 1);

    asker.to = old;
    struct actor_id asking = script_spawn(&manual, &asker, &log, NULL);
    act(&manual, asking, &asker, do_ask);
    assert_log(&log, "first:do first:stop asker:do asker:status(moved,7) ");
    manual_close(&manual);
}

static void the_dead_are_noticed_with_their_reason(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script watcher = {.name = "w"}, atlas = {0}, axon = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id watching = script_spawn(&manual, &watcher, &log, "watcher");
    struct actor_id id = watcher.to = script_spawn(&manual, &atlas, &log, "atlas");
    act(&manual, watching, &watcher, do_monitor);
    act(&manual, id, &atlas, do_fail);
    assert_log(&log, "w:do atlas:do atlas:stop w:down(1,-5) ");
    act(&manual, watching, &watcher, do_monitor);
    assert_log(&log, "w:do w:down(5,0) ");

    id = watcher.to = script_spawn(&manual, &axon, &log, "axon");
    act(&manual, watching, &watcher, do_monitor);
    runtime_stop_actor(manual.runtime, id);
    manual_run(&manual);
    assert_log(&log, "w:do axon:stop w:down(2,0) ");
    assert_int_equal(manual.logged, 1);
    manual_close(&manual);
}

static int do_spawn_linked(struct script *script, struct context *context,
                           const struct message *message)
{
    struct spawn_options options = {.link = true};
    (void)message;
    return context_spawn(context, &script_ops, script->extra, &options, &script->to);
}

static void linked_actors_end_together_unless_the_end_is_normal(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script child = {.log = &log, .name = "child"}, parent = {.extra = &child};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &parent, &log, "parent");
    act(&manual, id, &parent, do_spawn_linked);
    act(&manual, parent.to, &child, do_stop);
    assert_log(&log, "parent:do child:do child:stop ");

    act(&manual, id, &parent, do_spawn_linked);
    act(&manual, parent.to, &child, do_fail);
    assert_log(&log, "parent:do child:do child:stop parent:stop ");

    id = script_spawn(&manual, &parent, &log, "parent");
    act(&manual, id, &parent, do_spawn_linked);
    act(&manual, id, &parent, do_fail);
    assert_log(&log, "parent:do parent:do parent:stop child:stop ");
    manual_close(&manual);
}

static int do_timers(struct script *script, struct context *context, const struct message *message)
{
    (void)message;
    context_timer(context, 30 * MS, 3);
    context_timer(context, 10 * MS, 1);
    struct timer_id gone = context_timer(context, 15 * MS, 9);
    context_timer(context, 20 * MS, 2);
    context_timer_cancel(context, gone);
    (void)script;
    return 0;
}

static void timers_fire_in_order_and_cancelled_ones_do_not(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script atlas = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &atlas, &log, "atlas");
    act(&manual, id, &atlas, do_timers);
    manual_pass(&manual, 9 * MS);
    assert_log(&log, "atlas:do ");
    manual_pass(&manual, 11 * MS);
    assert_log(&log, "atlas:timer(1) atlas:timer(2) ");
    manual_pass(&manual, SECOND);
    assert_log(&log, "atlas:timer(3) ");
    assert_true(runtime_next_timer_ns(manual.runtime) == UINT64_MAX);
    manual_close(&manual);
}

#define MANY 300

static int do_many_timers(struct script *script, struct context *context,
                          const struct message *message)
{
    struct timer_id timers[MANY];
    (void)script;
    (void)message;
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t delay_ms = context_random(context) % 1000 + 1;
        timers[i] = context_timer(context, delay_ms * MS, delay_ms << 16 | i);
    }
    for (uint64_t i = 0; i < MANY; i++)
        if (i % 3)
            context_timer_cancel(context, timers[i]);
    return 0;
}

static uint64_t last_ms;
static unsigned fired;

static int in_order(void *state, struct context *context, uint64_t tag)
{
    (void)state;
    assert_true(tag >> 16 >= last_ms);
    assert_int_equal((tag & 0xffff) % 3, 0);
    assert_true(context_now_ns(context) == SECOND + (tag >> 16) * MS);
    last_ms = tag >> 16;
    fired++;
    return 0;
}

static void many_timers_fire_in_order_when_most_are_cancelled(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script a = {.log = &log, .name = "a"};
    struct actor_ops ops = script_ops;
    struct actor_id id;
    (void)state;
    manual_open(&manual);
    ops.on_timer = in_order;
    assert_int_equal(runtime_spawn(manual.runtime, &ops, &a, NULL, &id), 0);
    act(&manual, id, &a, do_many_timers);
    manual_pass(&manual, 2 * SECOND);
    assert_int_equal(fired, MANY / 3);
    manual_close(&manual);
}

static void actors_stop_in_reverse_order_of_start(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script scripts[4] = {{0}, {0}, {0}, {.name = "d"}};
    (void)state;
    manual_open(&manual);
    script_spawn(&manual, &scripts[0], &log, "a");
    script_spawn(&manual, &scripts[1], &log, "b");
    script_spawn(&manual, &scripts[2], &log, "c");
    script_spawn(&manual, &scripts[3], &log, NULL);
    manual_close(&manual);
    assert_log(&log, "c:stop b:stop a:stop d:stop ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tell_reaches_its_handler_once),
        cmocka_unit_test(a_failed_start_frees_the_name_and_reports_its_error),
        cmocka_unit_test(unknown_and_forbidden_messages_are_counted),
        cmocka_unit_test(a_full_mailbox_says_so_and_counts),
        cmocka_unit_test(control_overtakes_what_is_queued),
        cmocka_unit_test(an_old_address_never_reaches_a_namesake),
        cmocka_unit_test(the_dead_are_noticed_with_their_reason),
        cmocka_unit_test(linked_actors_end_together_unless_the_end_is_normal),
        cmocka_unit_test(timers_fire_in_order_and_cancelled_ones_do_not),
        cmocka_unit_test(many_timers_fire_in_order_when_most_are_cancelled),
        cmocka_unit_test(actors_stop_in_reverse_order_of_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
