/* SPDX-License-Identifier: Apache-2.0 */
/* One frame of a link. Input: the frame.
 *
 * A batch that is taken is turned into messages, as the transport does, and back: the same frame
 * must come out. Handshake records are read as text and number. */
#include "fuzz.h"
#include "link/message.h"
#include "runtime/message.h"

#define BODY_MAX 4096

static void name_copy(char *ret_name, const char *name, size_t size)
{
    assert(size <= FRAME_NAME_MAX);
    if (size > 0)
        memcpy(ret_name, name, size);
    ret_name[size] = '\0';
}

/* Time left of a deadline is rounded; everything else comes back as it was. */
static void compare(const struct frame_message *a, const struct frame_message *b)
{
    assert(a->type == b->type && a->flags == b->flags && a->status == b->status);
    assert(a->request == b->request && a->trace == b->trace && a->part == b->part);
    assert(a->size == b->size && a->retry_after_ms == b->retry_after_ms);
    assert(a->to_size == b->to_size && a->from_size == b->from_size);
    assert((a->deadline_ms == 0) == (b->deadline_ms == 0));
    bool body = !(a->flags & (MESSAGE_CREDIT | MESSAGE_CANCEL | MESSAGE_STATUS));
    assert(!body || a->size == 0 || memcmp(a->body, b->body, a->size) == 0);
}

static void round_trip(const struct frame_message *frame)
{
    static const uint64_t now_ns = 1000000000000;
    char to[FRAME_NAME_MAX + 1], from[FRAME_NAME_MAX + 1];
    struct frame_message again;

    name_copy(to, frame->to, frame->to_size);
    name_copy(from, frame->from, frame->from_size);
    struct message *message = frame_to_message(frame, now_ns);
    assert(message);
    frame_from_message(&again, message, to, from, now_ns);
    compare(frame, &again);

    size_t size = FRAME_HEADER_SIZE + frame_message_size(&again);
    uint8_t *bytes = malloc(size);
    struct frame_reader reader;
    assert(bytes);
    assert(frame_append(bytes + FRAME_HEADER_SIZE, &again) == size - FRAME_HEADER_SIZE);
    frame_finish(bytes, 1, 7);
    assert(frame_open(&reader, bytes, size, BODY_MAX) == FRAME_FAULT_NONE);
    assert(frame_next(&reader, &again));
    compare(frame, &again);
    assert(!frame_next(&reader, &again));
    free(bytes);
    message_free(message);
}

static void read_handshake(const struct frame_reader *reader)
{
    struct frame_hello hello;
    struct frame_reason reason;

    if (reader->kind == FRAME_HELLO || reader->kind == FRAME_WELCOME) {
        frame_get_hello(reader, &hello);
        assert(frame_name_is_valid(hello.name, strlen(hello.name)));
        assert(strlen(hello.program) <= FRAME_PROGRAM_MAX);
    } else {
        frame_get_reason(reader, &reason);
        assert(strlen(reason.text) <= FRAME_TEXT_MAX);
    }
}

static void one(const uint8_t *bytes, size_t size)
{
    struct frame_reader reader;
    struct frame_message message;
    unsigned count = 0;

    enum frame_fault fault = frame_open(&reader, bytes, size, BODY_MAX);
    assert(fault >= 0 && fault < FRAME_FAULTS_END && frame_fault_text(fault)[0] != '\0');
    if (fault != FRAME_FAULT_NONE)
        return;
    if (reader.kind != FRAME_BATCH) {
        read_handshake(&reader);
        return;
    }
    for (; frame_next(&reader, &message); count++)
        round_trip(&message);
    assert(count == reader.count);
}

FUZZ_TARGET(one, 16384, 4)
