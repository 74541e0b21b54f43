/* SPDX-License-Identifier: Apache-2.0 */
#include "odd_curl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEAP_NS INT64_C(3600000000000)

struct odd_curl odd_curl;

static bool fails(void)
{
    return odd_curl.counting && ++odd_curl.calls == odd_curl.fail_at;
}

#define WRAPPED(result, name, ...)                                                                 \
    result __real_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(CURL *, curl_easy_init, void);
WRAPPED(CURLcode, curl_easy_setopt, CURL *easy, CURLoption option, ...);
WRAPPED(CURLcode, curl_easy_getinfo, CURL *easy, CURLINFO info, ...);
WRAPPED(struct curl_slist *, curl_slist_append, struct curl_slist *list, const char *line);
WRAPPED(CURLM *, curl_multi_init, void);
WRAPPED(CURLMcode, curl_multi_add_handle, CURLM *multi, CURL *easy);
WRAPPED(CURLMcode, curl_multi_remove_handle, CURLM *multi, CURL *easy);
WRAPPED(CURLMcode, curl_multi_perform, CURLM *multi, int *running);
WRAPPED(CURLMcode, curl_multi_poll, CURLM *multi, struct curl_waitfd *fds, unsigned count, int ms,
        int *ready);
WRAPPED(CURLMsg *, curl_multi_info_read, CURLM *multi, int *left);
WRAPPED(CURLcode, curl_global_init_mem, long flags, curl_malloc_callback get,
        curl_free_callback drop, curl_realloc_callback grow, curl_strdup_callback copy,
        curl_calloc_callback clear);
WRAPPED(void, curl_global_cleanup, void);
WRAPPED(void *, calloc, size_t count, size_t size);
WRAPPED(int, clock_gettime, clockid_t clock, struct timespec *ret_time);
WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
        void *(*work)(void *), void *arg);
WRAPPED(int, pthread_join, pthread_t thread, void **ret_result);
WRAPPED(int, pthread_mutex_init, pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
WRAPPED(int, pthread_mutex_destroy, pthread_mutex_t *mutex);
WRAPPED(int, pthread_mutex_lock, pthread_mutex_t *mutex);
WRAPPED(int, pthread_mutex_unlock, pthread_mutex_t *mutex);
WRAPPED(int, pthread_cond_init, pthread_cond_t *condition, const pthread_condattr_t *attributes);
WRAPPED(int, pthread_cond_destroy, pthread_cond_t *condition);
WRAPPED(int, pthread_cond_wait, pthread_cond_t *condition, pthread_mutex_t *mutex);

static int odd_gate(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    char text[64];
    (void)arg;
    snprintf(text, sizeof(text), "%s", odd_curl.remote != NULL ? odd_curl.remote : remote);
    if (odd_curl.before_gate != NULL) {
        odd_curl.before_gate();
    }
    int verdict = odd_curl.gate(odd_curl.gate_arg, text, local, remote_port, local_port);
    if (odd_curl.twice) {
        verdict = odd_curl.gate(odd_curl.gate_arg, text, local, remote_port, local_port);
    }
    odd_curl.gate_is_open = verdict == CURL_PREREQFUNC_OK;
    return verdict;
}

CURL *__wrap_curl_easy_init(void)
{
    odd_curl.option_count = 0;
    odd_curl.headers[0] = '\0';
    return fails() ? NULL : __real_curl_easy_init();
}

static bool is_text(CURLoption option)
{
    return option == CURLOPT_PROTOCOLS_STR || option == CURLOPT_REDIR_PROTOCOLS_STR ||
           option == CURLOPT_PROXY || option == CURLOPT_CAINFO || option == CURLOPT_USERAGENT;
}

static void note_option(CURLoption option, const void *value)
{
    struct odd_option *noted = &odd_curl.options[odd_curl.option_count++];
    if (odd_curl.option_count == ODD_OPTIONS_MAX) {
        abort();
    }
    noted->option = option;
    noted->number = (long)(intptr_t)value;
    snprintf(noted->text, sizeof(noted->text), "%s", is_text(option) ? (const char *)value : "");
}

/* What it is given is a pointer or as wide as one. */
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list arguments;
    va_start(arguments, option);
    void *value = va_arg(arguments, void *);
    va_end(arguments);
    if (fails()) {
        return CURLE_OUT_OF_MEMORY;
    }
    note_option(option, value);
    if (option == CURLOPT_PREREQFUNCTION) {
        memcpy(&odd_curl.gate, &value, sizeof(value));
        return __real_curl_easy_setopt(easy, option, odd_gate);
    }
    if (option == CURLOPT_PREREQDATA) {
        odd_curl.gate_arg = value;
    }
    return __real_curl_easy_setopt(easy, option, value);
}

struct curl_slist *__wrap_curl_slist_append(struct curl_slist *list, const char *line)
{
    size_t used = strlen(odd_curl.headers);
    if (fails()) {
        return NULL;
    }
    snprintf(odd_curl.headers + used, sizeof(odd_curl.headers) - used, "%s\n", line);
    return __real_curl_slist_append(list, line);
}

CURLM *__wrap_curl_multi_init(void)
{
    return fails() ? NULL : __real_curl_multi_init();
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    if (fails()) {
        return CURLM_OUT_OF_MEMORY;
    }
    odd_curl.attached++;
    return __real_curl_multi_add_handle(multi, easy);
}

CURLMcode __wrap_curl_multi_remove_handle(CURLM *multi, CURL *easy)
{
    odd_curl.attached--;
    return __real_curl_multi_remove_handle(multi, easy);
}

