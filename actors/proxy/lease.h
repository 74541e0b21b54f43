/* SPDX-License-Identifier: Apache-2.0 */
/* A lease: the latest grant of one profile as the keeper gave it, and who waits for a better one.
 * Pure: time comes as a parameter, nothing is sent from here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/token.h"
#include "runtime/actor.h"

#define LEASE_NAME_MAX 128
#define LEASE_WHO_MAX 48
#define LEASE_WAITERS_MAX 4096 /* of one profile */

struct lease_waiter {
    struct request_id request;
    uint64_t min_valid_ms;
    uint64_t since_ns;
    bool force;
    bool rejected; /* it met a 401 with the token of this hash: a newer one, or the keeper's word */
    uint8_t access_sha256[32];
    uint64_t generation; /* the lease's when it came */
    bool covered;        /* what is asked upstream right now will do for it */
    char who[LEASE_WHO_MAX];
};

struct lease {
    char name[LEASE_NAME_MAX]; /* as asked for: an id or an alias */
    char profile[LEASE_NAME_MAX]; /* the id, once the keeper has said it */
    uint8_t *body;             /* the grant, packed as it came; NULL: none */
    uint32_t size;
    bool has_access;
    uint64_t generation, version;
    uint64_t expires_ns;  /* 0: never */
    uint64_t margin_ns;   /* this close to its end it is not handed out */
    uint64_t renew_ns;    /* 0: never */
    uint64_t cooling_ns;  /* until then the whole account cools; 0: not */
    uint64_t generation_seen; /* under any name of the profile */
    bool stale;   /* somebody met a 401 with it: ask upstream */
    bool verdict; /* what is asked upstream was sent after the last 401: its answer ends stale */
    bool used;  /* since the last push: worth watching */

    bool getting;
    unsigned watches;   /* under way; two when a link came back before its end was heard */
    uint64_t asked_ns;  /* the last request upstream */
    uint64_t away_ns;   /* since when the keeper has not answered; 0: it does */
    struct timer_id timer;
    bool timing;

    struct lease_waiter *waiters;
    size_t waiter_count, waiter_capacity;
};

void lease_deinit(struct lease *lease);
/* Takes over a grant; false: it is of an older generation than was seen, and not taken. -ENOMEM
 * counts as not taken, too. */
bool lease_put(struct lease *lease, const struct token_grant *grant, const uint8_t *body,
               uint32_t size, uint64_t now_ns, int64_t wall_ms);
/* It may be handed out now for this long at least. */
bool lease_serves(const struct lease *lease, uint64_t min_valid_ms, uint64_t now_ns);
/* It will do for this waiter now. */
bool lease_satisfies(const struct lease *lease, const struct lease_waiter *waiter,
                     uint64_t now_ns);
bool lease_cools(const struct lease *lease, uint64_t now_ns);
/* A copy of the grant as a message; NULL without memory. */
struct message *lease_message(const struct lease *lease);
/* false: too many, or no memory. */
bool lease_wait(struct lease *lease, const struct lease_waiter *waiter);
bool lease_cancel(struct lease *lease, struct request_id request);
