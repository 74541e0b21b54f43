/* SPDX-License-Identifier: Apache-2.0 */
#include "support/failing_memory.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* What the allocators know; they have no argument to find it by. Of each thread: what a library
 * does on its own is not to make runs differ. */
static _Thread_local struct {
    bool counting, for_ever;
    unsigned calls, fail_at;
} memory;

void memory_counts(bool is)
{
    memory.counting = is;
}

void memory_fail(unsigned k, bool for_ever)
{
    memory.calls = 0;
    memory.fail_at = k;
    memory.for_ever = for_ever;
}

unsigned memory_calls(void)
{
    return memory.calls;
}

static bool fails(void)
{
    if (!memory.counting) {
        return false;
    }
    memory.calls++;
    bool is = memory.fail_at != 0 && (memory.for_ever ? memory.calls >= memory.fail_at
                                                      : memory.calls == memory.fail_at);
    errno = is ? ENOMEM : errno;
    return is;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_reallocarray(void *pointer, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
DIR *__real_fdopendir(int fd);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_reallocarray(void *pointer, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
DIR *__wrap_fdopendir(int fd);
void *__wrap_sodium_malloc(size_t size);
void __wrap_sodium_free(void *pointer);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    return fails() ? NULL : __real_realloc(pointer, size);
}

void *__wrap_reallocarray(void *pointer, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(pointer, count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}

/* It allocates, and takes nothing when it cannot. */
DIR *__wrap_fdopendir(int fd)
{
    return fails() ? NULL : __real_fdopendir(fd);
}

void *__wrap_sodium_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void __wrap_sodium_free(void *pointer)
{
    free(pointer);
}
