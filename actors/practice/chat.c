/* SPDX-License-Identifier: Apache-2.0 */
/* Chat Completions, streaming or whole. A good stream ends with [DONE]. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

struct chat {
    struct reply *reply;
    const struct script_plan *plan;
    const char *model;
    char id[48];
    char call_id[48];
    uint64_t at_ms;
    uint64_t pace_ms;
};

static json_t *usage_object(const struct script_plan *plan)
{
    return json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)plan->input_tokens,
                     "completion_tokens", (json_int_t)plan->output_tokens, "total_tokens",
                     (json_int_t)(plan->input_tokens + plan->output_tokens));
}

static json_t *envelope(const struct chat *out, const char *object)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:[], s:b}", "id", out->id, "object", object, "created",
                     (json_int_t)server_wall_s(), "model", out->model, "choices", "practice", 1);
}

/* Takes over `delta`. `finish` NULL: the answer goes on. */
static void emit(struct chat *out, json_t *delta, const char *finish)
{
    json_t *chunk = envelope(out, "chat.completion.chunk");
    json_array_append_new(json_object_get(chunk, "choices"),
                          json_pack("{s:i, s:o, s:s?}", "index", 0, "delta", delta,
                                    "finish_reason", finish));
    reply_event(out->reply, NULL, chunk, out->at_ms);
}

static json_t *call_object(const struct chat *out, const char *arguments)
{
    return json_pack("{s:i, s:s, s:s, s:{s:s, s:s}}", "index", 0, "id", out->call_id, "type",
                     "function", "function", "name", out->plan->function, "arguments", arguments);
}

static void emit_text(struct chat *out)
{
    const char *text = out->plan->text;
    for (size_t size = script_piece(text); size > 0; text += size, size = script_piece(text)) {
        emit(out, json_pack("{s:o}", "content", json_stringn(text, size)), NULL);
        out->at_ms += out->pace_ms;
    }
}

static void emit_call(struct chat *out)
{
    const char *text = out->plan->arguments;
    emit(out, json_pack("{s:[o]}", "tool_calls", call_object(out, "")), NULL);
    for (size_t size = script_piece(text); size > 0; text += size, size = script_piece(text)) {
        emit(out, json_pack("{s:[{s:i, s:{s:o}}]}", "tool_calls", "index", 0, "function",
                            "arguments", json_stringn(text, size)), NULL);
        out->at_ms += out->pace_ms;
    }
}

static void answer_stream(struct chat *out, bool with_usage, enum practice_fault fault)
{
    static const char done[] = "data: [DONE]\n\n";
    out->reply->status = 200;
    out->reply->type = "text/event-stream";
    out->reply->stream = true;
    emit(out, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL);
    if (fault == PRACTICE_OVERLOADED) {
        reply_event(out->reply, NULL,
                    json_pack("{s:{s:s, s:s, s:s}}", "error", "code", "server_is_overloaded",
                              "type", "server_error", "message",
                              "practice: the server is overloaded"), out->at_ms);
        return;
    }
    if (out->plan->function != NULL)
        emit_call(out);
    else
        emit_text(out);
    emit(out, json_object(), out->plan->function ? "tool_calls" : "stop");
    if (with_usage) {
        json_t *chunk = envelope(out, "chat.completion.chunk");
        json_object_set_new(chunk, "usage", usage_object(out->plan));
        reply_event(out->reply, NULL, chunk, out->at_ms);
    }
    reply_append(out->reply, done, sizeof(done) - 1, out->at_ms);
    model_fault_apply(out->reply, fault);
}

static void answer_whole(struct chat *out, enum practice_fault fault)
{
    json_t *message = json_pack("{s:s, s:s?}", "role", "assistant", "content", out->plan->text);
    if (out->plan->function != NULL)
        json_object_set_new(message, "tool_calls",
                            json_pack("[o]", call_object(out, out->plan->arguments)));
    json_t *body = envelope(out, "chat.completion");
    json_array_append_new(json_object_get(body, "choices"),
                          json_pack("{s:i, s:o, s:s}", "index", 0, "message", message,
                                    "finish_reason",
                                    out->plan->function ? "tool_calls" : "stop"));
    json_object_set_new(body, "usage", usage_object(out->plan));
    out->reply->delay_ms = out->at_ms;
    reply_json(out->reply, 200, body);
    if (fault == PRACTICE_OVERLOADED)
        reply_error(out->reply, 503, "server_is_overloaded", "server_error",
                    "practice: the server is overloaded");
    model_fault_apply(out->reply, fault);
}

static void messages_read(const json_t *messages, struct script_turn *turn)
{
    size_t index = 0;
    json_t *message = NULL;
    json_array_foreach(messages, index, message) {
        const char *role = json_string_value(json_object_get(message, "role"));
        const char *text = model_content_text(json_object_get(message, "content"));
        if (role == NULL)
            continue;
        if (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0) {
            turn->instructions = text;
        } else if (strcmp(role, "user") == 0) {
            turn->user = text;
            turn->tool_output = NULL;
        } else if (strcmp(role, "tool") == 0) {
            turn->tool_output = text;
        }
    }
}

static void answer(struct practice *practice, struct request *request, const json_t *body,
                   const struct script_turn *turn, enum practice_fault fault)
{
    struct script_plan plan = { 0 };
    if (script_plan(turn, &plan) < 0) {
        request->reply.out_of_memory = true;
        return;
    }
    uint64_t serial = ++practice->model_serial;
    struct chat out = { .reply = &request->reply, .plan = &plan, .model = turn->model,
                        .at_ms = practice->options.model_delay_ms,
                        .pace_ms = practice->options.model_pace_ms };
    snprintf(out.id, sizeof(out.id), "chatcmpl-practice-%" PRIu64, serial);
    snprintf(out.call_id, sizeof(out.call_id), "call_practice_%" PRIu64, serial);
    practice->counters.model_function_calls += plan.function != NULL;
    request->model = fault != PRACTICE_OVERLOADED;
    const json_t *stream_options = json_object_get(body, "stream_options");
    if (json_is_true(json_object_get(body, "stream")))
        answer_stream(&out, json_is_true(json_object_get(stream_options, "include_usage")), fault);
    else
        answer_whole(&out, fault);
    script_plan_deinit(&plan);
}

void page_chat(struct practice *practice, struct request *request)
{
    enum practice_fault fault = PRACTICE_OK;
    json_t *body = model_enter(practice, request, &fault);
    if (body == NULL)
        return;
    const json_t *messages = json_object_get(body, "messages");
    struct script_turn turn = {
        .model = json_string_value(json_object_get(body, "model")),
        .tools = json_array(),
    };
    model_tools_collect(turn.tools, json_object_get(body, "tools"));
    messages_read(messages, &turn);
    if (turn.model == NULL)
        model_bad_request(request, "practice: model is missing");
    else if (!json_is_array(messages) || json_array_size(messages) == 0)
        model_bad_request(request, "practice: messages must be a list that is not empty");
    else
        answer(practice, request, body, &turn, fault);
    json_decref(turn.tools);
    json_decref(body);
}
