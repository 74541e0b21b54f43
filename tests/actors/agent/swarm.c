/* SPDX-License-Identifier: Apache-2.0 */
#include "swarm.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/handler.h"
#include "proto/agent.h"
#include "proto/model.h"
#include "proto/system.h"
#include "session/journal.h"

/* ---- the model ----------------------------------------------------------------------------- */

#define HELD_MAX 16

struct model_state {
    struct swarm *swarm;
    struct request_id held[HELD_MAX];
    size_t held_count;
};

static int model_start(void *state, struct context *context, const void *config)
{
    (void)context;
    ((struct model_state *)state)->swarm = (struct swarm *)(uintptr_t)config;
    return 0;
}

/* What the last item says; what comes after "Message from agent X:\n\n" when there is that. */
static void last_text(const char *input, size_t size, char *ret_text, size_t text_size,
                      bool *ret_is_output)
{
    json_t *items = json_loadb(input, size, 0, NULL);
    json_t *last = json_array_get(items, json_array_size(items) - 1);
    const char *output = json_string_value(json_object_get(last, "output"));
    const char *text = json_string_value(json_object_get(
        json_array_get(json_object_get(last, "content"), 0), "text"));
    const char *said = text ? strstr(text, ":\n\n") : NULL;

    assert_non_null(last);
    *ret_is_output = output != NULL;
    snprintf(ret_text, text_size, "%s", output ? output : said ? said + 3 : text ? text : "?");
    json_decref(items);
}

static struct message *text_answer(const char *text)
{
    char *items = NULL;
    json_t *json = json_pack("[{s:s, s:s, s:[{s:s, s:s}]}]", "type", "message", "role",
                             "assistant", "content", "type", "output_text", "text", text);
    const struct model_answer answer = {.text = proto_text(text),
                                        .items = proto_text(items = json_dumps(json, 0)),
                                        .model = proto_text("lab/one"),
                                        .profile = proto_text("lab:me"),
                                        .input_tokens = 3,
                                        .output_tokens = 2};
    struct message *message = actor_pack(model_answer, &answer);

    free(items);
    json_decref(json);
    return message;
}

/* "call ask axon hello & call tell nova hi" */
static struct message *call_answer(char *text)
{
    json_t *calls = json_array(), *items = json_array();
    int number = 0;
    char *rest = text, *one;

    while ((one = strsep(&rest, "&"))) {
        char tool[32] = "", agent[32] = "", said[256] = "", id[16];
        sscanf(one, " call %31s %31s %255[^\n]", tool, agent, said);
        snprintf(id, sizeof(id), "c%d", number++);
        json_t *arguments = json_pack("{s:s, s:s}", "agent", agent, "text", said);
        char *packed = json_dumps(arguments, 0);
        json_array_append_new(calls, json_pack("{s:s, s:s, s:s}", "call_id", id, "name", tool,
                                               "arguments", packed));
        json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s}", "type", "function_call",
                                               "call_id", id, "name", tool, "arguments", packed));
        free(packed);
        json_decref(arguments);
    }
    char *calls_text = json_dumps(calls, 0), *items_text = json_dumps(items, 0);
    const struct model_answer answer = {.calls = proto_text(calls_text),
                                        .items = proto_text(items_text)};
    struct message *message = actor_pack(model_answer, &answer);
    free(calls_text);
    free(items_text);
    json_decref(calls);
    json_decref(items);
    return message;
}

static int stream_answer(struct context *context)
{
    struct request_id request = context_defer(context);
    char all[256] = "";

    for (int i = 0; i < 10; i++) {
        char piece[16];
        snprintf(piece, sizeof(piece), "piece%d ", i);
        strncat(all, piece, sizeof(all) - strlen(all) - 1);
        const struct model_delta delta = {.text = proto_text(piece)};
        struct message *part = actor_pack(model_delta, &delta);
        if (context_part(context, request, part) == -EAGAIN)
            message_free(part);
    }
    return context_answer(context, request, text_answer(all));
}

