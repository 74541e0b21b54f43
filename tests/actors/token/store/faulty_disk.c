/* SPDX-License-Identifier: Apache-2.0 */
#include "faulty_disk.h"

#include <stdint.h>

/* Ports are handed round as const; this one counts. */
static struct faulty_disk *faulty_of(const struct disk_port *disk)
{
    return (struct faulty_disk *)(uintptr_t)disk;
}

/* 0, or the error this call has to fail with. */
static int next_call(const struct disk_port *disk)
{
    struct faulty_disk *faulty = faulty_of(disk);
    faulty->calls++;
    bool due = faulty->fail_at != 0 && (faulty->for_ever ? faulty->calls >= faulty->fail_at
                                                         : faulty->calls == faulty->fail_at);
    return due ? -faulty->error : 0;
}

static int faulty_open(const struct disk_port *disk, int dir, const char *name, int flags,
                       mode_t mode)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->open(disk_real(), dir, name, flags, mode);
}

/* A descriptor is gone whatever close says. */
static int faulty_close(const struct disk_port *disk, int fd)
{
    int error = next_call(disk);
    int real = disk_real()->close(disk_real(), fd);
    return error < 0 ? error : real;
}

static int faulty_stat(const struct disk_port *disk, int fd, struct stat *ret_stat)
{
    struct faulty_disk *faulty = faulty_of(disk);
    int error = next_call(disk);
    error = error < 0 ? error : disk_real()->stat(disk_real(), fd, ret_stat);
    if (++faulty->stats == faulty->falsify_at && error == 0) {
        faulty->falsify(ret_stat);
    }
    return error;
}

static ssize_t faulty_read(const struct disk_port *disk, int fd, void *ret_bytes, size_t size,
                           off_t at)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->read(disk_real(), fd, ret_bytes, size, at);
}

static ssize_t faulty_write(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                            off_t at)
{
    int error = next_call(disk);
    bool first = faulty_of(disk)->calls == faulty_of(disk)->fail_at;
    if (error < 0 && faulty_of(disk)->torn && first) {
        disk_real()->write(disk_real(), fd, bytes, size / 2, at);
    }
    return error < 0 ? error : disk_real()->write(disk_real(), fd, bytes, size, at);
}

static int faulty_allocate(const struct disk_port *disk, int fd, off_t size)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->allocate(disk_real(), fd, size);
}

static int faulty_sync(const struct disk_port *disk, int fd)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->sync(disk_real(), fd);
}

static int faulty_rename(const struct disk_port *disk, int dir, const char *from, const char *to)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->rename(disk_real(), dir, from, to);
}

static int faulty_unlink(const struct disk_port *disk, int dir, const char *name)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->unlink(disk_real(), dir, name);
}

static int faulty_mkdir(const struct disk_port *disk, int dir, const char *name, mode_t mode)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->mkdir(disk_real(), dir, name, mode);
}

static int faulty_lock(const struct disk_port *disk, int fd)
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->lock(disk_real(), fd);
}

static int faulty_list(const struct disk_port *disk, int dir, void *arg,
                       void (*each)(void *arg, const char *name))
{
    int error = next_call(disk);
    return error < 0 ? error : disk_real()->list(disk_real(), dir, arg, each);
}

void faulty_disk_init(struct faulty_disk *faulty)
{
    *faulty = (struct faulty_disk){.port = *disk_real()};
    faulty->port.open = faulty_open;
    faulty->port.close = faulty_close;
    faulty->port.stat = faulty_stat;
    faulty->port.read = faulty_read;
    faulty->port.write = faulty_write;
    faulty->port.allocate = faulty_allocate;
    faulty->port.sync = faulty_sync;
    faulty->port.rename = faulty_rename;
    faulty->port.unlink = faulty_unlink;
    faulty->port.mkdir = faulty_mkdir;
    faulty->port.lock = faulty_lock;
    faulty->port.list = faulty_list;
}
