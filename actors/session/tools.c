/* SPDX-License-Identifier: Apache-2.0 */
#include "tools.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tool_row {
    enum tool tool;
    const char *name;
    const char *description;
    const char *text_description;
} tools[] = {
    {TOOL_ASK, "ask", "Ask another agent and wait for its answer. Agents you may ask:",
     "What to ask. The other agent sees only this text and its own past with you."},
    {TOOL_TELL, "tell",
     "Leave another agent a message. It is read later; no answer comes back. Agents:",
     "The message."},
};

#define TOOL_COUNT (sizeof(tools) / sizeof(tools[0]))

static bool list_has(const char *list, const char *name, size_t length)
{
    while (*list) {
        size_t n = strcspn(list, ",");

        if (n == length && memcmp(list, name, length) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

bool path_has(const char *path, const char *name)
{
    return list_has(path, name, strlen(name));
}

unsigned path_depth(const char *path)
{
    unsigned depth = path[0] != 0;

    for (; *path; path++)
        depth += *path == ',';
    return depth;
}

char *path_with(const char *path, const char *name)
{
    char *joined = NULL;

    return asprintf(&joined, "%s%s%s", path, path[0] ? "," : "", name) < 0 ? NULL : joined;
}

char *path_session(const char *path)
{
    char *key = NULL;

    if (asprintf(&key, "from~%s", path) < 0)
        return NULL;
    for (char *at = key; *at; at++)
        if (*at == ',')
            *at = '~';
    return key;
}

/* The first name from *at on that is another agent's; NULL at the end. */
static const char *next_peer(const struct agent_config *config, size_t *at)
{
    while (config->peers && *at < config->peers->count) {
        const char *name = config->peers->names[(*at)++];

        if (strcmp(name, config->id) != 0)
            return name;
    }
    return NULL;
}

/* "axon, nova"; malloc'd. */
static char *peer_names(const struct agent_config *config)
{
    const char *name;
    char *names = NULL;
    size_t size;
    FILE *out = open_memstream(&names, &size);

    if (!out)
        return NULL;
    for (size_t i = 0; (name = next_peer(config, &i));)
        fprintf(out, "%s%s", ftell(out) > 0 ? ", " : "", name);
    return fclose(out) == 0 ? names : NULL;
}

static json_t *tool_json(const struct tool_row *row, const struct agent_config *config,
                         const char *names)
{
    json_t *peers = json_array();
    const char *name;

    for (size_t i = 0; (name = next_peer(config, &i));)
        json_array_append_new(peers, json_string(name));
    return json_pack("{s:s, s:o, s:{s:s, s:{s:{s:s, s:o}, s:{s:s, s:s}}, s:[s, s], s:b}}", "name",
                     row->name, "description",
                     json_sprintf("%s %s.", row->description, names), "parameters", "type",
                     "object", "properties", "agent", "type", "string", "enum", peers, "text",
                     "type", "string", "description", row->text_description, "required", "agent",
                     "text", "additionalProperties", 0);
}

char *tools_json(const struct agent_config *config)
{
    json_t *list = json_array();
    char *names = peer_names(config), *text;

    for (size_t i = 0; names && *names && i < TOOL_COUNT; i++)
        if (list_has(config->tools, tools[i].name, strlen(tools[i].name)))
            json_array_append_new(list, tool_json(&tools[i], config, names));
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    free(names);
    return text;
}

__attribute__((format(printf, 1, 2))) static char *say(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    return n < 0 ? NULL : text;
}

static char *copy_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return strdup(text ? text : "");
}

static int call_read(const json_t *item, struct tool_call *ret_call)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *arguments = json_string_value(json_object_get(item, "arguments"));
    json_t *parsed = json_loads(arguments ? arguments : "", 0, NULL);
    struct tool_call call = {.call_id = copy_of(item, "call_id"),
                             .agent = copy_of(parsed, "agent"),
                             .text = copy_of(parsed, "text")};

    for (size_t i = 0; name && i < TOOL_COUNT; i++)
        if (strcmp(tools[i].name, name) == 0)
            call.tool = tools[i].tool;
    if (call.tool == TOOL_UNKNOWN)
        call.output = say("There is no tool of the name %s.", name ? name : "(none)");
    else if (!json_is_object(parsed))
        call.output = say("The arguments are no JSON object.");
    json_decref(parsed);
    *ret_call = call;
    return call.call_id && call.agent && call.text ? 0 : -ENOMEM;
}

int tool_calls_parse(struct proto_text json, struct tool_call **ret_calls, size_t *ret_count)
{
    json_t *array = json.size > 0 ? json_loadb(json.data, json.size, 0, NULL) : json_array();
    size_t count = json_array_size(array);
    struct tool_call *calls = calloc(count + 1, sizeof(*calls));
    int r = !json_is_array(array) ? -EBADMSG : calls ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < count; i++)
        r = call_read(json_array_get(array, i), &calls[i]);
    json_decref(array);
    if (r < 0) {
        tool_calls_free(calls, calls ? count : 0);
        return r;
    }
    *ret_calls = calls;
    *ret_count = count;
    return 0;
}

void tool_calls_free(struct tool_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(calls[i].call_id);
        free(calls[i].agent);
        free(calls[i].text);
        free(calls[i].output);
    }
    free(calls);
}

static bool is_peer(const struct agent_config *config, const char *name)
{
    const char *peer;

    for (size_t i = 0; (peer = next_peer(config, &i));)
        if (strcmp(peer, name) == 0)
            return true;
    return false;
}

char *tool_call_objection(const struct agent_config *config, const char *path,
                          const struct tool_call *call)
{
    const char *name = call->tool == TOOL_ASK ? "ask" : "tell";

    if (!list_has(config->tools, name, strlen(name)))
        return say("You may not use the tool %s.", name);
    if (call->text[0] == 0)
        return say("There is no text for %s.", call->agent[0] ? call->agent : "the other agent");
    if (strcmp(call->agent, config->id) == 0)
        return say("You are %s yourself: think about it instead.", config->id);
    if (!is_peer(config, call->agent)) {
        char *names = peer_names(config);
        char *text = say("There is no agent %s. There are: %s.", call->agent, names ? names : "");

        free(names);
        return text;
    }
    if (call->tool == TOOL_ASK && path_has(path, call->agent))
        return say("%s cannot be asked: it waits for your answer to this very question "
                   "(%s waits for %s). Answer with what you know.",
                   call->agent, path, config->id);
    if (path_depth(path) + 1 > config->max_ask_depth)
        return say("Nobody further can be reached from here: %u agents stand before you (%s), and "
                   "that is the limit. Answer with what you know.",
                   path_depth(path), path);
    return NULL;
}

json_t *tool_call_item(const struct tool_call *call)
{
    return json_pack("{s:s, s:s, s:s}", "type", "function_call_output", "call_id", call->call_id,
                     "output", call->output ? call->output : "");
}
