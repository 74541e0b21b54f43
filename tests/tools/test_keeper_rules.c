/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a good config when the k-th allocation fails, for every k: all of them, or -ENOMEM.
 * Those within jansson are not among them: when one of its buffers cannot grow, its lexer may lose
 * the end of a string and read on. What it was refused is counted, and here by the sink. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queenright/keeper/rules.h"
#include "support/failing_memory.h"
#include "token/wipe.h"

static void count_rule(void *sink, const struct provider_rule *rule, const char *api_origin)
{
    size_t *count = sink;

    (void)rule;
    (void)api_origin;
    ++*count;
}

static void refused_rule(void *sink, const struct provider_rule *rule, const char *api_origin)
{
    (void)sink;
    (void)rule;
    (void)api_origin;
    memory_fail(1, false);
    memory_counts(true);
    wipe_free(wipe_malloc(1));
    memory_counts(false);
}

static int load(unsigned k, size_t *ret_count)
{
    char why[256] = "";
    int rc;

    *ret_count = 0;
    memory_fail(k, false);
    memory_counts(true);
    rc = keeper_load_rules(NULL, TEST_SOURCE_DIR "/config/good/everything.json", count_rule,
                           ret_count, why, sizeof(why));
    memory_counts(false);
    return rc;
}

static void a_good_config_is_never_called_bad(void **state)
{
    size_t count, got;
    unsigned k = 0, refused = 0;

    (void)state;
    assert_int_equal(load(0, &count), 0);
    assert_true(count > 2);
    do {
        int rc = load(++k, &got);

        if (rc != -ENOMEM && !(rc == 0 && got == count))
            fail_msg("allocation %u: %d with %zu rules", k, rc, got);
        refused += rc != 0;
    } while (memory_calls() >= k);
    print_message("%u allocations, %u refusals\n", k - 1, refused);
    assert_true(refused > 10);
}

static void what_a_library_was_refused_counts(void **state)
{
    char why[256] = "";

    (void)state;
    assert_int_equal(keeper_load_rules(NULL, TEST_SOURCE_DIR "/config/good/everything.json",
                                       refused_rule, NULL, why, sizeof(why)),
                     -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_config_is_never_called_bad),
        cmocka_unit_test(what_a_library_was_refused_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
