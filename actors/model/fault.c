/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include "mask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Codes of the providers, from error.code or error.type. */
static const struct {
    const char *code;
    enum fault_kind kind;
} codes[] = {
    {"usage_limit_reached", FAULT_QUOTA},
    {"insufficient_quota", FAULT_QUOTA},
    {"subscription_sharing_usage_limit_exceeded", FAULT_QUOTA},
    {"subscription_sharing_usage_unavailable", FAULT_QUOTA},
    {"billing_error", FAULT_QUOTA},
    {"rate_limit_exceeded", FAULT_RATE},
    {"rate_limit_error", FAULT_RATE},
    {"usage_not_included", FAULT_PROFILE},
    {"subscription_sharing_user_not_eligible", FAULT_PROFILE},
    {"permission_error", FAULT_PROFILE},
    {"token_expired", FAULT_LOGIN},
    {"token_invalidated", FAULT_LOGIN},
    {"token_revoked", FAULT_LOGIN},
    {"invalid_token", FAULT_LOGIN},
    {"invalid_api_key", FAULT_LOGIN},
    {"authentication_error", FAULT_LOGIN},
    {"subscription_sharing_invalid_user", FAULT_LOGIN},
    {"model_not_found", FAULT_MODEL},
    {"not_found_error", FAULT_MODEL},
    {"server_is_overloaded", FAULT_TRANSIENT},
    {"slow_down", FAULT_TRANSIENT},
    {"overloaded_error", FAULT_TRANSIENT},
    {"server_error", FAULT_TRANSIENT},
    {"api_error", FAULT_TRANSIENT},
    {"timeout_error", FAULT_TRANSIENT},
    {"context_length_exceeded", FAULT_REQUEST},
    {"invalid_prompt", FAULT_REQUEST},
    {"cyber_policy", FAULT_REQUEST},
    {"invalid_request_error", FAULT_REQUEST},
    {"request_too_large", FAULT_REQUEST},
    {"subscription_sharing_unsupported_capability", FAULT_REQUEST},
};

static enum fault_kind kind_of_code(const char *code)
{
    for (size_t i = 0; code && i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].kind;
    return FAULT_NONE;
}

/* Where no code is known. 404 is a model that does not exist, more often than a wrong baseUrl. */
static enum fault_kind kind_of_status(unsigned status)
{
    switch (status) {
    case 401: return FAULT_LOGIN;
    case 402: return FAULT_QUOTA;
    case 403: return FAULT_PROFILE;
    case 404: return FAULT_MODEL;
    case 408:
    case 409:
    case 425: return FAULT_TRANSIENT;
    case 429: return FAULT_RATE;
    default: break;
    }
    if (status >= 300 && status < 400) /* a redirect, not followed: a wrong baseUrl */
        return FAULT_MODEL;
    return status >= 500 || status < 300 ? FAULT_TRANSIENT : FAULT_REQUEST;
}

void text_mend(char *text)
{
    size_t length = strlen(text), start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char first = (unsigned char)text[--start];
    size_t wanted = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first >= 0x80 && length - start < wanted)
        text[start] = '\0';
}

/* Makes it one line and cuts it, not within a word: a part of a token would not be known as one. */
static void copy_line(char *ret_text, size_t size, const char *text)
{
    size_t length = strnlen(text, size - 1);
    if (mask_is_visible(text[length]))
        while (length > 0 && mask_is_visible(text[length - 1]))
            length--;
    for (size_t i = 0; i < length; i++)
        ret_text[i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
    ret_text[length] = '\0';
    text_mend(ret_text);
}

void fault_set(struct fault *fault, enum fault_kind kind, const char *code, const char *why)
{
    if (fault->kind != FAULT_NONE)
        return;
    fault->kind = kind;
    copy_line(fault->code, sizeof(fault->code), code ? code : "");
    copy_line(fault->why, sizeof(fault->why), why ? why : "");
}

static const char *string_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t until_of_error(const json_t *error, int64_t now_ms)
{
    json_t *at = json_object_get(error, "resets_at");
    json_t *in = json_object_get(error, "resets_in_seconds");
    double limit = 4e12; /* a time in ms beyond it is nonsense */
    if (json_is_number(at) && json_number_value(at) > 0 && json_number_value(at) * 1e3 < limit)
        return (int64_t)(json_number_value(at) * 1e3);
    if (json_is_number(in) && json_number_value(in) >= 0 && json_number_value(in) * 1e3 < limit)
        return now_ms + (int64_t)(json_number_value(in) * 1e3);
    return 0;
}

/* The code that is in our table, of `code` and `type`; else the one there is. */
static const char *code_of_error(const json_t *error)
{
    static const char *const keys[] = {"code", "type", "error_code"};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *code = string_at(error, keys[i]);
        enum fault_kind kind = kind_of_code(code);
        if (kind != FAULT_NONE && kind != FAULT_REQUEST)
            return code;
        if (!first || (kind == FAULT_REQUEST && kind_of_code(first) == FAULT_NONE))
            first = code ? code : first;
    }
    return first;
}

