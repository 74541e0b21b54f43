/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

static void a_tell_reaches_its_handler_once(void **state)
{
    struct stage *stage = *state;
    struct actor_id id = stage_spawn(stage, &stage->a, "atlas");
    assert_true(actor_id_equal(runtime_lookup(stage->manual.runtime, "atlas"), id));
    assert_int_equal(post(&stage->manual, id, MSG_TELL), 0);
    manual_run(&stage->manual);
    assert_log(&stage->log, "atlas:tell ");
    manual_close(&stage->manual);
    assert_log(&stage->log, "atlas:stop ");
}

static void a_failed_start_frees_the_name_and_reports_its_error(void **state)
{
    struct stage *stage = *state;
    struct spawn_options options = {.name = "atlas"};
    struct actor_id id;
    stage->a = (struct script){.log = &stage->log, .name = "bad", .start_error = -EACCES};
    assert_int_equal(runtime_spawn(stage->manual.runtime, &script_ops, &stage->a, &options, &id),
                     -EACCES);
    assert_log(&stage->log, "bad:stop ");
    id = stage_spawn(stage, &stage->b, "atlas");
    assert_int_equal(runtime_spawn(stage->manual.runtime, &script_ops, &stage->b, &options, &id),
                     -EEXIST);
}

static void unknown_and_forbidden_messages_are_counted(void **state)
{
    struct stage *stage = *state;
    struct actor_id id = stage_spawn(stage, &stage->a, "atlas");
    post(&stage->manual, id, 0x0999);
    post(&stage->manual, id, MSG_NODE_ONLY);
    post(&stage->manual, id, MSG_ANSWER); /* not an answer to anything */
    manual_run(&stage->manual);
    assert_log(&stage->log, "");
    assert_int_equal(manual_drops(&stage->manual, STATUS_UNKNOWN_TYPE), 1);
    assert_int_equal(manual_drops(&stage->manual, STATUS_FORBIDDEN), 2);
}

static void a_full_mailbox_says_so_and_counts(void **state)
{
    struct stage *stage = *state;
    struct actor_id id = stage_spawn(stage, &stage->a, "atlas");
    for (int i = 0; i < 1024; i++)
        assert_int_equal(post(&stage->manual, id, 0x0999), 0);
    assert_int_equal(post(&stage->manual, id, MSG_TELL), -EAGAIN);
    assert_int_equal(manual_drops(&stage->manual, STATUS_BUSY), 1);
    manual_run(&stage->manual);
    assert_int_equal(post(&stage->manual, id, MSG_TELL), 0);
}

static void control_overtakes_what_is_queued(void **state)
{
    struct stage *stage = *state;
    struct actor_id id = stage_spawn(stage, &stage->a, "atlas");
    post(&stage->manual, id, MSG_TELL);
    struct message *control = message_new(MSG_DO, 0);
    control->flags = MESSAGE_CONTROL;
    runtime_post(stage->manual.runtime, id, control);
    manual_run(&stage->manual);
    assert_log(&stage->log, "atlas:do atlas:tell ");
}

static void an_old_address_never_reaches_a_namesake(void **state)
{
    struct stage *stage = *state;
    stage->a.name = "first";
    stage->b.name = "second";
    stage->c.name = "asker";
    struct actor_id old = stage_spawn(stage, &stage->a, "atlas");
    act(&stage->manual, &stage->a, do_stop);
    assert_int_equal(post(&stage->manual, old, MSG_TELL), -ENOENT);
    struct actor_id new = stage_spawn(stage, &stage->b, "atlas");
    assert_false(actor_id_equal(old, new));
    assert_int_equal(post(&stage->manual, old, MSG_TELL), -ENOENT);
    assert_int_equal(manual_drops(&stage->manual, STATUS_MOVED), 1);
    assert_int_equal(manual_drops(&stage->manual, STATUS_NO_ACTOR), 1);

    stage->c.to = old;
    stage_spawn(stage, &stage->c, NULL);
    act(&stage->manual, &stage->c, do_ask);
    assert_log(&stage->log, "first:do first:stop asker:do asker:status(moved,7) ");
}

