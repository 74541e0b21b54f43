/* SPDX-License-Identifier: Apache-2.0 */
/* The tools that a model's answer calls. All run at once; when the last output is there, all of
 * them are written down and the model is called again. */
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "entry.h"
#include "turn.h"

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
    turn_call_model(lane, context);
}

void turn_noted(struct lane *lane, struct context *context)
{
    struct turn *turn = lane->turn;

    if (turn->cancelled) {
        turn_fail_with(lane, context, "interrupted", "who asked gave up");
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
