/* SPDX-License-Identifier: Apache-2.0 */
/* A TokenActor on a bench: a runtime that runs when told, a clock moved by hand, a store in memory,
 * an exchange that does what the test says, and an asker that notes every answer. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "actors/handler.h"
#include "proto/system.h"
#include "proto/token.h"
#include "runtime/runtime.h"
#include "token/credential.h"
#include "support/store_memory.h"
#include "token/token.h"

#define MS_NS 1000000ull
#define SCRIPT_MAX 64
#define ANSWERS_MAX 512
#define ASK_TYPE 0x01f8u
#define CREDIT_TYPE 0x01f9u

/* ---- clock and random ----------------------------------------------------------------------- */

struct rig_clock {
    struct clock_port port;
    uint64_t now_ns;
    int64_t wall_offset_ms;
};

struct rig_random {
    struct random_port port;
    uint64_t state;
};

static inline uint64_t rig_now_ns(const struct clock_port *clock)
{
    return ((const struct rig_clock *)clock)->now_ns;
}

static inline int64_t rig_wall_ms(const struct clock_port *clock)
{
    const struct rig_clock *mine = (const struct rig_clock *)clock;

    return 1800000000000ll + (int64_t)(mine->now_ns / MS_NS) + mine->wall_offset_ms;
}

static inline void rig_fill(const struct random_port *port, void *ret_bytes, size_t size)
{
    struct rig_random *random = (struct rig_random *)(uintptr_t)port;

    for (size_t i = 0; i < size; i++) {
        random->state = random->state * 6364136223846793005ull + 1442695040888963407ull;
        ((uint8_t *)ret_bytes)[i] = (uint8_t)(random->state >> 56);
    }
}

/* ---- an exchange by script ------------------------------------------------------------------ */

struct script_call {
    struct exchange_request request;
    struct provider_rule rule;
    char refresh[256];
    uint64_t id;
    bool at_gate, gated, open, ended;
};

struct script {
    struct exchange_port port;
    struct script_call calls[SCRIPT_MAX];
    size_t count;
    int fail_start;
    /* > 0: each exchange is answered by itself, with a fresh token of that many seconds. */
    unsigned auto_life_s;
    unsigned issued;
};

static inline int script_start(struct exchange_port *port, const struct exchange_request *request,
                               uint64_t *ret_id)
{
    struct script *script = (struct script *)port;
    struct script_call *call = &script->calls[script->count];

    if (script->fail_start != 0)
        return script->fail_start;
    assert_true(script->count < SCRIPT_MAX);
    *call = (struct script_call){.request = *request, .rule = *request->rule,
                                 .id = ++script->count};
    snprintf(call->refresh, sizeof(call->refresh), "%s", secret_data(request->refresh));
    *ret_id = call->id;
    return 0;
}

static inline void script_gate(struct exchange_port *port, uint64_t id, bool open)
{
    struct script_call *call = &((struct script *)port)->calls[id - 1];

    assert_false(call->gated);
    call->gated = true;
    call->open = open;
}

static inline void script_reach_gate(struct script_call *call)
{
    call->at_gate = true;
    call->request.at_gate(call->request.arg, call->id);
}

static inline void script_end(struct script_call *call, enum exchange_end end, long status,
                              const char *body)
{
    struct exchange_result result = {.end = end, .http_status = status};

    if (body != NULL)
        result.body = secret_new(body, strlen(body));
    snprintf(result.error, sizeof(result.error), "scripted");
    call->ended = true;
    call->request.done(call->request.arg, call->id, &result);
    assert_null(result.body);
}

/* Those that run end, as with a process; the owner may have gone before. */
static inline void script_close(struct exchange_port *port)
{
    struct script *script = (struct script *)port;

    for (size_t i = 0; i < script->count; i++)
        if (!script->calls[i].ended)
            script_end(&script->calls[i],
                       script->calls[i].open ? EXCHANGE_UNKNOWN : EXCHANGE_NOT_SENT, 0, NULL);
}

/* What stands still is moved on; true: something was. */
static inline bool script_step(struct script *script)
{
    bool moved = false;

    for (size_t i = 0; i < script->count; i++) {
        struct script_call *call = &script->calls[i];
        char body[256];

        if (call->ended || script->auto_life_s == 0)
            continue;
        if (!call->at_gate) {
            script_reach_gate(call);
            moved = true;
        } else if (call->gated && !call->open) {
            script_end(call, EXCHANGE_NOT_SENT, 0, NULL);
            moved = true;
        } else if (call->gated) {
            script->issued++;
            snprintf(body, sizeof(body),
                     "{\"access_token\":\"access-%u\",\"refresh_token\":\"refresh-%u\","
                     "\"expires_in\":%u}",
                     script->issued, script->issued, script->auto_life_s);
            script_end(call, EXCHANGE_ANSWERED, 200, body);
            moved = true;
        }
    }
    return moved;
}

