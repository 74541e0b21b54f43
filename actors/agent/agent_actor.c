/* SPDX-License-Identifier: Apache-2.0 */
/* An agent: a name, settings, and its sessions.
 *
 * Takes   agent_ask    -> agent_delta parts, agent_answer or refusal; forwarded to the session
 *         agent_tell   -> done or refusal; forwarded to the session
 *         agent_info   -> agent_state
 *         agent_reconfigure -> done or refusal; from each session's next turn on
 *         agent_drain  -> done when no session has a turn at work; asks are refused from then on
 *         session_state     from its sessions
 * Sends   journal_list to "journal", once: which sessions there are on disk
 * Owns    the session actors "AGENT/KEY", spawned when first spoken to, and at the start for those
 *         that have a transcript, for a queued text may wait there
 * Rules   Does no work itself, so it always answers at once. A session that fails is spawned again
 *         with growing delay, or as soon as somebody speaks to it; who waited was told by the
 *         runtime, and what was queued is in its transcript. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "agent/agent.h"
#include "proto/agent.h"
#include "proto/cursor.h"
#include "proto/system.h"
#include "session/session.h"

#define MAIN_SESSION "main"
#define NAME_MAX_BYTES 64 /* of an actor, with NUL */
enum { TAG_LIST, TAG_DRAIN };
#define TIMER_LIST 0 /* the others are numbers of sessions, from 1 */
#define SECOND_NS 1000000000ull
#define RESPAWN_MAX_NS (60 * SECOND_NS)

struct session {
    struct session *next;
    struct actor_id id; /* {0} while it is down */
    uint64_t number;    /* tag of its timer */
    unsigned failures;  /* in a row */
    uint64_t turns, waiting;
    char key[SESSION_KEY_MAX];
    char state[64];
    char last_error[256];
};

struct agent {
    const struct agent_config *config;
    struct session *sessions;
    size_t count;
    uint64_t last_number;
    uint64_t turns; /* of sessions that have ended */
    unsigned list_failures;
    bool draining;
    size_t drains;           /* sessions that have not answered agent_drain yet */
    struct request_id drain; /* who waits for them */
    char last_error[256];
};

static struct session *find_key(struct agent *agent, const char *key)
{
    struct session *session = agent->sessions;

    while (session && strcmp(session->key, key) != 0)
        session = session->next;
    return session;
}

static struct session *find_id(struct agent *agent, struct actor_id id)
{
    struct session *session = agent->sessions;

    while (session && !actor_id_equal(session->id, id))
        session = session->next;
    return session;
}

/* "atlas/main"; a long one keeps its beginning and gets a number that tells it from others. */
static void actor_name(const struct agent *agent, const struct session *session,
                       char ret_name[NAME_MAX_BYTES])
{
    int length = snprintf(ret_name, NAME_MAX_BYTES, "%s/%s", agent->config->id, session->key);

    if (length < NAME_MAX_BYTES)
        return;
    char number[24];
    int digits = snprintf(number, sizeof(number), "~%" PRIu64, session->number);
    size_t at = (size_t)(NAME_MAX_BYTES - 1 - digits);
    while (at > 0 && ((unsigned char)ret_name[at] & 0xc0) == 0x80)
        at--; /* not inside a letter */
    snprintf(ret_name + at, NAME_MAX_BYTES - at, "%s", number);
}

static int spawn(struct agent *agent, struct context *context, struct session *session)
{
    char name[NAME_MAX_BYTES];
    const struct session_config config = {.agent = agent->config,
                                          .key = session->key,
                                          .parent = context_self(context)};
    const struct spawn_options options = {.name = name};

    actor_name(agent, session, name);
    int r = context_spawn(context, &session_actor_ops, &config, &options, &session->id);
    if (r == 0)
        context_monitor(context, session->id);
    return r;
}

