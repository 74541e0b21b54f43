/* SPDX-License-Identifier: Apache-2.0 */
/* What a process can give up without root, it gives up here.
 *
 * None of it is a wall against code that runs as the same user and is not confined: such code can
 * read the key file as the keeper does. It is a wall against faults in the keeper itself (a parser
 * that is talked into writing elsewhere, a core with a token in it), and against a debugger by
 * accident. The strong wall is a uid of the keeper's own.
 *
 * Landlock is called by number, for headers are older than kernels. Rights that the running kernel
 * does not know must not be asked for, so the set is cut to its ABI. */
#include "token/harden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers and rights of the kernel's interface that older headers lack. */
#define CALL_CREATE_RULESET 444
#define CALL_ADD_RULE 445
#define CALL_RESTRICT_SELF 446
#define CALL_CLOSE_RANGE 436
#define ACCESS_REFER (UINT64_C(1) << 13)     /* ABI 2 */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)  /* ABI 3 */
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_ABI_1 ((UINT64_C(1) << 13) - 1)
/* Rights that make sense on a file that is no directory. */
#define ACCESS_OF_FILES                                                                            \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     ACCESS_TRUNCATE | ACCESS_IOCTL_DEV)

/* Name service, certificates, time zone, libraries loaded late; random and null. */
static const char *const always_readable[] = {
    "/etc", "/usr", "/lib", "/lib64", "/run", "/var/lib/ca-certificates", "/var/run/nscd",
    "/proc", "/sys/devices/system/cpu", "/dev/urandom", "/dev/random", "/dev/null",
};

static uint64_t handled_access(int abi)
{
    uint64_t access = ACCESS_ABI_1;
    access |= abi >= 2 ? ACCESS_REFER : 0;
    access |= abi >= 3 ? ACCESS_TRUNCATE : 0;
    access |= abi >= 5 ? ACCESS_IOCTL_DEV : 0;
    return access;
}

static bool add_path(int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    struct stat stat;
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return errno == ENOENT;
    }
    if (fstat(rule.parent_fd, &stat) == 0 && !S_ISDIR(stat.st_mode)) {
        rule.allowed_access &= ACCESS_OF_FILES;
    }
    long error = syscall(CALL_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
    return error == 0;
}

static bool restrict_files(const struct harden_options *options, int abi)
{
    struct landlock_ruleset_attr attributes = {.handled_access_fs = handled_access(abi)};
    int ruleset = (int)syscall(CALL_CREATE_RULESET, &attributes, sizeof(attributes), 0);
    if (ruleset < 0) {
        return false;
    }
    bool done = true;
    for (size_t i = 0; i < sizeof(always_readable) / sizeof(*always_readable); i++) {
        done = done && add_path(ruleset, always_readable[i], ACCESS_READ);
    }
    for (size_t i = 0; i < options->readable_count; i++) {
        done = done && add_path(ruleset, options->readable[i], ACCESS_READ);
    }
    uint64_t all = handled_access(abi) & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE;
    for (size_t i = 0; i < options->writable_count; i++) {
        done = done && add_path(ruleset, options->writable[i], all);
    }
    done = done && syscall(CALL_RESTRICT_SELF, ruleset, 0) == 0;
    close(ruleset);
    return done;
}

/* All but the first three and those to keep. */
static bool close_others(const struct harden_options *options)
{
    unsigned first = 3;
    bool done = true;
    for (size_t i = 0; i < options->keep_fd_count; i++) {
        unsigned keep = (unsigned)options->keep_fds[i];
        if (keep > first) {
            done = done && syscall(CALL_CLOSE_RANGE, first, keep - 1, 0) == 0;
        }
        first = keep >= first ? keep + 1 : first;
    }
    return done && syscall(CALL_CLOSE_RANGE, first, ~0U, 0) == 0;
}

void memory_harden(struct harden_report *ret_report)
{
    static const struct rlimit no_core = {0, 0};
    ret_report->no_core = setrlimit(RLIMIT_CORE, &no_core) == 0;
    ret_report->undumpable = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

void keeper_harden(const struct harden_options *options, struct harden_report *ret_report)
{
    struct harden_report report = {0};
    umask(077);
    report.fds_closed = close_others(options);
    memory_harden(&report);
    report.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    long abi = syscall(CALL_CREATE_RULESET, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    report.landlock_abi = abi < 0 ? 0 : (int)abi;
    report.landlock = report.landlock_abi > 0 && restrict_files(options, report.landlock_abi);
    snprintf(report.text, sizeof(report.text),
             "undumpable %s, no core %s, no new privileges %s, stray descriptors closed %s, "
             "landlock %s (ABI %d)", report.undumpable ? "yes" : "no",
             report.no_core ? "yes" : "no", report.no_new_privs ? "yes" : "no",
             report.fds_closed ? "yes" : "no", report.landlock ? "yes" : "no",
             report.landlock_abi);
    *ret_report = report;
}
