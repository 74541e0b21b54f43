/* SPDX-License-Identifier: Apache-2.0 */
/* Each call by which a process gives something up fails in turn, and what the report then says. The
 * calls are not made: the linker puts the ones below in their place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "token/harden.h"

#define CALL_CREATE_RULESET 444

static struct {
    unsigned calls, fail_at;
    int error;
    int abi;
    unsigned closed; /* ranges */
} kernel;

static bool fails(void)
{
    errno = kernel.error;
    return ++kernel.calls == kernel.fail_at;
}

int __real_open(const char *path, int flags, ...);
int __real_fstat(int fd, struct stat *status);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fstat(int fd, struct stat *status);
long __wrap_syscall(long number, ...);
int __wrap_prctl(int option, ...);
int __wrap_setrlimit(int resource, const struct rlimit *limit);

int __wrap_open(const char *path, int flags, ...)
{
    return fails() ? -1 : __real_open(path, flags);
}

int __wrap_fstat(int fd, struct stat *status)
{
    return fails() ? -1 : __real_fstat(fd, status);
}

long __wrap_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    const void *first = va_arg(arguments, const void *);
    va_end(arguments);
    if (fails()) {
        return -1;
    }
    if (number == CALL_CREATE_RULESET) { /* without attributes it is asked for its version */
        return first == NULL ? kernel.abi : __real_open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    kernel.closed += number == 436;
    return 0;
}

int __wrap_prctl(int option, ...)
{
    (void)option;
    return fails() ? -1 : 0;
}

int __wrap_setrlimit(int resource, const struct rlimit *limit)
{
    (void)resource;
    (void)limit;
    return fails() ? -1 : 0;
}

static struct harden_report harden(int abi, unsigned fail_at, int error)
{
    static const char *const writable[] = {"/tmp"}, *const readable[] = {"/etc/passwd", "/none"};
    static const int keep[] = {1, 3, 7, 12};
    struct harden_options options = {.writable = writable, .writable_count = 1,
                                     .readable = readable, .readable_count = 2,
                                     .keep_fds = keep, .keep_fd_count = 4};
    struct harden_report report;
    memset(&kernel, 0, sizeof(kernel));
    kernel.abi = abi;
    kernel.fail_at = fail_at;
    kernel.error = error;
    keeper_harden(&options, &report);
    return report;
}

static unsigned gained(const struct harden_report *report)
{
    return report->fds_closed + report->no_core + report->undumpable + report->no_new_privs +
           report->landlock;
}

static void each_kernels_rights_are_asked_for(void **state)
{
    (void)state;
    for (int abi = 1; abi <= 5; abi++) {
        struct harden_report report = harden(abi, 0, 0);
        assert_int_equal(gained(&report), 5);
        assert_int_equal(report.landlock_abi, abi);
        assert_int_equal(kernel.closed, 3); /* 4 to 6, 8 to 11, and from 13 */
    }
    struct harden_report report = harden(0, 0, 0); /* a kernel without */
    assert_int_equal(gained(&report), 4);
    assert_false(report.landlock);
}

static void what_fails_is_said_and_costs_only_itself(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        unsigned calls = 1, lost = 0;
        for (unsigned k = 1; k <= calls; k++) {
            struct harden_report report = harden(5, k, i == 0 ? EACCES : ENOENT);
            unsigned got = gained(&report);
            assert_in_range(got, 4, 5);
            assert_true(got == 5 || strstr(report.text, " no") != NULL);
            lost += got == 4;
            calls = kernel.calls > calls ? kernel.calls : calls;
        }
        assert_true(lost > 6); /* a path that is not there and a stat are no loss */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kernels_rights_are_asked_for),
        cmocka_unit_test(what_fails_is_said_and_costs_only_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
