/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "token/disk.h"

static int real_open(const struct disk_port *disk, int dir, const char *name, int flags,
                     mode_t mode)
{
    (void)disk;
    int fd = openat(dir, name, flags | O_CLOEXEC | O_NOCTTY, mode);
    return fd < 0 ? -errno : fd;
}

static int real_close(const struct disk_port *disk, int fd)
{
    (void)disk;
    /* After EINTR the descriptor is gone all the same; closing again could hit another's. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int real_stat(const struct disk_port *disk, int fd, struct stat *ret_stat)
{
    (void)disk;
    return fstat(fd, ret_stat) < 0 ? -errno : 0;
}

static ssize_t real_read(const struct disk_port *disk, int fd, void *ret_bytes, size_t size,
                         off_t at)
{
    (void)disk;
    ssize_t got = pread(fd, ret_bytes, size, at);
    return got < 0 ? -errno : got;
}

static ssize_t real_write(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                          off_t at)
{
    (void)disk;
    ssize_t put = pwrite(fd, bytes, size, at);
    return put < 0 ? -errno : put;
}

static int real_allocate(const struct disk_port *disk, int fd, off_t size)
{
    (void)disk;
    return -posix_fallocate(fd, 0, size); /* returns its error */
}

static int real_sync(const struct disk_port *disk, int fd)
{
    (void)disk;
    return fsync(fd) < 0 ? -errno : 0;
}

static int real_rename(const struct disk_port *disk, int dir, const char *from, const char *to)
{
    (void)disk;
    return renameat(dir, from, dir, to) < 0 ? -errno : 0;
}

static int real_unlink(const struct disk_port *disk, int dir, const char *name)
{
    (void)disk;
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

static int real_mkdir(const struct disk_port *disk, int dir, const char *name, mode_t mode)
{
    (void)disk;
    return mkdirat(dir, name, mode) < 0 ? -errno : 0;
}

static int real_lock(const struct disk_port *disk, int fd)
{
    (void)disk;
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int real_list(const struct disk_port *disk, int dir, void *arg,
                     void (*each)(void *arg, const char *name))
{
    (void)disk;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        int error = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(arg, entry->d_name);
        }
    }
    int error = -errno;
    closedir(stream);
    return error;
}

static int64_t real_wall_ms(const struct disk_port *disk)
{
    (void)disk;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The first line of a small file; "" without it. */
static void first_line(const char *path, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t got = read(fd, ret_text, size - 1);
    close(fd);
    ret_text[got < 0 ? 0 : got] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
}

static void real_machine(const struct disk_port *disk, char *ret_text, size_t size)
{
    (void)disk;
    first_line("/etc/machine-id", ret_text, size);
}

/* Field 22 of /proc/self/stat; the second one may hold spaces, so count from its last ')'. */
static unsigned long long start_ticks(void)
{
    char line[1024];
    first_line("/proc/self/stat", line, sizeof(line));
    char *at = strrchr(line, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

static void real_self(const struct disk_port *disk, char *ret_text, size_t size)
{
    (void)disk;
    char boot_id[64];
    first_line("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
    snprintf(ret_text, size, "pid %ld, start time %llu ticks, boot %s", (long)getpid(),
             start_ticks(), boot_id);
}

const struct disk_port *disk_real(void)
{
    static const struct disk_port disk = {
        .open = real_open,
        .close = real_close,
        .stat = real_stat,
        .read = real_read,
        .write = real_write,
        .allocate = real_allocate,
        .sync = real_sync,
        .rename = real_rename,
        .unlink = real_unlink,
        .mkdir = real_mkdir,
        .lock = real_lock,
        .list = real_list,
        .wall_ms = real_wall_ms,
        .machine = real_machine,
        .self = real_self,
    };
    return &disk;
}

int disk_write_all(const struct disk_port *disk, int fd, const void *bytes, size_t size, off_t at)
{
    const uint8_t *next = bytes;
    while (size > 0) {
        ssize_t put = disk->write(disk, fd, next, size, at);
        if (put == -EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? (int)put : -EIO;
        }
        next += put;
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

int disk_read_all(const struct disk_port *disk, int fd, void *ret_bytes, size_t size,
                  size_t *ret_size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t got = disk->read(disk, fd, (uint8_t *)ret_bytes + used, size - used, (off_t)used);
        if (got == -EINTR) {
            continue;
        }
        if (got < 0) {
            return (int)got;
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
    }
    *ret_size = used;
    return 0;
}
