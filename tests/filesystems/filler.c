/* SPDX-License-Identifier: Apache-2.0 */
#include "filler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mounts.h"

#define FILLER MOUNT_POINT "/filler"
#define SMALL_FILES_MAX 20000
#define SMALL_SIZE 1500 /* may be kept in the inode's leaf, where data blocks are not asked for */

/* Preallocated, so that nothing is written: first in big pieces, then in ever smaller ones. */
static int fill_blocks(int fd)
{
    struct stat stat;
    int error = fstat(fd, &stat) < 0 ? -errno : 0;
    for (off_t piece = 64 << 20; piece >= 4096 && error == 0;) {
        if (posix_fallocate(fd, stat.st_size, piece) == 0) {
            stat.st_size += piece;
        } else {
            piece /= 2;
        }
    }
    return error;
}

/* Returns how many were made. */
static unsigned fill_entries(int dir, unsigned from)
{
    static const char bytes[SMALL_SIZE];
    unsigned count = 0;
    while (from + count < SMALL_FILES_MAX) {
        char name[32];
        snprintf(name, sizeof(name), "%u", from + count);
        int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
            break;
        }
        count++;
        bool is_full = write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes);
        close(fd);
        if (is_full) {
            break;
        }
    }
    return count;
}

int filler_fill(void)
{
    if (mkdir(FILLER, 0700) < 0) {
        return -errno;
    }
    int dir = open(FILLER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : openat(dir, "blocks", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int error = fd < 0 ? -errno : 0;
    unsigned made = 0, round = 0;
    for (unsigned more = 2; error == 0 && more > 1 && round < 8; round++) {
        error = fill_blocks(fd);
        more = fill_entries(dir, made);
        made += more;
        syncfs(dir); /* frees what was held back for writing, so there may be a little more */
    }
    if (fd >= 0) {
        close(fd);
    }
    if (dir >= 0) {
        close(dir);
    }
    return error;
}

int filler_empty(void)
{
    int dir = open(FILLER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    int fd = openat(dir, "blocks", O_WRONLY | O_CLOEXEC);
    int error = fd >= 0 && ftruncate(fd, 0) < 0 && errno != ENOSPC ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    unlinkat(dir, "blocks", 0);
    for (unsigned i = 0; i < SMALL_FILES_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%u", i);
        if (unlinkat(dir, name, 0) < 0) {
            break;
        }
    }
    syncfs(dir);
    close(dir);
    return rmdir(FILLER) < 0 ? -errno : error;
}
