/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

struct tree {
    struct manual manual;
    struct log log;
    struct script scripts[3];
    struct child_spec children[3];
    struct actor_id supervisor;
};

static int say_start(void *state, struct context *context, const void *config)
{
    int error = script_start(state, context, config);
    say(SCRIPT(state)->log, "%s:start ", SCRIPT(state)->name);
    return error;
}

static struct actor_ops said_ops;

static void tree_open(struct tree *tree, enum supervisor_strategy strategy)
{
    static const char *const names[] = {"a", "b", "c"};
    *tree = (struct tree){0};
    said_ops = script_ops;
    said_ops.start = say_start;
    manual_open(&tree->manual);
    for (int i = 0; i < 3; i++) {
        tree->scripts[i] = (struct script){.log = &tree->log, .name = names[i]};
        tree->children[i] = (struct child_spec){
            .name = names[i], .ops = &said_ops, .config = &tree->scripts[i]};
    }
    struct supervisor_spec spec = {.strategy = strategy,
                                   .intensity = 2,
                                   .window_ns = 10 * SECOND,
                                   .backoff_ns = 100 * MS,
                                   .children = tree->children,
                                   .child_count = 3};
    struct spawn_options options = {.name = "top"};
    assert_int_equal(runtime_spawn(tree->manual.runtime, &supervisor_ops, &spec, &options,
                                   &tree->supervisor),
                     0);
    manual_run(&tree->manual);
    assert_log(&tree->log, "a:start b:start c:start ");
}

static void kill_child(struct tree *tree, int i)
{
    act(&tree->manual, &tree->scripts[i], do_fail);
}

static void one_for_one_restarts_only_the_failed_child(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    kill_child(&tree, 1);
    assert_log(&tree.log, "b:do b:stop ");
    manual_pass(&tree.manual, 100 * MS);
    assert_log(&tree.log, "b:start ");
    manual_close(&tree.manual);
    assert_log(&tree.log, "c:stop b:stop a:stop ");
}

static void one_for_all_restarts_everyone_in_order(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ALL);
    kill_child(&tree, 1);
    assert_log(&tree.log, "b:do b:stop c:stop a:stop ");
    manual_pass(&tree.manual, 100 * MS);
    assert_log(&tree.log, "a:start b:start c:start ");
    manual_close(&tree.manual);
}

static void rest_for_one_restarts_those_after_it(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, REST_FOR_ONE);
    kill_child(&tree, 1);
    manual_pass(&tree.manual, 100 * MS);
    assert_log(&tree.log, "b:do b:stop c:stop b:start c:start ");
    manual_pass(&tree.manual, 11 * SECOND); /* the window */
    kill_child(&tree, 2);
    kill_child(&tree, 0); /* widens the waiting group */
    manual_pass(&tree.manual, 200 * MS);
    assert_log(&tree.log, "c:do c:stop a:do a:stop b:stop a:start b:start c:start ");
    manual_close(&tree.manual);
}

static void too_many_restarts_fail_the_supervisor(void **state)
{
    struct tree tree;
    struct script watcher = {.name = "w"};
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    watcher.to = tree.supervisor;
    script_spawn(&tree.manual, &watcher, &tree.log, "watcher");
    act(&tree.manual, &watcher, do_monitor);
    for (int i = 0; i < 2; i++) {
        kill_child(&tree, 0);
        manual_pass(&tree.manual, SECOND);
    }
    tree.log.length = 0;
    kill_child(&tree, 0);
    char expected[64];
    snprintf(expected, sizeof expected, "a:do a:stop c:stop b:stop w:down(1,%d) ", -ELOOP);
    assert_log(&tree.log, expected);
    assert_false(actor_id_is_set(runtime_lookup(tree.manual.runtime, "top")));
    manual_close(&tree.manual);
}

static void restarts_spread_over_more_than_the_window_are_allowed(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    for (int i = 0; i < 6; i++) {
        kill_child(&tree, 0);
        manual_pass(&tree.manual, 6 * SECOND);
    }
    assert_true(actor_id_is_set(runtime_lookup(tree.manual.runtime, "a")));
    manual_close(&tree.manual);
}

