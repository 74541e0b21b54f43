/* SPDX-License-Identifier: Apache-2.0 */
/* Supervisor.
 *
 * Takes: supervisor_add, supervisor_remove (from this process only), the request to stop.
 * Sends: stop to its children.
 * Owns:  the specs of its children and, through them, their lives.
 * Rules: children start in order and stop in reverse order, each only when the one after it has
 *        ended. A child that ends when it should not is started again after a wait that doubles
 *        each time, with jitter, and is forgotten when the child has run for a window. More than
 *        `intensity` such ends within the window are one failure of the supervisor itself: it
 *        stops its children and fails, and its own supervisor decides.
 *
 * With ONE_FOR_ALL and REST_FOR_ONE the end of a child makes a group, from `group_from` to the last
 * child: the group is stopped from its end, then waits, then is started from its beginning. A child
 * before the group that ends in the meantime widens it. With ONE_FOR_ONE each child waits by
 * itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "supervisor_children.h"

#define INTENSITY_DEFAULT 5u
#define INTENSITY_MAX 64u
#define WINDOW_DEFAULT_NS (60 * UINT64_C(1000000000))
#define BACKOFF_DEFAULT_NS (100 * UINT64_C(1000000))
#define BACKOFF_MAX_DEFAULT_NS (10 * UINT64_C(1000000000))
#define STOP_PATIENCE_NS (5 * UINT64_C(1000000000))

enum { SUPERVISOR_ADD = 0x0010, SUPERVISOR_REMOVE = 0x0011, SUPERVISOR_DONE = 0x0012 };

#define TAG_GROUP UINT64_MAX
#define TAG_PATIENCE (UINT64_MAX - 1)

/* One of the children that a supervisor_add brings. */
struct supervisor_add {
    struct child_spec spec;
    char name[INTROSPECT_NAME_MAX];
};

struct supervisor {
    enum supervisor_strategy strategy;
    unsigned intensity;
    uint64_t window_ns, backoff_ns, backoff_max_ns;
    struct children children;
    uint64_t ends_ns[INTENSITY_MAX]; /* ring of the last ends that should not have been */
    unsigned ends;
    bool group, group_waiting;
    uint64_t group_from; /* key of its first child */
    bool stopping;
    int stop_error;
    struct timer_id patience;
};

/* ---- children -------------------------------------------------------------------------------- */

static int child_start(struct supervisor *supervisor, struct context *context, struct child *child)
{
    struct spawn_options options = {.name = child->name, .pinned = child->spec.pinned};
    struct actor_id id;

    child->timer = (struct timer_id){0};
    int error = context_spawn(context, child->spec.ops, child->spec.config, &options, &id);
    if (error == 0) {
        error = children_started(&supervisor->children, child, id);
        if (error < 0)
            context_stop_other(context, id);
    }
    if (error < 0)
        return error;
    child->done = false;
    child->started_ns = context_now_ns(context);
    actor_set_past(context_runtime(context), id, child->restarts, child->last_error);
    context_monitor(context, id);
    return 0;
}

/* ---- stopping -------------------------------------------------------------------------------- */

/* Asks the last running child from `first` on to stop. False: none runs. */
static bool stop_last(struct supervisor *supervisor, struct context *context, uint64_t first)
{
    struct child *child = children_last_running(&supervisor->children, first);

    context_timer_cancel(context, supervisor->patience);
    if (!child)
        return false;
    supervisor->patience = context_timer(context, STOP_PATIENCE_NS, TAG_PATIENCE);
    context_stop_other(context, child->id);
    return true;
}

static void go_on_stopping(struct supervisor *supervisor, struct context *context)
{
    if (!stop_last(supervisor, context, 0))
        context_stop(context, supervisor->stop_error);
}

static void begin_stop(struct supervisor *supervisor, struct context *context, int error)
{
    if (supervisor->stopping)
        return;
    supervisor->stopping = true;
    supervisor->stop_error = error;
    go_on_stopping(supervisor, context);
}

/* ---- restarting ------------------------------------------------------------------------------ */

