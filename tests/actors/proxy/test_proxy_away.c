/* SPDX-License-Identifier: Apache-2.0 */
/* The token proxy and a keeper that is busy, or met anew; and no memory. The linker puts the
 * message_new below in the library's place. */
#include "keeper_bench.h"

/* ---- a link that ends where it begins ------------------------------------------------------- */

/* The runtime is its own peer "hive": the keeper of this bench is met over a link. */
static unsigned link_to_itself(struct bench *bench, struct mirror *mirror)
{
    struct runtime *runtime = bench->rig->runtime;
    unsigned peer = runtime_peer(runtime, "hive");

    mirror_init(mirror, runtime);
    runtime_link_up(runtime, peer, PEER_KEEPER);
    rig_run(bench->rig);
    return peer;
}

/* ---- no memory for one type of message ------------------------------------------------------ */

static uint32_t scarce_type;

struct message *__real_message_new(uint32_t type, size_t size);
struct message *__wrap_message_new(uint32_t type, size_t size);

struct message *__wrap_message_new(uint32_t type, size_t size)
{
    return type != 0 && type == scarce_type ? NULL : __real_message_new(type, size);
}

/* ---- tests ---------------------------------------------------------------------------------- */

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

static void a_push_while_the_keeper_is_away_makes_no_second_time_to_ask_again(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.retry_ms = 100});
    struct asked last;
    uint64_t forced;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    forced = get(bench, "lab:me", true);
    reply(bench, MSG_token_get, NULL);
    rig_pass(bench->rig, 50);
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    reply(bench, MSG_token_watch, grant(6, 60)); /* so it is there after all */
    assert_int_equal(asked(bench, MSG_token_watch, &last), 2); /* as somebody waits */
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    reply(bench, MSG_token_get, NULL);
    rig_pass(bench->rig, 51);
    assert_int_equal(asked(bench, MSG_token_get, &last), 4);
    reply(bench, MSG_token_get, NULL);
    rig_pass(bench->rig, 60);
    assert_int_equal(asked(bench, MSG_token_get, &last), 4);
    rig_pass(bench->rig, 60);
    assert_int_equal(asked(bench, MSG_token_get, &last), 5);
    reply(bench, MSG_token_get, grant(7, 70));
    assert_token(bench->rig, forced, "access-7");
    bench_free(bench);
}

/* Eight: the room that is made for the first ones. */
static void all_who_wait_for_a_busy_keeper_are_served_when_it_has_time(void **s)
{
    static const uint32_t types[] = {MSG_token_get, MSG_token_rejected};

    (void)s;
    for (size_t type = 0; type < 2; type++) {
        struct bench *bench = bench_new((struct proxy_config){.retry_ms = 100});
        uint64_t tags[8];

        get(bench, "lab:me", false);
        reply(bench, MSG_token_get, grant(5, 50));
        for (size_t i = 0; i < 8; i++)
            tags[i] = types[type] == MSG_token_get
                          ? get(bench, "lab:me", true)
                          : reject(bench, "0123456789abcdef0123456789abcdef");
        for (size_t i = 0; i < 2; i++) { /* the first request is for one, the others for all */
            reply(bench, types[type], NULL);
            rig_pass(bench->rig, 101);
        }
        reply(bench, types[type], grant(5, 51));
        for (size_t i = 0; i < 8; i++)
            assert_token(bench->rig, tags[i], "access-5");
        bench_free(bench);
    }
}

static void one_that_is_stopping_is_as_good_as_gone_and_its_successor_is_waited_for(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.patience_ms = 1000, .retry_ms = 100});
    uint64_t tag, late;
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, short_grant(bench, 5));
    tag = get(bench, "lab:me", true);
    reply(bench, MSG_token_get, refusal("stopping"));
    assert_null(rig_answer(bench->rig, tag));
    assert_token(bench->rig, get(bench, "lab:me", false), "a"); /* what is valid is served */
    rig_pass(bench->rig, 101);
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    reply(bench, MSG_token_get, grant(6, 60));
    assert_token(bench->rig, tag, "access-6");
    late = get(bench, "lab:me", true);
    rig_pass(bench->rig, 1000);
    reply(bench, MSG_token_get, refusal("stopping"));
    assert_code(bench->rig, late, "stopping"); /* none has come */
    bench_free(bench);
}

static void who_has_waited_as_long_as_it_is_waited_for_is_told(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.patience_ms = 1000});
    uint64_t tag = get(bench, "lab:me", false);

    (void)s;
    rig_pass(bench->rig, 1000);
    reply(bench, MSG_token_get, NULL);
    assert_code(bench->rig, tag, "busy");
    bench_free(bench);
}

/* A renewal for nobody, which the keeper is too busy for, must not keep the next asker waiting. */
static void a_keeper_that_was_busy_while_nobody_waited_is_asked_by_the_next(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.retry_ms = 100});
    struct asked last;
    uint64_t forced;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, short_grant(bench, 5));
    rig_pass(bench->rig, 6000);
    get(bench, "lab:me", false);
    reply(bench, MSG_token_watch, short_grant(bench, 6));
    assert_int_equal(asked(bench, MSG_token_get, &last), 2);
    reply(bench, MSG_token_get, NULL);
    forced = get(bench, "lab:me", true);
    rig_pass(bench->rig, 101);
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    reply(bench, MSG_token_get, grant(7, 70));
    assert_token(bench->rig, forced, "access-7");
    bench_free(bench);
}

