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
#include <time.h>
#include <unistd.h>

#include "support/temp_dir.h"
#include "token/disk.h"
#include "token/token.h"

static struct {
    int close_error; /* what the next close says */
    bool no_open, no_stream, no_read, odd_stat, long_stat, all_digits;
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
    if (kernel.long_stat) { /* a name with all that could mislead; then fields 3 to 24 */
        static const char line[] = "7 (a) S 1 (b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 "
                                   "21 4242 23 24";
        size_t length = size < sizeof(line) ? size : sizeof(line) - 1;
        memcpy(bytes, line, length);
        return (ssize_t)length;
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

static void count_name(void *arg, const char *name)
{
    assert_string_equal(name, "b");
    *(unsigned *)arg += 1;
}

static void a_call_that_succeeds_knows_no_error_of_before(void **state)
{
    (void)state;
    const struct disk_port *disk = disk_real();
    char place[TEMP_DIR_MAX], bytes[8];
    struct stat status;
    unsigned names = 0;
    assert_int_equal(temp_dir_make(place), 0);
    int dir = open(place, O_RDONLY | O_DIRECTORY);
    errno = EIO; /* none of them sets it */
    int fd = disk->open(disk, dir, "a", O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(disk->write(disk, fd, "", 0, 0), 0);
    assert_int_equal(disk->read(disk, fd, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(disk->allocate(disk, fd, 4096), 0);
    assert_int_equal(disk->stat(disk, fd, &status), 0);
    assert_int_equal(status.st_size, 4096);
    assert_int_equal(disk->lock(disk, fd), 0);
    assert_int_equal(disk->sync(disk, fd), 0);
    assert_int_equal(disk->close(disk, fd), 0);
    assert_int_equal(disk->rename(disk, dir, "a", "b"), 0);
    errno = EIO;
    assert_int_equal(disk->list(disk, dir, &names, count_name), 0);
    assert_int_equal(names, 1);
    errno = EIO;
    assert_int_equal(disk->unlink(disk, dir, "b"), 0);
    assert_int_equal(disk->mkdir(disk, dir, "b", 0700), 0);
    __real_close(dir);
    temp_dir_remove(place);
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
    memset(&kernel, 0, sizeof(kernel));
    kernel.long_stat = true;
    disk->self(disk, text, sizeof(text));
    assert_non_null(strstr(text, "start time 4242 ticks, boot 7 (a) S"));
}

/* The first line of a file, by other means. */
static const char *line_of(const char *path, char *ret_line, int size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(ret_line, size, file) == NULL) {
        ret_line[0] = '\0';
    }
    if (file != NULL) {
        fclose(file);
    }
    ret_line[strcspn(ret_line, "\n")] = '\0';
    return ret_line;
}

static void a_machine_and_a_boot_are_told_by_their_ids(void **state)
{
    (void)state;
    const struct disk_port *disk = disk_real();
    char text[256], line[64];
    int before = dup(STDERR_FILENO);
    __real_close(before);
    memset(text, 'x', sizeof(text));
    disk->machine(disk, text, sizeof(text));
    assert_string_equal(text, line_of("/etc/machine-id", line, sizeof(line)));
    disk->self(disk, text, sizeof(text));
    line_of("/proc/sys/kernel/random/boot_id", line, sizeof(line));
    assert_string_equal(text + strlen(text) - strlen(line), line);
    kernel.no_open = true;
    disk->machine(disk, text, sizeof(text));
    assert_string_equal(text, "");
    int after = dup(STDERR_FILENO);
    assert_int_equal(after, before); /* none is left open */
    __real_close(after);
}

static void the_wall_clock_is_that_of_the_world(void **state)
{
    (void)state;
    const struct disk_port *disk = disk_real();
    struct timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    int64_t now_ms = disk->wall_ms(disk);
    clock_gettime(CLOCK_REALTIME, &after);
    assert_true(now_ms >= before.tv_sec * INT64_C(1000) + before.tv_nsec / 1000000);
    assert_true(now_ms <= after.tv_sec * INT64_C(1000) + after.tv_nsec / 1000000);
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

/* A disk that takes and gives a byte at a time, and is interrupted before each. */
static struct {
    char bytes[8];
    size_t size;
    bool is_interrupted;
} slow;

static ssize_t write_one(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                         off_t at)
{
    (void)disk;
    (void)fd;
    slow.is_interrupted = !slow.is_interrupted;
    if (slow.is_interrupted) {
        return -EINTR;
    }
    assert_true(size > 0 && (size_t)at == slow.size && slow.size < sizeof(slow.bytes));
    slow.bytes[slow.size++] = *(const char *)bytes;
    return 1;
}

static ssize_t read_one(const struct disk_port *disk, int fd, void *ret_bytes, size_t size,
                        off_t at)
{
    (void)disk;
    (void)fd;
    slow.is_interrupted = !slow.is_interrupted;
    if (slow.is_interrupted) {
        return -EINTR;
    }
    assert_true(size > 0); /* nothing is asked for what is there already */
    if ((size_t)at >= slow.size) {
        return 0;
    }
    *(char *)ret_bytes = slow.bytes[at];
    return 1;
}

static void a_disk_of_a_byte_at_a_time_gets_and_gives_all(void **state)
{
    (void)state;
    struct disk_port disk = *disk_real();
    disk.write = write_one;
    disk.read = read_one;
    memset(&slow, 0, sizeof(slow));
    assert_int_equal(disk_write_all(&disk, 1, "abc", 3, 0), 0);
    for (size_t asked = 1; asked <= 4; asked++) {
        char bytes[5] = "zzzz";
        size_t size = 0;
        assert_int_equal(disk_read_all(&disk, 1, bytes, asked, &size), 0);
        assert_int_equal(size, asked < 3 ? asked : 3);
        assert_memory_equal(bytes, "abc", size);
        assert_int_equal(bytes[size], 'z');
    }
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_that_is_none_is_an_error_of_every_call),
        TEST(a_call_that_succeeds_knows_no_error_of_before),
        TEST(a_close_that_was_interrupted_has_closed),
        TEST(a_listing_without_memory_leaves_no_descriptor),
        TEST(a_holder_has_a_name_whatever_the_kernel_tells),
        TEST(a_machine_and_a_boot_are_told_by_their_ids),
        TEST(the_wall_clock_is_that_of_the_world),
        TEST(a_boot_without_an_id_has_zeros),
        TEST(a_disk_that_takes_nothing_is_not_asked_for_ever),
        TEST(a_disk_of_a_byte_at_a_time_gets_and_gives_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
