/* SPDX-License-Identifier: Apache-2.0 */
/* The actor at each end. Whatever it begins carries the next number, an answer the number of its
 * request, a part its place in the stream; so who hears them can tell order and repetition. */
#include "transport_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILL 'x'

static struct voice *voice_of(void *state)
{
    return *(struct voice **)state;
}

static struct message *make(const struct voice *voice, uint32_t type, uint32_t number)
{
    size_t size = voice->size != 0 ? voice->size : sizeof(number);
    struct message *message = message_new(type, size);
    assert_non_null(message);
    memset(message->body, FILL, size);
    memcpy(message->body, &number, sizeof(number));
    message->flags = voice->flags;
    return message;
}

static uint32_t number_in(struct voice *voice, const struct message *message)
{
    uint32_t number = 0;
    if (message->size < sizeof(number)) {
        voice->disorder++;
        return 0;
    }
    memcpy(&number, message->body, sizeof(number));
    for (size_t i = sizeof(number); i < message->size; i++)
        voice->disorder += message->body[i] != FILL;
    return number;
}

static unsigned amount_of(const struct voice *voice)
{
    return voice->amount != 0 ? voice->amount : 1;
}

/* ---- what it says --------------------------------------------------------------------------- */

static void tell(struct voice *voice, struct context *context)
{
    context_send(context, voice->to, make(voice, TELL, ++voice->said));
}

static void ask(struct voice *voice, struct context *context)
{
    struct request_options options = {.credit = voice->credit, .ret_request = &voice->asked};
    if (voice->deadline_ns != 0)
        options.deadline_ns = context_now_ns(context) + voice->deadline_ns;
    voice->trace = context_message(context)->trace;
    assert_int_equal(
        context_request(context, voice->to, make(voice, ASK, ++voice->said), &options), 0);
}

int act_tell(struct voice *voice, struct context *context)
{
    for (unsigned i = 0; i < amount_of(voice); i++)
        tell(voice, context);
    return 0;
}

int act_ask(struct voice *voice, struct context *context)
{
    for (unsigned i = 0; i < amount_of(voice); i++)
        ask(voice, context);
    return 0;
}

int act_tell_and_ask(struct voice *voice, struct context *context)
{
    for (unsigned i = 0; i < amount_of(voice); i++) {
        tell(voice, context);
        ask(voice, context);
    }
    return 0;
}

int act_answer_held(struct voice *voice, struct context *context)
{
    for (unsigned i = 0; i < voice->held_count; i++)
        context_answer(context, voice->held[i], make(voice, ANSWER, i + 1));
    voice->held_count = 0;
    return 0;
}

int act_tell_and_answer_held(struct voice *voice, struct context *context)
{
    act_tell(voice, context);
    return act_answer_held(voice, context);
}

int act_credit(struct voice *voice, struct context *context)
{
    context_credit(context, voice->asked, 3);
    return 0;
}

int act_cancel(struct voice *voice, struct context *context)
{
    context_cancel(context, voice->asked);
    return 0;
}

int act_watch(struct voice *voice, struct context *context)
{
    (void)voice;
    context_watch_links(context);
    return 0;
}

int act_monitor(struct voice *voice, struct context *context)
{
    context_monitor(context, voice->to);
    return 0;
}

int act_stop(struct voice *voice, struct context *context)
{
    (void)voice;
    (void)context;
    return -EIO;
}

/* ---- what it hears -------------------------------------------------------------------------- */

static void heard(struct voice *voice, struct context *context)
{
    const struct message *message = context_message(context);
    uint32_t number = number_in(voice, message);
    voice->disorder += number <= voice->heard;
    voice->early += voice->ups == voice->downs;
    voice->heard = number;
    voice->last = *message;
    voice->left_ns = message->deadline_ns - context_now_ns(context);
    voice->kind = context_sender_kind(context);
    strncpy(voice->peer, context_sender_peer(context), sizeof(voice->peer) - 1);
}

static int on_do(void *state, struct context *context, const void *body)
{
    struct voice *voice = voice_of(state);
    (void)body;
    voice->acted = true;
    return voice->act(voice, context);
}

static int on_tell(void *state, struct context *context, const void *body)
{
    (void)body;
    voice_of(state)->tells++;
    heard(voice_of(state), context);
    return 0;
}

