/* SPDX-License-Identifier: Apache-2.0 */
/* Looking in from any thread.
 *
 * What a running actor counts for itself it writes without a lock (relaxed atomics, once a turn);
 * what has structure (open tables, counters by type, the ring of headers) it changes under its spin
 * lock, and so does who looks, for as long as a bounded copy takes. An actor's end takes its parts
 * away under the same lock, so a look is never at freed memory. Counters by type and the ring exist
 * only for actors with a name, from their first message on.
 *
 * `describe` reads the actor's state, which only its runner may do. An idle actor is claimed, as
 * if this thread were a worker; one that is at work is asked again a little later and then shown
 * without. A pinned actor may be inside its `wait`; it describes itself at its next turn. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "fair.h"

#define CLAIM_TRIES 200

struct row_counter {
    uint64_t count, busy_ns;
    uint32_t in_turn;
};

struct inspection {
    uint32_t ring_next, row_count;
    struct past {
        struct actor_id from;
        uint64_t at_ns, trace;
        uint32_t type, size;
        uint16_t flags, status;
    } ring[INTROSPECT_RING];
    struct row_counter rows[]; /* one a handler */
};

void inspection_free(struct inspection *inspection)
{
    free(inspection);
}

static void inspection_make(struct actor *actor)
{
    uint32_t rows = 0;
    while (actor->ops->handlers && actor->ops->handlers[rows].handle)
        rows++;
    struct inspection *inspection =
        calloc(1, sizeof *inspection + rows * sizeof(struct row_counter));
    if (!inspection)
        return;
    inspection->row_count = rows;
    spin_lock(&actor->lock);
    actor->cold->inspection = inspection;
    spin_unlock(&actor->lock);
}

void inspection_note(struct context *context, const struct message *message)
{
    struct actor *actor = context->actor;

    if (!actor->cold || !actor->cold->name[0] || message->flags & MESSAGE_UNTRACED)
        return;
    if (!actor->cold->inspection)
        inspection_make(actor);
    struct inspection *inspection = actor->cold->inspection;
    if (!inspection)
        return;
    spin_lock(&actor->lock);
    inspection->ring[inspection->ring_next++ % INTROSPECT_RING] =
        (struct past){.from = message->from,
                      .at_ns = context->now_ns,
                      .trace = message->trace,
                      .type = message->type,
                      .size = message->size,
                      .flags = message->flags,
                      .status = message->status};
    spin_unlock(&actor->lock);
}

void inspection_row(struct actor *actor, uint16_t row)
{
    struct inspection *inspection = actor->cold ? actor->cold->inspection : NULL;
    if (!inspection)
        return;
    spin_lock(&actor->lock);
    inspection->rows[row].count++;
    inspection->rows[row].in_turn++;
    spin_unlock(&actor->lock);
}

/* The clock is read once a turn; its time is shared out by number of messages. */
void inspection_turn(struct actor *actor, uint64_t spent_ns, uint64_t handled)
{
    struct inspection *inspection = actor->cold ? actor->cold->inspection : NULL;
    if (!inspection || !handled)
        return;
    spin_lock(&actor->lock);
    for (uint32_t i = 0; i < inspection->row_count; i++) {
        inspection->rows[i].busy_ns += spent_ns / handled * inspection->rows[i].in_turn;
        inspection->rows[i].in_turn = 0;
    }
    spin_unlock(&actor->lock);
}

/* ---- actors -------------------------------------------------------------------------------- */

static const struct worker *running_on(struct runtime *runtime, uint64_t id)
{
    const struct worker *found = NULL;

    for (unsigned i = 0; i < runtime->worker_count && !found; i++)
        if (atomic_load_explicit(&runtime->workers[i].running, memory_order_acquire) == id)
            found = &runtime->workers[i];
    for (struct pin *pin = atomic_load(&runtime->pins); pin && !found; pin = pin->next)
        if (atomic_load_explicit(&pin->worker.running, memory_order_acquire) == id)
            found = &pin->worker;
    return found;
}

static const char *row_name(const struct actor_ops *ops, uint32_t type)
{
    for (const struct actor_handler *row = ops->handlers; row && row->handle; row++)
        if (row->type == type)
            return row->name;
    return "";
}

static uint64_t age_ns(uint64_t now_ns, uint64_t then_ns)
{
    return then_ns && now_ns > then_ns ? now_ns - then_ns : 0;
}

/* Under the actor's lock. */
static void info_fill(struct runtime *runtime, struct actor *actor, uint64_t now_ns,
                      struct actor_info *ret_info)
{
    const struct open_tables *open = actor->open;
    struct actor_info info = {
        .id = {atomic_load_explicit(&actor->id, memory_order_relaxed)},
        .pinned = atomic_load_explicit(&actor->pin, memory_order_relaxed) != NULL,
        .queued = mailbox_length(&actor->mailbox),
        .queue_limit = atomic_load_explicit(&actor->mailbox.limit, memory_order_relaxed),
        .queue_high = atomic_load_explicit(&actor->queue_high, memory_order_relaxed),
        .handled = atomic_load_explicit(&actor->handled, memory_order_relaxed),
        .busy_ns = atomic_load_explicit(&actor->busy_ns, memory_order_relaxed),
        .failed_sends = atomic_load_explicit(&actor->failed_sends, memory_order_relaxed),
        .last_error = atomic_load_explicit(&actor->last_error, memory_order_relaxed),
        .restarts = actor->cold ? actor->cold->restarts : 0,
    };
    const struct worker *worker = running_on(runtime, info.id.n);

