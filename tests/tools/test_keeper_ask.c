/* SPDX-License-Identifier: Apache-2.0 */
/* How a command finds the keeper it asks: which one it may tell to go, and what it does about one
 * that is about to. The keepers here are scripts behind a real link; where none is left the program
 * starts itself as one, which in this test says why it will not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/handler.h"
#include "proto/control.h"
#include "proto/token.h"
#include "queenright/cli/command.h"
#include "queenright/keeper/ask.h"
#include "queenright/keeper/start.h"
#include "queenright/process/process.h"
#include "queenright/version.h"
#include "runtime/link.h"
#include "runtime/runtime.h"
#include "support/temp_dir.h"

#define NO_KEEPER "a test starts no keeper"
#define LONG_MS 20000
#define SHORT_MS 3000

const struct command command_table[] = {{0}}; /* this program has none */

/* What the keeper that listens does. The counts are what it was asked. */
struct script {
    const char *version; /* NULL: nobody there to say it */
    unsigned silent;     /* so many questions for its version are left without an answer */
    unsigned scarce;     /* so many are answered: no memory */
    bool never_ends;     /* whoever drains it is refused */
    unsigned stopping;   /* so many questions are refused: it is about to end */
    unsigned gone;       /* so many are then answered by the runtime, with this status */
    enum runtime_status status;
    bool lists_first;    /* the latter, after a part */
    atomic_uint versions, drains, asked;
};

struct actor_state {
    struct script *script;
};

static int start(void *state, struct context *context, const void *config)
{
    (void)context;
    memcpy(&((struct actor_state *)state)->script, config, sizeof(struct script *));
    return 0;
}

static int on_control_info(struct actor_state *state, struct context *context,
                           const struct control_info *question)
{
    struct control_process process = {.version = proto_text(state->script->version)};

    unsigned number = ++state->script->versions;

    (void)question;
    if (number <= state->script->scarce)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    if (number > state->script->silent)
        return context_reply(context, actor_pack(control_process, &process));
    context_defer(context);
    return 0;
}

static int on_token_drain(struct actor_state *state, struct context *context,
                          const struct token_drain *question)
{
    (void)question;
    state->script->drains++;
    if (state->script->never_ends)
        return context_reply_status(context, STATUS_EXPIRED, 0);
    runtime_stop(context_runtime(context));
    return actor_reply_done(context, 0);
}

static int on_token_status(struct actor_state *state, struct context *context,
                           const struct token_status *question)
{
    struct script *script = state->script;
    struct token_profile row = {.generation = 1};
    unsigned number = ++script->asked;

    (void)question;
    if (script->lists_first) {
        struct request_id request = context_defer(context);

        context_part(context, request, actor_pack(token_profile, &row));
        return context_answer_status(context, request, STATUS_NO_ACTOR, 0);
    }
    if (number <= script->stopping)
        return actor_reply_refusal(context, "stopping", "the keeper is stopping", "ask again");
    if (number <= script->stopping + script->gone)
        return context_reply_status(context, script->status, 0);
    return actor_reply_done(context, 0);
}

ACTOR_HANDLER(control_info)
ACTOR_HANDLER(token_drain)
ACTOR_HANDLER(token_status)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(control_info, FROM_CLIENT),
    ACTOR_ROW(token_drain, FROM_CLIENT),
    ACTOR_ROW(token_status, FROM_CLIENT),
    ACTOR_ROW_END,
};

static const struct actor_ops script_ops = {.name = "script",
                                            .state_size = sizeof(struct actor_state),
                                            .decode = proto_unpack,
                                            .handlers = handlers,
                                            .start = start};

/* ---- a keeper of this state, and who asks it ------------------------------------------------- */

static struct fixture {
    char folder[TEMP_DIR_MAX];
    struct paths paths;
    struct runtime *runtime;
} fixture;

static void spawn(struct script *script, const char *name)
{
    struct actor_id id;

    assert_int_equal(runtime_spawn(fixture.runtime, &script_ops, &script,
                                   &(struct spawn_options){.name = name}, &id), 0);
}

static void keeper_begin(struct script *script)
{
    struct runtime_options options = {.name = "keeper", .workers = 1};
    char endpoint[256];

    assert_int_equal(runtime_new(&options, &fixture.runtime), 0);
    assert_int_equal(link_start(fixture.runtime, &(struct link_options){.kind = PEER_KEEPER}), 0);
    if (script->version != NULL)
        spawn(script, "control");
    spawn(script, "token");
    paths_keeper_endpoint(&fixture.paths, endpoint, sizeof(endpoint));
    assert_int_equal(link_listen(fixture.runtime, endpoint), 0);
}

static void keeper_end(void)
{
    runtime_free(fixture.runtime);
    fixture.runtime = NULL;
}

/* Once it is told to end it listens no more, as the process would. */
static void *end_when_told(void *arg)
{
    (void)arg;
    runtime_wait(fixture.runtime);
    keeper_end();
    return NULL;
}

static int count_part(void *arg, const struct message *part)
{
    (void)part;
    ++*(unsigned *)arg;
    return 0;
}

