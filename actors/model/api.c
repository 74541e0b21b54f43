/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_TEXT_MAX (8u << 20)
#define PIECES_MAX 100000 /* fragments of one call's arguments */

static const struct api *const apis[] = {&api_responses, &api_chat, &api_messages};

const struct api *api_find(const char *name)
{
    for (size_t i = 0; i < sizeof(apis) / sizeof(apis[0]); i++)
        if (strcmp(apis[i]->name, name) == 0)
            return apis[i];
    return NULL;
}

char *item_text(const json_t *content)
{
    struct buffer text = {0};
    size_t i;
    json_t *part;
    int result = 0;
    if (json_is_string(content))
        result = buffer_append(&text, json_string_value(content), json_string_length(content),
                               ITEM_TEXT_MAX);
    json_array_foreach(content, i, part) {
        const char *piece = json_is_string(part) ? json_string_value(part)
                                                 : json_text(part, "text");
        if (result == 0)
            result = buffer_append(&text, piece, strlen(piece), ITEM_TEXT_MAX);
    }
    if (result == 0)
        result = buffer_append(&text, "", 1, ITEM_TEXT_MAX);
    if (result < 0)
        buffer_deinit(&text);
    return text.bytes;
}

json_t *item_string(const json_t *content)
{
    char *text = item_text(content);
    json_t *string = json_string(text);
    free(text);
    return string;
}

static bool is_anothers(const json_t *item, const char *type, const char *by)
{
    const char *writer = json_string_value(json_object_get(item, ITEM_BY));
    return strcmp(type, "reasoning") == 0 && (!writer || !by || strcmp(writer, by) != 0);
}

json_t *items_write(const struct api_call *call, const struct item_form *forms)
{
    json_t *list = json_array(), *item;
    size_t i;
    json_array_foreach(call->input, i, item) {
        const struct item_form *form = forms;
        const char *type = json_text(item, "type");
        while (form->type && strcmp(form->type, *type ? type : "message") != 0)
            form++;
        if (!form->add || is_anothers(item, type, call->by))
            continue;
        if (form->add(list, item) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *tools_write(const json_t *declared, json_t *(*tool)(json_t *declared))
{
    json_t *list = json_array(), *each;
    size_t i;
    json_array_foreach(declared, i, each)
        if (json_array_append_new(list, tool(each)) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

int event_read(struct reading *reading, const struct event_form *forms, const char *type,
               const json_t *event)
{
    for (; forms->type; forms++)
        if (strcmp(forms->type, type) == 0)
            return forms->handle(reading, event);
    return 0;
}

const char *json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

uint64_t json_count(const json_t *object, const char *key)
{
    json_int_t count = json_integer_value(json_object_get(object, key));
    return count > 0 ? (uint64_t)count : 0;
}

int json_append_piece(json_t *object, const char *key, const char *piece)
{
    json_t *pieces = json_object_get(object, key);
    if (json_array_size(pieces) >= PIECES_MAX)
        return -EMSGSIZE;
    return json_array_append_new(pieces, json_string(piece)) < 0 ? -ENOMEM : 0;
}
