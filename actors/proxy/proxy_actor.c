/* SPDX-License-Identifier: Apache-2.0 */
/* The token proxy.
 *
 * Takes:  token_get, answered from the lease where that will do; token_rejected, answered with what
 *         the keeper says to it; quota_hit, token_status, passed on to the keeper, who answers.
 * Sends:  to the keeper: what upstream.h says; swarm_join when the keeper is met.
 * Owns:   the leases.
 * Rules:  a grant of an older generation than one seen here is never handed on; so that all are
 *         seen, every token reaches its asker through the lease, and what was seen under one name
 *         of a profile counts under all. A keeper that is met is told first what was seen, of idle
 *         profiles too, and asked for tokens then: its store may be an old backup, which must not
 *         be spent. While the keeper is away what is still valid is served, and who needs more
 *         waits a while for its return. A profile that nobody asked for since the last push is not
 *         watched, so that an idle one is not refreshed for nothing. */
#include "proxy/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "proto/system.h"
#include "upstream.h"

#define RENEW_EVERY_MS 5000u /* past its renewal time a lease asks upstream at most this often */

/* ---- joining -------------------------------------------------------------------------------- */

static void join_later(struct proxy_state *state, struct context *context)
{
    state->join_timer = context_timer(context, state->retry_ms * 4 * MS_NS, TAG_JOIN);
}

/* Also while one over the link before has not come to its end. */
static void join(struct proxy_state *state, struct context *context)
{
    struct swarm_join join = {.swarm = proto_text(state->swarm),
                              .config = proto_text(state->config),
                              .pid = state->pid};

    if (state->swarm[0] == '\0')
        return;
    context_timer_cancel(context, state->join_timer);
    if (proxy_request(state, context, actor_pack(swarm_join, &join), TAG_JOIN,
                      GET_DEADLINE_MS) == 0)
        state->joins++;
    else
        join_later(state, context);
}

/* Of several the last one counts: it is over the link that is up. */
static void join_ended(struct proxy_state *state, struct context *context, bool joined)
{
    if (--state->joins == 0 && !joined)
        join_later(state, context);
}

/* ---- leases --------------------------------------------------------------------------------- */

static struct lease *find_lease(struct proxy_state *state, const char *name)
{
    struct lease *lease;

    for (size_t i = 0; i < state->lease_count; i++)
        if (strcmp(state->leases[i]->name, name) == 0)
            return state->leases[i];
    if (state->lease_count == LEASES_MAX)
        return NULL;
    lease = calloc(1, sizeof(*lease));
    if (lease == NULL)
        return NULL;
    snprintf(lease->name, sizeof(lease->name), "%s", name);
    state->leases[state->lease_count++] = lease;
    return lease;
}

static struct message *cooling_refusal(const struct lease *lease, struct context *context)
{
    uint64_t left_ms = (lease->cooling_ns - context_now_ns(context)) / MS_NS + 1;
    char why[LEASE_NAME_MAX + 64];

    snprintf(why, sizeof(why), "%s: the account's quota is used up", lease->name);
    return actor_refusal("cooling", why, "", left_ms,
                         context_wall_ms(context) + (int64_t)left_ms);
}

/* Answers who can be answered from the lease. */
static void serve(struct lease *lease, struct context *context)
{
    uint64_t now = context_now_ns(context);
    size_t kept = 0;

    for (size_t i = 0; i < lease->waiter_count; i++) {
        struct lease_waiter *waiter = &lease->waiters[i];

        if (lease_cools(lease, now))
            context_answer(context, waiter->request, cooling_refusal(lease, context));
        else if (lease_satisfies(lease, waiter, now))
            context_answer(context, waiter->request, lease_message(lease));
        else
            lease->waiters[kept++] = *waiter;
    }
    lease->waiter_count = kept;
}

/* Ends the waiters that the request upstream covered. */
static void finish(struct lease *lease, struct context *context,
                   struct message *(*make)(const struct lease *lease, const void *arg),
                   const void *arg)
{
    size_t kept = 0;

    for (size_t i = 0; i < lease->waiter_count; i++) {
        struct lease_waiter *waiter = &lease->waiters[i];

        if (waiter->covered)
            context_answer(context, waiter->request, make(lease, arg));
        else
            lease->waiters[kept++] = *waiter;
    }
    lease->waiter_count = kept;
}

static struct message *make_grant(const struct lease *lease, const void *arg)
{
    (void)arg;
    return lease_message(lease);
}

static void watch(struct proxy_state *state, struct lease *lease, struct context *context)
{
    if (lease->watches == 0)
        upstream_watch(state, lease, context);
}

