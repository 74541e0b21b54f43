/* SPDX-License-Identifier: Apache-2.0 */
/* The two worlds. Both run in one thread, by runtime_step; libzmq has threads of its own. */
#include "transport_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/link.h"
#include "sim.h"
#include "support/temp_dir.h"

#define TRIES 30000               /* a millisecond each, for what must come */
#define MOMENT (30 * MS)          /* of real time, for what must not */
#define APART (5 * 3600 * SECOND) /* of one clock to the other */

struct world {
    struct runtime *(*boot)(struct place *place, bool keeper);
    void (*link)(struct place *place);
    void (*cut)(struct place *place);
    void (*end_node)(struct place *place);
    void (*run)(struct place *place, uint64_t ns);  /* for so long on its own clock */
    void (*pass)(struct place *place, uint64_t ns);
    void (*close)(struct place *place);
};

/* ---- over ZeroMQ ---------------------------------------------------------------------------- */

struct shifted_clock {
    struct clock_port port; /* first */
    uint64_t ahead_ns;
};

struct real {
    char directory[TEMP_DIR_MAX], endpoint[TEMP_DIR_MAX + 16];
    struct shifted_clock clocks[2];
    bool listens;
};

static uint64_t shifted_now_ns(const struct clock_port *port)
{
    return clock_real()->now_ns(clock_real()) + ((const struct shifted_clock *)port)->ahead_ns;
}

static int64_t shifted_wall_ms(const struct clock_port *port)
{
    (void)port;
    return clock_real()->wall_ms(clock_real());
}