    if (actor->queues.fair)
        info.queued += atomic_load_explicit(&actor->queues.fair->count, memory_order_relaxed);

    if (info.queued)
        info.oldest_ns = age_ns(
            now_ns, atomic_load_explicit(&actor->oldest_sent_ns, memory_order_relaxed));
    if (open) {
        info.open_in = open->in.count - open->monitors_in;
        info.open_out = open->out.count - open->monitors_out;
    }
    if (actor->cold)
        memcpy(info.name, actor->cold->name, sizeof info.name);
    snprintf(info.kind, sizeof info.kind, "%s", actor->ops->name);
    if (worker) {
        info.running_ns = age_ns(
            now_ns, atomic_load_explicit(&worker->running_since_ns, memory_order_relaxed));
        snprintf(info.running, sizeof info.running, "%s",
                 row_name(actor->ops,
                          atomic_load_explicit(&worker->running_type, memory_order_relaxed)));
    }
    snprintf(info.state, sizeof info.state, "%s",
             actor->stop_asked                     ? "stopping"
             : worker                              ? "running"
             : mailbox_is_idle(&actor->mailbox)    ? "idle"
                                                   : "queued");
    *ret_info = info;
}

static bool info_of(struct runtime *runtime, struct actor *actor, uint64_t now_ns,
                    struct actor_info *ret_info)
{
    struct actor_id supervisor = {0};

    spin_lock(&actor->lock);
    bool alive = atomic_load_explicit(&actor->id, memory_order_acquire) && actor->ops;
    if (alive) {
        info_fill(runtime, actor, now_ns, ret_info);
        if (actor->cold)
            supervisor = actor->cold->supervisor;
    }
    spin_unlock(&actor->lock);
    if (alive && actor_id_is_set(supervisor))
        name_of(runtime, supervisor, ret_info->supervisor, sizeof ret_info->supervisor);
    return alive;
}

size_t introspect_actors(struct runtime *runtime, uint64_t *cursor, struct actor_info *ret_rows,
                         size_t max)
{
    uint32_t slots = atomic_load_explicit(&runtime->slots_used, memory_order_acquire);
    uint64_t now_ns = runtime->clock->now_ns(runtime->clock);
    size_t count = 0;

    for (; *cursor < slots && count < max; (*cursor)++) {
        struct actor *actor = actor_find(runtime, id_make(0, (unsigned)*cursor, 1));
        if (atomic_load_explicit(&actor->id, memory_order_relaxed))
            count += info_of(runtime, actor, now_ns, &ret_rows[count]);
    }
    return count;
}

/* ---- describe ------------------------------------------------------------------------------- */

static bool runs_on_this_thread(struct runtime *runtime, uint64_t id)
{
    const struct worker *worker = running_on(runtime, id);
    return worker && (runtime->manual || atomic_load(&worker->self) == (uint64_t)pthread_self());
}

static size_t describe_claimed(struct runtime *runtime, struct actor *actor, uint64_t id,
                               char *ret_text, size_t size)
{
    size_t length = 0;

    for (int try = 0; try < CLAIM_TRIES; try++) {
        if (!mailbox_claim(&actor->mailbox)) {
            sched_yield();
            continue;
        }
        if (atomic_load_explicit(&actor->id, memory_order_acquire) == id)
            length = actor->ops->describe(actor->state, ret_text, size);
        if (!mailbox_rest(&actor->mailbox, &actor->queues))
            schedule(runtime, NULL, actor);
        return length;
    }
    return 0;
}

int introspect_actor(struct runtime *runtime, const char *name, struct actor_info *ret_info,
                     char *ret_text, size_t text_size)
{
    struct actor_id id = name_find(runtime, name);
    struct actor *actor = actor_find(runtime, id);
    uint64_t now_ns = runtime->clock->now_ns(runtime->clock);
    struct actor_info info;

    if (!actor || !info_of(runtime, actor, now_ns, &info) || info.id.n != id.n)
        return -ENOENT;
    *ret_info = info;
    if (!ret_text || text_size == 0)
        return 0;
    ret_text[0] = '\0';
    spin_lock(&actor->lock);
    bool describes = actor->ops && actor->ops->describe;
    spin_unlock(&actor->lock);
    if (!describes)
        return 0;
    if (runs_on_this_thread(runtime, id.n)) {
        actor->ops->describe(actor->state, ret_text, text_size);
    } else if (info.pinned) {
        spin_lock(&actor->lock);
        if (actor->cold)
            snprintf(ret_text, text_size, "%s", actor->cold->described);
        spin_unlock(&actor->lock);
    } else {
        describe_claimed(runtime, actor, id.n, ret_text, text_size);
    }
    return 0;
}

