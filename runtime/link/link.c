/* SPDX-License-Identifier: Apache-2.0 */
/* Links as other threads see them: to listen, to dial, to hang up, and what there is. Each leaves
 * its wish in the transport, under the lock, and wakes the thread that does it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "socket.h"
#include "transport.h"

size_t link_transport_links(struct transport_port *port, uint64_t *cursor,
                            struct link_info *ret_rows, size_t max)
{
    struct link_transport *transport = (struct link_transport *)port;
    static const char *const kinds[] = {"node", "keeper", "client"};
    static const char *const states[] = {"awaited", "up", "down"};
    size_t rows = 0;
    pthread_mutex_lock(&transport->lock);
    for (; *cursor <= PEER_MAX && rows < max; ++*cursor) {
        const struct link_peer *peer = transport->by_number[*cursor];
        if (peer == NULL)
            continue;
        struct link_info *row = &ret_rows[rows++];
        *row = (struct link_info){
            .queued = peer->queue.count,
            .messages_in = atomic_load(&peer->messages_in),
            .messages_out = atomic_load(&peer->messages_out),
            .bytes_in = atomic_load(&peer->bytes_in),
            .bytes_out = atomic_load(&peer->bytes_out),
            .gaps = atomic_load(&peer->gaps),
            .drops = atomic_load(&peer->drops),
            .reconnects = atomic_load(&peer->reconnects),
            .rtt_ns = atomic_load(&peer->rtt_ns),
            .pid = peer->pid,
        };
        snprintf(row->peer, sizeof row->peer, "%s", peer->name);
        snprintf(row->kind, sizeof row->kind, "%s", peer->pid != 0 ? kinds[peer->kind] : "");
        snprintf(row->state, sizeof row->state, "%s", states[peer->state]);
        snprintf(row->endpoint, sizeof row->endpoint, "%s",
                 peer->endpoint[0] != '\0' ? peer->endpoint : transport->endpoint);
    }
    pthread_mutex_unlock(&transport->lock);
    return rows;
}

static struct link_transport *transport_of(struct runtime *runtime)
{
    return (struct link_transport *)runtime_transport(runtime);
}

static void hand_over(struct link_transport *transport)
{
    transport->changed = true;
    pthread_mutex_unlock(&transport->lock);
    if (atomic_exchange(&transport->asleep, false))
        link_wake(transport);
}

int link_listen(struct runtime *runtime, const char *endpoint)
{
    struct link_transport *transport = transport_of(runtime);
    int error = link_endpoint_check(endpoint);
    if (transport == NULL || error != 0)
        return transport == NULL ? -EINVAL : error;
    pthread_mutex_lock(&transport->lock);
    bool taken = transport->listens;
    transport->listens = true;
    pthread_mutex_unlock(&transport->lock);
    void *router, *monitor;
    error = taken ? -EALREADY : link_accept_open(transport, endpoint, &router, &monitor);
    pthread_mutex_lock(&transport->lock);
    if (error != 0) {
        transport->listens = taken;
        pthread_mutex_unlock(&transport->lock);
        return error;
    }
    snprintf(transport->endpoint, sizeof transport->endpoint, "%s", endpoint);
    transport->new_router = router;
    transport->new_router_monitor = monitor;
    hand_over(transport);
    return 0;
}

int link_dial(struct runtime *runtime, const char *peer_name, const char *endpoint)
{
    struct link_transport *transport = transport_of(runtime);
    int error = link_endpoint_check(endpoint);
    if (transport == NULL || error != 0)
        return transport == NULL ? -EINVAL : error;
    struct link_peer *peer = link_peer_get(transport, peer_name);
    unsigned number = runtime_peer(runtime, peer_name);
    if (peer == NULL || !frame_name_is_valid(peer_name, strlen(peer_name)))
        return -EINVAL;
    void *dealer, *monitor;
    error = link_dial_open(transport, endpoint, &dealer, &monitor);
    if (error != 0)
        return error;
    pthread_mutex_lock(&transport->lock);
    peer = transport->by_number[number];
    if (peer == NULL || peer->endpoint[0] != '\0') {
        pthread_mutex_unlock(&transport->lock);
        zmq_socket_monitor(dealer, NULL, 0);
        zmq_close(dealer);
        zmq_close(monitor);
        return -EALREADY;
    }
    snprintf(peer->endpoint, sizeof peer->endpoint, "%s", endpoint);
    peer->new_dealer = dealer;
    peer->new_monitor = monitor;
    hand_over(transport);
    return 0;
}

int link_hangup(struct runtime *runtime, const char *peer_name)
{
    struct link_transport *transport = transport_of(runtime);
    if (transport == NULL)
        return -EINVAL;
    unsigned number = runtime_peer(runtime, peer_name);
    pthread_mutex_lock(&transport->lock);
    struct link_peer *peer = number != 0 ? transport->by_number[number] : NULL;
    if (peer == NULL) {
        pthread_mutex_unlock(&transport->lock);
        return -ENOENT;
    }
    peer->hangup = true;
    hand_over(transport);
    return 0;
}

size_t introspect_links(struct runtime *runtime, uint64_t *cursor, struct link_info *ret_rows,
                        size_t max)
{
    struct transport_port *transport = runtime_transport(runtime);
    return transport != NULL && transport->links != NULL
               ? transport->links(transport, cursor, ret_rows, max)
               : 0;
}
