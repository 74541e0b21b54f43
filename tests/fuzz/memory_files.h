/* SPDX-License-Identifier: Apache-2.0 */
/* A disk port over a handful of files in memory, for opening a store thousands of times a second.
 * One directory; nothing ever fails; a descriptor is the number of its file. */
#pragma once

#include "token/disk.h"

#define MEMORY_FILES_MAX 12

struct memory_file {
    char name[256]; /* empty: none */
    uint8_t *bytes;
    size_t size;
};

struct memory_files {
    struct disk_port disk;
    struct memory_file files[MEMORY_FILES_MAX];
};

void memory_files_init(struct memory_files *files);
void memory_files_deinit(struct memory_files *files);
void memory_files_put(struct memory_files *files, const char *name, const void *bytes, size_t size);
const struct memory_file *memory_files_find(const struct memory_files *files, const char *name);
