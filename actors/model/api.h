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

/* How one type of item is written into a list of the request. `type` NULL ends a table and takes
 * whatever it does not name; without `add` such items are left out. */
struct item_form {
    const char *type;
    /* 0, or -ENOMEM. */
    int (*add)(json_t *list, json_t *item);
};

/* The conversation, and the declared tools, as a request has them. A new array; NULL without
 * memory. An item without a type is a message; reasoning of somebody else is left out. */
json_t *items_write(const struct api_call *call, const struct item_form *forms);
json_t *tools_write(const json_t *declared, json_t *(*tool)(json_t *declared));

/* All text of an item's content (a string, or an array of parts): malloc'd, or as a JSON string.
 * NULL without memory. */
char *item_text(const json_t *content);
json_t *item_string(const json_t *content);
/* The string at key, "" when there is none. */
const char *json_text(const json_t *object, const char *key);
uint64_t json_count(const json_t *object, const char *key);
/* Appends a string to the array of strings at key. 0, -EMSGSIZE or -ENOMEM. */
int json_append_piece(json_t *object, const char *key, const char *piece);
/* Adds the call of a finished function_call item, but not the item. */
int reading_note_call(struct reading *reading, const json_t *item);

/* How one type of event is read. A row without a type ends a table; what no row names is a new
 * thing of the provider's, not an error. */
struct event_form {
    const char *type;
    int (*handle)(struct reading *reading, const json_t *event);
};
int event_read(struct reading *reading, const struct event_form *forms, const char *type,
               const json_t *event);
