/* SPDX-License-Identifier: Apache-2.0 */
#include "mask.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void mask(char *text, const char *token)
{
    uint8_t sha256[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(sha256, (const unsigned char *)token, strlen(token));
    mask_token(text, sha256, strlen(token));
}

static void a_token_is_found_in_any_punctuation(void **state)
{
    (void)state;
    static const struct {
        const char *token, *text, *masked;
    } rows[] = {
        {"sk-7.a_b=", "sk-7.a_b=", "***"},
        {"sk-7.a_b=", "Incorrect API key provided: sk-7.a_b=. Look at", /* and so on */
         "Incorrect API key provided: ***. Look at"},
        {"sk-7", "{key=\"sk-7\"}", "{key=\"***\"}"},
        {"sk-7", "<sk-7>, sk-7 and sk-7", "<***>, *** and ***"},
        {"sk-7", "Bearer\tsk-7\n", "Bearer\t***\n"},
        {"sk-7", "\xe2\x82\xacsk-7\xe2\x82\xac", "\xe2\x82\xac***\xe2\x82\xac"},
        {"sk-7", "key=sk-7&other=sk-7", "key=***&other=***"},
        {"a:b-c", "(a:b-c)", "(***)"},
        {"ab", "no ab", "no **"},
        {"sk-7", "sk-8 xsk- 7 sk-", "sk-8 xsk- 7 sk-"}, /* other words */
        {"sk-7", "sk-78xsk-7", "***8x***"},             /* rather too much than too little */
        {"sk-7", "https://api.example.test/v1?key=sk-7", "https://api.example.test/v1?key=***"},
        {"sk-7", "{\"error\":{\"request\":{\"headers\":{\"x-api-key\":\"sk-7\"}}}}",
         "{\"error\":{\"request\":{\"headers\":{\"x-api-key\":\"***\"}}}}"},
        {"sk-7", "key=sk-7&a=1&b=2&c=3&d=4&e=5", "key=***&a=1&b=2&c=3&d=4&e=5"},
        {"", "no token", "no token"},
        {"sk-7", "", ""},
        {"sk-7", "...................................", "..................................."},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "%s", rows[i].text);
        mask(text, rows[i].token);
        assert_string_equal(text, rows[i].masked);
    }
}

static void a_token_is_made_of_what_is_visible(void **state)
{
    (void)state;
    assert_true(mask_is_visible('!') && mask_is_visible('~'));
    assert_false(mask_is_visible(' ') || mask_is_visible(0x7f) || mask_is_visible('\0') ||
                 mask_is_visible((char)0xe2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_found_in_any_punctuation),
        cmocka_unit_test(a_token_is_made_of_what_is_visible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