/* The session of this key, running. 0, or what is against it. */
static int session_of(struct agent *agent, struct context *context, const char *key,
                      struct session **ret_session)
{
    struct session *session = find_key(agent, key);
    char file[SESSION_FILE_MAX];
    int r = session_file(agent->config->id, key, file, sizeof(file));

    if (r < 0 || (session && actor_id_is_set(session->id))) {
        *ret_session = session;
        return r;
    }
    if (!session) {
        session = calloc(1, sizeof(*session));
        if (!session)
            return -ENOMEM;
        snprintf(session->key, sizeof(session->key), "%s", key);
        snprintf(session->state, sizeof(session->state), "idle");
        session->number = ++agent->last_number;
        session->next = agent->sessions;
        agent->sessions = session;
        agent->count++;
    }
    *ret_session = session;
    return spawn(agent, context, session);
}

static int refuse_session(struct context *context, int error)
{
    char why[128];

    if (error == -EINVAL || error == -ENAMETOOLONG)
        return actor_reply_refusal(context, "bad_request",
                                   "a session key is 1 to 128 printable characters", "");
    if (error == -EEXIST) /* its last life has not quite ended */
        return context_reply(context, actor_refusal("busy", "the session is just being restarted",
                                                    "try again", 200, 0));
    snprintf(why, sizeof(why), "the session cannot be started: %s", strerror(-error));
    return actor_reply_refusal(context, "internal", why, "");
}

static int forward(struct agent *agent, struct context *context, struct proto_text key)
{
    char copy[SESSION_KEY_MAX] = MAIN_SESSION;
    struct session *session = NULL;
    int r = 0;

    if (key.size > 0 && !proto_text_copy(key, copy, sizeof(copy)))
        r = -ENAMETOOLONG;
    if (r == 0)
        r = session_of(agent, context, copy, &session);
    if (r < 0)
        return refuse_session(context, r);
    context_forward(context, session->id); /* a full mailbox has answered it */
    return 0;
}

static int on_agent_ask(struct agent *agent, struct context *context, const struct agent_ask *ask)
{
    if (agent->draining)
        return actor_reply_refusal(context, "unavailable", "the agent is being stopped",
                                   "try again soon");
    return forward(agent, context, ask->session);
}

static int on_agent_tell(struct agent *agent, struct context *context,
                         const struct agent_tell *tell)
{
    return forward(agent, context, tell->session);
}

/* ---- state --------------------------------------------------------------------------------- */

static void copy_cut(struct proto_text text, char *ret_text, size_t size)
{
    if (text.size >= size)
        text.size = (uint32_t)size - 1;
    while (!proto_utf8_valid(text))
        text.size--;
    proto_text_copy(text, ret_text, size);
}

static int on_session_state(struct agent *agent, struct context *context,
                            const struct session_state *state)
{
    char key[SESSION_KEY_MAX];
    struct session *session;

    (void)context;
    if (!proto_text_copy(state->session, key, sizeof(key)) || !(session = find_key(agent, key)))
        return 0;
    if (state->turns > session->turns)
        session->failures = 0;
    session->turns = state->turns;
    session->waiting = state->waiting;
    copy_cut(state->state, session->state, sizeof(session->state));
    copy_cut(state->last_error, session->last_error, sizeof(session->last_error));
    return 0;
}

static bool is_busy(const struct session *session)
{
    return strcmp(session->state, "idle") != 0;
}

/* Adds a session to what is told of its agent. */
static void add_up(struct agent_state *sum, const struct session *session)
{
    sum->sessions++;
    sum->turns += session->turns;
    sum->waiting += session->waiting;
    if (is_busy(session))
        sum->state = proto_text(session->state);
    if (session->last_error[0])
        sum->last_error = proto_text(session->last_error);
}

