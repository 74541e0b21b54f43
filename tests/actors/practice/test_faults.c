/* SPDX-License-Identifier: Apache-2.0 */
/* Each fault of the token endpoint: what the client sees, and whether the token was spent. */
#include <curl/curl.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client.h"

struct row {
    const char *fault;
    int failed;
    long status;
    bool spent;
    bool json;
};

static const struct row rows[] = {
    { "drop-before", CURLE_GOT_NOTHING, 0, false, false },
    { "drop-after", CURLE_GOT_NOTHING, 0, true, false },
    { "500-before", 0, 500, false, false },
    { "500-after", 0, 500, true, false },
    { "403-html", 0, 403, false, false },
    { "200-html", 0, 200, true, false },
    { "truncated-json", 0, 200, true, false },
    { "no-expires-in", 0, 200, true, true },
    { "no-refresh-token", 0, 200, false, true },
    { "hang", CURLE_OPERATION_TIMEDOUT, 0, true, false },
    { "drip", CURLE_OPERATION_TIMEDOUT, 200, true, false },
    { "huge-token", 0, 200, true, true },
    { "429", 0, 429, false, true },
};

static struct answer refresh_within(const struct bench *bench, long timeout_ms)
{
    char body[512];
    snprintf(body, sizeof(body), "grant_type=refresh_token&client_id=practice&refresh_token=%s",
             bench->refresh);
    return client_request(bench, "/oauth/token", NULL, NULL, body, timeout_ms);
}

static void each_token_fault_shows_as_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bench bench;
        bench_init(&bench);
        bench_start(&bench);
        client_set(&bench, "token-faults", rows[i].fault);
        bool timeout = rows[i].failed == CURLE_OPERATION_TIMEDOUT;
        struct answer answer = refresh_within(&bench, timeout ? 400 : 5000);
        print_message("%s: curl %d, status %ld, %zu bytes\n", rows[i].fault, answer.failed,
                      answer.status, answer.size);
        assert_int_equal(answer.failed, rows[i].failed);
        assert_int_equal(answer.status, rows[i].status);
        assert_int_equal(answer.json != NULL, rows[i].json);
        answer_deinit(&answer);
        client_set(&bench, "token-faults", "none");
        answer = client_refresh(&bench, bench.refresh);
        assert_int_equal(answer.status, rows[i].spent ? 401 : 200);
        answer_deinit(&answer);
        assert_int_equal(client_stat(&bench, "reused"), rows[i].spent);
        bench_stop(&bench);
    }
}

static void the_special_answers_are_what_they_say(void **state)
{
    struct bench bench;
    (void)state;
    bench_init(&bench);
    assert_int_equal(practice_option_set(&bench.options, "token-faults",
                                         "huge-token:2:1,no-expires-in:3:1,429:4:1", NULL, 0), 0);
    bench_start(&bench);
    client_rotate(&bench, &bench.refresh);
    struct answer huge = client_refresh(&bench, bench.refresh);
    assert_true(strlen(answer_text(&huge, "access_token")) > 1024 * 1024);
    struct answer bare = client_refresh(&bench, answer_text(&huge, "refresh_token"));
    assert_null(json_object_get(bare.json, "expires_in"));
    struct answer limited = client_refresh(&bench, answer_text(&bare, "refresh_token"));
    assert_int_equal(limited.status, 429);
    assert_int_equal(limited.retry_after_s, 1);
    struct answer good = client_refresh(&bench, answer_text(&bare, "refresh_token"));
    assert_int_equal(good.status, 200);
    answer_deinit(&huge);
    answer_deinit(&bare);
    answer_deinit(&limited);
    answer_deinit(&good);
    bench_stop(&bench);
}

static void faults_come_every_nth_time_and_end(void **state)
{
    struct bench bench;
    (void)state;
    bench_init(&bench);
    assert_int_equal(practice_option_set(&bench.options, "token-faults", "500-before:3:2", NULL,
                                         0), 0);
    bench_start(&bench);
    int failures = 0;
    for (int i = 1; i <= 12; i++) {
        struct answer answer = client_refresh(&bench, bench.refresh);
        assert_int_equal(answer.status, i == 3 || i == 6 ? 500 : 200);
        failures += answer.status == 500;
        if (answer.status == 200) {
            free(bench.refresh);
            bench.refresh = strdup(answer_text(&answer, "refresh_token"));
        }
        answer_deinit(&answer);
    }
    assert_int_equal(failures, 2);
    bench_stop(&bench);
}

