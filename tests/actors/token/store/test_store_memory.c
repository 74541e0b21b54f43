/* SPDX-License-Identifier: Apache-2.0 */
/* The store in memory answers as the one of files does, also where only tests take it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store_place.h"
#include "token/credential.h"
#include "support/store_memory.h"

static int setup(void **state)
{
    static struct store_place place;
    struct memory_disk *disk = memory_disk_new();
    memset(&place, 0, sizeof(place));
    place.store = store_memory_new(disk);
    place.disk = (const struct disk_port *)disk; /* only kept here, to be freed */
    *state = &place;
    return place.store->open(place.store) == STORE_FRESH ? 0 : -1;
}

static int teardown(void **state)
{
    struct store_place *place = *state;
    store_place_close(place);
    stored_deinit(&place->loaded);
    memory_disk_free((struct memory_disk *)(uintptr_t)place->disk);
    return 0;
}

static void of_two_answers_the_whole_one_counts_then_the_later(void **state)
{
    struct store_place *place = *state;
    for (uint64_t mask = 0; mask < 8; mask++) {
        bool swapped = (mask & 4) != 0;
        uint64_t generation = 7 + mask;
        assert_int_equal(store_save(place, generation), 0);
        for (uint32_t i = 1; i <= 2; i++) {
            uint32_t attempt = swapped ? 3 - i : i;
            struct credential credential = store_credential(generation);
            struct answer answer = {.generation = generation, .attempt = attempt,
                                    .complete = (mask & attempt) != 0};
            assert_int_equal(store_reserve(place, generation, attempt), 0);
            assert_int_equal(store_intent(place, generation, attempt), 0);
            assert_int_equal(place->store->write_answer(place->store, &credential, &answer), 0);
            credential_deinit(&credential);
        }
        assert_int_equal(store_reserve(place, generation, 3), 0); /* without an intent */
        assert_int_equal(store_reserve(place, generation + 1, 1), 0); /* of no record yet */
        store_place_load(place);
        assert_int_equal(place->loaded.intent.attempt, 2);
        assert_int_equal(place->loaded.answer.attempt, (mask & 3) == 1 ? 1 : 2);
        assert_int_equal(store_release(place, generation + 1, 1), 0);
    }
}

static void what_is_not_there_is_released_but_not_removed(void **state)
{
    struct store_place *place = *state;
    assert_int_equal(store_release(place, 7, 1), 0); /* no profile */
    assert_int_equal(store_reserve(place, 7, 1), 0);
    assert_int_equal(store_reserve(place, 7, 1), -EEXIST);
    assert_int_equal(store_release(place, 7, 2), 0); /* no attempt */
    assert_int_equal(store_release(place, 8, 1), 0);
    store_place_load(place);
    assert_int_equal(place->loaded_count, 0); /* an attempt is no record */
    assert_int_equal(place->store->remove(place->store, "lab:other"), -ENOENT);
    assert_int_equal(place->store->remove(place->store, "lab:me"), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_two_answers_the_whole_one_counts_then_the_later),
        TEST(what_is_not_there_is_released_but_not_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
