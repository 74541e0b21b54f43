/* SPDX-License-Identifier: Apache-2.0 */
#include "pile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pile_add(struct pile *pile, const char *text, size_t size)
{
    if (pile->size + size + 1 > pile->capacity) {
        size_t capacity = (pile->size + size + 1) * 2;
        char *grown = realloc(pile->text, capacity);

        if (!grown)
            return -ENOMEM;
        pile->text = grown;
        pile->capacity = capacity;
    }
    if (size > 0)
        memcpy(pile->text + pile->size, text, size);
    pile->size += size;
    pile->text[pile->size] = 0;
    return 0;
}

void pile_clear(struct pile *pile)
{
    pile->size = 0;
}

void pile_deinit(struct pile *pile)
{
    free(pile->text);
    *pile = (struct pile){0};
}
