/* SPDX-License-Identifier: Apache-2.0 */
#include "lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* what could not be added is not there, and we go on */
#include <uthash.h>

#define WAITING_MAX 8192 /* calls, over all lanes */

/* An agent in a lane, while it has calls there. A new one counts as served just now, so that
 * coming fresh is no way past those who wait. */
struct share {
    UT_hash_handle hh;
    unsigned running, waiting;
    uint64_t served;
    char agent[];
};

struct lane {
    UT_hash_handle hh;
    struct share *shares;
    unsigned limit, running;
    TAILQ_HEAD(, lane_place) queue;
    char account[];
};

static struct lane *lane_get(struct lanes *lanes, const char *account)
{
    struct lane *lane;
    size_t length = strlen(account);
    HASH_FIND(hh, lanes->table, account, length, lane);
    if (lane)
        return lane;
    lane = calloc(1, sizeof(*lane) + length + 1);
    if (!lane)
        return NULL;
    memcpy(lane->account, account, length + 1);
    TAILQ_INIT(&lane->queue);
    HASH_ADD(hh, lanes->table, account, length, lane);
    if (!lane->hh.tbl) { /* not added */
        free(lane);
        return NULL;
    }
    return lane;
}

static struct share *share_get(struct lanes *lanes, struct lane *lane, const char *agent)
{
    struct share *share;
    size_t length = strlen(agent);
    HASH_FIND(hh, lane->shares, agent, length, share);
    if (share)
        return share;
    share = calloc(1, sizeof(*share) + length + 1);
    if (!share)
        return NULL;
    memcpy(share->agent, agent, length + 1);
    share->served = lanes->clock;
    HASH_ADD(hh, lane->shares, agent, length, share);
    if (!share->hh.tbl) { /* not added */
        free(share);
        return NULL;
    }
    return share;
}

static void serve(struct lanes *lanes, struct lane_place *place)
{
    place->running = true;
    place->lane->running++;
    place->share->running++;
    place->share->served = ++lanes->clock;
}

static void tidy(struct lanes *lanes, struct lane *lane, struct share *share)
{
    if (share && share->running == 0 && share->waiting == 0) {
        HASH_DEL(lane->shares, share);
        free(share);
    }
    if (lane->shares)
        return;
    HASH_DEL(lanes->table, lane);
    free(lane);
}

static bool has_place(const struct lane *lane)
{
    return lane->limit == 0 || lane->running < lane->limit;
}

int lane_enter(struct lanes *lanes, const char *account, unsigned limit, const char *agent,
               struct lane_place *place)
{
    struct lane *lane = lane_get(lanes, account);
    struct share *share = lane ? share_get(lanes, lane, agent) : NULL;
    if (!share) {
        if (lane)
            tidy(lanes, lane, NULL);
        return -ENOMEM;
    }
    lane->limit = limit; /* the newest settings' */
    *place = (struct lane_place){.lane = lane, .share = share};
    if (has_place(lane) && TAILQ_EMPTY(&lane->queue)) {
        serve(lanes, place);
        return LANE_ENTERED;
    }
    if (lanes->waiting >= WAITING_MAX) {
        *place = (struct lane_place){0};
        tidy(lanes, lane, share);
        return -EAGAIN;
    }
    lanes->waiting++;
    share->waiting++;
    TAILQ_INSERT_TAIL(&lane->queue, place, waiting);
    return LANE_QUEUED;
}

static void unqueue(struct lanes *lanes, struct lane_place *place)
{
    TAILQ_REMOVE(&place->lane->queue, place, waiting);
    place->share->waiting--;
    lanes->waiting--;
}

static struct lane_place *next_in(struct lane *lane)
{
    struct lane_place *place, *best = NULL;
    TAILQ_FOREACH(place, &lane->queue, waiting) {
        const struct share *share = place->share;
        if (!best || share->running < best->share->running ||
            (share->running == best->share->running && share->served < best->share->served))
            best = place;
    }
    return best;
}

struct lane_place *lane_leave(struct lanes *lanes, struct lane_place *place)
{
    struct lane *lane = place->lane;
    struct share *share = place->share;
    struct lane_place *next = NULL;
    if (!lane)
        return NULL;
    if (place->running) {
        lane->running--;
        share->running--;
    } else {
        unqueue(lanes, place);
    }
    *place = (struct lane_place){0};
    if (has_place(lane))
        next = next_in(lane);
    if (next) {
        unqueue(lanes, next);
        serve(lanes, next);
    }
    tidy(lanes, lane, share);
    return next;
}