static int ask(uint64_t timeout_ms, unsigned *parts)
{
    struct keeper_line line = {.paths = &fixture.paths};
    struct token_status question = {.profile = proto_text("")};
    int code = keeper_ask(&line, token_status, &question, timeout_ms,
                          parts != NULL ? count_part : NULL, parts, done, NULL);

    keeper_hang_up(&line);
    return code;
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* The keeper is looked for, and this is what comes of it. */
static void find(int code, const char *why)
{
    struct link_client *client;
    char said[256] = "";

    assert_int_equal(keeper_open(&fixture.paths, &client, said, sizeof(said)), code);
    assert_string_equal(said, why);
    if (code == 0)
        link_client_close(client);
}

static void one_of_our_version_is_met_and_goes_on(void **s)
{
    struct script script = {.version = QUEENRIGHT_VERSION};

    (void)s;
    keeper_begin(&script);
    find(0, "");
    assert_int_equal(ask(LONG_MS, NULL), 0);
    assert_int_equal(script.drains, 0);
    keeper_end();
}

static void one_of_another_version_finishes_and_is_replaced(void **s)
{
    struct script script = {.version = "0.0.1"};
    pthread_t thread;

    (void)s;
    keeper_begin(&script);
    assert_int_equal(pthread_create(&thread, NULL, end_when_told, NULL), 0);
    find(-EIO, NO_KEEPER);
    assert_int_equal(script.drains, 1);
    pthread_join(thread, NULL);
}

static void one_of_another_version_that_does_not_finish_is_not_waited_for_for_ever(void **s)
{
    struct script script = {.version = "0.0.1", .never_ends = true};

    (void)s;
    keeper_begin(&script);
    find(-EBUSY, "one of another version runs, and does not come to its end");
    assert_int_equal(script.drains, 1);
    keeper_end();
}

/* With too much to do it may answer late; told to go it would take the others' tokens with it. */
static void one_that_does_not_say_its_version_is_asked_again_and_not_told_to_go(void **s)
{
    struct script scripts[] = {{.version = QUEENRIGHT_VERSION, .silent = 1},
                               {.version = QUEENRIGHT_VERSION, .scarce = 2}};

    (void)s;
    for (unsigned i = 0; i < 2; i++) {
        keeper_begin(&scripts[i]);
        find(0, "");
        assert_int_equal(scripts[i].versions, i + 2);
        assert_int_equal(scripts[i].drains, 0);
        keeper_end();
    }
}

static void one_whose_actors_have_gone_is_not_told_to_go(void **s)
{
    struct script script = {.version = NULL};

    (void)s;
    keeper_begin(&script);
    find(-EIO, NO_KEEPER); /* a successor is started, and would wait for its lock */
    assert_int_equal(script.drains, 0);
    keeper_end();
}

static void who_is_sent_to_the_next_keeper_asks_it(void **s)
{
    struct script script = {.version = QUEENRIGHT_VERSION, .stopping = 4};

    (void)s;
    keeper_begin(&script);
    assert_int_equal(ask(LONG_MS, NULL), 0);
    assert_int_equal(script.asked, 5);
    keeper_end();
}

static void one_that_stops_for_ever_is_waited_for_as_long_as_the_question_may_take(void **s)
{
    struct script script = {.version = QUEENRIGHT_VERSION, .stopping = 1000};

    (void)s;
    keeper_begin(&script);
    assert_int_equal(ask(SHORT_MS, NULL), EXIT_CODE_TEMPORARY);
    assert_in_range(script.asked, 2, 1 + SHORT_MS / 50); /* with pauses in between */
    keeper_end();
}

static void two_deaths_are_survived_and_a_third_is_told(void **s)
{
    struct script two = {.version = QUEENRIGHT_VERSION, .gone = 2, .status = STATUS_DIED};
    struct script three = {.version = QUEENRIGHT_VERSION, .gone = 3, .status = STATUS_NO_ACTOR};

    (void)s;
    keeper_begin(&two);
    assert_int_equal(ask(LONG_MS, NULL), 0);
    keeper_end();
    keeper_begin(&three);
    assert_int_equal(ask(LONG_MS, NULL), EXIT_CODE_UNAVAILABLE);
    assert_int_equal(three.asked, 3);
    keeper_end();
}

static void a_list_that_has_begun_is_not_begun_again(void **s)
{
    struct script script = {.version = QUEENRIGHT_VERSION, .lists_first = true};
    unsigned parts = 0;

    (void)s;
    keeper_begin(&script);
    assert_int_equal(ask(LONG_MS, &parts), EXIT_CODE_UNAVAILABLE);
    assert_int_equal(parts, 1);
    assert_int_equal(script.asked, 1);
    keeper_end();
}

static int setup(void **s)
{
    char path[TEMP_DIR_MAX + 16];

    (void)s;
    assert_int_equal(temp_dir_make(fixture.folder), 0);
    snprintf(path, sizeof(path), "%s/state", fixture.folder);
    setenv("QUEENRIGHT_STATE", path, 1);
    setenv("XDG_RUNTIME_DIR", fixture.folder, 1);
    return paths_init(&fixture.paths, NULL, 0);
}

static int teardown(void **s)
{
    (void)s;
    temp_dir_remove(fixture.folder);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_our_version_is_met_and_goes_on),
        cmocka_unit_test(one_of_another_version_finishes_and_is_replaced),
        cmocka_unit_test(one_of_another_version_that_does_not_finish_is_not_waited_for_for_ever),
        cmocka_unit_test(one_that_does_not_say_its_version_is_asked_again_and_not_told_to_go),
        cmocka_unit_test(one_whose_actors_have_gone_is_not_told_to_go),
        cmocka_unit_test(who_is_sent_to_the_next_keeper_asks_it),
        cmocka_unit_test(
            one_that_stops_for_ever_is_waited_for_as_long_as_the_question_may_take),
        cmocka_unit_test(two_deaths_are_survived_and_a_third_is_told),
        cmocka_unit_test(a_list_that_has_begun_is_not_begun_again),
    };

    if (argc > 2 && strcmp(argv[1], "keeper") == 0) { /* started as one */
        process_say_ready((int)strtol(strchr(argv[2], '=') + 1, NULL, 10), NO_KEEPER);
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
