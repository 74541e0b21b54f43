/* SPDX-License-Identifier: Apache-2.0 */
/* One turn at a time; what arrives meanwhile is written down before it counts as queued.
 *
 * Something told is acknowledged when its `queued` entry is on disk, and runs after a restart.
 * Something asked that must wait is written down too, but after a restart nobody waits for it, so
 * it is then marked as dropped, not run. What finds the lane idle begins at once: its `turn` entry
 * is its record.
 *
 * An item that is still being written stays in the queue, and nothing behind it overtakes. A
 * session without work lets go of its history after a while and loads it again when it has to:
 * a thousand sessions of which ten talk cost what ten cost. */
#include "lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "entry.h"
#include "proto/cursor.h"

#define SECOND_NS 1000000000ull
#define REST_AFTER_NS (300 * SECOND_NS)
#define PAUSE_NS (5 * SECOND_NS)
#define JOURNAL_WAIT_NS (60 * SECOND_NS)
#define LOAD_CREDIT 64

const char *lane_phase_text(const struct lane *lane)
{
    static const char *const texts[] = {
        [LANE_COLD] = "idle",
        [LANE_LOADING] = "loading its transcript",
        [LANE_IDLE] = "idle",
        [LANE_OPENING] = "writing its transcript",
        [LANE_CALLING] = "waiting for the model",
        [LANE_NOTING] = "writing its transcript",
        [LANE_WORKING] = "waiting for other agents",
        [LANE_CLOSING] = "writing its transcript",
    };

    return lane->paused ? "waiting for the disk" : texts[lane->phase];
}

void lane_report(struct lane *lane, struct context *context)
{
    const struct session_state state = {
        .session = proto_text(lane->key),
        .state = proto_text(lane_phase_text(lane)),
        .turns = lane->finished,
        .waiting = lane->queue.count,
        .last_error = proto_text(lane->last_error),
    };
    struct message *message = actor_pack(session_state, &state);

    if (message)
        context_send(context, lane->parent, message);
}

void lane_error(struct lane *lane, const char *code, const char *why, size_t why_size)
{
    struct proto_text text;

    snprintf(lane->last_error, sizeof(lane->last_error), "%s: %.*s", code, (int)why_size, why);
    for (text = proto_text(lane->last_error); !proto_utf8_valid(text); text.size--)
        lane->last_error[text.size - 1] = 0; /* never cut inside a letter */
}

void lane_request(struct context *context, const char *to, struct message *message,
                  const struct request_options *options)
{
    int r = context_request(context, context_lookup(context, to), message, options);

    if (r < 0)
        context_stop(context, r);
}

void lane_write(struct lane *lane, struct context *context, char *entry, uint64_t tag)
{
    const struct journal_append append = {.file = proto_text(lane->file),
                                          .line = proto_text(entry)};
    const struct request_options options = {.tag = tag,
                                            .deadline_ns =
                                                context_now_ns(context) + JOURNAL_WAIT_NS};

    /* Without memory an empty line is asked for, and the journal's refusal comes back. */
    lane_request(context, "journal", actor_pack(journal_append, &append), &options);
    free(entry);
}

void item_answer(struct context *context, struct item *item, struct message *answer)
{
    struct request_id request = item->request;

    item->request = (struct request_id){0};
    if (request.n == 0)
        message_free(answer);
    else if (answer)
        context_answer(context, request, answer);
    else
        context_answer_status(context, request, STATUS_NO_MEMORY, 0);
}

void item_refuse(struct context *context, struct item *item, const struct refusal *refusal)
{
    item_answer(context, item, actor_pack(refusal, refusal));
}

static void set_timer(struct lane *lane, struct context *context, uint64_t delay_ns)
{
    if (lane->timer.n)
        context_timer_cancel(context, lane->timer);
    lane->timer = (struct timer_id){0};
    if (delay_ns > 0)
        lane->timer = context_timer(context, delay_ns, 0);
}

void lane_pause(struct lane *lane, struct context *context)
{
    lane->paused = true;
    set_timer(lane, context, PAUSE_NS);
}

