/* SPDX-License-Identifier: Apache-2.0 */
/* Inside proto/: walking the members of a message's struct. */
#pragma once

#include "proto/schema.h"

/* Bytes a member of this kind takes in its struct, padding included. */
size_t proto_kind_width(enum proto_kind kind);

/* for (struct field_walk walk = field_walk(schema, message); field_walk_next(&walk);) */
struct field_walk {
    const struct proto_schema *schema;
    const uint8_t *member; /* of the field at hand */
    const struct proto_field *field;
    size_t next;
};

struct field_walk field_walk(const struct proto_schema *schema, const void *message);
bool field_walk_next(struct field_walk *walk);

bool field_boolean(const struct field_walk *walk);
uint64_t field_number(const struct field_walk *walk); /* u64, and i64 as two's complement */
struct proto_text field_text(const struct field_walk *walk); /* text, bytes, secret, value */
