/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/node/agents.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "agent/agent.h"
#include "proto/agent.h"
#include "queenright/process/paths.h"
#include "runtime/link.h"
#include "runtime/runtime.h"
#include "runtime/supervisor.h"

#define PEERS_MAX 256
#define LEAVE_NS 20000000000ull /* for turns at work; then they are cut and shown as such */
#define TAG_FIRST 1000u /* above the node actor's own tags */

static const enum child_restart restarts[] = {
    [CONFIG_RESTART_ALWAYS] = RESTART_ALWAYS,
    [CONFIG_RESTART_ON_FAILURE] = RESTART_ON_FAILURE,
    [CONFIG_RESTART_NEVER] = RESTART_NEVER,
};

struct node_agent {
    char id[64];
    char node[64];
    struct actor_id leaving; /* set from the question to drain to its end */
    uint64_t tag;            /* of that question */
};

struct node_agents {
    char node[64];
    struct actor_id supervisor;
    struct node_agent *items;
    size_t count;
    uint64_t last_tag;
};

struct node_agents *node_agents_new(const char *node, struct actor_id supervisor)
{
    struct node_agents *agents = calloc(1, sizeof(*agents));

    if (agents) {
        snprintf(agents->node, sizeof(agents->node), "%s", node);
        agents->supervisor = supervisor;
        agents->last_tag = TAG_FIRST;
    }
    return agents;
}

void node_agents_free(struct node_agents *agents)
{
    if (agents)
        free(agents->items);
    free(agents);
}

static bool lives_here(const struct node_agents *agents, const struct node_agent *agent)
{
    return strcmp(agent->node, agents->node) == 0;
}

static struct node_agent *find(struct node_agents *agents, const char *id)
{
    for (size_t i = 0; i < agents->count; i++)
        if (strcmp(agents->items[i].id, id) == 0)
            return &agents->items[i];
    return NULL;
}

static void forget(struct node_agents *agents, struct node_agent *agent)
{
    *agent = agents->items[--agents->count];
}

void node_agents_drain(struct context *context, struct actor_id agent, uint64_t limit_ns,
                       uint64_t tag)
{
    struct agent_drain drain = {0};
    struct request_options options = {.deadline_ns = context_now_ns(context) + limit_ns,
                                      .tag = tag};

    context_request(context, agent, actor_pack(agent_drain, &drain), &options);
}

unsigned node_agents_leave(struct node_agents *agents, struct context *context,
                           const struct config *next)
{
    unsigned leaving = 0;

    for (size_t i = agents->count; i-- > 0;) {
        struct node_agent *agent = &agents->items[i];
        const struct config_agent *wanted = config_agent(next, agent->id);

        if (wanted && strcmp(wanted->node, agent->node) == 0)
            continue;
        if (!lives_here(agents, agent)) {
            runtime_unregister(context_runtime(context), agent->id);
            forget(agents, agent);
            continue;
        }
        agent->leaving = context_lookup(context, agent->id);
        if (!actor_id_is_set(agent->leaving)) {
            forget(agents, agent);
            continue;
        }
        agent->tag = ++agents->last_tag;
        context_monitor(context, agent->leaving);
        node_agents_drain(context, agent->leaving, LEAVE_NS, agent->tag);
        leaving++;
    }
    return leaving;
}

void node_agents_drained(struct node_agents *agents, struct context *context, uint64_t tag)
{
    for (size_t i = 0; i < agents->count; i++)
        if (tag > TAG_FIRST && agents->items[i].tag == tag)
            context_supervisor_remove(context, agents->supervisor, agents->items[i].id);
}

bool node_agents_left(struct node_agents *agents, struct actor_id who)
{
    for (size_t i = 0; i < agents->count; i++)
        if (actor_id_equal(agents->items[i].leaving, who)) {
            forget(agents, &agents->items[i]);
            return true;
        }
    return false;
}

/* Names of all agents but one. */
static size_t peers_of(const struct config *config, const char *id, const char **ret_peers,
                       size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < config->agent_count && n < max; i++)
        if (strcmp(config->agents[i].id, id) != 0)
            ret_peers[n++] = config->agents[i].id;
    return n;
}

