/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "token/credential.h"
#include "token/secret.h"

/* Memory that fails on the k-th allocation and remembers whether freed bytes were wiped. */
struct failing_memory {
    struct secret_memory memory;
    unsigned fail_at;
    unsigned allocations;
    unsigned live;
    void *last;
    size_t last_size;
    bool was_wiped;
};

static void *failing_alloc(const struct secret_memory *memory, size_t size)
{
    struct failing_memory *failing = (struct failing_memory *)(uintptr_t)memory;
    if (++failing->allocations == failing->fail_at) {
        return NULL;
    }
    failing->live++;
    failing->last_size = size;
    failing->last = malloc(size);
    return failing->last;
}

static void failing_free(const struct secret_memory *memory, void *pointer)
{
    struct failing_memory *failing = (struct failing_memory *)(uintptr_t)memory;
    failing->live--;
    if (pointer == failing->last) {
        failing->was_wiped = memmem(pointer, failing->last_size, "canary", 6) == NULL;
    }
    free(pointer);
}

static struct failing_memory failing_memory_make(unsigned fail_at)
{
    return (struct failing_memory){.memory = {failing_alloc, failing_free}, .fail_at = fail_at};
}

static void holds_its_bytes_and_a_nul(void **state)
{
    (void)state;
    struct secret *secret = secret_new("a\0b", 3);
    assert_non_null(secret);
    assert_int_equal(secret_length(secret), 3);
    assert_memory_equal(secret_data(secret), "a\0b\0", 4);
    secret_truncate(secret, 1);
    assert_int_equal(secret_length(secret), 1);
    assert_string_equal(secret_data(secret), "a");
    secret_free(secret);
    secret = secret_new("abc", 3);
    secret_truncate(secret, 1); /* what is cut off is gone */
    assert_memory_equal(secret_data(secret), "a\0\0\0", 4);
    secret_free(secret);
    assert_string_equal(secret_data(NULL), "");
    assert_int_equal(secret_length(NULL), 0);
    secret_free(NULL);
}

static void equality_is_by_content_and_length(void **state)
{
    (void)state;
    struct secret *a = secret_new("token", 5), *b = secret_new("token", 5);
    struct secret *c = secret_new("tokem", 5), *d = secret_new("token1", 6);
    assert_true(secret_equal(a, b));
    assert_false(secret_equal(a, c));
    assert_false(secret_equal(a, d));
    assert_false(secret_equal(a, NULL));
    assert_false(secret_equal(NULL, a));
    assert_true(secret_equal(NULL, NULL));
    secret_free(a);
    secret_free(b);
    secret_free(c);
    secret_free(d);
}

