/* SPDX-License-Identifier: Apache-2.0 */
/* down, reload, status, agents: what is asked of a running swarm. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/agent.h"
#include "proto/control.h"
#include "queenright/cli/client.h"
#include "queenright/cli/output.h"
#include "queenright/cli/swarms.h"
#include "queenright/commands/auth.h"
#include "queenright/commands/commands.h"
#include "queenright/process/process.h"

#define DOWN_TIMEOUT_MS 60000
#define RELOAD_TIMEOUT_MS 90000

/* ---- down ------------------------------------------------------------------------------------ */

static int up_pid(struct link_client *client, pid_t *ret_pid)
{
    struct control_info question = {0};
    struct control_process process;
    struct message *answer;
    int code = client_ask(client, "control", control_info, &question, CLIENT_TIMEOUT_MS, NULL, NULL,
                        control_process, &answer);

    if (code != 0)
        return code;
    if (proto_unpack(&control_process_schema, answer->body, answer->size, &process) == 0)
        *ret_pid = (pid_t)process.pid;
    message_free(answer);
    return 0;
}

int cmd_down(struct command_call *call)
{
    const char *drain = command_value(call, KEY_DRAIN);
    struct swarm_down question = {0};
    struct link_client *client;
    struct pollfd gone = {.fd = -1, .events = POLLIN};
    char name[64];
    pid_t pid = 0;
    int code;

    if (drain && !command_duration(drain, &question.drain_ms)) {
        command_error("--drain 10s", "\"%s\" is not a time", drain);
        return EXIT_CODE_USAGE;
    }
    code = swarms_open(call, name, sizeof(name), &client);
    if (code != 0)
        return code;
    code = up_pid(client, &pid);
    if (code == 0 && pid > 0)
        gone.fd = process_pidfd(pid);
    if (code == 0)
        code = client_ask(client, "swarm", swarm_down, &question, CLIENT_TIMEOUT_MS, NULL, NULL,
                          done, NULL);
    link_client_close(client);
    if (code == 0 && gone.fd >= 0 && poll(&gone, 1, DOWN_TIMEOUT_MS) != 1) {
        command_error(NULL, "swarm %s has not ended within a minute (pid %d)", name, (int)pid);
        code = EXIT_CODE_FAILED;
    }
    if (gone.fd >= 0)
        close(gone.fd);
    if (code == 0)
        fprintf(stderr, "swarm %s has ended\n", name);
    if (code == 0 && call->json)
        printf("{\"swarm\": \"%s\", \"ended\": true}\n", name);
    return code;
}

/* ---- reload ---------------------------------------------------------------------------------- */

static int on_change(void *arg, const struct message *part)
{
    struct output *output = arg;
    char subject[128], text[512];
    struct control_fact fact;

    if (part->type != MSG_control_fact ||
        proto_unpack(&control_fact_schema, part->body, part->size, &fact) < 0)
        return 0;
    proto_text_copy(fact.name, subject, sizeof(subject));
    proto_text_copy(fact.text, text, sizeof(text));
    output_row(output, (const char *const[]){subject, text});
    return 0;
}

int cmd_reload(struct command_call *call)
{
    static const struct column columns[] = {{"subject", COLUMN_EXTRA}, {"change", COLUMN_TEXT}};
    struct output *output = output_new(columns, 2, call->json);
    char name[64], path[PATH_MAX] = "";
    struct swarm_reload question;
    struct link_client *client;
    int code;

    if (!output)
        return EXIT_CODE_FAILED;
    if (call->args[0] && !realpath(call->args[0], path))
        snprintf(path, sizeof(path), "%s", call->args[0]); /* the error names it */
    question.config = proto_text(path);
    code = swarms_open(call, name, sizeof(name), &client);
    if (code == 0) {
        code = client_ask(client, "swarm", swarm_reload, &question, RELOAD_TIMEOUT_MS, on_change,
                        output, done, NULL);
        link_client_close(client);
    }
    if (code == 0 && output_print(output, "nothing has changed") < 0)
        code = EXIT_CODE_FAILED;
    output_free(output);
    return code;
}

/* ---- agents ---------------------------------------------------------------------------------- */

static const struct column agent_columns[] = {
    {"agent", COLUMN_TEXT},     {"node", COLUMN_TEXT},       {"state", COLUMN_TEXT},
    {"turns", COLUMN_NUMBER},   {"waiting", COLUMN_NUMBER},  {"sessions", COLUMN_NUMBER},
    {"models", COLUMN_TEXT},    {"last_error", COLUMN_TEXT},
};

struct agent_row {
    char state[64], error[256], turns[24], waiting[24], sessions[24];
};

/* The node asked last. Agents of a node mostly stand in a row, so one connection does for them. */
struct asked_node {
    char endpoint[256];
    struct link_client *client; /* NULL: it is down */
};

static void asked_node_close(struct asked_node *node)
{
    if (node->client)
        link_client_close(node->client);
    *node = (struct asked_node){0};
}

static struct link_client *ask_node(struct asked_node *node, const char *endpoint)
{
    if (strcmp(node->endpoint, endpoint) != 0) {
        asked_node_close(node);
        snprintf(node->endpoint, sizeof(node->endpoint), "%s", endpoint);
        if (link_client_open(endpoint, "queenright", 2000000000ull, NULL, 0, &node->client) < 0)
            node->client = NULL;
    }
    return node->client;
}

