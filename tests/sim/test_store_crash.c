/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes of one refresh, all of them.
 *
 * A life of a keeper is run once; at each point where a crash would leave another world behind, all
 * those worlds are made: the program killed (the disk as programs see it), and the power lost
 * (each state the disk model allows). Each one that was not seen before gets a life of its own, in
 * which it may crash again: twice in a row, or as often as the command line says. Nothing is
 * sampled. Worlds are compared by a hash of disk, server, clocks and what was promised, for equal
 * ones have equal futures; so that they are equal, nonces and keys are not random here.
 *
 * What must hold stands in crash_rig.c: check_spend, grant, check_end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash_rig.h"
#include "crash_seen.h"

#define MINUTE_MS 60000

/* ---- linked in place of libsodium's (see CMakeLists.txt) ------------------------------------ */

void __wrap_randombytes_buf(void *bytes, size_t size);

void __wrap_randombytes_buf(void *bytes, size_t size)
{
    memset(bytes, 0xa5, size);
}

/* ---- the exploration ------------------------------------------------------------------------ */

struct trail {
    unsigned parent;
    const char *where, *call, *name, *how; /* names are those of the disk model */
};

struct exploration {
    unsigned crashes_max;
    struct crash_world *worlds; /* those to be lived through, first come first served */
    size_t next, count;
    struct trail *trails; /* of all worlds so far, by id */
    size_t trail_count;
    struct crash_seen seen;
    struct crash_world *at; /* in which a life is going on */
    const char *call, *name; /* of the disk */
    unsigned long points, states, different, lives, lost;
};

static void *grow(void *list, size_t count, size_t size)
{
    void *grown = (count & (count - 1)) == 0 ? reallocarray(list, 2 * count + 1, size) : list;
    assert_non_null(grown);
    return grown;
}

/* Keeps a world (its disk taken) unless it was met before. */
static void keep(struct exploration *exploration, struct crash_world *world, const char *how)
{
    exploration->states++;
    if (!crash_seen_add(&exploration->seen, world)) {
        crash_world_deinit(world);
        return;
    }
    exploration->trails = grow(exploration->trails, exploration->trail_count,
                               sizeof(*exploration->trails));
    world->id = (unsigned)exploration->trail_count;
    exploration->trails[exploration->trail_count++] =
        (struct trail){world->parent, world->where, exploration->call, exploration->name, how};
    exploration->worlds = grow(exploration->worlds, exploration->count,
                               sizeof(*exploration->worlds));
    exploration->worlds[exploration->count++] = *world;
}

static struct crash_world after_crash(const struct crash_world *world, const char *where)
{
    struct crash_world after = *world;
    crash_world_crashed(&after);
    after.parent = world->id;
    after.where = where;
    return after;
}

static void keep_power_losses(struct exploration *exploration, const struct crash_world *world,
                              bool sleeps)
{
    struct choices choices = {0};
    do {
        struct crash_world lost = *world;
        lost.disk = disk_model_lose_power(world->disk, &choices);
        lost.boots++;
        lost.now_ns = 1000000000ull;
        if (sleeps) {
            lost.slept = true;
            lost.wall_ms += 2 * CRASH_GRACE_SECONDS * 1000;
        }
        keep(exploration, &lost, sleeps ? "power lost for minutes" : "power lost");
    } while (choices_next(&choices));
}

static void crash_here(void *arg, const char *where)
{
    struct exploration *exploration = arg;
    const struct crash_world *world = exploration->at;
    exploration->points++;
    if (world->crashes >= exploration->crashes_max) {
        return;
    }
    struct crash_world after = after_crash(world, where);
    struct crash_world killed = after;
    killed.disk = disk_model_clone(world->disk);
    keep(exploration, &killed, "killed");
    keep_power_losses(exploration, &after, false);
    if (world->server.rule == ROTATION_GRACE) {
        keep_power_losses(exploration, &after, true);
    }
}

static void disk_changed(void *arg, const char *call, const char *name)
{
    struct exploration *exploration = arg;
    exploration->call = call;
    exploration->name = name;
    crash_here(arg, "");
}

