/* SPDX-License-Identifier: Apache-2.0 */
/* The core's own structures: actor, worker, runtime. Each field says who may touch it:
 *   S  any sender, atomically        W  the worker that runs the actor at the moment
 *   L  under the actor's or the named lock
 * Lock order: taps, timers, names, peer, actor (spin), run queue. No handler runs under a lock. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/transport.h"
#include "runtime/supervisor.h"
#include "mailbox.h"
#include "pool.h"
#include "table.h"

/* ---- addresses: link 12 | slot 22 | incarnation 30 ---------------------------------------- */

#define ID_SLOT_BITS 22
#define ID_INCARNATION_BITS 30
#define ID_INCARNATION_MAX ((1u << ID_INCARNATION_BITS) - 1)
#define SLOTS_MAX (1u << ID_SLOT_BITS)

static inline struct actor_id id_make(unsigned link, unsigned slot, unsigned incarnation)
{
    return (struct actor_id){(uint64_t)link << (ID_SLOT_BITS + ID_INCARNATION_BITS) |
                             (uint64_t)slot << ID_INCARNATION_BITS | incarnation};
}
static inline unsigned id_link(struct actor_id id)
{
    return (unsigned)(id.n >> (ID_SLOT_BITS + ID_INCARNATION_BITS));
}
static inline unsigned id_slot(struct actor_id id)
{
    return (unsigned)(id.n >> ID_INCARNATION_BITS) & (SLOTS_MAX - 1);
}
static inline unsigned id_incarnation(struct actor_id id)
{
    return (unsigned)id.n & ID_INCARNATION_MAX;
}

/* ---- small lock, for what inspection reads and nobody holds long ---------------------------- */

struct spin {
    atomic_bool held;
};
void spin_wait(struct spin *spin);
static inline void spin_lock(struct spin *spin)
{
    if (atomic_exchange_explicit(&spin->held, true, memory_order_acquire))
        spin_wait(spin);
}
static inline void spin_unlock(struct spin *spin)
{
    atomic_store_explicit(&spin->held, false, memory_order_release);
}

/* ---- open requests and timers of one actor (request.c, timer.c) ----------------------------- */

enum open_kind { OPEN_REQUEST, OPEN_MONITOR, OPEN_LINK };

struct open_out { /* an answer this actor waits for */
    struct table_item item;
    uint64_t tag, deadline_ns, since_ns;
    struct actor_id holder;
    uint32_t type;
    uint32_t credit, granted; /* parts that may still come; all ever allowed */
    uint32_t hops;   /* how often it was passed on, as far as known */
    uint16_t kind;   /* enum open_kind */
    uint16_t status; /* what it comes to when its time is up */
};

struct open_in { /* an answer this actor owes; its key is requester and request */
    struct table_item item;
    uint64_t deadline_ns, since_ns, trace;
    struct message *carrier; /* becomes the status, should it come to that */
    uint32_t type, credit, parts;
    bool starved; /* tell the actor when there is credit */
};

struct open_timer {
    struct table_item item;
    uint64_t tag;
};

enum due_kind { DUE_OUT, DUE_IN, DUE_TIMER };

struct due { /* one heap entry: what to do when */
    uint64_t when_ns;
    enum due_kind kind;
    uint32_t index;
};

struct open_tables { /* made when first needed */
    struct table out, in, timers;
    struct due *heap;
    uint32_t heap_count, heap_capacity;
    uint32_t monitors_in, monitors_out; /* of the counts in the tables, not requests */
    uint64_t armed_ns;   /* registered with the runtime's timers */
    struct message tick; /* pushed when that time comes; never freed */
    atomic_bool tick_queued;
};

/* ---- actor ----------------------------------------------------------------------------------- */

struct pin;
struct inspection;
struct cold; /* name, supervisor, counters, ring: for those that have any */

struct actor {
    /* One cache line that senders read. */
    _Alignas(64) struct mailbox mailbox;
    _Atomic uint64_t id; /* S: 0 while the slot is free */
    _Atomic(struct pin *) pin;
    struct actor *run_next; /* the common run queue's; the free list's */
    uint64_t started;       /* L: position in the order of starts */
    uint32_t slot, incarnation;
    _Atomic uint32_t named_since; /* S: the slot is one name's from this incarnation on; 0: no */
    uint32_t timer_index;         /* timers lock: index + 1 in the runtime's heap */

