/* SPDX-License-Identifier: Apache-2.0 */
/* The person at the keeper: imports logins, looks at the status, does what its remedies say.
 *
 * Takes:  orders of the world, and the answers of the TokenActor.
 * Sends:  token_import, token_status, token_drain to the TokenActor.
 * Rules:  a login that was made is imported until the keeper has said that it has it; who is told
 *         to log in again does so after a while. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_TYPE 0x01f9u

struct order_body {
    size_t slot; /* of the message, in sim->orders: the keeper may die before it is taken */
    uint64_t tag;
    uint32_t credit;
};

struct operator_state {
    struct sim *sim;
};

static uint64_t tag_of(enum order order, unsigned login, unsigned number)
{
    return (uint64_t)order << 32 | (uint64_t)login << 16 | number;
}

static void post(struct sim *sim, struct message *message, uint64_t tag, uint32_t credit)
{
    struct order_body body = {.tag = tag, .credit = credit};
    struct message *order = message_new(ORDER_TYPE, sizeof(body));

    if (order == NULL || message == NULL)
        abort();
    while (body.slot < ORDERS_MAX - 1 && sim->orders[body.slot] != NULL)
        body.slot++;
    message_free(sim->orders[body.slot]);
    sim->orders[body.slot] = message;
    memcpy(order->body, &body, sizeof(body));
    runtime_post(sim->keeper, sim->operator, order);
}

void operator_gone(struct sim *sim)
{
    for (size_t i = 0; i < ORDERS_MAX; i++) {
        message_free(sim->orders[i]);
        sim->orders[i] = NULL;
    }
}

/* Whether it was sent by a keeper whose memory a backup has taken, and is still on its way. */
static bool is_under_way(const struct sim *sim, const struct login *login, unsigned number)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        const struct request *request = &sim->requests[i];

        if (request->used && request->open && request->login == login &&
            request->number == number && request->boot < sim->restored_boot)
            return true;
    }
    return false;
}

void operator_import(struct sim *sim, struct login *login, enum order order, unsigned number)
{
    char refresh[64], access[64];
    unsigned paired = 0;
    struct token_import import = {.provider = proto_text(login->rule->id),
                                  .mode = proto_text("oauth"), .take_over = true,
                                  .source = proto_text("file")};
    char config[32];

    if (sim->keeper == NULL || number == 0)
        return;
    for (unsigned i = 1; i <= login->access_count; i++)
        if (login->access[i].refresh == number)
            paired = i;
    if (paired == 0)
        return;
    snprintf(config, sizeof(config), "config-%u", sim->rule_version);
    import.config = proto_text(config);
    /* A person may bring again what the store had, and has forgotten. */
    login->refresh[number].restored |=
        sim->restored_boot != 0 &&
        (login->refresh[number].used || is_under_way(sim, login, number));
    refresh_text(login, number, refresh);
    access_text(login, paired, access);
    import.profile = proto_text(order == ORDER_ALIAS ? login->alias : login->name);
    import.relogin = order == ORDER_IMPORT && login->family > 1;
    import.refresh = proto_text(refresh);
    import.access = proto_text(access);
    import.expires_at_ms = sim->machines[0].clock.wall_ms(&sim->machines[0].clock) +
                           ((int64_t)login->access[paired].expires_ns - (int64_t)sim->now_ns) /
                               (int64_t)MS_NS;
    sim_note(sim, "operator imports %s token=%u order=%d", login->name, number, (int)order);
    post(sim, actor_pack(token_import, &import), tag_of(order, login->number, number), 0);
}

void operator_send(struct sim *sim, enum order order)
{
    struct token_status status = {.profile = proto_text("")};
    struct token_drain drain = {.why = proto_text("restart")};
    struct token_adopt adopt = {.profile = proto_text("")};

    if (sim->keeper == NULL)
        return;
    if (order == ORDER_STATUS)
        post(sim, actor_pack(token_status, &status), tag_of(order, 0, 0), 64);
    else if (order == ORDER_DRAIN)
        post(sim, actor_pack(token_drain, &drain), tag_of(order, 0, 0), 0);
    else
        post(sim, actor_pack(token_adopt, &adopt), tag_of(order, 0, 0), 0);
}

static int on_order(void *state_, struct context *context, const void *body_)
{
    struct operator_state *state = state_;
    struct order_body body;
    struct request_options options;
    struct message *message;

    memcpy(&body, body_, sizeof(body));
    message = state->sim->orders[body.slot];
    state->sim->orders[body.slot] = NULL;
    if (message == NULL)
        return 0;
    options = (struct request_options){
        .deadline_ns = context_now_ns(context) + 30 * MINUTE_NS, .tag = body.tag,
        .credit = body.credit};
    return context_request(context, context_lookup(context, "token"), message, &options);
}

static struct login *login_of(struct sim *sim, uint64_t tag)
{
    return sim->logins[tag >> 16 & 0xffff];
}

