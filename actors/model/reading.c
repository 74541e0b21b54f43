/* SPDX-License-Identifier: Apache-2.0 */
#include "reading.h"

#include "api.h"

#include <errno.h>
#include <string.h>

static int on_event(void *arg, const char *name, const char *data, size_t size)
{
    struct reading *reading = arg;
    if (reading->complete)
        return 0;
    if (size == strlen("[DONE]") && memcmp(data, "[DONE]", size) == 0)
        return reading->api->on_done ? reading->api->on_done(reading) : 0;
    json_t *event = json_loadb(data, size, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(event)) {
        json_decref(event);
        fault_set(&reading->fault, FAULT_TRANSIENT, "not_json", "an event that is not JSON");
        return -EBADMSG;
    }
    int result = reading->api->on_event(reading, name, event);
    json_decref(event);
    if (result == 0 && reading->fault.kind != FAULT_NONE)
        return -EREMOTEIO;
    return result;
}

int reading_init(struct reading *reading, const struct api *api, const char *tool_space)
{
    *reading = (struct reading){.api = api, .tool_space = tool_space};
    sse_init(&reading->sse, READING_EVENT_MAX, on_event, reading);
    reading->items = json_array();
    reading->calls = json_array();
    reading->parts = json_array();
    if (reading->items && reading->calls && reading->parts)
        return 0;
    reading_deinit(reading);
    return -ENOMEM;
}

void reading_deinit(struct reading *reading)
{
    sse_deinit(&reading->sse);
    buffer_deinit(&reading->text);
    json_decref(reading->items);
    json_decref(reading->calls);
    json_decref(reading->parts);
    *reading = (struct reading){0};
}

/* A result without a fault is one of ours: say what it was. */
static int settle(struct reading *reading, int result)
{
    if (result == -EMSGSIZE)
        fault_set(&reading->fault, FAULT_REQUEST, "too_large", "the answer is over our limits");
    else if (result == -ENOMEM)
        fault_set(&reading->fault, FAULT_TRANSIENT, "no_memory", "no memory for the answer");
    return result;
}

int reading_feed(struct reading *reading, const char *bytes, size_t size, int64_t now_ms)
{
    reading->now_ms = now_ms;
    if (reading->complete)
        return 0;
    return settle(reading, sse_feed(&reading->sse, bytes, size));
}

int reading_finish(struct reading *reading, int64_t now_ms)
{
    reading->now_ms = now_ms;
    if (reading->complete)
        return 0;
    if (reading->fault.kind == FAULT_NONE) {
        int result = settle(reading, sse_finish(&reading->sse));
        if (result == -EBADMSG) /* the last event was torn: that is a cut */
            reading->fault = (struct fault){0};
    }
    if (reading->complete)
        return 0;
    fault_set(&reading->fault, FAULT_CUT, "cut", "the stream ended without its terminal event");
    return -EPIPE;
}

int reading_add_text(struct reading *reading, const char *text, size_t size)
{
    int result = buffer_append(&reading->text, text, size, READING_TEXT_MAX);
    if (result == 0)
        reading->streamed += size;
    return result;
}

int reading_add_item(struct reading *reading, json_t *item)
{
    if (item && json_array_size(reading->items) >= READING_ITEMS_MAX) {
        json_decref(item);
        return -EMSGSIZE;
    }
    return json_array_append_new(reading->items, item) < 0 ? -ENOMEM : 0;
}

/* A provider that wants tools in a namespace may answer with qualified names. */
static const char *bare_name(const struct reading *reading, const char *name)
{
    size_t size = reading->tool_space ? strlen(reading->tool_space) : 0;
    if (size > 0 && strncmp(name, reading->tool_space, size) == 0 && name[size] == '.')
        return name + size + 1;
    return name;
}

static int add_call(struct reading *reading, const char *call_id, const char *name,
                    const char *arguments)
{
    if (json_array_size(reading->calls) >= READING_CALLS_MAX)
        return -EMSGSIZE;
    json_t *call = json_pack("{ssssss}", "call_id", call_id, "name", bare_name(reading, name),
                             "arguments", arguments);
    return json_array_append_new(reading->calls, call) < 0 ? -ENOMEM : 0;
}

int reading_note_call(struct reading *reading, const json_t *item)
{
    const char *call_id = json_string_value(json_object_get(item, "call_id"));
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *arguments = json_string_value(json_object_get(item, "arguments"));
    if (!call_id || !name) {
        fault_set(&reading->fault, FAULT_TRANSIENT, "bad_call", "a function call without a name");
        return -EBADMSG;
    }
    return add_call(reading, call_id, name, arguments && *arguments ? arguments : "{}");
}

int reading_add_call(struct reading *reading, const char *call_id, const char *name,
                     const char *arguments)
{
    json_t *item = json_pack("{ssssssss}", "type", "function_call", "call_id", call_id, "name",
                             name, "arguments", arguments);
    if (!item)
        return -ENOMEM;
    int result = reading_note_call(reading, item);
    if (result < 0) {
        json_decref(item);
        return result;
    }
    return reading_add_item(reading, item);
}

int reading_close_text(struct reading *reading)
{
    if (reading->streamed == 0)
        return 0;
    const char *text = reading->text.bytes + reading->text.size - reading->streamed;
    json_t *item = json_pack("{ssss s[{ss ss%}]}", "type", "message", "role", "assistant",
                             "content", "type", "output_text", "text", text, reading->streamed);
    reading->streamed = 0;
    return item ? reading_add_item(reading, item) : -ENOMEM;
}
