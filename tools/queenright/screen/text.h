/* SPDX-License-Identifier: Apache-2.0 */
/* Text in terminal columns: what fits, what is wide, what must not pass. Internal to the screen. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum style {
    STYLE_PLAIN,
    STYLE_DIM,
    STYLE_BOLD,
    STYLE_TITLE,
    STYLE_BADGE,
    STYLE_GOOD,
    STYLE_BUSY,
    STYLE_WARN,
    STYLE_BAD,
    STYLE_FRESH,
    STYLE_COUNT
};

/* One row, filled from the left. Without memory it stays short. */
struct strip {
    char *text;
    size_t size, capacity;
    unsigned column, columns;
    bool colour;
    bool ascii; /* decoration only in ASCII */
};

void strip_init(struct strip *strip, unsigned columns, bool colour, bool ascii);
/* The text, cut to `width` columns and filled up to it with spaces; width 0: as it is. Control
 * characters and runs of blanks become one blank. */
void strip_put(struct strip *strip, enum style style, const char *text, unsigned width);
void strip_printf(struct strip *strip, enum style style, unsigned width, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A number, to the right of its field. */
void strip_number(struct strip *strip, enum style style, uint64_t number, unsigned width);
/* Spaces up to this column. */
void strip_to(struct strip *strip, enum style style, unsigned column);
/* A bar of `width` columns, `part` of `whole` of it filled. */
void strip_bar(struct strip *strip, enum style style, unsigned width, uint64_t part,
               uint64_t whole);

unsigned text_columns(const char *text);
/* The end of the text that fits into that many columns. */
const char *text_tail(const char *text, unsigned columns);
/* Behind the part of the text that fits, at a blank where one is near. */
const char *text_break(const char *text, unsigned columns);
