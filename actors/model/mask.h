/* SPDX-License-Identifier: Apache-2.0 */
/* A provider may repeat the token or the key that it refuses, and its words are printed, logged and
 * kept in transcripts. Of the token we keep the SHA-256 and the size; so every run of that many
 * bytes is compared by its own. For texts of a few hundred bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether tokens are made of it. */
bool mask_is_visible(char c);
/* Puts *** in place of the token wherever it stands; `size` is the token's. */
void mask_token(char *text, const uint8_t sha256[32], size_t size);
