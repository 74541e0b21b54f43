/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange port: one request from the keeper to a token endpoint, and what can become of it.
 *
 * A request has two ends that know little of each other. The client's ends with an answer, a reset
 * or the time limit, at the latest when the keeper dies; the server's when it has been processed,
 * which may be after the client has gone. Servers are given DRAIN_NS for that: what the TokenActor
 * waits before it sends a strict provider the same token again. */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char html[] = "<html><body><h1>Access denied</h1></body></html>";

static struct request *request_find(struct sim *sim, uint64_t id)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        if (sim->requests[i].used && sim->requests[i].id == id)
            return &sim->requests[i];
    return NULL;
}

static void release(struct request *request)
{
    if (request->client_done && request->server_done)
        request->used = false;
}

/* ---- the client's end ----------------------------------------------------------------------- */

static struct secret *body_of(const struct request *request)
{
    const char *text = request->raw != NULL ? request->raw : request->answer.body;
    size_t size = request->cut != 0 ? request->cut : strlen(text);

    return size != 0 ? secret_new(text, size < strlen(text) ? size : strlen(text)) : NULL;
}

/* What the keeper now knows of it. */
static void learn(struct sim *sim, struct request *request)
{
    struct login *login = request->login;
    struct http_answer *answer = &request->answer;
    bool whole = request->end == EXCHANGE_ANSWERED && request->raw == NULL && request->cut == 0;

    request->definite = (whole && answer->status != 0) || request->unspent;
    if (request->open && !request->definite)
        login->refresh[request->number].in_doubt = true;
    if (whole && answer->status != 0)
        login->refresh[request->number].in_doubt = false;
    if (request->definite && answer->refresh != 0)
        login->refresh[answer->refresh].in_memory = request->boot;
    if (request->definite && answer->access != 0) {
        sim->totals->refreshes++;
        login->at_hand = answer->access;
        login->refreshed_ns = sim->now_ns;
        login->rejected = false;
    }
    if (!request->definite && answer->refresh != 0)
        sim->totals->lost++;
}

static void finish(struct sim *sim, struct request *request)
{
    struct exchange_result result = {.end = request->end,
                                     .retry_after_ms = request->retry_after_ms};

    if (request->client_done)
        return;
    request->client_done = true;
    if (!request->open)
        request->server_done = true;
    wire_exchange_ends(sim, request->login);
    learn(sim, request);
    if (request->end != EXCHANGE_NOT_SENT)
        result.body = body_of(request);
    if (request->end == EXCHANGE_ANSWERED || (result.body != NULL && request->cut != 0))
        result.http_status = request->answer.status;
    snprintf(result.error, sizeof(result.error), "simulated");
    sim_note(sim, "exchange %llu %s token=%u end=%d status=%ld", (unsigned long long)request->id,
             request->login->name, request->number, (int)request->end, result.http_status);
    request->ask.done(request->ask.arg, request->id, &result);
    release(request);
}

static void on_finish(struct sim *sim, const struct sim_event *event)
{
    struct request *request = request_find(sim, event->a);

    if (request == NULL || request->client_done)
        return;
    if (machine_asleep(&sim->machines[0]))
        sim_at(sim, machine_wakes(&sim->machines[0]), on_finish, NULL, event->a, event->b);
    else
        finish(sim, request);
}

/* b: the end that comes then, unless another came before. */
static void on_end(struct sim *sim, const struct sim_event *event)
{
    struct request *request = request_find(sim, event->a);

    if (request == NULL || request->client_done)
        return;
    request->end = (enum exchange_end)event->b;
    if (request->end == EXCHANGE_UNKNOWN && request->cut == 0)
        request->raw = "";
    on_finish(sim, event);
}

/* ---- the server's end ----------------------------------------------------------------------- */

static void on_duplicate(struct sim *sim, const struct sim_event *event)
{
    struct http_answer ignored;

    server_exchange(sim, event->pointer, (unsigned)event->a, true, &ignored);
}

/* b: after how long the answer is at the client's; 0: it never is. */
static void on_arrive(struct sim *sim, const struct sim_event *event)
{
    struct request *request = request_find(sim, event->a);

    if (request == NULL || request->server_done)
        return;
    if (request->arrives_ns > sim->now_ns) /* put off */
        return;
    request->server_done = true;
    server_exchange(sim, request->login, request->number, false, &request->answer);
    if (request->client_done) {
        sim->totals->lost += request->answer.refresh != 0;
        release(request);
        return;
    }
    if (event->b != 0)
        sim_at(sim, sim->now_ns + event->b, on_end, NULL, request->id,
               request->cut != 0 ? EXCHANGE_UNKNOWN : EXCHANGE_ANSWERED);
}

