/* SPDX-License-Identifier: Apache-2.0 */
/* Making a world from a seed, keeping it going, and the four parts of its history (see sim.h). */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/supervisor.h"

#define STEPS_AT_ONCE_MAX 400000u

/* ---- processes ------------------------------------------------------------------------------ */

static void on_log(void *arg, int level, const char *line)
{
    (void)level;
    sim_inspect(arg, "the log", line, strlen(line));
}

static void on_alarm(void *arg, const char *line)
{
    struct sim *sim = arg;

    sim_inspect(sim, "an alarm", line, strlen(line));
    for (unsigned i = 0; i < sim->login_count; i++) {
        struct login *login = sim->logins[i];
        size_t length = strlen(login->name);

        if (strncmp(line, login->name, length) == 0 && line[length] == ':')
            login->alarmed = true;
    }
    sim_note(sim, "alarm %s", line);
}

int sim_load_rules(void *arg, const char *config_path, token_rule_sink rule, void *sink,
                   char *ret_why, size_t why_size)
{
    struct sim *sim = arg;

    (void)ret_why;
    (void)why_size;
    for (unsigned i = 0; i < sim->rule_count; i++) {
        struct provider_rule changed = sim->rules[i];

        snprintf(changed.scopes, sizeof(changed.scopes), "scope-%s", strrchr(config_path, '-') + 1);
        rule(sink, &changed, "https://api.example.test");
    }
    return 0;
}

struct runtime *sim_runtime(struct sim *sim, const struct machine *machine, const char *name)
{
    struct runtime_options options = {.name = name, .clock = &machine->clock,
                                      .random = &sim->runtime_random.port,
                                      .scheduler = SCHEDULER_MANUAL, .log = on_log,
                                      .log_arg = sim};
    struct runtime *runtime;

    if (runtime_new(&options, &runtime) != 0)
        abort();
    return runtime;
}

static void on_boot_again(struct sim *sim, const struct sim_event *event)
{
    if (event->b != 0)
        node_boot(sim, (unsigned)event->a);
    else
        keeper_boot(sim);
}

void keeper_boot(struct sim *sim)
{
    struct machine *machine = &sim->machines[0];
    struct spawn_options name = {.name = "token"}, operator = {.name = "operator"};
    struct token_config config = {.load_rules = sim_load_rules, .alarm = on_alarm, .arg = sim};
    struct actor_id token;

    if (sim->keeper != NULL)
        return;
    if (machine_asleep(machine)) {
        sim_at(sim, machine_wakes(machine), on_boot_again, NULL, 0, 0);
        return;
    }
    sim->boot++;
    sim->totals->boots++;
    sim->draining = sim->keeper_dying = false;
    sim_note(sim, "keeper boot %u", sim->boot);
    sim->keeper = sim_runtime(sim, machine, "keeper");
    config.store = sim_store_new(sim);
    config.exchange = sim->exchange = sim_exchange_new(sim);
    memcpy(config.boot_id, machine->boot_id, sizeof(config.boot_id));
    if (runtime_spawn(sim->keeper, &token_ops, &config, &name, &token) != 0 ||
        runtime_spawn(sim->keeper, &sim_operator_ops, sim, &operator, &sim->operator) != 0)
        sim_fail(sim, "boot: the keeper does not start");
    link_attach(sim, sim->keeper, 0, true);
    for (unsigned i = 0; i < sim->node_count; i++)
        link_open(sim, i);
}

void keeper_kill(struct sim *sim)
{
    if (sim->keeper == NULL)
        return;
    sim_note(sim, "keeper dies");
    if (sim->store != NULL)
        sim->store->dead = true;
    for (unsigned i = 0; i < sim->node_count; i++)
        link_close(sim, i);
    runtime_free(sim->keeper);
    exchange_keeper_gone(sim);
    operator_gone(sim);
    free(sim->exchange);
    sim->keeper = NULL;
    sim->exchange = NULL;
    sim->keeper_dying = sim->draining = false;
    for (unsigned i = 0; i < sim->login_count; i++) {
        struct login *login = sim->logins[i];

        login->at_hand = 0;
        login->rejected = false;
        login->cooling_until_ns = login->refreshed_ns = login->unsaved_ns = 0;
        login->adopted_generation = login->heard_generation = 0;
    }
}

