/* SPDX-License-Identifier: Apache-2.0 */
/* The node actor.
 *
 * Takes: swarm_apply (make the node as the accepted config says), swarm_down.
 * Sends: model_reconfigure and agent_reconfigure; agent_drain to agents that leave.
 * Owns: which agents live here, and the second names of those that live elsewhere.
 * Rules: (1) every agent of the swarm looks up by its id on every node; (2) an unchanged agent is
 * not touched; (3) an agent that left has ended before its step is answered, so the node it moves
 * to never runs it beside us; (4) no `up`, no node: when that link goes, this process ends. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/handler.h"
#include "proto/control.h"
#include "proto/model.h"
#include "proto/system.h"
#include "queenright/node/agents.h"
#include "queenright/node/node.h"
#include "queenright/process/paths.h"
#include "runtime/link.h"

#define ALONE_NS 15000000000ull /* without `up` from the start */
#define LAST_WORDS_NS 20000000ull
#define ASK_NS 5000000000ull

struct node_state {
    char name[64];
    char up_peer[PATHS_PEER_MAX];
    struct config *config;
    struct node_agents *agents;
    struct request_id applying; /* step 1, until the agents that left have ended */
    unsigned leaving;
    struct request_id down;
    unsigned draining; /* agents that finish their turns before the end */
    bool ending;
    bool met_up; /* our link to `up` has been there */
};

enum { TAG_IGNORED = 1, TAG_DRAIN, TAG_END, TAG_ALONE };

static void ask(struct context *context, struct actor_id to, struct message *message, uint64_t tag)
{
    struct request_options options = {.deadline_ns = context_now_ns(context) + ASK_NS, .tag = tag};

    if (message)
        context_request(context, to, message, &options);
}

static void configure_model(struct node_state *state, struct context *context)
{
    char *models = config_models_json(state->config), *auth = config_auth_json(state->config);

    if (models && auth) {
        struct model_reconfigure message = {.models = proto_text(models),
                                            .auth = proto_text(auth)};

        ask(context, context_lookup(context, "model"), actor_pack(model_reconfigure, &message),
            TAG_IGNORED);
    }
    free(models);
    free(auth);
}

/* ---- a reload, in two steps ------------------------------------------------------------------ */

static struct config *load_accepted(struct proto_text path, char *ret_path, char *ret_why,
                                    size_t why_size)
{
    struct config_errors errors;
    struct config *config = NULL;

    if (!proto_text_copy(path, ret_path, PATH_MAX)) {
        snprintf(ret_why, why_size, "the path is too long");
        return NULL;
    }
    if (config_load(ret_path, &config, &errors) < 0) {
        char *text = config_errors_text(&errors);

        snprintf(ret_why, why_size, "%s", text ? text : "no memory");
        free(text);
        config = NULL;
    }
    config_errors_deinit(&errors);
    return config;
}

static int apply_leave(struct node_state *state, struct context *context,
                       const struct config *next)
{
    state->leaving = node_agents_leave(state->agents, context, next);
    if (state->leaving == 0)
        return actor_reply_done(context, 0);
    state->applying = context_defer(context);
    return 0;
}

static int apply_enter(struct node_state *state, struct context *context, struct config *next)
{
    int failed = node_agents_enter(state->agents, context, state->config, next);

    config_free(state->config);
    state->config = next;
    configure_model(state, context);
    if (failed < 0)
        return actor_reply_refusal(context, "internal", strerror(-failed),
                                   "see the node's log for the agent that did not start");
    return actor_reply_done(context, 0);
}

static int on_swarm_apply(struct node_state *state, struct context *context,
                          const struct swarm_apply *message)
{
    char path[PATH_MAX], why[1024];
    struct config *next;
    int rc;

    if (state->ending || state->applying.n)
        return actor_reply_refusal(context, "busy", "this node is stopping or applying already",
                                   "try again");
    next = load_accepted(message->config, path, why, sizeof(why));
    if (!next)
        return actor_reply_refusal(context, "bad_config", why, "");
    if (message->step == 2)
        return apply_enter(state, context, next);
    rc = apply_leave(state, context, next);
    config_free(next);
    return rc;
}

static int node_on_down(void *memory, struct context *context, struct actor_id who,
                        enum exit_reason reason, int error)
{
    struct node_state *state = memory;

