/* SPDX-License-Identifier: Apache-2.0 */
/* The file store against what people, other programs and disks do to its directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_place.h"
#include "token/credential.h"

static void expect_bad(struct store_place *place, const char *file, const char *says)
{
    store_place_restart(place);
    if (place->bad_count != 1 || strstr(place->bad_file, file) == NULL ||
        strstr(place->bad_why, says) == NULL) {
        fail_msg("%zu: %s %s", place->bad_count, place->bad_file, place->bad_why);
    }
    assert_int_equal(place->loaded_count, 0);
    store_place_close(place);
}

/* ---- modes and links ---- */

static void everything_is_made_for_the_owner_only(void **state)
{
    struct store_place *place = *state;
    static const char *const ends[] = {"lock", "key", "store", "audit.log", ".record", ".intent"};
    mode_t before = umask(0); /* the modes are the store's own doing */
    assert_int_equal(store_place_open(place), STORE_FRESH);
    umask(before);
    assert_int_equal(store_save(place, 7), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    struct stat stat;
    char path[256];
    assert_int_equal(lstat(place->credentials, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0700);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        store_find(place, ends[i], path, sizeof(path));
        assert_int_equal(lstat(path, &stat), 0);
        assert_int_equal(stat.st_mode & 07777, 0600);
    }
}

static void no_secret_stands_in_any_file_in_the_clear(void **state)
{
    struct store_place *place = *state;
    static const char *const ends[] = {".record", ".intent", ".answer"};
    store_place_fill(place);
    assert_int_equal(store_place_open(place), 0);
    store_attempt(place, 7, 1);
    for (size_t i = 0; i < 3; i++) {
        char path[256], bytes[16384];
        store_find(place, ends[i], path, sizeof(path));
        size_t size = store_read_bytes(path, bytes, sizeof(bytes));
        assert_true(size > 256);
        assert_null(memmem(bytes, size, "refresh-7", 9));
        assert_null(memmem(bytes, size, "answer", 6));
    }
}

static void wrong_modes_are_refused_with_what_to_do(void **state)
{
    struct store_place *place = *state;
    char key[256], record[256];
    store_place_fill(place);
    assert_int_equal(chmod(place->credentials, 0755), 0);
    store_place_expect_refused(place, -EPERM, "chmod 700");
    assert_int_equal(chmod(place->credentials, 0700), 0);
    assert_int_equal(chmod(place->directory, 0777), 0);
    store_place_expect_refused(place, -EPERM, "chmod 700");
    assert_int_equal(chmod(place->directory, 0755), 0); /* others may look at the state directory */
    store_path(place, "key", key, sizeof(key));
    assert_int_equal(chmod(key, 0644), 0);
    store_place_expect_refused(place, -EPERM, "chmod 600");
    assert_int_equal(chmod(key, 0600), 0);
    store_find(place, ".record", record, sizeof(record));
    assert_int_equal(chmod(record, 0640), 0);
    expect_bad(place, ".record", "chmod 600");
    assert_int_equal(chmod(record, 0600), 0);
    store_place_restart(place);
    assert_int_equal(place->loaded_count, 1); /* nothing was changed meanwhile */
}

static void symbolic_and_hard_links_are_refused(void **state)
{
    struct store_place *place = *state;
    char record[256], other[256];
    store_place_fill(place);
    store_find(place, ".record", record, sizeof(record));
    snprintf(other, sizeof(other), "%s/elsewhere", place->directory);
    assert_int_equal(link(record, other), 0);
    expect_bad(place, ".record", "hard links");
    assert_int_equal(unlink(record), 0);
    assert_int_equal(symlink(other, record), 0);
    expect_bad(place, ".record", "symbolic link");
    assert_int_equal(unlink(record), 0);
    assert_int_equal(rename(other, record), 0);
    snprintf(other, sizeof(other), "%s/moved", place->directory);
    assert_int_equal(rename(place->credentials, other), 0);
    assert_int_equal(symlink("moved", place->credentials), 0);
    store_place_expect_refused(place, -ENOTDIR, "symbolic link");
}

static void a_planted_link_is_not_written_through(void **state)
{
    struct store_place *place = *state;
    char victim[256], record[256], planted[300];
    store_place_fill(place);
    store_find(place, ".record", record, sizeof(record));
    snprintf(victim, sizeof(victim), "%s/victim", place->directory);
    store_write_bytes(victim, "precious", 8, 0);
    snprintf(planted, sizeof(planted), "%.*s.g8.a0.next", (int)(strlen(record) - 7), record);
    assert_int_equal(symlink(victim, planted), 0); /* where the next save makes its file */
    assert_int_equal(store_place_open(place), 0);
    assert_int_equal(store_save(place, 8), 0);
    char bytes[16];
    assert_int_equal(store_read_bytes(victim, bytes, sizeof(bytes)), 8);
    assert_memory_equal(bytes, "precious", 8);
}

/* ---- lock ---- */

static void a_second_keeper_is_told_who_holds_the_store(void **state)
{
    struct store_place *place = *state;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    struct store_port *second =
        store_file_new(&(struct store_file_options){.state_dir = place->directory});
    char pid[32];
    snprintf(pid, sizeof(pid), "pid %ld,", (long)getpid());
    assert_int_equal(second->open(second), -EBUSY);
    assert_non_null(strstr(second->why(second), pid));
    assert_non_null(strstr(second->why(second), "boot "));
    second->close(second);
    store_place_close(place);
    assert_int_equal(store_place_open(place), 0); /* the lock ends with its holder */
}

/* ---- copies ---- */

static void copy_directory(const char *from, const char *to)
{
    DIR *stream = opendir(from);
    char path[600], bytes[4096];
    assert_non_null(stream);
    assert_int_equal(mkdir(to, 0700), 0);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
            size_t size = store_read_bytes(path, bytes, sizeof(bytes));
            snprintf(path, sizeof(path), "%s/%s", to, entry->d_name);
            store_write_bytes(path, bytes, size, 0);
        }
    }
    closedir(stream);
}

