/* SPDX-License-Identifier: Apache-2.0 */
/* A turn: open, call the model (turn_model.c), run the tools it asks for (turn_tools.c) and call
 * again, close.
 *
 * Nothing is spent before the `turn` entry is on disk, no tool is called before the `calls` entry
 * is, and the asker has its answer after the `answer` entry is. A disk that fails in the middle
 * does not end the turn: the model has been paid, so the answer is given, with a note that the
 * transcript lacks something. Memory that fails does end it: an answer with a hole in it is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "entry.h"
#include "proto/cursor.h"
#include "turn.h"

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

void turn_fail(struct lane *lane, struct context *context, const struct refusal *refusal)
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

void turn_fail_with(struct lane *lane, struct context *context, const char *code, const char *why)
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
        turn_fail_with(lane, context, "interrupted", "who asked gave up");
    else if (lane->phase == LANE_CLOSING)
        turn_credit(lane, context); /* nobody takes what is piled up */
}

void turn_unsaved(struct lane *lane, const char *entry)
{
    lane->turn->unsaved = entry;
    lane_error(lane, "not_saved", entry, strlen(entry));
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

    turn_flush(lane, context);
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
