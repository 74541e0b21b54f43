/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange with a token endpoint, by libcurl.
 *
 * A refresh token may be sent once. libcurl by itself sends a POST again when a connection it
 * reused dies before the answer, follows what it is told to, and asks proxies named in the
 * environment. All of that is off here, and a second belt holds should any of it come on: the gate.
 * CURLOPT_PREREQFUNCTION runs when TCP and TLS are up and before the first request byte; it opens
 * once per exchange, and libcurl's own second try, which calls it again, is aborted there.
 *
 * So what ended before the gate opened spent nothing, for certain; and what failed after it is
 * unknown, even if curl believes it sent nothing.
 *
 * Each exchange has a thread and a handle of its own, for the gate blocks until the intent is on
 * disk, and a slow provider must not hold up another account. The time limit counts from the gate:
 * from there nothing cancels the exchange but that limit, not even close. Memory for the answer is
 * taken before the request goes out, so that none is missing when it comes. */
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "token/exchange.h"
#include "token/secret.h"
#include "token/wipe.h"

enum gate { GATE_AHEAD, GATE_ASKED, GATE_OPEN, GATE_REFUSED };

struct exchange_curl {
    struct exchange_port port;
    char *proxy;
    char *ca_file;
    pthread_mutex_t mutex; /* guards what follows, and gate and ended of each flight */
    pthread_cond_t moved;
    struct flight *flights;
    uint64_t last_id;
    bool closing;
};