static void go_on(struct voice *voice, struct context *context)
{
    while (voice->parts_said < amount_of(voice)) {
        struct message *part = make(voice, PART, voice->parts_said + 1);
        int error = context_part(context, voice->streaming, part);
        if (error == -EAGAIN) {
            message_free(part);
            return;
        }
        voice->parts_said++;
    }
    context_answer(context, voice->streaming, make(voice, ANSWER, voice->heard));
    voice->streaming.n = 0;
}

static int on_ask(void *state, struct context *context, const void *body)
{
    struct voice *voice = voice_of(state);
    const struct message *message = context_message(context);
    (void)body;
    voice->asks++;
    heard(voice, context);
    switch (voice->way) {
    case WAY_BUSY:
        return context_reply_status(context, STATUS_BUSY, 1234);
    case WAY_HOLD:
        assert_true(voice->held_count < HELD_MAX);
        voice->held[voice->held_count++] = context_defer(context);
        return 0;
    case WAY_STREAM:
        voice->parts_said = 0;
        voice->streaming = context_defer(context);
        go_on(voice, context);
        return 0;
    case WAY_TELL_BACK:
        context_send(context, message->from, make(voice, TELL, ++voice->said));
        break;
    case WAY_REPLY:
        break;
    }
    return context_reply(context, make(voice, ANSWER, voice->heard));
}

static int on_answer(void *state, struct context *context, const void *body)
{
    struct voice *voice = voice_of(state);
    uint32_t number = number_in(voice, context_message(context));
    (void)body;
    voice->answers++;
    voice->disorder += number <= voice->answered;
    voice->answered = number;
    return 0;
}

static int on_part(void *state, struct context *context, const void *body)
{
    struct voice *voice = voice_of(state);
    uint32_t number = number_in(voice, context_message(context));
    (void)body;
    voice->parts++;
    voice->disorder += number != context_message(context)->part + 1 || !context_is_part(context);
    return 0;
}

static int on_status(void *state, struct context *context, uint64_t tag,
                     enum runtime_status status)
{
    struct voice *voice = voice_of(state);
    const struct message *message = context_message(context);
    (void)tag;
    voice->statuses[status]++;
    voice->retry_after_ms = message != NULL ? message->retry_after_ms : 0;
    return 0;
}

static int on_credit(void *state, struct context *context, struct request_id request)
{
    struct voice *voice = voice_of(state);
    voice->disorder += request.n != voice->streaming.n;
    go_on(voice, context);
    return 0;
}

static int on_cancel(void *state, struct context *context, struct request_id request)
{
    (void)context;
    (void)request;
    voice_of(state)->cancels++;
    return 0;
}

static int on_down(void *state, struct context *context, struct actor_id who,
                   enum exit_reason reason, int error)
{
    struct voice *voice = voice_of(state);
    (void)context;
    (void)who;
    voice->deaths++;
    voice->reason = reason;
    voice->error = error;
    return 0;
}

static int on_link(void *state, struct context *context, const char *peer, bool up)
{
    struct voice *voice = voice_of(state);
    (void)peer;
    *(up ? &voice->ups : &voice->downs) += 1;
    if (up && voice->first_words)
        tell(voice, context);
    return 0;
}

static int start(void *state, struct context *context, const void *config)
{
    *(struct voice **)state = (struct voice *)(uintptr_t)config;
    voice_of(state)->self = context_self(context);
    context_watch_links(context);
    return 0;
}

static const struct actor_handler handlers[] = {
    {TELL, FROM_ANYONE, "tell", NULL, on_tell},
    {ASK, FROM_ANYONE, "ask", NULL, on_ask},
    {ANSWER, FROM_ANSWER, "answer", NULL, on_answer},
    {PART, FROM_ANSWER, "part", NULL, on_part},
    {DO, FROM_LOCAL, "do", NULL, on_do},
    {0},
};

const struct actor_ops voice_ops = {
    .name = "voice",
    .state_size = sizeof(struct voice *),
    .mailbox_limit = 8192, /* so that it is the link that is full */
    .handlers = handlers,
    .start = start,
    .on_status = on_status,
    .on_credit = on_credit,
    .on_cancel = on_cancel,
    .on_down = on_down,
    .on_link = on_link,
};

void act(struct voice *voice, int (*what)(struct voice *voice, struct context *context))
{
    voice->act = what;
    voice->acted = false;
    assert_int_equal(runtime_post(voice->runtime, voice->self, message_new(DO, 0)), 0);
    while (!voice->acted)
        assert_true(runtime_step(voice->runtime));
}

unsigned all_statuses(const struct voice *voice)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < STATUS_COUNT; i++)
        sum += voice->statuses[i];
    return sum;
}