static void the_wait_doubles_with_each_restart(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    kill_child(&tree, 0);
    uint64_t first_ns = runtime_next_timer_ns(tree.manual.runtime) - tree.manual.clock.now_ns;
    assert_in_range(first_ns, 50 * MS, 100 * MS);
    manual_pass(&tree.manual, SECOND);
    kill_child(&tree, 0);
    uint64_t second_ns = runtime_next_timer_ns(tree.manual.runtime) - tree.manual.clock.now_ns;
    assert_in_range(second_ns, 100 * MS, 200 * MS);
    manual_close(&tree.manual);
}

static void a_child_that_may_end_is_not_started_again(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    struct script d = {.log = &tree.log, .name = "d"};
    struct child_spec child = {
        .name = "d", .ops = &said_ops, .config = &d, .restart = RESTART_ON_FAILURE};
    assert_int_equal(supervisor_add(tree.manual.runtime, tree.supervisor, &child), 0);
    assert_int_equal(supervisor_add(tree.manual.runtime, tree.supervisor, &child), -EEXIST);
    act(&tree.manual, &d, do_stop);
    manual_pass(&tree.manual, SECOND);
    assert_log(&tree.log, "d:start d:do d:stop ");
    manual_close(&tree.manual);
}

static void children_come_and_go_at_run_time(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    assert_int_equal(supervisor_remove(tree.manual.runtime, tree.supervisor, "b"), 0);
    assert_int_equal(supervisor_remove(tree.manual.runtime, tree.supervisor, "b"), -ENOENT);
    manual_pass(&tree.manual, SECOND);
    assert_log(&tree.log, "b:stop ");
    assert_int_equal(supervisor_add(tree.manual.runtime, tree.supervisor, &tree.children[1]), 0);
    manual_close(&tree.manual);
    assert_log(&tree.log, "b:start b:stop c:stop a:stop ");
}

static void a_child_that_cannot_start_is_not_added(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    struct script d = {.log = &tree.log, .name = "d", .start_error = -EACCES};
    struct child_spec child = {.name = "d", .ops = &said_ops, .config = &d};
    assert_int_equal(supervisor_add(tree.manual.runtime, tree.supervisor, &child), -EACCES);
    assert_int_equal(supervisor_remove(tree.manual.runtime, tree.supervisor, "d"), -ENOENT);
    manual_close(&tree.manual);
}

static int do_add_three(struct script *script, struct context *context,
                        const struct message *message)
{
    const struct child_spec *specs = script->extra;
    (void)message;
    return context_supervisor_add(context, script->to, specs, 3);
}

static void of_children_that_come_together_each_starts_for_itself(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, ONE_FOR_ONE);
    struct script d = {.log = &tree.log, .name = "d"};
    struct script e = {.log = &tree.log, .name = "e", .start_error = -EACCES};
    struct script f = {.log = &tree.log, .name = "f"};
    const struct child_spec specs[] = {{.name = "d", .ops = &said_ops, .config = &d},
                                       {.name = "e", .ops = &said_ops, .config = &e},
                                       {.name = "f", .ops = &said_ops, .config = &f}};
    struct script asker = {.extra = (void *)(uintptr_t)specs, .to = tree.supervisor};
    script_spawn(&tree.manual, &asker, &tree.log, "g");
    act(&tree.manual, &asker, do_add_three);
    assert_log(&tree.log, "g:do d:start e:start e:stop f:start ");
    assert_int_equal(tree.manual.logged, 1);
    manual_close(&tree.manual);
    assert_log(&tree.log, "g:stop f:stop d:stop c:stop b:stop a:stop ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_for_one_restarts_only_the_failed_child),
        cmocka_unit_test(one_for_all_restarts_everyone_in_order),
        cmocka_unit_test(rest_for_one_restarts_those_after_it),
        cmocka_unit_test(too_many_restarts_fail_the_supervisor),
        cmocka_unit_test(restarts_spread_over_more_than_the_window_are_allowed),
        cmocka_unit_test(the_wait_doubles_with_each_restart),
        cmocka_unit_test(a_child_that_may_end_is_not_started_again),
        cmocka_unit_test(children_come_and_go_at_run_time),
        cmocka_unit_test(a_child_that_cannot_start_is_not_added),
        cmocka_unit_test(of_children_that_come_together_each_starts_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
