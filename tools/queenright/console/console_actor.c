/* SPDX-License-Identifier: Apache-2.0 */
/* The console actor.
 *
 * Takes: lines (from console_say), answers to its own questions.
 * Sends: token_status to the keeper, swarm_status and swarm_down to the swarm; agent_ask to agents
 * in a practice swarm, agent_info in any other.
 * Owns: what is on the terminal, and in the view who the agents are and where.
 * Rules: (1) it shows only what it was told by message; (2) without a terminal and without practice
 * it asks nothing and costs nothing.
 *
 * Practice talk comes in rounds: all agents are asked at once. Every second pause is longer than
 * an access token lives, so that all of them meet an expired token and wait for one refresh. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/handler.h"
#include "proto/agent.h"
#include "proto/control.h"
#include "proto/system.h"
#include "proto/token.h"
#include "queenright/console/console.h"
#include "queenright/console/view.h"
#include "queenright/process/paths.h"
#include "runtime/link.h"

#define LOOK_NS 500000000ull
#define PAUSE_SHORT_NS 1500000000ull
#define ASK_NS 30000000000ull
#define STATE_NS 5000000000ull
#define PARTS_MAX 4096 /* of one answer; our own agents' answers are short */
#define LINE_TYPE 0xffffff01u /* console_say; never leaves the process */

struct console_state {
    struct console_options options;
    struct console_totals *totals;
    struct console_view *view;
    char swarm[64];
    unsigned open, round;
    unsigned asked; /* agents that have not yet said how they are */
    uint64_t end_ns;
    bool looking, ending;
    bool asking; /* this look also asks the agents */
};

enum {
    TAG_STATUS = 1,
    TAG_DOWN,
    TAG_PROCESSES,
    TAG_STATE,
    TAG_LOOK,
    TAG_ROUND,
    TAG_END,
    TAG_AGENT = 1000
};

static const char *const questions[] = {
    "Say in one sentence what you are good at.",
    "What is the next step for the release?",
    "What would you check first when a login fails?",
    "Give the others one piece of advice.",
    "Ask nova what she thinks of the plan.",
    "Tell axon that the tests are green.",
};

void console_say(struct runtime *runtime, const char *line)
{
    size_t size = strlen(line);
    struct message *message = message_new(LINE_TYPE, size);

    if (!message)
        return;
    memcpy(message->body, line, size);
    message->flags |= MESSAGE_UNTRACED;
    runtime_post(runtime, runtime_lookup(runtime, "console"), message);
}

static int handle_line(void *memory, struct context *context, const void *unused)
{
    struct console_state *state = memory;
    const struct message *message = context_message(context);
    char line[1024];

    (void)unused;
    snprintf(line, sizeof(line), "%.*s", (int)message->size, (const char *)message->body);
    console_view_event(state->view, line);
    console_view_draw(state->view, context_wall_ms(context));
    return 0;
}

static void look(struct console_state *state, struct context *context)
{
    struct token_status question = {0};
    struct message *message = actor_pack(token_status, &question);
    struct request_options options = {
        .deadline_ns = context_now_ns(context) + 5000000000ull, .tag = TAG_STATUS, .credit = 256};

    if (!message)
        return;
    message->flags |= MESSAGE_UNTRACED;
    state->looking = true;
    context_request(context, context_remote(context, "keeper", "token"), message, &options);
}

static void look_at_processes(struct console_state *state, struct context *context)
{
    struct swarm_status question = {0};
    struct message *message = actor_pack(swarm_status, &question);
    struct request_options options = {.tag = TAG_PROCESSES, .credit = 512};

    state->asking = state->options.screen && state->asked == 0;
    if (message)
        context_request(context, context_lookup(context, "swarm"), message, &options);
}

