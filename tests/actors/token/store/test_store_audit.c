/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log of the file store: one chain, over restarts, rotations and crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "faulty_disk.h"
#include "store_place.h"

static void audit(struct store_place *place, const char *line)
{
    assert_int_equal(place->store->audit(place->store, line), 0);
}

static int verify(struct store_place *place)
{
    return store_file_audit_verify(place->store);
}

/* The lines "one", "two", "three", so many of them, in a new log; its size, path and text. */
static size_t write_log(struct store_place *place, int lines, char ret_path[256],
                        char ret_text[4096])
{
    static const char *const texts[] = {"one", "two", "three"};
    assert_int_equal(store_place_open(place), STORE_FRESH);
    for (int i = 0; i < lines; i++) {
        audit(place, texts[i]);
    }
    store_path(place, "audit.log", ret_path, 256);
    size_t size = store_read_bytes(ret_path, ret_text, 4095);
    ret_text[size] = '\0';
    return size;
}

static void the_audit_log_is_a_chain_over_restarts(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "login lab:me");
    audit(place, "grant lab:me to atlas\nforged line"); /* stays one line */
    assert_int_equal(store_place_open(place), 0);
    audit(place, "save lab:me generation 8");
    assert_int_equal(verify(place), 3);
    store_path(place, "audit.log", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes) - 1);
    bytes[size] = '\0';
    assert_non_null(strstr(bytes, "1 20"));
    assert_non_null(strstr(bytes, " grant lab:me to atlas?forged line "));
    char *save = strstr(bytes, "grant");
    store_write_bytes(path, "GRANT", 5, save - bytes);
    assert_int_equal(verify(place), -EBADMSG);
    assert_non_null(strstr(place->store->why(place->store), "number 2"));
}

/* The first `from` in the text becomes `to`; both have one length. */
static void change(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);
    assert_non_null(at);
    memcpy(at, to, strlen(to));
}

/* Of three lines, all that are left and have been changed; the first one left is believed. */
static void whatever_is_changed_in_a_line_breaks_the_chain(void **state)
{
    static const struct {
        bool cut; /* the first line is gone */
        const char *from[2], *to[2];
        int result;
    } rows[] = {
        {false, {"one", "two"}, {"one", "two"}, 3},
        {false, {"one", "two"}, {"0ne", "two"}, -EBADMSG},
        {false, {"one", "three"}, {"one", "threE"}, -EBADMSG},
        {false, {"Z two", "three"}, {"z two", "three"}, -EBADMSG},
        {false, {"2 20", "three"}, {"7 20", "three"}, -EBADMSG},
        {true, {"two", "three"}, {"two", "three"}, 2},
        {true, {"2 20", "3 20"}, {"7 20", "3 20"}, -EBADMSG},
        {true, {"2 20", "3 20"}, {"7 20", "8 20"}, -EBADMSG},
        {true, {"2 20", "3 20"}, {"1 20", "2 20"}, -EBADMSG},
    };
    struct store_place *place = *state;
    char path[256], bytes[4096], changed[4096];
    write_log(place, 3, path, bytes);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        snprintf(changed, sizeof(changed), "%s", rows[i].cut ? strchr(bytes, '\n') + 1 : bytes);
        change(changed, rows[i].from[0], rows[i].to[0]);
        change(changed, rows[i].from[1], rows[i].to[1]);
        assert_int_equal(truncate(path, 0), 0);
        store_write_bytes(path, changed, strlen(changed), 0);
        if (verify(place) != rows[i].result) {
            fail_msg("row %zu", i);
        }
    }
}

static int64_t fixed_wall_ms(const struct disk_port *disk)
{
    (void)disk;
    return 1800000000007;
}

/* A store with a key given from outside and a clock that stands. */
static void open_fixed(struct store_place *place, const struct disk_port *disk, char key_byte,
                       uint32_t rotate_bytes)
{
    char bytes[STORE_KEY_SIZE];
    memset(bytes, key_byte, sizeof(bytes));
    struct secret *key = secret_new(bytes, sizeof(bytes));
    store_place_close(place);
    place->store = store_file_new(&(struct store_file_options){.state_dir = place->directory,
                                                               .key = key,
                                                               .disk = disk,
                                                               .audit_rotate_bytes = rotate_bytes});
    secret_free(key);
    assert_true(place->store->open(place->store) >= 0);
}

/* Logs that were written once must hold for ever, and with their key alone. */
static void a_line_is_written_as_it_always_was(void **state)
{
    static const char log[] =
        "1 2027-01-15T08:00:00.007Z login lab:me 94a449e95f12e6aa5d54acce71e30f7a\n"
        "2 2027-01-15T08:00:00.007Z ? ?~ 981fb6518f3f69068cc4430d7bac7904\n";
    struct store_place *place = *state;
    char path[256], bytes[4096];
    struct disk_port disk = *disk_real();
    disk.wall_ms = fixed_wall_ms;
    open_fixed(place, &disk, 7, 0);
    audit(place, "login lab:me");
    open_fixed(place, &disk, 7, 0);
    audit(place, "\x1f \x7f~");
    assert_int_equal(verify(place), 2);
    store_path(place, "audit.log", path, sizeof(path));
    bytes[store_read_bytes(path, bytes, sizeof(bytes) - 1)] = '\0';
    assert_string_equal(bytes, log);
    open_fixed(place, &disk, 8, 0);
    assert_int_equal(verify(place), -EBADMSG);
    store_place_close(place);
}

