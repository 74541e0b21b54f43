/* SPDX-License-Identifier: Apache-2.0 */
/* Open requests, timers and what links translate all need the same: an item under a number that is
 * never given out twice, found in constant time, sometimes also under a key of its sender's.
 *
 * The number is generation | index, so finding is one comparison. Items lie in one array that
 * doubles; the hash chains run through the items themselves and are rebuilt when it does. An empty
 * table owns no memory, for most actors never have an open request. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_BITS 20
#define CAPACITY_FIRST 8u

void table_init(struct table *table, size_t item_size)
{
    *table = (struct table){.item_size = (uint32_t)item_size, .generation = 1};
}

void table_deinit(struct table *table)
{
    free(table->items);
    free(table->chains);
    table_init(table, table->item_size);
}

static uint32_t *chain_of(const struct table *table, const uint64_t key[2])
{
    uint64_t hash = (key[0] ^ (key[1] << 32 | key[1] >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    return &table->chains[(hash >> 32) & (table->capacity - 1)];
}

static bool has_key(const struct table_item *item)
{
    return item->key[0] || item->key[1];
}

static void chain_in(struct table *table, struct table_item *item)
{
    uint32_t *chain = chain_of(table, item->key);
    item->next = *chain;
    *chain = table_index(item->id) + 1;
}

static int grow(struct table *table)
{
    uint32_t capacity = table->capacity ? table->capacity * 2 : CAPACITY_FIRST;
    if (capacity > TABLE_MAX)
        return -1;
    uint32_t *chains = calloc(capacity, sizeof *chains);
    if (!chains)
        return -1;
    char *items = realloc(table->items, (size_t)capacity * table->item_size);
    if (!items) {
        free(chains);
        return -1;
    }
    memset(items + (size_t)table->capacity * table->item_size, 0,
           (size_t)(capacity - table->capacity) * table->item_size);
    free(table->chains);
    table->items = items;
    table->chains = chains;
    for (uint32_t i = capacity; i-- > table->capacity;) {
        struct table_item *item = (struct table_item *)(items + (size_t)i * table->item_size);
        item->next = table->free;
        table->free = i + 1;
    }
    table->capacity = capacity;

    uint32_t cursor = 0;
    struct table_item *item;
    while ((item = table_next(table, &cursor)))
        if (has_key(item))
            chain_in(table, item);
    return 0;
}

void *table_add(struct table *table, uint64_t key_a, uint64_t key_b)
{
    if (!table->free && grow(table) < 0)
        return NULL;
    uint32_t index = table->free - 1;
    struct table_item *item = table_at(table, index);
    table->free = item->next;
    memset(item, 0, table->item_size);
    item->id = ((uint64_t)table->generation++ << INDEX_BITS) | index;
    if (table->generation == 0)
        table->generation = 1;
    item->key[0] = key_a;
    item->key[1] = key_b;
    if (has_key(item))
        chain_in(table, item);
    table->count++;
    return item;
}

void *table_find(const struct table *table, uint64_t id)
{
    if (table_index(id) >= table->capacity)
        return NULL;
    struct table_item *item = table_at(table, table_index(id));
    return id && item->id == id ? item : NULL;
}

void *table_find_key(const struct table *table, uint64_t key_a, uint64_t key_b)
{
    uint64_t key[2] = {key_a, key_b};
    if (!table->capacity)
        return NULL;
    uint32_t index = *chain_of(table, key);
    while (index) {
        struct table_item *item = table_at(table, index - 1);
        if (item->key[0] == key_a && item->key[1] == key_b)
            return item;
        index = item->next;
    }
    return NULL;
}

void table_remove(struct table *table, void *removed)
{
    struct table_item *item = removed;
    uint32_t index = table_index(item->id);

    if (has_key(item)) {
        uint32_t *link = chain_of(table, item->key);
        while (*link != index + 1)
            link = &((struct table_item *)table_at(table, *link - 1))->next;
        *link = item->next;
    }
    item->id = 0;
    item->next = table->free;
    table->free = index + 1;
    table->count--;
}

void *table_next(const struct table *table, uint32_t *cursor)
{
    while (*cursor < table->capacity) {
        struct table_item *item = table_at(table, (*cursor)++);
        if (item->id)
            return item;
    }
    return NULL;
}