void fault_from_error(struct fault *fault, const json_t *error, enum fault_kind otherwise,
                      int64_t now_ms)
{
    if (fault->kind != FAULT_NONE)
        return;
    const char *text = json_string_value(error);
    const char *code = text ? text : code_of_error(error);
    const char *why = text ? text : string_at(error, "message");
    if (text && kind_of_code(text) == FAULT_NONE)
        code = NULL; /* a sentence, not a code */
    enum fault_kind kind = kind_of_code(code);
    fault_set(fault, kind != FAULT_NONE ? kind : otherwise, code ? code : "error", why);
    fault->until_ms = until_of_error(error, now_ms);
}

struct proto_text header_value(struct proto_text headers, const char *name)
{
    const char *line = headers.data, *end = headers.data + headers.size;
    size_t name_size = strlen(name);
    while (line && line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop)
            stop = end;
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        if (colon && (size_t)(colon - line) == name_size && !strncasecmp(line, name, name_size)) {
            const char *value = colon + 1;
            while (value < stop && *value == ' ')
                value++;
            return (struct proto_text){value, (uint32_t)(stop - value)};
        }
        line = stop + 1;
    }
    return (struct proto_text){0};
}

/* Seconds, or milliseconds in the form some providers add; an HTTP date is left aside, for it would
 * trust the other side's clock. */
static int64_t until_of_headers(struct proto_text headers, int64_t now_ms)
{
    static const struct {
        const char *name;
        double unit_ms;
    } rows[] = {{"retry-after-ms", 1}, {"retry-after", 1000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[32], *end;
        struct proto_text value = header_value(headers, rows[i].name);
        if (value.size == 0 || !proto_text_copy(value, text, sizeof(text)))
            continue;
        double wait = strtod(text, &end) * rows[i].unit_ms;
        if (end != text && *end == '\0' && wait >= 0 && wait < 4e11)
            return now_ms + (int64_t)wait;
    }
    return 0;
}

void fault_from_http(struct fault *fault, unsigned status, struct proto_text headers,
                     const char *body, size_t size, int64_t now_ms)
{
    char why[128];
    if (fault->kind != FAULT_NONE)
        return;
    json_t *root = json_loadb(body ? body : "", size, 0, NULL);
    json_t *error = json_object_get(root, "error");
    if (!error)
        error = json_object_get(root, "detail");
    if (json_is_object(error) || json_is_string(error)) {
        fault_from_error(fault, error, kind_of_status(status), now_ms);
    } else if (json_is_object(root)) {
        fault_from_error(fault, root, kind_of_status(status), now_ms);
    } else {
        /* A proxy or a firewall speaks, not the model side: its 401 and 403 say nothing about
         * the token or the account. */
        snprintf(why, sizeof(why), "HTTP %u with a body that is not JSON", status);
        bool foreign = status >= 400 && status < 500 && size > 0 && status != 404 && status != 429;
        fault_set(fault, foreign && status != 401 ? FAULT_TRANSIENT : kind_of_status(status),
                  "not_json", why);
    }
    if (fault->why[0] == '\0')
        snprintf(fault->why, sizeof(fault->why), "HTTP %u", status);
    if (fault->until_ms == 0)
        fault->until_ms = until_of_headers(headers, now_ms);
    json_decref(root);
}
