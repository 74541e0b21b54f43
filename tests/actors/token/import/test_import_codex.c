/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "import_place.h"

static void codex_login_is_read(void **state)
{
    struct import_place *place = *state;
    import_place_write(place, "auth.json",
               "{\"auth_mode\":\"chatgpt\",\"OPENAI_API_KEY\":null,\"tokens\":{\"id_token\":\"i\","
               "\"access_token\":\"" JWT "\",\"refresh_token\":\"r\",\"account_id\":\"acct-9\"},"
               "\"last_refresh\":\"2026-09-21T13:33:20.123456789Z\"}");
    import_place_read_ok(place, "", 1); /* the directory */
    const struct import_entry *entry = &place->list.entries[0];
    assert_int_equal(entry->verdict, IMPORT_TAKE);
    assert_string_equal(entry->mode, "oauth");
    assert_string_equal(entry->provider, "openai-codex");
    assert_string_equal(secret_data(entry->refresh), "r");
    assert_string_equal(entry->account, "acct-9");
    assert_int_equal(entry->expires_at_ms, 1790009000000);
    assert_int_equal(entry->refreshed_at_ms, 1789997600123);
}

static void codex_files_of_every_kind_are_told_apart(void **state)
{
    static const struct {
        const char *text, *mode, *code;
        size_t count;
        const char *why; /* NULL: nothing */
    } cases[] = {
        {"{\"tokens\":{\"id_token\":\"i\",\"access_token\":\"a\",\"refresh_token\":\"\"}}",
         "access_only", "", 1, "ends with its access token"},
        {"{\"auth_mode\":\"chatgptAuthTokens\",\"tokens\":{\"access_token\":\"a\","
         "\"refresh_token\":\"r\"}}",
         "access_only", "", 1, "ends with its access token"},
        {"{\"auth_mode\":\"apikey\",\"OPENAI_API_KEY\":\"sk-1\"}", "api_key", "", 1, NULL},
        {"{\"auth_mode\":\"apikey\",\"OPENAI_API_KEY\":\"sk-1\",\"tokens\":{\"access_token\":\"a\","
         "\"refresh_token\":\"r\"}}",
         "api_key", "", 2, NULL},
        {"{\"auth_mode\":\"chatgpt\",\"OPENAI_API_KEY\":\"sk-1\",\"tokens\":{\"access_token\":"
         "\"a\",\"refresh_token\":\"r\"}}",
         "oauth", "", 2, NULL},
        {"{\"personal_access_token\":\"at-1\"}", "access_only", "", 1, NULL},
        {"{\"agent_identity\":{\"x\":1}}", "", "agent_identity", 1, "log in here"},
        {"{\"auth_mode\":\"bedrock\",\"bedrock_api_key\":\"x\"}", "", "bedrock", 1,
         "bedrock_api_key is a credential of another cloud"},
        {"{\"auth_mode\":\"bedrock\",\"bedrock_\\u001f\":\"x\"}", "", "bedrock", 1, "bedrock_? "},
        {"{\"tokens\":{}}", "access_only", "missing_tokens", 1, "log in with Codex again"},
        {"{\"tokens\":null,\"OPENAI_API_KEY\":null}", "", "no_credential", 1, "keyring"},
    };
    struct import_place *place = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        import_place_write(place, "auth.json", cases[i].text);
        import_place_read_ok(place, "auth.json", cases[i].count);
        const struct import_entry *entry = &place->list.entries[0];
        assert_string_equal(entry->mode, cases[i].mode);
        assert_string_equal(entry->code, cases[i].code);
        assert_int_equal(entry->verdict, cases[i].code[0] == '\0' ? IMPORT_TAKE : IMPORT_REFUSED);
        assert_true(cases[i].why == NULL ? entry->why[0] == '\0'
                                         : strstr(entry->why, cases[i].why) != NULL);
    }
}

static void the_claims_and_the_mail_of_a_codex_login_are_read(void **state)
{
    struct import_place *place = *state;
    /* the account stands in the id token only; that one's claims also have the mail */
    import_place_write(place, "auth.json",
               "{\"tokens\":{\"access_token\":\"opaque\",\"id_token\":\"" JWT "\","
               "\"refresh_token\":\"r\"}}");
    import_place_read_ok(place, "auth.json", 1);
    assert_string_equal(place->list.entries[0].account, "acct-7");
    import_place_write(place, "auth.json",
               "{\"tokens\":{\"access_token\":\"" JWT "\",\"refresh_token\":\"r\"}}");
    import_place_read_ok(place, "auth.json", 1);
    assert_string_equal(place->list.entries[0].account, "acct-7");
    import_place_write(place, "auth.json", "{\"tokens\":{\"refresh_token\":\"r\"}}");
    import_place_read_ok(place, "auth.json", 1);
    assert_string_equal(place->list.entries[0].mode, "oauth");
    assert_int_equal(place->list.entries[0].verdict, IMPORT_TAKE);
    import_place_write(place, "auth.json",
               "{\"tokens\":{\"refresh_token\":\"r\","
               "\"id_token\":\"e30.eyJlbWFpbCI6Im5vdmFAZXhhbXBsZS50ZXN0In0.sig\"}}");
    import_place_read_ok(place, "auth.json", 1);
    assert_string_equal(place->list.entries[0].email, "nova@example.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(codex_login_is_read),
        TEST(codex_files_of_every_kind_are_told_apart),
        TEST(the_claims_and_the_mail_of_a_codex_login_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
