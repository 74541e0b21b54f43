/* SPDX-License-Identifier: Apache-2.0 */
/* Where a message goes, and what becomes of one that cannot go there.
 *
 * A local address is a slot and an incarnation. Slots are never unmapped, so a sender may touch
 * one whose actor has just ended; its mailbox is closed then, and a namesake in the same slot
 * compares the incarnation once more before it handles anything. An address with a link part goes
 * to remote.c.
 *
 * Nothing vanishes: a request that cannot be delivered turns, in its own memory, into the status
 * that answers it, and every message that ends here is counted with its reason. */
#include <errno.h>

#include "core.h"

#define RETRY_MIN_MS 1u
#define RETRY_MAX_MS 1000u

struct actor *actor_find(struct runtime *runtime, struct actor_id id)
{
    unsigned slot = id_slot(id);
    if (id_link(id) || !id.n)
        return NULL;
    struct actor *chunk =
        atomic_load_explicit(&runtime->chunks[slot / CHUNK_SLOTS], memory_order_acquire);
    return chunk ? &chunk[slot % CHUNK_SLOTS] : NULL;
}

uint64_t trace_new(struct runtime *runtime)
{
    return atomic_fetch_add_explicit(&runtime->next_trace, 1, memory_order_relaxed) + 1;
}

struct message *message_internal(enum runtime_type type, struct actor_id from, struct actor_id to)
{
    struct message *message = message_new(type, 0);
    if (message) {
        message->from = from;
        message->to = to;
        message->flags = MESSAGE_INTERNAL | MESSAGE_CONTROL | MESSAGE_UNTRACED;
    }
    return message;
}

static void answer_header(struct runtime *runtime, struct worker *worker, struct message *request,
                          enum runtime_status status, uint32_t part, uint32_t retry_after_ms)
{
    struct actor_id answerer = request->to;

    if (request->flags & MESSAGE_WIPE)
        memory_wipe(request->body, request->size);
    if (status == STATUS_MOVED) {
        struct actor *now = actor_find(runtime, request->to);
        answerer.n = now ? atomic_load_explicit(&now->id, memory_order_acquire) : 0;
    }
    request->to = request->from;
    request->from = answerer;
    request->size = 0;
    request->part = part;
    request->flags = MESSAGE_ANSWER | MESSAGE_STATUS |
                     (request->flags & (MESSAGE_UNTRACED | MESSAGE_INTERNAL));
    request->status = (uint16_t)status;
    request->retry_after_ms = retry_after_ms;
    route(runtime, worker, request);
}

void answer_status(struct runtime *runtime, struct worker *worker, struct message *request,
                   enum runtime_status status, uint32_t retry_after_ms)
{
    answer_header(runtime, worker, request, status, 0, retry_after_ms);
}

void answer_died(struct runtime *runtime, struct worker *worker, struct message *request,
                 enum exit_reason reason, int error)
{
    answer_header(runtime, worker, request, STATUS_DIED, reason, (uint32_t)error);
}

void count_drop(struct runtime *runtime, enum runtime_status reason, const struct message *message)
{
    char from[INTROSPECT_NAME_MAX], to[INTROSPECT_NAME_MAX];

    name_of(runtime, message->from, from, sizeof from);
    name_of(runtime, message->to, to, sizeof to);
    runtime_count_drop(runtime, reason, message->type, from, to);
}

void bounce(struct runtime *runtime, struct worker *worker, struct message *message,
            enum runtime_status status, uint32_t retry_after_ms)
{
    bool own = message->flags & (MESSAGE_INTERNAL | MESSAGE_CREDIT | MESSAGE_CANCEL);

    if (!own)
        count_drop(runtime, status, message);
    if (message->flags & MESSAGE_REQUEST)
        answer_status(runtime, worker, message, status, retry_after_ms);
    else
        message_free(message);
}

/* How long half of the mailbox will take, judged by its past. */
uint32_t retry_after_ms(struct actor *actor)
{
    uint64_t handled = atomic_load_explicit(&actor->handled, memory_order_relaxed);
    uint64_t busy_ns = atomic_load_explicit(&actor->busy_ns, memory_order_relaxed);
    uint64_t ms = handled ? busy_ns / handled * mailbox_length(&actor->mailbox) / 2000000 : 0;
    return ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms > RETRY_MAX_MS ? RETRY_MAX_MS : (uint32_t)ms;
}

static unsigned extra_room(const struct message *message)
{
    if (message->flags & (MESSAGE_ANSWER | MESSAGE_PART | MESSAGE_CREDIT | MESSAGE_CANCEL |
                          MESSAGE_INTERNAL))
        return MAILBOX_RESERVED;
    return message->flags & MESSAGE_CONTROL ? MAILBOX_CONTROL : 0;
}

/* Another incarnation of the same name lives in the slot. */
static bool has_moved(struct actor *actor, struct actor_id old)
{
    uint64_t id = atomic_load_explicit(&actor->id, memory_order_acquire);
    uint32_t since = atomic_load_explicit(&actor->named_since, memory_order_relaxed);
    return id && since && id_incarnation(old) >= since && id_incarnation(old) < (uint32_t)id;
}

int route(struct runtime *runtime, struct worker *worker, struct message *message)
{
    if (id_link(message->to))
        return remote_send(runtime, worker, message);

    struct actor *actor = actor_find(runtime, message->to);
    if (!actor) {
        bounce(runtime, worker, message, STATUS_NO_ACTOR, 0);
        return -ENOENT;
    }
    if (atomic_load_explicit(&actor->id, memory_order_acquire) != message->to.n) {
        bool moved = has_moved(actor, message->to);
        bounce(runtime, worker, message, moved ? STATUS_MOVED : STATUS_NO_ACTOR, 0);
        return -ENOENT;
    }
    message->sent_ns = worker ? worker->now_ns : 0;
    switch (mailbox_push(&actor->mailbox, message, extra_room(message))) {
    case MAILBOX_PUSHED_WAKE:
        schedule(runtime, worker, actor);
        return 0;
    case MAILBOX_PUSHED:
        return 0;
    case MAILBOX_FULL:
        if (worker)
            worker->met_full = true;
        bounce(runtime, worker, message, STATUS_BUSY, retry_after_ms(actor));
        return -EAGAIN;
    case MAILBOX_CLOSED:
        break;
    }
    bounce(runtime, worker, message, STATUS_NO_ACTOR, 0);
    return -ENOENT;
}
