/* SPDX-License-Identifier: Apache-2.0 */
/* Messages are declared once, as X-macro lists, and read by four generic loops.
 *
 * A topic header (proto/token.h) has a list of messages, X(number, name, fields, help), and for
 * each message a list of fields, F(kind, name, help). PROTO_DECLARE emits a struct, its number
 * (MSG_name) and the declaration of its descriptor; PROTO_DEFINE, once in the topic's .c, the
 * descriptor. Nothing else is generated: pack, unpack, print and wipe walk the descriptor.
 *
 * Wire form: a msgpack array in field order. Fields are only ever appended; a missing tail reads
 * as zero; more elements than known are accepted and ignored; numbers are never reused.
 * Unpacking is a bounded cursor (proto/cursor.h): no allocation, text borrows from the body. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes, not NUL-terminated. data may be NULL when size is 0. */
struct proto_text {
    const char *data;
    uint32_t size;
};

/* kind, C type: what a field may be. `secret` is text that is printed <secret> and makes its
 * message one that is wiped when freed. `value` is any msgpack value, kept packed. `text` must be
 * UTF-8, `bytes` need not. */
#define PROTO_KINDS(K)                                                                             \
    K(boolean, bool)                                                                               \
    K(u64, uint64_t)                                                                               \
    K(i64, int64_t)                                                                                \
    K(text, struct proto_text)                                                                     \
    K(bytes, struct proto_text)                                                                    \
    K(secret, struct proto_text)                                                                   \
    K(value, struct proto_text)

enum proto_kind {
#define K(kind, type) PROTO_##kind,
    PROTO_KINDS(K)
#undef K
        PROTO_KIND_COUNT
};

/* "text", "u64", ...; "?" for an unknown one. */
const char *proto_kind_name(enum proto_kind kind);

#define K(kind, type) typedef type proto_type_##kind;
PROTO_KINDS(K)
#undef K

struct proto_field {
    enum proto_kind kind;
    const char *name;
    const char *help;
};

/* Largest struct of a message, bytes: what a receiver sets aside to unpack into. */
#define PROTO_STRUCT_MAX 1024
/* Deepest nesting inside a `value` field or an element that is skipped. */
#define PROTO_DEPTH_MAX 8

struct proto_schema {
    uint32_t number;
    const char *name;
    const char *help;
    size_t size; /* of the struct, bytes */
    const struct proto_field *fields;
    size_t field_count;
    bool has_secret;
};

/* Every member starts at a multiple of 8, so a field's place is the sum of the widths before it;
 * PROTO_DEFINE proves it for each struct. A message without fields is an empty struct (GNU C). */
#define PROTO_WIDTH(type) ((sizeof(type) + 7) / 8 * 8)

#define PROTO_MEMBER(kind, name, help) _Alignas(8) proto_type_##kind name;
#define PROTO_STRUCT(number, name, fields, help)                                                   \
    struct name {                                                                                  \
        fields(PROTO_MEMBER)                                                                       \
    };                                                                                             \
    extern const struct proto_schema name##_schema;
#define PROTO_NUMBER(number, name, fields, help) MSG_##name = number,
#define PROTO_DECLARE(topic, MESSAGES)                                                             \
    enum proto_##topic##_number { MESSAGES(PROTO_NUMBER) };                                        \
    MESSAGES(PROTO_STRUCT)                                                                         \
    extern const struct proto_schema *const proto_##topic##_schemas[];                             \
    extern const size_t proto_##topic##_schema_count;

/* Once for each topic, in proto/<topic>.c. The last row of the fields is a stop, so that a message
 * without any has a table too. */
#define PROTO_ROW(kind, name, help) {PROTO_##kind, #name, help},
#define PROTO_PLUS_WIDTH(kind, name, help) +PROTO_WIDTH(proto_type_##kind)
#define PROTO_OR_SECRET(kind, name, help) || PROTO_##kind == PROTO_secret
#define PROTO_DESCRIBE(number, name, fields, help)                                                 \
    _Static_assert(sizeof(struct name) == 0 fields(PROTO_PLUS_WIDTH), "a gap in struct " #name);   \
    _Static_assert(sizeof(struct name) <= PROTO_STRUCT_MAX, "too many fields in " #name);          \
    static const struct proto_field name##_fields[] = {                                            \
        fields(PROTO_ROW){PROTO_KIND_COUNT, NULL, NULL}};                                          \
    const struct proto_schema name##_schema = {                                                    \
        number,        #name,                                                                      \
        help,          sizeof(struct name),                                                        \
        name##_fields, sizeof(name##_fields) / sizeof(name##_fields[0]) - 1,                       \
        false fields(PROTO_OR_SECRET)};
#define PROTO_REFERENCE(number, name, fields, help) &name##_schema,
#define PROTO_DEFINE(topic, MESSAGES)                                                              \
    MESSAGES(PROTO_DESCRIBE)                                                                       \
    const struct proto_schema *const proto_##topic##_schemas[] = {MESSAGES(PROTO_REFERENCE)};      \
    const size_t proto_##topic##_schema_count =                                                    \
        sizeof(proto_##topic##_schemas) / sizeof(proto_##topic##_schemas[0]);

/* All messages of all topics, by number. NULL when unknown. */
const struct proto_schema *proto_find(uint32_t number);
/* The i-th message, in number order; NULL at the end. */
const struct proto_schema *proto_at(size_t i);

/* Bytes that proto_pack will write. */
size_t proto_packed_size(const struct proto_schema *schema, const void *message);
/* Writes exactly that many. -EMSGSIZE when `size` is too small, -EINVAL for a bad value. */
int proto_pack(const struct proto_schema *schema, const void *message, uint8_t *ret_body,
               size_t size);
/* 0 or -EBADMSG: wrong kind, bad UTF-8, over a limit, something left over. Fits actor_decode_fn. */
int proto_unpack(const void *schema, const uint8_t *body, size_t size, void *ret_message);
/* One line, `name{field: value, ...}`, long texts cut, secrets as <secret>. Returns the length it
 * wanted, as snprintf. */
size_t proto_print(const struct proto_schema *schema, const uint8_t *body, size_t size,
                   char *ret_text, size_t text_size);
/* Overwrites the secret fields' bytes in a body; all of a body that does not unpack. */
void proto_wipe(const struct proto_schema *schema, uint8_t *body, size_t size);

struct proto_text proto_text(const char *string); /* NULL is empty */
bool proto_text_equal(struct proto_text text, const char *string);
/* Copies with a NUL; false (and an empty string) when it does not fit or holds a NUL. */
bool proto_text_copy(struct proto_text text, char *ret_string, size_t size);
/* Copies with a NUL, malloc'd; NULL without memory or when it holds a NUL. */
char *proto_text_dup(struct proto_text text);
