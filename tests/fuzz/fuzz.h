/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share.
 *
 * A target is one fuzz_<x>.c with a function over bytes from nowhere, and FUZZ_TARGET behind it.
 * Built by the preset `fuzz` it is a libFuzzer program; built by any other preset it is a program
 * that replays corpus/<x>/, and that is an ordinary test. An input that once broke something is
 * added to the corpus and stays.
 *
 * A target does more than not crash: it states what must hold of any input (a second
 * implementation agrees, two ways to split a stream give the same, what is read can be written and
 * read again), and it has a bound of memory: `base` and `per_byte` times the size of the input.
 * Memory is counted where the program runs under AddressSanitizer, elsewhere it is not. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Bytes allocated from now on; the highest sum of those not yet freed. */
void fuzz_memory_start(void);
size_t fuzz_memory_peak(void);

/* Whether the peak keeps to the bound. The program says at its end how near an input came. */
bool fuzz_memory_within(size_t bound, size_t input_size);

#define FUZZ_TARGET(one, base, per_byte)                                                           \
    int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)                                  \
    {                                                                                              \
        fuzz_memory_start();                                                                       \
        one(bytes, size);                                                                          \
        assert(fuzz_memory_within((base) + (per_byte)*size, size) && "memory not bounded");        \
        return 0;                                                                                  \
    }

/* The first bytes of an input choose a variant; 0 when there are none left. */
static inline uint8_t fuzz_take(const uint8_t **bytes, size_t *size)
{
    if (*size == 0)
        return 0;
    --*size;
    return *(*bytes)++;
}

/* Where to split a stream next: 1 to `left` bytes, short ones more often. */
static inline size_t fuzz_piece(uint32_t *seed, size_t left)
{
    *seed = *seed * 1664525 + 1013904223;
    size_t limit = (*seed >> 24) % 4 == 0 ? 64 : 4;
    size_t piece = 1 + (*seed >> 16) % limit;

    return piece < left ? piece : left;
}
