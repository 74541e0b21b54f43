/* SPDX-License-Identifier: Apache-2.0 */
/* A reload: check the file, say what differs, and let the nodes make it so in two steps - first
 * every node stops what no longer belongs to it, then every node starts and changes the rest - so
 * that an agent that moves never exists twice. A bad file changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queenright/config/accept.h"
#include "queenright/swarm/internal.h"

static void reload_finish(struct swarm_state *state, struct context *context)
{
    struct swarm_reload_state *reload = &state->reload;
    uint64_t count = reload->changes.count;
    struct message *answer;

    if (reload->failed)
        answer = actor_refusal("internal", reload->why, "queenright status shows where it stands",
                               0, 0);
    else
        answer = actor_pack(done, &((struct done){.count = count}));
    if (reload->request.n)
        context_answer(context, reload->request, answer);
    else
        message_free(answer);
    config_changes_deinit(&reload->changes);
    *reload = (struct swarm_reload_state){0};
    swarm_event(state, "reloaded: %llu change%s", (unsigned long long)count,
                count == 1 ? "" : "s");
}

static void send_step(struct swarm_state *state, struct context *context)
{
    struct swarm_reload_state *reload = &state->reload;
    struct swarm_apply apply = {.config = proto_text(state->accepted), .step = reload->step};

    reload->waiting = 0;
    for (int i = 0; i < CHILDREN_MAX; i++) {
        struct swarm_child *child = &state->children[i];
        struct request_options options = {
            .deadline_ns = context_now_ns(context) + 30000000000ull,
            .tag = SWARM_TAG(TAG_APPLY, i),
        };

        if (child->state != CHILD_UP || child->remove)
            continue;
        reload->waiting++;
        context_request(context, context_remote(context, child->peer, "node"),
                        actor_pack(swarm_apply, &apply), &options);
    }
}

static bool changes_need_restart(const struct config_changes *changes, const char *node)
{
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].kind == CHANGE_SUPERVISION ||
            (changes->items[i].kind == CHANGE_NODE && strcmp(changes->items[i].subject, node) == 0))
            return true;
    return false;
}

/* Between the steps: processes of nodes that left end, those of new ones start. */
static void change_nodes(struct swarm_state *state, struct context *context)
{
    for (int i = 0; i < CHILDREN_MAX; i++) {
        struct swarm_child *child = &state->children[i];

        if (child->state == CHILD_FREE)
            continue;
        if (!config_node(state->config, child->name)) {
            child->remove = true;
            swarm_child_stop(state, context, child, DRAIN_MS_DEFAULT);
        } else if (changes_need_restart(&state->reload.changes, child->name) && child->pid > 0) {
            swarm_child_stop(state, context, child, DRAIN_MS_DEFAULT);
            child->state = CHILD_STARTING; /* ends by itself, and is started again */
        }
    }
    for (size_t i = 0; i < state->config->node_count; i++)
        if (!swarm_child_find(state, state->config->nodes[i].name))
            swarm_child_add(state, context, state->config->nodes[i].name);
}

static void next_step(struct swarm_state *state, struct context *context)
{
    struct swarm_reload_state *reload = &state->reload;

    while (reload->waiting == 0 && reload->step < 2) {
        reload->step++;
        if (reload->step == 2)
            change_nodes(state, context);
        send_step(state, context);
    }
    if (reload->waiting == 0)
        reload_finish(state, context);
}

int swarm_reload_applied(struct swarm_state *state, struct context *context, const char *why)
{
    struct swarm_reload_state *reload = &state->reload;

    if (reload->step == 0 || reload->waiting == 0)
        return 0;
    if (why && !reload->failed) {
        reload->failed = true;
        snprintf(reload->why, sizeof(reload->why), "%s", why);
    }
    reload->waiting--;
    if (reload->waiting == 0)
        next_step(state, context);
    return 0;
}

static int refuse(struct context *context, struct request_id request, const char *code,
                  const char *why, const char *remedy)
{
    struct message *answer = actor_refusal(code, why, remedy, 0, 0);

    if (request.n)
        return context_answer(context, request, answer);
    message_free(answer);
    return 0;
}

/* Loads and compares. 0 when there is something to do and it may be done; else it is answered. */
static int load_next(struct swarm_state *state, struct context *context, const char *path,
                     struct request_id request)
{
    struct swarm_reload_state *reload = &state->reload;
    struct config_errors errors;
    int rc = config_load(path, &reload->next, &errors);

    if (rc < 0) {
        char *text = config_errors_text(&errors);

        swarm_event(state, "reload refused: %s", text ? text : strerror(-rc));
        refuse(context, request, "bad_config", text ? text : strerror(-rc),
               "mend the file and reload again; the swarm runs on as before");
        free(text);
        config_errors_deinit(&errors);
        return rc;
    }
    config_errors_deinit(&errors);
    if (strcmp(reload->next->swarm, state->config->swarm) != 0) {
        refuse(context, request, "bad_config", "the file names another swarm",
               "queenright down, then up with the new file");
        rc = -EINVAL;
    } else {
        rc = config_diff(state->config, reload->next, &reload->changes);
    }
    if (rc == 0)
        rc = accept_config(reload->next, state->accepted);
    if (rc < 0)
        config_free(reload->next);
    return rc;
}

static void tell_changes(struct swarm_state *state, struct context *context)
{
    const struct config_changes *changes = &state->reload.changes;

    for (size_t i = 0; i < changes->count; i++) {
        struct control_fact fact = {.section = proto_text("change"),
                                    .name = proto_text(changes->items[i].subject),
                                    .text = proto_text(changes->items[i].text)};
        struct message *part = actor_pack(control_fact, &fact);

        swarm_event(state, "reload: %s", changes->items[i].text);
        if (state->reload.request.n == 0 ||
            context_part(context, state->reload.request, part) == -EAGAIN)
            message_free(part);
    }
}

int swarm_reload_begin(struct swarm_state *state, struct context *context, const char *path,
                       struct request_id request)
{
    if (state->reload.step != 0 || state->ending)
        return refuse(context, request, "busy", "another reload or the end is in work",
                      "try again in a moment");
    if (path[0] == '\0')
        return refuse(context, request, "bad_request", "the practice swarm has no file",
                      "start a swarm from a file: queenright up FILE");
    if (load_next(state, context, path, request) < 0)
        return 0;
    config_free(state->config);
    state->config = state->reload.next;
    state->reload.next = NULL;
    state->reload.request = request;
    tell_changes(state, context);
    if (state->reload.changes.count > 0)
        swarm_join_keeper(state, context);
    else
        state->reload.step = 2;
    next_step(state, context);
    return 0;
}
