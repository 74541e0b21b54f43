/* SPDX-License-Identifier: Apache-2.0 */
/* The store of tests: same promises as the file engine, no files. What a call reports as done is
 * on the memory_disk at once; what it reports as failed never is. The rules of order (no intent
 * without a reservation, no answer without an intent) are asserted here, so that every test of
 * what stands above is also a test of them. */
#include "support/store_memory.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/credential.h"

/* The files of one attempt to spend one generation. */
struct attempt {
    struct attempt *next; /* the newer ones come first */
    uint64_t generation;
    uint32_t number;
    bool has_intent;
    bool has_answer;
    struct intent intent;
    struct answer answer;
};

struct slot {
    struct slot *next;
    char profile[PROFILE_ID_MAX];
    struct credential credential;
    bool has_record; /* a reservation for a first login has none yet */
    struct attempt *attempts;
};

struct memory_disk {
    struct slot *slots;
    char **audit;
    size_t audit_count;
    unsigned calls;
    unsigned fail_at; /* value of `calls` at which to fail; 0: never */
    int fail_error;
    bool fail_for_ever;
    bool made;
    bool copied;
    bool held; /* a store is open on it */
    uint8_t digest_key[crypto_generichash_KEYBYTES];
};

struct store_memory {
    struct store_port port;
    struct memory_disk *disk;
    bool opened;
};

static struct memory_disk *disk_of(struct store_port *port)
{
    return ((struct store_memory *)port)->disk;
}

struct memory_disk *memory_disk_new(void)
{
    if (sodium_init() < 0) {
        return NULL;
    }
    struct memory_disk *disk = calloc(1, sizeof(*disk));
    if (disk != NULL) {
        randombytes_buf(disk->digest_key, sizeof(disk->digest_key));
    }
    return disk;
}

static void attempt_drop(struct attempt **at)
{
    struct attempt *attempt = *at;
    *at = attempt->next;
    secret_free(attempt->answer.body);
    free(attempt);
}

static void slot_free(struct slot *slot)
{
    while (slot->attempts != NULL) {
        attempt_drop(&slot->attempts);
    }
    credential_deinit(&slot->credential);
    free(slot);
}

void memory_disk_free(struct memory_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    assert(!disk->held);
    while (disk->slots != NULL) {
        struct slot *next = disk->slots->next;
        slot_free(disk->slots);
        disk->slots = next;
    }
    for (size_t i = 0; i < disk->audit_count; i++) {
        free(disk->audit[i]);
    }
    free(disk->audit);
    free(disk);
}

static struct attempt *attempts_copy(const struct attempt *from)
{
    struct attempt *first = NULL, **last = &first;
    for (; from != NULL; from = from->next) {
        struct attempt *attempt = malloc(sizeof(*attempt));
        assert(attempt != NULL);
        *attempt = *from;
        attempt->next = NULL;
        attempt->answer.body = secret_copy(from->answer.body);
        *last = attempt;
        last = &attempt->next;
    }
    return first;
}

struct memory_disk *memory_disk_copy(const struct memory_disk *disk)
{
    struct memory_disk *copy = memory_disk_new();
    struct slot **last;
    assert(copy != NULL);
    copy->made = disk->made;
    copy->copied = disk->copied;
    memcpy(copy->digest_key, disk->digest_key, sizeof(copy->digest_key));
    last = &copy->slots;
    for (const struct slot *from = disk->slots; from != NULL; from = from->next) {
        struct slot *slot = malloc(sizeof(*slot));
        assert(slot != NULL);
        int error = credential_copy(&from->credential, &slot->credential);
        assert(error == 0);
        memcpy(slot->profile, from->profile, sizeof(slot->profile));
        slot->has_record = from->has_record;
        slot->attempts = attempts_copy(from->attempts);
        slot->next = NULL;
        *last = slot;
        last = &slot->next;
    }
    return copy;
}

void memory_disk_fail(struct memory_disk *disk, unsigned at, int error, bool for_ever)
{
    disk->fail_at = at == 0 ? 0 : disk->calls + at;
    disk->fail_error = error;
    disk->fail_for_ever = for_ever;
}

unsigned memory_disk_calls(const struct memory_disk *disk)
{
    return disk->calls;
}

void memory_disk_mark_copied(struct memory_disk *disk)
{
    disk->copied = true;
}

const char *memory_disk_audit(const struct memory_disk *disk, size_t i)
{
    return i < disk->audit_count ? disk->audit[i] : NULL;
}

/* 0, or the error this call is to fail with. */
static int disk_fault(struct memory_disk *disk)
{
    disk->calls++;
    bool due = disk->fail_at != 0 && (disk->fail_for_ever ? disk->calls >= disk->fail_at
                                                          : disk->calls == disk->fail_at);
    return due ? -disk->fail_error : 0;
}

