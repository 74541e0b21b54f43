/* SPDX-License-Identifier: Apache-2.0 */
/* The clock port's contract, held against the machine's own clock, a simulated machine and the
 * clock of the TokenActor's bench. Real time is only ever judged from below: a busy machine may be
 * late, never early. */
#include "sim.h"
#include "support/token_rig.h"

#include <time.h>

struct place {
    const struct clock_port *clock;
    struct sim *sim; /* with its first machine */
    struct rig_clock *rig;
    struct sim_totals totals;
};

static void pass(struct place *place, uint64_t ms)
{
    if (place->sim != NULL) {
        place->sim->now_ns += ms * MS_NS;
    } else if (place->rig != NULL) {
        place->rig->now_ns += ms * MS_NS;
    } else {
        struct timespec left = {.tv_nsec = (long)(ms * MS_NS)};
        while (nanosleep(&left, &left) != 0) {
        }
    }
}

static uint64_t now(const struct place *place)
{
    return place->clock->now_ns(place->clock);
}

static int64_t wall(const struct place *place)
{
    return place->clock->wall_ms(place->clock);
}

static void it_never_goes_back(void **state)
{
    struct place *place = *state;
    uint64_t last = now(place);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t next = now(place);
        assert_true(next >= last);
        last = next;
        if (i % 1000 == 0) {
            pass(place, 1);
        }
    }
}

static void it_is_never_zero(void **state)
{
    struct place *place = *state;
    assert_true(now(place) > 0); /* 0 is "no deadline", "no timer" */
}

static void what_passes_shows_in_nanoseconds(void **state)
{
    struct place *place = *state;
    uint64_t before = now(place);
    pass(place, 20);
    assert_true(now(place) - before >= 20 * MS_NS);
    assert_true(now(place) - before < 3600 * 1000 * MS_NS);
}

static void the_wall_is_unix_time_and_goes_with_it(void **state)
{
    struct place *place = *state;
    int64_t before = wall(place);
    uint64_t from = now(place);
    assert_true(before > 1577836800000 && before < 4102444800000); /* 2020 .. 2100, in ms */
    pass(place, 20);
    int64_t passed = wall(place) - before;
    uint64_t until = now(place);
    assert_true(passed >= 18); /* its unit is coarse, and somebody may be setting it */
    assert_true((uint64_t)passed <= (until - from) / MS_NS + 1000);
}

/* Not the machine's own: it is not ours to set. */
static void a_jump_of_the_wall_moves_no_deadline(void **state)
{
    struct place *place = *state;
    uint64_t before = now(place);
    int64_t wall_before = wall(place);
    if (place->sim != NULL) {
        place->sim->machines[0].wall_offset_ms -= 3600000;
    } else {
        place->rig->wall_offset_ms -= 3600000;
    }
    assert_int_equal(wall(place) - wall_before, -3600000);
    assert_int_equal(now(place), before);
}

static int setup_real(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->clock = clock_real();
    *state = place;
    return 0;
}

static int setup_sim(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->sim = calloc(1, sizeof(*place->sim));
    place->sim->totals = &place->totals;
    place->sim->random = 7;
    machine_init(&place->sim->machines[0], place->sim);
    place->clock = &place->sim->machines[0].clock;
    *state = place;
    return 0;
}

static int setup_rig(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->rig = calloc(1, sizeof(*place->rig));
    *place->rig = (struct rig_clock){{rig_now_ns, rig_wall_ms}, 1000000000ull, 0};
    place->clock = &place->rig->port;
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    free(place->sim);
    free(place->rig);
    free(place);
    return 0;
}

#define SIMULATED(test)                                                                            \
    {#test ", simulated machine", test, setup_sim, teardown, NULL},                                \
    {#test ", bench", test, setup_rig, teardown, NULL}
#define ALL(test) {#test ", real", test, setup_real, teardown, NULL}, SIMULATED(test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(it_never_goes_back),
        ALL(it_is_never_zero),
        ALL(what_passes_shows_in_nanoseconds),
        ALL(the_wall_is_unix_time_and_goes_with_it),
        SIMULATED(a_jump_of_the_wall_moves_no_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
