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

#define INTENSITY_DEFAULT 5u
#define INTENSITY_MAX 64u
#define WINDOW_DEFAULT_NS (60 * UINT64_C(1000000000))
#define BACKOFF_DEFAULT_NS (100 * UINT64_C(1000000))
#define BACKOFF_MAX_DEFAULT_NS (10 * UINT64_C(1000000000))
#define STOP_PATIENCE_NS (5 * UINT64_C(1000000000))

enum { SUPERVISOR_ADD = 0x0010, SUPERVISOR_REMOVE = 0x0011, SUPERVISOR_DONE = 0x0012 };

#define TAG_GROUP UINT64_MAX
#define TAG_PATIENCE (UINT64_MAX - 1)

struct supervisor_add {
    struct child_spec spec;
    char name[INTROSPECT_NAME_MAX];
};

struct child {
    struct child_spec spec;
    char name[INTROSPECT_NAME_MAX];
    uint64_t key; /* tag of its timer */
    struct actor_id id; /* {0}: not running */
    struct timer_id timer;
    uint64_t started_ns, backoff_ns;
    unsigned restarts;
    int last_error;
    bool done;        /* ended as it may; not started again */
    bool removing;
    struct request_id remover;
};

struct supervisor {
    enum supervisor_strategy strategy;
    unsigned intensity;
    uint64_t window_ns, backoff_ns, backoff_max_ns;
    struct child *children;
    size_t count;
    uint64_t next_key;
    uint64_t ends_ns[INTENSITY_MAX]; /* ring of the last ends that should not have been */
    unsigned ends;
    bool group, group_waiting;
    size_t group_from;
    bool stopping;
    int stop_error;
    struct timer_id patience;
};

/* ---- children -------------------------------------------------------------------------------- */

static size_t child_by_id(const struct supervisor *supervisor, struct actor_id id)
{
    size_t i = 0;
    while (i < supervisor->count && !actor_id_equal(supervisor->children[i].id, id))
        i++;
    return i;
}

static size_t child_by_name(const struct supervisor *supervisor, const char *name)
{
    size_t i = 0;
    while (i < supervisor->count && strcmp(supervisor->children[i].name, name) != 0)
        i++;
    return i;
}

static void spec_free(const struct child_spec *spec)
{
    if (spec->free_config)
        spec->free_config(spec->config);
}

static int child_add(struct supervisor *supervisor, const struct child_spec *spec)
{
    if (!spec->name || !spec->name[0] || strlen(spec->name) >= INTROSPECT_NAME_MAX || !spec->ops)
        return -EINVAL;
    if (child_by_name(supervisor, spec->name) < supervisor->count)
        return -EEXIST;
    struct child *children =
        realloc(supervisor->children, (supervisor->count + 1) * sizeof *children);
    if (!children)
        return -ENOMEM;
    supervisor->children = children;
    struct child *child = &children[supervisor->count++];
    *child = (struct child){.spec = *spec, .key = supervisor->next_key++};
    strncpy(child->name, spec->name, sizeof child->name - 1);
    return 0;
}

static void child_drop(struct supervisor *supervisor, size_t i)
{
    spec_free(&supervisor->children[i].spec);
    memmove(&supervisor->children[i], &supervisor->children[i + 1],
            (supervisor->count - i - 1) * sizeof *supervisor->children);
    supervisor->count--;
    if (supervisor->group && supervisor->group_from > i)
        supervisor->group_from--;
}

static int child_start(struct supervisor *supervisor, struct context *context, size_t i)
{
    struct child *child = &supervisor->children[i];
    struct spawn_options options = {.name = child->name, .pinned = child->spec.pinned};
    struct actor_id id;

    child->timer = (struct timer_id){0};
    int error = context_spawn(context, child->spec.ops, child->spec.config, &options, &id);
    if (error < 0)
        return error;
    child->id = id;
    child->done = false;
    child->started_ns = context_now_ns(context);
    actor_set_past(context_runtime(context), id, child->restarts, child->last_error);
    context_monitor(context, id);
    return 0;
}

/* ---- stopping -------------------------------------------------------------------------------- */

