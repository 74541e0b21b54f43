/* SPDX-License-Identifier: Apache-2.0 */
/* body -> struct, and what else needs a body taken apart: wiping.
 *
 * One array, nothing behind it. Integers are taken by value, not by how they were packed, so a
 * packer that has no unsigned integers is understood too; text must be str and bytes bin. A field
 * of the wrong kind refuses the whole body: guessing is how two sides come to differ. */
#include <errno.h>
#include <string.h>

#include "fields.h"
#include "proto/cursor.h"

static int unpack_value(struct proto_cursor *cursor, struct proto_text *ret_value)
{
    const uint8_t *start = cursor->at;
    int r = proto_cursor_skip(cursor);

    if (r < 0)
        return r;
    *ret_value = (struct proto_text){(const char *)start, (uint32_t)(cursor->at - start)};
    if (ret_value->size == 1 && *start == 0xc0)
        *ret_value = (struct proto_text){0}; /* nil is the empty value */
    return 0;
}

/* May this item stand for this kind? */
static bool item_fits(enum proto_kind kind, const struct proto_item *item)
{
    switch (kind) {
    case PROTO_boolean:
        return item->type == ITEM_BOOLEAN;
    case PROTO_u64:
        return item->type == ITEM_UNSIGNED;
    case PROTO_i64:
        return item->type == ITEM_NEGATIVE ||
               (item->type == ITEM_UNSIGNED && item->number <= INT64_MAX);
    case PROTO_text:
    case PROTO_secret:
        return item->type == ITEM_TEXT && proto_utf8_valid(item->payload);
    case PROTO_bytes:
    default: /* a value is not asked for its kind */
        return item->type == ITEM_BYTES;
    }
}

static void item_store(enum proto_kind kind, const struct proto_item *item, uint8_t *ret_member)
{
    bool truth = item->number != 0;

    if (kind == PROTO_boolean)
        memcpy(ret_member, &truth, sizeof(truth));
    else if (kind == PROTO_u64 || kind == PROTO_i64)
        memcpy(ret_member, &item->number, sizeof(item->number));
    else
        memcpy(ret_member, &item->payload, sizeof(item->payload));
}

static int unpack_field(struct proto_cursor *cursor, enum proto_kind kind, uint8_t *ret_member)
{
    struct proto_item item = {0};
    int r = kind == PROTO_value ? unpack_value(cursor, &item.payload)
                                : proto_cursor_next(cursor, &item);

    if (r < 0)
        return r;
    if (kind != PROTO_value && !item_fits(kind, &item))
        return -EBADMSG;
    item_store(kind, &item, ret_member);
    return 0;
}

int proto_unpack(const void *schema_, const uint8_t *body, size_t size, void *ret_message)
{
    const struct proto_schema *schema = schema_;
    struct proto_cursor cursor = proto_cursor(body, size);
    uint8_t *member = ret_message;
    struct proto_item array;

    if (proto_cursor_next(&cursor, &array) < 0 || array.type != ITEM_ARRAY)
        return -EBADMSG;
    memset(ret_message, 0, schema->size);
    for (uint64_t i = 0; i < array.number; i++) {
        if (i >= schema->field_count) { /* of a newer version */
            if (proto_cursor_skip(&cursor) < 0)
                return -EBADMSG;
            continue;
        }
        enum proto_kind kind = schema->fields[i].kind;
        if (unpack_field(&cursor, kind, member) < 0)
            return -EBADMSG;
        member += proto_kind_width(kind);
    }
    return proto_cursor_left(&cursor) == 0 ? 0 : -EBADMSG;
}

void proto_wipe(const struct proto_schema *schema, uint8_t *body, size_t size)
{
    _Alignas(max_align_t) uint8_t message[PROTO_STRUCT_MAX];

    if (proto_unpack(schema, body, size, message) < 0) {
        explicit_bzero(body, size);
        return;
    }
    for (struct field_walk walk = field_walk(schema, message); field_walk_next(&walk);) {
        struct proto_text text;

        if (walk.field->kind != PROTO_secret)
            continue;
        text = field_text(&walk);
        if (text.size > 0)
            explicit_bzero(body + ((const uint8_t *)text.data - body), text.size);
    }
}