/* Counts an end that should not have been. False: that was one too many. */
static bool allow_restart(struct supervisor *supervisor, uint64_t now_ns)
{
    unsigned within = 0;

    supervisor->ends_ns[supervisor->ends++ % INTENSITY_MAX] = now_ns;
    for (unsigned i = 0; i < INTENSITY_MAX && i < supervisor->ends; i++)
        if (now_ns - supervisor->ends_ns[i] < supervisor->window_ns)
            within++;
    return within <= supervisor->intensity;
}

static uint64_t next_wait_ns(struct supervisor *supervisor, struct context *context,
                             struct child *child)
{
    uint64_t now_ns = context_now_ns(context);

    if (!child->backoff_ns || now_ns - child->started_ns >= supervisor->window_ns)
        child->backoff_ns = supervisor->backoff_ns;
    uint64_t wait_ns = child->backoff_ns;
    child->backoff_ns = wait_ns < supervisor->backoff_max_ns / 2 ? wait_ns * 2
                                                                  : supervisor->backoff_max_ns;
    return wait_ns / 2 + context_random(context) % (wait_ns / 2 + 1);
}

static void go_on_with_group(struct supervisor *supervisor, struct context *context,
                             uint64_t wait_ns)
{
    if (supervisor->group_waiting || stop_last(supervisor, context, supervisor->group_from))
        return;
    supervisor->group_waiting = true;
    context_timer(context, wait_ns, TAG_GROUP);
}

static void restart(struct supervisor *supervisor, struct context *context, struct child *child)
{
    uint64_t from = supervisor->strategy == ONE_FOR_ALL ? 0 : child->key;

    child->restarts++;
    if (!allow_restart(supervisor, context_now_ns(context))) {
        runtime_log(context_runtime(context), 3,
                    "supervisor %s gives up: %s ended more than %u times in %llu s",
                    context_name(context), child->name, supervisor->intensity,
                    (unsigned long long)(supervisor->window_ns / 1000000000u));
        begin_stop(supervisor, context, -ELOOP);
        return;
    }
    uint64_t wait_ns = next_wait_ns(supervisor, context, child);
    if (supervisor->strategy == ONE_FOR_ONE) {
        child->timer = context_timer(context, wait_ns, child->key);
        return;
    }
    if (supervisor->group && from > supervisor->group_from)
        from = supervisor->group_from;
    supervisor->group = true;
    supervisor->group_from = from;
    go_on_with_group(supervisor, context, wait_ns);
}

static int on_group_wait_over(struct supervisor *supervisor, struct context *context)
{
    supervisor->group_waiting = false;
    if (stop_last(supervisor, context, supervisor->group_from))
        return 0; /* widened while it waited */
    supervisor->group = false;
    for (struct child *child = children_first(&supervisor->children); child;
         child = child_next(child)) {
        if (child->key < supervisor->group_from || child->done)
            continue;
        if (child_start(supervisor, context, child) < 0) {
            restart(supervisor, context, child);
            break;
        }
    }
    return 0;
}

/* Goes on with what waits for the end of a child. */
static void go_on(struct supervisor *supervisor, struct context *context)
{
    if (supervisor->stopping)
        go_on_stopping(supervisor, context);
    else if (supervisor->group)
        go_on_with_group(supervisor, context, supervisor->backoff_ns);
}

static int on_patience_over(struct supervisor *supervisor, struct context *context)
{
    struct child *child = children_last_running(&supervisor->children, 0);

    if (child) {
        runtime_log(context_runtime(context), 4, "supervisor %s: %s does not stop",
                    context_name(context), child->name);
        children_ended(&supervisor->children, child);
    }
    go_on(supervisor, context);
    return 0;
}

static int on_timer(void *state, struct context *context, uint64_t tag)
{
    struct supervisor *supervisor = state;

    if (tag == TAG_PATIENCE)
        return on_patience_over(supervisor, context);
    if (supervisor->stopping)
        return 0;
    if (tag == TAG_GROUP)
        return on_group_wait_over(supervisor, context);
    for (struct child *child = children_first(&supervisor->children); child;
         child = child_next(child))
        if (child->key == tag && child_start(supervisor, context, child) < 0)
            restart(supervisor, context, child);
    return 0;
}

