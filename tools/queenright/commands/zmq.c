/* SPDX-License-Identifier: Apache-2.0 */
/* zmq: looking into the running processes, each asked on its own socket. A process that does not
 * answer is named on stderr and does not hide the others. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/control.h"
#include "queenright/cli/client.h"
#include "queenright/cli/output.h"
#include "queenright/cli/swarms.h"
#include "queenright/commands/commands.h"

#define CELLS_MAX 16

/* Rows of one list, from one process after the other. */
struct list {
    struct output *output;
    char numbers[CELLS_MAX][24];
    char texts[CELLS_MAX][256];
};

static const char *text_cell(struct list *list, size_t i, struct proto_text text)
{
    if (!proto_text_copy(text, list->texts[i], sizeof(list->texts[i])))
        snprintf(list->texts[i], sizeof(list->texts[i]), "%.*s", 200, text.data ? text.data : "");
    return list->texts[i];
}

static const char *number_cell(struct list *list, size_t i, uint64_t number)
{
    return output_number(list->numbers[i], number);
}

typedef int (*ask_fn)(struct link_client *client, const struct command_call *call,
                      struct list *list);

/* Asks every process of the swarm. The worst exit code of all. */
static int ask_all(const struct command_call *call, const struct swarm_view *view, ask_fn ask,
                   struct list *list)
{
    int worst = 0;

    for (size_t i = 0; i < view->process_count; i++) {
        const struct swarm_view_process *process = &view->processes[i];
        struct link_client *client;
        int code = client_open(process->endpoint, process->name, "queenright status", &client);

        if (code == 0) {
            code = ask(client, call, list);
            link_client_close(client);
        }
        if (code > worst)
            worst = code;
    }
    return worst;
}

static int list_all(const struct command_call *call, const struct column *columns, size_t count,
                    ask_fn ask, const char *empty)
{
    struct list list = {.output = output_new(columns, count, call->json)};
    struct swarm_view *view = NULL;
    int code = list.output ? swarms_view(call, &view) : EXIT_CODE_FAILED;

    if (code == 0) {
        code = ask_all(call, view, ask, &list);
        if (output_print(list.output, empty) < 0)
            code = EXIT_CODE_FAILED;
    }
    swarms_view_free(view);
    output_free(list.output);
    return code;
}

/* ---- ls -------------------------------------------------------------------------------------- */

static const struct column ls_columns[] = {
    {"node", COLUMN_TEXT},      {"name", COLUMN_TEXT},      {"kind", COLUMN_TEXT},
    {"state", COLUMN_TEXT},     {"queued", COLUMN_NUMBER},  {"oldest_ms", COLUMN_NUMBER},
    {"handled", COLUMN_NUMBER}, {"busy_us", COLUMN_NUMBER}, {"owes", COLUMN_NUMBER},
    {"waits", COLUMN_NUMBER},   {"restarts", COLUMN_NUMBER}, {"limit", COLUMN_EXTRA},
    {"supervisor", COLUMN_EXTRA},
};

static int on_actor(void *arg, const struct message *part)
{
    struct list *list = arg;
    struct control_actor row;

    if (part->type != MSG_control_actor ||
        proto_unpack(&control_actor_schema, part->body, part->size, &row) < 0)
        return 0;
    output_row(list->output,
               (const char *const[]){
                   text_cell(list, 0, row.node), text_cell(list, 1, row.name),
                   text_cell(list, 2, row.kind), text_cell(list, 3, row.state),
                   number_cell(list, 4, row.queued), number_cell(list, 5, row.oldest_ms),
                   number_cell(list, 6, row.handled), number_cell(list, 7, row.busy_us),
                   number_cell(list, 8, row.open_in), number_cell(list, 9, row.open_out),
                   number_cell(list, 10, row.restarts), number_cell(list, 11, row.limit),
                   text_cell(list, 12, row.supervisor)});
    return 0;
}

static int ask_ls(struct link_client *client, const struct command_call *call, struct list *list)
{
    struct control_ls question = {.pattern = proto_text(call->args[0])};

    return client_ask(client, "control", control_ls, &question, CLIENT_TIMEOUT_MS, on_actor, list,
                    done, NULL);
}

int cmd_zmq_ls(struct command_call *call)
{
    return list_all(call, ls_columns, sizeof(ls_columns) / sizeof(ls_columns[0]), ask_ls,
                    "no actor matches");
}

/* ---- drops, links ---------------------------------------------------------------------------- */

