/* SPDX-License-Identifier: Apache-2.0 */
/* The token endpoint.
 *
 * A refresh is decided when its request has arrived whole; a configured delay holds back only the
 * answer. So of two requests with one token the second is a reuse even if both are still open,
 * which is what makes a client with two owners fail here as it would in earnest.
 *
 * Errors have two forms, as in the wild: RFC 6749's {"error": "invalid_grant"} for what the
 * standard names, and an error object with a code (refresh_token_reused) for reuse and for logins
 * that have ended. Clients must understand both. */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server.h"

#define HUGE_TOKEN_BYTES (1024 * 1024)
#define DRIP_MS 20

void token_refuse(struct request *request, unsigned status, const char *error,
                  const char *description)
{
    request->practice->counters.token_refused++;
    reply_json(&request->reply, status, json_pack("{s:s, s:s}", "error", error,
                                                  "error_description", description));
}

json_t *practice_token_answer(struct practice *practice, struct login *login, bool with_refresh,
                     size_t padding)
{
    struct access_terms terms = {
        .issuer = practice->issuer,
        .client_id = practice->options.client_id,
        .now_ms = server_now_ms(),
        .wall_s = server_wall_s(),
        .life_ms = practice->options.access_life_ms,
        .padding = padding,
    };
    char *access = login_access_token(&practice->logins, login, &terms);
    char *refresh = login_refresh_token(&practice->logins, login);
    json_t *answer = NULL;
    if (access != NULL && refresh != NULL)
        answer = json_pack("{s:s, s:s, s:I, s:s, s:s, s:b}", "access_token", access, "token_type",
                           "Bearer", "expires_in", (json_int_t)(terms.life_ms / 1000), "scope",
                           "openid offline_access practice", "account_id", login->account,
                           "practice", 1);
    if (answer != NULL && with_refresh)
        json_object_set_new(answer, "refresh_token", json_string(refresh));
    if (answer != NULL && practice->options.earliest_refresh_ms != 0)
        json_object_set_new(
            answer, "earliest_refresh_at",
            json_integer(terms.wall_s +
                         (json_int_t)((practice->options.earliest_refresh_ms + 999) / 1000)));
    free(access);
    free(refresh);
    return answer;
}

static void answer_tokens(struct request *request, struct login *login, bool with_refresh,
                          enum practice_fault fault)
{
    json_t *answer = practice_token_answer(request->practice, login, with_refresh,
                                  fault == PRACTICE_HUGE_TOKEN ? HUGE_TOKEN_BYTES : 0);
    if (answer != NULL && fault == PRACTICE_NO_EXPIRES_IN)
        json_object_del(answer, "expires_in");
    if (answer == NULL)
        request->reply.out_of_memory = true;
    else
        reply_json(&request->reply, 200, answer);
}

static void on_spent(struct practice *practice, struct request *request, struct login *login,
                     enum spend spend, enum practice_fault fault)
{
    struct practice_counters *counters = &practice->counters;
    switch (spend) {
    case SPEND_ROTATED: counters->rotations++; break;
    case SPEND_REPEATED: counters->repeated++; break;
    case SPEND_KEPT: counters->kept++; break;
    case SPEND_REUSED:
        counters->reused++;
        reply_error(&request->reply, 401, "refresh_token_reused", "invalid_request_error",
                    "Your refresh token has already been used to generate a new access token. "
                    "Please log in again (practice).");
        return;
    case SPEND_ENDED:
        counters->refused_ended++;
        reply_error(&request->reply, 401, "refresh_token_invalidated", "invalid_request_error",
                    "This practice login has ended. Please log in again.");
        return;
    case SPEND_EARLY:
        counters->early++;
        token_refuse(request, 400, "invalid_grant", "practice: before earliest_refresh_at");
        return;
    }
    answer_tokens(request, login, spend != SPEND_KEPT, fault);
}

static void grant_refresh(struct practice *practice, struct request *request, const json_t *fields,
                          enum practice_fault fault)
{
    const char *token = json_string_value(json_object_get(fields, "refresh_token"));
    struct login *login = NULL;
    uint64_t generation = 0;
    if (token == NULL) {
        token_refuse(request, 400, "invalid_request", "practice: refresh_token is missing");
        return;
    }
    if (!logins_read_refresh(&practice->logins, token, &login, &generation)) {
        token_refuse(request, 400, "invalid_grant", "practice: no such refresh token");
        return;
    }
    if (server_refresh_open(practice, login->number))
        practice->counters.overlapping++;
    request->login = login->number;
    if (fault == PRACTICE_NO_REFRESH && generation == login->generation && !login->ended) {
        practice->counters.kept++;
        answer_tokens(request, login, false, fault);
        return;
    }
    enum spend spend = login_spend(&practice->logins, login, generation, &practice->options,
                                   server_now_ms());
    on_spent(practice, request, login, spend, fault);
}