static int on_model_call(struct model_state *state, struct context *context,
                         const struct model_call *call)
{
    struct swarm *swarm = state->swarm;
    char text[1024], answer[1100];
    bool is_output;

    swarm->model_calls++;
    proto_text_copy(call->input, swarm->last_input, sizeof(swarm->last_input));
    proto_text_copy(call->instructions, swarm->last_instructions,
                    sizeof(swarm->last_instructions));
    proto_text_copy(call->tools, swarm->last_tools, sizeof(swarm->last_tools));
    last_text(call->input.data, call->input.size, text, sizeof(text), &is_output);
    if (swarm->model_runs_away) {
        snprintf(text, sizeof(text), "call ask nobody x");
        return context_reply(context, call_answer(text));
    }
    if (is_output) {
        snprintf(answer, sizeof(answer), "heard %s", text);
        return context_reply(context, text_answer(answer));
    }
    if (strncmp(text, "call ", 5) == 0)
        return context_reply(context, call_answer(text));
    if (strncmp(text, "fail ", 5) == 0)
        return actor_reply_refusal(context, text + 5, "as you say", "wait");
    if (strcmp(text, "stream") == 0)
        return stream_answer(context);
    if (strncmp(text, "hold", 4) == 0) {
        assert_true(state->held_count < HELD_MAX);
        state->held[state->held_count++] = context_defer(context);
        return 0;
    }
    snprintf(answer, sizeof(answer), "echo %s", text);
    return context_reply(context, text_answer(answer));
}

/* A tell from the test: let go. */
static int on_done(struct model_state *state, struct context *context, const struct done *done)
{
    (void)done;
    while (state->held_count > 0)
        context_answer(context, state->held[--state->held_count], text_answer("released"));
    return 0;
}

ACTOR_HANDLER(model_call)
ACTOR_HANDLER(done)

static const struct actor_handler model_handlers[] = {
    ACTOR_ROW(model_call, FROM_LOCAL),
    ACTOR_ROW(done, FROM_LOCAL),
    ACTOR_ROW_END,
};

static const struct actor_ops model_ops = {.name = "model",
                                           .state_size = sizeof(struct model_state),
                                           .decode = proto_unpack,
                                           .handlers = model_handlers,
                                           .start = model_start};

/* ---- the asker ----------------------------------------------------------------------------- */

enum { ORDER_ASK = 0xff10, ORDER_TELL, ORDER_DRAIN, ORDER_GIVE_UP, ORDER_CREDIT };

struct order {
    uint64_t tag;
    uint32_t credit;
    char agent[64], session[64], path[64], text[1024];
};

struct asker {
    struct swarm *swarm;
    struct request_id requests[SWARM_NOTES_MAX];
};

static int asker_start(void *state, struct context *context, const void *config)
{
    (void)context;
    ((struct asker *)state)->swarm = (struct swarm *)(uintptr_t)config;
    return 0;
}

static struct note *note_new(struct swarm *swarm, uint64_t tag, const char *kind)
{
    assert_true(swarm->note_count < SWARM_NOTES_MAX);
    struct note *note = &swarm->notes[swarm->note_count++];

    *note = (struct note){.tag = tag};
    snprintf(note->kind, sizeof(note->kind), "%s", kind);
    return note;
}

static int obey(void *state, struct context *context, const void *body)
{
    struct asker *asker = state;
    const struct order *order = (const void *)context_message(context)->body;
    const struct agent_ask ask = {.session = proto_text(order->session),
                                  .text = proto_text(order->text),
                                  .from = proto_text("user"),
                                  .path = proto_text(order->path)};
    const struct agent_tell tell = {.session = proto_text(order->session),
                                    .text = proto_text(order->text),
                                    .from = proto_text("user"),
                                    .path = proto_text(order->path)};
    const struct agent_drain drain = {.why = proto_text("a test")};
    const struct request_options options = {.tag = order->tag,
                                            .credit = asker->swarm->credit,
                                            .ret_request = &asker->requests[order->tag]};
    struct actor_id agent = context_lookup(context, order->agent);

    (void)body;
    switch (context_message(context)->type) {
    case ORDER_ASK:
        return context_request(context, agent, actor_pack(agent_ask, &ask), &options);
    case ORDER_TELL:
        return context_request(context, agent, actor_pack(agent_tell, &tell), &options);
    case ORDER_DRAIN:
        return context_request(context, agent, actor_pack(agent_drain, &drain), &options);
    case ORDER_GIVE_UP:
        context_cancel(context, asker->requests[order->tag]);
        return 0;
    default:
        context_credit(context, asker->requests[order->tag], order->credit);
        return 0;
    }
}

static int on_agent_delta(struct asker *asker, struct context *context,
                          const struct agent_delta *delta)
{
    struct note *note = note_new(asker->swarm, context_tag(context), "delta");

    proto_text_copy(delta->text, note->text, sizeof(note->text));
    if (asker->swarm->give_credit)
        context_credit(context, asker->requests[context_tag(context)], 1);
    return 0;
}

