/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI Chat Completions, and the many servers that speak it with an accent: the index of a tool
 * call is left out, its id is repeated in every fragment or comes not at all, a whole call comes in
 * one chunk, `choices` is null in the chunk that has the usage. So a fragment belongs to the call
 * of its index; without an index it opens a new call when it brings an id that is not the last
 * one's. The end is `[DONE]` after a finish reason: either alone is a cut. */
#include "api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the conversation ---------------------------------------------------------------------- */

static int add_message(json_t *messages, json_t *item)
{
    const char *role = json_text(item, "role");
    if (strcmp(role, "developer") == 0) /* most servers know only the older word */
        role = "system";
    json_t *message = json_pack("{ssso}", "role", *role ? role : "user", "content",
                                item_string(json_object_get(item, "content")));
    return json_array_append_new(messages, message) < 0 ? -ENOMEM : 0;
}

/* Calls belong to the assistant's message before them; a new one is opened when there is none. */
static int add_call(json_t *messages, json_t *item)
{
    size_t count = json_array_size(messages);
    json_t *last = count > 0 ? json_array_get(messages, count - 1) : NULL;
    if (!last || strcmp(json_text(last, "role"), "assistant") != 0) {
        last = json_pack("{sssn}", "role", "assistant", "content");
        if (json_array_append_new(messages, last) < 0)
            return -ENOMEM;
    }
    if (!json_object_get(last, "tool_calls"))
        json_object_set_new(last, "tool_calls", json_array());
    json_t *call = json_pack("{ssss s{ssss}}", "id", json_text(item, "call_id"), "type",
                             "function", "function", "name", json_text(item, "name"), "arguments",
                             json_text(item, "arguments"));
    return json_array_append_new(json_object_get(last, "tool_calls"), call) < 0 ? -ENOMEM : 0;
}

static int add_output(json_t *messages, json_t *item)
{
    json_t *message = json_pack("{ssssso}", "role", "tool", "tool_call_id",
                                json_text(item, "call_id"), "content",
                                item_string(json_object_get(item, "output")));
    return json_array_append_new(messages, message) < 0 ? -ENOMEM : 0;
}

static const struct item_form items[] = {
    {"message", add_message},
    {"function_call", add_call},
    {"function_call_output", add_output},
    {0},
};

static json_t *tool_of(json_t *declared)
{
    return json_pack("{ssso}", "type", "function", "function", json_copy(declared));
}

static json_t *build(const struct api_call *call)
{
    json_t *messages = items_write(call, items);
    if (messages && call->instructions.size > 0)
        json_array_insert_new(messages, 0,
                              json_pack("{ssss%}", "role", "system", "content",
                                        call->instructions.data,
                                        (size_t)call->instructions.size));
    json_t *body = json_pack("{ss so sb s{sb}}", "model", call->model, "messages", messages,
                             "stream", 1, "stream_options", "include_usage", 1);
    if (body && json_array_size(call->tools) > 0)
        json_object_set_new(body, "tools", tools_write(call->tools, tool_of));
    return body;
}

/* ---- the answer ---------------------------------------------------------------------------- */

/* A call in the making stands in reading->parts as {index, id, name, arguments}, the arguments
 * as an array of pieces: joined once, at the end. */
static json_t *find_part(struct reading *reading, const json_t *fragment)
{
    json_t *index = json_object_get(fragment, "index"), *part;
    size_t i, count = json_array_size(reading->parts);
    if (json_is_integer(index)) {
        json_array_foreach(reading->parts, i, part)
            if (json_equal(json_object_get(part, "index"), index))
                return part;
        return NULL;
    }
    part = count > 0 ? json_array_get(reading->parts, count - 1) : NULL;
    const char *id = json_text(fragment, "id");
    return part && (*id == '\0' || strcmp(id, json_text(part, "id")) == 0) ? part : NULL;
}

