/* SPDX-License-Identifier: Apache-2.0 */
/* Anthropic Messages. User and assistant take turns, so items in a row from one side become blocks
 * of one message; results of tools are the user's. Thinking blocks are not asked for. The input of
 * a tool call is an object here and a string of JSON everywhere else. The end is message_stop. */
#include "api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX_DEFAULT 8192 /* tokens; the API demands a limit */

/* ---- the conversation ---------------------------------------------------------------------- */

static int add_block(json_t *messages, const char *role, json_t *block)
{
    size_t count = json_array_size(messages);
    json_t *last = count > 0 ? json_array_get(messages, count - 1) : NULL;
    if (!last || strcmp(json_text(last, "role"), role) != 0) {
        last = json_pack("{sss[]}", "role", role, "content");
        if (json_array_append_new(messages, last) < 0) {
            json_decref(block);
            return -ENOMEM;
        }
    }
    return json_array_append_new(json_object_get(last, "content"), block) < 0 ? -ENOMEM : 0;
}

static int add_message(json_t *messages, json_t *item)
{
    bool assistant = strcmp(json_text(item, "role"), "assistant") == 0;
    json_t *text = item_string(json_object_get(item, "content"));
    if (text && json_string_length(text) == 0) { /* refused by the API */
        json_decref(text);
        return 0;
    }
    return add_block(messages, assistant ? "assistant" : "user",
                     json_pack("{ssso}", "type", "text", "text", text));
}

static int add_call(json_t *messages, json_t *item)
{
    json_t *input = json_loads(json_text(item, "arguments"), 0, NULL);
    if (!json_is_object(input)) {
        json_decref(input);
        input = json_object();
    }
    return add_block(messages, "assistant",
                     json_pack("{ssssssso}", "type", "tool_use", "id", json_text(item, "call_id"),
                               "name", json_text(item, "name"), "input", input));
}

static int add_output(json_t *messages, json_t *item)
{
    return add_block(messages, "user",
                     json_pack("{ssssso}", "type", "tool_result", "tool_use_id",
                               json_text(item, "call_id"), "content",
                               item_string(json_object_get(item, "output"))));
}

static const struct item_form items[] = {
    {"message", add_message},
    {"function_call", add_call},
    {"function_call_output", add_output},
    {0},
};

static json_t *tool_of(json_t *declared)
{
    json_t *schema = json_object_get(declared, "parameters");
    return json_pack("{ssssso}", "name", json_text(declared, "name"), "description",
                     json_text(declared, "description"), "input_schema",
                     schema ? json_incref(schema) : json_pack("{ss}", "type", "object"));
}

static json_t *build(const struct api_call *call)
{
    unsigned output_max = call->output_max ? call->output_max : OUTPUT_MAX_DEFAULT;
    json_t *body = json_pack("{ss so sb si}", "model", call->model, "messages",
                             items_write(call, items), "stream", 1, "max_tokens",
                             (int)output_max);
    if (body && call->instructions.size > 0)
        json_object_set_new(body, "system",
                            json_stringn(call->instructions.data, call->instructions.size));
    if (body && json_array_size(call->tools) > 0)
        json_object_set_new(body, "tools", tools_write(call->tools, tool_of));
    return body;
}

/* ---- the answer ---------------------------------------------------------------------------- */

/* reading->parts has one element at most: the open tool_use block, {id, name, json: pieces}. */
static int on_block_start(struct reading *reading, const json_t *event)
{
    json_t *block = json_object_get(event, "content_block");
    if (strcmp(json_text(block, "type"), "tool_use") != 0)
        return 0;
    json_t *part = json_pack("{sssss[]}", "id", json_text(block, "id"), "name",
                             json_text(block, "name"), "json");
    json_array_clear(reading->parts);
    return json_array_append_new(reading->parts, part) < 0 ? -ENOMEM : 0;
}

static int on_block_delta(struct reading *reading, const json_t *event)
{
    json_t *delta = json_object_get(event, "delta");
    json_t *text = json_object_get(delta, "text"), *part = json_array_get(reading->parts, 0);
    const char *type = json_text(delta, "type");
    if (strcmp(type, "text_delta") == 0)
        return reading_add_text(reading, json_string_value(text), json_string_length(text));
    const char *more = json_text(delta, "partial_json");
    return part && *more ? json_append_piece(part, "json", more) : 0;
}

static int on_block_stop(struct reading *reading, const json_t *event)
{
    (void)event;
    int result = reading_close_text(reading);
    json_t *part = json_array_get(reading->parts, 0);
    if (part && result == 0) {
        char *arguments = item_text(json_object_get(part, "json"));
        result = !arguments ? -ENOMEM
                            : reading_add_call(reading, json_text(part, "id"),
                                               json_text(part, "name"),
                                               *arguments ? arguments : "{}");
        free(arguments);
    }
    json_array_clear(reading->parts);
    return result;
}

static int on_start(struct reading *reading, const json_t *event)
{
    json_t *usage = json_object_get(json_object_get(event, "message"), "usage");
    reading->input_tokens = json_count(usage, "input_tokens") +
                            json_count(usage, "cache_read_input_tokens") +
                            json_count(usage, "cache_creation_input_tokens");
    return 0;
}

static int on_message_delta(struct reading *reading, const json_t *event)
{
    const char *reason = json_text(json_object_get(event, "delta"), "stop_reason");
    reading->output_tokens = json_count(json_object_get(event, "usage"), "output_tokens");
    if (strcmp(reason, "max_tokens") == 0 || strcmp(reason, "refusal") == 0)
        snprintf(reading->stop, sizeof(reading->stop), "%s", reason);
    return 0;
}

static int on_stop(struct reading *reading, const json_t *event)
{
    int result = on_block_stop(reading, event);
    reading->complete = result == 0;
    return result;
}

static int on_error(struct reading *reading, const json_t *event)
{
    json_t *error = json_object_get(event, "error");
    fault_from_error(&reading->fault, error ? error : event, FAULT_TRANSIENT, reading->now_ms);
    return -EREMOTEIO;
}

static const struct event_form events[] = {
    {"message_start", on_start},
    {"content_block_start", on_block_start},
    {"content_block_delta", on_block_delta},
    {"content_block_stop", on_block_stop},
    {"message_delta", on_message_delta},
    {"message_stop", on_stop},
    {"error", on_error},
    {0},
};

static int on_event(struct reading *reading, const char *name, const json_t *event)
{
    const char *type = json_text(event, "type");
    return event_read(reading, events, *type ? type : name, event);
}

const struct api api_messages = {
    .name = "anthropic-messages",
    .path = "/messages",
    .headers = "anthropic-version: 2023-06-01\n",
    .key_header = true,
    .build = build,
    .on_event = on_event,
};
