/* SPDX-License-Identifier: Apache-2.0 */
/* token_status: a stream of token_profile, as fast as the asker gives credit. */
#include <errno.h>
#include <string.h>

#include "token_internal.h"

static struct message *describe(struct token_state *state, const struct profile *profile,
                                const struct token_event *look)
{
    const struct credential *credential = &profile->credential;
    const struct cooling *cooling = token_cooling(profile, look->now_ns);
    struct token_profile row = {
        .profile = proto_text(credential->profile),
        .provider = proto_text(credential->provider),
        .mode = proto_text(credential->mode),
        .account = proto_text(credential->account),
        .state = proto_text(profile_state_name(profile->state)),
        .reason = proto_text(profile_reason(profile)),
        .remedy = proto_text(profile_remedy(profile)),
        .generation = credential->generation,
        .expires_at_ms = token_wall(state, profile->expires_ns),
        .refresh_at_ms = token_wall(state, token_step_refresh_at(&state->step, profile, look)),
        .waiters = profile->waiter_count,
        .refreshes = profile->refreshes,
        .waited = profile->waited,
        .grants = profile->grants,
        .refreshed_at_ms = profile->refreshed_at_ms,
        .aliases = proto_text(credential->aliases),
        .origin = proto_text(profile->origin),
        .rotation = proto_text(profile->rule != NULL ? rotation_name(profile->rule->rotation)
                                                     : ""),
        .attempts = profile->intent.attempt};

    if (cooling != NULL) {
        row.cooling_until_ms = token_wall(state, cooling->until_ns);
        row.cooling_model = proto_text(cooling->model);
    }
    return actor_pack(token_profile, &row);
}

static void finish(struct token_state *state, struct status_stream *stream)
{
    struct request_id request = stream->request;
    uint64_t count = stream->next;

    *stream = state->streams[--state->stream_count];
    token_answer(state, request.n, actor_pack(done, (&(struct done){.count = count})));
}

static void go_on(struct token_state *state, struct status_stream *stream)
{
    struct token_event look = token_event(state, EVENT_TIMER);

    while (stream->next < state->step.profile_count) {
        const struct profile *profile = state->step.profiles[stream->next];
        struct message *message = NULL;

        if (stream->only[0] == '\0' || token_step_find(&state->step, stream->only) == profile) {
            message = describe(state, profile, &look);
            if (message == NULL)
                break;
            if (context_part(state->context, stream->request, message) == -EAGAIN) {
                message_free(message); /* made anew when there is credit */
                return;
            }
        }
        stream->next++;
    }
    finish(state, stream);
}

int token_status_begin(struct token_state *state, const struct token_status *message)
{
    struct status_stream *stream;
    char only[PROFILE_ID_MAX];

    if (!proto_text_copy(message->profile, only, sizeof(only)) ||
        (only[0] != '\0' && token_step_find(&state->step, only) == NULL))
        return actor_reply_refusal(state->context, "unknown_profile", "no such profile",
                                   "run `queenright auth list`");
    if (state->stream_count == TOKEN_STREAMS_MAX)
        return actor_reply_refusal(state->context, "busy", "too many status requests", "");
    stream = &state->streams[state->stream_count++];
    *stream = (struct status_stream){.request = context_defer(state->context)};
    memcpy(stream->only, only, sizeof(only));
    go_on(state, stream);
    return 0;
}

void token_status_go_on(struct token_state *state, struct request_id request)
{
    for (size_t i = 0; i < state->stream_count; i++)
        if (state->streams[i].request.n == request.n) {
            go_on(state, &state->streams[i]);
            return;
        }
}

bool token_status_cancel(struct token_state *state, struct request_id request)
{
    for (size_t i = 0; i < state->stream_count; i++)
        if (state->streams[i].request.n == request.n) {
            state->streams[i] = state->streams[--state->stream_count];
            return true;
        }
    return false;
}
