/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block_disk.h"

#define ARENA_SIZE ((size_t)8 << 30) /* of addresses; memory is taken as it is used */

static void *map_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct block_disk *block_disk_new(uint64_t size)
{
    struct block_disk *disk = map_shared(sizeof(*disk));
    if (disk == NULL) {
        return NULL;
    }
    disk->size = size;
    disk->block_count = size / DISK_BLOCK_SIZE;
    disk->arena_size = ARENA_SIZE;
    disk->fail_from = SIZE_MAX;
    disk->arena = map_shared(disk->arena_size);
    disk->ops = map_shared(DISK_OPS_MAX * sizeof(*disk->ops));
    disk->blocks = map_shared(disk->block_count * sizeof(*disk->blocks));
    if (disk->arena == NULL || disk->ops == NULL || disk->blocks == NULL) {
        block_disk_free(disk);
        return NULL;
    }
    return disk;
}

void block_disk_free(struct block_disk *disk)
{
    if (disk->arena != NULL) {
        munmap(disk->arena, disk->arena_size);
    }
    if (disk->ops != NULL) {
        munmap(disk->ops, DISK_OPS_MAX * sizeof(*disk->ops));
    }
    if (disk->blocks != NULL) {
        munmap(disk->blocks, disk->block_count * sizeof(*disk->blocks));
    }
    munmap(disk, sizeof(*disk));
}

static uint8_t *take(struct block_disk *disk, size_t size)
{
    size = (size + 63) & ~(size_t)63;
    assert(disk->arena_used + size <= disk->arena_size);
    uint8_t *bytes = disk->arena + disk->arena_used;
    disk->arena_used += size;
    return bytes;
}

int block_disk_load(struct block_disk *disk, const char *path)
{
    static const uint8_t zeros[DISK_BLOCK_SIZE];
    uint8_t block[DISK_BLOCK_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? -errno : 0;
    off_t at = 0;
    while (error == 0 && (at = lseek(fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < disk->size) {
        at -= at % DISK_BLOCK_SIZE;
        if (pread(fd, block, sizeof(block), at) != sizeof(block)) {
            error = -EIO;
        } else if (memcmp(block, zeros, sizeof(block)) != 0) {
            uint8_t *bytes = take(disk, sizeof(block));
            memcpy(bytes, block, sizeof(block));
            disk->blocks[at / DISK_BLOCK_SIZE] = bytes;
        }
        at += DISK_BLOCK_SIZE;
    }
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

const uint8_t **block_disk_copy_image(const struct block_disk *disk, const uint8_t **blocks)
{
    const uint8_t **copy = malloc(disk->block_count * sizeof(*copy));
    assert(copy != NULL);
    return memcpy(copy, blocks, disk->block_count * sizeof(*copy));
}

void block_disk_show(struct block_disk *disk, const uint8_t **blocks)
{
    memcpy(disk->blocks, blocks, disk->block_count * sizeof(*blocks));
}

/* A block is never changed where it stands, for other images show it too. */
static void patch(struct block_disk *disk, const uint8_t **block, size_t from,
                  const uint8_t *bytes, size_t size)
{
    uint8_t *fresh = take(disk, DISK_BLOCK_SIZE);
    if (*block != NULL) {
        memcpy(fresh, *block, DISK_BLOCK_SIZE);
    } else {
        memset(fresh, 0, DISK_BLOCK_SIZE);
    }
    if (bytes != NULL) {
        memcpy(fresh + from, bytes, size);
    } else {
        memset(fresh + from, 0, size);
    }
    *block = fresh;
}

void block_disk_apply(struct block_disk *disk, const uint8_t **blocks, const struct disk_op *op,
                      size_t size)
{
    for (size_t done = 0; done < size;) {
        uint64_t at = op->at + done;
        size_t from = at % DISK_BLOCK_SIZE;
        size_t part = DISK_BLOCK_SIZE - from < size - done ? DISK_BLOCK_SIZE - from : size - done;
        const uint8_t *bytes = op->bytes == NULL ? NULL : op->bytes + done;
        assert(at + part <= disk->size);
        if (part == DISK_BLOCK_SIZE) {
            blocks[at / DISK_BLOCK_SIZE] = bytes;
        } else {
            patch(disk, &blocks[at / DISK_BLOCK_SIZE], from, bytes, part);
        }
        done += part;
    }
}

/* ---- what the file system does ---- */

int block_disk_read(const struct block_disk *disk, uint64_t at, void *ret_bytes, size_t size)
{
    uint8_t *to = ret_bytes;
    if (at > disk->size || size > disk->size - at) {
        return -EIO;
    }
    while (size > 0) {
        size_t from = at % DISK_BLOCK_SIZE;
        size_t part = DISK_BLOCK_SIZE - from < size ? DISK_BLOCK_SIZE - from : size;
        const uint8_t *block = disk->blocks[at / DISK_BLOCK_SIZE];
        if (block != NULL) {
            memcpy(to, block + from, part);
        } else {
            memset(to, 0, part);
        }
        to += part;
        at += part;
        size -= part;
    }
    return 0;
}

static bool is_refused(struct block_disk *disk)
{
    if (disk->op_count < disk->fail_from || disk->fail_count == 0) {
        return false;
    }
    disk->fail_count--;
    disk->refused++;
    return true;
}

static void note(struct block_disk *disk, const struct disk_op *op)
{
    size_t count = disk->op_count;
    if (!disk->recording) {
        return;
    }
    assert(count < DISK_OPS_MAX);
    disk->ops[count] = *op;
    disk->op_count = count + 1;
}

int block_disk_write(struct block_disk *disk, uint64_t at, const void *bytes, size_t size)
{
    struct disk_op op = {.kind = bytes == NULL ? DISK_ZERO : DISK_WRITE, .at = at,
                         .size = (uint32_t)size};
    if (at > disk->size || size > disk->size - at || is_refused(disk)) {
        return -EIO;
    }
    if (bytes != NULL) {
        op.bytes = memcpy(take(disk, size), bytes, size);
    }
    block_disk_apply(disk, disk->blocks, &op, size);
    note(disk, &op);
    return 0;
}

int block_disk_flush(struct block_disk *disk)
{
    if (is_refused(disk)) {
        return -EIO;
    }
    note(disk, &(struct disk_op){.kind = DISK_FLUSH});
    return 0;
}
