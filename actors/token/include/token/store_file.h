/* SPDX-License-Identifier: Apache-2.0 */
/* The store port on files: the default engine. Layout and rules stand in store_file.c. */
#pragma once

#include "token/disk.h"
#include "token/secret.h"
#include "token/store.h"

#define STORE_KEY_SIZE 32

struct store_file_options {
    const char *state_dir;         /* credentials/ is made below it; it itself too, mode 0700 */
    const struct secret *key;      /* STORE_KEY_SIZE bytes, copied; NULL: a key file in the store */
    const struct disk_port *disk;  /* NULL: disk_real() */
    const struct secret_memory *memory; /* NULL: secret_memory_sodium() */
    uint32_t audit_rotate_bytes;   /* 0: 8 MiB */
};

/* NULL without memory. Opens nothing yet. */
struct store_port *store_file_new(const struct store_file_options *options);

/* Checks the hash chain of the audit log of an open store, oldest file first. Lines that hold, or
 * -EBADMSG with why() naming the first line that does not. */
int store_file_audit_verify(struct store_port *store);
