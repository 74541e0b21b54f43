/* SPDX-License-Identifier: Apache-2.0 */
/* The providers: an OAuth server of each rotation rule, and a model behind it.
 *
 *   none        a refresh token stays; each exchange gives another access token
 *   grace       used once, and again for some seconds after; later the family ends
 *   two-phase   stays until one of its children, or that child's access token, is used
 *   strict      used once; a second time ends the family and its access tokens with it
 *
 * Some say, whatever their rule, from when on a token may be spent; spent before, it is lost.
 *
 * A family is what stems from one login by a person. Its end takes its access tokens along. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tokens as text ------------------------------------------------------------------------- */

void refresh_text(const struct login *login, unsigned number, char ret_text[64])
{
    snprintf(ret_text, 64, CANARY "-refresh-%u-%u-end", login->number, number);
}

void access_text(const struct login *login, unsigned number, char ret_text[64])
{
    snprintf(ret_text, 64, CANARY "-access-%u-%u-end", login->number, number);
}

static bool find(struct sim *sim, const char *text, const char *kind, struct login **ret_login,
                 unsigned *ret_number)
{
    const char *at = strstr(text, kind);
    unsigned login = 0, number = 0;

    if (at == NULL || sscanf(at + strlen(kind), "%u-%u-end", &login, &number) != 2 ||
        login >= sim->login_count)
        return false;
    *ret_login = sim->logins[login];
    *ret_number = number;
    return true;
}

bool find_refresh(struct sim *sim, const char *text, struct login **ret_login,
                  unsigned *ret_number)
{
    return find(sim, text, CANARY "-refresh-", ret_login, ret_number) && *ret_number != 0 &&
           *ret_number <= (*ret_login)->refresh_count;
}

bool find_access(struct sim *sim, const char *text, struct login **ret_login,
                 unsigned *ret_number)
{
    return find(sim, text, CANARY "-access-", ret_login, ret_number) && *ret_number != 0 &&
           *ret_number <= (*ret_login)->access_count;
}

/* ---- issuing -------------------------------------------------------------------------------- */

static unsigned issue_refresh(struct login *login, unsigned parent)
{
    unsigned number = ++login->refresh_count;

    login->refresh[number] = (struct refresh_token){.parent = parent, .family = login->family};
    return number;
}

static unsigned issue_access(struct sim *sim, struct login *login, unsigned refresh)
{
    unsigned number = ++login->access_count;

    login->access[number] = (struct access_token){
        .refresh = refresh, .family = login->family,
        .expires_ns = sim->now_ns + sim->life_s * SECOND_NS};
    return number;
}

static bool full(struct sim *sim, const struct login *login)
{
    if (login->refresh_count + 2 < TOKENS_MAX && login->access_count + 2 < TOKENS_MAX)
        return false;
    sim_fail(sim, "loop: %s used up %u tokens", login->name, TOKENS_MAX);
    return true;
}

/* A person logs in. */
void server_login(struct sim *sim, struct login *login)
{
    if (full(sim, login))
        return;
    login->family++;
    login->ended = ALIVE;
    login->import = issue_refresh(login, 0);
    login->refresh[login->import].confirmed = true;
    issue_access(sim, login, login->import);
    sim_note(sim, "server %s login family=%u token=%u", login->name, login->family, login->import);
}

void server_revoke(struct sim *sim, struct login *login, enum end_cause cause)
{
    if (login->ended == ALIVE)
        login->ended = cause;
    sim_note(sim, "server %s family=%u ends cause=%d", login->name, login->family, (int)cause);
}

/* ---- an exchange ---------------------------------------------------------------------------- */

static bool may_use(struct sim *sim, const struct login *login, unsigned number)
{
    const struct refresh_token *token = &login->refresh[number];

    switch (login->rule->rotation) {
    case ROTATION_NONE:
        return true;
    case ROTATION_TWO_PHASE: /* none of its children was used */
        for (unsigned i = number + 1; i <= login->refresh_count; i++)
            if (login->refresh[i].parent == number && login->refresh[i].confirmed)
                return false;
        return true;
    case ROTATION_GRACE:
        return !token->used ||
               sim->now_ns - token->used_ns <= login->rule->grace_seconds * SECOND_NS;
    case ROTATION_STRICT:
        return !token->used;
    }
    return false;
}

static void refuse(struct login *login, unsigned number, struct http_answer *answer)
{
    static const char *const bodies[] = {
        "{\"error\":\"invalid_grant\",\"error_description\":\"no longer valid\"}",
        "{\"error\":{\"code\":\"refresh_token_reused\",\"message\":\"used before\"}}",
    };
    unsigned which = number % 2;

    login->refresh[number].ended = true;
    answer->status = which != 0 ? 401 : 400;
    snprintf(answer->body, sizeof(answer->body), "%s", bodies[which]);
}

