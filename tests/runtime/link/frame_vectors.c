/* SPDX-License-Identifier: Apache-2.0 */
#include "frame_vectors.h"

#include "link/frame.h"
#include "runtime/message.h"

/* msgpack of token_get ["lab:me", 60000, "example", false], and of a done [0]. */
static const uint8_t token_get[] = {0x94, 0xa6, 'l', 'a', 'b', ':', 'm', 'e', 0xcd, 0xea, 0x60,
                                    0xa7, 'e',  'x', 'a', 'm', 'p', 'l', 'e', 0xc2};
/* agent_ask ["", "hi", "user", ""]. */
static const uint8_t agent_ask[] = {0x94, 0xa0, 0xa2, 'h', 'i', 0xa4, 'u', 's', 'e', 'r', 0xa0};
static const uint8_t done[] = {0x91, 0x00};

#define REQUEST                                                                                    \
    {                                                                                              \
        .type = 0x0101, .flags = MESSAGE_REQUEST, .request = 0x42,                  \
        .trace = 0x0102030405060708, .deadline_ms = 30000, .size = sizeof token_get,    \
        .to_size = 5, .to = "token", .body = token_get                                         \
    }
#define ANSWER(kind, number)                                                                       \
    {                                                                                              \
        .type = 0x0001, .flags = (kind), .request = 0x42,             \
        .trace = 0x0102030405060708, .part = (number), .size = sizeof done, .body = done           \
    }

static const struct {
    const char *name;
    enum frame_kind kind;
    unsigned count;
    struct frame_message messages[2];
} vectors[] = {
    {"hello", FRAME_HELLO, 0, {{0}}},
    {"welcome", FRAME_WELCOME, 0, {{0}}},
    {"refused", FRAME_REFUSED, 0, {{0}}},
    {"bye", FRAME_BYE, 0, {{0}}},
    {"request", FRAME_BATCH, 1, {REQUEST}},
    {"request_stream", FRAME_BATCH, 1,
     {{.type = 0x0301, .flags = MESSAGE_REQUEST, .request = 0x43, .trace = 0x43,
       .deadline_ms = 120000, .part = 8, .size = sizeof agent_ask, .to_size = 5,
       .from_size = 4, .to = "atlas", .from = "axon", .body = agent_ask}}},
    {"answer", FRAME_BATCH, 1, {ANSWER(MESSAGE_ANSWER, 0)}},
    {"part", FRAME_BATCH, 1, {ANSWER(MESSAGE_PART, 3)}},
    {"status", FRAME_BATCH, 1,
     {{.flags = MESSAGE_STATUS | MESSAGE_ANSWER, .status = STATUS_BUSY,
       .request = 0x42, .retry_after_ms = 250}}},
    {"credit", FRAME_BATCH, 1,
     {{.flags = MESSAGE_CREDIT, .request = 0x42, .size = 8}}},
    {"cancel", FRAME_BATCH, 1,
     {{.flags = MESSAGE_CANCEL, .request = 0x42}}},
    {"tell", FRAME_BATCH, 1,
     {{.type = 0x0104, .size = sizeof done, .to_size = 5, .to = "token", .body = done}}},
    {"batch", FRAME_BATCH, 2, {ANSWER(MESSAGE_PART, 4), ANSWER(MESSAGE_ANSWER, 0)}},
};

bool frame_vector_make(size_t i, struct frame_vector *ret_vector)
{
    if (i >= sizeof vectors / sizeof *vectors)
        return false;
    ret_vector->name = vectors[i].name;
    ret_vector->size = FRAME_HANDSHAKE_SIZE;
    struct frame_hello hello = {.peer_kind = vectors[i].kind == FRAME_HELLO ? 2 : 0,
                                .pid = 4242,
                                .incarnation = 0x1122334455667788,
                                .body_max = 4 << 20,
                                .program = "0.1.0"};
    snprintf(hello.name, sizeof hello.name, "%s",
             vectors[i].kind == FRAME_HELLO ? "example" : "home");
    switch (vectors[i].kind) {
    case FRAME_HELLO:
    case FRAME_WELCOME:
        frame_put_hello(ret_vector->bytes, vectors[i].kind, &hello);
        return true;
    case FRAME_REFUSED:
        frame_put_reason(ret_vector->bytes, FRAME_REFUSED, STATUS_VERSION,
                         "this process speaks protocol version 1");
        return true;
    case FRAME_BYE:
        frame_put_reason(ret_vector->bytes, FRAME_BYE, STATUS_SHUTDOWN, "shutting down");
        return true;
    case FRAME_BATCH:
        break;
    }
    ret_vector->size = FRAME_HEADER_SIZE;
    for (unsigned m = 0; m < vectors[i].count; m++)
        ret_vector->size +=
            frame_append(ret_vector->bytes + ret_vector->size, &vectors[i].messages[m]);
    frame_finish(ret_vector->bytes, (uint16_t)vectors[i].count, 1);
    return true;
}

void frame_vector_print(const struct frame_vector *vector, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < vector->size; i++) {
        *ret_text++ = digits[vector->bytes[i] >> 4];
        *ret_text++ = digits[vector->bytes[i] & 15];
    }
    *ret_text++ = '\n';
    *ret_text = '\0';
}
