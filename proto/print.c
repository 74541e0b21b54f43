/* SPDX-License-Identifier: Apache-2.0 */
/* body -> one line for people: `name{field: value, ...}`.
 *
 * What comes from a peer is shown escaped, so that a line stays a line and a terminal stays in its
 * state; long texts are cut with their length. A secret is <secret>, whatever it holds. msgpack-c
 * prints `value` fields, small ones only, after the cursor has accepted them. */
#include <inttypes.h>
#include <msgpack/object.h>
#include <msgpack/unpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fields.h"
#include "proto/cursor.h"

#define PRINT_TEXT_MAX 200  /* bytes of one text shown */
#define PRINT_BYTES_MAX 32  /* bytes of one binary field shown */
#define PRINT_VALUE_MAX 256 /* bytes of a packed value that is still printed */

/* Counts all, writes what fits; a NUL ends it, over the last byte if need be. */
struct line {
    char *text;
    size_t size;
    size_t length;
};

static void line_char(struct line *line, char c)
{
    if (line->length < line->size)
        line->text[line->length] = c;
    line->length++;
}

static void line_string(struct line *line, const char *string)
{
    while (*string)
        line_char(line, *string++);
}

__attribute__((format(printf, 2, 3))) static void line_format(struct line *line,
                                                              const char *format, ...)
{
    char piece[64];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    line_string(line, piece);
}

/* U+0080 to U+009F are controls to a terminal, as ESC is. */
static bool is_c1(char first, char second)
{
    return (uint8_t)first == 0xc2 && ((uint8_t)second & 0xe0) == 0x80;
}

static void line_escaped(struct line *line, char c)
{
    if (c == '"' || c == '\\') {
        line_char(line, '\\');
        line_char(line, c);
    } else if (c == '\n') {
        line_string(line, "\\n");
    } else if ((unsigned char)c < 0x20 || c == 0x7f) {
        line_format(line, "\\x%02x", (unsigned)(unsigned char)c);
    } else {
        line_char(line, c);
    }
}

/* The text up to the limit, never ending inside a UTF-8 sequence. */
static uint32_t text_cut(struct proto_text text)
{
    uint32_t size = text.size;

    if (size <= PRINT_TEXT_MAX)
        return size;
    size = PRINT_TEXT_MAX;
    while (((uint8_t)text.data[size] & 0xc0) == 0x80) /* it is UTF-8, or it had not unpacked */
        size--;
    return size;
}

static void print_text(struct line *line, struct proto_text text)
{
    uint32_t shown = text_cut(text);

    line_char(line, '"');
    for (uint32_t i = 0; i < shown; i++) {
        if (i + 1 < shown && is_c1(text.data[i], text.data[i + 1]))
            line_format(line, "\\x%02x", (unsigned)(uint8_t)text.data[++i]);
        else
            line_escaped(line, text.data[i]);
    }
    line_char(line, '"');
    if (shown < text.size)
        line_format(line, "... (%" PRIu32 " bytes)", text.size);
}

static void print_bytes(struct line *line, struct proto_text bytes)
{
    uint32_t shown = bytes.size < PRINT_BYTES_MAX ? bytes.size : PRINT_BYTES_MAX;

    line_char(line, '<');
    for (uint32_t i = 0; i < shown; i++)
        line_format(line, "%02x", (unsigned)(uint8_t)bytes.data[i]);
    if (shown < bytes.size)
        line_format(line, "... %" PRIu32 " bytes", bytes.size);
    line_char(line, '>');
}

static void print_value(struct line *line, struct proto_text value)
{
    char printed[PRINT_VALUE_MAX * 8] = "";
    msgpack_unpacked unpacked;

    if (value.size == 0) {
        line_string(line, "nil");
        return;
    }
    if (value.size > PRINT_VALUE_MAX) {
        line_format(line, "<value of %" PRIu32 " bytes>", value.size);
        return;
    }
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, value.data, value.size, NULL) == MSGPACK_UNPACK_SUCCESS)
        msgpack_object_print_buffer(printed, sizeof(printed), unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    bool utf8 = proto_utf8_valid(proto_text(printed)); /* the cursor does not ask that of a value */
    for (const char *at = printed; *at; at++) {
        bool control = (uint8_t)*at < 0x20 || *at == 0x7f;
        if (utf8 && is_c1(at[0], at[1])) {
            control = true;
            at++;
        }
        line_char(line, control ? ' ' : !utf8 && (uint8_t)*at >= 0x80 ? '?' : *at);
    }
}

static void print_field(struct line *line, const struct field_walk *walk)
{
    switch (walk->field->kind) {
    case PROTO_boolean:
        line_string(line, field_boolean(walk) ? "true" : "false");
        break;
    case PROTO_u64:
        line_format(line, "%" PRIu64, field_number(walk));
        break;
    case PROTO_i64:
        line_format(line, "%" PRId64, (int64_t)field_number(walk));
        break;
    case PROTO_text:
        print_text(line, field_text(walk));
        break;
    case PROTO_bytes:
        print_bytes(line, field_text(walk));
        break;
    case PROTO_secret:
        line_string(line, field_text(walk).size ? "<secret>" : "<none>");
        break;
    case PROTO_value:
    default:
        print_value(line, field_text(walk));
        break;
    }
}

static void print_fields(struct line *line, const struct proto_schema *schema,
                         const void *message)
{
    for (struct field_walk walk = field_walk(schema, message); field_walk_next(&walk);) {
        if (walk.next > 1)
            line_string(line, ", ");
        line_string(line, walk.field->name);
        line_string(line, ": ");
        print_field(line, &walk);
    }
}

size_t proto_print(const struct proto_schema *schema, const uint8_t *body, size_t size,
                   char *ret_text, size_t text_size)
{
    struct line line = {.text = ret_text, .size = text_size};
    _Alignas(max_align_t) uint8_t message[PROTO_STRUCT_MAX];

    line_string(&line, schema->name);
    line_char(&line, '{');
    if (proto_unpack(schema, body, size, message) == 0)
        print_fields(&line, schema, message);
    else
        line_format(&line, "malformed, %zu bytes", size);
    line_char(&line, '}');
    if (text_size > 0)
        ret_text[line.length < text_size ? line.length : text_size - 1] = 0;
    return line.length;
}