static void imported(struct sim *sim, uint64_t tag)
{
    struct login *login = login_of(sim, tag);

    if (tag >> 32 == ORDER_IMPORT && login->import == (tag & 0xffff)) {
        login->import = 0;
        login->needs_login = false;
        login->at_hand = 0;
        login->refreshed_ns = 0;
    }
    if (tag >> 32 == ORDER_ALIAS)
        login->aliased = true;
}

static int on_token_imported(struct operator_state *state, struct context *context,
                             const struct token_imported *message)
{
    sim_note(state->sim, "operator imported %.*s", (int)message->outcome.size,
             message->outcome.data);
    sim_inspect(state->sim, "a note", message->note.data, message->note.size);
    if (context_tag(context) >> 32 == ORDER_STALE &&
        !(message->outcome.size == 9 && memcmp(message->outcome.data, "unchanged", 9) == 0))
        sim_fail(state->sim, "import: a stale copy of %s was %.*s",
                 login_of(state->sim, context_tag(context))->name, (int)message->outcome.size,
                 message->outcome.data);
    if (context_tag(context) >> 32 == ORDER_ALIAS && proto_text_equal(message->outcome, "stored"))
        sim_fail(state->sim, "import: %s is stored a second time, under another name",
                 login_of(state->sim, context_tag(context))->name);
    imported(state->sim, context_tag(context));
    return 0;
}

static int on_refusal(struct operator_state *state, struct context *context,
                      const struct refusal *refusal)
{
    struct sim *sim = state->sim;
    uint64_t tag = context_tag(context);
    char code[64];

    if (!proto_text_copy(refusal->code, code, sizeof(code)))
        code[0] = '\0';
    sim_note(sim, "operator refused %s", code);
    sim_inspect(sim, "a refusal", refusal->why.data, refusal->why.size);
    /* The keeper has it since a try whose answer was lost, or that failed halfway. */
    if (tag >> 32 == ORDER_IMPORT && strcmp(code, "stale_copy") == 0)
        imported(sim, tag);
    return 0;
}

static int on_token_profile(struct operator_state *state, struct context *context,
                            const struct token_profile *message)
{
    struct sim *sim = state->sim;
    char name[PROFILE_ID_MAX], shown[32];

    (void)context;
    sim_inspect(sim, "a reason", message->reason.data, message->reason.size);
    if (!proto_text_copy(message->profile, name, sizeof(name)) ||
        !proto_text_copy(message->state, shown, sizeof(shown)))
        return 0;
    for (unsigned i = 0; i < sim->login_count; i++)
        if (strcmp(sim->logins[i]->name, name) == 0)
            sim->logins[i]->needs_login = strcmp(shown, "needs_login") == 0;
    sim_note(sim, "status %s %s", name, shown);
    return 0;
}

/* The keeper may go on from here, whatever the nodes that it hears have seen so far. */
static void adopted(struct sim *sim)
{
    sim->totals->adoptions++;
    sim_note(sim, "adopted");
    for (unsigned i = 0; i < sim->login_count; i++)
        if (sim->logins[i]->heard_generation > sim->logins[i]->adopted_generation)
            sim->logins[i]->adopted_generation = sim->logins[i]->heard_generation;
    for (unsigned i = 0; i < sim->login_count; i++)
        for (unsigned node = 0; node < sim->node_count; node++)
            if (sim->nodes[node].seen[i] > sim->logins[i]->adopted_generation)
                sim->logins[i]->adopted_generation = sim->nodes[node].seen[i];
}

static int on_done(struct operator_state *state, struct context *context, const struct done *done)
{
    (void)done;
    if (context_tag(context) >> 32 == ORDER_DRAIN)
        check_drained(state->sim);
    if (context_tag(context) >> 32 == ORDER_ADOPT)
        adopted(state->sim);
    return 0;
}

static int operator_on_status(void *state_, struct context *context, uint64_t tag,
                              enum runtime_status status)
{
    struct operator_state *state = state_;

    (void)context;
    sim_note(state->sim, "operator order=%u status %s", (unsigned)(tag >> 32),
             runtime_status_name(status));
    return 0;
}

static int operator_start(void *state_, struct context *context, const void *config)
{
    struct operator_state *state = state_;

    (void)context;
    state->sim = (struct sim *)(uintptr_t)config;
    return 0;
}

ACTOR_HANDLER(token_imported)
ACTOR_HANDLER(refusal)
ACTOR_HANDLER(token_profile)
ACTOR_HANDLER(done)

static const struct actor_handler handlers[] = {
    {ORDER_TYPE, FROM_LOCAL, "order", NULL, on_order},
    ACTOR_ROW(token_imported, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW(token_profile, FROM_ANSWER),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops sim_operator_ops = {
    .name = "sim_operator",
    .state_size = sizeof(struct operator_state),
    .decode = proto_unpack,
    .handlers = handlers,
    .start = operator_start,
    .on_status = operator_on_status,
};
