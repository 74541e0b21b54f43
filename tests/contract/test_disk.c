/* SPDX-License-Identifier: Apache-2.0 */
/* The disk port's contract, held against a real directory and against the model that crashes are
 * enumerated on: what the model gets wrong, no enumeration shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk_model.h"
#include "support/temp_dir.h"
#include "token/disk.h"

#define NEW_FILE (O_RDWR | O_CREAT | O_EXCL)

struct place {
    const struct disk_port *disk;
    struct disk_model *model; /* or NULL */
    struct model_names names;
    char path[TEMP_DIR_MAX];
    int dir;
};

/* ---- helpers -------------------------------------------------------------------------------- */

static int make(const struct place *place, const char *name, const char *text)
{
    int fd = place->disk->open(place->disk, place->dir, name, NEW_FILE, 0600);
    assert_true(fd >= 0);
    assert_int_equal(disk_write_all(place->disk, fd, text, strlen(text), 0), 0);
    return fd;
}

static int open_it(const struct place *place, const char *name, int flags)
{
    return place->disk->open(place->disk, place->dir, name, flags, 0600);
}

static void shut(const struct place *place, int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(place->disk->close(place->disk, fd), 0);
}

static void expect_text(const struct place *place, int fd, const char *text)
{
    char bytes[256];
    size_t size = 0;
    assert_int_equal(disk_read_all(place->disk, fd, bytes, sizeof(bytes), &size), 0);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
}

static struct stat look(const struct place *place, int fd)
{
    struct stat stat;
    assert_int_equal(place->disk->stat(place->disk, fd, &stat), 0);
    return stat;
}

struct listed {
    char names[16][32];
    size_t count;
};

static void note(void *arg, const char *name)
{
    struct listed *listed = arg;
    assert_true(listed->count < 16 && strlen(name) < 32);
    memcpy(listed->names[listed->count++], name, strlen(name) + 1);
}

