/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows at its end. {0} is an empty one. */
#pragma once

#include <stddef.h>

struct pile {
    char *text; /* ends with a NUL; NULL while nothing was added */
    size_t size, capacity;
};

int pile_add(struct pile *pile, const char *text, size_t size); /* 0 or -ENOMEM */
void pile_clear(struct pile *pile); /* keeps the memory */
void pile_deinit(struct pile *pile);