static const struct column drop_columns[] = {
    {"node", COLUMN_TEXT}, {"reason", COLUMN_TEXT},  {"type", COLUMN_TEXT},
    {"from", COLUMN_TEXT}, {"to", COLUMN_TEXT},      {"count", COLUMN_NUMBER},
    {"last_age_ms", COLUMN_NUMBER},
};

static int on_drop(void *arg, const struct message *part)
{
    struct list *list = arg;
    struct control_drop row;

    if (part->type != MSG_control_drop ||
        proto_unpack(&control_drop_schema, part->body, part->size, &row) < 0)
        return 0;
    output_row(list->output,
               (const char *const[]){text_cell(list, 0, row.node), text_cell(list, 1, row.reason),
                                     text_cell(list, 2, row.type), text_cell(list, 3, row.from),
                                     text_cell(list, 4, row.to), number_cell(list, 5, row.count),
                                     number_cell(list, 6, row.last_age_ms)});
    return 0;
}

static int ask_drops(struct link_client *client, const struct command_call *call,
                     struct list *list)
{
    struct control_drops question = {.reason = proto_text(call->args[0])};

    return client_ask(client, "control", control_drops, &question, CLIENT_TIMEOUT_MS, on_drop, list,
                    done, NULL);
}

int cmd_zmq_drops(struct command_call *call)
{
    return list_all(call, drop_columns, sizeof(drop_columns) / sizeof(drop_columns[0]), ask_drops,
                    "no message was dropped");
}

static const struct column link_columns[] = {
    {"node", COLUMN_TEXT},       {"peer", COLUMN_TEXT},          {"kind", COLUMN_TEXT},
    {"state", COLUMN_TEXT},      {"pid", COLUMN_NUMBER},         {"queued", COLUMN_NUMBER},
    {"in", COLUMN_NUMBER},       {"out", COLUMN_NUMBER},         {"gaps", COLUMN_NUMBER},
    {"reconnects", COLUMN_NUMBER}, {"rtt_us", COLUMN_NUMBER},    {"endpoint", COLUMN_EXTRA},
};

static int on_link(void *arg, const struct message *part)
{
    struct list *list = arg;
    struct control_link row;

    if (part->type != MSG_control_link ||
        proto_unpack(&control_link_schema, part->body, part->size, &row) < 0)
        return 0;
    output_row(list->output,
               (const char *const[]){
                   text_cell(list, 0, row.node), text_cell(list, 1, row.peer),
                   text_cell(list, 2, row.kind), text_cell(list, 3, row.state),
                   number_cell(list, 4, row.pid), number_cell(list, 5, row.queued),
                   number_cell(list, 6, row.messages_in), number_cell(list, 7, row.messages_out),
                   number_cell(list, 8, row.gaps), number_cell(list, 9, row.reconnects),
                   number_cell(list, 10, row.rtt_us), text_cell(list, 11, row.endpoint)});
    return 0;
}

static int ask_links(struct link_client *client, const struct command_call *call,
                     struct list *list)
{
    struct control_links question = {.peer = proto_text(call->args[0])};

    return client_ask(client, "control", control_links, &question, CLIENT_TIMEOUT_MS, on_link, list,
                    done, NULL);
}

int cmd_zmq_links(struct command_call *call)
{
    return list_all(call, link_columns, sizeof(link_columns) / sizeof(link_columns[0]), ask_links,
                    "no links");
}

/* ---- show, tap: one actor, in the process where it lives ------------------------------------- */

/* "node/actor" names the process; a bare name is looked for: an agent on its node, "token" in the
 * keeper, "swarm" in up, else on the first node. */
static int open_actor(const struct command_call *call, const char *given, char *ret_actor,
                      size_t size, struct link_client **ret_client)
{
    const struct swarm_view_process *process = NULL;
    const char *slash = strchr(given, '/'), *node = NULL;
    struct swarm_view *view;
    char wanted[64] = "";
    int code = swarms_view(call, &view);

    if (code != 0)
        return code;
    if (slash && (size_t)(slash - given) < sizeof(wanted)) {
        memcpy(wanted, given, (size_t)(slash - given));
        for (size_t i = 0; i < view->process_count && !process; i++)
            if (strcmp(view->processes[i].name, wanted) == 0)
                process = &view->processes[i];
    }
    snprintf(ret_actor, size, "%s", process ? slash + 1 : given);
    if (!process) {
        size_t bare = strcspn(given, "/"); /* a session lives with its agent */

        node = strcmp(given, "token") == 0 ? "keeper" : strcmp(given, "swarm") == 0 ? "up" : NULL;
        for (size_t i = 0; i < view->agent_count && !node; i++)
            if (strlen(view->agents[i].name) == bare &&
                strncmp(view->agents[i].name, given, bare) == 0)
                node = view->agents[i].node;
        for (size_t i = 0; i < view->process_count && !process; i++)
            if (node ? strcmp(view->processes[i].name, node) == 0
                     : strcmp(view->processes[i].kind, "node") == 0)
                process = &view->processes[i];
    }
    if (process) {
        code = client_open(process->endpoint, process->name, "queenright status", ret_client);
    } else {
        command_error("queenright zmq ls", "no process has an actor \"%s\"", given);
        code = EXIT_CODE_FAILED;
    }
    swarms_view_free(view);
    return code;
}

