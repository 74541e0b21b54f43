/* SPDX-License-Identifier: Apache-2.0 */
/* Many senders, one reader, and the question "who must schedule the actor?" in one atomic word.
 *
 * The word is one of IDLE, RUNNING (nothing pushed since the reader last took), CLOSED, or a
 * pointer to the newest of the messages pushed since, chained by `next` to older ones, with their
 * number in the 16 bits that user-space pointers leave free.
 *
 *     IDLE --push--> pointer      the pusher schedules the actor; nobody else may
 *     RUNNING --push--> pointer   someone runs it or will: nothing to do
 *     pointer --push--> pointer   likewise
 *     pointer --take--> RUNNING   the reader owns the chain and turns it round
 *     RUNNING --rest--> IDLE      by compare-and-swap: fails when something came in between
 *     any --close--> CLOSED       the reader, at the actor's end
 *
 * So an actor is in a run queue, or running, if and only if its word is not IDLE: it can be
 * neither lost nor run twice. Only `push` adds and only the reader removes, always all, so the
 * compare-and-swap has no ABA problem. mailbox.pml among the tests is the same in Promela, checked
 * in every interleaving.
 *
 * The reader sorts what it took into two queues, control before normal, each in the order
 * of sending. It takes at the start of each turn, so a control message waits for one turn at most.
 *
 * With `fair_senders` the normal queue is one for each sender (fair.c), and the limit is theirs
 * to share: a sender can then not fill the mailbox for others.
 *
 * The limit is held against the number in the word plus the queues' length as published by
 * the reader. Between a take and its publication a sender may see too few: the bound is twice the
 * limit in that instant, and exact otherwise. Answers and parts do not count against it: each was
 * promised room when its request was sent or its credit given. */
#include "fair.h"
#include "runtime/transport.h"

#include <assert.h>

#define WORD_RUNNING 0u
#define WORD_IDLE 1u
#define WORD_CLOSED 2u

#define POINTER_BITS 48
#define POINTER_MASK ((UINT64_C(1) << POINTER_BITS) - 1)
#define PUSHED_MAX 0xffffu
/* With a limit over this the queues' length is published only now and then, for each publication
 * takes the cache line from the senders. */
#define PUBLISH_EACH 256u
#define PUBLISH_EVERY 32u

static bool word_is_pointer(uint64_t word)
{
    return (word & POINTER_MASK) > WORD_CLOSED;
}

static struct message *word_message(uint64_t word)
{
    return word_is_pointer(word) ? (struct message *)(uintptr_t)(word & POINTER_MASK) : NULL;
}

static unsigned word_pushed(uint64_t word)
{
    return (unsigned)(word >> POINTER_BITS);
}

static uint64_t word_of(struct message *message, unsigned pushed)
{
    uint64_t pointer = (uint64_t)(uintptr_t)message;
    assert((pointer & ~POINTER_MASK) == 0);
    return pointer | ((uint64_t)pushed << POINTER_BITS);
}

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){.word = WORD_CLOSED};
}

unsigned mailbox_limit(unsigned limit)
{
    return limit == 0                  ? MAILBOX_LIMIT_DEFAULT
           : limit > MAILBOX_LIMIT_MAX ? MAILBOX_LIMIT_MAX
                                       : limit;
}

void mailbox_open(struct mailbox *mailbox, unsigned limit)
{
    atomic_store_explicit(&mailbox->limit, mailbox_limit(limit), memory_order_relaxed);
    atomic_store_explicit(&mailbox->waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&mailbox->word, WORD_RUNNING, memory_order_release);
}

enum mailbox_push mailbox_push(struct mailbox *mailbox, struct message *message, unsigned extra)
{
    uint64_t old = atomic_load_explicit(&mailbox->word, memory_order_relaxed);
    uint64_t new;

    do {
        unsigned pushed = word_pushed(old);
        if (old == WORD_CLOSED)
            return MAILBOX_CLOSED;
        if (extra != MAILBOX_RESERVED &&
            pushed + atomic_load_explicit(&mailbox->waiting, memory_order_relaxed) >=
                atomic_load_explicit(&mailbox->limit, memory_order_relaxed) + extra)
            return MAILBOX_FULL;
        message->next = word_message(old);
        new = word_of(message, pushed < PUSHED_MAX ? pushed + 1 : pushed);
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->word, &old, new,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return old == WORD_IDLE ? MAILBOX_PUSHED_WAKE : MAILBOX_PUSHED;
}

static void queue_join(struct message_queue *queue, const struct message_queue *more)
{
    if (!more->head)
        return;
    if (queue->tail)
        queue->tail->next = more->head;
    else
        queue->head = more->head;
    queue->tail = more->tail;
}

void message_queue_append(struct message_queue *queue, struct message *message)
{
    message->next = NULL;
    queue_join(queue, &(struct message_queue){message, message});
}

static void queue_prepend(struct message_queue *queue, struct message *message)
{
    message->next = queue->head;
    queue->head = message;
    if (!queue->tail)
        queue->tail = message;
}

struct message *message_queue_pop(struct message_queue *queue)
{
    struct message *message = queue->head;
    if (message) {
        queue->head = message->next;
        if (queue->head)
            __builtin_prefetch(queue->head); /* its header was written on another core */
        else
            queue->tail = NULL;
        message->next = NULL;
    }
    return message;
}

static void publish(struct mailbox *mailbox, const struct mailbox_queues *queues)
{
    atomic_store_explicit(&mailbox->waiting, queues->count, memory_order_relaxed);
}

/* Promised room goes ahead; the rest is sorted by sender. */
static void share_out(struct mailbox_queues *queues, struct message_queue *normal)
{
    struct message_queue promised = {0};
    struct message *message;

    while ((message = message_queue_pop(normal))) {
        if (message->flags & (MESSAGE_ANSWER | MESSAGE_PART | MESSAGE_INTERNAL)) {
            message_queue_append(&promised, message);
        } else {
            fair_put(queues->fair, message);
            queues->count--;
        }
    }
    *normal = promised;
}

static void sort_chain(struct mailbox *mailbox, struct mailbox_queues *queues,
                       struct message *newest)
{
    struct message_queue control = {0}, normal = {0};

