/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold, and where it is looked at:
 *
 *   at each gate         promise 1: nothing in flight for this token, nobody holds what came of it;
 *                        promise 3: the intent is on the disk; promise 6: where a resend may end
 *                        the family, nothing is left to lose
 *   at each disk change  a token that was exchanged is not the newest on the disk without a word:
 *                        there is an intent, an answer, or a mark that says why
 *   at each mark         needs login follows a terminal code of the server, whose cause is a
 *                        person, the network, or an answer that was lost under a rule without a
 *                        way back
 *   at each grant        promise 3: its refresh token is on the disk (or the disk refused it);
 *                        generations never fall; it is the right login's
 *   at each exchange     not more of them than backoff allows: no loop
 *   at the end           service is back, nobody waits, nobody was answered twice
 *
 * When is a request in flight? Until the server has let go of it, where taking it then would end
 * the family: strict, two-phase. Else until its connection has ended: under none and within a grace
 * window the server itself takes the same token twice. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MAX 32u

/* ---- at the gate ---------------------------------------------------------------------------- */

static void check_alone(struct sim *sim, const struct request *request)
{
    const struct login *login = request->login;

    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        const struct request *other = &sim->requests[i];

        if (!other->used || other == request || other->login != login ||
            other->number != request->number || !other->open)
            continue;
        if (!other->client_done ||
            (!other->server_done && (login->rule->rotation == ROTATION_STRICT ||
                                     login->rule->rotation == ROTATION_TWO_PHASE)))
            sim_fail(sim, "promise 1: %s token %u is sent while another for it is in flight",
                     login->name, request->number);
        else
            sim->totals->overlaps++;
    }
}

static void check_not_held(struct sim *sim, const struct request *request)
{
    const struct login *login = request->login;

    for (unsigned i = request->number + 1; i <= login->refresh_count; i++) {
        const struct refresh_token *token = &login->refresh[i];

        if (token->family != login->refresh[request->number].family)
            continue;
        if (token->durable)
            sim_fail(sim, "promise 1: %s token %u is sent, and %u is on the disk", login->name,
                     request->number, i);
        if (token->in_memory == sim->boot)
            sim_fail(sim, "promise 1: %s token %u is sent, and %u is in the keeper", login->name,
                     request->number, i);
    }
}

struct intent_look {
    const struct request *request;
    bool found;
};

static void look_for_intent(struct sim *sim, void *arg, struct stored *stored)
{
    struct intent_look *look = arg;
    struct login *login;
    unsigned number;

    if (find_refresh(sim, secret_data(stored->credential.refresh), &login, &number) &&
        login == look->request->login && number == look->request->number &&
        stored->has_intent && stored->intent.generation == stored->credential.generation)
        look->found = true;
}

/* The token may have been exchanged, and doing it again may end the family: then only when the
 * access token has ended too. The keeper learns of that from its clock, or from a 401. */
static void check_nothing_to_lose(struct sim *sim, const struct request *request)
{
    const struct login *login = request->login;
    const struct refresh_token *token = &login->refresh[request->number];
    bool strict = login->rule->rotation == ROTATION_STRICT;

    if (!token->in_doubt)
        return;
    sim->totals->resends++;
    if (!strict || sim->machines[0].jumped)
        return;
    for (unsigned i = 1; i <= login->access_count; i++) {
        const struct access_token *access = &login->access[i];

        if (access->refresh == request->number && !access->met_401 &&
            access->expires_ns > sim->now_ns + 45 * SECOND_NS)
            sim_fail(sim, "promise 6: %s token %u is sent again, its access token lives %llu s",
                     login->name, request->number,
                     (unsigned long long)((access->expires_ns - sim->now_ns) / SECOND_NS));
    }
}

void check_gate(struct sim *sim, const struct request *request)
{
    struct intent_look look = {.request = request};

    check_alone(sim, request);
    check_not_held(sim, request);
    store_each(sim, &look, look_for_intent);
    if (!look.found)
        sim_fail(sim, "promise 3: %s token %u is sent without an intent on the disk",
                 request->login->name, request->number);
    check_nothing_to_lose(sim, request);
    sim_note(sim, "gate %s token=%u", request->login->name, request->number);
}

/* ---- a login given up ----------------------------------------------------------------------- */

/* Its successor was in use when the disk would not take it, and went with the keeper. */
static bool successor_unsaved(const struct login *login, unsigned number)
{
    for (unsigned i = number + 1; i <= login->refresh_count; i++)
        if (login->refresh[i].parent == number && login->refresh[i].save_failed)
            return true;
    return false;
}

