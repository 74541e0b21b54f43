/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

struct seen {
    struct tap_event events[8];
    char bodies[8][16];
    unsigned count;
};

static int on_event(void *state, struct context *context, const void *body)
{
    struct seen *seen = SCRIPT(state)->extra;
    const struct tap_event *event = body;
    assert_true(context_message(context)->flags & MESSAGE_UNTRACED);
    memcpy(seen->bodies[seen->count], (const char *)body + sizeof *event, event->body_size);
    seen->events[seen->count++] = *event;
    return 0;
}

static const struct actor_handler tap_rows[] = {
    {INTROSPECT_TAP_TYPE, FROM_LOCAL, "tap_event", NULL, on_event}, {0}};
static struct actor_ops tap_ops = {.name = "viewer",
                                   .state_size = sizeof(struct script *),
                                   .mailbox_limit = 4,
                                   .handlers = tap_rows,
                                   .start = script_start};

static struct actor_id viewer_spawn(struct manual *manual, struct script *script,
                                    struct seen *seen)
{
    struct spawn_options options = {.name = "viewer"};
    struct actor_id id;
    script->extra = seen;
    assert_int_equal(runtime_spawn(manual->runtime, &tap_ops, script, &options, &id), 0);
    return id;
}

static void post_body(struct manual *manual, struct actor_id to, uint16_t flags)
{
    struct message *message = message_new(MSG_TELL, 6);
    memcpy(message->body, "secret", 6);
    message->flags = flags;
    runtime_post(manual->runtime, to, message);
}

static void a_tap_shows_headers_and_bodies_but_no_secret(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script a = {0}, viewer = {0};
    struct seen seen = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &a, &log, "a");
    struct actor_id to = viewer_spawn(&manual, &viewer, &seen);
    assert_int_equal(introspect_tap(manual.runtime, id, to, 0, 2, true), 0);
    post_body(&manual, id, 0);
    post_body(&manual, id, MESSAGE_WIPE);
    post_body(&manual, id, 0); /* over the limit */
    manual_run(&manual);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.events[0].to_name, "a");
    assert_int_equal(seen.events[0].type, MSG_TELL);
    assert_int_equal(seen.events[0].body_size, 6);
    assert_memory_equal(seen.bodies[0], "secret", 6);
    assert_int_equal(seen.events[1].size, 6);
    assert_int_equal(seen.events[1].body_size, 0);
    manual_close(&manual);
}

static void a_slow_viewer_loses_events_and_is_told_how_many(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script a = {0}, viewer = {0};
    struct seen seen = {0};
    (void)state;
    manual_open(&manual);
    struct actor_id id = script_spawn(&manual, &a, &log, "a");
    struct actor_id to = viewer_spawn(&manual, &viewer, &seen);
    assert_int_equal(introspect_tap(manual.runtime, (struct actor_id){0}, to, MSG_TELL, 0, false),
                     0);
    for (int i = 0; i < 7; i++)
        post(&manual, id, MSG_TELL);
    manual_run(&manual); /* one turn of a: seven messages */
    assert_int_equal(seen.count, 4);
    post(&manual, id, MSG_TELL);
    manual_run(&manual);
    assert_int_equal(seen.count, 5);
    assert_int_equal(seen.events[4].lost, 3);
    introspect_untap(manual.runtime, to);
    post(&manual, id, MSG_TELL);
    manual_run(&manual);
    assert_int_equal(seen.count, 5);
    assert_int_equal(manual_drops(&manual, STATUS_BUSY), 0);
    manual_close(&manual);
}

static void open_requests_show_at_both_ends(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script a = {0}, b = {.on_ask = do_defer};
    struct open_info rows[4];
    uint64_t cursor = 0;
    (void)state;
    manual_open(&manual);
    struct actor_id a_id = script_spawn(&manual, &a, &log, "a");
    struct actor_id b_id = a.to = script_spawn(&manual, &b, &log, "b");
    act(&manual, &a, do_monitor); /* not a request to show */
    act(&manual, &a, do_ask);
    manual_pass(&manual, 3 * SECOND);
    assert_int_equal(introspect_open(manual.runtime, a_id, &cursor, rows, 4), 1);
    assert_true(rows[0].outgoing);
    assert_string_equal(rows[0].peer_name, "b");
    assert_int_equal(rows[0].type, MSG_ASK);
    assert_true(rows[0].age_ns == 3 * SECOND);
    assert_true(rows[0].deadline_in_ns == 57 * SECOND);
    assert_int_equal(introspect_open(manual.runtime, a_id, &cursor, rows, 4), 0);
    cursor = 0;
    assert_int_equal(introspect_open(manual.runtime, b_id, &cursor, rows, 4), 1);
    assert_false(rows[0].outgoing);
    assert_string_equal(rows[0].peer_name, "a");
    struct actor_info info;
    assert_int_equal(introspect_actor(manual.runtime, "b", &info, NULL, 0), 0);
    assert_int_equal(info.open_in, 1);
    assert_int_equal(info.open_out, 0);
    manual_close(&manual);
}

