/* SPDX-License-Identifier: Apache-2.0 */
/* What each operation of the store changes on the disk, and in which order: the order is the
 * promise. Reading is left out; descriptors are counted by the place itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_place.h"
#include "token/credential.h"

#define FDS_MAX 1024

struct tracing_disk {
    struct disk_port port;
    const char *fail; /* the line that fails, once; NULL: none */
    int error;        /* as errno; 0: EIO */
    char names[FDS_MAX][96];
    char path[128]; /* the last one that was opened by a path of its own */
    char text[8192];
    size_t used;
};

static struct tracing_disk *tracing_of(const struct disk_port *disk)
{
    return (struct tracing_disk *)(uintptr_t)disk;
}

/* The state directory and the one above have names that differ from run to run. */
static const char *name_of(int dir, const char *name)
{
    size_t length = strlen(name);
    if (dir == AT_FDCWD) {
        return name[length - 1] == '/' ? "(above)" : "(state)";
    }
    return strncmp(name, "lab_me-", 7) == 0 ? strchr(name, '.') + 1 : name;
}

static int note(const struct disk_port *disk, const char *verb, const char *name, const char *to)
{
    struct tracing_disk *tracing = tracing_of(disk);
    char line[200];
    snprintf(line, sizeof(line), "%s %s%s%s", verb, name, to[0] == '\0' ? "" : " -> ", to);
    tracing->used += (size_t)snprintf(tracing->text + tracing->used,
                                      sizeof(tracing->text) - tracing->used, "%s\n", line);
    assert_true(tracing->used < sizeof(tracing->text));
    if (tracing->fail != NULL && strcmp(tracing->fail, line) == 0) {
        tracing->fail = NULL;
        return tracing->error != 0 ? -tracing->error : -EIO;
    }
    return 0;
}

static int tracing_open(const struct disk_port *disk, int dir, const char *name, int flags,
                        mode_t mode)
{
    const char *shown = name_of(dir, name);
    if (dir == AT_FDCWD) {
        snprintf(tracing_of(disk)->path, sizeof(tracing_of(disk)->path), "%s", name);
    }
    int error = (flags & O_CREAT) != 0 ? note(disk, "create", shown, "") : 0;
    int fd = error < 0 ? error : disk_real()->open(disk_real(), dir, name, flags, mode);
    if (fd >= 0) {
        assert_true(fd < FDS_MAX);
        snprintf(tracing_of(disk)->names[fd], sizeof(tracing_of(disk)->names[fd]), "%s", shown);
    }
    return fd;
}

static ssize_t tracing_write(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                             off_t at)
{
    int error = note(disk, "write", tracing_of(disk)->names[fd], "");
    return error < 0 ? error : disk_real()->write(disk_real(), fd, bytes, size, at);
}

static int tracing_allocate(const struct disk_port *disk, int fd, off_t size)
{
    int error = note(disk, "allocate", tracing_of(disk)->names[fd], "");
    return error < 0 ? error : disk_real()->allocate(disk_real(), fd, size);
}

static int tracing_sync(const struct disk_port *disk, int fd)
{
    int error = note(disk, "sync", tracing_of(disk)->names[fd], "");
    return error < 0 ? error : disk_real()->sync(disk_real(), fd);
}

static int tracing_rename(const struct disk_port *disk, int dir, const char *from, const char *to)
{
    int error = note(disk, "rename", name_of(dir, from), name_of(dir, to));
    return error < 0 ? error : disk_real()->rename(disk_real(), dir, from, to);
}

static int tracing_unlink(const struct disk_port *disk, int dir, const char *name)
{
    int error = note(disk, "unlink", name_of(dir, name), "");
    return error < 0 ? error : disk_real()->unlink(disk_real(), dir, name);
}

static int tracing_mkdir(const struct disk_port *disk, int dir, const char *name, mode_t mode)
{
    int error = note(disk, "mkdir", name_of(dir, name), "");
    return error < 0 ? error : disk_real()->mkdir(disk_real(), dir, name, mode);
}

static int tracing_lock(const struct disk_port *disk, int fd)
{
    int error = note(disk, "lock", tracing_of(disk)->names[fd], "");
    return error < 0 ? error : disk_real()->lock(disk_real(), fd);
}

