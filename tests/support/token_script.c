/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange that does what the test says. */
#include "support/token_rig.h"

static int script_start(struct exchange_port *port, const struct exchange_request *request,
                        uint64_t *ret_id)
{
    struct script *script = (struct script *)port;
    struct script_call *call = &script->calls[script->count];

    if (script->fail_start != 0)
        return script->fail_start;
    assert_true(script->count < SCRIPT_MAX);
    *call = (struct script_call){.request = *request, .rule = *request->rule,
                                 .id = ++script->count};
    snprintf(call->refresh, sizeof(call->refresh), "%s", secret_data(request->refresh));
    *ret_id = call->id;
    return 0;
}

static void script_gate(struct exchange_port *port, uint64_t id, bool open)
{
    struct script_call *call = &((struct script *)port)->calls[id - 1];

    assert_false(call->gated);
    call->gated = true;
    call->open = open;
}

void script_reach_gate(struct script_call *call)
{
    call->at_gate = true;
    call->request.at_gate(call->request.arg, call->id);
}

void script_end(struct script_call *call, enum exchange_end end, long status,
                const char *body)
{
    struct exchange_result result = {.end = end, .http_status = status};

    if (body != NULL)
        result.body = secret_new(body, strlen(body));
    snprintf(result.error, sizeof(result.error), "scripted");
    call->ended = true;
    call->request.done(call->request.arg, call->id, &result);
    assert_null(result.body);
}

void script_close(struct exchange_port *port)
{
    struct script *script = (struct script *)port;

    for (size_t i = 0; i < script->count; i++)
        if (!script->calls[i].ended)
            script_end(&script->calls[i],
                       script->calls[i].open ? EXCHANGE_UNKNOWN : EXCHANGE_NOT_SENT, 0, NULL);
}

bool script_step(struct script *script)
{
    bool moved = false;

    for (size_t i = 0; i < script->count; i++) {
        struct script_call *call = &script->calls[i];
        char body[256];

        if (call->ended || script->auto_life_s == 0)
            continue;
        if (!call->at_gate) {
            script_reach_gate(call);
            moved = true;
        } else if (call->gated && !call->open) {
            script_end(call, EXCHANGE_NOT_SENT, 0, NULL);
            moved = true;
        } else if (call->gated) {
            script->issued++;
            snprintf(body, sizeof(body),
                     "{\"access_token\":\"access-%u\",\"refresh_token\":\"refresh-%u\","
                     "\"expires_in\":%u}",
                     script->issued, script->issued, script->auto_life_s);
            script_end(call, EXCHANGE_ANSWERED, 200, body);
            moved = true;
        }
    }
    return moved;
}

void script_init(struct script *script)
{
    memset(script, 0, offsetof(struct script, auto_life_s));
    script->port = (struct exchange_port){script_start, script_gate, script_close};
}
