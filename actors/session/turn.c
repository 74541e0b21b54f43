/* SPDX-License-Identifier: Apache-2.0 */
/* A turn: open, call the model, run the tools it asks for and call again, close.
 *
 * Nothing is spent before the `turn` entry is on disk, no tool is called before the `calls` entry
 * is, and the asker has its answer after the `answer` entry is. A disk that fails in the middle
 * does not end the turn: the model has been paid, so the answer is given, with a note that the
 * transcript lacks something. Memory that fails does end it: an answer with a hole in it is none.
 *
 * Streaming: deltas go to the asker under its credit; without credit they are piled up and the
 * model is given none either, so that a slow reader slows the model, not our memory. An asker that
 * gave no credit at the start does not stream. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "entry.h"
#include "lane.h"
#include "proto/cursor.h"

#define MODEL_CREDIT 32

void turn_free(struct turn *turn)
{
    if (!turn)
        return;
    item_free(turn->item);
    json_decref(turn->items);
    buffer_deinit(&turn->text);
    buffer_deinit(&turn->pending);
    tool_calls_free(turn->calls, turn->call_count);
    free(turn->model);
    free(turn->profile);
    free(turn->note);
    free(turn);
}

static void end(struct lane *lane, struct context *context)
{
    turn_free(lane->turn);
    lane->turn = NULL;
    lane->phase = LANE_IDLE;
    lane_next(lane, context);
    lane_report(lane, context);
}

void turn_begin(struct lane *lane, struct context *context, struct item *item)
{
    struct turn *turn = calloc(1, sizeof(*turn));
    uint64_t limit_ns = context_now_ns(context) + lane->config->timeout_ms * 1000000;
    const struct refusal no_memory = {.code = proto_text("internal"),
                                      .why = proto_text("no memory for a turn")};

    if (!turn) {
        item_refuse(context, item, &no_memory);
        item_free(item);
        return;
    }
    turn->item = item;
    turn->number = ++lane->turns;
    turn->deadline_ns =
        item->deadline_ns && item->deadline_ns < limit_ns ? item->deadline_ns : limit_ns;
    turn->items = json_array();
    json_array_append_new(turn->items, history_user_item(item->text, item->from));
    lane->turn = turn;
    lane->phase = LANE_OPENING;
    lane_write(lane, context, entry_turn(context_wall_ms(context), turn->number, item),
               lane_tag(TAG_OPEN, 0));
}

/* An asked item is refused; a told one is on disk already and waits for better times. */
void turn_not_opened(struct lane *lane, struct context *context, const struct refusal *refusal)
{
    struct turn *turn = lane->turn;
    struct item *item = turn->item;

    lane->turns--;
    lane_error(lane, "not_saved", refusal->why.data, refusal->why.size);
    if (item->kind == ITEM_TELL) {
        turn->item = NULL;
        item_queue_push_front(&lane->queue, item);
        lane_pause(lane, context);
    } else {
        item_refuse(context, item, refusal);
    }
    end(lane, context);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void cancel_requests(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;

    if (turn->model_request.n)
        context_cancel(context, turn->model_request);
    for (size_t i = 0; i < turn->call_count; i++)
        if (!turn->calls[i].output && turn->calls[i].request.n)
            context_cancel(context, turn->calls[i].request);
}

static void turn_fail(struct lane *lane, struct context *context, const struct refusal *refusal)
{
    struct turn *turn = lane->turn;
    char code[64] = "", why[512] = "";

    cancel_requests(lane, context);
    proto_text_copy(refusal->code, code, sizeof(code));
    if (!proto_text_copy(refusal->why, why, sizeof(why)))
        snprintf(why, sizeof(why), "(a reason too long to write down)");
    lane_write(lane, context, entry_failed(context_wall_ms(context), turn->number, code, why),
               lane_tag(TAG_NOTE, 0));
    lane_error(lane, code, why, strlen(why));
    item_refuse(context, turn->item, refusal);
    end(lane, context);
}

static void fail(struct lane *lane, struct context *context, const char *code, const char *why)
{
    const struct refusal refusal = {.code = proto_text(code), .why = proto_text(why)};

    turn_fail(lane, context, &refusal);
}

void turn_cancel(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;

    turn->item->request = (struct request_id){0};
    turn->cancelled = true;
    if (lane->phase == LANE_CALLING || lane->phase == LANE_WORKING)
        fail(lane, context, "interrupted", "who asked gave up");
    else if (lane->phase == LANE_CLOSING)
        turn_credit(lane, context); /* nobody takes what is piled up */
}

void turn_unsaved(struct lane *lane, const char *entry)
{
    lane->turn->unsaved = entry;
    lane_error(lane, "not_saved", entry, strlen(entry));
}

/* ---- calling the model --------------------------------------------------------------------- */

static void call_model(struct lane *lane, struct context *context)
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
        fail(lane, context, "too_large", "the conversation does not fit in a message");
        return;
    }
    lane_request(context, "model", message, &options);
    lane_report(lane, context);
}

void turn_opened(struct lane *lane, struct context *context)
{
    if (lane->turn->cancelled)
        fail(lane, context, "interrupted", "who asked gave up");
    else
        call_model(lane, context);
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

/* Sends what can be sent, and passes the asker's credit on to the model. */
static void flush(struct lane *lane, struct context *context)
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
    fail(lane, context, "internal", "no memory for the model's answer");
}

