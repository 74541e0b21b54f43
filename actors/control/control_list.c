/* SPDX-License-Identifier: Apache-2.0 */
/* Lists: actors, drops, links. Filtered at the source; each row is one part of a stream. */
#include "control_internal.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>

#include "runtime/introspect.h"

#define ROWS_AT_ONCE 16

const char *control_type_name(uint32_t type, char *ret_text)
{
    const struct proto_schema *schema = proto_find(type);

    if (schema)
        return schema->name;
    snprintf(ret_text, 16, "0x%x", type);
    return ret_text;
}

static bool matches(const char *pattern, const struct actor_info *info)
{
    return pattern[0] == '\0' || fnmatch(pattern, info->name, 0) == 0 ||
           fnmatch(pattern, info->kind, 0) == 0;
}

static struct message *pack_actor(struct context *context, const struct actor_info *info)
{
    struct control_actor row = {
        .name = proto_text(info->name),
        .kind = proto_text(info->kind),
        .state = proto_text(info->state),
        .queued = info->queued,
        .limit = info->queue_limit,
        .oldest_ms = info->oldest_ns / 1000000,
        .handled = info->handled,
        .busy_us = info->busy_ns / 1000,
        .open_in = info->open_in,
        .open_out = info->open_out,
        .restarts = info->restarts,
        .supervisor = proto_text(info->supervisor),
        .incarnation = info->id.n,
        .node = proto_text(runtime_name(context_runtime(context))),
    };

    return actor_pack(control_actor, &row);
}

int control_list_actors(struct control_state *state, struct context *context,
                        const struct control_ls *message)
{
    struct actor_info rows[ROWS_AT_ONCE];
    struct listing *listing;
    char pattern[128];
    uint64_t cursor = 0;
    size_t n;

    if (!proto_text_copy(message->pattern, pattern, sizeof(pattern)))
        return actor_reply_refusal(context, "bad_request", "the pattern is too long", "");
    listing = listing_begin(&state->listings, context);
    if (!listing)
        return 0;
    while ((n = introspect_actors(context_runtime(context), &cursor, rows, ROWS_AT_ONCE)) > 0)
        for (size_t i = 0; i < n; i++)
            if (matches(pattern, &rows[i]))
                listing_row(listing, context, pack_actor(context, &rows[i]));
    return listing_end(listing, context);
}

int control_list_drops(struct control_state *state, struct context *context,
                       const struct control_drops *message)
{
    struct listing *listing = listing_begin(&state->listings, context);
    struct drop_info rows[ROWS_AT_ONCE];
    uint64_t cursor = 0;
    char type[16];
    size_t n;

    if (!listing)
        return 0;
    while ((n = introspect_drops(context_runtime(context), &cursor, rows, ROWS_AT_ONCE)) > 0)
        for (size_t i = 0; i < n; i++) {
            const struct drop_info *drop = &rows[i];
            const char *reason = runtime_status_name(drop->reason);
            struct control_drop row = {
                .reason = proto_text(reason),
                .type = proto_text(control_type_name(drop->type, type)),
                .from = proto_text(drop->from),
                .to = proto_text(drop->to),
                .count = drop->count,
                .last_age_ms = drop->last_age_ns / 1000000,
                .node = proto_text(runtime_name(context_runtime(context))),
            };

            if (message->reason.size > 0 && !proto_text_equal(message->reason, reason))
                continue;
            listing_row(listing, context, actor_pack(control_drop, &row));
        }
    return listing_end(listing, context);
}

int control_list_links(struct control_state *state, struct context *context,
                       const struct control_links *message)
{
    struct listing *listing = listing_begin(&state->listings, context);
    struct link_info rows[ROWS_AT_ONCE];
    uint64_t cursor = 0;
    size_t n;

    if (!listing)
        return 0;
    while ((n = introspect_links(context_runtime(context), &cursor, rows, ROWS_AT_ONCE)) > 0)
        for (size_t i = 0; i < n; i++) {
            const struct link_info *link = &rows[i];
            struct control_link row = {
                .peer = proto_text(link->peer),
                .kind = proto_text(link->kind),
                .state = proto_text(link->state),
                .endpoint = proto_text(link->endpoint),
                .queued = link->queued,
                .messages_in = link->messages_in,
                .messages_out = link->messages_out,
                .gaps = link->gaps,
                .drops = link->drops,
                .reconnects = link->reconnects,
                .rtt_us = link->rtt_ns / 1000,
                .pid = link->pid > 0 ? (uint64_t)link->pid : 0,
                .node = proto_text(runtime_name(context_runtime(context))),
            };

            if (message->peer.size > 0 && !proto_text_equal(message->peer, link->peer))
                continue;
            listing_row(listing, context, actor_pack(control_link, &row));
        }
    return listing_end(listing, context);
}
