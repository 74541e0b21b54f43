/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: live copies of what an actor receives. The runtime sends each seen message here as an
 * untraced message whose body is a struct tap_event; it becomes a control_event part for the one
 * who watches. A watcher without credit loses events, and the next one says how many. */
#include "control_internal.h"

#include <errno.h>
#include <string.h>

#include "runtime/introspect.h"

/* Events in one tap at most: a forgotten one must not run for ever. */
#define TAP_LIMIT_MAX 1000000

static const char *kind_of(uint16_t flags)
{
    static const struct {
        uint16_t flag;
        const char *name;
    } kinds[] = {{MESSAGE_STATUS, "status"}, {MESSAGE_PART, "part"},
                 {MESSAGE_ANSWER, "answer"}, {MESSAGE_CREDIT, "credit"},
                 {MESSAGE_CANCEL, "cancel"}, {MESSAGE_REQUEST, "request"}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (flags & kinds[i].flag)
            return kinds[i].name;
    return "tell";
}

static uint32_t type_by_name(struct proto_text name)
{
    const struct proto_schema *schema;

    for (size_t i = 0; (schema = proto_at(i)); i++)
        if (proto_text_equal(name, schema->name))
            return schema->number;
    return 0;
}

int control_tap_start(struct control_state *state, struct context *context,
                      const struct control_tap *message)
{
    uint64_t limit = message->limit;
    struct actor_id who = {0};
    uint32_t type = 0;
    char name[128];
    int rc;

    if (limit == 0 || limit > TAP_LIMIT_MAX)
        limit = TAP_LIMIT_MAX;
    if (state->watch.in_use)
        return actor_reply_refusal(context, "busy", "somebody already taps this process",
                                   "wait until that tap ends");
    if (message->actor.size > 0) {
        if (proto_text_copy(message->actor, name, sizeof(name)))
            who = context_lookup(context, name);
        if (!actor_id_is_set(who))
            return actor_reply_refusal(context, "bad_request", "no actor of this name here",
                                       "queenright zmq ls prints the names");
    }
    if (message->type.size > 0 && !(type = type_by_name(message->type)))
        return actor_reply_refusal(context, "bad_request", "no message of this name",
                                   "docs/PROTOCOL.md lists them");
    rc = introspect_tap(context_runtime(context), who, context_self(context), type,
                        (unsigned)limit, message->bodies);
    if (rc < 0)
        return actor_reply_refusal(context, "internal", "the tap could not be set", "");
    state->watch = (struct control_watch){.request = context_defer(context),
                                          .left = limit,
                                          .bodies = message->bodies,
                                          .in_use = true};
    state->lost = 0;
    return 0;
}

int control_tap_cancel(struct control_state *state, struct context *context,
                       struct request_id request)
{
    if (state->watch.in_use && state->watch.request.n == request.n) {
        introspect_untap(context_runtime(context), context_self(context));
        state->watch.in_use = false;
    }
    return 0;
}

static void print_body(const struct control_state *state, const struct message *message,
                       const struct tap_event *event, char *ret_text, size_t size)
{
    const struct proto_schema *schema = proto_find(event->type);
    const uint8_t *body = message->body + sizeof(*event);

    ret_text[0] = '\0';
    if (state->watch.bodies && schema && event->body_size > 0 &&
        message->size >= sizeof(*event) + event->body_size)
        proto_print(schema, body, event->body_size, ret_text, size);
}

int control_tap_event(struct control_state *state, struct context *context)
{
    const struct message *message = context_message(context);
    struct tap_event event;
    char type[16], body[1024];
    struct control_event row;
    struct message *part;

    if (!state->watch.in_use || message->size < sizeof(event))
        return 0;
    memcpy(&event, message->body, sizeof(event));
    print_body(state, message, &event, body, sizeof(body));
    row = (struct control_event){
        .from = proto_text(event.from_name),
        .to = proto_text(event.to_name),
        .type = proto_text(control_type_name(event.type, type)),
        .kind = proto_text(kind_of(event.flags)),
        .request = event.request,
        .trace = event.trace,
        .size = event.size,
        .waited_us = event.waited_ns / 1000,
        .lost = event.lost + state->lost,
        .body = proto_text(body),
        .at_ms = context_wall_ms(context),
    };
    part = actor_pack(control_event, &row);
    if (part && context_part(context, state->watch.request, part) >= 0) {
        state->lost = 0;
    } else {
        message_free(part);
        state->lost++;
    }
    if (--state->watch.left > 0)
        return 0;
    state->watch.in_use = false;
    return context_answer(context, state->watch.request,
                          actor_pack(done, &((struct done){.count = 0})));
}