static void reply_done(struct context *context, struct request_id request, int error)
{
    struct message *message = message_new(SUPERVISOR_DONE, sizeof error);
    if (message)
        memcpy(message->body, &error, sizeof error);
    if (request.n)
        context_answer(context, request, message);
    else
        context_reply(context, message);
}

static bool wants_restart(const struct child *child, enum exit_reason reason)
{
    if (child->spec.restart == RESTART_NEVER)
        return false;
    return child->spec.restart == RESTART_ALWAYS ||
           (reason != EXIT_NORMAL && reason != EXIT_SHUTDOWN);
}

static int on_down(void *state, struct context *context, struct actor_id who,
                   enum exit_reason reason, int error)
{
    struct supervisor *supervisor = state;
    struct child *child = children_by_id(&supervisor->children, who);

    if (!child)
        return 0;
    child->last_error = error;
    children_ended(&supervisor->children, child);
    if (child->removing) {
        struct request_id remover = child->remover;
        children_drop(&supervisor->children, child);
        if (remover.n)
            reply_done(context, remover, 0);
        go_on(supervisor, context);
    } else if (supervisor->stopping ||
               (supervisor->group && child->key >= supervisor->group_from)) {
        go_on(supervisor, context);
    } else if (wants_restart(child, reason)) {
        restart(supervisor, context, child);
    } else {
        child->done = true;
    }
    return 0;
}

/* ---- messages -------------------------------------------------------------------------------- */

static int add_one(struct supervisor *supervisor, struct context *context,
                   struct supervisor_add add)
{
    struct child *child;

    add.spec.name = add.name;
    int error = supervisor->stopping
                    ? -ESHUTDOWN
                    : children_add(&supervisor->children, &add.spec, &child);
    if (error < 0)
        child_spec_free(&add.spec);
    else if ((error = child_start(supervisor, context, child)) < 0)
        children_drop(&supervisor->children, child);
    return error;
}

static int on_add(void *state, struct context *context, const void *body)
{
    const struct supervisor_add *adds = body;
    size_t count = context_message(context)->size / sizeof adds[0];
    int result = 0;

    for (size_t i = 0; i < count; i++) {
        int error = add_one(state, context, adds[i]);

        result = error < 0 ? error : result;
    }
    reply_done(context, (struct request_id){0}, result);
    return 0;
}

static int on_remove(void *state, struct context *context, const void *body)
{
    struct supervisor *supervisor = state;
    struct child *child = children_by_name(&supervisor->children, body);

    if (!child || child->removing) {
        reply_done(context, (struct request_id){0}, -ENOENT);
        return 0;
    }
    context_timer_cancel(context, child->timer);
    if (!child_runs(child)) {
        children_drop(&supervisor->children, child);
        reply_done(context, (struct request_id){0}, 0);
        return 0;
    }
    child->removing = true;
    child->remover = context_defer(context);
    context_stop_other(context, child->id);
    return 0;
}

static int on_stop_asked(void *state, struct context *context, const void *body)
{
    (void)body;
    begin_stop(state, context, 0);
    return 0;
}

static int supervisor_start(void *state, struct context *context, const void *config)
{
    struct supervisor *supervisor = state;
    const struct supervisor_spec *spec = config;
    int error = 0;

    supervisor->strategy = spec->strategy;
    supervisor->intensity = spec->intensity ? spec->intensity : INTENSITY_DEFAULT;
    if (supervisor->intensity >= INTENSITY_MAX)
        supervisor->intensity = INTENSITY_MAX - 1;
    supervisor->window_ns = spec->window_ns ? spec->window_ns : WINDOW_DEFAULT_NS;
    supervisor->backoff_ns = spec->backoff_ns ? spec->backoff_ns : BACKOFF_DEFAULT_NS;
    supervisor->backoff_max_ns =
        spec->backoff_max_ns ? spec->backoff_max_ns : BACKOFF_MAX_DEFAULT_NS;
    for (size_t i = 0; i < spec->child_count; i++) {
        struct child *child;
        int added = error < 0 ? error
                              : children_add(&supervisor->children, &spec->children[i], &child);
        if (added < 0)
            child_spec_free(&spec->children[i]); /* given to us, whatever happens */
        else
            added = child_start(supervisor, context, child);
        error = added < 0 ? added : error;
    }
    return error;
}

