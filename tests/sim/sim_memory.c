/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for libsodium's guarded allocations, put in place by the linker (--wrap). */
#include <stdlib.h>

void *__wrap_sodium_malloc(size_t size);
void __wrap_sodium_free(void *pointer);

void *__wrap_sodium_malloc(size_t size)
{
    return malloc(size);
}

void __wrap_sodium_free(void *pointer)
{
    free(pointer);
}
