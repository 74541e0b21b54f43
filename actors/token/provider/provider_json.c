/* SPDX-License-Identifier: Apache-2.0 */
/* The two directions between a provider rule and the `oauth` object of the config. One table names
 * every key, so parsing, printing and the sentence about an unknown key cannot drift apart.
 *
 * A rule is also what a credential is pinned to: the token URL in it is the only place its refresh
 * token is ever sent to. So URLs are checked here, where rules come into being, and a rule that is
 * printed and parsed again is the same rule. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_json.h"
#include "token/provider.h"

static const char *const encodings[] = {"form", "json", NULL};
static const char *const rotations[] = {"strict", "none", "grace", "two-phase", NULL};
static const char *const expiries[] = {"expires_in", "jwt", "expires_at", NULL};

const char *rotation_name(enum rotation rotation)
{
    return rotations[rotation];
}

enum key_kind { KEY_TEXT, KEY_URL, KEY_CHOICE, KEY_STRINGS, KEY_HEADERS, KEY_SECONDS, KEY_LIST,
                KEY_POINTER, KEY_WORD };

struct key {
    const char *name;
    enum key_kind kind;
    size_t offset;
    size_t size;
    const char *const *choices;
};

#define KEY(name_, kind_, field, choices_)                                                         \
    {name_, kind_, offsetof(struct provider_rule, field),                                          \
     sizeof(((struct provider_rule *)0)->field), choices_}

static const struct key keys[] = {
    KEY("tokenUrl", KEY_URL, token_url, NULL),
    KEY("authorizeUrl", KEY_URL, authorize_url, NULL),
    KEY("deviceUrl", KEY_URL, device_url, NULL),
    KEY("issuer", KEY_URL, issuer, NULL),
    KEY("clientId", KEY_TEXT, client_id, NULL),
    KEY("scopes", KEY_TEXT, scopes, NULL),
    KEY("encoding", KEY_CHOICE, encoding, encodings),
    KEY("extra", KEY_STRINGS, extra, NULL),
    KEY("headers", KEY_HEADERS, headers, NULL),
    KEY("rotation", KEY_CHOICE, rotation, rotations),
    KEY("graceSeconds", KEY_SECONDS, grace_seconds, NULL),
    KEY("expiry", KEY_WORD, expiry, expiries),
    KEY("terminalCodes", KEY_LIST, terminal_codes, NULL),
    KEY("accountClaim", KEY_POINTER, account_claim, NULL),
    KEY("refreshLifeSeconds", KEY_SECONDS, refresh_life_seconds, NULL),
};
#define KEY_COUNT (sizeof(keys) / sizeof(*keys))

_Static_assert(sizeof(enum rotation) == sizeof(int) && sizeof(enum token_encoding) == sizeof(int),
               "choices are stored as int");

struct sentence {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct sentence *why, const char *format,
                                                          ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, why->size, format, arguments);
    va_end(arguments);
    return false;
}

static int choice_of(const char *const *choices, const char *text)
{
    for (int i = 0; choices[i] != NULL; i++) {
        if (text != NULL && strcmp(choices[i], text) == 0) {
            return i;
        }
    }
    return -1;
}

static bool refuse_choice(const struct key *key, struct sentence *why)
{
    char list[128] = "";
    for (int i = 0; key->choices[i] != NULL; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s\"%s\"", i == 0 ? "" : ", ",
                 key->choices[i]);
    }
    return refuse(why, "%s must be one of %s", key->name, list);
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool read_text(const struct key *key, const json_t *value, char *field,
                      struct sentence *why)
{
    const char *text = json_string_value(value);
    if (text == NULL || !is_plain(text)) {
        return refuse(why, "%s must be text without control characters", key->name);
    }
    if (strlen(text) >= key->size) {
        return refuse(why, "%s is longer than %zu bytes", key->name, key->size - 1);
    }
    if (key->kind == KEY_URL && *text != '\0') {
        char wrong[400];
        if (!provider_url_check(text, wrong, sizeof(wrong))) {
            return refuse(why, "%s: %s", key->name, wrong);
        }
    }
    if (key->kind == KEY_POINTER && *text != '\0' && *text != '/') {
        return refuse(why, "%s must be a JSON pointer, as \"/sub\"", key->name);
    }
    if (key->kind == KEY_WORD && choice_of(key->choices, text) < 0) {
        return refuse_choice(key, why);
    }
    memset(field, 0, key->size);
    memcpy(field, text, strlen(text));
    return true;
}

/* Fields and headers the request sets itself; a config that changed them would break it. */
static const char *const own_fields[] = {"grant_type", "refresh_token", "client_id", "code",
                                         "redirect_uri", "code_verifier", NULL};
