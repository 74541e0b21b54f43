/* SPDX-License-Identifier: Apache-2.0 */
/* The k-th allocation fails, for every k, in what is called by itself: readers of files and
 * answers, rules, the codec, a store in memory, the step. Each says so or has done its work; what
 * it has then handed out is whole. (Whole keepers without memory: tests/sim.) Some system calls of
 * the readers fail in the same way. The linker puts the functions below in the library's place. */
#include "step/step_fixture.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

#include "provider/answer_json.h"
#include "proto/schema.h"
#include "store/store_codec.h"
#include "store/store_place.h"
#include "token/answer.h"
#include "token/exchange.h"
#include "token/import.h"
#include "support/store_memory.h"

/* What the allocators know; they have no argument to find it by. */
static struct {
    bool counting;
    unsigned calls, fail_at;
} scarce;

static bool fails(void)
{
    return scarce.counting && ++scarce.calls == scarce.fail_at;
}

#define WRAP(result, name, parameters, arguments, error, failure)                                  \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters                                                                \
    {                                                                                              \
        if (fails()) {                                                                             \
            errno = error;                                                                         \
            return failure;                                                                        \
        }                                                                                          \
        bool counting = scarce.counting;                                                           \
        scarce.counting = false;                                                                   \
        result value = __real_##name arguments;                                                    \
        scarce.counting = counting;                                                                \
        return value;                                                                              \
    }

WRAP(void *, malloc, (size_t size), (size), ENOMEM, NULL)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), ENOMEM, NULL)
WRAP(void *, reallocarray, (void *pointer, size_t count, size_t size), (pointer, count, size),
     ENOMEM, NULL)
WRAP(char *, strdup, (const char *text), (text), ENOMEM, NULL)
WRAP(char *, strndup, (const char *text, size_t size), (text, size), ENOMEM, NULL)
WRAP(int, sodium_init, (void), (), ENOMEM, -1)
WRAP(void *, sodium_malloc, (size_t size), (size), ENOMEM, NULL)
WRAP(int, fstat, (int fd, struct stat *status), (fd, status), EIO, -1)
WRAP(int, scandir,
     (const char *path, struct dirent ***names, int (*filter)(const struct dirent *),
      int (*compare)(const struct dirent **, const struct dirent **)),
     (path, names, filter, compare), EIO, -1)

/* Inside of libjansson none fails: without memory its scanner drops characters and may write past
 * the end of a string; what is asked of it as a whole does. */
WRAP(json_t *, json_object, (void), (), ENOMEM, NULL)
WRAP(json_t *, json_loads, (const char *text, size_t flags, json_error_t *error),
     (text, flags, error), ENOMEM, NULL)
WRAP(json_t *, json_loadb,
     (const char *text, size_t size, size_t flags, json_error_t *error),
     (text, size, flags, error), ENOMEM, NULL)
WRAP(char *, json_dumps, (const json_t *root, size_t flags), (root, flags), ENOMEM, NULL)
WRAP(json_t *, json_string, (const char *text), (text), ENOMEM, NULL)
WRAP(CURLU *, curl_url, (void), (), ENOMEM, NULL)
WRAP(CURLUcode, curl_url_get, (CURLU *url, CURLUPart part, char **text, unsigned flags),
     (url, part, text, flags), ENOMEM, CURLUE_OUT_OF_MEMORY)
WRAP(CURLcode, curl_global_init_mem,
     (long flags, curl_malloc_callback m, curl_free_callback f, curl_realloc_callback r,
      curl_strdup_callback s, curl_calloc_callback c),
     (flags, m, f, r, s, c), ENOMEM, CURLE_FAILED_INIT)