static int on_agent_answer(struct asker *asker, struct context *context,
                           const struct agent_answer *answer)
{
    struct note *note = note_new(asker->swarm, context_tag(context), "answer");

    proto_text_copy(answer->text, note->text, sizeof(note->text));
    proto_text_copy(answer->note, note->extra, sizeof(note->extra));
    note->turn = answer->turn;
    return 0;
}

static int on_refusal(struct asker *asker, struct context *context, const struct refusal *refusal)
{
    struct note *note = note_new(asker->swarm, context_tag(context), "refusal");

    proto_text_copy(refusal->code, note->text, sizeof(note->text));
    proto_text_copy(refusal->why, note->extra, sizeof(note->extra));
    return 0;
}

static int on_told(struct asker *asker, struct context *context, const struct done *done)
{
    (void)done;
    note_new(asker->swarm, context_tag(context), "done");
    return 0;
}

static int asker_status(void *state, struct context *context, uint64_t tag,
                        enum runtime_status status)
{
    struct asker *asker = state;
    struct note *note = note_new(asker->swarm, tag, "status");

    (void)context;
    snprintf(note->text, sizeof(note->text), "%s", runtime_status_name(status));
    return 0;
}

static int handle_told(void *state, struct context *context, const void *message)
{
    return on_told(state, context, message);
}
ACTOR_HANDLER(agent_delta)
ACTOR_HANDLER(agent_answer)
ACTOR_HANDLER(refusal)

