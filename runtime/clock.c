/* SPDX-License-Identifier: Apache-2.0 */
/* The real clock and the real source of random bytes. CLOCK_BOOTTIME, for a deadline that a
 * laptop slept through has passed. */
#include <assert.h>
#include <sys/random.h>
#include <time.h>

#include "runtime/ports.h"

static uint64_t real_now_ns(const struct clock_port *clock)
{
    struct timespec now;
    (void)clock;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int64_t real_wall_ms(const struct clock_port *clock)
{
    struct timespec now;
    (void)clock;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void real_fill(const struct random_port *random, void *ret_bytes, size_t size)
{
    unsigned char *bytes = ret_bytes;
    (void)random;
    while (size > 0) {
        ssize_t got = getrandom(bytes, size, 0);
        if (got < 0)
            continue; /* EINTR before the pool is ready, at boot */
        bytes += got;
        size -= (size_t)got;
    }
}

const struct clock_port *clock_real(void)
{
    static const struct clock_port clock = {real_now_ns, real_wall_ms};
    return &clock;
}

const struct random_port *random_real(void)
{
    static const struct random_port random = {real_fill};
    return &random;
}
