/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/config/errors.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void config_errors_init(struct config_errors *errors, const char *file)
{
    *errors = (struct config_errors){.file = strdup(file)};
}

void config_errors_deinit(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->items[i].path);
        free(errors->items[i].message);
    }
    free(errors->file);
    *errors = (struct config_errors){0};
}

void config_errors_addv(struct config_errors *errors, unsigned line, unsigned column,
                        const char *path, const char *format, va_list args)
{
    if (errors->count == CONFIG_ERRORS_MAX) {
        errors->more++;
        return;
    }
    struct config_error *error = &errors->items[errors->count++];
    *error = (struct config_error){.line = line, .column = column, .path = strdup(path)};
    if (vasprintf(&error->message, format, args) < 0)
        error->message = NULL;
}

void config_errors_add(struct config_errors *errors, unsigned line, unsigned column,
                       const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    config_errors_addv(errors, line, column, path, format, args);
    va_end(args);
}

static int error_compare(const void *a, const void *b)
{
    const struct config_error *left = a, *right = b;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    if (left->column != right->column)
        return left->column < right->column ? -1 : 1;
    return 0;
}

void config_errors_sort(struct config_errors *errors)
{
    qsort(errors->items, errors->count, sizeof errors->items[0], error_compare);
}

/* Keys and values of a file may hold anything, ESC and line ends too: an error stays one line, and
 * a terminal in its state. U+0080 to U+009F are controls too, in UTF-8 two bytes. */
static void text_tame(char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text, next = (unsigned char)text[1];
        bool pair = byte == 0xc2 && next >= 0x80 && next < 0xa0;
        if (pair)
            *text++ = '?';
        if (pair || byte < 0x20 || byte == 0x7f)
            *text = '?';
    }
}

char *config_error_print(const struct config_errors *errors, const struct config_error *error)
{
    char where[48] = "";
    if (error->line > 0)
        snprintf(where, sizeof where, ":%u:%u", error->line, error->column);
    const char *path = error->path ? error->path : "";
    char *text = NULL;
    if (asprintf(&text, "%s%s: %s%s%s", errors->file ? errors->file : "", where, path,
                 *path ? ": " : "", error->message ? error->message : "out of memory") < 0)
        return NULL;
    text_tame(text);
    return text;
}

char *config_errors_text(const struct config_errors *errors)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (size_t i = 0; i < errors->count; i++) {
        char *line = config_error_print(errors, &errors->items[i]);
        fprintf(out, "%s%s", i > 0 ? "\n" : "", line ? line : "out of memory");
        free(line);
    }
    if (errors->more > 0)
        fprintf(out, "\nand %zu more", errors->more);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