static size_t children_of(struct sim *sim, unsigned node, const struct proxy_config *proxy,
                          struct child_spec *ret_children)
{
    size_t count = 0;

    ret_children[count++] = (struct child_spec){.name = "token", .ops = &proxy_ops,
                                                .config = proxy};
    for (unsigned i = 0; i < sim->agent_count; i++)
        if (sim->agents[i].node == node)
            ret_children[count++] = (struct child_spec){.name = sim->agents[i].name,
                                                        .ops = &sim_agent_ops,
                                                        .config = &sim->agents[i]};
    return count;
}

void node_boot(struct sim *sim, unsigned number)
{
    struct node *node = &sim->nodes[number];
    struct proxy_config *proxy = &sim->proxies[number];
    struct child_spec children[AGENTS_MAX + 1];
    struct supervisor_spec supervisor = {.intensity = 100000, .backoff_ns = 100 * MS_NS,
                                         .backoff_max_ns = SECOND_NS, .children = children};
    struct spawn_options name = {.name = "supervisor"};
    struct actor_id id;

    if (node->runtime != NULL)
        return;
    if (machine_asleep(node->machine)) {
        sim_at(sim, machine_wakes(node->machine), on_boot_again, NULL, number, 1);
        return;
    }
    node->boots++;
    sim_note(sim, "%s boot %u", node->name, node->boots);
    snprintf(node->config, sizeof(node->config), "config-%u", sim->rule_version);
    *proxy = (struct proxy_config){.peer = "keeper", .swarm = "five", .config = node->config,
                                   .pid = node->boots};
    node->runtime = sim_runtime(sim, node->machine, node->name);
    supervisor.child_count = children_of(sim, number, proxy, children);
    link_attach(sim, node->runtime, number, false);
    if (runtime_spawn(node->runtime, &supervisor_ops, &supervisor, &name, &id) != 0)
        sim_fail(sim, "boot: %s does not start", node->name);
    link_open(sim, number);
}

void node_kill(struct sim *sim, unsigned number)
{
    struct node *node = &sim->nodes[number];

    if (node->runtime == NULL)
        return;
    sim_note(sim, "%s dies", node->name);
    link_close(sim, number);
    runtime_free(node->runtime);
    node->runtime = NULL;
    memset(node->seen, 0, sizeof(node->seen));
    for (unsigned i = 0; i < sim->agent_count; i++)
        if (sim->agents[i].node == number)
            sim->agents[i].pending = false;
}

/* ---- going on ------------------------------------------------------------------------------- */

/* 0: the keeper; then the nodes; then the keeper on a copy. NULL: down. */
static struct runtime *process(struct sim *sim, unsigned which, struct machine **ret_machine)
{
    if (which == 0) {
        *ret_machine = &sim->machines[0];
        return sim->keeper;
    }
    if (which <= sim->node_count) {
        *ret_machine = sim->nodes[which - 1].machine;
        return sim->nodes[which - 1].runtime;
    }
    *ret_machine = sim->twin_machine;
    return sim->twin_runtime;
}

static bool step_one(struct sim *sim)
{
    unsigned count = sim->node_count + 1 + (sim->twin_runtime != NULL);
    unsigned first = (unsigned)sim_draw(sim, count);

    for (unsigned i = 0; i < count; i++) {
        unsigned which = (first + i) % count;
        struct machine *machine;
        struct runtime *runtime = process(sim, which, &machine);

        if (runtime == NULL || sim->idle[which] || machine_asleep(machine))
            continue;
        if (!runtime_step(runtime)) {
            sim->idle[which] = true;
            continue;
        }
        sim->totals->steps++;
        if (sim->keeper_dying) {
            keeper_kill(sim);
            memset(sim->idle, 0, sizeof(sim->idle)); /* they see its links go down */
            sim_at(sim, sim->now_ns + sim_draw(sim, 60000) * MS_NS, on_boot_again, NULL, 0, 0);
        }
        check_disk(sim);
        return true;
    }
    return false;
}

static void consider(struct runtime *runtime, const struct machine *machine, uint64_t *next_ns)
{
    uint64_t at_ns = runtime != NULL ? runtime_next_timer_ns(runtime) : UINT64_MAX;

    if (at_ns > UINT64_MAX / 2)
        return;
    at_ns += machine->boot_ns;
    if (at_ns < machine->asleep_until_ns)
        at_ns = machine->asleep_until_ns;
    if (at_ns < *next_ns)
        *next_ns = at_ns;
}