static enum { READ_WORKS, READ_FAILS, READ_IS_INTERRUPTED, READ_ENDS, READ_IS_SHORT } read_fault;
ssize_t __real_pread(int fd, void *bytes, size_t size, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t at)
{
    if (read_fault == READ_WORKS || !fails()) {
        return __real_pread(fd, bytes, size, at);
    }
    if (read_fault == READ_IS_SHORT) {
        return __real_pread(fd, bytes, 1, at);
    }
    errno = read_fault == READ_IS_INTERRUPTED ? EINTR : EIO;
    return read_fault == READ_ENDS ? 0 : -1;
}

/* For every k until the work makes fewer allocations; `work` returns whether it is done. */
static void each(const char *name, bool (*work)(void *arg), void *arg)
{
    unsigned k = 0;
    bool done;
    do {
        scarce.calls = 0;
        scarce.fail_at = ++k;
        done = work(arg);
        scarce.counting = false;
    } while (scarce.calls >= k);
    assert_true(done); /* the last one was spared */
    print_message("%s: %u\n", name, k - 1);
    assert_true(k > 1);
}

/* ---- rules, answers, bodies ----------------------------------------------------------------- */

static const char rule_text[] =
    "{\"tokenUrl\":\"https://LAB.example.test:8443/t\",\"clientId\":\"lab\","
    "\"extra\":{\"a\":\"b\"},"
    "\"headers\":{\"X-Lab\":\"7\"},\"terminalCodes\":[\"gone\"]}";

static bool read_rule(void *arg)
{
    struct provider_rule rule = {0}, again;
    char why[256], origin[600] = "untouched";
    (void)arg;
    scarce.counting = true;
    bool is_read = provider_rule_parse("lab", rule_text, &rule, why, sizeof(why)) == 0;
    bool has_origin = is_read && provider_rule_origin(&rule, origin, sizeof(origin));
    char *text = is_read ? provider_rule_print(&rule) : NULL;
    scarce.counting = false;
    assert_string_equal(origin, has_origin ? "https://lab.example.test:8443" : "untouched");
    if (text != NULL) { /* the login is pinned to it: nothing is left out */
        assert_non_null(strstr(text, "\"id\":\"lab\""));
        assert_int_equal(provider_rule_parse("lab", text, &again, why, sizeof(why)), 0);
        assert_memory_equal(&rule, &again, sizeof(again));
    }
    free(text);
    return has_origin && text != NULL;
}

static bool read_origin_without_port(void *arg)
{
    struct provider_rule rule = {.token_url = "https://lab.example.test/t"};
    char origin[600] = "untouched";
    (void)arg;
    scarce.counting = true;
    bool has_origin = provider_rule_origin(&rule, origin, sizeof(origin));
    scarce.counting = false;
    assert_string_equal(origin, has_origin ? "https://lab.example.test" : "untouched");
    return has_origin;
}

static bool build_body(void *arg)
{
    struct provider_rule rule = {.client_id = "lab", .extra = "{\"a\":\"b\"}"};
    struct secret *refresh = secret_new("r", 1);
    (void)arg;
    scarce.counting = true;
    struct secret *body = exchange_body(&rule, refresh);
    scarce.counting = false;
    bool done = body != NULL;
    assert_string_equal(secret_data(body),
                        done ? "grant_type=refresh_token&refresh_token=r&client_id=lab&a=b" : "");
    secret_free(body);
    secret_free(refresh);
    return done;
}

static bool make_exchange(void *arg)
{
    struct provider_rule rule = {.token_url = "http://127.0.0.1:9/"};
    struct secret *refresh = secret_new("r", 1), *empty = secret_new("", 0);
    struct exchange_request request = {.rule = &rule, .refresh = empty};
    uint64_t id;
    (void)arg;
    scarce.counting = true;
    struct exchange_port *exchange = exchange_curl_new(
        &(struct exchange_curl_options){.proxy = "http://127.0.0.1:9", .ca_file = "/none"});
    scarce.counting = false;
    bool done = exchange != NULL;
    assert_true(!done || scarce.calls < scarce.fail_at); /* no option is left out in silence */
    if (done) {
        assert_int_equal(exchange->start(exchange, &request, &id), -EINVAL);
        exchange->close(exchange);
    }
    secret_free(refresh);
    secret_free(empty);
    return done;
}

