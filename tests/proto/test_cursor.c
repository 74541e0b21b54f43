/* SPDX-License-Identifier: Apache-2.0 */
/* The cursor against bytes from nowhere, with msgpack-c as the oracle: what the cursor accepts the
 * library accepts, to the same end; what the library accepts and the cursor does not is nested too
 * deep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <msgpack/object.h>
#include <msgpack/unpack.h>
#include <string.h>

#include "generate.h"
#include "guarded.h"
#include "proto/cursor.h"

#define ROUNDS 200000
#define BYTES_MAX 48

static struct generator generator_of(uint64_t seed)
{
    struct generator generator = {.seed = seed};

    return generator;
}

/* Bytes that often mean something: heads of every form, small numbers, text. */
static size_t random_bytes(struct generator *generator, uint8_t *ret_bytes)
{
    size_t size = generate_number(generator) % BYTES_MAX;

    for (size_t i = 0; i < size; i++) {
        uint64_t number = generate_number(generator);
        switch (number >> 62) {
        case 0:
            ret_bytes[i] = (uint8_t)(0x90 | (number & 3)); /* small arrays nest */
            break;
        case 1:
            ret_bytes[i] = (uint8_t)(0xc0 | (number & 0x1f));
            break;
        case 2:
            ret_bytes[i] = (uint8_t)(number & 7);
            break;
        default:
            ret_bytes[i] = (uint8_t)number;
        }
    }
    return size;
}

static unsigned depth_of(const msgpack_object *object)
{
    unsigned deepest = 0;

    if (object->type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            unsigned depth = depth_of(&object->via.array.ptr[i]);
            deepest = depth > deepest ? depth : deepest;
        }
    else if (object->type == MSGPACK_OBJECT_MAP)
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            unsigned key = depth_of(&object->via.map.ptr[i].key);
            unsigned value = depth_of(&object->via.map.ptr[i].val);
            key = key > value ? key : value;
            deepest = key > deepest ? key : deepest;
        }
    else
        return 0;
    bool empty = object->type == MSGPACK_OBJECT_ARRAY ? object->via.array.size == 0
                                                      : object->via.map.size == 0;
    return empty ? 0 : deepest + 1;
}

/* Bytes the library takes as one value; 0 when it takes none. */
static size_t library_takes(const uint8_t *bytes, size_t size, unsigned *ret_depth)
{
    msgpack_unpacked unpacked;
    size_t taken = 0;

    msgpack_unpacked_init(&unpacked);
    int r = msgpack_unpack_next(&unpacked, (const char *)bytes, size, &taken);
    bool whole = r == MSGPACK_UNPACK_SUCCESS || r == MSGPACK_UNPACK_EXTRA_BYTES;
    *ret_depth = whole ? depth_of(&unpacked.data) : 0;
    msgpack_unpacked_destroy(&unpacked);
    return whole ? taken : 0;
}

/* The library reserves what a count of 32 bits asks for; keep those away from it. */
static bool asks_for_gigabytes(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] == 0xdd || bytes[i] == 0xdf)
            return true;
    return false;
}

static void what_it_accepts_the_library_accepts_to_the_same_end(void **state)
{
    struct generator generator = generator_of(7);
    struct guarded guarded;
    unsigned accepted = 0, nested = 0;

    (void)state;
    assert_int_equal(guarded_init(&guarded, BYTES_MAX), 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t bytes[BYTES_MAX];
        size_t size = random_bytes(&generator, bytes);
        const uint8_t *start = guarded_copy(&guarded, bytes, size);
        struct proto_cursor cursor = proto_cursor(start, size);
        unsigned depth = 0;
        int r = proto_cursor_skip(&cursor);

        if (r == 0) {
            accepted++;
            assert_int_equal(library_takes(start, size, &depth), cursor.at - start);
            assert_true(depth <= PROTO_DEPTH_MAX);
            nested += depth > 1;
        } else if (!asks_for_gigabytes(start, size) && library_takes(start, size, &depth) > 0) {
            assert_true(depth > PROTO_DEPTH_MAX);
        }
    }
    assert_true(accepted > ROUNDS / 10);
    assert_true(nested > 100);
    guarded_deinit(&guarded);
}

static int skip_all(const void *bytes, size_t size)
{
    struct proto_cursor cursor = proto_cursor(bytes, size);
    int r = proto_cursor_skip(&cursor);

    return r < 0 ? r : (int)proto_cursor_left(&cursor);
}

static void nesting_stops_at_its_limit_wherever_it_hides(void **state)
{
    uint8_t arrays[PROTO_DEPTH_MAX + 2], pairs[2 * (PROTO_DEPTH_MAX + 2)];

    (void)state;
    memset(arrays, 0x91, sizeof(arrays));
    arrays[sizeof(arrays) - 1] = 0xc0;
    assert_int_equal(skip_all(arrays + 1, sizeof(arrays) - 1), 0);
    assert_int_equal(skip_all(arrays, sizeof(arrays)), -EBADMSG);

    for (size_t i = 0; i < sizeof(pairs); i += 2) {
        pairs[i] = 0x81; /* {1: {1: ... }}: nested as the last value of each */
        pairs[i + 1] = 1;
    }
    pairs[sizeof(pairs) - 2] = 0xc0;
    assert_int_equal(skip_all(pairs + 2, sizeof(pairs) - 3), 0);
    assert_int_equal(skip_all(pairs, sizeof(pairs) - 1), -EBADMSG);
}

