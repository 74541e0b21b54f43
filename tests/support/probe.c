/* SPDX-License-Identifier: Apache-2.0 */
#include "support/probe.h"

#include "proto/model.h"
#include "proto/system.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX (1u << 20)
#define WAIT_SECONDS 30

/* Orders from outside, as raw messages: the body is a struct order. */
enum { ORDER_SEND = 0x7f01, ORDER_CREDIT, ORDER_CANCEL };
struct order {
    unsigned call;
    uint32_t parts;
};

struct probe_state {
    struct probe *probe;
};

static struct probe_call *call_of(struct probe *probe, uint64_t tag)
{
    assert(tag < PROBE_CALLS_MAX);
    return &probe->calls[tag];
}

static void append(struct probe_call *call, struct proto_text bytes)
{
    call->bytes += bytes.size;
    if (bytes.size == 0 || call->text_size + bytes.size > TEXT_MAX)
        return;
    call->text = realloc(call->text, call->text_size + bytes.size + 1);
    assert(call->text);
    memcpy(call->text + call->text_size, bytes.data, bytes.size);
    call->text_size += bytes.size;
    call->text[call->text_size] = '\0';
}

static void *decode(const struct proto_schema *schema, const struct message *message, void *ret)
{
    int result = proto_unpack(schema, message->body, message->size, ret);
    assert(result == 0);
    return ret;
}

static void take_part(struct probe_call *call, const struct message *message)
{
    struct http_head head;
    struct http_chunk chunk;
    struct model_delta delta;
    call->parts++;
    if (message->type == MSG_http_head) {
        decode(&http_head_schema, message, &head);
        call->status = (unsigned)head.status;
        proto_text_copy(head.headers, call->head, sizeof(call->head));
    } else if (message->type == MSG_http_chunk) {
        decode(&http_chunk_schema, message, &chunk);
        append(call, chunk.bytes);
    } else if (message->type == MSG_model_delta) {
        decode(&model_delta_schema, message, &delta);
        append(call, delta.text);
    }
}

static void take_final(struct probe *probe, struct probe_call *call, const struct message *message)
{
    struct refusal refusal;
    struct http_end end;
    assert(!call->over);
    call->over = true;
    call->type = message->type;
    probe->over++;
    if (message->type == MSG_refusal) {
        decode(&refusal_schema, message, &refusal);
        proto_text_copy(refusal.code, call->code, sizeof(call->code));
        proto_text_copy(refusal.why, call->why, sizeof(call->why));
        call->until_ms = refusal.until_ms;
    } else if (message->type == MSG_http_end) {
        decode(&http_end_schema, message, &end);
        call->status = (unsigned)end.status;
    }
    call->answer = message_new(message->type, message->size);
    memcpy(call->answer->body, message->body, message->size);
}

static int on_answer(void *arg, struct context *context, const void *body)
{
    struct probe *probe = ((struct probe_state *)arg)->probe;
    struct probe_call *call = call_of(probe, context_tag(context));
    (void)body;
    pthread_mutex_lock(&probe->lock);
    bool part = context_is_part(context);
    if (part)
        take_part(call, context_message(context));
    else
        take_final(probe, call, context_message(context));
    pthread_cond_broadcast(&probe->changed);
    bool give = part && !call->keep_credit;
    pthread_mutex_unlock(&probe->lock);
    if (give)
        context_credit(context, call->request, 1);
    return 0;
}

static int on_status(void *arg, struct context *context, uint64_t tag, enum runtime_status status)
{
    struct probe *probe = ((struct probe_state *)arg)->probe;
    (void)context;
    pthread_mutex_lock(&probe->lock);
    call_of(probe, tag)->over = true;
    call_of(probe, tag)->runtime_status = status;
    probe->over++;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
    return 0;
}

