/* SPDX-License-Identifier: Apache-2.0 */
/* The swarm actor.
 *
 * Takes: swarm_status, swarm_reload, swarm_down.
 * Sends: swarm_join to the keeper, swarm_apply and swarm_down to the nodes.
 * Owns: the node processes and the accepted config.
 * Rules: (1) the operator's file is read, never written; nodes and keeper read the accepted copy;
 * (2) a node that ends is started again, with backoff; (3) a keeper that ends is started again at
 * once, for nothing else can, and looked for until our link to it is up; (4) the end of this
 * process ends the nodes, never the keeper's work.
 *
 * It is pinned, for it waits on processes and signals besides its mailbox. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "queenright/keeper/start.h"
#include "queenright/swarm/internal.h"

void swarm_event(const struct swarm_state *state, const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    state->options.on_event(state->options.arg, line);
}

void swarm_join_keeper(struct swarm_state *state, struct context *context)
{
    struct swarm_join join = {.swarm = proto_text(state->config->swarm),
                              .config = proto_text(state->accepted),
                              .pid = (uint64_t)getpid()};
    struct request_options options = {.deadline_ns = context_now_ns(context) + 30000000000ull,
                                      .tag = SWARM_TAG(TAG_JOIN, 0)};

    context_request(context, context_remote(context, "keeper", "token"),
                    actor_pack(swarm_join, &join), &options);
}

void swarm_end(struct swarm_state *state, struct context *context, uint64_t drain_ms)
{
    if (state->ending)
        return;
    state->ending = true;
    swarm_event(state, "stopping: turns in work have %llu s to finish",
                (unsigned long long)drain_ms / 1000);
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].state != CHILD_FREE)
            swarm_child_stop(state, context, &state->children[i], drain_ms);
    if (swarm_all_gone(state))
        runtime_stop(context_runtime(context));
}

static void send_keeper(struct swarm_state *state, struct context *context,
                        struct listing *listing)
{
    char endpoint[PATH_MAX] = "";
    struct swarm_process row = {.name = proto_text("keeper"),
                                .kind = proto_text("keeper"),
                                .state = proto_text(state->keeper_up ? "up" : "restarting")};

    paths_keeper_endpoint(state->options.paths, endpoint, sizeof(endpoint));
    row.endpoint = proto_text(endpoint);
    listing_row(listing, context, actor_pack(swarm_process, &row));
}

static void send_process(struct swarm_state *state, struct context *context,
                         struct listing *listing, const struct swarm_child *child)
{
    static const char *const names[] = {"free", "starting", "up", "restarting", "stopping"};
    char endpoint[PATH_MAX] = "";
    struct swarm_process row = {.name = proto_text(child->name),
                                .kind = proto_text("node"),
                                .state = proto_text(names[child->state]),
                                .pid = child->pid > 0 ? (uint64_t)child->pid : 0,
                                .restarts = child->restarts};

    paths_node_endpoint(state->options.paths, state->config->swarm, child->name, endpoint,
                        sizeof(endpoint));
    row.endpoint = proto_text(endpoint);
    listing_row(listing, context, actor_pack(swarm_process, &row));
}

static int on_swarm_status(struct swarm_state *state, struct context *context,
                           const struct swarm_status *message)
{
    struct listing *listing = listing_begin(&state->listings, context);
    char endpoint[PATH_MAX];

    (void)message;
    if (!listing)
        return 0;
    send_keeper(state, context, listing);
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].state != CHILD_FREE)
            send_process(state, context, listing, &state->children[i]);
    for (size_t i = 0; i < state->config->agent_count; i++) {
        const struct config_agent *agent = &state->config->agents[i];
        struct swarm_agent row = {.agent = proto_text(agent->id),
                                  .node = proto_text(agent->node),
                                  .models = proto_text(agent->models)};

        paths_node_endpoint(state->options.paths, state->config->swarm, agent->node, endpoint,
                            sizeof(endpoint));
        row.endpoint = proto_text(endpoint);
        listing_row(listing, context, actor_pack(swarm_agent, &row));
    }
    return listing_end(listing, context);
}

static int swarm_on_credit(void *memory, struct context *context, struct request_id request)
{
    struct swarm_state *state = memory;

    return listings_credit(&state->listings, context, request);
}

static int swarm_on_cancel(void *memory, struct context *context, struct request_id request)
{
    struct swarm_state *state = memory;

    (void)context;
    listings_cancel(&state->listings, request);
    return 0;
}

static int on_swarm_reload(struct swarm_state *state, struct context *context,
                           const struct swarm_reload *message)
{
    char path[PATH_MAX];

    if (!proto_text_copy(message->config, path, sizeof(path)))
        return actor_reply_refusal(context, "bad_request", "the path is too long", "");
    return swarm_reload_begin(state, context, path[0] ? path : state->source,
                              context_defer(context));
}

static int on_swarm_down(struct swarm_state *state, struct context *context,
                         const struct swarm_down *message)
{
    int rc = actor_reply_done(context, 0);

    swarm_end(state, context, message->drain_ms ? message->drain_ms : DRAIN_MS_DEFAULT);
    return rc;
}

static int on_done(struct swarm_state *state, struct context *context, const struct done *message)
{
    (void)message;
    if (context_tag(context) >> 32 == TAG_APPLY)
        return swarm_reload_applied(state, context, NULL);
    return 0;
}

static int on_refusal(struct swarm_state *state, struct context *context,
                      const struct refusal *message)
{
    char why[512];

    if (!proto_text_copy(message->why, why, sizeof(why)))
        snprintf(why, sizeof(why), "refused");
    switch (context_tag(context) >> 32) {
    case TAG_APPLY:
        return swarm_reload_applied(state, context, why);
    case TAG_JOIN:
        swarm_event(state, "the keeper refused this swarm: %s", why);
        break;
    }
    return 0;
}

static int swarm_on_status(void *memory, struct context *context, uint64_t tag,
                           enum runtime_status status)
{
    struct swarm_state *state = memory;

    if (tag >> 32 == TAG_APPLY)
        return swarm_reload_applied(state, context, runtime_status_name(status));
    return 0;
}

static void look_later(struct swarm_state *state, struct context *context, uint64_t pause_ns)
{
    state->keeper_pause_ns = pause_ns < KEEPER_AGAIN_NS ? pause_ns : KEEPER_AGAIN_NS;
    context_timer(context, state->keeper_pause_ns, SWARM_TAG(TAG_KEEPER, ++state->keeper_look));
}

/* One that dies before our link to it is up takes no link down with it, and one that holds the
 * store and does not listen lets no other start: so we look again until the link is there. */
