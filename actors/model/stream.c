/* SPDX-License-Identifier: Apache-2.0 */
/* The answer's stream, between the http actor and the caller.
 *
 * Text goes out as it is read, as far as the caller's credit reaches. Parts of the transfer are
 * given back as credit only when all text of theirs is out, so a caller that does not read stops
 * the transfer, down to the server. What is an error body rather than a stream is gathered, for the
 * fault it tells of. */
#include "call.h"

#include "actors/handler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_BODY_MAX (64u << 10)
#define CREDIT_BATCH 8 /* parts given back at a time, so that credit is not a message each */

int stream_open(struct call *call)
{
    const struct provider *provider = call->routes[call->route].provider;
    int result = reading_init(&call->reading, provider->api, provider->tool_space);
    call->reading_open = result == 0;
    call->reading.by = call->by;
    call->status = 0;
    call->streaming = false;
    call->owed = 0;
    return result;
}

void stream_close(struct call *call)
{
    if (call->reading_open)
        reading_deinit(&call->reading);
    call->reading_open = false;
    buffer_deinit(&call->error_body);
    free(call->headers);
    call->headers = NULL;
}

/* Some backends send no content type at all. HTML is a proxy's word, not the model's. */
static bool is_stream(struct proto_text headers)
{
    struct proto_text type = header_value(headers, "content-type");
    static const char wanted[] = "text/event-stream";
    return type.size == 0 || memmem(type.data, type.size, wanted, strlen(wanted));
}

void stream_take_head(struct call *call, struct context *context, const struct http_head *head)
{
    (void)context;
    call->owed++;
    call->status = (unsigned)head->status;
    call->streaming = head->status == 200 && is_stream(head->headers);
    free(call->headers);
    call->headers = strndup(head->headers.data ? head->headers.data : "", head->headers.size);
}

/* True when all text is out. */
static bool send_text(struct call *call, struct context *context)
{
    const struct buffer *text = &call->reading.text;
    if (call->quiet || call->sent >= text->size)
        return true;
    struct model_delta delta = {
        .text = {text->bytes + call->sent, (uint32_t)(text->size - call->sent)}};
    struct message *message = actor_pack(model_delta, &delta);
    int result = message ? context_part(context, call->request, message) : -ENOMEM;
    if (result == -EAGAIN)
        message_free(message);
    if (result == 0)
        call->sent = text->size;
    return result == 0;
}

void stream_flush(struct call *call, struct context *context)
{
    if (!send_text(call, context))
        return;
    if (call->step == STEP_FLUSH) {
        call_complete(call, context);
        return;
    }
    if (call->step != STEP_HTTP || call->owed < CREDIT_BATCH)
        return;
    context_credit(context, call->outgoing, call->owed);
    call->owed = 0;
}

void stream_take_chunk(struct call *call, struct context *context, const struct http_chunk *chunk)
{
    struct proto_text bytes = chunk->bytes;
    call->owed++;
    if (!call->streaming) {
        size_t room = ERROR_BODY_MAX - call->error_body.size;
        buffer_append(&call->error_body, bytes.data, bytes.size < room ? bytes.size : room,
                      ERROR_BODY_MAX);
    } else if (reading_feed(&call->reading, bytes.data, bytes.size, context_wall_ms(context)) < 0) {
        /* The transfer has told all it can. */
        context_cancel(context, call->outgoing);
        call_failed(call, context, &call->reading.fault);
        return;
    }
    stream_flush(call, context);
}

void stream_take_end(struct call *call, struct context *context)
{
    int64_t now_ms = context_wall_ms(context);
    struct fault fault = {0};
    if (!call->streaming) {
        fault_from_http(&fault, call->status, proto_text(call->headers), call->error_body.bytes,
                        call->error_body.size, now_ms);
        call_failed(call, context, &fault);
        return;
    }
    if (reading_finish(&call->reading, now_ms) < 0) {
        fault = call->reading.fault;
        call_failed(call, context, &fault);
        return;
    }
    call->step = STEP_FLUSH;
    stream_flush(call, context);
}
