/* SPDX-License-Identifier: Apache-2.0 */
/* The store on files.
 *
 *     STATE/credentials/
 *         lock, key, store, audit.log*         see store_open.c, store_audit.c
 *         BASE.record                          the credential
 *         BASE.gN.aK.intent, .answer, .next    attempt K to spend generation N
 *
 * BASE is the profile id made fit for a file name, with a hash of it. Every file is sealed
 * (store_seal.c), has mode 0600 and is reached through the directory's descriptor only.
 *
 * A file is written once. The three of an attempt are preallocated and synced by `reserve`, which
 * also keeps them open, so that from there on neither a full disk nor a full descriptor table can
 * come between a provider's answer and the disk; the same blocks are never written again, for a
 * copy-on-write file system may refuse that when full.
 *
 * After a failed fsync the kernel calls dirty pages clean, so asking again would succeed without
 * the bytes being there. A file that could not be synced is removed and never touched again; the
 * next try makes a new one. Until a rename has been synced the old record is the truth.
 *
 * Whoever removes files does so after the record that makes them superfluous is durable; removals
 * themselves are not synced: what comes back after a crash is removed again by load. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "store_codec.h"
#include "store_internal.h"

static const off_t kind_sizes[FILE_KINDS] = {INTENT_FILE_SIZE, ANSWER_FILE_SIZE, RECORD_FILE_SIZE};

static struct store_file *store_of(struct store_port *port)
{
    struct store_file *store = (struct store_file *)port;
    store->why[0] = '\0';
    return store;
}

/* ---- slots ---- */

static struct slot *slot_find(struct store_file *store, const char *profile)
{
    for (struct slot *slot = store->slots; slot != NULL; slot = slot->next) {
        if (strcmp(slot->profile, profile) == 0) {
            return slot;
        }
    }
    return NULL;
}

struct slot *slot_get(struct store_file *store, const char *profile)
{
    struct slot *slot = slot_find(store, profile);
    if (slot == NULL) {
        slot = calloc(1, sizeof(*slot));
        if (slot == NULL) {
            return NULL;
        }
        snprintf(slot->profile, sizeof(slot->profile), "%s", profile);
        profile_base(profile, slot->base);
        slot->next = store->slots;
        store->slots = slot;
    }
    return slot;
}

static struct reservation *reservation_find(struct slot *slot, uint64_t generation,
                                            uint32_t attempt)
{
    struct reservation *at = slot == NULL ? NULL : slot->reservations;
    while (at != NULL && (at->generation != generation || at->attempt != attempt)) {
        at = at->next;
    }
    return at;
}

int slot_note_attempt(struct slot *slot, uint64_t generation, uint32_t attempt)
{
    struct reservation *reservation = calloc(1, sizeof(*reservation));
    if (reservation == NULL) {
        return -ENOMEM;
    }
    *reservation = (struct reservation){.next = slot->reservations, .generation = generation,
                                        .attempt = attempt, .fds = {-1, -1, -1}};
    slot->reservations = reservation;
    return 0;
}

static void close_fds(struct store_file *store, struct reservation *reservation)
{
    for (int kind = 0; kind < FILE_KINDS; kind++) {
        if (reservation->fds[kind] >= 0) {
            store->disk->close(store->disk, reservation->fds[kind]);
            reservation->fds[kind] = -1;
        }
    }
}

static void reservation_drop(struct store_file *store, struct slot *slot,
                             struct reservation *reservation)
{
    struct reservation **at = &slot->reservations;
    while (*at != reservation) {
        at = &(*at)->next;
    }
    *at = reservation->next;
    close_fds(store, reservation);
    free(reservation);
}

/* Removes the files of an attempt. The intent goes last: without it the others mean nothing. */
int store_remove_attempt(struct store_file *store, const char *base, uint64_t generation,
                         uint32_t attempt)
{
    static const enum file_kind order[] = {FILE_NEXT, FILE_ANSWER, FILE_INTENT};
    int result = 0;
    for (size_t i = 0; i < FILE_KINDS; i++) {
        char name[STORE_NAME_MAX];
        attempt_name(base, generation, attempt, order[i], name);
        int error = store->disk->unlink(store->disk, store->dir_fd, name);
        if (error < 0 && error != -ENOENT) {
            result = store_fail(store, error, "cannot remove %s", name);
        }
    }
    return result;
}

/* ---- the port ---- */

static int file_open(struct store_port *port)
{
    struct store_file *store = store_of(port);
    assert(store->dir_fd < 0);
    return store_open_all(store);
}

