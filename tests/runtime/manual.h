/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that runs only when told, with a clock that is moved by hand. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/introspect.h"
#include "runtime/supervisor.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

struct manual_clock {
    struct clock_port port;
    uint64_t now_ns;
};

struct manual_random {
    struct random_port port;
    uint64_t state;
};

struct manual {
    struct manual_clock clock;
    struct manual_random random;
    struct runtime *runtime;
    int logged;
};

static inline uint64_t manual_now_ns(const struct clock_port *clock)
{
    return ((const struct manual_clock *)clock)->now_ns;
}

static inline int64_t manual_wall_ms(const struct clock_port *clock)
{
    return (int64_t)(((const struct manual_clock *)clock)->now_ns / MS);
}

static inline void manual_fill(const struct random_port *port, void *ret_bytes, size_t size)
{
    struct manual_random *random = (struct manual_random *)(uintptr_t)port;
    for (size_t i = 0; i < size; i++) {
        random->state = random->state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ((uint8_t *)ret_bytes)[i] = (uint8_t)(random->state >> 56);
    }
}

static inline void manual_log(void *arg, int level, const char *line)
{
    struct manual *manual = arg;
    (void)level;
    (void)line;
    manual->logged++;
}

static inline void manual_open(struct manual *manual)
{
    *manual = (struct manual){
        .clock = {{manual_now_ns, manual_wall_ms}, SECOND},
        .random = {{manual_fill}, 1},
    };
    struct runtime_options options = {
        .name = "test",
        .clock = &manual->clock.port,
        .random = &manual->random.port,
        .scheduler = SCHEDULER_MANUAL,
        .log = manual_log,
        .log_arg = manual,
    };
    assert_int_equal(runtime_new(&options, &manual->runtime), 0);
}

static inline void manual_close(struct manual *manual)
{
    runtime_free(manual->runtime);
    manual->runtime = NULL;
}

/* Runs until nothing can run at this time. */
static inline void manual_run(struct manual *manual)
{
    while (runtime_step(manual->runtime))
        continue;
}

static inline void manual_pass(struct manual *manual, uint64_t ns)
{
    uint64_t until_ns = manual->clock.now_ns + ns;
    manual_run(manual);
    while (runtime_next_timer_ns(manual->runtime) <= until_ns) {
        uint64_t next_ns = runtime_next_timer_ns(manual->runtime);
        if (next_ns > manual->clock.now_ns)
            manual->clock.now_ns = next_ns;
        manual_run(manual);
    }
    manual->clock.now_ns = until_ns;
    manual_run(manual);
}

static inline uint64_t manual_drops(struct manual *manual, enum runtime_status reason)
{
    struct drop_info rows[16];
    uint64_t cursor = 0, count = 0;
    size_t got;

    while ((got = introspect_drops(manual->runtime, &cursor, rows, 16)))
        for (size_t i = 0; i < got; i++)
            if (rows[i].reason == reason)
                count += rows[i].count;
    return count;
}