static void start_round(struct console_state *state, struct context *context)
{
    size_t n = sizeof(questions) / sizeof(questions[0]);
    const char *agent;

    for (size_t i = 0; (agent = console_view_agent(state->view, i)); i++) {
        const char *text = questions[(state->round + i) % n];
        struct agent_ask ask = {.text = proto_text(text), .from = proto_text("user")};
        struct request_options options = {
            .deadline_ns = context_now_ns(context) + ASK_NS, .tag = TAG_AGENT + i,
            .credit = PARTS_MAX};
        struct message *message = actor_pack(agent_ask, &ask);

        if (!message)
            continue;
        console_view_ask(state->view, agent, text);
        state->totals->asked++;
        state->open++;
        context_request(context, context_lookup(context, agent), message, &options);
    }
    state->round++;
}

static int agent_ended(struct console_state *state, struct context *context)
{
    uint64_t pause = PAUSE_SHORT_NS;

    if (--state->open > 0 || state->ending)
        return 0;
    if (state->round % 2 == 0)
        pause += state->options.access_life_ms * 1000000;
    context_timer(context, pause, TAG_ROUND);
    return 0;
}

static const char *agent_of_tag(const struct console_state *state, uint64_t tag)
{
    return tag >= TAG_AGENT ? console_view_agent(state->view, tag - TAG_AGENT) : NULL;
}

static int on_agent_delta(struct console_state *state, struct context *context,
                          const struct agent_delta *message)
{
    const char *agent = agent_of_tag(state, context_tag(context));

    if (agent)
        console_view_delta(state->view, agent, message->text);
    console_view_draw(state->view, context_wall_ms(context));
    return 0;
}

static int on_agent_answer(struct console_state *state, struct context *context,
                           const struct agent_answer *message)
{
    const char *agent = agent_of_tag(state, context_tag(context));

    if (!agent)
        return 0;
    state->totals->answered++;
    console_view_answer(state->view, agent, message->text, message->note);
    console_view_draw(state->view, context_wall_ms(context));
    return agent_ended(state, context);
}

static int on_refusal(struct console_state *state, struct context *context,
                      const struct refusal *message)
{
    const char *agent = agent_of_tag(state, context_tag(context));

    if (context_tag(context) == TAG_STATUS)
        state->looking = false;
    if (context_tag(context) == TAG_STATE)
        state->asked--;
    if (!agent)
        return 0;
    state->totals->failed++;
    console_view_failure(state->view, agent, message->why);
    return agent_ended(state, context);
}

static int on_token_profile(struct console_state *state, struct context *context,
                            const struct token_profile *message)
{
    struct console_rotation rotation;

    (void)context;
    if (console_view_login(state->view, message, &rotation)) {
        state->totals->rotations += rotation.steps;
        if (rotation.waited > state->totals->waited_most)
            state->totals->waited_most = rotation.waited;
    }
    return 0;
}

static int on_swarm_process(struct console_state *state, struct context *context,
                            const struct swarm_process *message)
{
    char name[64], text[32];

    (void)context;
    proto_text_copy(message->name, name, sizeof(name));
    proto_text_copy(message->state, text, sizeof(text));
    console_view_process(state->view, name, text, (int)message->pid);
    return 0;
}

static void ask_state(struct console_state *state, struct context *context, const char *agent,
                      const char *node)
{
    char peer[PATHS_PEER_MAX];
    struct agent_info question = {0};
    struct request_options options = {
        .deadline_ns = context_now_ns(context) + STATE_NS, .tag = TAG_STATE};
    struct message *message = actor_pack(agent_info, &question);

    if (!message)
        return;
    message->flags |= MESSAGE_UNTRACED;
    state->asked++;
    context_request(context, context_remote(context, paths_peer(state->swarm, node, peer), agent),
                    message, &options);
}

/* A practice swarm's agents are known by what this console asks them. */
static int on_swarm_agent(struct console_state *state, struct context *context,
                          const struct swarm_agent *message)
{
    char agent[64], node[64], models[512];

    if (state->options.practice)
        return 0;
    proto_text_copy(message->agent, agent, sizeof(agent));
    proto_text_copy(message->node, node, sizeof(node));
    proto_text_copy(message->models, models, sizeof(models));
    console_view_place(state->view, agent, node, models);
    if (state->asking)
        ask_state(state, context, agent, node);
    return 0;
}