    _Alignas(64) struct mailbox_queues queues; /* W */
    const struct actor_ops *ops;               /* L */
    void *state;                               /* W */
    struct open_tables *open;                  /* W, L for changes */
    struct cold *cold;                         /* W, L for changes */
    _Atomic uint64_t handled, busy_ns;
    _Atomic uint64_t oldest_sent_ns; /* of what waits, as of the last turn */
    _Atomic uint32_t failed_sends, queue_high;
    _Atomic int last_error;
    uint16_t row; /* W: index of the handler found last */
    bool stop_asked;
    struct spin lock;
};

_Static_assert(sizeof(struct actor) == 192, "an idle actor costs a slot and its state");

struct cold {
    char name[INTROSPECT_NAME_MAX];
    struct actor_id supervisor;
    unsigned restarts;
    struct inspection *inspection;
    char described[160]; /* of a pinned actor, at its last rest */
};

/* ---- worker, context ------------------------------------------------------------------------- */

#define RING_SIZE 256u
#define RECORDS 128u

struct worker {
    struct runtime *runtime;
    struct message_pool pool;
    int index; /* of the runtime's workers; -1: the thread of a pinned actor */
    unsigned ticks;
    bool met_full; /* a mailbox, in this turn */
    uint64_t now_ns;
    uint64_t handler_ns; /* moving average of a message's time */
    _Atomic uint64_t running;         /* actor id; 0: none. For the watch and inspection */
    _Atomic uint64_t running_since_ns;
    _Atomic uint32_t running_type;
    uint64_t reported;                /* watch thread: last long turn that was logged */
    struct record { /* flight recorder: what was handled last */
        _Atomic uint64_t actor, at_ns;
        _Atomic uint32_t type, flags;
    } records[RECORDS];
    uint32_t record_next;
    _Atomic uint32_t park; /* futex: 1 while parked */
    pthread_t thread;
    _Atomic uint64_t self; /* pthread_self of it */
    _Alignas(64) _Atomic uint32_t ring_head;
    _Alignas(64) _Atomic uint32_t ring_tail;
    _Atomic(struct actor *) ring[RING_SIZE];
    _Alignas(16) uint8_t decoded[ACTOR_DECODED_MAX];
};

struct context {
    struct runtime *runtime;
    struct worker *worker; /* NULL on a foreign thread (start of a spawn from there) */
    struct actor *actor;
    struct actor_id self;
    struct message *message; /* at hand */
    uint64_t now_ns, tag, trace;
    struct request_id deferred;
    struct actor_id forward_to;
    bool settled;  /* answered, deferred or forwarded */
    bool is_part, stolen;
    bool stopping;
    int stop_error;
    enum exit_reason stop_reason;
};

struct pin { /* the thread of one pinned actor; used again for another when that has ended */
    struct worker worker;
    pthread_mutex_t lock; /* guards `alive`: wake is not called on freed state */
    bool alive;
    struct actor *actor;
    const void *config;
    struct pin_started *started; /* of who spawns, until told */
    _Atomic uint32_t bell;       /* futex, when the actor has no wake */
    atomic_bool finished;        /* its thread is through; who takes this away may have the pin */
    bool joinable;
    struct pin *next;
};

/* ---- runtime --------------------------------------------------------------------------------- */

#define CHUNK_SLOTS 256u
#define CHUNKS_MAX (SLOTS_MAX / CHUNK_SLOTS)
#define WORKERS_MAX 8u

struct deadline_entry {
    uint64_t when_ns;
    struct actor *actor;
};

struct runtime {
    struct runtime_options options;
    char name[PEER_NAME_MAX];
    const struct clock_port *clock;
    const struct random_port *random;
    bool manual;
    unsigned worker_count, turn_messages;
    uint64_t long_turn_ns;

