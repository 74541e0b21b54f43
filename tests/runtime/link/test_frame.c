/* SPDX-License-Identifier: Apache-2.0 */
/* The wire frame codec against everything a stranger might send: every truncation, every flipped
 * bit, declared sizes that are not there, random bytes. A frame is copied to a heap block of
 * exactly its size before it is read, so that a sanitizer sees any byte read beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frame_vectors.h"
#include "link/frame.h"
#include "runtime/message.h"

#define BODY_MAX 4096

static enum frame_fault open_copy(const uint8_t *bytes, size_t size, unsigned *ret_messages)
{
    uint8_t *copy = malloc(size + (size == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct frame_reader reader;
    enum frame_fault fault = frame_open(&reader, copy, size, BODY_MAX);
    unsigned messages = 0;
    if (fault == FRAME_FAULT_NONE) {
        struct frame_message message;
        volatile uint8_t sum = 0; /* read, so that a reader past the end is seen */
        while (frame_next(&reader, &message)) {
            messages++;
            for (size_t i = 0; i < message.to_size; i++)
                sum += (uint8_t)message.to[i];
            for (size_t i = 0; i < message.from_size; i++)
                sum += (uint8_t)message.from[i];
            if (!(message.flags & (MESSAGE_CREDIT | MESSAGE_CANCEL | MESSAGE_STATUS)))
                for (size_t i = 0; i < message.size; i++)
                    sum += message.body[i];
        }
        (void)sum;
    }
    free(copy);
    if (ret_messages != NULL)
        *ret_messages = messages;
    return fault;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++, value >>= 8)
        at[i] = (uint8_t)value;
}

/* A batch of three: named request with a body, a status, an answer to be wiped. */
static size_t make_batch(uint8_t *bytes)
{
    static const struct frame_message messages[] = {
        {.type = 0x101, .flags = MESSAGE_REQUEST, .request = 9, .trace = 11,
         .deadline_ms = 5000, .part = 8, .size = 5, .to_size = 5, .from_size = 4, .to = "token",
         .from = "nova",
         .body = (const uint8_t *)"hello"},
        {.flags = MESSAGE_STATUS | MESSAGE_ANSWER, .status = STATUS_BUSY, .request = 4,
         .retry_after_ms = 250},
        {.type = 0x102, .flags = MESSAGE_ANSWER | MESSAGE_WIPE, .request = 5, .size = 3,
         .body = (const uint8_t *)"abc"},
    };
    size_t size = FRAME_HEADER_SIZE;
    for (size_t i = 0; i < 3; i++)
        size += frame_append(bytes + size, &messages[i]);
    frame_finish(bytes, 3, 0x1122334455667788);
    return size;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t size = make_batch(bytes);
    struct frame_reader reader;
    assert_int_equal(frame_open(&reader, bytes, size, BODY_MAX), FRAME_FAULT_NONE);
    assert_int_equal(reader.kind, FRAME_BATCH);
    assert_int_equal(reader.sequence, 0x1122334455667788);
    struct frame_message message;
    assert_true(frame_next(&reader, &message));
    assert_int_equal(message.type, 0x101);
    assert_int_equal(message.request, 9);
    assert_int_equal(message.trace, 11);
    assert_int_equal(message.deadline_ms, 5000);
    assert_int_equal(message.part, 8);
    assert_memory_equal(message.to, "token", 5);
    assert_memory_equal(message.from, "nova", 4);
    assert_memory_equal(message.body, "hello", 5);
    assert_true(frame_next(&reader, &message));
    assert_int_equal(message.status, STATUS_BUSY);
    assert_int_equal(message.retry_after_ms, 250);
    assert_true(frame_next(&reader, &message));
    assert_int_equal(message.flags, MESSAGE_ANSWER | MESSAGE_WIPE);
    assert_memory_equal(message.body, "abc", 3);
    assert_false(frame_next(&reader, &message));
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t size = make_batch(bytes);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_not_equal(open_copy(bytes, cut, NULL), FRAME_FAULT_NONE);
    bytes[size] = 0;
    assert_int_equal(open_copy(bytes, size + 1, NULL), FRAME_FAULT_TRAILING);
    struct frame_hello hello = {.pid = 1, .name = "atlas", .program = "0.1.0"};
    frame_put_hello(bytes, FRAME_HELLO, &hello);
    for (size_t cut = 0; cut < FRAME_HANDSHAKE_SIZE; cut++)
        assert_int_equal(open_copy(bytes, cut, NULL), FRAME_FAULT_SHORT);
    assert_int_equal(open_copy(bytes, FRAME_HANDSHAKE_SIZE, NULL), FRAME_FAULT_NONE);
    assert_int_equal(open_copy(bytes, FRAME_HANDSHAKE_SIZE + 1, NULL), FRAME_FAULT_TRAILING);
}

