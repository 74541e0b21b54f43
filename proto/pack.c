/* SPDX-License-Identifier: Apache-2.0 */
/* struct -> body. msgpack-c writes; it is handed a sink that counts, or that writes into the
 * caller's bytes and stops at their end. What would not unpack again is refused here: text that
 * is not UTF-8, a `value` that is not one whole msgpack value. An empty `value` is nil. */
#include <errno.h>
#include <msgpack/pack.h>
#include <string.h>

#include "fields.h"
#include "proto/cursor.h"

struct sink {
    uint8_t *bytes; /* NULL: only count */
    size_t limit;
    size_t size;
};

static int sink_write(void *data, const char *bytes, size_t size)
{
    struct sink *sink = data;

    if (sink->bytes && size > sink->limit - sink->size)
        return -1;
    if (sink->bytes && size > 0)
        memcpy(sink->bytes + sink->size, bytes, size);
    sink->size += size;
    return 0;
}

static bool is_one_value(struct proto_text text)
{
    struct proto_cursor cursor = proto_cursor(text.data, text.size);

    return proto_cursor_skip(&cursor) == 0 && proto_cursor_left(&cursor) == 0;
}

static int pack_value(msgpack_packer *packer, struct sink *sink, struct proto_text value)
{
    if (value.size == 0)
        return msgpack_pack_nil(packer);
    return sink_write(sink, value.data, value.size);
}

static int pack_field(msgpack_packer *packer, struct sink *sink, const struct field_walk *walk)
{
    switch (walk->field->kind) {
    case PROTO_boolean:
        return field_boolean(walk) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
    case PROTO_u64:
        return msgpack_pack_uint64(packer, field_number(walk));
    case PROTO_i64:
        return msgpack_pack_int64(packer, (int64_t)field_number(walk));
    case PROTO_text:
    case PROTO_secret:
        return msgpack_pack_str_with_body(packer, field_text(walk).data, field_text(walk).size);
    case PROTO_bytes:
        return msgpack_pack_bin_with_body(packer, field_text(walk).data, field_text(walk).size);
    case PROTO_value:
    default:
        return pack_value(packer, sink, field_text(walk));
    }
}

static int pack_into(const struct proto_schema *schema, const void *message, struct sink *sink)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, sink, sink_write);
    if (msgpack_pack_array(&packer, schema->field_count) != 0)
        return -EMSGSIZE;
    for (struct field_walk walk = field_walk(schema, message); field_walk_next(&walk);)
        if (pack_field(&packer, sink, &walk) != 0)
            return -EMSGSIZE;
    return 0;
}

static bool fits_schema(const struct proto_schema *schema, const void *message)
{
    for (struct field_walk walk = field_walk(schema, message); field_walk_next(&walk);) {
        enum proto_kind kind = walk.field->kind;

        if ((kind == PROTO_text || kind == PROTO_secret) && !proto_utf8_valid(field_text(&walk)))
            return false;
        if (kind == PROTO_value && field_text(&walk).size && !is_one_value(field_text(&walk)))
            return false;
    }
    return true;
}

size_t proto_packed_size(const struct proto_schema *schema, const void *message)
{
    struct sink sink = {0};

    pack_into(schema, message, &sink);
    return sink.size;
}

int proto_pack(const struct proto_schema *schema, const void *message, uint8_t *ret_body,
               size_t size)
{
    struct sink sink = {.bytes = ret_body, .limit = size};

    if (!fits_schema(schema, message))
        return -EINVAL;
    return pack_into(schema, message, &sink);
}
