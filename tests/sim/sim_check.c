/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold, and where it is looked at:
 *
 *   promise 1   at each gate: nothing in flight for this token, nobody holds what came of it
 *               (check_alone, check_not_held); not from a copy that nobody adopted, and not while a
 *               node that is heard has seen a later generation (check_may_go_on)
 *   promise 2   at each gate: time, a 401, or somebody who came after the last refresh has called
 *               for it (check_demand); at the end of each exchange: nobody whom the token at hand
 *               would have served has waited (wire_exchange_ends)
 *   promise 3   at each gate: the intent is on the disk; at each disk change: a token that was
 *               exchanged is not the newest there without a word (check_stored); at each grant:
 *               its refresh token is on the disk, or the disk refused it
 *   promise 4   at the end of a drain: nothing is in flight (check_drained). That nothing else
 *               ends an exchange follows from the port, which has no call for it
 *   promise 5   a failed save: an alarm at once, tried again within a minute, the TokenActor lives
 *               (check_unsaved); it is n+1 that is handed out (sim_wire.c)
 *   promise 6   at each gate: where a resend may end the family, nothing is left to lose
 *               (check_nothing_to_lose); no more exchanges than backoff allows (check_rate); at
 *               each mark: needs login follows a terminal code of the server, whose cause is a
 *               person, the network, or an answer that was lost under a rule without a way back
 *   promise 7   at each refusal: its cause is one that this login has, and it says so
 *               (check_refusal); while an account cools nobody is given its token (sim_wire.c)
 *   promise 8   no canary in a log, alarm, audit line, refusal, note, or printed message; no
 *               refresh token in a message to a node (sim_wire.c)
 *   promise 9   nobody is answered twice, or left past its deadline (sim_agent.c, check_deadlines)
 *   and         generations never fall; tokens are the right login's; nothing is spent before the
 *               provider's earliest time (sim_server.c); after the last fault service is back
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
        if (other->boot < sim->restored_boot)
            continue; /* no memory of it is left */
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
    bool superseded; /* a later login lies there: its import failed, and had its effect */
    uint64_t generation;
};

static void look_for_intent(struct sim *sim, void *arg, struct stored *stored)
{
    struct intent_look *look = arg;
    struct login *login;
    unsigned number;

    if (!find_refresh(sim, secret_data(stored->credential.refresh), &login, &number) ||
        login != look->request->login)
        return;
    if (login->refresh[number].family > login->refresh[look->request->number].family)
        look->superseded = true;
    if (number != look->request->number)
        return;
    look->generation = stored->credential.generation;
    if (stored->has_intent && stored->intent.generation == stored->credential.generation)
        look->found = true;
}

/* What the keeper could have been told over this link; a node that has been heard for a while
 * tells unasked. */
static uint64_t told_by(const struct sim *sim, unsigned node, const struct login *login)
{
    const struct link *link = &sim->links[node];
    uint64_t slept_ns = sim->nodes[node].machine->asleep_until_ns, heard_ns = link->up_ns;

    if (!link->up || sim->nodes[node].told_ns == sim->now_ns)
        return 0;
    if (sim->machines[0].asleep_until_ns > slept_ns)
        slept_ns = sim->machines[0].asleep_until_ns;
    if (slept_ns > heard_ns)
        heard_ns = slept_ns;
    return sim->now_ns > heard_ns + MINUTE_NS ? sim->nodes[node].seen[login->number]
                                              : sim->nodes[node].told[login->number];
}

static void check_may_go_on(struct sim *sim, const struct request *request, uint64_t generation)
{
    const struct login *login = request->login;

    if (sim->copied)
        sim_fail(sim, "copied: %s token %u is sent from a copy that nobody adopted", login->name,
                 request->number);
    for (unsigned i = 0; i < sim->node_count; i++) {
        uint64_t told = told_by(sim, i, login);

        if (told > generation && told > login->adopted_generation)
            sim_fail(sim, "restored: generation %llu of %s is spent, and %s has seen %llu",
                     (unsigned long long)generation, login->name, sim->nodes[i].name,
                     (unsigned long long)told);
    }
}

/* A refresh so soon after the last one needs somebody who called for it since. Forced requests
 * that come just after a refresh get that one; a wanted life can be had from any token that has
 * lived for less than a quarter of its own. */
