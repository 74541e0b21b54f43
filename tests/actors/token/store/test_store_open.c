/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store that somebody has had a hand in: key, identity, lock, owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faulty_disk.h"
#include "store_place.h"
#include "token/credential.h"

/* Memory that is freed with the text of a key file in it. The linker puts this function in the
 * library's place. */
static unsigned keys_freed;

void __real_free(void *pointer);
void __wrap_free(void *pointer);

void __wrap_free(void *pointer)
{
    if (pointer != NULL && malloc_usable_size(pointer) >= 8 &&
        memcmp(pointer, "QRKEY-1\n", 8) == 0) {
        keys_freed++;
    }
    __real_free(pointer);
}

static void a_key_or_an_identity_that_is_none_is_refused(void **state)
{
    struct store_place *place = *state;
    static const struct {
        const char *name, *says;
    } files[] = {{"key", "not a key file"}, {"store", "is damaged"}};
    store_place_fill(place);
    for (int i = 0; i < 2; i++) {
        char path[256], bytes[256];
        store_path(place, files[i].name, path, sizeof(path));
        size_t size = store_read_bytes(path, bytes, sizeof(bytes));
        assert_int_equal(truncate(path, (off_t)size - 1), 0);
        store_place_expect_refused(place, -EBADMSG, files[i].says);
        store_write_bytes(path, bytes, size, 0);
        store_write_bytes(path, "X", 1, 0);
        store_place_expect_refused(place, -EBADMSG, files[i].says);
        store_write_bytes(path, bytes, size, 0);
        assert_int_equal(store_place_open(place), 0);
        store_place_close(place);
    }
}

static void a_lost_identity_is_an_error_while_records_stand(void **state)
{
    struct store_place *place = *state;
    char path[256];
    store_place_fill(place);
    store_path(place, "store", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    store_place_expect_refused(place, -ENOENT, "1 credentials");
}

static void a_directory_in_a_files_place_is_refused(void **state)
{
    struct store_place *place = *state;
    char path[256];
    store_place_fill(place);
    store_path(place, "key", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0600), 0);
    store_place_expect_refused(place, -EPERM, "not a regular file");
    assert_int_equal(rmdir(path), 0);
}

static void a_key_of_the_wrong_size_is_refused(void **state)
{
    struct store_place *place = *state;
    struct secret *key = secret_new("short", 5);
    place->store = store_file_new(&(struct store_file_options){.state_dir = place->directory,
                                                               .key = key});
    assert_int_equal(place->store->open(place->store), -EINVAL);
    assert_non_null(strstr(place->store->why(place->store), "32 bytes"));
    secret_free(key);
}

static void a_holder_that_did_not_say_its_name_is_still_one(void **state)
{
    struct store_place *place = *state;
    char path[256];
    store_place_fill(place);
    store_path(place, "lock", path, sizeof(path));
    int fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    store_place_expect_refused(place, -EBUSY, "it did not say which");
    close(fd);
    assert_int_equal(store_place_open(place), 0);
}

static void the_directory_above_is_found_whatever_the_path_looks_like(void **state)
{
    struct store_place *place = *state;
    char slashes[TEMP_DIR_MAX + 8];
    snprintf(slashes, sizeof(slashes), "%s/x///", place->directory);
    char here[512];
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(place->directory), 0);
    const char *const paths[] = {slashes, "s", "state", "./t/"};
    for (size_t i = 0; i < 4; i++) {
        struct store_port *store =
            store_file_new(&(struct store_file_options){.state_dir = paths[i]});
        assert_int_equal(store->open(store), STORE_FRESH);
        store->close(store);
    }
    assert_int_equal(chdir(here), 0);
}

static void a_reason_longer_than_its_room_is_cut(void **state)
{
    (void)state;
    char path[700];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    struct store_port *store = store_file_new(&(struct store_file_options){.state_dir = path});
    assert_int_equal(store->open(store), -ENAMETOOLONG);
    assert_in_range(strlen(store->why(store)), 100, 600);
    store->close(store);
}

static void change_owner(struct stat *stat)
{
    stat->st_uid++;
}

static void change_inode(struct stat *stat)
{
    stat->st_ino++;
}

static void change_device(struct stat *stat)
{
    stat->st_dev++;
}

/* Opens and loads with one lie after another; the number of those that were noticed. */
static unsigned count_noticed(struct store_place *place, void (*falsify)(struct stat *stat),
                              int error)
{
    unsigned noticed = 0;
    struct faulty_disk faulty;
    bool hit = true;
    for (unsigned k = 1; hit; k++) {
        faulty_disk_init(&faulty);
        faulty.falsify = falsify;
        faulty.falsify_at = k;
        place->disk = &faulty.port;
        int got = store_place_open(place);
        if (got >= 0) {
            store_place_load(place);
            noticed += place->bad_count > 0 || (got & STORE_COPIED) != 0 ? 1 : 0;
        } else {
            assert_int_equal(got, error);
            noticed++;
        }
        store_place_close(place);
        hit = faulty.stats >= k;
    }
    return noticed;
}