/* Creates, preallocates and syncs one file; it stays open. What stands there already and is no
 * known attempt is a leftover that could not be removed; before load nothing is known. */
static int reserve_file(struct store_file *store, const char *name, off_t size)
{
    int fd = store->is_loaded ? store_create_file(store, name)
                              : store_open_file(store, name, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0) {
        return fd;
    }
    int error = store->disk->allocate(store->disk, fd, size);
    error = error < 0 ? error : store->disk->sync(store->disk, fd);
    if (error < 0) {
        store_fail(store, error, "cannot reserve %lld bytes for %s", (long long)size, name);
        store->disk->close(store->disk, fd);
        store->disk->unlink(store->disk, store->dir_fd, name);
        return error;
    }
    return fd;
}

static int file_reserve(struct store_port *port, const struct credential *credential,
                        uint32_t attempt)
{
    struct store_file *store = store_of(port);
    struct slot *slot = slot_get(store, credential->profile);
    if (reservation_find(slot, credential->generation, attempt) != NULL) {
        return store_fail(store, -EEXIST, "attempt %" PRIu32 " of %s was made already", attempt,
                          credential->profile);
    }
    struct reservation *reservation = calloc(1, sizeof(*reservation));
    if (slot == NULL || reservation == NULL) {
        free(reservation);
        return -ENOMEM;
    }
    *reservation = (struct reservation){.generation = credential->generation, .attempt = attempt,
                                        .fds = {-1, -1, -1}, .next = slot->reservations};
    int error = 0;
    for (int kind = 0; kind < FILE_KINDS && error == 0; kind++) {
        char name[STORE_NAME_MAX];
        attempt_name(slot->base, credential->generation, attempt, kind, name);
        int fd = reserve_file(store, name, kind_sizes[kind]);
        reservation->fds[kind] = fd < 0 ? -1 : fd;
        error = fd < 0 ? fd : 0;
    }
    if (error == 0) {
        error = store_sync_dir(store);
    }
    if (error == 0) {
        slot->reservations = reservation;
        return 0;
    }
    for (int kind = 0; kind < FILE_KINDS; kind++) { /* only what was made here */
        char name[STORE_NAME_MAX];
        attempt_name(slot->base, credential->generation, attempt, kind, name);
        if (reservation->fds[kind] >= 0) {
            store->disk->unlink(store->disk, store->dir_fd, name);
        }
    }
    close_fds(store, reservation);
    free(reservation);
    return error;
}

/* Writes one of an attempt's files: the reserved one, or after that failed a new one. */
static int write_reserved(struct store_file *store, const struct slot *slot,
                          struct reservation *reservation, enum file_kind kind,
                          const void *bytes, size_t size)
{
    char name[STORE_NAME_MAX];
    attempt_name(slot->base, reservation->generation, reservation->attempt, kind, name);
    int fd = reservation->fds[kind];
    bool fresh = fd < 0;
    if (fresh) {
        fd = store_create_file(store, name);
    }
    reservation->fds[kind] = -1;
    int error = fd < 0 ? fd : store_fill_file(store, fd, name, bytes, size);
    return error < 0 || !fresh ? error : store_sync_dir(store);
}

/* Packs, seals and writes the intent or the answer. */
static int write_sealed(struct store_file *store, const struct credential *credential,
                        uint32_t attempt, enum file_kind kind, const struct codec_table *table,
                        const void *object)
{
    struct slot *slot = slot_find(store, credential->profile);
    struct reservation *reservation = reservation_find(slot, credential->generation, attempt);
    assert(reservation != NULL); /* nothing is written that was not reserved */
    struct seal_header header = {.kind = kind == FILE_INTENT ? SEAL_INTENT : SEAL_ANSWER,
                                 .attempt = attempt,
                                 .generation = credential->generation};
    memcpy(header.profile, credential->profile, sizeof(header.profile));
    struct secret *plain = codec_pack(table, object, store->memory);
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error = plain == NULL ? -ENOMEM : store_seal(store, &header, plain, &bytes, &size);
    secret_free(plain);
    if (error == 0) {
        error = write_reserved(store, slot, reservation, kind, bytes, size);
    }
    free(bytes);
    return error;
}

static int file_write_intent(struct store_port *port, const struct credential *credential,
                             const struct intent *intent)
{
    assert(intent->generation == credential->generation);
    return write_sealed(store_of(port), credential, intent->attempt, FILE_INTENT, &intent_codec,
                        intent);
}

