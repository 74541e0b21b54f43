/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stage_clock {
    struct clock_port port;
    struct stage *stage;
};

static uint64_t stage_now_ns(const struct clock_port *clock)
{
    return ((const struct stage_clock *)(const void *)clock)->stage->now_ns;
}

static int64_t stage_wall_ms(const struct clock_port *clock)
{
    return STAGE_WALL_MS + (int64_t)(stage_now_ns(clock) / 1000000) - 1000;
}

struct stage_actor {
    struct stage *stage;
};

static int start(void *arg, struct context *context, const void *config)
{
    (void)context;
    memcpy(arg, config, sizeof(struct stage_actor));
    return 0;
}

/* ---- the actor "token" --------------------------------------------------------------------- */

struct stage_profile *stage_profile(struct stage *stage, const char *id)
{
    for (size_t i = 0; i < stage->profile_count; i++)
        if (strcmp(stage->profiles[i].id, id) == 0)
            return &stage->profiles[i];
    struct stage_profile *profile = &stage->profiles[stage->profile_count++];
    snprintf(profile->id, sizeof(profile->id), "%s", id);
    profile->generation = 1;
    return profile;
}

static struct stage_profile *profile_of(struct stage *stage, struct proto_text id)
{
    char text[64];
    proto_text_copy(id, text, sizeof(text));
    return stage_profile(stage, text);
}

static void token_of(const struct stage_profile *profile, char ret_token[64])
{
    snprintf(ret_token, 64, "%.40s-%u", profile->id, profile->generation);
}

static int grant(struct context *context, struct stage_profile *profile)
{
    char token[64];
    token_of(profile, token);
    struct token_grant grant = {.profile = proto_text(profile->id),
                                .generation = profile->generation,
                                .access = proto_text(token),
                                .account = proto_text("acct-7"),
                                .cooling_until_ms = profile->cooling_until_ms,
                                .cooling_model = proto_text(profile->cooling_model),
                                .origin = proto_text(profile->origin)};
    return context_reply(context, actor_pack(token_grant, &grant));
}

static int on_token_get(struct stage_actor *actor, struct context *context,
                        const struct token_get *message)
{
    struct stage_profile *profile = profile_of(actor->stage, message->profile);
    actor->stage->gets++;
    if (profile->refuse)
        return actor_reply_refusal(context, profile->refuse, "no token", "log in");
    return grant(context, profile);
}
ACTOR_HANDLER(token_get)

static int on_token_rejected(struct stage_actor *actor, struct context *context,
                             const struct token_rejected *message)
{
    struct stage_profile *profile = profile_of(actor->stage, message->profile);
    char token[64], wanted[65];
    unsigned char digest[32];
    token_of(profile, token);
    crypto_hash_sha256(digest, (const unsigned char *)token, strlen(token));
    sodium_bin2hex(wanted, sizeof(wanted), digest, sizeof(digest));
    assert(message->access_sha256.size == 32);
    sodium_bin2hex(actor->stage->rejected_sha256, 65,
                   (const unsigned char *)message->access_sha256.data, 32);
    actor->stage->rejected++;
    if (strcmp(wanted, actor->stage->rejected_sha256) == 0)
        profile->generation++;
    if (actor->stage->refuse_rejected)
        return actor_reply_refusal(context, "token_refused", "refused again", "");
    return grant(context, profile);
}
ACTOR_HANDLER(token_rejected)

static int on_quota_hit(struct stage_actor *actor, struct context *context,
                        const struct quota_hit *message)
{
    struct stage *stage = actor->stage;
    struct stage_profile *profile = profile_of(stage, message->profile);
    stage->quota_hits++;
    proto_text_copy(message->profile, stage->quota_profile, sizeof(stage->quota_profile));
    proto_text_copy(message->model, stage->quota_model, sizeof(stage->quota_model));
    proto_text_copy(message->reason, stage->quota_reason, sizeof(stage->quota_reason));
    stage->quota_resets_at_ms = message->resets_at_ms;
    profile->cooling_until_ms = message->resets_at_ms;
    proto_text_copy(message->model, profile->cooling_model, sizeof(profile->cooling_model));
    return actor_reply_done(context, 0);
}
ACTOR_HANDLER(quota_hit)

