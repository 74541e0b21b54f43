/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the store: its directory, the lock, the key, its identity.
 *
 *     STATE/credentials/         0700, ours, no symbolic link
 *         lock                   held (flock) while the store is open; never removed; says by whom
 *         key                    the key, unless one is given from outside
 *         store                  identity: store id, machine id, inode of the directory
 *
 * The lock is on a file of its own, for renames replace the inode of every other one.
 *
 * A copy of the directory would be a second owner of the same tokens. A copy is on another machine
 * or has another inode, so both are written down when the store is made; where they differ the
 * store opens with STORE_COPIED and is not to be spent until someone says which one is to go on
 * (adopt). The device number is no part of it: it changes from boot to boot. A whole machine put
 * back to an old image looks the same and cannot be told here.
 *
 * A key is made only for a store without records. Records whose key is gone are an error, not a
 * fresh start. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_internal.h"

#define DIR_NAME "credentials"
#define LOCK_TEXT_SIZE 256
#define IDENTITY_SIZE (8 + 16 + 32 + 8)

static const char identity_magic[] = "QRSTORE1";
static const char key_magic[] = "QRKEY-1\n";

static int open_dir(struct store_file *store, int dir, const char *name)
{
    int fd = store->disk->open(store->disk, dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ELOOP || fd == -ENOTDIR) {
        return store_fail(store, fd, "%s is a symbolic link or no directory: the store wants a "
                          "real one, name it directly", name);
    }
    return fd;
}

static int check_dir(struct store_file *store, int fd, const char *name, mode_t forbidden)
{
    struct stat stat;
    int error = store->disk->stat(store->disk, fd, &stat);
    if (error < 0) {
        return store_fail(store, error, "cannot look at %s", name);
    }
    if (stat.st_uid != geteuid()) {
        return store_fail(store, -EPERM, "%s belongs to uid %u, we are uid %u: chown it or use "
                          "another state directory", name, stat.st_uid, geteuid());
    }
    if ((stat.st_mode & forbidden) != 0) {
        return store_fail(store, -EPERM, "%s has mode %04o, others could read or change tokens: "
                          "chmod 700 it, and log in anew if someone may have", name,
                          stat.st_mode & 07777);
    }
    return 0;
}

/* Opens a directory, makes it if it is not there. */
static int enter_dir(struct store_file *store, int parent, const char *name, mode_t forbidden)
{
    int fd = open_dir(store, parent, name);
    if (fd == -ENOENT) {
        int error = store->disk->mkdir(store->disk, parent, name, 0700);
        if (error < 0) {
            return store_fail(store, error, "cannot make directory %s", name);
        }
        fd = open_dir(store, parent, name);
    }
    if (fd < 0) {
        return store->why[0] != '\0' ? fd : store_fail(store, fd, "cannot open %s", name);
    }
    int error = check_dir(store, fd, name, forbidden);
    if (error < 0) {
        store->disk->close(store->disk, fd);
        return error;
    }
    return fd;
}

/* The directory that the state directory stands in. One that we may not read is left alone. */
static int sync_above(struct store_file *store)
{
    size_t length = strlen(store->state_dir);
    while (length > 1 && store->state_dir[length - 1] == '/') {
        length--;
    }
    while (length > 0 && store->state_dir[length - 1] != '/') {
        length--;
    }
    char *above = length == 0 ? strdup(".") : strndup(store->state_dir, length);
    if (above == NULL) {
        return -ENOMEM;
    }
    int fd = store->disk->open(store->disk, AT_FDCWD, above, O_RDONLY | O_DIRECTORY, 0);
    int error = fd < 0 ? fd : store->disk->sync(store->disk, fd);
    if (fd >= 0) {
        store->disk->close(store->disk, fd);
    }
    free(above);
    return error == -EACCES ? 0 : error;
}

/* Both directories are made durable at each start, for whoever made them may have been killed
 * before that: a store is worth nothing when a loss of power takes the directory it is in. */
static int enter_store(struct store_file *store)
{
    int state = enter_dir(store, AT_FDCWD, store->state_dir, 022);
    if (state < 0) {
        return state;
    }
    store->dir_fd = enter_dir(store, state, DIR_NAME, 077);
    int error = store->dir_fd < 0 ? store->dir_fd : 0;
    if (error == 0) {
        error = sync_above(store);
        error = error < 0 ? error : store->disk->sync(store->disk, state);
        if (error < 0) {
            store_fail(store, error, "cannot sync %s", store->state_dir);
        }
    }
    store->disk->close(store->disk, state);
    return error;
}

/* ---- lock ---- */

