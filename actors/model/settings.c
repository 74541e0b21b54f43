/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONCURRENT_DEFAULT 4
#define PROFILES_MAX 64

/* What some providers want beyond what the config says of them. A header that the config names,
 * too, is the config's. */
static const struct {
    const char *id;
    const char *tool_space;
    bool reasoning;
    const char *header_name, *header_value;
} known[] = {
    {"chatgpt", "queenright", true, NULL, NULL},
    {"openai-codex", NULL, true, "originator", "queenright"},
};

/* ---- one provider -------------------------------------------------------------------------- */

static void provider_deinit(struct provider *provider)
{
    free(provider->id);
    free(provider->url);
    free(provider->headers);
    free(provider->account_header);
    free(provider->tool_space);
    free(provider->profiles);
}

bool url_origin(const char *url, char *ret_origin, size_t size)
{
    static const struct {
        const char *scheme, *port;
    } schemes[] = {{"http://", ":80"}, {"https://", ":443"}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t scheme = strlen(schemes[i].scheme), port = strlen(schemes[i].port);
        if (strncasecmp(url, schemes[i].scheme, scheme) != 0)
            continue;
        size_t length = scheme + strcspn(url + scheme, "/?#");
        if (memchr(url, '@', length) || length == scheme || length >= size)
            return false;
        for (size_t at = 0; at < length; at++)
            ret_origin[at] = (char)tolower((unsigned char)url[at]);
        ret_origin[length] = '\0';
        if (length > scheme + port && !strcmp(ret_origin + length - port, schemes[i].port))
            ret_origin[length - port] = '\0';
        return true;
    }
    return false;
}

static bool is_header(const char *name, const char *value)
{
    for (const char *at = name; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == ':')
            return false;
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at < ' ' || *at > '~')
            return false;
    return *name != '\0';
}

static int add_header(struct buffer *lines, const char *name, const char *value)
{
    char line[1200];
    int length = snprintf(line, sizeof(line), "%s: %s\n", name, value);
    if (!is_header(name, value) || length < 0 || (size_t)length >= sizeof(line))
        return -EINVAL;
    return buffer_append(lines, line, (size_t)length, 64u << 10);
}

static bool names_header(json_t *headers, const char *wanted)
{
    const char *name;
    json_t *value;
    json_object_foreach(headers, name, value)
        if (strcasecmp(name, wanted) == 0)
            return true;
    return false;
}

static int read_headers(struct provider *provider, json_t *headers)
{
    struct buffer lines = {0};
    const char *name;
    json_t *value;
    int result = buffer_append(&lines, provider->api->headers, strlen(provider->api->headers),
                               SIZE_MAX);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (result == 0 && strcmp(known[i].id, provider->id) == 0 && known[i].header_name &&
            !names_header(headers, known[i].header_name))
            result = add_header(&lines, known[i].header_name, known[i].header_value);
    json_object_foreach(headers, name, value)
        if (result == 0)
            result = json_is_string(value) ? add_header(&lines, name, json_string_value(value))
                                           : -EINVAL;
    if (result == 0)
        result = buffer_append(&lines, "", 1, SIZE_MAX);
    provider->headers = lines.bytes;
    return result;
}

static int read_profiles(struct provider *provider, const json_t *auth)
{
    json_t *order = json_object_get(json_object_get(auth, "order"), provider->id);
    json_t *profiles = json_object_get(auth, "profiles"), *entry;
    const char *id;
    size_t i;
    if (!order) {
        order = json_array();
        json_object_foreach(profiles, id, entry)
            if (strcmp(json_text(entry, "provider"), provider->id) == 0)
                json_array_append_new(order, json_string(id));
        if (json_array_size(order) == 0 && provider->auth != PROVIDER_AUTH_NONE)
            json_array_append_new(order, json_sprintf("%s:default", provider->id));
    } else {
        json_incref(order);
    }
    size_t count = json_array_size(order);
    provider->profiles = calloc(count ? count : 1, sizeof(*provider->profiles));
    int result = !provider->profiles ? -ENOMEM : count > PROFILES_MAX ? -EINVAL : 0;
    for (i = 0; i < count && result == 0; i++) {
        id = json_string_value(json_array_get(order, i));
        entry = id ? json_object_get(profiles, id) : NULL;
        bool foreign = entry && strcmp(json_text(entry, "provider"), provider->id) != 0;
        if (!id || foreign || strlen(id) >= SETTINGS_PROFILE_MAX) /* else a token would stray */
            result = -EINVAL;
        else
            memcpy(provider->profiles[provider->profile_count++], id, strlen(id) + 1);
    }
    json_decref(order);
    return result;
}

static enum provider_auth auth_of(const json_t *entry)
{
    const char *auth = json_text(entry, "auth");
    if (strcmp(auth, "none") == 0)
        return PROVIDER_AUTH_NONE;
    return strcmp(auth, "api-key") == 0 ? PROVIDER_AUTH_KEY : PROVIDER_AUTH_OAUTH;
}