static void on_let_go(struct sim *sim, const struct sim_event *event)
{
    struct request *request = request_find(sim, event->a);

    if (request == NULL)
        return;
    request->server_done = true;
    release(request);
}

/* ---- what becomes of a request that was sent ------------------------------------------------ */

struct fate {
    uint64_t arrive_ns; /* after now; 0: never */
    uint64_t answer_ns; /* after the arrival; 0: never */
    uint64_t end_ns;    /* the client gives up; after now */
};

static void never_arrives(struct fate *fate)
{
    fate->arrive_ns = 0;
}

/* Somebody before the server speaks; the request may have passed all the same. */
static void middle_speaks(struct sim *sim, struct request *request, struct fate *fate, long status,
                          const char *text, bool may_pass)
{
    request->raw = text;
    request->unspent = !may_pass;
    if (may_pass && sim_draw(sim, 2) != 0) {
        server_exchange(sim, request->login, request->number, false, &request->answer);
        request->server_done = true;
    }
    request->server_done = true;
    request->answer.status = status;
    sim_at(sim, sim->now_ns + fate->arrive_ns, on_end, NULL, request->id, EXCHANGE_ANSWERED);
    never_arrives(fate);
}

static bool middle(struct sim *sim, struct request *request, struct fate *fate)
{
    static const long refusals[] = {401, 403, 404, 418, 408};
    static const long failures[] = {500, 502, 503, 504};

    if (sim_fault(sim, SIM_HTML_4XX)) {
        middle_speaks(sim, request, fate, refusals[sim_draw(sim, 5)], html, true);
    } else if (sim_fault(sim, SIM_SERVER_5XX)) {
        middle_speaks(sim, request, fate, failures[sim_draw(sim, 4)], html, true);
    } else if (sim_fault(sim, SIM_TOO_MANY)) {
        request->retry_after_ms = (uint32_t)sim_draw(sim, 30000);
        middle_speaks(sim, request, fate, 429, "{\"error\":\"slow_down\"}", false);
    } else if (sim_fault(sim, SIM_MISCONFIGURED)) {
        middle_speaks(sim, request, fate, 400, "{\"error\":\"invalid_client\"}", false);
    } else {
        return false;
    }
    return true;
}

static void draw_fate(struct sim *sim, struct request *request, struct fate *fate)
{
    static const char *const garbage[] = {"{\"access_token\":", "[]", "null", "OK",
                                          "{\"token_type\":\"Bearer\"}"};
    uint64_t grace_ns = request->login->rule->rotation == ROTATION_GRACE
                            ? request->login->rule->grace_seconds * SECOND_NS / 2
                            : 45 * SECOND_NS;

    if (middle(sim, request, fate)) {
        return;
    } else if (sim_fault(sim, SIM_REQUEST_LOST)) {
        never_arrives(fate);
        fate->end_ns = sim_between(sim, 1, 60) * SECOND_NS;
    } else if (sim_fault(sim, SIM_ANSWER_LOST)) {
        fate->answer_ns = 0;
        fate->end_ns = fate->arrive_ns + sim_between(sim, 0, 59) * SECOND_NS;
    } else if (sim_fault(sim, SIM_ANSWER_LATE)) {
        fate->end_ns = sim_between(sim, 1, 60) * SECOND_NS;
        fate->arrive_ns = fate->end_ns + sim_between(sim, 0, grace_ns);
    } else if (sim_fault(sim, SIM_ANSWER_PARTIAL)) {
        request->cut = 1 + sim_draw(sim, 60);
    } else if (sim_fault(sim, SIM_ANSWER_GARBAGE)) {
        request->raw = garbage[sim_draw(sim, 5)];
    } else if (sim_fault(sim, SIM_DUPLICATE)) {
        sim_at(sim, sim->now_ns + fate->arrive_ns + sim_draw(sim, 2 * SECOND_NS), on_duplicate,
               request->login, request->number, 0);
    } else if (sim_fault(sim, SIM_SLOW)) {
        fate->arrive_ns += sim_draw(sim, 25 * SECOND_NS);
        fate->answer_ns += sim_draw(sim, 30 * SECOND_NS);
    }
}

