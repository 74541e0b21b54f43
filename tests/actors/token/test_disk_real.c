/* SPDX-License-Identifier: Apache-2.0 */
/* The real disk when the kernel says no, and what a holder of a store calls itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "token/disk.h"
#include "token/token.h"

static struct {
    int close_error; /* what the next close says */
    bool no_open, no_stream, no_read, odd_stat, all_digits;
} kernel;

int __real_close(int fd);
int __real_open(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *bytes, size_t size);
DIR *__real_fdopendir(int fd);
int __wrap_close(int fd);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
DIR *__wrap_fdopendir(int fd);

int __wrap_close(int fd)
{
    int result = __real_close(fd);
    if (kernel.close_error != 0) {
        errno = kernel.close_error;
        result = -1;
    }
    return result;
}

int __wrap_open(const char *path, int flags, ...)
{
    errno = ENOENT;
    return kernel.no_open ? -1 : __real_open(path, flags);
}

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    if (kernel.odd_stat) {
        return snprintf(bytes, size, "1 (x) S 0");
    }
    if (kernel.all_digits) {
        memset(bytes, 'a', size);
        return (ssize_t)size;
    }
    return kernel.no_read ? -1 : __real_read(fd, bytes, size);
}

DIR *__wrap_fdopendir(int fd)
{
    errno = ENOMEM;
    return kernel.no_stream ? NULL : __real_fdopendir(fd);
}

static int setup(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof(kernel));
    return 0;
}

static void no_name(void *arg, const char *name)
{
    (void)arg;
    fail_msg("%s", name);
}

static void a_descriptor_that_is_none_is_an_error_of_every_call(void **state)
{
    (void)state;
    const struct disk_port *disk = disk_real();
    struct stat stat;
    char byte = 0;
    assert_int_equal(disk->close(disk, -1), -EBADF);
    assert_int_equal(disk->stat(disk, -1, &stat), -EBADF);
    assert_int_equal(disk->read(disk, -1, &byte, 1, 0), -EBADF);
    assert_int_equal(disk->write(disk, -1, &byte, 1, 0), -EBADF);
    assert_int_equal(disk->sync(disk, -1), -EBADF);
    assert_int_equal(disk->lock(disk, -1), -EBADF);
    assert_int_equal(disk->list(disk, -1, NULL, no_name), -EBADF);
    assert_int_equal(disk->mkdir(disk, -1, "x", 0700), -EBADF);
    assert_int_equal(disk->unlink(disk, -1, "x"), -EBADF);
    assert_int_equal(disk->rename(disk, -1, "x", "y"), -EBADF);
    assert_true(disk->open(disk, -1, "x", O_RDONLY, 0) == -EBADF);
    assert_true(disk->allocate(disk, -1, 1) < 0);
}

static void a_close_that_was_interrupted_has_closed(void **state)
{
    (void)state;
    const struct disk_port *disk = disk_real();
    int fd = open("/dev/null", O_RDONLY);
    kernel.close_error = EINTR;
    assert_int_equal(disk->close(disk, fd), 0);
    fd = open("/dev/null", O_RDONLY);
    kernel.close_error = EIO;
    assert_int_equal(disk->close(disk, fd), -EIO);
}

static void a_listing_without_memory_leaves_no_descriptor(void **state)
{
    (void)state;
    const struct disk_port *disk = disk_real();
    int dir = open("/", O_RDONLY | O_DIRECTORY), before = dup(dir);
    __real_close(before);
    kernel.no_stream = true;
    assert_int_equal(disk->list(disk, dir, NULL, no_name), -ENOMEM);
    int after = dup(dir);
    assert_int_equal(after, before);
    __real_close(after);
    __real_close(dir);
}

static void a_holder_has_a_name_whatever_the_kernel_tells(void **state)
{
    (void)state;
    const struct disk_port *disk = disk_real();
    char pid[32], text[256];
    snprintf(pid, sizeof(pid), "pid %ld,", (long)getpid());
    bool *const faults[] = {&kernel.no_open, &kernel.no_read, &kernel.odd_stat, NULL};
    for (int i = 0; i < 4; i++) {
        memset(&kernel, 0, sizeof(kernel));
        if (faults[i] != NULL) {
            *faults[i] = true;
        }
        disk->self(disk, text, sizeof(text));
        assert_non_null(strstr(text, pid));
        assert_int_equal(strstr(text, "start time 0 ticks") != NULL, faults[i] != NULL);
    }
}

static void a_boot_without_an_id_has_zeros(void **state)
{
    (void)state;
    static const uint8_t zeros[16];
    uint8_t id[16];
    token_boot_id(id);
    assert_memory_not_equal(id, zeros, 16);
    bool *const faults[] = {&kernel.no_open, &kernel.no_read, &kernel.odd_stat};
    for (int i = 0; i < 3; i++) {
        memset(&kernel, 0, sizeof(kernel));
        *faults[i] = true;
        token_boot_id(id);
        assert_memory_equal(id, zeros, 16);
    }
    memset(&kernel, 0, sizeof(kernel));
    kernel.all_digits = true; /* more than an id has: no more than its sixteen bytes */
    token_boot_id(id);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(id[i], 0xaa);
    }
}

static ssize_t write_nothing(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                             off_t at)
{
    (void)disk;
    (void)fd;
    (void)bytes;
    (void)size;
    (void)at;
    return 0;
}

static void a_disk_that_takes_nothing_is_not_asked_for_ever(void **state)
{
    (void)state;
    struct disk_port disk = *disk_real();
    disk.write = write_nothing;
    assert_int_equal(disk_write_all(&disk, 1, "x", 1, 0), -EIO);
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_that_is_none_is_an_error_of_every_call),
        TEST(a_close_that_was_interrupted_has_closed),
        TEST(a_listing_without_memory_leaves_no_descriptor),
        TEST(a_holder_has_a_name_whatever_the_kernel_tells),
        TEST(a_boot_without_an_id_has_zeros),
        TEST(a_disk_that_takes_nothing_is_not_asked_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
