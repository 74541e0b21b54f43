/* SPDX-License-Identifier: Apache-2.0 */
/* The store port: where credentials survive.
 *
 * One refresh uses three files, each preallocated and synced by `reserve` before the request and
 * then written once, never rewritten: intent, answer, record n+1. So a full disk shows before the
 * token is spent and a crash finds what there is to find:
 *
 *     reserve          all three exist at full size, files and directory synced
 *     write_intent     durable when it returns: (generation, attempt, nonce, time)
 *     write_answer     raw provider bytes, sealed, durable; before anything parses them
 *     write_record     record n+1 durable, renamed over n, directory synced; then the intents and
 *                      answers of older generations go
 *     release          this attempt spent nothing: its reservation, intent and answer are removed
 *
 * After an unknown outcome n is sent again, as attempt 2, 3, ... : each attempt has files of its
 * own, so what is known of an earlier one is never lost to a later one. write_record of the
 * generation that is already stored (a mark, an alias) keeps intents and answers; of a higher one
 * it removes them. The generation rises with every saved answer, also one without a new refresh
 * token (then record n+1 holds the same one), so a record file is never rewritten in place.
 *
 * Calls block (the real ones sync files) and are made from one thread, the store actor's. Each
 * returns 0 or a negative errno; on an error of write_record the old record is still the truth and
 * the call may be repeated (it then makes a new file: a failed fsync is never retried on the same
 * file, see Rebello et al., ATC'20). Credentials are borrowed during a call.
 * One engine, store_file; tests have another one in memory (tests/support). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROFILE_ID_MAX 128  /* bytes with NUL */
#define TOKEN_MAX (64 << 10) /* bytes of one token with NUL */
#define ANSWER_MAX (256 << 10) /* bytes of one token answer */

/* A secret: guarded memory of libsodium (token/secret.h); never printed. */
struct secret;

/* What is saved of one profile. Owned: see credential_deinit in token/credential.h. */
struct credential {
    char profile[PROFILE_ID_MAX];
    char provider[PROFILE_ID_MAX];
    char mode[16];          /* oauth, api_key, access_only */
    char account[128];      /* from the provider's claim; may be empty */
    uint64_t generation;    /* of the refresh token; 1 for the first */
    struct secret *access;  /* may be NULL */
    struct secret *refresh; /* NULL for api_key and access_only */
    struct secret *id_token;
    int64_t expires_at_ms;  /* of access; 0: unknown or never */
    int64_t obtained_at_ms;
    int64_t earliest_refresh_at_ms; /* 0: none given */
    int64_t refresh_expires_at_ms;  /* 0: unknown */
    char needs_login[64];   /* reason code; empty: fine */
    char aliases[512];      /* comma-separated other ids */
    char *rule;             /* provider rule it is pinned to (token/provider.h), JSON or NULL */
    uint8_t (*digests)[16]; /* keyed digests of all refresh tokens of this family, newest last */
    size_t digest_count;
};

struct intent {
    uint64_t generation; /* that is being spent */
    uint32_t attempt;    /* from 1 */
    uint8_t nonce[16];
    int64_t wall_ms;     /* when */
    uint64_t boot_ns;    /* clock port, with boot_id tells how long ago */
    uint8_t boot_id[16];
    int64_t first_wall_ms;     /* the same for attempt 1 of this generation: a provider's grace */
    uint64_t first_boot_ns;    /* window counts from there */
    uint8_t first_boot_id[16];
};

/* What came back for one attempt, as it came. */
struct answer {
    uint64_t generation; /* that was spent for it */
    uint32_t attempt;
    bool complete;       /* false: cut off, kept for people only */
    uint32_t http_status;
    struct secret *body;
};

/* What load finds of one profile. */
struct stored {
    struct credential credential;
    bool has_intent;   /* a request for credential.generation may have been sent */
    struct intent intent;  /* of the latest attempt */
    bool has_answer;       /* the newest complete one of this generation, else the newest */
    struct answer answer;
};

/* Flags of what `open` found out about the store as a whole. */
enum store_note {
    STORE_FRESH = 1 << 0,    /* made just now */
    STORE_COPIED = 1 << 1,   /* machine id or inode differs from when it was made: do not spend */
};

struct store_port {
    /* Notes (enum store_note) >= 0, or negative errno. */
    int (*open)(struct store_port *store);
    /* At the start, before anything else is asked: it tidies up behind a crash, and would take an
     * attempt that is being made for one that was left. Calls `each` for every profile; *stored is
     * the callee's to keep or deinit. A file that does not authenticate is reported through `bad`
     * (name, what is wrong) and left untouched. */
    int (*load)(struct store_port *store, void *arg, void (*each)(void *arg, struct stored *stored),
                void (*bad)(void *arg, const char *file, const char *why));
    /* The record of one profile as it stands. Reads only, for other profiles may be in the middle
     * of a refresh. -ENOENT: there is none. */
    int (*look)(struct store_port *store, const char *profile, struct credential *ret_credential);
    int (*reserve)(struct store_port *store, const struct credential *credential,
                   uint32_t attempt);
    int (*write_intent)(struct store_port *store, const struct credential *credential,
                        const struct intent *intent);
    int (*write_answer)(struct store_port *store, const struct credential *credential,
                        const struct answer *answer);
    /* For refresh results, imports, needs-login marks, aliases: the one way to save. -ESTALE: a
     * newer generation is stored. */
    int (*write_record)(struct store_port *store, const struct credential *credential);
    int (*release)(struct store_port *store, const struct credential *credential,
                   uint32_t attempt);
    int (*remove)(struct store_port *store, const char *profile);
    /* Keyed digest of a refresh token, to know one that was seen before. */
    void (*digest)(struct store_port *store, const struct secret *token, uint8_t ret_digest[16]);
    /* Marks a copied store as ours. */
    int (*adopt)(struct store_port *store);
    /* One line to the audit log, beginning with what was done ("grant", "save"); the engine adds
     * number and time, and syncs all but grants. No secrets. */
    int (*audit)(struct store_port *store, const char *line);
    /* A sentence about the last call that failed: what, where, what to do. For people. */
    const char *(*why)(const struct store_port *store);
    void (*close)(struct store_port *store); /* and frees; also after a failed open */
};
