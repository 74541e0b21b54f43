/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what is allocated, through the hooks that the sanitizers offer. Other programs lack them;
 * then the peak is 0. The counters are the hooks', which take no argument of ours: they are the one
 * mutable state of a fuzz target, and its programs have one thread. */
#include "fuzz.h"

#include <stdio.h>

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *))
    __attribute__((weak));
size_t __sanitizer_get_allocated_size(const volatile void *pointer) __attribute__((weak));

struct counters {
    bool hooked;
    long long now, peak;
};

static struct counters counters;

/* The input that came nearest to its bound. */
struct nearest {
    size_t peak, bound, input_size;
};

static struct nearest nearest;

static void on_malloc(const volatile void *pointer, size_t size)
{
    (void)pointer;
    counters.now += (long long)size;
    if (counters.now > counters.peak)
        counters.peak = counters.now;
}

static void on_free(const volatile void *pointer)
{
    if (pointer)
        counters.now -= (long long)__sanitizer_get_allocated_size(pointer);
}

void fuzz_memory_start(void)
{
    if (!counters.hooked && __sanitizer_install_malloc_and_free_hooks)
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    counters = (struct counters){.hooked = true};
}

size_t fuzz_memory_peak(void)
{
    return (size_t)counters.peak;
}

static void say_nearest(void)
{
    if (nearest.bound > 0)
        fprintf(stderr, "memory: at most %.0f %% of the bound (%zu bytes for an input of %zu)\n",
                100.0 * (double)nearest.peak / (double)nearest.bound, nearest.peak,
                nearest.input_size);
}

bool fuzz_memory_within(size_t bound, size_t input_size)
{
    size_t peak = fuzz_memory_peak();

    if (nearest.bound == 0)
        atexit(say_nearest);
    if (nearest.bound == 0 || (double)peak / (double)bound > (double)nearest.peak /
                                                                 (double)nearest.bound)
        nearest = (struct nearest){peak, bound, input_size};
    return peak <= bound;
}
