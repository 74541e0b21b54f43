/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that hold secrets lock themselves in, before they touch one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct harden_options {
    const char *const *writable; /* directories and all below: the state's, the socket's */
    size_t writable_count;
    const char *const *readable; /* besides what curl and the resolver need; may be missing */
    size_t readable_count;
    const int *keep_fds;         /* ascending, besides 0, 1, 2 */
    size_t keep_fd_count;
};

/* What was achieved. Each is best effort: an old kernel has less, and the report says so. */
struct harden_report {
    bool undumpable;     /* no core, no ptrace by others of our uid, /proc/self closed */
    bool no_core;
    bool no_new_privs;
    bool fds_closed;
    int landlock_abi;    /* 0: this kernel has none */
    bool landlock;       /* files: writing only below writable, reading only where needed */
    char text[256];      /* one line for the audit and for `status` */
};

/* What each process with a token in its memory does, nodes and `auth import` too: it leaves no core
 * and cannot be read or traced by others of its uid. Fills in undumpable and no_core. */
void memory_harden(struct harden_report *ret_report);

/* All of it, before the first thread. */
void keeper_harden(const struct harden_options *options, struct harden_report *ret_report);
