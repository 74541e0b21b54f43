/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "socket.h"

#define SETTLED_FACTOR 16u /* answers may queue to this many times the limit */
#define QUEUE_BYTES_MAX ((size_t)64 << 20)

void link_queue_init(struct link_queue *queue)
{
    *queue = (struct link_queue){.tail = &queue->head};
}

static bool begins(const struct message *message)
{
    return !(message->flags & (MESSAGE_ANSWER | MESSAGE_PART | MESSAGE_CREDIT | MESSAGE_CANCEL |
                               MESSAGE_STATUS));
}

static size_t body_size(const struct message *message)
{
    return message->flags & (MESSAGE_CREDIT | MESSAGE_CANCEL | MESSAGE_STATUS) ? 0 : message->size;
}

static size_t queued_size(const struct message *message)
{
    return sizeof(struct link_outgoing) + sizeof *message + body_size(message);
}

int link_queue_admit(struct link_peer *peer, const struct message *message, unsigned limit)
{
    const struct link_queue *queue = &peer->queue;
    bool full = queue->bytes + queued_size(message) > QUEUE_BYTES_MAX && queue->count > 0;
    if (body_size(message) > peer->body_max)
        return -EMSGSIZE;
    if (begins(message))
        return full || queue->begun >= limit ? -EAGAIN : 0;
    if (!full && queue->count < limit * SETTLED_FACTOR)
        return 0;
    peer->overflown = true;
    return -EAGAIN;
}

void link_queue_push(struct link_queue *queue, struct link_outgoing *outgoing)
{
    outgoing->next = NULL;
    *queue->tail = outgoing;
    queue->tail = &outgoing->next;
    queue->begun += begins(outgoing->message);
    queue->count++;
    queue->bytes += queued_size(outgoing->message);
}

struct link_outgoing *link_outgoing_new(const char *to_name, const char *from_name,
                                        struct message *message)
{
    struct link_outgoing *outgoing = malloc(sizeof *outgoing);
    if (outgoing == NULL)
        return NULL;
    outgoing->message = message;
    snprintf(outgoing->to, sizeof outgoing->to, "%s", to_name != NULL ? to_name : "");
    snprintf(outgoing->from, sizeof outgoing->from, "%s", from_name != NULL ? from_name : "");
    return outgoing;
}

void link_outgoing_free(struct link_outgoing *outgoing)
{
    message_free(outgoing->message);
    free(outgoing);
}

/* ---- batches ---------------------------------------------------------------------------- */

/* The bytes of a frame that holds a secret: overwritten before they are freed. libzmq copies a
 * frame of up to 8 kB once more into its own send buffer, which is not ours to wipe. */
struct secret_bytes {
    _Atomic size_t size; /* set when they are all written: libzmq's thread wipes what ours wrote */
    uint8_t bytes[];
};

static void free_wiped(void *bytes, void *hint)
{
    struct secret_bytes *secret = hint;
    memory_wipe(bytes, atomic_load_explicit(&secret->size, memory_order_acquire));
    free(secret);
}

static int frame_alloc(zmq_msg_t *ret_frame, size_t size, struct secret_bytes *secret)
{
    if (secret == NULL)
        return zmq_msg_init_size(ret_frame, size);
    return zmq_msg_init_data(ret_frame, secret->bytes, size, free_wiped, secret);
}

static size_t wire_size(const struct link_outgoing *outgoing)
{
    return FRAME_MESSAGE_SIZE + strlen(outgoing->to) + strlen(outgoing->from) +
           body_size(outgoing->message);
}

static void account(struct link_queue *taken, const struct link_outgoing *outgoing)
{
    taken->begun += begins(outgoing->message);
    taken->count++;
    taken->bytes += queued_size(outgoing->message);
}

/* Waited too long: nobody wants the answer any more. */
static bool has_expired(const struct message *message, uint64_t now_ns)
{
    return begins(message) && message->deadline_ns != 0 && message->deadline_ns <= now_ns;
}

struct batch { /* what the next frame will hold */
    size_t size;
    unsigned messages;
    bool wipe;
};

static void batch_measure(struct runtime *runtime, struct link_outgoing **list, uint64_t now_ns,
                          struct link_queue *taken, struct batch *ret_batch)
{
    struct batch batch = {.size = FRAME_HEADER_SIZE};
    while (*list != NULL && batch.messages < FRAME_MESSAGES_MAX) {
        struct link_outgoing *at = *list;
        if (has_expired(at->message, now_ns)) {
            *list = at->next;
            account(taken, at);
            runtime_count_drop(runtime, STATUS_EXPIRED, at->message->type, at->from, at->to);
            link_outgoing_free(at);
            continue;
        }
        if (batch.messages > 0 && batch.size + wire_size(at) > LINK_BATCH_BYTES)
            break;
        batch.size += wire_size(at);
        batch.messages++;
        batch.wipe |= (at->message->flags & MESSAGE_WIPE) != 0;
        list = &at->next;
    }
    *ret_batch = batch;
}

bool link_batch_make(struct runtime *runtime, struct link_outgoing **list, uint64_t sequence,
                     uint64_t now_ns, zmq_msg_t *ret_frame, struct link_queue *ret_taken,
                     unsigned *ret_messages)
{
    struct batch batch;
    *ret_taken = (struct link_queue){0};
    batch_measure(runtime, list, now_ns, ret_taken, &batch);
    if (batch.messages == 0)
        return false;
    struct secret_bytes *secret = batch.wipe ? malloc(sizeof *secret + batch.size) : NULL;
    if (secret == NULL && batch.wipe)
        return false;
    if (frame_alloc(ret_frame, batch.size, secret) != 0) {
        free(secret);
        return false;
    }
    uint8_t *at = (uint8_t *)zmq_msg_data(ret_frame) + FRAME_HEADER_SIZE;
    for (unsigned i = 0; i < batch.messages; i++) {
        struct link_outgoing *outgoing = *list;
        struct frame_message wire;
        frame_from_message(&wire, outgoing->message, outgoing->to, outgoing->from, now_ns);
        at += frame_append(at, &wire);
        *list = outgoing->next;
        account(ret_taken, outgoing);
        link_outgoing_free(outgoing);
    }
    frame_finish(zmq_msg_data(ret_frame), (uint16_t)batch.messages, sequence);
    if (secret != NULL)
        atomic_store_explicit(&secret->size, batch.size, memory_order_release);
    *ret_messages = batch.messages;
    return true;
}
