/* SPDX-License-Identifier: Apache-2.0 */
/* The token proxy before a keeper that answers as the test says: late, with an older store, with a
 * refusal, not at all. */
#include "proxy/proxy.h"

#include "support/token_rig.h"

#include "runtime/introspect.h"
#include "upstream.h"

#define ORDER_TYPE 0x01fau

/* ---- a keeper by script --------------------------------------------------------------------- */

struct asked {
    uint32_t type;
    struct request_id request;
    uint64_t generation_seen, min_valid_ms;
    char who[128];
};

struct keeper {
    struct asked asked[2 * LEASES_MAX];
    size_t count;
};

struct keeper_state {
    struct keeper *keeper;
};

struct order {
    struct request_id request;
    struct message *message; /* NULL: a status */
};

static struct asked *note(struct keeper_state *state, struct context *context, uint32_t type)
{
    struct asked *asked = &state->keeper->asked[state->keeper->count++];

    assert_true(state->keeper->count < 2 * LEASES_MAX);
    *asked = (struct asked){.type = type, .request = context_defer(context)};
    return asked;
}

static int keeper_on_get(void *state, struct context *context, const void *body)
{
    const struct token_get *get = body;
    struct asked *asked = note(state, context, MSG_token_get);

    asked->min_valid_ms = get->min_valid_ms;
    proto_text_copy(get->who, asked->who, sizeof(asked->who));
    return 0;
}

static int keeper_on_watch(void *state, struct context *context, const void *body)
{
    note(state, context, MSG_token_watch)->generation_seen =
        ((const struct token_watch *)body)->generation_seen;
    return 0;
}

static int keeper_on_rejected(void *state, struct context *context, const void *body)
{
    (void)body;
    note(state, context, MSG_token_rejected);
    return 0;
}

static int keeper_on_join(void *state, struct context *context, const void *body)
{
    (void)body;
    note(state, context, MSG_swarm_join);
    return 0;
}

static int keeper_on_order(void *state, struct context *context, const void *body)
{
    struct order order;

    (void)state;
    memcpy(&order, body, sizeof(order));
    if (order.message != NULL)
        context_answer(context, order.request, order.message);
    else
        context_answer_status(context, order.request, STATUS_BUSY, 0);
    return 0;
}

static int keeper_start(void *state, struct context *context, const void *config)
{
    (void)context;
    memcpy(&((struct keeper_state *)state)->keeper, config, sizeof(struct keeper *));
    return 0;
}

static const struct actor_handler keeper_handlers[] = {
    {MSG_token_get, FROM_LOCAL, "token_get", &token_get_schema, keeper_on_get},
    {MSG_token_watch, FROM_LOCAL, "token_watch", &token_watch_schema, keeper_on_watch},
    {MSG_token_rejected, FROM_LOCAL, "token_rejected", &token_rejected_schema,
     keeper_on_rejected},
    {MSG_swarm_join, FROM_LOCAL, "swarm_join", &swarm_join_schema, keeper_on_join},
    {ORDER_TYPE, FROM_LOCAL, "order", NULL, keeper_on_order},
    {0, 0, NULL, NULL, NULL},
};

static const struct actor_ops keeper_ops = {
    .name = "keeper",
    .state_size = sizeof(struct keeper_state),
    .mailbox_limit = 8192,
    .decode = proto_unpack,
    .handlers = keeper_handlers,
    .start = keeper_start,
};

/* ---- bench ---------------------------------------------------------------------------------- */

struct bench {
    struct rig *rig;
    struct keeper keeper;
    struct actor_id keeper_id;
};

static struct bench *bench_new(struct proxy_config config)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct keeper *keeper = &bench->keeper;
    struct spawn_options options = {.name = "keeper"}, proxy = {.name = "token"};

    assert_non_null(bench);
    bench->rig = rig_new();
    bench->rig->token_name = "unused";
    rig_boot(bench->rig);
    assert_int_equal(runtime_spawn(bench->rig->runtime, &keeper_ops, &keeper, &options,
                                   &bench->keeper_id), 0);
    config.actor = "keeper";
    assert_int_equal(runtime_spawn(bench->rig->runtime, &proxy_ops, &config, &proxy,
                                   &bench->rig->token), 0);
    rig_run(bench->rig);
    return bench;
}

static void bench_free(struct bench *bench)
{
    rig_free(bench->rig);
    free(bench);
}

static uint64_t get(struct bench *bench, const char *profile, bool force)
{
    return rig_ask(bench->rig, token_get, .profile = proto_text(profile),
                   .who = proto_text("atlas"), .force = force);
}

/* The latest request of this type; the number of those so far. */
static size_t asked(const struct bench *bench, uint32_t type, struct asked *ret_last)
{
    size_t count = 0;

    for (size_t i = 0; i < bench->keeper.count; i++)
        if (bench->keeper.asked[i].type == type) {
            *ret_last = bench->keeper.asked[i];
            count++;
        }
    return count;
}

