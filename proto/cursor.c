/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte of a msgpack value says what follows. Four ranges carry a small number in the
 * byte itself; the 32 values from 0xc0 are looked up in a table of three columns: the item's type,
 * how many bytes of big-endian number follow, and whether that number is a value or the length of
 * a payload. */
#include "proto/cursor.h"

#include <errno.h>

enum head_form {
    HEAD_NEVER, /* 0xc1 and what is not filled in */
    HEAD_VALUE, /* the number is the value, or a count of elements */
    HEAD_SIGNED,/* the number is a two's complement value */
    HEAD_LENGTH,/* the number is the length of a payload */
    HEAD_FIXED  /* no number: `fixed` is the value or the length of the payload */
};

struct head {
    uint8_t form;
    uint8_t type;
    uint8_t width; /* bytes of number */
    uint8_t fixed;
};

static const struct head heads[32] = {
    [0x00] = {HEAD_FIXED, ITEM_NIL, 0, 0},
    [0x02] = {HEAD_FIXED, ITEM_BOOLEAN, 0, 0},
    [0x03] = {HEAD_FIXED, ITEM_BOOLEAN, 0, 1},
    [0x04] = {HEAD_LENGTH, ITEM_BYTES, 1, 0},
    [0x05] = {HEAD_LENGTH, ITEM_BYTES, 2, 0},
    [0x06] = {HEAD_LENGTH, ITEM_BYTES, 4, 0},
    [0x07] = {HEAD_LENGTH, ITEM_EXTENSION, 1, 0},
    [0x08] = {HEAD_LENGTH, ITEM_EXTENSION, 2, 0},
    [0x09] = {HEAD_LENGTH, ITEM_EXTENSION, 4, 0},
    [0x0a] = {HEAD_VALUE, ITEM_FLOAT, 4, 0},
    [0x0b] = {HEAD_VALUE, ITEM_FLOAT, 8, 0},
    [0x0c] = {HEAD_VALUE, ITEM_UNSIGNED, 1, 0},
    [0x0d] = {HEAD_VALUE, ITEM_UNSIGNED, 2, 0},
    [0x0e] = {HEAD_VALUE, ITEM_UNSIGNED, 4, 0},
    [0x0f] = {HEAD_VALUE, ITEM_UNSIGNED, 8, 0},
    [0x10] = {HEAD_SIGNED, ITEM_NEGATIVE, 1, 0},
    [0x11] = {HEAD_SIGNED, ITEM_NEGATIVE, 2, 0},
    [0x12] = {HEAD_SIGNED, ITEM_NEGATIVE, 4, 0},
    [0x13] = {HEAD_SIGNED, ITEM_NEGATIVE, 8, 0},
    [0x14] = {HEAD_FIXED, ITEM_EXTENSION, 0, 1},
    [0x15] = {HEAD_FIXED, ITEM_EXTENSION, 0, 2},
    [0x16] = {HEAD_FIXED, ITEM_EXTENSION, 0, 4},
    [0x17] = {HEAD_FIXED, ITEM_EXTENSION, 0, 8},
    [0x18] = {HEAD_FIXED, ITEM_EXTENSION, 0, 16},
    [0x19] = {HEAD_LENGTH, ITEM_TEXT, 1, 0},
    [0x1a] = {HEAD_LENGTH, ITEM_TEXT, 2, 0},
    [0x1b] = {HEAD_LENGTH, ITEM_TEXT, 4, 0},
    [0x1c] = {HEAD_VALUE, ITEM_ARRAY, 2, 0},
    [0x1d] = {HEAD_VALUE, ITEM_ARRAY, 4, 0},
    [0x1e] = {HEAD_VALUE, ITEM_MAP, 2, 0},
    [0x1f] = {HEAD_VALUE, ITEM_MAP, 4, 0},
};

