/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a process from another one's place: over a real link, as the command line does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/handler.h"
#include "control/control.h"
#include "proto/agent.h"
#include "proto/control.h"
#include "proto/system.h"
#include "proto/token.h"
#include "runtime/link.h"
#include "support/temp_dir.h"

/* An actor to be looked at. */
static int on_agent_tell(void *state, struct context *context, const struct agent_tell *message)
{
    (void)state;
    (void)message;
    return actor_reply_done(context, 7);
}

static int on_token_import(void *state, struct context *context,
                           const struct token_import *message)
{
    (void)state;
    (void)message;
    return actor_reply_done(context, 1);
}

ACTOR_HANDLER(agent_tell)
ACTOR_HANDLER(token_import)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(agent_tell, FROM_ANYONE),
    ACTOR_ROW(token_import, FROM_ANYONE),
    ACTOR_ROW_END,
};

static size_t quiet_describe(const void *state, char *ret_text, size_t size)
{
    (void)state;
    return (size_t)snprintf(ret_text, size, "all is quiet");
}

static const struct actor_ops quiet_ops = {
    .name = "quiet", .state_size = 8, .decode = proto_unpack, .handlers = handlers,
    .describe = quiet_describe};

struct fixture {
    struct runtime *runtime;
    char folder[TEMP_DIR_MAX];
    char endpoint[256];
    struct link_client *client;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct control_config control = {.kind = "node", .version = "1", .config = "/x.json"};
    struct actor_id id;

    temp_dir_make(fixture->folder);
    snprintf(fixture->endpoint, sizeof(fixture->endpoint), "ipc://%s/s", fixture->folder);
    assert_int_equal(runtime_new(&(struct runtime_options){.name = "home", .workers = 1},
                                 &fixture->runtime),
                     0);
    assert_int_equal(link_start(fixture->runtime, &(struct link_options){.kind = PEER_NODE}), 0);
    assert_int_equal(link_listen(fixture->runtime, fixture->endpoint), 0);
    assert_int_equal(runtime_spawn(fixture->runtime, &control_actor_ops, &control,
                                   &(struct spawn_options){.name = "control"}, &id),
                     0);
    assert_int_equal(runtime_spawn(fixture->runtime, &quiet_ops, NULL,
                                   &(struct spawn_options){.name = "atlas"}, &id),
                     0);
    assert_int_equal(link_client_open(fixture->endpoint, "test", 5000000000ull, NULL, 0,
                                      &fixture->client),
                     0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    link_client_close(fixture->client);
    runtime_free(fixture->runtime);
    temp_dir_remove(fixture->folder);
    free(fixture);
    return 0;
}

struct seen {
    char text[8192];
    unsigned count;
};

static int keep_printed(void *arg, const struct message *part)
{
    struct seen *seen = arg;
    size_t length = strlen(seen->text);

    proto_print(proto_find(part->type), part->body, part->size, seen->text + length,
                sizeof(seen->text) - length);
    seen->count++;
    return 0;
}

#define CALL(fixture, to, name, seen, answer, ...)                                                 \
    assert_int_equal(link_client_call((fixture)->client, to,                                       \
                                      actor_pack(name, &((struct name){__VA_ARGS__})),             \
                                      5000000000ull, keep_printed, seen, answer),                  \
                     0)

static void a_list_is_filtered_at_the_source(void **state)
{
    struct fixture *fixture = *state;
    struct message *answer;
    struct seen seen = {0};
    struct done done;

    CALL(fixture, "control", control_ls, &seen, &answer, .pattern = proto_text("atl*"));
    assert_int_equal(answer->type, MSG_done);
    assert_int_equal(proto_unpack(&done_schema, answer->body, answer->size, &done), 0);
    assert_int_equal(done.count, 1);
    assert_int_equal(seen.count, 1);
    assert_non_null(strstr(seen.text, "atlas"));
    assert_non_null(strstr(seen.text, "home"));
    message_free(answer);
}

static void show_tells_counters_and_what_the_actor_says(void **state)
{
    struct fixture *fixture = *state;
    struct message *answer;
    struct seen seen = {0};

    CALL(fixture, "atlas", agent_tell, &seen, &answer, .text = proto_text("hello"));
    assert_int_equal(answer->type, MSG_done);
    message_free(answer);
    CALL(fixture, "control", control_show, &seen, &answer, .actor = proto_text("atlas"));
    assert_int_equal(answer->type, MSG_done);
    assert_non_null(strstr(seen.text, "all is quiet"));
    assert_non_null(strstr(seen.text, "agent_tell"));
    message_free(answer);
}

static void an_unknown_actor_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct message *answer;
    struct seen seen = {0};

    CALL(fixture, "control", control_show, &seen, &answer, .actor = proto_text("nobody"));
    assert_int_equal(answer->type, MSG_refusal);
    message_free(answer);
}

static void a_drop_is_counted_and_listed(void **state)
{
    struct fixture *fixture = *state;
    struct message *answer;
    struct seen seen = {0};

    CALL(fixture, "nobody", agent_tell, &seen, &answer, .text = proto_text("hello"));
    assert_true(answer->flags & MESSAGE_STATUS);
    assert_int_equal(answer->status, STATUS_NO_ACTOR);
    message_free(answer);
    CALL(fixture, "control", control_drops, &seen, &answer,
         .reason = proto_text("no_such_actor"));
    assert_int_equal(seen.count, 1);
    assert_non_null(strstr(seen.text, "agent_tell"));
    message_free(answer);
}

static void *import_often(void *arg)
{
    struct fixture *fixture = arg;
    struct link_client *client;

    if (link_client_open(fixture->endpoint, "other", 5000000000ull, NULL, 0, &client) < 0)
        return NULL;
    for (int i = 0; i < 300; i++) {
        struct token_import import = {.profile = proto_text("lab:me"),
                                      .refresh = proto_text("canary-refresh")};
        struct message *answer = NULL;

        link_client_call(client, "atlas", actor_pack(token_import, &import), 5000000000ull, NULL,
                         NULL, &answer);
        message_free(answer);
    }
    link_client_close(client);
    return NULL;
}

static void a_tap_ends_at_its_limit_and_shows_no_secret(void **state)
{
    struct fixture *fixture = *state;
    struct message *answer;
    struct seen seen = {0};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, import_often, fixture), 0);
    CALL(fixture, "control", control_tap, &seen, &answer, .actor = proto_text("atlas"),
         .limit = 3, .bodies = true);
    pthread_join(thread, NULL);
    assert_int_equal(answer->type, MSG_done);
    assert_int_equal(seen.count, 3);
    assert_non_null(strstr(seen.text, "token_import"));
    assert_null(strstr(seen.text, "canary"));
    message_free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_list_is_filtered_at_the_source, setup, teardown),
        cmocka_unit_test_setup_teardown(show_tells_counters_and_what_the_actor_says, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_unknown_actor_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drop_is_counted_and_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tap_ends_at_its_limit_and_shows_no_secret, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
