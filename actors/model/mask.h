/* SPDX-License-Identifier: Apache-2.0 */
/* A provider may repeat the token or the key that it refuses, and its words are printed, logged and
 * kept in transcripts. Of the token we keep the SHA-256; so words are compared by theirs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether tokens are made of it. */
bool mask_is_visible(char c);
/* Puts *** in place of each word with this SHA-256, whatever punctuation it stands in. */
void mask_token(char *text, const uint8_t sha256[32]);
