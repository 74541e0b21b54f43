/* SPDX-License-Identifier: Apache-2.0 */
/* Example frames, one of each form. The program frame_vectors writes them to a folder as hex; the
 * test compares the files in vectors/ with what the codec writes today. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct frame_vector {
    const char *name;
    uint8_t bytes[256];
    size_t size;
};

/* The i-th vector; false when there are no more. */
bool frame_vector_make(size_t i, struct frame_vector *ret_vector);
/* Hex, two digits a byte, and a newline: 2 * size + 2 bytes with NUL. */
void frame_vector_print(const struct frame_vector *vector, char *ret_text);
