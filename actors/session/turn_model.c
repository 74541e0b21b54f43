/* SPDX-License-Identifier: Apache-2.0 */
/* A turn's calls of the model: what it is asked, and its answer as it comes.
 *
 * Streaming: deltas go to the asker under its credit; without credit they are piled up and the
 * model is given none either, so that a slow reader slows the model, not our memory. An asker that
 * gave no credit at the start does not stream. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "entry.h"
#include "turn.h"

#define MODEL_CREDIT 32

void turn_call_model(struct lane *lane, struct context *context)
{
    const struct agent_config *config = lane->config;
    struct turn *turn = lane->turn;
    bool last = turn->rounds >= config->max_tool_rounds; /* now it has to answer */
    char *input = history_input(&lane->history, turn->items);
    char *tools = last ? NULL : tools_json(config);
    const struct model_call call = {
        .agent = proto_text(config->id),
        .session = proto_text(lane->key),
        .models = proto_text(config->models),
        .instructions = proto_text(config->instructions),
        .input = proto_text(input),
        .tools = proto_text(tools),
    };
    const struct request_options options = {.tag = lane_tag(TAG_MODEL, 0),
                                            .credit = MODEL_CREDIT,
                                            .deadline_ns = turn->deadline_ns,
                                            .ret_request = &turn->model_request};
    struct message *message = input ? actor_pack(model_call, &call) : NULL;

    free(input);
    free(tools);
    lane->phase = LANE_CALLING;
    turn->streamed = 0;
    if (!message) {
        turn_fail_with(lane, context, "too_large", "the conversation does not fit in a message");
        return;
    }
    lane_request(context, "model", message, &options);
    lane_report(lane, context);
}

void turn_opened(struct lane *lane, struct context *context)
{
    if (lane->turn->cancelled)
        turn_fail_with(lane, context, "interrupted", "who asked gave up");
    else
        turn_call_model(lane, context);
}

/* What is piled up, as one delta. False: the asker has no credit, it stays piled up. */
static bool send_pending(struct turn *turn, struct context *context)
{
    const struct agent_delta delta = {.text = {turn->pending.bytes, (uint32_t)turn->pending.size}};
    struct message *part;

    if (turn->item->request.n && turn->pending.size > 0) {
        part = turn->starved ? NULL : actor_pack(agent_delta, &delta);
        if (part && context_part(context, turn->item->request, part) == -EAGAIN) {
            message_free(part);
            turn->starved = true;
        }
        if (turn->starved)
            return false;
    }
    turn->pending.size = 0;
    return true;
}

void turn_flush(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;

    if (!send_pending(turn, context))
        return;
    if (turn->owed > 0 && turn->model_request.n)
        context_credit(context, turn->model_request, turn->owed);
    turn->owed = 0;
}

/* Text between what two model answers said. */
static const char *gap(const struct turn *turn)
{
    return turn->text.size > 0 ? "\n\n" : "";
}

/* 0 or -ENOMEM. */
static int add_text(struct buffer *buffer, const char *before, const char *text, size_t size)
{
    int r = buffer_append(buffer, before, strlen(before), SIZE_MAX);

    return r < 0 ? r : buffer_append(buffer, text, size, SIZE_MAX);
}

static int stream(struct turn *turn, const char *text, size_t size)
{
    if (size == 0 || !turn->item->streams)
        return 0;
    if (add_text(&turn->pending, turn->streamed == 0 ? gap(turn) : "", text, size) < 0)
        return -ENOMEM;
    turn->streamed += size;
    return 0;
}

static void fail_without_memory(struct lane *lane, struct context *context)
{
    turn_fail_with(lane, context, "internal", "no memory for the model's answer");
}

void turn_delta(struct lane *lane, struct context *context, struct proto_text text)
{
    struct turn *turn = lane->turn;

    turn->owed++;
    if (stream(turn, text.data, text.size) == 0)
        turn_flush(lane, context);
    else
        fail_without_memory(lane, context);
}

