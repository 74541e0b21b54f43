/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_ask: a thread that is not ours asks an actor. It gets a short-lived actor of its own that
 * asks in its place, so that deadlines, deaths and links are the same as for everyone. */
#include <errno.h>

#include "core.h"

struct ask {
    struct actor_id to;
    struct message *message, *answer;
    uint64_t timeout_ns;
    _Atomic uint32_t done; /* futex */
};

struct ask_state {
    struct ask *ask;
};

static int ask_start(void *state_, struct context *context, const void *config)
{
    struct ask_state *state = state_;
    struct ask *ask = state->ask = *(struct ask *const *)config;
    uint64_t now_ns = context_now_ns(context);
    struct request_options options = {
        .deadline_ns = ask->timeout_ns < UINT64_MAX - now_ns ? now_ns + ask->timeout_ns
                                                             : UINT64_MAX - 1};
    struct message *message = ask->message;

    ask->message = NULL;
    return context_request(context, ask->to, message, &options);
}

static void ask_done(struct ask_state *state, struct message *answer)
{
    struct ask *ask = state->ask;

    if (!ask) {
        message_free(answer);
        return;
    }
    state->ask = NULL;
    ask->answer = answer;
    atomic_store_explicit(&ask->done, 1, memory_order_release);
    futex_wake(&ask->done, 1);
}

bool ask_take(struct context *context, struct message *message)
{
    struct ask_state *state = context->actor->state;

    if (context->actor->ops != &ask_ops || context->is_part)
        return false;
    context->stolen = true;
    ask_done(state, message);
    context_stop(context, 0);
    return true;
}

static int ask_on_status(void *state_, struct context *context, uint64_t tag,
                         enum runtime_status status)
{
    struct ask_state *state = state_;
    struct message *message = message_new(0, 0);

    (void)tag;
    if (message) {
        message->flags = MESSAGE_ANSWER | MESSAGE_STATUS;
        message->status = (uint16_t)status;
    }
    ask_done(state, message);
    context_stop(context, 0);
    return 0;
}

static void ask_stop(void *state_, struct context *context)
{
    struct ask_state *state = state_;

    if (state->ask)
        ask_on_status(state, context, 0, STATUS_SHUTDOWN);
}

const struct actor_ops ask_ops = {
    .name = "ask",
    .state_size = sizeof(struct ask_state),
    .start = ask_start,
    .stop = ask_stop,
    .on_status = ask_on_status,
};

/* Manual: nothing can run until somebody moves the clock. */
static int ask_give_up(struct runtime *runtime, struct actor_id id)
{
    struct ask_state *state = actor_find(runtime, id)->state;
    state->ask = NULL;
    runtime_stop_actor(runtime, id);
    return -EDEADLK;
}

int runtime_ask(struct runtime *runtime, struct actor_id to, struct message *message,
                uint64_t timeout_ns, struct message **ret_answer)
{
    struct ask ask = {.to = to, .message = message, .timeout_ns = timeout_ns};
    struct ask *pointer = &ask;
    struct actor_id id;

    int error = runtime_spawn(runtime, &ask_ops, &pointer, NULL, &id);
    if (error < 0) {
        message_free(ask.message);
        return error;
    }
    while (!atomic_load_explicit(&ask.done, memory_order_acquire)) {
        if (!runtime->manual)
            futex_wait(&ask.done, 0);
        else if (!runtime_step(runtime))
            return ask_give_up(runtime, id);
    }
    if (!ask.answer)
        return -ENOMEM;
    *ret_answer = ask.answer;
    return 0;
}
