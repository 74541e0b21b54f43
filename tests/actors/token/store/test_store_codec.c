/* SPDX-License-Identifier: Apache-2.0 */
/* What opens is ours, and still nothing that does not fit is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/store_codec.h"
#include "token/credential.h"

/* (tag, length, value), as they lie. */
static size_t put(uint8_t *at, unsigned tag, const void *value, size_t size)
{
    const uint8_t head[] = {(uint8_t)tag, (uint8_t)(tag >> 8), (uint8_t)size,
                            (uint8_t)(size >> 8), (uint8_t)(size >> 16), 0};
    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), value, size);
    return sizeof(head) + size;
}

static int unpack(const struct codec_table *table, const void *bytes, size_t size)
{
    struct secret *text = secret_new(bytes, size);
    union {
        struct credential credential;
        struct intent intent;
        struct answer answer;
    } object;
    int error = codec_unpack(table, text, &object);
    if (table == &credential_codec) {
        credential_deinit(&object.credential);
    } else if (table == &answer_codec) {
        secret_free(object.answer.body);
    }
    secret_free(text);
    return error;
}

static void a_field_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char zeros[1024], nul_inside[] = "a\0b";
    static const struct {
        const struct codec_table *table;
        unsigned tag;
        const void *value;
        size_t size;
        int error;
    } rows[] = {
        {&credential_codec, 3, "oauth", 5, 0},
        {&credential_codec, 3, "a mode of sixteen", 16, -EBADMSG}, /* no room for the NUL */
        {&credential_codec, 3, nul_inside, 3, -EBADMSG},
        {&credential_codec, 5, "\1\0\0\0\0\0\0\0", 8, 0},
        {&credential_codec, 5, "\1\0\0\0", 4, -EBADMSG},
        {&credential_codec, 5, "\1\0\0\0\0\0\0\0\0", 9, -EBADMSG},
        {&credential_codec, 15, "{}", 2, 0},
        {&credential_codec, 15, nul_inside, 3, -EBADMSG},
        {&credential_codec, 16, zeros, 32, 0},
        {&credential_codec, 16, zeros, 0, 0},
        {&credential_codec, 16, zeros, 15, -EBADMSG},
        {&credential_codec, 999, nul_inside, 3, 0}, /* of a newer version: skipped */
        {&intent_codec, 2, "\xff\xff\xff\xff\0\0\0\0", 8, 0},
        {&intent_codec, 2, "\0\0\0\0\1\0\0\0", 8, -EBADMSG},
        {&intent_codec, 3, zeros, 16, 0},
        {&intent_codec, 3, zeros, 15, -EBADMSG},
        {&intent_codec, 4, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, 0}, /* -1 */
        {&answer_codec, 3, "\1\0\0\0\0\0\0\0", 8, 0},
        {&answer_codec, 3, "\2\0\0\0\0\0\0\0", 8, -EBADMSG},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        uint8_t bytes[1200];
        size_t size = put(bytes, rows[i].tag, rows[i].value, rows[i].size);
        if (unpack(rows[i].table, bytes, size) != rows[i].error) {
            fail_msg("row %zu", i);
        }
    }
}

static void what_owns_memory_stands_once(void **state)
{
    (void)state;
    static const unsigned tags[] = {7, 15, 16};
    for (size_t i = 0; i < 3; i++) {
        uint8_t bytes[256];
        size_t size = put(bytes, tags[i], "0123456789abcdef", 16);
        size += put(bytes + size, tags[i], "0123456789abcdef", 16);
        assert_int_equal(unpack(&credential_codec, bytes, size), -EBADMSG);
    }
}

static void what_is_cut_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[64];
    size_t size = put(bytes, 3, "oauth", 5);
    assert_int_equal(unpack(&credential_codec, bytes, 0), 0);
    for (size_t cut = 1; cut < size; cut++) {
        assert_int_equal(unpack(&credential_codec, bytes, cut), -EBADMSG);
    }
}

static void texts_and_secrets_of_one_byte_and_of_none_come_back(void **state)
{
    (void)state;
    struct credential credential, back;
    credential_init(&credential);
    snprintf(credential.profile, sizeof(credential.profile), "p");
    credential.generation = 1;
    credential.access = secret_new("a", 1);
    credential.refresh = secret_new("r", 1);
    struct secret *plain = codec_pack(&credential_codec, &credential, secret_memory_sodium());
    assert_int_equal(codec_unpack(&credential_codec, plain, &back), 0);
    assert_string_equal(back.profile, "p");
    assert_string_equal(back.account, "");
    assert_int_equal(back.generation, 1);
    assert_string_equal(secret_data(back.access), "a");
    assert_string_equal(secret_data(back.refresh), "r");
    assert_null(back.id_token);
    assert_int_equal(back.digest_count, 0);
    secret_free(plain);
    credential_deinit(&credential);
    credential_deinit(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_that_does_not_fit_is_refused),
        cmocka_unit_test(what_owns_memory_stands_once),
        cmocka_unit_test(what_is_cut_is_refused),
        cmocka_unit_test(texts_and_secrets_of_one_byte_and_of_none_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
