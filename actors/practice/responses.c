/* SPDX-License-Identifier: Apache-2.0 */
/* The Responses API, streaming only, as a subscription back end offers it: input must be an array,
 * stream must be true, and only response.completed ends a good answer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

struct responses {
    struct reply *reply;
    const struct script_plan *plan;
    const char *model;
    char id[48];
    char item_id[48];
    char call_id[48];
    uint64_t sequence;
    uint64_t at_ms;
    uint64_t pace_ms;
};

static json_t *text_part(const char *text)
{
    return json_pack("{s:s, s:s, s:[]}", "type", "output_text", "text", text, "annotations");
}

/* The one item of the answer; `done` false: as it stands when it begins. */
static json_t *item_object(const struct responses *out, bool done)
{
    const char *status = done ? "completed" : "in_progress";
    if (out->plan->function != NULL)
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", out->item_id, "type",
                         "function_call", "status", status, "call_id", out->call_id, "name",
                         out->plan->function, "arguments", done ? out->plan->arguments : "");
    json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:[]}", "id", out->item_id, "type", "message",
                             "status", status, "role", "assistant", "content");
    if (done)
        json_array_append_new(json_object_get(item, "content"), text_part(out->plan->text));
    return item;
}

static json_t *response_object(const struct responses *out, const char *status)
{
    const struct script_plan *plan = out->plan;
    json_t *response = json_pack("{s:s, s:s, s:I, s:s, s:s, s:[], s:n, s:b}", "id", out->id,
                                 "object", "response", "created_at", (json_int_t)server_wall_s(),
                                 "status", status, "model", out->model, "output", "error",
                                 "practice", 1);
    if (strcmp(status, "completed") != 0)
        return response;
    json_array_append_new(json_object_get(response, "output"), item_object(out, true));
    json_object_set_new(
        response, "usage",
        json_pack("{s:I, s:{s:i}, s:I, s:{s:i}, s:I}", "input_tokens",
                  (json_int_t)plan->input_tokens, "input_tokens_details", "cached_tokens", 0,
                  "output_tokens", (json_int_t)plan->output_tokens, "output_tokens_details",
                  "reasoning_tokens", 0, "total_tokens",
                  (json_int_t)(plan->input_tokens + plan->output_tokens)));
    return response;
}

/* Takes over `data`, the event's own fields. */
static void emit(struct responses *out, const char *type, json_t *data)
{
    json_object_set_new(data, "type", json_string(type));
    json_object_set_new(data, "sequence_number", json_integer((json_int_t)out->sequence++));
    reply_event(out->reply, type, data, out->at_ms);
}

static void emit_response(struct responses *out, const char *type, const char *status)
{
    emit(out, type, json_pack("{s:o}", "response", response_object(out, status)));
}

static void emit_item(struct responses *out, const char *type, bool done)
{
    emit(out, type, json_pack("{s:i, s:o}", "output_index", 0, "item", item_object(out, done)));
}

/* An event about the item: its ids, and one field of its own. */
static json_t *about_item(const struct responses *out, const char *key, json_t *value)
{
    return json_pack("{s:s, s:i, s:o}", "item_id", out->item_id, "output_index", 0, key, value);
}

static void emit_about_part(struct responses *out, const char *type, const char *key,
                            json_t *value)
{
    json_t *data = about_item(out, key, value);
    json_object_set_new(data, "content_index", json_integer(0));
    emit(out, type, data);
}

static void emit_text(struct responses *out)
{
    const char *text = out->plan->text;
    emit_about_part(out, "response.content_part.added", "part", text_part(""));
    for (size_t size = script_piece(text); size > 0; text += size, size = script_piece(text)) {
        emit_about_part(out, "response.output_text.delta", "delta", json_stringn(text, size));
        out->at_ms += out->pace_ms;
    }
    text = out->plan->text;
    emit_about_part(out, "response.output_text.done", "text", json_string(text));
    emit_about_part(out, "response.content_part.done", "part", text_part(text));
}

