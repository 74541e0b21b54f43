/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <string.h>

#include "runtime/message.h"

/* The layouts, as docs/wire.md has them. X(offset, bytes, field): a number, little-endian, and the
 * member of struct frame_message or frame_hello that it is. */
#define MESSAGE_NUMBERS(X)                                                                         \
    X(0, 4, type)                                                                                  \
    X(4, 2, flags)                                                                                 \
    X(6, 2, status)                                                                                \
    X(8, 8, request)                                                                               \
    X(16, 8, trace)                                                                                \
    X(24, 4, deadline_ms)                                                                          \
    X(28, 4, part)                                                                                 \
    X(32, 4, size)                                                                                 \
    X(36, 4, retry_after_ms)                                                                       \
    X(40, 1, to_size)                                                                              \
    X(41, 1, from_size)
#define HELLO_NUMBERS(X)                                                                           \
    X(16, 1, peer_kind)                                                                            \
    X(20, 4, pid)                                                                                  \
    X(24, 8, incarnation)                                                                          \
    X(32, 4, body_max)

/* The rest. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_KIND = 5,
    AT_COUNT = 6,
    AT_SEQUENCE = 8,

    AT_HELLO_RESERVED = 17,   /* 3 bytes */
    AT_HELLO_RESERVED_2 = 36, /* 4 bytes */
    AT_HELLO_NAME = 40,
    AT_HELLO_PROGRAM = 104,

    AT_REASON_STATUS = 16,
    AT_REASON_RESERVED = 18, /* 2 bytes */
    AT_REASON_TEXT = 20,

    AT_MESSAGE_RESERVED = 42, /* 2 bytes */
};

static const uint8_t magic[4] = {'Q', 'R', 'L', 'K'};

#define FLAGS_ROLE                                                                                 \
    (MESSAGE_REQUEST | MESSAGE_ANSWER | MESSAGE_PART | MESSAGE_CREDIT | MESSAGE_CANCEL)
#define FLAGS_HEADER_ONLY (MESSAGE_CREDIT | MESSAGE_CANCEL | MESSAGE_STATUS)
#define FLAGS_KNOWN                                                                                \
    (FLAGS_ROLE | MESSAGE_STATUS | MESSAGE_WIPE | MESSAGE_CONTROL | MESSAGE_UNTRACED |             \
     FRAME_FLAG_INTERNAL)

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static void put(uint8_t *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++, value >>= 8)
        at[i] = (uint8_t)value;
}

/* One field of a list, between the bytes `at` and the struct `ret` or `from`. */
#define GET(offset, bytes, field) ret->field = (__typeof__(ret->field))get(at + (offset), bytes);
#define PUT(offset, bytes, field) put(at + (offset), bytes, from->field);

static bool is_zero(const uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (at[i] != 0)
            return false;
    return true;
}

/* Text in a fixed field: ends with a NUL, zeroes up to the end. */
static bool is_padded(const uint8_t *at, size_t size)
{
    size_t length = strnlen((const char *)at, size);
    return length < size && is_zero(at + length, size - length);
}

static bool is_printable(const char *text, size_t size, char lowest)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < lowest || text[i] > '~')
            return false;
    return true;
}

bool frame_name_is_valid(const char *name, size_t size)
{
    return size > 0 && size <= FRAME_NAME_MAX && is_printable(name, size, '!');
}

const char *frame_fault_text(enum frame_fault fault)
{
    static const char *const texts[] = {
#define X(name, text) text,
        FRAME_FAULTS(X)
#undef X
    };
    return (unsigned)fault < FRAME_FAULTS_END ? texts[fault] : "?";
}

/* ---- checking --------------------------------------------------------------------------- */

static enum frame_fault check_hello(const uint8_t *at)
{
    const uint8_t *name = at + AT_HELLO_NAME;
    const uint8_t *program = at + AT_HELLO_PROGRAM;
    if (!is_zero(at + AT_HELLO_RESERVED, 3) || !is_zero(at + AT_HELLO_RESERVED_2, 4))
        return FRAME_FAULT_RESERVED;
    if (!is_padded(name, FRAME_NAME_MAX + 1) || !is_padded(program, FRAME_PROGRAM_MAX + 1))
        return FRAME_FAULT_NAME;
    if (!frame_name_is_valid((const char *)name, strlen((const char *)name)))
        return FRAME_FAULT_NAME;
    if (!is_printable((const char *)program, strlen((const char *)program), '!'))
        return FRAME_FAULT_NAME;
    return FRAME_FAULT_NONE;
}