static uint64_t next_time(struct sim *sim)
{
    uint64_t next_ns = sim->heap_count != 0 ? sim->heap[0].at_ns : UINT64_MAX;

    for (unsigned i = 0; i < sim->node_count + 2; i++) {
        struct machine *machine;
        struct runtime *runtime = process(sim, i, &machine);

        consider(runtime, machine, &next_ns);
    }
    return next_ns;
}

void sim_run_until(struct sim *sim, uint64_t until_ns)
{
    struct sim_event event;

    while (!sim->failed) {
        uint64_t next_ns;

        memset(sim->idle, 0, sizeof(sim->idle));
        for (unsigned steps = 0; !sim->failed && step_one(sim);)
            if (++steps > STEPS_AT_ONCE_MAX)
                sim_fail(sim, "livelock: no end of turns at one time");
        next_ns = next_time(sim);
        if (next_ns > until_ns)
            break;
        if (next_ns > sim->now_ns)
            sim->now_ns = next_ns;
        if (sim_pop(sim, sim->now_ns, &event)) {
            sim->totals->events++;
            event.run(sim, &event);
        }
    }
    if (sim->now_ns < until_ns)
        sim->now_ns = until_ns;
}

/* ---- what the operator does, now and then --------------------------------------------------- */

static void operate(struct sim *sim)
{
    check_deadlines(sim);
    check_unsaved(sim);
    if (sim->twin != NULL && sim->twin_until_ns < sim->now_ns)
        twin_end(sim);
    operator_send(sim, ORDER_STATUS);
    if (sim->adopt)
        operator_send(sim, ORDER_ADOPT);
    sim->adopt = false;
    for (unsigned i = 0; i < sim->login_count; i++) {
        struct login *login = sim->logins[i];

        if (login->needs_login && login->import == 0) {
            sim->totals->relogins++;
            server_login(sim, login);
        }
        operator_import(sim, login, ORDER_IMPORT, login->import);
    }
}

static void on_operate(struct sim *sim, const struct sim_event *event)
{
    if (sim->part != PART_CHAOS)
        return;
    if (sim_draw(sim, 3) != 0)
        operate(sim);
    sim_at(sim, sim->now_ns + sim_between(sim, 1, 300) * SECOND_NS, on_operate, NULL, event->a, 0);
}

/* ---- a world from a seed -------------------------------------------------------------------- */

static void make_logins(struct sim *sim)
{
    static const enum rotation rotations[] = {ROTATION_STRICT, ROTATION_STRICT, ROTATION_GRACE,
                                              ROTATION_TWO_PHASE, ROTATION_NONE};

    sim->rule_count = 1 + (unsigned)sim_draw(sim, PROVIDERS_MAX);
    for (unsigned i = 0; i < sim->rule_count; i++) {
        struct provider_rule *rule = &sim->rules[i];

        snprintf(rule->id, sizeof(rule->id), "lab%u", i);
        snprintf(rule->token_url, sizeof(rule->token_url), "https://login%u.example.test/token", i);
        snprintf(rule->client_id, sizeof(rule->client_id), "lab");
        snprintf(rule->expiry, sizeof(rule->expiry), "expires_in");
        rule->rotation = rotations[sim_draw(sim, 5)];
        rule->grace_seconds = (uint32_t)sim_between(sim, 20, 90);
        sim->not_before[i] = sim_draw(sim, 4) == 0 ? (unsigned)sim_between(sim, 300, 900) : 0;
    }
    sim->login_count = 1 + (unsigned)sim_draw(sim, LOGINS_MAX);
    for (unsigned i = 0; i < sim->login_count; i++) {
        struct login *login = calloc(1, sizeof(*login));

        if (login == NULL)
            abort();
        login->number = i;
        login->rule = &sim->rules[sim_draw(sim, sim->rule_count)];
        snprintf(login->name, sizeof(login->name), "%s:me%u", login->rule->id, i);
        snprintf(login->alias, sizeof(login->alias), "%s:too%u", login->rule->id, i);
        sim->logins[i] = login;
    }
}

