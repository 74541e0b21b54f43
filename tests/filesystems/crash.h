/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes of a history on a file system: it is run once and recorded, then images are made of the
 * disk as a loss of power may leave it, each is mounted (the kernel replays its journal) and opened
 * by the store.
 *
 * Between two flushes lies an epoch. All before it is on the disk; of its own writes any part may
 * be. The crash is put at the end of the epoch, where most was promised. */
#pragma once

#include "history.h"
#include "mounts.h"
#include "planted.h"

/* What of the writes of an epoch is on the disk. */
enum image_kind { IMAGE_NOTHING, IMAGE_PREFIX, IMAGE_TORN, IMAGE_SUBSET };

struct crash_options {
    size_t images;    /* at most, drawn by lot; 0: all */
    unsigned subsets; /* random parts of each epoch, beside nothing, all and the prefixes */
    unsigned again;   /* each n-th image crashes again in its recovery; 0: none */
    unsigned kinds;   /* bits of enum image_kind; 0: all */
    unsigned calls;   /* only in the middle of these, bits of enum history_call; 0: all */
    bool at_the_end;  /* only of the last epoch */
    const char *save; /* file for the image that failed; NULL: none */
};

struct crash_figures {
    size_t flushes, writes; /* of the history */
    size_t possible, images, again; /* crash images: of the whole plan, tried, in recovery */
    size_t lost;
    char why[HISTORY_TEXT_MAX + 200]; /* of the first loss */
};

struct crash {
    struct mounts *mounts;
    struct history history;
    struct world low[HISTORY_STEPS_MAX + 1]; /* promised before step i; what failed is not */
    struct world high[HISTORY_STEPS_MAX + 1]; /* the most that may be there */
    const uint8_t **blank; /* the new file system */
    struct disk_op *ops;   /* the record of the history */
    size_t op_count;
    size_t begin[HISTORY_STEPS_MAX], end[HISTORY_STEPS_MAX]; /* of steps, counted in ops */
    size_t done; /* steps that were made */
    size_t refused; /* of those that may fail */
    uint64_t random;
};

void crash_init(struct crash *crash, struct mounts *mounts, uint64_t seed);
void crash_deinit(struct crash *crash);
uint64_t crash_random(struct crash *crash, uint64_t below);

/* Runs the history on the new file system and records it. Ends at the first step that fails; with
 * retries, a save is tried again. 0 or the error of that step. */
int crash_record(struct crash *crash, enum planted planted, unsigned retries,
                 char ret_why[HISTORY_TEXT_MAX]);
/* Makes the images of what was recorded, at most until the first loss. 0 or negative errno of the
 * machine; a loss is in *ret_figures. */
int crash_try_images(struct crash *crash, const struct crash_options *options,
                     struct crash_figures *ret_figures);
/* What must be found after a crash at op number `at`. */
struct promise {
    struct world before, after;
    const struct history_step *under_way; /* NULL: none */
};

struct promise crash_promise(const struct crash *crash, size_t at);
/* Mounts what the disk shows, loads the store and holds it against the promise; then saves the next
 * generation, if it is to go on. 0; -EBADMSG: lost, with why; else it is the machine's error. What
 * it did until the store was loaded is in the record of the disk. */
int crash_try(struct crash *crash, const struct promise *promise, bool goes_on,
              struct world *ret_found, char ret_why[HISTORY_TEXT_MAX]);
