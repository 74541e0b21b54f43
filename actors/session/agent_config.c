/* SPDX-License-Identifier: Apache-2.0 */
#include "session/agent_config.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
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

/* Takes the last reference away. */
static bool is_last(_Atomic unsigned *references)
{
    return atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel) == 1;
}

struct agent_names *agent_names_new(const char *const *names, size_t count)
{
    size_t size = sizeof(struct agent_names) + count * sizeof(names[0]);

    for (size_t i = 0; i < count; i++)
        size += text_size(names[i]);

    struct agent_names *copy = malloc(size);
    if (!copy)
        return NULL;
    struct shelf shelf = {(char *)&copy->names[count]};
    atomic_init(&copy->references, 1);
    copy->count = count;
    for (size_t i = 0; i < count; i++)
        copy->names[i] = shelve(&shelf, names[i]);
    return copy;
}

struct agent_names *agent_names_ref(struct agent_names *names)
{
    if (names)
        atomic_fetch_add_explicit(&names->references, 1, memory_order_relaxed);
    return names;
}

void agent_names_unref(struct agent_names *names)
{
    if (names && is_last(&names->references))
        free(names);
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

struct agent_config *agent_config_new(const struct agent_config *settings)
{
    const char *tools = settings->tools ? settings->tools : "ask,tell";
    struct agent_config *config = malloc(sizeof(*config) + text_size(settings->id) +
                                         text_size(settings->node) +
                                         text_size(settings->instructions) +
                                         text_size(settings->models) + text_size(tools));

    if (!config)
        return NULL;
    struct shelf shelf = {(char *)(config + 1)};

    memcpy(config, settings, sizeof(*config));
    atomic_init(&config->references, 1);
    config->id = shelve(&shelf, settings->id);
    config->node = shelve(&shelf, settings->node);
    config->instructions = shelve(&shelf, settings->instructions);
    config->models = shelve(&shelf, settings->models);
    config->tools = shelve(&shelf, tools);
    config->peers = agent_names_ref(settings->peers);
    fill_defaults(config);
    return config;
}

const struct agent_config *agent_config_ref(const struct agent_config *config)
{
    struct agent_config *counted = (struct agent_config *)(uintptr_t)config;

    atomic_fetch_add_explicit(&counted->references, 1, memory_order_relaxed);
    return config;
}

void agent_config_unref(const void *config)
{
    struct agent_config *counted = (struct agent_config *)(uintptr_t)config;

    if (!counted || !is_last(&counted->references))
        return;
    agent_names_unref(counted->peers);
    free(counted);
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

static struct agent_names *names_of(const json_t *array)
{
    size_t count;
    const char **strings = strings_of(array, &count);
    struct agent_names *names = strings ? agent_names_new(strings, count) : NULL;

    free(strings);
    return names;
}

static struct agent_config *merge(const struct agent_config *config, const json_t *object)
{
    struct agent_config next;
    const json_t *peers = json_object_get(object, "peers");
    const json_t *tools = json_object_get(object, "tools");
    json_int_t timeout_s = json_integer_value(json_object_get(object, "timeoutSeconds"));
    struct agent_names *names = json_is_array(peers) ? names_of(peers) : NULL;
    char *tool_list = json_is_array(tools) ? joined(tools) : NULL;

    memcpy(&next, config, sizeof(next));
    take_string(object, "instructions", &next.instructions);
    take_string(object, "models", &next.models);
    take_string(object, "tools", &next.tools);
    take_count(object, "maxToolRounds", &next.max_tool_rounds);
    take_count(object, "maxAskDepth", &next.max_ask_depth);
    take_count(object, "maxQueued", &next.max_queued);
    take_count(object, "historyTurns", &next.history_turns);
    if (timeout_s > 0 && timeout_s <= 7 * 24 * 3600)
        next.timeout_ms = (uint64_t)timeout_s * 1000;
    if (names)
        next.peers = names;
    if (tool_list)
        next.tools = tool_list;

    struct agent_config *merged = agent_config_new(&next);
    agent_names_unref(names);
    free(tool_list);
    return merged;
}

struct agent_config *agent_config_merge(const struct agent_config *config, const char *json,
                                        size_t size)
{
    json_t *object = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
    struct agent_config *merged = json_is_object(object) ? merge(config, object) : NULL;

    json_decref(object);
    return merged;
}