/* Asks the last running child from `first` on to stop. False: none runs. */
static bool stop_last(struct supervisor *supervisor, struct context *context, size_t first)
{
    for (size_t i = supervisor->count; i-- > first;) {
        if (!actor_id_is_set(supervisor->children[i].id))
            continue;
        context_timer_cancel(context, supervisor->patience);
        supervisor->patience = context_timer(context, STOP_PATIENCE_NS, TAG_PATIENCE);
        context_stop_other(context, supervisor->children[i].id);
        return true;
    }
    context_timer_cancel(context, supervisor->patience);
    return false;
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

static void restart(struct supervisor *supervisor, struct context *context, size_t i)
{
    struct child *child = &supervisor->children[i];
    size_t from = supervisor->strategy == ONE_FOR_ALL ? 0 : i;

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
    for (size_t i = supervisor->group_from; i < supervisor->count; i++) {
        if (supervisor->children[i].done)
            continue;
        if (child_start(supervisor, context, i) < 0) {
            restart(supervisor, context, i);
            break;
        }
    }
    return 0;
}

static int on_timer(void *state, struct context *context, uint64_t tag)
{
    struct supervisor *supervisor = state;

    if (tag == TAG_PATIENCE) {
        for (size_t i = supervisor->count; i-- > 0;) {
            if (!actor_id_is_set(supervisor->children[i].id))
                continue;
            runtime_log(context_runtime(context), 4, "supervisor %s: %s does not stop",
                        context_name(context), supervisor->children[i].name);
            supervisor->children[i].id = (struct actor_id){0};
            break;
        }
        if (supervisor->stopping)
            go_on_stopping(supervisor, context);
        else if (supervisor->group)
            go_on_with_group(supervisor, context, supervisor->backoff_ns);
        return 0;
    }
    if (supervisor->stopping)
        return 0;
    if (tag == TAG_GROUP)
        return on_group_wait_over(supervisor, context);
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->key == tag && child_start(supervisor, context, i) < 0)
            restart(supervisor, context, i);
    }
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
    size_t i = child_by_id(supervisor, who);

    if (i == supervisor->count)
        return 0;
    struct child *child = &supervisor->children[i];
    child->last_error = error;
    child->id = (struct actor_id){0};
    if (child->removing) {
        struct request_id remover = child->remover;
        child_drop(supervisor, i);
        if (remover.n)
            reply_done(context, remover, 0);
        if (supervisor->stopping)
            go_on_stopping(supervisor, context);
        else if (supervisor->group)
            go_on_with_group(supervisor, context, supervisor->backoff_ns);
    } else if (supervisor->stopping) {
        go_on_stopping(supervisor, context);
    } else if (supervisor->group && i >= supervisor->group_from) {
        go_on_with_group(supervisor, context, supervisor->backoff_ns);
    } else if (wants_restart(child, reason)) {
        restart(supervisor, context, i);
    } else {
        child->done = true;
    }
    return 0;
}

/* ---- messages -------------------------------------------------------------------------------- */

static int on_add(void *state, struct context *context, const void *body)
{
    struct supervisor *supervisor = state;
    struct supervisor_add add = *(const struct supervisor_add *)body;

    add.spec.name = add.name;
    int error = supervisor->stopping ? -ESHUTDOWN : child_add(supervisor, &add.spec);
    if (error < 0) {
        spec_free(&add.spec);
    } else if ((error = child_start(supervisor, context, supervisor->count - 1)) < 0) {
        child_drop(supervisor, supervisor->count - 1);
    }
    reply_done(context, (struct request_id){0}, error);
    return 0;
}

static int on_remove(void *state, struct context *context, const void *body)
{
    struct supervisor *supervisor = state;
    size_t i = child_by_name(supervisor, body);

    if (i == supervisor->count || supervisor->children[i].removing) {
        reply_done(context, (struct request_id){0}, -ENOENT);
        return 0;
    }
    struct child *child = &supervisor->children[i];
    context_timer_cancel(context, child->timer);
    if (!actor_id_is_set(child->id)) {
        child_drop(supervisor, i);
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
        int added = error < 0 ? error : child_add(supervisor, &spec->children[i]);
        if (added < 0)
            spec_free(&spec->children[i]); /* given to us, whatever happens */
        else
            added = child_start(supervisor, context, supervisor->count - 1);
        error = added < 0 ? added : error;
    }
    return error;
}

static void supervisor_stop(void *state, struct context *context)
{
    struct supervisor *supervisor = state;

    /* Only after a failed start, or as the runtime ends: children are gone otherwise. */
    for (size_t i = supervisor->count; i-- > 0;) {
        if (actor_id_is_set(supervisor->children[i].id))
            context_stop_other(context, supervisor->children[i].id);
        spec_free(&supervisor->children[i].spec);
    }
    free(supervisor->children);
}

static size_t describe(const void *state, char *ret_text, size_t size)
{
    const struct supervisor *supervisor = state;
    static const char *const strategies[] = {"one_for_one", "one_for_all", "rest_for_one"};
    size_t running = 0;

    for (size_t i = 0; i < supervisor->count; i++)
        running += actor_id_is_set(supervisor->children[i].id);
    int length = snprintf(ret_text, size, "%s, %zu of %zu children run, %u restarts%s",
                          strategies[supervisor->strategy], running, supervisor->count,
                          supervisor->ends, supervisor->stopping ? ", stopping" : "");
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

static struct message *add_message(const struct child_spec *child)
{
    struct message *message = message_new(SUPERVISOR_ADD, sizeof(struct supervisor_add));
    if (message) {
        struct supervisor_add add = {.spec = *child};
        if (child->name)
            snprintf(add.name, sizeof add.name, "%s", child->name);
        memcpy(message->body, &add, sizeof add);
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
    int error = ask(runtime, supervisor, add_message(child));
    if (error == -ESRCH)
        spec_free(child);
    return error;
}

int supervisor_remove(struct runtime *runtime, struct actor_id supervisor, const char *name)
{
    return ask(runtime, supervisor, remove_message(name));
}

int context_supervisor_add(struct context *context, struct actor_id supervisor,
                           const struct child_spec *child)
{
    int error = context_send(context, supervisor, add_message(child));
    if (error < 0)
        spec_free(child);
    return error;
}

int context_supervisor_remove(struct context *context, struct actor_id supervisor,
                              const char *name)
{
    return context_send(context, supervisor, remove_message(name));
}
