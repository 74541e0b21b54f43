/* SPDX-License-Identifier: Apache-2.0 */
/* The bound of memory that a fuzz target states can fail: a target that asks for more than its
 * bound allows is stopped, one that keeps to it is not, and what was freed no longer counts.
 * Counting needs the sanitizer's hooks; without them the tests are skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

/* Holds the first byte times the input's size, as often as the second byte says. */
static void one(const uint8_t *bytes, size_t size)
{
    uint8_t times = fuzz_take(&bytes, &size), pieces = fuzz_take(&bytes, &size);

    for (int i = 0; i < pieces; i++) {
        char *volatile block = malloc(times * size);
        block[0] = 1;
        free(block);
    }
}

FUZZ_TARGET(one, 64, 4)

static bool counted(void)
{
    fuzz_memory_start();
    char *volatile block = malloc(100);
    block[0] = 1;
    free(block);
    return fuzz_memory_peak() >= 100;
}

/* How a child ends that runs the target on a kilobyte: 0, or SIGABRT. */
static int ends(uint8_t times, uint8_t pieces)
{
    uint8_t input[1024] = {times, pieces};
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        fclose(stderr);
        LLVMFuzzerTestOneInput(input, sizeof(input));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void more_memory_than_the_bound_stops_the_target(void **state)
{
    (void)state;
    if (!counted())
        skip();
    assert_int_equal(ends(5, 1), SIGABRT);
}

static void memory_within_the_bound_passes_however_often_it_is_used(void **state)
{
    (void)state;
    if (!counted())
        skip();
    assert_int_equal(ends(4, 1), 0);
    assert_int_equal(ends(4, 200), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_memory_than_the_bound_stops_the_target),
        cmocka_unit_test(memory_within_the_bound_passes_however_often_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