void check_needs_login(struct sim *sim, const struct credential *credential)
{
    struct login *login;
    unsigned number;
    enum rotation rotation;

    if (credential->needs_login[0] == '\0' ||
        !find_refresh(sim, secret_data(credential->refresh), &login, &number))
        return;
    rotation = login->rule->rotation;
    if (!login->refresh[number].ended)
        sim_fail(sim, "needs_login: %s token %u was given up, and the server never ended it",
                 login->name, number);
    else if (login->refresh[number].family == login->family &&
             login->ended == ENDED_BY_REUSE &&
             (rotation == ROTATION_NONE ||
              (rotation == ROTATION_TWO_PHASE && !successor_unsaved(login, number))))
        sim_fail(sim, "needs_login: %s was lost under a rule that loses nothing", login->name);
    sim_note(sim, "given up %s token=%u cause=%d", login->name, number, (int)login->ended);
}

/* ---- the disk ------------------------------------------------------------------------------- */

static void check_stored(struct sim *sim, void *arg, struct stored *stored)
{
    const struct credential *credential = &stored->credential;
    struct login *login;
    unsigned number;

    (void)arg;
    if (!find_refresh(sim, secret_data(credential->refresh), &login, &number)) {
        sim_fail(sim, "store: %s holds a token that no server issued", credential->profile);
        return;
    }
    if (login->refresh[number].used && !stored->has_intent && credential->needs_login[0] == '\0')
        sim_fail(sim, "promise 3: %s token %u was exchanged, and the disk does not know",
                 login->name, number);
}

void check_disk(struct sim *sim)
{
    if (!sim->disk_changed)
        return;
    sim->disk_changed = false;
    store_each(sim, NULL, check_stored);
}

/* ---- grants --------------------------------------------------------------------------------- */

void check_grant(struct sim *sim, struct agent *agent, const struct token_grant *grant)
{
    struct login *login;
    const struct refresh_token *token;
    char access[128];
    unsigned number;

    if (grant->generation < agent->generation)
        sim_fail(sim, "generation: %s had %llu and was given %llu", agent->name,
                 (unsigned long long)agent->generation, (unsigned long long)grant->generation);
    agent->generation = grant->generation;
    if (!proto_text_copy(grant->access, access, sizeof(access)) ||
        !find_access(sim, access, &login, &number)) {
        sim_fail(sim, "grant: %s was given what no server issued", agent->name);
        return;
    }
    if (login != sim->logins[agent->login])
        sim_fail(sim, "grant: %s was given a token of %s", agent->name, login->name);
    token = &login->refresh[login->access[number].refresh];
    if (!token->durable && !token->save_failed)
        sim_fail(sim, "promise 3: %s was given a token of %s that was never saved", agent->name,
                 login->name);
    sim_note(sim, "%s granted %s generation=%llu", agent->name, login->name,
             (unsigned long long)grant->generation);
}

/* ---- the rest ------------------------------------------------------------------------------- */

void check_drained(struct sim *sim)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        if (sim->requests[i].used && !sim->requests[i].client_done && sim->requests[i].open)
            sim_fail(sim, "promise 4: drained, and a request for %s is in flight",
                     sim->requests[i].login->name);
    sim_note(sim, "drained");
    sim->keeper_dying = true;
}

void check_rate(struct sim *sim, struct login *login)
{
    unsigned slot = login->recent++ % RATE_MAX;
    uint64_t before_ns = login->recent_ns[slot];

    login->recent_ns[slot] = sim->now_ns;
    if (login->recent > RATE_MAX && sim->now_ns - before_ns < 2 * MINUTE_NS)
        sim_fail(sim, "loop: %u exchanges of %s within %llu s", RATE_MAX, login->name,
                 (unsigned long long)((sim->now_ns - before_ns) / SECOND_NS));
}

/* Nothing is in the way: who asked a while ago has an answer. */
void check_answered(struct sim *sim)
{
    for (unsigned i = 0; i < sim->agent_count; i++) {
        const struct agent *agent = &sim->agents[i];

        if (agent->pending && sim->now_ns - agent->asked_ns > 45 * SECOND_NS)
            sim_fail(sim, "answers: %s has waited %llu s for %s, and nothing is in the way",
                     agent->name, (unsigned long long)((sim->now_ns - agent->asked_ns) / SECOND_NS),
                     sim->logins[agent->login]->name);
    }
}

bool served_since(const struct sim *sim, uint64_t since_ns)
{
    for (unsigned i = 0; i < sim->agent_count; i++)
        if (sim->agents[i].served_ns < since_ns)
            return false;
    return true;
}
