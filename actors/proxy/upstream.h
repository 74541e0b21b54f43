/* SPDX-License-Identifier: Apache-2.0 */
/* What the proxy asks the keeper for one lease: one token_get or token_rejected at a time, however
 * many wait; and one token_watch, answered when there is something newer (the latest value, so
 * there is no queue to overflow or to lag). */
#pragma once

#include "lease.h"
#include "runtime/runtime.h"

#define MS_NS 1000000ull
#define LEASES_MAX 256
#define GET_DEADLINE_MS 180000u

#define TAG_JOIN UINT64_MAX

enum upstream { UPSTREAM_GET, UPSTREAM_WATCH };

struct proxy_state {
    char peer[64], actor[64], swarm[128], config[1024], node[64];
    uint64_t pid, patience_ms, retry_ms;
    struct lease *leases[LEASES_MAX];
    size_t lease_count;
    unsigned joins; /* under way */
    struct timer_id join_timer;
};

struct actor_id proxy_keeper(struct proxy_state *state, struct context *context);
/* Sends it to the keeper; NULL: -ENOMEM. The answer comes with `tag`. */
int proxy_request(struct proxy_state *state, struct context *context, struct message *message,
                  uint64_t tag, uint64_t deadline_ms);

uint64_t upstream_tag(const struct proxy_state *state, const struct lease *lease,
                      enum upstream upstream);
/* Asks for the one who has waited longest, and who can be with them; once at a time. */
void upstream_get(struct proxy_state *state, struct lease *lease, struct context *context);
void upstream_watch(struct proxy_state *state, struct lease *lease, struct context *context);
void upstream_retry(struct proxy_state *state, struct lease *lease, struct context *context);