static int refuse_held(struct store_file *store)
{
    char holder[LOCK_TEXT_SIZE] = "";
    size_t size = 0;
    disk_read_all(store->disk, store->lock_fd, holder, sizeof(holder) - 1, &size);
    holder[size] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return store_fail(store, -EBUSY, "%s/" DIR_NAME " is held by another keeper (%.200s): use "
                      "that one, or stop it first", store->state_dir,
                      holder[0] == '\0' ? "it did not say which" : holder);
}

/* True: the name still leads to the file that is locked. */
static bool is_named(struct store_file *store)
{
    struct stat locked, named;
    int fd = store->disk->open(store->disk, store->dir_fd, "lock", O_RDONLY | O_NOFOLLOW, 0);
    bool same = fd >= 0 && store->disk->stat(store->disk, fd, &named) == 0 &&
                store->disk->stat(store->disk, store->lock_fd, &locked) == 0 &&
                named.st_ino == locked.st_ino && named.st_dev == locked.st_dev;
    if (fd >= 0) {
        store->disk->close(store->disk, fd);
    }
    return same;
}

static int take_lock(struct store_file *store)
{
    const struct disk_port *disk = store->disk;
    int fd = disk->open(disk, store->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return store_fail(store, fd, "cannot open the lock file %s/" DIR_NAME "/lock",
                          store->state_dir);
    }
    store->lock_fd = fd;
    int error = disk->lock(disk, fd);
    if (error == -EWOULDBLOCK) {
        return refuse_held(store);
    }
    if (error < 0) {
        return store_fail(store, error, "cannot lock %s/" DIR_NAME "/lock", store->state_dir);
    }
    if (!is_named(store)) {
        return store_fail(store, -EBUSY, "the lock file was replaced while it was taken: it must "
                          "never be removed; try again");
    }
    char text[LOCK_TEXT_SIZE];
    memset(text, '\n', sizeof(text));
    char self[LOCK_TEXT_SIZE - 1];
    disk->self(disk, self, sizeof(self));
    memcpy(text, self, strlen(self));
    disk_write_all(disk, fd, text, sizeof(text), 0); /* for people; a full disk may refuse it */
    return 0;
}

/* ---- key ---- */

static bool is_record(const char *name)
{
    size_t length = strlen(name);
    return length > 7 && strcmp(name + length - 7, ".record") == 0;
}

static void count_record(void *arg, const char *name)
{
    *(size_t *)arg += is_record(name) ? 1 : 0;
}

static int make_key(struct store_file *store, struct secret **ret_key)
{
    size_t records = 0;
    int error = store->disk->list(store->disk, store->dir_fd, &records, count_record);
    if (error < 0) {
        return store_fail(store, error, "cannot list %s/" DIR_NAME, store->state_dir);
    }
    if (records > 0) {
        return store_fail(store, -ENOKEY, "%s/" DIR_NAME "/key is missing, and %zu credentials are "
                          "sealed with it: put it back from a backup; without it move the "
                          "directory aside and log in anew", store->state_dir, records);
    }
    struct secret *file = secret_new_sized_in(store->memory, 8 + STORE_KEY_SIZE);
    if (file == NULL) {
        return -ENOMEM;
    }
    memcpy(secret_edit(file), key_magic, 8);
    randombytes_buf(secret_edit(file) + 8, STORE_KEY_SIZE);
    error = store_replace_file(store, "key", secret_data(file), secret_length(file));
    if (error == 0) {
        *ret_key = secret_new_in(store->memory, secret_data(file) + 8, STORE_KEY_SIZE);
        error = *ret_key == NULL ? -ENOMEM : 0;
    }
    secret_free(file);
    return error;
}

static int read_key(struct store_file *store, struct secret **ret_key)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error = store_read_file(store, "key", 8 + STORE_KEY_SIZE + 1, &bytes, &size);
    if (error == -ENOENT) {
        return make_key(store, ret_key);
    }
    if (error < 0) {
        return error;
    }
    if (size != 8 + STORE_KEY_SIZE || memcmp(bytes, key_magic, 8) != 0) {
        error = store_fail(store, -EBADMSG, "%s/" DIR_NAME "/key is not a key file: put the right "
                           "one back from a backup", store->state_dir);
    } else {
        *ret_key = secret_new_in(store->memory, bytes + 8, STORE_KEY_SIZE);
        error = *ret_key == NULL ? -ENOMEM : 0;
    }
    sodium_memzero(bytes, size);
    free(bytes);
    return error;
}

/* One key in the file, one for each use. */
static int derive_keys(struct store_file *store, const struct secret *key)
{
    struct secret **keys[] = {&store->seal_key, &store->digest_key, &store->audit_key};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        secret_free(*keys[i]);
        *keys[i] = secret_new_sized_in(store->memory, STORE_KEY_SIZE);
        if (*keys[i] == NULL) {
            return -ENOMEM;
        }
        crypto_kdf_derive_from_key(secret_edit(*keys[i]), STORE_KEY_SIZE, i + 1, "qrstore",
                                   (const uint8_t *)secret_data(key));
    }
    return 0;
}

