/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "actors/handler.h"
#include "mask.h"
#include "proto/system.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_VALID_MS 1000      /* an access token must still live so long when it is sent */
#define HTTP_CREDIT 16         /* parts of a transfer on their way at a time */
#define TRIES_MAX 3            /* on one route, for faults that pass */
#define ROUNDS_MAX 3           /* through all routes, when they cool only for a moment */
#define BACKOFF_FIRST_MS 250   /* doubles with each try; half of it is jitter */
#define WAIT_MAX_MS 15000      /* longer waits are the caller's to decide on */
#define QUOTA_DEADLINE_NS 30000000000ull
#define MESSAGE_MAX (6u << 20) /* bytes of an answer's items */

static const struct route *route_of(const struct call *call)
{
    return &call->routes[call->route];
}

/* ---- words --------------------------------------------------------------------------------- */

static void note(struct call *call, const char *why)
{
    const struct route *route = route_of(call);
    size_t used = strlen(call->note);
    snprintf(call->note + used, sizeof(call->note) - used, "%s%s%s%s%s: %s", used ? "; " : "",
             route->ref, *route->profile ? " (" : "", route->profile, *route->profile ? ")" : "",
             why);
    text_mend(call->note);
}

static void trouble_set(struct trouble *trouble, const char *code, const char *why,
                        const char *remedy, int64_t until_ms)
{
    if (trouble->code[0] != '\0')
        return;
    snprintf(trouble->code, sizeof(trouble->code), "%s", code);
    snprintf(trouble->why, sizeof(trouble->why), "%s", why);
    snprintf(trouble->remedy, sizeof(trouble->remedy), "%s", remedy);
    text_mend(trouble->why);
    text_mend(trouble->remedy);
    trouble->until_ms = until_ms;
}

/* The refusal a fault becomes when nothing else helps. */
static const char *refusal_code(enum fault_kind kind)
{
    static const char *const codes[] = {
        [FAULT_NONE] = "internal",         [FAULT_LOGIN] = "token_refused",
        [FAULT_QUOTA] = "cooling",         [FAULT_RATE] = "cooling",
        [FAULT_PROFILE] = "model_error",   [FAULT_MODEL] = "model_error",
        [FAULT_TRANSIENT] = "unavailable", [FAULT_CUT] = "cut",
        [FAULT_REQUEST] = "model_error",
    };
    return codes[kind];
}

static void met(struct call *call, const struct fault *fault)
{
    char why[sizeof(fault->code) + sizeof(fault->why) + 8];
    snprintf(why, sizeof(why), "%s: %s", fault->code, fault->why);
    note(call, why);
    trouble_set(&call->first, refusal_code(fault->kind), why, "", fault->until_ms);
}

