/* SPDX-License-Identifier: Apache-2.0 */
/* A lease without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lease.h"
#include "support/failing_memory.h"

#define MS_NS 1000000ull
#define NOW_NS (1000000 * MS_NS)
#define WALL_MS 1800000000000ll

static bool put(struct lease *lease, struct token_grant grant)
{
    static const uint8_t body[] = {0x90};
    if (grant.access.size == 0) {
        grant.access = proto_text("a");
    }
    return lease_put(lease, &grant, body, sizeof(body), NOW_NS, WALL_MS);
}

static void without_memory_it_stays_as_it_is(void **state)
{
    (void)state;
    struct lease lease = {0};
    assert_true(put(&lease, (struct token_grant){.generation = 3}));
    memory_fail(1, true);
    memory_counts(true);
    bool is_put = put(&lease, (struct token_grant){.generation = 4});
    bool waits = lease_wait(&lease, &(struct lease_waiter){0});
    struct message *message = lease_message(&lease);
    memory_counts(false);
    assert_false(is_put || waits || message != NULL);
    assert_int_equal(lease.generation, 3);
    assert_false(put(&lease, (struct token_grant){.generation = 2})); /* and never goes back */
    message = lease_message(&lease);
    assert_int_equal(message->size, 1);
    message_free(message);
    lease_deinit(&lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_it_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