    _Atomic(struct actor *) *chunks;
    pthread_mutex_t slots_lock;
    struct actor *slots_free;
    _Atomic uint32_t slots_used; /* high-water mark */
    _Atomic uint64_t starts;
    _Atomic uint32_t alive;
    _Atomic uint32_t deaths; /* futex, for who waits for an end */
    _Atomic uint32_t death_waiters;

    struct worker *workers;
    unsigned workers_running;
    _Alignas(64) _Atomic uint32_t parked; /* bit a worker */
    _Alignas(64) pthread_mutex_t inject_lock;
    struct actor *inject_head, *inject_tail;
    _Atomic uint32_t inject_count;
    _Atomic bool ending; /* threads leave */
    struct actor **ready; /* manual: what is runnable */
    size_t ready_count, ready_capacity;

    pthread_mutex_t timers_lock;
    struct deadline_entry *timers;
    uint32_t timers_count, timers_capacity;
    pthread_t watch;
    int watch_event, watch_timer; /* eventfd; timerfd */
    _Atomic bool watch_armed, watch_ending;
    bool watch_running;

    _Atomic(struct pin *) pins; /* only grows until the runtime ends */

    struct names *names;
    struct remote *remote;
    struct drops *drops;
    struct taps *taps;
    _Atomic uint32_t taps_on;
    _Atomic uint64_t next_trace;
    struct message_depot depot;
    int stop_event; /* eventfd */
};

/* actor.c */
struct actor *actor_find(struct runtime *runtime, struct actor_id id); /* slot; may be another's */
enum turn { TURN_ENDED, TURN_MORE, TURN_IDLE };
enum turn actor_turn(struct worker *worker, struct actor *actor);
int actor_new(struct context *parent, struct runtime *runtime, const struct actor_ops *ops,
              const void *config, const struct spawn_options *options, struct actor_id *ret_id);
/* Calls start. 0 or its error; then the actor has ended. */
int actor_start(struct runtime *runtime, struct worker *worker, struct actor *actor,
                const void *config);
void actor_end(struct context *context, enum exit_reason reason, int error);
/* Calls a pinned actor's `wait`. True: it has ended. */
bool actor_wait(struct worker *worker, struct actor *actor, uint64_t timeout_ns);
void context_init(struct context *context, struct runtime *runtime, struct worker *worker,
                  struct actor *actor);
/* After a callback: ends the actor when it asked for that or failed. True: it has ended. */
bool context_finish(struct context *context, int error);
void actor_set_past(struct runtime *runtime, struct actor_id id, unsigned restarts,
                    int last_error);

/* dispatch.c */
/* Whether the actor takes this message; and its row and what decode made of the body. */
enum runtime_status dispatch_check(struct context *context, const struct message *message,
                                   const struct actor_handler **ret_row, const void **ret_decoded);
bool dispatch(struct context *context, struct message *message); /* true: the actor has ended */

/* send.c */
/* Delivers to a local mailbox or a link; takes the message. What cannot be delivered is answered,
 * counted and freed; the reason comes back as negative errno. */
int route(struct runtime *runtime, struct worker *worker, struct message *message);
/* The answer to a request that will not be handled; the request's own memory becomes it. */
void bounce(struct runtime *runtime, struct worker *worker, struct message *message,
            enum runtime_status status, uint32_t retry_after_ms);
uint32_t retry_after_ms(struct actor *actor);
/* Without counting a drop. */
void answer_status(struct runtime *runtime, struct worker *worker, struct message *request,
                   enum runtime_status status, uint32_t retry_after_ms);
void count_drop(struct runtime *runtime, enum runtime_status reason, const struct message *message);
struct message *message_internal(enum runtime_type type, struct actor_id from, struct actor_id to);
uint64_t trace_new(struct runtime *runtime);

/* request.c, stream.c */
struct open_tables *open_tables_get(struct actor *actor);
void open_tables_end(struct context *context, struct open_tables *open, enum exit_reason reason,
                     int error);
void answer_died(struct runtime *runtime, struct worker *worker, struct message *request,
                 enum exit_reason reason, int error);
