/* SPDX-License-Identifier: Apache-2.0 */
/* The store's files one by one: their names, how they are opened, written and put in place. Which
 * file when stands in store_file.c. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_internal.h"

static const char *const kind_suffixes[FILE_KINDS] = {"intent", "answer", "next"};

int store_fail(struct store_file *store, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(store->why, sizeof(store->why), format, arguments);
    va_end(arguments);
    size_t length = strlen(store->why);
    snprintf(store->why + length, sizeof(store->why) - length, " (%s)", strerrordesc_np(-error));
    return error;
}

bool store_is_full(int error)
{
    return error == -ENOSPC || error == -EDQUOT;
}

/* ---- names ---- */

void profile_base(const char *profile, char *ret_base)
{
    uint8_t hash[8];
    char hex[17], legible[65];
    size_t length = 0;
    for (; profile[length] != '\0' && length < sizeof(legible) - 1; length++) {
        unsigned char c = (unsigned char)profile[length];
        legible[length] = isalnum(c) || c == '-' || c == '@' ? (char)c : '_';
    }
    legible[length] = '\0';
    crypto_generichash(hash, sizeof(hash), (const uint8_t *)profile, strlen(profile), NULL, 0);
    sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    snprintf(ret_base, STORE_NAME_MAX / 2, "%s-%s", legible, hex);
}

void record_name(const char *base, char *ret_name)
{
    snprintf(ret_name, STORE_NAME_MAX, "%s.record", base);
}

void attempt_name(const char *base, uint64_t generation, uint32_t attempt, enum file_kind kind,
                  char *ret_name)
{
    snprintf(ret_name, STORE_NAME_MAX, "%s.g%" PRIu64 ".a%" PRIu32 ".%s", base, generation,
             attempt, kind_suffixes[kind]);
}

bool attempt_of_name(const char *name, char *ret_base, uint64_t *ret_generation,
                     uint32_t *ret_attempt, enum file_kind *ret_kind)
{
    const char *dot = strchr(name, '.'); /* a base has none */
    if (dot == NULL) {
        return false;
    }
    char base[STORE_NAME_MAX / 2], again[STORE_NAME_MAX]; /* a longer one is cut, and not ours */
    snprintf(base, sizeof(base), "%.*s", (int)(dot - name), name);
    uint64_t generation;
    uint32_t attempt;
    if (sscanf(dot, ".g%" SCNu64 ".a%" SCNu32 ".", &generation, &attempt) != 2) {
        return false;
    }
    for (enum file_kind kind = 0; kind < FILE_KINDS; kind++) {
        attempt_name(base, generation, attempt, kind, again);
        if (strcmp(again, name) == 0) { /* no other spelling is ours */
            memcpy(ret_base, base, sizeof(base));
            *ret_generation = generation;
            *ret_attempt = attempt;
            *ret_kind = kind;
            return true;
        }
    }
    return false;
}

/* ---- files ---- */

int store_sync_dir(struct store_file *store)
{
    int error = store->disk->sync(store->disk, store->dir_fd);
    return error < 0 ? store_fail(store, error, "cannot sync the directory %s/credentials",
                                  store->state_dir)
                     : 0;
}

static int check_file(struct store_file *store, int fd, const char *name)
{
    struct stat stat;
    int error = store->disk->stat(store->disk, fd, &stat);
    if (error < 0) {
        return store_fail(store, error, "cannot look at %s", name);
    }
    if (!S_ISREG(stat.st_mode)) {
        return store_fail(store, -EPERM, "%s is not a regular file: remove it", name);
    }
    if (stat.st_uid != geteuid()) {
        return store_fail(store, -EPERM, "%s belongs to uid %u, we are uid %u: chown it", name,
                          stat.st_uid, geteuid());
    }
    if ((stat.st_mode & 07777) != 0600) {
        return store_fail(store, -EPERM, "%s has mode %04o, others may have read or changed it: "
                          "chmod 600 it, and log in anew if someone may have", name,
                          stat.st_mode & 07777);
    }
    if (stat.st_nlink != 1) {
        return store_fail(store, -EPERM, "%s has %lu names (hard links): remove the others", name,
                          (unsigned long)stat.st_nlink);
    }
    return 0;
}

int store_open_file(struct store_file *store, const char *name, int flags)
{
    int fd = store->disk->open(store->disk, store->dir_fd, name,
                               flags | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd == -ENOENT && (flags & O_CREAT) == 0) {
        return fd; /* often no fault */
    }
    if (fd == -ELOOP) {
        return store_fail(store, fd, "%s is a symbolic link: the store wants the file itself",
                          name);
    }
    if (fd < 0) {
        return store_fail(store, fd, "cannot open %s", name);
    }
    int error = check_file(store, fd, name);
    if (error < 0) {
        store->disk->close(store->disk, fd);
        if ((flags & O_EXCL) != 0) { /* made just now */
            store->disk->unlink(store->disk, store->dir_fd, name);
        }
        return error;
    }
    return fd;
}

int store_read_file(struct store_file *store, const char *name, size_t max, uint8_t **ret_bytes,
                    size_t *ret_size)
{
    int fd = store_open_file(store, name, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    struct stat stat;
    uint8_t *bytes = NULL;
    int error = store->disk->sync(store->disk, fd);
    error = error < 0 ? error : store->disk->stat(store->disk, fd, &stat);
    if (error == 0) {
        size_t size = (size_t)stat.st_size < max ? (size_t)stat.st_size : max;
        bytes = malloc(size + 1);
        error = bytes == NULL ? -ENOMEM
                              : disk_read_all(store->disk, fd, bytes, size, ret_size);
    }
    store->disk->close(store->disk, fd);
    if (error < 0) {
        free(bytes);
        return store_fail(store, error, "cannot read %s", name);
    }
    *ret_bytes = bytes;
    return 0;
}

/* A new empty file; what stood under that name goes. */
int store_create_file(struct store_file *store, const char *name)
{
    int error = store->disk->unlink(store->disk, store->dir_fd, name);
    if (error < 0 && error != -ENOENT) {
        return store_fail(store, error, "cannot remove the old %s", name);
    }
    return store_open_file(store, name, O_WRONLY | O_CREAT | O_EXCL);
}

/* Writes and syncs an open file and closes it whatever comes; removes it on failure. */
int store_fill_file(struct store_file *store, int fd, const char *name, const void *bytes,
                     size_t size)
{
    int error = disk_write_all(store->disk, fd, bytes, size, 0);
    error = error < 0 ? error : store->disk->sync(store->disk, fd);
    int closed = store->disk->close(store->disk, fd);
    error = error < 0 ? error : closed;
    if (error < 0) {
        store_fail(store, error, "cannot write %s", name);
        store->disk->unlink(store->disk, store->dir_fd, name);
    }
    return error;
}

int store_rename_over(struct store_file *store, const char *from, const char *to)
{
    int error = store->disk->rename(store->disk, store->dir_fd, from, to);
    return error < 0 ? store_fail(store, error, "cannot rename %s to %s", from, to)
                     : store_sync_dir(store);
}

int store_replace_file(struct store_file *store, const char *name, const void *bytes, size_t size)
{
    char fresh[STORE_NAME_MAX];
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    int fd = store_create_file(store, fresh);
    int error = fd < 0 ? fd : store_fill_file(store, fd, fresh, bytes, size);
    return error < 0 ? error : store_rename_over(store, fresh, name);
}
