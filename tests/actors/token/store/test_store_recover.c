/* SPDX-License-Identifier: Apache-2.0 */
/* Files of an attempt in every state of ruin that a crash, a stranger or a newer version leaves:
 * what a keeper then believes, and that a ruined file never takes a good one with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_codec.h"
#include "store/store_internal.h"
#include "store_place.h"
#include "token/credential.h"

#define AT_VERSION 8
#define AT_KIND 10
#define AT_PROFILE_END 159
#define AT_CHECKSUM 184

enum role { RECORD, NEXT, INTENT, ANSWER, ROLES };
enum ruin {
    WHOLE,
    EMPTY,   /* reserved and never written */
    TORN,
    LINK,    /* a symbolic link to the right one */
    OPEN_TO_OTHERS,
    OF_ANOTHER_KIND,
    NEWER_VERSION,
    NAME_WITHOUT_END,
    FOREIGN, /* does not open */
    OF_ANOTHER_LOGIN, /* whole and well sealed, for "lab:ye" */
    NOTHING_INSIDE,
    OTHER_GENERATION,
    OTHER_ATTEMPT,
    OTHER_PROFILE,
    RUINS
};

struct file {
    char path[256];
    uint8_t *bytes;
    size_t size;
};

static struct store_file *inner(struct store_place *place)
{
    return (struct store_file *)place->store;
}

static struct secret *content(enum role role, enum ruin ruin, uint64_t generation)
{
    uint32_t attempt = ruin == OTHER_ATTEMPT ? 2 : 1;
    if (ruin == NOTHING_INSIDE) {
        return secret_new("nothing", 7);
    }
    if (role == INTENT) {
        struct intent intent = {.generation = generation, .attempt = attempt};
        return codec_pack(&intent_codec, &intent, secret_memory_sodium());
    }
    if (role == ANSWER) {
        struct answer answer = {.generation = generation, .attempt = attempt, .complete = true,
                                .http_status = 200, .body = secret_new("answer", 6)};
        struct secret *plain = codec_pack(&answer_codec, &answer, secret_memory_sodium());
        secret_free(answer.body);
        return plain;
    }
    struct credential credential = store_credential(generation);
    if (ruin == OTHER_PROFILE) {
        snprintf(credential.profile, sizeof(credential.profile), "lab:other");
    }
    struct secret *plain = codec_pack(&credential_codec, &credential, secret_memory_sodium());
    credential_deinit(&credential);
    return plain;
}

static void checksum(struct file *file)
{
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, 16);
    crypto_generichash_update(&hash, file->bytes, AT_CHECKSUM);
    crypto_generichash_update(&hash, file->bytes + SEAL_HEADER_SIZE,
                              file->size - SEAL_HEADER_SIZE);
    crypto_generichash_final(&hash, file->bytes + AT_CHECKSUM, 16);
}

static void name_of(const char *base, enum role role, uint32_t attempt, char *ret_name)
{
    static const enum file_kind kinds[] = {[NEXT] = FILE_NEXT, [INTENT] = FILE_INTENT,
                                           [ANSWER] = FILE_ANSWER};
    if (role == RECORD) {
        record_name(base, ret_name);
    } else {
        attempt_name(base, 7, attempt, kinds[role], ret_name);
    }
}

static void write_ruin(struct store_place *place, enum role role, enum ruin ruin)
{
    static const enum seal_kind seals[] = {[RECORD] = SEAL_RECORD, [NEXT] = SEAL_RECORD,
                                           [INTENT] = SEAL_INTENT, [ANSWER] = SEAL_ANSWER};
    uint64_t generation = role == NEXT ? 8 : 7;
    struct seal_header header = {.kind = seals[role], .attempt = 1, .generation = generation,
                                 .state = 1, .profile = "lab:me"};
    struct file file;
    char base[STORE_NAME_MAX / 2], name[STORE_NAME_MAX], other[300];
    header.profile[4] = ruin == OF_ANOTHER_LOGIN ? 'y' : 'm';
    struct secret *plain =
        content(role, ruin, ruin == OTHER_GENERATION ? generation + 5 : generation);
    assert_int_equal(store_seal(inner(place), &header, plain, &file.bytes, &file.size), 0);
    secret_free(plain);
    profile_base("lab:me", base);
    name_of(base, role, 1, name);
    store_path(place, name, file.path, sizeof(file.path));
    static const struct {
        enum ruin ruin;
        size_t at;
    } changes[] = {{OF_ANOTHER_KIND, AT_KIND}, {NEWER_VERSION, AT_VERSION},
                   {NAME_WITHOUT_END, AT_PROFILE_END}, {FOREIGN, SEAL_HEADER_SIZE}};
    for (size_t i = 0; i < 4; i++) {
        if (changes[i].ruin == ruin) {
            file.bytes[changes[i].at] ^= 7;
            checksum(&file);
        }
    }
    file.bytes[SEAL_HEADER_SIZE] ^= ruin == TORN ? 1 : 0;
    if (ruin == EMPTY) { /* reserved by allocation, or by name alone */
        memset(file.bytes, 0, file.size);
        file.size = role == INTENT ? 0 : file.size;
    }
    store_write_bytes(file.path, file.bytes, file.size, 0);
    if (ruin == LINK) {
        snprintf(other, sizeof(other), "%s.elsewhere", file.path);
        assert_int_equal(rename(file.path, other), 0);
        assert_int_equal(symlink(other, file.path), 0);
    }
    if (ruin == OPEN_TO_OTHERS) {
        assert_int_equal(chmod(file.path, 0644), 0);
    }
    free(file.bytes);
}