static void trace(struct store_place *place, struct tracing_disk *tracing)
{
    *tracing = (struct tracing_disk){.port = *disk_real()};
    tracing->port.open = tracing_open;
    tracing->port.write = tracing_write;
    tracing->port.allocate = tracing_allocate;
    tracing->port.sync = tracing_sync;
    tracing->port.rename = tracing_rename;
    tracing->port.unlink = tracing_unlink;
    tracing->port.mkdir = tracing_mkdir;
    tracing->port.lock = tracing_lock;
    place->disk = &tracing->port;
}

static void expect(struct tracing_disk *tracing, const char *calls)
{
    assert_string_equal(tracing->text, calls);
    tracing->used = 0;
    tracing->text[0] = '\0';
}

/* ---- the operations ---- */

static void a_store_is_durable_before_it_is_used(void **state)
{
    struct store_place *place = *state;
    struct tracing_disk tracing;
    trace(place, &tracing);
    assert_int_equal(store_place_open(place), STORE_FRESH);
    expect(&tracing,
           "mkdir credentials\n"
           "sync (above)\n"
           "sync (state)\n"
           "create lock\n"
           "lock lock\n"
           "write lock\n"
           "unlink key.new\n"
           "create key.new\n"
           "write key.new\n"
           "sync key.new\n"
           "rename key.new -> key\n"
           "sync credentials\n"
           "unlink store.new\n"
           "create store.new\n"
           "write store.new\n"
           "sync store.new\n"
           "rename store.new -> store\n"
           "sync credentials\n"
           "create audit.log\n");
    assert_int_equal(store_place_open(place), 0);
    expect(&tracing,
           "sync (above)\n"
           "sync (state)\n"
           "create lock\n"
           "lock lock\n"
           "write lock\n"
           "sync key\n"
           "sync store\n"
           "sync audit.log\n"
           "create audit.log\n");
    store_place_load(place);
    expect(&tracing,
           "sync credentials\n");
    assert_int_equal(place->store->adopt(place->store), 0);
    expect(&tracing,
           "unlink store.new\n"
           "create store.new\n"
           "write store.new\n"
           "sync store.new\n"
           "rename store.new -> store\n"
           "sync credentials\n");
    store_place_close(place);
}

static void a_refresh_reserves_writes_syncs_renames_and_only_then_removes(void **state)
{
    struct store_place *place = *state;
    struct tracing_disk tracing;
    trace(place, &tracing);
    store_place_open(place);
    store_place_load(place);
    tracing.used = 0;
    assert_int_equal(store_save(place, 7), 0);
    expect(&tracing,
           "unlink g7.a0.next\n"
           "create g7.a0.next\n"
           "write g7.a0.next\n"
           "sync g7.a0.next\n"
           "rename record -> record.bad\n"
           "rename g7.a0.next -> record\n"
           "sync credentials\n");
    assert_int_equal(store_reserve(place, 7, 1), 0);
    expect(&tracing,
           "unlink g7.a1.intent\n"
           "create g7.a1.intent\n"
           "allocate g7.a1.intent\n"
           "sync g7.a1.intent\n"
           "unlink g7.a1.answer\n"
           "create g7.a1.answer\n"
           "allocate g7.a1.answer\n"
           "sync g7.a1.answer\n"
           "unlink g7.a1.next\n"
           "create g7.a1.next\n"
           "allocate g7.a1.next\n"
           "sync g7.a1.next\n"
           "sync credentials\n");
    assert_int_equal(store_intent(place, 7, 1), 0);
    expect(&tracing,
           "write g7.a1.intent\n"
           "sync g7.a1.intent\n");
    assert_int_equal(store_answer(place, 7, 1), 0);
    expect(&tracing,
           "write g7.a1.answer\n"
           "sync g7.a1.answer\n");
    assert_int_equal(store_save(place, 8), 0);
    expect(&tracing,
           "write g7.a1.next\n"
           "sync g7.a1.next\n"
           "rename g7.a1.next -> record\n"
           "sync credentials\n"
           "unlink g7.a1.next\n"
           "unlink g7.a1.answer\n"
           "unlink g7.a1.intent\n");
    assert_int_equal(store_reserve(place, 8, 1), 0);
    tracing.used = 0;
    assert_int_equal(store_release(place, 8, 1), 0);
    expect(&tracing,
           "unlink g8.a1.next\n"
           "unlink g8.a1.answer\n"
           "unlink g8.a1.intent\n"
           "sync credentials\n");
    assert_int_equal(store_reserve(place, 8, 1), 0); /* nothing of the first is left */
    assert_int_equal(store_release(place, 8, 1), 0);
    tracing.used = 0;
    assert_int_equal(place->store->remove(place->store, "lab:me"), 0);
    expect(&tracing,
           "unlink record\n"
           "sync credentials\n"
           "sync credentials\n");
    assert_int_equal(place->store->remove(place->store, "lab:me"), -ENOENT);
    expect(&tracing, "");
    store_place_close(place);
}

