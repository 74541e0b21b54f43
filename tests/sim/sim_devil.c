/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to machines, processes, links and logins as a whole, and what people do. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static void on_boot_keeper(struct sim *sim, const struct sim_event *event)
{
    (void)event;
    keeper_boot(sim);
}

static void on_boot_node(struct sim *sim, const struct sim_event *event)
{
    node_boot(sim, (unsigned)event->a);
}

static uint64_t a_while(struct sim *sim)
{
    static const uint64_t most_ms[] = {50, 2000, 30000, 600000};

    return sim_draw(sim, most_ms[sim_draw(sim, 4)]) * MS_NS;
}

static void kill_keeper(struct sim *sim)
{
    keeper_kill(sim);
    sim_at(sim, sim->now_ns + a_while(sim), on_boot_keeper, NULL, 0, 0);
}

static void kill_node(struct sim *sim, unsigned node)
{
    if (sim->nodes[node].runtime == NULL)
        return;
    node_kill(sim, node);
    sim_at(sim, sim->now_ns + a_while(sim), on_boot_node, NULL, node, 0);
}

static void reboot(struct sim *sim)
{
    struct machine *machine = &sim->machines[sim_draw(sim, sim->node_count)];

    for (unsigned i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].machine == machine)
            kill_node(sim, i);
    if (machine == &sim->machines[0])
        kill_keeper(sim);
    machine->asleep_until_ns = 0;
    machine_reboot(machine);
}

static void jump(struct sim *sim)
{
    struct machine *machine = &sim->machines[sim_draw(sim, sim->node_count)];
    int64_t most_ms = sim_draw(sim, 2) != 0 ? 60000 : 2 * 3600000;

    machine_set(machine, (int64_t)sim_draw(sim, (uint64_t)(2 * most_ms)) - most_ms);
    for (unsigned i = 0; i < sim->node_count; i++)
        sim->machines[i].jumped = true; /* what they told each other counts, too */
}

static void reload(struct sim *sim)
{
    unsigned node = (unsigned)sim_draw(sim, sim->node_count);

    sim->rule_version++;
    kill_node(sim, node); /* its proxy joins anew, with the new file */
}

/* An old copy of the same login turns up, under its name or another one. */
static void stale(struct sim *sim, struct login *login)
{
    unsigned number = 0;

    for (unsigned i = 1; i <= login->refresh_count; i++)
        if (login->refresh[i].durable && login->refresh[i].family == login->family &&
            sim_draw(sim, 3) == 0)
            number = i;
    if (login->import == 0)
        operator_import(sim, login, ORDER_STALE, number);
}

struct newest {
    const struct login *login;
    unsigned number;
};

static void look_for_newest(struct sim *sim, void *arg, struct stored *stored)
{
    struct newest *newest = arg;
    struct login *login;
    unsigned number;

    if (find_refresh(sim, secret_data(stored->credential.refresh), &login, &number) &&
        login == newest->login)
        newest->number = number;
}

static void alias(struct sim *sim, struct login *login)
{
    struct newest newest = {.login = login};

    store_each(sim, &newest, look_for_newest);
    if (login->import == 0 && !login->aliased)
        operator_import(sim, login, ORDER_ALIAS, newest.number);
}

static void strike_state(struct sim *sim)
{
    uint64_t until_ns = sim->now_ns + a_while(sim);
    struct login *login = sim->logins[sim_draw(sim, sim->login_count)];

    if (sim_fault(sim, SIM_DISK_FULL))
        sim->full_until_ns = until_ns;
    else if (sim_fault(sim, SIM_READ_ONLY))
        sim->read_only_until_ns = until_ns;
    else if (sim_fault(sim, SIM_RELOAD))
        reload(sim);
    else if (login->import == 0 && sim_fault(sim, SIM_STALE_IMPORT))
        stale(sim, login);
    else if (login->import == 0 && sim_fault(sim, SIM_ALIAS_IMPORT))
        alias(sim, login);
    else if (login->ended == ALIVE && sim_fault(sim, SIM_REVOKED))
        server_revoke(sim, login, ENDED_BY_PERSON);
}

static void strike_store(struct sim *sim)
{
    if (sim->backup == NULL || sim_draw(sim, 8) == 0)
        backup_take(sim);
    if (sim_fault(sim, SIM_BACKUP)) {
        kill_keeper(sim);
        backup_put_back(sim);
    } else if (sim_fault(sim, SIM_BACKUP_ALONE)) {
        kill_keeper(sim);
        for (unsigned i = 0; i < sim->node_count; i++)
            kill_node(sim, i);
        backup_put_back(sim);
    } else if (sim_fault(sim, SIM_MOVED)) {
        kill_keeper(sim);
        backup_move(sim);
    } else if (sim->twin == NULL && sim_fault(sim, SIM_TWIN)) {
        twin_boot(sim);
    }
}

static void strike_process(struct sim *sim)
{
    unsigned node = (unsigned)sim_draw(sim, sim->node_count);
    struct machine *machine = &sim->machines[sim_draw(sim, sim->node_count)];

    if (sim_fault(sim, SIM_KEEPER_KILL))
        kill_keeper(sim);
    else if (sim->keeper != NULL && !sim->draining && sim_fault(sim, SIM_KEEPER_DRAIN)) {
        sim->draining = true;
        operator_send(sim, ORDER_DRAIN);
    } else if (sim_fault(sim, SIM_NODE_KILL))
        kill_node(sim, node);
    else if (sim_fault(sim, SIM_REBOOT))
        reboot(sim);
    else if (sim_fault(sim, SIM_LINK_LOSS))
        link_loss(sim, node, a_while(sim) + MS_NS);
    else if (sim_fault(sim, SIM_WALL_JUMP))
        jump(sim);
    else if (!machine_asleep(machine) && sim_fault(sim, SIM_SLEEP))
        machine->asleep_until_ns =
            sim->now_ns + sim_between(sim, 1, sim_draw(sim, 2) != 0 ? 60 : 7200) * SECOND_NS;
}

/* Comes again and again, in the chaos; often just when something is going on. */
void sim_devil(struct sim *sim, const struct sim_event *event)
{
    (void)event;
    if (sim->part != PART_CHAOS)
        return;
    switch (sim_draw(sim, 5)) {
    case 0:
    case 1:
        strike_state(sim);
        break;
    case 2:
    case 3:
        strike_process(sim);
        break;
    default:
        strike_store(sim);
    }
    sim_at(sim, sim->now_ns + sim_between(sim, 1, 60000) * MS_NS, sim_devil, NULL, 0, 0);
}
