/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that did not arrive, counted by (reason, type, from, to). The table is bounded: when it
 * is full the rest goes to one row per reason with empty names, so that a count is never lost,
 * only its detail. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define ROWS 512u /* hashed ones; behind them one row a reason */

struct drop_row {
    struct drop_info info;
    uint64_t last_ns;
};

struct drops {
    pthread_mutex_t lock;
    unsigned used;
    struct drop_row rows[ROWS + STATUS_COUNT];
};

int drops_new(struct drops **ret_drops)
{
    struct drops *drops = calloc(1, sizeof *drops);
    if (!drops)
        return -ENOMEM;
    pthread_mutex_init(&drops->lock, NULL);
    *ret_drops = drops;
    return 0;
}

void drops_free(struct drops *drops)
{
    if (!drops)
        return;
    pthread_mutex_destroy(&drops->lock);
    free(drops);
}

static uint32_t hash_text(uint32_t hash, const char *text)
{
    while (*text)
        hash = (hash ^ (unsigned char)*text++) * 16777619u;
    return hash;
}

static bool row_is(const struct drop_row *row, enum runtime_status reason, uint32_t type,
                   const char *from, const char *to)
{
    return row->info.reason == reason && row->info.type == type &&
           strcmp(row->info.from, from) == 0 && strcmp(row->info.to, to) == 0;
}

static struct drop_row *find(struct drops *drops, enum runtime_status reason, uint32_t type,
                             const char *from, const char *to)
{
    uint32_t hash = hash_text(hash_text((2166136261u ^ type) * 31 + reason, from), to);

    for (unsigned probe = 0; probe < 16; probe++) {
        struct drop_row *row = &drops->rows[(hash + probe) % ROWS];
        if (row->info.count && row_is(row, reason, type, from, to))
            return row;
        if (!row->info.count) {
            row->info = (struct drop_info){.reason = reason, .type = type};
            snprintf(row->info.from, sizeof row->info.from, "%s", from);
            snprintf(row->info.to, sizeof row->info.to, "%s", to);
            return row;
        }
    }
    struct drop_row *rest = &drops->rows[ROWS + (unsigned)reason % STATUS_COUNT];
    rest->info.reason = reason;
    return rest;
}

void runtime_count_drop(struct runtime *runtime, enum runtime_status reason, uint32_t type,
                        const char *from, const char *to)
{
    struct drops *drops = runtime->drops;
    uint64_t now_ns = runtime->clock->now_ns(runtime->clock);

    pthread_mutex_lock(&drops->lock);
    struct drop_row *row = find(drops, reason, type, from, to);
    row->info.count++;
    row->last_ns = now_ns;
    pthread_mutex_unlock(&drops->lock);
}

size_t introspect_drops(struct runtime *runtime, uint64_t *cursor, struct drop_info *ret_rows,
                        size_t max)
{
    struct drops *drops = runtime->drops;
    uint64_t now_ns = runtime->clock->now_ns(runtime->clock);
    size_t count = 0;

    pthread_mutex_lock(&drops->lock);
    for (; *cursor < ROWS + STATUS_COUNT && count < max; (*cursor)++) {
        const struct drop_row *row = &drops->rows[*cursor];
        if (!row->info.count)
            continue;
        ret_rows[count] = row->info;
        ret_rows[count].last_age_ns = now_ns > row->last_ns ? now_ns - row->last_ns : 0;
        count++;
    }
    pthread_mutex_unlock(&drops->lock);
    return count;
}
