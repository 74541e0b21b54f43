/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that grow at the end. {0} is an empty one. */
#pragma once

#include <stddef.h>

struct buffer {
    char *bytes; /* a NUL follows the last one, so that text is a string; NULL while empty */
    size_t size, capacity;
};

/* 0, -EMSGSIZE when it would grow over `limit`, -ENOMEM. Nothing is appended on error. */
int buffer_append(struct buffer *buffer, const void *bytes, size_t size, size_t limit);
/* Frees; the buffer is {0} again. */
void buffer_deinit(struct buffer *buffer);