    while (newest) {
        struct message *older = newest->next;
        queue_prepend(newest->flags & MESSAGE_CONTROL ? &control : &normal, newest);
        queues->count++;
        newest = older;
    }
    if (queues->fair)
        share_out(queues, &normal);
    queue_join(&queues->control, &control);
    queue_join(&queues->normal, &normal);
    publish(mailbox, queues);
}

void mailbox_take(struct mailbox *mailbox, struct mailbox_queues *queues)
{
    if (!word_is_pointer(atomic_load_explicit(&mailbox->word, memory_order_relaxed)))
        return;
    uint64_t word =
        atomic_exchange_explicit(&mailbox->word, WORD_RUNNING, memory_order_acq_rel);
    sort_chain(mailbox, queues, word_message(word));
}

struct message *mailbox_pop(struct mailbox *mailbox, struct mailbox_queues *queues)
{
    struct message *message = message_queue_pop(&queues->control);
    if (!message)
        message = message_queue_pop(&queues->normal);
    if (!message)
        return queues->fair ? fair_pop(queues->fair) : NULL;
    queues->count--;
    if (queues->count % PUBLISH_EVERY == 0 ||
        atomic_load_explicit(&mailbox->limit, memory_order_relaxed) <= PUBLISH_EACH)
        publish(mailbox, queues);
    return message;
}

bool mailbox_rest(struct mailbox *mailbox, struct mailbox_queues *queues)
{
    uint64_t running = WORD_RUNNING;
    if (queues->count || (queues->fair && atomic_load(&queues->fair->count)))
        return false;
    return atomic_compare_exchange_strong_explicit(&mailbox->word, &running, WORD_IDLE,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

bool mailbox_claim(struct mailbox *mailbox)
{
    uint64_t idle = WORD_IDLE;
    return atomic_compare_exchange_strong_explicit(&mailbox->word, &idle, WORD_RUNNING,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

static bool is_request(const struct message *message, struct actor_id from, uint64_t request)
{
    return (message->flags & MESSAGE_REQUEST) && message->request == request &&
           actor_id_equal(message->from, from);
}

static struct message_queue *queue_of(struct mailbox_queues *queues, struct actor_id from)
{
    return queues->fair ? fair_queue(queues->fair, from) : &queues->normal;
}

struct message *mailbox_find(struct mailbox *mailbox, struct mailbox_queues *queues,
                             struct actor_id from, uint64_t request)
{
    mailbox_take(mailbox, queues);
    const struct message_queue *queue = queue_of(queues, from);
    struct message *message = queue ? queue->head : NULL;
    while (message && !is_request(message, from, request))
        message = message->next;
    return message;
}

static void unlink_message(struct message_queue *queue, struct message *message)
{
    struct message *before = NULL;

    for (struct message *m = queue->head; m != message; m = m->next)
        before = m;
    if (before)
        before->next = message->next;
    else
        queue->head = message->next;
    if (queue->tail == message)
        queue->tail = before;
    message->next = NULL;
}

struct message *mailbox_remove(struct mailbox *mailbox, struct mailbox_queues *queues,
                               struct actor_id from, uint64_t request)
{
    struct message *found = mailbox_find(mailbox, queues, from, request);

    if (!found)
        return NULL;
    unlink_message(queue_of(queues, from), found);
    if (queues->fair) {
        fair_removed(queues->fair, from);
    } else {
        queues->count--;
        publish(mailbox, queues);
    }
    return found;
}

void mailbox_close(struct mailbox *mailbox, struct mailbox_queues *queues,
                   struct message_queue *ret_left)
{
    struct message_queue left = {0};
    struct message *message;
    uint64_t word = atomic_exchange_explicit(&mailbox->word, WORD_CLOSED, memory_order_acq_rel);

    sort_chain(mailbox, queues, word_message(word));
    while ((message = mailbox_pop(mailbox, queues)) ||
           (queues->fair && (message = message_queue_pop(&queues->fair->refused))))
        message_queue_append(&left, message);
    publish(mailbox, queues);
    *ret_left = left;
}

bool mailbox_is_idle(const struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->word, memory_order_relaxed) == WORD_IDLE;
}

unsigned mailbox_length(const struct mailbox *mailbox)
{
    return word_pushed(atomic_load_explicit(&mailbox->word, memory_order_relaxed)) +
           atomic_load_explicit(&mailbox->waiting, memory_order_relaxed);
}
