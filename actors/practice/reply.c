/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include <stdlib.h>
#include <string.h>

#define DRIP_STEPS 4096 /* a longer answer drips in larger drops */

void reply_deinit(struct reply *reply)
{
    free(reply->body);
    free(reply->steps);
    free(reply->location);
    *reply = (struct reply){ 0 };
}

static void body_set(struct reply *reply, unsigned status, const char *type, char *body)
{
    reply->status = status;
    reply->type = type;
    free(reply->body);
    reply->body = body;
    reply->size = body ? strlen(body) : 0;
    reply->out_of_memory = body == NULL;
}

void reply_json(struct reply *reply, unsigned status, json_t *body)
{
    body_set(reply, status, "application/json", json_dumps(body, JSON_COMPACT));
    json_decref(body);
}

void reply_text(struct reply *reply, unsigned status, const char *type, const char *text)
{
    body_set(reply, status, type, strdup(text));
}

void reply_error(struct reply *reply, unsigned status, const char *code, const char *type,
                 const char *message)
{
    reply_json(reply, status, json_pack("{s:{s:s, s:s, s:s}}", "error", "code", code, "message",
                                        message, "type", type));
}

static void step_add(struct reply *reply, size_t end, uint64_t after_ms)
{
    if (reply->step_count == reply->step_capacity) {
        size_t capacity = reply->step_capacity ? reply->step_capacity * 2 : 32;
        struct reply_step *steps = realloc(reply->steps, capacity * sizeof(*steps));
        if (steps == NULL) {
            reply->out_of_memory = true;
            return;
        }
        reply->steps = steps;
        reply->step_capacity = capacity;
    }
    reply->steps[reply->step_count++] = (struct reply_step){ end, after_ms };
}

void reply_append(struct reply *reply, const char *bytes, size_t size, uint64_t after_ms)
{
    char *body = realloc(reply->body, reply->size + size + 1);
    if (body == NULL) {
        reply->out_of_memory = true;
        return;
    }
    memcpy(body + reply->size, bytes, size);
    body[reply->size + size] = '\0';
    reply->body = body;
    reply->size += size;
    step_add(reply, reply->size, after_ms);
}

void reply_event(struct reply *reply, const char *event, json_t *data, uint64_t after_ms)
{
    char *text = json_dumps(data, JSON_COMPACT);
    char *frame = NULL;
    int size = -1;
    if (text != NULL)
        size = asprintf(&frame, "%s%s%sdata: %s\n\n", event ? "event: " : "", event ? event : "",
                        event ? "\n" : "", text);
    if (size < 0)
        reply->out_of_memory = true;
    else
        reply_append(reply, frame, (size_t)size, after_ms);
    if (size >= 0)
        free(frame);
    free(text);
    json_decref(data);
}

void reply_drip(struct reply *reply, uint64_t pace_ms)
{
    size_t drop = reply->size / DRIP_STEPS + 1;
    uint64_t at_ms = 0;
    reply->step_count = 0;
    for (size_t end = drop; end < reply->size; end += drop, at_ms += pace_ms)
        step_add(reply, end, at_ms);
    step_add(reply, reply->size, at_ms);
}

size_t reply_released(const struct reply *reply, uint64_t elapsed_ms, uint64_t *ret_next_ms)
{
    size_t low = 0;
    size_t high = reply->step_count;
    *ret_next_ms = REPLY_NEVER;
    if (reply->step_count == 0)
        return reply->size;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (reply->steps[middle].after_ms <= elapsed_ms)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < reply->step_count)
        *ret_next_ms = reply->steps[low].after_ms;
    return low ? reply->steps[low - 1].end : 0;
}
