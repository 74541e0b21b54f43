/* SPDX-License-Identifier: Apache-2.0 */
#include "secrets.h"

#include "fuzz.h"

static void *plain_alloc(const struct secret_memory *memory, size_t size)
{
    (void)memory;
    return malloc(size);
}

static void plain_free(const struct secret_memory *memory, void *pointer)
{
    (void)memory;
    free(pointer);
}

const struct secret_memory *fuzz_secret_memory(void)
{
    static const struct secret_memory memory = {plain_alloc, plain_free};

    return &memory;
}

struct secret *fuzz_secret(const void *bytes, size_t size)
{
    struct secret *secret = secret_new_in(fuzz_secret_memory(), bytes, size);

    assert(secret);
    return secret;
}