static const char *const own_headers[] = {"Host", "Content-Length", "Transfer-Encoding", "Expect",
                                          "Connection", "Content-Type", NULL};

static bool is_header_name(const char *name)
{
    return *name != '\0' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
               strlen(name);
}

static bool read_strings(const struct key *key, json_t *value, char *field, struct sentence *why)
{
    if (json_typeof(value) != JSON_OBJECT) {
        return refuse(why, "%s must be an object of texts, as {\"name\": \"value\"}", key->name);
    }
    const char *name;
    json_t *member;
    json_object_foreach(value, name, member) {
        const char *part = json_string_value(member);
        if (part == NULL || !is_plain(part)) {
            return refuse(why, "%s.%.60s must be text without control characters", key->name,
                          name);
        }
        if (key->kind == KEY_HEADERS && !is_header_name(name)) {
            return refuse(why, "%s: \"%.60s\" is not a header name", key->name, name);
        }
        const char *const *own = key->kind == KEY_HEADERS ? own_headers : own_fields;
        for (; *own != NULL; own++) {
            if (strcasecmp(*own, name) == 0) {
                return refuse(why, "%s.%s is set by the request itself; leave it out", key->name,
                              name);
            }
        }
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    bool fits = text != NULL && strlen(text) < key->size;
    if (fits) {
        memset(field, 0, key->size);
        if (json_object_size(value) > 0) {
            memcpy(field, text, strlen(text));
        }
    }
    free(text);
    if (!fits) {
        refuse(why, "%s is larger than %zu bytes", key->name, key->size - 1);
    }
    return fits;
}

static bool read_list(const struct key *key, const json_t *value, struct provider_rule *rule,
                      struct sentence *why)
{
    if (json_typeof(value) != JSON_ARRAY || json_array_size(value) > PROVIDER_LIST_MAX) {
        return refuse(why, "%s must be a list of at most %d texts", key->name, PROVIDER_LIST_MAX);
    }
    memset(rule->terminal_codes, 0, sizeof(rule->terminal_codes));
    size_t i;
    json_t *member;
    json_array_foreach(value, i, member) {
        const char *code = json_string_value(member);
        if (code == NULL || *code == '\0' || strlen(code) >= sizeof(rule->terminal_codes[0])) {
            return refuse(why, "%s[%zu] must be a code of 1 to %zu bytes", key->name, i,
                          sizeof(rule->terminal_codes[0]) - 1);
        }
        memcpy(rule->terminal_codes[i], code, strlen(code));
    }
    rule->terminal_code_count = json_array_size(value);
    return true;
}

static bool read_key(const struct key *key, json_t *value, struct provider_rule *rule,
                     struct sentence *why)
{
    void *field = (char *)rule + key->offset;
    switch (key->kind) {
    case KEY_CHOICE: {
        int choice = choice_of(key->choices, json_string_value(value));
        if (choice < 0) {
            return refuse_choice(key, why);
        }
        memcpy(field, &choice, sizeof(choice));
        return true;
    }
    case KEY_SECONDS: {
        json_int_t seconds = json_integer_value(value);
        if (json_typeof(value) != JSON_INTEGER || seconds < 0 || seconds > UINT32_MAX) {
            return refuse(why, "%s must be a whole number of seconds", key->name);
        }
        uint32_t number = (uint32_t)seconds;
        memcpy(field, &number, sizeof(number));
        return true;
    }
    case KEY_STRINGS:
    case KEY_HEADERS:
        return read_strings(key, value, field, why);
    case KEY_LIST:
        return read_list(key, value, rule, why);
    default:
        return read_text(key, value, field, why);
    }
}

static const struct key *key_find(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static bool refuse_key(const char *name, struct sentence *why)
{
    char known[400] = "";
    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", i == 0 ? "" : ", ", keys[i].name);
    }
    return refuse(why, "oauth.%.60s is not known; known are %s", name, known);
}

static bool read_rule(const char *id, json_t *root, struct provider_rule *rule,
                      struct sentence *why)
{
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value) {
        if (strcmp(name, "id") == 0) {
            const char *said = json_string_value(value);
            if (said == NULL || strcmp(said, id) != 0) {
                return refuse(why, "id is that of another provider");
            }
            continue;
        }
        const struct key *key = key_find(name);
        if (key == NULL) {
            return refuse_key(name, why);
        }
        if (!read_key(key, value, rule, why)) {
            return false;
        }
    }
    if (rule->rotation == ROTATION_GRACE && rule->grace_seconds == 0) {
        return refuse(why, "rotation \"grace\" needs graceSeconds, the provider's window");
    }
    if (provider_builtin(id) == NULL && rule->token_url[0] == '\0' && rule->issuer[0] == '\0') {
        return refuse(why, "oauth needs tokenUrl, or issuer to discover it from");
    }
    return true;
}

