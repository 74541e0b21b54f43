/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed text: making, comparing, copying and checking it. */
#include "proto/cursor.h"

#include <stdlib.h>
#include <string.h>

struct proto_text proto_text(const char *string)
{
    return (struct proto_text){string, string ? (uint32_t)strlen(string) : 0};
}

bool proto_text_equal(struct proto_text text, const char *string)
{
    size_t size = strlen(string);

    return text.size == size && (size == 0 || memcmp(text.data, string, size) == 0);
}

static bool holds_nul(struct proto_text text)
{
    return text.size > 0 && memchr(text.data, 0, text.size) != NULL;
}

bool proto_text_copy(struct proto_text text, char *ret_string, size_t size)
{
    if (size == 0)
        return false;
    ret_string[0] = 0;
    if (text.size >= size || holds_nul(text))
        return false;
    if (text.size > 0)
        memcpy(ret_string, text.data, text.size);
    ret_string[text.size] = 0;
    return true;
}

char *proto_text_dup(struct proto_text text)
{
    char *copy = holds_nul(text) ? NULL : malloc((size_t)text.size + 1);

    if (copy)
        proto_text_copy(text, copy, (size_t)text.size + 1);
    return copy;
}

/* How the second byte of a sequence is bounded, by the first (Unicode 15, table 3-7). All further
 * bytes are 0x80 to 0xbf. */
static const struct utf8_form {
    uint8_t first_low, first_high, extra, second_low, second_high;
} utf8_forms[] = {
    {0x00, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
    {0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
    {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

/* Bytes of the sequence at `at`; 0 when it is not well-formed. */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    for (size_t i = 0; i < sizeof(utf8_forms) / sizeof(utf8_forms[0]); i++) {
        const struct utf8_form *form = &utf8_forms[i];

        if (at[0] < form->first_low || at[0] > form->first_high)
            continue;
        if (form->extra >= left)
            return 0;
        if (form->extra > 0 && (at[1] < form->second_low || at[1] > form->second_high))
            return 0;
        for (size_t k = 2; k <= form->extra; k++)
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        return 1u + form->extra;
    }
    return 0;
}

bool proto_utf8_valid(struct proto_text text)
{
    const uint8_t *at = (const uint8_t *)text.data;
    size_t left = text.size;

    while (left > 0) {
        size_t step = utf8_sequence(at, left);
        if (step == 0)
            return false;
        at += step;
        left -= step;
    }
    return true;
}