/* A store with these files and no others. */
static void prepare(struct store_place *place)
{
    store_place_close(place);
    temp_dir_remove(place->credentials);
    assert_int_equal(store_place_open(place), STORE_FRESH);
}

static void a_ruined_record_or_successor_leaves_the_other(void **state)
{
    struct store_place *place = *state;
    for (enum role role = RECORD; role <= NEXT; role++) {
        for (enum ruin ruin = WHOLE; ruin < RUINS; ruin++) {
            if (ruin == OTHER_ATTEMPT) {
                continue; /* a record has none */
            }
            prepare(place);
            write_ruin(place, RECORD, role == RECORD ? ruin : WHOLE);
            write_ruin(place, NEXT, role == NEXT ? ruin : WHOLE);
            store_place_load(place);
            bool is_torn = ruin == EMPTY || ruin == TORN || ruin == NAME_WITHOUT_END ||
                           ruin >= NOTHING_INSIDE;
            bool undecided = role == RECORD && ruin != WHOLE && !is_torn;
            uint64_t expected = role == NEXT && ruin != WHOLE ? 7 : 8;
            if (place->loaded_count != (undecided ? 0 : 1) ||
                (!undecided && place->loaded.credential.generation != expected)) {
                fail_msg("%s %d: %zu, generation %d", role == RECORD ? "record" : "next", ruin,
                         place->loaded_count, (int)place->loaded.credential.generation);
            }
            assert_true(place->bad_count > 0 || ruin == WHOLE || (role == NEXT && is_torn));
            if (undecided) {
                assert_int_equal(store_count(place, ".next"), 1); /* for a person to look at */
            }
        }
    }
}

static void a_successor_alone_becomes_the_record(void **state)
{
    struct store_place *place = *state;
    prepare(place);
    write_ruin(place, NEXT, WHOLE);
    store_place_load(place);
    assert_int_equal(place->loaded.credential.generation, 8);
    assert_int_equal(store_count(place, ".record"), 1);
}

static void a_ruined_intent_counts_as_sent_and_a_ruined_answer_as_none(void **state)
{
    struct store_place *place = *state;
    for (enum role role = INTENT; role <= ANSWER; role++) {
        for (enum ruin ruin = WHOLE; ruin < OTHER_PROFILE; ruin++) {
            prepare(place);
            write_ruin(place, RECORD, WHOLE);
            write_ruin(place, INTENT, role == INTENT ? ruin : WHOLE);
            write_ruin(place, ANSWER, role == ANSWER ? ruin : WHOLE);
            store_place_load(place);
            assert_int_equal(place->loaded_count, 1);
            bool sent = role != INTENT || ruin != EMPTY;
            bool answered = sent && (role != ANSWER || ruin == WHOLE);
            if (place->loaded.has_intent != sent || place->loaded.has_answer != answered) {
                fail_msg("%s %d: %d %d", role == INTENT ? "intent" : "answer", ruin,
                         place->loaded.has_intent, place->loaded.has_answer);
            }
            assert_int_equal(place->bad_count, ruin == WHOLE || ruin == EMPTY ? 0 : 1);
            if (role == INTENT && place->bad_count > 0) { /* with the reason before it */
                assert_true(strstr(place->bad_why, "; it counts as sent") > place->bad_why);
            }
            if (role == INTENT && sent) {
                assert_int_equal(place->loaded.intent.generation, 7);
                assert_int_equal(place->loaded.intent.attempt, 1);
            }
        }
    }
}