static void no_flipped_bit_reads_beyond_the_frame(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t size = make_batch(bytes);
    unsigned refused = 0;
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        unsigned messages;
        enum frame_fault fault = open_copy(bytes, size, &messages);
        assert_int_equal(messages, fault == FRAME_FAULT_NONE ? 3 : 0);
        refused += fault != FRAME_FAULT_NONE;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(refused > 300);
    assert_int_equal(open_copy(bytes, size, NULL), FRAME_FAULT_NONE);
}

static void every_declared_size_that_is_not_there_is_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {4, 6, 4096, 4097, 65536, 0x7fffffff, 0xfffffffe, 0xffffffff};
    uint8_t bytes[512];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = make_batch(bytes);
        put32(bytes + FRAME_HEADER_SIZE + 32, sizes[i]);
        assert_int_not_equal(open_copy(bytes, size, NULL), FRAME_FAULT_NONE);
        size = make_batch(bytes);
        bytes[FRAME_HEADER_SIZE + 40 + i % 2] = (uint8_t)(sizes[i] | 0x80);
        assert_int_not_equal(open_copy(bytes, size, NULL), FRAME_FAULT_NONE);
    }
    for (unsigned count = 0; count <= 0xffff; count++) {
        size_t size = make_batch(bytes);
        bytes[6] = (uint8_t)count;
        bytes[7] = (uint8_t)(count >> 8);
        enum frame_fault fault = open_copy(bytes, size, NULL);
        assert_int_equal(fault == FRAME_FAULT_NONE, count == 3);
    }
}

static void a_body_over_the_limit_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[FRAME_HEADER_SIZE + FRAME_MESSAGE_SIZE + BODY_MAX + 2];
    static const uint8_t body[BODY_MAX + 1];
    struct frame_message message = {.to_size = 1, .to = "t", .size = BODY_MAX, .body = body};
    size_t size = FRAME_HEADER_SIZE + frame_append(bytes + FRAME_HEADER_SIZE, &message);
    frame_finish(bytes, 1, 1);
    assert_int_equal(open_copy(bytes, size, NULL), FRAME_FAULT_NONE);
    message.size++;
    size = FRAME_HEADER_SIZE + frame_append(bytes + FRAME_HEADER_SIZE, &message);
    assert_int_equal(open_copy(bytes, size, NULL), FRAME_FAULT_LENGTH);
}

static void another_version_is_known_as_such(void **state)
{
    (void)state;
    uint8_t bytes[512];
    struct frame_hello hello = {.name = "atlas"};
    frame_put_hello(bytes, FRAME_HELLO, &hello);
    bytes[4] = FRAME_VERSION + 1;
    struct frame_reader reader;
    assert_int_equal(frame_open(&reader, bytes, FRAME_HANDSHAKE_SIZE, BODY_MAX),
                     FRAME_FAULT_VERSION);
    assert_int_equal(reader.version, FRAME_VERSION + 1);
    assert_int_equal(reader.kind, FRAME_HELLO);
    /* A refusal is read whatever version it comes from. */
    frame_put_reason(bytes, FRAME_REFUSED, STATUS_VERSION, "speak version 2");
    bytes[4] = FRAME_VERSION + 1;
    assert_int_equal(frame_open(&reader, bytes, FRAME_HANDSHAKE_SIZE, BODY_MAX),
                     FRAME_FAULT_NONE);
    struct frame_reason reason;
    frame_get_reason(&reader, &reason);
    assert_int_equal(reason.status, STATUS_VERSION);
    assert_string_equal(reason.text, "speak version 2");
}