static void met_cooling(struct call *call, int64_t until_ms)
{
    if (until_ms > 0 && (call->cooling_until_ms == 0 || until_ms < call->cooling_until_ms))
        call->cooling_until_ms = until_ms;
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void next_in_lane(struct context *context, struct lane_place *place)
{
    if (!place)
        return;
    size_t offset = offsetof(struct call, place);
    call_has_place((struct call *)(void *)((char *)place - offset), context);
}

static void leave_lane(struct call *call, struct context *context)
{
    next_in_lane(context, lane_leave(&call->state->lanes, &call->place));
}

void call_end(struct call *call, struct context *context)
{
    struct model_state *state = call->state;
    if (call->step == STEP_TOKEN || call->step == STEP_REJECTED || call->step == STEP_HTTP)
        context_cancel(context, call->outgoing);
    if (call->step == STEP_BACKOFF || call->step == STEP_COOLING)
        context_timer_cancel(context, call->timer);
    HASH_DELETE(by_request, state->by_request, call);
    HASH_DELETE(by_id, state->by_id, call);
    stream_close(call);
    struct lane_place *next = lane_leave(&state->lanes, &call->place);
    call_free(call);
    next_in_lane(context, next);
}

static void refuse(struct call *call, struct context *context, const struct trouble *trouble)
{
    struct message *message =
        actor_refusal(trouble->code, call->note[0] ? call->note : trouble->why, trouble->remedy,
                      0, trouble->until_ms);
    call->state->refused++;
    call->step = STEP_IDLE;
    if (message)
        context_answer(context, call->request, message);
    else
        context_answer_status(context, call->request, STATUS_NO_MEMORY, 0);
    call_end(call, context);
}

/* No route is left. That one was forbidden is what the user can do something about. */
static void give_up(struct call *call, struct context *context)
{
    struct trouble trouble = call->paid.code[0] ? call->paid : call->first;
    trouble_set(&trouble, "unknown_model", "no model is named", "", 0);
    if (call->cooling_until_ms != 0) /* of all that cool, the one that ends first */
        trouble.until_ms = call->cooling_until_ms;
    refuse(call, context, &trouble);
}

static struct message *answer_of(struct call *call)
{
    const struct reading *reading = &call->reading;
    const struct route *route = route_of(call);
    bool has_calls = json_array_size(reading->calls) > 0;
    char *calls = has_calls ? json_dumps(reading->calls, JSON_COMPACT) : NULL;
    char *items = json_dumps(reading->items, JSON_COMPACT);
    struct message *message = NULL;
    struct model_answer answer = {.text = {reading->text.bytes, (uint32_t)reading->text.size},
                                  .calls = proto_text(calls),
                                  .items = proto_text(items),
                                  .model = proto_text(route->ref),
                                  .profile = proto_text(route->profile),
                                  .input_tokens = reading->input_tokens,
                                  .output_tokens = reading->output_tokens,
                                  .note = proto_text(call->note)};
    if (items && (calls || !has_calls) && answer.items.size <= MESSAGE_MAX)
        message = actor_pack(model_answer, &answer);
    free(calls);
    free(items);
    return message;
}

void call_complete(struct call *call, struct context *context)
{
    struct model_state *state = call->state;
    if (call->note[0] != '\0') {
        state->fallbacks++;
        note(call, "answered");
    }
    if (call->reading.stop[0] != '\0') {
        char why[96];
        snprintf(why, sizeof(why), "stopped early, %s", call->reading.stop);
        note(call, why);
    }
    struct message *answer = answer_of(call);
    if (!answer) {
        refuse(call, context,
               &(struct trouble){.code = "too_large", .why = "the answer is over our limits"});
        return;
    }
    state->answered++;
    call->step = STEP_IDLE;
    context_answer(context, call->request, answer);
    call_end(call, context);
}

/* ---- routes -------------------------------------------------------------------------------- */

static void wait_ms(struct call *call, struct context *context, enum call_step step, int64_t ms)
{
    call->step = step;
    call->timer = context_timer(context, (uint64_t)ms * 1000000u, call->id);
}

static bool in_time(const struct call *call, const struct context *context, int64_t ms)
{
    return ms <= WAIT_MAX_MS &&
           (call->deadline_ns == 0 ||
            context_now_ns(context) + (uint64_t)ms * 1000000u < call->deadline_ns);
}

/* Past the last route: when one of them cools for a moment only, that moment is worth waiting. */
static void after_last(struct call *call, struct context *context)
{
    int64_t ms = call->cooling_until_ms - context_wall_ms(context);
    ms = ms < 50 ? 50 : ms + 50; /* clocks differ a little */
    if (call->cooling_until_ms == 0 || ++call->rounds >= ROUNDS_MAX ||
        !in_time(call, context, ms)) {
        give_up(call, context);
        return;
    }
    call->route = 0;
    call->cooling_until_ms = 0;
    wait_ms(call, context, STEP_COOLING, ms);
}

/* `whole_model`: the other profiles of this model would not help. */
static void next_route(struct call *call, struct context *context, bool whole_model)
{
    unsigned number = route_of(call)->number;
    leave_lane(call, context);
    do
        call->route++;
    while (whole_model && call->route < call->route_count &&
           call->routes[call->route].number == number);
    call->tries = 0;
    call->rejected = false;
    call_run(call, context);
}

/* Routes that cannot be taken at all. */
static bool pass_over(struct call *call)
{
    const struct route *route = route_of(call);
    if (!route->provider) {
        trouble_set(&call->first, "unknown_model", "the reference names no provider with models",
                    "Use provider/model with a provider from models.providers.", 0);
        note(call, "no such provider, or it has no baseUrl");
    } else if (route->forbidden) {
        trouble_set(&call->paid, "not_paid", "only a paid model is left, and paid is not allowed",
                    "Set \"paid\": \"allow\", or wait.", 0);
        note(call, "costs money and is not allowed");
    }
    return !route->provider || route->forbidden;
}

void call_run(struct call *call, struct context *context)
{
    call->step = STEP_IDLE;
    while (call->route < call->route_count && pass_over(call))
        call->route++;
    if (call->route >= call->route_count) {
        call->route = call->route_count ? call->route_count - 1 : 0;
        after_last(call, context);
        return;
    }
    const struct route *route = route_of(call);
    const char *account = *route->profile ? route->profile : route->provider->id;
    call->step = STEP_LANE;
    int result = lane_enter(&call->state->lanes, account, route->provider->concurrent_max,
                            call->agent, &call->place);
    if (result == LANE_ENTERED)
        call_has_place(call, context);
    else if (result == -ENOMEM)
        refuse(call, context, &(struct trouble){.code = "internal", .why = "out of memory"});
    else if (result < 0)
        refuse(call, context,
               &(struct trouble){.code = "busy", .why = "too many model calls are waiting"});
}

/* ---- one attempt --------------------------------------------------------------------------- */

static void ask(struct call *call, struct context *context, enum call_step step, const char *actor,
                struct message *message, uint32_t credit)
{
    struct request_options options = {.deadline_ns = call->deadline_ns, .tag = call->id,
                                      .credit = credit, .ret_request = &call->outgoing};
    call->step = step;
    call->token_side = step != STEP_HTTP;
    struct actor_id to = context_lookup(context, actor);
    if (message && context_request(context, to, message, &options) == 0)
        return;
    call->step = STEP_IDLE;
    call_failed(call, context,
                &(struct fault){.kind = FAULT_TRANSIENT, .code = "no_memory", .why = "no memory"});
}

static void send_http(struct call *call, struct context *context, struct proto_text secret,
                      struct proto_text account)
{
    const struct provider *provider = route_of(call)->provider;
    bool key_header = provider->auth == PROVIDER_AUTH_KEY && provider->api->key_header;
    size_t size = 0;
    snprintf(call->by, sizeof(call->by), "%s %s", provider->id, route_of(call)->profile);
    char *body = call_body(call, &size), *headers = call_headers(call, account);
    struct http_request request = {.method = proto_text("POST"),
                                   .url = proto_text(provider->url),
                                   .headers = proto_text(headers),
                                   .body = {body, (uint32_t)size}};
    *(key_header ? &request.api_key : &request.bearer) = secret;
    struct message *message = NULL;
    stream_close(call);
    if (body && headers && stream_open(call) == 0)
        message = actor_pack(http_request, &request);
    free(body);
    free(headers);
    ask(call, context, STEP_HTTP, "http", message, HTTP_CREDIT);
}

void call_has_place(struct call *call, struct context *context)
{
    const struct route *route = route_of(call);
    if (*route->profile == '\0') {
        send_http(call, context, (struct proto_text){0}, (struct proto_text){0});
        return;
    }
    struct token_get get = {.profile = proto_text(route->profile),
                            .min_valid_ms = MIN_VALID_MS,
                            .who = proto_text(call->agent)};
    ask(call, context, STEP_TOKEN, "token", actor_pack(token_get, &get), 0);
}

static bool cools(const struct call *call, const struct context *context,
                  const struct token_grant *grant)
{
    return grant->cooling_until_ms > context_wall_ms(context) &&
           (grant->cooling_model.size == 0 ||
            proto_text_equal(grant->cooling_model, route_of(call)->model));
}

/* The keeper may pin a token to an origin. It must be the one that the call goes to. */
static bool origin_fits(const struct call *call, const struct token_grant *grant)
{
    char text[SETTINGS_ORIGIN_MAX], origin[SETTINGS_ORIGIN_MAX];
    if (grant->origin.size == 0)
        return true;
    return proto_text_copy(grant->origin, text, sizeof(text)) &&
           url_origin(text, origin, sizeof(origin)) &&
           strcmp(origin, route_of(call)->provider->origin) == 0;
}

void call_take_grant(struct call *call, struct context *context, const struct token_grant *grant)
{
    struct fault fault = {0};
    if (cools(call, context, grant)) {
        fault_set(&fault, FAULT_QUOTA, "cooling", "the account's quota is used up");
        fault.until_ms = grant->cooling_until_ms;
        met(call, &fault);
        met_cooling(call, grant->cooling_until_ms);
        next_route(call, context, false);
        return;
    }
    if (!origin_fits(call, grant)) {
        fault_set(&fault, FAULT_PROFILE, "origin", "the login belongs to another host");
        met(call, &fault);
        next_route(call, context, false);
        return;
    }
    crypto_hash_sha256(call->token_sha256, (const unsigned char *)grant->access.data,
                       grant->access.size);
    call->token_size = grant->access.size;
    send_http(call, context, grant->access, grant->account);
}

/* ---- faults -------------------------------------------------------------------------------- */

static void tell_rejected(struct call *call, struct context *context)
{
    struct token_rejected rejected = {
        .profile = proto_text(route_of(call)->profile),
        .access_sha256 = {(const char *)call->token_sha256, sizeof(call->token_sha256)},
        .who = proto_text(call->agent)};
    call->rejected = true;
    ask(call, context, STEP_REJECTED, "token", actor_pack(token_rejected, &rejected), 0);
}

/* All agents of the account shall know. Nobody waits for the answer. */
static void tell_quota(struct call *call, struct context *context, const struct fault *fault)
{
    const struct route *route = route_of(call);
    struct quota_hit hit = {.profile = proto_text(route->profile),
                            .model = proto_text(fault->kind == FAULT_RATE ? route->model : ""),
                            .resets_at_ms = fault->until_ms,
                            .reason = proto_text(fault->code),
                            .who = proto_text(call->agent)};
    if (*route->profile == '\0')
        return;
    struct request_options options = {.deadline_ns = context_now_ns(context) + QUOTA_DEADLINE_NS};
    context_request(context, context_lookup(context, "token"), actor_pack(quota_hit, &hit),
                    &options);
}

static void try_again(struct call *call, struct context *context, const struct fault *fault)
{
    int64_t ms = (int64_t)BACKOFF_FIRST_MS << call->tries;
    ms = ms / 2 + (int64_t)(context_random(context) % (uint64_t)(ms / 2 + 1));
    if (fault->until_ms > 0)
        ms = fault->until_ms - context_wall_ms(context);
    ms = ms < 1 ? 1 : ms;
    if (++call->tries >= TRIES_MAX || !in_time(call, context, ms)) {
        met(call, fault);
        next_route(call, context, !call->token_side);
        return;
    }
    call->state->retries++;
    leave_lane(call, context);
    wait_ms(call, context, STEP_BACKOFF, ms);
}

/* What each kind asks for, before any text is out. */
static void fail_over(struct call *call, struct context *context, const struct fault *fault)
{
    switch (fault->kind) {
    case FAULT_LOGIN:
        if (!call->rejected && *route_of(call)->profile) {
            tell_rejected(call, context);
            return;
        }
        break;
    case FAULT_TRANSIENT:
    case FAULT_CUT:
        try_again(call, context, fault);
        return;
    case FAULT_QUOTA:
    case FAULT_RATE:
        tell_quota(call, context, fault);
        met_cooling(call, fault->until_ms);
        break;
    default:
        break;
    }
    met(call, fault);
    if (fault->kind == FAULT_REQUEST)
        refuse(call, context, &call->first);
    else
        next_route(call, context, fault->kind == FAULT_MODEL);
}

void call_failed(struct call *call, struct context *context, const struct fault *reason)
{
    struct fault fault = *reason; /* it may stand in the reading */
    mask_token(fault.code, call->token_sha256, call->token_size);
    mask_token(fault.why, call->token_sha256, call->token_size);
    call->step = STEP_IDLE;
    bool visible = call->sent > 0;
    stream_close(call);
    if (!visible) {
        fail_over(call, context, &fault);
        return;
    }
    if (fault.kind == FAULT_QUOTA || fault.kind == FAULT_RATE)
        tell_quota(call, context, &fault);
    struct trouble trouble = {0};
    met(call, &fault);
    trouble_set(&trouble, refusal_code(fault.kind), fault.why, "", fault.until_ms);
    refuse(call, context, &trouble);
}

/* From http: all but what is our own fault passes. From token: it has tried what can be tried. */
void call_take_refusal(struct call *call, struct context *context, const char *code,
                       struct proto_text why, struct proto_text remedy, int64_t until_ms)
{
    struct fault fault = {0};
    char words[300], what[sizeof(call->first.remedy)];
    snprintf(words, sizeof(words), "%.*s", (int)why.size, why.data ? why.data : "");
    bool passing = strcmp(code, "unavailable") == 0 || strcmp(code, "timeout") == 0 ||
                   strcmp(code, "busy") == 0 || strcmp(code, "stopping") == 0;
    if (call->step == STEP_HTTP || passing) {
        fault_set(&fault, passing ? FAULT_TRANSIENT : FAULT_REQUEST, code, words);
        fault.until_ms = until_ms;
        call_failed(call, context, &fault);
        return;
    }
    call->step = STEP_IDLE;
    snprintf(what, sizeof(what), "%.*s", (int)remedy.size, remedy.data ? remedy.data : "");
    text_mend(words);
    trouble_set(&call->first, code, words, what, until_ms);
    note(call, words[0] ? words : code);
    if (strcmp(code, "cooling") == 0)
        met_cooling(call, until_ms);
    stream_close(call);
    next_route(call, context, false);
}