static int on_order(void *arg, struct context *context, const void *body)
{
    struct probe *probe = ((struct probe_state *)arg)->probe;
    const struct message *message = context_message(context);
    struct order order;
    (void)body;
    memcpy(&order, message->body, sizeof(order));
    struct probe_call *call = call_of(probe, order.call);
    struct request_options options = {
        .deadline_ns = context_now_ns(context) +
                       (call->deadline_ns ? call->deadline_ns : 20000000000u),
        .tag = order.call,
        .credit = call->credit,
        .ret_request = &call->request};
    if (message->type == ORDER_SEND)
        context_request(context, probe->to, call->message, &options);
    else if (message->type == ORDER_CREDIT)
        context_credit(context, call->request, order.parts);
    else
        context_cancel(context, call->request);
    return 0;
}

static int start(void *arg, struct context *context, const void *config)
{
    (void)context;
    memcpy(arg, config, sizeof(struct probe_state));
    return 0;
}

static const struct actor_handler handlers[] = {
    {ORDER_SEND, FROM_LOCAL, "send", NULL, on_order},
    {ORDER_CREDIT, FROM_LOCAL, "credit", NULL, on_order},
    {ORDER_CANCEL, FROM_LOCAL, "cancel", NULL, on_order},
    {MSG_http_head, FROM_ANSWER, "http_head", NULL, on_answer},
    {MSG_http_chunk, FROM_ANSWER, "http_chunk", NULL, on_answer},
    {MSG_http_end, FROM_ANSWER, "http_end", NULL, on_answer},
    {MSG_model_delta, FROM_ANSWER, "model_delta", NULL, on_answer},
    {MSG_model_answer, FROM_ANSWER, "model_answer", NULL, on_answer},
    {MSG_refusal, FROM_ANSWER, "refusal", NULL, on_answer},
    {MSG_done, FROM_ANSWER, "done", NULL, on_answer},
    {0, 0, NULL, NULL, NULL},
};

static const struct actor_ops probe_ops = {
    .name = "probe",
    .state_size = sizeof(struct probe_state),
    .mailbox_limit = 65536,
    .handlers = handlers,
    .start = start,
    .on_status = on_status,
};

void probe_start(struct probe *probe, struct runtime *runtime, const char *to)
{
    struct probe_state state = {probe};
    memset(probe, 0, sizeof(*probe));
    pthread_mutex_init(&probe->lock, NULL);
    pthread_cond_init(&probe->changed, NULL);
    probe->runtime = runtime;
    probe->to = runtime_lookup(runtime, to);
    struct spawn_options options = {.name = NULL};
    int result = runtime_spawn(runtime, &probe_ops, &state, &options, &probe->id);
    assert(result == 0);
}

void probe_deinit(struct probe *probe)
{
    for (unsigned i = 0; i < probe->started; i++) {
        free(probe->calls[i].text);
        message_free(probe->calls[i].answer);
    }
    pthread_cond_destroy(&probe->changed);
    pthread_mutex_destroy(&probe->lock);
}

static void give_order(struct probe *probe, uint32_t type, struct order order)
{
    struct message *message = message_new(type, sizeof(order));
    memcpy(message->body, &order, sizeof(order));
    int result = runtime_post(probe->runtime, probe->id, message);
    assert(result == 0);
}

unsigned probe_send(struct probe *probe, struct message *message, uint32_t credit, bool keep_credit)
{
    unsigned number = probe->started++;
    assert(message && number < PROBE_CALLS_MAX);
    probe->calls[number].message = message;
    probe->calls[number].credit = credit;
    probe->calls[number].keep_credit = keep_credit;
    give_order(probe, ORDER_SEND, (struct order){number, 0});
    return number;
}

void probe_credit(struct probe *probe, unsigned call, uint32_t parts)
{
    give_order(probe, ORDER_CREDIT, (struct order){call, parts});
}

void probe_cancel(struct probe *probe, unsigned call)
{
    give_order(probe, ORDER_CANCEL, (struct order){call, 0});
}

void probe_wait_parts(struct probe *probe, unsigned call, unsigned parts)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_SECONDS;
    int result = 0;
    pthread_mutex_lock(&probe->lock);
    while (!probe->calls[call].over && probe->calls[call].parts < parts && result == 0)
        result = pthread_cond_timedwait(&probe->changed, &probe->lock, &until);
    pthread_mutex_unlock(&probe->lock);
    assert(result == 0);
}

void probe_wait(struct probe *probe, unsigned call)
{
    probe_wait_parts(probe, call, UINT32_MAX);
}