static enum frame_fault check_reason(const uint8_t *at)
{
    const uint8_t *text = at + AT_REASON_TEXT;
    if (!is_zero(at + AT_REASON_RESERVED, 2))
        return FRAME_FAULT_RESERVED;
    if (!is_padded(text, FRAME_TEXT_MAX + 1) ||
        !is_printable((const char *)text, strlen((const char *)text), ' '))
        return FRAME_FAULT_NAME;
    return FRAME_FAULT_NONE;
}

static bool flags_agree(const struct frame_message *message)
{
    unsigned role = message->flags & FLAGS_ROLE;
    bool is_status = message->flags & MESSAGE_STATUS;
    if (message->flags & ~FLAGS_KNOWN || (role & (role - 1)) != 0)
        return false;
    if (is_status && role != MESSAGE_ANSWER)
        return false;
    if (message->flags & FRAME_FLAG_INTERNAL && role == 0)
        return false;
    if (!is_status && message->status != 0)
        return false;
    return (message->request != 0) == (role != 0);
}

static bool names_agree(const struct frame_message *message)
{
    bool begins = (message->flags & FLAGS_ROLE & ~MESSAGE_REQUEST) == 0;
    if (begins ? !frame_name_is_valid(message->to, message->to_size) : message->to_size != 0)
        return false;
    return message->from_size == 0 || frame_name_is_valid(message->from, message->from_size);
}

/* `room` is what the frame has after this message's header. */
static enum frame_fault check_message(const struct frame_message *message, uint64_t reserved,
                                      size_t room, size_t body_max)
{
    size_t names = (size_t)message->to_size + message->from_size;
    if (!flags_agree(message))
        return FRAME_FAULT_FLAGS;
    if (reserved != 0)
        return FRAME_FAULT_RESERVED;
    if (names > room)
        return FRAME_FAULT_LENGTH;
    if (!names_agree(message))
        return FRAME_FAULT_NAME;
    if (message->flags & FLAGS_HEADER_ONLY)
        return message->flags & MESSAGE_CREDIT || message->size == 0 ? FRAME_FAULT_NONE
                                                                     : FRAME_FAULT_LENGTH;
    if (message->size > body_max || message->size > room - names)
        return FRAME_FAULT_LENGTH;
    return FRAME_FAULT_NONE;
}

/* Reads the header at `at`; whether names and body are inside the frame is not yet known. */
static void read_message(const uint8_t *at, struct frame_message *ret)
{
    const uint8_t *names = at + FRAME_MESSAGE_SIZE;
    MESSAGE_NUMBERS(GET)
    ret->to = (const char *)names;
    ret->from = ret->to + ret->to_size;
    ret->body = names + ret->to_size + ret->from_size;
}

static size_t body_size(const struct frame_message *message)
{
    return message->flags & FLAGS_HEADER_ONLY ? 0 : message->size;
}

size_t frame_message_size(const struct frame_message *message)
{
    return FRAME_MESSAGE_SIZE + message->to_size + message->from_size + body_size(message);
}

static enum frame_fault check_batch(const struct frame_reader *reader, size_t body_max)
{
    size_t offset = FRAME_HEADER_SIZE;
    if (reader->count == 0 || reader->count > FRAME_MESSAGES_MAX)
        return FRAME_FAULT_NUMBER;
    for (unsigned i = 0; i < reader->count; i++) {
        if (reader->size - offset < FRAME_MESSAGE_SIZE)
            return FRAME_FAULT_NUMBER;
        const uint8_t *at = reader->bytes + offset;
        struct frame_message message;
        read_message(at, &message);
        enum frame_fault fault =
            check_message(&message, get(at + AT_MESSAGE_RESERVED, 2),
                          reader->size - offset - FRAME_MESSAGE_SIZE, body_max);
        if (fault != FRAME_FAULT_NONE)
            return fault;
        offset += frame_message_size(&message);
    }
    return offset == reader->size ? FRAME_FAULT_NONE : FRAME_FAULT_TRAILING;
}

static enum frame_fault check_handshake(const struct frame_reader *reader)
{
    if (reader->count != 0)
        return FRAME_FAULT_NUMBER;
    if (reader->size < FRAME_HANDSHAKE_SIZE)
        return FRAME_FAULT_SHORT;
    if (reader->size > FRAME_HANDSHAKE_SIZE)
        return FRAME_FAULT_TRAILING;
    return reader->kind == FRAME_HELLO || reader->kind == FRAME_WELCOME
               ? check_hello(reader->bytes)
               : check_reason(reader->bytes);
}