static void make_swarm(struct sim *sim)
{
    static const unsigned sizes[] = {1, 2, 3, 5, 5, 8, 16, AGENTS_MAX};

    sim->node_count = 1 + (unsigned)sim_draw(sim, NODES_MAX);
    for (unsigned i = 0; i < sim->node_count; i++) {
        machine_init(&sim->machines[i], sim);
        snprintf(sim->nodes[i].name, sizeof(sim->nodes[i].name), "n%u", i);
        sim->nodes[i].machine = &sim->machines[i];
        sim->links[i].node = i;
    }
    sim->agent_count = sizes[sim_draw(sim, 8)];
    if (sim_draw(sim, 2) != 0)
        sim->agent_count = 1 + (unsigned)sim_draw(sim, sim->agent_count);
    if (sim->options.agents_max != 0 && sim->agent_count > sim->options.agents_max)
        sim->agent_count = sim->options.agents_max;
    for (unsigned i = 0; i < sim->agent_count; i++) {
        struct agent *agent = &sim->agents[i];

        *agent = (struct agent){.sim = sim, .number = i};
        snprintf(agent->name, sizeof(agent->name), "agent%u", i);
        agent->node = (unsigned)sim_draw(sim, sim->node_count);
        agent->login = (unsigned)sim_draw(sim, sim->login_count);
        agent->by_alias = sim_draw(sim, 2) != 0;
    }
}

/* Half of the kinds of fault are in a history at all, each at a rate of its own. */
static void draw_rates(struct sim *sim)
{
    static const unsigned rates[] = {2, 5, 10, 20, 50, 100, 200};

    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        unsigned rate = rates[sim_draw(sim, 7)];

        sim->permille[i] = sim_draw(sim, 2) != 0 ? rate : 0;
    }
    for (unsigned i = SIM_LINK_SLOW; i <= SIM_LINK_SLOW; i++)
        sim->permille[i] /= 4; /* at each packet */
    sim->permille[SIM_AGENT_CRASH] /= 4;
    sim->permille[SIM_STORE_CRASH] /= 4;
    sim->permille[SIM_MODEL_401] /= 4;
}

static void count_world(const struct sim *sim)
{
    struct sim_totals *totals = sim->totals;

    totals->agents_1 += sim->agent_count == 1;
    totals->agents_64 += sim->agent_count == AGENTS_MAX;
    totals->nodes_1 += sim->node_count == 1;
    totals->nodes_3 += sim->node_count == NODES_MAX;
    totals->profiles_1 += sim->login_count == 1;
    totals->profiles_4 += sim->login_count == LOGINS_MAX;
    for (unsigned i = 0; i < sim->login_count; i++) {
        enum rotation rotation = sim->logins[i]->rule->rotation;

        totals->rule_none += rotation == ROTATION_NONE;
        totals->rule_grace += rotation == ROTATION_GRACE;
        totals->rule_two_phase += rotation == ROTATION_TWO_PHASE;
        totals->rule_strict += rotation == ROTATION_STRICT;
    }
}

static struct sim *sim_new(const struct sim_options *options, struct sim_totals *totals)
{
    static const unsigned lives_s[] = {60, 120, 300, 600, 1800, 3600};
    struct sim *sim = calloc(1, sizeof(*sim));

    if (sim == NULL)
        abort();
    sim->options = *options;
    sim->totals = totals;
    sim->random = options->seed * 0x9e3779b97f4a7c15ull + 1;
    sim_random_init(&sim->runtime_random, options->seed);
    sim->digest = 0xcbf29ce484222325ull;
    sim->now_ns = 10 * SECOND_NS;
    sim->life_s = lives_s[sim_draw(sim, 6)];
    sim->disk = memory_disk_new();
    if (sim->disk == NULL || (sim->reader = store_memory_new(sim->disk)) == NULL)
        abort();
    make_logins(sim);
    make_swarm(sim);
    draw_rates(sim);
    count_world(sim);
    return sim;
}

static void sim_free(struct sim *sim)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        node_kill(sim, i);
    keeper_kill(sim);
    twin_end(sim);
    for (unsigned i = 0; i < sim->node_count; i++)
        link_deinit(sim, i);
    sim->reader->close(sim->reader);
    memory_disk_free(sim->disk);
    memory_disk_free(sim->backup);
    for (unsigned i = 0; i < sim->login_count; i++)
        free(sim->logins[i]);
    free(sim->heap);
    free(sim);
}