/* Does for the lease what its facts call for. */
static void settle(struct proxy_state *state, struct lease *lease, struct context *context)
{
    uint64_t now = context_now_ns(context);

    serve(lease, context);
    if (lease->away_ns != 0)
        return;
    if (lease->used && lease->generation_seen != 0)
        watch(state, lease, context);
    if (lease->waiter_count > 0 ||
        (lease->used && lease->renew_ns != 0 && lease->renew_ns < now &&
         now - lease->asked_ns > RENEW_EVERY_MS * MS_NS))
        upstream_get(state, lease, context);
}

/* Says to a keeper that is met what was seen, whether or not a watch over the link before has come
 * to its end. One that is idle is told so by a watch that is answered at once, and so keeps nothing
 * in use. */
static void tell_seen(struct proxy_state *state, struct lease *lease, struct context *context)
{
    lease->away_ns = 0;
    if (lease->generation_seen == 0)
        return;
    if (!lease->used)
        lease->version = 0;
    upstream_watch(state, lease, context);
}

/* What was seen under one name of a profile was seen under all. */
static void share_seen(struct proxy_state *state, const char *profile)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < state->lease_count; i++)
        if (strcmp(state->leases[i]->profile, profile) == 0 &&
            state->leases[i]->generation_seen > seen)
            seen = state->leases[i]->generation_seen;
    for (size_t i = 0; i < state->lease_count; i++)
        if (strcmp(state->leases[i]->profile, profile) == 0)
            state->leases[i]->generation_seen = seen;
}

static bool take_grant(struct proxy_state *state, struct lease *lease, struct context *context,
                       const struct token_grant *grant)
{
    const struct message *message = context_message(context);
    bool taken;

    if (!proto_text_copy(grant->profile, lease->profile, sizeof(lease->profile)))
        return false;
    share_seen(state, lease->profile);
    taken = lease_put(lease, grant, message->body, message->size, context_now_ns(context),
                      context_wall_ms(context));
    share_seen(state, lease->profile);
    return taken;
}

/* ---- requests ------------------------------------------------------------------------------- */

static void copy_who(struct proto_text text, char ret_who[LEASE_WHO_MAX])
{
    size_t size = text.size < LEASE_WHO_MAX - 1 ? text.size : LEASE_WHO_MAX - 1;

    /* Not in the middle of a character: the keeper takes no broken text. */
    while (size < text.size && ((unsigned char)text.data[size] & 0xc0) == 0x80)
        size--;
    if (size != 0)
        memcpy(ret_who, text.data, size);
    ret_who[size] = '\0';
}

/* Waits for a grant; the rest of `waiter` says for which one. */
static int wait_for_grant(struct proxy_state *state, struct context *context,
                          struct proto_text profile, struct proto_text who,
                          struct lease_waiter waiter)
{
    char name[LEASE_NAME_MAX];
    struct lease *lease;

    if (!proto_text_copy(profile, name, sizeof(name)) || name[0] == '\0')
        return actor_reply_refusal(context, "unknown_profile", "no profile has such a name",
                                   "run `queenright auth list`");
    lease = find_lease(state, name);
    if (lease == NULL) /* as many as can be kept: the keeper can still be asked */
        return context_forward(context, proxy_keeper(state, context));
    if (waiter.rejected) {
        lease->stale = true; /* until the keeper has said which one is good */
        lease->verdict = false;
    }
    lease->used = true;
    copy_who(who, waiter.who);
    waiter.generation = lease->generation;
    waiter.since_ns = context_now_ns(context);
    waiter.request = context_defer(context);
    if (!lease_wait(lease, &waiter))
        context_answer(context, waiter.request,
                       actor_refusal("busy", "too many requests wait for this token", "", 500, 0));
    settle(state, lease, context);
    return 0;
}

static int on_token_get(struct proxy_state *state, struct context *context,
                        const struct token_get *message)
{
    return wait_for_grant(state, context, message->profile, message->who,
                          (struct lease_waiter){.min_valid_ms = message->min_valid_ms,
                                                .force = message->force});
}

static int on_token_rejected(struct proxy_state *state, struct context *context,
                             const struct token_rejected *message)
{
    struct lease_waiter waiter = {.rejected = true};

    if (message->access_sha256.size != sizeof(waiter.access_sha256))
        return actor_reply_refusal(context, "bad_request", "a SHA-256 has 32 bytes", "");
    memcpy(waiter.access_sha256, message->access_sha256.data, sizeof(waiter.access_sha256));
    return wait_for_grant(state, context, message->profile, message->who, waiter);
}