/* One exchange. Fields without a note belong to its thread once it runs. */
struct flight {
    struct flight *next;
    struct exchange_curl *exchange;
    uint64_t id;
    pthread_t thread;
    enum gate gate;  /* under the mutex */
    bool ended;      /* under the mutex: its thread can be joined */
    struct provider_rule rule;
    struct exchange_request request; /* its rule and refresh are not used any more */
    struct secret *body;
    struct secret *answer; /* ANSWER_MAX bytes */
    size_t answer_length;
    bool is_over_cap;
    int64_t deadline_ns;   /* from the gate on */
    struct curl_slist *headers;
    char curl_error[CURL_ERROR_SIZE];
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- curl's callbacks, on the flight's thread ---- */

/* http is for loopback hosts only, and a name is what its resolver says. */
static bool is_allowed_peer(const struct flight *flight, const char *ip)
{
    return strncmp(flight->rule.token_url, "https:", 6) == 0 || strncmp(ip, "127.", 4) == 0 ||
           strcmp(ip, "::1") == 0;
}

static int pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    struct flight *flight = arg;
    struct exchange_curl *exchange = flight->exchange;
    if (!is_allowed_peer(flight, remote_ip)) {
        return CURL_PREREQFUNC_ABORT;
    }
    pthread_mutex_lock(&exchange->mutex);
    bool first = flight->gate == GATE_AHEAD;
    if (first) {
        flight->gate = exchange->closing ? GATE_REFUSED : GATE_ASKED;
    }
    bool ask = flight->gate == GATE_ASKED;
    pthread_mutex_unlock(&exchange->mutex);
    if (!first) {
        return CURL_PREREQFUNC_ABORT; /* curl would send the token a second time */
    }
    if (ask) {
        flight->request.at_gate(flight->request.arg, flight->id);
    }
    pthread_mutex_lock(&exchange->mutex);
    while (flight->gate == GATE_ASKED) {
        pthread_cond_wait(&exchange->moved, &exchange->mutex);
    }
    bool open = flight->gate == GATE_OPEN;
    pthread_mutex_unlock(&exchange->mutex);
    flight->deadline_ns = now_ns() + (int64_t)flight->request.timeout_ms * 1000000;
    return open ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t take_answer(char *bytes, size_t size, size_t count, void *arg)
{
    struct flight *flight = arg;
    size_t length = size * count, room = ANSWER_MAX - flight->answer_length;
    size_t taken = length < room ? length : room;
    memcpy(secret_edit(flight->answer) + flight->answer_length, bytes, taken);
    flight->answer_length += taken;
    flight->is_over_cap = taken < length; /* and then it is the last part */
    return taken;
}

/* ---- the request ---- */

static int add_header(struct flight *flight, const char *line)
{
    struct curl_slist *grown = curl_slist_append(flight->headers, line);
    if (grown == NULL) {
        return -ENOMEM;
    }
    flight->headers = grown;
    return 0;
}

static int add_headers(struct flight *flight)
{
    const struct provider_rule *rule = &flight->rule;
    int error = add_header(flight, rule->encoding == ENCODING_JSON
                                       ? "Content-Type: application/json"
                                       : "Content-Type: application/x-www-form-urlencoded");
    error = error < 0 ? error : add_header(flight, "Accept: application/json");
    error = error < 0 ? error : add_header(flight, "Expect:"); /* waiting for it splits the POST */
    json_t *own = rule->headers[0] == '\0' ? NULL : json_loads(rule->headers, 0, NULL);
    if (own == NULL && rule->headers[0] != '\0') { /* without them it may be refused, and spent */
        return -ENOMEM;
    }
    const char *name;
    json_t *value;
    json_object_foreach(own, name, value) {
        char line[600];
        snprintf(line, sizeof(line), "%s: %s", name, json_string_value(value));
        error = error < 0 ? error : add_header(flight, line);
    }
    json_decref(own);
    return error;
}

/* Each option is one statement below; one that fails fails the exchange, before it began. */
#define SET(option, value)                                                                         \
    (has_failed |= curl_easy_setopt(easy, CURLOPT_##option, value) != CURLE_OK)

static int set_request(CURL *easy, struct flight *flight)
{
    bool has_failed = false;
    SET(URL, flight->rule.token_url);
    SET(POST, 1L);
    SET(POSTFIELDSIZE_LARGE, (curl_off_t)secret_length(flight->body));
    SET(POSTFIELDS, secret_data(flight->body)); /* borrowed: no copy in curl */
    SET(HTTPHEADER, flight->headers);
    SET(USERAGENT, "queenright");
    SET(PREREQFUNCTION, pass_gate);
    SET(PREREQDATA, flight);
    SET(WRITEFUNCTION, take_answer);
    SET(WRITEDATA, flight);
    SET(ERRORBUFFER, flight->curl_error);
    SET(CONNECTTIMEOUT_MS, (long)flight->request.connect_timeout_ms);
    return has_failed ? -ENOTSUP : 0;
}

static int set_limits(CURL *easy, const struct flight *flight)
{
    bool has_failed = false, https = strncmp(flight->rule.token_url, "https:", 6) == 0;
    const char *proxy = flight->exchange->proxy;
    SET(FRESH_CONNECT, 1L); /* a reused connection is what curl sends twice on */
    SET(FORBID_REUSE, 1L);
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(FOLLOWLOCATION, 0L); /* 307 and 308 would send the token on */
    SET(MAXREDIRS, 0L);
    SET(PROTOCOLS_STR, https ? "https" : "http");
    SET(REDIR_PROTOCOLS_STR, "https");
    SET(UNRESTRICTED_AUTH, 0L);
    SET(NETRC, (long)CURL_NETRC_IGNORED);
    SET(PROXY, proxy == NULL ? "" : proxy);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(NOSIGNAL, 1L);
    if (flight->exchange->ca_file != NULL) {
        SET(CAINFO, flight->exchange->ca_file);
    }
    return has_failed ? -ENOTSUP : 0;
}

/* Runs the transfer to its end or to the deadline. */
static CURLcode transfer(CURLM *multi, struct flight *flight)
{
    int running = 1;
    while (running > 0) {
        int wait_ms = 1000;
        if (curl_multi_perform(multi, &running) != CURLM_OK) {
            return CURLE_FAILED_INIT;
        }
        if (running > 0 && flight->deadline_ns != 0) {
            int64_t left_ns = flight->deadline_ns - now_ns();
            if (left_ns <= 0) {
                return CURLE_OPERATION_TIMEDOUT;
            }
            wait_ms = left_ns < 1000000000 ? (int)(left_ns / 1000000) + 1 : 1000;
        }
        if (running > 0 && curl_multi_poll(multi, NULL, 0, wait_ms, NULL) != CURLM_OK) {
            return CURLE_FAILED_INIT;
        }
    }
    int left;
    CURLMsg *message = curl_multi_info_read(multi, &left);
    return message == NULL ? CURLE_FAILED_INIT : message->data.result;
}

static CURLcode perform(CURL *easy, struct flight *flight)
{
    CURLM *multi = curl_multi_init();
    if (multi == NULL || curl_multi_add_handle(multi, easy) != CURLM_OK) {
        curl_multi_cleanup(multi);
        return CURLE_OUT_OF_MEMORY;
    }
    CURLcode code = transfer(multi, flight);
    curl_multi_remove_handle(multi, easy);
    curl_multi_cleanup(multi);
    return code;
}

static void read_result(CURL *easy, struct flight *flight, CURLcode code,
                        struct exchange_result *result)
{
    pthread_mutex_lock(&flight->exchange->mutex);
    bool sent = flight->gate == GATE_OPEN;
    pthread_mutex_unlock(&flight->exchange->mutex);
    bool complete = code == CURLE_OK;
    result->end = !sent ? EXCHANGE_NOT_SENT : complete ? EXCHANGE_ANSWERED : EXCHANGE_UNKNOWN;
    curl_off_t retry_after_s = 0;
    if (sent) {
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &result->http_status);
        curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    }
    result->retry_after_ms = retry_after_s <= 0                 ? 0
                             : retry_after_s > UINT32_MAX / 1000 ? UINT32_MAX
                                                                 : (uint32_t)retry_after_s * 1000;
    if (flight->answer_length > 0) { /* cut to size, but never lost for want of memory */
        secret_truncate(flight->answer, flight->answer_length);
        result->body = secret_copy(flight->answer);
        if (result->body == NULL) {
            result->body = flight->answer;
            flight->answer = NULL;
        }
    }
    if (!complete) {
        const char *what = flight->is_over_cap ? "the answer is larger than it may be"
                           : flight->curl_error[0] != '\0' ? flight->curl_error
                                                           : curl_easy_strerror(code);
        snprintf(result->error, sizeof(result->error), "%s", what);
    }
}

static void *run_flight(void *arg)
{
    struct flight *flight = arg;
    struct exchange_curl *exchange = flight->exchange;
    struct exchange_result result = {.end = EXCHANGE_NOT_SENT};
    CURL *easy = curl_easy_init();
    int error = easy == NULL ? -ENOMEM : add_headers(flight);
    error = error < 0 ? error : set_request(easy, flight);
    error = error < 0 ? error : set_limits(easy, flight);
    if (error < 0) {
        snprintf(result.error, sizeof(result.error), "cannot set up the request: %s",
                 strerrordesc_np(-error));
    } else {
        read_result(easy, flight, perform(easy, flight), &result);
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(flight->headers);
    secret_free(flight->body);
    secret_free(flight->answer);
    flight->request.done(flight->request.arg, flight->id, &result);

    pthread_mutex_lock(&exchange->mutex);
    flight->ended = true;
    pthread_cond_broadcast(&exchange->moved);
    pthread_mutex_unlock(&exchange->mutex);
    return NULL;
}

/* ---- the port ---- */

/* Joins and frees flights that have ended. With the mutex held. */
static void reap(struct exchange_curl *exchange)
{
    for (struct flight **at = &exchange->flights; *at != NULL;) {
        struct flight *flight = *at;
        if (flight->ended) {
            *at = flight->next;
            pthread_join(flight->thread, NULL); /* it only has to leave the mutex behind */
            free(flight);
        } else {
            at = &flight->next;
        }
    }
}

static struct flight *flight_new(struct exchange_curl *exchange,
                                 const struct exchange_request *request)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    if (flight == NULL) {
        return NULL;
    }
    flight->exchange = exchange;
    flight->rule = *request->rule;
    flight->request = *request;
    flight->request.rule = NULL;
    flight->request.refresh = NULL;
    flight->body = exchange_body(request->rule, request->refresh);
    flight->answer = secret_new_sized_in(secret_memory_of(request->refresh), ANSWER_MAX);
    if (flight->body == NULL || flight->answer == NULL) {
        secret_free(flight->body);
        secret_free(flight->answer);
        free(flight);
        return NULL;
    }
    return flight;
}

/* The thread starts with all signals blocked: they are for the process's own. */
static int start_thread(struct flight *flight)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&flight->thread, NULL, run_flight, flight);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static int curl_start(struct exchange_port *port, const struct exchange_request *request,
                      uint64_t *ret_id)
{
    struct exchange_curl *exchange = (struct exchange_curl *)port;
    char why[256];
    if (!provider_url_check(request->rule->token_url, why, sizeof(why)) ||
        secret_length(request->refresh) == 0) {
        return -EINVAL;
    }
    struct flight *flight = flight_new(exchange, request);
    if (flight == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_lock(&exchange->mutex);
    reap(exchange);
    int error = exchange->closing ? -ESHUTDOWN : 0;
    if (error == 0) {
        *ret_id = flight->id = ++exchange->last_id; /* before the thread can name it */
        error = start_thread(flight);
    }
    if (error == 0) {
        flight->next = exchange->flights;
        exchange->flights = flight;
    }
    pthread_mutex_unlock(&exchange->mutex);
    if (error < 0) {
        secret_free(flight->body);
        secret_free(flight->answer);
        free(flight);
    }
    return error;
}

static void curl_gate(struct exchange_port *port, uint64_t id, bool open)
{
    struct exchange_curl *exchange = (struct exchange_curl *)port;
    pthread_mutex_lock(&exchange->mutex);
    for (struct flight *flight = exchange->flights; flight != NULL; flight = flight->next) {
        if (flight->id == id && flight->gate == GATE_ASKED) {
            flight->gate = open ? GATE_OPEN : GATE_REFUSED;
            pthread_cond_broadcast(&exchange->moved);
        }
    }
    pthread_mutex_unlock(&exchange->mutex);
}

static void curl_close(struct exchange_port *port)
{
    struct exchange_curl *exchange = (struct exchange_curl *)port;
    pthread_mutex_lock(&exchange->mutex);
    exchange->closing = true;
    for (struct flight *flight = exchange->flights; flight != NULL; flight = flight->next) {
        if (flight->gate == GATE_ASKED) {
            flight->gate = GATE_REFUSED;
        }
    }
    pthread_cond_broadcast(&exchange->moved);
    for (reap(exchange); exchange->flights != NULL; reap(exchange)) {
        pthread_cond_wait(&exchange->moved, &exchange->mutex);
    }
    pthread_mutex_unlock(&exchange->mutex);
    pthread_cond_destroy(&exchange->moved);
    pthread_mutex_destroy(&exchange->mutex);
    free(exchange->proxy);
    free(exchange->ca_file);
    free(exchange);
    curl_global_cleanup();
}

static char *copy_text(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

struct exchange_port *exchange_curl_new(const struct exchange_curl_options *options)
{
    static const struct exchange_curl_options none = {0};
    options = options == NULL ? &none : options;
    struct exchange_curl *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL || wipe_install() < 0) {
        free(exchange);
        return NULL;
    }
    pthread_mutex_init(&exchange->mutex, NULL);
    pthread_cond_init(&exchange->moved, NULL);
    exchange->port = (struct exchange_port){curl_start, curl_gate, curl_close};
    exchange->proxy = copy_text(options->proxy);
    exchange->ca_file = copy_text(options->ca_file);
    if ((options->proxy != NULL && exchange->proxy == NULL) ||
        (options->ca_file != NULL && exchange->ca_file == NULL)) {
        curl_close(&exchange->port);
        return NULL;
    }
    return &exchange->port;
}