static void the_dead_are_noticed_with_their_reason(void **state)
{
    struct stage *stage = *state;
    stage->a.name = "w";
    stage_spawn(stage, &stage->a, "watcher");
    struct actor_id id = stage->a.to = stage_spawn(stage, &stage->b, "atlas");
    act(&stage->manual, &stage->a, do_monitor);
    act(&stage->manual, &stage->b, do_fail);
    assert_log(&stage->log, "w:do atlas:do atlas:stop w:down(1,-5) ");
    act(&stage->manual, &stage->a, do_monitor);
    assert_log(&stage->log, "w:do w:down(5,0) ");

    id = stage->a.to = stage_spawn(stage, &stage->c, "axon");
    act(&stage->manual, &stage->a, do_monitor);
    runtime_stop_actor(stage->manual.runtime, id);
    manual_run(&stage->manual);
    assert_log(&stage->log, "w:do axon:stop w:down(2,0) ");
    assert_int_equal(stage->manual.logged, 1);
}

static int do_spawn_linked(struct script *script, struct context *context,
                           const struct message *message)
{
    struct spawn_options options = {.link = true};
    struct actor_id id;
    (void)message;
    return context_spawn(context, &script_ops, script->extra, &options, &id);
}

static void linked_actors_end_together_unless_the_end_is_normal(void **state)
{
    struct stage *stage = *state;
    stage->b = (struct script){.log = &stage->log, .name = "child"};
    stage->a.extra = &stage->b;
    stage_spawn(stage, &stage->a, "parent");
    act(&stage->manual, &stage->a, do_spawn_linked);
    act(&stage->manual, &stage->b, do_stop);
    assert_log(&stage->log, "parent:do child:do child:stop ");

    act(&stage->manual, &stage->a, do_spawn_linked);
    act(&stage->manual, &stage->b, do_fail);
    assert_log(&stage->log, "parent:do child:do child:stop parent:stop ");

    stage_spawn(stage, &stage->a, "parent");
    act(&stage->manual, &stage->a, do_spawn_linked);
    act(&stage->manual, &stage->a, do_fail);
    assert_log(&stage->log, "parent:do parent:do parent:stop child:stop ");
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
    struct stage *stage = *state;
    stage_spawn(stage, &stage->a, "atlas");
    act(&stage->manual, &stage->a, do_timers);
    manual_pass(&stage->manual, 9 * MS);
    assert_log(&stage->log, "atlas:do ");
    manual_pass(&stage->manual, 11 * MS);
    assert_log(&stage->log, "atlas:timer(1) atlas:timer(2) ");
    manual_pass(&stage->manual, SECOND);
    assert_log(&stage->log, "atlas:timer(3) ");
    assert_true(runtime_next_timer_ns(stage->manual.runtime) == UINT64_MAX);
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
    struct stage *stage = *state;
    static struct actor_ops ops;
    struct actor_id id;
    stage->a = (struct script){.log = &stage->log, .name = "a"};
    ops = script_ops;
    ops.on_timer = in_order;
    assert_int_equal(runtime_spawn(stage->manual.runtime, &ops, &stage->a, NULL, &id), 0);
    act(&stage->manual, &stage->a, do_many_timers);
    manual_pass(&stage->manual, 2 * SECOND);
    assert_int_equal(fired, MANY / 3);
}

static void actors_stop_in_reverse_order_of_start(void **state)
{
    struct stage *stage = *state;
    stage->d.name = "d";
    stage_spawn(stage, &stage->a, "a");
    stage_spawn(stage, &stage->b, "b");
    stage_spawn(stage, &stage->c, "c");
    stage_spawn(stage, &stage->d, NULL);
    manual_close(&stage->manual);
    assert_log(&stage->log, "c:stop b:stop a:stop d:stop ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_tell_reaches_its_handler_once),
        ON_STAGE(a_failed_start_frees_the_name_and_reports_its_error),
        ON_STAGE(unknown_and_forbidden_messages_are_counted),
        ON_STAGE(a_full_mailbox_says_so_and_counts),
        ON_STAGE(control_overtakes_what_is_queued),
        ON_STAGE(an_old_address_never_reaches_a_namesake),
        ON_STAGE(the_dead_are_noticed_with_their_reason),
        ON_STAGE(linked_actors_end_together_unless_the_end_is_normal),
        ON_STAGE(timers_fire_in_order_and_cancelled_ones_do_not),
        ON_STAGE(many_timers_fire_in_order_when_most_are_cancelled),
        ON_STAGE(actors_stop_in_reverse_order_of_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
