/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a JSON text something stands. The parser keeps no positions, so errors found after
 * parsing scan the text again, by the path to the thing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct config_step {
    const char *key; /* NULL: an item of a list */
    size_t index;
};

/* Offset of the value at the path in valid JSON; with `of_key`, of the key that leads to it. The
 * deepest place on the way that does exist, when the path does not. */
size_t position_find(const char *text, size_t size, const struct config_step *steps, size_t count,
                     bool of_key);
/* Line and column, both from 1, the column in characters. */
void position_line(const char *text, size_t size, size_t offset, unsigned *ret_line,
                   unsigned *ret_column);
/* Start of the string token that ends at or after `offset`, also in text that is not valid JSON. */
size_t position_token(const char *text, size_t size, size_t offset);
/* Offset of the first bracket that opens level `limit` + 1; `size` when there is none. */
size_t position_too_deep(const char *text, size_t size, size_t limit);