static int add_local(struct node_agents *agents, struct context *context,
                     const struct config *config, const struct config_agent *wanted)
{
    const char *peers[PEERS_MAX];
    struct agent_config settings = {
        .id = wanted->id,
        .node = wanted->node,
        .instructions = wanted->instructions,
        .models = wanted->models,
        .tools = wanted->tools,
        .peers = peers,
        .peer_count = peers_of(config, wanted->id, peers, PEERS_MAX),
        .max_tool_rounds = wanted->max_tool_rounds,
        .max_ask_depth = wanted->max_ask_depth,
        .max_queued = wanted->max_queued,
        .history_turns = wanted->history_turns,
        .timeout_ms = wanted->timeout_ms,
    };
    struct child_spec child = {
        .name = wanted->id,
        .ops = &agent_actor_ops,
        .config = agent_config_copy(&settings),
        .free_config = agent_config_free,
        .restart = restarts[wanted->restart],
    };

    if (!child.config)
        return -ENOMEM;
    return context_supervisor_add(context, agents->supervisor, &child);
}

static int add(struct node_agents *agents, struct context *context, const struct config *config,
               const struct config_agent *wanted)
{
    struct node_agent *items = realloc(agents->items, (agents->count + 1) * sizeof(*items)), *agent;
    char peer[PATHS_PEER_MAX];
    int rc;

    if (!items)
        return -ENOMEM;
    agents->items = items;
    agent = &items[agents->count];
    *agent = (struct node_agent){0};
    snprintf(agent->id, sizeof(agent->id), "%s", wanted->id);
    snprintf(agent->node, sizeof(agent->node), "%s", wanted->node);
    if (lives_here(agents, agent))
        rc = add_local(agents, context, config, wanted);
    else
        rc = runtime_register(context_runtime(context), wanted->id,
                              context_remote(context, paths_peer(config->swarm, wanted->node, peer),
                                             wanted->id));
    if (rc < 0)
        return rc;
    agents->count++;
    return 0;
}

/* What agent_reconfigure carries: the merged entry and the names of the others. */
static char *settings_json(const struct config *config, const struct config_agent *agent)
{
    const char *peers[PEERS_MAX];
    size_t n = peers_of(config, agent->id, peers, PEERS_MAX);
    char *merged = config_agent_json(agent), *text = NULL;
    json_t *object = merged ? json_loads(merged, 0, NULL) : NULL, *names = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(names, json_string(peers[i]));
    if (object && json_object_set(object, "peers", names) == 0)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(names);
    json_decref(object);
    free(merged);
    return text;
}

static int change(struct context *context, const struct config *before, const struct config *next,
                  const char *id)
{
    char *old = settings_json(before, config_agent(before, id));
    char *new = settings_json(next, config_agent(next, id));
    struct request_options options = {0};
    int rc = old && new ? 0 : -ENOMEM;

    if (rc == 0 && strcmp(old, new) != 0) {
        struct agent_reconfigure message = {.config = proto_text(new)};

        context_request(context, context_lookup(context, id),
                        actor_pack(agent_reconfigure, &message), &options);
    }
    free(old);
    free(new);
    return rc;
}

int node_agents_enter(struct node_agents *agents, struct context *context,
                      const struct config *before, const struct config *next)
{
    int result = 0;

    for (size_t i = 0; i < next->agent_count; i++) {
        const struct config_agent *wanted = &next->agents[i];
        const struct config_agent *old = before ? config_agent(before, wanted->id) : NULL;
        struct node_agent *agent = find(agents, wanted->id);
        int rc = 0;

        if (!agent)
            rc = add(agents, context, next, wanted);
        else if (old && lives_here(agents, agent))
            rc = change(context, before, next, wanted->id);
        if (rc < 0) {
            fprintf(stderr, "node %s: agent %s: %s\n", agents->node, wanted->id, strerror(-rc));
            result = rc;
        }
    }
    return result;
}
