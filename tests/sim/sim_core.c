/* SPDX-License-Identifier: Apache-2.0 */
/* Time, chance, events and the digest. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chance --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void fill(const struct random_port *port, void *ret_bytes, size_t size)
{
    struct sim_random *random = (struct sim_random *)(uintptr_t)port;

    for (size_t i = 0; i < size; i++) {
        random->state = random->state * 6364136223846793005ull + 1442695040888963407ull;
        ((uint8_t *)ret_bytes)[i] = (uint8_t)(random->state >> 56);
    }
}

void sim_random_init(struct sim_random *random, uint64_t seed)
{
    *random = (struct sim_random){{fill}, seed};
}

uint64_t sim_draw(struct sim *sim, uint64_t below)
{
    return mix(&sim->random) % below;
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
    return low + sim_draw(sim, high - low + 1);
}

const char *sim_fault_name(enum sim_fault fault)
{
    static const char *const names[] = {
#define X(name, text) text,
        SIM_FAULTS(X)
#undef X
    };
    return names[fault];
}

/* The draw is made whatever comes of it, so that a history cut short stays like the whole one for
 * as long as it can. */
bool sim_fault(struct sim *sim, enum sim_fault fault)
{
    bool drawn = sim_draw(sim, 1000) < sim->permille[fault];

    if (!drawn || sim->part != PART_CHAOS || (sim->options.without >> fault & 1) != 0)
        return false;
    if (sim->fault_count++ >= sim->options.fault_limit)
        return false;
    sim->totals->faults[fault]++;
    sim_note(sim, "fault %s", sim_fault_name(fault));
    return true;
}

/* ---- events: a heap by time, then by order of making ---------------------------------------- */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_at(struct sim *sim, uint64_t at_ns,
            void (*run)(struct sim *sim, const struct sim_event *event), void *pointer, uint64_t a,
            uint64_t b)
{
    struct sim_event event = {at_ns < sim->now_ns ? sim->now_ns : at_ns, ++sim->event_order, run,
                              pointer, a, b};
    size_t i;

    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity != 0 ? 2 * sim->heap_capacity : 256;
        sim->heap = reallocarray(sim->heap, sim->heap_capacity, sizeof(*sim->heap));
        if (sim->heap == NULL)
            abort();
    }
    for (i = sim->heap_count++; i > 0 && earlier(&event, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim->heap[i] = sim->heap[(i - 1) / 2];
    sim->heap[i] = event;
}

bool sim_pop(struct sim *sim, uint64_t until_ns, struct sim_event *ret_event)
{
    struct sim_event last;
    size_t i = 0;

    if (sim->heap_count == 0 || sim->heap[0].at_ns > until_ns)
        return false;
    *ret_event = sim->heap[0];
    last = sim->heap[--sim->heap_count];
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && earlier(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!earlier(&sim->heap[child], &last))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = last;
    return true;
}

/* ---- the history ---------------------------------------------------------------------------- */

static void hash(struct sim *sim, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < size; i++)
        sim->digest = (sim->digest ^ at[i]) * 0x100000001b3ull;
}

void sim_note(struct sim *sim, const char *format, ...)
{
    char line[768];
    va_list list;
    int size;

    va_start(list, format);
    size = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    hash(sim, &sim->now_ns, sizeof(sim->now_ns));
    hash(sim, line, (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1);
    if (sim->options.trace)
        printf("%12.6f %s\n", (double)sim->now_ns / 1e9, line);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list list;

    if (sim->failed)
        return;
    sim->failed = true;
    va_start(list, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, list);
    va_end(list);
    sim_note(sim, "FAILED %s", sim->failure);
}

void sim_inspect(struct sim *sim, const char *where, const char *text, size_t size)
{
    if (text != NULL && memmem(text, size, CANARY, strlen(CANARY)) != NULL)
        sim_fail(sim, "secret: a token in %s: %.*s", where, (int)size, text);
}

/* ---- machines ------------------------------------------------------------------------------- */

static uint64_t machine_now_ns(const struct clock_port *clock)
{
    const struct machine *machine = (const struct machine *)clock;

    return machine->sim->now_ns - machine->boot_ns;
}

static int64_t machine_wall_ms(const struct clock_port *clock)
{
    const struct machine *machine = (const struct machine *)clock;

    return (int64_t)(SIM_EPOCH_S * 1000 + machine->sim->now_ns / MS_NS) + machine->wall_offset_ms;
}

void machine_reboot(struct machine *machine)
{
    machine->boot_ns = machine->sim->now_ns - SECOND_NS;
    for (size_t i = 0; i < sizeof(machine->boot_id); i++)
        machine->boot_id[i] = (uint8_t)sim_draw(machine->sim, 256);
}

void machine_set(struct machine *machine, int64_t by_ms)
{
    struct sim *sim = machine->sim;

    machine->wall_offset_ms += by_ms;
    if (machine->wall_offset_ms < sim->wall_lowest_ms)
        sim->wall_lowest_ms = machine->wall_offset_ms;
    if (machine->wall_offset_ms > sim->wall_highest_ms)
        sim->wall_highest_ms = machine->wall_offset_ms;
}

void machine_init(struct machine *machine, struct sim *sim)
{
    *machine = (struct machine){.clock = {machine_now_ns, machine_wall_ms}, .sim = sim};
    /* Few clocks are right, and some are wrong by hours. */
    machine_set(machine, (int64_t)sim_draw(sim, 4000) - 2000);
    if (sim_draw(sim, 8) == 0)
        machine_set(machine, (int64_t)sim_draw(sim, 4 * 3600000) - 2 * 3600000);
    machine_reboot(machine);
}

bool machine_asleep(const struct machine *machine)
{
    return machine->asleep_until_ns > machine->sim->now_ns;
}

uint64_t machine_wakes(const struct machine *machine)
{
    uint64_t soon_ns = machine->sim->now_ns + 5 * SECOND_NS;

    return machine->asleep_until_ns < soon_ns ? machine->asleep_until_ns : soon_ns;
}