/* In base64url, for a claim. */
static void encode(const char *text, char *ret_text)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, count = 0;

    for (; *text != '\0'; text++) {
        bits = bits << 8 | (unsigned char)*text;
        for (count += 8; count >= 6; count -= 6)
            *ret_text++ = digits[bits >> (count - 6) & 63];
    }
    if (count != 0)
        *ret_text++ = digits[bits << (6 - count) & 63];
    *ret_text = '\0';
}

/* Some providers say from when on the new token may be spent, by their own clock, which the
 * identity token tells, too. */
static void hold_back(struct sim *sim, const struct login *login, unsigned number,
                      char *ret_text, size_t size)
{
    uint64_t permille = sim->not_before[login->rule - sim->rules], now_s = sim->now_ns / SECOND_NS;
    uint64_t earliest_s = now_s + sim->life_s * permille / 1000;
    char claims[64], encoded[96];

    ret_text[0] = '\0';
    if (permille == 0 || login->rule->rotation == ROTATION_NONE)
        return;
    sim->totals->not_before++;
    sim->logins[login->number]->refresh[number].earliest_ns = earliest_s * SECOND_NS;
    snprintf(claims, sizeof(claims), "{\"iat\":%llu}",
             (unsigned long long)(now_s + SIM_EPOCH_S));
    encode(claims, encoded);
    snprintf(ret_text, size, ",\"earliest_refresh_at\":%llu,\"id_token\":\"e30.%s.c2ln\"",
             (unsigned long long)(earliest_s + SIM_EPOCH_S), encoded);
}

/* Spent before its time it is lost, and the login with it. */
static void hasten(struct sim *sim, struct login *login, unsigned number)
{
    if (!sim->machines[0].jumped)
        sim_fail(sim, "earliest: %s token %u is spent %llu s before the provider allows it",
                 login->name, number,
                 (unsigned long long)((login->refresh[number].earliest_ns - sim->now_ns) /
                                      SECOND_NS));
    server_revoke(sim, login, ENDED_BY_HASTE);
}

static void issue(struct sim *sim, struct login *login, unsigned number,
                  struct http_answer *answer)
{
    struct refresh_token *token = &login->refresh[number];
    char refresh[64], access[64], about[192];
    bool rotates = login->rule->rotation != ROTATION_NONE;

    if (!token->used)
        token->used_ns = sim->now_ns;
    token->used = rotates;
    token->confirmed = true;
    answer->status = 200;
    answer->refresh = rotates ? issue_refresh(login, number) : 0;
    hold_back(sim, login, rotates ? answer->refresh : number, about, sizeof(about));
    answer->access = issue_access(sim, login, rotates ? answer->refresh : number);
    access_text(login, answer->access, access);
    refresh_text(login, rotates ? answer->refresh : number, refresh);
    if (rotates)
        snprintf(answer->body, sizeof(answer->body),
                 "{\"access_token\":\"%s\",\"refresh_token\":\"%s\",\"expires_in\":%u%s}",
                 access, refresh, sim->life_s, about);
    else
        snprintf(answer->body, sizeof(answer->body),
                 "{\"access_token\":\"%s\",\"expires_in\":%u%s}", access, sim->life_s, about);
}

void server_exchange(struct sim *sim, struct login *login, unsigned number, bool duplicate,
                     struct http_answer *ret_answer)
{
    *ret_answer = (struct http_answer){0};
    if (full(sim, login))
        return;
    check_rate(sim, login);
    if (login->refresh[number].family != login->family || login->ended != ALIVE) {
        refuse(login, number, ret_answer);
    } else if (login->refresh[number].earliest_ns > sim->now_ns) {
        hasten(sim, login, number);
        refuse(login, number, ret_answer);
    } else if (!may_use(sim, login, number)) {
        server_revoke(sim, login, duplicate ? ENDED_BY_DUPLICATE : ENDED_BY_REUSE);
        refuse(login, number, ret_answer);
    } else {
        issue(sim, login, number, ret_answer);
    }
    sim_note(sim, "server %s token=%u status=%ld new=%u", login->name, number, ret_answer->status,
             ret_answer->refresh);
}

/* ---- the model ------------------------------------------------------------------------------ */

int server_model(struct sim *sim, const char *access)
{
    struct login *login;
    struct access_token *token;
    unsigned number;

    if (!find_access(sim, access, &login, &number)) {
        sim_fail(sim, "grant: an agent was given what no server issued");
        return 401;
    }
    token = &login->access[number];
    if (login->refusing_until_ns <= sim->now_ns && sim_fault(sim, SIM_MODEL_401))
        login->refusing_until_ns =
            sim->now_ns + sim_between(sim, 1, 20 * 60) * SECOND_NS;
    if (sim->part == PART_STEADY)
        login->refusing_until_ns = 0;
    if (token->expires_ns <= sim->now_ns || token->family != login->family ||
        login->ended != ALIVE || login->refusing_until_ns > sim->now_ns) {
        token->met_401 = true;
        sim->totals->unauthorised++;
        return 401;
    }
    login->refresh[token->refresh].confirmed = true;
    return sim_fault(sim, SIM_MODEL_429) ? 429 : 200;
}
