/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange port's contract, held against libcurl before a scripted server on loopback and
 * against the simulator's exchange before its own. What a step may conclude from an end is only as
 * good as this: above all that NOT_SENT means that the server saw no token.
 *
 * Each row is a fate of one request and what the port must make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripted_server.h"
#include "sim.h"

#define ANSWER                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"                                                \
    "{\"access_token\":\"a\"}"
#define PART "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"acc"
#define REFUSAL "HTTP/1.1 403 No\r\nContent-Length: 12\r\n\r\n<html></html"
#define LATER "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}"

enum gate_way { GATE_OPENED, GATE_REFUSED, GATE_OPENED_LATE, GATE_REFUSED_LATE };

struct fate {
    const char *name;
    enum script script; /* the real server's */
    const char *text;   /* NULL: nobody listens */
    enum sim_fault fault; /* the simulated network's; SIM_FAULT_COUNT: none */
    enum gate_way gate;
    /* What must come of it. */
    enum exchange_end end;
    unsigned gates, sent;
    long status; /* 0: none; -1: any */
    bool has_body;
};

static const struct fate fates[] = {
    {"answered", SCRIPT_ANSWER, ANSWER, SIM_FAULT_COUNT, GATE_OPENED, EXCHANGE_ANSWERED, 1, 1, 200,
     true},
    {"answered, gate opened late", SCRIPT_ANSWER, ANSWER, SIM_FAULT_COUNT, GATE_OPENED_LATE,
     EXCHANGE_ANSWERED, 1, 1, 200, true},
    {"nobody there", SCRIPT_ANSWER, NULL, SIM_CONNECT_FAIL, GATE_OPENED, EXCHANGE_NOT_SENT, 0, 0,
     0, false},
    {"gate refused", SCRIPT_ANSWER, ANSWER, SIM_FAULT_COUNT, GATE_REFUSED, EXCHANGE_NOT_SENT, 1, 0,
     0, false},
    {"gate refused late", SCRIPT_ANSWER, ANSWER, SIM_FAULT_COUNT, GATE_REFUSED_LATE,
     EXCHANGE_NOT_SENT, 1, 0, 0, false},
    {"closed without a byte", SCRIPT_CLOSE, "", SIM_ANSWER_LOST, GATE_OPENED, EXCHANGE_UNKNOWN, 1,
     1, 0, false},
    {"silence", SCRIPT_SILENT, "", SIM_REQUEST_LOST, GATE_OPENED, EXCHANGE_UNKNOWN, 1, 1, 0,
     false},
    {"cut in the answer", SCRIPT_ANSWER, PART, SIM_ANSWER_PARTIAL, GATE_OPENED, EXCHANGE_UNKNOWN,
     1, 1, 200, true},
    {"reset in the answer", SCRIPT_RESET, PART, SIM_ANSWER_PARTIAL, GATE_OPENED, EXCHANGE_UNKNOWN,
     1, 1, 200, true},
    {"refused in HTML", SCRIPT_ANSWER, REFUSAL, SIM_HTML_4XX, GATE_OPENED, EXCHANGE_ANSWERED, 1, 1,
     -1, true},
    {"too many", SCRIPT_ANSWER, LATER, SIM_TOO_MANY, GATE_OPENED, EXCHANGE_ANSWERED, 1, 1, 429,
     true},
};

struct place {
    const struct fate *fate;
    struct exchange_port *exchange;
    char token[64];
    uint64_t timeout_ms, hold_ms;
    /* real */
    bool real;
    struct server server;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    /* simulated */
    struct sim *sim;
    struct sim_totals totals;
    /* what was told */
    pthread_t starter;
    bool starting;
    uint64_t id;
    unsigned gates, dones;
    enum exchange_end end;
    long status;
    uint32_t retry_after_ms;
    char body[256], error[256];
    bool has_body;
};

/* ---- callbacks ------------------------------------------------------------------------------ */