static void reply(struct bench *bench, uint32_t type, struct message *message)
{
    struct message *post = message_new(ORDER_TYPE, sizeof(struct order));
    struct asked last;

    assert_true(asked(bench, type, &last) > 0);
    memcpy(post->body, &(struct order){last.request, message}, sizeof(struct order));
    assert_int_equal(runtime_post(bench->rig->runtime, bench->keeper_id, post), 0);
    rig_run(bench->rig);
}

static struct message *grant(uint64_t generation, uint64_t version)
{
    char access[32];

    snprintf(access, sizeof(access), "access-%llu", (unsigned long long)generation);
    return actor_pack(token_grant, (&(struct token_grant){.profile = proto_text("lab:me"),
                                                          .access = proto_text(access),
                                                          .generation = generation,
                                                          .version = version}));
}

static struct message *refusal(const char *code)
{
    return actor_refusal(code, "the test says so", "", 0, 0);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void an_older_store_is_named_and_told_what_was_seen(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t first = get(bench, "lab:me", false), forced;
    struct asked last;

    (void)s;
    reply(bench, MSG_token_get, grant(5, 50));
    assert_token(bench->rig, first, "access-5");
    assert_int_equal(asked(bench, MSG_token_watch, &last), 1);
    reply(bench, MSG_token_watch, grant(4, 50)); /* older, and of the version that is known */
    get(bench, "lab:me", false);
    reply(bench, MSG_token_watch, grant(4, 40));
    forced = get(bench, "lab:me", true);
    reply(bench, MSG_token_get, grant(3, 30));
    assert_code(bench->rig, forced, "copied_store");
    asked(bench, MSG_token_watch, &last);
    assert_int_equal(last.generation_seen, 5);
    bench_free(bench);
}

static void a_refused_watch_is_not_asked_for_until_the_next_use(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag = get(bench, "lab:me", false);
    struct asked last;
    size_t watches;

    (void)s;
    reply(bench, MSG_token_get, grant(5, 50));
    watches = asked(bench, MSG_token_watch, &last);
    reply(bench, MSG_token_watch, refusal("busy"));
    rig_pass(bench->rig, 60000);
    assert_int_equal(asked(bench, MSG_token_watch, &last), watches);
    tag = get(bench, "lab:me", false);
    assert_token(bench->rig, tag, "access-5");
    assert_int_equal(asked(bench, MSG_token_watch, &last), watches + 1);
    reply(bench, MSG_token_watch, NULL); /* busy, says the runtime */
    rig_pass(bench->rig, 60000);
    assert_int_equal(asked(bench, MSG_token_watch, &last), watches + 1);
    bench_free(bench);
}

static void a_request_that_is_never_answered_is_asked_again(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag = get(bench, "lab:me", false);
    struct asked last;

    (void)s;
    rig_pass(bench->rig, GET_DEADLINE_MS + 1000);
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    assert_null(rig_answer(bench->rig, tag));
    reply(bench, MSG_token_get, grant(5, 50));
    assert_token(bench->rig, tag, "access-5");
    get(bench, "lab:me", false);
    assert_int_equal(asked(bench, MSG_token_watch, &last), 1);
    rig_pass(bench->rig, 3601000); /* and so is a watch, while it is of use */
    assert_int_equal(asked(bench, MSG_token_watch, &last), 2);
    bench_free(bench);
}

static void a_busy_keeper_is_asked_again_in_a_while(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.patience_ms = 1000, .retry_ms = 100});
    uint64_t tag = get(bench, "lab:me", false);
    struct asked last;

    (void)s;
    for (int i = 0; i < 3; i++) {
        reply(bench, MSG_token_get, NULL);
        rig_pass(bench->rig, 101);
    }
    assert_int_equal(asked(bench, MSG_token_get, &last), 4);
    assert_null(rig_answer(bench->rig, tag));
    rig_pass(bench->rig, 1000);
    reply(bench, MSG_token_get, NULL);
    assert_non_null(rig_answer(bench->rig, tag)); /* this is as long as it is waited for */
    bench_free(bench);
}

static void a_refused_join_is_tried_again(void **s)
{
    struct bench *bench =
        bench_new((struct proxy_config){.swarm = "five", .config = "a.json", .retry_ms = 100});
    struct asked last;

    (void)s;
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 1);
    reply(bench, MSG_swarm_join, refusal("bad_config"));
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 1);
    rig_pass(bench->rig, 500);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    reply(bench, MSG_swarm_join, actor_pack(done, (&(struct done){.count = 1})));
    rig_pass(bench->rig, 60000);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    bench_free(bench);
}

static void what_is_seen_under_one_name_is_seen_under_all(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag;
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    get(bench, "lab:alias", false);
    reply(bench, MSG_token_get, grant(6, 60)); /* of the same profile */
    tag = get(bench, "lab:me", false);
    assert_null(rig_answer(bench->rig, tag)); /* what it holds is an older one */
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    reply(bench, MSG_token_get, grant(6, 60));
    assert_token(bench->rig, tag, "access-6");
    bench_free(bench);
}

