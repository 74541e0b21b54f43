/* SPDX-License-Identifier: Apache-2.0 */
/* Which images are made of a recorded history, and how. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash.h"

struct image {
    size_t from, to; /* the epoch: writes from..to, then a flush or the end */
    enum image_kind kind;
    size_t count;    /* of a prefix; of TORN: the last of these is cut in a sector */
};

struct plan {
    struct image *images;
    size_t count, room;
};

static void plan_add(struct plan *plan, const struct crash_options *options, size_t from, size_t to,
                     enum image_kind kind, size_t count)
{
    if (options->kinds != 0 && (options->kinds & 1u << kind) == 0) {
        return;
    }
    if (plan->count == plan->room) {
        plan->room = plan->room == 0 ? 1024 : 2 * plan->room;
        plan->images = reallocarray(plan->images, plan->room, sizeof(*plan->images));
        assert(plan->images != NULL);
    }
    plan->images[plan->count++] = (struct image){from, to, kind, count};
}

static void plan_epoch(struct plan *plan, const struct crash_options *options, size_t from,
                       size_t to)
{
    size_t writes = to - from;
    plan_add(plan, options, from, to, IMAGE_NOTHING, 0);
    for (size_t count = 1; count <= writes; count++) {
        plan_add(plan, options, from, to, IMAGE_PREFIX, count);
    }
    for (unsigned i = 0; i < options->subsets && writes > 0; i++) {
        plan_add(plan, options, from, to, IMAGE_TORN, 1 + i % writes);
        if (writes > 1) {
            plan_add(plan, options, from, to, IMAGE_SUBSET, 0);
        }
    }
}

/* All images from the first call on, in the order of time. */
static void plan_make(struct plan *plan, const struct crash *crash,
                      const struct crash_options *options)
{
    for (size_t from = 0, to = 0; from <= crash->op_count; from = to + 1) {
        for (to = from; to < crash->op_count && crash->ops[to].kind != DISK_FLUSH; to++) {
        }
        const struct history_step *step = crash_promise(crash, to).under_way;
        bool is_wanted = options->calls == 0 ||
                         (step != NULL && (options->calls & 1u << step->call) != 0);
        if (to >= crash->begin[0] && is_wanted && (!options->at_the_end || to == crash->op_count)) {
            plan_epoch(plan, options, from, to);
        }
    }
}

/* Leaves `images` of them, drawn by lot, in their order. */
static void plan_draw(struct plan *plan, struct crash *crash, size_t images)
{
    size_t kept = 0, left = images;
    if (images == 0 || images >= plan->count) {
        return;
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (crash_random(crash, plan->count - i) < left) {
            plan->images[kept++] = plan->images[i];
            left--;
        }
    }
    plan->count = kept;
}

/* ---- making one ---- */

static void apply_epoch(struct crash *crash, const struct disk_op *ops, const struct image *image,
                        const uint8_t **blocks)
{
    struct block_disk *disk = crash->mounts->disk;
    for (size_t i = image->from; i < image->to; i++) {
        size_t number = i - image->from, size = ops[i].size;
        bool is_last = number + 1 == image->count;
        bool is_kept = image->kind == IMAGE_SUBSET ? crash_random(crash, 2) == 0
                                                   : number < image->count;
        if (image->kind == IMAGE_TORN && is_last) {
            size_t atomic = crash->mounts->filesystem->atomic;
            size = crash_random(crash, size / atomic + 1) * atomic;
        }
        if (is_kept) {
            block_disk_apply(disk, blocks, &ops[i], size);
        }
    }
}

/* Blocks as they are once all ops up to `to` are on the disk. */
static void advance(struct crash *crash, const uint8_t **blocks, size_t *at, size_t to)
{
    for (; *at < to; (*at)++) {
        const struct disk_op *op = &crash->ops[*at];
        if (op->kind != DISK_FLUSH) {
            block_disk_apply(crash->mounts->disk, blocks, op, op->size);
        }
    }
}

