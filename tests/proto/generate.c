/* SPDX-License-Identifier: Apache-2.0 */
#include "generate.h"

#include <string.h>

/* splitmix64 */
uint64_t generate_number(struct generator *generator)
{
    uint64_t z = generator->seed += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static size_t width_of(enum proto_kind kind)
{
    return kind == PROTO_boolean || kind == PROTO_u64 || kind == PROTO_i64 ? 8 : 16;
}

/* Small numbers, and those at the borders of the packed forms. */
static uint64_t some_integer(struct generator *generator)
{
    uint64_t number = generate_number(generator);
    unsigned bits = (unsigned)(number & 63);

    return (((uint64_t)1 << bits) - 1) + (number >> 62);
}

static struct proto_text some_text(struct generator *generator, char *pool)
{
    static const char *const letters[] = {"a", "Z", "\n", "\"", "é", "漢", "🐝", " ", "\x01", "7"};
    static const uint32_t sizes[] = {0, 1, 31, 32, 255, 256, GENERATE_TEXT_MAX};
    uint32_t limit = sizes[generate_number(generator) % (sizeof(sizes) / sizeof(sizes[0]))];
    uint32_t size = 0;

    for (;;) {
        const char *letter =
            letters[generate_number(generator) % (sizeof(letters) / sizeof(letters[0]))];
        if (size + strlen(letter) > limit)
            return (struct proto_text){pool, size};
        memcpy(pool + size, letter, strlen(letter));
        size += (uint32_t)strlen(letter);
    }
}

static struct proto_text some_bytes(struct generator *generator, char *pool)
{
    uint32_t size = (uint32_t)(generate_number(generator) % GENERATE_TEXT_MAX);

    for (uint32_t i = 0; i < size; i++)
        pool[i] = (char)generate_number(generator);
    return (struct proto_text){pool, size};
}

static struct proto_text some_value(struct generator *generator)
{
    static const char *const values[] = {"", "\x07", "\x93\x01\x02\x03", "\x81\xa1k\x91\xc2",
                                         "\xcb\x3f\xf0\x01\x01\x01\x01\x01\x01"};

    return proto_text(values[generate_number(generator) % (sizeof(values) / sizeof(values[0]))]);
}

void generate_message(struct generator *generator, const struct proto_schema *schema,
                      void *ret_message)
{
    uint8_t *member = ret_message;

    memset(ret_message, 0, schema->size);
    for (size_t i = 0; i < schema->field_count; i++) {
        enum proto_kind kind = schema->fields[i].kind;
        uint64_t number = some_integer(generator);
        bool truth = number & 1;
        struct proto_text text = {0};

        if (kind == PROTO_boolean) {
            memcpy(member, &truth, sizeof(truth));
        } else if (kind == PROTO_u64 || kind == PROTO_i64) {
            memcpy(member, &number, sizeof(number));
        } else {
            text = kind == PROTO_bytes   ? some_bytes(generator, generator->pool[i])
                   : kind == PROTO_value ? some_value(generator)
                                         : some_text(generator, generator->pool[i]);
            memcpy(member, &text, sizeof(text));
        }
        member += width_of(kind);
    }
}

static bool members_equal(enum proto_kind kind, const uint8_t *a, const uint8_t *b)
{
    struct proto_text left, right;

    if (kind == PROTO_boolean)
        return *(const bool *)a == *(const bool *)b;
    if (width_of(kind) == 8)
        return memcmp(a, b, 8) == 0;
    memcpy(&left, a, sizeof(left));
    memcpy(&right, b, sizeof(right));
    return left.size == right.size &&
           (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
}

bool messages_equal(const struct proto_schema *schema, const void *a, const void *b)
{
    const uint8_t *left = a, *right = b;

    for (size_t i = 0; i < schema->field_count; i++) {
        if (!members_equal(schema->fields[i].kind, left, right))
            return false;
        left += width_of(schema->fields[i].kind);
        right += width_of(schema->fields[i].kind);
    }
    return true;
}
