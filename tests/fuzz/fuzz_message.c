/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a message. Input: two bytes, the message's number (big-endian; an unknown one counts
 * as some known one), then the body.
 *
 * msgpack-c is the oracle of the cursor: what the cursor steps over the library takes too, to the
 * same end. What unpacks packs again to what unpacks to the same. The printed line is one line, of
 * bounded length, and does not depend on what a secret holds: to wipe the body does not change
 * it. */
#include <msgpack/object.h>
#include <msgpack/unpack.h>

#include "fuzz.h"
#include "generate.h"
#include "proto/cursor.h"

#define LINE_MAX (64 * 1024)

static const struct proto_schema *schema_of(uint32_t number)
{
    const struct proto_schema *schema = proto_find(number);
    size_t count = 0;

    if (schema)
        return schema;
    while (proto_at(count))
        count++;
    return proto_at(number % count);
}

/* The library reserves what a 32-bit count asks for, whether or not the bytes are there. It sees
 * only what the cursor has accepted, as in the program. */
static void ask_the_library(const uint8_t *bytes, size_t size)
{
    struct proto_cursor cursor = proto_cursor(bytes, size);
    size_t taken = 0;
    msgpack_unpacked unpacked;

    if (proto_cursor_skip(&cursor) < 0)
        return;
    msgpack_unpacked_init(&unpacked);
    int r = msgpack_unpack_next(&unpacked, (const char *)bytes, size, &taken);
    assert(r == MSGPACK_UNPACK_SUCCESS || r == MSGPACK_UNPACK_EXTRA_BYTES);
    assert(taken == (size_t)(cursor.at - bytes));
    msgpack_unpacked_destroy(&unpacked);
}

static void pack_again(const struct proto_schema *schema, const void *message)
{
    _Alignas(max_align_t) uint8_t again[PROTO_STRUCT_MAX];
    size_t size = proto_packed_size(schema, message);
    uint8_t *body = malloc(size);

    assert(body);
    assert(size == 0 || proto_pack(schema, message, body, size - 1) < 0);
    assert(proto_pack(schema, message, body, size) == 0);
    assert(proto_unpack(schema, body, size, again) == 0);
    assert(messages_equal(schema, message, again));
    free(body);
}

/* The line, malloc'd. */
static char *print(const struct proto_schema *schema, const uint8_t *body, size_t size)
{
    char short_text[24];
    size_t length = proto_print(schema, body, size, short_text, sizeof(short_text));
    assert(length < LINE_MAX);
    char *text = malloc(length + 1);
    assert(text);
    assert(proto_print(schema, body, size, text, length + 1) == length);
    assert(strlen(text) == length);
    assert(strncmp(text, short_text, strlen(short_text)) == 0);

    assert(proto_utf8_valid(proto_text(text)));
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        assert(*at >= 0x20 && *at != 0x7f && !(*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) &&
               "a line stays a line");
    return text;
}

static void wipe(const struct proto_schema *schema, const uint8_t *bytes, size_t size,
                 const char *line)
{
    uint8_t *body = malloc(size ? size : 1);
    assert(body);
    if (size > 0)
        memcpy(body, bytes, size);
    proto_wipe(schema, body, size);
    if (!schema->has_secret)
        assert(size == 0 || memcmp(body, bytes, size) == 0);
    char *wiped = print(schema, body, size);
    assert(strcmp(line, wiped) == 0);
    free(wiped);
    free(body);
}

static void one(const uint8_t *bytes, size_t size)
{
    _Alignas(max_align_t) uint8_t message[PROTO_STRUCT_MAX];
    uint32_t number = fuzz_take(&bytes, &size);
    number = number << 8 | fuzz_take(&bytes, &size);
    const struct proto_schema *schema = schema_of(number);

    ask_the_library(bytes, size);
    char *line = print(schema, bytes, size);
    if (proto_unpack(schema, bytes, size, message) == 0) {
        pack_again(schema, message);
        wipe(schema, bytes, size, line);
    }
    free(line);
}

/* The library takes 24 bytes an element. */
FUZZ_TARGET(one, 32768, 128)
