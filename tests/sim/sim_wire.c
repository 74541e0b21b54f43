/* SPDX-License-Identifier: Apache-2.0 */
/* What crosses the links, as somebody sees it who taps them. Some promises are about what the
 * keeper says and is told, and only here both are seen without asking it:
 *
 *   promise 2   who asks for a token during a refresh, while the one at hand is good, is answered
 *               before the refresh has ended
 *   promise 5   n+1 that could not be saved is what is handed out
 *   promise 7   while an account cools, and the keeper has said that it knows, nobody is given its
 *               token
 *   promise 8   no message to a node has a refresh token in it; none prints any secret
 *
 * It also notes who demanded a refresh and when (check_demand), and of what each node has spoken
 * to the keeper (check_may_go_on). */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define PRINT_EVERY 8u

static struct login *login_called(struct sim *sim, struct proto_text name)
{
    for (unsigned i = 0; i < sim->login_count; i++)
        if (proto_text_equal(name, sim->logins[i]->name) ||
            (sim->logins[i]->aliased && proto_text_equal(name, sim->logins[i]->alias)))
            return sim->logins[i];
    return NULL;
}

/* ---- gets that the keeper has not answered -------------------------------------------------- */

static struct wire_get *get_find(struct sim *sim, unsigned node, uint64_t request)
{
    for (size_t i = 0; i < WIRE_GETS_MAX; i++)
        if (sim->gets[i].login != NULL && sim->gets[i].node == node &&
            sim->gets[i].request == request)
            return &sim->gets[i];
    return NULL;
}

static void get_add(struct sim *sim, struct wire_get get)
{
    for (size_t i = 0; i < WIRE_GETS_MAX; i++)
        if (sim->gets[i].login == NULL) {
            sim->gets[i] = get;
            return;
        }
}

void wire_closed(struct sim *sim, unsigned node)
{
    for (size_t i = 0; i < WIRE_GETS_MAX; i++)
        if (sim->gets[i].node == node)
            sim->gets[i].login = NULL;
    memset(sim->nodes[node].told, 0, sizeof(sim->nodes[node].told));
}

/* ---- what is printed, what is kept from nodes ----------------------------------------------- */

static void check_secrets(struct sim *sim, unsigned node, bool to_node,
                          const struct message *message)
{
    const struct proto_schema *schema = proto_find(message->type);
    char line[1024];

    if ((message->flags & (MESSAGE_STATUS | MESSAGE_CREDIT | MESSAGE_CANCEL)) != 0)
        return;
    if (to_node && memmem(message->body, message->size, CANARY "-refresh-",
                          strlen(CANARY "-refresh-")) != NULL)
        sim_fail(sim, "promise 8: a refresh token is in a message to a node");
    if (schema == NULL || (sim->printed++ % PRINT_EVERY != 0 && !sim->options.trace))
        return;
    proto_print(schema, message->body, message->size, line, sizeof(line));
    sim_inspect(sim, "a trace", line, strlen(line));
    if (sim->options.trace)
        printf("%12.6f   %s %s %s\n", (double)sim->now_ns / SECOND_NS, to_node ? "to" : "from",
               sim->nodes[node].name, line);
}

/* ---- to the keeper -------------------------------------------------------------------------- */

static bool exchanging(const struct sim *sim, const struct login *login)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        const struct request *request = &sim->requests[i];

        if (request->used && request->login == login && request->open && !request->client_done &&
            request->boot == sim->boot)
            return true;
    }
    return false;
}

/* The access token at hand is good beyond doubt. */
static bool is_good(const struct sim *sim, const struct login *login)
{
    const struct access_token *access = &login->access[login->at_hand];

    return login->at_hand != 0 && !sim->machines[0].jumped && !access->met_401 &&
           access->expires_ns > sim->now_ns + (45 + sim->life_s / 8) * SECOND_NS &&
           login->cooling_until_ns <= sim->now_ns && !login->rejected;
}

static void on_get(struct sim *sim, unsigned node, const struct message *message,
                   const struct token_get *get)
{
    struct login *login = login_called(sim, get->profile);
    bool plain = !get->force && get->min_valid_ms == 0;

    if (login == NULL)
        return;
    if (get->force)
        login->forced_ns = sim->now_ns;
    if (get->min_valid_ms != 0)
        login->scoped_ns = sim->now_ns;
    get_add(sim, (struct wire_get){.login = login, .request = message->request, .node = node,
                                   .must_not_wait = plain && is_good(sim, login) &&
                                                    exchanging(sim, login)});
}

static void on_rejected(struct sim *sim, unsigned node, const struct message *message,
                        const struct token_rejected *rejected)
{
    struct login *login = login_called(sim, rejected->profile);

    if (login == NULL)
        return;
    login->rejected = true;
    get_add(sim, (struct wire_get){.login = login, .request = message->request, .node = node});
}

