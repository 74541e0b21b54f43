/* SPDX-License-Identifier: Apache-2.0 */
#include "guarded.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int guarded_init(struct guarded *guarded, size_t size_max)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t usable = (size_max + page - 1) / page * page;
    uint8_t *map =
        mmap(NULL, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return -errno;
    if (mprotect(map + usable, page, PROT_NONE) < 0)
        return -errno;
    *guarded = (struct guarded){map, usable + page, map + usable};
    return 0;
}

void guarded_deinit(struct guarded *guarded)
{
    munmap(guarded->map, guarded->map_size);
}

uint8_t *guarded_copy(struct guarded *guarded, const void *bytes, size_t size)
{
    assert(size <= (size_t)(guarded->end - guarded->map));
    if (size > 0)
        memcpy(guarded->end - size, bytes, size);
    return guarded->end - size;
}
