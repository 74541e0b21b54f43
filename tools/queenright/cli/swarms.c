/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/cli/swarms.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "proto/control.h"
#include "queenright/cli/client.h"
#include "queenright/config/config.h"
#include "queenright/config/keys.h"

struct running {
    const struct paths *paths;
    char names[8][64];
    size_t count;
};

/* A socket file may outlive its process; only one that accepts counts. */
static bool is_alive(const struct paths *paths, const char *swarm)
{
    struct link_client *client;
    char endpoint[256];

    if (paths_up_endpoint(paths, swarm, endpoint, sizeof(endpoint)) < 0 ||
        link_client_open(endpoint, "queenright", 2000000000ull, NULL, 0, &client) < 0)
        return false;
    link_client_close(client);
    return true;
}

static void each_running(void *arg, const char *swarm)
{
    struct running *running = arg;

    if (running->count < 8 && is_alive(running->paths, swarm))
        snprintf(running->names[running->count++], 64, "%s", swarm);
}

static bool from_config(const struct command_call *call, const struct running *running,
                        char *ret_name, size_t size)
{
    struct config_errors errors;
    struct config *config;
    char path[PATH_MAX];
    bool found = false;

    if (config_find(NULL, path, sizeof(path)) < 0)
        return false;
    (void)call;
    if (config_load(path, &config, &errors) == 0) {
        for (size_t i = 0; i < running->count && !found; i++)
            found = strcmp(running->names[i], config->swarm) == 0;
        if (found)
            snprintf(ret_name, size, "%s", config->swarm);
        config_free(config);
    }
    config_errors_deinit(&errors);
    return found;
}

/* The swarm of --swarm, else of the config that would be found here when it runs, else the only
 * one that runs. 0, or an exit code after an error. */
static int choose(const struct command_call *call, char *ret_name, size_t size)
{
    const char *wanted = command_value(call, KEY_SWARM);
    struct running running = {.paths = &call->paths};
    char list[600] = "";

    if (wanted) {
        snprintf(ret_name, size, "%s", wanted);
        return 0;
    }
    paths_swarms(&call->paths, &running, each_running);
    if (running.count == 0) {
        command_error("queenright up FILE", "no swarm runs here (state %s)", call->paths.state);
        return EXIT_CODE_UNAVAILABLE;
    }
    if (running.count == 1) {
        snprintf(ret_name, size, "%s", running.names[0]);
        return 0;
    }
    if (from_config(call, &running, ret_name, size))
        return 0;
    for (size_t i = 0; i < running.count; i++)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
                 running.names[i]);
    command_error("add --swarm NAME", "several swarms run: %s", list);
    return EXIT_CODE_USAGE;
}

int swarms_open(const struct command_call *call, char *ret_name, size_t size,
                struct link_client **ret_client)
{
    char endpoint[256], what[128];
    int code = choose(call, ret_name, size);

    if (code != 0)
        return code;
    if (paths_up_endpoint(&call->paths, ret_name, endpoint, sizeof(endpoint)) < 0) {
        command_error("set XDG_RUNTIME_DIR to a shorter path", "the socket path is too long");
        return EXIT_CODE_FAILED;
    }
    snprintf(what, sizeof(what), "swarm %s", ret_name);
    return client_open(endpoint, what, "queenright up FILE", ret_client);
}

/* `up` itself, which does not list itself. */
static void add_up(struct swarm_view *view, const char *endpoint)
{
    struct swarm_view_process *row = &view->processes[view->process_count++];

    *row = (struct swarm_view_process){.name = "up", .kind = "up", .state = "up"};
    snprintf(row->endpoint, sizeof(row->endpoint), "%s", endpoint);
}

static void add_process(struct swarm_view *view, const struct swarm_process *process)
{
    struct swarm_view_process *row;

    if (view->process_count == SWARM_PROCESSES_MAX) /* more than `up` can start */
        return;
    row = &view->processes[view->process_count++];
    *row = (struct swarm_view_process){.pid = process->pid, .restarts = process->restarts};
    proto_text_copy(process->name, row->name, sizeof(row->name));
    proto_text_copy(process->kind, row->kind, sizeof(row->kind));
    proto_text_copy(process->state, row->state, sizeof(row->state));
    proto_text_copy(process->endpoint, row->endpoint, sizeof(row->endpoint));
}

static int add_agent(struct swarm_view *view, const struct swarm_agent *agent)
{
    struct swarm_view_agent *row;

    if (view->agent_count == view->agent_capacity) {
        size_t capacity = view->agent_capacity ? 2 * view->agent_capacity : 64;
        struct swarm_view_agent *grown = reallocarray(view->agents, capacity, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        view->agents = grown;
        view->agent_capacity = capacity;
    }
    row = &view->agents[view->agent_count++];
    *row = (struct swarm_view_agent){0};
    proto_text_copy(agent->agent, row->name, sizeof(row->name));
    proto_text_copy(agent->node, row->node, sizeof(row->node));
    proto_text_copy(agent->models, row->models, sizeof(row->models));
    proto_text_copy(agent->endpoint, row->endpoint, sizeof(row->endpoint));
    return 0;
}

static int on_view_part(void *arg, const struct message *part)
{
    struct swarm_process process;
    struct swarm_agent agent;

    if (part->type == MSG_swarm_process &&
        proto_unpack(&swarm_process_schema, part->body, part->size, &process) == 0)
        add_process(arg, &process);
    else if (part->type == MSG_swarm_agent &&
             proto_unpack(&swarm_agent_schema, part->body, part->size, &agent) == 0)
        return add_agent(arg, &agent);
    return 0;
}

void swarms_view_free(struct swarm_view *view)
{
    if (view)
        free(view->agents);
    free(view);
}

int swarms_view(const struct command_call *call, struct swarm_view **ret_view)
{
    struct swarm_view *view = calloc(1, sizeof(*view));
    struct swarm_status question = {0};
    struct link_client *client;
    char endpoint[256];
    int code;

    if (!view)
        return EXIT_CODE_FAILED;
    code = swarms_open(call, view->name, sizeof(view->name), &client);
    if (code != 0) {
        free(view);
        return code;
    }
    if (paths_up_endpoint(&call->paths, view->name, endpoint, sizeof(endpoint)) == 0)
        add_up(view, endpoint);
    code = client_ask(client, "swarm", swarm_status, &question, CLIENT_TIMEOUT_MS, on_view_part,
                      view, done, NULL);
    link_client_close(client);
    if (code == 0)
        *ret_view = view;
    else
        swarms_view_free(view);
    return code;
}

const struct swarm_view_agent *swarms_agent(const struct swarm_view *view, const char *name)
{
    size_t best = word_distance_max(name) + 1;
    const char *nearest = NULL;
    char remedy[128];

    for (size_t i = 0; i < view->agent_count; i++)
        if (strcasecmp(name, view->agents[i].name) == 0)
            return &view->agents[i];
    for (size_t i = 0; i < view->agent_count; i++) {
        size_t far = word_distance(name, view->agents[i].name);

        if (far < best) {
            best = far;
            nearest = view->agents[i].name;
        }
    }
    snprintf(remedy, sizeof(remedy), nearest ? "%s" : "queenright agents", nearest);
    command_error(remedy, "swarm %s has no agent \"%s\"", view->name, name);
    return NULL;
}
