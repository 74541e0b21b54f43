/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/node/agents.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1 /* what could not be added is not there, and we go on */
#include <uthash.h>

#include "actors/handler.h"
#include "agent/agent.h"
#include "proto/agent.h"
#include "queenright/process/paths.h"
#include "runtime/link.h"
#include "runtime/runtime.h"
#include "runtime/supervisor.h"

#define NAMES_MAX 256 /* agents that the others know by name; more would not fit in a prompt */
#define BATCH_MAX 256
#define LEAVE_NS 20000000000ull /* for turns at work; then they are cut and shown as such */
#define TAG_FIRST 1000u /* above the node actor's own tags */

static const enum child_restart restarts[] = {
    [CONFIG_RESTART_ALWAYS] = RESTART_ALWAYS,
    [CONFIG_RESTART_ON_FAILURE] = RESTART_ON_FAILURE,
    [CONFIG_RESTART_NEVER] = RESTART_NEVER,
};

struct node_agent {
    UT_hash_handle hh;
    char id[64];
    char node[64];
    struct actor_id leaving; /* set from the question to drain to its end */
    uint64_t tag;            /* of that question */
};

struct node_agents {
    char node[64];
    struct actor_id supervisor;
    struct node_agent *table; /* by id */
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

static struct node_agent *find(const struct node_agents *agents, const char *id)
{
    struct node_agent *agent;