/* ---- the history ---------------------------------------------------------------------------- */

static void part_begin(struct sim *sim, enum sim_part part)
{
    sim->part = part;
    sim->part_ns = sim->now_ns;
    sim_note(sim, "part %d", (int)part);
}

static bool all_imported(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->login_count; i++)
        if (sim->logins[i]->import != 0)
            return false;
    return true;
}

static void set_up(struct sim *sim)
{
    part_begin(sim, PART_SETUP);
    keeper_boot(sim);
    for (unsigned i = 0; i < sim->login_count; i++)
        server_login(sim, sim->logins[i]);
    operate(sim);
    sim_run_until(sim, sim->now_ns + 5 * SECOND_NS);
    if (!all_imported(sim))
        sim_fail(sim, "set up: an import was not answered");
    for (unsigned i = 0; i < sim->node_count; i++)
        node_boot(sim, i);
    sim_run_until(sim, sim->now_ns + 5 * SECOND_NS);
}

static void chaos(struct sim *sim)
{
    uint64_t length_ns = (sim_between(sim, 5, 30) * MINUTE_NS) + 4 * sim->life_s * SECOND_NS;

    part_begin(sim, PART_CHAOS);
    sim_at(sim, sim->now_ns + SECOND_NS, sim_devil, NULL, 0, 0);
    sim_at(sim, sim->now_ns + MINUTE_NS, on_operate, NULL, 0, 0);
    sim_run_until(sim, sim->now_ns + length_ns);
}

/* All machines are up, and a changed file is there for who waits for one. */
static void mend(struct sim *sim)
{
    sim->rule_version++;
    sim->full_until_ns = sim->read_only_until_ns = 0;
    twin_end(sim);
    for (unsigned i = 0; i < sim->node_count; i++)
        if (machine_asleep(&sim->machines[i]))
            sim->machines[i].asleep_until_ns = sim->now_ns; /* it wakes, and what slept begins */
    if (sim->draining)
        keeper_kill(sim);
    keeper_boot(sim);
    for (unsigned i = 0; i < sim->node_count; i++) {
        node_kill(sim, i);
        node_boot(sim, i);
    }
}

static void calm(struct sim *sim)
{
    /* A quota's end comes as a wall time: it is wrong by as much as any two clocks were apart. */
    uint64_t apart_ns = (uint64_t)(sim->wall_highest_ms - sim->wall_lowest_ms) * MS_NS;
    uint64_t limit_ns = 2 * sim->life_s * SECOND_NS + 60 * MINUTE_NS + apart_ns;

    part_begin(sim, PART_CALM);
    for (unsigned round = 0; !sim->failed && !served_since(sim, sim->part_ns); round++) {
        if (round % 60 == 0)
            mend(sim);
        operate(sim);
        sim_run_until(sim, sim->now_ns + 30 * SECOND_NS);
        if (sim->now_ns - sim->part_ns > limit_ns)
            for (unsigned i = 0; i < sim->agent_count; i++)
                if (sim->agents[i].served_ns < sim->part_ns)
                    sim_fail(sim, "service: %llu s after the last fault %s has no token of %s",
                             (unsigned long long)((sim->now_ns - sim->part_ns) / SECOND_NS),
                             sim->agents[i].name, sim->logins[sim->agents[i].login]->name);
    }
}

static void steady(struct sim *sim)
{
    uint64_t until_ns = sim->now_ns + 5 * MINUTE_NS + sim->life_s * SECOND_NS;

    part_begin(sim, PART_STEADY);
    while (!sim->failed && sim->now_ns < until_ns) {
        sim_run_until(sim, sim->now_ns + 10 * SECOND_NS);
        check_answered(sim);
    }
}

bool sim_history(const struct sim_options *options, struct sim_totals *totals,
                 uint64_t *ret_digest, char *ret_failure, size_t size)
{
    struct sim *sim = sim_new(options, totals);
    bool good;

    set_up(sim);
    chaos(sim);
    calm(sim);
    steady(sim);
    good = !sim->failed;
    totals->seeds++;
    totals->virtual_s += sim->now_ns / SECOND_NS;
    *ret_digest = sim->digest;
    snprintf(ret_failure, size, "%s", sim->failure);
    sim_free(sim);
    return good;
}
