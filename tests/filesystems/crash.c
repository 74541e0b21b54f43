/* SPDX-License-Identifier: Apache-2.0 */
#include "crash.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filler.h"

void crash_init(struct crash *crash, struct mounts *mounts, uint64_t seed)
{
    *crash = (struct crash){.mounts = mounts, .random = seed * 2 + 1};
    crash->blank = block_disk_copy_image(mounts->disk, mounts->disk->blocks);
    history_make(&crash->history);
}

void crash_deinit(struct crash *crash)
{
    free(crash->blank);
    free(crash->ops);
}

uint64_t crash_random(struct crash *crash, uint64_t below)
{
    uint64_t z = crash->random += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) % below;
}

/* ---- the history ---- */

static int run_step(struct crash *crash, size_t i, const struct disk_port *disk,
                    struct store_port **store, unsigned retries, char ret_why[HISTORY_TEXT_MAX])
{
    const struct history_step *step = &crash->history.steps[i];
    int error;
    do {
        error = history_call(step, disk, store, ret_why);
    } while (error < 0 && step->call == CALL_RECORD && retries-- > 0);
    return error;
}

/* What is promised after a step. One that may fail, and says why, is done. */
static void note_step(struct crash *crash, size_t i, int *error, const char *why)
{
    const struct history_step *step = &crash->history.steps[i];
    crash->low[i + 1] = crash->low[i];
    crash->high[i + 1] = crash->high[i];
    world_after(&crash->high[i + 1], step);
    if (*error == 0) {
        world_after(&crash->low[i + 1], step);
    } else if (step->may_fail && *error == -ENOSPC && why[0] != '\0') {
        crash->refused++;
        *error = 0;
    }
}

int crash_record(struct crash *crash, enum planted planted, unsigned retries,
                 char ret_why[HISTORY_TEXT_MAX])
{
    struct block_disk *disk = crash->mounts->disk;
    struct planted_disk planted_disk;
    struct store_port *store = NULL;
    planted_disk_init(&planted_disk, planted);
    disk->op_count = 0;
    disk->recording = true;
    crash->done = crash->refused = 0;
    int error = mounts_mount(crash->mounts);
    if (error < 0) {
        snprintf(ret_why, HISTORY_TEXT_MAX, "%s", crash->mounts->reason);
        return error;
    }
    for (size_t i = 0; i < crash->history.count; i++) {
        crash->begin[i] = crash->end[i] = SIZE_MAX;
    }
    for (size_t i = 0; i < crash->history.count && error == 0; i++) {
        crash->begin[i] = disk->op_count;
        error = run_step(crash, i, &planted_disk.port, &store, retries, ret_why);
        note_step(crash, i, &error, ret_why);
        if (error == 0) {
            crash->end[i] = disk->op_count;
            crash->done++;
        }
    }
    crash->op_count = disk->op_count;
    free(crash->ops);
    crash->ops = malloc((crash->op_count + 1) * sizeof(*crash->ops));
    assert(crash->ops != NULL);
    memcpy(crash->ops, disk->ops, crash->op_count * sizeof(*crash->ops));
    disk->recording = false;
    disk->fail_from = SIZE_MAX;
    if (store != NULL) {
        store->close(store);
    }
    int unmounted = mounts_unmount(crash->mounts);
    if (error == 0 && unmounted < 0) {
        error = unmounted;
        snprintf(ret_why, HISTORY_TEXT_MAX, "%s", crash->mounts->reason);
    }
    return error;
}

struct promise crash_promise(const struct crash *crash, size_t at)
{
    size_t last = 0;
    while (last < crash->done && crash->end[last] <= at) {
        last++;
    }
    struct promise promise = {.before = crash->low[last], .after = crash->high[last]};
    if (last < crash->history.count && crash->begin[last] <= at) {
        promise.under_way = &crash->history.steps[last];
        promise.after = crash->high[last + 1];
    }
    return promise;
}

/* ---- one image ---- */

/* A store that was found must be fit for use: one profile is refreshed, or logged in. */
static int go_on(const struct promise *promise, struct store_port **store, struct world *expected,
                 char ret_why[HISTORY_TEXT_MAX])
{
    unsigned number = promise->under_way == NULL ? 0 : promise->under_way->profile;
    struct world_profile profile = expected->profiles[number];
    struct history_step step = {.call = CALL_RECORD, .profile = (uint8_t)number,
                                .generation = profile.generation,
                                .attempt = (uint8_t)(profile.intent + 1)};
    static const enum history_call calls[] = {CALL_RESERVE, CALL_INTENT, CALL_ANSWER, CALL_RECORD,
                                              CALL_AUDIT};
    for (size_t i = profile.generation == 0 ? 3 : 0; i < sizeof(calls) / sizeof(*calls); i++) {
        char why[HISTORY_TEXT_MAX - 50];
        step.call = calls[i];
        step.generation += step.call == CALL_RECORD ? 1 : 0;
        if (history_call(&step, NULL, store, ret_why) < 0) {
            snprintf(why, sizeof(why), "%s", ret_why);
            snprintf(ret_why, HISTORY_TEXT_MAX, "it cannot be used any more: %s", why);
            return -EBADMSG;
        }
        world_after(expected, &step);
    }
    (*store)->close(*store);
    struct world found;
    int error = world_load(NULL, true, store, &found, ret_why);
    return error < 0 || world_compare(&found, expected, expected, ret_why) < 0 ? -EBADMSG : 0;
}

int crash_try(struct crash *crash, const struct promise *promise, bool goes_on,
              struct world *ret_found, char ret_why[HISTORY_TEXT_MAX])
{
    struct block_disk *disk = crash->mounts->disk;
    struct store_port *store = NULL;
    disk->op_count = 0;
    disk->recording = true;
    int error = mounts_mount(crash->mounts);
    if (error < 0) { /* a file system that a crash breaks is a loss as well */
        snprintf(ret_why, HISTORY_TEXT_MAX, "%s", crash->mounts->reason);
        disk->recording = false;
        return crash->mounts->is_attached ? -EBADMSG : error;
    }
    if (world_load(promise->under_way, promise->before.is_made, &store, ret_found, ret_why) < 0 ||
        world_compare(ret_found, &promise->before, &promise->after, ret_why) < 0) {
        error = -EBADMSG;
    }
    disk->recording = false;
    if (error == 0 && goes_on) {
        struct world expected = *ret_found;
        filler_empty();
        error = go_on(promise, &store, &expected, ret_why);
    }
    store->close(store);
    int unmounted = mounts_unmount(crash->mounts);
    return error < 0 ? error : unmounted;
}
