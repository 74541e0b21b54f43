/* SPDX-License-Identifier: Apache-2.0 */
/* The transport: messages between the keeper's runtime and the nodes', in order, with delay; and
 * links that go and come. What is under way when a link goes is lost, and its sender counts it.
 * Limits are those of docs/wire.md, but for the second bound: answers always find room. */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/transport.h"

#define TO_KEEPER 0
#define TO_NODE 1
#define BODY_MAX (4u << 20)
#define QUEUE_MAX 1024u

struct packet {
    struct packet *next;
    uint64_t due_ns, left_ns; /* left of its deadline when sent; 0: none */
    struct message *message;
    char to[INTROSPECT_NAME_MAX], from[INTROSPECT_NAME_MAX];
    bool has_to;
};

struct sim_transport {
    struct transport_port port; /* first */
    struct sim *sim;
    unsigned node; /* NODES_MAX: the keeper's */
};

static struct runtime *runtime_at(struct sim *sim, unsigned node, int side)
{
    return side == TO_KEEPER ? sim->keeper : sim->nodes[node].runtime;
}

static struct machine *machine_at(struct sim *sim, unsigned node, int side)
{
    return side == TO_KEEPER ? &sim->machines[0] : sim->nodes[node].machine;
}

static unsigned peer_at(struct sim *sim, unsigned node, int side)
{
    return runtime_peer(runtime_at(sim, node, side),
                        side == TO_KEEPER ? sim->nodes[node].name : "keeper");
}

/* ---- packets -------------------------------------------------------------------------------- */

static bool begins(const struct message *message)
{
    return (message->flags &
            (MESSAGE_ANSWER | MESSAGE_PART | MESSAGE_CREDIT | MESSAGE_CANCEL)) == 0;
}

static struct packet *take_first(struct link *link, int side)
{
    struct packet *packet = link->first[side];

    link->first[side] = packet->next;
    if (packet->next == NULL)
        link->last[side] = &link->first[side];
    link->begun[side] -= begins(packet->message);
    return packet;
}

static void drop_all(struct sim *sim, struct link *link)
{
    for (int side = 0; side < 2; side++) {
        while (link->first[side] != NULL) {
            struct packet *packet = take_first(link, side);

            runtime_count_drop(runtime_at(sim, link->node, !side), STATUS_PEER_DOWN,
                               packet->message->type, packet->from, packet->to);
            message_free(packet->message);
            free(packet);
        }
        link->last[side] = &link->first[side];
        link->last_due_ns[side] = 0;
    }
}

static void deliver(struct sim *sim, unsigned node, int side, struct packet *packet)
{
    struct machine *machine = machine_at(sim, node, side);
    struct message *message = packet->message;

    wire_delivered(sim, node, side == TO_KEEPER, message);
    if (packet->left_ns != 0)
        message->deadline_ns = machine->clock.now_ns(&machine->clock) + packet->left_ns;
    if (runtime_deliver(runtime_at(sim, node, side), peer_at(sim, node, side), message,
                        packet->has_to ? packet->to : NULL, packet->from) != 0)
        sim_fail(sim, "link: the runtime calls its own message malformed");
    free(packet);
}

/* a: node and side, b: the link's epoch. */
static void on_packet(struct sim *sim, const struct sim_event *event)
{
    unsigned node = (unsigned)(event->a >> 1);
    int side = (int)(event->a & 1);
    struct link *link = &sim->links[node];
    struct machine *machine = machine_at(sim, node, side);

    if (link->epoch != event->b || !link->up)
        return;
    if (machine_asleep(machine)) {
        sim_at(sim, machine_wakes(machine), on_packet, NULL, event->a, event->b);
        return;
    }
    while (link->first[side] != NULL && link->first[side]->due_ns <= sim->now_ns)
        deliver(sim, node, side, take_first(link, side));
}

static bool is_name(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (*at < '!' || *at > '~')
            return false;
    return true;
}

/* A peer's link at this end; NULL: none. */
static struct link *link_to(struct sim_transport *transport, unsigned peer)
{
    struct sim *sim = transport->sim;

    for (unsigned i = 0; i < sim->node_count; i++) {
        bool keeper = transport->node == NODES_MAX;

        if ((keeper || transport->node == i) && sim->links[i].up &&
            peer_at(sim, i, keeper ? TO_KEEPER : TO_NODE) == peer)
            return &sim->links[i];
    }
    return NULL;
}

static int admit(const struct link *link, int side, const char *to_name,
                 const struct message *message)
{
    bool has_body = (message->flags & (MESSAGE_CREDIT | MESSAGE_CANCEL | MESSAGE_STATUS)) == 0;

    if (link == NULL)
        return -EHOSTUNREACH;
    if (to_name != NULL && !is_name(to_name))
        return -ENOENT;
    if (has_body && message->size > BODY_MAX)
        return -EMSGSIZE;
    return begins(message) && link->begun[side] >= QUEUE_MAX ? -EAGAIN : 0;
}

