/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/cli/output.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CELL_WIDTH_MAX 72

struct output {
    const struct column *columns;
    size_t count;
    bool json;
    int error;
    char **cells; /* rows * count */
    size_t rows;
};

struct output *output_new(const struct column *columns, size_t count, bool json)
{
    struct output *output = calloc(1, sizeof(*output));

    if (output)
        *output = (struct output){.columns = columns, .count = count, .json = json};
    return output;
}

void output_free(struct output *output)
{
    if (!output)
        return;
    for (size_t i = 0; i < output->rows * output->count; i++)
        free(output->cells[i]);
    free(output->cells);
    free(output);
}

void output_row(struct output *output, const char *const *cells)
{
    size_t at = output->rows * output->count;
    char **all = realloc(output->cells, (at + output->count) * sizeof(*all));

    if (!all) {
        output->error = -ENOMEM;
        return;
    }
    output->cells = all;
    for (size_t i = 0; i < output->count; i++) {
        all[at + i] = strdup(cells[i] ? cells[i] : "");
        if (!all[at + i])
            output->error = -ENOMEM;
    }
    output->rows++;
}

static int print_json(const struct output *output)
{
    json_t *array = json_array();
    int rc;

    for (size_t row = 0; row < output->rows; row++) {
        json_t *object = json_object();

        for (size_t i = 0; i < output->count; i++) {
            const char *cell = output->cells[row * output->count + i];
            bool number = output->columns[i].kind == COLUMN_NUMBER ||
                          output->columns[i].kind == COLUMN_EXTRA_NUMBER;

            json_object_set_new(object, output->columns[i].name,
                                number ? json_integer(strtoll(cell, NULL, 10))
                                       : json_string(cell));
        }
        json_array_append_new(array, object);
    }
    rc = json_dumpf(array, stdout, JSON_INDENT(2)) < 0 ? -EIO : 0;
    putchar('\n');
    json_decref(array);
    return rc;
}

static bool is_hidden(const struct output *output, size_t column)
{
    return output->columns[column].kind == COLUMN_EXTRA ||
           output->columns[column].kind == COLUMN_EXTRA_NUMBER;
}

/* Columns on a terminal, not bytes: continuation bytes of UTF-8 take no room. */
static int width(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void print_cell(const struct output *output, size_t column, const char *text, int wide,
                       bool last)
{
    int pad = wide - width(text);

    if (output->columns[column].kind == COLUMN_NUMBER)
        printf("%*s%s", pad > 0 ? pad : 0, "", text);
    else
        printf("%s%*s", text, pad > 0 && !last ? pad : 0, "");
    if (!last)
        fputs("  ", stdout);
}

static void print_line(const struct output *output, const int *widths, char *const *cells)
{
    size_t last = 0;
    char name[64];

    for (size_t i = 0; i < output->count; i++)
        if (!is_hidden(output, i))
            last = i;
    for (size_t i = 0; i < output->count; i++) {
        const char *text = cells ? cells[i] : name;

        if (is_hidden(output, i))
            continue;
        snprintf(name, sizeof(name), "%s", output->columns[i].name);
        for (char *c = name; !cells && *c; c++)
            *c = *c == '_' ? ' ' : (char)toupper((unsigned char)*c);
        print_cell(output, i, text, widths[i], i == last);
    }
    putchar('\n');
}

int output_print(struct output *output, const char *empty)
{
    int widths[32] = {0};

    if (output->error)
        return output->error;
    if (output->json)
        return print_json(output);
    if (output->rows == 0) {
        printf("%s\n", empty);
        return 0;
    }
    for (size_t i = 0; i < output->count && i < 32; i++) {
        widths[i] = (int)strlen(output->columns[i].name);
        for (size_t row = 0; row < output->rows; row++) {
            int wide = width(output->cells[row * output->count + i]);

            if (wide > widths[i])
                widths[i] = wide < CELL_WIDTH_MAX ? wide : CELL_WIDTH_MAX;
        }
    }
    print_line(output, widths, NULL);
    for (size_t row = 0; row < output->rows; row++)
        print_line(output, widths, &output->cells[row * output->count]);
    return 0;
}

int output_flush(void)
{
    return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}

const char *output_number(char ret_text[24], uint64_t number)
{
    snprintf(ret_text, 24, "%" PRIu64, number);
    return ret_text;
}

/* "3 h 12 min", "45 s", "120 ms": the two largest units. */
static const char *span_text(char ret_text[32], int64_t ms)
{
    int64_t s = ms / 1000;

    if (ms < 1000)
        snprintf(ret_text, 32, "%d ms", (int)ms);
    else if (s < 60)
        snprintf(ret_text, 32, "%d s", (int)s);
    else if (s < 3600)
        snprintf(ret_text, 32, "%d min %d s", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        snprintf(ret_text, 32, "%d h %d min", (int)(s / 3600), (int)(s / 60 % 60));
    else
        snprintf(ret_text, 32, "%d d %d h", (int)(s / 86400), (int)(s / 3600 % 24));
    return ret_text;
}

const char *output_when(char ret_text[40], int64_t at_ms, int64_t now_ms)
{
    char span[32];

    if (at_ms == 0)
        snprintf(ret_text, 40, "-");
    else if (at_ms >= now_ms)
        snprintf(ret_text, 40, "in %s", span_text(span, at_ms - now_ms));
    else
        snprintf(ret_text, 40, "%s ago", span_text(span, now_ms - at_ms));
    return ret_text;
}

/* C0 and DEL, and C1 as UTF-8 writes it (C2 80 to C2 9F). */
static size_t control_length(const unsigned char *text, size_t size)
{
    if (text[0] == '\n' || text[0] == '\t')
        return 0;
    if (text[0] < 0x20 || text[0] == 0x7f)
        return 1;
    return text[0] == 0xc2 && size > 1 && text[1] < 0xa0 ? 2 : 0;
}

void output_untrusted(const char *text, size_t size)
{
    if (!isatty(STDOUT_FILENO)) {
        fwrite(text, 1, size, stdout);
        return;
    }
    for (size_t i = 0; i < size;) {
        size_t control = control_length((const unsigned char *)text + i, size - i);

        putchar(control > 0 ? '?' : text[i]);
        i += control > 0 ? control : 1;
    }
}
