/* SPDX-License-Identifier: Apache-2.0 */
#include "item.h"

#include <stdlib.h>

struct item *item_new(enum item_kind kind, struct proto_text text, struct proto_text from,
                      struct proto_text path)
{
    struct item *item = calloc(1, sizeof(*item));

    if (!item)
        return NULL;
    item->kind = kind;
    item->text = proto_text_dup(text);
    item->from = proto_text_dup(from);
    item->path = proto_text_dup(path);
    if (item->text && item->from && item->path)
        return item;
    item_free(item);
    return NULL;
}

void item_free(struct item *item)
{
    if (!item)
        return;
    free(item->text);
    free(item->from);
    free(item->path);
    free(item);
}

void item_queue_init(struct item_queue *queue)
{
    *queue = (struct item_queue){.end = &queue->first};
}

void item_queue_deinit(struct item_queue *queue)
{
    while (queue->first)
        item_free(item_queue_remove(queue, queue->first));
}

void item_queue_push(struct item_queue *queue, struct item *item)
{
    item->next = NULL;
    *queue->end = item;
    queue->end = &item->next;
    queue->count++;
}

void item_queue_push_front(struct item_queue *queue, struct item *item)
{
    item->next = queue->first;
    queue->first = item;
    if (!item->next)
        queue->end = &item->next;
    queue->count++;
}

struct item *item_queue_remove(struct item_queue *queue, struct item *item)
{
    struct item **at = &queue->first;

    while (*at && *at != item)
        at = &(*at)->next;
    if (!*at || !item)
        return NULL;
    *at = item->next;
    if (!*at)
        queue->end = at;
    queue->count--;
    item->next = NULL;
    return item;
}

struct item *item_queue_find(const struct item_queue *queue, uint64_t id)
{
    struct item *item = queue->first;

    while (item && (id == 0 || item->id != id))
        item = item->next;
    return item;
}

struct item *item_queue_find_request(const struct item_queue *queue, struct request_id request)
{
    struct item *item = queue->first;

    while (item && (request.n == 0 || item->request.n != request.n))
        item = item->next;
    return item;
}