int provider_rule_parse(const char *id, const char *json, struct provider_rule *ret_rule,
                        char *ret_why, size_t why_size)
{
    struct sentence why = {ret_why, why_size};
    if (*id == '\0' || strlen(id) >= sizeof(ret_rule->id) || !is_plain(id)) {
        refuse(&why, "a provider's id is text of 1 to %zu bytes", sizeof(ret_rule->id) - 1);
        return -EINVAL;
    }
    const struct provider_rule *builtin = provider_builtin(id);
    struct provider_rule rule = builtin != NULL ? *builtin
                                                : (struct provider_rule){.expiry = "expires_in"};
    snprintf(rule.id, sizeof(rule.id), "%s", id);
    json_error_t error;
    json_t *root = bounded_json_load(json, strlen(json), &error);
    if (!json_is_object(root)) {
        if (root == NULL) {
            refuse(&why, "line %d, column %d: %s", error.line, error.column, error.text);
        } else {
            refuse(&why, "oauth must be an object");
        }
        json_decref(root);
        return -EINVAL;
    }
    bool read = read_rule(id, root, &rule, &why);
    json_decref(root);
    if (!read) {
        return -EINVAL;
    }
    *ret_rule = rule;
    return 0;
}

/* ---- printing ---- */

static json_t *print_key(const struct key *key, const struct provider_rule *rule)
{
    const void *field = (const char *)rule + key->offset;
    int choice;
    uint32_t seconds;
    switch (key->kind) {
    case KEY_CHOICE:
        memcpy(&choice, field, sizeof(choice));
        return json_string(key->choices[choice]);
    case KEY_SECONDS:
        memcpy(&seconds, field, sizeof(seconds));
        return json_integer(seconds);
    case KEY_STRINGS:
    case KEY_HEADERS:
        return *(const char *)field == '\0' ? json_object() : json_loads(field, 0, NULL);
    case KEY_LIST: {
        json_t *list = json_array();
        for (size_t i = 0; i < rule->terminal_code_count; i++) {
            if (json_array_append_new(list, json_string(rule->terminal_codes[i])) < 0) {
                json_decref(list);
                return NULL;
            }
        }
        return list;
    }
    default:
        return json_string(field);
    }
}

char *provider_rule_print(const struct provider_rule *rule)
{
    json_t *root = json_object();
    bool whole = json_object_set_new(root, "id", json_string(rule->id)) == 0;
    for (size_t i = 0; whole && i < KEY_COUNT; i++) {
        whole = json_object_set_new(root, keys[i].name, print_key(&keys[i], rule)) == 0;
    }
    char *text = whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}
