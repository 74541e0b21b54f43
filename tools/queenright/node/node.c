/* SPDX-License-Identifier: Apache-2.0 */
/* A node process: http, model, token proxy, journal, control; the agents under a supervisor; and
 * the node actor, which makes all of it as the accepted config says. It listens for clients and for
 * the nodes named after it in the config, dials those before it, the keeper, and `up`. */
#include "queenright/node/node.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/control.h"
#include "http/http.h"
#include "model/model.h"
#include "proxy/proxy.h"
#include "queenright/config/config.h"
#include "queenright/version.h"
#include "runtime/link.h"
#include "runtime/runtime.h"
#include "runtime/supervisor.h"
#include "session/journal.h"
#include "token/harden.h"
#include "token/wipe.h"

#define FILES_MAX 65536u

struct node_process {
    const struct command_call *call;
    struct runtime *runtime;
    struct config *config; /* the node actor takes it */
    const char *name;
    const char *config_path;
};

static int load(struct node_process *node)
{
    struct config_errors errors;
    int rc = config_load(node->config_path, &node->config, &errors);

    if (rc < 0) {
        char *text = config_errors_text(&errors);

        fprintf(stderr, "node %s: %s\n", node->name, text ? text : strerror(-rc));
        free(text);
    }
    config_errors_deinit(&errors);
    return rc;
}

/* What every agent needs, restarted when it fails. */
static int spawn_services(struct node_process *node)
{
    char root[PATH_MAX], *models = config_models_json(node->config),
                         *auth = config_auth_json(node->config);
    struct http_config http = {0};
    struct model_config model = {.models = models, .auth = auth};
    struct journal_config journal = {.root = root};
    struct proxy_config proxy = {.peer = "keeper",
                                 .swarm = node->config->swarm,
                                 .config = node->config_path,
                                 .pid = (uint64_t)getpid()};
    struct control_config control = {
        .kind = "node", .version = QUEENRIGHT_VERSION, .config = node->config_path};
    const struct child_spec services[] = {
        {.name = "control", .ops = &control_actor_ops, .config = &control},
        {.name = "token", .ops = &proxy_ops, .config = &proxy},
        {.name = "http", .ops = &http_actor_ops, .config = &http, .pinned = true},
        {.name = "model", .ops = &model_actor_ops, .config = &model},
        {.name = "journal", .ops = &journal_actor_ops, .config = &journal, .pinned = true},
    };
    int rc = paths_swarm(&node->call->paths, node->config->swarm, root, sizeof(root));

    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]) && rc == 0; i++) {
        struct actor_id id;

        rc = runtime_spawn(
            node->runtime, services[i].ops, services[i].config,
            &(struct spawn_options){.name = services[i].name, .pinned = services[i].pinned}, &id);
        if (rc < 0)
            fprintf(stderr, "node %s: %s: %s\n", node->name, services[i].name, strerror(-rc));
    }
    free(models);
    free(auth);
    return rc;
}

static int spawn_agents(struct node_process *node)
{
    const struct config_supervision *rules = &node->config->supervision;
    static const enum supervisor_strategy strategies[] = {
        [CONFIG_ONE_FOR_ONE] = ONE_FOR_ONE,
        [CONFIG_ONE_FOR_ALL] = ONE_FOR_ALL,
        [CONFIG_REST_FOR_ONE] = REST_FOR_ONE,
    };
    struct supervisor_spec spec = {
        .strategy = strategies[rules->strategy],
        .intensity = rules->intensity,
        .window_ns = rules->window_ms * 1000000,
        .backoff_ns = rules->backoff_ms * 1000000,
        .backoff_max_ns = rules->backoff_max_ms * 1000000,
    };
    struct node_options options = {.name = node->name,
                                   .config = node->config};
    struct actor_id id;
    int rc = runtime_spawn(node->runtime, &supervisor_ops, &spec,
                           &(struct spawn_options){.name = "agents"}, &options.agents);

    if (rc == 0)
        rc = runtime_spawn(node->runtime, &node_actor_ops, &options,
                           &(struct spawn_options){.name = "node"}, &id);
    return rc;
}

