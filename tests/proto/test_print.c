/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed reaches a terminal: it is bounded, one line, and has no controls in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cursor.h"
#include "proto/schema.h"

#define PARCEL_FIELDS(F)                                                                           \
    F(boolean, open, "") F(u64, grams, "") F(i64, change, "") F(secret, key, "")
#define LETTER_FIELDS(F) F(value, thing, "") F(bytes, blob, "") F(text, words, "")
#define LETTER_MESSAGES(X)                                                                         \
    X(0xff03, letter, LETTER_FIELDS, "One of each that can be long.")                              \
    X(0xff04, parcel, PARCEL_FIELDS, "One of each that cannot.")
PROTO_DECLARE(letter, LETTER_MESSAGES)
PROTO_DEFINE(letter, LETTER_MESSAGES)

/* How a letter reads in which only this is not empty. */
#define THING(printed) "letter{thing: " printed ", blob: <>, words: \"\"}"
#define BLOB(printed) "letter{thing: nil, blob: " printed ", words: \"\"}"
#define WORDS(printed) "letter{thing: nil, blob: <>, words: " printed "}"

/* The body and the line lie in memory of their size, so that a sanitizer sees the byte behind. */
static void expect_printed(const struct proto_schema *schema, const void *message,
                           const char *expected)
{
    size_t size = proto_packed_size(schema, message);
    uint8_t *body = malloc(size);
    assert_non_null(body);
    assert_int_equal(proto_pack(schema, message, body, size), 0);
    size_t length = proto_print(schema, body, size, NULL, 0);
    for (size_t room = 1; room <= length + 1; room += room == 1 ? length - 1 : 1) {
        char *line = malloc(room);
        assert_non_null(line);
        assert_int_equal(proto_print(schema, body, size, line, room), length);
        assert_int_equal(strlen(line), room - 1);
        if (strncmp(line, expected, room - 1) != 0 || strlen(expected) != length) {
            fail_msg("%s, not %s", line, expected);
        }
        for (const char *at = line; *at != '\0'; at++) {
            assert_true((uint8_t)*at >= 0x20 && *at != 0x7f);
        }
        free(line);
    }
    free(body);
}

static void expect_letter(struct letter letter, const char *expected)
{
    expect_printed(&letter_schema, &letter, expected);
}

static struct proto_text part(const char *data, size_t size)
{
    return (struct proto_text){data, (uint32_t)size};
}

static void each_kind_has_a_form_of_its_own(void **state)
{
    (void)state;
    expect_printed(&parcel_schema, &(struct parcel){0},
                   "parcel{open: false, grams: 0, change: 0, key: <none>}");
    expect_printed(&parcel_schema,
                   &(struct parcel){true, UINT64_MAX, INT64_MIN, proto_text("hush")},
                   "parcel{open: true, grams: 18446744073709551615, "
                   "change: -9223372036854775808, key: <secret>}");
    char line[64];
    proto_print(&parcel_schema, (const uint8_t *)"\xc0", 1, line, sizeof(line));
    assert_string_equal(line, "parcel{malformed, 1 bytes}");
}

static void text_is_quoted_and_its_controls_are_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"a\"b\\c", WORDS("\"a\\\"b\\\\c\"")},
        {"a\nb", WORDS("\"a\\nb\"")},
        {"a\x1b[0m\x7f", WORDS("\"a\\x1b[0m\\x7f\"")},
        {"\x01\x1f \xc3\xbf", WORDS("\"\\x01\\x1f \xc3\xbf\"")},
        {"\xc2\xa9 and \xc3\xa9", WORDS("\"\xc2\xa9 and \xc3\xa9\"")},
        {"\xc2\x80\xc2\x9f", WORDS("\"\\x80\\x9f\"")}, /* ESC and its like, of eight bits */
        {"\xc2\xa0\xc3\x80", WORDS("\"\xc2\xa0\xc3\x80\"")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        expect_letter((struct letter){.words = proto_text(rows[i].text)}, rows[i].printed);
    }
}

/* `count` times the same. */
static char *repeated(char *ret_text, const char *piece, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memcpy(ret_text + i * strlen(piece), piece, strlen(piece) + 1);
    }
    return ret_text;
}

