/* SPDX-License-Identifier: Apache-2.0 */
/* The outcome table of a token request.
 *
 * Everything here decides one question: is generation n still good, gone, or is that unknown?
 * Wrong towards "gone" throws a login away; wrong towards "good" spends a token twice, which a
 * strict provider punishes by ending the whole family. So only what an OAuth server itself can
 * have said is believed: a code that parses out of JSON. Proxies, captive portals and firewalls
 * also answer 401 and 403, with HTML; these are UNKNOWN, whatever their status.
 *
 *     2xx with a refresh token                     ROTATED
 *     2xx with another token, no refresh token     KEPT
 *     2xx that does not parse or has no token      UNKNOWN, the raw answer is kept by the caller
 *     4xx with a terminal code                     TERMINAL
 *     429                                          NOT_SPENT
 *     3xx, and 4xx with a code of the request      CONFIG
 *     anything else                                UNKNOWN
 *
 * A 2xx that has no token at all but an error code is read as the 4xx it should have been: some
 * servers answer errors with 200.
 *
 * Fields of a 2xx answer are all or nothing: a refresh token that is too long, not text, or has
 * bytes no token may have makes the answer UNKNOWN, for storing half of it would lose n+1. */
#include "token/answer.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "answer_json.h"
#include "token/wipe.h"

#define EXPIRES_IN_MAX_S (10.0 * 366 * 86400)

/* Codes that say: this refresh token is dead. Of RFC 6749, and of OpenAI's servers. */
static const char *const terminal_codes[] = {
    "invalid_grant",         "refresh_token_reused",  "refresh_token_expired",
    "refresh_token_invalidated", "invalid_refresh_token", "token_expired",
};

/* Codes that say: the request was wrong, the token was not looked at. */
static const char *const config_codes[] = {
    "invalid_client", "invalid_request", "unsupported_grant_type", "invalid_scope",
    "unauthorized_client",
};