static int transport_send(struct transport_port *port, unsigned peer, const char *to_name,
                          const char *from_name, struct message *message)
{
    struct sim_transport *transport = (struct sim_transport *)port;
    struct sim *sim = transport->sim;
    int side = transport->node == NODES_MAX ? TO_NODE : TO_KEEPER;
    uint64_t delay_ns = sim_between(sim, 50, 3000) * 1000;
    struct link *link = link_to(transport, peer);
    struct packet *packet = calloc(1, sizeof(*packet));
    int error = packet != NULL ? admit(link, side, to_name, message) : -ENOMEM;
    struct machine *here;
    unsigned node;

    if (error != 0) {
        message_free(message);
        free(packet);
        return error;
    }
    node = link->node;
    wire_sent(sim, node, side == TO_KEEPER, message);
    if (sim_fault(sim, SIM_LINK_SLOW))
        delay_ns = sim_between(sim, 1, 20) * SECOND_NS;
    here = machine_at(sim, node, !side);
    packet->due_ns = sim->now_ns + delay_ns;
    if (packet->due_ns < link->last_due_ns[side])
        packet->due_ns = link->last_due_ns[side];
    link->last_due_ns[side] = packet->due_ns;
    if (message->deadline_ns != 0) {
        uint64_t now = here->clock.now_ns(&here->clock);

        packet->left_ns = message->deadline_ns > now ? message->deadline_ns - now : 1;
    }
    packet->has_to = to_name != NULL;
    snprintf(packet->to, sizeof(packet->to), "%s", to_name != NULL ? to_name : "");
    snprintf(packet->from, sizeof(packet->from), "%s", from_name);
    message->from = message->to = (struct actor_id){0};
    message->next = NULL;
    packet->message = message;
    *link->last[side] = packet;
    link->last[side] = &packet->next;
    link->begun[side] += begins(message);
    sim_at(sim, packet->due_ns, on_packet, NULL, (uint64_t)node << 1 | (unsigned)side,
           link->epoch);
    return 0;
}

static void transport_free(struct transport_port *port)
{
    free(port);
}

void link_attach(struct sim *sim, struct runtime *runtime, unsigned node, bool keeper)
{
    struct sim_transport *transport = calloc(1, sizeof(*transport));

    if (transport == NULL)
        abort();
    *transport = (struct sim_transport){{transport_send, NULL, transport_free}, sim,
                                        keeper ? NODES_MAX : node};
    runtime_transport_set(runtime, &transport->port);
}

/* ---- links come and go ---------------------------------------------------------------------- */

static void on_open(struct sim *sim, const struct sim_event *event)
{
    unsigned node = (unsigned)event->a;
    struct link *link = &sim->links[node];

    if (link->up || link->epoch != event->b || sim->keeper == NULL ||
        sim->nodes[node].runtime == NULL)
        return;
    if (machine_asleep(&sim->machines[0]) || machine_asleep(sim->nodes[node].machine)) {
        sim_at(sim, sim->now_ns + SECOND_NS, on_open, NULL, node, link->epoch);
        return;
    }
    link->up = true;
    link->up_ns = sim->now_ns;
    sim_note(sim, "link %s up", sim->nodes[node].name);
    runtime_link_up(sim->keeper, peer_at(sim, node, TO_KEEPER), PEER_NODE);
    runtime_link_up(sim->nodes[node].runtime, peer_at(sim, node, TO_NODE), PEER_KEEPER);
}

void link_open(struct sim *sim, unsigned node)
{
    if (sim->links[node].last[0] == NULL)
        drop_all(sim, &sim->links[node]);
    sim_at(sim, sim->now_ns + sim_between(sim, 1, 500) * MS_NS, on_open, NULL, node,
           sim->links[node].epoch);
}

void link_close(struct sim *sim, unsigned node)
{
    struct link *link = &sim->links[node];

    link->epoch++;
    drop_all(sim, link);
    wire_closed(sim, node);
    if (!link->up)
        return;
    link->up = false;
    sim_note(sim, "link %s down", sim->nodes[node].name);
    if (sim->keeper != NULL)
        runtime_link_down(sim->keeper, peer_at(sim, node, TO_KEEPER));
    if (sim->nodes[node].runtime != NULL)
        runtime_link_down(sim->nodes[node].runtime, peer_at(sim, node, TO_NODE));
}

void link_loss(struct sim *sim, unsigned node, uint64_t for_ns)
{
    link_close(sim, node);
    sim_at(sim, sim->now_ns + for_ns, on_open, NULL, node, sim->links[node].epoch);
}

void link_deinit(struct sim *sim, unsigned node)
{
    drop_all(sim, &sim->links[node]);
}