static void send_it(struct sim *sim, struct request *request)
{
    struct fate fate = {.arrive_ns = sim_between(sim, 5, 400) * MS_NS,
                        .answer_ns = sim_between(sim, 5, 400) * MS_NS,
                        .end_ns = request->ask.timeout_ms * MS_NS};

    request->raw = NULL;
    draw_fate(sim, request, &fate);
    if (fate.arrive_ns != 0) {
        request->arrives_ns = sim->now_ns + fate.arrive_ns;
        sim_at(sim, request->arrives_ns, on_arrive, NULL, request->id, fate.answer_ns);
    } else if (!request->server_done) {
        sim_at(sim, sim->now_ns + fate.end_ns, on_let_go, NULL, request->id, 0);
    }
    sim_at(sim, sim->now_ns + fate.end_ns, on_end, NULL, request->id, EXCHANGE_UNKNOWN);
}

/* ---- the port ------------------------------------------------------------------------------- */

struct exchange_of_sim {
    struct exchange_port port; /* first */
    struct sim *sim;
};

static struct sim *sim_of(struct exchange_port *port)
{
    return ((struct exchange_of_sim *)port)->sim;
}

static void on_connected(struct sim *sim, const struct sim_event *event)
{
    struct request *request = request_find(sim, event->a);

    if (request == NULL || request->client_done)
        return;
    if (machine_asleep(&sim->machines[0])) {
        sim_at(sim, machine_wakes(&sim->machines[0]), on_connected, NULL, event->a, 0);
        return;
    }
    request->at_gate = true;
    request->ask.at_gate(request->ask.arg, request->id);
}

static int exchange_start(struct exchange_port *port, const struct exchange_request *ask,
                          uint64_t *ret_id)
{
    struct sim *sim = sim_of(port);
    struct request *request = sim->requests;
    uint64_t connect_ns = sim_between(sim, 1, 200) * MS_NS;

    while (request < sim->requests + REQUESTS_MAX && request->used)
        request++;
    if (request == sim->requests + REQUESTS_MAX)
        return -EMFILE;
    *request = (struct request){.used = true, .id = ++sim->request_id, .ask = *ask,
                                .boot = sim->boot};
    if (!find_refresh(sim, secret_data(ask->refresh), &request->login, &request->number)) {
        sim_fail(sim, "exchange: a refresh token that no server issued");
        request->used = false;
        return -EINVAL;
    }
    request->ask.refresh = NULL;
    request->ask.rule = NULL;
    *ret_id = request->id;
    if (sim_fault(sim, SIM_CONNECT_SLOW))
        connect_ns = sim_between(sim, 1000, 15000) * MS_NS;
    if (connect_ns < ask->connect_timeout_ms * MS_NS && !sim_fault(sim, SIM_CONNECT_FAIL))
        sim_at(sim, sim->now_ns + connect_ns, on_connected, NULL, request->id, 0);
    else
        sim_at(sim, sim->now_ns + connect_ns, on_end, NULL, request->id, EXCHANGE_NOT_SENT);
    return 0;
}

static void exchange_gate(struct exchange_port *port, uint64_t id, bool open)
{
    struct sim *sim = sim_of(port);
    struct request *request = request_find(sim, id);

    if (request == NULL || request->client_done)
        return;
    if (!request->at_gate || request->gated)
        sim_fail(sim, "gate: answered twice, or before it was asked");
    request->gated = true;
    request->open = open;
    if (!open) {
        sim_at(sim, sim->now_ns, on_end, NULL, id, EXCHANGE_NOT_SENT);
        return;
    }
    check_gate(sim, request);
    sim->totals->spends++;
    send_it(sim, request);
}

static void exchange_close(struct exchange_port *port)
{
    (void)port;
}

struct exchange_port *sim_exchange_new(struct sim *sim)
{
    struct exchange_of_sim *exchange = calloc(1, sizeof(*exchange));

    if (exchange == NULL)
        abort();
    exchange->port = (struct exchange_port){exchange_start, exchange_gate, exchange_close};
    exchange->sim = sim;
    return &exchange->port;
}

void exchange_keeper_gone(struct sim *sim)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        struct request *request = &sim->requests[i];
        uint64_t last_ns = sim->now_ns + DRAIN_NS - 15 * SECOND_NS;

        if (!request->used || request->client_done)
            continue;
        if (!request->server_done && request->arrives_ns > last_ns) {
            request->arrives_ns = last_ns;
            sim_at(sim, last_ns, on_arrive, NULL, request->id, 0);
        }
        request->end = request->open ? EXCHANGE_UNKNOWN : EXCHANGE_NOT_SENT;
        request->raw = "";
        request->cut = 0;
        finish(sim, request);
    }
}
