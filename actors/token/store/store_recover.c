/* SPDX-License-Identifier: Apache-2.0 */
/* What a restart finds, and what becomes of it.
 *
 * A crash may have come between any two steps of a refresh. In the order in which they are looked
 * at:
 *
 *     X.next, whole, of a newer generation   the crash came before its rename: it is copied to a
 *                                            new record. This is n+1; it is never lost
 *     X.next, anything else                  a reservation, or a save nobody was told of: removed
 *     X.record                               the credential
 *     intent of an older generation          its spend is over: removed, with its answer
 *     intent of zeros, or no intent          nothing was sent: the attempt is removed
 *     intent, torn                           it cannot be told whether the request went out, so it
 *                                            counts as sent: an unknown outcome costs a wait, a
 *                                            second spend costs the login
 *     intent, whole                          reported, with the best answer beside it
 *     anything without a record              its login was removed, or never there: removed
 *
 * A process that is killed leaves more than the disk has. So the directory, and each file that is
 * read, is synced before anything is concluded from it: else a record could be published, or the
 * intent of an older one removed, that the next loss of power takes back.
 *
 * A file system that copies what it writes may be so full that no file can be made, renamed or
 * removed. Then X.next stands in for the record where it is, and nothing is removed: a keeper that
 * did not start would hold back tokens that are there.
 *
 * Files that do not authenticate, and those beside a record that does not, are reported and left as
 * they are. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "store_codec.h"
#include "store_internal.h"
#include "token/credential.h"

#define FILE_READ_MAX (RECORD_FILE_SIZE + 1)

struct found_file {
    char name[STORE_NAME_MAX];
};

/* All names in the directory; they are read once, for files come and go below. */
struct listing {
    struct found_file *files;
    size_t count;
    bool failed;
};

struct recovery {
    struct store_file *store;
    struct listing listing;
    void *arg;
    void (*each)(void *arg, struct stored *stored);
    void (*bad)(void *arg, const char *file, const char *why);
    bool is_full; /* an X.next could not be put in place */
};

static void note_name(void *arg, const char *name)
{
    struct listing *listing = arg;
    if (strlen(name) >= STORE_NAME_MAX) {
        return;
    }
    struct found_file *grown = reallocarray(listing->files, listing->count + 1, sizeof(*grown));
    if (grown == NULL) {
        listing->failed = true;
        return;
    }
    listing->files = grown;
    snprintf(grown[listing->count++].name, STORE_NAME_MAX, "%s", name);
}

static void report(struct recovery *recovery, const char *name, const char *why)
{
    recovery->bad(recovery->arg, name, why);
}

/* Opens and unseals a file of the profile with this base, for the cipher vouches for the profile
 * in the header and only the file's name says whose it is. Errors as of store_unseal; others are
 * said in why. */
static int unseal_file(struct store_file *store, const char *name, const char *base,
                       enum seal_kind kind, struct seal_header *ret_header,
                       struct secret **ret_plain)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    store->why[0] = '\0';
    int error = store_read_file(store, name, FILE_READ_MAX, &bytes, &size);
    if (error < 0) {
        return error;
    }
    error = store_unseal(store, bytes, size, kind, ret_header, ret_plain);
    free(bytes);
    if (error < 0) {
        snprintf(store->why, sizeof(store->why), "%s", store_unseal_why(error));
        return error;
    }
    char own[STORE_NAME_MAX / 2];
    profile_base(ret_header->profile, own);
    if (strcmp(own, base) != 0) {
        secret_free(*ret_plain);
        snprintf(store->why, sizeof(store->why), "belongs to %s and lies under another's name",
                 ret_header->profile);
        return -EKEYREJECTED;
    }
    return 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length > size && strcmp(text + length - size, end) == 0;
}

/* The credential in a file, checked to stand under its own name. */
static int read_credential(struct store_file *store, const char *name, const char *base,
                           struct credential *ret_credential)
{
    struct seal_header header;
    struct secret *plain = NULL;
    int error = unseal_file(store, name, base, SEAL_RECORD, &header, &plain);
    if (error < 0) {
        return error;
    }
    error = codec_unpack(&credential_codec, plain, ret_credential);
    secret_free(plain);
    if (error == 0 && (strcmp(ret_credential->profile, header.profile) != 0 ||
                       ret_credential->generation != header.generation)) {
        error = -EBADMSG;
    }
    if (error < 0) {
        credential_deinit(ret_credential);
        snprintf(store->why, sizeof(store->why), "opens, but does not hold a credential");
    }
    return error;
}

int store_look(struct store_port *port, const char *profile, struct credential *ret_credential)
{
    struct store_file *store = (struct store_file *)port;
    char base[STORE_NAME_MAX / 2], name[STORE_NAME_MAX];
    store->why[0] = '\0';
    profile_base(profile, base);
    record_name(base, name);
    return read_credential(store, name, base, ret_credential);
}

