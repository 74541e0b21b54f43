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
