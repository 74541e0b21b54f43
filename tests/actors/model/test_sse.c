/* SPDX-License-Identifier: Apache-2.0 */
/* Each stream is fed whole, byte by byte, and in two pieces at every offset: the events must be the
 * same. */
#include "sse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct log {
    char text[4096];
    size_t size;
    int answer;
};

static int write_down(void *arg, const char *name, const char *data, size_t size)
{
    struct log *log = arg;
    log->size += (size_t)snprintf(log->text + log->size, sizeof(log->text) - log->size,
                                  "<%s|%.*s>", name, (int)size, data);
    assert_true(log->size < sizeof(log->text));
    return log->answer;
}

static void feed_split(const char *stream, size_t size, size_t at, const char *expected)
{
    struct log log = {0};
    struct sse sse;
    sse_init(&sse, 1000, write_down, &log);
    assert_int_equal(sse_feed(&sse, stream, at), 0);
    assert_int_equal(sse_feed(&sse, stream + at, size - at), 0);
    assert_int_equal(sse_finish(&sse), 0);
    assert_string_equal(log.text, expected);
    sse_deinit(&sse);
}

static void expect(const char *stream, const char *expected)
{
    size_t size = strlen(stream);
    for (size_t at = 0; at <= size; at++)
        feed_split(stream, size, at, expected);
    struct log log = {0};
    struct sse sse;
    sse_init(&sse, 1000, write_down, &log);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(sse_feed(&sse, stream + i, 1), 0);
    assert_int_equal(sse_finish(&sse), 0);
    assert_string_equal(log.text, expected);
    sse_deinit(&sse);
}

static void any_split_gives_the_same_events(void **state)
{
    (void)state;
    expect("event: a\ndata: one\n\ndata: two\n\n", "<a|one><|two>");
}

static void all_three_line_ends_are_taken_also_mixed(void **state)
{
    (void)state;
    expect("data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\n", "<|a><|b><|c><|d>");
    expect("data: a\r\ndata: b\r\n\r\n", "<|a\nb>");
}

static void data_lines_of_one_event_are_joined(void **state)
{
    (void)state;
    expect("data: a\ndata:b\ndata\ndata:  c\n\n", "<|a\nb\n\n c>");
}

static void comments_and_unknown_fields_mean_nothing(void **state)
{
    (void)state;
    expect(": keep-alive\n\nid: 7\nretry: 10\n:\ndata: a\nother: b\n\n", "<|a>");
}

static void the_byte_order_mark_is_skipped_only_at_the_start(void **state)
{
    (void)state;
    expect("\xef\xbb\xbf" "data: a\n\n\xef\xbb\xbf" "data: b\n\n", "<|a>");
    expect("\xef\xbb" "data: a\n\ndata: b\n\n", "<|b>");
}

static void utf8_is_never_torn(void **state)
{
    (void)state;
    expect("data: \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d\n\n",
           "<|\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d>");
}

static void an_event_without_data_is_none_and_its_name_is_forgotten(void **state)
{
    (void)state;
    expect("event: a\n\ndata: b\n\n", "<|b>");
}

static void the_last_event_needs_no_blank_line(void **state)
{
    (void)state;
    expect("data: a\n\ndata: [DONE]", "<|a><|[DONE]>");
}

static void an_event_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct log log = {0};
    struct sse sse;
    sse_init(&sse, 100, write_down, &log);
    char piece[60];
    memset(piece, 'x', sizeof(piece));
    assert_int_equal(sse_feed(&sse, piece, sizeof(piece)), 0);
    assert_int_equal(sse_feed(&sse, piece, sizeof(piece)), -EMSGSIZE);
    sse_deinit(&sse);
    sse_init(&sse, 20, write_down, &log);
    assert_int_equal(sse_feed(&sse, "data: 0123456789\n", 17), 0);
    assert_int_equal(sse_feed(&sse, "data: 0123456789\n", 17), -EMSGSIZE);
    sse_deinit(&sse);
}

static void what_the_reader_says_ends_the_feeding(void **state)
{
    (void)state;
    struct log log = {.answer = -EBADMSG};
    struct sse sse;
    sse_init(&sse, 100, write_down, &log);
    assert_int_equal(sse_feed(&sse, "data: a\n\ndata: b\n\n", 18), -EBADMSG);
    assert_string_equal(log.text, "<|a>");
    sse_deinit(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_events),
        cmocka_unit_test(all_three_line_ends_are_taken_also_mixed),
        cmocka_unit_test(data_lines_of_one_event_are_joined),
        cmocka_unit_test(comments_and_unknown_fields_mean_nothing),
        cmocka_unit_test(the_byte_order_mark_is_skipped_only_at_the_start),
        cmocka_unit_test(utf8_is_never_torn),
        cmocka_unit_test(an_event_without_data_is_none_and_its_name_is_forgotten),
        cmocka_unit_test(the_last_event_needs_no_blank_line),
        cmocka_unit_test(an_event_over_the_limit_is_refused),
        cmocka_unit_test(what_the_reader_says_ends_the_feeding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