static int file_write_answer(struct store_port *port, const struct credential *credential,
                             const struct answer *answer)
{
    return write_sealed(store_of(port), credential, answer->attempt, FILE_ANSWER, &answer_codec,
                        answer);
}

static int seal_record(struct store_file *store, const struct credential *credential,
                       uint8_t **ret_bytes, size_t *ret_size)
{
    struct seal_header header = {.kind = SEAL_RECORD, .generation = credential->generation,
                                 .state = credential->needs_login[0] == '\0' ? 1 : 2};
    memcpy(header.profile, credential->profile, sizeof(header.profile));
    struct secret *plain = codec_pack(&credential_codec, credential, store->memory);
    int error = plain == NULL ? -ENOMEM : store_seal(store, &header, plain, ret_bytes, ret_size);
    secret_free(plain);
    if (error == -EMSGSIZE) {
        store_fail(store, error, "the credential of %s does not fit into %d bytes",
                   credential->profile, RECORD_FILE_SIZE);
    }
    return error;
}

/* Writes the record's bytes into a file that is not the record yet; its name in ret_name. The
 * newest reservation for this step is used while its file is unspoilt. */
static int write_next(struct store_file *store, struct slot *slot, uint64_t generation,
                      const void *bytes, size_t size, char *ret_name)
{
    for (struct reservation *at = slot->reservations; at != NULL; at = at->next) {
        if (at->generation + 1 == generation && at->fds[FILE_NEXT] >= 0) {
            int fd = at->fds[FILE_NEXT];
            at->fds[FILE_NEXT] = -1;
            attempt_name(slot->base, at->generation, at->attempt, FILE_NEXT, ret_name);
            return store_fill_file(store, fd, ret_name, bytes, size);
        }
    }
    attempt_name(slot->base, generation, 0, FILE_NEXT, ret_name);
    int fd = store_create_file(store, ret_name);
    return fd < 0 ? fd : store_fill_file(store, fd, ret_name, bytes, size);
}

/* A record that load could not read is kept beside the new one, for people. */
static int move_bad_aside(struct store_file *store, const struct slot *slot)
{
    char name[STORE_NAME_MAX], aside[STORE_NAME_MAX + 8];
    if (slot->has_record || !store->is_loaded) {
        return 0;
    }
    record_name(slot->base, name);
    snprintf(aside, sizeof(aside), "%s.bad", name);
    int error = store->disk->rename(store->disk, store->dir_fd, name, aside);
    if (error < 0 && error != -ENOENT) {
        return store_fail(store, error, "cannot move the damaged %s aside", name);
    }
    return 0;
}

static void drop_older(struct store_file *store, struct slot *slot, uint64_t generation)
{
    for (struct reservation *at = slot->reservations, *next; at != NULL; at = next) {
        next = at->next;
        if (at->generation < generation) {
            store_remove_attempt(store, slot->base, at->generation, at->attempt);
            reservation_drop(store, slot, at);
        }
    }
}

static int file_write_record(struct store_port *port, const struct credential *credential)
{
    struct store_file *store = store_of(port);
    struct slot *slot = slot_get(store, credential->profile);
    if (slot == NULL) {
        return -ENOMEM;
    }
    if (slot->has_record && credential->generation < slot->generation) {
        return store_fail(store, -ESTALE, "generation %" PRIu64 " of %s is stored already, "
                          "%" PRIu64 " is older", slot->generation, slot->profile,
                          credential->generation);
    }
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error = seal_record(store, credential, &bytes, &size);
    if (error < 0) {
        return error;
    }
    char next[STORE_NAME_MAX], record[STORE_NAME_MAX];
    record_name(slot->base, record);
    error = write_next(store, slot, credential->generation, bytes, size, next);
    free(bytes);
    error = error < 0 ? error : move_bad_aside(store, slot);
    error = error < 0 ? error : store_rename_over(store, next, record);
    if (error < 0) {
        store->disk->unlink(store->disk, store->dir_fd, next); /* the next try makes its own */
        return error;
    }
    slot->has_record = true;
    slot->generation = credential->generation;
    drop_older(store, slot, credential->generation);
    store->why[0] = '\0'; /* leftovers of removals are load's to clear */
    return 0;
}

static int file_release(struct store_port *port, const struct credential *credential,
                        uint32_t attempt)
{
    struct store_file *store = store_of(port);
    struct slot *slot = slot_find(store, credential->profile);
    if (slot == NULL) {
        return 0;
    }
    int error = store_remove_attempt(store, slot->base, credential->generation, attempt);
    error = error < 0 ? error : store_sync_dir(store);
    struct reservation *reservation = reservation_find(slot, credential->generation, attempt);
    if (error == 0 && reservation != NULL) {
        reservation_drop(store, slot, reservation);
    }
    return error;
}

