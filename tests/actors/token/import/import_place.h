/* SPDX-License-Identifier: Apache-2.0 */
/* A directory with files of other programs, and what was read from it. */
#pragma once

#include "support/temp_dir.h"
#include "token/import.h"

struct import_place {
    char directory[TEMP_DIR_MAX];
    struct import_list list;
    char why[512];
};

int import_place_setup(void **state);
int import_place_teardown(void **state);
/* Writes a file below the directory, with the folders on its way. */
void import_place_write(const struct import_place *place, const char *name, const char *text);
/* Of a file below the directory; "": of the directory itself. */
int import_place_read(struct import_place *place, const char *name);
/* The same; fails the test unless it has so many entries and nothing is said against it. */
void import_place_read_ok(struct import_place *place, const char *name, size_t count);

/* {"exp":1790009000,"https://api.openai.com/auth":{"chatgpt_account_id":"acct-7"}} */
#define JWT                                                                                        \
    "e30.eyJleHAiOjE3OTAwMDkwMDAsImh0dHBzOi8vYXBpLm9wZW5haS5jb20vYXV0aCI6eyJjaGF0Z3B0X2FjY291bnRf" \
    "aWQiOiJhY2N0LTcifX0.sig"

#define TEST(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, import_place_setup, import_place_teardown)
