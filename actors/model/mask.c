/* SPDX-License-Identifier: Apache-2.0 */
#include "mask.h"

#include <sodium.h>
#include <string.h>

#define STARS 3u

bool mask_is_visible(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool is_token(const char *text, size_t size, const uint8_t *sha256)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, (const unsigned char *)text, size);
    return sodium_memcmp(digest, sha256, sizeof(digest)) == 0;
}

void mask_token(char *text, const uint8_t sha256[32], size_t size)
{
    size_t stars = size < STARS ? size : STARS;
    for (char *at = text; size > 0 && strlen(at) >= size; at++) {
        if (!is_token(at, size, sha256))
            continue;
        memset(at, '*', stars);
        memmove(at + stars, at + size, strlen(at + size) + 1);
        at += stars - 1;
    }
}