static void a_count_or_length_over_what_is_there_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } lies[] = {
        {"\xdd\xff\xff\xff\xff", 5}, {"\xdf\x80\x00\x00\x00\x00", 6}, {"\xdc\x00\x02\x01", 4},
        {"\x92\x01", 2},             {"\x81\x01", 2},                 {"\xdb\xff\xff\xff\xff", 5},
        {"\xc6\x00\x00\x00\x01", 5}, {"\xa2x", 2},                    {"\xd9\x01", 2},
        {"\xc9\xff\xff\xff\xff", 5}, {"\xc7\x00", 2},                 {"\xd8\x01", 2},
        {"\xcf\x01", 2},             {"\xcd\x01", 2},                 {"\xc1", 1},
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct proto_cursor cursor = proto_cursor(lies[i].bytes, lies[i].size);
        struct proto_item item;

        assert_int_equal(skip_all(lies[i].bytes, lies[i].size), -EBADMSG);
        assert_int_equal(proto_cursor_next(&cursor, &item), -EBADMSG); /* the head alone says it */
        assert_int_equal(proto_cursor_left(&cursor), lies[i].size);
    }
}

static void an_item_is_what_its_first_byte_says(void **state)
{
    static const struct {
        char bytes[10]; /* zeros follow */
        size_t size;
        enum proto_item_type type;
        uint64_t number;
    } rows[] = {
        {"\x00", 1, ITEM_UNSIGNED, 0},
        {"\x7f", 1, ITEM_UNSIGNED, 127},
        {"\xff", 1, ITEM_NEGATIVE, (uint64_t)-1},
        {"\xe0", 1, ITEM_NEGATIVE, (uint64_t)-32},
        {"\xd0\x80", 2, ITEM_NEGATIVE, (uint64_t)-128},
        {"\xd0\x05", 2, ITEM_UNSIGNED, 5},
        {"\xd0\x00", 2, ITEM_UNSIGNED, 0},
        {"\xd1\x80\x00", 3, ITEM_NEGATIVE, (uint64_t)-32768},
        {"\xd2\xff\xff\xff\xff", 5, ITEM_NEGATIVE, (uint64_t)-1},
        {"\xd3\x80\0\0\0\0\0\0\0", 9, ITEM_NEGATIVE, (uint64_t)INT64_MIN},
        {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, ITEM_UNSIGNED, UINT64_MAX},
        {"\xcd\x01\x00", 3, ITEM_UNSIGNED, 256},
        {"\x80", 1, ITEM_MAP, 0},
        {"\x8f", 1, ITEM_MAP, 15},
        {"\x90", 1, ITEM_ARRAY, 0},
        {"\x9f", 1, ITEM_ARRAY, 15},
        {"\xa0", 1, ITEM_TEXT, 0},
        {"\xbf", 32, ITEM_TEXT, 0},
        {"\xc0", 1, ITEM_NIL, 0},
        {"\xc3", 1, ITEM_BOOLEAN, 1},
        {"\xde\x00\x05", 3, ITEM_MAP, 5},
        {"\xdc\x00\x05", 3, ITEM_ARRAY, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char bytes[40] = {0};
        struct proto_cursor cursor = proto_cursor(bytes, sizeof(bytes));
        struct proto_item item;

        memcpy(bytes, rows[i].bytes, sizeof(rows[i].bytes));

        assert_int_equal(proto_cursor_next(&cursor, &item), 0);
        assert_int_equal(item.type, rows[i].type);
        assert_true(item.number == rows[i].number);
        assert_int_equal(proto_cursor_left(&cursor), sizeof(bytes) - rows[i].size);
    }
}

static void only_well_formed_utf8_is_text(void **state)
{
    static const char *const good[] = {"", "plain", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                       "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf",
                                      "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80", "\xe2\x82", "a\xff", "\xe2\x28\xa1",
                                      "\xe2\x82\x28", "\xf0\x90\x80\x28", "\xff"};
    static const struct proto_text whole = {"\xf0\x90\x80\x80", 4};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(proto_utf8_valid(proto_text(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(proto_utf8_valid(proto_text(bad[i])));
    for (uint32_t size = 1; size < whole.size; size++)
        assert_false(proto_utf8_valid((struct proto_text){whole.data, size}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_accepts_the_library_accepts_to_the_same_end),
        cmocka_unit_test(nesting_stops_at_its_limit_wherever_it_hides),
        cmocka_unit_test(a_count_or_length_over_what_is_there_is_refused),
        cmocka_unit_test(an_item_is_what_its_first_byte_says),
        cmocka_unit_test(only_well_formed_utf8_is_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
