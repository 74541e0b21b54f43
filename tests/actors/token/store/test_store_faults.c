/* SPDX-License-Identifier: Apache-2.0 */
/* Each system call of a refresh fails in turn: once, as a fault does, and for ever after, as a
 * crash looks to who comes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_disk.h"
#include "store_place.h"
#include "token/credential.h"

/* How far a refresh of generation 7 came: what its calls promised. */
struct progress {
    bool reserved;
    bool intended;
    bool answered;
    bool recorded;
};

/* Opens, loads and refreshes, each step tried `tries` times. */
static struct progress refresh(struct store_place *place, unsigned tries)
{
    struct progress done = {0};
    unsigned left = tries;
    while (store_place_open(place) < 0) {
        if (--left == 0) {
            return done;
        }
    }
    for (left = tries; left > 0 && !done.reserved; left--) {
        done.reserved = store_reserve(place, 7, 1) == 0;
    }
    for (left = tries; left > 0 && done.reserved && !done.intended; left--) {
        done.intended = store_intent(place, 7, 1) == 0;
    }
    for (left = tries; left > 0 && done.intended && !done.answered; left--) {
        done.answered = store_answer(place, 7, 1) == 0;
    }
    for (left = tries; left > 0 && done.answered && !done.recorded; left--) {
        done.recorded = store_save(place, 8) == 0;
    }
    return done;
}

/* A directory that holds generation 7. */
static void prepare(struct store_place *place)
{
    place->disk = NULL;
    store_place_close(place);
    temp_dir_remove(place->credentials);
    store_place_fill(place);
}

static void expect_promises_kept(struct store_place *place, const struct progress *done,
                                 unsigned k)
{
    uint64_t generation = place->loaded.credential.generation;
    bool kept = place->loaded_count == 1 && (generation == 7 || generation == 8);
    kept = kept && (!done->recorded || generation == 8);
    kept = kept && (!done->intended || generation == 8 || place->loaded.has_intent);
    kept = kept && (!done->answered || generation == 8 || place->loaded.has_answer);
    kept = kept && (generation == 7 || !place->loaded.has_intent);
    char expected[32];
    snprintf(expected, sizeof(expected), "refresh-%d", (int)generation);
    kept = kept && strcmp(secret_data(place->loaded.credential.refresh), expected) == 0;
    if (!kept) {
        fail_msg("call %u: generation %d, intent %d, answer %d after %d%d%d%d", k, (int)generation,
                 place->loaded.has_intent, place->loaded.has_answer, done->reserved,
                 done->intended, done->answered, done->recorded);
    }
}

static void a_crash_at_any_call_keeps_what_was_promised(void **state)
{
    struct store_place *place = *state;
    static const bool torn[] = {false, true};
    unsigned points = 0, finished = 0;
    for (int i = 0; i < 2; i++) {
        struct progress done = {0};
        for (unsigned k = 1; !done.recorded; k++) {
            struct faulty_disk faulty;
            prepare(place);
            faulty_disk_init(&faulty);
            faulty.fail_at = k;
            faulty.error = EIO;
            faulty.for_ever = true;
            faulty.torn = torn[i];
            place->disk = &faulty.port;
            done = refresh(place, 1);
            finished += done.recorded ? 1 : 0;
            store_place_restart(place);
            /* Reported is only what was being written: a torn intent counts as sent. */
            bool torn_file = place->bad_count == 1 && torn[i] &&
                             (strstr(place->bad_file, ".intent") != NULL ||
                              strstr(place->bad_file, ".answer") != NULL);
            if (place->bad_count != 0 && !torn_file) {
                fail_msg("call %u: %s %s", k, place->bad_file, place->bad_why);
            }
            expect_promises_kept(place, &done, k);
            points++;
            assert_true(k < 1000);
        }
    }
    assert_int_equal(finished, 2); /* each loop ended by a refresh that came through */
    print_message("%u crash points\n", points);
    assert_true(points > 60);
}

static void a_fault_at_any_call_is_overcome_by_trying_again(void **state)
{
    struct store_place *place = *state;
    static const int errors[] = {ENOSPC, EINTR};
    for (int i = 0; i < 2; i++) {
        unsigned last = 1000;
        for (unsigned k = 1; k <= last; k++) {
            struct faulty_disk faulty;
            prepare(place);
            faulty_disk_init(&faulty);
            faulty.fail_at = k;
            faulty.error = errors[i];
            faulty.torn = true;
            place->disk = &faulty.port;
            struct progress done = refresh(place, 2);
            if (!done.recorded) {
                fail_msg("call %u, %s: %s", k, strerrordesc_np(errors[i]),
                         place->store->why(place->store));
            }
            last = faulty.calls < k ? 0 : last; /* the fault was not met: all calls were tried */
            store_place_restart(place);
            assert_int_equal(place->bad_count, 0);
            assert_int_equal(place->loaded.credential.generation, 8);
            assert_false(place->loaded.has_intent);
        }
        assert_int_equal(last, 0);
    }
}

static void drop_stored(void *arg, struct stored *stored)
{
    (void)arg;
    stored_deinit(stored);
}