static void on_gate(void *arg, uint64_t id)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->mutex);
    assert_false(place->starting && pthread_equal(pthread_self(), place->starter));
    assert_int_equal(place->dones, 0);
    place->id = id;
    place->gates++;
    pthread_cond_broadcast(&place->moved);
    pthread_mutex_unlock(&place->mutex);
    if (place->fate->gate == GATE_OPENED || place->fate->gate == GATE_REFUSED) {
        place->exchange->gate(place->exchange, id, place->fate->gate == GATE_OPENED);
    }
}

static void on_done(void *arg, uint64_t id, struct exchange_result *result)
{
    struct place *place = arg;
    pthread_mutex_lock(&place->mutex);
    assert_false(place->starting && pthread_equal(pthread_self(), place->starter));
    assert_true(place->gates == 0 || place->id == id);
    place->id = id;
    place->dones++;
    place->end = result->end;
    place->status = result->http_status;
    place->retry_after_ms = result->retry_after_ms;
    place->has_body = result->body != NULL;
    if (result->body != NULL) {
        snprintf(place->body, sizeof(place->body), "%s", secret_data(result->body));
    }
    snprintf(place->error, sizeof(place->error), "%s", result->error);
    secret_free(result->body);
    result->body = NULL;
    pthread_cond_broadcast(&place->moved);
    pthread_mutex_unlock(&place->mutex);
}

/* ---- two worlds ----------------------------------------------------------------------------- */

static void open_real(struct place *place)
{
    place->real = true;
    server_start(&place->server, place->fate->script, place->fate->text);
    if (place->fate->text == NULL) {
        server_stop(&place->server); /* its port is nobody's now */
    }
    snprintf(place->token, sizeof(place->token), CANARY "-refresh");
    place->exchange = exchange_curl_new(NULL);
    assert_non_null(place->exchange);
    place->timeout_ms = place->fate->script == SCRIPT_SILENT ? 200 : 1500;
    place->hold_ms = 2000; /* longer than that: it counts from the opening */
}

static void open_simulated(struct place *place)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    struct login *login = calloc(1, sizeof(*login));
    sim->totals = &place->totals;
    sim->random = 11;
    sim->now_ns = 10 * SECOND_NS;
    sim->boot = 1;
    sim->life_s = 600;
    sim->disk = memory_disk_new();
    sim->reader = store_memory_new(sim->disk);
    sim->part = PART_CHAOS;
    sim->options.fault_limit = UINT64_MAX;
    if (place->fate->fault != SIM_FAULT_COUNT) {
        sim->permille[place->fate->fault] = 1000;
    }
    machine_init(&sim->machines[0], sim);
    login->rule = &sim->rules[0];
    login->rule->rotation = ROTATION_STRICT;
    snprintf(login->name, sizeof(login->name), "lab:me");
    sim->logins[sim->login_count++] = login;
    server_login(sim, login);
    refresh_text(login, login->import, place->token);
    place->sim = sim;
    place->exchange = sim_exchange_new(sim);
    place->timeout_ms = TIMEOUT_NS / MS_NS;
    place->hold_ms = 2 * place->timeout_ms;
}

static void pass_simulated(struct place *place, uint64_t until_ns)
{
    struct sim_event event;
    while (place->dones == 0 && sim_pop(place->sim, until_ns, &event)) {
        place->sim->now_ns = event.at_ns;
        event.run(place->sim, &event);
    }
    if (until_ns != UINT64_MAX) {
        place->sim->now_ns = until_ns;
    }
}

static void wait_for(struct place *place, const unsigned *count)
{
    if (!place->real) {
        struct sim_event event;
        while (*count == 0 && sim_pop(place->sim, UINT64_MAX, &event)) {
            place->sim->now_ns = event.at_ns;
            event.run(place->sim, &event);
        }
        assert_true(*count != 0);
        return;
    }
    pthread_mutex_lock(&place->mutex);
    while (*count == 0) {
        pthread_cond_wait(&place->moved, &place->mutex);
    }
    pthread_mutex_unlock(&place->mutex);
}

static void hold(struct place *place)
{
    if (place->real) {
        struct timespec left = {.tv_sec = (time_t)(place->hold_ms / 1000)};
        while (nanosleep(&left, &left) != 0) {
        }
    } else {
        pass_simulated(place, place->sim->now_ns + place->hold_ms * MS_NS);
    }
}

