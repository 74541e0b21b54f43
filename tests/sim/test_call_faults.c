/* SPDX-License-Identifier: Apache-2.0 */
/* The k-th call to the disk fails, for every k: once, several times in a row, and for ever, as a
 * broken or full disk does; with each error that a file system knows, with reads and writes that
 * end early, and as a call that had its effect and says that it failed. Then two calls fail, for
 * every pair; and a keeper that met a fault is killed at each later step.
 *
 * The lives that are tried: the one that imports the login and refreshes it, those that refresh,
 * and one that finds a durable answer and has to finish. While the keeper lives nothing may be lost
 * and a rotated token is in use, saved or not. Then it ends, by a kill and by every loss of power,
 * and the next one, whose disk works, must find a login that lives; only an answer that no call
 * could save may cost a strict one. After that one, too, power is lost in every way: what it
 * concluded from a disk with a spoilt file must be durable (disk_model.h).
 *
 * With an argument: kills in every one of these lives, and pairs of each error with each other
 * one, which takes minutes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash_rig.h"
#include "crash_seen.h"

/* `at` is left to each test. */
static const struct disk_fault singles[] = {
    {0, 1, EIO, false},  {0, 1, ENOSPC, false}, {0, 1, EDQUOT, false}, {0, 1, EROFS, false},
    {0, 1, EINTR, false}, {0, 3, EINTR, false}, {0, 1, 0, false},      {0, 1, EIO, true},
    {0, 1, EINTR, true}, {0, 0, EIO, false},    {0, 0, ENOSPC, false}, {0, 0, EDQUOT, false},
    {0, 0, EROFS, false}, {0, 0, 0, false},
};

/* With the second always later than the first. */
static const struct disk_fault pairs[][2] = {
    {{0, 1, EIO, false}, {0, 1, EIO, false}},
    {{0, 1, 0, false}, {0, 1, EINTR, false}},
    {{0, 1, ENOSPC, false}, {0, 1, EIO, true}},
};

static const struct disk_fault units[] = {
    {0, 1, EIO, false},   {0, 1, EIO, true}, {0, 1, ENOSPC, false},
    {0, 1, EINTR, false}, {0, 1, 0, false},
};

struct tally {
    struct crash_seen seen; /* ends, each lived through once */
    unsigned lives, ends, lost;
    bool may_lose; /* what is being tried may cost a login */
    char what[160];
    /* Copies of a life at each change of its disk, once a fault has hit; NULL: none are wanted. */
    struct crash_world *copies;
    size_t copy_count;
    const struct crash_world *living;
};

static struct crash_world copy_of(const struct crash_world *world)
{
    struct crash_world copy = *world;
    copy.disk = disk_model_clone(world->disk);
    return copy;
}

/* ---- ends ----------------------------------------------------------------------------------- */

/* A keeper on a disk that works. False: such a world was met before. The disk is taken. */
static bool succeed(struct crash_world *world, struct tally *tally)
{
    struct crash_life life = {.world = world};
    crash_life_run(&life);
    if (life.why[0] != '\0') {
        fail_msg("%s: %s", tally->what, life.why);
    }
    assert_int_equal(disk_model_open_fds(world->disk), 0);
    tally->ends++;
    bool lost = life.state == PROFILE_NEEDS_LOGIN;
    tally->lost += lost;
    if (lost && !tally->may_lose) {
        fail_msg("%s: it cost the login", tally->what);
    }
    return !lost;
}

static void lose_power(const struct crash_world *world, struct tally *tally, unsigned times)
{
    struct choices choices = {0};
    do {
        struct crash_world lost = *world;
        crash_world_crashed(&lost);
        lost.disk = disk_model_lose_power(world->disk, &choices);
        lost.boots++;
        if (crash_seen_add(&tally->seen, &lost) && succeed(&lost, tally) && times > 1) {
            lose_power(&lost, tally, times - 1);
        }
        crash_world_deinit(&lost);
    } while (choices_next(&choices));
}

static void end(const struct crash_world *world, struct tally *tally)
{
    struct crash_world killed = copy_of(world);
    crash_world_crashed(&killed);
    if (crash_seen_add(&tally->seen, &killed) && succeed(&killed, tally)) {
        lose_power(&killed, tally, 1);
    }
    crash_world_deinit(&killed);
    lose_power(world, tally, 2);
}

