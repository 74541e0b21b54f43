/* SPDX-License-Identifier: Apache-2.0 */
/* Files of lines below a root folder: opened by folder descriptor, component by component, never
 * through a symlink, never above the root. Plain functions that block; the journal actor is who
 * calls them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest line, bytes: it travels in one message. */
#define JOURNAL_LINE_MAX (7u << 20)
#define JOURNAL_NAMES_MAX 256

/* Makes the folder and what is missing above it, mode 0700. A descriptor, or negative errno. */
int journal_root_open(const char *path);

/* Appends the line and a newline; durable when it returns 0. After an error the file is what it
 * was. A torn line at the end is cut off first. -EINVAL for a path that leaves the root or a line
 * that is none, -EMSGSIZE for one over the limit, -ELOOP for a symlink on the way, -EBADF for what
 * is no regular file. */
int journal_file_append(int root, const char *path, const char *line, size_t size);

struct journal_reader {
    int fd;
    uint64_t at, end; /* of the file as it was when opened, without a torn last line */
    uint64_t torn;    /* bytes that were cut off */
    uint64_t skipped; /* lines over JOURNAL_LINE_MAX */
    char *buffer;
    size_t start, fill, capacity;
};

/* 0 with nothing to read when the file does not exist. */
int journal_reader_open(struct journal_reader *reader, int root, const char *path);
void journal_reader_close(struct journal_reader *reader);
/* 1 and a line, valid until the next call; 0 at the end; negative errno. */
int journal_reader_next(struct journal_reader *reader, const char **ret_line, size_t *ret_size);

/* A folder that exists. A descriptor, or negative errno. */
int journal_folder_open(int root, const char *path);
/* Names of the regular files in a folder, newline-separated, last changed first, malloc'd. */
int journal_folder_list(int root, const char *path, char **ret_names);
