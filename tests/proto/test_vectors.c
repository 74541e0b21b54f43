/* SPDX-License-Identifier: Apache-2.0 */
/* vectors/messages.txt, both ways: its values pack to its bytes, its bytes unpack to its values.
 * vectors/check.py reads the same file with another implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "proto/schema.h"

#define LINE_MAX_BYTES 8192
#define MESSAGES_MAX 256

struct reader {
    const struct proto_schema *schema;
    size_t field;
    uint8_t *member;
    _Alignas(16) uint8_t message[PROTO_STRUCT_MAX];
    uint8_t *owned[PROTO_STRUCT_MAX / 16]; /* what the texts borrow from */
    size_t owned_count;
    bool seen[MESSAGES_MAX];
    unsigned vectors;
};

static struct proto_text from_hex(struct reader *reader, const char *hex)
{
    size_t size = strlen(hex) / 2;
    uint8_t *bytes = malloc(size + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    reader->owned[reader->owned_count++] = bytes;
    return (struct proto_text){(const char *)bytes, (uint32_t)size};
}

static struct proto_text from_json_string(struct reader *reader, const char *json)
{
    char *text = malloc(strlen(json) + 1);
    uint32_t size = 0;

    assert_non_null(text);
    assert_int_equal(json[0], '"');
    for (json++; *json != '"'; json++) {
        assert_int_not_equal(*json, 0);
        if (*json == '\\')
            json++, text[size++] = *json == 'n' ? '\n' : *json;
        else
            text[size++] = *json;
    }
    reader->owned[reader->owned_count++] = (uint8_t *)text;
    return (struct proto_text){text, size};
}

static void begin_message(struct reader *reader, const char *name, const char *number)
{
    reader->schema = proto_find((uint32_t)strtoul(number, NULL, 16));
    assert_non_null(reader->schema);
    assert_string_equal(reader->schema->name, name);
    reader->field = 0;
    reader->member = reader->message;
    memset(reader->message, 0, sizeof(reader->message));
    for (size_t i = 0; proto_at(i); i++)
        if (proto_at(i) == reader->schema)
            reader->seen[i] = true;
}

static void read_field(struct reader *reader, const char *kind, const char *name, char *value)
{
    assert_true(reader->field < reader->schema->field_count);
    const struct proto_field *field = &reader->schema->fields[reader->field++];

    assert_string_equal(field->name, name);
    assert_string_equal(proto_kind_name(field->kind), kind);
    if (field->kind == PROTO_boolean) {
        *(bool *)reader->member = strcmp(value, "true") == 0;
        reader->member += 8;
    } else if (field->kind == PROTO_u64 || field->kind == PROTO_i64) {
        uint64_t number = field->kind == PROTO_u64 ? strtoull(value, NULL, 10)
                                                   : (uint64_t)strtoll(value, NULL, 10);
        memcpy(reader->member, &number, sizeof(number));
        reader->member += 8;
    } else {
        struct proto_text text = field->kind == PROTO_text || field->kind == PROTO_secret
                                     ? from_json_string(reader, value)
                                     : from_hex(reader, value);
        memcpy(reader->member, &text, sizeof(text));
        reader->member += 16;
    }
}

static void check_bytes(struct reader *reader, const char *hex)
{
    const struct proto_schema *schema = reader->schema;
    struct proto_text expected = from_hex(reader, hex);
    _Alignas(16) uint8_t unpacked[PROTO_STRUCT_MAX];
    uint8_t packed[LINE_MAX_BYTES];

    assert_int_equal(reader->field, schema->field_count);
    assert_int_equal(proto_packed_size(schema, reader->message), expected.size);
    assert_int_equal(proto_pack(schema, reader->message, packed, expected.size), 0);
    assert_memory_equal(packed, expected.data, expected.size);
    assert_int_equal(
        proto_unpack(schema, (const uint8_t *)expected.data, expected.size, unpacked), 0);
    assert_true(messages_equal(schema, unpacked, reader->message));
    reader->vectors++;
    while (reader->owned_count > 0)
        free(reader->owned[--reader->owned_count]);
}

static void read_line(struct reader *reader, char *line)
{
    char *rest = line, *first, *second;

    line[strcspn(line, "\n")] = 0;
    if (line[0] == 0 || line[0] == '#')
        return;
    first = strsep(&rest, " ");
    second = strsep(&rest, " ");
    if (strcmp(first, "message") == 0)
        begin_message(reader, second, rest);
    else if (strcmp(first, "hex") == 0)
        check_bytes(reader, second);
    else
        read_field(reader, first, second, rest);
}

static void the_vectors_hold_both_ways(void **state)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    char *line = malloc(LINE_MAX_BYTES);
    FILE *file = fopen(VECTORS, "re");

    (void)state;
    assert_non_null(reader);
    assert_non_null(line);
    assert_non_null(file);
    while (fgets(line, LINE_MAX_BYTES, file))
        read_line(reader, line);
    fclose(file);
    assert_true(reader->vectors > 50);
    for (size_t i = 0; proto_at(i); i++)
        if (!reader->seen[i])
            fail_msg("no vector for %s: run `ninja docs`", proto_at(i)->name);
    free(line);
    free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_vectors_hold_both_ways)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
