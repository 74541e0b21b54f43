/* SPDX-License-Identifier: Apache-2.0 */
/* ask: one turn, streamed to stdout. chat: one after the other. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/agent.h"
#include "queenright/cli/client.h"
#include "queenright/cli/output.h"
#include "queenright/cli/swarms.h"
#include "queenright/commands/commands.h"

#define TURN_TIMEOUT_MS 600000

struct stream {
    bool print;
    bool any;
    char last;
};

static int on_delta(void *arg, const struct message *part)
{
    struct stream *stream = arg;
    struct agent_delta delta;

    if (part->type != MSG_agent_delta || !stream->print ||
        proto_unpack(&agent_delta_schema, part->body, part->size, &delta) < 0 ||
        delta.text.size == 0)
        return 0;
    output_untrusted(delta.text.data, delta.text.size);
    stream->any = true;
    stream->last = delta.text.data[delta.text.size - 1];
    return output_flush(); /* nobody reads: the turn goes on in the agent, we stop listening */
}

static json_t *json_of(struct proto_text text)
{
    return json_stringn(text.data ? text.data : "", text.size);
}

static void print_json(const char *agent, const struct agent_answer *answer)
{
    json_t *object = json_object();

    json_object_set_new(object, "agent", json_string(agent));
    json_object_set_new(object, "text", json_of(answer->text));
    json_object_set_new(object, "model", json_of(answer->model));
    json_object_set_new(object, "profile", json_of(answer->profile));
    json_object_set_new(object, "turn", json_integer((json_int_t)answer->turn));
    json_object_set_new(object, "input_tokens", json_integer((json_int_t)answer->input_tokens));
    json_object_set_new(object, "output_tokens", json_integer((json_int_t)answer->output_tokens));
    json_object_set_new(object, "note", json_of(answer->note));
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

/* One turn over an open client. */
static int turn(struct link_client *client, const char *agent, const char *session,
                const char *text, bool json)
{
    struct stream stream = {.print = !json};
    struct agent_ask ask = {.session = proto_text(session), .text = proto_text(text),
                            .from = proto_text("user")};
    struct agent_answer answer;
    struct message *message;
    int code = client_ask(client, agent, agent_ask, &ask, TURN_TIMEOUT_MS, on_delta, &stream,
                        agent_answer, &message);

    if (code != 0) {
        if (!ferror(stdout) && stream.any && stream.last != '\n')
            putchar('\n');
        return code;
    }
    if (proto_unpack(&agent_answer_schema, message->body, message->size, &answer) < 0)
        code = EXIT_CODE_FAILED;
    else if (json)
        print_json(agent, &answer);
    else if (!stream.any)
        output_untrusted(answer.text.data, answer.text.size);
    if (code == 0 && !json && (!stream.any || stream.last != '\n'))
        putchar('\n');
    if (code == 0 && !json && answer.note.size > 0)
        fprintf(stderr, "note: %.*s\n", (int)answer.note.size, answer.note.data);
    message_free(message);
    return code;
}

static int open_agent(const struct command_call *call, char *ret_agent, size_t size,
                      struct link_client **ret_client)
{
    const struct swarm_view_agent *agent;
    struct swarm_view *view;
    char what[160];
    int code = swarms_view(call, &view);

    if (code != 0)
        return code;
    agent = swarms_agent(view, call->args[0]);
    if (agent) {
        snprintf(ret_agent, size, "%s", agent->name);
        snprintf(what, sizeof(what), "node %s, where %s lives,", agent->node, agent->name);
        code = client_open(agent->endpoint, what, "queenright status", ret_client);
    } else {
        code = EXIT_CODE_FAILED;
    }
    swarms_view_free(view);
    return code;
}

/* "-" reads the text from stdin, for what does not fit on a command line. */
static char *read_text(const char *given)
{
    char *text = NULL;
    size_t size = 0;

    if (strcmp(given, "-") != 0)
        return strdup(given);
    if (getdelim(&text, &size, '\0', stdin) < 0) {
        free(text);
        return NULL;
    }
    return text;
}

int cmd_ask(struct command_call *call)
{
    const char *session = command_value(call, KEY_SESSION);
    struct link_client *client;
    char agent[64], *text = read_text(call->args[1]);
    int code;

    if (!text || text[0] == '\0') {
        free(text);
        command_error(NULL, "nothing to ask: the text is empty");
        return EXIT_CODE_USAGE;
    }
    code = open_agent(call, agent, sizeof(agent), &client);
    if (code == 0) {
        code = turn(client, agent, session ? session : "main", text, call->json);
        link_client_close(client);
    }
    free(text);
    return code;
}

int cmd_chat(struct command_call *call)
{
    const char *session = command_value(call, KEY_SESSION);
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    struct link_client *client;
    char agent[64], *line = NULL;
    size_t size = 0;
    ssize_t length;
    int code = open_agent(call, agent, sizeof(agent), &client);

    if (code != 0)
        return code;
    if (terminal)
        printf("Talking with %s. An empty line or Ctrl-D ends it.\n", agent);
    for (;;) {
        if (terminal) {
            fputs("> ", stdout);
            fflush(stdout);
        }
        length = getline(&line, &size, stdin);
        if (length > 0 && line[length - 1] == '\n')
            line[--length] = '\0';
        if (length <= 0)
            break;
        code = turn(client, agent, session ? session : "main", line, call->json);
        if (code == EXIT_CODE_UNAVAILABLE)
            break;
    }
    free(line);
    link_client_close(client);
    return code;
}
