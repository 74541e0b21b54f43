/* SPDX-License-Identifier: Apache-2.0 */
#include "mask.h"

#include <ctype.h>
#include <sodium.h>
#include <string.h>

#define EDGES_MAX 8 /* marks around a token, on each side, and within it */

bool mask_is_visible(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool is_token(const char *first, const char *end, const uint8_t *sha256)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, (const unsigned char *)first, (unsigned long long)(end - first));
    return sodium_memcmp(digest, sha256, sizeof(digest)) == 0;
}

/* The token within a word: it begins behind a mark or with the word, and ends likewise. */
static bool find(char *word, char *end, const uint8_t *sha256, char **ret_first, char **ret_end)
{
    unsigned starts = 0;
    for (char *first = word; first < end && starts < EDGES_MAX; first++) {
        if (first > word && isalnum((unsigned char)first[-1]))
            continue;
        starts++;
        unsigned stops = 0;
        for (char *stop = end; stop > first && stops < EDGES_MAX; stop--) {
            if (stop < end && isalnum((unsigned char)*stop))
                continue;
            stops++;
            if (is_token(first, stop, sha256)) {
                *ret_first = first;
                *ret_end = stop;
                return true;
            }
        }
    }
    return false;
}

void mask_token(char *text, const uint8_t sha256[32])
{
    char *at = text, *first, *stop;
    while (*at) {
        char *end = at;
        while (mask_is_visible(*end))
            end++;
        if (find(at, end, sha256, &first, &stop)) {
            size_t stars = stop - first < 3 ? (size_t)(stop - first) : 3;
            memset(first, '*', stars);
            memmove(first + stars, stop, strlen(stop) + 1);
            at = first + stars;
        } else {
            at = *end ? end + 1 : end;
        }
    }
}