static struct slot *slot_find(struct memory_disk *disk, const char *profile)
{
    for (struct slot *slot = disk->slots; slot != NULL; slot = slot->next) {
        if (strcmp(slot->profile, profile) == 0) {
            return slot;
        }
    }
    return NULL;
}

static struct slot *slot_get(struct memory_disk *disk, const char *profile)
{
    struct slot *slot = slot_find(disk, profile);
    if (slot == NULL) {
        slot = calloc(1, sizeof(*slot));
        if (slot != NULL) {
            snprintf(slot->profile, sizeof(slot->profile), "%s", profile);
            slot->next = disk->slots;
            disk->slots = slot;
        }
    }
    return slot;
}

/* The place of an attempt in its slot's list; *place is NULL when there is none. */
static struct attempt **attempt_find(struct slot *slot, uint64_t generation, uint32_t number)
{
    struct attempt **at = &slot->attempts;
    while (*at != NULL && ((*at)->generation != generation || (*at)->number != number)) {
        at = &(*at)->next;
    }
    return at;
}

static struct attempt *attempt_of(struct store_port *port, const struct credential *credential,
                                  uint32_t number)
{
    struct slot *slot = slot_find(disk_of(port), credential->profile);
    assert(slot != NULL);
    return *attempt_find(slot, credential->generation, number);
}

static int memory_open(struct store_port *port)
{
    struct memory_disk *disk = disk_of(port);
    if (disk->held) {
        return -EBUSY;
    }
    int notes = (disk->made ? 0 : STORE_FRESH) | (disk->copied ? STORE_COPIED : 0);
    for (struct slot *slot = disk->slots; slot != NULL; slot = slot->next) {
        for (struct attempt **at = &slot->attempts; *at != NULL;) {
            if ((*at)->has_intent) {
                at = &(*at)->next;
            } else { /* as a restart does: nothing was sent */
                attempt_drop(at);
            }
        }
    }
    disk->made = true;
    disk->held = true;
    ((struct store_memory *)port)->opened = true;
    return notes;
}

/* What is known of the stored generation: its latest attempt, its best answer. */
static void read_attempts(const struct slot *slot, struct stored *stored)
{
    const struct answer *best = NULL;
    for (const struct attempt *at = slot->attempts; at != NULL; at = at->next) {
        if (at->generation != slot->credential.generation || !at->has_intent) {
            continue;
        }
        if (!stored->has_intent || at->number > stored->intent.attempt) {
            stored->has_intent = true;
            stored->intent = at->intent;
        }
        if (at->has_answer && (best == NULL || at->answer.complete > best->complete ||
                               (at->answer.complete == best->complete &&
                                at->answer.attempt > best->attempt))) {
            best = &at->answer;
        }
    }
    if (best != NULL) {
        stored->has_answer = true;
        stored->answer = *best;
        stored->answer.body = secret_copy(best->body);
    }
}

static int memory_load(struct store_port *port, void *arg,
                       void (*each)(void *arg, struct stored *stored),
                       void (*bad)(void *arg, const char *file, const char *why))
{
    (void)bad;
    for (struct slot *slot = disk_of(port)->slots; slot != NULL; slot = slot->next) {
        if (!slot->has_record) {
            continue;
        }
        struct stored copy = {0};
        int error = credential_copy(&slot->credential, &copy.credential);
        if (error < 0) {
            return error;
        }
        read_attempts(slot, &copy);
        each(arg, &copy);
    }
    return 0;
}

static int memory_look(struct store_port *port, const char *profile,
                       struct credential *ret_credential)
{
    const struct slot *slot = slot_find(disk_of(port), profile);
    return slot == NULL || !slot->has_record ? -ENOENT
                                             : credential_copy(&slot->credential, ret_credential);
}

static int memory_reserve(struct store_port *port, const struct credential *credential,
                          uint32_t number)
{
    int error = disk_fault(disk_of(port));
    if (error < 0) {
        return error;
    }
    struct slot *slot = slot_get(disk_of(port), credential->profile);
    struct attempt *attempt = calloc(1, sizeof(*attempt));
    if (slot == NULL || attempt == NULL) {
        free(attempt);
        return -ENOMEM;
    }
    if (*attempt_find(slot, credential->generation, number) != NULL) {
        free(attempt);
        return -EEXIST;
    }
    attempt->generation = credential->generation;
    attempt->number = number;
    attempt->next = slot->attempts;
    slot->attempts = attempt;
    return 0;
}