static void grant_code(struct practice *practice, struct request *request, const json_t *fields)
{
    const char *code_text = json_string_value(json_object_get(fields, "code"));
    const char *redirect = json_string_value(json_object_get(fields, "redirect_uri"));
    const char *verifier = json_string_value(json_object_get(fields, "code_verifier"));
    struct auth_code *code = code_text ? authorize_take(practice, code_text) : NULL;
    if (code == NULL || redirect == NULL || strcmp(redirect, code->redirect) != 0 ||
        !authorize_verifies(code, verifier)) {
        token_refuse(request, 400, "invalid_grant",
               "practice: unknown or used code, or another redirect_uri or code_verifier");
        return;
    }
    struct login *login = logins_add(&practice->logins, "", server_now_ms());
    if (login == NULL) {
        request->reply.out_of_memory = true;
        return;
    }
    practice->counters.logins++;
    answer_tokens(request, login, true, PRACTICE_OK);
}

/* Faults that show before anything is looked at. */
static bool fault_before(struct request *request, enum practice_fault fault)
{
    struct reply *reply = &request->reply;
    switch (fault) {
    case PRACTICE_DROP_BEFORE: reply->drop = true; return true;
    case PRACTICE_ERROR_BEFORE:
        reply_text(reply, 500, "text/plain", "practice: internal error\n");
        return true;
    case PRACTICE_FORBIDDEN_HTML:
        reply_text(reply, 403, "text/html", "<html><body>practice firewall: access denied"
                                            "</body></html>\n");
        return true;
    case PRACTICE_LIMITED:
        token_refuse(request, 429, "slow_down", "practice: too many requests");
        reply->retry_after_s = 1;
        return true;
    default: return false;
    }
}

/* Faults of the answer: the token is spent, the client may never hear of it. */
static void fault_after(struct reply *reply, enum practice_fault fault)
{
    switch (fault) {
    case PRACTICE_DROP_AFTER: reply->drop = true; break;
    case PRACTICE_HANG: reply->delay_ms = REPLY_NEVER; break;
    case PRACTICE_DRIP: reply_drip(reply, DRIP_MS); break;
    case PRACTICE_ERROR_AFTER:
        reply_text(reply, 500, "text/plain", "practice: internal error\n");
        break;
    case PRACTICE_OK_HTML:
        reply_text(reply, 200, "text/html", "<html><body>practice portal: please sign in"
                                            "</body></html>\n");
        break;
    case PRACTICE_TRUNCATED:
        reply->size /= 2;
        break;
    default: break;
    }
}

/* Where it says who it is: in the body, or by Basic authentication (RFC 6749 §2.3.1) with any
 * password, for this is a public client that some programs take for a confidential one. */
static bool right_client(const struct request *request, const json_t *fields)
{
    const char *expected = request->practice->options.client_id;
    const char *named = json_string_value(json_object_get(fields, "client_id"));
    const char *header = request_header(request, "Authorization");
    char text[256];
    size_t size;
    if (named != NULL)
        return strcmp(named, expected) == 0;
    if (header == NULL || strncasecmp(header, "Basic ", 6) != 0 ||
        sodium_base642bin((unsigned char *)text, sizeof(text), header + 6, strlen(header + 6),
                          NULL, &size, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    return size > strlen(expected) && memcmp(text, expected, strlen(expected)) == 0 &&
           text[strlen(expected)] == ':';
}

void page_token(struct practice *practice, struct request *request)
{
    practice->counters.token_requests++;
    enum practice_fault fault = fault_plan_next(&practice->token_plan);
    request->reply.delay_ms = practice->options.refresh_delay_ms;
    if (fault_before(request, fault))
        return;
    json_t *fields = request_object(request);
    const char *grant = json_string_value(json_object_get(fields, "grant_type"));
    if (fields == NULL || grant == NULL)
        token_refuse(request, 400, "invalid_request",
                     "practice: no form or JSON with a grant_type");
    else if (!right_client(request, fields))
        token_refuse(request, 401, "invalid_client", "practice: unknown client_id");
    else if (strcmp(grant, "refresh_token") == 0)
        grant_refresh(practice, request, fields, fault);
    else if (strcmp(grant, "authorization_code") == 0)
        grant_code(practice, request, fields);
    else
        token_refuse(request, 400, "unsupported_grant_type", "practice: unknown grant_type");
    json_decref(fields);
    fault_after(&request->reply, fault);
}