static int on_fact(void *arg, const struct message *part)
{
    json_t *object = arg;
    char section[64], name[128], text[600];
    struct control_fact fact;

    if (part->type != MSG_control_fact ||
        proto_unpack(&control_fact_schema, part->body, part->size, &fact) < 0)
        return 0;
    proto_text_copy(fact.section, section, sizeof(section));
    proto_text_copy(fact.name, name, sizeof(name));
    proto_text_copy(fact.text, text, sizeof(text));
    if (object) {
        json_t *row = json_pack("{s:s, s:s, s:s}", "section", section, "name", name, "text", text);

        json_array_append_new(object, row);
    } else {
        printf("%-9s %-22s %s\n", section, name, text);
    }
    return 0;
}

int cmd_zmq_show(struct command_call *call)
{
    json_t *array = call->json ? json_array() : NULL;
    struct control_show question;
    struct link_client *client;
    char actor[128];
    int code = open_actor(call, call->args[0], actor, sizeof(actor), &client);

    if (code == 0) {
        question.actor = proto_text(actor);
        code = client_ask(client, "control", control_show, &question, CLIENT_TIMEOUT_MS, on_fact,
                        array, done, NULL);
        link_client_close(client);
    }
    if (array && code == 0) {
        json_dumpf(array, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(array);
    return code;
}

static int on_event(void *arg, const struct message *part)
{
    const struct command_call *call = arg;
    struct control_event event;

    if (part->type != MSG_control_event ||
        proto_unpack(&control_event_schema, part->body, part->size, &event) < 0)
        return 0;
    if (call->json) {
        json_t *row = json_pack(
            "{s:I, s:s%, s:s%, s:s%, s:s%, s:I, s:I, s:I, s:I, s:s%}", "at_ms",
            (json_int_t)event.at_ms, "from", event.from.data, (size_t)event.from.size, "to",
            event.to.data, (size_t)event.to.size, "type", event.type.data,
            (size_t)event.type.size, "kind", event.kind.data, (size_t)event.kind.size, "size",
            (json_int_t)event.size, "waited_us", (json_int_t)event.waited_us, "request",
            (json_int_t)event.request, "lost", (json_int_t)event.lost, "body",
            event.body.data ? event.body.data : "", (size_t)event.body.size);

        if (row)
            json_dumpf(row, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(row);
    } else {
        time_t seconds = (time_t)(event.at_ms / 1000);
        struct tm local;

        localtime_r(&seconds, &local);
        if (event.lost > 0)
            printf("... %" PRIu64 " not shown\n", event.lost);
        printf("%02d:%02d:%02d.%03d  %.*s -> %.*s  %.*s %.*s  %" PRIu64 " bytes  %" PRIu64
               " us  %.*s\n",
               local.tm_hour, local.tm_min, local.tm_sec, (int)(event.at_ms % 1000),
               (int)event.from.size, event.from.data, (int)event.to.size, event.to.data,
               (int)event.kind.size, event.kind.data, (int)event.type.size, event.type.data,
               event.size, event.waited_us, (int)event.body.size, event.body.data);
    }
    return output_flush();
}

int cmd_zmq_tap(struct command_call *call)
{
    const char *limit = command_value(call, KEY_LIMIT), *type = command_value(call, KEY_TYPE);
    struct control_tap question = {.bodies = command_value(call, KEY_BODIES) != NULL,
                                   .type = proto_text(type)};
    struct link_client *client;
    char actor[128], *end = NULL;
    int code;

    if (limit)
        question.limit = strtoull(limit, &end, 10);
    if (limit && (question.limit == 0 || *end != '\0' || *limit == '-')) {
        command_error("--limit 10", "\"%s\" is not a number of messages", limit);
        return EXIT_CODE_USAGE;
    }
    code = open_actor(call, call->args[0], actor, sizeof(actor), &client);
    if (code != 0)
        return code;
    question.actor = proto_text(actor);
    code = client_ask(client, "control", control_tap, &question, 86400000, on_event, call, done,
                    NULL);
    link_client_close(client);
    return code;
}
