/* SPDX-License-Identifier: Apache-2.0 */
/* After a token went through curl and jansson, no copy of it is left in this process. The token is
 * random and known here only in disguise, so that every hit in memory is a copy someone left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <curl/curl.h>

#include "scripted_server.h"
#include "support/temp_dir.h"
#include "token/answer.h"
#include "token/exchange.h"
#include "token/import.h"
#include "token/wipe.h"

#define CANARY_SIZE 120
#define CANARY_HEAD 80 /* not looked for: malloc writes into the start of what is freed */
#define DISGUISE 0x55

/* The address sanitizer would rather stop the test than say that there is no memory. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

struct canary {
    unsigned char disguised[CANARY_SIZE];
};

static void canary_make(struct canary *canary)
{
    unsigned char random[CANARY_SIZE];
    assert_int_equal(getrandom(random, sizeof(random), 0), sizeof(random));
    for (size_t i = 0; i < CANARY_SIZE; i++) {
        canary->disguised[i] = (unsigned char)(('a' + random[i] % 26) ^ DISGUISE);
    }
}

/* Puts it, undisguised, into a secret behind `before` and ahead of `after`. */
static struct secret *canary_secret(const struct canary *canary, const char *before,
                                    const char *after)
{
    size_t at = strlen(before), length = at + CANARY_SIZE + strlen(after);
    struct secret *secret = secret_new_sized(length);
    memcpy(secret_edit(secret), before, at);
    for (size_t i = 0; i < CANARY_SIZE; i++) {
        secret_edit(secret)[at + i] = canary->disguised[i] ^ DISGUISE;
    }
    memcpy(secret_edit(secret) + at + CANARY_SIZE, after, strlen(after));
    return secret;
}

static size_t count_in(const struct canary *canary, const unsigned char *bytes, size_t size)
{
    size_t count = 0;
    for (size_t at = 0; at + CANARY_SIZE <= size; at++) {
        size_t same = CANARY_HEAD;
        while (same < CANARY_SIZE && (bytes[at + same] ^ DISGUISE) == canary->disguised[same]) {
            same++;
        }
        count += same == CANARY_SIZE ? 1 : 0;
    }
    return count;
}

/* Copies in all memory of this process that can be written. The buffer it is read into is not
 * counted: it is wiped before each part, and the parts do not overlap. */
static size_t count_copies(const struct canary *canary)
{
    size_t copies = 0, size = 1 << 20;
    unsigned char *buffer = malloc(size);
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    char line[512];
    assert_non_null(maps);
    assert_true(memory >= 0);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long start, end;
        char access[8];
        if (sscanf(line, "%lx-%lx %7s", &start, &end, access) != 3 || access[1] != 'w' ||
            end - start > (64UL << 20)) {
            continue;
        }
        for (unsigned long at = start; at < end; at += size) {
            memset(buffer, 0, size);
            size_t want = end - at < size ? end - at : size;
            ssize_t got = pread(memory, buffer, want, (off_t)at);
            copies += got > 0 ? count_in(canary, buffer, (size_t)got) : 0;
        }
    }
    explicit_bzero(buffer, size);
    free(buffer);
    fclose(maps);
    close(memory);
    return copies;
}

static void the_search_finds_a_copy(void **state)
{
    (void)state;
    struct canary canary;
    canary_make(&canary);
    assert_int_equal(count_copies(&canary), 0);
    struct secret *secret = canary_secret(&canary, "", "");
    char *copy = malloc(CANARY_SIZE);
    memcpy(copy, secret_data(secret), CANARY_SIZE);
    assert_true(count_copies(&canary) >= 2);
    explicit_bzero(copy, CANARY_SIZE);
    free(copy);
    secret_free(secret);
    assert_int_equal(count_copies(&canary), 0);
}

static void parsing_an_answer_leaves_no_copy(void **state)
{
    (void)state;
    static const struct provider_rule rule = {.account_claim = "/sub"};
    struct canary canary;
    struct token_answer answer;
    canary_make(&canary);
    struct secret *body = canary_secret(&canary, "{\"access_token\":\"a\",\"refresh_token\":\"",
                                        "\"}");
    assert_int_equal(token_answer_parse(&rule, 200, body, 1, &answer), OUTCOME_ROTATED);
    token_answer_deinit(&answer);
    secret_free(body);
    assert_int_equal(count_copies(&canary), 0);
}

static void reading_logins_leaves_no_copy(void **state)
{
    (void)state;
    struct canary canary;
    char directory[TEMP_DIR_MAX], path[TEMP_DIR_MAX + 16], why[512];
    struct import_list list;
    canary_make(&canary);
    struct secret *text = canary_secret(&canary, "{\"tokens\":{\"access_token\":\"", "\"}}");
    assert_int_equal(temp_dir_make(directory), 0);
    snprintf(path, sizeof(path), "%s/auth.json", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, secret_data(text), secret_length(text)), secret_length(text));
    close(fd);
    secret_free(text);
    assert_int_equal(import_read(path, &list, why, sizeof(why)), 0);
    assert_int_equal(count_copies(&canary), 1); /* the entry's own */
    import_list_deinit(&list);
    assert_int_equal(count_copies(&canary), 0);
    temp_dir_remove(directory);
}

