/* SPDX-License-Identifier: Apache-2.0 */
/* The token proxy before a keeper that answers as the test says: late, with an older store, with a
 * refusal, not at all. */
#pragma once

#include "proxy/proxy.h"

#include "support/token_rig.h"

#include "upstream.h"

#define ORDER_TYPE 0x01fau

/* ---- a keeper by script --------------------------------------------------------------------- */

struct asked {
    uint32_t type;
    struct request_id request;
    uint64_t generation_seen, version, min_valid_ms;
    char profile[LEASE_NAME_MAX], who[128];
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

static inline struct asked *note(struct keeper_state *state, struct context *context, uint32_t type)
{
    struct asked *asked = &state->keeper->asked[state->keeper->count++];

    assert_true(state->keeper->count < 2 * LEASES_MAX);
    *asked = (struct asked){.type = type, .request = context_defer(context)};
    return asked;
}

static inline int keeper_on_get(void *state, struct context *context, const void *body)
{
    const struct token_get *get = body;
    struct asked *asked = note(state, context, MSG_token_get);

    asked->min_valid_ms = get->min_valid_ms;
    proto_text_copy(get->who, asked->who, sizeof(asked->who));
    return 0;
}

static inline int keeper_on_watch(void *state, struct context *context, const void *body)
{
    const struct token_watch *watch = body;
    struct asked *asked = note(state, context, MSG_token_watch);

    asked->generation_seen = watch->generation_seen;
    asked->version = watch->version;
    proto_text_copy(watch->profile, asked->profile, sizeof(asked->profile));
    return 0;
}

static inline int keeper_on_rejected(void *state, struct context *context, const void *body)
{
    (void)body;
    note(state, context, MSG_token_rejected);
    return 0;
}

static inline int keeper_on_join(void *state, struct context *context, const void *body)
{
    (void)body;
    note(state, context, MSG_swarm_join);
    return 0;
}

static inline int keeper_on_order(void *state, struct context *context, const void *body)
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

static inline int keeper_start(void *state, struct context *context, const void *config)
{
    (void)context;
    memcpy(&((struct keeper_state *)state)->keeper, config, sizeof(struct keeper *));
    return 0;
}

static const struct actor_handler keeper_handlers[] = {
    {MSG_token_get, FROM_LOCAL | FROM_KEEPER, "token_get", &token_get_schema, keeper_on_get},
    {MSG_token_watch, FROM_LOCAL | FROM_KEEPER, "token_watch", &token_watch_schema,
     keeper_on_watch},
    {MSG_token_rejected, FROM_LOCAL, "token_rejected", &token_rejected_schema,
     keeper_on_rejected},
    {MSG_swarm_join, FROM_LOCAL | FROM_KEEPER, "swarm_join", &swarm_join_schema, keeper_on_join},
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

static inline struct bench *bench_new(struct proxy_config config)
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

static inline void bench_free(struct bench *bench)
{
    rig_free(bench->rig);
    free(bench);
}

static inline uint64_t get(struct bench *bench, const char *profile, bool force)
{
    return rig_ask(bench->rig, token_get, .profile = proto_text(profile),
                   .who = proto_text("atlas"), .force = force);
}

static inline uint64_t reject(struct bench *bench, const char *sha256)
{
    return rig_ask(bench->rig, token_rejected, .profile = proto_text("lab:me"),
                   .access_sha256 = {sha256, 32});
}

/* The latest request of this type; the number of those so far. */
static inline size_t asked(const struct bench *bench, uint32_t type, struct asked *ret_last)
{
    size_t count = 0;

    for (size_t i = 0; i < bench->keeper.count; i++)
        if (bench->keeper.asked[i].type == type) {
            *ret_last = bench->keeper.asked[i];
            count++;
        }
    return count;
}

static inline void reply(struct bench *bench, uint32_t type, struct message *message)
{
    struct message *post = message_new(ORDER_TYPE, sizeof(struct order));
    struct asked last;

    assert_true(asked(bench, type, &last) > 0);
    memcpy(post->body, &(struct order){last.request, message}, sizeof(struct order));
    assert_int_equal(runtime_post(bench->rig->runtime, bench->keeper_id, post), 0);
    rig_run(bench->rig);
}

static inline struct message *grant_of(const char *profile, uint64_t generation, uint64_t version)
{
    char access[32];

    snprintf(access, sizeof(access), "access-%llu", (unsigned long long)generation);
    return actor_pack(token_grant, (&(struct token_grant){.profile = proto_text(profile),
                                                          .access = proto_text(access),
                                                          .generation = generation,
                                                          .version = version}));
}

static inline struct message *grant(uint64_t generation, uint64_t version)
{
    return grant_of("lab:me", generation, version);
}

static inline struct message *refusal(const char *code)
{
    return actor_refusal(code, "the test says so", "", 0, 0);
}

static inline struct message *grant_to_renew(const struct bench *bench, uint64_t generation,
                                             int64_t renew_ms)
{
    int64_t now_ms = rig_wall_ms(&bench->rig->clock.port);
    struct token_grant grant = {.profile = proto_text("lab:me"), .access = proto_text("a"),
                                .generation = generation, .version = generation,
                                .renew_at_ms = now_ms + renew_ms,
                                .expires_at_ms = now_ms + 600000};

    return actor_pack(token_grant, &grant);
}

static inline struct message *short_grant(const struct bench *bench, uint64_t generation)
{
    return grant_to_renew(bench, generation, 1000);
}