static void check_demand(struct sim *sim, const struct request *request)
{
    const struct login *login = request->login;
    uint64_t age_ns = sim->now_ns - login->refreshed_ns, life_ns = sim->life_s * SECOND_NS;

    if (login->refreshed_ns == 0 || login->refresh[request->number].in_doubt ||
        age_ns >= life_ns * 45 / 100 || login->rejected)
        return;
    if (login->forced_ns >= login->refreshed_ns + 5 * SECOND_NS - MS_NS ||
        (login->scoped_ns > login->refreshed_ns && age_ns >= life_ns / 4 - SECOND_NS))
        return;
    sim_fail(sim, "promise 2: %s is refreshed again after %llu s, and nobody called for it since",
             login->name, (unsigned long long)(age_ns / SECOND_NS));
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
    if (!strict || sim->machines[0].jumped || token->restored)
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
    if (!look.found && !look.superseded)
        sim_fail(sim, "promise 3: %s token %u is sent without an intent on the disk",
                 request->login->name, request->number);
    check_nothing_to_lose(sim, request);
    if (!look.superseded)
        check_may_go_on(sim, request, look.generation);
    check_demand(sim, request);
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
             login->ended == ENDED_BY_REUSE && login->restored_family != login->family &&
             !login->refresh[number].restored && /* a person brought it again */
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
    if (login->refresh[number].used && !login->refresh[number].restored && !stored->has_intent &&
        credential->needs_login[0] == '\0')
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

static void note_seen(struct sim *sim, const struct agent *agent, uint64_t generation)
{
    uint64_t *seen = &sim->nodes[agent->node].seen[agent->login];

    if (generation > *seen)
        *seen = generation;
}

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
    note_seen(sim, agent, grant->generation);
    if (!proto_text_copy(grant->access, access, sizeof(access)) ||
        !find_access(sim, access, &login, &number)) {
        sim_fail(sim, "grant: %s was given what no server issued", agent->name);
        return;
    }
    if (login != sim->logins[agent->login])
        sim_fail(sim, "grant: %s was given a token of %s", agent->name, login->name);
    token = &login->refresh[login->access[number].refresh];
    if (!token->saved && !token->save_failed)
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

/* ---- n+1 that could not be saved ------------------------------------------------------------ */

static void check_tried(struct sim *sim, const struct login *login)
{
    const struct machine *machine = &sim->machines[0];
    uint64_t since_ns = login->tried_ns;

    if (machine->asleep_until_ns > since_ns)
        since_ns = machine->asleep_until_ns;
    if (!login->alarmed && sim->now_ns > login->unsaved_ns + SECOND_NS)
        sim_fail(sim, "promise 5: generation %llu of %s could not be saved, and nobody is told",
                 (unsigned long long)login->unsaved_generation, login->name);
    if (sim->now_ns > since_ns + MINUTE_NS)
        sim_fail(sim, "promise 5: generation %llu of %s is not on the disk, and is not tried again",
                 (unsigned long long)login->unsaved_generation, login->name);
}

void check_unsaved(struct sim *sim)
{
    if (sim->keeper == NULL || sim->keeper_dying || sim->draining ||
        machine_asleep(&sim->machines[0]))
        return;
    if (!actor_id_is_set(runtime_lookup(sim->keeper, "token")))
        sim_fail(sim, "promise 5: the TokenActor has ended");
    for (unsigned i = 0; i < sim->login_count; i++)
        if (sim->logins[i]->unsaved_ns != 0)
            check_tried(sim, sim->logins[i]);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static bool was_ended(const struct login *login)
{
    for (unsigned i = 1; i <= login->refresh_count; i++)
        if (login->refresh[i].ended)
            return true;
    return false;
}

static bool met_401(const struct login *login)
{
    for (unsigned i = 1; i <= login->access_count; i++)
        if (login->access[i].met_401)
            return true;
    return false;
}

void check_refusal(struct sim *sim, const struct login *login, const struct refusal *refusal)
{
    char code[64];

    sim_inspect(sim, "a refusal", refusal->why.data, refusal->why.size);
    sim_inspect(sim, "a remedy", refusal->remedy.data, refusal->remedy.size);
    if (!proto_text_copy(refusal->code, code, sizeof(code)) || code[0] == '\0' ||
        refusal->why.size == 0)
        sim_fail(sim, "promise 7: a refusal for %s has no cause", login->name);
    if (strcmp(code, "needs_login") == 0 && !was_ended(login))
        sim_fail(sim, "needs_login: it is said of %s, which no server ended", login->name);
    if (strcmp(code, "needs_login") == 0 && refusal->remedy.size == 0)
        sim_fail(sim, "promise 7: %s needs a login, and nobody says what to do", login->name);
    if (strcmp(code, "cooling") == 0 && login->quotas == 0)
        sim_fail(sim, "promise 7: %s cools, and met no quota", login->name);
    if (strcmp(code, "token_refused") == 0 && !met_401(login))
        sim_fail(sim, "promise 7: %s is called refused, and met no 401", login->name);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* Whatever is in the way: a deadline is an answer, too. */
void check_deadlines(struct sim *sim)
{
    for (unsigned i = 0; i < sim->agent_count; i++) {
        const struct agent *agent = &sim->agents[i];
        uint64_t awake_ns = sim->nodes[agent->node].machine->asleep_until_ns;

        if (agent->pending && sim->now_ns > agent->asked_ns + AGENT_DEADLINE_NS + MINUTE_NS &&
            sim->now_ns > awake_ns + MINUTE_NS)
            sim_fail(sim, "promise 9: %s has waited %llu s, past its deadline", agent->name,
                     (unsigned long long)((sim->now_ns - agent->asked_ns) / SECOND_NS));
    }
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