static const struct actor_handler token_handlers[] = {
    ACTOR_ROW(token_get, FROM_LOCAL),
    ACTOR_ROW(token_rejected, FROM_LOCAL),
    ACTOR_ROW(quota_hit, FROM_LOCAL),
    ACTOR_ROW_END,
};

static const struct actor_ops token_ops = {
    .name = "token", .state_size = sizeof(struct stage_actor), .decode = proto_unpack,
    .handlers = token_handlers, .start = start,
};

/* ---- the actor "http" ---------------------------------------------------------------------- */

struct stage_transfer {
    struct request_id request;
    size_t number, sent;
    bool head_sent, over;
};

struct stage_http {
    struct stage_actor actor;
    struct stage_transfer transfers[STAGE_LOG_MAX];
};

/* 0, or -EAGAIN without credit. */
static int part(struct context *context, struct stage_transfer *transfer, struct message *message)
{
    int result = context_part(context, transfer->request, message);
    if (result == -EAGAIN)
        message_free(message);
    return result;
}

static void finish(struct stage *stage, struct context *context, struct stage_transfer *transfer)
{
    const struct stage_reply *reply = &stage->replies[transfer->number];
    struct http_end end = {.status = reply->status, .size = transfer->sent};
    transfer->over = true;
    stage->live--;
    context_answer(context, transfer->request,
                   reply->refuse ? actor_refusal(reply->refuse, "broken", "", 0, 0)
                                 : actor_pack(http_end, &end));
}

static void play(struct stage *stage, struct context *context, struct stage_transfer *transfer)
{
    const struct stage_reply *reply = &stage->replies[transfer->number];
    size_t size = reply->body ? strlen(reply->body) : 0, piece = stage->piece ? stage->piece : 40;
    struct http_head head = {.status = reply->status, .headers = proto_text(reply->headers)};
    if (transfer->over)
        return;
    if (!transfer->head_sent && reply->status) {
        if (part(context, transfer, actor_pack(http_head, &head)) != 0)
            return;
        transfer->head_sent = true;
    }
    while (transfer->sent < size) {
        size_t left = size - transfer->sent;
        struct http_chunk chunk = {
            .bytes = {reply->body + transfer->sent, (uint32_t)(left < piece ? left : piece)}};
        if (part(context, transfer, actor_pack(http_chunk, &chunk)) != 0)
            return;
        transfer->sent += chunk.bytes.size;
        stage->chunks++;
    }
    if (!reply->hang)
        finish(stage, context, transfer);
}

static int on_http_request(struct stage_http *http, struct context *context,
                           const struct http_request *message)
{
    struct stage *stage = http->actor.stage;
    size_t number = stage->request_count++;
    assert(number < STAGE_LOG_MAX);
    struct stage_request *request = &stage->requests[number];
    proto_text_copy(message->url, request->url, sizeof(request->url));
    proto_text_copy(message->headers, request->headers, sizeof(request->headers));
    proto_text_copy(message->bearer, request->bearer, sizeof(request->bearer));
    proto_text_copy(message->api_key, request->api_key, sizeof(request->api_key));
    request->body = strndup(message->body.data, message->body.size);
    struct stage_transfer *transfer = &http->transfers[number];
    *transfer = (struct stage_transfer){.request = context_defer(context), .number = number};
    stage->live++;
    stage->live_most = stage->live > stage->live_most ? stage->live : stage->live_most;
    play(stage, context, transfer);
    return 0;
}
ACTOR_HANDLER(http_request)

static struct stage_transfer *transfer_of(struct stage_http *http, struct request_id request)
{
    for (size_t i = 0; i < http->actor.stage->request_count; i++)
        if (http->transfers[i].request.n == request.n)
            return &http->transfers[i];
    return NULL;
}

static int on_credit(void *arg, struct context *context, struct request_id request)
{
    struct stage_http *http = arg;
    struct stage_transfer *transfer = transfer_of(http, request);
    if (transfer)
        play(http->actor.stage, context, transfer);
    return 0;
}

