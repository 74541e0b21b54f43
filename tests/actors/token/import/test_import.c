/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "import_place.h"

/* One API key, given its id and further members. */
#define PROFILE                                                                                    \
    "{\"profiles\":{\"%s\":{\"type\":\"api_key\",\"provider\":\"p\",\"key\":\"k\"%s}}}"

static void openclaw_credentials_of_all_types_are_read(void **state)
{
    struct import_place *place = *state;
    import_place_write(place, "auth-profiles.json",
               "{\"version\":1,\"profiles\":{"
               "\"openai-codex:default\":{\"type\":\"oauth\",\"provider\":\"openai-codex\","
               "\"access\":\"" JWT "\",\"refresh\":\"r1\",\"expires\":1790000000000,"
               "\"email\":\"nova@example.test\",\"idToken\":\"i1\"},"
               "\"openai:nova\":{\"type\":\"oauth\",\"provider\":\"openai\",\"access\":\"a2\","
               "\"refresh\":\"r2\",\"expires\":1,\"accountId\":\"acct-2\"},"
               "\"openai:manual\":{\"mode\":\"api_key\",\"provider\":\"openai\","
               "\"apiKey\":\"sk-1\"},"
               "\"copilot:x\":{\"type\":\"token\",\"provider\":\"copilot\",\"token\":\"t1\","
               "\"expires\":1790000000001},"
               "\"openai:lumi\":{\"type\":\"token\",\"provider\":\"openai\","
               "\"token\":\"t2\"},"
               "\"openai-codex:own\":{\"type\":\"oauth\",\"provider\":\"openai-codex\","
               "\"access\":\"" JWT "\",\"refresh\":\"r3\",\"accountId\":\"acct-3\"},"
               "\"p:other\":{\"type\":\"oauth\",\"provider\":\"p\",\"access\":\"" JWT "\","
               "\"refresh\":\"r4\"}}}");
    import_place_read_ok(place, "auth-profiles.json", 7);
    const struct import_entry *entries = place->list.entries;
    assert_int_equal(entries[0].verdict, IMPORT_TAKE);
    assert_string_equal(entries[0].profile, "openai-codex:default");
    assert_string_equal(entries[0].mode, "oauth");
    assert_string_equal(secret_data(entries[0].refresh), "r1");
    assert_string_equal(secret_data(entries[0].id_token), "i1");
    assert_int_equal(entries[0].expires_at_ms, 1790000000000);
    assert_string_equal(entries[0].account, "acct-7"); /* from the claim */
    assert_string_equal(entries[0].email, "nova@example.test");
    assert_string_equal(entries[1].provider, "openai-codex"); /* both ids are one login's */
    assert_string_equal(entries[1].account, "acct-2");
    assert_string_equal(entries[2].mode, "api_key");
    assert_string_equal(entries[2].provider, "openai");
    assert_string_equal(secret_data(entries[2].access), "sk-1");
    assert_string_equal(entries[3].mode, "access_only");
    assert_string_equal(secret_data(entries[3].access), "t1");
    assert_int_equal(entries[3].expires_at_ms, 1790000000001);
    assert_string_equal(entries[4].provider, "openai-codex");
    assert_string_equal(entries[5].account, "acct-3"); /* its own, before the claim's */
    assert_string_equal(entries[6].account, "");       /* another provider's claim says nothing */
}

static void an_id_that_is_no_name_is_refused(void **state)
{
    static const struct {
        const char *id, *shown, *code;
    } cases[] = {
        {"p:a b", "p:a b", ""},
        {"", "", "invalid_id"},
        {"p:\\u001f", "p:?", "invalid_id"},
        {"p:\\u007f", "p:?", "invalid_id"},
    };
    struct import_place *place = *state;
    char text[512], id[PROFILE_ID_MAX + 1];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        snprintf(text, sizeof(text), PROFILE, cases[i].id, "");
        import_place_write(place, "x.json", text);
        import_place_read_ok(place, "x.json", 1);
        assert_string_equal(place->list.entries[0].profile, cases[i].shown);
        assert_string_equal(place->list.entries[0].code, cases[i].code);
    }
    for (size_t size = PROFILE_ID_MAX - 1; size <= PROFILE_ID_MAX; size++) {
        memset(id, 'i', size);
        id[size] = '\0';
        snprintf(text, sizeof(text), PROFILE, id, "");
        import_place_write(place, "x.json", text);
        import_place_read_ok(place, "x.json", 1);
        assert_string_equal(place->list.entries[0].code,
                            size < PROFILE_ID_MAX ? "" : "invalid_id");
    }
}