struct proto_cursor proto_cursor(const void *bytes, size_t size)
{
    static const uint8_t nothing[1];
    const uint8_t *start = size ? bytes : nothing;

    return (struct proto_cursor){start, start + size};
}

static int payload_take(struct proto_cursor *at, uint64_t size, struct proto_item *item)
{
    if (item->type == ITEM_EXTENSION)
        size++; /* its type byte */
    if (size > proto_cursor_left(at))
        return -EBADMSG;
    item->payload = (struct proto_text){(const char *)at->at, (uint32_t)size};
    at->at += size;
    return 0;
}

static int count_check(const struct proto_cursor *at, const struct proto_item *item)
{
    uint64_t least = item->type == ITEM_MAP ? item->number * 2 : item->number;

    return least > proto_cursor_left(at) ? -EBADMSG : 0;
}

static uint64_t sign_extend(uint64_t number, unsigned width)
{
    uint64_t sign = (uint64_t)1 << (width * 8 - 1);

    return (number ^ sign) - sign;
}

/* The bytes 0xc0 to 0xdf; `at` stands behind the first. */
static int item_from_table(struct proto_cursor *at, uint8_t first, struct proto_item *item)
{
    const struct head *head = &heads[first - 0xc0];
    uint64_t number = head->fixed;

    if (head->form == HEAD_NEVER || head->width > proto_cursor_left(at))
        return -EBADMSG;
    for (unsigned i = 0; i < head->width; i++)
        number = number << 8 | *at->at++;

    item->type = (enum proto_item_type)head->type;
    if (head->form == HEAD_SIGNED) {
        item->number = sign_extend(number, head->width);
        if ((int64_t)item->number >= 0)
            item->type = ITEM_UNSIGNED;
        return 0;
    }
    item->number = number;
    if (head->form == HEAD_LENGTH || item->type == ITEM_EXTENSION)
        return payload_take(at, number, item);
    if (item->type == ITEM_ARRAY || item->type == ITEM_MAP)
        return count_check(at, item);
    return 0;
}

int proto_cursor_next(struct proto_cursor *cursor, struct proto_item *ret_item)
{
    struct proto_cursor at = *cursor;
    struct proto_item item = {0};
    int r = 0;

    if (at.at == at.end)
        return -EBADMSG;
    uint8_t first = *at.at++;

    if (first <= 0x7f) {
        item = (struct proto_item){.type = ITEM_UNSIGNED, .number = first};
    } else if (first >= 0xe0) {
        item = (struct proto_item){.type = ITEM_NEGATIVE, .number = sign_extend(first, 1)};
    } else if (first >= 0xc0) {
        r = item_from_table(&at, first, &item);
    } else if (first >= 0xa0) {
        item.type = ITEM_TEXT;
        r = payload_take(&at, first & 0x1f, &item);
    } else {
        item.type = first >= 0x90 ? ITEM_ARRAY : ITEM_MAP;
        item.number = first & 0x0f;
        r = count_check(&at, &item);
    }
    if (r < 0)
        return r;
    *cursor = at;
    *ret_item = item;
    return 0;
}

int proto_cursor_skip(struct proto_cursor *cursor)
{
    struct proto_cursor at = *cursor;
    uint64_t open[PROTO_DEPTH_MAX]; /* values still to come at each level */
    unsigned depth = 0;
    struct proto_item item;

    do {
        int r = proto_cursor_next(&at, &item);
        if (r < 0)
            return r;
        if (depth > 0)
            open[depth - 1]--;
        uint64_t inside = item.type == ITEM_ARRAY ? item.number
                          : item.type == ITEM_MAP ? item.number * 2
                                                  : 0;
        if (inside > 0 && depth == PROTO_DEPTH_MAX)
            return -EBADMSG;
        if (inside > 0)
            open[depth++] = inside;
        while (depth > 0 && open[depth - 1] == 0)
            depth--;
    } while (depth > 0);

    *cursor = at;
    return 0;
}
