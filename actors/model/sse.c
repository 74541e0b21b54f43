/* SPDX-License-Identifier: Apache-2.0 */
#include "sse.h"

#include <errno.h>
#include <string.h>

#define MARK "\xef\xbb\xbf" /* UTF-8's byte-order mark, allowed once at the start */
#define MARK_SIZE 3

void sse_init(struct sse *sse, size_t event_max, sse_event_fn on_event, void *arg)
{
    *sse = (struct sse){.event_max = event_max, .on_event = on_event, .arg = arg};
}

void sse_deinit(struct sse *sse)
{
    buffer_deinit(&sse->line);
    buffer_deinit(&sse->data);
}

static int dispatch(struct sse *sse)
{
    int result = 0;
    if (sse->data.size > 0) {
        size_t size = sse->data.size - 1; /* without the last LF */
        sse->data.size = 0;
        result = sse->on_event(sse->arg, sse->name, sse->data.bytes, size);
    }
    sse->name[0] = '\0';
    return result;
}

static void name_set(struct sse *sse, const char *value, size_t size)
{
    if (size >= sizeof(sse->name))
        size = sizeof(sse->name) - 1;
    memcpy(sse->name, value, size);
    sse->name[size] = '\0';
}

static bool field_is(const char *line, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(line, name, size) == 0;
}

static int take_line(struct sse *sse, const char *line, size_t size)
{
    if (size == 0)
        return dispatch(sse);
    const char *colon = memchr(line, ':', size);
    size_t name_size = colon ? (size_t)(colon - line) : size;
    const char *value = colon ? colon + 1 : line + size;
    size_t value_size = (size_t)(line + size - value);
    if (value_size > 0 && value[0] == ' ') {
        value++;
        value_size--;
    }
    if (field_is(line, name_size, "event"))
        name_set(sse, value, value_size);
    if (!field_is(line, name_size, "data"))
        return 0;
    if (sse->data.size + value_size > sse->event_max)
        return -EMSGSIZE;
    int result = buffer_append(&sse->data, value, value_size, sse->event_max);
    return result < 0 ? result : buffer_append(&sse->data, "\n", 1, sse->event_max + 1);
}

/* The end of a line has come: what was kept of it, then `size` bytes more. */
static int end_line(struct sse *sse, const char *bytes, size_t size)
{
    if (size > sse->event_max) /* whether it came in one piece or in many */
        return -EMSGSIZE;
    if (sse->line.size == 0)
        return take_line(sse, bytes, size);
    int result = buffer_append(&sse->line, bytes, size, sse->event_max);
    if (result < 0)
        return result;
    size_t line_size = sse->line.size;
    sse->line.size = 0;
    return take_line(sse, sse->line.bytes, line_size);
}

static const char *line_end(const char *bytes, const char *end)
{
    for (; bytes < end; bytes++)
        if (*bytes == '\n' || *bytes == '\r')
            return bytes;
    return NULL;
}

/* Skips the mark at the very start. Bytes that began like one but are none go into the line. */
static int skip_mark(struct sse *sse, const char **bytes, const char *end)
{
    while (sse->mark_seen < MARK_SIZE && *bytes < end) {
        if (**bytes != MARK[sse->mark_seen]) {
            size_t seen = sse->mark_seen;
            sse->mark_seen = MARK_SIZE;
            return buffer_append(&sse->line, MARK, seen, sse->event_max);
        }
        sse->mark_seen++;
        (*bytes)++;
    }
    return 0;
}

int sse_feed(struct sse *sse, const char *bytes, size_t size)
{
    const char *end = bytes + size;
    int result = skip_mark(sse, &bytes, end);
    while (result == 0 && bytes < end) {
        if (sse->after_cr && *bytes == '\n')
            bytes++;
        sse->after_cr = false;
        const char *stop = line_end(bytes, end);
        if (!stop)
            return buffer_append(&sse->line, bytes, (size_t)(end - bytes), sse->event_max);
        sse->after_cr = *stop == '\r';
        result = end_line(sse, bytes, (size_t)(stop - bytes));
        bytes = stop + 1;
    }
    return result;
}

int sse_finish(struct sse *sse)
{
    int result = sse->line.size > 0 ? end_line(sse, "", 0) : 0;
    return result < 0 ? result : dispatch(sse);
}
