/* SPDX-License-Identifier: Apache-2.0 */
/* A disk so full that no file can be made, renamed or removed, as one that copies what it writes
 * may be; and removals that are cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faulty_disk.h"
#include "store/store_codec.h"
#include "store/store_internal.h"
#include "store_place.h"
#include "token/credential.h"

/* Besides being full it may fail one call of reading. */
struct full_disk {
    struct disk_port port;
    bool is_full;
    unsigned opens, fail_open; /* number of the open that fails with EIO; 0: none */
};

static struct full_disk *full_of(const struct disk_port *disk)
{
    return (struct full_disk *)(uintptr_t)disk;
}

static int full_open(const struct disk_port *disk, int dir, const char *name, int flags,
                     mode_t mode)
{
    struct full_disk *full = full_of(disk);
    if (++full->opens == full->fail_open) {
        return -EIO;
    }
    return full->is_full && (flags & O_EXCL) != 0
               ? -ENOSPC
               : disk_real()->open(disk, dir, name, flags, mode);
}

static int full_rename(const struct disk_port *disk, int dir, const char *from, const char *to)
{
    return full_of(disk)->is_full ? -ENOSPC : disk_real()->rename(disk, dir, from, to);
}

static int full_unlink(const struct disk_port *disk, int dir, const char *name)
{
    return full_of(disk)->is_full && faccessat(dir, name, F_OK, 0) == 0
               ? -EDQUOT
               : disk_real()->unlink(disk, dir, name);
}

static void full_disk_init(struct full_disk *full)
{
    *full = (struct full_disk){.port = *disk_real()};
    full->port.open = full_open;
    full->port.rename = full_rename;
    full->port.unlink = full_unlink;
}

/* Reservations of another profile, which are looked at, too. */
static void reserve_another(struct store_place *place)
{
    struct credential credential = store_credential(7);
    snprintf(credential.profile, sizeof(credential.profile), "lab:other");
    assert_int_equal(place->store->write_record(place->store, &credential), 0);
    assert_int_equal(place->store->reserve(place->store, &credential, 1), 0);
    credential_deinit(&credential);
}

/* A file as a login leaves it that was cut short: n+1 that belongs to no attempt. */
static void write_as_told_to_nobody(struct store_place *place, uint32_t attempt)
{
    struct seal_header header = {.kind = SEAL_RECORD, .generation = 9, .state = 1,
                                 .profile = "lab:me"};
    struct credential credential = store_credential(9);
    struct secret *plain = codec_pack(&credential_codec, &credential, secret_memory_sodium());
    char next[256], path[300], end[32];
    uint8_t *bytes;
    size_t size;
    assert_int_equal(
        store_seal((struct store_file *)place->store, &header, plain, &bytes, &size), 0);
    snprintf(end, sizeof(end), "g7.a%u.next", attempt);
    store_find(place, end, next, sizeof(next));
    snprintf(path, sizeof(path), "%.*sg8.a0.next", (int)(strlen(next) - strlen(end)), next);
    store_write_bytes(path, bytes, size, 0);
    secret_free(plain);
    credential_deinit(&credential);
    free(bytes);
}

/* A refresh of generation 7, its last attempt answered, whose record could not be renamed, once or
 * twice. */
static void fill_in_a_refresh(struct store_place *place, struct full_disk *full, uint32_t attempts,
                              int times)
{
    full_disk_init(full);
    place->disk = &full->port;
    assert_true(store_place_open(place) >= 0);
    assert_int_equal(store_save(place, 7), 0);
    for (uint32_t attempt = 1; attempt <= attempts; attempt++) {
        assert_int_equal(store_reserve(place, 7, attempt), 0);
        assert_int_equal(store_intent(place, 7, attempt), 0);
    }
    assert_int_equal(store_answer(place, 7, attempts), 0);
    reserve_another(place);
    full->is_full = true;
    for (int i = 0; i < times; i++) {
        assert_int_equal(store_save(place, 8), -ENOSPC);
        assert_non_null(strstr(place->store->why(place->store), "No space left"));
    }
    write_as_told_to_nobody(place, attempts);
}

static void note_generation(void *arg, struct stored *stored)
{
    if (strcmp(stored->credential.profile, "lab:me") == 0) {
        *(uint64_t *)arg = stored->credential.generation;
        assert_false(stored->has_intent);
    }
    stored_deinit(stored);
}

static void what_a_full_disk_does_not_rename_counts_all_the_same(void **state)
{
    struct store_place *place = *state;
    struct full_disk full;
    for (int row = 0; row < 4; row++) {
        uint32_t attempts = row < 2 ? 1 : 2;
        fill_in_a_refresh(place, &full, attempts, 1 + row % 2);
        for (int i = 0; i < 2; i++) { /* and removes nothing */
            uint64_t generation = 0;
            assert_int_equal(store_place_open(place), 0);
            assert_int_equal(place->store->load(place->store, &generation, note_generation,
                                                store_ignore_bad), 0);
            assert_int_equal(generation, 8);
            assert_int_equal(store_count(place, ".intent"), attempts + 1);
        }
        assert_int_equal(store_reserve(place, 8, 1), -ENOSPC);
        full.is_full = false;
        assert_int_equal(store_save(place, 9), 0);
        store_place_restart(place);
        assert_int_equal(place->loaded_count, 2);
        assert_int_equal(store_count(place, ".intent") + store_count(place, ".next"), 0);
        store_place_close(place);
        temp_dir_remove(place->credentials);
    }
}