static int on_cancel(void *arg, struct context *context, struct request_id request)
{
    struct stage_http *http = arg;
    struct stage_transfer *transfer = transfer_of(http, request);
    (void)context;
    if (!transfer || transfer->over)
        return 0;
    transfer->over = true;
    http->actor.stage->live--;
    http->actor.stage->requests[transfer->number].cancelled = true;
    return 0;
}

static const struct actor_handler http_handlers[] = {
    ACTOR_ROW(http_request, FROM_LOCAL),
    ACTOR_ROW_END,
};

static const struct actor_ops http_ops = {
    .name = "http", .state_size = sizeof(struct stage_http), .decode = proto_unpack,
    .handlers = http_handlers, .start = start, .on_credit = on_credit, .on_cancel = on_cancel,
};

/* ---- the play ------------------------------------------------------------------------------ */

static void quiet(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void spawn(struct stage *stage, const struct actor_ops *ops, const void *config,
                  const char *name, struct actor_id *ret_id)
{
    struct spawn_options options = {.name = name};
    int result = runtime_spawn(stage->runtime, ops, config, &options, ret_id);
    assert(result == 0);
}

struct stage *stage_new(const char *models, const char *auth)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    struct stage_clock *clock = calloc(1, sizeof(*clock));
    *clock = (struct stage_clock){{stage_now_ns, stage_wall_ms}, stage};
    stage->clock = &clock->port;
    stage->now_ns = 1000000000;
    struct runtime_options options = {.name = "stage", .scheduler = SCHEDULER_MANUAL,
                                      .clock = stage->clock, .log = quiet};
    int result = runtime_new(&options, &stage->runtime);
    assert(result == 0);
    struct stage_actor actor = {stage};
    struct actor_id id;
    spawn(stage, &token_ops, &actor, "token", &id);
    spawn(stage, &http_ops, &actor, "http", &id);
    struct model_config config = {models, auth};
    spawn(stage, &model_actor_ops, &config, "model", &stage->model);
    probe_start(&stage->probe, stage->runtime, "model");
    return stage;
}

void stage_free(struct stage *stage)
{
    runtime_free(stage->runtime);
    probe_deinit(&stage->probe);
    for (size_t i = 0; i < stage->request_count; i++)
        free(stage->requests[i].body);
    free(stage->clock);
    free(stage);
}

void stage_reply(struct stage *stage, struct stage_reply reply)
{
    assert(stage->reply_count < STAGE_LOG_MAX);
    stage->replies[stage->reply_count++] = reply;
}

unsigned stage_call(struct stage *stage, const char *agent, const char *models, uint32_t credit,
                    bool keep_credit)
{
    struct model_call call = {.agent = proto_text(agent),
                              .session = proto_text("main"),
                              .models = proto_text(models),
                              .instructions = proto_text("Be short."),
                              .input = proto_text("[{\"role\":\"user\",\"content\":\"Hi\"}]")};
    return probe_send(&stage->probe, actor_pack(model_call, &call), credit, keep_credit);
}

void stage_settle(struct stage *stage)
{
    for (unsigned i = 0; i < 100000 && runtime_step(stage->runtime); i++)
        ;
}

struct probe_call *stage_finish(struct stage *stage, unsigned number)
{
    struct probe_call *call = &stage->probe.calls[number];
    uint64_t end_ns = stage->now_ns + 60000000000u;
    for (stage_settle(stage); !call->over; stage_settle(stage)) {
        uint64_t next_ns = runtime_next_timer_ns(stage->runtime);
        assert(next_ns < end_ns);
        stage->now_ns = next_ns > stage->now_ns ? next_ns : stage->now_ns + 1;
    }
    return call;
}

struct model_answer stage_answer(const struct probe_call *call)
{
    struct model_answer answer;
    if (call->type != MSG_model_answer)
        fprintf(stderr, "refused: %s: %s\n", call->code, call->why);
    assert(call->type == MSG_model_answer);
    int result = proto_unpack(&model_answer_schema, call->answer->body, call->answer->size,
                              &answer);
    assert(result == 0);
    return answer;
}
