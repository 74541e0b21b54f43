/* SPDX-License-Identifier: Apache-2.0 */
#include "store_codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum field_kind {
    FIELD_TEXT,    /* char[size], with NUL */
    FIELD_NUMBER,  /* an integer of 1, 4 or 8 bytes; 8 on disk */
    FIELD_BYTES,   /* uint8_t[size] */
    FIELD_SECRET,  /* struct secret * */
    FIELD_STRING,  /* malloc'd char * */
    FIELD_DIGESTS, /* credential's digests and their count */
};

struct codec_field {
    uint16_t tag;
    enum field_kind kind;
    size_t offset;
    size_t size;
};

struct codec_table {
    size_t object_size;
    size_t count;
    const struct codec_field *fields;
};

#define FIELD(type, tag_, kind_, member)                                                           \
    {tag_, kind_, offsetof(struct type, member), sizeof(((struct type *)0)->member)}
#define TABLE(type, fields_)                                                                       \
    {sizeof(struct type), sizeof(fields_) / sizeof(*(fields_)), fields_}

static const struct codec_field credential_fields[] = {
    FIELD(credential, 1, FIELD_TEXT, profile),
    FIELD(credential, 2, FIELD_TEXT, provider),
    FIELD(credential, 3, FIELD_TEXT, mode),
    FIELD(credential, 4, FIELD_TEXT, account),
    FIELD(credential, 5, FIELD_NUMBER, generation),
    FIELD(credential, 6, FIELD_SECRET, access),
    FIELD(credential, 7, FIELD_SECRET, refresh),
    FIELD(credential, 8, FIELD_SECRET, id_token),
    FIELD(credential, 9, FIELD_NUMBER, expires_at_ms),
    FIELD(credential, 10, FIELD_NUMBER, obtained_at_ms),
    FIELD(credential, 11, FIELD_NUMBER, earliest_refresh_at_ms),
    FIELD(credential, 12, FIELD_NUMBER, refresh_expires_at_ms),
    FIELD(credential, 13, FIELD_TEXT, needs_login),
    FIELD(credential, 14, FIELD_TEXT, aliases),
    FIELD(credential, 15, FIELD_STRING, rule),
    FIELD(credential, 16, FIELD_DIGESTS, digests),
};
/* A member without a row here would be lost at every save: whoever adds one adds both. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct credential) == 1064,
               "struct credential changed: add its row");

static const struct codec_field intent_fields[] = {
    FIELD(intent, 1, FIELD_NUMBER, generation),
    FIELD(intent, 2, FIELD_NUMBER, attempt),
    FIELD(intent, 3, FIELD_BYTES, nonce),
    FIELD(intent, 4, FIELD_NUMBER, wall_ms),
    FIELD(intent, 5, FIELD_NUMBER, boot_ns),
    FIELD(intent, 6, FIELD_BYTES, boot_id),
    FIELD(intent, 7, FIELD_NUMBER, first_wall_ms),
    FIELD(intent, 8, FIELD_NUMBER, first_boot_ns),
    FIELD(intent, 9, FIELD_BYTES, first_boot_id),
};
_Static_assert(sizeof(struct intent) == 96, "struct intent changed: add its row");

static const struct codec_field answer_fields[] = {
    FIELD(answer, 1, FIELD_NUMBER, generation),
    FIELD(answer, 2, FIELD_NUMBER, attempt),
    FIELD(answer, 3, FIELD_NUMBER, complete),
    FIELD(answer, 4, FIELD_NUMBER, http_status),
    FIELD(answer, 5, FIELD_SECRET, body),
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct answer) == 32,
               "struct answer changed: add its row");

const struct codec_table credential_codec = TABLE(credential, credential_fields);
const struct codec_table intent_codec = TABLE(intent, intent_fields);
const struct codec_table answer_codec = TABLE(answer, answer_fields);

#define FIELD_HEAD 6 /* tag and length */

/* Counts while `at` is NULL, then writes. */
struct writer {
    uint8_t *at;
    size_t used;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t size)
{
    if (writer->at != NULL && size > 0) {
        memcpy(writer->at + writer->used, bytes, size);
    }
    writer->used += size;
}

static void put_number(struct writer *writer, uint64_t number, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(number >> (8 * i));
    }
    put_bytes(writer, bytes, size);
}

static void put_field(struct writer *writer, uint16_t tag, const void *bytes, size_t size)
{
    put_number(writer, tag, 2);
    put_number(writer, size, 4);
    put_bytes(writer, bytes, size);
}

