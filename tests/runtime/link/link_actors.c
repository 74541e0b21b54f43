/* SPDX-License-Identifier: Apache-2.0 */
#include "link_actors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAMS_MAX 16

struct stream {
    struct request_id request;
    uint32_t next, end;
};

struct echo {
    struct stream streams[STREAMS_MAX];
    uint32_t counted, out_of_order;
};

static struct message *copy_of(uint32_t type, const void *body, size_t size)
{
    struct message *message = message_new(type, size);
    if (message != NULL && size > 0)
        memcpy(message->body, body, size);
    return message;
}

/* The first number of the body; a bad peer's noise may be too short for one. */
static uint32_t number_in(const struct context *context, const void *body)
{
    uint32_t number = 0;
    if (context_message(context)->size >= sizeof number)
        memcpy(&number, body, sizeof number);
    return number;
}

static int on_echo(void *state, struct context *context, const void *body)
{
    (void)state;
    const struct message *message = context_message(context);
    return context_reply(context, copy_of(TEST_ECHO, body, message->size));
}

static void go_on(struct context *context, struct stream *stream)
{
    while (stream->next < stream->end) {
        struct message *part = copy_of(TEST_STREAM, &stream->next, sizeof stream->next);
        int error = context_part(context, stream->request, part);
        if (error == -EAGAIN)
            message_free(part);
        if (error != 0)
            return;
        stream->next++;
    }
    context_answer(context, stream->request, copy_of(TEST_ECHO, &stream->end, 4));
    stream->request.n = 0;
}

static int on_stream(void *state, struct context *context, const void *body)
{
    struct echo *echo = state;
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        struct stream *stream = &echo->streams[i];
        if (stream->request.n != 0)
            continue;
        stream->end = number_in(context, body);
        stream->next = 0;
        stream->request = context_defer(context);
        go_on(context, stream);
        return 0;
    }
    return context_reply_status(context, STATUS_BUSY, 10);
}

static struct stream *find(struct echo *echo, struct request_id request)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (echo->streams[i].request.n == request.n)
            return &echo->streams[i];
    return NULL;
}

static int on_credit(void *state, struct context *context, struct request_id request)
{
    struct stream *stream = find(state, request);
    if (stream != NULL)
        go_on(context, stream);
    return 0;
}

static int on_cancel(void *state, struct context *context, struct request_id request)
{
    struct stream *stream = find(state, request);
    (void)context;
    if (stream != NULL)
        stream->request.n = 0;
    return 0;
}

static int on_large(void *state, struct context *context, const void *body)
{
    uint32_t size = number_in(context, body);
    struct message *message = message_new(TEST_ECHO, size);
    (void)state;
    if (message == NULL)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    memset(message->body, 'x', size);
    message->flags = MESSAGE_WIPE;
    return context_reply(context, message);
}

static int on_silent(void *state, struct context *context, const void *body)
{
    (void)state;
    (void)body;
    context_defer(context);
    return 0;
}

static int on_forward(void *state, struct context *context, const void *body)
{
    if (context_sender_kind(context) == FROM_NODE)
        return on_echo(state, context, body);
    context_forward(context, context_remote(context, "b", "echo")); /* answers a failure itself */
    return 0;
}

static int on_count(void *state, struct context *context, const void *body)
{
    struct echo *echo = state;
    uint32_t number = number_in(context, body);
    echo->out_of_order += number != echo->counted++;
    return 0;
}

static int on_counted(void *state, struct context *context, const void *body)
{
    struct echo *echo = state;
    uint32_t counts[2] = {echo->counted, echo->out_of_order};
    (void)body;
    echo->counted = echo->out_of_order = 0;
    return context_reply(context, copy_of(TEST_COUNTED, counts, sizeof counts));
}

static int on_end(void *state, struct context *context, const void *body)
{
    (void)state;
    (void)body;
    if (context_message(context)->size > 0) /* noise */
        return context_reply_status(context, STATUS_MALFORMED, 0);
    context_reply(context, copy_of(TEST_ECHO, "end", 3));
    runtime_stop(context_runtime(context));
    return 0;
}

static const struct actor_handler handlers[] = {
    {TEST_ECHO, FROM_ANYONE, "echo", NULL, on_echo},
    {TEST_STREAM, FROM_ANYONE, "stream", NULL, on_stream},
    {TEST_SILENT, FROM_ANYONE, "silent", NULL, on_silent},
    {TEST_FORWARD, FROM_ANYONE, "forward", NULL, on_forward},
    {TEST_COUNT, FROM_ANYONE, "count", NULL, on_count},
    {TEST_COUNTED, FROM_ANYONE, "counted", NULL, on_counted},
    {TEST_LARGE, FROM_ANYONE, "large", NULL, on_large},
    {TEST_END, FROM_ANYONE, "end", NULL, on_end},
    {0, 0, NULL, NULL, NULL},
};

const struct actor_ops link_echo_ops = {
    .name = "echo",
    .state_size = sizeof(struct echo),
    .mailbox_limit = 4096,
    .handlers = handlers,
    .on_credit = on_credit,
    .on_cancel = on_cancel,
};

static void log_nothing(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

struct runtime *link_test_runtime(const char *name, enum peer_kind kind)
{
    struct runtime *runtime;
    struct actor_id id;
    struct runtime_options options = {.name = name, .workers = 1, .log = log_nothing};
    struct link_options links = {.kind = kind};
    struct spawn_options spawn = {.name = "echo"};
    if (runtime_new(&options, &runtime) != 0 || link_start(runtime, &links) != 0 ||
        runtime_spawn(runtime, &link_echo_ops, NULL, &spawn, &id) != 0)
        abort();
    return runtime;
}