/* Each returns true when the actor has ended. */
bool request_answered(struct context *context, struct message *message);
bool request_cancelled(struct context *context, struct message *message);
bool request_in_expired(struct context *context, struct open_in *in);
bool request_out_expired(struct context *context, struct open_out *out);
bool stream_credit(struct context *context, struct message *message);
void request_keep(struct context *context, struct message *message);
void request_forward(struct context *context, struct message *message);
void request_moved(struct context *context, struct message *message);
void monitor_link(struct context *context, struct actor_id who);
int stream_grant(struct runtime *runtime, struct worker *worker, struct actor_id from,
                 struct actor_id holder, uint64_t request, uint32_t parts);

/* timer.c */
int due_add(struct runtime *runtime, struct actor *actor, uint64_t when_ns, enum due_kind kind,
            struct table_item *item);
void due_remove(struct open_tables *open, struct table_item *item);
bool timers_tick(struct context *context); /* true: the actor has ended */
uint64_t actor_next_due_ns(const struct actor *actor);
void timers_forget(struct runtime *runtime, struct actor *actor);
void timers_fire(struct runtime *runtime, struct worker *worker, uint64_t now_ns);
uint64_t timers_next_ns(struct runtime *runtime);

/* scheduler.c, watch.c, pin.c */
void schedule(struct runtime *runtime, struct worker *worker, struct actor *actor);
int scheduler_start(struct runtime *runtime);
void scheduler_stop(struct runtime *runtime);
void scheduler_wake_one(struct runtime *runtime);
int watch_start(struct runtime *runtime);
void watch_stop(struct runtime *runtime);
void watch_close(struct runtime *runtime);
void watch_poke(struct runtime *runtime);
void watch_arm(struct runtime *runtime);
int pin_start(struct runtime *runtime, struct worker *worker, struct actor *actor,
              const void *config);
void pin_wake(struct pin *pin);
void pin_release(struct pin *pin);
void pins_join(struct runtime *runtime);
void pins_free(struct runtime *runtime);
bool pins_poll(struct runtime *runtime, struct worker *worker);
uint32_t worker_backlog(const struct worker *worker);
void futex_wait(_Atomic uint32_t *word, uint32_t value);
void futex_wait_for(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns);
void futex_wake(_Atomic uint32_t *word, int count);

/* name.c: names and slots */
int names_new(struct names **ret_names);
void names_free(struct names *names);
/* A free slot with its next incarnation; registered when `name` is not NULL. -EEXIST, -ENOMEM. */
int slot_take(struct runtime *runtime, const char *name, struct actor **ret_actor);
/* The actor's id and name are free from now on. */
void slot_give(struct runtime *runtime, struct actor *actor, const char *name);
struct actor_id name_find(struct runtime *runtime, const char *name);
/* Writes "" when the actor has none. */
void name_of(struct runtime *runtime, struct actor_id id, char *ret_name, size_t size);

/* remote.c */
int remote_new(struct remote **ret_remote);
void remote_free(struct remote *remote);
int remote_send(struct runtime *runtime, struct worker *worker, struct message *message);
void remote_name_of(struct runtime *runtime, struct actor_id id, char *ret_name, size_t size);
uint32_t remote_kind(struct runtime *runtime, unsigned peer); /* FROM_... */
void remote_watch(struct runtime *runtime, struct actor_id watcher);

/* introspect.c, tap.c */
void inspection_free(struct inspection *inspection);
void inspection_note(struct context *context, const struct message *message);
void inspection_row(struct actor *actor, uint16_t row);
void inspection_turn(struct actor *actor, uint64_t spent_ns, uint64_t handled);
int taps_new(struct taps **ret_taps);
void taps_free(struct taps *taps);
void tap_message(struct context *context, const struct message *message);

/* drop.c */
int drops_new(struct drops **ret_drops);
void drops_free(struct drops *drops);

/* ask.c */
extern const struct actor_ops ask_ops;
bool ask_take(struct context *context, struct message *message); /* true: taken */

/* runtime.c */
void core_fail(const struct runtime *runtime, const char *what, const char *file, int line)
    __attribute__((noreturn));
#define CORE_ASSERT(runtime, condition)                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            core_fail(runtime, #condition, __FILE__, __LINE__);                                    \
    } while (0)