static void without_memory_for_a_refusal_the_runtime_says_so(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){0});
    uint64_t tag = get(bench, "lab:me", false);
    struct message *message = refusal("unavailable");
    struct asked last;

    (void)s;
    scarce_type = MSG_refusal;
    reply(bench, MSG_token_get, message);
    scarce_type = 0;
    assert_non_null(rig_answer(bench->rig, tag));
    assert_int_equal(rig_answer(bench->rig, tag)->status, STATUS_NO_MEMORY);
    assert_int_equal(asked(bench, MSG_token_get, &last), 1);
    bench_free(bench);
}

static void without_memory_for_a_request_it_is_made_a_while_later(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.retry_ms = 100});
    struct token_get get = {.profile = proto_text("lab:me")};
    struct message *message = actor_pack(token_get, &get);
    struct asked last;
    uint64_t tag;

    (void)s;
    scarce_type = MSG_token_get;
    tag = rig_send(bench->rig, message, 0, 60000);
    scarce_type = 0;
    assert_int_equal(asked(bench, MSG_token_get, &last), 0);
    rig_pass(bench->rig, 101);
    assert_int_equal(asked(bench, MSG_token_get, &last), 1);
    reply(bench, MSG_token_get, grant(5, 50));
    assert_token(bench->rig, tag, "access-5");
    bench_free(bench);
}

static void without_memory_to_join_it_is_done_a_while_later(void **s)
{
    struct bench *bench;
    struct asked last;

    (void)s;
    scarce_type = MSG_swarm_join;
    bench = bench_new((struct proxy_config){.swarm = "five", .retry_ms = 100});
    scarce_type = 0;
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 0);
    rig_pass(bench->rig, 401);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 1);
    bench_free(bench);
}

/* The latest watch of this profile. */
static struct asked watched(const struct bench *bench, const char *profile)
{
    struct asked found = {0};

    for (size_t i = 0; i < bench->keeper.count; i++)
        if (bench->keeper.asked[i].type == MSG_token_watch &&
            strcmp(bench->keeper.asked[i].profile, profile) == 0)
            found = bench->keeper.asked[i];
    return found;
}

static void a_keeper_that_is_met_is_told_of_what_is_idle_by_a_watch_that_ends_at_once(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.peer = "hive"});
    struct mirror mirror;
    unsigned peer = link_to_itself(bench, &mirror);
    struct asked last;

    (void)s;
    get(bench, "lab:idle", false);
    reply(bench, MSG_token_get, grant_of("lab:idle", 1, 30));
    reply(bench, MSG_token_watch, grant_of("lab:idle", 1, 40)); /* not asked for since */
    get(bench, "lab:none", false); /* of which there is nothing to tell */
    reply(bench, MSG_token_get, refusal("unknown_profile"));
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    assert_int_equal(asked(bench, MSG_token_watch, &last), 2);
    runtime_link_down(bench->rig->runtime, peer);
    rig_run(bench->rig);
    runtime_link_up(bench->rig->runtime, peer, PEER_KEEPER);
    rig_run(bench->rig);
    assert_int_equal(asked(bench, MSG_token_watch, &last), 4);
    assert_int_equal(watched(bench, "lab:idle").generation_seen, 1);
    assert_int_equal(watched(bench, "lab:idle").version, 0);
    assert_int_equal(watched(bench, "lab:me").generation_seen, 5);
    assert_int_equal(watched(bench, "lab:me").version, 50);
    runtime_transport_set(bench->rig->runtime, NULL);
    bench_free(bench);
}

/* Where it stands among all that was asked. */
static size_t place_of_last(const struct bench *bench, uint32_t type)
{
    size_t i = bench->keeper.count;

    while (i > 0 && bench->keeper.asked[i - 1].type != type)
        i--;
    return i;
}

static void a_keeper_that_is_met_is_asked_for_those_who_wait_after_it_was_told(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.peer = "hive"});
    struct mirror mirror;
    unsigned peer = link_to_itself(bench, &mirror);
    struct asked last;

    (void)s;
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    get(bench, "lab:me", true);
    runtime_link_down(bench->rig->runtime, peer);
    rig_run(bench->rig);
    runtime_link_up(bench->rig->runtime, peer, PEER_KEEPER);
    rig_run(bench->rig); /* at once: no time has passed */
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    assert_int_equal(asked(bench, MSG_token_watch, &last), 2);
    assert_true(place_of_last(bench, MSG_token_watch) < place_of_last(bench, MSG_token_get));
    runtime_transport_set(bench->rig->runtime, NULL);
    bench_free(bench);
}

/* A node that stood still finds the link's end and its return at once, and only then that what it
 * had asked over the old one will not be answered. What was seen is told as soon as that is known,
 * and nothing is asked before. */