static int on_agent_info(struct agent *agent, struct context *context,
                         const struct agent_info *info)
{
    struct agent_state sum = {
        .agent = proto_text(agent->config->id),
        .node = proto_text(agent->config->node),
        .models = proto_text(agent->config->models),
        .turns = agent->turns,
        .state = proto_text("idle"),
        .last_error = proto_text(agent->last_error),
    };

    for (const struct session *session = agent->sessions; session; session = session->next)
        if (info->session.size == 0 || proto_text_equal(info->session, session->key))
            add_up(&sum, session);
    struct message *answer = actor_pack(agent_state, &sum);
    return answer ? context_reply(context, answer)
                  : context_reply_status(context, STATUS_NO_MEMORY, 0);
}

static int on_agent_reconfigure(struct agent *agent, struct context *context,
                                const struct agent_reconfigure *message)
{
    struct agent_config *config =
        agent_config_merge(agent->config, message->config.data, message->config.size);

    if (!config)
        return actor_reply_refusal(context, "bad_config",
                                   "the agent's settings are no JSON object", "");
    agent_config_unref(agent->config);
    agent->config = config;
    for (struct session *session = agent->sessions; session; session = session->next)
        if (actor_id_is_set(session->id))
            context_send(context, session->id, actor_pack(agent_reconfigure, message));
    return actor_reply_done(context, 1);
}

/* ---- draining ------------------------------------------------------------------------------ */

static int drained(struct agent *agent, struct context *context)
{
    const struct done done = {0};
    struct request_id drain = agent->drain;

    if (agent->drains > 0 || drain.n == 0)
        return 0;
    agent->drain = (struct request_id){0};
    context_answer(context, drain, actor_pack(done, &done)); /* or who waited has gone */
    return 0;
}

static int on_agent_drain(struct agent *agent, struct context *context,
                          const struct agent_drain *message)
{
    const struct request_options options = {
        .tag = TAG_DRAIN, .deadline_ns = context_message(context)->deadline_ns};

    if (agent->drain.n)
        return actor_reply_refusal(context, "busy", "the agent is being drained already", "");
    agent->draining = true;
    agent->drain = context_defer(context);
    for (struct session *session = agent->sessions; session; session = session->next) {
        if (!actor_id_is_set(session->id))
            continue;
        agent->drains++;
        context_request(context, session->id, actor_pack(agent_drain, message), &options);
    }
    return drained(agent, context);
}

static int on_done(struct agent *agent, struct context *context, const struct done *done)
{
    (void)done;
    agent->drains--;
    return drained(agent, context);
}

/* ---- restoring ----------------------------------------------------------------------------- */

static int on_journal_names(struct agent *agent, struct context *context,
                            const struct journal_names *names)
{
    const char *at = names->names.data, *end = at + names->names.size;
    char key[SESSION_KEY_MAX];
    struct session *session;

    agent->last_error[0] = 0;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline ? newline : end) - at);

        if (session_key_of_file(at, size, key, sizeof(key)) == 0)
            session_of(agent, context, key, &session);
        at += size + 1;
    }
    return 0;
}

/* Asks which sessions there are on disk. */
static int list_sessions(struct agent *agent, struct context *context)
{
    char folder[SESSION_FILE_MAX];
    int r = session_folder(agent->config->id, folder, sizeof(folder));
    const struct journal_list list = {.folder = proto_text(folder)};
    const struct request_options options = {.tag = TAG_LIST};

    if (r < 0)
        return r;
    return context_request(context, context_lookup(context, "journal"),
                           actor_pack(journal_list, &list), &options);
}

/* A journal that is busy, not there yet, or has a bad disk: what is queued there must not be
 * forgotten for that. */
static void list_later(struct agent *agent, struct context *context)
{
    uint64_t delay_ns = SECOND_NS << (agent->list_failures < 5 ? agent->list_failures : 5);

    agent->list_failures++;
    context_timer(context, delay_ns + context_random(context) % SECOND_NS, TIMER_LIST);
}