static size_t say_number(const void *state, char *ret_text, size_t size)
{
    return (size_t)snprintf(ret_text, size, "number %d",
                            (*(struct script *const *)state)->number);
}

static void an_actor_is_listed_counted_and_described(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script a = {.log = &log, .name = "a", .number = 42};
    struct actor_ops ops = script_ops;
    struct spawn_options options = {.name = "a"};
    struct actor_info rows[4];
    struct counter_info counters[4];
    struct header_info headers[INTROSPECT_RING];
    struct actor_id id;
    uint64_t cursor = 0;
    char text[64];
    (void)state;
    manual_open(&manual);
    ops.describe = say_number;
    assert_int_equal(runtime_spawn(manual.runtime, &ops, &a, &options, &id), 0);
    for (int i = 0; i < 20; i++)
        post(&manual, id, MSG_TELL);
    post(&manual, id, 0x0999);
    assert_int_equal(introspect_actors(manual.runtime, &cursor, rows, 4), 1);
    assert_string_equal(rows[0].state, "queued");
    assert_int_equal(rows[0].queued, 21);
    manual_run(&manual);
    assert_int_equal(introspect_actor(manual.runtime, "a", &rows[0], text, sizeof text), 0);
    assert_string_equal(rows[0].state, "idle");
    assert_string_equal(rows[0].kind, "script");
    assert_string_equal(text, "number 42");
    assert_int_equal(rows[0].handled, 21);
    assert_int_equal(rows[0].queue_high, 21);
    cursor = 0;
    assert_int_equal(introspect_counters(manual.runtime, id, &cursor, counters, 4), 1);
    assert_string_equal(counters[0].name, "tell");
    assert_int_equal(counters[0].count, 20);
    assert_int_equal(introspect_headers(manual.runtime, id, headers, INTROSPECT_RING),
                     INTROSPECT_RING);
    assert_int_equal(headers[INTROSPECT_RING - 1].type, 0x0999);
    assert_int_equal(introspect_headers(manual.runtime, id, headers, 2), 2);
    assert_int_equal(headers[1].type, 0x0999);
    assert_int_equal(introspect_actor(manual.runtime, "none", &rows[0], NULL, 0), -ENOENT);
    manual_close(&manual);
}

static void drops_name_reason_type_and_both_ends(void **state)
{
    struct manual manual;
    struct log log = {0};
    struct script a = {0}, b = {0};
    struct drop_info rows[4];
    uint64_t cursor = 0;
    (void)state;
    manual_open(&manual);
    script_spawn(&manual, &a, &log, "a");
    a.to = script_spawn(&manual, &b, &log, "b");
    act(&manual, &a, do_ask);
    act(&manual, &a, do_ask);
    manual_pass(&manual, SECOND);
    assert_int_equal(introspect_drops(manual.runtime, &cursor, rows, 4), 1);
    assert_int_equal(rows[0].reason, STATUS_UNANSWERED);
    assert_int_equal(rows[0].type, MSG_ASK);
    assert_int_equal(rows[0].count, 2);
    assert_string_equal(rows[0].from, "a");
    assert_string_equal(rows[0].to, "b");
    assert_true(rows[0].last_age_ns == SECOND);
    manual_close(&manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tap_shows_headers_and_bodies_but_no_secret),
        cmocka_unit_test(a_slow_viewer_loses_events_and_is_told_how_many),
        cmocka_unit_test(open_requests_show_at_both_ends),
        cmocka_unit_test(an_actor_is_listed_counted_and_described),
        cmocka_unit_test(drops_name_reason_type_and_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
