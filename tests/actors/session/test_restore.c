/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "restore.h"

static void feed(struct restore *restore, char *entry)
{
    assert_non_null(entry);
    restore_line(restore, entry, strlen(entry));
    free(entry);
}

static struct item item_of(enum item_kind kind, uint64_t id, char *text)
{
    static char nobody[] = "";

    return (struct item){.kind = kind, .id = id, .text = text, .from = nobody, .path = nobody};
}

static void feed_turn(struct restore *restore, uint64_t turn, uint64_t item, char *text)
{
    struct item asked = item_of(item ? ITEM_TELL : ITEM_ASK, item, text);

    feed(restore, entry_turn(1, turn, &asked));
}

static void feed_answer(struct restore *restore, uint64_t turn, const char *text)
{
    const struct turn_result result = {.text = text,
                                       .model = "m",
                                       .profile = "p",
                                       .note = "",
                                       .items = json_pack("[{s:s}]", "said", text)};

    feed(restore, entry_answer(1, turn, &result));
    json_decref(result.items);
}

static void only_answered_turns_are_history(void **state)
{
    struct restore restore;

    (void)state;
    restore_init(&restore, 10);
    feed_turn(&restore, 1, 0, (char[]){"one"});
    feed_answer(&restore, 1, "first");
    feed_turn(&restore, 2, 0, (char[]){"two"});
    feed(&restore, entry_failed(1, 2, "cooling", "why"));
    feed_turn(&restore, 3, 0, (char[]){"three"});
    feed_turn(&restore, 4, 0, (char[]){"four"}); /* three was cut off and nobody said so */
    feed_answer(&restore, 3, "an answer to another turn");
    feed_answer(&restore, 4, "fourth");
    char *input = history_input(&restore.history, NULL);

    assert_int_equal(restore.history.count, 2);
    assert_non_null(strstr(input, "one"));
    assert_non_null(strstr(input, "fourth"));
    assert_null(strstr(input, "two"));
    assert_null(strstr(input, "three"));
    assert_null(strstr(input, "another"));
    assert_int_equal(restore.turns, 4);
    assert_int_equal(restore.unreadable, 1);
    assert_int_equal(restore.open_turn, 0);
    free(input);
    restore_deinit(&restore);
}

static void what_was_queued_and_had_no_turn_waits(void **state)
{
    struct restore restore;
    struct item items[3];

    (void)state;
    restore_init(&restore, 10);
    for (uint64_t i = 0; i < 3; i++) {
        items[i] = item_of(ITEM_TELL, i + 1, (char[]){"text"});
        feed(&restore, entry_queued(1, &items[i]));
    }
    feed_turn(&restore, 1, 2, (char[]){"text"});
    feed_answer(&restore, 1, "done");
    feed(&restore, entry_dropped(1, 3, "gave up"));
    feed(&restore, entry_dropped(1, 99, "never was"));
    assert_int_equal(restore.waiting.count, 1);
    assert_int_equal(restore.waiting.first->id, 1);
    assert_int_equal(restore.items, 3);
    restore_deinit(&restore);
}

static void a_tell_that_had_called_a_tool_is_not_tried_again(void **state)
{
    struct restore restore;
    struct item told = item_of(ITEM_TELL, 1, (char[]){"do"});
    json_t *calls = json_pack("[{s:s}]", "type", "function_call");
    uint64_t item;

    (void)state;
    for (int tools = 0; tools < 2; tools++) {
        restore_init(&restore, 10);
        feed(&restore, entry_queued(1, &told));
        feed_turn(&restore, 1, 1, (char[]){"do"});
        if (tools)
            feed(&restore, entry_items(1, "calls", 1, calls));
        assert_int_equal(restore.open_turn, 1);
        assert_int_equal(restore_interrupt(&restore, &item), !tools);
        assert_int_equal(item, 1);
        assert_int_equal(restore.waiting.count, !tools);
        restore_deinit(&restore);
    }
    json_decref(calls);
}

static void lines_that_make_no_sense_are_counted_and_left(void **state)
{
    static const char *const lines[] = {
        "not json", "{}", "[]", "{\"type\":5}", "{\"type\":\"answer\",\"turn\":1}",
        "{\"type\":\"calls\"}", "{\"type\":\"turn\"}", "{\"type\":\"answer\",\"turn\":-1}", "\"x\"",
        "{\"type\":\"unheard of\",\"turn\":1}", "{\"type\":\"dropped\"}", "null",
    };
    struct restore restore;

    (void)state;
    restore_init(&restore, 10);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        restore_line(&restore, lines[i], strlen(lines[i]));
    feed_turn(&restore, 7, 0, (char[]){"still here"});
    feed_answer(&restore, 7, "yes");
    assert_int_equal(restore.history.count, 1);
    assert_int_equal(restore.unreadable, 10);
    restore_deinit(&restore);
}

static void history_keeps_the_newest_turns(void **state)
{
    struct restore restore;

    (void)state;
    restore_init(&restore, 3);
    for (uint64_t turn = 1; turn <= 9; turn++) {
        feed_turn(&restore, turn, 0, (char[]){(char)('0' + turn), '!', 0});
        feed_answer(&restore, turn, "ok");
    }
    char *input = history_input(&restore.history, NULL);
    assert_int_equal(restore.history.count, 3);
    assert_null(strstr(input, "6!"));
    assert_non_null(strstr(input, "7!"));
    free(input);
    restore_deinit(&restore);
}

static void who_speaks_is_said_when_it_is_an_agent(void **state)
{
    json_t *user = history_user_item("hi", "user"), *agent = history_user_item("hi", "axon");
    char *from_user = json_dumps(user, 0), *from_agent = json_dumps(agent, 0);

    (void)state;
    assert_non_null(strstr(from_user, "\"text\": \"hi\""));
    assert_non_null(strstr(from_agent, "Message from agent axon:\\n\\nhi"));
    free(from_user);
    free(from_agent);
    json_decref(user);
    json_decref(agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_answered_turns_are_history),
        cmocka_unit_test(what_was_queued_and_had_no_turn_waits),
        cmocka_unit_test(a_tell_that_had_called_a_tool_is_not_tried_again),
        cmocka_unit_test(lines_that_make_no_sense_are_counted_and_left),
        cmocka_unit_test(history_keeps_the_newest_turns),
        cmocka_unit_test(who_speaks_is_said_when_it_is_an_agent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
