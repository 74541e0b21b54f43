/* SPDX-License-Identifier: Apache-2.0 */
/* Where state and sockets lie, and whose directories are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "queenright/process/paths.h"
#include "support/temp_dir.h"

static char root[TEMP_DIR_MAX];

static const char *below(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(temp_dir_make(root), 0);
    setenv("HOME", below("home"), 1);
    setenv("XDG_RUNTIME_DIR", root, 1);
    unsetenv("QUEENRIGHT_STATE");
    unsetenv("XDG_STATE_HOME");
    return mkdir(below("home"), 0700);
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(root);
    return 0;
}

static int init(struct paths *paths)
{
    char why[8192] = "";
    int error = paths_init(paths, why, sizeof why);
    assert_true(error == 0 || *why != '\0'); /* a refusal has a reason */
    return error;
}

static void the_first_of_three_places_holds_the_state(void **state)
{
    (void)state;
    struct paths paths;
    assert_int_equal(init(&paths), 0);
    assert_string_equal(paths.state, below("home/.local/state/queenright"));
    setenv("XDG_STATE_HOME", below("xdg"), 1);
    assert_int_equal(init(&paths), 0);
    assert_string_equal(paths.state, below("xdg/queenright"));
    setenv("QUEENRIGHT_STATE", below("own"), 1);
    assert_int_equal(init(&paths), 0);
    assert_string_equal(paths.state, below("own"));
    struct stat status;
    assert_int_equal(stat(paths.state, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
}

static void two_states_have_sockets_of_their_own(void **state)
{
    (void)state;
    struct paths one, two, again;
    char first[256], second[256];
    setenv("QUEENRIGHT_STATE", below("one"), 1);
    assert_int_equal(init(&one), 0);
    setenv("QUEENRIGHT_STATE", below("two"), 1);
    assert_int_equal(init(&two), 0);
    assert_int_equal(paths_keeper_endpoint(&one, first, sizeof first), 0);
    assert_int_equal(paths_keeper_endpoint(&two, second, sizeof second), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(strncmp(first, "ipc:///", 7), 0);
    /* Another way to write the same directory leads to the same socket. */
    setenv("QUEENRIGHT_STATE", below("two/../one"), 1);
    assert_int_equal(init(&again), 0);
    assert_string_equal(again.run, one.run);
}

static void directories_of_others_are_refused(void **state)
{
    (void)state;
    struct paths paths;
    setenv("QUEENRIGHT_STATE", below("open"), 1);
    assert_int_equal(mkdir(below("open"), 0755), 0);
    assert_int_equal(chmod(below("open"), 0755), 0);
    assert_int_equal(init(&paths), -EACCES);
    assert_int_equal(chmod(below("open"), 0700), 0);
    assert_int_equal(init(&paths), 0);

    setenv("QUEENRIGHT_STATE", below("link"), 1);
    assert_int_equal(symlink("open", below("link")), 0);
    assert_int_equal(init(&paths), -EACCES);

    setenv("QUEENRIGHT_STATE", below("file"), 1);
    fclose(fopen(below("file"), "we"));
    assert_int_equal(init(&paths), -EACCES);

    if (geteuid() != 0)
        return; /* only root can make a directory of somebody else */
    setenv("QUEENRIGHT_STATE", below("foreign"), 1);
    assert_int_equal(mkdir(below("foreign"), 0700), 0);
    assert_int_equal(chown(below("foreign"), 12345, 12345), 0);
    assert_int_equal(init(&paths), -EACCES);
}

static void a_run_directory_open_to_others_is_refused(void **state)
{
    (void)state;
    struct paths paths;
    assert_int_equal(mkdir(below("queenright"), 0700), 0);
    assert_int_equal(chmod(below("queenright"), 0777), 0);
    assert_int_equal(init(&paths), -EACCES);
}

/* The longest names the config allows, under a run directory of any length. */
static void sockets_fit_whatever_the_names(void **state)
{
    (void)state;
    struct paths paths;
    char long_name[64], other[64], text[512], second[512], run[256];
    memset(long_name, 'a', 63);
    long_name[63] = '\0';
    memcpy(other, long_name, 64);
    other[62] = 'b';
    for (size_t length = 1; length < 120; length += 13) {
        snprintf(run, sizeof run, "%s/%0*d", root, (int)length, 0);
        assert_int_equal(mkdir(run, 0700), 0);
        setenv("XDG_RUNTIME_DIR", run, 1);
        assert_int_equal(init(&paths), 0);
        assert_int_equal(paths_keeper_endpoint(&paths, text, sizeof text), 0);
        assert_true(strlen(text) - strlen("ipc://") <= 107);
        assert_int_equal(paths_up_endpoint(&paths, long_name, text, sizeof text), 0);
        assert_true(strlen(text) - strlen("ipc://") <= 107);
        assert_int_equal(paths_node_endpoint(&paths, long_name, long_name, text, sizeof text), 0);
        assert_true(strlen(text) - strlen("ipc://") <= 107);
        assert_int_equal(paths_node_endpoint(&paths, long_name, other, second, sizeof second), 0);
        assert_string_not_equal(text, second);
        if (strncmp(paths.run, root, strlen(root)) != 0)
            rmdir(paths.run); /* the fallback is outside of the test's own directory */
    }
}

static void one_process_holds_a_swarm(void **state)
{
    (void)state;
    struct paths paths;
    int holder = -1;
    assert_int_equal(init(&paths), 0);
    int first = paths_lock_swarm(&paths, "five", &holder);
    assert_true(first >= 0);
    assert_int_equal(paths_lock_swarm(&paths, "five", &holder), -EBUSY);
    assert_int_equal(holder, getpid());
    int second = paths_lock_swarm(&paths, "six", &holder);
    assert_true(second >= 0);
    close(first);
    first = paths_lock_swarm(&paths, "five", &holder);
    assert_true(first >= 0);
    close(first);
    close(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_of_three_places_holds_the_state),
        TEST(two_states_have_sockets_of_their_own),
        TEST(directories_of_others_are_refused),
        TEST(a_run_directory_open_to_others_is_refused),
        TEST(sockets_fit_whatever_the_names),
        TEST(one_process_holds_a_swarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
