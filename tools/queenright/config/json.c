/* SPDX-License-Identifier: Apache-2.0 */
/* The config as the JSON that messages carry: what an agent, the model actor and the keeper are
 * told. Only what the receiver needs, defaults filled in, so that it has none of its own. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queenright/config/config.h"
#include "queenright/config/providers.h"

/* Takes the value. */
static char *dump(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    return text;
}

/* "a<sep>b" as a list; an empty text as an empty one. */
static json_t *split(const char *text, char separator)
{
    json_t *list = json_array();
    while (*text) {
        const char *end = strchrnul(text, separator);
        json_array_append_new(list, json_stringn(text, (size_t)(end - text)));
        text = *end ? end + 1 : end;
    }
    return list;
}

char *config_agent_json(const struct config_agent *agent)
{
    return dump(json_pack("{s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:I}", "id", agent->id,
                          "instructions", agent->instructions, "models", agent->models, "node",
                          agent->node, "tools", split(agent->tools, ','), "maxToolRounds",
                          (int)agent->max_tool_rounds, "maxAskDepth", (int)agent->max_ask_depth,
                          "maxQueued", (int)agent->max_queued, "historyTurns",
                          (int)agent->history_turns, "timeoutSeconds",
                          (json_int_t)(agent->timeout_ms / 1000)));
}

static const char *auth_name(enum config_auth auth)
{
    static const char *const names[] = {"none", "oauth", "api-key"};
    return names[auth];
}

json_t *config_provider_json(const struct config_provider *provider)
{
    static const char *const optional[] = {"toolNamespace", "reasoning", "maxTokens"};
    json_t *headers = provider->headers ? json_incref(provider->headers) : json_object();
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:i, s:o}", "baseUrl", provider->base_url, "api", provider->api,
        "auth", auth_name(provider->auth), "accountHeader", provider->account_header, "paid",
        provider->paid, "maxConcurrent", (int)provider->max_concurrent, "headers", headers);
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++)
        if (json_object_get(provider->entry, optional[i]))
            json_object_set(object, optional[i], json_object_get(provider->entry, optional[i]));
    return object;
}

char *config_models_json(const struct config *config)
{
    json_t *providers = json_object();
    for (size_t i = 0; i < config->provider_count; i++)
        json_object_set_new(providers, config->providers[i].id,
                            config_provider_json(&config->providers[i]));
    return dump(json_pack("{s:o}", "providers", providers));
}

/* The file's order, else the provider's profiles in file order, else the one of default name. */
json_t *config_order_json(const struct config *config, const struct config_provider *provider)
{
    json_t *given = config_tree(config->root, "auth", "order", provider->id);
    if (given)
        return json_incref(given);
    json_t *list = json_array();
    for (size_t i = 0; i < config->profile_count; i++)
        if (strcmp(config->profiles[i].provider, provider->id) == 0)
            json_array_append_new(list, json_string(config->profiles[i].id));
    if (json_array_size(list) == 0)
        json_array_append_new(list, json_sprintf("%s:default", provider->id));
    return list;
}

char *config_auth_json(const struct config *config)
{
    json_t *order = json_object();
    for (size_t i = 0; i < config->provider_count; i++)
        if (config->providers[i].auth != AUTH_NONE)
            json_object_set_new(order, config->providers[i].id,
                                config_order_json(config, &config->providers[i]));
    json_t *profiles = json_object();
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct config_profile *profile = &config->profiles[i];
        json_object_set_new(profiles, profile->id,
                            json_pack("{s:s, s:s, s:s}", "provider", profile->provider, "mode",
                                      profile->mode == AUTH_OAUTH ? "oauth" : "api_key", "email",
                                      profile->email));
    }
    return dump(json_pack("{s:o, s:o}", "profiles", profiles, "order", order));
}

char *config_provider_rule_json(const struct config_provider *provider)
{
    return dump(provider->oauth ? json_incref(provider->oauth) : json_object());
}

/* `${` becomes `$${` again, so that what was replaced, or meant as it stood, is not replaced when
 * the text is read the next time. */
static json_t *string_escape(const char *text)
{
    char *escaped = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&escaped, &size);
    if (!out)
        return NULL;
    for (; *text; text++) {
        if (strncmp(text, "${", 2) == 0)
            fputc('$', out);
        fputc(*text, out);
    }
    json_t *string = fclose(out) == 0 ? json_string(escaped) : NULL;
    free(escaped);
    return string;
}

/* A copy with all strings escaped. The tree is CONFIG_NESTING_MAX deep at most. */
static json_t *tree_escape(json_t *value)
{
    const char *key;
    json_t *child, *copy;
    size_t i;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        copy = json_object();
        json_object_foreach(value, key, child)
            json_object_set_new(copy, key, tree_escape(child));
        return copy;
    case JSON_ARRAY:
        copy = json_array();
        json_array_foreach(value, i, child)
            json_array_append_new(copy, tree_escape(child));
        return copy;
    case JSON_STRING: return string_escape(json_string_value(value));
    default: return json_incref(value);
    }
}

char *config_json(const struct config *config)
{
    return dump(tree_escape(config->root));
}