static void long_text_is_cut_between_letters_and_says_so(void **state)
{
    (void)state;
    static const struct {
        const char *letter;
        size_t count, shown;
        const char *rest;
    } rows[] = {
        {"a", 200, 200, ""},
        {"a", 201, 200, "... (201 bytes)"},
        {"\xe2\x82\xac", 66, 66, ""},
        {"\xe2\x82\xac", 100, 66, "... (300 bytes)"}, /* byte 200 lies inside of one */
        {"\xc3\xa9", 101, 100, "... (202 bytes)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[400], shown[400], expected[500];
        repeated(text, rows[i].letter, rows[i].count);
        snprintf(expected, sizeof(expected), WORDS("\"%s\"%s"),
                 repeated(shown, rows[i].letter, rows[i].shown), rows[i].rest);
        expect_letter((struct letter){.words = proto_text(text)}, expected);
    }
}

static void long_bytes_are_cut_and_say_so(void **state)
{
    (void)state;
    static const struct {
        size_t size, shown;
        const char *rest;
    } rows[] = {{1, 1, ""}, {32, 32, ""}, {33, 32, "... 33 bytes"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char bytes[40], shown[100], expected[200];
        memset(bytes, 0xa5, sizeof(bytes));
        snprintf(expected, sizeof(expected), BLOB("<%s%s>"),
                 repeated(shown, "a5", rows[i].shown), rows[i].rest);
        expect_letter((struct letter){.blob = part(bytes, rows[i].size)}, expected);
    }
    char value[257] = "\xc4\xff", shown[1100], expected[1200]; /* 255 bytes */
    expect_letter((struct letter){.thing = part(value, 257)}, THING("<value of 257 bytes>"));
    value[1] = '\xfe';
    snprintf(expected, sizeof(expected), THING("\"%s\""), repeated(shown, "\\x00", 254));
    expect_letter((struct letter){.thing = part(value, 256)}, expected);
}

static void a_value_keeps_the_line_one_and_free_of_controls(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        size_t size;
        const char *printed;
    } rows[] = {
        {"", 0, THING("nil")},
        {"\x01", 1, THING("1")},
        {"\x92\x01\xa2ok", 5, THING("[1, \"ok\"]")},
        {"\xa3" "a\x01z", 4, THING("\"a z\"")},
        {"\xa3" "a\x1fz", 4, THING("\"a z\"")},
        {"\xa3" "a\x7fz", 4, THING("\"a z\"")},
        {"\xa4" "a\xc2\x80z", 5, THING("\"a z\"")},
        {"\xa4" "a\xc2\xa9z", 5, THING("\"a\xc2\xa9z\"")},
        {"\xa3" "a\xffz", 4, THING("\"a?z\"")},
        {"\xa3" "a\x80z", 4, THING("\"a?z\"")},
        {"\xa3" "a\xc2z", 4, THING("\"a?z\"")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        expect_letter((struct letter){.thing = part(rows[i].value, rows[i].size)},
                      rows[i].printed);
    }
}

static void a_value_is_one_and_whole(void **state)
{
    (void)state;
    uint8_t body[64];
    struct letter letter = {.thing = part("\x01\x02", 2)}; /* two */
    assert_int_equal(proto_pack(&letter_schema, &letter, body, sizeof(body)), -EINVAL);
    static const uint8_t cut[] = {0x91, 0x92, 0x01};
    assert_true(proto_unpack(&letter_schema, cut, sizeof(cut), &letter) < 0);
    static const uint8_t one[] = {0x91, 0x05};
    assert_int_equal(proto_unpack(&letter_schema, one, sizeof(one), &letter), 0);
    assert_int_equal(letter.thing.size, 1);
    static const uint8_t nil[] = {0x91, 0xc0};
    assert_int_equal(proto_unpack(&letter_schema, nil, sizeof(nil), &letter), 0);
    assert_int_equal(letter.thing.size, 0);
}

static void without_room_nothing_is_written(void **state)
{
    (void)state;
    struct letter letter = {0};
    uint8_t body[1] = {0x77};
    char text[1] = {'x'};
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
        cmocka_unit_test(each_kind_has_a_form_of_its_own),
        cmocka_unit_test(text_is_quoted_and_its_controls_are_shown),
        cmocka_unit_test(long_text_is_cut_between_letters_and_says_so),
        cmocka_unit_test(long_bytes_are_cut_and_say_so),
        cmocka_unit_test(a_value_keeps_the_line_one_and_free_of_controls),
        cmocka_unit_test(a_value_is_one_and_whole),
        cmocka_unit_test(without_room_nothing_is_written),
        cmocka_unit_test(texts_of_one_length_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
