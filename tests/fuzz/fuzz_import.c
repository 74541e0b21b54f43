/* SPDX-License-Identifier: Apache-2.0 */
/* A file of another program. Input: the file.
 *
 * What can be taken has a provider and tokens that could stand in a header; what cannot says why;
 * nothing that is printed can reach into a terminal. A clone names an entry that is kept. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "token/import.h"

static void check_token(const struct secret *token)
{
    assert(secret_length(token) < TOKEN_MAX);
    for (size_t i = 0; i < secret_length(token); i++)
        assert(secret_data(token)[i] > ' ' && secret_data(token)[i] < 0x7f);
}

static void check_text(const char *text, size_t size)
{
    assert(memchr(text, 0, size));
    for (; *text; text++)
        assert((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_entry(const struct import_list *list, const struct import_entry *entry)
{
    check_text(entry->profile, sizeof(entry->profile));
    check_text(entry->provider, sizeof(entry->provider));
    check_text(entry->account, sizeof(entry->account));
    check_text(entry->email, sizeof(entry->email));
    check_text(entry->why, sizeof(entry->why));
    assert(entry->expires_at_ms >= 0 && entry->refreshed_at_ms >= 0);
    if (entry->verdict == IMPORT_REFUSED) {
        assert(entry->code[0] != '\0' && entry->why[0] != '\0');
        return;
    }
    assert(entry->profile[0] != '\0' && entry->provider[0] != '\0');
    assert(strcmp(entry->mode, "oauth") == 0 ? entry->refresh != NULL : entry->access != NULL);
    check_token(entry->access);
    check_token(entry->refresh);
    check_token(entry->id_token);
    if (entry->verdict == IMPORT_CLONE)
        assert(entry->clone_of < list->count && &list->entries[entry->clone_of] != entry &&
               list->entries[entry->clone_of].verdict == IMPORT_TAKE);
}

static void one(const uint8_t *bytes, size_t size)
{
    struct import_list list;
    char path[64], why[512];
    int fd = memfd_create("auth-profiles.json", MFD_CLOEXEC);

    assert(fd >= 0 && (size == 0 || write(fd, bytes, size) == (ssize_t)size));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int error = import_read(path, &list, why, sizeof(why));
    if (error < 0) {
        assert(error != -ENOMEM);
        assert(why[0] != '\0');
        check_text(why, sizeof(why));
    } else {
        for (size_t i = 0; i < list.count; i++)
            check_entry(&list, &list.entries[i]);
        import_list_deinit(&list);
    }
    close(fd);
}

FUZZ_TARGET(one, 65536, 1024)
