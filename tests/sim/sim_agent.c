/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated agent: what an agent does as far as tokens are concerned.
 *
 * Takes:  its timers, and the answers to its requests.
 * Sends:  token_get, and after a 401 of the model token_rejected, after a 429 quota_hit, to the
 *         proxy of its node.
 * Owns:   its row in struct agent, where the checks find it.
 * Rules:  one request at a time. A 401 is reported, and the token that comes back tried, up to
 *         three times in a row: so a TokenActor that answers each 401 with a refresh is seen to
 *         loop. */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TRIES_MAX 3u

enum agent_timer { TIMER_THINK = 1, TIMER_MODEL, TIMER_CANCEL };

struct agent_state {
    struct agent *agent;
    struct request_id request;
};

static const char *profile_of(const struct agent *agent)
{
    const struct login *login = agent->sim->logins[agent->login];

    return agent->by_alias && login->aliased ? login->alias : login->name;
}

static void think(struct agent *agent, struct context *context)
{
    struct sim *sim = agent->sim;
    uint64_t most_s = sim->part == PART_CALM ? 60 : sim->life_s / 2 + 10;

    agent->rejections = 0;
    context_timer(context, sim_between(sim, 1, most_s) * SECOND_NS, TIMER_THINK);
}

static int ask(struct agent_state *state, struct context *context, struct message *message)
{
    struct agent *agent = state->agent;
    struct sim *sim = agent->sim;
    struct request_options options = {.deadline_ns = context_now_ns(context) + AGENT_DEADLINE_NS,
                                      .tag = ++agent->tag, .ret_request = &state->request};

    agent->pending = true;
    agent->asked_ns = sim->now_ns;
    sim->totals->requests++;
    return context_request(context, context_lookup(context, "token"), message, &options);
}

static int ask_token(struct agent_state *state, struct context *context)
{
    struct agent *agent = state->agent;
    struct sim *sim = agent->sim;
    struct token_get get = {.profile = proto_text(profile_of(agent)),
                            .who = proto_text(agent->name)};

    if (sim_draw(sim, 8) == 0)
        get.min_valid_ms = sim_draw(sim, sim->life_s * 1000);
    get.force = sim_fault(sim, SIM_FORCE);
    if (sim_fault(sim, SIM_CANCEL))
        context_timer(context, sim_between(sim, 0, 2000) * MS_NS, TIMER_CANCEL);
    return ask(state, context, actor_pack(token_get, &get));
}

/* An answer came; exactly one may. False: there was none to come. */
static bool answered(struct agent_state *state, struct context *context)
{
    struct agent *agent = state->agent;

    if (!agent->pending || context_tag(context) != agent->tag) {
        sim_fail(agent->sim, "answers: %s was answered twice", agent->name);
        return false;
    }
    agent->pending = false;
    return true;
}

static int on_token_grant(struct agent_state *state, struct context *context,
                          const struct token_grant *grant)
{
    struct agent *agent = state->agent;

    if (!answered(state, context))
        return 0;
    agent->sim->totals->grants++;
    check_grant(agent->sim, agent, grant);
    if (!proto_text_copy(grant->access, agent->access, sizeof(agent->access)))
        agent->access[0] = '\0';
    context_timer(context, sim_between(agent->sim, 10, 3000) * MS_NS, TIMER_MODEL);
    return 0;
}

static int on_refusal(struct agent_state *state, struct context *context,
                      const struct refusal *refusal)
{
    struct agent *agent = state->agent;
    struct login *login = agent->sim->logins[agent->login];

    if (!answered(state, context))
        return 0;
    sim_note(agent->sim, "%s refused %.*s", agent->name, (int)refusal->code.size,
             refusal->code.data);
    agent->sim->totals->refusals++;
    agent->sim->adopt |= proto_text_equal(refusal->code, "copied_store");
    check_refusal(agent->sim, login, refusal);
    think(agent, context);
    return 0;
}

