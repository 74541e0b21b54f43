/* SPDX-License-Identifier: Apache-2.0 */
#include "session/agent_config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Texts behind the struct, in its own allocation. */
struct shelf {
    char *at;
};

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 1;
}

static const char *shelve(struct shelf *shelf, const char *text)
{
    size_t size = text_size(text);
    char *copy = shelf->at;

    memcpy(copy, text ? text : "", size);
    shelf->at += size;
    return copy;
}

static size_t config_size(const struct agent_config *config, const char *tools)
{
    size_t size = sizeof(*config) + config->peer_count * sizeof(config->peers[0]);

    size += text_size(config->id) + text_size(config->node) + text_size(config->instructions);
    size += text_size(config->models) + text_size(tools);
    for (size_t i = 0; i < config->peer_count; i++)
        size += text_size(config->peers[i]);
    return size;
}

static void fill_defaults(struct agent_config *config)
{
    if (config->max_tool_rounds == 0)
        config->max_tool_rounds = 8;
    if (config->max_ask_depth == 0)
        config->max_ask_depth = 4;
    if (config->max_queued == 0)
        config->max_queued = 64;
    if (config->history_turns == 0)
        config->history_turns = 50;
    if (config->timeout_ms == 0)
        config->timeout_ms = 600000;
}

struct agent_config *agent_config_copy(const struct agent_config *config)
{
    const char *tools = config->tools ? config->tools : "ask,tell";
    struct agent_config *copy = malloc(config_size(config, tools));

    if (!copy)
        return NULL;
    const char **peers = (const char **)(copy + 1);
    struct shelf shelf = {(char *)(peers + config->peer_count)};

    *copy = *config;
    copy->id = shelve(&shelf, config->id);
    copy->node = shelve(&shelf, config->node);
    copy->instructions = shelve(&shelf, config->instructions);
    copy->models = shelve(&shelf, config->models);
    copy->tools = shelve(&shelf, tools);
    for (size_t i = 0; i < config->peer_count; i++)
        peers[i] = shelve(&shelf, config->peers[i]);
    copy->peers = peers;
    fill_defaults(copy);
    return copy;
}

void agent_config_free(const void *config)
{
    free((void *)(uintptr_t)config);
}

static void take_string(const json_t *object, const char *key, const char **ret_value)
{
    const char *value = json_string_value(json_object_get(object, key));

    if (value)
        *ret_value = value;
}

static void take_count(const json_t *object, const char *key, unsigned *ret_value)
{
    json_int_t value = json_integer_value(json_object_get(object, key));

    if (value > 0 && value <= 1000000)
        *ret_value = (unsigned)value;
}

/* An array of strings as a list; NULL without memory or when there is none. */
static const char **strings_of(const json_t *array, size_t *ret_count)
{
    const char **strings = calloc(json_array_size(array) + 1, sizeof(*strings));
    size_t count = 0, i;
    const json_t *item;

    if (!strings)
        return NULL;
    json_array_foreach((json_t *)(uintptr_t)array, i, item)
        if (json_is_string(item))
            strings[count++] = json_string_value(item);
    *ret_count = count;
    return strings;
}

/* ["ask", "tell"] as "ask,tell"; malloc'd. */
static char *joined(const json_t *array)
{
    size_t count = 0, size = 1;
    const char **strings = strings_of(array, &count);
    char *text;

    for (size_t i = 0; i < count; i++)
        size += strlen(strings[i]) + 1;
    text = strings ? calloc(1, size) : NULL;
    for (size_t i = 0, at = 0; text && i < count; i++) {
        size_t length = strlen(strings[i]);

        if (i > 0)
            text[at++] = ',';
        memcpy(text + at, strings[i], length);
        at += length;
    }
    free(strings);
    return text;
}

static struct agent_config *merge(struct agent_config next, const json_t *object)
{
    const json_t *peers = json_object_get(object, "peers");
    const json_t *tools = json_object_get(object, "tools");
    json_int_t timeout_s = json_integer_value(json_object_get(object, "timeoutSeconds"));
    const char **peer_list = json_is_array(peers) ? strings_of(peers, &next.peer_count) : NULL;
    char *tool_list = json_is_array(tools) ? joined(tools) : NULL;

    take_string(object, "instructions", &next.instructions);
    take_string(object, "models", &next.models);
    take_string(object, "tools", &next.tools);
    take_count(object, "maxToolRounds", &next.max_tool_rounds);
    take_count(object, "maxAskDepth", &next.max_ask_depth);
    take_count(object, "maxQueued", &next.max_queued);
    take_count(object, "historyTurns", &next.history_turns);
    if (timeout_s > 0 && timeout_s <= 7 * 24 * 3600)
        next.timeout_ms = (uint64_t)timeout_s * 1000;
    if (peer_list)
        next.peers = peer_list;
    if (tool_list)
        next.tools = tool_list;

    struct agent_config *copy = agent_config_copy(&next);
    free(peer_list);
    free(tool_list);
    return copy;
}

struct agent_config *agent_config_merge(const struct agent_config *config, const char *json,
                                        size_t size)
{
    json_t *object = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
    struct agent_config *merged = json_is_object(object) ? merge(*config, object) : NULL;

    json_decref(object);
    return merged;
}