/* ---- un-renamed records ---- */

/* Whether an error speaks of the file, of what it holds or of whose it is, not of reading it. */
static bool is_refusal(int error)
{
    static const int refusals[] = {-ENODATA,         -EBADMSG, -EKEYREJECTED,
                                   -EPROTONOSUPPORT, -EPERM,   -ELOOP};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        if (error == refusals[i]) {
            return true;
        }
    }
    return false;
}

/* Generation of a record's file, 0 without one. One that is damaged is moved aside: what is whole
 * beside it is better than nothing. */
static int record_generation(struct recovery *recovery, const char *base, uint64_t *ret_generation)
{
    struct store_file *store = recovery->store;
    char name[STORE_NAME_MAX], aside[STORE_NAME_MAX + 8];
    struct credential credential;
    record_name(base, name);
    int error = read_credential(store, name, base, &credential);
    if (error == 0) {
        *ret_generation = credential.generation;
        credential_deinit(&credential);
        return 0;
    }
    if (error == -ENODATA || error == -EBADMSG) {
        report(recovery, name, store->why);
        snprintf(aside, sizeof(aside), "%s.bad", name);
        error = store_rename_over(store, name, aside);
    }
    if (error == 0 || error == -ENOENT) {
        *ret_generation = 0;
        error = 0;
    }
    return error;
}

/* Whoever wrote the file may have died when its sync failed. From then on it reads well for as long
 * as the machine runs, and a sync of it succeeds, and the disk has nothing of it; so the record
 * becomes a new file with the same bytes. On a full disk what is there must do. */
static int put_in_place(struct store_file *store, const char *name, const char *record)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error = store_read_file(store, name, FILE_READ_MAX, &bytes, &size);
    if (error < 0) {
        return error;
    }
    error = store_replace_file(store, record, bytes, size);
    free(bytes);
    if (store_is_full(error)) {
        return store_rename_over(store, name, record);
    }
    if (error == 0) {
        store->disk->unlink(store->disk, store->dir_fd, name); /* or at the next load */
    }
    return error;
}

static int finish_next(struct recovery *recovery, const char *name, const char *base)
{
    struct store_file *store = recovery->store;
    struct credential next;
    int error = read_credential(store, name, base, &next);
    if (error == -ENOENT) {
        return 0; /* taken already, by a rename above */
    }
    bool is_torn = error == -ENODATA || error == -EBADMSG;
    if (is_refusal(error) && !is_torn) {
        report(recovery, name, store->why);
        return 0;
    }
    if (error < 0 && !is_torn) {
        return error;
    }
    if (error == 0) {
        uint64_t stored = 0, generation = next.generation;
        char record[STORE_NAME_MAX];
        credential_deinit(&next);
        record_name(base, record);
        error = record_generation(recovery, base, &stored);
        if (is_refusal(error)) {
            return 0; /* reported with the records; which of the two is right, a person says */
        }
        if (error == 0 && generation > stored) {
            error = put_in_place(store, name, record);
            recovery->is_full = recovery->is_full || store_is_full(error);
            return store_is_full(error) ? 0 : error;
        }
        if (error < 0) {
            return error;
        }
    }
    store->disk->unlink(store->disk, store->dir_fd, name);
    return 0;
}

static int finish_all_next(struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->listing.count; i++) {
        const char *name = recovery->listing.files[i].name;
        char base[STORE_NAME_MAX / 2];
        uint64_t generation;
        uint32_t attempt;
        enum file_kind kind;
        if (attempt_of_name(name, base, &generation, &attempt, &kind) && kind == FILE_NEXT) {
            int error = finish_next(recovery, name, base);
            if (error < 0) {
                return error;
            }
        }
    }
    return 0;
}

/* ---- attempts ---- */

/* 0: has an intent, into *ret_intent; -ENODATA: nothing was sent; else reported. */
static int read_intent(struct recovery *recovery, const char *base, uint64_t generation,
                       uint32_t attempt, struct intent *ret_intent)
{
    struct store_file *store = recovery->store;
    char name[STORE_NAME_MAX];
    struct seal_header header;
    struct secret *plain = NULL;
    attempt_name(base, generation, attempt, FILE_INTENT, name);
    int error = unseal_file(store, name, base, SEAL_INTENT, &header, &plain);
    if (error == -ENOENT) {
        return -ENODATA;
    }
    if (error == 0) {
        error = codec_unpack(&intent_codec, plain, ret_intent);
        secret_free(plain);
        if (error == 0 && (ret_intent->generation != generation ||
                           ret_intent->attempt != attempt)) {
            error = -EBADMSG;
        }
    }
    if (error != -ENODATA && is_refusal(error)) {
        char why[sizeof(store->why) + 32];
        snprintf(why, sizeof(why), "%s; it counts as sent",
                 store->why[0] == '\0' ? store_unseal_why(error) : store->why);
        report(recovery, name, why);
        *ret_intent = (struct intent){.generation = generation, .attempt = attempt};
        error = 0;
    }
    return error;
}

