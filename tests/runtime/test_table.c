/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "table.h"

struct thing {
    struct table_item item;
    int value;
};

static void an_id_is_never_found_again_after_its_item_is_gone(void **state)
{
    struct table table;
    (void)state;
    table_init(&table, sizeof(struct thing));
    struct thing *first = table_add(&table, 0, 0);
    uint64_t old = first->item.id;
    assert_ptr_equal(table_find(&table, old), first);
    table_remove(&table, first);
    assert_null(table_find(&table, old));
    struct thing *second = table_add(&table, 0, 0);
    assert_ptr_equal(second, first); /* the same place */
    assert_null(table_find(&table, old));
    assert_null(table_find(&table, 0));
    assert_null(table_find(&table, UINT64_MAX));
    table_deinit(&table);
}

static void keys_are_found_while_the_table_grows_and_shrinks(void **state)
{
    struct table table;
    struct thing *thing;
    uint32_t cursor = 0, seen = 0;
    (void)state;
    table_init(&table, sizeof(struct thing));
    assert_null(table_find_key(&table, 1, 1));
    for (uint64_t i = 1; i <= 1000; i++) {
        thing = table_add(&table, i, i % 3);
        thing->value = (int)i;
    }
    for (uint64_t i = 1; i <= 1000; i += 2)
        table_remove(&table, table_find_key(&table, i, i % 3));
    for (uint64_t i = 1; i <= 1000; i++) {
        thing = table_find_key(&table, i, i % 3);
        assert_int_equal(thing != NULL, i % 2 == 0);
        assert_null(table_find_key(&table, i, i % 3 + 1));
        if (thing)
            assert_int_equal(thing->value, i);
    }
    while (table_next(&table, &cursor))
        seen++;
    assert_int_equal(seen, 500);
    assert_int_equal(table.count, 500);
    table_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_never_found_again_after_its_item_is_gone),
        cmocka_unit_test(keys_are_found_while_the_table_grows_and_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
