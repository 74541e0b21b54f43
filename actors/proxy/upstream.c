/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actors/handler.h"
#include "proto/token.h"

#define WATCH_DEADLINE_MS 3600000u

struct actor_id proxy_keeper(struct proxy_state *state, struct context *context)
{
    return state->peer[0] != '\0' ? context_remote(context, state->peer, state->actor)
                                  : context_lookup(context, state->actor);
}

int proxy_request(struct proxy_state *state, struct context *context, struct message *message,
                  uint64_t tag, uint64_t deadline_ms)
{
    struct request_options options = {
        .deadline_ns = context_now_ns(context) + deadline_ms * MS_NS, .tag = tag};

    if (message == NULL)
        return -ENOMEM;
    return context_request(context, proxy_keeper(state, context), message, &options);
}

uint64_t upstream_tag(const struct proxy_state *state, const struct lease *lease,
                      enum upstream upstream)
{
    uint64_t index = 0;

    while (state->leases[index] != lease)
        index++;
    return index << 1 | upstream;
}

void upstream_retry(struct proxy_state *state, struct lease *lease, struct context *context)
{
    if (lease->timing)
        return;
    lease->timing = true;
    lease->timer = context_timer(context, state->retry_ms * MS_NS,
                                 upstream_tag(state, lease, UPSTREAM_GET));
}

static struct message *make_rejected(struct lease *lease, struct proto_text who,
                                     const struct lease_waiter *first)
{
    const char *sha256 = (const char *)first->access_sha256;
    struct token_rejected rejected = {
        .profile = proto_text(lease->name),
        .access_sha256 = {.data = sha256, .size = sizeof(first->access_sha256)},
        .who = who};

    for (size_t i = 0; i < lease->waiter_count; i++) {
        struct lease_waiter *waiter = &lease->waiters[i];

        waiter->covered = waiter->rejected && memcmp(waiter->access_sha256, sha256,
                                                     sizeof(waiter->access_sha256)) == 0;
    }
    return actor_pack(token_rejected, &rejected);
}

static struct message *make_get(struct lease *lease, struct proto_text who)
{
    struct token_get get = {.profile = proto_text(lease->name), .who = who};

    for (size_t i = 0; i < lease->waiter_count; i++) {
        struct lease_waiter *waiter = &lease->waiters[i];

        waiter->covered = !waiter->rejected;
        lease->verdict &= waiter->covered;
        get.force |= waiter->force;
        if (waiter->min_valid_ms > get.min_valid_ms)
            get.min_valid_ms = waiter->min_valid_ms;
    }
    return actor_pack(token_get, &get);
}

void upstream_get(struct proxy_state *state, struct lease *lease, struct context *context)
{
    const struct lease_waiter *first = lease->waiter_count > 0 ? &lease->waiters[0] : NULL;
    char who[LEASE_WHO_MAX + sizeof(state->node) + 2];
    struct message *message;

    if (lease->getting)
        return;
    lease->verdict = true;
    snprintf(who, sizeof(who), "%s/%s", state->node, first != NULL ? first->who : "");
    message = first != NULL && first->rejected ? make_rejected(lease, proto_text(who), first)
                                               : make_get(lease, proto_text(who));
    lease->asked_ns = context_now_ns(context);
    lease->getting =
        proxy_request(state, context, message, upstream_tag(state, lease, UPSTREAM_GET),
                      GET_DEADLINE_MS) == 0;
    if (!lease->getting)
        upstream_retry(state, lease, context);
}

void upstream_watch(struct proxy_state *state, struct lease *lease, struct context *context)
{
    /* By its id: an old backup of the keeper's store may not know the other names. */
    const char *name = lease->profile[0] != '\0' ? lease->profile : lease->name;
    struct token_watch watch = {.profile = proto_text(name), .version = lease->version,
                                .who = proto_text(state->node),
                                .generation_seen = lease->generation_seen};

    lease->watches += proxy_request(state, context, actor_pack(token_watch, &watch),
                                    upstream_tag(state, lease, UPSTREAM_WATCH),
                                    WATCH_DEADLINE_MS) == 0;
}