/* ---- what one actor counted ------------------------------------------------------------------ */

/* The living actor, locked; or NULL. */
static struct actor *look_at(struct runtime *runtime, struct actor_id who)
{
    struct actor *actor = actor_find(runtime, who);

    if (!actor)
        return NULL;
    spin_lock(&actor->lock);
    if (atomic_load_explicit(&actor->id, memory_order_acquire) == who.n && actor->ops)
        return actor;
    spin_unlock(&actor->lock);
    return NULL;
}

size_t introspect_counters(struct runtime *runtime, struct actor_id who, uint64_t *cursor,
                           struct counter_info *ret_rows, size_t max)
{
    struct actor *actor = look_at(runtime, who);
    size_t count = 0;

    if (!actor)
        return 0;
    const struct inspection *inspection = actor->cold ? actor->cold->inspection : NULL;
    for (; inspection && *cursor < inspection->row_count && count < max; (*cursor)++) {
        const struct row_counter *row = &inspection->rows[*cursor];
        if (!row->count)
            continue;
        ret_rows[count].type = actor->ops->handlers[*cursor].type;
        ret_rows[count].count = row->count;
        ret_rows[count].busy_ns = row->busy_ns;
        snprintf(ret_rows[count].name, sizeof ret_rows[count].name, "%s",
                 actor->ops->handlers[*cursor].name);
        count++;
    }
    spin_unlock(&actor->lock);
    return count;
}

static struct open_info open_row(bool outgoing, struct actor_id peer, uint32_t type,
                                 uint64_t since_ns, uint64_t deadline_ns, uint64_t now_ns)
{
    return (struct open_info){
        .outgoing = outgoing,
        .peer = peer,
        .type = type,
        .age_ns = age_ns(now_ns, since_ns),
        .deadline_in_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0,
    };
}

#define CURSOR_IN (UINT64_C(1) << 32) /* past the outgoing ones */

static size_t open_rows(const struct open_tables *open, uint64_t *cursor, uint64_t now_ns,
                        struct open_info *ret_rows, size_t max)
{
    uint32_t position = (uint32_t)*cursor;
    size_t count = 0;
    const struct open_out *out;
    const struct open_in *in;

    while (*cursor < CURSOR_IN && count < max) {
        out = table_next(&open->out, &position);
        *cursor = out ? position : CURSOR_IN;
        if (!out)
            position = 0;
        else if (out->kind == OPEN_REQUEST)
            ret_rows[count++] =
                open_row(true, out->holder, out->type, out->since_ns, out->deadline_ns, now_ns);
    }
    while (*cursor >= CURSOR_IN && count < max && (in = table_next(&open->in, &position))) {
        *cursor = CURSOR_IN | position;
        if (in->type != RUNTIME_MONITOR)
            ret_rows[count++] = open_row(false, (struct actor_id){in->item.key[0]}, in->type,
                                         in->since_ns, in->deadline_ns, now_ns);
    }
    return count;
}

size_t introspect_open(struct runtime *runtime, struct actor_id who, uint64_t *cursor,
                       struct open_info *ret_rows, size_t max)
{
    uint64_t now_ns = runtime->clock->now_ns(runtime->clock);
    struct actor *actor = look_at(runtime, who);
    size_t count = 0;

    if (!actor)
        return 0;
    if (actor->open)
        count = open_rows(actor->open, cursor, now_ns, ret_rows, max);
    spin_unlock(&actor->lock);
    for (size_t i = 0; i < count; i++)
        name_of(runtime, ret_rows[i].peer, ret_rows[i].peer_name, sizeof ret_rows[i].peer_name);
    return count;
}

size_t introspect_headers(struct runtime *runtime, struct actor_id who,
                          struct header_info *ret_rows, size_t max)
{
    uint64_t now_ns = runtime->clock->now_ns(runtime->clock);
    struct actor *actor = look_at(runtime, who);
    size_t count = 0;

    if (!actor)
        return 0;
    const struct inspection *inspection = actor->cold ? actor->cold->inspection : NULL;
    uint32_t noted = inspection ? inspection->ring_next : 0;
    uint32_t kept = noted < INTROSPECT_RING ? noted : INTROSPECT_RING;
    uint32_t first = kept > max ? kept - (uint32_t)max : 0;
    for (uint32_t i = first; i < kept; i++) {
        const struct past *past =
            &inspection->ring[(noted - kept + i) % INTROSPECT_RING];
        ret_rows[count++] = (struct header_info){.from = past->from,
                                                 .type = past->type,
                                                 .size = past->size,
                                                 .flags = past->flags,
                                                 .status = past->status,
                                                 .trace = past->trace,
                                                 .age_ns = age_ns(now_ns, past->at_ns)};
    }
    spin_unlock(&actor->lock);
    for (size_t i = 0; i < count; i++)
        name_of(runtime, ret_rows[i].from, ret_rows[i].from_name, sizeof ret_rows[i].from_name);
    return count;
}
