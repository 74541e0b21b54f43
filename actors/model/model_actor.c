/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "model": calls of language models for the agents of this node.
 *
 * Takes   model_call, as a stream: model_delta..., then model_answer or refusal. A caller that
 *         gives no credit at all gets the answer without deltas.
 *         model_reconfigure.
 * Sends   token_get, token_rejected, quota_hit to the actor "token"; http_request to "http".
 * Owns    the calls in flight, the settings, a lane for each account.
 * Rules   The models are tried in the order given, each with its provider's profiles in theirs.
 *         - A 401 is told as token_rejected, once, and the call goes on with the newer token.
 *         - A spent quota is told as quota_hit, so that all agents of the account know; then the
 *           next profile, then the next model.
 *         - An overload, a 5xx, a broken connection: again after a moment, a few times, then the
 *           next model.
 *         - What is wrong with the request itself is wrong everywhere: refused at once.
 *         - What costs money where the first model did not is taken only if its reference is
 *           marked so.
 *         Only until the first text has gone out to the caller: nobody wants half an answer of one
 *         model continued by another. A call that another than the first route answered says so
 *         in `note`.
 *         An access token goes to the origin of its provider's baseUrl and nowhere else; of the
 *         token itself only its SHA-256 is kept. */
#include "call.h"

#include "actors/handler.h"
#include "proto/system.h"

#include <errno.h>
#include <stdio.h>

static struct call *by_tag(struct model_state *state, uint64_t tag)
{
    struct call *call;
    HASH_FIND(by_id, state->by_id, &tag, sizeof(tag), call);
    return call;
}

static struct call *by_request(struct model_state *state, struct request_id request)
{
    struct call *call;
    HASH_FIND(by_request, state->by_request, &request, sizeof(request), call);
    return call;
}

static int on_model_call(struct model_state *state, struct context *context,
                         const struct model_call *message)
{
    return call_begin(state, context, message);
}
ACTOR_HANDLER(model_call)

static int on_model_reconfigure(struct model_state *state, struct context *context,
                                const struct model_reconfigure *message)
{
    char why[256] = "no memory";
    struct settings *settings;
    if (settings_parse(message->models, message->auth, &settings, why, sizeof(why)) < 0)
        return actor_reply_refusal(context, "bad_config", why, "");
    settings_unref(state->settings);
    state->settings = settings;
    return actor_reply_done(context, settings->count);
}
ACTOR_HANDLER(model_reconfigure)

/* ---- answers to our requests --------------------------------------------------------------- */

static int on_token_grant(struct model_state *state, struct context *context,
                          const struct token_grant *message)
{
    struct call *call = by_tag(state, context_tag(context));
    if (call && (call->step == STEP_TOKEN || call->step == STEP_REJECTED))
        call_take_grant(call, context, message);
    return 0;
}
ACTOR_HANDLER(token_grant)

static int on_http_head(struct model_state *state, struct context *context,
                        const struct http_head *message)
{
    struct call *call = by_tag(state, context_tag(context));
    if (call && call->step == STEP_HTTP)
        stream_take_head(call, context, message);
    return 0;
}
ACTOR_HANDLER(http_head)

static int on_http_chunk(struct model_state *state, struct context *context,
                         const struct http_chunk *message)
{
    struct call *call = by_tag(state, context_tag(context));
    if (call && call->step == STEP_HTTP)
        stream_take_chunk(call, context, message);
    return 0;
}
ACTOR_HANDLER(http_chunk)

static int on_http_end(struct model_state *state, struct context *context,
                       const struct http_end *message)
{
    struct call *call = by_tag(state, context_tag(context));
    (void)message;
    if (call && call->step == STEP_HTTP)
        stream_take_end(call, context);
    return 0;
}
ACTOR_HANDLER(http_end)

static bool waits(const struct call *call)
{
    return call && (call->step == STEP_TOKEN || call->step == STEP_REJECTED ||
                    call->step == STEP_HTTP);
}