static size_t body_ignore(char *bytes, size_t one, size_t count, void *arg)
{
    (void)bytes;
    (void)arg;
    return one * count;
}

static void a_delay_holds_the_answer_and_overlaps_are_counted(void **state)
{
    struct bench bench;
    (void)state;
    bench_init(&bench);
    bench.options.rotation = PRACTICE_GRACE;
    bench.options.refresh_delay_ms = 400;
    bench_start(&bench);
    CURLM *multi = curl_multi_init();
    char body[512];
    char url[128];
    CURL *easy[2];
    snprintf(url, sizeof(url), "%s/oauth/token", bench.url);
    snprintf(body, sizeof(body), "grant_type=refresh_token&client_id=practice&refresh_token=%s",
             bench.refresh);
    for (int i = 0; i < 2; i++) {
        easy[i] = curl_easy_init();
        curl_easy_setopt(easy[i], CURLOPT_URL, url);
        curl_easy_setopt(easy[i], CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(easy[i], CURLOPT_PROXY, "");
        curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, body_ignore);
        curl_multi_add_handle(multi, easy[i]);
    }
    int running = 2;
    while (running > 0) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 100, NULL);
    }
    for (int i = 0; i < 2; i++) {
        double seconds = 0;
        curl_easy_getinfo(easy[i], CURLINFO_TOTAL_TIME, &seconds);
        assert_true(seconds >= 0.39 && seconds < 3);
        curl_multi_remove_handle(multi, easy[i]);
        curl_easy_cleanup(easy[i]);
    }
    curl_multi_cleanup(multi);
    assert_int_equal(client_stat(&bench, "overlapping"), 1);
    assert_int_equal(client_stat(&bench, "repeated"), 1);
    bench_stop(&bench);
}

/* A client that gave up is not there any more: its next try is no overlap. */
static void a_client_that_left_a_hang_is_not_counted_as_waiting(void **state)
{
    struct bench bench;
    (void)state;
    bench_init(&bench);
    bench.options.rotation = PRACTICE_GRACE;
    bench_start(&bench);
    client_set(&bench, "token-faults", "hang:1:1");
    struct answer answer = refresh_within(&bench, 400);
    assert_int_equal(answer.failed, CURLE_OPERATION_TIMEDOUT);
    answer_deinit(&answer);
    client_rotate(&bench, &bench.refresh);
    assert_int_equal(client_stat(&bench, "overlapping"), 0);
    assert_int_equal(client_stat(&bench, "repeated"), 1);
    bench_stop(&bench);
}

static void wrong_options_are_refused_in_words(void **state)
{
    static const struct { const char *name; const char *value; int error; } wrong[] = {
        { "access-life", "soon", -EINVAL },    { "access-life", "-1s", -EINVAL },
        { "access-life", "5 years", -EINVAL }, { "rotation", "sometimes", -EINVAL },
        { "token-faults", "401", -EINVAL },    { "token-faults", "hang:0", -EINVAL },
        { "token-faults", "hang:1:1:1", -EINVAL }, { "token-faults", "", -EINVAL },
        { "port", "70000", -EINVAL },          { "speed", "9", -ENOENT },
    };
    struct practice_options options;
    struct practice_options before;
    (void)state;
    practice_options_init(&options);
    before = options;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char why[256] = "";
        assert_int_equal(practice_option_set(&options, wrong[i].name, wrong[i].value, why,
                                             sizeof(why)), wrong[i].error);
        assert_non_null(strstr(why, wrong[i].name));
        assert_memory_equal(&options, &before, sizeof(options));
    }
    assert_int_equal(practice_option_set(&options, "access-life", "1.5s", NULL, 0), 0);
    assert_int_equal(options.access_life_ms, 1500);
    assert_int_equal(practice_option_set(&options, "access-life", "20", NULL, 0), 0);
    assert_int_equal(options.access_life_ms, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_fault_shows_as_it_says),
        cmocka_unit_test(the_special_answers_are_what_they_say),
        cmocka_unit_test(faults_come_every_nth_time_and_end),
        cmocka_unit_test(a_delay_holds_the_answer_and_overlaps_are_counted),
        cmocka_unit_test(a_client_that_left_a_hang_is_not_counted_as_waiting),
        cmocka_unit_test(wrong_options_are_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
