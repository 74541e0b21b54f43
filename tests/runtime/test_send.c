/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include "core.h"

/* A sender looked the address up, the actor ended, a namesake opened the mailbox, and only then
 * the sender pushed. */
static void a_late_push_is_not_handled_by_the_next_incarnation(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script first = {.name = "first"}, second = {.name = "second"};
    (void)state;
    manual_open(&manual);
    struct actor_id old = script_spawn(&manual, &first, &log, "atlas");
    act(&manual, &first, do_stop);
    struct actor_id new = script_spawn(&manual, &second, &log, "atlas");
    struct actor *actor = actor_find(manual.runtime, old);
    assert_ptr_equal(actor, actor_find(manual.runtime, new));

    struct message *message = message_new(MSG_TELL, 0);
    message->to = old;
    assert_int_equal(mailbox_push(&actor->mailbox, message, 0), MAILBOX_PUSHED_WAKE);
    schedule(manual.runtime, NULL, actor);
    manual_run(&manual);
    assert_log(&log, "first:do first:stop ");
    assert_int_equal(manual_drops(&manual, STATUS_NO_ACTOR), 1);
    manual_close(&manual);
}

static int do_tell_twice(struct script *script, struct context *context,
                         const struct message *message)
{
    (void)message;
    say(script->log, "%d ", context_send(context, script->to, message_new(MSG_TELL, 0)));
    say(script->log, "%d ", context_send(context, script->to, NULL));
    return 0;
}

static void sends_say_at_once_what_is_known_at_once(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script a = {0}, b = {0};
    char expected[64];
    (void)state;
    manual_open(&manual);
    script_spawn(&manual, &a, &log, "a");
    a.to = script_spawn(&manual, &b, &log, "b");
    act(&manual, &a, do_tell_twice);
    snprintf(expected, sizeof expected, "a:do 0 %d b:tell ", -ENOMEM);
    assert_log(&log, expected);
    act(&manual, &b, do_stop);
    act(&manual, &a, do_tell_twice);
    snprintf(expected, sizeof expected, "b:do b:stop a:do %d %d ", -ENOENT, -ENOMEM);
    assert_log(&log, expected);
    struct actor_info info;
    assert_int_equal(introspect_actor(manual.runtime, "a", &info, NULL, 0), 0);
    assert_int_equal(info.failed_sends, 1);
    manual_close(&manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_push_is_not_handled_by_the_next_incarnation),
        cmocka_unit_test(sends_say_at_once_what_is_known_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