/* ---- the asker ------------------------------------------------------------------------------ */

struct answer_row {
    uint64_t tag;
    bool part;
    uint32_t type, status;
    char code[64], text[512], outcome[32], state[32], account[64], reason[256];
    char origin[256], model[128];
    uint64_t generation, version, count, waited;
    int64_t expires_at_ms, cooling_until_ms, renew_at_ms, refresh_at_ms;
};

struct asker { /* and its config */
    struct answer_row *rows;
    size_t *count;
};

struct ask_order {
    struct actor_id to;
    struct message *message;
    uint64_t tag, deadline_ns;
    uint32_t credit;
    struct request_id *ret_request;
};

static inline struct answer_row *asker_row(struct asker *asker, struct context *context)
{
    struct answer_row *row = &asker->rows[(*asker->count)++];

    assert_true(*asker->count < ANSWERS_MAX);
    *row = (struct answer_row){.tag = context_tag(context), .part = context_is_part(context)};
    if (context_message(context) != NULL)
        row->type = context_message(context)->type;
    return row;
}

static inline int asker_on_order(void *state, struct context *context, const void *body)
{
    struct ask_order order;
    struct request_options options;

    (void)state;
    memcpy(&order, body, sizeof(order));
    options = (struct request_options){.tag = order.tag, .credit = order.credit,
                                       .deadline_ns = order.deadline_ns,
                                       .ret_request = order.ret_request};
    return context_request(context, order.to, order.message, &options);
}

struct credit_order {
    struct request_id request;
    uint32_t parts;
};

static inline int asker_on_credit_order(void *state, struct context *context, const void *body)
{
    struct credit_order order;

    (void)state;
    memcpy(&order, body, sizeof(order));
    context_credit(context, order.request, order.parts);
    return 0;
}

static inline int asker_on_grant(void *state, struct context *context, const void *body)
{
    const struct token_grant *grant = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(grant->access, row->text, sizeof(row->text));
    proto_text_copy(grant->account, row->account, sizeof(row->account));
    proto_text_copy(grant->origin, row->origin, sizeof(row->origin));
    row->generation = grant->generation;
    row->version = grant->version;
    proto_text_copy(grant->cooling_model, row->model, sizeof(row->model));
    row->expires_at_ms = grant->expires_at_ms;
    row->renew_at_ms = grant->renew_at_ms;
    row->cooling_until_ms = grant->cooling_until_ms;
    return 0;
}

static inline int asker_on_refusal(void *state, struct context *context, const void *body)
{
    const struct refusal *refusal = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(refusal->code, row->code, sizeof(row->code));
    proto_text_copy(refusal->why, row->text, sizeof(row->text));
    return 0;
}

static inline int asker_on_done(void *state, struct context *context, const void *body)
{
    asker_row(state, context)->count = ((const struct done *)body)->count;
    return 0;
}

static inline int asker_on_imported(void *state, struct context *context, const void *body)
{
    const struct token_imported *imported = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(imported->outcome, row->outcome, sizeof(row->outcome));
    proto_text_copy(imported->profile, row->text, sizeof(row->text));
    return 0;
}

static inline int asker_on_profile(void *state, struct context *context, const void *body)
{
    const struct token_profile *profile = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(profile->profile, row->text, sizeof(row->text));
    proto_text_copy(profile->state, row->state, sizeof(row->state));
    proto_text_copy(profile->reason, row->reason, sizeof(row->reason));
    proto_text_copy(profile->cooling_model, row->model, sizeof(row->model));
    row->cooling_until_ms = profile->cooling_until_ms;
    row->refresh_at_ms = profile->refresh_at_ms;
    row->generation = profile->generation;
    row->waited = profile->waited;
    return 0;
}

static inline int asker_on_status(void *state, struct context *context, uint64_t tag,
                                  enum runtime_status status)
{
    struct answer_row *row = asker_row(state, context);

    row->tag = tag;
    row->status = (uint32_t)status;
    return 0;
}

static inline int asker_start(void *state_, struct context *context, const void *config)
{
    (void)context;
    *(struct asker *)state_ = *(const struct asker *)config;
    return 0;
}

static const struct actor_handler asker_handlers[] = {
    {ASK_TYPE, FROM_LOCAL, "ask", NULL, asker_on_order},
    {CREDIT_TYPE, FROM_LOCAL, "credit", NULL, asker_on_credit_order},
    {MSG_token_grant, FROM_ANSWER, "token_grant", &token_grant_schema, asker_on_grant},
    {MSG_refusal, FROM_ANSWER, "refusal", &refusal_schema, asker_on_refusal},
    {MSG_done, FROM_ANSWER, "done", &done_schema, asker_on_done},
    {MSG_token_imported, FROM_ANSWER, "token_imported", &token_imported_schema,
     asker_on_imported},
    {MSG_token_profile, FROM_ANSWER, "token_profile", &token_profile_schema, asker_on_profile},
    {0, 0, NULL, NULL, NULL},
};