static void what_cannot_be_taken_is_named(void **state)
{
    static const struct {
        const char *profile, *code;
    } cases[] = {
        {"{\"type\":\"oauth\",\"provider\":\"openai-codex\",\"access\":\"a\",\"expires\":5}",
         "missing_refresh"},
        {"{\"type\":\"oauth\",\"provider\":\"openai-codex\",\"access\":\"a\",\"refresh\":\"\"}",
         "missing_refresh"},
        {"{\"type\":\"oauth\",\"provider\":\"openai-codex\",\"oauthRef\":{\"id\":\"00\"}}",
         "oauth_ref"},
        {"{\"type\":\"oauth\",\"provider\":\"openai-codex\",\"access\":"
         "\"openclaw-oauth-refresh-fence:v1:c:access:00\",\"refresh\":"
         "\"openclaw-oauth-refresh-fence:v1:c:refresh:00\",\"expires\":1}",
         "fence_marker"},
        {"{\"type\":\"api_key\",\"provider\":\"openai\",\"keyRef\":{\"source\":\"env\"}}",
         "secret_ref"},
        {"{\"type\":\"api_key\",\"provider\":\"openai\",\"key\":{\"source\":\"exec\"}}",
         "secret_ref"},
        {"{\"type\":\"token\",\"provider\":\"x\",\"tokenRef\":{\"source\":\"file\"}}",
         "secret_ref"},
        {"{\"type\":\"api_key\",\"provider\":\"openai\"}", "missing_secret"},
        {"{\"type\":\"oauth\",\"provider\":\"anthropic\",\"access\":\"a\",\"refresh\":\"r\"}",
         "provider_terms"},
        {"{\"type\":\"token\",\"provider\":\"anthropic\",\"token\":\"sk-ant-oat01-x\"}",
         "provider_terms"},
        {"{\"type\":\"cookie\",\"provider\":\"x\"}", "invalid_type"},
        {"{\"provider\":\"x\"}", "invalid_type"},
        {"{\"type\":\"oauth\",\"access\":\"a\"}", "missing_provider"},
        {"7", "non_object"},
    };
    struct import_place *place = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[512];
        snprintf(text, sizeof(text), "{\"version\":1,\"profiles\":{\"x:y\":%s,"
                 "\"ok\":{\"type\":\"api_key\",\"provider\":\"p\",\"key\":\"k\"}}}",
                 cases[i].profile);
        import_place_write(place, "auth-profiles.json", text);
        import_place_read_ok(place, "auth-profiles.json", 2);
        assert_int_equal(place->list.entries[0].verdict, IMPORT_REFUSED);
        assert_string_equal(place->list.entries[0].code, cases[i].code);
        assert_true(place->list.entries[0].why[0] != '\0');
        assert_int_equal(place->list.entries[1].verdict, IMPORT_TAKE); /* the other is not lost */
    }
}