static int take_key(struct store_file *store)
{
    struct secret *key = NULL;
    int error;
    if (store->key_given == NULL) {
        error = read_key(store, &key);
    } else if (secret_length(store->key_given) != STORE_KEY_SIZE) {
        error = store_fail(store, -EINVAL, "the key must have %d bytes", STORE_KEY_SIZE);
    } else {
        key = secret_copy(store->key_given);
        error = key == NULL ? -ENOMEM : 0;
    }
    if (error == 0) {
        error = derive_keys(store, key);
    }
    secret_free(key);
    return error;
}

/* ---- identity ---- */

static int current_identity(struct store_file *store, uint8_t ret_bytes[IDENTITY_SIZE])
{
    struct stat stat;
    int error = store->disk->stat(store->disk, store->dir_fd, &stat);
    if (error < 0) {
        return store_fail(store, error, "cannot look at %s/" DIR_NAME, store->state_dir);
    }
    char machine[128] = "";
    store->disk->machine(store->disk, machine, sizeof(machine));
    memcpy(ret_bytes, identity_magic, 8);
    memcpy(ret_bytes + 8, store->store_id, 16);
    /* Hashed with the store id: a machine id is not to be handed round. */
    crypto_generichash(ret_bytes + 24, 32, (const uint8_t *)machine, strlen(machine),
                       store->store_id, sizeof(store->store_id));
    uint64_t inode = stat.st_ino;
    memcpy(ret_bytes + 56, &inode, 8);
    return 0;
}

int store_write_identity(struct store_file *store)
{
    uint8_t bytes[IDENTITY_SIZE];
    int error = current_identity(store, bytes);
    return error < 0 ? error : store_replace_file(store, "store", bytes, sizeof(bytes));
}

static int make_identity(struct store_file *store)
{
    size_t records = 0;
    int error = store->disk->list(store->disk, store->dir_fd, &records, count_record);
    if (error < 0) {
        return store_fail(store, error, "cannot list %s/" DIR_NAME, store->state_dir);
    }
    if (records > 0) {
        return store_fail(store, -ENOENT, "%s/" DIR_NAME "/store is missing, and %zu credentials "
                          "are sealed for it: put it back from a backup", store->state_dir,
                          records);
    }
    randombytes_buf(store->store_id, sizeof(store->store_id));
    error = store_write_identity(store);
    return error < 0 ? error : STORE_FRESH;
}

static int check_identity(struct store_file *store)
{
    uint8_t *bytes = NULL, now[IDENTITY_SIZE];
    size_t size = 0;
    int error = store_read_file(store, "store", IDENTITY_SIZE + 1, &bytes, &size);
    if (error == -ENOENT) {
        return make_identity(store);
    }
    if (error < 0) {
        return error;
    }
    if (size != IDENTITY_SIZE || memcmp(bytes, identity_magic, 8) != 0) {
        free(bytes);
        return store_fail(store, -EBADMSG, "%s/" DIR_NAME "/store is damaged: put it back from a "
                          "backup", store->state_dir);
    }
    memcpy(store->store_id, bytes + 8, sizeof(store->store_id));
    error = current_identity(store, now);
    bool copied = memcmp(bytes, now, IDENTITY_SIZE) != 0;
    free(bytes);
    return error < 0 ? error : copied ? STORE_COPIED : 0;
}

int store_open_all(struct store_file *store)
{
    if (sodium_init() < 0) {
        return store_fail(store, -EIO, "libsodium does not start");
    }
    int error = enter_store(store);
    error = error < 0 ? error : take_lock(store);
    error = error < 0 ? error : take_key(store);
    int notes = error < 0 ? error : check_identity(store);
    error = notes < 0 ? notes : store_audit_open(store);
    if (store_is_full(error)) {
        error = 0; /* tokens are served from a full disk, too; each line tries again */
    }
    if (error < 0) {
        store_close_all(store);
        return error;
    }
    return notes;
}

void store_close_all(struct store_file *store)
{
    int *fds[] = {&store->audit_fd, &store->dir_fd, &store->lock_fd}; /* the lock goes last */
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        if (*fds[i] >= 0) {
            store->disk->close(store->disk, *fds[i]);
            *fds[i] = -1;
        }
    }
    struct secret **keys[] = {&store->seal_key, &store->digest_key, &store->audit_key};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        secret_free(*keys[i]);
        *keys[i] = NULL;
    }
}