/* How often the token was sent. Ends the world. */
static unsigned shut(struct place *place)
{
    unsigned sent;
    if (place->real) {
        place->exchange->close(place->exchange);
        if (place->fate->text != NULL) {
            server_stop(&place->server);
        }
        return (unsigned)server_count(&place->server, place->token);
    }
    sent = (unsigned)place->totals.spends;
    struct sim_event event; /* whatever comes after the end is nobody's business */
    while (sim_pop(place->sim, UINT64_MAX, &event)) {
        place->sim->now_ns = event.at_ns;
        event.run(place->sim, &event);
    }
    free(place->exchange);
    place->sim->reader->close(place->sim->reader);
    memory_disk_free(place->sim->disk);
    free(place->sim->logins[0]);
    free(place->sim->heap);
    free(place->sim);
    return sent;
}

/* ---- one request ---------------------------------------------------------------------------- */

static void start(struct place *place)
{
    struct provider_rule rule = {.id = "lab", .client_id = "lab"};
    struct secret *refresh = secret_new(place->token, strlen(place->token));
    struct exchange_request request = {.rule = &rule, .refresh = refresh, .arg = place,
                                       .timeout_ms = place->timeout_ms,
                                       .connect_timeout_ms = 10000,
                                       .at_gate = on_gate, .done = on_done};
    uint64_t id = 0;
    snprintf(rule.token_url, sizeof(rule.token_url), "http://127.0.0.1:%d/token",
             place->server.port);
    place->starter = pthread_self();
    pthread_mutex_lock(&place->mutex);
    place->starting = place->sim != NULL; /* another thread may call back at once */
    pthread_mutex_unlock(&place->mutex);
    assert_int_equal(place->exchange->start(place->exchange, &request, &id), 0);
    place->starting = false;
    assert_true(id != 0);
    secret_free(refresh); /* both were copied */
    memset(&rule, 0xee, sizeof(rule));
}

static void go(struct place *place)
{
    enum gate_way way = place->fate->gate;
    start(place);
    if (place->fate->gates != 0) {
        wait_for(place, &place->gates);
    }
    if (way == GATE_OPENED_LATE || way == GATE_REFUSED_LATE) {
        hold(place);
        assert_int_equal(place->dones, 0);
        place->exchange->gate(place->exchange, place->id, way == GATE_OPENED_LATE);
    }
    wait_for(place, &place->dones);
}

static void keeps_the_contract(struct place *place)
{
    const struct fate *fate = place->fate;
    go(place);
    unsigned sent = shut(place);
    assert_int_equal(place->dones, 1);
    assert_int_equal(place->gates, fate->gates);
    assert_int_equal(place->end, fate->end);
    assert_int_equal(sent, fate->sent);
    assert_true(fate->status < 0 ? place->status >= 400 : place->status == fate->status);
    assert_int_equal(place->has_body, fate->has_body);
    assert_true(place->status == 429 ? place->retry_after_ms > 0 : place->retry_after_ms == 0);
    assert_true(place->end == EXCHANGE_ANSWERED || place->error[0] != '\0');
    assert_null(strstr(place->error, CANARY));
}

static void run_all(bool real)
{
    for (size_t i = 0; i < sizeof(fates) / sizeof(fates[0]); i++) {
        struct place place = {.fate = &fates[i]};
        pthread_mutex_init(&place.mutex, NULL);
        pthread_cond_init(&place.moved, NULL);
        print_message("%s\n", fates[i].name);
        (real ? open_real : open_simulated)(&place);
        keeps_the_contract(&place);
        pthread_cond_destroy(&place.moved);
        pthread_mutex_destroy(&place.mutex);
    }
}

static void libcurl_keeps_the_contract(void **state)
{
    (void)state;
    run_all(true);
}

static void the_simulator_keeps_the_contract(void **state)
{
    (void)state;
    run_all(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libcurl_keeps_the_contract),
        cmocka_unit_test(the_simulator_keeps_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