static void five_copies_of_one_login_become_one(void **state)
{
    struct import_place *place = *state;
    static const char *const agents[] = {"atlas", "axon", "main", "nexis", "nova"};
    for (int i = 0; i < 5; i++) {
        char name[64], text[512];
        snprintf(name, sizeof(name), "agents/%s/agent/auth-profiles.json", agents[i]);
        /* nexis refreshed last and rotated; the others hold the copy. */
        bool fresh = strcmp(agents[i], "nexis") == 0;
        snprintf(text, sizeof(text),
                 "{\"version\":1,\"profiles\":{\"%s\":{\"type\":\"oauth\","
                 "\"provider\":\"%s\",\"access\":\"a\",\"refresh\":\"%s\",\"expires\":%s,"
                 "\"accountId\":\"acct-1\"}}}",
                 i % 2 == 0 ? "openai-codex:default" : "openai:default",
                 i % 2 == 0 ? "openai-codex" : "openai", fresh ? "r-new" : "r-old",
                 fresh ? "1790000002000" : "1790000001000");
        import_place_write(place, name, text);
    }
    import_place_read_ok(place, "", 5);
    static const char *const order[] = {"/main/", "/atlas/", "/axon/", "/nexis/", "/nova/"};
    for (int i = 0; i < 5; i++) {
        assert_non_null(strstr(place->list.entries[i].source, order[i])); /* main comes first */
    }
    size_t kept = 0, count = 0;
    for (size_t i = 0; i < 5; i++) {
        if (place->list.entries[i].verdict == IMPORT_TAKE) {
            kept = i;
            count++;
        }
    }
    assert_int_equal(count, 1);
    assert_string_equal(secret_data(place->list.entries[kept].refresh), "r-new");
    for (size_t i = 0; i < 5; i++) {
        assert_true(i == kept || place->list.entries[i].clone_of == kept);
        assert_true(i == kept || strstr(place->list.entries[i].why, "nexis") != NULL);
        assert_true(i == kept || strstr(place->list.entries[i].why, "is fresher") != NULL);
    }
}

static void on_a_tie_main_is_kept(void **state)
{
    struct import_place *place = *state;
    const char *text = "{\"profiles\":{\"p:d\":{\"type\":\"oauth\",\"provider\":\"p\","
                       "\"access\":\"a\",\"refresh\":\"r\",\"expires\":5000}}}";
    /* In either order that a directory may list them. */
    import_place_write(place, "one/agents/atlas/agent/auth-profiles.json", text);
    import_place_write(place, "one/agents/main/agent/auth-profiles.json", text);
    import_place_write(place, "two/agents/main/agent/auth-profiles.json", text);
    import_place_write(place, "two/agents/atlas/agent/auth-profiles.json", text);
    for (int i = 0; i < 2; i++) {
        import_place_read_ok(place, i == 0 ? "one" : "two", 2);
        assert_int_equal(place->list.entries[0].verdict, IMPORT_TAKE);
        assert_non_null(strstr(place->list.entries[0].source, "/main/"));
        assert_int_equal(place->list.entries[1].verdict, IMPORT_CLONE);
        assert_non_null(strstr(place->list.entries[1].why, "is as fresh"));
    }
}

static void two_logins_are_not_taken_for_one(void **state)
{
    struct import_place *place = *state;
    import_place_write(place, "auth-profiles.json",
               "{\"profiles\":{"
               "\"p:a\":{\"type\":\"oauth\",\"provider\":\"p\",\"access\":\"a\",\"refresh\":\"r1\","
               "\"accountId\":\"x\"},"
               "\"p:b\":{\"type\":\"oauth\",\"provider\":\"p\",\"access\":\"b\",\"refresh\":\"r2\","
               "\"accountId\":\"x\",\"expires\":1790000000000},"
               "\"q:a\":{\"type\":\"oauth\",\"provider\":\"q\",\"access\":\"a\","
               "\"refresh\":\"r1\"},"
               "\"p:c\":{\"type\":\"oauth\",\"provider\":\"p\",\"access\":\"c\",\"refresh\":\"r1\"}"
               "}}");
    import_place_read_ok(place, "auth-profiles.json", 4);
    assert_int_equal(place->list.entries[0].verdict, IMPORT_TAKE);
    assert_int_equal(place->list.entries[1].verdict, IMPORT_TAKE); /* a family of its own */
    assert_int_equal(place->list.entries[2].verdict, IMPORT_TAKE); /* another provider */
    assert_int_equal(place->list.entries[3].verdict, IMPORT_CLONE); /* under another name */
    assert_int_equal(place->list.entries[3].clone_of, 0);
}

static void one_torn_agent_file_does_not_hide_the_others(void **state)
{
    struct import_place *place = *state;
    import_place_write(place, "agents/atlas/agent/auth-profiles.json", "{\"version\":1,\n\"profi");
    import_place_write(place, "agents/axon/agent/auth-profiles.json",
               "{\"profiles\":{\"p:k\":{\"type\":\"api_key\",\"provider\":\"p\",\"key\":\"k\"}}}");
    import_place_read_ok(place, "", 2);
    assert_int_equal(place->list.entries[0].verdict, IMPORT_REFUSED);
    assert_string_equal(place->list.entries[0].code, "bad_file");
    assert_string_equal(place->list.entries[0].profile, "atlas");
    assert_non_null(strstr(place->list.entries[0].why, "line 2"));
    assert_int_equal(place->list.entries[1].verdict, IMPORT_TAKE);
}