static int on_done(struct agent_state *state, struct context *context, const struct done *done)
{
    (void)done;
    if (answered(state, context))
        think(state->agent, context);
    return 0;
}

static int agent_on_status(void *state_, struct context *context, uint64_t tag,
                           enum runtime_status status)
{
    struct agent_state *state = state_;
    struct agent *agent = state->agent;

    if (!agent->pending || tag != agent->tag) {
        sim_fail(agent->sim, "answers: %s was answered twice", agent->name);
        return 0;
    }
    agent->pending = false;
    sim_note(agent->sim, "%s status %s", agent->name, runtime_status_name(status));
    if (status == STATUS_UNANSWERED)
        sim_fail(agent->sim, "answers: %s was left without an answer", agent->name);
    think(agent, context);
    return 0;
}

static int rejected(struct agent_state *state, struct context *context)
{
    struct agent *agent = state->agent;
    struct secret *access = secret_new(agent->access, strlen(agent->access));
    uint8_t sha256[SECRET_SHA256_SIZE];
    struct token_rejected message = {.profile = proto_text(profile_of(agent)),
                                     .access_sha256 = {(const char *)sha256, sizeof(sha256)},
                                     .who = proto_text(agent->name)};

    secret_sha256(access, sha256);
    secret_free(access);
    return ask(state, context, actor_pack(token_rejected, &message));
}

static int quota_hit(struct agent_state *state, struct context *context)
{
    struct agent *agent = state->agent;
    struct sim *sim = agent->sim;
    struct quota_hit message = {.profile = proto_text(profile_of(agent)),
                                .who = proto_text(agent->name),
                                .reason = proto_text("usage_limit_reached")};

    if (sim_draw(sim, 2) != 0)
        message.model = proto_text("gpt");
    if (sim_draw(sim, 2) != 0)
        message.resets_at_ms =
            context_wall_ms(context) + (int64_t)sim_between(sim, 1, 600) * 1000;
    return ask(state, context, actor_pack(quota_hit, &message));
}

static int use_token(struct agent_state *state, struct context *context)
{
    struct agent *agent = state->agent;
    struct sim *sim = agent->sim;
    int status = agent->access[0] != '\0' ? server_model(sim, agent->access) : 0;

    sim_note(sim, "%s model %d", agent->name, status);
    if (status == 200) {
        agent->served_ns = sim->now_ns;
        sim->totals->served++;
    }
    if (status == 401 && agent->rejections++ < TRIES_MAX)
        return rejected(state, context);
    if (status == 429)
        return quota_hit(state, context);
    think(agent, context);
    return 0;
}

static int agent_on_timer(void *state_, struct context *context, uint64_t tag)
{
    struct agent_state *state = state_;
    struct agent *agent = state->agent;

    if (tag == TIMER_CANCEL) {
        if (agent->pending) {
            context_cancel(context, state->request);
            agent->pending = false;
            think(agent, context);
        }
        return 0;
    }
    if (agent->pending)
        return 0;
    if (sim_fault(agent->sim, SIM_AGENT_CRASH))
        return -EFAULT;
    return tag == TIMER_THINK ? ask_token(state, context) : use_token(state, context);
}

static int agent_start(void *state_, struct context *context, const void *config)
{
    struct agent_state *state = state_;
    struct agent *agent = (struct agent *)(uintptr_t)config;

    state->agent = agent;
    agent->pending = false;
    agent->generation = 0;
    think(agent, context);
    return 0;
}

ACTOR_HANDLER(token_grant)
ACTOR_HANDLER(refusal)
ACTOR_HANDLER(done)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(token_grant, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops sim_agent_ops = {
    .name = "sim_agent",
    .state_size = sizeof(struct agent_state),
    .decode = proto_unpack,
    .handlers = handlers,
    .start = agent_start,
    .on_status = agent_on_status,
    .on_timer = agent_on_timer,
};