/* What the agent says of itself; a node that does not answer is its state. */
static void ask_agent(struct asked_node *node, const struct swarm_view_agent *agent,
                      struct agent_row *row)
{
    struct agent_info question = {0};
    struct message *answer = NULL;
    struct link_client *client = ask_node(node, agent->endpoint);
    struct agent_state state;

    *row = (struct agent_row){.state = "no answer"};
    if (!client) {
        snprintf(row->state, sizeof(row->state), "node is down");
        return;
    }
    if (link_client_call(client, agent->name, actor_pack(agent_info, &question), 5000000000ull,
                         NULL, NULL, &answer) < 0) {
        asked_node_close(node); /* the next one begins anew */
        return;
    }
    if (answer->type == MSG_agent_state &&
        proto_unpack(&agent_state_schema, answer->body, answer->size, &state) == 0) {
        proto_text_copy(state.state, row->state, sizeof(row->state));
        proto_text_copy(state.last_error, row->error, sizeof(row->error));
        output_number(row->turns, state.turns);
        output_number(row->waiting, state.waiting);
        output_number(row->sessions, state.sessions);
    }
    message_free(answer);
}

static int print_agents(const struct command_call *call, const struct swarm_view *view)
{
    struct output *output = output_new(
        agent_columns, sizeof(agent_columns) / sizeof(agent_columns[0]), call->json);
    struct asked_node node = {0};
    int code = 0;

    if (!output)
        return EXIT_CODE_FAILED;
    for (size_t i = 0; i < view->agent_count; i++) {
        const struct swarm_view_agent *agent = &view->agents[i];
        char models[512];
        struct agent_row row;

        snprintf(models, sizeof(models), "%s", agent->models);
        for (char *c = models; *c; c++)
            *c = *c == '\n' ? ' ' : *c;
        ask_agent(&node, agent, &row);
        if (strcmp(row.state, "node is down") == 0 || strcmp(row.state, "no answer") == 0)
            code = EXIT_CODE_FAILED;
        output_row(output, (const char *const[]){agent->name, agent->node, row.state, row.turns,
                                                 row.waiting, row.sessions, models, row.error});
    }
    asked_node_close(&node);
    if (output_print(output, "no agents") < 0)
        code = EXIT_CODE_FAILED;
    output_free(output);
    return code;
}

int cmd_agents(struct command_call *call)
{
    struct swarm_view *view;
    int code = swarms_view(call, &view);

    if (code != 0)
        return code;
    code = print_agents(call, view);
    swarms_view_free(view);
    return code;
}

/* ---- status ---------------------------------------------------------------------------------- */

static const struct column process_columns[] = {
    {"process", COLUMN_TEXT}, {"kind", COLUMN_TEXT},       {"state", COLUMN_TEXT},
    {"pid", COLUMN_NUMBER},   {"restarts", COLUMN_NUMBER}, {"endpoint", COLUMN_EXTRA},
};

static int print_processes(const struct command_call *call, struct swarm_view *view)
{
    struct output *output = output_new(
        process_columns, sizeof(process_columns) / sizeof(process_columns[0]), call->json);
    int code = 0;

    if (!output)
        return EXIT_CODE_FAILED;
    for (size_t i = 0; i < view->process_count; i++) {
        struct swarm_view_process *process = &view->processes[i];
        struct link_client *client;
        char pid[24], restarts[24];
        pid_t found = 0;

        if (process->pid == 0 && link_client_open(process->endpoint, "queenright", 2000000000ull,
                                                  NULL, 0, &client) == 0) {
            up_pid(client, &found);
            process->pid = (uint64_t)found;
            link_client_close(client);
        }
        if (process->pid == 0)
            snprintf(process->state, sizeof(process->state), "down");
        if (strcmp(process->state, "up") != 0)
            code = EXIT_CODE_FAILED;
        output_row(output, (const char *const[]){process->name, process->kind, process->state,
                                                 output_number(pid, process->pid),
                                                 output_number(restarts, process->restarts),
                                                 process->endpoint});
    }
    if (output_print(output, "no processes") < 0)
        code = EXIT_CODE_FAILED;
    output_free(output);
    return code;
}

/* Does not wait for one that did not answer a moment ago: that a keeper runs is for `up` to see to,
 * and this shows how it goes. */
static int print_logins(const struct command_call *call, const struct swarm_view *view)
{
    for (size_t i = 0; i < view->process_count; i++)
        if (strcmp(view->processes[i].kind, "keeper") == 0 && view->processes[i].pid == 0) {
            command_error("look into keeper.log; up starts one when none runs",
                          "the keeper does not answer");
            return EXIT_CODE_UNAVAILABLE;
        }
    return auth_print_logins(call, NULL);
}

/* JSON: one object of three arrays; people: three tables. */
int cmd_status(struct command_call *call)
{
    struct swarm_view *view;
    int code = swarms_view(call, &view), next;

    if (code != 0)
        return code;
    printf(call->json ? "{\"swarm\": \"%s\", \"processes\":\n" : "swarm %s\n\n", view->name);
    code = print_processes(call, view);
    fputs(call->json ? ", \"agents\":\n" : "\n", stdout);
    next = print_agents(call, view);
    code = next > code ? next : code;
    fputs(call->json ? ", \"logins\":\n" : "\n", stdout);
    next = print_logins(call, view);
    if (call->json)
        fputs(next > EXIT_CODE_SOON ? "[]}\n" : "}\n", stdout);
    swarms_view_free(view);
    return code == EXIT_CODE_FAILED || next == EXIT_CODE_SOON ? (code ? code : next)
                                                              : (next > code ? next : code);
}
