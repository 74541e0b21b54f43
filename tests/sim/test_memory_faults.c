/* SPDX-License-Identifier: Apache-2.0 */
/* The k-th allocation fails, for every k, once and from there on, in the life of the step and the
 * file store on a real file system: opening, loading, importing, refreshing, auditing, with the
 * allocations of jansson and the guarded ones. It must not crash or leak (run it with the address
 * sanitizer), must not lose a login, and must get over a single failure; the next keeper, which has
 * memory, finds a login that lives. test_memory_actor.c does the same with the actors around it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash_rig.h"
#include "support/failing_memory.h"
#include "support/temp_dir.h"
#include "token/wipe.h"

/* ---- lives ---------------------------------------------------------------------------------- */

static void outside(void *arg, bool is)
{
    (void)arg;
    memory_counts(!is);
}

struct place {
    char directory[TEMP_DIR_MAX];
    struct model_names names;
    struct crash_world world; /* its own disk is not used */
};

static void succeed(struct place *place, const char *what)
{
    struct crash_life life = {.world = &place->world, .disk = disk_real(),
                              .state_dir = place->directory};
    crash_life_run(&life);
    if (life.why[0] != '\0') {
        fail_msg("%s: then: %s", what, life.why);
    }
}

static void place_init(struct place *place, enum rotation rule, bool has_login)
{
    memset(place, 0, sizeof(*place));
    assert_int_equal(temp_dir_make_in_memory(place->directory), 0);
    crash_world_init(&place->world, rule, &place->names);
    if (has_login) {
        succeed(place, "preparing");
        place->world.goal = place->world.published + 1;
    }
}

static void place_deinit(struct place *place)
{
    crash_world_deinit(&place->world);
    model_names_free(&place->names);
    temp_dir_remove(place->directory);
}

/* False: the life made fewer than k allocations. */
static bool fail_allocation(enum rotation rule, bool has_login, unsigned k, bool for_ever)
{
    struct place place;
    char what[64];
    snprintf(what, sizeof(what), "allocation %u %s", k, for_ever ? "from there on" : "once");
    place_init(&place, rule, has_login);
    struct crash_life life = {.world = &place.world, .disk = disk_real(), .may_fail = true,
                              .audits = true,
                              .state_dir = place.directory, .outside = outside};
    memory_fail(k, for_ever);
    crash_life_run(&life);
    memory_counts(false);
    bool hit = memory_calls() >= k;
    assert_true(hit || life.granted);
    if (life.why[0] != '\0') {
        fail_msg("%s: %s", what, life.why);
    }
    if (!life.opened && hit && life.sentence[0] == '\0' && memory_calls() > 1) {
        fail_msg("%s: it does not open and does not say why", what);
    }
    crash_world_crashed(&place.world);
    if (!for_ever) {
        place.world.answer_lost = false; /* it had every chance */
    }
    succeed(&place, what);
    place_deinit(&place);
    return hit;
}

static void fail_every_allocation(const char *name, enum rotation rule, bool has_login)
{
    unsigned count[2] = {0};
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        for (unsigned k = 1; fail_allocation(rule, has_login, k, for_ever != 0); k++) {
            count[for_ever]++;
        }
    }
    printf("%s: %u allocations failed once, %u from there on\n", name, count[0], count[1]);
    assert_true(count[0] > 30 && count[1] > 30);
}

static void want_of_memory_costs_no_first_login(void **state)
{
    (void)state;
    fail_every_allocation("first login", ROTATION_TWO_PHASE, false);
}

static void want_of_memory_costs_no_login_in_a_refresh(void **state)
{
    (void)state;
    fail_every_allocation("strict", ROTATION_STRICT, true);
    fail_every_allocation("none", ROTATION_NONE, true);
}

int main(void)
{
    if (wipe_install() != 0) { /* jansson allocates as we do */
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(want_of_memory_costs_no_first_login),
        cmocka_unit_test(want_of_memory_costs_no_login_in_a_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