static int on_refusal(struct agent *agent, struct context *context, const struct refusal *refusal)
{
    copy_cut(refusal->why, agent->last_error, sizeof(agent->last_error));
    list_later(agent, context);
    return 0;
}

static int on_status(void *state, struct context *context, uint64_t tag,
                     enum runtime_status status)
{
    struct agent *agent = state;

    if (tag == TAG_DRAIN) {
        agent->drains--;
        return drained(agent, context);
    }
    snprintf(agent->last_error, sizeof(agent->last_error), "the journal: %s",
             runtime_status_name(status));
    list_later(agent, context);
    return 0;
}

static int on_down(void *state, struct context *context, struct actor_id who,
                   enum exit_reason reason, int error)
{
    struct agent *agent = state;
    struct session *session = find_id(agent, who);

    if (!session)
        return 0;
    session->id = (struct actor_id){0};
    agent->turns += session->turns;
    session->turns = session->waiting = 0;
    if (reason != EXIT_FAILED)
        return 0;
    uint64_t delay_ns = SECOND_NS << (session->failures < 6 ? session->failures : 6);
    session->failures++;
    snprintf(session->state, sizeof(session->state), "failed");
    snprintf(session->last_error, sizeof(session->last_error), "the session failed: %s",
             strerror(-error));
    context_timer(context, delay_ns < RESPAWN_MAX_NS ? delay_ns : RESPAWN_MAX_NS, session->number);
    return 0;
}

static int on_timer(void *state, struct context *context, uint64_t tag)
{
    struct agent *agent = state;

    if (tag == TIMER_LIST)
        return list_sessions(agent, context);
    for (struct session *session = agent->sessions; session; session = session->next)
        if (session->number == tag && !actor_id_is_set(session->id))
            spawn(agent, context, session);
    return 0;
}

/* ---- start and stop ------------------------------------------------------------------------ */

static int start(void *state, struct context *context, const void *config)
{
    struct agent *agent = state;

    agent->config = agent_config_ref(config);
    return list_sessions(agent, context);
}

static void stop(void *state, struct context *context)
{
    struct agent *agent = state;
    struct session *session;

    while ((session = agent->sessions)) {
        agent->sessions = session->next;
        if (actor_id_is_set(session->id))
            context_stop_other(context, session->id);
        free(session);
    }
    agent_config_unref(agent->config);
}

static size_t describe(const void *state, char *ret_text, size_t size)
{
    const struct agent *agent = state;
    unsigned busy = 0;

    for (const struct session *session = agent->sessions; session; session = session->next)
        busy += is_busy(session);
    int length = snprintf(ret_text, size, "%zu sessions, %u busy", agent->count, busy);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

ACTOR_HANDLER(agent_ask)
ACTOR_HANDLER(agent_tell)
ACTOR_HANDLER(agent_info)
ACTOR_HANDLER(agent_reconfigure)
ACTOR_HANDLER(agent_drain)
ACTOR_HANDLER(done)
ACTOR_HANDLER(session_state)
ACTOR_HANDLER(journal_names)
ACTOR_HANDLER(refusal)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(agent_ask, FROM_ANYONE),
    ACTOR_ROW(agent_tell, FROM_ANYONE),
    ACTOR_ROW(agent_info, FROM_ANYONE),
    ACTOR_ROW(agent_reconfigure, FROM_LOCAL | FROM_NODE),
    ACTOR_ROW(agent_drain, FROM_LOCAL | FROM_NODE),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW(session_state, FROM_LOCAL),
    ACTOR_ROW(journal_names, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops agent_actor_ops = {
    .name = "agent",
    .state_size = sizeof(struct agent),
    .mailbox_limit = 512,
    .fair_senders = true,
    .decode = proto_unpack,
    .handlers = handlers,
    .start = start,
    .stop = stop,
    .on_status = on_status,
    .on_timer = on_timer,
    .on_down = on_down,
    .describe = describe,
};
