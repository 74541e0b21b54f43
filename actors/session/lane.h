/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a session: the lane (what waits, what is known) and the one turn that runs on it.
 *
 * lane.c queues, loads and records; turn.c runs a turn; session_actor.c brings the messages. The
 * phase says what the lane waits for, and there is one such thing at a time:
 *
 *     COLD      nothing: the transcript is on disk only
 *     LOADING   the transcript
 *     IDLE      something to do
 *     OPENING   the `turn` entry to be on disk; before that nothing is spent on the turn
 *     CALLING   the model
 *     NOTING    the `calls` entry to be on disk; before that no tool is called
 *     WORKING   the tools
 *     CLOSING   the `answer` entry to be on disk, then the asker to take what was streamed */
#pragma once

#include "actors/buffer.h"
#include "history.h"
#include "item.h"
#include "proto/agent.h"
#include "proto/model.h"
#include "proto/system.h"
#include "restore.h"
#include "runtime/actor.h"
#include "session/session.h"
#include "tools.h"

enum lane_phase {
    LANE_COLD,
    LANE_LOADING,
    LANE_IDLE,
    LANE_OPENING,
    LANE_CALLING,
    LANE_NOTING,
    LANE_WORKING,
    LANE_CLOSING
};

/* What a request of ours was for; its tag is the kind and a number. */
enum lane_tag {
    TAG_NOTE,   /* an entry nobody waits for */
    TAG_LOAD,
    TAG_QUEUED, /* `queued`; number is the item */
    TAG_OPEN,   /* `turn` */
    TAG_CALLS,  /* `calls` */
    TAG_CLOSE,  /* `answer` */
    TAG_MODEL,
    TAG_TOOL /* number is the call */
};

#define TAG_SHIFT 48
static inline uint64_t lane_tag(enum lane_tag kind, uint64_t number)
{
    return (uint64_t)kind << TAG_SHIFT | number;
}
static inline enum lane_tag lane_tag_kind(uint64_t tag)
{
    return (enum lane_tag)(tag >> TAG_SHIFT);
}
static inline uint64_t lane_tag_number(uint64_t tag)
{
    return tag & (((uint64_t)1 << TAG_SHIFT) - 1);
}

struct turn {
    uint64_t number;
    struct item *item;
    uint64_t deadline_ns;
    bool cancelled;      /* its asker gave up */
    bool recorded;       /* `answer` is on disk, or could not be put there */
    const char *unsaved; /* which entry did not get to disk; NULL: none */
    unsigned rounds;     /* of tools, done */
    json_t *items;       /* conversation items of this turn, the user's first */
    size_t fresh;        /* where the items of the last model answer begin */
    struct buffer text;    /* visible text so far */
    struct buffer pending; /* streamed text that waits for the asker's credit */
    bool starved;        /* the asker has no credit; it will be said when it has */
    size_t streamed;     /* bytes of this model answer's text that came as deltas */
    uint32_t owed;       /* credit the model gets when `pending` is gone */
    struct request_id model_request;
    struct tool_call *calls;
    size_t call_count, calls_open;
    char *model, *profile, *note;
    uint64_t input_tokens, output_tokens;
};

struct lane {
    const struct agent_config *config;
    char key[SESSION_KEY_MAX];
    char file[SESSION_FILE_MAX];
    struct actor_id parent;
    enum lane_phase phase;
    bool paused; /* a disk that refuses: try again later */
    bool known;               /* the transcript has been read once */
    bool draining;            /* no turn begins any more */
    struct request_id drain; /* answered when none is at work */
    struct item_queue queue;
    struct restore restore; /* while LOADING */
    struct request_id load;
    struct history history;
    uint64_t turns; /* number of the last one */
    uint64_t items; /* highest id */
    uint64_t finished;
    struct turn *turn;
    struct timer_id timer; /* one: to rest, or to try again */
    char last_error[256];
};

/* ---- lane.c -------------------------------------------------------------------------------- */

/* Takes the item. Its asker is answered when it cannot be had. */
void lane_admit(struct lane *lane, struct context *context, struct item *item);
/* Reads the transcript; what was queued there goes on. */
void lane_load(struct lane *lane, struct context *context);
/* Begins what can begin. */
void lane_next(struct lane *lane, struct context *context);
/* A request that fails at once, for want of memory, ends the session: it is restored from its
 * transcript. */
void lane_request(struct context *context, const char *to, struct message *message,
                  const struct request_options *options);
/* Appends an entry to the transcript; takes the text. */
void lane_write(struct lane *lane, struct context *context, char *entry, uint64_t tag);
void lane_queued(struct lane *lane, struct context *context, uint64_t item);
void lane_not_queued(struct lane *lane, struct context *context, uint64_t item,
                     const struct refusal *refusal);
void lane_loaded(struct lane *lane, struct context *context, const struct journal_end *end);
void lane_not_loaded(struct lane *lane, struct context *context, const struct refusal *refusal);
/* No turn begins any more; who asked and waits is refused. */
void lane_drain(struct lane *lane, struct context *context, struct request_id request);
/* The asker of a waiting item gave up. */
void lane_abandon(struct lane *lane, struct context *context, struct item *item);
void lane_on_timer(struct lane *lane, struct context *context);
/* Stops for a while, then goes on. */
void lane_pause(struct lane *lane, struct context *context);
/* Tells the agent how the session stands. */
void lane_report(struct lane *lane, struct context *context);
const char *lane_phase_text(const struct lane *lane);
void lane_error(struct lane *lane, const char *code, const char *why, size_t why_size);
void lane_deinit(struct lane *lane);

/* An answer to an ask that waits; nothing when nobody does. Takes the message. */
void item_answer(struct context *context, struct item *item, struct message *answer);
void item_refuse(struct context *context, struct item *item, const struct refusal *refusal);

/* ---- turn.c, turn_model.c, turn_tools.c ------------------------------------------------------ */

/* Takes the item. */
void turn_begin(struct lane *lane, struct context *context, struct item *item);
void turn_opened(struct lane *lane, struct context *context);
void turn_not_opened(struct lane *lane, struct context *context, const struct refusal *refusal);
void turn_delta(struct lane *lane, struct context *context, struct proto_text text);
void turn_model_answer(struct lane *lane, struct context *context,
                       const struct model_answer *answer);
void turn_model_refusal(struct lane *lane, struct context *context,
                        const struct refusal *refusal);
void turn_noted(struct lane *lane, struct context *context);
void turn_tool_done(struct lane *lane, struct context *context, uint64_t call, char *output);
void turn_recorded(struct lane *lane, struct context *context);
void turn_unsaved(struct lane *lane, const char *entry);
void turn_credit(struct lane *lane, struct context *context);
/* Its asker gave up. */
void turn_cancel(struct lane *lane, struct context *context);
void turn_free(struct turn *turn); /* accepts NULL */