static void a_line_left_out_breaks_the_chain(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    size_t size = write_log(place, 3, path, bytes);
    store_place_close(place);
    char *second = strchr(bytes, '\n') + 1, *third = strchr(second, '\n') + 1;
    size_t first_size = (size_t)(second - bytes), rest = size - (size_t)(third - bytes);
    assert_int_equal(truncate(path, (off_t)first_size), 0);
    store_write_bytes(path, third, rest, (off_t)first_size);
    assert_int_equal(store_place_open(place), 0);
    assert_int_equal(verify(place), -EBADMSG);
}

/* Two logs that part after the first line, both written with the key; their halves joined. */
static void a_line_of_another_past_breaks_the_chain(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096], other[4096];
    write_log(place, 3, path, bytes);
    store_place_close(place);
    size_t first_size = (size_t)(strchr(bytes, '\n') + 1 - bytes);
    char *third = strchr(bytes + first_size, '\n') + 1;
    assert_int_equal(truncate(path, (off_t)first_size), 0);
    assert_int_equal(store_place_open(place), 0);
    audit(place, "two, but otherwise");
    store_place_close(place);
    size_t other_size = store_read_bytes(path, other, sizeof(other));
    store_write_bytes(path, third, strlen(third), (off_t)other_size);
    assert_int_equal(store_place_open(place), 0);
    assert_int_equal(verify(place), -EBADMSG);
    assert_non_null(strstr(place->store->why(place->store), "number 3"));
}

static void a_torn_line_is_ended_and_the_chain_goes_on(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    size_t size = write_log(place, 2, path, bytes);
    store_place_close(place);
    assert_int_equal(truncate(path, (off_t)size - 10), 0);
    assert_int_equal(store_place_open(place), 0);
    audit(place, "three");
    assert_int_equal(verify(place), 2);
}

static void a_long_log_is_rotated_and_still_one_chain(void **state)
{
    struct store_place *place = *state;
    place->store = store_file_new(&(struct store_file_options){.state_dir = place->directory,
                                                               .audit_rotate_bytes = 1000});
    assert_int_equal(place->store->open(place->store), STORE_FRESH);
    for (int i = 0; i < 40; i++) {
        audit(place, "grant lab:me to nova");
    }
    assert_int_equal(verify(place), 40);
    assert_int_equal(store_count(place, "audit.log.3"), 1);
    for (int i = 0; i < 40; i++) {
        audit(place, "grant lab:me to nova");
    }
    assert_in_range(verify(place), 40, 79); /* the oldest are gone; what is left holds */
    assert_int_equal(store_count(place, "audit.log.5"), 0);
}

/* All lines have one length here, and there is room for two in a file. */
static void a_full_file_is_rotated_and_a_restart_does_not_put_it_off(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    struct disk_port disk = *disk_real();
    disk.wall_ms = fixed_wall_ms;
    open_fixed(place, &disk, 7, 0);
    audit(place, "same");
    store_path(place, "audit.log", path, sizeof(path));
    size_t line = store_read_bytes(path, bytes, sizeof(bytes));
    for (size_t i = 2; i <= 7; i++) {
        if (i % 3 != 0) {
            open_fixed(place, &disk, 7, (uint32_t)(2 * line));
        }
        audit(place, "same");
        assert_int_equal(store_read_bytes(path, bytes, sizeof(bytes)), i % 2 == 0 ? 2 * line
                                                                                  : line);
    }
    assert_int_equal(verify(place), 7);
    store_place_close(place);
}