static void keep(char **text, struct proto_text value)
{
    char *copy = value.size > 0 ? proto_text_dup(value) : NULL;

    if (copy) {
        free(*text);
        *text = copy;
    }
}

/* The answer's items; made from its text when it brought none. */
static json_t *answer_items(const struct model_answer *answer)
{
    json_t *items = json_loadb(answer->items.data ? answer->items.data : "", answer->items.size, 0,
                               NULL);

    if (json_is_array(items) && json_array_size(items) > 0)
        return items;
    json_decref(items);
    return json_pack("[{s:s, s:[{s:s, s:s%}]}]", "role", "assistant", "content", "type",
                     "output_text", "text", answer->text.data ? answer->text.data : "",
                     (size_t)answer->text.size);
}

/* Text and items, each whole. 0 or -ENOMEM. */
static int take_content(struct turn *turn, const struct model_answer *answer)
{
    json_t *items = answer_items(answer);
    int r = items ? 0 : -ENOMEM;

    if (r == 0 && answer->text.size > turn->streamed)
        r = stream(turn, answer->text.data + turn->streamed, answer->text.size - turn->streamed);
    if (r == 0 && answer->text.size > 0)
        r = add_text(&turn->text, gap(turn), answer->text.data, answer->text.size);
    turn->fresh = json_array_size(turn->items);
    if (r == 0 && json_array_extend(turn->items, items) < 0)
        r = -ENOMEM;
    json_decref(items);
    return r;
}

static int take_answer(struct lane *lane, struct context *context,
                       const struct model_answer *answer)
{
    struct turn *turn = lane->turn;
    int r = take_content(turn, answer);

    if (r < 0)
        return r;
    turn_flush(lane, context);
    keep(&turn->model, answer->model);
    keep(&turn->profile, answer->profile);
    keep(&turn->note, answer->note);
    turn->input_tokens += answer->input_tokens;
    turn->output_tokens += answer->output_tokens;
    return 0;
}

/* The items from `fresh` on. */
static json_t *fresh_items(const struct turn *turn)
{
    json_t *items = json_array();

    for (size_t i = turn->fresh; i < json_array_size(turn->items); i++)
        json_array_append(items, json_array_get(turn->items, i));
    return items;
}

static void note_calls(struct lane *lane, struct context *context)
{
    json_t *items = fresh_items(lane->turn);

    lane->phase = LANE_NOTING;
    lane_write(lane, context,
               entry_items(context_wall_ms(context), "calls", lane->turn->number, items),
               lane_tag(TAG_CALLS, 0));
    json_decref(items);
}

static void close_turn(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;
    json_t *items = fresh_items(turn);
    const struct turn_result result = {
        .text = or_empty(turn->text.bytes),
        .model = or_empty(turn->model),
        .profile = or_empty(turn->profile),
        .note = or_empty(turn->note),
        .items = items,
        .input_tokens = turn->input_tokens,
        .output_tokens = turn->output_tokens,
    };

    lane->phase = LANE_CLOSING;
    lane_write(lane, context, entry_answer(context_wall_ms(context), turn->number, &result),
               lane_tag(TAG_CLOSE, 0));
    json_decref(items);
}

void turn_model_refusal(struct lane *lane, struct context *context,
                        const struct refusal *refusal)
{
    lane->turn->model_request = (struct request_id){0};
    turn_fail(lane, context, refusal);
}

void turn_model_answer(struct lane *lane, struct context *context,
                       const struct model_answer *answer)
{
    struct turn *turn = lane->turn;

    turn->model_request = (struct request_id){0};
    if (take_answer(lane, context, answer) < 0)
        fail_without_memory(lane, context);
    else if (tool_calls_parse(answer->calls, &turn->calls, &turn->call_count) < 0)
        turn_fail_with(lane, context, "model_error", "the model's calls of tools are not readable");
    else if (turn->call_count == 0)
        close_turn(lane, context);
    else if (turn->rounds >= lane->config->max_tool_rounds)
        turn_fail_with(lane, context, "model_error",
                       "the model went on calling tools without answering");
    else
        note_calls(lane, context);
}
