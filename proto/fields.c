/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include <assert.h>
#include <string.h>

static const struct kind {
    const char *name;
    size_t width;
} kinds[] = {
#define K(kind, type) [PROTO_##kind] = {#kind, PROTO_WIDTH(type)},
    PROTO_KINDS(K)
#undef K
};

size_t proto_kind_width(enum proto_kind kind)
{
    assert(kind < PROTO_KIND_COUNT);
    return kinds[kind].width;
}

const char *proto_kind_name(enum proto_kind kind)
{
    return kind < PROTO_KIND_COUNT ? kinds[kind].name : "?";
}

struct field_walk field_walk(const struct proto_schema *schema, const void *message)
{
    return (struct field_walk){.schema = schema, .member = message};
}

bool field_walk_next(struct field_walk *walk)
{
    if (walk->next == walk->schema->field_count)
        return false;
    if (walk->field)
        walk->member += proto_kind_width(walk->field->kind);
    walk->field = &walk->schema->fields[walk->next++];
    return true;
}

bool field_boolean(const struct field_walk *walk)
{
    bool value;

    memcpy(&value, walk->member, sizeof(value));
    return value;
}

uint64_t field_number(const struct field_walk *walk)
{
    uint64_t value;

    memcpy(&value, walk->member, sizeof(value));
    return value;
}

struct proto_text field_text(const struct field_walk *walk)
{
    struct proto_text value;

    memcpy(&value, walk->member, sizeof(value));
    return value;
}
