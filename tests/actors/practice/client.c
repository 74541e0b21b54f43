/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

void bench_init(struct bench *bench)
{
    *bench = (struct bench){ 0 };
    practice_options_init(&bench->options);
    bench->options.model_delay_ms = 5;
    bench->options.model_pace_ms = 1;
}

void bench_start(struct bench *bench)
{
    assert_int_equal(practice_start(&bench->options, &bench->practice), 0);
    snprintf(bench->url, sizeof(bench->url), "http://127.0.0.1:%u",
             practice_port(bench->practice));
    struct answer login = client_request(bench, "/practice/login", NULL, NULL, "", 5000);
    assert_int_equal(login.status, 200);
    bench->access = strdup(answer_text(&login, "access_token"));
    bench->refresh = strdup(answer_text(&login, "refresh_token"));
    answer_deinit(&login);
}

void bench_stop(struct bench *bench)
{
    practice_stop(bench->practice);
    free(bench->access);
    free(bench->refresh);
    *bench = (struct bench){ 0 };
}

static size_t on_body(char *bytes, size_t one, size_t count, void *arg)
{
    struct answer *answer = arg;
    char *body = realloc(answer->body, answer->size + count + 1);
    assert_non_null(body);
    memcpy(body + answer->size, bytes, count);
    answer->body = body;
    answer->size += count;
    body[answer->size] = '\0';
    return one * count;
}

static struct curl_slist *headers_make(const char *type, const char *bearer)
{
    char line[2048];
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (type != NULL) {
        snprintf(line, sizeof(line), "Content-Type: %s", type);
        headers = curl_slist_append(headers, line);
    }
    if (bearer != NULL) {
        snprintf(line, sizeof(line), "Authorization: Bearer %s", bearer);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

struct answer client_request(const struct bench *bench, const char *path, const char *type,
                             const char *bearer, const char *body, long timeout_ms)
{
    struct answer answer = { 0 };
    char url[1024];
    curl_off_t retry_after = 0;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_make(type, bearer);
    snprintf(url, sizeof(url), "%s%s", bench->url, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (body != NULL)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    answer.failed = (int)curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after);
    answer.retry_after_s = (long)retry_after;
    if (answer.body != NULL)
        answer.json = json_loadb(answer.body, answer.size, 0, NULL);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return answer;
}

void answer_deinit(struct answer *answer)
{
    free(answer->body);
    json_decref(answer->json);
    *answer = (struct answer){ 0 };
}

const char *answer_text(const struct answer *answer, const char *name)
{
    const char *text = json_string_value(json_object_get(answer->json, name));
    return text ? text : "";
}

const char *answer_error(const struct answer *answer)
{
    const json_t *error = json_object_get(answer->json, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    return code ? code : answer_text(answer, "error");
}

struct answer client_refresh(const struct bench *bench, const char *token)
{
    char body[512];
    snprintf(body, sizeof(body), "grant_type=refresh_token&client_id=practice&refresh_token=%s",
             token);
    return client_request(bench, "/oauth/token", NULL, NULL, body, 3000);
}

void client_rotate(const struct bench *bench, char **token)
{
    struct answer answer = client_refresh(bench, *token);
    assert_int_equal(answer.failed, 0);
    assert_int_equal(answer.status, 200);
    free(*token);
    *token = strdup(answer_text(&answer, "refresh_token"));
    answer_deinit(&answer);
}

long long client_stat(const struct bench *bench, const char *name)
{
    struct answer answer = client_request(bench, "/stats", NULL, NULL, NULL, 3000);
    const json_t *value = json_object_get(answer.json, name);
    assert_true(json_is_integer(value));
    long long number = json_integer_value(value);
    answer_deinit(&answer);
    return number;
}

struct answer client_ask(const struct bench *bench, const char *text)
{
    json_t *body = json_pack("{s:s, s:b, s:s, s:[{s:s, s:s}]}", "model", "practice-1", "stream", 1,
                             "instructions", "You are Nova, the tester. Be brief.", "input",
                             "role", "user", "content", text);
    char *bytes = json_dumps(body, 0);
    struct answer answer = client_request(bench, "/v1/responses", "application/json",
                                          bench->access, bytes, 5000);
    free(bytes);
    json_decref(body);
    return answer;
}

void client_set(const struct bench *bench, const char *name, const char *value)
{
    char body[256];
    snprintf(body, sizeof(body), "{\"%s\": \"%s\"}", name, value);
    struct answer answer = client_request(bench, "/practice/options", "application/json", NULL,
                                          body, 3000);
    assert_int_equal(answer.status, 200);
    answer_deinit(&answer);
}

char *client_location(const struct bench *bench, const char *path)
{
    char url[1024];
    char *location = NULL;
    char *copy = NULL;
    struct answer answer = { 0 };
    CURL *curl = curl_easy_init();
    snprintf(url, sizeof(url), "%s%s", bench->url, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (curl_easy_perform(curl) == CURLE_OK &&
        curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location) == CURLE_OK && location != NULL)
        copy = strdup(location);
    curl_easy_cleanup(curl);
    answer_deinit(&answer);
    return copy;
}

void client_wait(long ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}