/* How often these two are called is a matter of time, and would move what is counted after them:
 * the first call counts, and those behind the gate fail when the test says so. */
static bool breaks(bool *called, bool breaks_behind_the_gate)
{
    bool first = !*called;

    *called = true;
    return odd_curl.gate_is_open ? breaks_behind_the_gate : first && fails();
}

CURLMcode __wrap_curl_multi_perform(CURLM *multi, int *running)
{
    if (odd_curl.gate_first) {
        char far[] = "192.0.2.1", here[] = "127.0.0.1";
        odd_curl.gate_first = false;
        odd_curl.gate(odd_curl.gate_arg, far, here, 443, 1);
    }
    if (breaks(&odd_curl.performed, odd_curl.breaks_in_perform)) {
        return CURLM_INTERNAL_ERROR;
    }
    CURLMcode code = __real_curl_multi_perform(multi, running);
    odd_curl.running = *running;
    odd_curl.ahead_ns += odd_curl.leaps_at_end && *running == 0 ? LEAP_NS : 0;
    return code;
}

CURLMcode __wrap_curl_multi_poll(CURLM *multi, struct curl_waitfd *fds, unsigned count, int ms,
                                 int *ready)
{
    if (breaks(&odd_curl.polled, odd_curl.breaks_in_poll)) {
        return CURLM_INTERNAL_ERROR;
    }
    odd_curl.polled_in_vain |= odd_curl.running == 0;
    if (odd_curl.gate_is_open && ms > odd_curl.longest_poll_ms) {
        odd_curl.longest_poll_ms = ms;
    }
    if (odd_curl.gate_is_open && odd_curl.leaps_in_poll) {
        odd_curl.ahead_ns += LEAP_NS;
        return CURLM_OK;
    }
    return __real_curl_multi_poll(multi, fds, count, ms, ready);
}

CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *left)
{
    return fails() ? NULL : __real_curl_multi_info_read(multi, left);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

static void *take_memory(const struct secret_memory *memory, size_t size)
{
    (void)memory;
    return fails() ? NULL : secret_memory_sodium()->alloc(secret_memory_sodium(), size);
}

static void give_memory(const struct secret_memory *memory, void *pointer)
{
    (void)memory;
    secret_memory_sodium()->free(secret_memory_sodium(), pointer);
}

const struct secret_memory *odd_curl_memory(void)
{
    static const struct secret_memory memory = {take_memory, give_memory};
    return &memory;
}

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    va_list arguments;
    va_start(arguments, info);
    void *ret_value = va_arg(arguments, void *);
    va_end(arguments);
    if (info == CURLINFO_RETRY_AFTER && odd_curl.has_retry_after) {
        *(curl_off_t *)ret_value = odd_curl.retry_after_s;
        return CURLE_OK;
    }
    return __real_curl_easy_getinfo(easy, info, ret_value);
}

CURLcode __wrap_curl_global_init_mem(long flags, curl_malloc_callback get, curl_free_callback drop,
                                     curl_realloc_callback grow, curl_strdup_callback copy,
                                     curl_calloc_callback clear)
{
    odd_curl.installed++;
    return __real_curl_global_init_mem(flags, get, drop, grow, copy, clear);
}

void __wrap_curl_global_cleanup(void)
{
    odd_curl.installed--;
    __real_curl_global_cleanup();
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int error = __real_clock_gettime(clock, ret_time);
    ret_time->tv_sec += odd_curl.ahead_ns / 1000000000;
    return error;
}

/* ---- threads -------------------------------------------------------------------------------- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*work)(void *), void *arg)
{
    if (fails()) {
        return EAGAIN;
    }
    odd_curl.threads++;
    return __real_pthread_create(thread, attributes, work, arg);
}

int __wrap_pthread_join(pthread_t thread, void **ret_result)
{
    odd_curl.threads--;
    return __real_pthread_join(thread, ret_result);
}

static int or_stop(const char *call, int error)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", call, strerrordesc_np(error));
        abort();
    }
    return 0;
}

/* Of the kind that knows who holds it. */
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    pthread_mutexattr_t checking;
    (void)attributes;
    odd_curl.mutexes++;
    pthread_mutexattr_init(&checking);
    pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK);
    int error = __real_pthread_mutex_init(mutex, &checking);
    pthread_mutexattr_destroy(&checking);
    return or_stop("pthread_mutex_init", error);
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    odd_curl.mutexes--;
    return or_stop("pthread_mutex_destroy", __real_pthread_mutex_destroy(mutex));
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    return or_stop("pthread_mutex_lock", __real_pthread_mutex_lock(mutex));
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    return or_stop("pthread_mutex_unlock", __real_pthread_mutex_unlock(mutex));
}

int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    odd_curl.conditions++;
    return __real_pthread_cond_init(condition, attributes);
}

int __wrap_pthread_cond_destroy(pthread_cond_t *condition)
{
    odd_curl.conditions--;
    return __real_pthread_cond_destroy(condition);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    odd_curl.waiting++;
    or_stop("pthread_cond_wait", __real_pthread_cond_wait(condition, mutex));
    odd_curl.waiting--;
    return 0;
}

pthread_t odd_curl_thread(void *(*work)(void *))
{
    pthread_t thread;
    or_stop("pthread_create", __real_pthread_create(&thread, NULL, work, NULL));
    return thread;
}

void odd_curl_join(pthread_t thread)
{
    or_stop("pthread_join", __real_pthread_join(thread, NULL));
}
