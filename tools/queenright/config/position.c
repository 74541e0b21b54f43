/* SPDX-License-Identifier: Apache-2.0 */
/* A scanner that skips. It knows strings, brackets and commas, nothing more: on text the parser has
 * accepted that is enough to walk down a path, and on text it has not, every function still ends
 * inside the text. */
#include "queenright/config/position.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

struct scan {
    const char *text;
    size_t size;
    size_t at;
};

static bool scan_more(const struct scan *scan)
{
    return scan->at < scan->size;
}

static void scan_space(struct scan *scan)
{
    while (scan_more(scan) && strchr(" \t\r\n", scan->text[scan->at]) && scan->text[scan->at])
        scan->at++;
}

/* At the opening quote; leaves it behind the closing one. */
static void scan_string(struct scan *scan)
{
    for (scan->at++; scan_more(scan) && scan->text[scan->at] != '"'; scan->at++)
        if (scan->text[scan->at] == '\\')
            scan->at++;
    scan->at = scan->at < scan->size ? scan->at + 1 : scan->size;
}

/* Strings whole, any other character singly. Answers the character it stood on. */
static char scan_next(struct scan *scan)
{
    char here = scan->text[scan->at];
    if (here == '"')
        scan_string(scan);
    else
        scan->at++;
    return here;
}

static void scan_value(struct scan *scan)
{
    size_t depth = 0;
    while (scan_more(scan)) {
        char here = scan->text[scan->at];
        if (depth == 0 && (here == ',' || here == '}' || here == ']'))
            return;
        scan_next(scan);
        if (here == '{' || here == '[')
            depth++;
        else if (here == '}' || here == ']')
            depth--;
    }
}

/* Whether the string token holds this key. Escapes are left to the parser. */
static bool token_is(const char *token, size_t size, const char *key, bool any_case)
{
    int (*compare)(const char *, const char *, size_t) = any_case ? strncasecmp : strncmp;
    if (!memchr(token, '\\', size))
        return size == strlen(key) + 2 && compare(token + 1, key, size - 2) == 0;
    json_t *string = json_loadb(token, size, JSON_DECODE_ANY, NULL);
    bool same = string && compare(json_string_value(string), key, strlen(key) + 1) == 0;
    json_decref(string);
    return same;
}

/* From the opening bracket to the value of one member or item. False: there is none such. */
static bool scan_into(struct scan *scan, const struct config_step *step, bool any_case,
                      size_t *ret_key)
{
    if (!scan_more(scan) || scan->text[scan->at] != (step->key ? '{' : '['))
        return false;
    scan->at++;
    for (size_t i = 0;; i++) {
        scan_space(scan);
        if (!scan_more(scan) || strchr("}]", scan->text[scan->at]))
            return false;
        size_t start = scan->at;
        bool found = i == step->index;
        if (step->key) {
            if (scan->text[scan->at] != '"')
                return false;
            scan_string(scan);
            found = token_is(scan->text + start, scan->at - start, step->key, any_case);
            scan_space(scan);
            scan->at += scan_more(scan); /* the colon */
            scan_space(scan);
        }
        if (found) {
            *ret_key = start;
            return true;
        }
        scan_value(scan);
        scan->at += scan_more(scan) && scan->text[scan->at] == ',';
    }
}

size_t position_find(const char *text, size_t size, const struct config_step *steps, size_t count,
                     bool of_key)
{
    struct scan scan = {text, size, 0};
    scan_space(&scan);
    size_t key = scan.at;
    for (size_t i = 0; i < count; i++) {
        struct scan again = scan; /* ids are looked for in lower case, the file may differ */
        if (scan_into(&scan, &steps[i], false, &key))
            continue;
        size_t here = again.at;
        scan = again;
        if (!scan_into(&scan, &steps[i], true, &key))
            return here;
    }
    return of_key ? key : scan.at;
}

void position_line(const char *text, size_t size, size_t offset, unsigned *ret_line,
                   unsigned *ret_column)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < offset && i < size; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) { /* not inside a character */
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

size_t position_token(const char *text, size_t size, size_t offset)
{
    struct scan scan = {text, size, 0};
    while (scan_more(&scan)) {
        size_t start = scan.at;
        if (scan_next(&scan) == '"' && scan.at >= offset)
            return start;
    }
    return size;
}

size_t position_too_deep(const char *text, size_t size, size_t limit)
{
    struct scan scan = {text, size, 0};
    size_t depth = 0;
    while (scan_more(&scan)) {
        size_t start = scan.at;
        char here = scan_next(&scan);
        if ((here == '{' || here == '[') && ++depth > limit)
            return start;
        if ((here == '}' || here == ']') && depth > 0)
            depth--;
    }
    return size;
}