static void look_for_keeper(struct swarm_state *state, struct context *context)
{
    char why[sizeof(state->keeper_why)] = "";

    if (state->ending || state->keeper_up)
        return;
    if (keeper_spawn(state->options.paths, &state->keeper_ready_fd, why, sizeof(why)) < 0 &&
        strcmp(why, state->keeper_why) != 0) {
        memcpy(state->keeper_why, why, sizeof(why));
        swarm_event(state, "keeper: %s; trying again", why);
    }
    look_later(state, context, 2 * state->keeper_pause_ns);
}

static int swarm_on_timer(void *memory, struct context *context, uint64_t tag)
{
    struct swarm_state *state = memory;
    struct swarm_child *child = &state->children[(uint32_t)tag % CHILDREN_MAX];

    switch (tag >> 32) {
    case TAG_RESTART:
        if (child->state == CHILD_WAITING && !state->ending)
            swarm_child_start(state, context, child);
        break;
    case TAG_KILL:
        if (child->state == CHILD_STOPPING && child->pid > 0)
            kill(child->pid, SIGKILL);
        break;
    case TAG_KEEPER:
        if ((uint32_t)tag == state->keeper_look)
            look_for_keeper(state, context);
        break;
    }
    return 0;
}

static struct swarm_child *find_peer(struct swarm_state *state, const char *peer)
{
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].state != CHILD_FREE && strcmp(state->children[i].peer, peer) == 0)
            return &state->children[i];
    return NULL;
}

static int swarm_on_link(void *memory, struct context *context, const char *peer, bool up)
{
    struct swarm_state *state = memory;
    struct swarm_child *child = find_peer(state, peer);

    if (strcmp(peer, "keeper") == 0) {
        state->keeper_up = up;
        state->keeper_why[0] = '\0';
        swarm_event(state, up ? "keeper: connected" : "keeper: gone");
        if (up)
            swarm_join_keeper(state, context);
        else if (!state->ending)
            look_later(state, context, KEEPER_SOON_NS);
        return 0;
    }
    if (!child || !up || child->state == CHILD_STOPPING)
        return 0;
    child->state = CHILD_UP;
    child->backoff_ms = BACKOFF_MS_FIRST;
    swarm_event(state, "node %s is up (pid %d)", child->name, (int)child->pid);
    if (!state->ready && swarm_all_up(state)) {
        state->ready = true;
        state->options.on_ready(state->options.arg);
    }
    return 0;
}

static int swarm_start(void *memory, struct context *context, const void *argument)
{
    const struct swarm_options *options = argument;
    struct swarm_state *state = memory;
    int rc;

    state->options = *options;
    state->config = options->config;
    state->keeper_ready_fd = -1;
    snprintf(state->source, sizeof(state->source), "%s", options->source);
    state->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (state->wake_fd < 0)
        return -errno;
    rc = paths_accepted(options->paths, state->config->swarm, state->accepted,
                        sizeof(state->accepted));
    if (rc < 0)
        return rc;
    context_watch_links(context);
    look_later(state, context, KEEPER_AGAIN_NS);
    for (size_t i = 0; i < state->config->node_count && rc == 0; i++)
        rc = swarm_child_add(state, context, state->config->nodes[i].name);
    return rc;
}

static void swarm_stop(void *memory, struct context *context)
{
    struct swarm_state *state = memory;

    (void)context;
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].pid > 0)
            kill(state->children[i].pid, SIGTERM);
    config_changes_deinit(&state->reload.changes);
    listings_deinit(&state->listings);
    config_free(state->config);
    if (state->keeper_ready_fd >= 0)
        close(state->keeper_ready_fd);
    if (state->wake_fd >= 0)
        close(state->wake_fd);
}

ACTOR_HANDLER(swarm_status)
ACTOR_HANDLER(swarm_reload)
ACTOR_HANDLER(swarm_down)
ACTOR_HANDLER(done)
ACTOR_HANDLER(refusal)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(swarm_status, FROM_ANYONE),
    ACTOR_ROW(swarm_reload, FROM_LOCAL | FROM_CLIENT),
    ACTOR_ROW(swarm_down, FROM_LOCAL | FROM_CLIENT),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops swarm_actor_ops = {
    .name = "swarm",
    .state_size = sizeof(struct swarm_state),
    .decode = proto_unpack,
    .handlers = handlers,
    .start = swarm_start,
    .stop = swarm_stop,
    .on_status = swarm_on_status,
    .on_timer = swarm_on_timer,
    .on_link = swarm_on_link,
    .on_credit = swarm_on_credit,
    .on_cancel = swarm_on_cancel,
    .wait = swarm_wait,
    .wake = swarm_wake,
};
