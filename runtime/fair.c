/* SPDX-License-Identifier: Apache-2.0 */
/* Fairness between senders, for actors that strangers can reach. A sender is another process, all
 * of its actors together, or an actor of this one.
 *
 * Each has a queue and they are served in turn, so that a thousand messages of one delay another's
 * by one message. A sender may fill its queue only while it is shorter than the room that is left
 * (a dynamic threshold): alone it gets half of the mailbox, and however many there are, one more
 * finds room. What is over is answered busy by the reader. */
#include "fair.h"

#include <stdlib.h>

#include "core.h"

struct fair_sender {
    struct table_item item; /* key: link or id */
    struct message_queue queue;
    uint32_t count;
    uint32_t next; /* in the ring of those that have messages: index + 1 */
};

struct fair *fair_new(uint32_t limit)
{
    struct fair *fair = calloc(1, sizeof *fair);
    if (fair) {
        table_init(&fair->senders, sizeof(struct fair_sender));
        fair->limit = limit;
    }
    return fair;
}

void fair_free(struct fair *fair)
{
    if (fair)
        table_deinit(&fair->senders);
    free(fair);
}

static struct fair_sender *sender_find(struct fair *fair, struct actor_id from)
{
    unsigned link = id_link(from);
    /* A link's key cannot be an actor's: those have an incarnation. "Outside" has id 0. */
    return table_find_key(&fair->senders, link ? link : from.n, link ? 1 : 2);
}

static struct fair_sender *sender_add(struct fair *fair, struct actor_id from)
{
    unsigned link = id_link(from);
    struct fair_sender *sender =
        table_add(&fair->senders, link ? link : from.n, link ? 1 : 2);
    if (!sender)
        return NULL;
    uint32_t index = table_index(sender->item.id) + 1;
    if (fair->ring)
        ((struct fair_sender *)table_at(&fair->senders, fair->last - 1))->next = index;
    else
        fair->ring = index;
    fair->last = index;
    return sender;
}

static void count_add(struct fair *fair, uint32_t change)
{
    atomic_store_explicit(&fair->count,
                          atomic_load_explicit(&fair->count, memory_order_relaxed) + change,
                          memory_order_relaxed);
}

void fair_put(struct fair *fair, struct message *message)
{
    struct fair_sender *sender = sender_find(fair, message->from);
    uint32_t total = atomic_load_explicit(&fair->count, memory_order_relaxed);
    uint32_t room = total < fair->limit ? fair->limit - total : 0;

    if (!sender)
        sender = sender_add(fair, message->from);
    if (!sender || sender->count >= room) {
        message_queue_append(&fair->refused, message);
        return;
    }
    message_queue_append(&sender->queue, message);
    sender->count++;
    count_add(fair, 1);
}

struct message *fair_pop(struct fair *fair)
{
    while (fair->ring) {
        uint32_t index = fair->ring;
        struct fair_sender *sender = table_at(&fair->senders, index - 1);
        struct message *message = message_queue_pop(&sender->queue);

        fair->ring = sender->next;
        sender->next = 0;
        if (!message) { /* refused at once, or cancelled: it has no turn */
            table_remove(&fair->senders, sender);
            continue;
        }
        sender->count--;
        count_add(fair, (uint32_t)-1);
        if (!sender->count) {
            table_remove(&fair->senders, sender);
        } else if (fair->ring) { /* to the end of the ring */
            ((struct fair_sender *)table_at(&fair->senders, fair->last - 1))->next = index;
            fair->last = index;
        } else {
            fair->ring = fair->last = index;
        }
        return message;
    }
    return NULL;
}

struct message_queue *fair_queue(struct fair *fair, struct actor_id from)
{
    struct fair_sender *sender = sender_find(fair, from);
    return sender ? &sender->queue : NULL;
}

void fair_removed(struct fair *fair, struct actor_id from)
{
    struct fair_sender *sender = sender_find(fair, from);
    sender->count--;
    count_add(fair, (uint32_t)-1);
}