static void of_two_answers_the_whole_one_counts_then_the_later(void **state)
{
    struct store_place *place = *state;
    for (int mask = 0; mask < 8; mask++) {
        bool swapped = (mask & 4) != 0;
        prepare(place);
        assert_int_equal(store_save(place, 7), 0);
        for (uint32_t i = 1; i <= 2; i++) {
            uint32_t attempt = swapped ? 3 - i : i;
            struct credential credential = store_credential(7);
            struct answer answer = {.generation = 7, .attempt = attempt,
                                    .complete = (mask & (int)attempt) != 0, .http_status = 200,
                                    .body = secret_new("answer", 6)};
            assert_int_equal(store_reserve(place, 7, attempt), 0);
            assert_int_equal(store_intent(place, 7, attempt), 0);
            assert_int_equal(place->store->write_answer(place->store, &credential, &answer), 0);
            secret_free(answer.body);
            credential_deinit(&credential);
        }
        store_place_restart(place);
        assert_true(place->loaded.has_answer);
        assert_int_equal(place->loaded.intent.attempt, 2);
        assert_int_equal(place->loaded.answer.attempt, (mask & 3) == 1 ? 1 : 2);
    }
}

static void a_torn_attempt_was_made_since_the_whole_one_was(void **state)
{
    struct store_place *place = *state;
    for (uint32_t torn = 0; torn <= 2; torn++) {
        prepare(place);
        assert_int_equal(store_save(place, 7), 0);
        struct credential credential = store_credential(7);
        for (uint32_t attempt = 1; attempt <= 2; attempt++) {
            struct intent intent = {.generation = 7, .attempt = attempt, .first_wall_ms = 40};
            assert_int_equal(store_reserve(place, 7, attempt), 0);
            assert_int_equal(place->store->write_intent(place->store, &credential, &intent), 0);
        }
        credential_deinit(&credential);
        if (torn != 0) {
            char base[STORE_NAME_MAX / 2], name[STORE_NAME_MAX], path[256];
            profile_base("lab:me", base);
            name_of(base, INTENT, torn, name);
            store_path(place, name, path, sizeof(path));
            store_write_bytes(path, "torn", 4, SEAL_HEADER_SIZE);
        }
        store_place_restart(place);
        assert_int_equal(place->bad_count, torn == 0 ? 0 : 1);
        assert_int_equal(place->loaded.intent.attempt, 2);
        assert_int_equal(place->loaded.intent.generation, 7);
        assert_int_equal(place->loaded.intent.first_wall_ms, 40);
    }
}

static void a_successor_that_is_none_never_takes_the_records_place(void **state)
{
    struct store_place *place = *state;
    for (uint64_t generation = 8; generation <= 9; generation++) {
        char path[256], before[SEAL_OVERHEAD + 4096], after[sizeof(before)];
        prepare(place);
        assert_int_equal(store_save(place, generation), 0);
        write_ruin(place, NEXT, WHOLE); /* of generation 8, which the record has or is past */
        store_find(place, ".record", path, sizeof(path));
        size_t size = store_read_bytes(path, before, sizeof(before));
        store_place_load(place);
        assert_int_equal(place->loaded.credential.generation, generation);
        assert_int_equal(store_count(place, ".next"), 0);
        assert_int_equal(store_read_bytes(path, after, sizeof(after)), size);
        assert_memory_equal(before, after, size);
    }
}

static void each_successor_is_looked_at_whatever_the_first_was(void **state)
{
    struct store_place *place = *state;
    for (int whole_first = 0; whole_first < 2; whole_first++) {
        char base[STORE_NAME_MAX / 2], name[STORE_NAME_MAX], first[256], second[256];
        prepare(place);
        write_ruin(place, RECORD, WHOLE);
        profile_base("lab:me", base);
        name_of(base, NEXT, 1, name);
        store_path(place, name, first, sizeof(first));
        name_of(base, NEXT, 2, name);
        store_path(place, name, second, sizeof(second));
        write_ruin(place, NEXT, whole_first ? WHOLE : TORN);
        assert_int_equal(rename(first, second), 0);
        write_ruin(place, NEXT, whole_first ? TORN : WHOLE);
        store_place_load(place);
        assert_int_equal(place->loaded.credential.generation, 8);
        assert_int_equal(store_count(place, ".next"), 0);
    }
}

static void a_successor_that_is_the_record_already_is_removed(void **state)
{
    struct store_place *place = *state;
    prepare(place);
    assert_int_equal(store_save(place, 8), 0);
    write_ruin(place, NEXT, WHOLE);
    assert_int_equal(store_count(place, ".next"), 1);
    store_place_restart(place);
    assert_int_equal(place->loaded.credential.generation, 8);
    assert_int_equal(store_count(place, ".next"), 0);
}