static void save_image(const struct block_disk *disk, const uint8_t **blocks, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)disk->size) < 0) {
        fprintf(stderr, "%s: %m\n", path);
    }
    for (size_t i = 0; i < disk->block_count && fd >= 0; i++) {
        if (blocks[i] != NULL && pwrite(fd, blocks[i], DISK_BLOCK_SIZE,
                                        (off_t)i * DISK_BLOCK_SIZE) != DISK_BLOCK_SIZE) {
            fprintf(stderr, "%s: %m\n", path);
            break;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The recovery of an image crashes, too: what it wrote until the store was loaded is in the disk's
 * record. Once loaded, a store must not be found older than that. */
static int crash_again(struct crash *crash, const uint8_t **image_blocks,
                       const struct promise *promise, const struct world *loaded,
                       char ret_why[HISTORY_TEXT_MAX])
{
    struct block_disk *disk = crash->mounts->disk;
    size_t count = disk->op_count, at = crash_random(crash, count + 1), from = at, to = at;
    struct disk_op *ops = malloc((count + 1) * sizeof(*ops));
    assert(ops != NULL);
    memcpy(ops, disk->ops, count * sizeof(*ops));
    while (from > 0 && ops[from - 1].kind != DISK_FLUSH) {
        from--;
    }
    while (to < count && ops[to].kind != DISK_FLUSH) {
        to++;
    }
    const uint8_t **blocks = block_disk_copy_image(disk, image_blocks);
    for (size_t i = 0; i < from; i++) {
        if (ops[i].kind != DISK_FLUSH) {
            block_disk_apply(disk, blocks, &ops[i], ops[i].size);
        }
    }
    apply_epoch(crash, ops, &(struct image){from, to, IMAGE_SUBSET, 0}, blocks);
    block_disk_show(disk, blocks);
    struct promise left = *promise;
    if (to == count) {
        left.before = *loaded;
    }
    struct world found;
    int error = crash_try(crash, &left, true, &found, ret_why);
    free(blocks);
    free(ops);
    return error;
}

static void describe(const struct crash *crash, const struct image *image, const char *in,
                     const char *why, struct crash_figures *figures)
{
    static const char *const kinds[] = {"none", "the first", "the first, the last of them torn,",
                                        "a part"};
    struct promise promise = crash_promise(crash, image->to);
    char step[120] = "no call";
    if (promise.under_way != NULL) {
        history_describe(promise.under_way, step, sizeof(step));
    }
    snprintf(figures->why, sizeof(figures->why),
             "%scrash at op %zu, in %s; of %zu writes since the last flush %s (%zu): %s", in,
             image->to, step, image->to - image->from, kinds[image->kind], image->count, why);
}

static int try_image(struct crash *crash, const struct crash_options *options,
                     const struct image *image, const uint8_t **durable,
                     struct crash_figures *figures)
{
    struct block_disk *disk = crash->mounts->disk;
    struct promise promise = crash_promise(crash, image->to);
    struct world found;
    char why[HISTORY_TEXT_MAX];
    const char *in = "";
    const uint8_t **blocks = block_disk_copy_image(disk, durable);
    apply_epoch(crash, crash->ops, image, blocks);
    block_disk_show(disk, blocks);
    int error = crash_try(crash, &promise, true, &found, why);
    figures->images++;
    if (error == 0 && options->again != 0 && figures->images % options->again == 0) {
        in = "second crash, in recovery: ";
        error = crash_again(crash, blocks, &promise, &found, why);
        figures->again++;
    }
    if (error == -EBADMSG) {
        figures->lost++;
        describe(crash, image, in, why, figures);
        if (options->save != NULL) {
            save_image(disk, blocks, options->save);
        }
        error = 0;
    }
    free(blocks);
    return error;
}

int crash_try_images(struct crash *crash, const struct crash_options *options,
                     struct crash_figures *ret_figures)
{
    struct block_disk *disk = crash->mounts->disk;
    struct plan plan = {0};
    *ret_figures = (struct crash_figures){0};
    for (size_t i = 0; i < crash->op_count; i++) {
        *(crash->ops[i].kind == DISK_FLUSH ? &ret_figures->flushes : &ret_figures->writes) += 1;
    }
    plan_make(&plan, crash, options);
    ret_figures->possible = plan.count;
    plan_draw(&plan, crash, options->images);
    const uint8_t **durable = block_disk_copy_image(disk, crash->blank);
    size_t at = 0;
    int error = 0;
    for (size_t i = 0; i < plan.count && error == 0 && ret_figures->lost == 0; i++) {
        advance(crash, durable, &at, plan.images[i].from);
        size_t mark = disk->arena_used; /* what an image needs of its own is given back */
        error = try_image(crash, options, &plan.images[i], durable, ret_figures);
        disk->arena_used = mark;
    }
    free(durable);
    free(plan.images);
    return error;
}