static void a_copied_store_says_so_until_it_is_adopted(void **state)
{
    struct store_place *place = *state;
    char original[256];
    store_place_fill(place);
    snprintf(original, sizeof(original), "%s/original", place->directory);
    assert_int_equal(rename(place->credentials, original), 0);
    copy_directory(original, place->credentials);
    assert_int_equal(store_place_open(place), STORE_COPIED);
    store_place_load(place);
    assert_int_equal(place->loaded_count, 1); /* readable, for it says what it is a copy of */
    assert_int_equal(store_place_open(place), STORE_COPIED);
    assert_int_equal(place->store->adopt(place->store), 0);
    assert_int_equal(store_place_open(place), 0);
    store_place_load(place);
    assert_int_equal(place->loaded_count, 1);
}

static void a_moved_store_opens(void **state)
{
    struct store_place *place = *state;
    char elsewhere[TEMP_DIR_MAX];
    store_place_fill(place);
    snprintf(elsewhere, sizeof(elsewhere), "%.50s-m", place->directory);
    assert_int_equal(rename(place->directory, elsewhere), 0);
    snprintf(place->directory, sizeof(place->directory), "%s", elsewhere);
    store_place_restart(place);
    assert_int_equal(place->notes, 0);
    assert_int_equal(place->loaded_count, 1);
}

static void other_machine(const struct disk_port *disk, char *ret_text, size_t size)
{
    (void)disk;
    snprintf(ret_text, size, "another");
}

static void a_store_on_another_machine_is_a_copy(void **state)
{
    struct store_place *place = *state;
    struct disk_port disk = *disk_real();
    disk.machine = other_machine;
    store_place_fill(place);
    place->disk = &disk;
    assert_int_equal(store_place_open(place), STORE_COPIED);
    store_place_close(place); /* the disk ends here */
}

/* ---- damage ---- */

static void a_lost_key_is_an_error_and_not_a_fresh_start(void **state)
{
    struct store_place *place = *state;
    char key[256], aside[256];
    store_place_fill(place);
    store_path(place, "key", key, sizeof(key));
    store_path(place, "key.aside", aside, sizeof(aside));
    assert_int_equal(rename(key, aside), 0);
    store_place_expect_refused(place, -ENOKEY, "put it back");
    assert_int_equal(rename(aside, key), 0);
    store_place_restart(place);
    assert_int_equal(place->loaded_count, 1);
    store_place_close(place);
    store_write_bytes(key, "QRKEY-1\nanother key of the same leng", 36, 0);
    expect_bad(place, ".record", "does not authenticate");
    store_write_bytes(key, "rubbish", 7, 0);
    store_place_expect_refused(place, -EBADMSG, "not a key file");
}

