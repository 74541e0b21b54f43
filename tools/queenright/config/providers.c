/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/config/providers.h"

#include <string.h>

#include "queenright/config/keys.h"

static const struct config_provider builtins[] = {
    /* Sign in with ChatGPT: the official way for ChatGPT plans. */
    {.id = "chatgpt", .base_url = "https://api.openai.com/v1", .api = "openai-responses",
     .auth = AUTH_OAUTH, .account_header = ""},
    /* The Codex command line's own client id; opt-in, under our own name. */
    {.id = "openai-codex", .base_url = "https://chatgpt.com/backend-api/codex",
     .api = "openai-responses", .auth = AUTH_OAUTH, .account_header = "ChatGPT-Account-ID"},
    {.id = "openai", .base_url = "https://api.openai.com/v1", .api = "openai-responses",
     .auth = AUTH_API_KEY, .account_header = "", .paid = true},
    {.id = "anthropic", .base_url = "https://api.anthropic.com/v1", .api = "anthropic-messages",
     .auth = AUTH_API_KEY, .account_header = "", .paid = true},
};

#define BUILTIN_COUNT (sizeof builtins / sizeof builtins[0])

const char *config_builtin_id(size_t i)
{
    return i < BUILTIN_COUNT ? builtins[i].id : NULL;
}

json_t *config_tree(const json_t *root, const char *a, const char *b, const char *c)
{
    json_t *at = json_object_get(root, a);
    if (b)
        at = json_object_get(at, b);
    return c ? json_object_get(at, c) : at;
}

const char *config_text(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : fallback;
}

static enum config_auth auth_parse(const char *word)
{
    return strcmp(word, "oauth") == 0 ? AUTH_OAUTH
           : strcmp(word, "none") == 0 ? AUTH_NONE
                                       : AUTH_API_KEY;
}

static void provider_base(const char *id, struct config_provider *ret_provider)
{
    *ret_provider = (struct config_provider){
        .base_url = "", .api = config_key_default_text("models.providers.*.api"),
        .auth = AUTH_API_KEY, .account_header = ""};
    for (size_t i = 0; i < BUILTIN_COUNT; i++)
        if (strcmp(builtins[i].id, id) == 0) {
            *ret_provider = builtins[i];
            ret_provider->builtin = true;
        }
    ret_provider->max_concurrent =
        (unsigned)config_key_default("models.providers.*.maxConcurrent");
}

bool config_provider_resolve(const json_t *root, const char *id,
                             struct config_provider *ret_provider)
{
    struct config_provider provider;
    provider_base(id, &provider);
    json_t *entry = config_tree(root, "models", "providers", id);
    if (!entry && !provider.builtin)
        return false;
    if (!provider.builtin)
        provider.id = id;
    json_t *oauth = json_object_get(entry, "oauth");
    json_t *limit = json_object_get(entry, "maxConcurrent");
    json_t *paid = json_object_get(entry, "paid");
    const char *auth = config_text(entry, "auth", NULL);
    provider.base_url = config_text(entry, "baseUrl", provider.base_url);
    provider.api = config_text(entry, "api", provider.api);
    provider.account_header = config_text(entry, "accountHeader", provider.account_header);
    if (auth || json_is_object(oauth))
        provider.auth = auth ? auth_parse(auth) : AUTH_OAUTH;
    if (json_is_integer(limit))
        provider.max_concurrent = (unsigned)json_integer_value(limit);
    provider.paid = json_is_boolean(paid) ? json_is_true(paid) : provider.auth == AUTH_API_KEY;
    provider.headers = json_object_get(entry, "headers");
    provider.oauth = json_is_object(oauth) ? oauth : NULL;
    provider.entry = entry;
    *ret_provider = provider;
    return true;
}
