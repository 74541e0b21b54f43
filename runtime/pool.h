/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/message.h"

/* Free messages that a thread has too many of, for those that have none; one a runtime. */
struct message_depot {
    pthread_mutex_t lock;
    struct message *batches;
    _Atomic unsigned count;
};

/* The free messages of one thread. */
struct message_pool {
    struct message *free;
    unsigned count;
    struct message_depot *depot;
};

void message_depot_init(struct message_depot *depot);
void message_depot_deinit(struct message_depot *depot);
/* From enter to leave the calling thread makes and frees messages through this pool. */
void message_pool_enter(struct message_pool *pool, struct message_depot *depot);
void message_pool_leave(struct message_pool *pool);
