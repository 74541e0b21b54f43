/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_BYTES_MAX (2u << 20)

void history_deinit(struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        json_decref(history->turns[i].items);
    free(history->turns);
    *history = (struct history){0};
}

static void drop_oldest(struct history *history)
{
    json_decref(history->turns[0].items);
    history->size -= history->turns[0].size;
    history->count--;
    memmove(history->turns, history->turns + 1, history->count * sizeof(history->turns[0]));
}

int history_push(struct history *history, json_t *items, size_t turns_max)
{
    size_t size = json_dumpb(items, NULL, 0, JSON_COMPACT);

    if (history->count == history->capacity) {
        size_t capacity = history->capacity ? history->capacity * 2 : 8;
        struct past_turn *grown = realloc(history->turns, capacity * sizeof(*grown));

        if (!grown) {
            json_decref(items);
            return -ENOMEM;
        }
        history->turns = grown;
        history->capacity = capacity;
    }
    history->turns[history->count++] = (struct past_turn){items, size};
    history->size += size;
    while (history->count > turns_max || (history->count > 1 && history->size > HISTORY_BYTES_MAX))
        drop_oldest(history);
    return 0;
}

char *history_input(const struct history *history, const json_t *current)
{
    json_t *input = json_array();
    char *text;

    for (size_t i = 0; i < history->count; i++)
        json_array_extend(input, history->turns[i].items);
    json_array_extend(input, (json_t *)(uintptr_t)current);
    text = json_dumps(input, JSON_COMPACT);
    json_decref(input);
    return text;
}

json_t *history_user_item(const char *text, const char *from)
{
    bool agent = from[0] && strcmp(from, "user") != 0;
    json_t *said =
        agent ? json_sprintf("Message from agent %s:\n\n%s", from, text) : json_string(text);

    return json_pack("{s:s, s:[{s:s, s:o}]}", "role", "user", "content", "type", "input_text",
                     "text", said);
}
