/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded reader of msgpack.
 *
 * It allocates nothing, never reads past its end and never trusts a number it was told: a length
 * must fit in the bytes that remain, and so must a count, since each element takes at least one
 * byte. Nesting stops at PROTO_DEPTH_MAX. Whatever it accepts, a full msgpack library accepts too,
 * and then in memory bounded by a small multiple of the bytes. */
#pragma once

#include "proto/schema.h"

struct proto_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

enum proto_item_type {
    ITEM_NIL,
    ITEM_BOOLEAN,
    ITEM_UNSIGNED, /* number, 0 and above */
    ITEM_NEGATIVE, /* number as two's complement */
    ITEM_FLOAT,
    ITEM_TEXT,      /* payload; UTF-8 not checked */
    ITEM_BYTES,     /* payload */
    ITEM_EXTENSION, /* payload, its type byte first */
    ITEM_ARRAY,     /* number elements follow */
    ITEM_MAP        /* number pairs follow */
};

struct proto_item {
    enum proto_item_type type;
    uint64_t number;
    struct proto_text payload;
};

struct proto_cursor proto_cursor(const void *bytes, size_t size);
static inline size_t proto_cursor_left(const struct proto_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* Reads one item; of an array or map only its head. 0 or -EBADMSG; then the cursor stands where
 * it stood. */
int proto_cursor_next(struct proto_cursor *cursor, struct proto_item *ret_item);
/* Steps over one whole value, nested at most PROTO_DEPTH_MAX deep. 0 or -EBADMSG. */
int proto_cursor_skip(struct proto_cursor *cursor);

/* Well-formed UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF. */
bool proto_utf8_valid(struct proto_text text);
