/* SPDX-License-Identifier: Apache-2.0 */
/* The control actor: the door for those who look.
 *
 * Takes: control_ls, control_show, control_drops, control_links, control_tap, control_info.
 * Sends: nothing on its own.
 * Owns: at most one tap.
 * Rules: (1) every list goes at its asker's pace and is bounded; (2) nothing it shows needs the
 * looked-at actor's help; (3) what looking itself causes is not shown to taps. */
#include "control_internal.h"

#include <stdio.h>
#include <unistd.h>

#include "runtime/introspect.h"

static int on_control_ls(struct control_state *state, struct context *context,
                         const struct control_ls *message)
{
    return control_list_actors(state, context, message);
}

static int on_control_drops(struct control_state *state, struct context *context,
                            const struct control_drops *message)
{
    return control_list_drops(state, context, message);
}

static int on_control_links(struct control_state *state, struct context *context,
                            const struct control_links *message)
{
    return control_list_links(state, context, message);
}

static int on_control_show(struct control_state *state, struct context *context,
                           const struct control_show *message)
{
    return control_show_actor(state, context, message);
}

static int on_control_tap(struct control_state *state, struct context *context,
                          const struct control_tap *message)
{
    return control_tap_start(state, context, message);
}

static int on_control_info(struct control_state *state, struct context *context,
                           const struct control_info *message)
{
    struct runtime *runtime = context_runtime(context);
    struct control_process row = {
        .name = proto_text(runtime_name(runtime)),
        .kind = proto_text(state->kind),
        .version = proto_text(state->version),
        .pid = (uint64_t)getpid(),
        .started_ms = state->started_ms,
        .config = proto_text(state->config),
    };
    struct actor_info actors[16];
    struct drop_info drops[16];
    uint64_t cursor = 0;
    size_t n;

    (void)message;
    while ((n = introspect_actors(runtime, &cursor, actors, 16)) > 0)
        row.actors += n;
    for (cursor = 0; (n = introspect_drops(runtime, &cursor, drops, 16)) > 0;)
        for (size_t i = 0; i < n; i++)
            row.drops += drops[i].count;
    return context_reply(context, actor_pack(control_process, &row));
}

ACTOR_HANDLER(control_ls)
ACTOR_HANDLER(control_show)
ACTOR_HANDLER(control_drops)
ACTOR_HANDLER(control_links)
ACTOR_HANDLER(control_tap)
ACTOR_HANDLER(control_info)

static int handle_tap_event(void *state, struct context *context, const void *message)
{
    (void)message;
    return control_tap_event(state, context);
}

static const struct actor_handler handlers[] = {
    ACTOR_ROW(control_ls, FROM_ANYONE),
    ACTOR_ROW(control_show, FROM_ANYONE),
    ACTOR_ROW(control_drops, FROM_ANYONE),
    ACTOR_ROW(control_links, FROM_ANYONE),
    ACTOR_ROW(control_tap, FROM_ANYONE),
    ACTOR_ROW(control_info, FROM_ANYONE),
    {INTROSPECT_TAP_TYPE, FROM_LOCAL, "tap_event", NULL, handle_tap_event},
    ACTOR_ROW_END,
};

static int control_start(void *memory, struct context *context, const void *argument)
{
    const struct control_config *config = argument;
    struct control_state *state = memory;

    snprintf(state->kind, sizeof(state->kind), "%s", config->kind);
    snprintf(state->version, sizeof(state->version), "%s", config->version);
    snprintf(state->config, sizeof(state->config), "%s", config->config);
    state->started_ms = context_wall_ms(context);
    return 0;
}

static int control_on_credit(void *memory, struct context *context, struct request_id request)
{
    struct control_state *state = memory;

    return listings_credit(&state->listings, context, request);
}

static void control_stop(void *memory, struct context *context)
{
    struct control_state *state = memory;

    (void)context;
    listings_deinit(&state->listings);
}

static int control_on_cancel(void *memory, struct context *context, struct request_id request)
{
    struct control_state *state = memory;

    listings_cancel(&state->listings, request);
    return control_tap_cancel(state, context, request);
}

const struct actor_ops control_actor_ops = {
    .name = "control",
    .state_size = sizeof(struct control_state),
    .decode = proto_unpack,
    .handlers = handlers,
    .start = control_start,
    .stop = control_stop,
    .on_credit = control_on_credit,
    .on_cancel = control_on_cancel,
};
