/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of API a model speaks: a row each. A row says how a call becomes a request body and how
 * the events of the answer are read. Conversations are kept in the form of OpenAI Responses
 * (`input` items) everywhere else; the other kinds convert. */
#pragma once

#include "reading.h"

/* Encrypted reasoning can be read only by the account that wrote it; to any other it is an error.
 * So a reasoning item carries a mark of who wrote it, in conversations and transcripts, and goes
 * back to nobody else. No provider ever sees the mark. */
#define ITEM_BY "_by"

/* A call in the common form. */
struct api_call {
    const char *model;     /* without its provider */
    struct proto_text instructions;
    const json_t *input;   /* array of items */
    const json_t *tools;   /* array of {name, description, parameters}; may be empty or NULL */
    const char *cache_key; /* may be NULL */
    const char *tool_space; /* declare tools inside a namespace of this name; may be NULL */
    const char *by;        /* who answers, provider and profile; see ITEM_BY */
    bool reasoning;        /* ask for the reasoning items that the next call needs */
    unsigned output_max;   /* tokens, for the kinds that demand one */
};

struct api {
    const char *name;    /* as in the config's `api` */
    const char *path;    /* below baseUrl */
    const char *headers; /* fixed header lines, newline-terminated; may be empty */
    bool key_header;     /* an API key goes as x-api-key, not as a bearer */
    /* The request body; NULL without memory. */
    json_t *(*build)(const struct api_call *call);
    /* 0, or negative: do not read on. Sets the reading's fault where the event tells of one. */
    int (*on_event)(struct reading *reading, const char *name, const json_t *event);
    /* For `data: [DONE]`. May be NULL. */
    int (*on_done)(struct reading *reading);
};

extern const struct api api_responses, api_chat, api_messages;

/* NULL: no such kind. */
const struct api *api_find(const char *name);

/* ---- shared by the kinds ------------------------------------------------------------------- */

/* Appends all text of an item's content (a string, or an array of parts) to a string. A malloc'd
 * string, NULL without memory. */
char *item_text(const json_t *content);
/* The string at key, "" when there is none. */
const char *json_text(const json_t *object, const char *key);
uint64_t json_count(const json_t *object, const char *key);
/* Appends a string to the array of strings at key. 0, -EMSGSIZE or -ENOMEM. */
int json_append_piece(json_t *object, const char *key, const char *piece);
/* Adds the call of a finished function_call item, but not the item. */
int reading_note_call(struct reading *reading, const json_t *item);