static void bad_files_are_refused_with_a_place_and_without_a_secret(void **state)
{
    static const struct {
        const char *text, *says;
        int error;
    } cases[] = {
        {"{\"tokens\":{\"access_token\":\"canary", "line 1, column", -EINVAL},
        {"{\"tokens\":{\n\"access_token\":canary}}", "line 2, column", -EINVAL},
        {"", "empty", -EINVAL},
        {"{\"tokens\":{},\"tokens\":{}}", "duplicate", -EINVAL},
        {"{\"hello\":1}", "neither OpenClaw's", -EINVAL},
        {"{\"version\":2,\"profiles\":{}}", "version", -EPROTONOSUPPORT},
        {"{\"version\":1,\"profiles\":[]}", "profiles is not an object", -EINVAL},
    };
    struct import_place *place = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        import_place_write(place, "x.json", cases[i].text);
        int error = import_place_read(place, "x.json");
        if (error != cases[i].error || strstr(place->why, cases[i].says) == NULL) {
            fail_msg("%s: %d, \"%s\"", cases[i].text, error, place->why);
        }
        assert_null(strstr(place->why, "canary"));
    }
}

static void what_is_not_there_is_said(void **state)
{
    struct import_place *place = *state;
    assert_int_equal(import_place_read(place, "nothing.json"), -ENOENT);
    assert_non_null(strstr(place->why, "nothing.json"));
    assert_int_equal(import_place_read(place, ""), -ENOENT);
    assert_non_null(strstr(place->why, "neither agents/"));
    import_place_write(place, "agents/.hidden/agent/auth-profiles.json", "{\"profiles\":{}}");
    assert_int_equal(import_place_read(place, ""), -ENOENT);
    assert_non_null(strstr(place->why, "database"));
    import_place_write(place, "agents/main/agent/auth-state.json", "{}");
    assert_int_equal(import_place_read(place, ""), -ENOENT);
    assert_non_null(strstr(place->why, "database"));
}

static void deep_nesting_and_size_are_bounded(void **state)
{
    struct import_place *place = *state;
    size_t size = 4 << 20;
    char *text = malloc(size + 2);
    memset(text, ' ', size + 1);
    memcpy(text, "{\"profiles\":{}}", strlen("{\"profiles\":{}}"));
    text[size + 1] = '\0';
    import_place_write(place, "x.json", text);
    assert_int_equal(import_place_read(place, "x.json"), -EINVAL);
    assert_non_null(strstr(place->why, "regular file of at most"));
    text[size] = '\0';
    import_place_write(place, "x.json", text);
    import_place_read_ok(place, "x.json", 0);
    memset(text, '[', 1 << 20);
    text[1 << 20] = '\0';
    import_place_write(place, "x.json", text);
    assert_int_equal(import_place_read(place, "x.json"), -EINVAL);
    assert_non_null(strstr(place->why, "nested"));
    free(text);
}

static void members_that_are_null_are_not_there(void **state)
{
    struct import_place *place = *state;
    import_place_write(place, "auth.json", "{\"agent_identity\":null,\"bedrock_key\":null,\"x\":1,"
               "\"OPENAI_API_KEY\":\"sk-1\"}");
    import_place_read_ok(place, "auth.json", 1);
    assert_string_equal(place->list.entries[0].mode, "api_key");
    import_place_write(place, "auth.json", "{\"agent_identity\":null}");
    assert_int_equal(import_place_read(place, "auth.json"), 0);
    assert_string_equal(place->list.entries[0].code, "no_credential");
    import_place_write(place, "auth-profiles.json",
               "{\"profiles\":{\"p:a\":{\"type\":\"api_key\",\"provider\":\"p\",\"key\":null,"
               "\"keyRef\":null,\"apiKey\":\"k\"}}}");
    import_place_read_ok(place, "auth-profiles.json", 1);
    assert_int_equal(place->list.entries[0].verdict, IMPORT_TAKE);
}

