/* SPDX-License-Identifier: Apache-2.0 */
/* A call taken up: what will be needed later is copied, for the message ends with the handler. */
#include "call.h"

#include "actors/handler.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_DEFAULT_NS (600ull * 1000000000u)

static struct proto_text keep(char **at, struct proto_text text)
{
    struct proto_text kept = {*at, text.size};
    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    (*at)[text.size] = '\0';
    *at += text.size + 1;
    return kept;
}

/* Providers keep the beginning of a conversation warm under this key. They need not know the names
 * that it is made of. */
static void make_cache_key(struct call *call, const struct model_call *message)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state hash;
    crypto_hash_sha256_init(&hash);
    crypto_hash_sha256_update(&hash, (const unsigned char *)message->agent.data,
                              message->agent.size);
    crypto_hash_sha256_update(&hash, (const unsigned char *)"", 1);
    crypto_hash_sha256_update(&hash, (const unsigned char *)message->session.data,
                              message->session.size);
    crypto_hash_sha256_final(&hash, digest);
    sodium_bin2hex(call->cache_key, sizeof(call->cache_key), digest,
                   (sizeof(call->cache_key) - 1) / 2);
}

static bool fill(struct call *call, const struct model_call *message)
{
    call->texts = malloc((size_t)message->agent.size + message->models.size +
                         message->instructions.size + message->input.size + message->tools.size +
                         5);
    if (!call->texts)
        return false;
    char *at = call->texts, *models;
    call->agent = keep(&at, message->agent).data;
    models = at;
    keep(&at, message->models);
    call->instructions = keep(&at, message->instructions);
    call->input = keep(&at, message->input);
    call->tools = keep(&at, message->tools);
    make_cache_key(call, message);
    return routes_make(call->settings, models, &call->routes, &call->route_count) == 0;
}

static bool is_array(struct proto_text text)
{
    json_t *value = json_loadb(text.data, text.size, JSON_ALLOW_NUL, NULL);
    bool result = json_is_array(value);
    json_decref(value);
    return result;
}

static bool has_nul(struct proto_text text)
{
    return text.size > 0 && memchr(text.data, '\0', text.size);
}

static const char *check(const struct model_call *message)
{
    if (message->models.size == 0)
        return "no model is named";
    if (has_nul(message->agent) || has_nul(message->models))
        return "a name has a NUL in it";
    if (!is_array(message->input))
        return "input is not a JSON array";
    if (message->tools.size > 0 && !is_array(message->tools))
        return "tools is not a JSON array";
    return NULL;
}

void call_free(struct call *call)
{
    settings_unref(call->settings);
    free(call->routes);
    free(call->texts);
    free(call);
}

/* By its request and by its id, or neither. */
static bool enter_tables(struct model_state *state, struct call *call)
{
    HASH_ADD(by_request, state->by_request, request, sizeof(call->request), call);
    if (!call->by_request.tbl)
        return false;
    HASH_ADD(by_id, state->by_id, id, sizeof(call->id), call);
    if (!call->by_id.tbl)
        HASH_DELETE(by_request, state->by_request, call);
    return call->by_id.tbl;
}

int call_begin(struct model_state *state, struct context *context, const struct model_call *message)
{
    const char *wrong = check(message);
    if (wrong)
        return actor_reply_refusal(context, "bad_request", wrong, "");
    struct call *call = calloc(1, sizeof(*call));
    if (!call)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    call->state = state;
    call->settings = settings_ref(state->settings);
    if (!fill(call, message)) {
        call_free(call);
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    }
    call->id = ++state->last_id;
    call->deadline_ns = context_message(context)->deadline_ns;
    if (call->deadline_ns == 0)
        call->deadline_ns = context_now_ns(context) + DEADLINE_DEFAULT_NS;
    call->request = context_defer(context);
    if (call->request.n == 0) { /* no memory, or a tell: nobody would hear the answer */
        call_free(call);
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    }
    call->quiet = context_credit_left(context, call->request) == 0;
    if (!enter_tables(state, call)) {
        context_answer_status(context, call->request, STATUS_NO_MEMORY, 0);
        call_free(call);
        return 0;
    }
    call_run(call, context);
    return 0;
}