static void emit_call(struct responses *out)
{
    const char *arguments = out->plan->arguments;
    for (size_t size = script_piece(arguments); size > 0;
         arguments += size, size = script_piece(arguments)) {
        emit(out, "response.function_call_arguments.delta",
             about_item(out, "delta", json_stringn(arguments, size)));
        out->at_ms += out->pace_ms;
    }
    emit(out, "response.function_call_arguments.done",
         about_item(out, "arguments", json_string(out->plan->arguments)));
}

static void emit_overload(struct responses *out)
{
    json_t *response = response_object(out, "failed");
    json_object_set_new(response, "error",
                        json_pack("{s:s, s:s}", "code", "server_is_overloaded", "message",
                                  "practice: the server is overloaded"));
    emit(out, "response.failed", json_pack("{s:o}", "response", response));
}

static void answer(struct practice *practice, struct request *request,
                   const struct script_turn *turn, const struct script_plan *plan,
                   enum practice_fault fault)
{
    uint64_t serial = ++practice->model_serial;
    struct responses out = { .reply = &request->reply, .plan = plan, .model = turn->model,
                             .pace_ms = practice->options.model_pace_ms };
    snprintf(out.id, sizeof(out.id), "resp_practice_%" PRIu64, serial);
    snprintf(out.item_id, sizeof(out.item_id), "item_practice_%" PRIu64, serial);
    snprintf(out.call_id, sizeof(out.call_id), "call_practice_%" PRIu64, serial);
    request->reply.status = 200;
    request->reply.type = "text/event-stream";
    request->reply.stream = true;
    emit_response(&out, "response.created", "in_progress");
    emit_response(&out, "response.in_progress", "in_progress");
    out.at_ms = practice->options.model_delay_ms;
    if (fault == PRACTICE_OVERLOADED) {
        emit_overload(&out);
        return;
    }
    practice->counters.model_function_calls += plan->function != NULL;
    emit_item(&out, "response.output_item.added", false);
    if (plan->function != NULL)
        emit_call(&out);
    else
        emit_text(&out);
    emit_item(&out, "response.output_item.done", true);
    emit_response(&out, "response.completed", "completed");
    request->model = true;
    model_fault_apply(&request->reply, fault);
}

/* From the end: the last thing a user said, and what a function answered after it. */
static void input_read(const json_t *input, struct script_turn *turn)
{
    for (size_t i = json_array_size(input); i > 0 && turn->user == NULL; i--) {
        const json_t *item = json_array_get(input, i - 1);
        const char *type = json_string_value(json_object_get(item, "type"));
        const char *role = json_string_value(json_object_get(item, "role"));
        if (type != NULL && strcmp(type, "function_call_output") == 0 &&
            turn->tool_output == NULL)
            turn->tool_output = model_content_text(json_object_get(item, "output"));
        if (role != NULL && strcmp(role, "user") == 0)
            turn->user = model_content_text(json_object_get(item, "content"));
    }
}

void page_responses(struct practice *practice, struct request *request)
{
    enum practice_fault fault = PRACTICE_OK;
    json_t *body = model_enter(practice, request, &fault);
    if (body == NULL)
        return;
    struct script_turn turn = {
        .model = json_string_value(json_object_get(body, "model")),
        .instructions = json_string_value(json_object_get(body, "instructions")),
        .tools = json_array(),
    };
    const json_t *input = json_object_get(body, "input");
    struct script_plan plan = { 0 };
    model_tools_collect(turn.tools, json_object_get(body, "tools"));
    input_read(input, &turn);
    if (turn.model == NULL)
        model_bad_request(request, "practice: model is missing");
    else if (!json_is_array(input))
        model_bad_request(request, "practice: input must be a list");
    else if (!json_is_true(json_object_get(body, "stream")))
        model_bad_request(request, "practice: stream must be set to true");
    else if (script_plan(&turn, &plan) < 0)
        request->reply.out_of_memory = true;
    else
        answer(practice, request, &turn, &plan, fault);
    script_plan_deinit(&plan);
    json_decref(turn.tools);
    json_decref(body);
}