static void tell_trail(const struct exploration *exploration, unsigned id, char *ret_text,
                       size_t size)
{
    size_t used = strlen(ret_text);
    const struct trail *trail = &exploration->trails[id];
    snprintf(ret_text + used, size - used, "\n    %s after: %s (%s %s)", trail->how, trail->where,
             trail->call, trail->name);
    if (trail->parent != id) {
        tell_trail(exploration, trail->parent, ret_text, size);
    }
}

static void explore(struct exploration *exploration, char ret_why[4 * CRASH_WHY_MAX])
{
    ret_why[0] = '\0';
    while (exploration->next < exploration->count && ret_why[0] == '\0') {
        struct crash_world world = exploration->worlds[exploration->next++];
        struct crash_life life = {.world = &world, .arg = exploration, .at_point = crash_here};
        exploration->at = &world;
        world.disk->arg = exploration;
        world.disk->changed = disk_changed;
        exploration->lives++;
        crash_life_run(&life);
        exploration->lost += life.state == PROFILE_NEEDS_LOGIN;
        if (life.why[0] != '\0') {
            snprintf(ret_why, 4 * CRASH_WHY_MAX, "%s; last first:", life.why);
            tell_trail(exploration, world.id, ret_why, 4 * CRASH_WHY_MAX);
        }
        crash_world_deinit(&world);
    }
    while (exploration->next < exploration->count) {
        crash_world_deinit(&exploration->worlds[exploration->next++]);
    }
    free(exploration->worlds);
    free(exploration->trails);
    exploration->different = exploration->seen.count;
    crash_seen_deinit(&exploration->seen);
}

struct plan {
    enum rotation rule;
    unsigned crashes;
    enum disk_bug bug;
    bool empty; /* begins before the first login */
    bool fills, copy_on_write, stale; /* see crash_rig.h, disk_model.h */
};

/* A world with a login at rest in it, all of it durable. */
static void prepare(struct crash_world *world, const struct plan *plan, struct model_names *names)
{
    crash_world_init(world, plan->rule, names);
    if (!plan->empty) {
        struct crash_life life = {.world = world};
        crash_life_run(&life);
        assert_string_equal(life.why, "");
        disk_model_settle(world->disk);
        struct disk_model *settled = disk_model_clone(world->disk);
        disk_model_free(world->disk);
        world->disk = settled;
        world->goal = world->published + 1;
    }
    world->disk->bug = plan->bug;
    world->fills = plan->fills;
    world->disk->copy_on_write = plan->copy_on_write;
    world->disk->stale = plan->stale;
}

static void run_plan(const struct plan *plan, struct exploration *ret_done,
                     char ret_why[4 * CRASH_WHY_MAX])
{
    struct model_names names = {0};
    struct crash_world world;
    struct exploration exploration = {.crashes_max = plan->crashes, .call = "", .name = ""};
    prepare(&world, plan, &names);
    keep(&exploration, &world, "begun");
    explore(&exploration, ret_why);
    model_names_free(&names);
    *ret_done = exploration;
}

/* State of a test: crashes in a row. */
static void must_hold(void **state, const char *name, struct plan plan)
{
    struct exploration done;
    char why[4 * CRASH_WHY_MAX];
    plan.crashes = *(const unsigned *)*state;
    run_plan(&plan, &done, why);
    printf("%s, %u crashes in a row: %lu crash points, %lu states enumerated, %lu of them "
           "different, %lu lives, %lu ended in needs login\n",
           name, plan.crashes, done.points, done.states, done.different, done.lives, done.lost);
    if (why[0] != '\0') {
        fail_msg("%s: %s", name, why);
    }
    assert_true(done.states > 100);
}

static void no_crashes_cost_a_login_without_rotation(void **state)
{
    must_hold(state, "none", (struct plan){.rule = ROTATION_NONE});
}

static void no_crashes_cost_a_login_with_a_grace_window(void **state)
{
    must_hold(state, "grace", (struct plan){.rule = ROTATION_GRACE});
}

