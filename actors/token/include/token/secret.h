/* SPDX-License-Identifier: Apache-2.0 */
/* A secret is a type, so that the compiler keeps it from being printed, compared with memcmp or
 * left in freed memory by accident.
 *
 * Its bytes lie in libsodium's guarded memory: locked, out of core dumps, between guard pages,
 * wiped when freed. A NUL follows them, so that a token can be borrowed as text. There is no way
 * to print one on purpose: whoever must hand the bytes on borrows them with secret_data. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_SHA256_SIZE 32

struct secret;

/* Where secrets get their memory. Tests bring one that fails. `alloc` returns NULL without memory;
 * `free` wipes. */
struct secret_memory {
    void *(*alloc)(const struct secret_memory *memory, size_t size);
    void (*free)(const struct secret_memory *memory, void *pointer);
};

const struct secret_memory *secret_memory_sodium(void);

/* A copy of the bytes. NULL without memory. */
struct secret *secret_new(const void *bytes, size_t length);
struct secret *secret_new_in(const struct secret_memory *memory, const void *bytes, size_t length);
/* Zeroed, to be filled through secret_edit and cut with secret_truncate. */
struct secret *secret_new_sized(size_t length);
struct secret *secret_new_sized_in(const struct secret_memory *memory, size_t length);
/* From the same memory as `secret`. NULL when `secret` is NULL, or without memory. */
struct secret *secret_copy(const struct secret *secret);
void secret_free(struct secret *secret); /* NULL is fine */
const struct secret_memory *secret_memory_of(const struct secret *secret);

size_t secret_length(const struct secret *secret); /* 0 for NULL */
/* Borrowed until secret_free; followed by a NUL. Never NULL: "" for NULL. */
const char *secret_data(const struct secret *secret);
uint8_t *secret_edit(struct secret *secret);
/* Shortens; what is cut off is wiped at once. */
void secret_truncate(struct secret *secret, size_t length);

/* In constant time for equal lengths. NULL equals only NULL. */
bool secret_equal(const struct secret *a, const struct secret *b);
void secret_sha256(const struct secret *secret, uint8_t ret_hash[SECRET_SHA256_SIZE]);