static int read_answer(struct recovery *recovery, const char *base, uint64_t generation,
                       uint32_t attempt, struct answer *ret_answer)
{
    char name[STORE_NAME_MAX];
    struct seal_header header;
    struct secret *plain = NULL;
    attempt_name(base, generation, attempt, FILE_ANSWER, name);
    int error = unseal_file(recovery->store, name, base, SEAL_ANSWER, &header, &plain);
    if (error == 0) {
        error = codec_unpack(&answer_codec, plain, ret_answer);
        secret_free(plain);
        if (error < 0 || ret_answer->generation != generation ||
            ret_answer->attempt != attempt) {
            secret_free(ret_answer->body);
            error = error < 0 ? error : -EBADMSG;
        }
    }
    if (error != -ENODATA && is_refusal(error)) {
        report(recovery, name, recovery->store->why);
        error = -ENODATA;
    }
    return error == -ENOENT ? -ENODATA : error;
}

static bool is_better(const struct stored *stored, const struct answer *answer)
{
    if (!stored->has_answer) {
        return true;
    }
    if (answer->complete != stored->answer.complete) {
        return answer->complete;
    }
    return answer->attempt > stored->answer.attempt;
}

/* What is over. It does no harm if it stays until there is room. */
static int drop_attempt(struct recovery *recovery, const char *base, uint64_t generation,
                        uint32_t attempt)
{
    if (recovery->is_full) {
        return 0;
    }
    int error = store_remove_attempt(recovery->store, base, generation, attempt);
    return store_is_full(error) ? 0 : error;
}

/* A torn intent does not say when; a whole one of another attempt does, and so since when n may
 * have been spent. */
static void keep_latest(struct stored *stored, const struct intent *intent)
{
    struct intent before = stored->intent;
    if (!stored->has_intent || intent->attempt > before.attempt) {
        stored->has_intent = true;
        stored->intent = *intent;
    }
    if (stored->intent.first_wall_ms == 0) {
        uint32_t attempt = stored->intent.attempt;
        stored->intent = before.first_wall_ms != 0 ? before : *intent;
        stored->intent.attempt = attempt;
        stored->intent.generation = intent->generation;
    }
}

/* What is known of one attempt to spend the stored generation. */
static int read_attempt(struct recovery *recovery, struct slot *slot, uint32_t attempt,
                        struct stored *stored)
{
    struct intent intent;
    int error = read_intent(recovery, slot->base, slot->generation, attempt, &intent);
    if (error == -ENODATA) {
        return drop_attempt(recovery, slot->base, slot->generation, attempt);
    }
    if (error < 0) {
        return error;
    }
    keep_latest(stored, &intent);
    error = slot_note_attempt(slot, slot->generation, attempt);
    if (error < 0) {
        return error;
    }
    struct answer answer;
    error = read_answer(recovery, slot->base, slot->generation, attempt, &answer);
    if (error < 0) {
        return error == -ENODATA ? 0 : error;
    }
    if (is_better(stored, &answer)) {
        secret_free(stored->answer.body);
        stored->answer = answer;
        stored->has_answer = true;
    } else {
        secret_free(answer.body);
    }
    return 0;
}

static bool seen_before(const struct listing *listing, size_t end, const char *base,
                        uint64_t generation, uint32_t attempt)
{
    for (size_t i = 0; i < end; i++) {
        char other[STORE_NAME_MAX / 2];
        uint64_t g;
        uint32_t a;
        enum file_kind kind;
        if (attempt_of_name(listing->files[i].name, other, &g, &a, &kind) && g == generation &&
            a == attempt && strcmp(other, base) == 0) {
            return true;
        }
    }
    return false;
}