void lane_on_timer(struct lane *lane, struct context *context)
{
    lane->timer = (struct timer_id){0};
    if (lane->paused) {
        lane->paused = false;
        lane_next(lane, context);
    } else if (lane->phase == LANE_COLD && !lane->known) {
        lane_load(lane, context);
    } else if (lane->phase == LANE_IDLE && !lane->queue.first) {
        history_deinit(&lane->history);
        lane->phase = LANE_COLD;
    }
}

void lane_load(struct lane *lane, struct context *context)
{
    const struct journal_load message = {.file = proto_text(lane->file)};
    struct request_options options = {.tag = lane_tag(TAG_LOAD, 0),
                                      .credit = LOAD_CREDIT,
                                      .deadline_ns = context_now_ns(context) + JOURNAL_WAIT_NS,
                                      .ret_request = &lane->load};

    restore_init(&lane->restore, lane->config->history_turns);
    lane->phase = LANE_LOADING;
    lane_request(context, "journal", actor_pack(journal_load, &message), &options);
}

static void record(struct lane *lane, struct context *context, struct item *item)
{
    item->id = ++lane->items;
    item->writing = true;
    lane_write(lane, context, entry_queued(context_wall_ms(context), item),
               lane_tag(TAG_QUEUED, item->id));
}

void lane_admit(struct lane *lane, struct context *context, struct item *item)
{
    bool must_wait = lane->phase != LANE_IDLE || lane->queue.first || lane->paused;

    item_queue_push(&lane->queue, item);
    if (!lane->paused)
        set_timer(lane, context, 0);
    if (lane->phase == LANE_COLD)
        lane_load(lane, context);
    else if (lane->phase != LANE_LOADING && (must_wait || item->kind == ITEM_TELL))
        record(lane, context, item);
    lane_next(lane, context);
    lane_report(lane, context);
}

static void answer_drain(struct lane *lane, struct context *context)
{
    const struct done done = {.count = lane->queue.count};
    struct message *answer = lane->drain.n ? actor_pack(done, &done) : NULL;

    if (answer)
        context_answer(context, lane->drain, answer);
    lane->drain = (struct request_id){0};
}

void lane_next(struct lane *lane, struct context *context)
{
    struct item *item = lane->queue.first;

    if (lane->phase != LANE_IDLE || lane->paused)
        return;
    if (lane->draining)
        answer_drain(lane, context);
    else if (!item)
        set_timer(lane, context, REST_AFTER_NS);
    else if (!item->writing)
        turn_begin(lane, context, item_queue_remove(&lane->queue, item));
}

/* ---- queued entries ------------------------------------------------------------------------ */

static void drop(struct lane *lane, struct context *context, struct item *item, const char *why)
{
    lane_write(lane, context, entry_dropped(context_wall_ms(context), item->id, why),
               lane_tag(TAG_NOTE, 0));
    item_free(item_queue_remove(&lane->queue, item));
}

void lane_queued(struct lane *lane, struct context *context, uint64_t id)
{
    struct item *item = item_queue_find(&lane->queue, id);
    const struct done done = {.count = 1};

    if (!item)
        return;
    item->writing = false;
    if (item->kind == ITEM_TELL)
        item_answer(context, item, actor_pack(done, &done));
    if (item->gone)
        drop(lane, context, item, "who asked gave up");
    lane_next(lane, context);
}

void lane_not_queued(struct lane *lane, struct context *context, uint64_t id,
                     const struct refusal *refusal)
{
    struct item *item = item_queue_find(&lane->queue, id);

    if (!item)
        return;
    item_refuse(context, item, refusal);
    item_free(item_queue_remove(&lane->queue, item));
    lane_error(lane, "not_saved", refusal->why.data, refusal->why.size);
    lane_report(lane, context);
    lane_next(lane, context);
}