static int on_quota_hit(struct proxy_state *state, struct context *context,
                        const struct quota_hit *message)
{
    (void)message;
    return context_forward(context, proxy_keeper(state, context));
}

static int on_token_status(struct proxy_state *state, struct context *context,
                           const struct token_status *message)
{
    (void)message;
    return context_forward(context, proxy_keeper(state, context));
}

/* ---- answers -------------------------------------------------------------------------------- */

static struct message *make_older(const struct lease *lease, const void *arg)
{
    char why[LEASE_NAME_MAX + 96];

    (void)arg;
    snprintf(why, sizeof(why), "%s: the keeper's store is older than what was seen here",
             lease->name);
    return actor_refusal("copied_store", why, "run `queenright auth adopt`, or log in again", 0,
                         0);
}

static void on_got(struct proxy_state *state, struct lease *lease, struct context *context,
                   bool taken)
{
    lease->getting = false;
    lease->stale &= !(taken && lease->verdict);
    if (taken)
        finish(lease, context, make_grant, NULL);
    else
        finish(lease, context, make_older, NULL);
    settle(state, lease, context);
    if (!taken) /* the keeper learns from the watch what was seen here */
        watch(state, lease, context);
}

static int on_token_grant(struct proxy_state *state, struct context *context,
                          const struct token_grant *grant)
{
    uint64_t tag = context_tag(context);
    struct lease *lease = state->leases[tag >> 1];
    bool taken = take_grant(state, lease, context, grant);

    lease->away_ns = 0;
    if ((tag & 1) == UPSTREAM_GET) {
        on_got(state, lease, context, taken);
        return 0;
    }
    lease->watches--;
    lease->used = lease->waiter_count > 0;
    lease->version = grant->version; /* seen, though not taken: or it would come at once */
    settle(state, lease, context);
    return 0;
}

static struct message *make_refusal(const struct lease *lease, const void *arg)
{
    const struct message *message = arg;
    struct message *copy = message_new(MSG_refusal, message->size);

    (void)lease;
    if (copy != NULL)
        memcpy(copy->body, message->body, message->size);
    return copy;
}

static int on_done(struct proxy_state *state, struct context *context, const struct done *done)
{
    (void)done;
    join_ended(state, context, true);
    return 0;
}

/* ---- an absent keeper ----------------------------------------------------------------------- */

static struct message *make_away(const struct lease *lease, const void *arg)
{
    const enum runtime_status *status = arg;

    (void)lease;
    return actor_refusal_of_status(*status, "the keeper");
}

/* Who waits longer than our patience is told; what still lives is better than nothing. The end of
 * being away is timed even when nobody waits, for who asks next would wait for it. */
static void keeper_away(struct proxy_state *state, struct lease *lease, struct context *context,
                        struct message *(*make)(const struct lease *lease, const void *arg),
                        const void *arg)
{
    uint64_t now = context_now_ns(context);

    lease->away_ns = now;
    for (size_t i = 0; i < lease->waiter_count; i++)
        lease->waiters[i].covered =
            now - lease->waiters[i].since_ns >= state->patience_ms * MS_NS;
    if (lease_serves(lease, 0, now))
        for (size_t i = 0; i < lease->waiter_count; i++)
            lease->waiters[i].min_valid_ms = 0;
    serve(lease, context);
    finish(lease, context, make, arg);
    upstream_retry(state, lease, context);
}

/* One that is stopping is as good as gone: its successor is waited for. */
static int on_refusal(struct proxy_state *state, struct context *context,
                      const struct refusal *refusal)
{
    uint64_t tag = context_tag(context);
    struct lease *lease;

    if (tag == TAG_JOIN) {
        join_ended(state, context, false);
        return 0;
    }
    lease = state->leases[tag >> 1];
    if ((tag & 1) == UPSTREAM_WATCH) {
        lease->away_ns = 0;
        lease->watches--;
        lease->used = false;
        return 0;
    }
    lease->getting = false;
    if (proto_text_equal(refusal->code, "stopping")) {
        keeper_away(state, lease, context, make_refusal, context_message(context));
        return 0;
    }
    lease->away_ns = 0;
    finish(lease, context, make_refusal, context_message(context));
    settle(state, lease, context);
    return 0;
}

static int proxy_on_status(void *state_, struct context *context, uint64_t tag,
                           enum runtime_status status)
{
    struct proxy_state *state = state_;
    struct lease *lease;

    if (tag == TAG_JOIN) {
        join_ended(state, context, false);
        return 0;
    }
    lease = state->leases[tag >> 1];
    if ((tag & 1) == UPSTREAM_WATCH) {
        lease->watches--;
        if (status != STATUS_EXPIRED)
            return 0; /* the next use, or the link coming back, watches again */
        settle(state, lease, context);
        return 0;
    }
    lease->getting = false;
    if (status == STATUS_EXPIRED)
        settle(state, lease, context);
    else
        keeper_away(state, lease, context, make_away, &status);
    return 0;
}

