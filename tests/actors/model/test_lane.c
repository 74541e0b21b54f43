/* SPDX-License-Identifier: Apache-2.0 */
#include "lane.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_lane_lets_as_many_in_as_it_has_places(void **state)
{
    (void)state;
    struct lanes lanes = {0};
    struct lane_place a = {0}, b = {0}, c = {0};
    assert_int_equal(lane_enter(&lanes, "lab:me", 2, "atlas", &a), LANE_ENTERED);
    assert_int_equal(lane_enter(&lanes, "lab:me", 2, "atlas", &b), LANE_ENTERED);
    assert_int_equal(lane_enter(&lanes, "lab:me", 2, "axon", &c), LANE_QUEUED);
    assert_int_equal(lanes.waiting, 1);
    assert_ptr_equal(lane_leave(&lanes, &a), &c);
    assert_int_equal(lanes.waiting, 0);
    assert_null(lane_leave(&lanes, &b));
    assert_null(lane_leave(&lanes, &c));
    assert_null(lanes.table);
}

static void accounts_do_not_share_places(void **state)
{
    (void)state;
    struct lanes lanes = {0};
    struct lane_place a = {0}, b = {0};
    assert_int_equal(lane_enter(&lanes, "lab:me", 1, "atlas", &a), LANE_ENTERED);
    assert_int_equal(lane_enter(&lanes, "lab:you", 1, "atlas", &b), LANE_ENTERED);
    assert_null(lane_leave(&lanes, &a));
    assert_null(lane_leave(&lanes, &b));
}

/* One agent asks for ten calls at once, the others come later for one each: they do not wait for
 * the ten. */
static void who_asks_much_waits_with_its_own(void **state)
{
    (void)state;
    struct lanes lanes = {0};
    struct lane_place greedy[10] = {0}, nova = {0}, nexis = {0};
    for (size_t i = 0; i < 10; i++)
        lane_enter(&lanes, "lab:me", 1, "atlas", &greedy[i]);
    lane_enter(&lanes, "lab:me", 1, "nova", &nova);
    lane_enter(&lanes, "lab:me", 1, "nexis", &nexis);
    struct lane_place *first = lane_leave(&lanes, &greedy[0]);
    assert_true(first == &nova || first == &nexis || first == &greedy[1]);
    struct lane_place *second = lane_leave(&lanes, first);
    struct lane_place *third = lane_leave(&lanes, second);
    unsigned others = (first == &nova) + (first == &nexis) + (second == &nova) +
                      (second == &nexis) + (third == &nova) + (third == &nexis);
    assert_int_equal(others, 2);
    struct lane_place *last = third;
    unsigned count = 3;
    while ((last = lane_leave(&lanes, last)))
        count++;
    assert_int_equal(count, 11);
    assert_null(lanes.table);
}

static void coming_back_at_once_is_no_way_to_the_front(void **state)
{
    (void)state;
    struct lanes lanes = {0};
    struct lane_place runs = {0}, again = {0}, waits = {0};
    lane_enter(&lanes, "lab:me", 1, "atlas", &runs);
    lane_enter(&lanes, "lab:me", 1, "axon", &waits);
    lane_enter(&lanes, "lab:me", 1, "atlas", &again);
    assert_ptr_equal(lane_leave(&lanes, &runs), &waits);
    assert_ptr_equal(lane_leave(&lanes, &waits), &again);
    assert_null(lane_leave(&lanes, &again));
}

static void who_waits_may_leave(void **state)
{
    (void)state;
    struct lanes lanes = {0};
    struct lane_place a = {0}, b = {0}, c = {0};
    lane_enter(&lanes, "lab:me", 1, "atlas", &a);
    lane_enter(&lanes, "lab:me", 1, "axon", &b);
    lane_enter(&lanes, "lab:me", 1, "nova", &c);
    assert_null(lane_leave(&lanes, &b));
    assert_ptr_equal(lane_leave(&lanes, &a), &c);
    assert_null(lane_leave(&lanes, &c));
    assert_null(lane_leave(&lanes, &c)); /* once more does nothing */
    assert_null(lanes.table);
}

static void no_limit_is_no_limit(void **state)
{
    (void)state;
    struct lanes lanes = {0};
    struct lane_place places[100] = {0};
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(lane_enter(&lanes, "lab:me", 0, "atlas", &places[i]), LANE_ENTERED);
    for (size_t i = 0; i < 100; i++)
        assert_null(lane_leave(&lanes, &places[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_lets_as_many_in_as_it_has_places),
        cmocka_unit_test(accounts_do_not_share_places),
        cmocka_unit_test(who_asks_much_waits_with_its_own),
        cmocka_unit_test(coming_back_at_once_is_no_way_to_the_front),
        cmocka_unit_test(who_waits_may_leave),
        cmocka_unit_test(no_limit_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