void turn_delta(struct lane *lane, struct context *context, struct proto_text text)
{
    struct turn *turn = lane->turn;

    turn->owed++;
    if (stream(turn, text.data, text.size) == 0)
        flush(lane, context);
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
    flush(lane, context);
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

static const char *or_empty(const char *text)
{
    return text ? text : "";
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
        fail(lane, context, "model_error", "the model's calls of tools are not readable");
    else if (turn->call_count == 0)
        close_turn(lane, context);
    else if (turn->rounds >= lane->config->max_tool_rounds)
        fail(lane, context, "model_error", "the model went on calling tools without answering");
    else
        note_calls(lane, context);
}

/* ---- tools --------------------------------------------------------------------------------- */

/* The tool's answer must leave time to answer in turn. */
static uint64_t tool_deadline(const struct turn *turn, uint64_t now_ns)
{
    uint64_t left = turn->deadline_ns > now_ns ? turn->deadline_ns - now_ns : 0;

    return now_ns + left - left / 10;
}

static struct message *tool_message(const struct lane *lane, const struct tool_call *call,
                                    const char *path, const char *session)
{
    const struct agent_ask ask = {.session = proto_text(session),
                                  .text = proto_text(call->text),
                                  .from = proto_text(lane->config->id),
                                  .path = proto_text(path)};
    const struct agent_tell tell = {.text = proto_text(call->text),
                                    .from = proto_text(lane->config->id),
                                    .path = proto_text(path)};

    return call->tool == TOOL_ASK ? actor_pack(agent_ask, &ask) : actor_pack(agent_tell, &tell);
}

static void start_call(struct lane *lane, struct context *context, size_t i)
{
    struct turn *turn = lane->turn;
    struct tool_call *call = &turn->calls[i];
    const struct request_options options = {
        .tag = lane_tag(TAG_TOOL, i),
        .deadline_ns = tool_deadline(turn, context_now_ns(context)),
        .ret_request = &call->request};
    char *path = path_with(turn->item->path, lane->config->id);
    char *session = path ? path_session(path) : NULL;
    struct message *message = NULL;

    if (!call->output)
        call->output = tool_call_objection(lane->config, turn->item->path, call);
    if (!call->output) {
        message = session ? tool_message(lane, call, path, session) : NULL;
        if (!message)
            call->output = strdup("The text could not be sent.");
    }
    free(path);
    free(session);
    if (call->output)
        return;
    turn->calls_open++;
    lane_request(context, call->agent, message, &options);
}

/* All outputs are there: write them down and call the model again. */
static void end_round(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;
    json_t *outputs = json_array();

    for (size_t i = 0; i < turn->call_count; i++)
        json_array_append_new(outputs, tool_call_item(&turn->calls[i]));
    json_array_extend(turn->items, outputs);
    lane_write(lane, context,
               entry_items(context_wall_ms(context), "outputs", turn->number, outputs),
               lane_tag(TAG_NOTE, 0));
    json_decref(outputs);
    tool_calls_free(turn->calls, turn->call_count);
    turn->calls = NULL;
    turn->call_count = 0;
    turn->rounds++;
    call_model(lane, context);
}

void turn_noted(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;

    if (turn->cancelled) {
        fail(lane, context, "interrupted", "who asked gave up");
        return;
    }
    lane->phase = LANE_WORKING;
    for (size_t i = 0; i < turn->call_count; i++)
        start_call(lane, context, i);
    if (turn->calls_open == 0)
        end_round(lane, context);
    else
        lane_report(lane, context);
}

void turn_tool_done(struct lane *lane, struct context *context, uint64_t i, char *output)
{
    struct turn *turn = lane->turn;

    if (lane->phase != LANE_WORKING || i >= turn->call_count || turn->calls[i].output) {
        free(output);
        return;
    }
    turn->calls[i].output = output ? output : strdup("");
    if (--turn->calls_open == 0)
        end_round(lane, context);
}

/* ---- closing ------------------------------------------------------------------------------- */

/* Without a letter that was cut in two at its end. */
static struct proto_text sentence_of(const char *string)
{
    struct proto_text text = proto_text(string);

    while (!proto_utf8_valid(text))
        text.size--;
    return text;
}

static struct message *make_answer(const struct turn *turn)
{
    char note[512] = "";

    snprintf(note, sizeof(note), "%s%s%s%.300s", turn->unsaved ? "not in the transcript: " : "",
             or_empty(turn->unsaved), turn->unsaved && turn->note ? "; " : "",
             or_empty(turn->note));
    const struct agent_answer answer = {
        .text = proto_text(turn->text.bytes),
        .model = proto_text(turn->model),
        .profile = proto_text(turn->profile),
        .turn = turn->number,
        .input_tokens = turn->input_tokens,
        .output_tokens = turn->output_tokens,
        .note = sentence_of(note),
    };

    return actor_pack(agent_answer, &answer);
}

void turn_recorded(struct lane *lane, struct context *context)
{
    lane->turn->recorded = true;
    turn_credit(lane, context);
}

/* There is credit, or nobody who gives any: go on streaming, and answer when all is said. */
void turn_credit(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;

    flush(lane, context);
    if (lane->phase != LANE_CLOSING || !turn->recorded || turn->pending.size > 0)
        return;
    if (!turn->unsaved)
        lane->last_error[0] = 0;
    lane->finished++;
    item_answer(context, turn->item, make_answer(turn));
    history_push(&lane->history, turn->items, lane->config->history_turns);
    turn->items = NULL;
    end(lane, context);
}
