/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <string.h>

#define NS_PER_MS 1000000u

static uint32_t ms_left(uint64_t deadline_ns, uint64_t now_ns)
{
    if (deadline_ns == 0)
        return 0;
    if (deadline_ns <= now_ns)
        return 1; /* 0 would mean none */
    uint64_t left_ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
}

void frame_from_message(struct frame_message *ret_frame, const struct message *message,
                        const char *to_name, const char *from_name, uint64_t now_ns)
{
    *ret_frame = (struct frame_message){
        .type = message->type,
        .flags = message->flags,
        .status = message->status,
        .request = message->request,
        .trace = message->trace,
        .deadline_ms = ms_left(message->deadline_ns, now_ns),
        .part = message->part,
        .size = message->size,
        .retry_after_ms = message->retry_after_ms,
        .to_size = (uint8_t)(to_name != NULL ? strlen(to_name) : 0),
        .from_size = (uint8_t)(from_name != NULL ? strlen(from_name) : 0),
        .to = to_name,
        .from = from_name,
        .body = message->body,
    };
}

struct message *frame_to_message(const struct frame_message *frame, uint64_t now_ns)
{
    bool has_body = !(frame->flags & (MESSAGE_CREDIT | MESSAGE_CANCEL | MESSAGE_STATUS));
    struct message *message = message_new(frame->type, has_body ? frame->size : 0);
    if (message == NULL)
        return NULL;
    message->flags = frame->flags;
    message->status = frame->status;
    message->request = frame->request;
    message->trace = frame->trace;
    message->deadline_ns =
        frame->deadline_ms != 0 ? now_ns + (uint64_t)frame->deadline_ms * NS_PER_MS : 0;
    message->size = frame->size;
    message->part = frame->part;
    message->retry_after_ms = frame->retry_after_ms;
    if (has_body && frame->size > 0)
        memcpy(message->body, frame->body, frame->size);
    return message;
}
