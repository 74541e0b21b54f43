/* SPDX-License-Identifier: Apache-2.0 */
/* The config as the JSON that messages carry: what an agent, the model actor and the keeper are
 * told. Only what the receiver needs, defaults filled in, so that it has none of its own. */
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "queenright/config.h"
#include "queenright/config_providers.h"

/* Takes the value. */
static char *dump(json_t *value, size_t flags)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | flags) : NULL;
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
    return dump(json_pack("{s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:I}", "id", agent->id,
                          "instructions", agent->instructions, "models", agent->models, "node",
                          agent->node, "tools", split(agent->tools, ','), "maxToolRounds",
                          (int)agent->max_tool_rounds, "maxAskDepth", (int)agent->max_ask_depth,
                          "maxQueued", (int)agent->max_queued, "timeoutSeconds",
                          (json_int_t)(agent->timeout_ms / 1000)),
                0);
}

static const char *auth_name(enum config_auth auth)
{
    static const char *const names[] = {"none", "oauth", "api-key"};
    return names[auth];
}

static json_t *provider_json(const struct config_provider *provider)
{
    json_t *headers = provider->headers ? json_incref(provider->headers) : json_object();
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:o}", "baseUrl", provider->base_url, "api",
                     provider->api, "auth", auth_name(provider->auth), "accountHeader",
                     provider->account_header, "paid", provider->paid, "maxConcurrent",
                     (int)provider->max_concurrent, "headers", headers);
}

char *config_models_json(const struct config *config)
{
    json_t *providers = json_object();
    for (size_t i = 0; i < config->provider_count; i++)
        json_object_set_new(providers, config->providers[i].id,
                            provider_json(&config->providers[i]));
    return dump(json_pack("{s:o}", "providers", providers), 0);
}

/* The file's order, else the provider's profiles in file order, else the one of default name. */
static json_t *order_json(const struct config *config, const struct config_provider *provider)
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
                                order_json(config, &config->providers[i]));
    json_t *profiles = json_object();
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct config_profile *profile = &config->profiles[i];
        json_object_set_new(profiles, profile->id,
                            json_pack("{s:s, s:s, s:s}", "provider", profile->provider, "mode",
                                      profile->mode == AUTH_OAUTH ? "oauth" : "api_key", "email",
                                      profile->email));
    }
    return dump(json_pack("{s:o, s:o}", "profiles", profiles, "order", order), 0);
}

char *config_provider_rule_json(const struct config_provider *provider)
{
    return dump(provider->oauth ? json_incref(provider->oauth) : json_object(), 0);
}

char *config_json(const struct config *config)
{
    return dump(json_incref(config->root), JSON_SORT_KEYS);
}

void config_digest(const struct config *config, uint8_t ret_digest[32])
{
    char *text = config_json(config);
    crypto_hash_sha256(ret_digest, (const unsigned char *)(text ? text : ""),
                       text ? strlen(text) : 0);
    free(text);
}
