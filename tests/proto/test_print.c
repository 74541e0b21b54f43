/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed reaches a terminal: it is bounded, one line, and has no controls in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "proto/cursor.h"
#include "proto/schema.h"

#define LETTER_FIELDS(F) F(text, words, "") F(bytes, blob, "") F(value, thing, "")
#define LETTER_MESSAGES(X) X(0xff03, letter, LETTER_FIELDS, "One of each that can be long.")
PROTO_DECLARE(letter, LETTER_MESSAGES)
PROTO_DEFINE(letter, LETTER_MESSAGES)

static void expect_printed(const struct letter *letter, const char *expected)
{
    uint8_t body[2048];
    char line[4096];
    size_t size = proto_packed_size(&letter_schema, letter);
    assert_true(size <= sizeof(body));
    assert_int_equal(proto_pack(&letter_schema, letter, body, size), 0);
    size_t length = proto_print(&letter_schema, body, size, line, sizeof(line));
    assert_int_equal(length, strlen(line));
    if (strstr(line, expected) == NULL) {
        fail_msg("%s, not %s", line, expected);
    }
    for (const char *at = line; *at != '\0'; at++) {
        assert_true((uint8_t)*at >= 0x20 && *at != 0x7f);
    }
}

static struct proto_text part(const char *data, size_t size)
{
    return (struct proto_text){data, (uint32_t)size};
}

static void text_is_quoted_and_its_controls_are_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"a\nb", "\"a\\nb\""},
        {"a\x1b[0m\x7f", "\"a\\x1b[0m\\x7f\""},
        {"\xc2\xa9 and \xc3\xa9", "\"\xc2\xa9 and \xc3\xa9\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        expect_printed(&(struct letter){.words = proto_text(rows[i].text)}, rows[i].printed);
    }
}

static void long_parts_are_cut_and_say_so(void **state)
{
    (void)state;
    char text[301], bytes[40] = {0};
    for (size_t i = 0; i < 300; i += 3) {
        memcpy(text + i, "\xe2\x82\xac", 3); /* 200 lies inside of one */
    }
    expect_printed(&(struct letter){.words = part(text, 300)}, "\xe2\x82\xac");
    expect_printed(&(struct letter){.blob = part(bytes, 32)}, "0000>");
    expect_printed(&(struct letter){.blob = part(bytes, 40)}, "... 40 bytes>");
    char value[300] = "\xc4\xff"; /* 255 bytes */
    expect_printed(&(struct letter){.thing = part(value, 257)}, "<value of 257 bytes>");
}

static void a_value_keeps_the_line_one_and_free_of_controls(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        size_t size;
        const char *printed;
    } rows[] = {
        {"", 0, "thing: nil"},
        {"\x01", 1, "thing: 1"},
        {"\xa3" "a\x01z", 4, "a"},
        {"\xa3" "a\x7fz", 4, "a"},
        {"\xa4" "a\xc2\x80z", 5, "a"},
        {"\xa4" "a\xc2\xa9z", 5, "a"},
        {"\xa3" "a\xffz", 4, "a"},
        {"\xa3" "a\xc2z", 4, "a"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        expect_printed(&(struct letter){.thing = part(rows[i].value, rows[i].size)},
                       rows[i].printed);
    }
}

static void a_value_is_one_and_whole(void **state)
{
    (void)state;
    uint8_t body[64];
    struct letter letter = {.thing = part("\x01\x02", 2)}; /* two */
    assert_int_equal(proto_pack(&letter_schema, &letter, body, sizeof(body)), -EINVAL);
    static const uint8_t cut[] = {0x93, 0xa0, 0xc4, 0x00, 0x92, 0x01};
    assert_true(proto_unpack(&letter_schema, cut, sizeof(cut), &letter) < 0);
    static const uint8_t one[] = {0x93, 0xa0, 0xc4, 0x00, 0x05};
    assert_int_equal(proto_unpack(&letter_schema, one, sizeof(one), &letter), 0);
    assert_int_equal(letter.thing.size, 1);
    static const uint8_t nil[] = {0x93, 0xa0, 0xc4, 0x00, 0xc0};
    assert_int_equal(proto_unpack(&letter_schema, nil, sizeof(nil), &letter), 0);
    assert_int_equal(letter.thing.size, 0);
}

static void without_room_nothing_is_written(void **state)
{
    (void)state;
    struct letter letter = {0};
    uint8_t body[1] = {0x77};
    char text[1] = "x";
    assert_int_equal(proto_pack(&letter_schema, &letter, body, 0), -EMSGSIZE);
    assert_int_equal(body[0], 0x77);
    assert_false(proto_text_copy(proto_text("a"), text, 0));
    assert_int_equal(text[0], 'x');
    assert_true(proto_print(&letter_schema, body, 1, NULL, 0) > 0);
}

static void texts_of_one_length_are_compared(void **state)
{
    (void)state;
    assert_true(proto_text_equal(proto_text("abc"), "abc"));
    assert_false(proto_text_equal(proto_text("abc"), "abd"));
    assert_string_equal(proto_kind_name(PROTO_KIND_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_quoted_and_its_controls_are_shown),
        cmocka_unit_test(long_parts_are_cut_and_say_so),
        cmocka_unit_test(a_value_keeps_the_line_one_and_free_of_controls),
        cmocka_unit_test(a_value_is_one_and_whole),
        cmocka_unit_test(without_room_nothing_is_written),
        cmocka_unit_test(texts_of_one_length_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