/* ---- lives ---------------------------------------------------------------------------------- */

static void copy_world(void *arg, const char *call, const char *name)
{
    struct tally *tally = arg;
    const struct disk_model *disk = tally->living->disk;
    (void)call;
    (void)name;
    if (disk->calls < disk->faults[0].at) {
        return;
    }
    tally->copies = reallocarray(tally->copies, tally->copy_count + 1, sizeof(*tally->copies));
    assert_non_null(tally->copies);
    tally->copies[tally->copy_count++] = copy_of(tally->living);
}

static void end_copies(struct tally *tally)
{
    for (size_t i = 0; i < tally->copy_count; i++) {
        end(&tally->copies[i], tally);
        crash_world_deinit(&tally->copies[i]);
    }
    free(tally->copies);
    tally->copies = NULL;
    tally->copy_count = 0;
}

static void tell(struct tally *tally, const struct disk_fault *faults)
{
    size_t used = 0;
    for (size_t i = 0; i < DISK_FAULTS_MAX && faults[i].at != 0; i++) {
        used += (size_t)snprintf(tally->what + used, sizeof(tally->what) - used,
                                 "%scall %u %s%s, %u times", i > 0 ? "; " : "", faults[i].at,
                                 faults[i].error != 0 ? strerrorname_np(faults[i].error) : "short",
                                 faults[i].late ? " though done" : "", faults[i].times);
    }
}

/* The number of calls it made. */
static unsigned live(const struct crash_world *from, const struct disk_fault *faults,
                     bool kill_later, struct tally *tally)
{
    struct crash_world world = copy_of(from);
    struct crash_life life = {.world = &world, .may_fail = true};
    bool for_ever = faults[0].times == 0;
    tell(tally, faults);
    memcpy(world.disk->faults, faults, sizeof(world.disk->faults));
    tally->living = &world;
    if (kill_later) {
        world.disk->arg = tally;
        world.disk->changed = copy_world;
    }
    crash_life_run(&life);
    unsigned calls = world.disk->calls;
    if (life.why[0] != '\0') {
        fail_msg("%s: %s", tally->what, life.why);
    }
    if (strstr(life.sentence, "out of memory") != NULL) {
        fail_msg("%s: it says: %s", tally->what, life.sentence);
    }
    if (!life.opened && life.sentence[0] == '\0') {
        fail_msg("%s: it does not open and says nothing", tally->what);
    }
    if (!life.granted && life.opened && !for_ever && from->published > 0) {
        fail_msg("%s: it passed, and nobody got a token", tally->what);
    }
    assert_int_equal(disk_model_open_fds(world.disk), 0);
    tally->lives++;
    tally->may_lose = for_ever || kill_later;
    end(&world, tally);
    end_copies(tally);
    crash_world_deinit(&world);
    return calls;
}

static void finish(const char *name, const char *what, struct tally *tally)
{
    printf("%s, %s: %u lives, %zu different ends, %u logins lost\n", name, what, tally->lives,
           tally->seen.count, tally->lost);
    assert_true(tally->lives > 100);
    crash_seen_deinit(&tally->seen);
}

static void fail_every_call(const char *name, const struct crash_world *world, bool kill)
{
    struct tally tally = {0}, killed = {0};
    for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++) {
        struct disk_fault faults[DISK_FAULTS_MAX] = {singles[i]};
        do {
            faults[0].at++;
        } while (live(world, faults, false, &tally) >= faults[0].at);
    }
    finish(name, "a fault", &tally);
    if (!kill) {
        return;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct disk_fault faults[DISK_FAULTS_MAX] = {units[i]};
        do {
            faults[0].at++;
        } while (live(world, faults, true, &killed) >= faults[0].at);
    }
    finish(name, "a fault, then a kill", &killed);
}

static void fail_pair(const struct crash_world *world, const struct disk_fault *first,
                      const struct disk_fault *second, struct tally *tally)
{
    struct disk_fault faults[DISK_FAULTS_MAX] = {*first, *second};
    unsigned calls;
    do {
        faults[1].at = ++faults[0].at;
        do {
            faults[1].at++;
            calls = live(world, faults, false, tally);
        } while (calls >= faults[1].at);
    } while (calls >= faults[0].at);
}