static size_t count_of(const struct place *place, const char *name)
{
    struct listed listed = {.count = 0};
    size_t found = 0;
    assert_int_equal(place->disk->list(place->disk, place->dir, &listed, note), 0);
    for (size_t i = 0; i < listed.count; i++) {
        found += name == NULL || strcmp(listed.names[i], name) == 0;
    }
    return found;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void a_missing_file_is_made_only_when_asked(void **state)
{
    const struct place *place = *state;
    assert_int_equal(open_it(place, "a", O_RDONLY), -ENOENT);
    assert_int_equal(open_it(place, "a", O_WRONLY), -ENOENT);
    shut(place, open_it(place, "a", O_RDWR | O_CREAT));
    shut(place, open_it(place, "a", O_RDWR | O_CREAT)); /* the same one */
    assert_int_equal(count_of(place, NULL), 1);
    assert_int_equal(open_it(place, "a", NEW_FILE), -EEXIST);
}

static void what_is_open_twice_is_one_file(void **state)
{
    const struct place *place = *state;
    int one = make(place, "a", "first"), two = open_it(place, "a", O_RDONLY);
    assert_int_not_equal(one, two);
    assert_int_equal(look(place, one).st_ino, look(place, two).st_ino);
    assert_int_equal(place->disk->write(place->disk, one, "F", 1, 0), 1);
    expect_text(place, two, "First");
    shut(place, one);
    expect_text(place, two, "First");
    shut(place, two);
}

static void a_descriptor_does_what_it_was_opened_for(void **state)
{
    const struct place *place = *state;
    char byte;
    shut(place, make(place, "a", "x"));
    int reader = open_it(place, "a", O_RDONLY), writer = open_it(place, "a", O_WRONLY);
    assert_int_equal(place->disk->write(place->disk, reader, "y", 1, 0), -EBADF);
    assert_int_equal(place->disk->read(place->disk, writer, &byte, 1, 0), -EBADF);
    assert_int_equal(place->disk->allocate(place->disk, reader, 10), -EBADF);
    assert_int_equal(place->disk->write(place->disk, writer, "z", 1, 0), 1);
    assert_int_equal(place->disk->sync(place->disk, reader), 0);
    expect_text(place, reader, "z");
    shut(place, reader);
    shut(place, writer);
}

static void directories_and_files_are_not_taken_for_each_other(void **state)
{
    const struct place *place = *state;
    shut(place, make(place, "a", ""));
    assert_int_equal(open_it(place, "a", O_RDONLY | O_DIRECTORY), -ENOTDIR);
    assert_int_equal(open_it(place, "a/b", O_RDONLY), -ENOTDIR);
    assert_int_equal(place->disk->mkdir(place->disk, place->dir, "a/b", 0700), -ENOTDIR);
    assert_int_equal(place->disk->mkdir(place->disk, place->dir, "d", 0700), 0);
    assert_int_equal(open_it(place, "d", O_WRONLY), -EISDIR);
    assert_int_equal(open_it(place, "d", O_RDWR | O_CREAT), -EISDIR);
    assert_int_equal(place->disk->unlink(place->disk, place->dir, "d"), -EISDIR);
    assert_int_equal(open_it(place, "none/b", O_RDWR | O_CREAT), -ENOENT);
    int fd = open_it(place, "a", O_RDONLY);
    struct listed listed = {.count = 0};
    assert_int_equal(place->disk->list(place->disk, fd, &listed, note), -ENOTDIR);
    shut(place, fd);
}

static void a_directory_is_made_once_and_holds_its_own_names(void **state)
{
    const struct place *place = *state;
    assert_int_equal(place->disk->mkdir(place->disk, place->dir, "d", 0700), 0);
    assert_int_equal(place->disk->mkdir(place->disk, place->dir, "d", 0700), -EEXIST);
    int dir = open_it(place, "d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    assert_true(dir >= 0);
    struct stat stat = look(place, dir);
    assert_true(S_ISDIR(stat.st_mode));
    assert_int_equal(stat.st_mode & 07777, 0700);
    assert_int_equal(stat.st_uid, geteuid());
    int fd = place->disk->open(place->disk, dir, "a", NEW_FILE, 0600);
    assert_int_equal(place->disk->sync(place->disk, dir), 0);
    shut(place, fd);
    shut(place, dir);
    assert_int_equal(count_of(place, "d"), 1);
    assert_int_equal(count_of(place, "a"), 0);
    shut(place, open_it(place, "d/a", O_RDONLY));
    shut(place, open_it(place, "./d//a", O_RDONLY));
}

static void a_new_file_is_empty_and_ours_alone(void **state)
{
    const struct place *place = *state;
    int fd = make(place, "a", ""), other = make(place, "b", "");
    struct stat stat = look(place, fd);
    assert_true(S_ISREG(stat.st_mode));
    assert_int_equal(stat.st_mode & 07777, 0600);
    assert_int_equal(stat.st_uid, geteuid());
    assert_int_equal(stat.st_nlink, 1);
    assert_int_equal(stat.st_size, 0);
    assert_int_not_equal(stat.st_ino, look(place, other).st_ino);
    expect_text(place, fd, "");
    shut(place, fd);
    shut(place, other);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void reads_end_where_the_file_ends(void **state)
{
    const struct place *place = *state;
    char bytes[8] = "-------";
    int fd = make(place, "a", "hello");
    assert_int_equal(place->disk->read(place->disk, fd, bytes, 8, 2), 3);
    assert_memory_equal(bytes, "llo----", 7);
    assert_int_equal(place->disk->read(place->disk, fd, bytes, 8, 5), 0);
    assert_int_equal(place->disk->read(place->disk, fd, bytes, 8, 500), 0);
    assert_int_equal(place->disk->read(place->disk, fd, bytes, 0, 0), 0);
    shut(place, fd);
}

static void writes_change_their_bytes_only(void **state)
{
    const struct place *place = *state;
    char bytes[1024];
    int fd = make(place, "a", "hello");
    assert_int_equal(place->disk->write(place->disk, fd, "ipp", 3, 1), 3);
    expect_text(place, fd, "hippo");
    assert_int_equal(place->disk->write(place->disk, fd, "!", 1, 1000), 1);
    assert_int_equal(look(place, fd).st_size, 1001);
    assert_int_equal(place->disk->read(place->disk, fd, bytes, sizeof(bytes), 0), 1001);
    assert_memory_equal(bytes, "hippo", 5);
    for (size_t i = 5; i < 1000; i++) {
        assert_int_equal(bytes[i], 0); /* a hole */
    }
    assert_int_equal(bytes[1000], '!');
    shut(place, fd);
}

static void what_is_appended_goes_to_the_end(void **state)
{
    const struct place *place = *state;
    shut(place, make(place, "a", "one "));
    int fd = open_it(place, "a", O_WRONLY | O_CREAT | O_APPEND);
    assert_int_equal(place->disk->write(place->disk, fd, "two ", 4, 0), 4);
    assert_int_equal(place->disk->write(place->disk, fd, "three", 5, 1), 5);
    shut(place, fd);
    fd = open_it(place, "a", O_RDONLY);
    expect_text(place, fd, "one two three");
    shut(place, fd);
}

static void allocation_grows_with_zeros_and_never_shrinks(void **state)
{
    const struct place *place = *state;
    char bytes[32];
    int fd = make(place, "a", "hello");
    assert_int_equal(place->disk->allocate(place->disk, fd, 16), 0);
    assert_int_equal(look(place, fd).st_size, 16);
    assert_int_equal(place->disk->read(place->disk, fd, bytes, sizeof(bytes), 0), 16);
    assert_memory_equal(bytes, "hello\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(place->disk->allocate(place->disk, fd, 4), 0);
    assert_int_equal(look(place, fd).st_size, 16);
    assert_int_equal(place->disk->write(place->disk, fd, "J", 1, 0), 1);
    assert_int_equal(look(place, fd).st_size, 16);
    assert_int_equal(place->disk->sync(place->disk, fd), 0);
    shut(place, fd);
}

static void large_files_come_back_as_they_were(void **state)
{
    const struct place *place = *state;
    size_t size = 300000, got = 0;
    uint8_t *bytes = malloc(size), *again = malloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    int fd = make(place, "a", "");
    assert_int_equal(disk_write_all(place->disk, fd, bytes, size, 0), 0);
    assert_int_equal(disk_read_all(place->disk, fd, again, size + 1, &got), 0);
    assert_int_equal(got, size);
    assert_memory_equal(bytes, again, size);
    shut(place, fd);
    free(bytes);
    free(again);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void a_rename_replaces_and_keeps_what_is_open(void **state)
{
    const struct place *place = *state;
    int one = make(place, "a", "new"), two = make(place, "b", "old");
    uint64_t ino = look(place, one).st_ino;
    assert_int_equal(place->disk->rename(place->disk, place->dir, "a", "b"), 0);
    assert_int_equal(open_it(place, "a", O_RDONLY), -ENOENT);
    assert_int_equal(count_of(place, NULL), 1);
    expect_text(place, one, "new");
    expect_text(place, two, "old");
    assert_int_equal(look(place, one).st_nlink, 1);
    assert_int_equal(look(place, two).st_nlink, 0);
    int fd = open_it(place, "b", O_RDONLY);
    assert_int_equal(look(place, fd).st_ino, ino);
    expect_text(place, fd, "new");
    shut(place, fd);
    shut(place, one);
    shut(place, two);
    assert_int_equal(place->disk->rename(place->disk, place->dir, "a", "b"), -ENOENT);
    assert_int_equal(place->disk->rename(place->disk, place->dir, "b", "b"), 0);
    assert_int_equal(count_of(place, "b"), 1);
}

static void what_is_unlinked_lives_until_it_is_closed(void **state)
{
    const struct place *place = *state;
    int fd = make(place, "a", "text");
    uint64_t ino = look(place, fd).st_ino;
    assert_int_equal(place->disk->unlink(place->disk, place->dir, "a"), 0);
    assert_int_equal(place->disk->unlink(place->disk, place->dir, "a"), -ENOENT);
    assert_int_equal(open_it(place, "a", O_RDONLY), -ENOENT);
    assert_int_equal(count_of(place, NULL), 0);
    expect_text(place, fd, "text");
    assert_int_equal(look(place, fd).st_nlink, 0);
    assert_int_equal(place->disk->sync(place->disk, fd), 0);
    int again = make(place, "a", "other");
    assert_int_not_equal(look(place, again).st_ino, ino);
    expect_text(place, fd, "text");
    shut(place, fd);
    shut(place, again);
}

static void a_list_has_each_name_once(void **state)
{
    const struct place *place = *state;
    static const char *const names[] = {"a", "b", "c", "longer.name.g1.a1.intent"};
    assert_int_equal(count_of(place, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        shut(place, make(place, names[i], "x"));
    }
    assert_int_equal(place->disk->unlink(place->disk, place->dir, "b"), 0);
    assert_int_equal(place->disk->rename(place->disk, place->dir, "c", "d"), 0);
    assert_int_equal(count_of(place, NULL), 3);
    assert_int_equal(count_of(place, "a"), 1);
    assert_int_equal(count_of(place, "d"), 1);
    assert_int_equal(count_of(place, names[3]), 1);
    assert_int_equal(count_of(place, "."), 0);
    assert_int_equal(count_of(place, NULL), 3); /* the list begins anew */
}

/* ---- locks and facts ------------------------------------------------------------------------ */

static void a_lock_is_held_until_it_is_closed(void **state)
{
    const struct place *place = *state;
    int one = make(place, "lock", ""), two = open_it(place, "lock", O_RDWR);
    int other = make(place, "other", "");
    assert_int_equal(place->disk->lock(place->disk, one), 0);
    assert_int_equal(place->disk->lock(place->disk, one), 0); /* it is ours */
    assert_int_equal(place->disk->lock(place->disk, two), -EWOULDBLOCK);
    assert_int_equal(place->disk->lock(place->disk, other), 0);
    shut(place, one);
    assert_int_equal(place->disk->lock(place->disk, two), 0);
    shut(place, two);
    shut(place, other);
}

static void facts_fit_where_they_are_put(void **state)
{
    const struct place *place = *state;
    char machine[128], again[128], self[256], small[9];
    place->disk->machine(place->disk, machine, sizeof(machine));
    place->disk->machine(place->disk, again, sizeof(again));
    assert_string_equal(machine, again);
    place->disk->self(place->disk, self, sizeof(self));
    assert_true(self[0] != '\0');
    assert_null(strchr(self, '\n'));
    small[8] = '#';
    place->disk->self(place->disk, small, 8);
    assert_true(memchr(small, '\0', 8) != NULL);
    place->disk->machine(place->disk, small, 8);
    assert_true(memchr(small, '\0', 8) != NULL);
    assert_int_equal(small[8], '#');
    assert_true(place->disk->wall_ms(place->disk) > 1600000000000);
}

/* ---- both ----------------------------------------------------------------------------------- */

static int setup_real(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    *state = place;
    place->disk = disk_real();
    if (temp_dir_make(place->path) < 0) {
        return -1;
    }
    place->dir = place->disk->open(place->disk, AT_FDCWD, place->path, O_RDONLY | O_DIRECTORY, 0);
    return place->dir < 0;
}

static int setup_model(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    *state = place;
    place->model = disk_model_new(&place->names);
    place->model->wall_ms = 1700000000000;
    place->disk = &place->model->port;
    if (place->disk->mkdir(place->disk, AT_FDCWD, "/place", 0700) != 0) {
        return -1;
    }
    place->dir = place->disk->open(place->disk, AT_FDCWD, "/place", O_RDONLY | O_DIRECTORY, 0);
    return place->dir < 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    place->disk->close(place->disk, place->dir);
    if (place->model != NULL) {
        assert_int_equal(disk_model_open_fds(place->model), 0);
        disk_model_free(place->model);
        model_names_free(&place->names);
    } else {
        temp_dir_remove(place->path);
    }
    free(place);
    return 0;
}

#define BOTH(test)                                                                                 \
    {#test ", real", test, setup_real, teardown, NULL},                                            \
    {#test ", model", test, setup_model, teardown, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_missing_file_is_made_only_when_asked),
        BOTH(what_is_open_twice_is_one_file),
        BOTH(a_descriptor_does_what_it_was_opened_for),
        BOTH(directories_and_files_are_not_taken_for_each_other),
        BOTH(a_directory_is_made_once_and_holds_its_own_names),
        BOTH(a_new_file_is_empty_and_ours_alone),
        BOTH(reads_end_where_the_file_ends),
        BOTH(writes_change_their_bytes_only),
        BOTH(what_is_appended_goes_to_the_end),
        BOTH(allocation_grows_with_zeros_and_never_shrinks),
        BOTH(large_files_come_back_as_they_were),
        BOTH(a_rename_replaces_and_keeps_what_is_open),
        BOTH(what_is_unlinked_lives_until_it_is_closed),
        BOTH(a_list_has_each_name_once),
        BOTH(a_lock_is_held_until_it_is_closed),
        BOTH(facts_fit_where_they_are_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
