/* SPDX-License-Identifier: Apache-2.0 */
/* Copies in libraries are where secrets leak: a request body in curl's buffers, a token in a JSON
 * tree. Both libraries let their allocators be replaced.
 *
 * The allocators are malloc's own but for free and realloc, which wipe by the size malloc tells,
 * so memory from before the change may be freed by them and the other way round. */
#include "token/wipe.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local unsigned refusals;

void *wipe_malloc(size_t size)
{
    void *pointer = malloc(size);
    refusals += pointer == NULL;
    return pointer;
}

unsigned wipe_refusals(void)
{
    return refusals;
}

void wipe_free(void *pointer)
{
    if (pointer != NULL) {
        explicit_bzero(pointer, malloc_usable_size(pointer));
        free(pointer);
    }
}

/* realloc may move and free the old place unwiped, so a growth is always a move of our own. */
static void *wiping_realloc(void *pointer, size_t size)
{
    if (pointer == NULL) {
        return wipe_malloc(size);
    }
    size_t have = malloc_usable_size(pointer);
    if (size <= have) {
        return pointer;
    }
    void *grown = wipe_malloc(size);
    if (grown != NULL) {
        memcpy(grown, pointer, have);
        wipe_free(pointer);
    }
    return grown;
}

static void *counted_calloc(size_t count, size_t size)
{
    void *pointer = calloc(count, size);
    refusals += pointer == NULL;
    return pointer;
}

static char *counted_strdup(const char *text)
{
    char *copy = strdup(text);
    refusals += copy == NULL;
    return copy;
}

int wipe_install(void)
{
    json_set_alloc_funcs(wipe_malloc, wipe_free);
    CURLcode code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, wipe_malloc, wipe_free,
                                         wiping_realloc, counted_strdup, counted_calloc);
    return code == CURLE_OK ? 0 : -ENOMEM;
}