static struct message *short_grant(const struct bench *bench, uint64_t generation)
{
    int64_t now_ms = rig_wall_ms(&bench->rig->clock.port);
    struct token_grant grant = {.profile = proto_text("lab:me"), .access = proto_text("a"),
                                .generation = generation, .version = generation,
                                .renew_at_ms = now_ms + 1000, .expires_at_ms = now_ms + 600000};

    return actor_pack(token_grant, &grant);
}

static void past_its_renewal_a_token_is_served_and_asked_for_anew_now_and_then(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, short_grant(bench, 5));
    rig_pass(bench->rig, 6000);
    for (int i = 0; i < 3; i++)
        assert_token(bench->rig, get(bench, "lab:me", false), "a");
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    assert_string_equal(last.who, "keeper/"); /* nobody waits for it */
    reply(bench, MSG_token_get, refusal("unavailable"));
    for (int i = 0; i < 4; i++) {
        assert_token(bench->rig, get(bench, "lab:me", false), "a");
        rig_pass(bench->rig, 2000);
    }
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    bench_free(bench);
}

static void names_that_are_none_never_reach_the_keeper(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    char name[200];
    struct asked last;

    (void)s;
    snprintf(name, sizeof(name), "%0150d", 0);
    assert_code(bench->rig, get(bench, "", false), "unknown_profile");
    assert_code(bench->rig, get(bench, name, false), "unknown_profile");
    assert_int_equal(asked(bench, MSG_token_get, &last), 0);
    rig_ask(bench->rig, token_get, .profile = proto_text("lab:me"),
            .who = proto_text("a_name_of_forty_six_bytes_and_then_a_letter_o_\xc3\xb6"));
    asked(bench, MSG_token_get, &last);
    assert_string_equal(last.who, "keeper/a_name_of_forty_six_bytes_and_then_a_letter_o_");
    bench_free(bench);
}

static void profiles_beyond_those_it_keeps_are_asked_of_the_keeper_itself(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct asked last;
    uint64_t tag;
    char name[32];

    (void)s;
    for (int i = 0; i < LEASES_MAX; i++) {
        snprintf(name, sizeof(name), "lab:%d", i);
        get(bench, name, false);
    }
    assert_int_equal(asked(bench, MSG_token_get, &last), LEASES_MAX);
    tag = get(bench, "one more", false);
    assert_int_equal(asked(bench, MSG_token_get, &last), LEASES_MAX + 1);
    reply(bench, MSG_token_get, grant(9, 90));
    assert_token(bench->rig, tag, "access-9");
    bench_free(bench);
}

static void who_has_gone_is_forgotten_and_what_stands_is_described(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    struct actor_info info;
    char text[128];

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    get(bench, "lab:two", false);
    get(bench, "lab:two", true);
    assert_int_equal(introspect_actor(bench->rig->runtime, "token", &info, text, sizeof(text)), 0);
    assert_string_equal(text, "2 leases, 2 waiters, keeper met");
    reply(bench, MSG_token_get, NULL);
    introspect_actor(bench->rig->runtime, "token", &info, text, sizeof(text));
    assert_non_null(strstr(text, "keeper away"));
    runtime_stop_actor(bench->rig->runtime, bench->rig->asker);
    rig_run(bench->rig);
    introspect_actor(bench->rig->runtime, "token", &info, text, sizeof(text));
    assert_non_null(strstr(text, " 0 waiters"));
    bench_free(bench);
}

static void what_is_rejected_by_some_is_still_asked_for_by_others(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t one, other;
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    one = rig_ask(bench->rig, token_rejected, .profile = proto_text("lab:me"),
                  .access_sha256 = {"0123456789abcdef0123456789abcdef", 32});
    other = rig_ask(bench->rig, token_rejected, .profile = proto_text("lab:me"),
                    .access_sha256 = {"0123456789abcdef0123456789abcdeX", 32});
    assert_int_equal(asked(bench, MSG_token_rejected, &last), 1);
    reply(bench, MSG_token_rejected, refusal("token_refused"));
    assert_code(bench->rig, one, "token_refused");
    assert_null(rig_answer(bench->rig, other));
    assert_int_equal(asked(bench, MSG_token_rejected, &last), 2);
    reply(bench, MSG_token_rejected, grant(6, 60));
    assert_token(bench->rig, other, "access-6");
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_store_is_named_and_told_what_was_seen),
        cmocka_unit_test(a_refused_watch_is_not_asked_for_until_the_next_use),
        cmocka_unit_test(a_request_that_is_never_answered_is_asked_again),
        cmocka_unit_test(a_busy_keeper_is_asked_again_in_a_while),
        cmocka_unit_test(a_refused_join_is_tried_again),
        cmocka_unit_test(what_is_seen_under_one_name_is_seen_under_all),
        cmocka_unit_test(past_its_renewal_a_token_is_served_and_asked_for_anew_now_and_then),
        cmocka_unit_test(names_that_are_none_never_reach_the_keeper),
        cmocka_unit_test(profiles_beyond_those_it_keeps_are_asked_of_the_keeper_itself),
        cmocka_unit_test(who_has_gone_is_forgotten_and_what_stands_is_described),
        cmocka_unit_test(what_is_rejected_by_some_is_still_asked_for_by_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