static void a_log_that_was_removed_begins_anew(void **state)
{
    struct store_place *place = *state;
    struct faulty_disk faulty;
    char path[256];
    faulty_disk_init(&faulty);
    place->disk = &faulty.port;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    store_path(place, "audit.log", path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    faulty.fail_at = faulty.calls + 1;
    faulty.error = EIO;
    assert_int_equal(place->store->audit(place->store, "lost"), -EIO);
    audit(place, "one again");
    assert_int_equal(verify(place), 1);
    store_place_close(place); /* before its disk goes */
    place->disk = NULL;
}

static void a_log_that_cannot_be_read_is_not_said_to_hold(void **state)
{
    struct store_place *place = *state;
    struct faulty_disk faulty;
    faulty_disk_init(&faulty);
    place->disk = &faulty.port;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    for (unsigned k = 1; k <= 9; k++) { /* five files are opened, the last one is read */
        faulty.fail_at = faulty.calls + k;
        faulty.error = EIO;
        assert_int_equal(verify(place), -EIO);
    }
    assert_int_equal(verify(place), 1);
    store_place_close(place); /* before its disk goes */
    place->disk = NULL;
}

static void lines_that_are_none_are_no_end_of_the_chain(void **state)
{
    struct store_place *place = *state;
    static const char *const lines[] = {
        "word\n",
        "2 2026-01-01T00:00:00Z text 0011\n",
        "2 2026-01-01T00:00:00Z text 0011223344556677889900112233445x\n",
        "x y z 00112233445566778899001122334455\n",
        " x y z 00112233445566778899001122334455\n",
        "2 2026-01-01T00:00:00Z 00112233445566778899001122334455\n",
        "2 2026-01-01T00:00:00Z_of_more_than_thirty text 00112233445566778899001122334455\n",
    };
    char path[256], bytes[4096];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    store_path(place, "audit.log", path, sizeof(path));
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        size_t size = store_read_bytes(path, bytes, sizeof(bytes));
        store_place_close(place);
        store_write_bytes(path, lines[i], strlen(lines[i]), (off_t)size);
        assert_int_equal(store_place_open(place), 0);
        audit(place, "two"); /* goes on after the last line that is one */
        assert_int_equal(verify(place), 2);
        store_place_close(place);
        assert_int_equal(truncate(path, (off_t)size), 0);
        assert_int_equal(store_place_open(place), 0);
        assert_int_equal(verify(place), 1);
    }
}

static void a_line_is_cut_to_its_room_and_stays_one(void **state)
{
    struct store_place *place = *state;
    char line[20000], path[256], bytes[30000];
    memset(line, 'a', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    line[3] = 0x7f;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, line);
    audit(place, "two");
    assert_int_equal(verify(place), 2);
    store_path(place, "audit.log", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes) - 1);
    bytes[size] = '\0';
    assert_non_null(strstr(bytes, " aaa?aaa"));
    assert_true(size < sizeof(line));
}

static void a_log_that_cannot_be_written_is_tried_again_with_the_next_line(void **state)
{
    struct store_place *place = *state;
    struct faulty_disk faulty;
    faulty_disk_init(&faulty);
    place->disk = &faulty.port;
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        faulty.fail_at = faulty.calls + 1;
        faulty.for_ever = for_ever != 0;
        faulty.error = EIO;
        assert_int_equal(place->store->audit(place->store, "lost"), -EIO);
        const char *why = place->store->why(place->store);
        assert_int_equal(strstr(why, "nor open it again") != NULL, for_ever);
        faulty.fail_at = 0;
        audit(place, "two");
    }
    assert_int_equal(verify(place), 3);
    store_place_close(place); /* before its disk goes */
    place->disk = NULL;
}

static void a_torn_line_that_cannot_be_ended_is_not_written_after(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    size_t size = write_log(place, 2, path, bytes);
    store_place_close(place);
    bool hit = true;
    for (unsigned k = 1; hit; k++) {
        struct faulty_disk faulty;
        store_write_bytes(path, bytes, size, 0);
        assert_int_equal(truncate(path, (off_t)size - 10), 0);
        faulty_disk_init(&faulty);
        faulty.fail_at = k;
        faulty.error = ENOSPC;
        place->disk = &faulty.port;
        if (store_place_open(place) >= 0) {
            unsigned before = faulty.calls;
            bool written = place->store->audit(place->store, "three") == 0;
            bool met = faulty.calls >= k;
            assert_true(met || faulty.calls == before + 2); /* write and sync, of an open file */
            faulty.fail_at = 0;
            assert_in_range(verify(place), written ? 2 : 1, 2);
            store_write_bytes(path, "torn", 4, 100000); /* by another hand, while it is open */
            assert_int_equal(truncate(path, 100004), 0);
            verify(place);
        }
        hit = faulty.calls >= k;
        store_place_close(place);
        place->disk = NULL;
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, store_place_setup, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_audit_log_is_a_chain_over_restarts),
        TEST(whatever_is_changed_in_a_line_breaks_the_chain),
        TEST(a_line_is_written_as_it_always_was),
        TEST(a_line_left_out_breaks_the_chain),
        TEST(a_line_of_another_past_breaks_the_chain),
        TEST(a_torn_line_is_ended_and_the_chain_goes_on),
        TEST(a_long_log_is_rotated_and_still_one_chain),
        TEST(a_full_file_is_rotated_and_a_restart_does_not_put_it_off),
        TEST(a_log_that_was_removed_begins_anew),
        TEST(a_log_that_cannot_be_read_is_not_said_to_hold),
        TEST(a_log_that_cannot_be_written_is_tried_again_with_the_next_line),
        TEST(a_torn_line_that_cannot_be_ended_is_not_written_after),
        TEST(lines_that_are_none_are_no_end_of_the_chain),
        TEST(a_line_is_cut_to_its_room_and_stays_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
