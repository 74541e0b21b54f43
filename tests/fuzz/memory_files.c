/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"

#define FD_DIRECTORY 1000 /* and everything that is no file */

static struct memory_files *files_of(const struct disk_port *disk)
{
    return (struct memory_files *)(uintptr_t)disk;
}

static struct memory_file *find(struct memory_files *files, const char *name)
{
    for (size_t i = 0; i < MEMORY_FILES_MAX; i++)
        if (strcmp(files->files[i].name, name) == 0)
            return &files->files[i];
    return NULL;
}

static struct memory_file *at_fd(const struct disk_port *disk, int fd)
{
    assert(fd >= 0 && fd < MEMORY_FILES_MAX && files_of(disk)->files[fd].name[0] != '\0');
    return &files_of(disk)->files[fd];
}

static int memory_open(const struct disk_port *disk, int dir, const char *name, int flags,
                       mode_t mode)
{
    struct memory_files *files = files_of(disk);
    (void)dir;
    (void)mode;
    if (flags & O_DIRECTORY)
        return FD_DIRECTORY;
    struct memory_file *file = find(files, name);
    if (file && (flags & O_EXCL))
        return -EEXIST;
    if (!file && !(flags & O_CREAT))
        return -ENOENT;
    if (!file) {
        file = find(files, "");
        assert(file && strlen(name) < sizeof(file->name));
        snprintf(file->name, sizeof(file->name), "%s", name);
    }
    return (int)(file - files->files);
}

static int memory_close(const struct disk_port *disk, int fd)
{
    (void)disk;
    (void)fd;
    return 0;
}

static int memory_stat(const struct disk_port *disk, int fd, struct stat *ret_stat)
{
    *ret_stat = (struct stat){.st_ino = (ino_t)fd + 1, .st_uid = geteuid(), .st_nlink = 1};
    ret_stat->st_mode = fd == FD_DIRECTORY ? S_IFDIR | 0700 : S_IFREG | 0600;
    ret_stat->st_size = fd == FD_DIRECTORY ? 0 : (off_t)at_fd(disk, fd)->size;
    return 0;
}

static ssize_t memory_read(const struct disk_port *disk, int fd, void *ret_bytes, size_t size,
                           off_t at)
{
    const struct memory_file *file = at_fd(disk, fd);
    size_t start = (size_t)at < file->size ? (size_t)at : file->size;
    size_t got = size < file->size - start ? size : file->size - start;

    if (got > 0)
        memcpy(ret_bytes, file->bytes + start, got);
    return (ssize_t)got;
}

static int memory_allocate(const struct disk_port *disk, int fd, off_t size)
{
    struct memory_file *file = at_fd(disk, fd);

    if ((size_t)size <= file->size)
        return 0;
    file->bytes = realloc(file->bytes, (size_t)size);
    assert(file->bytes);
    memset(file->bytes + file->size, 0, (size_t)size - file->size);
    file->size = (size_t)size;
    return 0;
}

static ssize_t memory_write(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                            off_t at)
{
    memory_allocate(disk, fd, at + (off_t)size);
    if (size > 0)
        memcpy(at_fd(disk, fd)->bytes + at, bytes, size);
    return (ssize_t)size;
}

static int memory_sync(const struct disk_port *disk, int fd)
{
    (void)disk;
    (void)fd;
    return 0;
}

static int memory_unlink(const struct disk_port *disk, int dir, const char *name)
{
    struct memory_file *file = find(files_of(disk), name);

    (void)dir;
    if (!file)
        return -ENOENT;
    free(file->bytes);
    *file = (struct memory_file){0};
    return 0;
}

static int memory_rename(const struct disk_port *disk, int dir, const char *from, const char *to)
{
    struct memory_file *file = find(files_of(disk), from);

    if (!file)
        return -ENOENT;
    memory_unlink(disk, dir, to);
    snprintf(file->name, sizeof(file->name), "%s", to);
    return 0;
}

static int memory_mkdir(const struct disk_port *disk, int dir, const char *name, mode_t mode)
{
    (void)disk;
    (void)dir;
    (void)name;
    (void)mode;
    return 0;
}

static int memory_list(const struct disk_port *disk, int dir, void *arg,
                       void (*each)(void *arg, const char *name))
{
    (void)dir;
    for (size_t i = 0; i < MEMORY_FILES_MAX; i++)
        if (files_of(disk)->files[i].name[0] != '\0')
            each(arg, files_of(disk)->files[i].name);
    return 0;
}

static int64_t memory_wall_ms(const struct disk_port *disk)
{
    (void)disk;
    return 1790000000000;
}

static void memory_text(const struct disk_port *disk, char *ret_text, size_t size)
{
    (void)disk;
    snprintf(ret_text, size, "memory");
}

void memory_files_init(struct memory_files *files)
{
    *files = (struct memory_files){.disk = {
        .open = memory_open,
        .close = memory_close,
        .stat = memory_stat,
        .read = memory_read,
        .write = memory_write,
        .allocate = memory_allocate,
        .sync = memory_sync,
        .rename = memory_rename,
        .unlink = memory_unlink,
        .mkdir = memory_mkdir,
        .lock = memory_sync,
        .list = memory_list,
        .wall_ms = memory_wall_ms,
        .machine = memory_text,
        .self = memory_text,
    }};
}

void memory_files_deinit(struct memory_files *files)
{
    for (size_t i = 0; i < MEMORY_FILES_MAX; i++)
        free(files->files[i].bytes);
}

void memory_files_put(struct memory_files *files, const char *name, const void *bytes, size_t size)
{
    int fd = memory_open(&files->disk, 0, name, O_CREAT, 0600);

    memory_write(&files->disk, fd, bytes, size, 0);
}

const struct memory_file *memory_files_find(const struct memory_files *files, const char *name)
{
    return find(files_of(&files->disk), name);
}