static void rules_and_bodies_are_whole_or_not_there(void **state)
{
    (void)state;
    each("rule", read_rule, NULL);
    each("origin", read_origin_without_port, NULL);
    each("body", build_body, NULL);
    each("exchange", make_exchange, NULL);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void write_text(const struct store_place *place, const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", place->directory, name);
    for (char *at = path + strlen(place->directory) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    store_write_bytes(path, text, strlen(text), 0);
}

struct reading {
    const struct store_place *place;
    const char *name;
    size_t count;
};

static bool read_import(void *arg)
{
    const struct reading *reading = arg;
    struct import_list list = {0};
    char path[300], why[512];
    snprintf(path, sizeof(path), "%s/%s", reading->place->directory, reading->name);
    scarce.counting = true;
    int error = import_read(path, &list, why, sizeof(why));
    scarce.counting = false;
    assert_true(error == 0 || error == -ENOMEM || error == -EIO || error == -EINVAL);
    assert_true(error == 0 || why[0] != '\0');
    bool done = error == 0 && list.count == reading->count;
    bool has_bad_file = false;
    for (size_t i = 0; i < list.count; i++) {
        done &= list.entries[i].verdict == IMPORT_TAKE;
        has_bad_file |= strcmp(list.entries[i].code, "bad_file") == 0;
    }
    assert_true(error < 0 || list.count == reading->count || has_bad_file);
    import_list_deinit(&list);
    return done;
}

static void files_of_logins_are_read_or_refused_with_a_reason(void **state)
{
    struct store_place *place = *state;
    write_text(place, "codex.json",
               "{\"OPENAI_API_KEY\":\"sk-1\",\"personal_access_token\":\"p\",\"tokens\":"
               "{\"id_token\":\"i\",\"access_token\":\"a\",\"refresh_token\":\"r\"}}");
    write_text(place, "none.json", "{\"tokens\":null}");
    write_text(place, "bedrock.json", "{\"auth_mode\":\"x\",\"bedrock_key\":\"x\"}");
    write_text(place, "home/agents/main/agent/auth-profiles.json",
               "{\"profiles\":{\"p:k\":{\"type\":\"api_key\",\"provider\":\"p\",\"key\":\"k\"},"
               "\"p:o\":{\"type\":\"oauth\",\"provider\":\"p\",\"access\":\"a\","
               "\"refresh\":\"r\"}}}");
    write_text(place, "home/agents/nova/agent/auth-profiles.json",
               "{\"profiles\":{\"p:n\":{\"type\":\"api_key\",\"provider\":\"p\",\"key\":\"n\"}}}");
    write_text(place, "torn/agents/main/agent/auth-profiles.json", "{");
    static const struct {
        const char *name;
        size_t count;
    } rows[] = {{"codex.json", 3}, {"home", 3}};
    for (int fault = READ_FAILS; fault <= READ_IS_SHORT; fault++) {
        read_fault = fault;
        for (size_t i = 0; i < 2; i++) {
            each(rows[i].name, read_import,
                 &(struct reading){place, rows[i].name, rows[i].count});
        }
    }
    static const char *const others[] = {"none.json", "bedrock.json", "torn"};
    for (size_t i = 0; i < 3; i++) {
        scarce.calls = 1;
        for (scarce.fail_at = 1; scarce.calls != 0; scarce.fail_at++) {
            scarce.calls = 0;
            read_import(&(struct reading){place, others[i], 1});
            if (scarce.calls < scarce.fail_at) {
                break;
            }
        }
    }
    read_fault = READ_WORKS;
}

static bool read_claims(void *arg)
{
    (void)arg;
    scarce.counting = true;
    json_t *claims = jwt_claims("e30.eyJleHAiOjV9.sig", 20);
    scarce.counting = false;
    bool done = claims != NULL;
    json_decref(claims);
    return done;
}

static void claims_without_memory_are_not_read(void **state)
{
    (void)state;
    each("claims", read_claims, NULL);
}

/* ---- stores --------------------------------------------------------------------------------- */

static void keep(void *arg, struct stored *stored)
{
    *(size_t *)arg += 1;
    stored_deinit(stored);
}

/* All a store can be asked, each only after what it builds on. */
static bool use_store(struct store_port *store)
{
    scarce.counting = false;
    struct credential credential = store_credential(7), next = store_credential(8);
    struct credential other = store_credential(1);
    struct intent intent = {.generation = 7, .attempt = 1};
    struct answer answer = {.generation = 7, .attempt = 1, .complete = true,
                            .body = secret_new("answer", 6)};
    credential.rule = malloc(3);
    memcpy(credential.rule, "{}", 3);
    snprintf(other.profile, sizeof(other.profile), "lab:other");
    size_t loaded = 0;
    struct credential seen;
    credential_init(&seen);
    scarce.counting = true;
    bool done = store->open(store) >= 0 &&
                store->load(store, &loaded, keep, store_ignore_bad) == 0 &&
                store->write_record(store, &credential) == 0 &&
                store->reserve(store, &credential, 1) == 0 &&
                store->write_intent(store, &credential, &intent) == 0 &&
                store->write_answer(store, &credential, &answer) == 0 &&
                store->reserve(store, &credential, 2) == 0 &&
                store->reserve(store, &other, 1) == 0 &&
                store->look(store, "lab:me", &seen) == 0 &&
                store->look(store, "lab:no", &seen) == -ENOENT &&
                store->look(store, "lab:other", &seen) == -ENOENT &&
                store->release(store, &credential, 2) == 0 && store->adopt(store) == 0 &&
                store->audit(store, "one") == 0 && store->write_record(store, &next) == 0 &&
                store->remove(store, "lab:me") == 0;
    scarce.counting = false;
    credential_deinit(&seen);
    credential_deinit(&credential);
    credential_deinit(&next);
    credential_deinit(&other);
    secret_free(answer.body);
    return done;
}

/* A refresh that a crash cut short is in the store. */
static void leave_attempt(struct store_port *store)
{
    struct credential credential = store_credential(7);
    store_leave_attempt(store, &credential, "answer");
    credential_deinit(&credential);
}

static bool start_again(struct store_port *store)
{
    size_t loaded = 0;
    scarce.counting = true;
    bool done = store->open(store) >= 0 &&
                store->load(store, &loaded, keep, store_ignore_bad) == 0 && loaded == 1;
    scarce.counting = false;
    store->close(store);
    return done;
}

static bool find_attempt_in_memory(void *arg)
{
    (void)arg;
    struct memory_disk *disk = memory_disk_new();
    leave_attempt(store_memory_new(disk));
    bool done = start_again(store_memory_new(disk));
    memory_disk_free(disk);
    return done;
}

static bool find_attempt_in_files(void *arg)
{
    struct store_place *place = arg;
    struct secret *key = secret_new("0123456789abcdef0123456789abcdef", 32);
    struct store_file_options options = {.state_dir = place->directory, .key = key};
    temp_dir_remove(place->credentials);
    leave_attempt(store_file_new(&options));
    bool done = start_again(store_file_new(&options));
    secret_free(key);
    return done;
}

static bool use_memory_store(void *arg)
{
    (void)arg;
    scarce.counting = true;
    struct memory_disk *disk = memory_disk_new();
    struct store_port *store = disk == NULL ? NULL : store_memory_new(disk);
    bool done = store != NULL && use_store(store);
    scarce.counting = false;
    if (store != NULL) {
        store->close(store);
    }
    memory_disk_free(disk);
    return done;
}

static bool use_file_store(void *arg)
{
    struct store_place *place = arg;
    struct secret *key = secret_new("0123456789abcdef0123456789abcdef", 32);
    temp_dir_remove(place->credentials);
    scarce.counting = true;
    struct store_port *store = store_file_new(
        &(struct store_file_options){.state_dir = place->directory, .key = key});
    bool done = store != NULL && use_store(store);
    scarce.counting = false;
    if (store != NULL) {
        store->close(store);
    }
    secret_free(key);
    return done;
}

static void a_store_without_memory_says_so(void **state)
{
    each("store in memory", use_memory_store, NULL);
    each("store of files", use_file_store, *state);
    each("start in memory", find_attempt_in_memory, NULL);
    each("start on files", find_attempt_in_files, *state);
}

static void a_disk_in_memory_fails_as_it_is_told(void **state)
{
    (void)state;
    bool hit = true;
    scarce.fail_at = 0; /* there is all the memory it wants */
    for (unsigned k = 1; hit; k++) {
        struct memory_disk *disk = memory_disk_new();
        struct store_port *store = store_memory_new(disk);
        memory_disk_fail(disk, k, EIO, k % 2 != 0);
        bool done = use_store(store);
        hit = memory_disk_calls(disk) >= k;
        assert_int_equal(done, !hit);
        store->close(store);
        memory_disk_free(disk);
    }
}

/* ---- the step ------------------------------------------------------------------------------- */

/* One event, which alone is short of memory; true: it was taken. */
static bool run_event(struct bench *bench, struct token_event *event, const char *refused_as)
{
    event->waiter = ++bench->last_waiter;
    scarce.counting = true;
    token_step_run(&bench->step, event);
    scarce.counting = false;
    const struct bench_action *row = bench_answer(bench, event->waiter);
    if (row != NULL && row->kind == ACTION_REFUSE) {
        assert_string_equal(row->code, refused_as);
        return false;
    }
    return true;
}

static bool import_again(void *arg)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    const char *name = arg; /* the same: a later family member replaces it; another: an alias */
    struct token_import_job *job = calloc(1, sizeof(*job));
    struct token_event event = bench_event(bench, EVENT_IMPORT);
    bool is_alias = strcmp(name, "lab:me") != 0;
    if (!is_alias) {
        snprintf(bench_profile(bench, "lab:me")->credential.mode, 16, "access_only");
    }
    job->credential = bench_credential(bench, name, "lab:me");
    memcpy(job->digest, job->credential.digests[0], 16);
    job->has_digest = true;
    free(job->credential.digests);
    job->credential.digests = NULL;
    job->credential.digest_count = 0;
    event.import = job;
    bool done = run_event(bench, &event, "internal") && bench->step.import_saving;
    bench_free(bench);
    return done;
}

static bool ask_and_drain(void *arg)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    struct token_event get = bench_event(bench, EVENT_GET);
    struct token_event drain = bench_event(bench, EVENT_DRAIN);
    (void)arg;
    get.name = "lab:me";
    bool done = run_event(bench, &get, "busy") && run_event(bench, &drain, "busy");
    bench_free(bench);
    return done;
}

static void an_event_without_memory_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    char same[] = "lab:me", other[] = "lab:other";
    each("import", import_again, same);
    each("alias", import_again, other);
    each("get and drain", ask_and_drain, NULL);
}

static bool copy_text(void *arg)
{
    (void)arg;
    scarce.counting = true;
    char *text = proto_text_dup(proto_text("abc"));
    scarce.counting = false;
    bool done = text != NULL;
    free(text);
    return done;
}

static void a_text_without_memory_is_not_copied(void **state)
{
    (void)state;
    each("text", copy_text, NULL);
}

#define TEST(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, store_place_setup_in_memory, store_place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rules_and_bodies_are_whole_or_not_there),
        TEST(files_of_logins_are_read_or_refused_with_a_reason),
        TEST(claims_without_memory_are_not_read),
        TEST(a_store_without_memory_says_so),
        TEST(a_disk_in_memory_fails_as_it_is_told),
        TEST(an_event_without_memory_is_refused_and_changes_nothing),
        TEST(a_text_without_memory_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