static void a_full_disk_that_cannot_be_read_is_not_taken_for_an_older_one(void **state)
{
    struct store_place *place = *state;
    struct full_disk full;
    fill_in_a_refresh(place, &full, 2, 1);
    unsigned opens = 0, failed = 0;
    do {
        full.opens = full.fail_open = 0;
        assert_int_equal(store_place_open(place), 0);
        full.opens = 0;
        full.fail_open = ++opens;
        uint64_t generation = 0;
        bool loads = place->store->load(place->store, &generation, note_generation,
                                        store_ignore_bad) == 0;
        assert_true(generation == 8 || (!loads && generation == 0));
        failed += loads ? 0 : 1;
    } while (full.opens >= opens);
    assert_true(failed > 3);
    store_place_close(place);
}

static void a_full_disk_keeps_what_is_over(void **state)
{
    struct store_place *place = *state;
    struct full_disk full;
    full_disk_init(&full);
    place->disk = &full.port;
    assert_true(store_place_open(place) >= 0);
    assert_int_equal(store_save(place, 7), 0);
    assert_int_equal(store_reserve(place, 7, 1), 0);
    full.is_full = true;
    assert_int_equal(store_place_open(place), 0);
    store_place_load(place);
    assert_int_equal(place->loaded.credential.generation, 7);
    assert_false(place->loaded.has_intent);
    assert_int_equal(store_count(place, ".intent"), 1);
    store_place_close(place); /* its disk ends here */
}

/* ---- removals ---- */

/* A file whose name only begins like those of the profile. */
static void write_neighbour(const char *record)
{
    char path[300];
    snprintf(path, sizeof(path), "%.*sx.old", (int)(strlen(record) - strlen(".record")), record);
    store_write_bytes(path, "", 0, 0);
}

/* Loads on a disk that breaks at each call in turn, until it does not. */
static void load_with_faults(struct store_place *place)
{
    struct faulty_disk faulty;
    unsigned calls = 0;
    uint64_t generation = 0;
    do {
        faulty_disk_init(&faulty);
        place->disk = &faulty.port;
        assert_int_equal(store_place_open(place), 0);
        faulty.fail_at = faulty.calls + ++calls;
        faulty.error = EIO;
        faulty.for_ever = true;
        place->store->load(place->store, &generation, note_generation, store_ignore_bad);
    } while (faulty.calls >= faulty.fail_at);
    store_place_restart(place);
}

static void what_was_sent_for_a_login_ends_with_it(void **state)
{
    struct store_place *place = *state;
    char record[256], next[256];
    for (int damaged = 0; damaged < 2; damaged++) {
        store_place_restart(place);
        assert_int_equal(store_save(place, 7), 0);
        store_attempt(place, 7, 1);
        store_find(place, ".record", record, sizeof(record));
        write_neighbour(record);
        if (damaged) {
            store_write_bytes(record, "x", 1, 300); /* beside it all stays as it is */
        } else {
            store_find(place, ".next", next, sizeof(next));
            assert_int_equal(unlink(record) | unlink(next), 0);
        }
        load_with_faults(place);
        assert_int_equal(place->loaded_count, 0);
        assert_int_equal(store_count(place, ".intent"), damaged);
        assert_int_equal(store_count(place, ".answer"), damaged);
    }
}

static void a_removal_cut_short_leaves_all_or_nothing(void **state)
{
    struct store_place *place = *state;
    struct faulty_disk faulty;
    unsigned calls = 0, kept = 0, gone = 0;
    do {
        faulty_disk_init(&faulty);
        place->disk = &faulty.port;
        assert_true(store_place_open(place) >= 0);
        assert_int_equal(store_save(place, 7), 0);
        assert_int_equal(store_reserve(place, 7, 1), 0);
        assert_int_equal(store_intent(place, 7, 1), 0);
        faulty.fail_at = faulty.calls + ++calls;
        faulty.error = EIO;
        faulty.for_ever = true;
        bool removed = place->store->remove(place->store, "lab:me") == 0;
        bool was_hit = faulty.calls >= faulty.fail_at;
        assert_true(removed || was_hit);
        store_place_restart(place);
        assert_true(!removed || place->loaded_count == 0);
        kept += place->loaded_count == 1 ? 1 : 0;
        gone += place->loaded_count == 0 ? 1 : 0;
        assert_int_equal(store_count(place, ".intent"), place->loaded_count);
        assert_true(place->loaded_count == 0 || place->loaded.has_intent);
        if (place->loaded_count == 1) {
            assert_int_equal(place->store->remove(place->store, "lab:me"), 0);
        }
    } while (faulty.calls >= faulty.fail_at);
    assert_true(kept > 0 && gone > 2);
}

#define TEST(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, store_place_setup_in_memory, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_full_disk_does_not_rename_counts_all_the_same),
        TEST(a_full_disk_that_cannot_be_read_is_not_taken_for_an_older_one),
        TEST(a_full_disk_keeps_what_is_over),
        TEST(what_was_sent_for_a_login_ends_with_it),
        TEST(a_removal_cut_short_leaves_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
