/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes on a link: one ZeroMQ frame is a handshake record or a batch of messages.
 *
 * Layouts are fixed, little-endian and described for others in docs/wire.md. The first eight bytes
 * of a frame and the whole of `refused` never change in any version, so that two versions can
 * always tell each other why they do not talk.
 *
 * frame_open checks a frame to its last byte before anybody sees the first message of it: counts
 * and lengths against what is really there, flags against each other, names, nothing left over.
 * So frame_next cannot fail, and a frame with one bad message delivers none. Nothing here
 * allocates; what is read borrows from the frame.
 *
 * An address on the wire is a name. Only what begins something (a tell, a request) has one: what
 * belongs to an open request is found by that request's number, which is the requester's.
 *
 * Knows nothing of sockets, actors or time: deadlines are milliseconds left. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION 1
#define FRAME_HEADER_SIZE 16
#define FRAME_MESSAGE_SIZE 44    /* bytes of a message's header */
#define FRAME_HANDSHAKE_SIZE 128 /* bytes of hello, welcome, refused and bye */
#define FRAME_MESSAGES_MAX 1024 /* in one batch */
#define FRAME_NAME_MAX 63       /* bytes of a peer's or actor's name, without NUL */
#define FRAME_PROGRAM_MAX 23
#define FRAME_TEXT_MAX 107

enum frame_kind {
    FRAME_HELLO = 1,   /* dialler to listener, first on a connection */
    FRAME_WELCOME = 2, /* listener's answer; messages may follow */
    FRAME_REFUSED = 3, /* listener's answer: not with you, and why */
    FRAME_BATCH = 4,   /* messages */
    FRAME_BYE = 5      /* the sender is leaving; nothing follows */
};

/* Why a frame was refused; also the name under which it is counted. */
#define FRAME_FAULTS(X)                                                                            \
    X(NONE, "fine")                                                                                \
    X(SHORT, "ends early")                                                                         \
    X(MAGIC, "is not of this protocol")                                                            \
    X(VERSION, "is of another protocol version")                                                   \
    X(KIND, "is of an unknown kind")                                                               \
    X(NUMBER, "declares a wrong number of messages")                                               \
    X(LENGTH, "declares a length that is not there, or over the limit")                            \
    X(FLAGS, "has flags that contradict each other")                                               \
    X(NAME, "has a name that is none")                                                             \
    X(RESERVED, "uses reserved bytes")                                                             \
    X(TRAILING, "has bytes left over")                                                             \
    X(MULTIPART, "has more than one part")

enum frame_fault {
#define X(name, text) FRAME_FAULT_##name,
    FRAME_FAULTS(X)
#undef X
        FRAME_FAULTS_END
};

const char *frame_fault_text(enum frame_fault fault);

/* Flag of the core's own requests and their answers (see internal.h); never of a tell. */
#define FRAME_FLAG_INTERNAL (1 << 15)

/* One message as it stands on the wire. Fields are those of struct message. */
struct frame_message {
    uint32_t type;
    uint16_t flags, status;
    uint64_t request, trace;
    uint32_t deadline_ms; /* left; 0: none */
    uint32_t part;        /* number of a part; of a request: parts allowed at first */
    uint32_t size;        /* bytes of body; of a credit: parts allowed */
    uint32_t retry_after_ms;
    uint8_t to_size;   /* > 0 exactly with a tell or a request */
    uint8_t from_size; /* 0: the sender has no name */
    const char *to, *from; /* not NUL-terminated */
    const uint8_t *body;
};

/* Who is there: body of hello and welcome. */
struct frame_hello {
    uint8_t peer_kind; /* enum peer_kind */
    uint32_t pid;
    uint64_t incarnation; /* random, one per runtime: tells a restart from a reconnect */
    uint32_t body_max;    /* largest body its sender takes */
    char name[FRAME_NAME_MAX + 1];
    char program[FRAME_PROGRAM_MAX + 1]; /* version of the program, for people */
};

/* Body of refused and bye. */
struct frame_reason {
    uint16_t status; /* enum runtime_status */
    char text[FRAME_TEXT_MAX + 1];
};

struct frame_reader {
    uint8_t version, kind;
    uint16_t count; /* messages of a batch */
    uint64_t sequence;
    const uint8_t *bytes;
    size_t size, offset;
};

/* Checks the whole frame. On FRAME_FAULT_VERSION the reader's version and kind are set. */
enum frame_fault frame_open(struct frame_reader *reader, const void *bytes, size_t size,
                            size_t body_max);
/* The next message of a batch; false at its end. */
bool frame_next(struct frame_reader *reader, struct frame_message *ret_message);
/* Of a hello or welcome that frame_open took. */
void frame_get_hello(const struct frame_reader *reader, struct frame_hello *ret);
/* Of a refused or bye that frame_open took. */
void frame_get_reason(const struct frame_reader *reader, struct frame_reason *ret);

/* Bytes that a message takes in a batch. */
size_t frame_message_size(const struct frame_message *message);
/* A batch is frame_begin, then frame_append at the returned ends, then frame_finish. Buffers are
 * the caller's, large enough. */
size_t frame_append(uint8_t *ret_bytes, const struct frame_message *from);
void frame_finish(uint8_t *ret_bytes, uint16_t count, uint64_t sequence);
void frame_put_hello(uint8_t ret_bytes[FRAME_HANDSHAKE_SIZE], enum frame_kind kind,
                     const struct frame_hello *from);
void frame_put_reason(uint8_t ret_bytes[FRAME_HANDSHAKE_SIZE], enum frame_kind kind,
                      unsigned status, const char *text);

/* 1 to FRAME_NAME_MAX printable ASCII bytes, no space. */
bool frame_name_is_valid(const char *name, size_t size);