void lane_abandon(struct lane *lane, struct context *context, struct item *item)
{
    item->request = (struct request_id){0};
    if (item->kind == ITEM_TELL)
        return; /* it is or will be on disk; its teller just did not wait to hear so */
    if (item->writing)
        item->gone = true;
    else if (item->id > 0)
        drop(lane, context, item, "who asked gave up");
    else
        item_free(item_queue_remove(&lane->queue, item));
    lane_report(lane, context);
}

void lane_drain(struct lane *lane, struct context *context, struct request_id request)
{
    const struct refusal refusal = {.code = proto_text("unavailable"),
                                    .why = proto_text("the agent is being stopped"),
                                    .retry_after_ms = 2000};

    lane->draining = true;
    lane->drain = request;
    for (struct item *item = lane->queue.first, *next; item; item = next) {
        next = item->next;
        if (item->kind != ITEM_ASK)
            continue;
        item_refuse(context, item, &refusal);
        lane_abandon(lane, context, item);
    }
    if (lane->phase == LANE_COLD || lane->paused)
        answer_drain(lane, context);
    else
        lane_next(lane, context);
}

/* ---- loading ------------------------------------------------------------------------------- */

static void end_load(struct lane *lane, enum lane_phase phase)
{
    restore_deinit(&lane->restore);
    lane->load = (struct request_id){0};
    lane->phase = phase;
}

/* What waited before the restart, oldest first in front of what has arrived since. */
static void requeue(struct lane *lane, struct context *context, struct item_queue *waiting)
{
    struct item_queue arrived = lane->queue;
    struct item *item;

    if (arrived.first == NULL)
        arrived.end = &arrived.first;
    item_queue_init(&lane->queue);
    while ((item = item_queue_remove(waiting, waiting->first))) {
        item_queue_push(&lane->queue, item);
        if (item->kind == ITEM_ASK)
            drop(lane, context, item, "a restart came first; who asked was told");
    }
    while ((item = item_queue_remove(&arrived, arrived.first)))
        item_queue_push(&lane->queue, item);
}

void lane_loaded(struct lane *lane, struct context *context, const struct journal_end *end)
{
    struct restore *restore = &lane->restore;
    uint64_t skipped = end->skipped + restore->unreadable, item_id;
    int64_t now_ms = context_wall_ms(context);

    lane->turns = restore->turns;
    lane->items = restore->items;
    history_deinit(&lane->history);
    if (restore->open_turn > 0) {
        uint64_t turn = restore->open_turn;
        bool again = restore_interrupt(restore, &item_id);

        lane_write(lane, context, entry_interrupted(now_ms, turn, item_id, again),
                   lane_tag(TAG_NOTE, 0));
    }
    if (end->torn > 0)
        lane_write(lane, context, entry_mended(now_ms, end->torn, skipped),
                   lane_tag(TAG_NOTE, 0));
    lane->history = restore->history;
    restore->history = (struct history){0};
    requeue(lane, context, &restore->waiting);
    end_load(lane, LANE_IDLE);
    lane->known = true;

    for (struct item *item = lane->queue.first; item; item = item->next)
        if (item->id == 0 && (item->kind == ITEM_TELL || item != lane->queue.first))
            record(lane, context, item);
    lane_next(lane, context);
    lane_report(lane, context);
}

void lane_not_loaded(struct lane *lane, struct context *context, const struct refusal *refusal)
{
    struct item *item;

    end_load(lane, LANE_COLD);
    if (!lane->known) /* something told may wait there */
        set_timer(lane, context, PAUSE_NS);
    lane_error(lane, "not_saved", refusal->why.data, refusal->why.size);
    while ((item = item_queue_remove(&lane->queue, lane->queue.first))) {
        item_refuse(context, item, refusal);
        item_free(item);
    }
    lane_report(lane, context);
}

void lane_deinit(struct lane *lane)
{
    if (lane->phase == LANE_LOADING)
        end_load(lane, LANE_COLD);
    turn_free(lane->turn);
    lane->turn = NULL;
    history_deinit(&lane->history);
    if (lane->queue.end)
        item_queue_deinit(&lane->queue);
    agent_config_unref(lane->config);
    lane->config = NULL;
}
