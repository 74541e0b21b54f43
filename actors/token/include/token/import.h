/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials out of the files of other programs: OpenClaw's auth-profiles.json (a file, or its
 * state directory with one for each agent) and Codex's auth.json (or its directory). The files are
 * only read. What is in them and cannot be taken is an entry too, with the reason. */
#pragma once

#include "token/secret.h"
#include "token/store.h"

enum import_verdict {
    IMPORT_TAKE,    /* can be imported */
    IMPORT_CLONE,   /* the same login as the entry `clone_of`, which is fresher or comes first */
    IMPORT_REFUSED, /* see code and why */
};

struct import_entry {
    enum import_verdict verdict;
    char profile[PROFILE_ID_MAX];  /* id it had, else one we made up */
    char provider[PROFILE_ID_MAX]; /* as we call it */
    char mode[16];                 /* oauth, api_key, access_only */
    struct secret *access;         /* token or API key */
    struct secret *refresh;
    struct secret *id_token;
    int64_t expires_at_ms;         /* 0: unknown or never */
    int64_t refreshed_at_ms;       /* 0: unknown */
    char account[128];
    char email[128];
    char source[512];              /* file */
    size_t clone_of;               /* index, with IMPORT_CLONE */
    char code[32];                 /* with IMPORT_REFUSED: secret_ref, oauth_ref, ... */
    char why[256];                 /* a sentence: what is wrong and what to do; with IMPORT_TAKE a
                                    * thing worth telling, else empty */
};

struct import_list {
    struct import_entry *entries;
    size_t count;
};

/* `path`: a file or a directory. 0, or negative errno with a sentence (for a file that does not
 * parse: line and column). A bad file in a directory of several is a refused entry. */
int import_read(const char *path, struct import_list *ret_list, char *ret_why, size_t why_size);
void import_list_deinit(struct import_list *list);