static int proxy_on_timer(void *state_, struct context *context, uint64_t tag)
{
    struct proxy_state *state = state_;
    struct lease *lease;

    if (tag == TAG_JOIN) {
        state->join_timer = (struct timer_id){0};
        join(state, context);
        return 0;
    }
    lease = state->leases[tag >> 1];
    lease->timing = false;
    lease->away_ns = 0; /* who asks, now or later, finds out */
    settle(state, lease, context);
    return 0;
}

static int proxy_on_link(void *state_, struct context *context, const char *peer, bool up)
{
    struct proxy_state *state = state_;

    if (strcmp(peer, state->peer) != 0 || !up)
        return 0;
    join(state, context);
    for (size_t i = 0; i < state->lease_count; i++)
        tell_seen(state, state->leases[i], context);
    for (size_t i = 0; i < state->lease_count; i++)
        settle(state, state->leases[i], context);
    return 0;
}

static int proxy_on_cancel(void *state_, struct context *context, struct request_id request_)
{
    struct proxy_state *state = state_;

    (void)context;
    for (size_t i = 0; i < state->lease_count; i++)
        if (lease_cancel(state->leases[i], request_))
            break;
    return 0;
}

/* ---- start and stop ------------------------------------------------------------------------- */

static int proxy_start(void *state_, struct context *context, const void *config_)
{
    struct proxy_state *state = state_;
    const struct proxy_config *config = config_;

    snprintf(state->peer, sizeof(state->peer), "%s", config->peer != NULL ? config->peer : "");
    snprintf(state->actor, sizeof(state->actor), "%s",
             config->actor != NULL ? config->actor : "token");
    snprintf(state->swarm, sizeof(state->swarm), "%s", config->swarm != NULL ? config->swarm : "");
    snprintf(state->config, sizeof(state->config), "%s",
             config->config != NULL ? config->config : "");
    snprintf(state->node, sizeof(state->node), "%s", runtime_name(context_runtime(context)));
    state->pid = config->pid;
    state->patience_ms = config->patience_ms != 0 ? config->patience_ms : 10000;
    state->retry_ms = config->retry_ms != 0 ? config->retry_ms : 250;
    context_watch_links(context); /* says of one that is up, too */
    if (state->peer[0] == '\0')
        join(state, context);
    return 0;
}

static void proxy_stop(void *state_, struct context *context)
{
    struct proxy_state *state = state_;

    (void)context;
    for (size_t i = 0; i < state->lease_count; i++) {
        lease_deinit(state->leases[i]);
        free(state->leases[i]);
    }
}

static size_t proxy_describe(const void *state_, char *ret_text, size_t size)
{
    const struct proxy_state *state = state_;
    size_t waiters = 0, away = 0;

    for (size_t i = 0; i < state->lease_count; i++) {
        waiters += state->leases[i]->waiter_count;
        away += state->leases[i]->away_ns != 0;
    }
    return (size_t)snprintf(ret_text, size, "%zu leases, %zu waiters, keeper %s",
                            state->lease_count, waiters, away != 0 ? "away" : "met");
}

ACTOR_HANDLER(token_get)
ACTOR_HANDLER(token_rejected)
ACTOR_HANDLER(quota_hit)
ACTOR_HANDLER(token_status)
ACTOR_HANDLER(token_grant)
ACTOR_HANDLER(refusal)
ACTOR_HANDLER(done)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(token_get, FROM_LOCAL | FROM_CLIENT | FROM_NODE),
    ACTOR_ROW(token_rejected, FROM_LOCAL | FROM_CLIENT | FROM_NODE),
    ACTOR_ROW(quota_hit, FROM_LOCAL | FROM_CLIENT | FROM_NODE),
    ACTOR_ROW(token_status, FROM_LOCAL | FROM_CLIENT | FROM_NODE),
    ACTOR_ROW(token_grant, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops proxy_ops = {
    .name = "proxy",
    .state_size = sizeof(struct proxy_state),
    .mailbox_limit = 2 * LEASE_WAITERS_MAX,
    .decode = proto_unpack,
    .handlers = handlers,
    .start = proxy_start,
    .stop = proxy_stop,
    .on_status = proxy_on_status,
    .on_timer = proxy_on_timer,
    .on_cancel = proxy_on_cancel,
    .on_link = proxy_on_link,
    .describe = proxy_describe,
};
