/* SPDX-License-Identifier: Apache-2.0 */
/* Messages are made and freed at the rate of everything else here, often on different threads: the
 * producer's thread allocates, the consumer's frees. A general allocator handles that by taking
 * the other thread's lock. So each worker thread keeps a list of free messages of one small size,
 * and a full list hands a batch to the depot of its runtime, where an empty list takes one.
 *
 * Only worker threads have a list (message_pool_enter); on any other thread, and for larger
 * bodies, this is malloc. `reserved` says where the memory came from. The thread's list is found
 * through a thread-local pointer: it is a property of the thread, not state shared by runtimes.
 * Under the address sanitizer there is no pool, so that it sees every use after free. */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOLED false
#else
#define POOLED true
#endif
#define POOL_LIMIT 256u
#define POOL_BATCH (POOL_LIMIT / 2)
#define POOL_BLOCK 192u /* header and a small body */
#define DEPOT_BATCHES 256u

#define FROM_MALLOC 0u
#define FROM_POOL 1u

static _Thread_local struct message_pool *thread_pool;

const char *runtime_status_name(unsigned status)
{
    static const char *const names[] = {
#define X(number, name, text, help) [number] = text,
        RUNTIME_STATUSES(X)
#undef X
    };
    return status < STATUS_COUNT ? names[status] : "?";
}

void memory_wipe(void *memory, size_t size)
{
    memset(memory, 0, size);
    __asm__ volatile("" : : "r"(memory) : "memory");
}

void message_depot_init(struct message_depot *depot)
{
    *depot = (struct message_depot){.batches = NULL};
    pthread_mutex_init(&depot->lock, NULL);
}

static void free_chain(struct message *message)
{
    while (message) {
        struct message *next = message->next;
        free(message);
        message = next;
    }
}

/* A batch is a chain of messages; batches are chained through the first one's body. */
static struct message **batch_next(struct message *batch)
{
    return (struct message **)batch->body;
}

void message_depot_deinit(struct message_depot *depot)
{
    while (depot->batches) {
        struct message *batch = depot->batches;
        depot->batches = *batch_next(batch);
        free_chain(batch);
    }
    pthread_mutex_destroy(&depot->lock);
}

void message_pool_enter(struct message_pool *pool, struct message_depot *depot)
{
    *pool = (struct message_pool){.depot = depot};
    thread_pool = pool;
}

void message_pool_leave(struct message_pool *pool)
{
    assert(thread_pool == pool);
    thread_pool = NULL;
    free_chain(pool->free);
    pool->free = NULL;
    pool->count = 0;
}

static void pool_give_batch(struct message_pool *pool)
{
    struct message *batch = pool->free;
    struct message *last = batch;

    for (unsigned i = 1; i < POOL_BATCH; i++)
        last = last->next;
    pool->free = last->next;
    pool->count -= POOL_BATCH;
    last->next = NULL;

    pthread_mutex_lock(&pool->depot->lock);
    bool taken = pool->depot->count < DEPOT_BATCHES;
    if (taken) {
        *batch_next(batch) = pool->depot->batches;
        pool->depot->batches = batch;
        pool->depot->count++;
    }
    pthread_mutex_unlock(&pool->depot->lock);
    if (!taken)
        free_chain(batch);
}

static void pool_take_batch(struct message_pool *pool)
{
    if (!atomic_load_explicit(&pool->depot->count, memory_order_relaxed))
        return;
    pthread_mutex_lock(&pool->depot->lock);
    struct message *batch = pool->depot->batches;
    if (batch) {
        pool->depot->batches = *batch_next(batch);
        pool->depot->count--;
    }
    pthread_mutex_unlock(&pool->depot->lock);
    if (batch) {
        pool->free = batch;
        pool->count = POOL_BATCH;
    }
}

static struct message *pool_take(struct message_pool *pool)
{
    if (!pool->free)
        pool_take_batch(pool);
    struct message *message = pool->free;
    if (!message)
        return malloc(POOL_BLOCK);
    pool->free = message->next;
    pool->count--;
    return message;
}

struct message *message_new(uint32_t type, size_t size)
{
    struct message_pool *pool = POOLED ? thread_pool : NULL;
    struct message *message;
    uint32_t origin = FROM_MALLOC;

    if (size > MESSAGE_BODY_MAX)
        return NULL;
    if (pool && sizeof *message + size <= POOL_BLOCK) {
        message = pool_take(pool);
        origin = FROM_POOL;
    } else {
        message = malloc(sizeof *message + size);
    }
    if (!message)
        return NULL;
    *message = (struct message){.type = type, .size = (uint32_t)size, .reserved = origin};
    return message;
}

/* The number in `size` of a credit or a status is not one of bytes. */
static size_t body_size(const struct message *message)
{
    return message->flags & (MESSAGE_CREDIT | MESSAGE_CANCEL) ? 0 : message->size;
}

void message_free(struct message *message)
{
    struct message_pool *pool = POOLED ? thread_pool : NULL;

    if (!message)
        return;
    if (message->flags & MESSAGE_WIPE)
        memory_wipe(message->body, body_size(message));
    if (!pool || message->reserved != FROM_POOL) {
        free(message);
        return;
    }
    message->next = pool->free;
    pool->free = message;
    if (++pool->count >= POOL_LIMIT)
        pool_give_batch(pool);
}