static void supervisor_stop(void *state, struct context *context)
{
    struct supervisor *supervisor = state;

    /* Only after a failed start, or as the runtime ends: children are gone otherwise. */
    for (struct child *child; (child = children_last(&supervisor->children));) {
        if (child_runs(child)) {
            context_stop_other(context, child->id);
            children_ended(&supervisor->children, child);
        }
        children_drop(&supervisor->children, child);
    }
}

static size_t describe(const void *state, char *ret_text, size_t size)
{
    const struct supervisor *supervisor = state;
    static const char *const strategies[] = {"one_for_one", "one_for_all", "rest_for_one"};
    int length = snprintf(ret_text, size, "%s, %u of %u children run, %u restarts%s",
                          strategies[supervisor->strategy],
                          children_running(&supervisor->children),
                          children_count(&supervisor->children), supervisor->ends,
                          supervisor->stopping ? ", stopping" : "");
    return (size_t)length < size ? (size_t)length : size - 1;
}

static const struct actor_handler handlers[] = {
    {ACTOR_STOP_TYPE, FROM_LOCAL, "stop", NULL, on_stop_asked},
    {SUPERVISOR_ADD, FROM_LOCAL, "supervisor_add", NULL, on_add},
    {SUPERVISOR_REMOVE, FROM_LOCAL, "supervisor_remove", NULL, on_remove},
    {0},
};

const struct actor_ops supervisor_ops = {
    .name = "supervisor",
    .state_size = sizeof(struct supervisor),
    .handlers = handlers,
    .start = supervisor_start,
    .stop = supervisor_stop,
    .on_timer = on_timer,
    .on_down = on_down,
    .describe = describe,
};

/* ---- from outside ---------------------------------------------------------------------------- */

static struct message *add_message(const struct child_spec *children, size_t count)
{
    struct message *message = message_new(SUPERVISOR_ADD, count * sizeof(struct supervisor_add));

    for (size_t i = 0; message && i < count; i++) {
        struct supervisor_add add = {.spec = children[i]};
        if (children[i].name)
            snprintf(add.name, sizeof add.name, "%s", children[i].name);
        memcpy(message->body + i * sizeof add, &add, sizeof add);
    }
    return message;
}

static struct message *remove_message(const char *name)
{
    struct message *message = message_new(SUPERVISOR_REMOVE, INTROSPECT_NAME_MAX);
    if (message)
        snprintf((char *)message->body, INTROSPECT_NAME_MAX, "%s", name);
    return message;
}

static int ask(struct runtime *runtime, struct actor_id supervisor, struct message *message)
{
    struct message *answer;
    int error = runtime_ask(runtime, supervisor, message, WINDOW_DEFAULT_NS, &answer);

    if (error < 0)
        return error;
    if (answer->flags & MESSAGE_STATUS)
        error = answer->status == STATUS_EXPIRED ? -ETIMEDOUT : -ESRCH;
    else
        memcpy(&error, answer->body, sizeof error);
    message_free(answer);
    return error;
}

int supervisor_add(struct runtime *runtime, struct actor_id supervisor,
                   const struct child_spec *child)
{
    int error = ask(runtime, supervisor, add_message(child, 1));
    if (error == -ESRCH)
        child_spec_free(child);
    return error;
}

int supervisor_remove(struct runtime *runtime, struct actor_id supervisor, const char *name)
{
    return ask(runtime, supervisor, remove_message(name));
}

int context_supervisor_add(struct context *context, struct actor_id supervisor,
                           const struct child_spec *children, size_t count)
{
    int error = context_send(context, supervisor, add_message(children, count));
    for (size_t i = 0; error < 0 && i < count; i++)
        child_spec_free(&children[i]);
    return error;
}

int context_supervisor_remove(struct context *context, struct actor_id supervisor,
                              const char *name)
{
    return context_send(context, supervisor, remove_message(name));
}