static void log_nothing(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static struct runtime *real_boot(struct place *place, bool keeper)
{
    struct real *real = place->inner;
    struct runtime *runtime;
    struct runtime_options options = {.name = keeper ? "keeper" : "n0",
                                      .clock = &real->clocks[keeper ? 0 : 1].port,
                                      .scheduler = SCHEDULER_MANUAL,
                                      .log = log_nothing};
    struct link_options links = {.kind = keeper ? PEER_KEEPER : PEER_NODE};
    assert_int_equal(runtime_new(&options, &runtime), 0);
    assert_int_equal(link_start(runtime, &links), 0);
    return runtime;
}

static void real_link(struct place *place)
{
    struct real *real = place->inner;
    if (!real->listens)
        assert_int_equal(link_listen(place->keeper.runtime, real->endpoint), 0);
    real->listens = true;
    assert_int_equal(link_dial(place->node.runtime, "keeper", real->endpoint), 0);
}

static void real_cut(struct place *place)
{
    assert_int_equal(link_hangup(place->node.runtime, "keeper"), 0);
}

static void real_end_node(struct place *place)
{
    runtime_free(place->node.runtime);
}

static void real_run(struct place *place, uint64_t ns)
{
    uint64_t end_ns = clock_real()->now_ns(clock_real()) + ns;
    do {
        bool worked = false;
        if (place->keeper.runtime != NULL)
            worked |= runtime_step(place->keeper.runtime);
        if (place->node.runtime != NULL)
            worked |= runtime_step(place->node.runtime);
        if (!worked)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    } while (clock_real()->now_ns(clock_real()) < end_ns);
}

static void real_pass(struct place *place, uint64_t ns)
{
    struct real *real = place->inner;
    real->clocks[0].ahead_ns += ns;
    real->clocks[1].ahead_ns += ns;
}

static void real_close(struct place *place)
{
    struct real *real = place->inner;
    runtime_free(place->node.runtime);
    runtime_free(place->keeper.runtime);
    temp_dir_remove(real->directory);
    free(real);
}

/* ---- in the simulator ----------------------------------------------------------------------- */

struct simulated {
    struct sim sim; /* first */
    struct sim_totals totals;
};

static struct runtime *simulated_boot(struct place *place, bool keeper)
{
    struct sim *sim = place->inner;
    struct runtime *runtime =
        sim_runtime(sim, &sim->machines[keeper ? 0 : 1], keeper ? "keeper" : "n0");
    *(keeper ? &sim->keeper : &sim->nodes[0].runtime) = runtime;
    link_attach(sim, runtime, 0, keeper);
    return runtime;
}

static void simulated_link(struct place *place)
{
    link_open(place->inner, 0);
}

static void simulated_cut(struct place *place)
{
    link_close(place->inner, 0);
}

static void simulated_end_node(struct place *place)
{
    node_kill(place->inner, 0);
}

static void simulated_run(struct place *place, uint64_t ns)
{
    struct sim *sim = place->inner;
    sim_run_until(sim, sim->now_ns + ns);
    if (sim->failed)
        fail_msg("%s", sim->failure);
}

static void simulated_close(struct place *place)
{
    struct sim *sim = place->inner;
    node_kill(sim, 0);
    runtime_free(sim->keeper);
    link_deinit(sim, 0);
    free(sim->heap);
    free(sim);
}

/* ---- what both can -------------------------------------------------------------------------- */

static void begin(struct place *place, struct voice *voice, bool keeper)
{
    struct spawn_options options = {.name = "voice"};
    *voice = (struct voice){.peer_name = keeper ? "keeper" : "n0"};
    voice->runtime = place->world->boot(place, keeper);
    assert_int_equal(
        runtime_spawn(voice->runtime, &voice_ops, voice, &options, &voice->self), 0);
    voice->to = runtime_remote(voice->runtime, keeper ? "n0" : "keeper", "voice");
}

void begin_node(struct place *place)
{
    uint32_t said = place->node.said; /* who hears it goes on counting */
    begin(place, &place->node, false);
    place->node.said = said;
}

void end_node(struct place *place)
{
    place->world->end_node(place);
    place->node.runtime = NULL;
}

void until(struct place *place, const unsigned *count, unsigned wanted)
{
    for (unsigned left = TRIES; *count < wanted && left > 0; left--)
        place->world->run(place, MS);
    assert_true(*count >= wanted);
}

void until_drops(struct place *place, enum runtime_status reason, uint32_t type, unsigned wanted)
{
    for (unsigned left = TRIES; drops(place, reason, type) < wanted && left > 0; left--)
        place->world->run(place, MS);
    assert_int_equal(drops(place, reason, type), wanted);
}

void rest(struct place *place)
{
    place->world->run(place, place->world->pass != NULL ? MOMENT : 5 * SECOND);
}

void pass(struct place *place, uint64_t ns)
{
    if (place->world->pass != NULL)
        place->world->pass(place, ns);
    place->world->run(place, place->world->pass != NULL ? MOMENT : ns);
}

void meet(struct place *place)
{
    unsigned ups[] = {place->keeper.ups + 1, place->node.ups + 1};
    place->world->link(place);
    until(place, &place->keeper.ups, ups[0]);
    until(place, &place->node.ups, ups[1]);
}

void part(struct place *place)
{
    unsigned downs[] = {place->keeper.downs + 1, place->node.downs + 1};
    place->world->cut(place);
    until(place, &place->keeper.downs, downs[0]);
    until(place, &place->node.downs, downs[1]);
}

unsigned drops_at(struct runtime *runtime, enum runtime_status reason, uint32_t type)
{
    struct drop_info rows[16];
    uint64_t cursor = 0;
    unsigned count = 0;
    size_t got;
    while (runtime != NULL && (got = introspect_drops(runtime, &cursor, rows, 16)) > 0)
        for (size_t i = 0; i < got; i++)
            if (type == 0 || (rows[i].reason == reason && rows[i].type == type))
                count += (unsigned)rows[i].count;
    return count;
}

unsigned drops(struct place *place, enum runtime_status reason, uint32_t type)
{
    return drops_at(place->keeper.runtime, reason, type) +
           drops_at(place->node.runtime, reason, type);
}

/* ---- their beginning and end ---------------------------------------------------------------- */

static void set_up(void **state, const struct world *world, void *inner)
{
    struct place *place = calloc(1, sizeof(*place));
    place->world = world;
    place->inner = inner;
    *state = place;
    begin(place, &place->keeper, true);
    begin(place, &place->node, false);
}

int setup_real(void **state)
{
    static const struct world world = {real_boot, real_link, real_cut, real_end_node, real_run,
                                       real_pass, real_close};
    struct real *real = calloc(1, sizeof(*real));
    assert_int_equal(temp_dir_make(real->directory), 0);
    snprintf(real->endpoint, sizeof(real->endpoint), "ipc://%s/keeper", real->directory);
    for (unsigned i = 0; i < 2; i++)
        real->clocks[i] = (struct shifted_clock){{shifted_now_ns, shifted_wall_ms}, i * APART};
    set_up(state, &world, real);
    return 0;
}

int setup_simulated(void **state)
{
    static const struct world world = {simulated_boot, simulated_link, simulated_cut,
                                       simulated_end_node, simulated_run, NULL,
                                       simulated_close};
    struct simulated *simulated = calloc(1, sizeof(*simulated));
    struct sim *sim = &simulated->sim;
    sim->totals = &simulated->totals;
    sim->random = 7;
    sim_random_init(&sim->runtime_random, 7);
    sim->node_count = 1;
    snprintf(sim->nodes[0].name, sizeof(sim->nodes[0].name), "n0");
    sim->nodes[0].machine = &sim->machines[1];
    for (unsigned i = 0; i < 2; i++) {
        sim->now_ns += APART;
        machine_init(&sim->machines[i], sim);
    }
    set_up(state, &world, sim);
    return 0;
}

int teardown(void **state)
{
    struct place *place = *state;
    place->world->close(place);
    free(place);
    return 0;
}
