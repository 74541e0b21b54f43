/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events (WHATWG HTML, §9.2), read incrementally.
 *
 * Bytes come in any split: in the middle of a UTF-8 sequence, between the CR and the LF of one line
 * end, inside the byte-order mark. Whatever the split, the same events come out; the test feeds
 * every stream at every offset. Lines end with LF, CR or CRLF; a line that starts with a colon is a
 * comment (servers send them to keep a connection alive); several data lines of one event are
 * joined with LF; an event without data is none. `id` and `retry` are for reconnecting browsers
 * and mean nothing here.
 *
 * Only what is incomplete is kept: a line that arrives whole is read where it stands. */
#pragma once

#include "actors/buffer.h"

#include <stdbool.h>
#include <stdint.h>

#define SSE_NAME_MAX 64 /* bytes of an event's name with NUL; a longer one is cut */

/* `data` is borrowed and not NUL-terminated. Negative ends the feeding and is handed on. */
typedef int (*sse_event_fn)(void *arg, const char *name, const char *data, size_t size);

struct sse {
    struct buffer line; /* incomplete line */
    struct buffer data; /* of the incomplete event, each line with its LF */
    char name[SSE_NAME_MAX];
    size_t event_max;   /* bytes of one event's data, and of one line */
    sse_event_fn on_event;
    void *arg;
    uint8_t mark_seen;  /* bytes of the byte-order mark met so far; 3: past the start */
    bool after_cr;      /* a LF that comes first belongs to the last line */
};

void sse_init(struct sse *sse, size_t event_max, sse_event_fn on_event, void *arg);
void sse_deinit(struct sse *sse);
/* 0; -EMSGSIZE for an event or a line over event_max; -ENOMEM; or what on_event returned. */
int sse_feed(struct sse *sse, const char *bytes, size_t size);
/* The stream is over. An event that only lacks its blank line still counts: some servers close
 * right after the last data line. */
int sse_finish(struct sse *sse);