static void a_changed_byte_anywhere_is_found(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    store_place_fill(place);
    store_find(place, ".record", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes));
    assert_in_range(size, 257, 4096);
    for (size_t at = 0; at < size; at += at < 256 ? 7 : 31) {
        if (at >= 200 && at < 256) {
            continue; /* zeros without a meaning */
        }
        char flipped = (char)(bytes[at] ^ 1);
        store_write_bytes(path, &flipped, 1, (off_t)at);
        expect_bad(place, ".record", "");
        store_write_bytes(path, &bytes[at], 1, (off_t)at);
    }
    assert_int_equal(truncate(path, (off_t)size - 1), 0);
    expect_bad(place, ".record", "torn");
}

static void a_damaged_record_is_kept_beside_its_successor(void **state)
{
    struct store_place *place = *state;
    char path[256];
    store_place_fill(place);
    store_find(place, ".record", path, sizeof(path));
    store_write_bytes(path, "X", 1, 300);
    expect_bad(place, ".record", "torn");
    store_place_restart(place);
    assert_int_equal(store_save(place, 1), 0); /* a fresh login */
    store_place_restart(place);
    assert_int_equal(place->loaded.credential.generation, 1);
    assert_int_equal(store_count(place, ".record.bad"), 1);
}

static void a_record_under_another_name_is_refused(void **state)
{
    struct store_place *place = *state;
    char path[256], other[256];
    store_place_fill(place);
    store_find(place, ".record", path, sizeof(path));
    store_path(place, "lab_you-0000000000000000.record", other, sizeof(other));
    assert_int_equal(rename(path, other), 0);
    expect_bad(place, "lab_you", "under another's name");
}

static void open_with_key(struct store_place *place, const struct secret *key)
{
    store_place_close(place);
    place->store = store_file_new(&(struct store_file_options){.state_dir = place->directory,
                                                               .key = key});
    assert_true(place->store->open(place->store) >= 0);
}

static void a_key_from_outside_is_not_written_down(void **state)
{
    struct store_place *place = *state;
    struct secret *key = secret_new("0123456789abcdef0123456789abcdef", 32);
    struct secret *wrong = secret_new("0123456789abcdef0123456789abcdeX", 32);
    open_with_key(place, key);
    assert_int_equal(store_save(place, 7), 0);
    assert_int_equal(store_count(place, "key"), 0);
    open_with_key(place, key);
    store_place_load(place);
    assert_int_equal(place->loaded_count, 1);
    open_with_key(place, wrong);
    store_place_load(place);
    assert_int_equal(place->loaded_count, 0);
    assert_non_null(strstr(place->bad_why, "another key"));
    secret_free(key);
    secret_free(wrong);
}

static void a_record_of_another_store_is_refused_whatever_the_key(void **state)
{
    struct store_place *place = *state;
    struct secret *key = secret_new("0123456789abcdef0123456789abcdef", 32);
    char path[256], bytes[4096];
    open_with_key(place, key);
    assert_int_equal(store_save(place, 7), 0);
    store_find(place, ".record", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes));
    store_place_close(place);
    temp_dir_remove(place->credentials);
    open_with_key(place, key); /* a new store, the same key and the same profile */
    store_write_bytes(path, bytes, size, 0);
    store_place_load(place);
    assert_int_equal(place->loaded_count, 0);
    assert_int_equal(place->bad_count, 1);
    assert_non_null(strstr(place->bad_why, "another store"));
    secret_free(key);
}

static void a_torn_intent_counts_as_sent(void **state)
{
    struct store_place *place = *state;
    char path[256];
    store_place_fill(place);
    assert_int_equal(store_place_open(place), 0);
    assert_int_equal(store_reserve(place, 7, 3), 0);
    store_find(place, ".intent", path, sizeof(path));
    store_place_close(place);
    store_write_bytes(path, "QRIGHT\r\n", 8, 0);
    store_place_restart(place);
    assert_int_equal(place->bad_count, 1);
    assert_non_null(strstr(place->bad_why, "counts as sent"));
    assert_true(place->loaded.has_intent);
    assert_int_equal(place->loaded.intent.attempt, 3);
    assert_int_equal(place->loaded.intent.generation, 7);
}

