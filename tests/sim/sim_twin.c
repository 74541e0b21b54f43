/* SPDX-License-Identifier: Apache-2.0 */
/* A keeper on a copy of the store, beside the one on the store itself. Somebody there asks for new
 * tokens, again and again. Until a person says that the copy is the one to go on with, it must not
 * even begin an exchange, whatever lies in it: an intent, an answer, a doubt. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct twin {
    struct exchange_port exchange; /* first */
    struct sim *sim;
    struct memory_disk *disk;
};

struct asker_state {
    struct sim *sim;
};

/* ---- the provider, as seen from there ------------------------------------------------------- */

static int twin_start(struct exchange_port *port, const struct exchange_request *request,
                      uint64_t *ret_id)
{
    struct twin *twin = (struct twin *)port;

    (void)request;
    (void)ret_id;
    sim_fail(twin->sim, "copied: a copy of the store beside the store itself starts a refresh");
    return -EPERM;
}

static void twin_gate(struct exchange_port *port, uint64_t id, bool open)
{
    (void)port;
    (void)id;
    (void)open;
}

static void twin_close(struct exchange_port *port)
{
    (void)port;
}

static void on_alarm(void *arg, const char *line)
{
    sim_inspect(arg, "an alarm of a copy", line, strlen(line));
}

/* ---- who asks there ------------------------------------------------------------------------- */

static int again(struct sim *sim, struct context *context)
{
    context_timer(context, sim_between(sim, 1, 120) * SECOND_NS, 0);
    return 0;
}

static int asker_on_timer(void *state_, struct context *context, uint64_t tag)
{
    struct asker_state *state = state_;
    struct sim *sim = state->sim;
    struct request_options options = {.deadline_ns = context_now_ns(context) + MINUTE_NS};

    (void)tag;
    for (unsigned i = 0; i < sim->login_count; i++) {
        struct token_get get = {.profile = proto_text(sim->logins[i]->name),
                                .who = proto_text("asker"), .force = true};

        context_request(context, context_lookup(context, "token"), actor_pack(token_get, &get),
                        &options);
    }
    return again(sim, context);
}

static int on_token_grant(struct asker_state *state, struct context *context,
                          const struct token_grant *grant)
{
    (void)context;
    (void)grant;
    state->sim->totals->twin_answers++;
    return 0;
}

static int on_refusal(struct asker_state *state, struct context *context,
                      const struct refusal *refusal)
{
    (void)context;
    sim_inspect(state->sim, "a refusal of a copy", refusal->why.data, refusal->why.size);
    state->sim->totals->twin_answers++;
    return 0;
}

static int asker_on_status(void *state, struct context *context, uint64_t tag,
                           enum runtime_status status)
{
    (void)state;
    (void)context;
    (void)tag;
    (void)status;
    return 0;
}

static int asker_start(void *state_, struct context *context, const void *config)
{
    struct asker_state *state = state_;

    state->sim = (struct sim *)(uintptr_t)config;
    return again(state->sim, context);
}

ACTOR_HANDLER(token_grant)
ACTOR_HANDLER(refusal)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(token_grant, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW_END,
};

static const struct actor_ops asker_ops = {
    .name = "sim_asker",
    .state_size = sizeof(struct asker_state),
    .decode = proto_unpack,
    .handlers = handlers,
    .start = asker_start,
    .on_status = asker_on_status,
    .on_timer = asker_on_timer,
};

/* ---- its life ------------------------------------------------------------------------------- */

void twin_end(struct sim *sim)
{
    if (sim->twin == NULL)
        return;
    runtime_free(sim->twin_runtime);
    memory_disk_free(sim->twin->disk);
    free(sim->twin);
    sim->twin = NULL;
    sim->twin_runtime = NULL;
}

void twin_boot(struct sim *sim)
{
    struct token_config config = {.load_rules = sim_load_rules, .alarm = on_alarm, .arg = sim};
    struct spawn_options token = {.name = "token"}, asker = {.name = "asker"};
    struct actor_id id;

    twin_end(sim);
    sim->twin = calloc(1, sizeof(*sim->twin));
    if (sim->twin == NULL)
        abort();
    *sim->twin = (struct twin){{twin_start, twin_gate, twin_close}, sim,
                               memory_disk_copy(sim->disk)};
    memory_disk_mark_copied(sim->twin->disk);
    sim->twin_machine = &sim->machines[sim_draw(sim, sim->node_count)];
    sim->twin_until_ns = sim->now_ns + sim_between(sim, 1, 120) * MINUTE_NS;
    sim->twin_runtime = sim_runtime(sim, sim->twin_machine, "twin");
    config.store = store_memory_new(sim->twin->disk);
    config.exchange = &sim->twin->exchange;
    memcpy(config.boot_id, sim->twin_machine->boot_id, sizeof(config.boot_id));
    if (config.store == NULL ||
        runtime_spawn(sim->twin_runtime, &token_ops, &config, &token, &id) != 0 ||
        runtime_spawn(sim->twin_runtime, &asker_ops, sim, &asker, &id) != 0)
        sim_fail(sim, "boot: a keeper on a copy does not start");
    sim_note(sim, "twin boot");
}