/* As the keeper takes it, if it does: until when the account cools. */
static void on_quota(struct sim *sim, unsigned node, const struct message *message,
                     const struct quota_hit *hit)
{
    struct login *login = login_called(sim, hit->profile);
    const struct clock_port *clock = &sim->machines[0].clock;
    int64_t left_ms = hit->resets_at_ms - clock->wall_ms(clock);

    if (login == NULL)
        return;
    login->quotas++;
    if (hit->model.size != 0)
        return;
    if (hit->resets_at_ms == 0 || left_ms <= 0)
        left_ms = 60000;
    get_add(sim, (struct wire_get){.login = login, .request = message->request, .node = node,
                                   .cools_until_ns = sim->now_ns + (uint64_t)left_ms * MS_NS});
}

/* Whatever a node says of a profile, it could have said what it has seen of it. */
static void on_told(struct sim *sim, unsigned node, struct proto_text profile)
{
    struct login *login = login_called(sim, profile);
    struct node *from = &sim->nodes[node];

    if (login == NULL)
        return;
    if (from->told[login->number] < from->seen[login->number])
        from->told[login->number] = from->seen[login->number];
    from->told_ns = sim->now_ns;
}

static void on_watch(struct sim *sim, unsigned node, const struct token_watch *watch)
{
    struct login *login = login_called(sim, watch->profile);

    on_told(sim, node, watch->profile);
    if (login != NULL && watch->generation_seen > login->heard_generation)
        login->heard_generation = watch->generation_seen;
}

static void to_keeper(struct sim *sim, unsigned node, const struct message *message)
{
    union {
        struct token_get get;
        struct token_rejected rejected;
        struct token_watch watch;
        struct quota_hit quota;
    } body;
    const struct proto_schema *schema = proto_find(message->type);
    struct wire_get *get = get_find(sim, node, message->request);

    if ((message->flags & MESSAGE_CANCEL) != 0 && get != NULL)
        get->login = NULL;
    if ((message->flags & MESSAGE_REQUEST) == 0 || schema == NULL || schema->size > sizeof(body) ||
        proto_unpack(schema, message->body, message->size, &body) != 0)
        return;
    if (message->type == MSG_token_get) {
        on_get(sim, node, message, &body.get);
        on_told(sim, node, body.get.profile);
    } else if (message->type == MSG_token_rejected) {
        on_rejected(sim, node, message, &body.rejected);
        on_told(sim, node, body.rejected.profile);
    } else if (message->type == MSG_token_watch) {
        on_watch(sim, node, &body.watch);
    } else if (message->type == MSG_quota_hit) {
        on_quota(sim, node, message, &body.quota);
    }
}

/* ---- from the keeper ------------------------------------------------------------------------ */

static bool read_grant(const struct message *message, struct token_grant *ret_grant)
{
    return message->type == MSG_token_grant && (message->flags & MESSAGE_STATUS) == 0 &&
           proto_unpack(&token_grant_schema, message->body, message->size, ret_grant) == 0;
}

static void from_keeper(struct sim *sim, unsigned node, const struct message *message)
{
    struct wire_get *get = get_find(sim, node, message->request);
    struct token_grant grant;
    struct login *login;

    if (get == NULL)
        return;
    login = get->login;
    get->login = NULL;
    if (get->cools_until_ns != 0 && message->type == MSG_done)
        login->cooling_until_ns = get->cools_until_ns;
    if (!read_grant(message, &grant))
        return;
    if (login->cooling_until_ns > sim->now_ns + SECOND_NS)
        sim_fail(sim, "promise 7: %s cools for %llu s, and its token is handed out", login->name,
                 (unsigned long long)((login->cooling_until_ns - sim->now_ns) / SECOND_NS));
    if (login->unsaved_ns != 0 && grant.generation < login->unsaved_generation)
        sim_fail(sim, "promise 5: generation %llu of %s is in the keeper, and %llu is handed out",
                 (unsigned long long)login->unsaved_generation, login->name,
                 (unsigned long long)grant.generation);
}

void wire_sent(struct sim *sim, unsigned node, bool to_keeper_, const struct message *message)
{
    check_secrets(sim, node, !to_keeper_, message);
    if (!to_keeper_)
        from_keeper(sim, node, message);
}

void wire_delivered(struct sim *sim, unsigned node, bool to_keeper_, const struct message *message)
{
    if (to_keeper_)
        to_keeper(sim, node, message);
}

void wire_exchange_ends(struct sim *sim, const struct login *login)
{
    for (size_t i = 0; i < WIRE_GETS_MAX; i++)
        if (sim->gets[i].login == login && sim->gets[i].must_not_wait)
            sim_fail(sim, "promise 2: %s waited for a refresh of %s, whose token was good",
                     sim->nodes[sim->gets[i].node].name, login->name);
}
