/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <stdlib.h>
#include <string.h>

#define MS_NS 1000000ull
#define MARGIN_MS 30000u

static void drop_body(struct lease *lease)
{
    if (lease->body != NULL)
        memory_wipe(lease->body, lease->size);
    free(lease->body);
    lease->body = NULL;
}

void lease_deinit(struct lease *lease)
{
    drop_body(lease);
    free(lease->waiters);
    *lease = (struct lease){0};
}

static uint64_t boot_time(int64_t at_ms, uint64_t now_ns, int64_t wall_ms)
{
    int64_t delta = at_ms - wall_ms;

    if (at_ms == 0)
        return 0;
    if (delta >= 0)
        return (uint64_t)delta > (UINT64_MAX - now_ns) / MS_NS ? UINT64_MAX
                                                              : now_ns + (uint64_t)delta * MS_NS;
    return (uint64_t)-delta >= now_ns / MS_NS ? 1 : now_ns - (uint64_t)-delta * MS_NS;
}

bool lease_put(struct lease *lease, const struct token_grant *grant, const uint8_t *body,
               uint32_t size, uint64_t now_ns, int64_t wall_ms)
{
    uint8_t *copy;
    uint64_t left_ns;

    if (grant->generation < lease->generation_seen)
        return false;
    copy = malloc(size);
    if (copy == NULL)
        return false;
    memcpy(copy, body, size);
    drop_body(lease);
    if (grant->generation > lease->generation)
        lease->stale = false;
    lease->body = copy;
    lease->size = size;
    lease->has_access = grant->access.size != 0;
    lease->generation = lease->generation_seen = grant->generation;
    lease->version = grant->version;
    lease->expires_ns = boot_time(grant->expires_at_ms, now_ns, wall_ms);
    lease->renew_ns = boot_time(grant->renew_at_ms, now_ns, wall_ms);
    lease->cooling_ns = grant->cooling_model.size == 0
                            ? boot_time(grant->cooling_until_ms, now_ns, wall_ms)
                            : 0;
    left_ns = lease->expires_ns > now_ns ? lease->expires_ns - now_ns : 0;
    lease->margin_ns = left_ns / 10 < MARGIN_MS * MS_NS ? left_ns / 10 : MARGIN_MS * MS_NS;
    return true;
}

bool lease_serves(const struct lease *lease, uint64_t min_valid_ms, uint64_t now_ns)
{
    uint64_t left_ns;

    if (lease->body == NULL || !lease->has_access || lease->stale ||
        lease->generation < lease->generation_seen)
        return false;
    if (lease->expires_ns == 0)
        return true;
    left_ns = lease->expires_ns > now_ns ? lease->expires_ns - now_ns : 0;
    return left_ns > lease->margin_ns && left_ns / MS_NS >= min_valid_ms;
}

bool lease_satisfies(const struct lease *lease, const struct lease_waiter *waiter,
                     uint64_t now_ns)
{
    return !waiter->force && (!waiter->rejected || lease->generation > waiter->generation) &&
           lease_serves(lease, waiter->min_valid_ms, now_ns);
}

bool lease_cools(const struct lease *lease, uint64_t now_ns)
{
    return lease->cooling_ns > now_ns;
}

struct message *lease_message(const struct lease *lease)
{
    struct message *message = message_new(MSG_token_grant, lease->size);

    if (message != NULL) {
        message->flags |= MESSAGE_WIPE;
        memcpy(message->body, lease->body, lease->size);
    }
    return message;
}

bool lease_wait(struct lease *lease, const struct lease_waiter *waiter)
{
    struct lease_waiter *waiters;

    if (lease->waiter_count == LEASE_WAITERS_MAX)
        return false;
    if (lease->waiter_count == lease->waiter_capacity) {
        size_t capacity = lease->waiter_capacity != 0 ? lease->waiter_capacity * 2 : 8;

        waiters = reallocarray(lease->waiters, capacity, sizeof(*waiters));
        if (waiters == NULL)
            return false;
        lease->waiters = waiters;
        lease->waiter_capacity = capacity;
    }
    lease->waiters[lease->waiter_count++] = *waiter;
    return true;
}

bool lease_cancel(struct lease *lease, struct request_id request)
{
    for (size_t i = 0; i < lease->waiter_count; i++)
        if (lease->waiters[i].request.n == request.n) {
            memmove(&lease->waiters[i], &lease->waiters[i + 1],
                    (--lease->waiter_count - i) * sizeof(*lease->waiters));
            return true;
        }
    return false;
}
