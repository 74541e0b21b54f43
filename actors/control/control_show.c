/* SPDX-License-Identifier: Apache-2.0 */
/* One actor in depth, as facts: what it is, its mailbox, counters by message, open requests, the
 * last headers it received, and one line that it says of its own state. Nothing here needs the
 * actor to run: a stuck one shows as well as an idle one. */
#include "control_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/introspect.h"

struct facts {
    struct context *context;
    struct listing *listing;
};

static void fact(struct facts *facts, const char *section, const char *name, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void fact(struct facts *facts, const char *section, const char *name, const char *format,
                 ...)
{
    struct control_fact row = {.section = proto_text(section), .name = proto_text(name)};
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    row.text = proto_text(text);
    listing_row(facts->listing, facts->context, actor_pack(control_fact, &row));
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static void show_basics(struct facts *facts, const struct actor_info *info, const char *describe)
{
    fact(facts, "actor", "name", "%s", info->name);
    fact(facts, "actor", "kind", "%s%s", info->kind, info->pinned ? " (pinned)" : "");
    fact(facts, "actor", "node", "%s", runtime_name(context_runtime(facts->context)));
    fact(facts, "actor", "address", "%llx", (unsigned long long)info->id.n);
    if (info->supervisor[0])
        fact(facts, "actor", "supervisor", "%s, %u restarts", info->supervisor, info->restarts);
    if (info->running_ns > 0)
        fact(facts, "actor", "state", "running %s for %.1f ms", info->running,
             ms(info->running_ns));
    else
        fact(facts, "actor", "state", "%s", info->state);
    if (describe[0])
        fact(facts, "actor", "says", "%s", describe);
    if (info->last_error)
        fact(facts, "actor", "last error", "%s", strerrorname_np(-info->last_error));
    fact(facts, "mailbox", "queued", "%u of %u, at most %u so far", info->queued,
         info->queue_limit, info->queue_high);
    if (info->oldest_ns > 0)
        fact(facts, "mailbox", "oldest", "%.1f ms", ms(info->oldest_ns));
    fact(facts, "mailbox", "handled", "%llu in %.1f ms", (unsigned long long)info->handled,
         ms(info->busy_ns));
}

static void show_counters(struct facts *facts, const struct actor_info *info)
{
    struct counter_info rows[16];
    uint64_t cursor = 0;
    size_t n;

    while ((n = introspect_counters(context_runtime(facts->context), info->id, &cursor, rows,
                                    16)) > 0)
        for (size_t i = 0; i < n; i++)
            fact(facts, "messages", rows[i].name, "%llu, %.2f ms",
                 (unsigned long long)rows[i].count, ms(rows[i].busy_ns));
}

static void show_open(struct facts *facts, const struct actor_info *info)
{
    struct open_info rows[16];
    uint64_t cursor = 0;
    char type[16];
    size_t n;

    while ((n = introspect_open(context_runtime(facts->context), info->id, &cursor, rows, 16)) > 0)
        for (size_t i = 0; i < n; i++)
            fact(facts, rows[i].outgoing ? "waits for" : "owes",
                 rows[i].peer_name[0] ? rows[i].peer_name : "?", "%s since %.1f ms%s",
                 control_type_name(rows[i].type, type), ms(rows[i].age_ns),
                 rows[i].deadline_in_ns ? "" : ", no deadline");
}

static void show_ring(struct facts *facts, const struct actor_info *info)
{
    struct header_info rows[INTROSPECT_RING];
    size_t n = introspect_headers(context_runtime(facts->context), info->id, rows,
                                  INTROSPECT_RING);
    char type[16];

    for (size_t i = 0; i < n; i++)
        fact(facts, "ring", control_type_name(rows[i].type, type), "from %s, %u bytes, %.1f s ago",
             rows[i].from_name[0] ? rows[i].from_name : "?", rows[i].size,
             ms(rows[i].age_ns) / 1000);
}

int control_show_actor(struct control_state *state, struct context *context,
                       const struct control_show *message)
{
    struct facts facts = {.context = context};
    struct actor_info info;
    char name[128], describe[512] = "", why[256];

    if (!proto_text_copy(message->actor, name, sizeof(name)) ||
        introspect_actor(context_runtime(context), name, &info, describe, sizeof(describe)) < 0) {
        snprintf(why, sizeof(why), "no actor named %.*s in process %s", (int)message->actor.size,
                 message->actor.data, runtime_name(context_runtime(context)));
        return actor_reply_refusal(context, "bad_request", why,
                                   "queenright zmq ls prints the names");
    }
    facts.listing = listing_begin(&state->listings, context);
    if (!facts.listing)
        return 0;
    show_basics(&facts, &info, describe);
    show_counters(&facts, &info);
    show_open(&facts, &info);
    show_ring(&facts, &info);
    return listing_end(facts.listing, context);
}