    (void)reason;
    (void)error;
    if (!node_agents_left(state->agents, who) || state->leaving == 0)
        return 0;
    if (--state->leaving == 0 && state->applying.n) {
        struct request_id request = state->applying;

        state->applying = (struct request_id){0};
        return context_answer(context, request, actor_pack(done, &((struct done){0})));
    }
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static int drain_finish(struct node_state *state, struct context *context)
{
    if (state->down.n)
        context_answer(context, state->down, actor_pack(done, &((struct done){0})));
    state->down = (struct request_id){0};
    context_timer(context, LAST_WORDS_NS, TAG_END); /* let the answer leave first */
    return 0;
}

static int drained(struct node_state *state, struct context *context)
{
    if (state->draining == 0 || --state->draining > 0)
        return 0;
    return drain_finish(state, context);
}

static int on_swarm_down(struct node_state *state, struct context *context,
                         const struct swarm_down *message)
{
    if (state->ending)
        return actor_reply_done(context, 0);
    state->ending = true;
    state->down = context_defer(context);
    for (size_t i = 0; i < state->config->agent_count; i++) {
        const struct config_agent *agent = &state->config->agents[i];

        if (strcmp(agent->node, state->name) != 0)
            continue;
        state->draining++;
        node_agents_drain(context, context_lookup(context, agent->id),
                          message->drain_ms * 1000000, TAG_DRAIN);
    }
    return state->draining > 0 ? 0 : drain_finish(state, context);
}

static int node_on_timer(void *memory, struct context *context, uint64_t tag)
{
    const struct node_state *state = memory;

    if (tag == TAG_END || (tag == TAG_ALONE && !state->met_up))
        runtime_stop(context_runtime(context));
    return 0;
}

/* One of our questions is over, whatever came of it. */
static int answered(struct node_state *state, struct context *context)
{
    uint64_t tag = context_tag(context);

    if (tag == TAG_DRAIN)
        return drained(state, context);
    node_agents_drained(state->agents, context, tag);
    return 0;
}

static int node_on_status(void *memory, struct context *context, uint64_t tag,
                          enum runtime_status status)
{
    struct node_state *state = memory;

    (void)status;
    if (tag == TAG_DRAIN)
        return drained(state, context);
    node_agents_drained(state->agents, context, tag);
    return 0;
}

static int node_on_link(void *memory, struct context *context, const char *peer, bool up)
{
    struct node_state *state = memory;

    if (strcmp(peer, state->up_peer) != 0)
        return 0;
    state->met_up = true;
    if (!up)
        runtime_stop(context_runtime(context));
    return 0;
}

static int on_done(struct node_state *state, struct context *context, const struct done *message)
{
    (void)message;
    return answered(state, context);
}

static int on_refusal(struct node_state *state, struct context *context,
                      const struct refusal *message)
{
    fprintf(stderr, "node %s: %.*s\n", state->name, (int)message->why.size, message->why.data);
    return answered(state, context);
}

static int node_start(void *memory, struct context *context, const void *argument)
{
    const struct node_options *options = argument;
    struct node_state *state = memory;

    snprintf(state->name, sizeof(state->name), "%s", options->name);
    state->config = options->config;
    paths_peer(state->config->swarm, "up", state->up_peer);
    state->agents = node_agents_new(options->name, options->agents);
    if (!state->agents)
        return -ENOMEM;
    context_watch_links(context);
    context_timer(context, ALONE_NS, TAG_ALONE);
    configure_model(state, context);
    return node_agents_enter(state->agents, context, NULL, state->config);
}

static void node_stop(void *memory, struct context *context)
{
    struct node_state *state = memory;

    (void)context;
    node_agents_free(state->agents);
    config_free(state->config);
}

ACTOR_HANDLER(swarm_apply)
ACTOR_HANDLER(swarm_down)
ACTOR_HANDLER(done)
ACTOR_HANDLER(refusal)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(swarm_apply, FROM_NODE),
    ACTOR_ROW(swarm_down, FROM_NODE),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops node_actor_ops = {
    .name = "node",
    .state_size = sizeof(struct node_state),
    .decode = proto_unpack,
    .handlers = handlers,
    .start = node_start,
    .stop = node_stop,
    .on_status = node_on_status,
    .on_timer = node_on_timer,
    .on_down = node_on_down,
    .on_link = node_on_link,
};
