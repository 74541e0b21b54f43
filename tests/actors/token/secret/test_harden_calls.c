/* SPDX-License-Identifier: Apache-2.0 */
/* Each call by which a process gives something up fails in turn, and what the report then says. The
 * calls are not made: the linker puts the ones below in their place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "token/harden.h"

#define CALL_CREATE_RULESET 444
#define CALL_ADD_RULE 445
#define CALL_RESTRICT_SELF 446
#define CALL_CLOSE_RANGE 436
#define PATHS_MAX 32

static struct {
    unsigned calls, fail_at;
    int error;
    int abi;
    char closed[64]; /* the ranges */
    uint64_t handled;
    char path[PATHS_MAX]; /* the one opened last */
    struct {
        char path[PATHS_MAX];
        uint64_t access;
    } rules[PATHS_MAX];
    size_t rule_count;
    bool restricted;
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
    snprintf(kernel.path, sizeof(kernel.path), "%s", path);
    return fails() ? -1 : __real_open(path, flags);
}

int __wrap_fstat(int fd, struct stat *status)
{
    return fails() ? -1 : __real_fstat(fd, status);
}

/* Without attributes it is asked for its version. */
static long create_ruleset(const struct landlock_ruleset_attr *attributes)
{
    if (attributes == NULL) {
        return kernel.abi;
    }
    kernel.handled = attributes->handled_access_fs;
    return __real_open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static long add_rule(const struct landlock_path_beneath_attr *rule)
{
    assert_true(kernel.rule_count < PATHS_MAX);
    snprintf(kernel.rules[kernel.rule_count].path, PATHS_MAX, "%s", kernel.path);
    kernel.rules[kernel.rule_count++].access = rule->allowed_access;
    return 0;
}

static void close_fds(unsigned first, unsigned last)
{
    size_t used = strlen(kernel.closed);
    snprintf(kernel.closed + used, sizeof(kernel.closed) - used, "%u-%u ", first, last);
}

long __wrap_syscall(long number, ...)
{
    va_list arguments;
    long result = 0;
    if (fails()) {
        return -1;
    }
    va_start(arguments, number);
    if (number == CALL_CREATE_RULESET) {
        result = create_ruleset(va_arg(arguments, const struct landlock_ruleset_attr *));
    } else if (number == CALL_ADD_RULE) {
        (void)va_arg(arguments, int);
        (void)va_arg(arguments, int);
        result = add_rule(va_arg(arguments, const struct landlock_path_beneath_attr *));
    } else if (number == CALL_CLOSE_RANGE) {
        unsigned first = va_arg(arguments, unsigned);
        close_fds(first, va_arg(arguments, unsigned));
    }
    kernel.restricted |= number == CALL_RESTRICT_SELF;
    va_end(arguments);
    return result;
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

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static struct harden_report harden(int abi, unsigned fail_at, int error)
{
    static const char *const writable[] = {"/tmp", "/dev/zero"};
    static const char *const readable[] = {"/etc/passwd", "/none"};
    static const int keep[] = {1, 3, 7, 12};
    struct harden_options options = {.writable = writable, .writable_count = 2,
                                     .readable = readable, .readable_count = 2,
                                     .keep_fds = keep, .keep_fd_count = 4};
    struct harden_report report;
    unsigned open_before = open_descriptors();
    memset(&kernel, 0, sizeof(kernel));
    kernel.abi = abi;
    kernel.fail_at = fail_at;
    kernel.error = error;
    keeper_harden(&options, &report);
    assert_int_equal(open_descriptors(), open_before);
    return report;
}

static unsigned gained(const struct harden_report *report)
{
    return report->fds_closed + report->no_core + report->undumpable + report->no_new_privs +
           report->landlock;
}

/* What was asked for this path; 0: nothing. */
static uint64_t access_of(const char *path)
{
    uint64_t access = 0;
    for (size_t i = 0; i < kernel.rule_count; i++) {
        access |= strcmp(kernel.rules[i].path, path) == 0 ? kernel.rules[i].access : 0;
    }
    return access;
}

static void each_kernels_rights_are_asked_for(void **state)
{
    /* All from executing a file, 1, to the newest; a device is no directory to make files in. */
    static const struct {
        int abi;
        uint64_t handled, directory, device;
    } rows[] = {
        {1, 0x1fff, 0x1ffe, 0x0006}, {2, 0x3fff, 0x3ffe, 0x0006}, {3, 0x7fff, 0x7ffe, 0x4006},
        {4, 0x7fff, 0x7ffe, 0x4006}, {5, 0xffff, 0xfffe, 0xc006}, {6, 0xffff, 0xfffe, 0xc006},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct harden_report report = harden(rows[i].abi, 0, 0);
        assert_int_equal(gained(&report), 5);
        assert_int_equal(report.landlock_abi, rows[i].abi);
        assert_int_equal(kernel.handled, rows[i].handled);
        assert_int_equal(access_of("/tmp"), rows[i].directory);
        assert_int_equal(access_of("/dev/zero"), rows[i].device);
        assert_int_equal(access_of("/etc"), 0xc); /* to read files and directories */
        assert_int_equal(access_of("/etc/passwd"), 0x4);
        assert_int_equal(access_of("/dev/null"), 0x4);
        assert_true(kernel.restricted);
    }
    struct harden_report report = harden(0, 0, 0); /* a kernel without */
    assert_int_equal(gained(&report), 4);
    assert_false(report.landlock);
}

static void all_descriptors_are_closed_but_those_to_keep(void **state)
{
    (void)state;
    harden(1, 0, 0);
    assert_string_equal(kernel.closed, "4-6 8-11 13-4294967295 ");
}

static void says(const struct harden_report *report, const char *what, bool gained)
{
    char phrase[64];
    snprintf(phrase, sizeof(phrase), "%s %s", what, gained ? "yes" : "no");
    if (strstr(report->text, phrase) == NULL) {
        fail_msg("\"%s\" does not stand in \"%s\"", phrase, report->text);
    }
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
            says(&report, "undumpable", report.undumpable);
            says(&report, "no core", report.no_core);
            says(&report, "no new privileges", report.no_new_privs);
            says(&report, "stray descriptors closed", report.fds_closed);
            says(&report, "landlock", report.landlock);
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
        cmocka_unit_test(all_descriptors_are_closed_but_those_to_keep),
        cmocka_unit_test(what_fails_is_said_and_costs_only_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
