/* SPDX-License-Identifier: Apache-2.0 */
/* An actor whose behaviour a test writes as plain functions, and that records what happens to it.
 * All scripted actors of a test share one struct log. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "manual.h"

enum { MSG_ASK = 0x0100, MSG_ANSWER, MSG_PART, MSG_DO, MSG_TELL, MSG_NODE_ONLY };

struct log {
    char text[4096];
    size_t length;
};

struct script;
typedef int (*script_fn)(struct script *script, struct context *context,
                         const struct message *message);

struct script {
    struct log *log;
    const char *name;
    struct actor_id id; /* of its last start */
    script_fn on_ask, on_answer, on_do, on_tell, on_part, on_stop;
    int start_error;
    struct actor_id to;
    struct request_id held, asked;
    unsigned credit;
    uint64_t deadline_ns;
    void *extra;
    int number;
};

__attribute__((format(printf, 2, 3))) static inline void say(struct log *log, const char *format,
                                                             ...)
{
    va_list arguments;
    va_start(arguments, format);
    log->length += (size_t)vsnprintf(log->text + log->length, sizeof log->text - log->length,
                                     format, arguments);
    va_end(arguments);
    assert_true(log->length < sizeof log->text);
}

/* The state is a pointer to the test's script. */
#define SCRIPT(state) (*(struct script **)(state))

static inline int script_start(void *state, struct context *context, const void *config)
{
    SCRIPT(state) = (struct script *)(uintptr_t)config;
    SCRIPT(state)->id = context_self(context);
    return SCRIPT(state)->start_error;
}

static inline void script_stop(void *state, struct context *context)
{
    (void)context;
    if (SCRIPT(state))
        say(SCRIPT(state)->log, "%s:stop ", SCRIPT(state)->name);
}