static void texts_that_cannot_be_shown_are_left_out(void **state)
{
    static const struct {
        const char *email, *shown;
    } cases[] = {
        {"a b", "a b"}, {"a\\u0007b", ""}, {"a\\u001fb", ""}, {"a\\u007fb", ""},
    };
    struct import_place *place = *state;
    char text[512], member[256];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        snprintf(member, sizeof(member), ",\"email\":\"%s\"", cases[i].email);
        snprintf(text, sizeof(text), PROFILE, "p:a", member);
        import_place_write(place, "x.json", text);
        import_place_read_ok(place, "x.json", 1);
        assert_string_equal(place->list.entries[0].email, cases[i].shown);
    }
    for (int size = 127; size <= 128; size++) {
        snprintf(member, sizeof(member), ",\"email\":\"%0*d\"", size, 7);
        snprintf(text, sizeof(text), PROFILE, "p:a", member);
        import_place_write(place, "x.json", text);
        import_place_read_ok(place, "x.json", 1);
        assert_int_equal(strlen(place->list.entries[0].email), size == 127 ? 127 : 0);
    }
    import_place_write(place, "x.json",
               "{\"profiles\":{\"p:c\":{\"type\":\"a_type_of_more_than_thirty_two_letters\","
               "\"provider\":\"p\"}}}");
    import_place_read_ok(place, "x.json", 1);
    assert_string_equal(place->list.entries[0].code, "invalid_type");
}

static void a_fence_in_either_token_is_seen(void **state)
{
    struct import_place *place = *state;
    import_place_write(place, "auth-profiles.json",
               "{\"profiles\":{\"p:a\":{\"type\":\"oauth\",\"provider\":\"p\",\"access\":\"a\","
               "\"refresh\":\"openclaw-oauth-refresh-fence:v1:c:refresh:00\"}}}");
    import_place_read_ok(place, "auth-profiles.json", 1);
    assert_string_equal(place->list.entries[0].code, "fence_marker");
}

/* One profile of each of two agents, given the members that tell logins apart. */
static void two_agents(struct import_place *place, const char *one, const char *two, bool same)
{
    const char *const members[] = {one, two};
    const char *const agents[] = {"atlas", "axon"};
    for (int i = 0; i < 2; i++) {
        char name[64], text[512];
        snprintf(name, sizeof(name), "agents/%s/agent/auth-profiles.json", agents[i]);
        snprintf(text, sizeof(text), "{\"profiles\":{\"p:%d\":{\"provider\":\"p\",%s}}}", i,
                 members[i]);
        import_place_write(place, name, text);
    }
    import_place_read_ok(place, "", 2);
    assert_int_equal(place->list.entries[0].verdict, IMPORT_TAKE);
    if ((place->list.entries[1].verdict == IMPORT_CLONE) != same) {
        fail_msg("%s and %s", one, two);
    }
}

#define OAUTH "\"type\":\"oauth\",\"access\":\"a\",\"refresh\":"