    HASH_FIND_STR(agents->table, id, agent);
    return agent;
}

static void forget(struct node_agents *agents, struct node_agent *agent)
{
    HASH_DEL(agents->table, agent);
    free(agent);
}

void node_agents_free(struct node_agents *agents)
{
    struct node_agent *agent, *next;

    if (agents)
        HASH_ITER(hh, agents->table, agent, next)
            forget(agents, agent);
    free(agents);
}

static bool lives_here(const struct node_agents *agents, const struct node_agent *agent)
{
    return strcmp(agent->node, agents->node) == 0;
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
    struct node_agent *agent, *after;
    unsigned leaving = 0;

    HASH_ITER(hh, agents->table, agent, after) {
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
    for (struct node_agent *agent = agents->table; agent; agent = agent->hh.next)
        if (tag > TAG_FIRST && agent->tag == tag)
            context_supervisor_remove(context, agents->supervisor, agent->id);
}

bool node_agents_left(struct node_agents *agents, struct actor_id who)
{
    for (struct node_agent *agent = agents->table; agent; agent = agent->hh.next)
        if (actor_id_equal(agent->leaving, who)) {
            forget(agents, agent);
            return true;
        }
    return false;
}

/* The names that every agent is given; NULL without memory. */
static struct agent_names *names_of(const struct config *config)
{
    const char *names[NAMES_MAX];
    size_t count = 0;

    for (; count < config->agent_count && count < NAMES_MAX; count++)
        names[count] = config->agents[count].id;
    return agent_names_new(names, count);
}

/* What a step 2 works with. */
struct entering {
    struct node_agents *agents;
    struct context *context;
    struct agent_names *names;
    bool renamed; /* the names are not what they were */
    struct child_spec batch[BATCH_MAX]; /* new agents of this node */
    size_t count;
};

/* Gives the batch to the supervisor. */
static int start_batch(struct entering *step)
{
    int rc = step->count == 0 ? 0
                              : context_supervisor_add(step->context, step->agents->supervisor,
                                                       step->batch, step->count);

    for (size_t i = 0; rc < 0 && i < step->count; i++)
        forget(step->agents, find(step->agents, step->batch[i].name));
    step->count = 0;
    return rc;
}

static int add_local(struct entering *step, const struct config_agent *wanted)
{
    const struct agent_config settings = {
        .id = wanted->id,
        .node = wanted->node,
        .instructions = wanted->instructions,
        .models = wanted->models,
        .tools = wanted->tools,
        .peers = step->names,
        .max_tool_rounds = wanted->max_tool_rounds,
        .max_ask_depth = wanted->max_ask_depth,
        .max_queued = wanted->max_queued,
        .history_turns = wanted->history_turns,
        .timeout_ms = wanted->timeout_ms,
    };
    struct child_spec child = {
        .name = wanted->id,
        .ops = &agent_actor_ops,
        .config = agent_config_new(&settings),
        .free_config = agent_config_unref,
        .restart = restarts[wanted->restart],
    };

    if (!child.config)
        return -ENOMEM;
    step->batch[step->count++] = child;
    return 0;
}

static int add_remote(struct context *context, const char *swarm, const struct config_agent *wanted)
{
    char peer[PATHS_PEER_MAX];

    return runtime_register(
        context_runtime(context), wanted->id,
        context_remote(context, paths_peer(swarm, wanted->node, peer), wanted->id));
}

static int add(struct entering *step, const char *swarm, const struct config_agent *wanted)
{
    struct node_agents *agents = step->agents;
    struct node_agent *agent = calloc(1, sizeof(*agent));
    int rc;

    if (!agent)
        return -ENOMEM;
    snprintf(agent->id, sizeof(agent->id), "%s", wanted->id);
    snprintf(agent->node, sizeof(agent->node), "%s", wanted->node);
    HASH_ADD_STR(agents->table, id, agent);
    if (!agent->hh.tbl) {
        free(agent);
        return -ENOMEM;
    }
    rc = lives_here(agents, agent) ? add_local(step, wanted)
                                   : add_remote(step->context, swarm, wanted);
    if (rc < 0) {
        HASH_DEL(agents->table, agent);
        free(agent);
        return rc;
    }
    return step->count == BATCH_MAX ? start_batch(step) : 0;
}

static bool same_names(const struct agent_names *a, const struct agent_names *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->names[i], b->names[i]) == 0;
    return same;
}

/* What agent_reconfigure carries: the merged entry and, when they changed, the names. */
static char *settings_json(const char *merged, const struct agent_names *names)
{
    json_t *object = json_loads(merged, 0, NULL), *list = json_array();
    char *text = NULL;

    for (size_t i = 0; i < names->count; i++)
        json_array_append_new(list, json_string(names->names[i]));
    if (json_object_set(object, "peers", list) == 0)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(list);
    json_decref(object);
    return text;
}

/* `names` is NULL when they are what they were. */
static int change(struct context *context, const struct config_agent *before,
                  const struct config_agent *next, const struct agent_names *names)
{
    char *old = config_agent_json(before), *new = config_agent_json(next), *settings = NULL;
    int rc = old && new ? 0 : -ENOMEM;

    if (rc == 0 && (names || strcmp(old, new) != 0)) {
        settings = names ? settings_json(new, names) : strdup(new);
        rc = settings ? 0 : -ENOMEM;
    }
    if (settings) {
        const struct agent_reconfigure message = {.config = proto_text(settings)};
        const struct request_options options = {0};

        context_request(context, context_lookup(context, next->id),
                        actor_pack(agent_reconfigure, &message), &options);
    }
    free(old);
    free(new);
    free(settings);
    return rc;
}

static int enter_all(struct entering *step, const struct config *before,
                     const struct config *next)
{
    int result = 0, rc;

    for (size_t i = 0; i < next->agent_count; i++) {
        const struct config_agent *wanted = &next->agents[i];
        const struct config_agent *old = before ? config_agent(before, wanted->id) : NULL;
        const struct node_agent *agent = find(step->agents, wanted->id);

        rc = 0;
        if (!agent)
            rc = add(step, next->swarm, wanted);
        else if (old && lives_here(step->agents, agent))
            rc = change(step->context, old, wanted, step->renamed ? step->names : NULL);
        if (rc < 0) {
            fprintf(stderr, "node %s: agent %s: %s\n", step->agents->node, wanted->id,
                    strerror(-rc));
            result = rc;
        }
    }
    rc = start_batch(step);
    return rc < 0 ? rc : result;
}

int node_agents_enter(struct node_agents *agents, struct context *context,
                      const struct config *before, const struct config *next)
{
    struct agent_names *names = names_of(next), *old = names_of(before ? before : next);
    struct entering step = {.agents = agents, .context = context, .names = names};
    int rc = -ENOMEM;

    if (names && old) {
        step.renamed = !same_names(names, old);
        rc = enter_all(&step, before, next);
    }
    agent_names_unref(names);
    agent_names_unref(old);
    return rc;
}
