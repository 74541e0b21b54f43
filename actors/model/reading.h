/* SPDX-License-Identifier: Apache-2.0 */
/* One answer of a model, as its stream is read.
 *
 * The bytes go through the SSE parser to the reader of the provider's API kind (struct api), which
 * gathers here what all of them have in common: visible text, finished items in the form of OpenAI
 * Responses, function calls, usage, and how it ended. Text only grows, so the caller of the stream
 * remembers how much of it was passed on, and a delta is what lies beyond.
 *
 * An answer is complete only when the API's terminal event was read. Everything else - the
 * connection's end, an error event, bytes that are no JSON - leaves a fault. */
#pragma once

#include "actors/buffer.h"
#include "fault.h"
#include "sse.h"

#include <jansson.h>

#define READING_EVENT_MAX (4u << 20) /* bytes of one event */
#define READING_TEXT_MAX (1u << 20)  /* bytes of visible text; also of one call's arguments */
#define READING_CALLS_MAX 64         /* function calls of one answer */
#define READING_ITEMS_MAX 512

struct api;

struct reading {
    const struct api *api;
    struct sse sse;
    struct buffer text;    /* all visible text so far */
    json_t *items;         /* array: finished items */
    json_t *calls;         /* array of {call_id, name, arguments} */
    json_t *parts;         /* what the API's reader keeps between events */
    const char *by;         /* who answers, set after init; see ITEM_BY. May be NULL */
    const char *tool_space; /* namespace prefix to take off a call's name; may be NULL */
    uint64_t input_tokens, output_tokens;
    int64_t now_ms;        /* for times relative to now */
    bool complete;         /* the terminal event was read */
    bool finished;         /* a finish reason was read (Chat Completions) */
    size_t streamed;       /* of text, by deltas, since the last finished item */
    char stop[64];         /* why it stopped early, e.g. max_output_tokens; empty: it did not */
    struct fault fault;
};

/* 0 or -ENOMEM. */
int reading_init(struct reading *reading, const struct api *api, const char *tool_space);
void reading_deinit(struct reading *reading);
/* Feeds bytes of the body. Negative when the rest need not be read: the fault says why. */
int reading_feed(struct reading *reading, const char *bytes, size_t size, int64_t now_ms);
/* The body is over. 0 when the answer is complete, else negative and the fault says why. */
int reading_finish(struct reading *reading, int64_t now_ms);

/* ---- for the readers of the API kinds ------------------------------------------------------ */

int reading_add_text(struct reading *reading, const char *text, size_t size);
/* Takes the item. */
int reading_add_item(struct reading *reading, json_t *item);
/* Adds a function call and its item. */
int reading_add_call(struct reading *reading, const char *call_id, const char *name,
                     const char *arguments);
/* Adds a message item with all text that no item covers yet, if there is any. */
int reading_close_text(struct reading *reading);
