/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory that writes down all that a file system does to it.
 *
 * It is served to the kernel as one file (block_disk_serve), a loop device lies on that file, and
 * a real file system on the loop device. Each write and each flush of the file system is noted in
 * the order in which it came; a write counts as durable only when a flush has come after it. From
 * that record every state can be made in which the disk may stand after the power went: all that
 * was flushed, and of what was not any part.
 *
 * The record lies in memory that is shared with the serving process. It is changed by that process
 * while the file system is mounted, and by its owner while none is. Bytes in the record never
 * change, so images share them: an image is a table of where its blocks stand. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DISK_BLOCK_SIZE 4096
#define SECTOR_SIZE 512
#define DISK_OPS_MAX (1 << 20)

enum disk_op_kind { DISK_WRITE, DISK_ZERO, DISK_FLUSH };

struct disk_op {
    enum disk_op_kind kind;
    uint32_t size; /* of a write, in bytes */
    uint64_t at;
    const uint8_t *bytes; /* NULL unless it is a write */
};

struct block_disk {
    uint64_t size;
    size_t block_count;
    atomic_size_t op_count;
    atomic_bool recording; /* else writes are done, and not noted */
    atomic_ulong refused;  /* writes and flushes that were answered with EIO */
    /* Writes and flushes from number fail_from (counted in ops) on are refused, fail_count of
     * them. SIZE_MAX: none. */
    atomic_size_t fail_from, fail_count;
    uint8_t *arena;
    size_t arena_used, arena_size;
    struct disk_op *ops;
    const uint8_t **blocks; /* what is served; NULL: zeros */
};

/* NULL without memory. */
struct block_disk *block_disk_new(uint64_t size);
void block_disk_free(struct block_disk *disk);

/* Takes over the contents of a file. 0 or negative errno. */
int block_disk_load(struct block_disk *disk, const char *path);
/* Makes `path`, an empty file, show the disk. The pid of the serving process or negative errno.
 * That process ends with its parent. */
pid_t block_disk_serve(struct block_disk *disk, const char *path);

/* ---- by the serving process ---- */
int block_disk_read(const struct block_disk *disk, uint64_t at, void *ret_bytes, size_t size);
/* Zeros when bytes is NULL. 0 or -EIO. */
int block_disk_write(struct block_disk *disk, uint64_t at, const void *bytes, size_t size);
int block_disk_flush(struct block_disk *disk);

/* ---- images ---- */
const uint8_t **block_disk_copy_image(const struct block_disk *disk, const uint8_t **blocks);
void block_disk_show(struct block_disk *disk, const uint8_t **blocks);
/* Does the first `size` bytes of an op to an image. New blocks are taken from the arena. */
void block_disk_apply(struct block_disk *disk, const uint8_t **blocks, const struct disk_op *op,
                      size_t size);