static bool is_terminal(const struct provider_rule *rule, const char *code)
{
    for (size_t i = 0; i < sizeof(terminal_codes) / sizeof(*terminal_codes); i++) {
        if (strcmp(code, terminal_codes[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < rule->terminal_code_count; i++) {
        if (strcasecmp(code, rule->terminal_codes[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_config(const char *code)
{
    for (size_t i = 0; i < sizeof(config_codes) / sizeof(*config_codes); i++) {
        if (strcmp(code, config_codes[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* error.code, else error if it is text, else code. Only what looks like a code is taken, for it
 * is shown to people and a stranger chose it. */
static void read_error_code(const json_t *root, char ret_code[64])
{
    const json_t *error = json_object_get(root, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    if (code == NULL) {
        code = json_string_value(error);
    }
    if (code == NULL) {
        code = json_string_value(json_object_get(root, "code"));
    }
    if (code == NULL) {
        return;
    }
    char lower[64];
    size_t length = strlen(code);
    if (length >= sizeof(lower)) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)code[i];
        if (!isalnum(c) && strchr("_-.", c) == NULL) {
            return;
        }
        lower[i] = (char)tolower(c);
    }
    lower[length] = '\0';
    memcpy(ret_code, lower, length + 1);
}

/* False: there is something under that key, and it cannot be kept. */
static bool read_token(const json_t *root, const char *key, const struct secret_memory *memory,
                       struct token_answer *answer, struct secret **ret_secret)
{
    const json_t *value = json_object_get(root, key);
    const char *text = json_string_value(value);
    if (value == NULL || json_typeof(value) == JSON_NULL || (text != NULL && *text == '\0')) {
        return true;
    }
    if (text == NULL || !token_text_valid(text, json_string_length(value))) {
        return false;
    }
    *ret_secret = secret_new_in(memory, text, json_string_length(value));
    answer->no_memory |= *ret_secret == NULL;
    return *ret_secret != NULL;
}

static json_t *claims_of(const struct secret *token)
{
    return token == NULL ? NULL : jwt_claims(secret_data(token), secret_length(token));
}

int64_t token_expiry_ms(const struct secret *token)
{
    json_t *claims = claims_of(token);
    int64_t expiry_ms = 0;
    json_time_ms(json_object_get(claims, "exp"), &expiry_ms);
    json_decref(claims);
    return expiry_ms;
}

bool token_claim(const struct secret *token, const char *pointer, char *ret_text, size_t size)
{
    json_t *claims = claims_of(token);
    const char *text = json_string_value(json_at(claims, pointer));
    bool found = text != NULL && *text != '\0' && strlen(text) < size;
    for (const char *at = text; found && *at != '\0'; at++) {
        found = (unsigned char)*at >= 0x20 && *at != 0x7f; /* it is printed */
    }
    if (found) {
        memcpy(ret_text, text, strlen(text) + 1);
    }
    json_decref(claims);
    return found;
}

static int64_t after_seconds(const json_t *seconds, int64_t now_ms)
{
    double life;
    if (!json_number(seconds, &life) || !(life > 0)) {
        return 0;
    }
    return now_ms + (int64_t)((life > EXPIRES_IN_MAX_S ? EXPIRES_IN_MAX_S : life) * 1000.0);
}

/* The rule's place first, then the others: an expiry is worth more than the order. */
static int64_t read_expiry(const struct provider_rule *rule, const json_t *root,
                           const struct token_answer *answer, int64_t now_ms)
{
    int64_t in_ms = after_seconds(json_object_get(root, "expires_in"), now_ms);
    int64_t at_ms = 0;
    json_time_ms(json_object_get(root, "expires_at"), &at_ms);
    int64_t jwt_ms = token_expiry_ms(answer->access);
    if (strcmp(rule->expiry, "jwt") == 0 && jwt_ms != 0) {
        return jwt_ms;
    }
    if (strcmp(rule->expiry, "expires_at") == 0 && at_ms != 0) {
        return at_ms;
    }
    return in_ms != 0 ? in_ms : at_ms != 0 ? at_ms : jwt_ms;
}

/* What the provider's clock said when it answered, as its tokens tell; 0: they do not. */
static int64_t issued_at_ms(const struct secret *token)
{
    json_t *claims = claims_of(token);
    int64_t issued_ms = 0;
    json_time_ms(json_object_get(claims, "iat"), &issued_ms);
    json_decref(claims);
    return issued_ms;
}

/* A token that is spent before its time is lost, and the time is told by the provider's clock: put
 * on ours, or a machine whose clock is some minutes ahead would lose the login. Not beyond the end
 * of the access token, should the time of issue be an old one. */
static void read_earliest(const json_t *root, struct token_answer *answer, int64_t now_ms)
{
    int64_t told_ms = 0, issued_ms = issued_at_ms(answer->id_token), end_ms;
    if (!json_time_ms(json_object_get(root, "earliest_refresh_at"), &told_ms)) {
        return;
    }
    answer->earliest_refresh_at_ms = told_ms;
    if (issued_ms == 0) {
        issued_ms = issued_at_ms(answer->access);
    }
    if (issued_ms == 0) {
        return;
    }
    end_ms = answer->expires_at_ms != 0 ? answer->expires_at_ms : INT64_MAX;
    if (told_ms > end_ms) {
        end_ms = told_ms;
    }
    told_ms += now_ms - issued_ms;
    if (told_ms < 1) {
        told_ms = 1;
    }
    answer->earliest_refresh_at_ms = told_ms < end_ms ? told_ms : end_ms;
}

static void read_account(const struct provider_rule *rule, struct token_answer *answer)
{
    if (rule->account_claim[0] != '\0' &&
        !token_claim(answer->access, rule->account_claim, answer->account,
                     sizeof(answer->account))) {
        token_claim(answer->id_token, rule->account_claim, answer->account,
                    sizeof(answer->account));
    }
}

/* The tokens of a 2xx. False: not an answer that can be kept. */
static bool read_tokens(const struct provider_rule *rule, const json_t *root,
                        const struct secret_memory *memory, int64_t now_ms,
                        struct token_answer *answer)
{
    if (!read_token(root, "access_token", memory, answer, &answer->access) ||
        !read_token(root, "refresh_token", memory, answer, &answer->refresh) ||
        !read_token(root, "id_token", memory, answer, &answer->id_token)) {
        return false;
    }
    answer->expires_at_ms = answer->access == NULL ? 0 : read_expiry(rule, root, answer, now_ms);
    read_earliest(root, answer, now_ms);
    const json_t *life = json_object_get(root, "refresh_token_expires_in");
    if (life == NULL) {
        life = json_object_get(root, "refresh_expires_in");
    }
    answer->refresh_expires_at_ms = after_seconds(life, now_ms);
    if (answer->refresh_expires_at_ms == 0 && answer->refresh != NULL &&
        rule->refresh_life_seconds > 0) {
        answer->refresh_expires_at_ms = now_ms + (int64_t)rule->refresh_life_seconds * 1000;
    }
    read_account(rule, answer);
    return true;
}

static void drop_tokens(struct token_answer *answer)
{
    secret_free(answer->access);
    secret_free(answer->refresh);
    secret_free(answer->id_token);
    answer->access = answer->refresh = answer->id_token = NULL;
    answer->expires_at_ms = answer->earliest_refresh_at_ms = answer->refresh_expires_at_ms = 0;
    answer->account[0] = '\0';
}

static enum token_outcome outcome_of_refusal(const struct provider_rule *rule, long http_status,
                                             struct token_answer *answer)
{
    const char *code = answer->error_code;
    const char *shown = *code == '\0' ? "no error code" : code;
    snprintf(answer->why, sizeof(answer->why), "HTTP %ld, %s", http_status, shown);
    bool refused = http_status >= 400 && http_status < 500;
    if ((refused || http_status / 100 == 2) && is_terminal(rule, code)) {
        return OUTCOME_TERMINAL;
    }
    if (http_status == 429) {
        return OUTCOME_NOT_SPENT;
    }
    if (http_status / 100 == 3) {
        snprintf(answer->why, sizeof(answer->why),
                 "HTTP %ld: the token URL redirects, which is never followed", http_status);
        return OUTCOME_CONFIG;
    }
    if ((refused || http_status / 100 == 2) && http_status != 408 && is_config(code)) {
        return OUTCOME_CONFIG;
    }
    return OUTCOME_UNKNOWN;
}

enum token_outcome token_answer_parse(const struct provider_rule *rule, long http_status,
                                      const struct secret *body, int64_t now_ms,
                                      struct token_answer *ret_answer)
{
    struct token_answer *answer = ret_answer;
    unsigned refusals = wipe_refusals();
    *answer = (struct token_answer){0};
    json_t *root = NULL;
    if (secret_length(body) <= ANSWER_MAX) {
        root = bounded_json_load(secret_data(body), secret_length(body), NULL);
    }
    if (json_is_object(root)) {
        read_error_code(root, answer->error_code);
    }
    enum token_outcome outcome = OUTCOME_UNKNOWN;
    if (http_status / 100 != 2) {
        outcome = outcome_of_refusal(rule, http_status, answer);
    } else if (!json_is_object(root) ||
               !read_tokens(rule, root, secret_memory_of(body), now_ms, answer)) {
        snprintf(answer->why, sizeof(answer->why), "HTTP %ld with a body that does not parse",
                 http_status);
    } else if (answer->refresh != NULL) {
        outcome = OUTCOME_ROTATED;
    } else if (answer->access != NULL || answer->id_token != NULL) {
        outcome = OUTCOME_KEPT;
    } else {
        outcome = outcome_of_refusal(rule, http_status, answer);
    }
    json_decref(root);
    answer->no_memory |= wipe_refusals() != refusals;
    if (answer->no_memory) {
        outcome = OUTCOME_UNKNOWN; /* what was read may be wrong */
    }
    if (outcome != OUTCOME_ROTATED && outcome != OUTCOME_KEPT) {
        drop_tokens(answer);
    }
    return outcome;
}

void token_answer_deinit(struct token_answer *answer)
{
    drop_tokens(answer);
    *answer = (struct token_answer){0};
}

static void take(struct secret **from, struct secret **to)
{
    if (*from != NULL) {
        secret_free(*to);
        *to = *from;
        *from = NULL;
    }
}

bool token_answer_apply(struct token_answer *answer, struct credential *credential, int64_t now_ms)
{
    bool rotated = answer->refresh != NULL && !secret_equal(answer->refresh, credential->refresh);
    if (answer->access != NULL) {
        credential->expires_at_ms = answer->expires_at_ms; /* of this token: 0 is right for it */
        credential->obtained_at_ms = now_ms;
    }
    if (answer->earliest_refresh_at_ms != 0) {
        credential->earliest_refresh_at_ms = answer->earliest_refresh_at_ms;
    }
    if (answer->refresh_expires_at_ms != 0) {
        credential->refresh_expires_at_ms = answer->refresh_expires_at_ms;
    }
    if (answer->account[0] != '\0') {
        snprintf(credential->account, sizeof(credential->account), "%s", answer->account);
    }
    take(&answer->access, &credential->access);
    take(&answer->refresh, &credential->refresh);
    take(&answer->id_token, &credential->id_token);
    credential->generation++;
    return rotated;
}

const char *token_outcome_name(enum token_outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_ROTATED] = "rotated", [OUTCOME_KEPT] = "kept",
        [OUTCOME_NOT_SPENT] = "not spent", [OUTCOME_CONFIG] = "refused as misconfigured",
        [OUTCOME_TERMINAL] = "terminal", [OUTCOME_UNKNOWN] = "unknown",
    };
    return names[outcome];
}