static int on_refusal(struct model_state *state, struct context *context,
                      const struct refusal *message)
{
    char code[64];
    struct call *call = by_tag(state, context_tag(context));
    proto_text_copy(message->code, code, sizeof(code));
    if (waits(call))
        call_take_refusal(call, context, code, message->why, message->remedy, message->until_ms);
    return 0;
}
ACTOR_HANDLER(refusal)

/* Of quota_hit: nothing to do. */
static int on_done(struct model_state *state, struct context *context, const struct done *message)
{
    (void)state;
    (void)context;
    (void)message;
    return 0;
}
ACTOR_HANDLER(done)

static int on_status(void *arg, struct context *context, uint64_t tag, enum runtime_status status)
{
    struct call *call = by_tag(arg, tag);
    char why[96];
    if (!waits(call))
        return 0;
    snprintf(why, sizeof(why), "the actor %s: %s", call->step == STEP_HTTP ? "http" : "token",
             runtime_status_name(status));
    call_take_refusal(call, context, "unavailable", proto_text(why), (struct proto_text){0}, 0);
    return 0;
}

static int on_timer(void *arg, struct context *context, uint64_t tag)
{
    struct call *call = by_tag(arg, tag);
    if (call && (call->step == STEP_BACKOFF || call->step == STEP_COOLING))
        call_run(call, context);
    return 0;
}

static int on_credit(void *arg, struct context *context, struct request_id request)
{
    struct call *call = by_request(arg, request);
    if (call && (call->step == STEP_HTTP || call->step == STEP_FLUSH))
        stream_flush(call, context);
    return 0;
}

static int on_cancel(void *arg, struct context *context, struct request_id request)
{
    struct call *call = by_request(arg, request);
    if (call)
        call_end(call, context);
    return 0;
}

/* ---- start and stop ------------------------------------------------------------------------ */

static int start_actor(void *arg, struct context *context, const void *config)
{
    struct model_state *state = arg;
    const struct model_config *given = config;
    char why[256];
    (void)context;
    return settings_parse(proto_text(given ? given->models : NULL),
                          proto_text(given ? given->auth : NULL), &state->settings, why,
                          sizeof(why));
}

/* Lanes go first: a call that ends must not give its place to one that ends next. */
static void stop_actor(void *arg, struct context *context)
{
    struct model_state *state = arg;
    struct call *call, *next;
    HASH_ITER(by_id, state->by_id, call, next)
        lane_leave(&state->lanes, &call->place);
    HASH_ITER(by_id, state->by_id, call, next)
        call_end(call, context);
    settings_unref(state->settings);
}

static size_t describe(const void *arg, char *ret_text, size_t size)
{
    const struct model_state *state = arg;
    int length = snprintf(ret_text, size,
                          "calls %u, of these waiting for their account %u; answered %llu, by a "
                          "fallback %llu, refused %llu, tried again %llu",
                          HASH_CNT(by_id, state->by_id), state->lanes.waiting,
                          (unsigned long long)state->answered,
                          (unsigned long long)state->fallbacks, (unsigned long long)state->refused,
                          (unsigned long long)state->retries);
    return length < 0 ? 0 : (size_t)length;
}

static const struct actor_handler handlers[] = {
    ACTOR_ROW(model_call, FROM_LOCAL),
    ACTOR_ROW(model_reconfigure, FROM_LOCAL),
    ACTOR_ROW(token_grant, FROM_ANSWER),
    ACTOR_ROW(http_head, FROM_ANSWER),
    ACTOR_ROW(http_chunk, FROM_ANSWER),
    ACTOR_ROW(http_end, FROM_ANSWER),
    ACTOR_ROW(refusal, FROM_ANSWER),
    ACTOR_ROW(done, FROM_ANSWER),
    ACTOR_ROW_END,
};

const struct actor_ops model_actor_ops = {
    .name = "model",
    .state_size = sizeof(struct model_state),
    .mailbox_limit = 32768, /* a thousand streams with their parts on the way */
    .decode = proto_unpack,
    .handlers = handlers,
    .start = start_actor,
    .stop = stop_actor,
    .on_status = on_status,
    .on_timer = on_timer,
    .on_credit = on_credit,
    .on_cancel = on_cancel,
    .describe = describe,
};