enum frame_fault frame_open(struct frame_reader *reader, const void *bytes, size_t size,
                            size_t body_max)
{
    *reader = (struct frame_reader){.bytes = bytes, .size = size, .offset = FRAME_HEADER_SIZE};
    if (size < FRAME_HEADER_SIZE)
        return FRAME_FAULT_SHORT;
    if (memcmp(reader->bytes, magic, sizeof magic) != 0)
        return FRAME_FAULT_MAGIC;
    reader->version = reader->bytes[AT_VERSION];
    reader->kind = reader->bytes[AT_KIND];
    reader->count = (uint16_t)get(reader->bytes + AT_COUNT, 2);
    reader->sequence = get(reader->bytes + AT_SEQUENCE, 8);
    if (reader->version != FRAME_VERSION && reader->kind != FRAME_REFUSED)
        return FRAME_FAULT_VERSION;
    if (reader->kind == FRAME_BATCH)
        return check_batch(reader, body_max);
    if (reader->kind >= FRAME_HELLO && reader->kind <= FRAME_BYE)
        return check_handshake(reader);
    return FRAME_FAULT_KIND;
}

/* ---- reading ---------------------------------------------------------------------------- */

bool frame_next(struct frame_reader *reader, struct frame_message *ret_message)
{
    if (reader->kind != FRAME_BATCH || reader->offset >= reader->size)
        return false;
    read_message(reader->bytes + reader->offset, ret_message);
    reader->offset += frame_message_size(ret_message);
    return true;
}

void frame_get_hello(const struct frame_reader *reader, struct frame_hello *ret)
{
    const uint8_t *at = reader->bytes;
    HELLO_NUMBERS(GET)
    memcpy(ret->name, at + AT_HELLO_NAME, sizeof ret->name);
    memcpy(ret->program, at + AT_HELLO_PROGRAM, sizeof ret->program);
}

void frame_get_reason(const struct frame_reader *reader, struct frame_reason *ret)
{
    ret->status = (uint16_t)get(reader->bytes + AT_REASON_STATUS, 2);
    memcpy(ret->text, reader->bytes + AT_REASON_TEXT, sizeof ret->text);
}

/* ---- writing ---------------------------------------------------------------------------- */

static void put_header(uint8_t *at, enum frame_kind kind, uint16_t count, uint64_t sequence)
{
    memcpy(at + AT_MAGIC, magic, sizeof magic);
    at[AT_VERSION] = FRAME_VERSION;
    at[AT_KIND] = (uint8_t)kind;
    put(at + AT_COUNT, 2, count);
    put(at + AT_SEQUENCE, 8, sequence);
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(at, bytes, size);
    return at + size;
}

size_t frame_append(uint8_t *ret_bytes, const struct frame_message *from)
{
    uint8_t *at = ret_bytes, *end = at + FRAME_MESSAGE_SIZE;
    MESSAGE_NUMBERS(PUT)
    put(at + AT_MESSAGE_RESERVED, 2, 0);
    end = put_bytes(end, from->to, from->to_size);
    end = put_bytes(end, from->from, from->from_size);
    end = put_bytes(end, from->body, body_size(from));
    return (size_t)(end - at);
}

void frame_finish(uint8_t *ret_bytes, uint16_t count, uint64_t sequence)
{
    put_header(ret_bytes, FRAME_BATCH, count, sequence);
}

static void put_text(uint8_t *at, size_t size, const char *text)
{
    size_t length = strnlen(text, size - 1);
    memset(at, 0, size);
    memcpy(at, text, length);
}

void frame_put_hello(uint8_t ret_bytes[FRAME_HANDSHAKE_SIZE], enum frame_kind kind,
                     const struct frame_hello *from)
{
    uint8_t *at = ret_bytes;
    memset(at, 0, FRAME_HANDSHAKE_SIZE);
    put_header(at, kind, 0, 0);
    HELLO_NUMBERS(PUT)
    put_text(at + AT_HELLO_NAME, FRAME_NAME_MAX + 1, from->name);
    put_text(at + AT_HELLO_PROGRAM, FRAME_PROGRAM_MAX + 1, from->program);
}

void frame_put_reason(uint8_t ret_bytes[FRAME_HANDSHAKE_SIZE], enum frame_kind kind,
                      unsigned status, const char *text)
{
    memset(ret_bytes, 0, FRAME_HANDSHAKE_SIZE);
    put_header(ret_bytes, kind, 0, 0);
    put(ret_bytes + AT_REASON_STATUS, 2, status);
    put_text(ret_bytes + AT_REASON_TEXT, FRAME_TEXT_MAX + 1, text);
}
