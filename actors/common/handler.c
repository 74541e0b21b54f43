/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/handler.h"

#include <stdio.h>

#include "proto/cursor.h"
#include "proto/system.h"

_Static_assert(PROTO_STRUCT_MAX <= ACTOR_DECODED_MAX, "the runtime sets too little aside");

struct message *actor_pack_schema(const struct proto_schema *schema, const void *message)
{
    size_t size = proto_packed_size(schema, message);
    struct message *packed = message_new(schema->number, size);

    if (!packed)
        return NULL;
    if (schema->has_secret)
        packed->flags |= MESSAGE_WIPE;
    if (proto_pack(schema, message, packed->body, size) < 0) {
        message_free(packed);
        return NULL;
    }
    return packed;
}

static int reply_or_no_memory(struct context *context, struct message *answer)
{
    if (!answer)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    return context_reply(context, answer);
}

int actor_reply_done(struct context *context, uint64_t count)
{
    const struct done done = {.count = count};

    return reply_or_no_memory(context, actor_pack(done, &done));
}

int actor_reply_refusal(struct context *context, const char *code, const char *why,
                        const char *remedy)
{
    return reply_or_no_memory(context, actor_refusal(code, why, remedy, 0, 0));
}

/* A sentence may quote a stranger. Better no quote than no refusal. */
static struct proto_text sentence(const char *string)
{
    struct proto_text text = proto_text(string);

    return proto_utf8_valid(text) ? text : proto_text("(the reason is not readable text)");
}

struct message *actor_refusal(const char *code, const char *why, const char *remedy,
                              uint64_t retry_after_ms, int64_t until_ms)
{
    const struct refusal refusal = {
        .code = proto_text(code),
        .why = sentence(why),
        .remedy = sentence(remedy),
        .retry_after_ms = retry_after_ms,
        .until_ms = until_ms,
    };

    return actor_pack(refusal, &refusal);
}

/* What a user is told when the runtime answers instead of `what`. */
static const struct status_words {
    const char *code;
    const char *why;
    const char *remedy;
    uint64_t retry_after_ms;
} status_words[STATUS_COUNT] = {
    [STATUS_BUSY] = {"busy", "has more to do than it can queue", "try again in a moment", 200},
    [STATUS_NO_ACTOR] = {"unavailable", "is not running", "look at `queenright status`", 0},
    [STATUS_MOVED] = {"unavailable", "has just been restarted", "try again", 100},
    [STATUS_EXPIRED] = {"timeout", "did not answer within the time limit", "", 0},
    [STATUS_PEER_DOWN] = {"unavailable", "is in a process that has gone",
                          "look at `queenright status`", 1000},
    [STATUS_DIED] = {"internal", "failed while it worked on this", "try again", 0},
    [STATUS_UNKNOWN_TYPE] = {"bad_request", "does not take this message",
                             "are both sides of the same version?", 0},
    [STATUS_MALFORMED] = {"bad_request", "could not read the message",
                          "are both sides of the same version?", 0},
    [STATUS_FORBIDDEN] = {"bad_request", "does not take this message from this sender", "", 0},
    [STATUS_CANCELLED] = {"interrupted", "was told to give up", "", 0},
    [STATUS_UNANSWERED] = {"internal", "gave no answer", "", 0},
    [STATUS_TOO_LARGE] = {"too_large", "was sent more than a message may hold", "", 0},
    [STATUS_SHUTDOWN] = {"unavailable", "is stopping", "", 0},
    [STATUS_NO_MEMORY] = {"internal", "ran out of memory", "", 0},
    [STATUS_VERSION] = {"unavailable", "is in a process of another version",
                        "restart it with the same version", 0},
};

struct message *actor_refusal_of_status(enum runtime_status status, const char *what)
{
    const struct status_words *words =
        (unsigned)status < STATUS_COUNT ? &status_words[status] : &status_words[STATUS_OK];
    char why[256];

    if (!words->code)
        return actor_refusal("internal", "the runtime gave no reason", "", 0, 0);
    snprintf(why, sizeof(why), "%.150s %s", what, words->why);
    return actor_refusal(words->code, why, words->remedy, words->retry_after_ms, 0);
}
