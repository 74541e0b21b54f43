/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_file.h"

struct listed {
    char *name;
    struct timespec changed;
};

struct listing {
    struct listed *items;
    size_t count, capacity;
};

static int newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct listed *)a)->changed;
    const struct timespec *y = &((const struct listed *)b)->changed;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

static int listing_add(struct listing *listing, const char *name, struct timespec changed)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 16;
        struct listed *grown = realloc(listing->items, capacity * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        listing->items = grown;
        listing->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    listing->items[listing->count++] = (struct listed){copy, changed};
    return 0;
}

static int listing_read(struct listing *listing, DIR *folder)
{
    const struct dirent *entry;
    struct stat status;
    int r = 0;

    while (r == 0 && (errno = 0, entry = readdir(folder))) {
        if (entry->d_name[0] == '.' || strchr(entry->d_name, '\n'))
            continue;
        if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode))
            r = listing_add(listing, entry->d_name, status.st_mtim);
    }
    return r < 0 ? r : -errno;
}

static char *listing_join(const struct listing *listing)
{
    size_t count = listing->count < JOURNAL_NAMES_MAX ? listing->count : JOURNAL_NAMES_MAX;
    size_t size = 1;
    char *text, *at;

    for (size_t i = 0; i < count; i++)
        size += strlen(listing->items[i].name) + 1;
    at = text = malloc(size);
    for (size_t i = 0; text && i < count; i++) {
        if (i > 0)
            *at++ = '\n';
        at = stpcpy(at, listing->items[i].name);
    }
    if (text)
        *at = 0;
    return text;
}

static void listing_deinit(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->items[i].name);
    free(listing->items);
}

int journal_folder_list(int root, const char *path, char **ret_names)
{
    struct listing listing = {0};
    int fd = journal_folder_open(root, path);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    int r = fd < 0 ? fd : folder ? listing_read(&listing, folder) : -errno;

    if (folder)
        closedir(folder);
    else if (fd >= 0)
        close(fd);
    if (r == -ENOENT)
        r = 0;
    if (r == 0) {
        if (listing.count > 1)
            qsort(listing.items, listing.count, sizeof(listing.items[0]), newest_first);
        *ret_names = listing_join(&listing);
        r = *ret_names ? 0 : -ENOMEM;
    }
    listing_deinit(&listing);
    return r;
}