static int memory_write_intent(struct store_port *port, const struct credential *credential,
                               const struct intent *intent)
{
    struct attempt *attempt = attempt_of(port, credential, intent->attempt);
    assert(attempt != NULL && intent->generation == credential->generation);
    int error = disk_fault(disk_of(port));
    if (error < 0) {
        return error;
    }
    attempt->has_intent = true;
    attempt->intent = *intent;
    return 0;
}

static int memory_write_answer(struct store_port *port, const struct credential *credential,
                               const struct answer *answer)
{
    struct attempt *attempt = attempt_of(port, credential, answer->attempt);
    assert(attempt != NULL && attempt->has_intent);
    int error = disk_fault(disk_of(port));
    if (error < 0) {
        return error;
    }
    struct secret *body = secret_copy(answer->body);
    if (body == NULL && answer->body != NULL) {
        return -ENOMEM;
    }
    secret_free(attempt->answer.body);
    attempt->answer = *answer;
    attempt->answer.body = body;
    attempt->has_answer = true;
    return 0;
}

static int memory_write_record(struct store_port *port, const struct credential *credential)
{
    int error = disk_fault(disk_of(port));
    if (error < 0) {
        return error;
    }
    struct credential copy;
    struct slot *slot = slot_get(disk_of(port), credential->profile);
    if (slot == NULL || credential_copy(credential, &copy) < 0) {
        return -ENOMEM;
    }
    if (slot->has_record && credential->generation < slot->credential.generation) {
        credential_deinit(&copy);
        return -ESTALE;
    }
    credential_deinit(&slot->credential);
    slot->credential = copy;
    slot->has_record = true;
    for (struct attempt **at = &slot->attempts; *at != NULL;) {
        if ((*at)->generation < credential->generation) {
            attempt_drop(at);
        } else {
            at = &(*at)->next;
        }
    }
    return 0;
}

static int memory_release(struct store_port *port, const struct credential *credential,
                          uint32_t number)
{
    int error = disk_fault(disk_of(port));
    if (error < 0) {
        return error;
    }
    struct slot *slot = slot_find(disk_of(port), credential->profile);
    struct attempt **at = slot == NULL ? NULL
                                       : attempt_find(slot, credential->generation, number);
    if (at != NULL && *at != NULL) {
        attempt_drop(at);
    }
    return 0;
}

static int memory_remove(struct store_port *port, const char *profile)
{
    struct memory_disk *disk = disk_of(port);
    int error = disk_fault(disk);
    if (error < 0) {
        return error;
    }
    for (struct slot **at = &disk->slots; *at != NULL; at = &(*at)->next) {
        struct slot *slot = *at;
        if (strcmp(slot->profile, profile) == 0) {
            *at = slot->next;
            slot_free(slot);
            return 0;
        }
    }
    return -ENOENT;
}

static void memory_digest(struct store_port *port, const struct secret *token,
                          uint8_t ret_digest[16])
{
    crypto_generichash(ret_digest, 16, (const uint8_t *)secret_data(token), secret_length(token),
                       disk_of(port)->digest_key, sizeof(disk_of(port)->digest_key));
}

static int memory_adopt(struct store_port *port)
{
    int error = disk_fault(disk_of(port));
    if (error == 0) {
        disk_of(port)->copied = false;
    }
    return error;
}

static int memory_audit(struct store_port *port, const char *line)
{
    struct memory_disk *disk = disk_of(port);
    char **grown = reallocarray(disk->audit, disk->audit_count + 1, sizeof(*grown));
    if (grown == NULL) {
        return -ENOMEM;
    }
    disk->audit = grown;
    disk->audit[disk->audit_count] = strdup(line);
    if (disk->audit[disk->audit_count] == NULL) {
        return -ENOMEM;
    }
    disk->audit_count++;
    return 0;
}

static const char *memory_why(const struct store_port *port)
{
    (void)port;
    return "the disk in memory was told to fail";
}

static void memory_close(struct store_port *port)
{
    struct store_memory *store = (struct store_memory *)port;
    if (store->opened) {
        store->disk->held = false;
    }
    free(store);
}

struct store_port *store_memory_new(struct memory_disk *disk)
{
    struct store_memory *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->disk = disk;
    store->port = (struct store_port){
        .open = memory_open,
        .load = memory_load,
        .look = memory_look,
        .reserve = memory_reserve,
        .write_intent = memory_write_intent,
        .write_answer = memory_write_answer,
        .write_record = memory_write_record,
        .release = memory_release,
        .remove = memory_remove,
        .digest = memory_digest,
        .adopt = memory_adopt,
        .audit = memory_audit,
        .why = memory_why,
        .close = memory_close,
    };
    return &store->port;
}
