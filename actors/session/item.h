/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for a turn in a session: something asked, whose asker waits, or something told, which
 * is on disk. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/schema.h"
#include "runtime/message.h"

enum item_kind { ITEM_ASK, ITEM_TELL };

struct item {
    struct item *next;
    enum item_kind kind;
    uint64_t id;               /* in its transcript, from 1; 0: not written there yet */
    struct request_id request; /* an ask's; {0}: nobody waits (any more) */
    uint64_t deadline_ns;      /* of the request; 0: none */
    bool streams;              /* who asks takes parts */
    bool writing;              /* its `queued` entry is on its way to disk */
    bool gone;                 /* its asker gave up while it was being written */
    unsigned tries;            /* turns that a restart interrupted */
    char *text, *from, *path;
};

struct item_queue {
    struct item *first, **end;
    size_t count;
};

/* NULL without memory, or when a text holds a NUL. */
struct item *item_new(enum item_kind kind, struct proto_text text, struct proto_text from,
                      struct proto_text path);
void item_free(struct item *item); /* accepts NULL */

void item_queue_init(struct item_queue *queue);
void item_queue_deinit(struct item_queue *queue);
void item_queue_push(struct item_queue *queue, struct item *item);
void item_queue_push_front(struct item_queue *queue, struct item *item);
/* Takes it out; NULL stays NULL. */
struct item *item_queue_remove(struct item_queue *queue, struct item *item);
struct item *item_queue_find(const struct item_queue *queue, uint64_t id);
struct item *item_queue_find_request(const struct item_queue *queue, struct request_id request);
