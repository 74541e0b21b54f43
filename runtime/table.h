/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First member of each item. */
struct table_item {
    uint64_t id;     /* 0: free */
    uint64_t key[2]; /* {0, 0}: not found by key */
    uint32_t next;   /* index + 1 in the free list or in the hash chain */
    uint32_t heap;   /* index + 1 in a heap, for who keeps one */
};

/* Items of one size under ids that are not used again, and optionally under a key. */
struct table {
    char *items;
    uint32_t *chains; /* heads, index + 1; capacity of them */
    uint32_t item_size, capacity, count, free;
    uint32_t generation;
};

void table_init(struct table *table, size_t item_size);
void table_deinit(struct table *table);
/* A zeroed item with id and key set, or NULL without memory (or TABLE_MAX items). Pointers to items
 * end at the next add. */
void *table_add(struct table *table, uint64_t key_a, uint64_t key_b);
void *table_find(const struct table *table, uint64_t id);
void *table_find_key(const struct table *table, uint64_t key_a, uint64_t key_b);
void table_remove(struct table *table, void *item);
/* The first used item at or after *cursor, which moves behind it; NULL: the end. */
void *table_next(const struct table *table, uint32_t *cursor);

#define TABLE_MAX (1u << 20)

static inline uint32_t table_index(uint64_t id)
{
    return (uint32_t)(id & (TABLE_MAX - 1));
}

static inline void *table_at(const struct table *table, uint32_t index)
{
    return table->items + (size_t)index * table->item_size;
}
