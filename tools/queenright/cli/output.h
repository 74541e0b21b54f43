/* SPDX-License-Identifier: Apache-2.0 */
/* What a command prints: rows under columns, as an aligned table for people or as a JSON array of
 * objects. Nothing is written before output_print, so an error in between leaves stdout empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_kind {
    COLUMN_TEXT,
    COLUMN_NUMBER, /* right-aligned; a JSON number */
    COLUMN_EXTRA,  /* text that only JSON shows */
    COLUMN_EXTRA_NUMBER
};

struct column {
    const char *name; /* JSON key; people see it in upper case */
    enum column_kind kind;
};

struct output;

struct output *output_new(const struct column *columns, size_t count, bool json); /* or NULL */
void output_free(struct output *output);
/* As many cells as columns, copied; NULL is empty. */
void output_row(struct output *output, const char *const *cells);
/* 0, or -ENOMEM for a row that was lost. `empty` is said to people when there are no rows. */
int output_print(struct output *output, const char *empty);

/* For what is printed as it comes: what stdout holds goes out now. 0, or -EIO. */
int output_flush(void);

/* A number as text, in one of the caller's buffers. */
const char *output_number(char ret_text[24], uint64_t number);
/* "in 3 h 12 min", "5 s ago", "-" for 0; `at` and `now` are Unix ms. */
const char *output_when(char ret_text[40], int64_t at_ms, int64_t now_ms);

/* Text of a model or a peer, UTF-8. As it is into a file or pipe; on a terminal without control
 * characters but newline and tab, for escape sequences can do more there than show. */
void output_untrusted(const char *text, size_t size);