static void fail_every_pair(const char *name, const struct crash_world *world, bool all)
{
    struct tally tally = {0};
    size_t count = sizeof(units) / sizeof(units[0]);
    for (size_t i = 0; all && i < count * count; i++) {
        fail_pair(world, &units[i / count], &units[i % count], &tally);
    }
    for (size_t i = 0; !all && i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        fail_pair(world, &pairs[i][0], &pairs[i][1], &tally);
    }
    finish(name, "two faults", &tally);
}

/* ---- where they begin ----------------------------------------------------------------------- */

static void with_login(struct crash_world *world, enum rotation rule, struct model_names *names)
{
    struct crash_life life = {.world = world};
    crash_world_init(world, rule, names);
    crash_life_run(&life);
    assert_string_equal(life.why, "");
    disk_model_settle(world->disk);
    world->goal = world->published + 1;
}

/* Stops a life when the answer is on the disk and nothing else. */
static void stop_at_answer(void *arg, const char *call, const char *name)
{
    struct crash_world *worlds = arg; /* the living one, and where the copy goes */
    size_t length = strlen(name);
    if (worlds[1].disk == NULL && strcmp(call, "sync") == 0 && length > 7 &&
        strcmp(name + length - 7, ".answer") == 0 && worlds[0].server.count > 2) {
        worlds[1] = copy_of(&worlds[0]);
    }
}

static void with_answer(struct crash_world *world, struct model_names *names)
{
    struct crash_world worlds[2] = {0};
    struct crash_life life = {.world = &worlds[0]};
    with_login(&worlds[0], ROTATION_STRICT, names);
    worlds[0].disk->arg = worlds;
    worlds[0].disk->changed = stop_at_answer;
    crash_life_run(&life);
    assert_non_null(worlds[1].disk);
    worlds[1].server.tokens[2].kept = true;
    crash_world_deinit(&worlds[0]);
    *world = worlds[1];
}

static void no_fault_costs_the_first_login(void **state)
{
    struct model_names names = {0};
    struct crash_world world;
    crash_world_init(&world, ROTATION_TWO_PHASE, &names);
    fail_every_call("first login", &world, *(const bool *)*state);
    crash_world_deinit(&world);
    model_names_free(&names);
}

static void no_fault_costs_a_login(void **state)
{
    static const struct {
        const char *name;
        enum rotation rule;
    } rules[] = {{"none", ROTATION_NONE}, {"grace", ROTATION_GRACE},
                 {"two-phase", ROTATION_TWO_PHASE}, {"strict", ROTATION_STRICT}};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct model_names names = {0};
        struct crash_world world;
        with_login(&world, rules[i].rule, &names);
        fail_every_call(rules[i].name, &world,
                        rules[i].rule == ROTATION_STRICT || *(const bool *)*state);
        crash_world_deinit(&world);
        model_names_free(&names);
    }
}

static void a_durable_answer_survives_every_fault(void **state)
{
    struct model_names names = {0};
    struct crash_world world;
    (void)state;
    with_answer(&world, &names);
    fail_every_call("durable answer", &world, true);
    crash_world_deinit(&world);
    model_names_free(&names);
}

static void no_two_faults_cost_a_login(void **state)
{
    struct model_names names = {0};
    struct crash_world world;
    bool all = *(const bool *)*state;
    with_login(&world, ROTATION_STRICT, &names);
    fail_every_pair("strict", &world, all);
    crash_world_deinit(&world);
    with_answer(&world, &names);
    fail_every_pair("durable answer", &world, all);
    crash_world_deinit(&world);
    model_names_free(&names);
}

int main(int argc, char **argv)
{
    bool all = argc > 1;
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(no_fault_costs_the_first_login, &all),
        cmocka_unit_test_prestate(no_fault_costs_a_login, &all),
        cmocka_unit_test(a_durable_answer_survives_every_fault),
        cmocka_unit_test_prestate(no_two_faults_cost_a_login, &all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