/* Or the keeper of tomorrow would not find what this one has written. */
static void files_are_named_as_they_always_were(void **state)
{
    static const struct {
        const char *profile, *base;
    } rows[] = {
        {"lab:me", "lab_me-a6fca6d4c5a2112d"},
        {"a-b@example.test:1", "a-b@example_test_1-e25c935893e2963b"},
        {"", "-e4a6a0577479b2b4"},
        {"0123456789012345678901234567890123456789012345678901234567890123456789",
         "0123456789012345678901234567890123456789012345678901234567890123-5615f9de254846fb"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char base[STORE_NAME_MAX / 2], found[STORE_NAME_MAX / 2], name[STORE_NAME_MAX];
        char expected[STORE_NAME_MAX];
        uint64_t generation;
        uint32_t attempt;
        enum file_kind kind;
        profile_base(rows[i].profile, base);
        assert_string_equal(base, rows[i].base);
        record_name(base, name);
        snprintf(expected, sizeof(expected), "%s.record", base);
        assert_string_equal(name, expected);
        attempt_name(base, UINT64_MAX, UINT32_MAX, FILE_ANSWER, name);
        snprintf(expected, sizeof(expected), "%s.g18446744073709551615.a4294967295.answer", base);
        assert_string_equal(name, expected);
        assert_true(attempt_of_name(name, found, &generation, &attempt, &kind));
        assert_string_equal(found, base);
        assert_true(generation == UINT64_MAX && attempt == UINT32_MAX && kind == FILE_ANSWER);
    }
}

static void strange_names_are_left_alone(void **state)
{
    struct store_place *place = *state;
    char long_name[255], path[512];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    prepare(place);
    write_ruin(place, RECORD, WHOLE);
    static const char *const names[] = {"x.g1.a1.other", "x.g1.record", "x", ".record",
                                        "x.g01.a1.intent"};
    for (size_t i = 0; i < 5; i++) {
        store_path(place, names[i], path, sizeof(path));
        store_write_bytes(path, "", 0, 0);
    }
    store_path(place, long_name, path, sizeof(path));
    store_write_bytes(path, "", 0, 0);
    memcpy(long_name + 120, ".g1.a1.intent", sizeof(".g1.a1.intent"));
    store_path(place, long_name, path, sizeof(path));
    store_write_bytes(path, "", 0, 0);
    store_place_load(place);
    assert_int_equal(place->loaded_count, 1);
    assert_int_equal(store_count(place, "a1.other"), 1);
    assert_int_equal(store_count(place, ".intent"), 2);
}

static void count_sent(void *arg, struct stored *stored)
{
    *(unsigned *)arg += stored->has_intent;
    stored_deinit(stored);
}

static void attempts_of_one_number_are_told_apart_by_their_profile(void **state)
{
    struct store_place *place = *state;
    static const char *const profiles[] = {"lab:a", "lab:b", "lab:c"};
    unsigned sent = 0;
    prepare(place);
    for (int i = 0; i < 3; i++) {
        struct credential credential = store_credential(i < 2 ? 7 : 8);
        struct intent intent = {.generation = credential.generation, .attempt = 1};
        snprintf(credential.profile, sizeof(credential.profile), "%s", profiles[i]);
        assert_int_equal(place->store->write_record(place->store, &credential), 0);
        assert_int_equal(place->store->reserve(place->store, &credential, 1), 0);
        assert_int_equal(place->store->write_intent(place->store, &credential, &intent), 0);
        credential_deinit(&credential);
    }
    assert_int_equal(store_place_open(place), 0);
    assert_int_equal(place->store->load(place->store, &sent, count_sent, store_ignore_bad), 0);
    assert_int_equal(sent, 3);
}

#define TEST(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, store_place_setup_in_memory, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ruined_record_or_successor_leaves_the_other),
        TEST(a_successor_alone_becomes_the_record),
        TEST(a_successor_that_is_the_record_already_is_removed),
        TEST(a_ruined_intent_counts_as_sent_and_a_ruined_answer_as_none),
        TEST(of_two_answers_the_whole_one_counts_then_the_later),
        TEST(files_are_named_as_they_always_were),
        TEST(strange_names_are_left_alone),
        TEST(attempts_of_one_number_are_told_apart_by_their_profile),
        TEST(a_torn_attempt_was_made_since_the_whole_one_was),
        TEST(a_successor_that_is_none_never_takes_the_records_place),
        TEST(each_successor_is_looked_at_whatever_the_first_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
