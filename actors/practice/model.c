/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DRIP_MS 5

static void refuse_401(struct request *request, const char *code, const char *message)
{
    request->practice->counters.model_401++;
    reply_error(&request->reply, 401, code, "invalid_request_error", message);
}

bool model_authorize(struct practice *practice, struct request *request, struct login **ret_login)
{
    const char *header = request_header(request, "Authorization");
    if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0) {
        refuse_401(request, "missing_bearer", "practice: no bearer token");
        return false;
    }
    switch (logins_check_access(&practice->logins, header + 7, server_now_ms(), ret_login)) {
    case ACCESS_GOOD: return true;
    case ACCESS_EXPIRED:
        practice->counters.model_401_expired++;
        refuse_401(request, "token_expired", "practice: the access token has expired");
        return false;
    case ACCESS_ENDED:
        practice->counters.model_401_ended++;
        refuse_401(request, "token_invalidated", "practice: the login has ended");
        return false;
    case ACCESS_UNKNOWN: break;
    }
    refuse_401(request, "invalid_token", "practice: no such access token");
    return false;
}

void model_bad_request(struct request *request, const char *what)
{
    reply_error(&request->reply, 400, "invalid_request", "invalid_request_error", what);
}

/* 429 for the login until its quota comes back. */
static void refuse_quota(struct practice *practice, struct request *request, struct login *login)
{
    uint64_t now_ms = server_now_ms();
    if (now_ms >= login->quota_until_ms)
        login->quota_until_ms = now_ms + practice->options.quota_reset_ms;
    else
        practice->counters.model_while_cooling++;
    practice->counters.model_429++;
    json_int_t left_s = (json_int_t)((login->quota_until_ms - now_ms + 999) / 1000);
    reply_json(&request->reply, 429,
               json_pack("{s:{s:s, s:s, s:s, s:I, s:I}}", "error", "type", "usage_limit_reached",
                         "message", "practice: the usage limit has been reached", "plan_type",
                         "practice", "resets_at", (json_int_t)server_wall_s() + left_s,
                         "resets_in_seconds", left_s));
    request->reply.retry_after_s = (uint32_t)left_s;
}

/* Faults that answer in place of the model. */
static bool fault_instead(struct practice *practice, struct request *request, struct login *login,
                          enum practice_fault fault)
{
    struct reply *reply = &request->reply;
    switch (fault) {
    case PRACTICE_DROP_BEFORE: reply->drop = true; return true;
    case PRACTICE_ERROR_BEFORE:
        reply_error(reply, 500, "server_error", "server_error", "practice: internal error");
        return true;
    case PRACTICE_FORBIDDEN_HTML:
        reply_text(reply, 403, "text/html", "<html><body>practice firewall: access denied"
                                            "</body></html>\n");
        return true;
    case PRACTICE_UNAUTHORIZED:
        refuse_401(request, "token_invalidated", "practice: refused on purpose");
        return true;
    case PRACTICE_LIMITED: refuse_quota(practice, request, login); return true;
    default: return false;
    }
}

json_t *model_enter(struct practice *practice, struct request *request,
                    enum practice_fault *ret_fault)
{
    struct login *login = NULL;
    practice->counters.model_calls++;
    if (!model_authorize(practice, request, &login))
        return NULL;
    if (server_now_ms() < login->quota_until_ms) {
        refuse_quota(practice, request, login);
        return NULL;
    }
    enum practice_fault fault = fault_plan_next(&practice->model_plan);
    if (fault_instead(practice, request, login, fault))
        return NULL;
    json_t *body = request->size ? json_loadb(request->body, request->size, 0, NULL) : NULL;
    if (!json_is_object(body)) {
        json_decref(body);
        model_bad_request(request, "practice: the body is not a JSON object");
        return NULL;
    }
    *ret_fault = fault;
    return body;
}

void model_fault_apply(struct reply *reply, enum practice_fault fault)
{
    size_t half = reply->step_count / 2;
    switch (fault) {
    case PRACTICE_DRIP: reply_drip(reply, DRIP_MS); break;
    case PRACTICE_HANG:
        if (half == 0)
            reply->delay_ms = REPLY_NEVER;
        for (size_t i = half; i < reply->step_count; i++)
            reply->steps[i].after_ms = REPLY_NEVER;
        break;
    case PRACTICE_CUT:
    case PRACTICE_RESET:
        reply->cut = true;
        reply->reset = fault == PRACTICE_RESET;
        if (half == 0) {
            reply->size /= 2;
        } else {
            reply->step_count = half;
            reply->size = reply->steps[half - 1].end;
        }
        break;
    default: break;
    }
}

const char *model_content_text(const json_t *content)
{
    const char *text = json_string_value(content);
    size_t index = 0;
    json_t *part = NULL;
    json_array_foreach(content, index, part) {
        const char *part_text = json_string_value(json_object_get(part, "text"));
        if (part_text != NULL)
            text = part_text;
    }
    return text;
}

void model_tools_collect(json_t *into, const json_t *tools)
{
    size_t index = 0;
    json_t *tool = NULL;
    json_array_foreach(tools, index, tool) {
        json_t *inner = json_object_get(tool, "function");
        json_t *nested = json_object_get(tool, "tools");
        if (nested != NULL) {
            size_t i = 0;
            json_t *row = NULL;
            json_array_foreach(nested, i, row)
                json_array_append(into, row);
        }
        json_array_append(into, inner ? inner : tool);
    }
}
