/* SPDX-License-Identifier: Apache-2.0 */
/* Durability in three steps: the bytes (fdatasync of the file), the name (fsync of its folder, when
 * the file or a folder was made), and nothing said before both. A failed write or sync takes the
 * file back to its old length, so that a line is there whole or not at all, as far as the disk
 * lets us; what a crash leaves torn has no newline and is cut off by whoever comes next.
 *
 * One process writes below one root (its lock is held elsewhere), so no locks here. */
#include "journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (64u << 10)

int journal_root_open(const char *path)
{
    char partial[PATH_MAX];
    int length = snprintf(partial, sizeof(partial), "%s", path);

    if (path[0] != '/' || length >= (int)sizeof(partial))
        return -EINVAL;
    for (char *slash = strchr(partial + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = 0;
        if (mkdir(partial, 0700) < 0 && errno != EEXIST)
            return -errno;
        if (!slash)
            break;
        *slash = '/';
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The next component of a path into ret_name. 1, 0 at the end, -EINVAL. */
static int component_next(const char **path, char ret_name[NAME_MAX + 1])
{
    size_t length = strcspn(*path, "/");

    if (length == 0)
        return (*path)[0] == 0 ? 0 : -EINVAL;
    if (length > NAME_MAX || strncmp(*path, ".", length) == 0 || strncmp(*path, "..", length) == 0)
        return -EINVAL;
    memcpy(ret_name, *path, length);
    ret_name[length] = 0;
    *path += length;
    if ((*path)[0] == '/') {
        (*path)++;
        if ((*path)[0] == 0)
            return -EINVAL;
    }
    return 1;
}

static int folder_enter(int parent, const char *name, bool make)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);

    if (fd < 0 && errno == ENOENT && make) {
        if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
            return -errno;
        if (fsync(parent) < 0)
            return -errno;
        fd = openat(parent, name, flags);
    }
    if (fd < 0)
        return errno == ENOTDIR ? -ELOOP : -errno; /* how O_DIRECTORY says symlink */
    return fd;
}

/* Walks to the folder of the last component; its descriptor is the caller's to close. */
static int walk_to(int root, const char *path, bool make, char ret_last[NAME_MAX + 1])
{
    int folder = dup(root);
    int r = folder < 0 ? -errno : component_next(&path, ret_last);

    if (r == 0)
        r = -EINVAL;
    while (r > 0 && path[0] != 0) {
        int next = folder_enter(folder, ret_last, make);

        close(folder);
        if (next < 0)
            return next;
        folder = next;
        r = component_next(&path, ret_last);
    }
    if (r < 0 && folder >= 0)
        close(folder);
    return r < 0 ? r : folder;
}

int journal_folder_open(int root, const char *path)
{
    char name[NAME_MAX + 1];
    int above = walk_to(root, path, false, name);
    int folder = above < 0 ? above : folder_enter(above, name, false);

    if (above >= 0)
        close(above);
    return folder;
}

/* A regular file, or -errno. O_NONBLOCK so that a pipe in its place cannot stop us. */
static int file_open(int folder, const char *name, int flags)
{
    int fd = openat(folder, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat status;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return -EBADF;
    }
    return fd;
}

static int read_at(int fd, char *ret_bytes, size_t size, uint64_t at)
{
    while (size > 0) {
        ssize_t n = pread(fd, ret_bytes, size, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        ret_bytes += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

/* Where the last whole line ends. */
static int whole_end(int fd, uint64_t size, uint64_t *ret_end)
{
    char chunk[4096];

    while (size > 0) {
        size_t n = size < sizeof(chunk) ? (size_t)size : sizeof(chunk);
        int r = read_at(fd, chunk, n, size - n);
        const char *newline = r < 0 ? NULL : memrchr(chunk, '\n', n);

        if (r < 0)
            return r;
        if (newline) {
            *ret_end = size - n + (uint64_t)(newline - chunk) + 1;
            return 0;
        }
        size -= n;
    }
    *ret_end = 0;
    return 0;
}

/* Cuts a torn last line off. */
static int mend_end(int fd, uint64_t *ret_end, uint64_t *ret_torn)
{
    struct stat status;
    uint64_t end;

    if (fstat(fd, &status) < 0)
        return -errno;
    int r = whole_end(fd, (uint64_t)status.st_size, &end);
    if (r < 0)
        return r;
    if (end < (uint64_t)status.st_size && ftruncate(fd, (off_t)end) < 0)
        return -errno;
    *ret_torn = (uint64_t)status.st_size - end;
    *ret_end = end;
    return 0;
}

static int write_at(int fd, const char *bytes, size_t size, uint64_t at)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int append_durably(int fd, int folder, const char *line, size_t size)
{
    uint64_t end, torn;
    int r = mend_end(fd, &end, &torn);

    if (r < 0)
        return r;
    r = write_at(fd, line, size, end);
    if (r == 0)
        r = write_at(fd, "\n", 1, end + size);
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    if (r == 0 && end == 0 && fsync(folder) < 0) /* it may be new */
        r = -errno;
    if (r < 0 && ftruncate(fd, (off_t)end) < 0)
        return r; /* torn; the next one cuts it off */
    return r;
}

int journal_file_append(int root, const char *path, const char *line, size_t size)
{
    char name[NAME_MAX + 1];

    if (size > JOURNAL_LINE_MAX)
        return -EMSGSIZE;
    if (size == 0 || memchr(line, '\n', size) || memchr(line, 0, size))
        return -EINVAL;
    int folder = walk_to(root, path, true, name);
    if (folder < 0)
        return folder;
    int fd = file_open(folder, name, O_RDWR | O_CREAT);
    int r = fd < 0 ? fd : append_durably(fd, folder, line, size);

    if (fd >= 0)
        close(fd);
    close(folder);
    return r;
}

int journal_reader_open(struct journal_reader *reader, int root, const char *path)
{
    char name[NAME_MAX + 1];
    struct journal_reader opened = {.fd = -1};
    int folder = walk_to(root, path, false, name);
    int r = folder < 0 ? folder : file_open(folder, name, O_RDWR);

    if (folder >= 0)
        close(folder);
    if (r >= 0) {
        opened.fd = r;
        r = mend_end(opened.fd, &opened.end, &opened.torn);
    }
    if (r == 0 && opened.end > 0) {
        opened.capacity = CHUNK;
        opened.buffer = malloc(opened.capacity);
        r = opened.buffer ? 0 : -ENOMEM;
    }
    if (r == -ENOENT)
        r = 0;
    if (r < 0)
        journal_reader_close(&opened);
    else
        *reader = opened;
    return r;
}

void journal_reader_close(struct journal_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->buffer);
    *reader = (struct journal_reader){.fd = -1};
}

/* More bytes behind those in the buffer. 0, or negative errno. */
static int reader_fill(struct journal_reader *reader)
{
    uint64_t left = reader->end - reader->at;
    size_t more = left < CHUNK ? (size_t)left : CHUNK;

    memmove(reader->buffer, reader->buffer + reader->start, reader->fill - reader->start);
    reader->fill -= reader->start;
    reader->start = 0;
    if (reader->fill + more > reader->capacity) {
        size_t capacity = (reader->fill + more) * 2;
        char *grown = realloc(reader->buffer, capacity);

        if (!grown)
            return -ENOMEM;
        reader->buffer = grown;
        reader->capacity = capacity;
    }
    int r = read_at(reader->fd, reader->buffer + reader->fill, more, reader->at);
    if (r < 0)
        return r;
    reader->fill += more;
    reader->at += more;
    return 0;
}

int journal_reader_next(struct journal_reader *reader, const char **ret_line, size_t *ret_size)
{
    size_t searched = 0;
    bool too_long = false;

    while (reader->buffer) {
        size_t have = reader->fill - reader->start;
        const char *line = reader->buffer + reader->start;
        const char *newline =
            have > searched ? memchr(line + searched, '\n', have - searched) : NULL;

        if (newline) {
            reader->start += (size_t)(newline - line) + 1;
            if (!too_long && newline - line <= JOURNAL_LINE_MAX) {
                *ret_line = line;
                *ret_size = (size_t)(newline - line);
                return 1;
            }
            reader->skipped++;
            too_long = false;
            searched = 0;
            continue;
        }
        if (reader->at == reader->end)
            return 0;
        searched = have;
        if (have > JOURNAL_LINE_MAX) { /* do not keep what will be skipped */
            too_long = true;
            reader->start = reader->fill;
            searched = 0;
        }
        int r = reader_fill(reader);
        if (r < 0)
            return r;
    }
    return 0;
}