static void an_older_record_put_back_keeps_the_intents_it_lacks(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    store_place_fill(place);
    store_find(place, ".record", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes));
    assert_int_equal(store_place_open(place), 0);
    assert_int_equal(store_save(place, 8), 0);
    assert_int_equal(store_reserve(place, 8, 1), 0);
    assert_int_equal(store_intent(place, 8, 1), 0);
    store_place_close(place);
    assert_int_equal(unlink(path), 0);
    store_write_bytes(path, bytes, size, 0);
    store_place_restart(place);
    assert_int_equal(place->loaded.credential.generation, 7);
    assert_non_null(strstr(place->bad_why, "older backup"));
    assert_int_equal(store_count(place, ".intent"), 1);
}

/* ---- disks ---- */

/* Mounts of this process only. False: not ours to make. */
static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void names_are_kept_apart_when_files_are_removed(void **state)
{
    struct store_place *place = *state;
    char path[300], record[256];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    assert_int_equal(store_save(place, 7), 0);
    store_find(place, ".record", record, sizeof(record));
    snprintf(path, sizeof(path), "%.*sx.record", (int)(strlen(record) - strlen(".record")), record);
    store_write_bytes(path, "x", 1, 0);
    assert_int_equal(place->store->remove(place->store, "lab:me"), 0);
    assert_int_equal(store_count(place, ".record"), 1); /* of a name that begins like ours */
    assert_int_equal(place->store->remove(place->store, "lab:me"), -ENOENT);
    assert_int_equal(store_release(place, 7, 1), 0);
}

static void a_profile_whose_files_are_gone_already_says_so(void **state)
{
    struct store_place *place = *state;
    char record[256];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    assert_int_equal(store_save(place, 7), 0);
    store_find(place, ".record", record, sizeof(record));
    assert_int_equal(unlink(record), 0);
    assert_int_equal(place->store->remove(place->store, "lab:me"), -ENOENT);
    assert_non_null(strstr(place->store->why(place->store), "no files"));
}

static void a_long_profile_id_has_a_file_of_its_own(void **state)
{
    struct store_place *place = *state;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    for (int i = 0; i < 2; i++) {
        struct credential credential = store_credential(7);
        snprintf(credential.profile, sizeof(credential.profile), "lab:%0100d", i);
        assert_int_equal(place->store->write_record(place->store, &credential), 0);
        credential_deinit(&credential);
    }
    store_place_restart(place);
    assert_int_equal(place->loaded_count, 2);
}

static void the_records_header_says_whether_the_login_lives(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[64];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    for (uint64_t generation = 7; generation <= 8; generation++) {
        struct credential credential = store_credential(generation);
        snprintf(credential.needs_login, sizeof(credential.needs_login), "%s",
                 generation == 7 ? "" : "invalid_grant");
        assert_int_equal(place->store->write_record(place->store, &credential), 0);
        credential_deinit(&credential);
        store_find(place, ".record", path, sizeof(path));
        assert_int_equal(store_read_bytes(path, bytes, sizeof(bytes)), sizeof(bytes));
        assert_int_equal(bytes[28], generation == 7 ? 1 : 2);
    }
}

static void a_credential_too_large_for_its_file_is_refused(void **state)
{
    struct store_place *place = *state;
    struct credential credential = store_credential(7);
    assert_int_equal(store_place_open(place), STORE_FRESH);
    size_t size = 8 << 20;
    credential.rule = malloc(size);
    memset(credential.rule, 'a', size - 1);
    credential.rule[size - 1] = '\0';
    assert_int_equal(place->store->write_record(place->store, &credential), -EMSGSIZE);
    assert_non_null(strstr(place->store->why(place->store), "does not fit"));
    credential_deinit(&credential);
}

static void attempts_are_told_apart(void **state)
{
    struct store_place *place = *state;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    assert_int_equal(store_save(place, 7), 0);
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(store_reserve(place, 7, attempt), 0);
    }
    assert_int_equal(store_reserve(place, 8, 1), 0);
    assert_int_equal(store_reserve(place, 7, 2), -EEXIST);
    assert_int_equal(store_release(place, 7, 1), 0); /* the first made, the last in the list */
    assert_int_equal(store_release(place, 7, 3), 0);
    assert_int_equal(store_reserve(place, 7, 2), -EEXIST);
    assert_int_equal(store_count(place, ".intent"), 2);
}

