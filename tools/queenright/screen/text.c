/* SPDX-License-Identifier: Apache-2.0 */
/* Widths come from a short table of ranges rather than from wcwidth: that would need the process's
 * locale, which a program must not set for a library's sake, and the terminal's own table is a
 * third one anyway. A wrong guess costs one column of one row until the next frame. */
#include "queenright/screen/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    uint32_t first, last;
    unsigned width;
} widths[] = {
    {0x0300, 0x036f, 0},   {0x1100, 0x115f, 2},   {0x200b, 0x200f, 0},   {0x202a, 0x202e, 0},
    {0x2060, 0x206f, 0},   {0x20d0, 0x20ff, 0},   {0x2e80, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},
    {0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},   {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},
    {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1f9ff, 2},
    {0x20000, 0x3fffd, 2},
};

static unsigned glyph_width(uint32_t code)
{
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        if (code >= widths[i].first && code <= widths[i].last)
            return widths[i].width;
    return 1;
}

/* Bytes of the character at *text, which is not at its end; 1 and U+FFFD for a broken one. */
static size_t glyph_read(const char *text, uint32_t *ret_code)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t size = bytes[0] < 0x80                            ? 1
                  : bytes[0] >= 0xc2 && bytes[0] < 0xe0      ? 2
                  : bytes[0] >= 0xe0 && bytes[0] < 0xf0      ? 3
                  : bytes[0] >= 0xf0 && bytes[0] < 0xf5      ? 4
                                                             : 0;
    uint32_t code = size == 1 ? bytes[0] : bytes[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            size = 0;
            break;
        }
        code = code << 6 | (bytes[i] & 0x3f);
    }
    *ret_code = size > 0 ? code : 0xfffd;
    return size > 0 ? size : 1;
}

/* Blanks, line ends, and everything a terminal would take as a command. Directional overrides too:
 * they could make a row read differently from what it says. */
static bool glyph_is_blank(uint32_t code)
{
    return code <= ' ' || (code >= 0x7f && code <= 0x9f) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* Columns of the character at *text and its bytes; a run of blanks counts as one character. */
static size_t glyph_next(const char *text, uint32_t *ret_code, unsigned *ret_width)
{
    size_t size = glyph_read(text, ret_code);
    *ret_width = glyph_width(*ret_code);
    if (!glyph_is_blank(*ret_code))
        return size;
    uint32_t code;
    for (size_t more; text[size]; size += more) {
        more = glyph_read(text + size, &code);
        if (!glyph_is_blank(code))
            break;
    }
    *ret_code = ' ';
    *ret_width = 1;
    return size;
}

unsigned text_columns(const char *text)
{
    unsigned columns = 0, width;
    uint32_t code;
    for (; *text; columns += width)
        text += glyph_next(text, &code, &width);
    return columns;
}

const char *text_tail(const char *text, unsigned columns)
{
    unsigned left = text_columns(text), width;
    uint32_t code;
    for (; left > columns; left -= width)
        text += glyph_next(text, &code, &width);
    return text;
}

const char *text_break(const char *text, unsigned columns)
{
    const char *blank = NULL;
    unsigned column = 0, width;
    uint32_t code;
    while (*text) {
        size_t size = glyph_next(text, &code, &width);
        if (code == ' ')
            blank = text + size;
        if (column + width > columns)
            return blank ? blank : text;
        column += width;
        text += size;
    }
    return text;
}

void strip_init(struct strip *strip, unsigned columns, bool colour, bool ascii)
{
    *strip = (struct strip){.columns = columns, .colour = colour, .ascii = ascii};
}

static void strip_bytes(struct strip *strip, const char *bytes, size_t size)
{
    if (strip->size + size + 1 > strip->capacity) {
        size_t capacity = 2 * (strip->size + size) + 64;
        char *text = realloc(strip->text, capacity);
        if (!text)
            return;
        strip->text = text;
        strip->capacity = capacity;
    }
    memcpy(strip->text + strip->size, bytes, size);
    strip->size += size;
    strip->text[strip->size] = '\0';
}

static void strip_style(struct strip *strip, enum style style)
{
    static const char *const codes[STYLE_COUNT] = {
        [STYLE_PLAIN] = "",          [STYLE_DIM] = "\033[2m",   [STYLE_BOLD] = "\033[1m",
        [STYLE_TITLE] = "\033[1;7m", [STYLE_BADGE] = "\033[1;30;43m", [STYLE_GOOD] = "\033[32m",
        [STYLE_BUSY] = "\033[36m",   [STYLE_WARN] = "\033[33m", [STYLE_BAD] = "\033[1;31m",
        [STYLE_FRESH] = "\033[1;30;42m",
    };
    if (strip->colour && *codes[style])
        strip_bytes(strip, codes[style], strlen(codes[style]));
}

static void strip_style_end(struct strip *strip, enum style style)
{
    if (strip->colour && style != STYLE_PLAIN)
        strip_bytes(strip, "\033[0m", 4);
}

/* Up to `end`, an absolute column. */
static void strip_glyphs(struct strip *strip, const char *text, unsigned end)
{
    while (*text) {
        uint32_t code;
        unsigned width;
        size_t size = glyph_next(text, &code, &width);
        if (strip->column + width > end)
            break;
        if (code == ' ' || code == 0xfffd)
            strip_bytes(strip, code == ' ' ? " " : "?", 1);
        else
            strip_bytes(strip, text, size);
        strip->column += width;
        text += size;
    }
}

static void strip_fill(struct strip *strip, unsigned end)
{
    for (; strip->column < end; strip->column++)
        strip_bytes(strip, " ", 1);
}

void strip_put(struct strip *strip, enum style style, const char *text, unsigned width)
{
    unsigned end = strip->columns;
    if (width > 0 && strip->column + width < end)
        end = strip->column + width;
    strip_style(strip, style);
    strip_glyphs(strip, text, end);
    if (width > 0)
        strip_fill(strip, end);
    strip_style_end(strip, style);
}

void strip_printf(struct strip *strip, enum style style, unsigned width, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    strip_put(strip, style, text, width);
}

void strip_number(struct strip *strip, enum style style, uint64_t number, unsigned width)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    unsigned digits = (unsigned)strlen(text);
    if (digits < width)
        strip_to(strip, STYLE_PLAIN, strip->column + width - digits);
    strip_put(strip, style, text, 0);
}

void strip_to(struct strip *strip, enum style style, unsigned column)
{
    strip_style(strip, style);
    strip_fill(strip, column < strip->columns ? column : strip->columns);
    strip_style_end(strip, style);
}

void strip_bar(struct strip *strip, enum style style, unsigned width, uint64_t part,
               uint64_t whole)
{
    unsigned full = whole == 0 ? 0 : part >= whole ? width : (unsigned)(part * width / whole);
    const char *filled = strip->ascii ? "=" : "\xe2\x96\x88";
    const char *empty = strip->ascii ? "." : "\xe2\x96\x91";
    for (unsigned i = 0; i < width; i++)
        strip_put(strip, i < full ? style : STYLE_DIM, i < full ? filled : empty, 0);
}
