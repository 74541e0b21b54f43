/* SPDX-License-Identifier: Apache-2.0 */
/* A lease alone: what it takes over, how long it serves, who waits for it. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lease.h"

#define MS 1000000ull
#define NOW (5000000 * MS)
#define WALL 1800000000000ll
#define CANARY "canary-of-a-lease"

static unsigned canaries_freed;

void __wrap_free(void *pointer);
void __real_free(void *pointer);

/* Freed memory is looked through, for nobody wipes it any more. */
void __wrap_free(void *pointer)
{
    if (pointer != NULL && memmem(pointer, malloc_usable_size(pointer), CANARY, strlen(CANARY)))
        canaries_freed++;
    __real_free(pointer);
}

static bool put(struct lease *lease, struct token_grant grant)
{
    const uint8_t *body = (const uint8_t *)CANARY;

    grant.access = proto_text("access");
    return lease_put(lease, &grant, body, sizeof(CANARY), NOW, WALL);
}

static void a_token_without_an_end_serves_any_wish(void **s)
{
    struct lease lease = {0};

    (void)s;
    assert_true(put(&lease, (struct token_grant){.generation = 1}));
    assert_int_equal(lease.expires_ns, 0);
    assert_true(lease_serves(&lease, UINT64_MAX, NOW * 1000));
    lease_deinit(&lease);
}

static void a_token_serves_as_long_as_wished_and_stops_half_a_minute_before_its_end(void **s)
{
    struct lease lease = {0};
    uint64_t end = NOW + 3600000 * MS;

    (void)s;
    assert_true(put(&lease, (struct token_grant){.generation = 1,
                                                 .expires_at_ms = WALL + 3600000}));
    assert_int_equal(lease.expires_ns, end);
    assert_true(lease_serves(&lease, 3600000, NOW));
    assert_false(lease_serves(&lease, 3600001, NOW));
    assert_true(lease_serves(&lease, 0, end - 30001 * MS));
    assert_false(lease_serves(&lease, 0, end - 30000 * MS));
    assert_false(lease_serves(&lease, 0, end + 1)); /* what is past is not an age of its own */
    lease_deinit(&lease);
}

static void of_a_short_life_a_tenth_is_kept_back(void **s)
{
    struct lease lease = {0};

    (void)s;
    assert_true(put(&lease, (struct token_grant){.generation = 1, .expires_at_ms = WALL + 10000}));
    assert_int_equal(lease.margin_ns, 1000 * MS);
    assert_true(lease_serves(&lease, 0, NOW + 8999 * MS));
    assert_false(lease_serves(&lease, 0, NOW + 9000 * MS));
    assert_true(put(&lease, (struct token_grant){.generation = 1, .expires_at_ms = WALL + 310000}));
    assert_int_equal(lease.margin_ns, 30000 * MS);
    lease_deinit(&lease);
}

static void what_ended_before_it_came_serves_nobody(void **s)
{
    static const int64_t ends[] = {WALL, WALL - 1, WALL - 10000, 1};

    (void)s;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct lease lease = {0};

        assert_true(put(&lease, (struct token_grant){.generation = 1, .expires_at_ms = ends[i]}));
        assert_true(lease.expires_ns >= 1 && lease.expires_ns <= NOW);
        assert_false(lease_serves(&lease, 0, NOW));
        lease_deinit(&lease);
    }
}

/* Times are kept on the boot clock, where the wall's are put once. */
static void times_of_the_wall_are_put_onto_the_boot_clock_and_stay_within_it(void **s)
{
    struct lease lease = {0};
    int64_t last = (int64_t)((UINT64_MAX - NOW) / MS);

    (void)s;
    assert_true(put(&lease, (struct token_grant){.generation = 1, .renew_at_ms = WALL + 700,
                                                 .cooling_until_ms = WALL - 700}));
    assert_int_equal(lease.renew_ns, NOW + 700 * MS);
    assert_int_equal(lease.cooling_ns, NOW - 700 * MS);
    assert_true(put(&lease, (struct token_grant){.generation = 1, .renew_at_ms = INT64_MAX,
                                                 .cooling_until_ms = WALL - 5000001}));
    assert_int_equal(lease.renew_ns, UINT64_MAX);
    assert_int_equal(lease.cooling_ns, 1); /* before the machine started */
    assert_true(put(&lease, (struct token_grant){.generation = 1, .renew_at_ms = WALL + last,
                                                 .cooling_until_ms = WALL - 5000000}));
    assert_int_equal(lease.renew_ns, NOW + (uint64_t)last * MS);
    assert_int_equal(lease.cooling_ns, 1); /* just as it started, and 0 would mean none */
    lease_deinit(&lease);
}

