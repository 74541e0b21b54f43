/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "session/session.h"

#define ENDING ".jsonl"
#define NAME_SIZE_MAX 255 /* of file systems */

static bool is_plain(char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c && (strchr("-_~@+", c) || (c == '.' && !first));
}

/* Appends `text` as part of a file name. */
static int put_name(char *ret_path, size_t size, size_t *at, const char *text, const char *ending)
{
    size_t start = *at;

    if (text[0] == 0)
        return -EINVAL;
    for (size_t i = 0; text[i]; i++) {
        bool plain = is_plain(text[i], i == 0);

        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return -EINVAL;
        if (*at + 4 > size)
            return -ENAMETOOLONG;
        *at += (size_t)snprintf(ret_path + *at, size - *at, plain ? "%c" : "%%%02X",
                                (unsigned char)text[i]);
    }
    if (*at + strlen(ending) >= size || *at + strlen(ending) - start > NAME_SIZE_MAX)
        return -ENAMETOOLONG;
    *at += (size_t)snprintf(ret_path + *at, size - *at, "%s", ending);
    return 0;
}

int session_folder(const char *agent, char *ret_path, size_t size)
{
    size_t at = (size_t)snprintf(ret_path, size, "agents/");

    return at < size ? put_name(ret_path, size, &at, agent, "") : -ENAMETOOLONG;
}

int session_file(const char *agent, const char *key, char *ret_path, size_t size)
{
    int r = session_folder(agent, ret_path, size);
    size_t at = r < 0 ? 0 : strlen(ret_path);

    if (r < 0)
        return r;
    if (at + 2 > size)
        return -ENAMETOOLONG;
    ret_path[at++] = '/';
    return put_name(ret_path, size, &at, key, ENDING);
}

static int hex_digit(char c)
{
    const char *digits = "0123456789ABCDEF", *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

int session_key_of_file(const char *name, size_t name_size, char *ret_key, size_t size)
{
    size_t ending = strlen(ENDING), at = 0;

    if (name_size <= ending || memcmp(name + name_size - ending, ENDING, ending) != 0)
        return -EINVAL;
    name_size -= ending;
    for (size_t i = 0; i < name_size; i++) {
        int value = (unsigned char)name[i];

        if (name[i] == '%') {
            int high = i + 2 < name_size ? hex_digit(name[i + 1]) : -1;
            int low = i + 2 < name_size ? hex_digit(name[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            value = high << 4 | low;
            i += 2;
        }
        if (at + 1 >= size)
            return -ENAMETOOLONG;
        ret_key[at++] = (char)value;
    }
    ret_key[at] = 0;
    return 0;
}
