/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>

#include "mailbox.h"
#include "table.h"

/* The queues of a mailbox with `fair_senders`, one a sender. */
struct fair {
    struct table senders;
    uint32_t ring; /* index + 1 of the sender whose turn is next, 0: none */
    uint32_t last;
    _Atomic uint32_t count;
    uint32_t limit;
    struct message_queue refused; /* over their sender's share; to be answered busy */
};

struct fair *fair_new(uint32_t limit);
void fair_free(struct fair *fair); /* without messages */
void fair_put(struct fair *fair, struct message *message);
struct message *fair_pop(struct fair *fair);
/* The queue that holds what this sender sent; NULL: nothing. */
struct message_queue *fair_queue(struct fair *fair, struct actor_id from);
void fair_removed(struct fair *fair, struct actor_id from); /* one taken out of that queue */