static void only_a_cooling_of_the_whole_account_holds_all_back_and_only_until_its_end(void **s)
{
    struct lease lease = {0};

    (void)s;
    assert_true(put(&lease, (struct token_grant){.generation = 1, .cooling_until_ms = WALL + 500,
                                                 .cooling_model = proto_text("gpt")}));
    assert_false(lease_cools(&lease, NOW));
    assert_true(put(&lease, (struct token_grant){.generation = 1, .cooling_until_ms = WALL + 500}));
    assert_true(lease_cools(&lease, NOW + 499 * MS));
    assert_false(lease_cools(&lease, NOW + 500 * MS));
    lease_deinit(&lease);
}

static void generations_never_fall_and_only_a_newer_one_ends_what_a_401_said(void **s)
{
    struct lease lease = {0};

    (void)s;
    assert_true(put(&lease, (struct token_grant){.generation = 5, .version = 1}));
    lease.stale = true;
    assert_true(put(&lease, (struct token_grant){.generation = 5, .version = 2}));
    assert_int_equal(lease.version, 2);
    assert_true(lease.stale);
    assert_false(lease_serves(&lease, 0, NOW));
    assert_false(put(&lease, (struct token_grant){.generation = 4, .version = 3}));
    assert_int_equal(lease.version, 2);
    assert_true(put(&lease, (struct token_grant){.generation = 6}));
    assert_true(lease_serves(&lease, 0, NOW));
    lease_deinit(&lease);
}

static void a_token_that_is_given_up_is_wiped(void **s)
{
    struct lease lease = {0};

    (void)s;
    canaries_freed = 0;
    assert_true(put(&lease, (struct token_grant){.generation = 1}));
    assert_true(put(&lease, (struct token_grant){.generation = 2}));
    lease_deinit(&lease);
    assert_int_equal(canaries_freed, 0);
    lease_deinit(&lease); /* and nothing is left to be given up twice */
}

static void who_met_a_401_or_forces_is_not_served_with_the_same_token_again(void **s)
{
    struct lease lease = {0};

    (void)s;
    assert_true(put(&lease, (struct token_grant){.generation = 5}));
    assert_true(lease_satisfies(&lease, &(struct lease_waiter){.generation = 5}, NOW));
    assert_false(lease_satisfies(&lease, &(struct lease_waiter){.force = true}, NOW));
    assert_false(lease_satisfies(
        &lease, &(struct lease_waiter){.rejected = true, .generation = 5}, NOW));
    assert_true(lease_satisfies(
        &lease, &(struct lease_waiter){.rejected = true, .generation = 4}, NOW));
    lease_deinit(&lease);
}

static void who_cancels_waits_no_more_and_the_others_wait_on(void **s)
{
    struct lease lease = {0};

    (void)s;
    for (uint64_t n = 1; n <= 40; n++)
        assert_true(lease_wait(&lease, &(struct lease_waiter){.request = {n}}));
    assert_false(lease_cancel(&lease, (struct request_id){41}));
    assert_int_equal(lease.waiter_count, 40);
    for (uint64_t n = 2; n <= 40; n += 2)
        assert_true(lease_cancel(&lease, (struct request_id){n}));
    assert_false(lease_cancel(&lease, (struct request_id){2}));
    assert_int_equal(lease.waiter_count, 20);
    assert_true(lease_cancel(&lease, (struct request_id){39})); /* the last, and only once */
    assert_false(lease_cancel(&lease, (struct request_id){39}));
    assert_true(lease_wait(&lease, &(struct lease_waiter){.request = {39}}));
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(lease.waiters[i].request.n, 2 * i + 1);
    lease_deinit(&lease);
}

static void no_more_wait_than_the_limit(void **s)
{
    struct lease lease = {0};

    (void)s;
    for (uint64_t n = 1; n <= LEASE_WAITERS_MAX; n++)
        assert_true(lease_wait(&lease, &(struct lease_waiter){.request = {n}}));
    assert_false(lease_wait(&lease, &(struct lease_waiter){.request = {1}}));
    assert_int_equal(lease.waiter_count, LEASE_WAITERS_MAX);
    lease_deinit(&lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_without_an_end_serves_any_wish),
        cmocka_unit_test(a_token_serves_as_long_as_wished_and_stops_half_a_minute_before_its_end),
        cmocka_unit_test(of_a_short_life_a_tenth_is_kept_back),
        cmocka_unit_test(what_ended_before_it_came_serves_nobody),
        cmocka_unit_test(times_of_the_wall_are_put_onto_the_boot_clock_and_stay_within_it),
        cmocka_unit_test(only_a_cooling_of_the_whole_account_holds_all_back_and_only_until_its_end),
        cmocka_unit_test(generations_never_fall_and_only_a_newer_one_ends_what_a_401_said),
        cmocka_unit_test(a_token_that_is_given_up_is_wiped),
        cmocka_unit_test(who_met_a_401_or_forces_is_not_served_with_the_same_token_again),
        cmocka_unit_test(who_cancels_waits_no_more_and_the_others_wait_on),
        cmocka_unit_test(no_more_wait_than_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
