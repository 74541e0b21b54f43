/* SPDX-License-Identifier: Apache-2.0 */
/* The disk as a file: the few requests of the FUSE protocol that a loop device makes of the file
 * it lies on. The mount is that file itself, there is no directory.
 *
 * The kernel caches what it reads of the file until it is opened anew, and writes through: what the
 * file system writes comes here at once and as it was written, and its flush comes here as an
 * fsync. Requests are taken one after another, so the record has one order.
 *
 * This is a process of its own, and the only one with the other end of the mount: when it ends, in
 * whatever way, the kernel answers all that is under way with an error, and nobody waits for
 * ever. It must never touch what is mounted on the disk it serves; so it has a mount namespace of
 * its own, in which nothing is, or at its end the kernel would unmount that file system in its
 * name, and wait for it to write. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "block_disk.h"

#define TRANSFER_MAX (1 << 20)
#define REQUEST_MAX (TRANSFER_MAX + 4096)
#define FOREVER_S 86400

static void reply(int fd, uint64_t unique, int error, const void *body, size_t size)
{
    struct fuse_out_header header = {.len = (uint32_t)(sizeof(header) + size), .error = error,
                                     .unique = unique};
    struct iovec parts[] = {{&header, sizeof(header)}, {(void *)(uintptr_t)body, size}};
    if (writev(fd, parts, size == 0 ? 1 : 2) < 0 && errno != ENOENT) {
        _exit(1);
    }
}

static void reply_init(int fd, uint64_t unique, const struct fuse_init_in *in)
{
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = in->max_readahead,
        .flags = in->flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ),
        .max_background = 64,
        .congestion_threshold = 48,
        .max_write = TRANSFER_MAX,
        .time_gran = 1,
        .max_pages = TRANSFER_MAX / 4096,
    };
    reply(fd, unique, 0, &out, sizeof(out));
}

static void reply_attributes(int fd, uint64_t unique, const struct block_disk *disk)
{
    struct fuse_attr_out out = {.attr_valid = FOREVER_S,
                                .attr = {.ino = FUSE_ROOT_ID, .mode = S_IFREG | 0600,
                                         .size = disk->size, .blocks = disk->size / SECTOR_SIZE,
                                         .blksize = DISK_BLOCK_SIZE, .nlink = 1}};
    reply(fd, unique, 0, &out, sizeof(out));
}

static void reply_read(int fd, uint64_t unique, const struct block_disk *disk,
                       const struct fuse_read_in *in)
{
    static uint8_t bytes[TRANSFER_MAX];
    uint32_t size = in->size < sizeof(bytes) ? in->size : sizeof(bytes);
    if (in->offset >= disk->size) {
        size = 0;
    } else if (size > disk->size - in->offset) {
        size = (uint32_t)(disk->size - in->offset);
    }
    int error = block_disk_read(disk, in->offset, bytes, size);
    reply(fd, unique, error, bytes, error < 0 ? 0 : size);
}

static void reply_write(int fd, uint64_t unique, struct block_disk *disk,
                        const struct fuse_write_in *in)
{
    struct fuse_write_out out = {.size = in->size};
    int error = block_disk_write(disk, in->offset, in + 1, in->size);
    reply(fd, unique, error, &out, error < 0 ? 0 : sizeof(out));
}

/* Punched holes and zeroed ranges read as zeros; nothing else is asked of a block device. */
static int zero_range(struct block_disk *disk, const struct fuse_fallocate_in *in)
{
    if ((in->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) {
        return -EOPNOTSUPP;
    }
    uint64_t at = in->offset, left = in->length;
    for (int error; left > 0;) {
        size_t part = left < (64 << 20) ? left : 64 << 20;
        if ((error = block_disk_write(disk, at, NULL, part)) < 0) {
            return error;
        }
        at += part;
        left -= part;
    }
    return 0;
}

static void serve_one(int fd, struct block_disk *disk, const struct fuse_in_header *in)
{
    const void *body = in + 1;
    struct fuse_open_out opened = {0};
    switch (in->opcode) {
    case FUSE_INIT:
        reply_init(fd, in->unique, body);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        reply_attributes(fd, in->unique, disk);
        break;
    case FUSE_OPEN:
        reply(fd, in->unique, 0, &opened, sizeof(opened));
        break;
    case FUSE_READ:
        reply_read(fd, in->unique, disk, body);
        break;
    case FUSE_WRITE:
        reply_write(fd, in->unique, disk, body);
        break;
    case FUSE_FSYNC:
        reply(fd, in->unique, block_disk_flush(disk), NULL, 0);
        break;
    case FUSE_FALLOCATE:
        reply(fd, in->unique, zero_range(disk, body), NULL, 0);
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
        reply(fd, in->unique, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* has no answer */
    default:
        reply(fd, in->unique, -ENOSYS, NULL, 0);
    }
}

static _Noreturn void serve(int fd, struct block_disk *disk, pid_t parent)
{
    static uint8_t request[REQUEST_MAX] __attribute__((aligned(8)));
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNS) < 0) {
        _exit(1);
    }
    for (;;) {
        if (getppid() != parent) {
            _exit(0);
        }
        ssize_t size = read(fd, request, sizeof(request));
        if (size < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) {
            continue;
        }
        if (size < (ssize_t)sizeof(struct fuse_in_header)) {
            _exit(0); /* unmounted */
        }
        serve_one(fd, disk, (const struct fuse_in_header *)request);
    }
}

pid_t block_disk_serve(struct block_disk *disk, const char *path)
{
    char options[96];
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=%u,group_id=%u", fd,
             S_IFREG | 0600, geteuid(), getegid());
    if (mount("queenright", path, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        serve(fd, disk, parent);
    }
    int error = -errno;
    close(fd);
    return pid < 0 ? error : pid;
}