static void a_line_of_audit_is_synced_but_for_a_grant_and_so_is_a_rotation(void **state)
{
    struct store_place *place = *state;
    struct tracing_disk tracing;
    trace(place, &tracing);
    place->store = store_file_new(&(struct store_file_options){.state_dir = place->directory,
                                                               .disk = place->disk,
                                                               .audit_rotate_bytes = 130});
    assert_int_equal(place->store->open(place->store), STORE_FRESH);
    tracing.used = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(place->store->audit(place->store, i == 1 ? "save lab:me" : "grant lab:me"),
                         0);
    }
    expect(&tracing,
           "write audit.log\n"
           "write audit.log\n"
           "sync audit.log\n"
           "rename audit.log.3 -> audit.log.4\n"
           "rename audit.log.2 -> audit.log.3\n"
           "rename audit.log.1 -> audit.log.2\n"
           "rename audit.log -> audit.log.1\n"
           "create audit.log\n"
           "sync credentials\n"
           "write audit.log\n");
    store_place_close(place);
}

static void what_a_reservation_made_goes_with_it_when_it_fails(void **state)
{
    struct store_place *place = *state;
    struct tracing_disk tracing;
    trace(place, &tracing);
    store_place_open(place);
    store_place_load(place);
    assert_int_equal(store_save(place, 7), 0);
    tracing.used = 0;
    tracing.fail = "sync g7.a1.answer";
    assert_int_equal(store_reserve(place, 7, 1), -EIO);
    expect(&tracing,
           "unlink g7.a1.intent\n"
           "create g7.a1.intent\n"
           "allocate g7.a1.intent\n"
           "sync g7.a1.intent\n"
           "unlink g7.a1.answer\n"
           "create g7.a1.answer\n"
           "allocate g7.a1.answer\n"
           "sync g7.a1.answer\n"
           "unlink g7.a1.answer\n"
           "unlink g7.a1.intent\n");
    tracing.fail = "sync credentials";
    assert_int_equal(store_reserve(place, 7, 1), -EIO);
    expect(&tracing,
           "unlink g7.a1.intent\n"
           "create g7.a1.intent\n"
           "allocate g7.a1.intent\n"
           "sync g7.a1.intent\n"
           "unlink g7.a1.answer\n"
           "create g7.a1.answer\n"
           "allocate g7.a1.answer\n"
           "sync g7.a1.answer\n"
           "unlink g7.a1.next\n"
           "create g7.a1.next\n"
           "allocate g7.a1.next\n"
           "sync g7.a1.next\n"
           "sync credentials\n"
           "unlink g7.a1.intent\n"
           "unlink g7.a1.answer\n"
           "unlink g7.a1.next\n");
    assert_int_equal(store_count(place, "g7.a1.intent"), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    store_place_close(place);
}

static void a_file_that_failed_is_made_anew_and_its_directory_synced(void **state)
{
    struct store_place *place = *state;
    struct tracing_disk tracing;
    trace(place, &tracing);
    store_place_open(place);
    store_place_load(place);
    assert_int_equal(store_save(place, 7), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    tracing.used = 0;
    tracing.fail = "sync g7.a1.answer";
    assert_int_equal(store_answer(place, 7, 1), -EIO);
    expect(&tracing,
           "write g7.a1.answer\n"
           "sync g7.a1.answer\n"
           "unlink g7.a1.answer\n");
    tracing.fail = "create g7.a1.answer";
    assert_int_equal(store_answer(place, 7, 1), -EIO);
    tracing.used = 0;
    assert_int_equal(store_answer(place, 7, 1), 0);
    expect(&tracing,
           "unlink g7.a1.answer\n"
           "create g7.a1.answer\n"
           "write g7.a1.answer\n"
           "sync g7.a1.answer\n"
           "sync credentials\n");
    tracing.fail = "sync g7.a1.next";
    assert_int_equal(store_save(place, 8), -EIO);
    expect(&tracing,
           "write g7.a1.next\n"
           "sync g7.a1.next\n"
           "unlink g7.a1.next\n"
           "unlink g7.a1.next\n");
    assert_int_equal(store_save(place, 8), 0);
    expect(&tracing,
           "unlink g8.a0.next\n"
           "create g8.a0.next\n"
           "write g8.a0.next\n"
           "sync g8.a0.next\n"
           "rename g8.a0.next -> record\n"
           "sync credentials\n"
           "unlink g7.a1.next\n"
           "unlink g7.a1.answer\n"
           "unlink g7.a1.intent\n");
    store_place_close(place);
}

static void a_removal_that_fails_says_so(void **state)
{
    struct store_place *place = *state;
    static const char *const lines[] = {"unlink record", "sync credentials"};
    struct tracing_disk tracing;
    for (size_t i = 0; i < 2; i++) {
        trace(place, &tracing);
        store_place_open(place);
        store_place_load(place);
        assert_int_equal(store_save(place, 7), 0);
        tracing.fail = lines[i];
        assert_int_equal(place->store->remove(place->store, "lab:me"), -EIO);
        tracing.fail = i == 0 ? "sync credentials" : NULL;
        if (i == 0) {
            assert_int_equal(store_reserve(place, 7, 1), -EIO);
            assert_int_equal(store_reserve(place, 7, 1), 0);
            tracing.fail = "unlink g7.a1.intent";
            assert_int_equal(store_release(place, 7, 1), -EIO);
            tracing.fail = "sync credentials";
            assert_int_equal(store_release(place, 7, 1), -EIO);
            assert_int_equal(store_release(place, 7, 1), 0);
        }
        store_place_close(place);
    }
}

static void a_file_that_cannot_be_removed_makes_the_removal_fail(void **state)
{
    struct store_place *place = *state;
    struct tracing_disk tracing;
    trace(place, &tracing);
    store_place_open(place);
    store_place_load(place);
    assert_int_equal(store_save(place, 7), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    tracing.fail = "unlink g7.a1.answer";
    assert_int_equal(place->store->remove(place->store, "lab:me"), -EIO);
    assert_null(tracing.fail);
    store_place_close(place);
}

static void an_attempt_that_is_over_is_forgotten_wherever_it_was_noted(void **state)
{
    struct store_place *place = *state;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    assert_int_equal(store_save(place, 7), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    assert_int_equal(store_intent(place, 7, 1), 0);
    store_place_restart(place); /* found by three files, and one attempt all the same */
    assert_int_equal(store_reserve(place, 7, 1), -EEXIST);
    assert_int_equal(store_release(place, 7, 1), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    assert_int_equal(store_save(place, 8), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
}

static void the_directory_above_is_synced_however_the_path_is_written(void **state)
{
    struct store_place *place = *state;
    struct tracing_disk tracing;
    char parent[128], slash[128], slashes[128], before[512];
    snprintf(slash, sizeof(slash), "%s/", place->directory);
    snprintf(slashes, sizeof(slashes), "%s///", place->directory);
    snprintf(parent, sizeof(parent), "%.*s",
             (int)(strrchr(place->directory, '/') + 1 - place->directory), place->directory);
    const struct {
        const char *path, *above;
    } rows[] = {{place->directory, parent}, {slash, parent}, {slashes, parent}, {"d", "."},
                {"d/", "."}, {"d//", "."}, {"./d", "./"}, {"dd", "."}};
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(place->directory), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        trace(place, &tracing);
        struct store_port *store = store_file_new(&(struct store_file_options){
            .state_dir = rows[i].path, .disk = &tracing.port});
        assert_non_null(store);
        assert_true(store->open(store) >= 0);
        assert_string_equal(tracing.path, rows[i].above);
        store->close(store);
    }
    assert_int_equal(chdir(before), 0);
}

static void each_start_fails_when_a_directory_cannot_be_made_durable(void **state)
{
    struct store_place *place = *state;
    static const char *const lines[] = {"sync (above)", "sync (state)", "sync credentials",
                                        "mkdir credentials", "lock lock"};
    struct tracing_disk tracing;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        trace(place, &tracing);
        tracing.fail = lines[i];
        if (i == 3) {
            temp_dir_remove(place->credentials);
        }
        assert_int_equal(store_place_open(place), -EIO);
        assert_null(tracing.fail);
        assert_int_not_equal(strcmp(place->store->why(place->store), "out of memory"), 0);
        store_place_close(place);
    }
}

/* Generation 8 lies written beside record 7, as a crash before the rename leaves it. */
static void leave_unrenamed(struct store_place *place)
{
    static char seven[1 << 20], eight[1 << 20];
    char path[256], next[300];
    place->disk = NULL;
    store_place_close(place);
    temp_dir_remove(place->credentials);
    assert_int_equal(store_place_open(place), STORE_FRESH);
    assert_int_equal(store_save(place, 7), 0);
    store_find(place, ".record", path, sizeof(path));
    size_t size = store_read_bytes(path, seven, sizeof(seven));
    assert_int_equal(store_save(place, 8), 0);
    size_t next_size = store_read_bytes(path, eight, sizeof(eight));
    store_write_bytes(path, seven, size, 0);
    snprintf(next, sizeof(next), "%.*s.g7.a1.next", (int)(strlen(path) - strlen(".record")), path);
    store_write_bytes(next, eight, next_size, 0);
    store_place_close(place);
}

static void a_successor_found_becomes_a_new_file_and_on_a_full_disk_the_record_itself(void **state)
{
    static const struct {
        const char *fail;
        int error;
    } rows[] = {{NULL, 0}, {"create record.new", ENOSPC}, {"write record.new", EDQUOT}};
    struct store_place *place = *state;
    struct tracing_disk tracing;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        leave_unrenamed(place);
        trace(place, &tracing);
        tracing.fail = rows[i].fail;
        tracing.error = rows[i].error;
        store_place_open(place);
        tracing.used = 0;
        store_place_load(place);
        if (i == 0) {
            expect(&tracing,
                   "sync credentials\n"
                   "sync g7.a1.next\n"
                   "sync record\n"
                   "sync g7.a1.next\n"
                   "unlink record.new\n"
                   "create record.new\n"
                   "write record.new\n"
                   "sync record.new\n"
                   "rename record.new -> record\n"
                   "sync credentials\n"
                   "unlink g7.a1.next\n"
                   "sync record\n");
        } else if (i == 1) {
            expect(&tracing,
                   "sync credentials\n"
                   "sync g7.a1.next\n"
                   "sync record\n"
                   "sync g7.a1.next\n"
                   "unlink record.new\n"
                   "create record.new\n"
                   "rename g7.a1.next -> record\n"
                   "sync credentials\n"
                   "sync record\n");
        } else {
            expect(&tracing,
                   "sync credentials\n"
                   "sync g7.a1.next\n"
                   "sync record\n"
                   "sync g7.a1.next\n"
                   "unlink record.new\n"
                   "create record.new\n"
                   "write record.new\n"
                   "unlink record.new\n"
                   "rename g7.a1.next -> record\n"
                   "sync credentials\n"
                   "sync record\n");
        }
        assert_int_equal(place->loaded_count, 1);
        assert_int_equal(place->loaded.credential.generation, 8);
        store_place_close(place);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, store_place_setup, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_is_durable_before_it_is_used),
        TEST(a_refresh_reserves_writes_syncs_renames_and_only_then_removes),
        TEST(a_line_of_audit_is_synced_but_for_a_grant_and_so_is_a_rotation),
        TEST(what_a_reservation_made_goes_with_it_when_it_fails),
        TEST(a_file_that_failed_is_made_anew_and_its_directory_synced),
        TEST(a_removal_that_fails_says_so),
        TEST(a_file_that_cannot_be_removed_makes_the_removal_fail),
        TEST(an_attempt_that_is_over_is_forgotten_wherever_it_was_noted),
        TEST(the_directory_above_is_synced_however_the_path_is_written),
        TEST(each_start_fails_when_a_directory_cannot_be_made_durable),
        TEST(a_successor_found_becomes_a_new_file_and_on_a_full_disk_the_record_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
