/* SPDX-License-Identifier: Apache-2.0 */
/* A session of an agent: a lane on which one turn runs at a time.
 *
 * Takes   agent_ask   (forwarded by its agent) -> stream of agent_delta, agent_answer or refusal
 *         agent_tell  (forwarded)              -> done when it is on disk, or refusal
 *         agent_reconfigure                       from the next turn on
 * Sends   journal_append, journal_load to "journal"; model_call to "model"; agent_ask, agent_tell
 *         to other agents, by name; session_state to its agent
 * Owns    the transcript agents/AGENT/KEY.jsonl, through the journal
 * Rules   lane.c and turn.c have them. Here is only who says what to whom. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "lane.h"

/* ---- what comes in ------------------------------------------------------------------------- */

static int refuse(struct context *context, const char *code, const char *why, const char *remedy)
{
    return actor_reply_refusal(context, code, why, remedy);
}

static int admit(struct lane *lane, struct context *context, struct item *item)
{
    char why[256];

    if (!item)
        return refuse(context, "bad_request", "the text holds a NUL character", "");
    if (item->text[0] == 0)
        snprintf(why, sizeof(why), "there is no text for %s", lane->config->id);
    else if (item->kind == ITEM_ASK && path_has(item->path, lane->config->id))
        snprintf(why, sizeof(why), "%s waits for this answer itself", lane->config->id);
    else if (path_depth(item->path) > lane->config->max_ask_depth)
        snprintf(why, sizeof(why), "more than %u agents in a chain", lane->config->max_ask_depth);
    else
        why[0] = 0;
    if (why[0]) {
        const char *code = item->text[0] ? "loop" : "bad_request";

        item_free(item);
        return refuse(context, code, why, "");
    }
    if (lane->draining && item->kind == ITEM_ASK) {
        item_free(item);
        return refuse(context, "unavailable", "the agent is being stopped", "try again soon");
    }
    if (lane->queue.count >= lane->config->max_queued) {
        item_free(item);
        snprintf(why, sizeof(why), "%zu turns wait for %s already", lane->queue.count,
                 lane->config->id);
        return context_reply(context, actor_refusal("busy", why, "try again later", 2000, 0));
    }
    item->request = context_defer(context);
    item->deadline_ns = context_message(context)->deadline_ns;
    item->streams = item->request.n && context_credit_left(context, item->request) > 0;
    lane_admit(lane, context, item);
    return 0;
}

static int on_agent_ask(struct lane *lane, struct context *context, const struct agent_ask *ask)
{
    return admit(lane, context, item_new(ITEM_ASK, ask->text, ask->from, ask->path));
}

static int on_agent_tell(struct lane *lane, struct context *context, const struct agent_tell *tell)
{
    return admit(lane, context, item_new(ITEM_TELL, tell->text, tell->from, tell->path));
}

static int on_agent_reconfigure(struct lane *lane, struct context *context,
                                const struct agent_reconfigure *message)
{
    struct agent_config *config =
        agent_config_merge(lane->config, message->config.data, message->config.size);

    if (!config)
        return refuse(context, "bad_config", "the agent's settings are no JSON object", "");
    agent_config_unref(lane->config);
    lane->config = config;
    return actor_reply_done(context, 1);
}

static int on_agent_drain(struct lane *lane, struct context *context,
                          const struct agent_drain *message)
{
    (void)message;
    lane_drain(lane, context, context_defer(context));
    return 0;
}

/* ---- answers ------------------------------------------------------------------------------- */

static int on_done(struct lane *lane, struct context *context, const struct done *done)
{
    uint64_t tag = context_tag(context);

    (void)done;
    switch (lane_tag_kind(tag)) {
    case TAG_QUEUED:
        lane_queued(lane, context, lane_tag_number(tag));
        break;
    case TAG_OPEN:
        turn_opened(lane, context);
        break;
    case TAG_CALLS:
        turn_noted(lane, context);
        break;
    case TAG_CLOSE:
        turn_recorded(lane, context);
        break;
    case TAG_TOOL:
        turn_tool_done(lane, context, lane_tag_number(tag), strdup("Delivered."));
        break;
    case TAG_NOTE:
    case TAG_LOAD:
    case TAG_MODEL:
        break;
    }
    return 0;
}