static void a_link_that_is_back_before_its_end_was_noticed_hears_what_was_seen(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){.peer = "hive"});
    struct mirror mirror;
    unsigned peer = link_to_itself(bench, &mirror);
    struct asked last;

    (void)s;
    get(bench, "lab:idle", false);
    reply(bench, MSG_token_get, grant_of("lab:idle", 4, 40));
    get(bench, "lab:me", false);
    reply(bench, MSG_token_get, grant(5, 50));
    get(bench, "lab:me", true);
    assert_int_equal(asked(bench, MSG_token_watch, &last), 2);
    assert_int_equal(asked(bench, MSG_token_get, &last), 3);
    runtime_link_down(bench->rig->runtime, peer);
    runtime_link_up(bench->rig->runtime, peer, PEER_KEEPER);
    rig_run(bench->rig); /* no time has passed */
    assert_int_equal(asked(bench, MSG_token_watch, &last), 4);
    assert_int_equal(watched(bench, "lab:idle").generation_seen, 4);
    assert_int_equal(watched(bench, "lab:me").generation_seen, 5);
    rig_pass(bench->rig, 1000);
    assert_int_equal(asked(bench, MSG_token_get, &last), 4);
    assert_true(place_of_last(bench, MSG_token_watch) < place_of_last(bench, MSG_token_get));
    assert_int_equal(asked(bench, MSG_token_watch, &last), 4);
    runtime_transport_set(bench->rig->runtime, NULL);
    bench_free(bench);
}

static void a_link_that_is_back_before_its_end_was_noticed_is_joined_anew(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){
        .peer = "hive", .swarm = "five", .config = "a.json", .retry_ms = 100});
    struct mirror mirror;
    unsigned peer = link_to_itself(bench, &mirror);
    struct asked last;

    (void)s;
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 1);
    runtime_link_down(bench->rig->runtime, peer);
    runtime_link_up(bench->rig->runtime, peer, PEER_KEEPER);
    rig_run(bench->rig); /* no time has passed */
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    rig_pass(bench->rig, 1000); /* the first one's end calls for no third */
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    reply(bench, MSG_swarm_join, refusal("bad_config"));
    rig_pass(bench->rig, 401);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 3);
    reply(bench, MSG_swarm_join, actor_pack(done, (&(struct done){.count = 1})));
    rig_pass(bench->rig, 1000);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 3);
    runtime_link_down(bench->rig->runtime, peer); /* and so on, with the next one */
    runtime_link_up(bench->rig->runtime, peer, PEER_KEEPER);
    rig_run(bench->rig);
    reply(bench, MSG_swarm_join, refusal("bad_config"));
    rig_pass(bench->rig, 401);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 5);
    runtime_transport_set(bench->rig->runtime, NULL);
    bench_free(bench);
}

static void a_join_refused_again_and_again_is_tried_at_one_pace(void **s)
{
    struct bench *bench = bench_new((struct proxy_config){
        .peer = "hive", .swarm = "five", .config = "a.json", .retry_ms = 100});
    struct mirror mirror;
    unsigned peer = link_to_itself(bench, &mirror);
    struct asked last;

    (void)s;
    reply(bench, MSG_swarm_join, refusal("bad_config"));
    rig_pass(bench->rig, 200);
    runtime_link_down(bench->rig->runtime, peer);
    rig_run(bench->rig);
    runtime_link_up(bench->rig->runtime, peer, PEER_KEEPER);
    rig_run(bench->rig);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    reply(bench, MSG_swarm_join, refusal("bad_config"));
    rig_pass(bench->rig, 300); /* past the time after the first, not after the second */
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 2);
    rig_pass(bench->rig, 101);
    assert_int_equal(asked(bench, MSG_swarm_join, &last), 3);
    runtime_transport_set(bench->rig->runtime, NULL);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_busy_keeper_is_asked_again_in_a_while),
        cmocka_unit_test(a_push_while_the_keeper_is_away_makes_no_second_time_to_ask_again),
        cmocka_unit_test(all_who_wait_for_a_busy_keeper_are_served_when_it_has_time),
        cmocka_unit_test(one_that_is_stopping_is_as_good_as_gone_and_its_successor_is_waited_for),
        cmocka_unit_test(who_has_waited_as_long_as_it_is_waited_for_is_told),
        cmocka_unit_test(a_keeper_that_was_busy_while_nobody_waited_is_asked_by_the_next),
        cmocka_unit_test(without_memory_for_a_refusal_the_runtime_says_so),
        cmocka_unit_test(without_memory_for_a_request_it_is_made_a_while_later),
        cmocka_unit_test(without_memory_to_join_it_is_done_a_while_later),
        cmocka_unit_test(a_keeper_that_is_met_is_told_of_what_is_idle_by_a_watch_that_ends_at_once),
        cmocka_unit_test(a_keeper_that_is_met_is_asked_for_those_who_wait_after_it_was_told),
        cmocka_unit_test(a_link_that_is_back_before_its_end_was_noticed_is_joined_anew),
        cmocka_unit_test(a_join_refused_again_and_again_is_tried_at_one_pace),
        cmocka_unit_test(
            a_link_that_is_back_before_its_end_was_noticed_hears_what_was_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
