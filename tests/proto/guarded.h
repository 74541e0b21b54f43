/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that end where a forbidden page begins: reading one too many is a crash, with or without
 * a sanitizer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct guarded {
    uint8_t *map;
    size_t map_size;
    uint8_t *end;
};

int guarded_init(struct guarded *guarded, size_t size_max);
void guarded_deinit(struct guarded *guarded);
/* A copy that ends at the border. */
uint8_t *guarded_copy(struct guarded *guarded, const void *bytes, size_t size);