static void a_full_disk_shows_before_the_token_is_spent(void **state)
{
    struct store_place *place = *state;
    char path[256];
    if (!own_mounts() || mount("none", place->directory, "tmpfs", 0, "size=1m,mode=0700") != 0) {
        print_message("skipped: mounts are root's to make\n");
        skip();
    }
    store_place_fill(place);
    snprintf(path, sizeof(path), "%s/ballast", place->directory);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 900 << 10), 0);
    assert_int_equal(store_place_open(place), 0);
    store_place_load(place);
    assert_int_equal(store_reserve(place, 7, 1), -ENOSPC);
    assert_non_null(strstr(place->store->why(place->store), "reserve"));
    assert_int_equal(store_count(place, ".intent") + store_count(place, ".answer"), 0);

    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    off_t size = 0;
    while (posix_fallocate(fd, size, 4096) == 0) { /* to the last block */
        size += 4096;
    }
    assert_int_equal(store_intent(place, 7, 1), 0);
    assert_int_equal(store_answer(place, 7, 1), 0);
    assert_int_equal(store_save(place, 8), 0);
    close(fd);
    store_place_restart(place);
    assert_int_equal(place->loaded.credential.generation, 8);
    store_place_close(place);
    umount(place->directory);
}

/* Or a later call that fails for want of memory, and adds none, would be told in its words. */
static void expect_silent(struct store_place *place, int error)
{
    assert_int_equal(error, 0);
    assert_string_equal(place->store->why(place->store), "out of memory");
}

static void what_succeeds_leaves_no_sentence_about_a_failure(void **state)
{
    struct store_place *place = *state;
    expect_silent(place, store_place_open(place) == STORE_FRESH ? 0 : place->notes);
    store_place_load(place);
    expect_silent(place, store_save(place, 7));
    expect_silent(place, store_reserve(place, 7, 1));
    expect_silent(place, store_intent(place, 7, 1));
    expect_silent(place, store_answer(place, 7, 1));
    expect_silent(place, store_save(place, 8));
    expect_silent(place, store_reserve(place, 8, 1));
    expect_silent(place, store_release(place, 8, 1));
    expect_silent(place, place->store->adopt(place->store));
    expect_silent(place, place->store->audit(place->store, "one"));
    expect_silent(place, store_place_open(place));
    store_place_load(place);
    expect_silent(place, place->store->remove(place->store, "lab:me"));
}

static void a_read_only_disk_is_named(void **state)
{
    struct store_place *place = *state;
    if (!own_mounts() || mount("none", place->directory, "tmpfs", 0, "size=4m,mode=0700") != 0) {
        print_message("skipped: mounts are root's to make\n");
        skip();
    }
    store_place_fill(place);
    assert_int_equal(mount(NULL, place->directory, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    store_place_expect_refused(place, -EROFS, "lock");
    umount(place->directory);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, store_place_setup, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_is_made_for_the_owner_only),
        TEST(no_secret_stands_in_any_file_in_the_clear),
        TEST(wrong_modes_are_refused_with_what_to_do),
        TEST(symbolic_and_hard_links_are_refused),
        TEST(a_planted_link_is_not_written_through),
        TEST(a_second_keeper_is_told_who_holds_the_store),
        TEST(a_copied_store_says_so_until_it_is_adopted),
        TEST(a_moved_store_opens),
        TEST(a_store_on_another_machine_is_a_copy),
        TEST(a_lost_key_is_an_error_and_not_a_fresh_start),
        TEST(a_changed_byte_anywhere_is_found),
        TEST(a_damaged_record_is_kept_beside_its_successor),
        TEST(a_record_under_another_name_is_refused),
        TEST(a_key_from_outside_is_not_written_down),
        TEST(a_record_of_another_store_is_refused_whatever_the_key),
        TEST(a_torn_intent_counts_as_sent),
        TEST(an_older_record_put_back_keeps_the_intents_it_lacks),
        TEST(names_are_kept_apart_when_files_are_removed),
        TEST(a_profile_whose_files_are_gone_already_says_so),
        TEST(a_long_profile_id_has_a_file_of_its_own),
        TEST(the_records_header_says_whether_the_login_lives),
        TEST(a_credential_too_large_for_its_file_is_refused),
        TEST(attempts_are_told_apart),
        TEST(a_full_disk_shows_before_the_token_is_spent),
        TEST(what_succeeds_leaves_no_sentence_about_a_failure),
        TEST(a_read_only_disk_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
