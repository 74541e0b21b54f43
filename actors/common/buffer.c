/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int buffer_append(struct buffer *buffer, const void *bytes, size_t size, size_t limit)
{
    if (size > limit || buffer->size > limit - size)
        return -EMSGSIZE;
    if (size == 0)
        return 0;
    size_t wanted = buffer->size + size;
    if (wanted >= buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity <= wanted)
            capacity *= 2;
        char *grown = realloc(buffer->bytes, capacity);
        if (!grown)
            return -ENOMEM;
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size = wanted;
    buffer->bytes[wanted] = 0;
    return 0;
}

void buffer_deinit(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}
