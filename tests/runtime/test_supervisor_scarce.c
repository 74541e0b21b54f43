/* SPDX-License-Identifier: Apache-2.0 */
/* The children of a supervisor without memory: each allocation fails in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "support/failing_memory.h"
#include "supervisor_children.h"

#define CHILDREN 40 /* so many that the tables grow */

static const struct actor_ops ops = {.name = "nobody"};

static int add_and_start(struct children *children, unsigned number)
{
    char name[16];
    struct child_spec spec = {.name = name, .ops = &ops};
    struct actor_id id = {number + 1};
    struct child *child;
    int error;

    snprintf(name, sizeof(name), "bee-%u", number);
    error = children_add(children, &spec, &child);
    if (error == 0) {
        error = children_started(children, child, id);
        if (error < 0)
            children_drop(children, child);
    }
    return error;
}

static void who_cannot_be_entered_is_not_there_and_the_others_are(void **state)
{
    unsigned calls = 1;

    (void)state;
    for (unsigned k = 1; k <= calls; k++) {
        struct children children = {0};
        unsigned entered = 0, lost = 0;

        memory_fail(k, false);
        memory_counts(true);
        for (unsigned i = 0; i < CHILDREN; i++) {
            int error = add_and_start(&children, i);

            lost += error == -ENOMEM;
            entered += error == 0;
        }
        memory_counts(false);
        calls = memory_calls();
        assert_int_equal(entered + lost, CHILDREN);
        assert_int_equal(lost, k <= calls);
        assert_int_equal(children_count(&children), entered);
        assert_int_equal(children_running(&children), entered);
        for (struct child *child; (child = children_first(&children)) != NULL;) {
            assert_ptr_equal(children_by_id(&children, child->id), child);
            assert_ptr_equal(children_by_name(&children, child->name), child);
            children_ended(&children, child);
            children_drop(&children, child);
        }
    }
    assert_true(calls > CHILDREN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_cannot_be_entered_is_not_there_and_the_others_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
