/* SPDX-License-Identifier: Apache-2.0 */
/* Everything the runtime does that is not deterministic goes through one of these. Real
 * implementations are the defaults; the simulator and the tests bring their own. Each struct is
 * the first member of its implementation, recovered with container_of. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct clock_port {
    /* Nanoseconds that never go back and count suspended time (CLOCK_BOOTTIME). */
    uint64_t (*now_ns)(const struct clock_port *clock);
    /* Unix time in milliseconds; may jump. */
    int64_t (*wall_ms)(const struct clock_port *clock);
};

struct random_port {
    void (*fill)(const struct random_port *random, void *ret_bytes, size_t size);
};

const struct clock_port *clock_real(void);
const struct random_port *random_real(void);
