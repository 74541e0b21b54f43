/* SPDX-License-Identifier: Apache-2.0 */
#include "planted.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LATE_COUNT (sizeof(((struct planted_disk *)0)->late_fd) / sizeof(int))

const char *planted_name(enum planted planted)
{
    static const char *const names[PLANTED_COUNT] = {
        [PLANTED_NOTHING] = "nothing",
        [PLANTED_NO_FILE_SYNC] = "no fsync of a file",
        [PLANTED_NO_RECORD_SYNC] = "no fsync of a record before its rename",
        [PLANTED_NO_DIR_SYNC] = "no fsync of the directory",
        [PLANTED_MADE_LATE] = "files made after the answer",
        [PLANTED_IN_PLACE] = "a record rewritten in place"};
    return names[planted];
}

static struct planted_disk *planted_of(const struct disk_port *port)
{
    return (struct planted_disk *)(uintptr_t)port;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length >= size && strcmp(text + length - size, end) == 0;
}

/* ---- no sync ---- */

static bool is_unsynced(const struct planted_disk *disk, int fd)
{
    struct stat stat;
    char link[64], path[512];
    if (fstat(fd, &stat) < 0) {
        return false;
    }
    if (disk->planted == PLANTED_NO_RECORD_SYNC) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof(path) - 1);
        path[length < 0 ? 0 : length] = '\0';
        return ends_with(path, ".next") && stat.st_blocks > 0 && lseek(fd, 0, SEEK_DATA) == 0;
    }
    return disk->planted == (S_ISDIR(stat.st_mode) ? PLANTED_NO_DIR_SYNC : PLANTED_NO_FILE_SYNC);
}

static int planted_sync(const struct disk_port *port, int fd)
{
    return is_unsynced(planted_of(port), fd) ? 0 : disk_real()->sync(port, fd);
}

/* ---- made late ---- */

static size_t late_index(const struct planted_disk *disk, int fd)
{
    size_t i = 0;
    while (i < LATE_COUNT && disk->late_fd[i] != fd) {
        i++;
    }
    return i;
}

static int planted_open(const struct disk_port *port, int dir, const char *name, int flags,
                        mode_t mode)
{
    struct planted_disk *disk = planted_of(port);
    int fd = disk_real()->open(port, dir, name, flags, mode);
    bool is_late = ends_with(name, ".intent") || ends_with(name, ".answer") ||
                   ends_with(name, ".next");
    if (disk->planted == PLANTED_MADE_LATE && fd >= 0 && (flags & O_EXCL) != 0 && is_late) {
        size_t i = late_index(disk, 0);
        assert(i < LATE_COUNT && fd > 0);
        disk->late_fd[i] = fd;
        disk->late_dir[i] = dir;
        snprintf(disk->late_name[i], sizeof(disk->late_name[i]), "%s", name);
    }
    return fd;
}

/* Instead of a reservation the file goes again; its descriptor stays. */
static int planted_allocate(const struct disk_port *port, int fd, off_t size)
{
    struct planted_disk *disk = planted_of(port);
    size_t i = late_index(disk, fd);
    if (i == LATE_COUNT) {
        return disk_real()->allocate(port, fd, size);
    }
    return unlinkat(disk->late_dir[i], disk->late_name[i], 0) < 0 ? -errno : 0;
}

static ssize_t planted_write(const struct disk_port *port, int fd, const void *bytes, size_t size,
                             off_t at)
{
    struct planted_disk *disk = planted_of(port);
    size_t i = late_index(disk, fd);
    if (i < LATE_COUNT) {
        int made = openat(disk->late_dir[i], disk->late_name[i], O_WRONLY | O_CREAT | O_CLOEXEC,
                          0600);
        if (made < 0) {
            return -errno;
        }
        dup3(made, fd, O_CLOEXEC);
        close(made);
        disk->late_fd[i] = 0;
    }
    return disk_real()->write(port, fd, bytes, size, at);
}

static int planted_close(const struct disk_port *port, int fd)
{
    struct planted_disk *disk = planted_of(port);
    size_t i = late_index(disk, fd);
    if (i < LATE_COUNT) {
        disk->late_fd[i] = 0;
    }
    return disk_real()->close(port, fd);
}

/* ---- in place ---- */

static int write_over(const struct disk_port *port, int dir, const char *from, const char *to)
{
    static uint8_t bytes[1 << 20];
    size_t size = 0;
    int source = openat(dir, from, O_RDONLY | O_CLOEXEC);
    int target = openat(dir, to, O_WRONLY | O_CLOEXEC);
    int error = source < 0 || target < 0 ? -errno : 0;
    error = error < 0 ? error : disk_read_all(port, source, bytes, sizeof(bytes), &size);
    error = error < 0 ? error : disk_write_all(port, target, bytes, size, 0);
    if (error == 0 && (ftruncate(target, (off_t)size) < 0 || fsync(target) < 0 ||
                       unlinkat(dir, from, 0) < 0)) {
        error = -errno;
    }
    if (source >= 0) {
        close(source);
    }
    if (target >= 0) {
        close(target);
    }
    return error;
}

static int planted_rename(const struct disk_port *port, int dir, const char *from, const char *to)
{
    if (planted_of(port)->planted == PLANTED_IN_PLACE && ends_with(to, ".record") &&
        faccessat(dir, to, F_OK, 0) == 0) {
        return write_over(port, dir, from, to);
    }
    return disk_real()->rename(port, dir, from, to);
}

void planted_disk_init(struct planted_disk *disk, enum planted planted)
{
    *disk = (struct planted_disk){.port = *disk_real(), .planted = planted};
    disk->port.open = planted_open;
    disk->port.close = planted_close;
    disk->port.write = planted_write;
    disk->port.allocate = planted_allocate;
    disk->port.sync = planted_sync;
    disk->port.rename = planted_rename;
}