#define SCRIPT_HANDLER(what)                                                                       \
    static inline int script_on_##what(void *state, struct context *context, const void *body)     \
    {                                                                                              \
        struct script *script = SCRIPT(state);                                                     \
        (void)body;                                                                                \
        say(script->log, "%s:" #what " ", script->name);                                           \
        return script->on_##what ? script->on_##what(script, context, context_message(context))    \
                                 : 0;                                                              \
    }
SCRIPT_HANDLER(ask)
SCRIPT_HANDLER(answer)
SCRIPT_HANDLER(part)
SCRIPT_HANDLER(do)
SCRIPT_HANDLER(tell)

static inline int script_status(void *state, struct context *context, uint64_t tag,
                                enum runtime_status status)
{
    (void)context;
    say(SCRIPT(state)->log, "%s:status(%s,%llu) ", SCRIPT(state)->name,
        runtime_status_name(status), (unsigned long long)tag);
    return 0;
}

static inline int script_timer(void *state, struct context *context, uint64_t tag)
{
    (void)context;
    say(SCRIPT(state)->log, "%s:timer(%llu) ", SCRIPT(state)->name, (unsigned long long)tag);
    return 0;
}

static inline int script_cancel(void *state, struct context *context, struct request_id request)
{
    (void)context;
    say(SCRIPT(state)->log, "%s:cancel%s ", SCRIPT(state)->name,
        request.n == SCRIPT(state)->held.n ? "" : "(other)");
    return 0;
}

static inline int script_credit(void *state, struct context *context, struct request_id request)
{
    say(SCRIPT(state)->log, "%s:credit(%u) ", SCRIPT(state)->name,
        context_credit_left(context, request));
    return 0;
}

static inline int script_down(void *state, struct context *context, struct actor_id who,
                              enum exit_reason reason, int error)
{
    (void)context;
    (void)who;
    say(SCRIPT(state)->log, "%s:down(%d,%d) ", SCRIPT(state)->name, (int)reason, error);
    return 0;
}

static inline int script_link(void *state, struct context *context, const char *peer, bool up)
{
    (void)context;
    say(SCRIPT(state)->log, "%s:link(%s,%d) ", SCRIPT(state)->name, peer, up);
    return 0;
}

static const struct actor_handler script_handlers[] = {
    {MSG_ASK, FROM_ANYONE, "ask", NULL, script_on_ask},
    {MSG_ANSWER, FROM_ANSWER, "answer", NULL, script_on_answer},
    {MSG_PART, FROM_ANSWER, "part", NULL, script_on_part},
    {MSG_DO, FROM_LOCAL, "do", NULL, script_on_do},
    {MSG_TELL, FROM_ANYONE, "tell", NULL, script_on_tell},
    {MSG_NODE_ONLY, FROM_NODE, "node_only", NULL, script_on_tell},
    {0},
};

static const struct actor_ops script_ops = {
    .name = "script",
    .state_size = sizeof(struct script *),
    .handlers = script_handlers,
    .start = script_start,
    .stop = script_stop,
    .on_status = script_status,
    .on_timer = script_timer,
    .on_cancel = script_cancel,
    .on_credit = script_credit,
    .on_down = script_down,
    .on_link = script_link,
};

static inline struct actor_id script_spawn(struct manual *manual, struct script *script,
                                           struct log *log, const char *name)
{
    struct spawn_options options = {.name = name};
    struct actor_id id = {0};
    script->log = log;
    if (!script->name)
        script->name = name;
    assert_int_equal(runtime_spawn(manual->runtime, &script_ops, script, &options, &id), 0);
    return id;
}

static inline int post(struct manual *manual, struct actor_id to, uint32_t type)
{
    return runtime_post(manual->runtime, to, message_new(type, 0));
}

/* Makes the actor run its on_do. */
static inline void act(struct manual *manual, struct script *script, script_fn what)
{
    script->on_do = what;
    assert_int_equal(post(manual, script->id, MSG_DO), 0);
    manual_run(manual);
}

#define assert_log(log, expected)                                                                  \
    do {                                                                                           \
        assert_string_equal((log)->text, expected);                                                \
        (log)->length = 0;                                                                         \
        (log)->text[0] = '\0';                                                                     \
    } while (0)

/* Common behaviour. */
static inline int do_ask(struct script *script, struct context *context,
                         const struct message *message)
{
    struct request_options options = {.tag = 7,
                                      .credit = script->credit,
                                      .deadline_ns = script->deadline_ns,
                                      .ret_request = &script->asked};
    (void)message;
    return context_request(context, script->to, message_new(MSG_ASK, 0), &options);
}

static inline int do_reply(struct script *script, struct context *context,
                           const struct message *message)
{
    (void)script;
    (void)message;
    return context_reply(context, message_new(MSG_ANSWER, 0));
}

static inline int do_defer(struct script *script, struct context *context,
                           const struct message *message)
{
    (void)message;
    script->held = context_defer(context);
    return 0;
}

static inline int do_answer_held(struct script *script, struct context *context,
                                 const struct message *message)
{
    (void)message;
    return context_answer(context, script->held, message_new(MSG_ANSWER, 0)) == -ENOENT ? 0 : 0;
}

static inline int do_forward(struct script *script, struct context *context,
                             const struct message *message)
{
    (void)message;
    return context_forward(context, script->to);
}

static inline int do_fail(struct script *script, struct context *context,
                          const struct message *message)
{
    (void)script;
    (void)context;
    (void)message;
    return -EIO;
}

static inline int do_stop(struct script *script, struct context *context,
                          const struct message *message)
{
    (void)script;
    (void)message;
    context_stop(context, 0);
    return 0;
}

static inline int do_cancel(struct script *script, struct context *context,
                            const struct message *message)
{
    (void)message;
    context_cancel(context, script->asked);
    return 0;
}

static inline int do_monitor(struct script *script, struct context *context,
                             const struct message *message)
{
    (void)message;
    context_monitor(context, script->to);
    return 0;
}

/* What most tests stand on; freed when the test has ended, also when it has failed. Scripts lie
 * here, for their actors may outlive the test's function. */
struct stage {
    struct manual manual;
    struct log log;
    struct script a, b, c, d;
};

static inline int stage_setup(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    manual_open(&stage->manual);
    *state = stage;
    return 0;
}

static inline int stage_teardown(void **state)
{
    struct stage *stage = *state;
    manual_close(&stage->manual);
    free(stage);
    return 0;
}

static inline struct actor_id stage_spawn(struct stage *stage, struct script *script,
                                          const char *name)
{
    return script_spawn(&stage->manual, script, &stage->log, name);
}

#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