static void no_crashes_cost_a_login_with_two_phases(void **state)
{
    must_hold(state, "two-phase", (struct plan){.rule = ROTATION_TWO_PHASE});
}

static void crashes_cost_a_strict_login_only_before_the_answer_is_durable(void **state)
{
    must_hold(state, "strict", (struct plan){.rule = ROTATION_STRICT});
}

static void no_crashes_cost_the_first_login(void **state)
{
    must_hold(state, "first login", (struct plan){.rule = ROTATION_TWO_PHASE, .empty = true});
}

static void a_disk_that_fills_after_the_reservation_costs_no_login(void **state)
{
    must_hold(state, "full", (struct plan){.rule = ROTATION_TWO_PHASE, .fills = true});
    must_hold(state, "full, strict", (struct plan){.rule = ROTATION_STRICT, .fills = true});
    must_hold(state, "full, grace", (struct plan){.rule = ROTATION_GRACE, .fills = true});
    must_hold(state, "full, copy on write",
              (struct plan){.rule = ROTATION_TWO_PHASE, .fills = true, .copy_on_write = true});
}

/* Of so many states two crashes in a row are enough. */
static void old_bytes_in_unsynced_sectors_cost_no_login(void **state)
{
    unsigned crashes = *(const unsigned *)*state < 2 ? 1 : 2;
    void *most = &crashes;
    state = &most;
    must_hold(state, "none, stale sectors", (struct plan){.rule = ROTATION_NONE, .stale = true});
    must_hold(state, "grace, stale sectors", (struct plan){.rule = ROTATION_GRACE, .stale = true});
    must_hold(state, "two-phase, stale sectors",
              (struct plan){.rule = ROTATION_TWO_PHASE, .stale = true});
    must_hold(state, "strict, stale sectors",
              (struct plan){.rule = ROTATION_STRICT, .stale = true});
}

static void must_fail(const char *name, enum disk_bug bug)
{
    struct exploration done;
    char why[4 * CRASH_WHY_MAX];
    run_plan(&(struct plan){.rule = ROTATION_STRICT, .crashes = 2, .bug = bug}, &done, why);
    printf("planted: %s: %s\n", name, why);
    assert_string_not_equal(why, "");
}

static void a_file_that_is_not_synced_is_caught(void **state)
{
    (void)state;
    must_fail("no file sync", BUG_NO_FILE_SYNC);
}

static void a_directory_that_is_not_synced_is_caught(void **state)
{
    (void)state;
    must_fail("no directory sync", BUG_NO_DIR_SYNC);
}

static void files_made_after_the_answer_are_caught(void **state)
{
    (void)state;
    must_fail("files made late", BUG_MADE_LATE);
}

static void a_record_rewritten_in_place_is_caught(void **state)
{
    (void)state;
    must_fail("record rewritten", BUG_REWRITTEN);
}

int main(int argc, char **argv)
{
    unsigned crashes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(no_crashes_cost_a_login_without_rotation, &crashes),
        cmocka_unit_test_prestate(no_crashes_cost_a_login_with_a_grace_window, &crashes),
        cmocka_unit_test_prestate(no_crashes_cost_a_login_with_two_phases, &crashes),
        cmocka_unit_test_prestate(crashes_cost_a_strict_login_only_before_the_answer_is_durable,
                                  &crashes),
        cmocka_unit_test_prestate(no_crashes_cost_the_first_login, &crashes),
        cmocka_unit_test_prestate(a_disk_that_fills_after_the_reservation_costs_no_login,
                                  &crashes),
        cmocka_unit_test_prestate(old_bytes_in_unsynced_sectors_cost_no_login, &crashes),
        cmocka_unit_test(a_file_that_is_not_synced_is_caught),
        cmocka_unit_test(a_directory_that_is_not_synced_is_caught),
        cmocka_unit_test(files_made_after_the_answer_are_caught),
        cmocka_unit_test(a_record_rewritten_in_place_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
