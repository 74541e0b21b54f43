/* SPDX-License-Identifier: Apache-2.0 */
/* Logins without a browser: POST /practice/login mints one, and gives its tokens in the form that
 * was asked for, so that an import can be tried without an account anywhere:
 *
 *   (none)           the token answer, with token_url, base_url and client_id
 *   ?form=openclaw   an auth-profiles.json with one profile, named by &profile= (practice:me)
 *   ?form=codex      an auth.json */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server.h"

static const char *answer_string(const json_t *answer, const char *name)
{
    return json_string_value(json_object_get(answer, name));
}

static json_t *form_plain(struct practice *practice, const struct login *login,
                          const json_t *answer)
{
    char url[128];
    json_t *form = json_deep_copy(answer);
    snprintf(url, sizeof(url), "%s/oauth/token", practice->issuer);
    json_object_set_new(form, "token_url", json_string(url));
    snprintf(url, sizeof(url), "%s/v1", practice->issuer);
    json_object_set_new(form, "base_url", json_string(url));
    json_object_set_new(form, "client_id", json_string(practice->options.client_id));
    json_object_set_new(form, "login", json_integer(login->number));
    return form;
}

static json_t *form_openclaw(struct practice *practice, const struct login *login,
                             const json_t *answer, const char *profile)
{
    char provider[64];
    snprintf(provider, sizeof(provider), "%.*s", (int)strcspn(profile, ":"), profile);
    json_int_t expires_ms = (json_int_t)server_wall_s() * 1000 +
                            (json_int_t)practice->options.access_life_ms;
    json_t *credential = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:s, s:s}", "type", "oauth", "provider", provider, "access",
        answer_string(answer, "access_token"), "refresh", answer_string(answer, "refresh_token"),
        "expires", expires_ms, "accountId", login->account, "clientId",
        practice->options.client_id);
    return json_pack("{s:i, s:{s:o}}", "version", 1, "profiles", profile, credential);
}

static json_t *form_codex(const struct login *login, const json_t *answer)
{
    char when[32];
    struct tm utc;
    time_t now_s = server_wall_s();
    gmtime_r(&now_s, &utc);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
    const char *access = answer_string(answer, "access_token");
    return json_pack("{s:s, s:n, s:{s:s, s:s, s:s, s:s}, s:s}", "auth_mode", "chatgpt",
                     "OPENAI_API_KEY", "tokens", "id_token", access, "access_token", access,
                     "refresh_token", answer_string(answer, "refresh_token"), "account_id",
                     login->account, "last_refresh", when);
}

static struct login *login_new(struct practice *practice, struct request *request)
{
    json_t *fields = request->size ? request_object(request) : json_object();
    const char *account = answer_string(fields, "account");
    struct login *login = NULL;
    if (fields == NULL || (account != NULL && (strlen(account) >= LOGIN_ACCOUNT_SIZE ||
                                               account[0] == '\0')))
        token_refuse(request, 400, "invalid_request", "practice: account is empty or too long");
    else
        login = logins_add(&practice->logins, account ? account : "", server_now_ms());
    practice->counters.logins += login != NULL;
    json_decref(fields);
    return login;
}

void page_login(struct practice *practice, struct request *request)
{
    const char *form = request_query(request, "form");
    const char *profile = request_query(request, "profile");
    if (form != NULL && strcmp(form, "openclaw") != 0 && strcmp(form, "codex") != 0) {
        token_refuse(request, 400, "invalid_request", "practice: form is openclaw or codex");
        return;
    }
    struct login *login = login_new(practice, request);
    json_t *answer = login ? practice_token_answer(practice, login, true, 0) : NULL;
    if (answer == NULL)
        return;
    if (form == NULL)
        reply_json(&request->reply, 200, form_plain(practice, login, answer));
    else if (form[0] == 'c')
        reply_json(&request->reply, 200, form_codex(login, answer));
    else
        reply_json(&request->reply, 200,
                   form_openclaw(practice, login, answer, profile ? profile : "practice:me"));
    json_decref(answer);
}

void page_revoke(struct practice *practice, struct request *request)
{
    json_t *fields = request_object(request);
    const char *token = json_string_value(json_object_get(fields, "token"));
    struct login *login = NULL;
    uint64_t generation = 0;
    if (token == NULL)
        token_refuse(request, 400, "invalid_request", "practice: token is missing");
    else if (logins_read_refresh(&practice->logins, token, &login, &generation))
        login_end(&practice->logins, login);
    if (token != NULL) /* RFC 7009: 200 for an unknown token too */
        reply_json(&request->reply, 200, json_object());
    json_decref(fields);
}
