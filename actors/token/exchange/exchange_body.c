/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a refresh request, form or JSON. Written by hand into a secret: the libraries that
 * could do it would leave the token in buffers of their own. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "token/exchange.h"
#include "token/secret.h"

/* Counts while `at` is NULL, then writes. */
struct body {
    enum token_encoding encoding;
    uint8_t *at;
    size_t used;
    size_t fields;
};

static void put(struct body *body, const char *text, size_t length)
{
    if (body->at != NULL) {
        memcpy(body->at + body->used, text, length);
    }
    body->used += length;
}

static void put_form(struct body *body, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isalnum(c) || strchr("-._~", c) != NULL) {
            put(body, text + i, 1);
        } else {
            char escaped[4];
            snprintf(escaped, sizeof(escaped), "%%%02X", c);
            put(body, escaped, 3);
        }
    }
}

static void put_json(struct body *body, const char *text, size_t length)
{
    put(body, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            put(body, "\\", 1);
            put(body, text + i, 1);
        } else if (c < 0x20) {
            char escaped[8];
            snprintf(escaped, sizeof(escaped), "\\u%04x", c);
            put(body, escaped, 6);
        } else {
            put(body, text + i, 1);
        }
    }
    put(body, "\"", 1);
}

static void put_field(struct body *body, const char *name, const char *value, size_t length)
{
    bool first = body->fields++ == 0;
    if (body->encoding == ENCODING_FORM) {
        put(body, "&", first ? 0 : 1);
        put_form(body, name, strlen(name));
        put(body, "=", 1);
        put_form(body, value, length);
    } else {
        put(body, first ? "{" : ",", 1);
        put_json(body, name, strlen(name));
        put(body, ":", 1);
        put_json(body, value, length);
    }
}

static void put_all(struct body *body, const struct provider_rule *rule, json_t *extra,
                    const struct secret *refresh)
{
    put_field(body, "grant_type", "refresh_token", strlen("refresh_token"));
    put_field(body, "refresh_token", secret_data(refresh), secret_length(refresh));
    if (rule->client_id[0] != '\0') {
        put_field(body, "client_id", rule->client_id, strlen(rule->client_id));
    }
    const char *name;
    json_t *value;
    json_object_foreach(extra, name, value) {
        put_field(body, name, json_string_value(value), json_string_length(value));
    }
    put(body, "}", rule->encoding == ENCODING_JSON ? 1 : 0);
}

struct secret *exchange_body(const struct provider_rule *rule, const struct secret *refresh)
{
    json_t *extra = rule->extra[0] == '\0' ? json_object() : json_loads(rule->extra, 0, NULL);
    if (extra == NULL) {
        return NULL;
    }
    struct body count = {.encoding = rule->encoding};
    put_all(&count, rule, extra, refresh);
    struct secret *text = secret_new_sized_in(secret_memory_of(refresh), count.used);
    if (text != NULL) {
        struct body body = {.encoding = rule->encoding, .at = secret_edit(text)};
        put_all(&body, rule, extra, refresh);
    }
    json_decref(extra);
    return text;
}