static void contradicting_flags_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint16_t flags, status;
        uint64_t request;
    } bad[] = {
        {MESSAGE_REQUEST, 0, 0},          {0, 0, 1},
        {MESSAGE_ANSWER, 0, 0},           {MESSAGE_REQUEST | MESSAGE_ANSWER, 0, 1},
        {MESSAGE_CREDIT | MESSAGE_PART, 0, 1}, {MESSAGE_STATUS | MESSAGE_PART, 1, 1},
        {MESSAGE_STATUS, 1, 1},           {MESSAGE_ANSWER, 1, 1},
        {1 << 9, 0, 0},                   {1 << 14, 0, 0},
        {1 << 15, 0, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[256];
        struct frame_message message = {
            .flags = bad[i].flags, .status = bad[i].status, .request = bad[i].request};
        size_t size = FRAME_HEADER_SIZE + frame_append(bytes + FRAME_HEADER_SIZE, &message);
        frame_finish(bytes, 1, 1);
        assert_int_equal(open_copy(bytes, size, NULL), FRAME_FAULT_FLAGS);
    }
}

static void names_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", " ", "a b", "a\nb", "\x7f", "caf\xc3\xa9",
        "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[256];
        assert_false(frame_name_is_valid(bad[i], strlen(bad[i])));
        struct frame_message message = {.to = bad[i], .to_size = (uint8_t)strlen(bad[i])};
        size_t size = FRAME_HEADER_SIZE + frame_append(bytes + FRAME_HEADER_SIZE, &message);
        frame_finish(bytes, 1, 1);
        assert_int_equal(open_copy(bytes, size, NULL), FRAME_FAULT_NAME);
        struct frame_hello hello = {.pid = 1};
        frame_put_hello(bytes, FRAME_HELLO, &hello);
        memcpy(bytes + 40, bad[i], strlen(bad[i]));
        assert_int_not_equal(open_copy(bytes, FRAME_HANDSHAKE_SIZE, NULL), FRAME_FAULT_NONE);
    }
    /* An answer is found by its request: a name beside it would be a second address. */
    struct frame_message both = {.flags = MESSAGE_ANSWER, .request = 1, .to = "token",
                                 .to_size = 5};
    uint8_t bytes[256];
    size_t size = FRAME_HEADER_SIZE + frame_append(bytes + FRAME_HEADER_SIZE, &both);
    frame_finish(bytes, 1, 1);
    assert_int_equal(open_copy(bytes, size, NULL), FRAME_FAULT_NAME);
}

static void hidden_bytes_in_padding_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    struct frame_hello hello = {.name = "atlas", .program = "0.1.0"};
    for (size_t i = FRAME_HEADER_SIZE; i < FRAME_HANDSHAKE_SIZE; i++) {
        frame_put_hello(bytes, FRAME_HELLO, &hello);
        if (i == 16 || (i >= 20 && i < 36) || bytes[i] != 0)
            continue; /* numbers, or text */
        bytes[i] = i == 45 || i == 109 ? ' ' : 'x';
        assert_int_not_equal(open_copy(bytes, sizeof bytes, NULL), FRAME_FAULT_NONE);
    }
}

static void random_bytes_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[600];
    uint64_t seed = 0x9e3779b97f4a7c15;
    for (unsigned round = 0; round < 20000; round++) {
        size_t size = make_batch(bytes);
        for (size_t i = round % 2 ? 0 : FRAME_HEADER_SIZE; i < sizeof bytes; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(seed >> 56);
        }
        size = round % 3 ? seed >> 32 & 511 : size;
        assert_int_not_equal(open_copy(bytes, size, NULL), FRAME_FAULT_NONE);
    }
}

/* A foreign implementation checks itself against the same files; docs/wire.md says how. */
static void the_vectors_on_disk_are_what_we_write(void **state)
{
    (void)state;
    struct frame_vector vector;
    for (size_t i = 0; frame_vector_make(i, &vector); i++) {
        char path[512], text[2 * sizeof vector.bytes + 2], expected[sizeof text];
        assert_true((size_t)snprintf(path, sizeof path, "%s/%s.hex", VECTORS, vector.name) <
                    sizeof path);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        size_t length = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[length] = '\0';
        frame_vector_print(&vector, expected);
        assert_string_equal(text, expected);
        assert_int_equal(open_copy(vector.bytes, vector.size, NULL), FRAME_FAULT_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_flipped_bit_reads_beyond_the_frame),
        cmocka_unit_test(every_declared_size_that_is_not_there_is_refused),
        cmocka_unit_test(a_body_over_the_limit_is_refused),
        cmocka_unit_test(another_version_is_known_as_such),
        cmocka_unit_test(contradicting_flags_are_refused),
        cmocka_unit_test(names_that_are_none_are_refused),
        cmocka_unit_test(hidden_bytes_in_padding_are_refused),
        cmocka_unit_test(random_bytes_are_refused),
        cmocka_unit_test(the_vectors_on_disk_are_what_we_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