struct ended {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    struct exchange_port *exchange;
    bool is_done;
};

static void on_gate(void *arg, uint64_t id)
{
    struct ended *ended = arg;
    ended->exchange->gate(ended->exchange, id, true);
}

static void on_done(void *arg, uint64_t id, struct exchange_result *result)
{
    struct ended *ended = arg;
    (void)id;
    secret_free(result->body);
    pthread_mutex_lock(&ended->mutex);
    ended->is_done = true;
    pthread_cond_signal(&ended->moved);
    pthread_mutex_unlock(&ended->mutex);
}

static void an_exchange_leaves_no_copy(void **state)
{
    (void)state;
    struct server server;
    struct canary canary;
    struct provider_rule rule = {.id = "lab", .encoding = ENCODING_JSON};
    struct ended ended = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                          exchange_curl_new(NULL), false};
    server_start(&server, SCRIPT_ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    snprintf(rule.token_url, sizeof(rule.token_url), "http://127.0.0.1:%d/", server.port);
    canary_make(&canary);
    struct secret *refresh = canary_secret(&canary, "", "");
    struct exchange_request request = {.rule = &rule, .refresh = refresh, .timeout_ms = 5000,
                                       .connect_timeout_ms = 5000, .arg = &ended,
                                       .at_gate = on_gate, .done = on_done};
    uint64_t id;
    assert_int_equal(ended.exchange->start(ended.exchange, &request, &id), 0);
    secret_free(refresh);
    pthread_mutex_lock(&ended.mutex);
    while (!ended.is_done) {
        pthread_cond_wait(&ended.moved, &ended.mutex);
    }
    pthread_mutex_unlock(&ended.mutex);
    ended.exchange->close(ended.exchange);
    server_stop(&server);
    assert_true(count_in(&canary, (unsigned char *)server.seen, server.seen_size) == 1);
    explicit_bzero(server.seen, sizeof(server.seen)); /* the server's copy is the server's */
    assert_int_equal(count_copies(&canary), 0);
}

/* What libcurl was given, and whether it takes it. */
static struct {
    curl_realloc_callback grow;
    curl_malloc_callback get;
    curl_strdup_callback copy;
    curl_calloc_callback clear;
    bool fails;
} given;

CURLcode __real_curl_global_init_mem(long flags, curl_malloc_callback get,
                                     curl_free_callback drop, curl_realloc_callback grow,
                                     curl_strdup_callback copy, curl_calloc_callback clear);
CURLcode __wrap_curl_global_init_mem(long flags, curl_malloc_callback get,
                                     curl_free_callback drop, curl_realloc_callback grow,
                                     curl_strdup_callback copy, curl_calloc_callback clear);

CURLcode __wrap_curl_global_init_mem(long flags, curl_malloc_callback get,
                                     curl_free_callback drop, curl_realloc_callback grow,
                                     curl_strdup_callback copy, curl_calloc_callback clear)
{
    given.grow = grow;
    given.get = get;
    given.copy = copy;
    given.clear = clear;
    return given.fails ? CURLE_FAILED_INIT
                       : __real_curl_global_init_mem(flags, get, drop, grow, copy, clear);
}

static void what_grows_keeps_its_bytes_and_leaves_none_behind(void **state)
{
    (void)state;
    assert_int_equal(wipe_install(), 0);
    struct canary canary;
    canary_make(&canary);
    char *text = given.grow(NULL, 64);
    memset(text, 'a', 64);
    assert_ptr_equal(given.grow(text, 8), text); /* it fits */
    assert_ptr_equal(given.grow(text, malloc_usable_size(text)), text);
    assert_null(given.grow(text, SIZE_MAX / 2));
    assert_int_equal(text[63], 'a'); /* and is still there */
    text = given.grow(text, 4096);
    assert_int_equal(text[63], 'a');
    free(text);
    given.fails = true;
    assert_true(wipe_install() < 0);
    given.fails = false;
}

static void what_there_was_no_memory_for_is_counted(void **state)
{
    (void)state;
    unsigned before = wipe_refusals();
    char *text = given.copy("text"), *more = given.get(8), *zeros = given.clear(2, 8);
    assert_string_equal(text, "text");
    assert_non_null(more);
    assert_int_equal(zeros[15], 0);
    free(text);
    free(more);
    free(zeros);
    assert_int_equal(wipe_refusals(), before);
    assert_null(given.get(SIZE_MAX / 2));
    assert_int_equal(wipe_refusals(), before + 1);
    assert_null(given.clear(SIZE_MAX / 4, 2));
    assert_int_equal(wipe_refusals(), before + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_finds_a_copy),
        cmocka_unit_test(parsing_an_answer_leaves_no_copy),
        cmocka_unit_test(reading_logins_leaves_no_copy),
        cmocka_unit_test(an_exchange_leaves_no_copy),
        cmocka_unit_test(what_grows_keeps_its_bytes_and_leaves_none_behind),
        cmocka_unit_test(what_there_was_no_memory_for_is_counted),
    };
    return wipe_install() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