static json_t *add_part(struct reading *reading, const json_t *fragment)
{
    if (json_array_size(reading->parts) >= READING_CALLS_MAX)
        return NULL;
    json_t *index = json_object_get(fragment, "index");
    json_t *part = json_pack("{sssss[]}", "id", "", "name", "", "arguments");
    if (part && json_is_integer(index))
        json_object_set(part, "index", index);
    if (json_array_append_new(reading->parts, part) < 0)
        return NULL;
    return part;
}

/* The first id and name stand: some servers repeat them, none changes them. */
static void set_once(json_t *part, const char *key, const char *text)
{
    if (*json_text(part, key) == '\0' && *text != '\0')
        json_object_set_new(part, key, json_string(text));
}

static int on_fragment(struct reading *reading, const json_t *fragment)
{
    json_t *function = json_object_get(fragment, "function");
    json_t *part = find_part(reading, fragment);
    if (!part)
        part = add_part(reading, fragment);
    if (!part)
        return -EMSGSIZE;
    set_once(part, "id", json_text(fragment, "id"));
    set_once(part, "name", json_text(function, "name"));
    const char *more = json_text(function, "arguments");
    return *more ? json_append_piece(part, "arguments", more) : 0;
}

static int on_delta(struct reading *reading, const json_t *delta)
{
    static const char *const visible[] = {"content", "refusal"};
    json_t *fragment;
    size_t i;
    for (i = 0; i < sizeof(visible) / sizeof(visible[0]); i++) {
        json_t *text = json_object_get(delta, visible[i]);
        int result = reading_add_text(reading, json_string_value(text), json_string_length(text));
        if (result < 0)
            return result;
    }
    json_array_foreach(json_object_get(delta, "tool_calls"), i, fragment) {
        int result = on_fragment(reading, fragment);
        if (result < 0)
            return result;
    }
    return 0;
}

static void on_finish(struct reading *reading, const char *reason)
{
    reading->finished = true;
    if (strcmp(reason, "length") == 0 || strcmp(reason, "content_filter") == 0)
        snprintf(reading->stop, sizeof(reading->stop), "%s", reason);
}

static int on_event(struct reading *reading, const char *name, const json_t *event)
{
    (void)name;
    json_t *error = json_object_get(event, "error");
    if (json_is_object(error) || json_is_string(error)) {
        fault_from_error(&reading->fault, error, FAULT_TRANSIENT, reading->now_ms);
        return -EREMOTEIO;
    }
    json_t *usage = json_object_get(event, "usage");
    if (json_is_object(usage)) {
        reading->input_tokens = json_count(usage, "prompt_tokens");
        reading->output_tokens = json_count(usage, "completion_tokens");
    }
    json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
    const char *reason = json_text(choice, "finish_reason");
    int result = on_delta(reading, json_object_get(choice, "delta"));
    if (*reason)
        on_finish(reading, reason);
    return result;
}

/* A call whose server gave no id gets one that is its own within the answer. */
static int close_part(struct reading *reading, const json_t *part, size_t number)
{
    char made[32];
    const char *id = json_text(part, "id");
    char *arguments = item_text(json_object_get(part, "arguments"));
    if (!arguments)
        return -ENOMEM;
    snprintf(made, sizeof(made), "call_%zu", number);
    int result = reading_add_call(reading, *id ? id : made, json_text(part, "name"),
                                  *arguments ? arguments : "{}");
    free(arguments);
    return result;
}

static int on_done(struct reading *reading)
{
    json_t *part;
    size_t i;
    if (!reading->finished)
        return 0;
    int result = reading_close_text(reading);
    json_array_foreach(reading->parts, i, part)
        if (result == 0)
            result = close_part(reading, part, i);
    reading->complete = result == 0;
    return result;
}

const struct api api_chat = {
    .name = "openai-completions",
    .path = "/chat/completions",
    .headers = "",
    .build = build,
    .on_event = on_event,
    .on_done = on_done,
};
