/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/listing.h"

#include <errno.h>

#include "actors/handler.h"
#include "proto/system.h"

struct listing *listing_begin(struct listings *listings, struct context *context)
{
    for (size_t i = 0; i < LISTINGS_MAX; i++) {
        struct listing *listing = &listings->slots[i];

        if (listing->request.n != 0)
            continue;
        *listing = (struct listing){.all = listings, .request = context_defer(context)};
        return listing;
    }
    actor_reply_refusal(context, "busy", "too many slow readers of lists", "try again");
    return NULL;
}

static void drop_rows(struct listing *listing)
{
    while (listing->first) {
        struct message *row = listing->first;

        listing->first = row->next;
        row->next = NULL;
        listing->all->waiting--;
        message_free(row);
    }
    *listing = (struct listing){0};
}

static void wait_in_line(struct listing *listing, struct message *row)
{
    if (listing->all->waiting == LISTINGS_ROWS_MAX) {
        message_free(row);
        return;
    }
    row->next = NULL;
    if (listing->last)
        listing->last->next = row;
    else
        listing->first = row;
    listing->last = row;
    listing->all->waiting++;
}

void listing_row(struct listing *listing, struct context *context, struct message *row)
{
    listing->count++;
    if (!row)
        return;
    if (listing->first != NULL || context_part(context, listing->request, row) == -EAGAIN)
        wait_in_line(listing, row);
}

/* Sends what there is credit for, and the end when nothing waits any more. */
static int go_on(struct listing *listing, struct context *context)
{
    struct request_id request = listing->request;
    uint64_t count = listing->count;

    while (listing->first) {
        struct message *row = listing->first, *next = row->next;

        row->next = NULL;
        if (context_part(context, request, row) == -EAGAIN) {
            row->next = next;
            return 0;
        }
        listing->first = next;
        listing->all->waiting--;
    }
    listing->last = NULL;
    if (!listing->ended)
        return 0;
    *listing = (struct listing){0};
    return context_answer(context, request, actor_pack(done, &((struct done){.count = count})));
}

int listing_end(struct listing *listing, struct context *context)
{
    listing->ended = true;
    return go_on(listing, context);
}

int listings_credit(struct listings *listings, struct context *context, struct request_id request)
{
    for (size_t i = 0; i < LISTINGS_MAX; i++)
        if (request.n != 0 && listings->slots[i].request.n == request.n)
            return go_on(&listings->slots[i], context);
    return 0;
}

void listings_cancel(struct listings *listings, struct request_id request)
{
    for (size_t i = 0; i < LISTINGS_MAX; i++)
        if (request.n != 0 && listings->slots[i].request.n == request.n)
            drop_rows(&listings->slots[i]);
}

void listings_deinit(struct listings *listings)
{
    for (size_t i = 0; i < LISTINGS_MAX; i++)
        drop_rows(&listings->slots[i]);
}