static void sha256_is_the_known_one(void **state)
{
    (void)state;
    struct secret *abc = secret_new("abc", 3);
    uint8_t hash[SECRET_SHA256_SIZE];
    secret_sha256(abc, hash);
    static const uint8_t start[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    assert_memory_equal(hash, start, sizeof(start));
    secret_free(abc);
}

static void freed_bytes_are_wiped(void **state)
{
    (void)state;
    struct failing_memory failing = failing_memory_make(0);
    struct secret *secret = secret_new_in(&failing.memory, "canary", 6);
    secret_free(secret);
    assert_true(failing.was_wiped);
    assert_int_equal(failing.live, 0);
}

static struct credential credential_make(const struct secret_memory *memory)
{
    struct credential credential;
    credential_init(&credential);
    memcpy(credential.profile, "lab:me", sizeof("lab:me"));
    credential.generation = 7;
    credential.access = secret_new_in(memory, "access", 6);
    credential.refresh = secret_new_in(memory, "refresh", 7);
    credential.id_token = secret_new_in(memory, "id", 2);
    credential.rule = strdup("{}");
    uint8_t digest[16] = {1};
    assert_int_equal(credential_add_digest(&credential, digest), 0);
    digest[0] = 2;
    assert_int_equal(credential_add_digest(&credential, digest), 0);
    return credential;
}

static void a_copied_credential_owns_its_own_parts(void **state)
{
    (void)state;
    struct credential from = credential_make(secret_memory_sodium()), copy;
    assert_int_equal(credential_copy(&from, &copy), 0);
    assert_ptr_not_equal(from.refresh, copy.refresh);
    assert_true(secret_equal(from.refresh, copy.refresh));
    assert_int_equal(copy.digest_count, 2);
    credential_deinit(&from);
    assert_string_equal(copy.profile, "lab:me");
    assert_string_equal(secret_data(copy.access), "access");
    assert_string_equal(copy.rule, "{}");
    uint8_t digest[16] = {2};
    assert_true(credential_has_digest(&copy, digest));
    digest[0] = 3;
    assert_false(credential_has_digest(&copy, digest));
    credential_deinit(&copy);
    assert_null(copy.access);
}

static void a_copy_holds_as_many_digests_as_there_are(void **state)
{
    (void)state;
    struct credential from, copy;
    credential_init(&from);
    credential_init(&copy);
    for (uint8_t count = 0; count < 3; count++) {
        assert_int_equal(credential_copy(&from, &copy), 0);
        assert_int_equal(copy.digest_count, count);
        assert_int_equal(copy.digests != NULL, count > 0);
        if (count > 0) {
            assert_memory_equal(copy.digests, from.digests, count * sizeof(*copy.digests));
        }
        credential_deinit(&copy);
        assert_int_equal(credential_add_digest(&from, (uint8_t[16]){count, 1}), 0);
    }
    credential_deinit(&from);
}

static void a_copy_without_memory_leaks_nothing_and_leaves_the_target(void **state)
{
    (void)state;
    for (unsigned k = 4; k <= 6; k++) { /* 1 to 3 are the original's own */
        struct failing_memory failing = failing_memory_make(k);
        struct credential from = credential_make(&failing.memory);
        struct credential copy = {.generation = 99};
        assert_int_equal(credential_copy(&from, &copy), -ENOMEM);
        assert_int_equal(copy.generation, 99);
        assert_int_equal(failing.live, 3);
        credential_deinit(&from);
        assert_int_equal(failing.live, 0);
    }
}

static void a_secret_larger_than_memory_is_refused(void **state)
{
    (void)state;
    assert_null(secret_new_sized(SIZE_MAX));
    assert_null(secret_new_sized(SIZE_MAX / 2 + 1));
    assert_ptr_equal(secret_memory_of(NULL), secret_memory_sodium());
}

static void a_field_set_to_what_it_holds_keeps_it(void **state)
{
    (void)state;
    struct secret *field = secret_new("a", 1);
    credential_set(&field, field);
    assert_string_equal(secret_data(field), "a");
    secret_free(field);
}

static void very_many_digests_keep_the_newest(void **state)
{
    (void)state;
    struct credential credential;
    credential_init(&credential);
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t digest[16] = {0};
        memcpy(digest, &i, sizeof(i));
        assert_int_equal(credential_add_digest(&credential, digest), 0);
        assert_int_equal(credential.digest_count, i < 1024 ? i + 1 : 1024);
    }
    for (uint32_t i = 0; i < 1024; i++) {
        uint8_t digest[16] = {0};
        memcpy(digest, &(uint32_t){5000 - 1024 + i}, 4);
        assert_memory_equal(credential.digests[i], digest, 16);
    }
    assert_false(credential_has_digest(&credential, (uint8_t[16]){0}));
    credential_deinit(&credential);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_its_bytes_and_a_nul),
        cmocka_unit_test(equality_is_by_content_and_length),
        cmocka_unit_test(sha256_is_the_known_one),
        cmocka_unit_test(freed_bytes_are_wiped),
        cmocka_unit_test(a_copied_credential_owns_its_own_parts),
        cmocka_unit_test(a_copy_holds_as_many_digests_as_there_are),
        cmocka_unit_test(a_copy_without_memory_leaks_nothing_and_leaves_the_target),
        cmocka_unit_test(a_secret_larger_than_memory_is_refused),
        cmocka_unit_test(a_field_set_to_what_it_holds_keeps_it),
        cmocka_unit_test(very_many_digests_keep_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
