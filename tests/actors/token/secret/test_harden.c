/* SPDX-License-Identifier: Apache-2.0 */
/* What a hardened process still can and no longer can do, each asked in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/temp_dir.h"
#include "token/harden.h"

struct place {
    char state[TEMP_DIR_MAX];
    char other[TEMP_DIR_MAX];
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    *state = place;
    return temp_dir_make(place->state) < 0 || temp_dir_make(place->other) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    temp_dir_remove(place->state);
    temp_dir_remove(place->other);
    free(place);
    return 0;
}

static int try_write(const char *directory, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    if (fd < 0) {
        return -errno;
    }
    struct stat stat;
    fstat(fd, &stat);
    close(fd);
    return stat.st_mode & 0777;
}

/* 0, or the number of the line that does not hold. Runs in a child. */
static int look_around(const struct place *place, int kept, int stray)
{
    const char *writable[] = {place->state};
    struct harden_options options = {.writable = writable, .writable_count = 1,
                                     .keep_fds = &kept, .keep_fd_count = 1};
    struct harden_report report;
    struct rlimit core;
    keeper_harden(&options, &report);
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || !report.undumpable) {
        return __LINE__;
    }
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0 || !report.no_core) {
        return __LINE__;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || !report.no_new_privs) {
        return __LINE__;
    }
    if (fcntl(kept, F_GETFD) < 0 || fcntl(stray, F_GETFD) >= 0 || !report.fds_closed) {
        return __LINE__;
    }
    if (try_write(place->state, "mine") != 0600) {
        return __LINE__;
    }
    if (open("/etc/passwd", O_RDONLY) < 0) {
        return __LINE__;
    }
    if (report.landlock_abi == 0) {
        return -1;
    }
    if (!report.landlock || try_write(place->other, "x") != -EACCES) {
        return __LINE__;
    }
    char path[128];
    snprintf(path, sizeof(path), "%s/there", place->other);
    if (open(path, O_RDONLY) >= 0 || errno != EACCES || unlink(path) == 0) {
        return __LINE__;
    }
    return report.text[0] == '\0' ? __LINE__ : 0;
}

static void a_hardened_process_keeps_to_its_directories(void **state)
{
    struct place *place = *state;
    assert_int_equal(try_write(place->other, "there") & 0600, 0600);
    int kept = dup(0), stray = dup(0);
    pid_t child = fork();
    if (child == 0) {
        int line = look_around(place, kept, stray);
        _exit(line < 0 ? 255 : line);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(kept);
    close(stray);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 255) {
        print_message("this kernel has no Landlock: the file rules were not tried\n");
    } else if (WEXITSTATUS(status) != 0) {
        fail_msg("line %d does not hold", WEXITSTATUS(status));
    }
}

/* 0, or the number of the line that does not hold. Runs in a child. */
static int look_inward(void)
{
    struct harden_report report = {0};
    struct rlimit core;
    memory_harden(&report);
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || !report.undumpable) {
        return __LINE__;
    }
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0 || !report.no_core) {
        return __LINE__;
    }
    return 0;
}

static void a_process_with_a_token_keeps_its_memory_to_itself(void **state)
{
    int status;
    pid_t child = fork();
    (void)state;
    if (child == 0) {
        _exit(look_inward());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hardened_process_keeps_to_its_directories, setup,
                                        teardown),
        cmocka_unit_test(a_process_with_a_token_keeps_its_memory_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