static void what_belongs_to_another_user_is_refused(void **state)
{
    struct store_place *place = *state;
    store_place_fill(place);
    assert_true(count_noticed(place, change_owner, -EPERM) >= 6); /* two directories, four files */
}

static void a_lock_file_that_was_replaced_holds_nothing(void **state)
{
    struct store_place *place = *state;
    store_place_fill(place);
    assert_true(count_noticed(place, change_inode, -EBUSY) >= 2);
    assert_true(count_noticed(place, change_device, -EBUSY) >= 2);
}

static void each_store_draws_a_key_and_an_identity_of_its_own(void **state)
{
    static const char *const names[] = {"key", "store"};
    struct store_place *place = *state;
    char path[256], bytes[2][2][256];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(store_place_open(place), STORE_FRESH);
        for (size_t n = 0; n < 2; n++) {
            size_t differ = 0;
            store_path(place, names[n], path, sizeof(path));
            size_t size = store_read_bytes(path, bytes[i][n], sizeof(bytes[i][n]));
            for (size_t k = 0; k < size; k++) {
                differ += bytes[0][n][k] != bytes[i][n][k];
            }
            assert_true(i == 0 || differ > 16 - 4); /* not the magic, and not zeros twice */
        }
        store_place_close(place);
        temp_dir_remove(place->credentials);
    }
}

static void the_lock_file_names_its_holder_and_nothing_of_an_earlier_one(void **state)
{
    struct store_place *place = *state;
    char path[256], text[512], self[255];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    store_path(place, "lock", path, sizeof(path));
    store_place_close(place);
    memset(text, 'x', sizeof(text));
    store_write_bytes(path, text, 256, 0);
    assert_int_equal(store_place_open(place), 0);
    assert_int_equal(store_read_bytes(path, text, sizeof(text)), 256);
    disk_real()->self(disk_real(), self, sizeof(self));
    assert_memory_equal(text, self, strlen(self));
    for (size_t i = strlen(self); i < 256; i++) {
        assert_int_equal(text[i], '\n');
    }
}

static void a_lost_key_matters_only_while_records_stand(void **state)
{
    struct store_place *place = *state;
    char path[256];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    store_path(place, "key", path, sizeof(path));
    store_place_close(place);
    assert_int_equal(unlink(path), 0);
    assert_true(store_place_open(place) >= 0); /* lock, identity and audit are no records */
    assert_int_equal(store_save(place, 7), 0);
    store_place_close(place);
    assert_int_equal(unlink(path), 0);
    assert_true(store_place_open(place) < 0);
}

static void what_stands_in_a_directorys_place_is_named(void **state)
{
    struct store_place *place = *state;
    char name[300];
    store_write_bytes(place->credentials, "x", 1, 0);
    store_place_expect_refused(place, -ENOTDIR, "is a symbolic link or no directory");
    assert_int_equal(unlink(place->credentials), 0);
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    struct store_port *store =
        store_file_new(&(struct store_file_options){.state_dir = name});
    assert_non_null(store);
    assert_int_equal(store->open(store), -ENAMETOOLONG);
    assert_non_null(strstr(store->why(store), "cannot open"));
    store->close(store);
}

static void a_key_is_overwritten_before_its_memory_is_freed(void **state)
{
    struct store_place *place = *state;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    assert_int_equal(store_place_open(place), 0); /* now it was read */
    store_place_close(place);
    assert_int_equal(keys_freed, 0);
    char *seen = malloc(64);
    memcpy(seen, "QRKEY-1\n", 8);
    __asm__ volatile("" : : "r"(seen) : "memory"); /* or it would not be written at all */
    free(seen);
    assert_int_equal(keys_freed, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, store_place_setup, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_overwritten_before_its_memory_is_freed),
        TEST(a_key_or_an_identity_that_is_none_is_refused),
        TEST(a_lost_identity_is_an_error_while_records_stand),
        TEST(a_directory_in_a_files_place_is_refused),
        TEST(a_key_of_the_wrong_size_is_refused),
        TEST(a_holder_that_did_not_say_its_name_is_still_one),
        TEST(the_directory_above_is_found_whatever_the_path_looks_like),
        TEST(a_reason_longer_than_its_room_is_cut),
        TEST(what_belongs_to_another_user_is_refused),
        TEST(a_lock_file_that_was_replaced_holds_nothing),
        TEST(each_store_draws_a_key_and_an_identity_of_its_own),
        TEST(the_lock_file_names_its_holder_and_nothing_of_an_earlier_one),
        TEST(a_lost_key_matters_only_while_records_stand),
        TEST(what_stands_in_a_directorys_place_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
