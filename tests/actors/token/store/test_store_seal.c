/* SPDX-License-Identifier: Apache-2.0 */
/* One sealed file by itself: what comes back of it, how large it may be, and what is told of one
 * that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"
#include "token/secret.h"

static int setup(void **state)
{
    static const char key[STORE_KEY_SIZE] = "a key for no store but of tests";
    struct store_file *store = calloc(1, sizeof(*store));
    *state = store;
    if (store == NULL || sodium_init() < 0) {
        return -1;
    }
    store->memory = secret_memory_sodium();
    store->seal_key = secret_new(key, sizeof(key));
    memset(store->store_id, 7, sizeof(store->store_id));
    return 0;
}

static int teardown(void **state)
{
    struct store_file *store = *state;
    secret_free(store->seal_key);
    free(store);
    return 0;
}

static int seal(struct store_file *store, const struct seal_header *header, size_t plain_size,
                uint8_t **ret_bytes, size_t *ret_size)
{
    struct secret *plain = secret_new_sized_in(store->memory, plain_size);
    memset(secret_edit(plain), 'a', plain_size);
    int error = store_seal(store, header, plain, ret_bytes, ret_size);
    secret_free(plain);
    return error;
}

static void what_is_sealed_comes_back_and_says_what_it_is(void **state)
{
    static const struct {
        struct seal_header header;
        size_t plain_size;
    } rows[] = {
        {{.kind = SEAL_RECORD, .state = 2, .generation = 1, .profile = "lab:me"}, 0},
        {{.kind = SEAL_INTENT, .attempt = 1, .state = 1, .profile = ""}, 1},
        {{.kind = SEAL_ANSWER, .attempt = UINT32_MAX, .generation = UINT64_MAX,
          .state = UINT32_MAX, .profile = "lab:a_name_of_one_hundred_and_twenty_seven_bytes_which_"
                                          "is_the_longest_that_a_profile_can_have_so_that_the_nul_"
                                          "stands_last_12345"}, 1000},
    };
    struct store_file *store = *state;
    assert_int_equal(strlen(rows[2].header.profile), PROFILE_ID_MAX - 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct seal_header *header = &rows[i].header;
        struct seal_header back;
        struct secret *plain = NULL;
        uint8_t *bytes = NULL;
        size_t size = 0;
        assert_int_equal(seal(store, header, rows[i].plain_size, &bytes, &size), 0);
        assert_int_equal(store_unseal(store, bytes, size, header->kind, &back, &plain), 0);
        assert_int_equal(back.kind, header->kind);
        assert_int_equal(back.attempt, header->attempt);
        assert_true(back.generation == header->generation);
        assert_int_equal(back.state, header->state);
        assert_string_equal(back.profile, header->profile);
        assert_int_equal(secret_length(plain), rows[i].plain_size);
        for (size_t k = 0; k < rows[i].plain_size; k++) {
            assert_int_equal(secret_data(plain)[k], 'a');
        }
        secret_free(plain);
        free(bytes);
    }
}

/* The same content twice under one nonce would give away where two contents differ. */
static void each_file_has_a_nonce_of_its_own(void **state)
{
    struct store_file *store = *state;
    const struct seal_header header = {.kind = SEAL_INTENT, .profile = "lab:me"};
    uint8_t *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seal(store, &header, 100, &bytes[i], &size[i]), 0);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], 160);
    assert_memory_not_equal(bytes[0] + 160, bytes[1] + 160, 24);
    assert_memory_not_equal(bytes[0] + SEAL_HEADER_SIZE, bytes[1] + SEAL_HEADER_SIZE, 100);
    free(bytes[0]);
    free(bytes[1]);
}

static void what_fills_its_file_is_sealed_and_a_byte_more_is_not(void **state)
{
    static const struct {
        enum seal_kind kind;
        size_t limit;
    } rows[] = {{SEAL_RECORD, RECORD_FILE_SIZE},
                {SEAL_INTENT, INTENT_FILE_SIZE},
                {SEAL_ANSWER, ANSWER_FILE_SIZE}};
    struct store_file *store = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct seal_header header = {.kind = rows[i].kind, .profile = "lab:me"};
        size_t plain_size = rows[i].limit - SEAL_OVERHEAD, size = 0;
        uint8_t *bytes = NULL;
        assert_int_equal(seal(store, &header, plain_size, &bytes, &size), 0);
        assert_int_equal(size, rows[i].limit);
        free(bytes);
        assert_int_equal(seal(store, &header, plain_size + 1, &bytes, &size), -EMSGSIZE);
    }
}

static void put_length(uint8_t *bytes, size_t length, size_t hashed)
{
    crypto_generichash_state hash;
    for (int i = 0; i < 4; i++) {
        bytes[24 + i] = (uint8_t)(length >> (8 * i));
    }
    crypto_generichash_init(&hash, NULL, 0, 16);
    crypto_generichash_update(&hash, bytes, 184);
    crypto_generichash_update(&hash, bytes + SEAL_HEADER_SIZE, hashed);
    crypto_generichash_final(&hash, bytes + 184, 16);
}

/* The checksum is right, and the length is none that a sealed file can have. */
static void a_length_that_cannot_be_is_refused_before_it_is_believed(void **state)
{
    static const struct {
        size_t length, hashed;
        int error;
    } rows[] = {{26, 26, 0},        {0, 0, -EBADMSG},          {15, 15, -EBADMSG},
                {27, 26, -EBADMSG}, {UINT32_MAX, 26, -EBADMSG}};
    struct store_file *store = *state;
    const struct seal_header header = {.kind = SEAL_INTENT, .profile = "lab:me"};
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(seal(store, &header, 10, &bytes, &size), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct seal_header back;
        struct secret *plain = NULL;
        put_length(bytes, rows[i].length, rows[i].hashed);
        if (store_unseal(store, bytes, size, SEAL_INTENT, &back, &plain) != rows[i].error) {
            fail_msg("row %zu", i);
        }
        secret_free(plain);
    }
    free(bytes);
}

/* Each size as zeros, and with one byte that is none. */
static void what_was_never_written_is_told_from_what_is_torn(void **state)
{
    static const size_t sizes[] = {0, 1, 2, SEAL_HEADER_SIZE - 1, SEAL_HEADER_SIZE, 4096};
    struct store_file *store = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct seal_header header;
        struct secret *plain = NULL;
        uint8_t *bytes = calloc(1, sizes[i]);
        assert_int_equal(store_unseal(store, bytes, sizes[i], SEAL_INTENT, &header, &plain),
                         -ENODATA);
        for (size_t at = 0; at < sizes[i]; at++) {
            bytes[at] = 1;
            assert_int_equal(store_unseal(store, bytes, sizes[i], SEAL_INTENT, &header, &plain),
                             -EBADMSG);
            bytes[at] = 0;
        }
        free(bytes);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_sealed_comes_back_and_says_what_it_is),
        TEST(each_file_has_a_nonce_of_its_own),
        TEST(what_fills_its_file_is_sealed_and_a_byte_more_is_not),
        TEST(a_length_that_cannot_be_is_refused_before_it_is_believed),
        TEST(what_was_never_written_is_told_from_what_is_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
