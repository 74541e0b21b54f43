/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store engine share: store_file.c (the port), store_open.c (directory, lock,
 * key, identity), store_seal.c (one sealed file), store_recover.c (what a restart finds),
 * store_audit.c (the log). */
#pragma once

#include <stdio.h>

#include "token/store_file.h"

#define STORE_NAME_MAX 200    /* of a file, with NUL */
#define SEAL_HEADER_SIZE 256
#define SEAL_OVERHEAD (SEAL_HEADER_SIZE + 16)
#define INTENT_FILE_SIZE 4096
#define ANSWER_FILE_SIZE (SEAL_OVERHEAD + ANSWER_MAX + 4096)
#define RECORD_FILE_SIZE (SEAL_OVERHEAD + 3 * TOKEN_MAX + 96 * 1024)

/* The three files of an attempt; FILE_NEXT is renamed over the record. */
enum file_kind { FILE_INTENT, FILE_ANSWER, FILE_NEXT, FILE_KINDS };

/* An attempt reserved by this process. */
struct reservation {
    struct reservation *next; /* the newer ones come first */
    uint64_t generation;
    uint32_t attempt;
    int fds[FILE_KINDS]; /* open until written, -1 afterwards: each is written once */
};

struct slot {
    struct slot *next;
    char profile[PROFILE_ID_MAX];
    char base[STORE_NAME_MAX / 2]; /* start of its file names */
    uint64_t generation;           /* of the record on disk */
    bool has_record;
    struct reservation *reservations;
};

struct store_file {
    struct store_port port;
    const struct disk_port *disk;
    const struct secret_memory *memory;
    char *state_dir;
    struct secret *key_given;
    struct secret *seal_key;   /* derived from the key */
    struct secret *digest_key;
    struct secret *audit_key;
    uint8_t store_id[16];
    int dir_fd;
    int lock_fd;
    bool is_loaded; /* all attempts on disk are known */
    struct slot *slots;
    char why[512];

    int audit_fd;
    uint64_t audit_size;
    uint64_t audit_count;      /* lines so far, over all files */
    uint8_t audit_hash[16];    /* of the last line */
    uint32_t audit_rotate_bytes;
};

/* ---- store_parts.c ---- */

/* Says why in store->why and hands `error` back. */
int store_fail(struct store_file *store, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether an error says that there is no room. On a file system that copies what it writes, also
 * removing and renaming need some. */
bool store_is_full(int error);
/* The start of the names of a profile's files, into STORE_NAME_MAX / 2. */
void profile_base(const char *profile, char *ret_base);
/* Into STORE_NAME_MAX. */
void record_name(const char *base, char *ret_name);
void attempt_name(const char *base, uint64_t generation, uint32_t attempt, enum file_kind kind,
                  char *ret_name);
/* The opposite; false: it is not the name of an attempt's file. */
bool attempt_of_name(const char *name, char *ret_base, uint64_t *ret_generation,
                     uint32_t *ret_attempt, enum file_kind *ret_kind);

/* Opens a file of ours and checks that nobody else can have a hand in it: a regular file, one
 * link, our uid, mode 0600. The descriptor or negative errno, said in why (but for -ENOENT). */
int store_open_file(struct store_file *store, const char *name, int flags);
/* All of an existing file, malloc'd. It is synced first: a process that was killed may have left it
 * in memory only, and what is believed must not be gone after the next loss of power. */
int store_read_file(struct store_file *store, const char *name, size_t max, uint8_t **ret_bytes,
                    size_t *ret_size);
/* A new empty file; what stood under that name goes. */
int store_create_file(struct store_file *store, const char *name);
/* Writes and syncs an open file and closes it whatever comes; removes it on failure. */
int store_fill_file(struct store_file *store, int fd, const char *name, const void *bytes,
                    size_t size);
/* Renames and syncs the directory. On failure `from` stays: it may be the only one there is. */
int store_rename_over(struct store_file *store, const char *from, const char *to);
/* A whole new file under `name`, by way of `name`.new. */
int store_replace_file(struct store_file *store, const char *name, const void *bytes, size_t size);
int store_sync_dir(struct store_file *store);

/* ---- store_file.c ---- */

struct slot *slot_get(struct store_file *store, const char *profile); /* NULL without memory */
/* A reservation without open files, for an attempt found on disk. 0 or -ENOMEM. */
int slot_note_attempt(struct slot *slot, uint64_t generation, uint32_t attempt);
/* Removes the files of an attempt. */
int store_remove_attempt(struct store_file *store, const char *base, uint64_t generation,
                         uint32_t attempt);

/* ---- store_open.c ---- */
/* Notes (enum store_note) or negative errno. */
int store_open_all(struct store_file *store);
void store_close_all(struct store_file *store);
int store_write_identity(struct store_file *store);

/* ---- store_seal.c ---- */
enum seal_kind { SEAL_RECORD = 1, SEAL_INTENT = 2, SEAL_ANSWER = 3 };

/* The part of a file that can be read without the key; all of it is authenticated. */
struct seal_header {
    enum seal_kind kind;
    uint32_t attempt;
    uint64_t generation;
    uint32_t state; /* of a record: 1 usable, 2 needs login */
    char profile[PROFILE_ID_MAX];
};

/* The bytes of a file, malloc'd. 0, -ENOMEM or -EMSGSIZE. */
int store_seal(const struct store_file *store, const struct seal_header *header,
               const struct secret *plain, uint8_t **ret_bytes, size_t *ret_size);
/* -ENODATA: reserved and never written; -EBADMSG: torn or damaged; -EKEYREJECTED: whole, but sealed
 * with another key or for another place; -EPROTONOSUPPORT: of a newer version; -ENOMEM. */
int store_unseal(const struct store_file *store, const uint8_t *bytes, size_t size,
                 enum seal_kind kind, struct seal_header *ret_header, struct secret **ret_plain);
const char *store_unseal_why(int error);

/* ---- store_recover.c ---- */
int store_look(struct store_port *port, const char *profile, struct credential *ret_credential);
int store_load(struct store_port *port, void *arg, void (*each)(void *arg, struct stored *stored),
               void (*bad)(void *arg, const char *file, const char *why));

/* ---- store_audit.c ---- */
int store_audit_open(struct store_file *store);
int store_audit(struct store_port *port, const char *line);