struct removal {
    struct store_file *store;
    const struct slot *slot;
    size_t count;
    int error;
};

static void remove_if_ours(void *arg, const char *name)
{
    struct removal *removal = arg;
    size_t length = strlen(removal->slot->base);
    if (strncmp(name, removal->slot->base, length) != 0 || name[length] != '.') {
        return;
    }
    int error = removal->store->disk->unlink(removal->store->disk, removal->store->dir_fd, name);
    if (error < 0) {
        removal->error = store_fail(removal->store, error, "cannot remove %s", name);
    }
    removal->count++;
}

static void slot_free(struct store_file *store, struct slot *slot)
{
    while (slot->reservations != NULL) {
        reservation_drop(store, slot, slot->reservations);
    }
    free(slot);
}

/* The record goes first, and for good: an intent without its record means nothing to anybody and
 * is removed by load, while a record whose intent is gone would be spent twice. */
static int remove_record(struct store_file *store, const struct slot *slot, size_t *count)
{
    char name[STORE_NAME_MAX];
    record_name(slot->base, name);
    int error = store->disk->unlink(store->disk, store->dir_fd, name);
    if (error == -ENOENT) {
        return 0;
    }
    ++*count;
    return error < 0 ? store_fail(store, error, "cannot remove %s", name) : store_sync_dir(store);
}

static int file_remove(struct store_port *port, const char *profile)
{
    struct store_file *store = store_of(port);
    struct slot **at = &store->slots;
    while (*at != NULL && strcmp((*at)->profile, profile) != 0) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        return store_fail(store, -ENOENT, "there is no profile %s", profile);
    }
    struct removal removal = {.store = store, .slot = *at};
    int error = remove_record(store, *at, &removal.count);
    if (error == 0) {
        error = store->disk->list(store->disk, store->dir_fd, &removal, remove_if_ours);
    }
    error = error < 0 ? error : removal.error;
    error = error < 0 ? error : store_sync_dir(store);
    if (error < 0) {
        return error;
    }
    struct slot *slot = *at;
    *at = slot->next;
    slot_free(store, slot);
    return removal.count > 0 ? 0 : store_fail(store, -ENOENT, "%s has no files", profile);
}

static void file_digest(struct store_port *port, const struct secret *token, uint8_t ret_digest[16])
{
    struct store_file *store = (struct store_file *)port;
    crypto_generichash(ret_digest, 16, (const uint8_t *)secret_data(token), secret_length(token),
                       (const uint8_t *)secret_data(store->digest_key), STORE_KEY_SIZE);
}

static int file_adopt(struct store_port *port)
{
    return store_write_identity(store_of(port));
}

static const char *file_why(const struct store_port *port)
{
    const struct store_file *store = (const struct store_file *)port;
    return store->why[0] == '\0' ? "out of memory" : store->why;
}

static void file_close(struct store_port *port)
{
    struct store_file *store = store_of(port);
    while (store->slots != NULL) {
        struct slot *next = store->slots->next;
        slot_free(store, store->slots);
        store->slots = next;
    }
    store_close_all(store);
    secret_free(store->key_given);
    free(store->state_dir);
    free(store);
}

struct store_port *store_file_new(const struct store_file_options *options)
{
    struct store_file *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->disk = options->disk != NULL ? options->disk : disk_real();
    store->memory = options->memory != NULL ? options->memory : secret_memory_sodium();
    store->dir_fd = store->lock_fd = store->audit_fd = -1;
    store->audit_rotate_bytes = options->audit_rotate_bytes;
    store->state_dir = strdup(options->state_dir);
    store->key_given = secret_copy(options->key);
    store->port = (struct store_port){
        .open = file_open,
        .load = store_load,
        .look = store_look,
        .reserve = file_reserve,
        .write_intent = file_write_intent,
        .write_answer = file_write_answer,
        .write_record = file_write_record,
        .release = file_release,
        .remove = file_remove,
        .digest = file_digest,
        .adopt = file_adopt,
        .audit = store_audit,
        .why = file_why,
        .close = file_close,
    };
    if (store->state_dir == NULL || (options->key != NULL && store->key_given == NULL)) {
        file_close(&store->port);
        return NULL;
    }
    return &store->port;
}
