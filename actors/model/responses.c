/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI Responses: `store: false`, so the whole conversation goes with each call, and `stream:
 * true`; backends of ChatGPT plans accept nothing else. Items come back finished in
 * response.output_item.done; response.completed may repeat them all or none of them. Item ids mean
 * something only to a provider that stores, so they are taken off before an item is kept. */
#include "api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static json_t *tool_of(json_t *declared)
{
    json_t *tool = json_pack("{ssssss}", "type", "function", "name", json_text(declared, "name"),
                             "description", json_text(declared, "description"));
    json_t *parameters = json_object_get(declared, "parameters");
    if (parameters)
        json_object_set(tool, "parameters", parameters);
    else
        json_object_set_new(tool, "parameters", json_pack("{sss{}}", "type", "object",
                                                          "properties"));
    return tool;
}

/* With a tool space (Sign in with ChatGPT) function tools must stand inside a namespace tool. */
static json_t *tools_of(const struct api_call *call)
{
    json_t *tools = tools_write(call->tools, tool_of);
    if (!call->tool_space)
        return tools;
    return json_pack("[{ss ss ss so}]", "type", "namespace", "name", call->tool_space,
                     "description", "Tools of this agent.", "tools", tools);
}

static int add_reasoning(json_t *input, json_t *item)
{
    json_t *own = json_copy(item);
    json_object_del(own, ITEM_BY);
    return json_array_append_new(input, own) < 0 ? -ENOMEM : 0;
}

static int add_as_it_is(json_t *input, json_t *item)
{
    return json_array_append(input, item) < 0 ? -ENOMEM : 0;
}

static const struct item_form items[] = {
    {"reasoning", add_reasoning},
    {NULL, add_as_it_is},
};

static json_t *build(const struct api_call *call)
{
    json_t *body = json_pack("{ss ss% so sb sb}", "model", call->model, "instructions",
                             call->instructions.data ? call->instructions.data : "",
                             (size_t)call->instructions.size, "input",
                             items_write(call, items), "store", 0, "stream", 1);
    if (!body)
        return NULL;
    if (json_array_size(call->tools) > 0) {
        json_object_set_new(body, "tools", tools_of(call));
        json_object_set_new(body, "tool_choice", json_string("auto"));
        json_object_set_new(body, "parallel_tool_calls", json_true());
    }
    if (call->reasoning)
        json_object_set_new(body, "include", json_pack("[s]", "reasoning.encrypted_content"));
    if (call->cache_key)
        json_object_set_new(body, "prompt_cache_key", json_string(call->cache_key));
    return body;
}

static int on_delta(struct reading *reading, const json_t *event)
{
    json_t *delta = json_object_get(event, "delta");
    return reading_add_text(reading, json_string_value(delta), json_string_length(delta));
}

/* Text of a message that came in one piece, without deltas. */
static int add_message_text(struct reading *reading, const json_t *item)
{
    char *text = item_text(json_object_get(item, "content"));
    if (!text)
        return -ENOMEM;
    int result = reading_add_text(reading, text, strlen(text));
    free(text);
    return result;
}

static int take_item(struct reading *reading, json_t *item)
{
    const char *type = json_text(item, "type");
    int result = 0;
    if (strcmp(type, "message") == 0 && reading->streamed == 0)
        result = add_message_text(reading, item);
    else if (strcmp(type, "function_call") == 0)
        result = reading_note_call(reading, item);
    /* Without its encrypted content a reasoning item is a name nobody knows any more. */
    bool stale = strcmp(type, "reasoning") == 0 &&
                 !json_is_string(json_object_get(item, "encrypted_content"));
    reading->streamed = 0;
    if (result < 0 || stale)
        return result;
    json_t *kept = json_copy(item);
    json_object_del(kept, "id");
    json_object_del(kept, "status");
    if (strcmp(type, "reasoning") == 0 && reading->by)
        json_object_set_new(kept, ITEM_BY, json_string(reading->by));
    return reading_add_item(reading, kept);
}

static int on_item(struct reading *reading, const json_t *event)
{
    return take_item(reading, json_object_get(event, "item"));
}

static int on_end(struct reading *reading, const json_t *event)
{
    json_t *response = json_object_get(event, "response"), *item;
    json_t *usage = json_object_get(response, "usage");
    size_t i;
    int result = 0;
    reading->input_tokens = json_count(usage, "input_tokens");
    reading->output_tokens = json_count(usage, "output_tokens");
    if (json_array_size(reading->items) == 0)
        json_array_foreach(json_object_get(response, "output"), i, item)
            if (result == 0)
                result = take_item(reading, item);
    if (result == 0)
        result = reading_close_text(reading);
    reading->complete = result == 0;
    return result;
}

static int on_incomplete(struct reading *reading, const json_t *event)
{
    json_t *details = json_object_get(json_object_get(event, "response"), "incomplete_details");
    strncat(reading->stop, json_text(details, "reason"), sizeof(reading->stop) - 1);
    if (reading->stop[0] == '\0')
        strncat(reading->stop, "incomplete", sizeof(reading->stop) - 1);
    return on_end(reading, event);
}

static int on_failed(struct reading *reading, const json_t *event)
{
    json_t *error = json_object_get(json_object_get(event, "response"), "error");
    if (!error)
        error = json_object_get(event, "error");
    fault_from_error(&reading->fault, error ? error : event, FAULT_TRANSIENT, reading->now_ms);
    return -EREMOTEIO;
}

static const struct event_form events[] = {
    {"response.output_text.delta", on_delta},
    {"response.refusal.delta", on_delta},
    {"response.output_item.done", on_item},
    {"response.completed", on_end},
    {"response.incomplete", on_incomplete},
    {"response.failed", on_failed},
    {"error", on_failed},
    {0},
};

/* The type stands in the data and in the event's name; the data wins. */
static int on_event(struct reading *reading, const char *name, const json_t *event)
{
    const char *type = json_text(event, "type");
    if (*type == '\0')
        type = json_object_get(event, "error") ? "error" : name;
    return event_read(reading, events, type, event);
}

const struct api api_responses = {
    .name = "openai-responses",
    .path = "/responses",
    .headers = "",
    .build = build,
    .on_event = on_event,
};
