/* SPDX-License-Identifier: Apache-2.0 */
/* The k-th call to the disk fails, for every k: once, as a fault does, and for ever, as a broken
 * or full disk does; with each error that a file system knows, and with writes that end early.
 *
 * Three lives are tried: the one that imports the login and refreshes it, one that refreshes, and
 * one that finds a durable answer and has to finish. While the keeper lives nothing may be lost and
 * a rotated token is in use, saved or not. Then it ends, by a kill and by every loss of power, and
 * the next one, whose disk works, must find a login that lives; only an answer that no call could
 * save may cost a strict one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crash_rig.h"

struct call_fault {
    int error; /* 0: short writes */
    bool for_ever;
};

static const struct call_fault faults[] = {
    {EIO, false},  {ENOSPC, false}, {EDQUOT, false}, {EROFS, false}, {EINTR, false}, {0, false},
    {EIO, true},   {ENOSPC, true},  {EDQUOT, true},  {EROFS, true},  {0, true},
};

struct tally {
    unsigned lives, ends, lost;
};

static struct crash_world copy_of(const struct crash_world *world)
{
    struct crash_world copy = *world;
    copy.disk = disk_model_clone(world->disk);
    return copy;
}

/* The next keeper, on a disk that works. */
static void succeed(struct crash_world *world, struct tally *tally, const char *what)
{
    struct crash_life life = {.world = world};
    crash_life_run(&life);
    if (life.why[0] != '\0') {
        fail_msg("%s: %s", what, life.why);
    }
    assert_int_equal(disk_model_open_fds(world->disk), 0);
    tally->ends++;
    tally->lost += life.state == PROFILE_NEEDS_LOGIN;
    crash_world_deinit(world);
}

static void end(const struct crash_world *world, struct tally *tally, const char *what)
{
    struct choices choices = {0};
    struct crash_world next = *world;
    crash_world_crashed(&next);
    struct crash_world killed = next;
    killed.disk = disk_model_clone(world->disk);
    succeed(&killed, tally, what);
    do {
        struct crash_world lost = next;
        lost.disk = disk_model_lose_power(world->disk, &choices);
        lost.boots++;
        succeed(&lost, tally, what);
    } while (choices_next(&choices));
}

/* False: the life made fewer than k calls. */
static bool fail_call(const struct crash_world *from, const struct call_fault *fault, unsigned k,
                      struct tally *tally)
{
    struct crash_world world = copy_of(from);
    struct crash_life life = {.world = &world, .may_fail = true};
    char what[128];
    snprintf(what, sizeof(what), "call %u, %s %s", k,
             fault->error != 0 ? strerrorname_np(fault->error) : "short write",
             fault->for_ever ? "from there on" : "once");
    world.disk->fail_at = k;
    world.disk->error = fault->error;
    world.disk->for_ever = fault->for_ever;
    crash_life_run(&life);
    bool hit = world.disk->calls >= k;
    unsigned lost = tally->lost;
    if (life.why[0] != '\0') {
        fail_msg("%s: %s", what, life.why);
    }
    if (life.sentence[0] != '\0' && strstr(life.sentence, "out of memory") != NULL) {
        fail_msg("%s: it says: %s", what, life.sentence);
    }
    if (!life.granted && life.opened && !fault->for_ever && from->published > 0) {
        fail_msg("%s: one fault, and nobody got a token", what);
    }
    assert_int_equal(disk_model_open_fds(world.disk), 0);
    tally->lives++;
    end(&world, tally, what);
    if (!fault->for_ever && tally->lost != lost) {
        fail_msg("%s: one fault cost the login", what);
    }
    crash_world_deinit(&world);
    return hit;
}

static void fail_every_call(const char *name, const struct crash_world *world)
{
    struct tally tally = {0};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        for (unsigned k = 1; fail_call(world, &faults[i], k, &tally); k++) {
        }
    }
    printf("%s: %u faults, %u ends, %u logins lost\n", name, tally.lives, tally.ends, tally.lost);
    assert_true(tally.lives > 100);
}

static void with_login(struct crash_world *world, enum rotation rule, struct model_names *names)
{
    struct crash_life life = {.world = world};
    crash_world_init(world, rule, names);
    crash_life_run(&life);
    assert_string_equal(life.why, "");
    disk_model_settle(world->disk);
    world->goal = world->published + 1;
}

static void no_fault_costs_the_first_login(void **state)
{
    struct model_names names = {0};
    struct crash_world world;
    (void)state;
    crash_world_init(&world, ROTATION_TWO_PHASE, &names);
    fail_every_call("first login", &world);
    crash_world_deinit(&world);
    model_names_free(&names);
}

static void no_fault_costs_a_login_with_two_phases(void **state)
{
    struct model_names names = {0};
    struct crash_world world;
    (void)state;
    with_login(&world, ROTATION_TWO_PHASE, &names);
    fail_every_call("two-phase", &world);
    crash_world_deinit(&world);
    model_names_free(&names);
}

static void a_strict_login_is_lost_only_when_nothing_could_be_saved(void **state)
{
    struct model_names names = {0};
    struct crash_world world;
    (void)state;
    with_login(&world, ROTATION_STRICT, &names);
    fail_every_call("strict", &world);
    crash_world_deinit(&world);
    model_names_free(&names);
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

static void a_durable_answer_survives_every_fault(void **state)
{
    struct model_names names = {0};
    struct crash_world worlds[2] = {0};
    struct crash_life life = {.world = &worlds[0]};
    (void)state;
    with_login(&worlds[0], ROTATION_STRICT, &names);
    worlds[0].disk->arg = worlds;
    worlds[0].disk->changed = stop_at_answer;
    crash_life_run(&life);
    assert_non_null(worlds[1].disk);
    worlds[1].server.tokens[2].kept = true;
    fail_every_call("durable answer", &worlds[1]);
    crash_world_deinit(&worlds[0]);
    crash_world_deinit(&worlds[1]);
    model_names_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fault_costs_the_first_login),
        cmocka_unit_test(no_fault_costs_a_login_with_two_phases),
        cmocka_unit_test(a_strict_login_is_lost_only_when_nothing_could_be_saved),
        cmocka_unit_test(a_durable_answer_survives_every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
