/* SPDX-License-Identifier: Apache-2.0 */
#include "token/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

struct secret {
    const struct secret_memory *memory;
    size_t length;
    uint8_t bytes[];
};

/* sodium_malloc puts the end of an allocation against a guard page, so its start is aligned only
 * when the size is. */
#define SECRET_ALIGNMENT 16

static void *sodium_memory_alloc(const struct secret_memory *memory, size_t size)
{
    (void)memory;
    if (sodium_init() < 0) { /* page size and canary; does nothing the second time */
        return NULL;
    }
    return sodium_malloc(size);
}

static void sodium_memory_free(const struct secret_memory *memory, void *pointer)
{
    (void)memory;
    sodium_free(pointer);
}

const struct secret_memory *secret_memory_sodium(void)
{
    static const struct secret_memory memory = {sodium_memory_alloc, sodium_memory_free};
    return &memory;
}

struct secret *secret_new_sized_in(const struct secret_memory *memory, size_t length)
{
    if (length > SIZE_MAX / 2) {
        return NULL;
    }
    size_t size = sizeof(struct secret) + length + 1;
    size = (size + SECRET_ALIGNMENT - 1) / SECRET_ALIGNMENT * SECRET_ALIGNMENT;
    struct secret *secret = memory->alloc(memory, size);
    if (secret == NULL) {
        return NULL;
    }
    memset(secret, 0, size);
    secret->memory = memory;
    secret->length = length;
    return secret;
}

struct secret *secret_new_sized(size_t length)
{
    return secret_new_sized_in(secret_memory_sodium(), length);
}

struct secret *secret_new_in(const struct secret_memory *memory, const void *bytes, size_t length)
{
    struct secret *secret = secret_new_sized_in(memory, length);
    if (secret != NULL && length > 0) {
        memcpy(secret->bytes, bytes, length);
    }
    return secret;
}

struct secret *secret_new(const void *bytes, size_t length)
{
    return secret_new_in(secret_memory_sodium(), bytes, length);
}

struct secret *secret_copy(const struct secret *secret)
{
    return secret == NULL ? NULL : secret_new_in(secret->memory, secret->bytes, secret->length);
}

void secret_free(struct secret *secret)
{
    if (secret == NULL) {
        return;
    }
    const struct secret_memory *memory = secret->memory;
    sodium_memzero(secret->bytes, secret->length);
    memory->free(memory, secret);
}

const struct secret_memory *secret_memory_of(const struct secret *secret)
{
    return secret == NULL ? secret_memory_sodium() : secret->memory;
}

size_t secret_length(const struct secret *secret)
{
    return secret == NULL ? 0 : secret->length;
}

const char *secret_data(const struct secret *secret)
{
    return secret == NULL ? "" : (const char *)secret->bytes;
}

uint8_t *secret_edit(struct secret *secret)
{
    return secret->bytes;
}

void secret_truncate(struct secret *secret, size_t length)
{
    assert(length <= secret->length);
    sodium_memzero(secret->bytes + length, secret->length - length);
    secret->length = length;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a->length == b->length && sodium_memcmp(a->bytes, b->bytes, a->length) == 0;
}

void secret_sha256(const struct secret *secret, uint8_t ret_hash[SECRET_SHA256_SIZE])
{
    crypto_hash_sha256(ret_hash, (const unsigned char *)secret_data(secret), secret_length(secret));
}