static const struct actor_ops asker_ops = {
    .name = "asker",
    .state_size = sizeof(struct asker),
    .mailbox_limit = 8192,
    .decode = proto_unpack,
    .handlers = asker_handlers,
    .start = asker_start,
    .on_status = asker_on_status,
};

/* ---- the rig -------------------------------------------------------------------------------- */

struct rig {
    struct rig_clock clock;
    struct rig_random random;
    struct runtime *runtime;
    struct memory_disk *disk;
    struct script script;
    struct token_config config;
    struct actor_id token, asker; /* `token` is whom rig_ask asks */
    const char *token_name;       /* NULL: "token" */
    struct answer_row rows[ANSWERS_MAX];
    size_t row_count;
    uint64_t tag;
    unsigned idles, drained, alarms;
    struct request_id last_request; /* of rig_send */
    char alarm[512];
    const struct provider_rule *rules;
    size_t rule_count;
};

static inline void rig_idle(void *arg, bool drained)
{
    struct rig *rig = arg;

    rig->idles++;
    rig->drained += drained;
}

static inline void rig_alarm(void *arg, const char *line)
{
    struct rig *rig = arg;

    rig->alarms++;
    snprintf(rig->alarm, sizeof(rig->alarm), "%s", line);
}

static inline int rig_load_rules(void *arg, const char *config_path, token_rule_sink sink_rule,
                                 void *sink, char *ret_why, size_t why_size)
{
    struct rig *rig = arg;

    if (strcmp(config_path, "bad.json") == 0) {
        snprintf(ret_why, why_size, "line 3: expected an object");
        return -EINVAL;
    }
    for (size_t i = 0; i < rig->rule_count; i++)
        sink_rule(sink, &rig->rules[i], "https://api.example.test");
    return 0;
}

static inline void rig_log(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

/* Each step below the one before, so a context kept beyond its turn is rubbish. False: no more. */
static inline bool rig_step_below(struct rig *rig, unsigned steps)
{
    char rubbish[16 << 10];

    memset(rubbish, 0xa5, sizeof(rubbish));
    __asm__ volatile("" : : "r"(rubbish) : "memory");
    return runtime_step(rig->runtime) && (steps == 1 || rig_step_below(rig, steps - 1));
}

static inline void rig_run(struct rig *rig)
{
    do {
        while (rig_step_below(rig, 64))
            continue;
    } while (script_step(&rig->script));
}

static inline void rig_pass(struct rig *rig, uint64_t ms)
{
    uint64_t end = rig->clock.now_ns + ms * MS_NS;

    rig_run(rig);
    while (runtime_next_timer_ns(rig->runtime) <= end) {
        uint64_t next = runtime_next_timer_ns(rig->runtime);

        if (next > rig->clock.now_ns)
            rig->clock.now_ns = next;
        rig_run(rig);
    }
    rig->clock.now_ns = end;
    rig_run(rig);
}

static inline void rig_start_token(struct rig *rig)
{
    struct spawn_options token = {.name = rig->token_name != NULL ? rig->token_name : "token"};

    rig->config.store = store_memory_new(rig->disk);
    assert_int_equal(runtime_spawn(rig->runtime, &token_ops, &rig->config, &token, &rig->token),
                     0);
}

static inline void rig_boot(struct rig *rig)
{
    struct runtime_options options = {.name = "keeper", .clock = &rig->clock.port,
                                      .random = &rig->random.port,
                                      .scheduler = SCHEDULER_MANUAL, .log = rig_log};
    struct spawn_options asker = {.name = "asker"};
    struct asker asker_config = {rig->rows, &rig->row_count};

    memset(&rig->script, 0, offsetof(struct script, auto_life_s));
    rig->script.port = (struct exchange_port){script_start, script_gate, script_close};
    rig->config.exchange = &rig->script.port;
    assert_int_equal(runtime_new(&options, &rig->runtime), 0);
    rig_start_token(rig);
    assert_int_equal(runtime_spawn(rig->runtime, &asker_ops, &asker_config, &asker, &rig->asker),
                     0);
    rig_run(rig);
}

static inline struct rig *rig_new(void)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->clock = (struct rig_clock){{rig_now_ns, rig_wall_ms}, 1000000000ull, 0};
    rig->random = (struct rig_random){{rig_fill}, 1};
    rig->disk = memory_disk_new();
    rig->config.load_rules = rig_load_rules;
    rig->config.idle = rig_idle;
    rig->config.alarm = rig_alarm;
    rig->config.arg = rig;
    memset(rig->config.boot_id, 3, 16);
    return rig;
}