/* Generation 8 durable in its file and not renamed, as a crash between the two leaves it. */
static void prepare_unrenamed(struct store_place *place)
{
    struct faulty_disk faulty;
    prepare(place);
    faulty_disk_init(&faulty);
    place->disk = &faulty.port;
    assert_true(store_place_open(place) >= 0);
    store_attempt(place, 7, 1);
    faulty.fail_at = faulty.calls + 4; /* write, sync, close, rename */
    faulty.error = EIO;
    faulty.for_ever = true;
    assert_int_equal(store_save(place, 8), -EIO);
    store_place_close(place);
    assert_int_equal(store_count(place, ".next"), 1);
}

static void recovery_finishes_a_rename_whatever_interrupts_it(void **state)
{
    struct store_place *place = *state;
    for (int i = 0; i < 2; i++) {
        unsigned last = 1000;
        for (unsigned k = 1; k <= last; k++) {
            struct faulty_disk faulty;
            prepare_unrenamed(place);
            faulty_disk_init(&faulty);
            faulty.fail_at = k;
            faulty.error = EIO;
            faulty.for_ever = i == 0;
            place->disk = &faulty.port;
            if (store_place_open(place) >= 0) {
                place->store->load(place->store, NULL, drop_stored, store_ignore_bad);
            }
            last = faulty.calls < k ? 0 : last;
            store_place_restart(place);
            assert_int_equal(place->bad_count, 0);
            assert_int_equal(place->loaded.credential.generation, 8);
            assert_false(place->loaded.has_intent);
            assert_int_equal(store_count(place, ".intent"), 0);
            assert_int_equal(store_count(place, ".next"), 0);
        }
        assert_int_equal(last, 0);
    }
}

static void a_file_that_failed_to_be_written_is_made_anew(void **state)
{
    struct store_place *place = *state;
    for (unsigned call = 1; call <= 3; call++) { /* write, sync, close */
        struct faulty_disk faulty;
        prepare(place);
        faulty_disk_init(&faulty);
        place->disk = &faulty.port;
        assert_true(store_place_open(place) >= 0);
        store_attempt(place, 7, 1);
        faulty.fail_at = faulty.calls + call;
        faulty.error = EIO;
        assert_int_equal(store_save(place, 8), -EIO);
        assert_non_null(strstr(place->store->why(place->store), ".g7.a1.next"));
        assert_int_equal(store_count(place, ".next"), 0); /* the spoilt file is gone */
        assert_int_equal(store_save(place, 8), 0);        /* by a new one */
        store_place_restart(place);
        assert_int_equal(place->loaded.credential.generation, 8);
    }
}

/* All that a store can be asked, each whatever became of the one before. True: n+1 was saved. */
static bool use_all(struct store_place *place, bool remove)
{
    store_place_close(place);
    place->store = store_file_new(&(struct store_file_options){
        .state_dir = place->directory, .disk = place->disk, .audit_rotate_bytes = 300});
    if (place->store->open(place->store) < 0) {
        return false;
    }
    place->loaded_count = 0;
    place->store->load(place->store, place, drop_stored, store_ignore_bad);
    store_save(place, 7);
    if (store_reserve(place, 7, 1) == 0 && store_intent(place, 7, 1) == 0) {
        store_answer(place, 7, 1);
    }
    store_reserve(place, 7, 2);
    store_release(place, 7, 2);
    store_release(place, 7, 9);
    for (int i = 0; i < 5; i++) {
        place->store->audit(place->store, "save lab:me");
    }
    bool saved = store_save(place, 8) == 0;
    store_file_audit_verify(place->store);
    place->store->adopt(place->store);
    struct credential seen;
    if (place->store->look(place->store, "lab:me", &seen) == 0) {
        credential_deinit(&seen);
    }
    if (remove) {
        place->store->remove(place->store, "lab:me");
    }
    return saved;
}

static void a_fault_at_any_call_of_any_operation_ends_in_an_error_and_loses_nothing(void **state)
{
    struct store_place *place = *state;
    static const int errors[] = {EIO, ENOENT, EACCES, ENOSPC, ELOOP};
    unsigned points = 0;
    for (size_t i = 0; i < 2 * sizeof(errors) / sizeof(*errors); i++) {
        bool remove = i % 2 != 0;
        struct faulty_disk faulty;
        bool hit = true;
        for (unsigned k = 1; hit; k++) {
            place->disk = NULL;
            store_place_close(place);
            temp_dir_remove(place->credentials);
            if (k % 2 == 0) { /* also one that has lived before */
                use_all(place, false);
            }
            faulty_disk_init(&faulty);
            faulty.fail_at = k;
            faulty.error = errors[i / 2];
            place->disk = &faulty.port;
            bool saved = use_all(place, remove);
            hit = faulty.calls >= k;
            store_place_restart(place);
            bool lost = saved && !remove && (place->loaded_count != 1 ||
                                             place->loaded.credential.generation != 8);
            if (lost) {
                fail_msg("%s at call %u: the saved generation is gone", strerror(errors[i / 2]), k);
            }
            points++;
        }
    }
    print_message("%u faults\n", points);
    assert_true(points > 1000);
}

#define TEST(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, store_place_setup_in_memory, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_crash_at_any_call_keeps_what_was_promised),
        TEST(a_fault_at_any_call_is_overcome_by_trying_again),
        TEST(recovery_finishes_a_rename_whatever_interrupts_it),
        TEST(a_file_that_failed_to_be_written_is_made_anew),
        TEST(a_fault_at_any_call_of_any_operation_ends_in_an_error_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