static int on_agent_state(struct console_state *state, struct context *context,
                          const struct agent_state *message)
{
    char agent[64], text[128], error[256];

    (void)context;
    state->asked--;
    proto_text_copy(message->agent, agent, sizeof(agent));
    proto_text_copy(message->state, text, sizeof(text));
    proto_text_copy(message->last_error, error, sizeof(error));
    console_view_state(state->view, agent, text, message->turns, error);
    return 0;
}

static int on_done(struct console_state *state, struct context *context,
                   const struct done *message)
{
    (void)message;
    if (context_tag(context) == TAG_STATUS) {
        state->looking = false;
        console_view_draw(state->view, context_wall_ms(context));
    }
    if (context_tag(context) == TAG_PROCESSES && !state->options.practice)
        console_view_placed(state->view);
    return 0;
}

static int console_on_status(void *memory, struct context *context, uint64_t tag,
                             enum runtime_status status)
{
    struct console_state *state = memory;
    const char *agent = agent_of_tag(state, tag);

    if (tag == TAG_STATUS)
        state->looking = false;
    if (tag == TAG_STATE)
        state->asked--;
    if (!agent)
        return 0;
    state->totals->failed++;
    console_view_failure(state->view, agent, proto_text(runtime_status_name(status)));
    return agent_ended(state, context);
}

static int end_swarm(struct console_state *state, struct context *context)
{
    struct swarm_down down = {.drain_ms = 5000};
    struct request_options options = {.tag = TAG_DOWN};

    state->ending = true;
    context_request(context, context_lookup(context, "swarm"), actor_pack(swarm_down, &down),
                    &options);
    return 0;
}

static int console_on_timer(void *memory, struct context *context, uint64_t tag)
{
    struct console_state *state = memory;

    switch (tag) {
    case TAG_LOOK:
        if (!state->looking && !state->ending) {
            look(state, context);
            look_at_processes(state, context);
        }
        console_view_draw(state->view, context_wall_ms(context));
        context_timer(context, LOOK_NS, TAG_LOOK);
        break;
    case TAG_ROUND:
        if (!state->ending)
            start_round(state, context);
        break;
    case TAG_END:
        return end_swarm(state, context);
    }
    return 0;
}

static int console_start(void *memory, struct context *context, const void *argument)
{
    const struct console_config *config = argument;
    struct console_state *state = memory;

    state->options = config->options;
    state->totals = config->totals;
    snprintf(state->swarm, sizeof(state->swarm), "%s", config->options.config->swarm);
    state->view = console_view_new(&state->options);
    if (!state->view)
        return -ENOMEM;
    if (state->options.screen || state->options.practice)
        context_timer(context, LOOK_NS, TAG_LOOK);
    if (state->options.practice)
        context_timer(context, LOOK_NS, TAG_ROUND);
    if (state->options.for_ms > 0)
        context_timer(context, state->options.for_ms * 1000000, TAG_END);
    return 0;
}

static void console_stop(void *memory, struct context *context)
{
    struct console_state *state = memory;

    (void)context;
    console_view_free(state->view);
}

ACTOR_HANDLER(agent_delta)
ACTOR_HANDLER(agent_answer)
ACTOR_HANDLER(agent_state)
ACTOR_HANDLER(token_profile)
ACTOR_HANDLER(swarm_process)
ACTOR_HANDLER(swarm_agent)
ACTOR_HANDLER(refusal)
ACTOR_HANDLER(done)

static const struct actor_handler handlers[] = {
    {LINE_TYPE, FROM_LOCAL, "line", NULL, handle_line},
    ACTOR_ROW(agent_delta, FROM_ANSWER),
    ACTOR_ROW(agent_answer, FROM_ANSWER),
    ACTOR_ROW(agent_state, FROM_ANSWER),
    ACTOR_ROW(token_profile, FROM_ANSWER),
    ACTOR_ROW(swarm_process, FROM_ANSWER),
    ACTOR_ROW(swarm_agent, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops console_actor_ops = {
    .name = "console",
    .state_size = sizeof(struct console_state),
    .decode = proto_unpack,
    .handlers = handlers,
    .start = console_start,
    .stop = console_stop,
    .on_status = console_on_status,
    .on_timer = console_on_timer,
};
