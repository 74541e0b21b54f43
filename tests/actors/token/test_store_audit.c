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

static void a_line_left_out_breaks_the_chain(void **state)
{
    struct store_place *place = *state;
    char path[256], bytes[4096];
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    audit(place, "two");
    audit(place, "three");
    store_place_close(place);
    store_path(place, "audit.log", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes) - 1);
    bytes[size] = '\0';
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
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    audit(place, "two");
    audit(place, "three");
    store_place_close(place);
    store_path(place, "audit.log", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes) - 1);
    bytes[size] = '\0';
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
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    audit(place, "two");
    store_place_close(place);
    store_path(place, "audit.log", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes));
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

static void lines_that_are_none_are_no_end_of_the_chain(void **state)
{
    struct store_place *place = *state;
    static const char *const lines[] = {
        "word\n",
        "2 2026-01-01T00:00:00Z text 0011\n",
        "2 2026-01-01T00:00:00Z text 0011223344556677889900112233445x\n",
        "x y z 00112233445566778899001122334455\n",
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

static void a_log_too_long_to_be_read_again_is_not_wished_for(void **state)
{
    struct store_place *place = *state;
    place->store = store_file_new(&(struct store_file_options){.state_dir = place->directory,
                                                               .audit_rotate_bytes = UINT32_MAX});
    assert_int_equal(place->store->open(place->store), STORE_FRESH);
    audit(place, "one");
    assert_int_equal(verify(place), 1);
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
    assert_int_equal(store_place_open(place), STORE_FRESH);
    audit(place, "one");
    audit(place, "two");
    store_place_close(place);
    store_path(place, "audit.log", path, sizeof(path));
    size_t size = store_read_bytes(path, bytes, sizeof(bytes));
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
            place->store->audit(place->store, "three");
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
        TEST(a_line_left_out_breaks_the_chain),
        TEST(a_line_of_another_past_breaks_the_chain),
        TEST(a_torn_line_is_ended_and_the_chain_goes_on),
        TEST(a_long_log_is_rotated_and_still_one_chain),
        TEST(a_log_that_cannot_be_written_is_tried_again_with_the_next_line),
        TEST(a_torn_line_that_cannot_be_ended_is_not_written_after),
        TEST(lines_that_are_none_are_no_end_of_the_chain),
        TEST(a_line_is_cut_to_its_room_and_stays_one),
        TEST(a_log_too_long_to_be_read_again_is_not_wished_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