static void two_agents_have_one_login_when_token_or_person_are_the_same(void **state)
{
    struct import_place *place = *state;
    static const struct {
        const char *one, *two;
        bool same;
    } cases[] = {
        {OAUTH "\"r\"", OAUTH "\"r\"", true},
        {OAUTH "\"r\"", OAUTH "\"s\"", false},
        {OAUTH "\"r\",\"email\":\"m@example.test\"",
         OAUTH "\"s\",\"email\":\"m@example.test\"", true},
        {OAUTH "\"r\",\"email\":\"m@example.test\"", OAUTH "\"s\"", false},
        {OAUTH "\"r\",\"email\":\"m@example.test\",\"accountId\":\"x\"",
         OAUTH "\"s\",\"accountId\":\"x\"", true},
        {OAUTH "\"r\",\"accountId\":\"x\"",
         OAUTH "\"s\",\"email\":\"m@example.test\",\"accountId\":\"x\"", true},
        {OAUTH "\"r\",\"email\":\"m@example.test\",\"accountId\":\"x\"",
         OAUTH "\"s\",\"email\":\"n@example.test\",\"accountId\":\"x\"", false},
        {OAUTH "\"r\",\"accountId\":\"x\"", OAUTH "\"s\",\"accountId\":\"x\"", true},
        {OAUTH "\"r\",\"accountId\":\"x\"", OAUTH "\"s\",\"accountId\":\"y\"", false},
        {"\"type\":\"api_key\",\"key\":\"k\"", "\"type\":\"api_key\",\"key\":\"k\"", true},
        {"\"type\":\"api_key\",\"key\":\"k\"", "\"type\":\"api_key\",\"key\":\"l\"", false},
        {"\"type\":\"api_key\",\"key\":\"k\"", "\"type\":\"token\",\"token\":\"k\"", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        two_agents(place, cases[i].one, cases[i].two, cases[i].same);
    }
}

static void a_login_with_a_refresh_token_is_not_one_without(void **state)
{
    struct import_place *place = *state;
    import_place_write(place, "agents/atlas/agent/auth-profiles.json",
               "{\"tokens\":{\"access_token\":\"a\"}}");
    import_place_write(place, "agents/axon/agent/auth-profiles.json",
               "{\"tokens\":{\"access_token\":\"a\"}}");
    import_place_read_ok(place, "", 2);
    assert_int_equal(place->list.entries[1].verdict, IMPORT_CLONE); /* the same access token */
}

static void a_socket_or_a_file_of_agents_is_no_login(void **state)
{
    struct import_place *place = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", place->directory);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(import_place_read(place, "socket"), -ENXIO);
    assert_non_null(strstr(place->why, "cannot read"));
    close(fd);
    char path[256];
    snprintf(path, sizeof(path), "%s/pipe", place->directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(import_place_read(place, "pipe"), -EINVAL);
    assert_non_null(strstr(place->why, "regular file"));
    import_place_write(place, "agents", "");
    assert_int_equal(import_place_read(place, ""), -ENOTDIR);
    assert_non_null(strstr(place->why, "/agents"));
}

static void write_profiles(const struct import_place *place, int count)
{
    size_t size = 1 << 20, used = 0;
    char *text = malloc(size);
    used += (size_t)snprintf(text, size, "{\"profiles\":{");
    for (int i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s\"p:%d\":7", i == 0 ? "" : ",", i);
    }
    snprintf(text + used, size - used, "}}");
    import_place_write(place, "x.json", text);
    free(text);
}

static void as_many_profiles_and_agents_as_there_is_room_for(void **state)
{
    struct import_place *place = *state;
    write_profiles(place, 1025);
    assert_int_equal(import_place_read(place, "x.json"), -E2BIG);
    assert_non_null(strstr(place->why, "more than 1024 profiles"));
    write_profiles(place, 1024);
    import_place_read_ok(place, "x.json", 1024);
    write_profiles(place, 0);
    import_place_read_ok(place, "x.json", 0);
    for (int i = 0; i <= 1024; i++) {
        char name[64];
        assert_int_equal(i == 1024 ? import_place_read(place, "") : -ENOENT, -ENOENT);
        snprintf(name, sizeof(name), "agents/a%d/x", i);
        import_place_write(place, name, "");
    }
    assert_int_equal(import_place_read(place, ""), -E2BIG); /* none is left out without a word */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(openclaw_credentials_of_all_types_are_read),
        TEST(an_id_that_is_no_name_is_refused),
        TEST(what_cannot_be_taken_is_named),
        TEST(five_copies_of_one_login_become_one),
        TEST(on_a_tie_main_is_kept),
        TEST(two_logins_are_not_taken_for_one),
        TEST(one_torn_agent_file_does_not_hide_the_others),
        TEST(bad_files_are_refused_with_a_place_and_without_a_secret),
        TEST(what_is_not_there_is_said),
        TEST(deep_nesting_and_size_are_bounded),
        TEST(members_that_are_null_are_not_there),
        TEST(texts_that_cannot_be_shown_are_left_out),
        TEST(a_fence_in_either_token_is_seen),
        TEST(two_agents_have_one_login_when_token_or_person_are_the_same),
        TEST(a_login_with_a_refresh_token_is_not_one_without),
        TEST(a_socket_or_a_file_of_agents_is_no_login),
        TEST(as_many_profiles_and_agents_as_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