static void read_extras(struct provider *provider, const json_t *entry)
{
    const char *tool_space = json_string_value(json_object_get(entry, "toolNamespace"));
    json_t *reasoning = json_object_get(entry, "reasoning");
    json_t *limit = json_object_get(entry, "maxConcurrent");
    json_t *paid = json_object_get(entry, "paid");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].id, provider->id) == 0) {
            tool_space = tool_space ? tool_space : known[i].tool_space;
            provider->reasoning = known[i].reasoning;
        }
    if (json_is_boolean(reasoning))
        provider->reasoning = json_is_true(reasoning);
    if (tool_space && *tool_space)
        provider->tool_space = strdup(tool_space);
    provider->auth = auth_of(entry);
    provider->paid = json_is_boolean(paid) ? json_is_true(paid)
                                           : provider->auth == PROVIDER_AUTH_KEY;
    provider->concurrent_max =
        json_is_integer(limit) ? (unsigned)json_count(entry, "maxConcurrent") : CONCURRENT_DEFAULT;
    provider->output_max = (unsigned)json_count(entry, "maxTokens");
}

/* The word that is wrong is left in *ret_wrong. */
static int provider_init(struct provider *provider, const char *id, const json_t *entry,
                         const json_t *auth, const char **ret_wrong)
{
    const char *base = json_text(entry, "baseUrl"), *api = json_text(entry, "api");
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    provider->id = strdup(id);
    provider->account_header = strdup(json_text(entry, "accountHeader"));
    *ret_wrong = "api";
    provider->api = api_find(*api ? api : "openai-completions");
    if (!provider->id || !provider->account_header)
        return -ENOMEM;
    if (!provider->api)
        return -EINVAL;
    *ret_wrong = "baseUrl"; /* may be empty: then its models cannot be called */
    if (length > 0 && !url_origin(base, provider->origin, sizeof(provider->origin)))
        return -EINVAL;
    if (length > 0 && asprintf(&provider->url, "%.*s%s", (int)length, base,
                               provider->api->path) < 0)
        return -ENOMEM;
    read_extras(provider, entry);
    *ret_wrong = "headers";
    int result = read_headers(provider, json_object_get(entry, "headers"));
    if (result < 0)
        return result;
    *ret_wrong = "order";
    return read_profiles(provider, auth);
}

/* ---- all of them --------------------------------------------------------------------------- */

struct settings *settings_ref(struct settings *settings)
{
    settings->refs++;
    return settings;
}

void settings_unref(struct settings *settings)
{
    if (!settings || --settings->refs > 0)
        return;
    for (size_t i = 0; i < settings->count; i++)
        provider_deinit(&settings->providers[i]);
    free(settings->providers);
    free(settings);
}

const struct provider *settings_provider(const struct settings *settings, const char *id,
                                         size_t id_size)
{
    for (size_t i = 0; settings && i < settings->count; i++)
        if (strlen(settings->providers[i].id) == id_size &&
            memcmp(settings->providers[i].id, id, id_size) == 0)
            return &settings->providers[i];
    return NULL;
}

static int read_all(struct settings *settings, json_t *providers, const json_t *auth,
                    char *ret_why, size_t why_size)
{
    const char *id, *wrong;
    json_t *entry;
    settings->providers = calloc(json_object_size(providers) + 1, sizeof(*settings->providers));
    if (!settings->providers)
        return -ENOMEM;
    json_object_foreach(providers, id, entry) {
        struct provider *provider = &settings->providers[settings->count++];
        int result = provider_init(provider, id, entry, auth, &wrong);
        if (result < 0) {
            snprintf(ret_why, why_size, "provider %s: %s makes no sense", id, wrong);
            return result;
        }
    }
    return 0;
}

/* An empty text is an empty object. */
static json_t *load_object(struct proto_text text)
{
    return text.size == 0 ? json_object() : json_loadb(text.data, text.size, 0, NULL);
}

int settings_parse(struct proto_text models, struct proto_text auth, struct settings **ret_settings,
                   char *ret_why, size_t why_size)
{
    json_t *models_value = load_object(models), *auth_value = load_object(auth);
    struct settings *settings = calloc(1, sizeof(*settings));
    int result = settings ? 0 : -ENOMEM;
    if (result == 0 && (!json_is_object(models_value) || !json_is_object(auth_value))) {
        snprintf(ret_why, why_size, "models or auth is not a JSON object");
        result = -EINVAL;
    }
    if (result == 0)
        result = read_all(settings_ref(settings), json_object_get(models_value, "providers"),
                          auth_value, ret_why, why_size);
    json_decref(models_value);
    json_decref(auth_value);
    if (result == 0) {
        *ret_settings = settings;
        return 0;
    }
    if (settings && settings->refs > 0)
        settings_unref(settings);
    else
        free(settings);
    return result;
}