static int read_attempts(struct recovery *recovery, struct slot *slot, struct stored *stored)
{
    const struct listing *listing = &recovery->listing;
    for (size_t i = 0; i < listing->count; i++) {
        char base[STORE_NAME_MAX / 2];
        uint64_t generation;
        uint32_t attempt;
        enum file_kind kind;
        if (!attempt_of_name(listing->files[i].name, base, &generation, &attempt, &kind) ||
            strcmp(base, slot->base) != 0 ||
            seen_before(listing, i, base, generation, attempt)) {
            continue;
        }
        int error = 0;
        if (generation == slot->generation) {
            error = read_attempt(recovery, slot, attempt, stored);
        } else if (generation < slot->generation) {
            error = drop_attempt(recovery, base, generation, attempt);
        } else {
            report(recovery, listing->files[i].name,
                   "is of a newer generation than the record: part of an older backup was put "
                   "back");
        }
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

/* ---- records ---- */

/* Whether a name is that of a record that an attempt left un-renamed. Without an attempt it is of a
 * save that nobody was told of. */
static bool is_stand_in(const char *name, const char *base)
{
    char other[STORE_NAME_MAX / 2];
    uint64_t generation;
    uint32_t attempt;
    enum file_kind kind;
    return attempt_of_name(name, other, &generation, &attempt, &kind) && kind == FILE_NEXT &&
           attempt > 0 && strcmp(other, base) == 0;
}

/* The record, or on a full disk what stands in for it. */
static int read_newest(struct recovery *recovery, const char *name, const char *base,
                       struct credential *ret_credential)
{
    struct store_file *store = recovery->store;
    int error = read_credential(store, name, base, ret_credential);
    for (size_t i = 0; error == 0 && recovery->is_full && i < recovery->listing.count; i++) {
        struct credential next;
        if (!is_stand_in(recovery->listing.files[i].name, base)) {
            continue;
        }
        int none = read_credential(store, recovery->listing.files[i].name, base, &next);
        if (none == 0) {
            bool is_newer = next.generation > ret_credential->generation;
            credential_deinit(is_newer ? ret_credential : &next);
            *ret_credential = is_newer ? next : *ret_credential;
        } else if (!is_refusal(none)) {
            credential_deinit(ret_credential);
            error = none;
        }
    }
    return error;
}

static int load_record(struct recovery *recovery, const char *name)
{
    struct store_file *store = recovery->store;
    struct stored stored = {0};
    char base[STORE_NAME_MAX];
    snprintf(base, sizeof(base), "%.*s", (int)(strlen(name) - strlen(".record")), name);
    int error = read_newest(recovery, name, base, &stored.credential);
    if (is_refusal(error)) {
        report(recovery, name, store->why);
        return 0;
    }
    if (error < 0) {
        return error;
    }
    struct slot *slot = slot_get(store, stored.credential.profile);
    if (slot == NULL) {
        error = -ENOMEM;
    } else {
        slot->has_record = true;
        slot->generation = stored.credential.generation;
        error = read_attempts(recovery, slot, &stored);
    }
    if (error < 0) {
        stored_deinit(&stored);
        return error;
    }
    recovery->each(recovery->arg, &stored);
    return 0;
}

/* Whether nothing but intents and answers is left of a profile. */
static bool is_orphaned(const struct listing *listing, const char *base)
{
    size_t length = strlen(base);
    for (size_t i = 0; i < listing->count; i++) {
        char other[STORE_NAME_MAX / 2];
        uint64_t generation;
        uint32_t attempt;
        enum file_kind kind;
        const char *name = listing->files[i].name;
        if (strncmp(name, base, length) == 0 && name[length] == '.' &&
            (!attempt_of_name(name, other, &generation, &attempt, &kind) || kind == FILE_NEXT)) {
            return false;
        }
    }
    return true;
}

/* A removal that was cut short. A later login under that name must not find what was sent for the
 * one before. */
static int drop_orphans(struct recovery *recovery)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < recovery->listing.count; i++) {
        char base[STORE_NAME_MAX / 2];
        uint64_t generation;
        uint32_t attempt;
        enum file_kind kind;
        if (attempt_of_name(recovery->listing.files[i].name, base, &generation, &attempt, &kind) &&
            is_orphaned(&recovery->listing, base)) {
            error = drop_attempt(recovery, base, generation, attempt);
        }
    }
    return error;
}

static int list_names(struct recovery *recovery)
{
    struct store_file *store = recovery->store;
    recovery->listing.count = 0;
    int error = store->disk->list(store->disk, store->dir_fd, &recovery->listing, note_name);
    if (error < 0) {
        return store_fail(store, error, "cannot list %s/credentials", store->state_dir);
    }
    return recovery->listing.failed ? -ENOMEM : 0;
}

int store_load(struct store_port *port, void *arg, void (*each)(void *arg, struct stored *stored),
               void (*bad)(void *arg, const char *file, const char *why))
{
    struct store_file *store = (struct store_file *)port;
    struct recovery recovery = {.store = store, .arg = arg, .each = each, .bad = bad};
    store->why[0] = '\0';
    int error = store_sync_dir(store);
    error = error < 0 ? error : list_names(&recovery);
    error = error < 0 ? error : finish_all_next(&recovery);
    error = error < 0 ? error : list_names(&recovery); /* the renames changed the names */
    for (size_t i = 0; error == 0 && i < recovery.listing.count; i++) {
        if (ends_with(recovery.listing.files[i].name, ".record")) {
            error = load_record(&recovery, recovery.listing.files[i].name);
        }
    }
    error = error < 0 ? error : drop_orphans(&recovery);
    free(recovery.listing.files);
    store->is_loaded = error == 0;
    return error;
}