static uint64_t load_number(const void *member, size_t size)
{
    uint64_t number = 0;
    memcpy(&number, member, size); /* the hosts are little-endian; negative ones are 8 bytes */
    return number;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie");

static void put_member(struct writer *writer, const struct codec_field *field, const void *object)
{
    const void *member = (const uint8_t *)object + field->offset;
    uint64_t number;
    switch (field->kind) {
    case FIELD_TEXT:
        put_field(writer, field->tag, member, strnlen(member, field->size));
        break;
    case FIELD_NUMBER:
        number = load_number(member, field->size);
        put_field(writer, field->tag, &number, sizeof(number));
        break;
    case FIELD_BYTES:
        put_field(writer, field->tag, member, field->size);
        break;
    case FIELD_SECRET: {
        const struct secret *secret = *(struct secret *const *)member;
        if (secret != NULL) {
            put_field(writer, field->tag, secret_data(secret), secret_length(secret));
        }
        break;
    }
    case FIELD_STRING: {
        const char *text = *(char *const *)member;
        if (text != NULL) {
            put_field(writer, field->tag, text, strlen(text));
        }
        break;
    }
    case FIELD_DIGESTS:
    default: {
        const struct credential *credential = object;
        put_field(writer, field->tag, credential->digests, credential->digest_count * 16);
        break;
    }
    }
}

struct secret *codec_pack(const struct codec_table *table, const void *object,
                          const struct secret_memory *memory)
{
    struct writer count = {0};
    for (size_t i = 0; i < table->count; i++) {
        put_member(&count, &table->fields[i], object);
    }
    struct secret *bytes = secret_new_sized_in(memory, count.used);
    if (bytes == NULL) {
        return NULL;
    }
    struct writer writer = {.at = secret_edit(bytes)};
    for (size_t i = 0; i < table->count; i++) {
        put_member(&writer, &table->fields[i], object);
    }
    return bytes;
}

static uint64_t get_number(const uint8_t *bytes, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        number |= (uint64_t)bytes[i] << (8 * i);
    }
    return number;
}

static int get_string(void *member, const uint8_t *bytes, size_t size)
{
    if (memchr(bytes, 0, size) != NULL || *(char **)member != NULL) {
        return -EBADMSG;
    }
    char *text = strndup((const char *)bytes, size);
    if (text == NULL) {
        return -ENOMEM;
    }
    *(char **)member = text;
    return 0;
}

static int get_secret(void *member, const struct secret_memory *memory, const uint8_t *bytes,
                      size_t size)
{
    if (*(struct secret **)member != NULL) {
        return -EBADMSG;
    }
    struct secret *secret = secret_new_in(memory, bytes, size);
    *(struct secret **)member = secret;
    return secret == NULL ? -ENOMEM : 0;
}

static int get_digests(struct credential *credential, const uint8_t *bytes, size_t size)
{
    if (size % 16 != 0 || credential->digests != NULL) {
        return -EBADMSG;
    }
    if (size == 0) {
        return 0;
    }
    credential->digests = malloc(size);
    if (credential->digests == NULL) {
        return -ENOMEM;
    }
    memcpy(credential->digests, bytes, size);
    credential->digest_count = size / 16;
    return 0;
}

static int get_member(const struct codec_field *field, const struct secret_memory *memory,
                      const uint8_t *bytes, size_t size, void *object)
{
    void *member = (uint8_t *)object + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        if (size >= field->size || memchr(bytes, 0, size) != NULL) {
            return -EBADMSG;
        }
        memcpy(member, bytes, size);
        return 0;
    case FIELD_NUMBER: {
        if (size != 8) {
            return -EBADMSG;
        }
        uint64_t number = get_number(bytes, 8);
        uint64_t most = field->size == 8 ? UINT64_MAX : field->size == 4 ? UINT32_MAX : 1;
        if (number > most) {
            return -EBADMSG;
        }
        memcpy(member, &number, field->size);
        return 0;
    }
    case FIELD_BYTES:
        if (size != field->size) {
            return -EBADMSG;
        }
        memcpy(member, bytes, size);
        return 0;
    case FIELD_SECRET:
        return get_secret(member, memory, bytes, size);
    case FIELD_STRING:
        return get_string(member, bytes, size);
    case FIELD_DIGESTS:
    default:
        return get_digests(object, bytes, size);
    }
}

int codec_unpack(const struct codec_table *table, const struct secret *bytes, void *ret_object)
{
    memset(ret_object, 0, table->object_size);
    const uint8_t *at = (const uint8_t *)secret_data(bytes);
    size_t left = secret_length(bytes);
    while (left > 0) {
        if (left < FIELD_HEAD || get_number(at + 2, 4) > left - FIELD_HEAD) {
            return -EBADMSG;
        }
        uint16_t tag = (uint16_t)get_number(at, 2);
        size_t size = get_number(at + 2, 4);
        for (size_t i = 0; i < table->count; i++) {
            if (table->fields[i].tag != tag) {
                continue;
            }
            int error = get_member(&table->fields[i], secret_memory_of(bytes), at + FIELD_HEAD,
                                   size, ret_object);
            if (error < 0) {
                return error;
            }
        }
        at += FIELD_HEAD + size;
        left -= FIELD_HEAD + size;
    }
    return 0;
}