static int start_listening(struct node_process *node, char *endpoint, size_t size)
{
    struct link_options options = {.kind = PEER_NODE};
    int rc = link_start(node->runtime, &options);

    if (rc == 0)
        rc = paths_node_endpoint(&node->call->paths, node->config->swarm, node->name, endpoint,
                                 size);
    return rc == 0 ? link_listen(node->runtime, endpoint) : rc;
}

static int dial(struct node_process *node)
{
    const struct paths *paths = &node->call->paths;
    char endpoint[256], peer[PATHS_PEER_MAX];
    int rc = paths_keeper_endpoint(paths, endpoint, sizeof(endpoint));

    if (rc == 0)
        rc = link_dial(node->runtime, "keeper", endpoint);
    for (size_t i = 0; i < node->config->node_count && rc == 0; i++) {
        const char *other = node->config->nodes[i].name;

        if (strcmp(other, node->name) == 0)
            break;
        rc = paths_node_endpoint(paths, node->config->swarm, other, endpoint, sizeof(endpoint));
        if (rc == 0)
            rc = link_dial(node->runtime, paths_peer(node->config->swarm, other, peer), endpoint);
    }
    return rc;
}

/* Last, for this link tells `up` that the node works. */
static int dial_up(struct node_process *node)
{
    char endpoint[256], peer[PATHS_PEER_MAX];
    int rc = paths_up_endpoint(&node->call->paths, node->config->swarm, endpoint,
                               sizeof(endpoint));

    return rc == 0 ? link_dial(node->runtime, paths_peer(node->config->swarm, "up", peer), endpoint)
                   : rc;
}

static int serve(struct node_process *node)
{
    const struct config_node *own = config_node(node->config, node->name);
    char endpoint[256], peer[PATHS_PEER_MAX];
    struct runtime_options options = {.name = paths_peer(node->config->swarm, node->name, peer),
                                      .workers = own ? own->workers : 0};
    int rc = runtime_new(&options, &node->runtime);

    if (rc == 0)
        rc = start_listening(node, endpoint, sizeof(endpoint));
    if (rc == 0)
        rc = dial(node);
    if (rc == 0)
        rc = spawn_services(node);
    if (rc == 0)
        rc = spawn_agents(node);
    if (rc == 0)
        rc = dial_up(node);
    if (rc == 0)
        runtime_wait(node->runtime);
    else
        fprintf(stderr, "node %s did not start: %s\n", node->name, strerror(-rc));
    runtime_free(node->runtime);
    return rc;
}

/* A node holds access tokens. Who debugs one says so in the environment of `up`; the keeper, which
 * holds the refresh tokens, knows no such switch. */
static void harden(const char *name)
{
    struct harden_report report;

    if (secure_getenv("QUEENRIGHT_DEBUG_NODES")) {
        fprintf(stderr, "node %s: QUEENRIGHT_DEBUG_NODES is set: a core may hold access tokens\n",
                name);
        return;
    }
    memory_harden(&report);
    if (!report.no_core || !report.undumpable)
        fprintf(stderr, "node %s: its memory is not shut: no core %s, undumpable %s\n", name,
                report.no_core ? "yes" : "no", report.undumpable ? "yes" : "no");
}

/* A stream is a descriptor; the soft limit of 1024 is for programs that use select(). */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int cmd_node(struct command_call *call)
{
    const char *fd = command_value(call, KEY_READY_FD);
    struct node_process node = {
        .call = call,
        .name = command_value(call, KEY_NODE),
        .config_path = command_value(call, KEY_CONFIG),
    };
    int rc;

    if (!node.name || !node.config_path) {
        command_error("queenright up starts nodes", "a node needs --node and --config");
        return EXIT_CODE_USAGE;
    }
    if (fd) /* our link to `up` says more than a line would */
        close((int)strtol(fd, NULL, 10));
    /* With `up` killed before our link to it was there, only the kernel tells us. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    harden(node.name);
    raise_file_limit();
    rc = wipe_install();
    if (rc == 0)
        rc = load(&node);
    if (rc == 0)
        rc = serve(&node);
    return rc < 0 ? EXIT_CODE_FAILED : 0;
}
