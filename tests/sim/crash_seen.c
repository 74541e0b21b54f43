/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_seen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void hash_world(const struct crash_world *world, uint64_t ret_hash[2])
{
    const uint64_t facts[] = {world->now_ns, (uint64_t)world->wall_ms, world->boots,
                              world->imported, world->answer_lost, world->slept,
                              world->used_unsaved, world->fills, world->filled,
                              world->disk->full,
                              world->published, world->goal};
    disk_model_hash(world->disk, ret_hash);
    const uint8_t *bytes = (const uint8_t *)&world->server;
    for (size_t i = 0; i < sizeof(world->server); i++) {
        ret_hash[0] = (ret_hash[0] ^ bytes[i]) * 0x100000001b3ull;
        ret_hash[1] = (ret_hash[1] ^ bytes[i]) * 0x9e3779b97f4a7c15ull;
    }
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        ret_hash[0] = (ret_hash[0] ^ facts[i]) * 0x9e3779b97f4a7c15ull;
        ret_hash[0] ^= ret_hash[0] >> 31;
        ret_hash[1] = (ret_hash[1] ^ facts[i]) * 0xbf58476d1ce4e5b9ull;
        ret_hash[1] ^= ret_hash[1] >> 29;
    }
}

static bool insert(struct crash_seen *seen, const uint64_t hash[2])
{
    size_t at = hash[0] & (seen->size - 1);
    while (seen->slots[at][0] != 0 || seen->slots[at][1] != 0) {
        if (seen->slots[at][0] == hash[0] && seen->slots[at][1] == hash[1]) {
            return false;
        }
        at = (at + 1) & (seen->size - 1);
    }
    memcpy(seen->slots[at], hash, sizeof(seen->slots[at]));
    seen->count++;
    return true;
}

bool crash_seen_add(struct crash_seen *seen, const struct crash_world *world)
{
    uint64_t hash[2];
    if (2 * (seen->count + 1) > seen->size) {
        struct crash_seen grown = {.size = seen->size != 0 ? 2 * seen->size : 1024};
        grown.slots = calloc(grown.size, sizeof(*grown.slots));
        assert(grown.slots != NULL);
        for (size_t i = 0; i < seen->size; i++) {
            if (seen->slots[i][0] != 0 || seen->slots[i][1] != 0) {
                insert(&grown, seen->slots[i]);
            }
        }
        free(seen->slots);
        *seen = grown;
    }
    hash_world(world, hash);
    return insert(seen, hash);
}

void crash_seen_deinit(struct crash_seen *seen)
{
    free(seen->slots);
    *seen = (struct crash_seen){0};
}