static const struct actor_handler asker_handlers[] = {
    {ORDER_ASK, FROM_LOCAL, "order", NULL, obey},
    {ORDER_TELL, FROM_LOCAL, "order", NULL, obey},
    {ORDER_DRAIN, FROM_LOCAL, "order", NULL, obey},
    {ORDER_GIVE_UP, FROM_LOCAL, "order", NULL, obey},
    {ORDER_CREDIT, FROM_LOCAL, "order", NULL, obey},
    {MSG_done, FROM_ANSWER, "done", &done_schema, handle_told},
    ACTOR_ROW(agent_delta, FROM_ANSWER),
    ACTOR_ROW(agent_answer, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW_END,
};

static const struct actor_ops asker_ops = {.name = "asker",
                                           .state_size = sizeof(struct asker),
                                           .decode = proto_unpack,
                                           .handlers = asker_handlers,
                                           .start = asker_start,
                                           .on_status = asker_status};

/* ---- the swarm ----------------------------------------------------------------------------- */

void swarm_open(struct swarm *swarm)
{
    *swarm = (struct swarm){.credit = 0, .give_credit = true, .max_queued = 3};
    assert_int_equal(temp_dir_make(swarm->folder), 0);
    swarm_start(swarm);
}

static void spawn(struct swarm *swarm, const struct actor_ops *ops, const void *config,
                  const char *name, bool pinned)
{
    const struct spawn_options options = {.name = name, .pinned = pinned};
    struct actor_id id;

    assert_int_equal(runtime_spawn(swarm->manual.runtime, ops, config, &options, &id), 0);
}

void swarm_journal(struct swarm *swarm)
{
    char root[128];
    const struct journal_config journal = {.root = root};

    snprintf(root, sizeof(root), "%s/state", swarm->folder);
    spawn(swarm, &journal_actor_ops, &journal, "journal", true);
}

static void start_actors(struct swarm *swarm)
{
    if (!swarm->journal_is_late)
        swarm_journal(swarm);
    spawn(swarm, &model_ops, swarm, "model", false);
    spawn(swarm, &asker_ops, swarm, "asker", false);
}

void swarm_start(struct swarm *swarm)
{
    manual_open(&swarm->manual);
    start_actors(swarm);
}

void swarm_start_threads(struct swarm *swarm)
{
    const struct runtime_options options = {
        .name = "test", .workers = 3, .log = manual_log, .log_arg = &swarm->manual};

    assert_int_equal(runtime_new(&options, &swarm->manual.runtime), 0);
    start_actors(swarm);
}

void swarm_agent(struct swarm *swarm, const char *id, const char *peers)
{
    char copy[128], *rest = copy, *one;
    const char *names[8];
    size_t count = 0;

    snprintf(copy, sizeof(copy), "%s", peers);
    while ((one = strsep(&rest, ",")))
        if (one[0])
            names[count++] = one;
    const struct agent_config config = {.id = id,
                                        .node = "home",
                                        .instructions = "be brief",
                                        .models = "lab/one",
                                        .peers = agent_names_new(names, count),
                                        .max_queued = swarm->max_queued};
    const struct agent_config *counted = agent_config_new(&config);

    assert_non_null(counted);
    agent_names_unref(config.peers);
    spawn(swarm, &agent_actor_ops, counted, id, false);
    agent_config_unref(counted);
}

void swarm_crash(struct swarm *swarm)
{
    manual_close(&swarm->manual);
}

void swarm_close(struct swarm *swarm)
{
    manual_close(&swarm->manual);
    temp_dir_remove(swarm->folder);
}

static void give_order(struct swarm *swarm, uint32_t type, const struct order *order)
{
    struct message *message = message_new(type, sizeof(*order));

    memcpy(message->body, order, sizeof(*order));
    assert_int_equal(runtime_post(swarm->manual.runtime,
                                  runtime_lookup(swarm->manual.runtime, "asker"), message),
                     0);
}

static struct order order_of(uint64_t tag, const char *agent, const char *text,
                             const char *session, const char *path)
{
    struct order order = {.tag = tag};

    snprintf(order.agent, sizeof(order.agent), "%s", agent);
    snprintf(order.text, sizeof(order.text), "%s", text);
    snprintf(order.session, sizeof(order.session), "%s", session);
    snprintf(order.path, sizeof(order.path), "%s", path);
    return order;
}

void swarm_ask_as(struct swarm *swarm, uint64_t tag, const char *agent, const char *text,
                  const char *session, const char *path)
{
    const struct order order = order_of(tag, agent, text, session, path);

    give_order(swarm, ORDER_ASK, &order);
}

void swarm_ask(struct swarm *swarm, uint64_t tag, const char *agent, const char *text)
{
    swarm_ask_as(swarm, tag, agent, text, "", "");
}

void swarm_tell(struct swarm *swarm, uint64_t tag, const char *agent, const char *text)
{
    const struct order order = order_of(tag, agent, text, "", "");

    give_order(swarm, ORDER_TELL, &order);
}

void swarm_drain(struct swarm *swarm, uint64_t tag, const char *agent)
{
    const struct order order = order_of(tag, agent, "", "", "");

    give_order(swarm, ORDER_DRAIN, &order);
    swarm_run(swarm);
}

void swarm_give_up(struct swarm *swarm, uint64_t tag)
{
    const struct order order = {.tag = tag};

    give_order(swarm, ORDER_GIVE_UP, &order);
    swarm_run(swarm);
}

void swarm_give_credit(struct swarm *swarm, uint64_t tag, uint32_t parts)
{
    const struct order order = {.tag = tag, .credit = parts};

    give_order(swarm, ORDER_CREDIT, &order);
    swarm_run(swarm);
}

void swarm_run(struct swarm *swarm)
{
    manual_run(&swarm->manual);
}

void swarm_release(struct swarm *swarm)
{
    const struct done done = {0};

    runtime_post(swarm->manual.runtime, runtime_lookup(swarm->manual.runtime, "model"),
                 actor_pack(done, &done));
    swarm_run(swarm);
}

const struct note *swarm_note(const struct swarm *swarm, uint64_t tag)
{
    for (size_t i = swarm->note_count; i-- > 0;)
        if (swarm->notes[i].tag == tag && strcmp(swarm->notes[i].kind, "delta") != 0)
            return &swarm->notes[i];
    return NULL;
}

size_t swarm_count(const struct swarm *swarm, uint64_t tag, const char *kind)
{
    size_t count = 0;

    for (size_t i = 0; i < swarm->note_count; i++)
        count += swarm->notes[i].tag == tag && strcmp(swarm->notes[i].kind, kind) == 0;
    return count;
}

void swarm_deltas(const struct swarm *swarm, uint64_t tag, char *ret_text, size_t size)
{
    size_t at = 0;

    ret_text[0] = 0;
    for (size_t i = 0; i < swarm->note_count; i++)
        if (swarm->notes[i].tag == tag && strcmp(swarm->notes[i].kind, "delta") == 0)
            at += (size_t)snprintf(ret_text + at, size - at, "%s", swarm->notes[i].text);
}

void swarm_transcript(const struct swarm *swarm, const char *agent, const char *session,
                      char ret_types[512], char *ret_lines, size_t size)
{
    char path[256], line[8192], type[32];
    size_t types = 0, lines = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/state/agents/%s/%s.jsonl", swarm->folder, agent, session);
    file = fopen(path, "re");
    ret_types[0] = 0;
    while (file && fgets(line, sizeof(line), file)) {
        assert_int_equal(sscanf(line, "{\"type\":\"%31[a-z]\"", type), 1);
        if (types < 480)
            types += (size_t)snprintf(ret_types + types, 512 - types, "%s ", type);
        if (ret_lines)
            lines += (size_t)snprintf(ret_lines + lines, size - lines, "%s", line);
    }
    if (file)
        fclose(file);
}
