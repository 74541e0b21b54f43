/* SPDX-License-Identifier: Apache-2.0 */
/* A list as the answer to a request: rows go out as stream parts while the asker has credit, the
 * rest waits for more, then the final answer. Bounded: an actor answers at most LISTINGS_MAX askers
 * at once that have not read all yet (a whole swarm's programs may come together), and at most
 * LISTINGS_ROWS_MAX rows wait for all of them; what is over that is not shown, and the count in the
 * final answer says how many rows there were. */
#pragma once

#include "runtime/actor.h"

#define LISTINGS_MAX 256
#define LISTINGS_ROWS_MAX 65536

struct listings;

struct listing {
    struct listings *all;
    struct request_id request; /* {0}: free */
    struct message *first, *last; /* rows that wait */
    uint64_t count; /* rows so far, sent or not */
    bool ended;
};

/* Part of an actor's state; zeroed is ready. */
struct listings {
    struct listing slots[LISTINGS_MAX];
    size_t waiting; /* rows in all slots */
};

/* Takes over the answer to the request at hand. NULL: too many, and it is answered busy. */
struct listing *listing_begin(struct listings *listings, struct context *context);
/* Takes the message; NULL (no memory) counts as a row that is not shown. */
void listing_row(struct listing *listing, struct context *context, struct message *row);
/* No more rows: answers `done` with their count once all are out. */
int listing_end(struct listing *listing, struct context *context);

/* For on_credit and on_cancel; a request that is no listing is ignored. */
int listings_credit(struct listings *listings, struct context *context, struct request_id request);
void listings_cancel(struct listings *listings, struct request_id request);
/* For stop. */
void listings_deinit(struct listings *listings);