static char *tool_refusal(const struct refusal *refusal)
{
    char *text = NULL;
    int n = asprintf(&text, "No answer: %.*s (%.*s).", (int)refusal->why.size,
                     refusal->why.data ? refusal->why.data : "", (int)refusal->code.size,
                     refusal->code.data ? refusal->code.data : "");

    return n < 0 ? NULL : text;
}

static int refused(struct lane *lane, struct context *context, uint64_t tag,
                   const struct refusal *refusal)
{
    switch (lane_tag_kind(tag)) {
    case TAG_LOAD:
        lane_not_loaded(lane, context, refusal);
        break;
    case TAG_QUEUED:
        lane_not_queued(lane, context, lane_tag_number(tag), refusal);
        break;
    case TAG_OPEN:
        turn_not_opened(lane, context, refusal);
        break;
    case TAG_CALLS:
        turn_unsaved(lane, "the calls of tools");
        turn_noted(lane, context);
        break;
    case TAG_CLOSE:
        turn_unsaved(lane, "the answer");
        turn_recorded(lane, context);
        break;
    case TAG_MODEL:
        turn_model_refusal(lane, context, refusal);
        break;
    case TAG_TOOL:
        turn_tool_done(lane, context, lane_tag_number(tag), tool_refusal(refusal));
        break;
    case TAG_NOTE:
        lane_error(lane, "not_saved", refusal->why.data, refusal->why.size);
        break;
    }
    return 0;
}

static int on_refusal(struct lane *lane, struct context *context, const struct refusal *refusal)
{
    return refused(lane, context, context_tag(context), refusal);
}

static const char *who_answers(const struct lane *lane, uint64_t tag)
{
    uint64_t call = lane_tag_number(tag);

    if (lane_tag_kind(tag) == TAG_MODEL)
        return "the model actor";
    if (lane_tag_kind(tag) == TAG_TOOL && lane->turn && call < lane->turn->call_count)
        return lane->turn->calls[call].agent;
    return "the journal";
}

static int on_status(void *state, struct context *context, uint64_t tag,
                     enum runtime_status status)
{
    struct message *message = actor_refusal_of_status(status, who_answers(state, tag));
    struct refusal refusal = {.code = proto_text("internal"), .why = proto_text("no memory")};
    int r;

    if (message)
        proto_unpack(&refusal_schema, message->body, message->size, &refusal);
    r = refused(state, context, tag, &refusal);
    message_free(message);
    return r;
}

static int on_journal_line(struct lane *lane, struct context *context,
                           const struct journal_line *line)
{
    if (lane->phase == LANE_LOADING) {
        restore_line(&lane->restore, line->line.data, line->line.size);
        context_credit(context, lane->load, 1);
    }
    return 0;
}

static int on_journal_end(struct lane *lane, struct context *context,
                          const struct journal_end *end)
{
    if (lane->phase == LANE_LOADING)
        lane_loaded(lane, context, end);
    return 0;
}

static int on_model_delta(struct lane *lane, struct context *context,
                          const struct model_delta *delta)
{
    if (lane->phase == LANE_CALLING)
        turn_delta(lane, context, delta->text);
    return 0;
}

static int on_model_answer(struct lane *lane, struct context *context,
                           const struct model_answer *answer)
{
    if (lane->phase == LANE_CALLING)
        turn_model_answer(lane, context, answer);
    return 0;
}

static int on_agent_answer(struct lane *lane, struct context *context,
                           const struct agent_answer *answer)
{
    turn_tool_done(lane, context, lane_tag_number(context_tag(context)),
                   proto_text_dup(answer->text));
    return 0;
}