/* As kill -9: the memory is gone, the disk stays. */
static inline void rig_crash(struct rig *rig)
{
    runtime_free(rig->runtime);
    rig->runtime = NULL;
    script_close(&rig->script.port);
}

static inline void rig_free(struct rig *rig)
{
    if (rig->runtime != NULL)
        rig_crash(rig);
    memory_disk_free(rig->disk);
    free(rig);
}

static inline uint64_t rig_send(struct rig *rig, struct message *message, uint32_t credit,
                                uint64_t deadline_ms)
{
    struct ask_order order = {.to = rig->token, .message = message, .tag = ++rig->tag,
                              .credit = credit, .ret_request = &rig->last_request,
                              .deadline_ns = rig->clock.now_ns + deadline_ms * MS_NS};
    struct message *post = message_new(ASK_TYPE, sizeof(order));

    assert_non_null(message);
    memcpy(post->body, &order, sizeof(order));
    assert_int_equal(runtime_post(rig->runtime, rig->asker, post), 0);
    rig_run(rig);
    return order.tag;
}

static inline void rig_credit(struct rig *rig, struct request_id request, uint32_t parts)
{
    struct credit_order order = {request, parts};
    struct message *post = message_new(CREDIT_TYPE, sizeof(order));

    assert_non_null(post);
    memcpy(post->body, &order, sizeof(order));
    assert_int_equal(runtime_post(rig->runtime, rig->asker, post), 0);
    rig_run(rig);
}

#define rig_ask(rig, name, ...)                                                                    \
    rig_send(rig, actor_pack(name, (&(struct name){__VA_ARGS__})), 0, 3600000)

/* The one final answer to a request; NULL: none yet. */
static inline const struct answer_row *rig_answer(const struct rig *rig, uint64_t tag)
{
    const struct answer_row *found = NULL;

    for (size_t i = 0; i < rig->row_count; i++)
        if (rig->rows[i].tag == tag && !rig->rows[i].part) {
            assert_null(found);
            found = &rig->rows[i];
        }
    return found;
}

static inline void assert_token(const struct rig *rig, uint64_t tag, const char *access)
{
    const struct answer_row *row = rig_answer(rig, tag);

    assert_non_null(row);
    assert_string_equal(row->code, "");
    assert_int_equal(row->type, MSG_token_grant);
    assert_string_equal(row->text, access);
}

static inline void assert_code(const struct rig *rig, uint64_t tag, const char *code)
{
    const struct answer_row *row = rig_answer(rig, tag);

    assert_non_null(row);
    assert_int_equal(row->type, MSG_refusal);
    assert_string_equal(row->code, code);
}

static inline bool rig_audit_has(const struct rig *rig, const char *words)
{
    for (size_t i = 0; memory_disk_audit(rig->disk, i) != NULL; i++)
        if (strstr(memory_disk_audit(rig->disk, i), words) != NULL)
            return true;
    return false;
}

static inline struct script_call *rig_call(struct rig *rig, size_t i)
{
    assert_true(i < rig->script.count);
    return &rig->script.calls[i];
}

static inline void rig_import(struct rig *rig)
{
    uint64_t tag = rig_ask(
        rig, token_import, .profile = proto_text("lab:me"), .provider = proto_text("lab"),
        .mode = proto_text("oauth"), .access = proto_text("access-0"),
        .refresh = proto_text("refresh-0"),
        .expires_at_ms = rig_wall_ms(&rig->clock.port) + 60000, .take_over = true,
        .config = proto_text("good.json"));

    assert_non_null(rig_answer(rig, tag));
    assert_string_equal(rig_answer(rig, tag)->code, "");
    assert_string_equal(rig_answer(rig, tag)->outcome, "stored");
}

/* A provider "lab" known from the config, and one login of it, imported. */
static inline struct rig *rig_with_login_as(struct provider_rule *rule, enum rotation rotation,
                                            const char *token_name)
{
    struct rig *rig = rig_new();

    rig->token_name = token_name;
    memset(rule, 0, sizeof(*rule));
    snprintf(rule->id, sizeof(rule->id), "lab");
    snprintf(rule->token_url, sizeof(rule->token_url), "https://login.example.test/token");
    snprintf(rule->client_id, sizeof(rule->client_id), "lab");
    snprintf(rule->expiry, sizeof(rule->expiry), "expires_in");
    rule->rotation = rotation;
    rule->grace_seconds = 30;
    rig->rules = rule;
    rig->rule_count = 1;
    rig_boot(rig);
    rig_import(rig);
    return rig;
}

static inline struct rig *rig_with_login(struct provider_rule *rule, enum rotation rotation)
{
    return rig_with_login_as(rule, rotation, "token");
}
