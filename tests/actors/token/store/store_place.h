/* SPDX-License-Identifier: Apache-2.0 */
/* A file store in a directory of the test's own, and short words for what tests do with it. */
#pragma once

#include "support/temp_dir.h"
#include "token/store_file.h"

struct store_place {
    char directory[TEMP_DIR_MAX];
    char credentials[TEMP_DIR_MAX + 16];
    const struct disk_port *disk; /* NULL: the real one */
    struct store_port *store;     /* NULL: closed */
    int notes;
    struct stored loaded; /* the last one that load found */
    size_t loaded_count;
    size_t bad_count;
    size_t open_files; /* of this process before the test; as many must be open after it */
    char bad_file[256]; /* the last one */
    char bad_why[512];
};

int store_place_setup(void **state); /* a directory; no store yet */
int store_place_setup_in_memory(void **state);
int store_place_teardown(void **state);
/* Notes or negative errno; the sentence of a failure can be asked of place->store. */
int store_place_open(struct store_place *place);
void store_place_close(struct store_place *place);
void store_place_load(struct store_place *place);
/* Closes, opens on the real disk and loads; each must succeed. */
void store_place_restart(struct store_place *place);
/* A fresh store with generation 7 of lab:me, closed again. */
void store_place_fill(struct store_place *place);
/* Opening must fail so, with a sentence that has these words. */
void store_place_expect_refused(struct store_place *place, int error, const char *says);

/* A credential whose refresh token is "refresh-GENERATION"; of profile "lab:me". */
struct credential store_credential(uint64_t generation);
int store_save(struct store_place *place, uint64_t generation);
int store_reserve(struct store_place *place, uint64_t generation, uint32_t attempt);
int store_intent(struct store_place *place, uint64_t generation, uint32_t attempt);
int store_answer(struct store_place *place, uint64_t generation, uint32_t attempt);
int store_release(struct store_place *place, uint64_t generation, uint32_t attempt);
/* Reservation, intent and answer; each must succeed. */
void store_attempt(struct store_place *place, uint64_t generation, uint32_t attempt);

/* In any store, which must be fresh: a record and its attempt 1, answered with this body, as a
 * crash leaves them. Takes and closes the store. */
void store_leave_attempt(struct store_port *store, const struct credential *credential,
                         const char *body);
/* For load, where what is bad is no matter. */
void store_ignore_bad(void *arg, const char *file, const char *why);

/* The only file in the store whose name ends so, with its directory; fails the test if there is
 * none. */
void store_find(const struct store_place *place, const char *end, char *ret_path, size_t size);
size_t store_count(const struct store_place *place, const char *end);

/* Of a file in the store by its name; bytes of any file. A fault fails the test. */
void store_path(const struct store_place *place, const char *name, char *ret_path, size_t size);
void store_write_bytes(const char *path, const void *bytes, size_t size, off_t at);
size_t store_read_bytes(const char *path, char *ret_bytes, size_t size);