static int on_timer(void *state, struct context *context, uint64_t tag)
{
    (void)tag;
    lane_on_timer(state, context);
    return 0;
}

static int on_credit(void *state, struct context *context, struct request_id request)
{
    struct lane *lane = state;

    if (lane->turn && lane->turn->item->request.n == request.n) {
        lane->turn->starved = false;
        turn_credit(lane, context);
    }
    return 0;
}

static int on_cancel(void *state, struct context *context, struct request_id request)
{
    struct lane *lane = state;
    struct item *waiting = item_queue_find_request(&lane->queue, request);

    if (waiting)
        lane_abandon(lane, context, waiting);
    else if (lane->turn && lane->turn->item->request.n == request.n)
        turn_cancel(lane, context);
    return 0;
}

static int on_down(void *state, struct context *context, struct actor_id who,
                   enum exit_reason reason, int error)
{
    (void)state, (void)who, (void)reason, (void)error;
    context_stop(context, 0); /* its agent has ended */
    return 0;
}

/* ---- start and stop ------------------------------------------------------------------------ */

static int start(void *state, struct context *context, const void *config_)
{
    const struct session_config *config = config_;
    struct lane *lane = state;
    int r = session_file(config->agent->id, config->key, lane->file, sizeof(lane->file));

    item_queue_init(&lane->queue);
    if (r < 0 || strlen(config->key) >= sizeof(lane->key))
        return r < 0 ? r : -ENAMETOOLONG;
    snprintf(lane->key, sizeof(lane->key), "%s", config->key);
    lane->config = agent_config_ref(config->agent);
    if (!lane->config)
        return -ENOMEM;
    lane->parent = config->parent;
    context_monitor(context, lane->parent);
    lane_load(lane, context);
    return 0;
}

/* A turn that runs stays open in the transcript, as after a crash; the runtime tells who waits. */
static void stop(void *state, struct context *context)
{
    (void)context;
    lane_deinit(state);
}

static size_t describe(const void *state, char *ret_text, size_t size)
{
    const struct lane *lane = state;
    int length = snprintf(ret_text, size, "%s, %" PRIu64 " turns done, %zu waiting%s%s",
                          lane_phase_text(lane), lane->finished, lane->queue.count,
                          lane->last_error[0] ? ", last error " : "", lane->last_error);

    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

ACTOR_HANDLER(agent_ask)
ACTOR_HANDLER(agent_tell)
ACTOR_HANDLER(agent_reconfigure)
ACTOR_HANDLER(agent_drain)
ACTOR_HANDLER(done)
ACTOR_HANDLER(refusal)
ACTOR_HANDLER(journal_line)
ACTOR_HANDLER(journal_end)
ACTOR_HANDLER(model_delta)
ACTOR_HANDLER(model_answer)
ACTOR_HANDLER(agent_answer)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(agent_ask, FROM_ANYONE),
    ACTOR_ROW(agent_tell, FROM_ANYONE),
    ACTOR_ROW(agent_reconfigure, FROM_LOCAL),
    ACTOR_ROW(agent_drain, FROM_LOCAL),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW(journal_line, FROM_ANSWER),
    ACTOR_ROW(journal_end, FROM_ANSWER),
    ACTOR_ROW(model_delta, FROM_ANSWER),
    ACTOR_ROW(model_answer, FROM_ANSWER),
    ACTOR_ROW(agent_answer, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops session_actor_ops = {
    .name = "session",
    .state_size = sizeof(struct lane),
    .mailbox_limit = 256,
    .decode = proto_unpack,
    .handlers = handlers,
    .start = start,
    .stop = stop,
    .on_status = on_status,
    .on_timer = on_timer,
    .on_credit = on_credit,
    .on_cancel = on_cancel,
    .on_down = on_down,
    .describe = describe,
};
