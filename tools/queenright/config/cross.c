/* SPDX-License-Identifier: Apache-2.0 */
/* What one key alone cannot show: references that lead nowhere, and keys that contradict each
 * other. Runs also when the keys had errors, so it takes nothing for granted: what has the wrong
 * type reads as absent, and was reported before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queenright/config/check.h"
#include "queenright/config/config.h"
#include "queenright/config/providers.h"
#include "token/provider.h"

/* Keys from the root down; NULL ends them early. */
struct place {
    const char *keys[6];
};

static void error_at(struct config_checker *checker, bool of_key, const struct place *place,
                     const char *text)
{
    size_t depth = checker->depth;
    for (size_t i = 0; i < 6 && place->keys[i]; i++)
        config_check_push(checker, place->keys[i], 0);
    config_check_error(checker, of_key, "%s", text);
    checker->depth = depth;
}

#define ERROR_AT(checker, of_key, text, ...)                                                       \
    error_at((checker), (of_key), &(struct place){{__VA_ARGS__}}, (text))

/* "; did you mean X?" with the nearest of the object's keys, or nothing. */
static void suggest(json_t *object, const char *word, char *text, size_t size)
{
    const char *key, *best = NULL;
    json_t *value;
    size_t best_distance = word_distance_max(word) + 1;
    json_object_foreach(object, key, value) {
        if (word_distance(key, word) < best_distance) {
            best_distance = word_distance(key, word);
            best = key;
        }
    }
    *text = '\0';
    if (best)
        snprintf(text, size, "; did you mean \"%s\"?", best);
}

static void unknown_provider(const json_t *root, const char *id, char *text, size_t size)
{
    char near[192] = "";
    json_t *known = json_object();
    json_object_update(known, config_tree(root, "models", "providers", NULL));
    for (size_t i = 0; config_builtin_id(i); i++)
        json_object_set_new(known, config_builtin_id(i), json_true());
    suggest(known, id, near, sizeof near);
    json_decref(known);
    snprintf(text, size, "no provider \"%.64s\" under models.providers, and none of that name is "
                         "built in%s", id, near);
}

/* The keeper has the last word on a rule, and it had better be said here. */
static void check_rule(struct config_checker *checker, const struct config_provider *provider)
{
    struct provider_rule rule;
    char why[512] = "";
    char *json = config_provider_rule_json(provider);
    if (json && provider_rule_parse(provider->id, json, &rule, why, sizeof why) < 0)
        ERROR_AT(checker, false, why, "models", "providers", provider->id, "oauth");
    free(json);
}

static void check_oauth(struct config_checker *checker, const struct config_provider *provider)
{
    const json_t *oauth = provider->oauth;
    const char *id = provider->id;
    if (provider->auth != AUTH_OAUTH)
        ERROR_AT(checker, true, "oauth settings, but auth is not \"oauth\": remove one of them",
                 "models", "providers", id, "oauth");
    if (!provider->builtin && !json_object_get(oauth, "tokenUrl") &&
        !json_object_get(oauth, "issuer"))
        ERROR_AT(checker, false, "needs tokenUrl, or issuer for discovery", "models", "providers",
                 id, "oauth");
    if (!provider->builtin && !json_object_get(oauth, "clientId"))
        ERROR_AT(checker, false, "needs clientId", "models", "providers", id, "oauth");
    bool grace = strcmp(config_text(oauth, "rotation", "strict"), "grace") == 0;
    if (grace && !json_object_get(oauth, "graceSeconds"))
        ERROR_AT(checker, false, "\"rotation\": \"grace\" needs graceSeconds", "models",
                 "providers", id, "oauth", "rotation");
    if (!grace && json_object_get(oauth, "graceSeconds"))
        ERROR_AT(checker, true, "only for \"rotation\": \"grace\"", "models", "providers", id,
                 "oauth", "graceSeconds");
    if (checker->errors->count == 0) /* what was found above it would only say again */
        check_rule(checker, provider);
}

static void check_providers(struct config_checker *checker, const json_t *root)
{
    const char *id;
    json_t *entry;
    json_object_foreach(config_tree(root, "models", "providers", NULL), id, entry) {
        struct config_provider provider;
        if (!config_provider_resolve(root, id, &provider))
            continue;
        if (provider.oauth)
            check_oauth(checker, &provider);
        else if (provider.auth == AUTH_OAUTH && !provider.builtin)
            ERROR_AT(checker, false, "auth is \"oauth\": needs an oauth object with tokenUrl and "
                                     "clientId", "models", "providers", id);
        if (provider.auth != AUTH_NONE && *provider.base_url &&
            !config_check_url(provider.base_url) &&
            !config_url_is_loopback_or_https(provider.base_url))
            ERROR_AT(checker, false, "a credential would travel unencrypted: use https, or "
                                     "\"auth\": \"none\" if the server needs none", "models",
                     "providers", id, "baseUrl");
    }
}

static void check_profiles(struct config_checker *checker, const json_t *root)
{
    const char *id;
    json_t *profile;
    json_object_foreach(config_tree(root, "auth", "profiles", NULL), id, profile) {
        const char *name = config_text(profile, "provider", NULL);
        struct config_provider provider;
        if (!name)
            continue;
        char text[384];
        if (!config_provider_resolve(root, name, &provider)) {
            unknown_provider(root, name, text, sizeof text);
            ERROR_AT(checker, false, text, "auth", "profiles", id, "provider");
            continue;
        }
        bool key = strcmp(config_text(profile, "mode", "oauth"), "api_key") == 0;
        if (provider.auth != (key ? AUTH_API_KEY : AUTH_OAUTH)) {
            snprintf(text, sizeof text, "mode %s, but provider \"%.64s\" uses %s",
                     key ? "api_key" : "oauth", name,
                     provider.auth == AUTH_OAUTH     ? "oauth"
                     : provider.auth == AUTH_API_KEY ? "API keys: write \"mode\": \"api_key\""
                                                     : "no credentials");
            bool given = json_object_get(profile, "mode") != NULL;
            ERROR_AT(checker, false, text, "auth", "profiles", id, given ? "mode" : NULL);
        }
    }
}

static void check_order_item(struct config_checker *checker, const json_t *root,
                             const char *provider, const json_t *list, size_t i)
{
    const char *id = json_string_value(json_array_get(list, i));
    if (!id)
        return;
    json_t *profiles = config_tree(root, "auth", "profiles", NULL);
    const json_t *profile = json_object_get(profiles, id);
    const char *owner = config_text(profile, "provider", provider);
    char near[192] = "";
    suggest(profiles, id, near, sizeof near);
    config_check_push(checker, NULL, i);
    if (!profile)
        config_check_error(checker, false, "no profile \"%.128s\" under auth.profiles%s", id, near);
    else if (strcmp(owner, provider) != 0)
        config_check_error(checker, false, "the profile \"%.128s\" is of provider \"%.64s\"", id,
                           owner);
    for (size_t j = 0; j < i; j++)
        if (json_equal(json_array_get(list, j), json_array_get(list, i))) {
            config_check_error(checker, false, "the profile is in this order already");
            break;
        }
    config_check_pop(checker);
}

static void check_orders(struct config_checker *checker, const json_t *root)
{
    const char *id;
    json_t *list;
    json_object_foreach(config_tree(root, "auth", "order", NULL), id, list) {
        struct config_provider provider;
        if (!config_provider_resolve(root, id, &provider)) {
            char text[384];
            unknown_provider(root, id, text, sizeof text);
            ERROR_AT(checker, true, text, "auth", "order", id);
            continue;
        }
        config_check_push(checker, "auth", 0);
        config_check_push(checker, "order", 0);
        config_check_push(checker, id, 0);
        if (json_is_array(list) && json_array_size(list) == 0)
            config_check_error(checker, false, "an empty order leaves no login to use");
        for (size_t i = 0; i < json_array_size(list); i++)
            check_order_item(checker, root, id, list, i);
        checker->depth -= 3;
    }
}

/* The steps lead to the reference. False after an error. */
static bool check_reference(struct config_checker *checker, const json_t *root,
                            const char *reference, struct config_provider *ret_provider)
{
    char id[128], text[384];
    const char *slash = reference ? strchr(reference, '/') : NULL;
    if (!slash)
        return false;
    snprintf(id, sizeof id, "%.*s", (int)(slash - reference), reference);
    /* The provider's text must outlive `id`: resolve by the key in the tree. */
    json_t *providers = config_tree(root, "models", "providers", NULL);
    void *at = json_object_iter_at(providers, id);
    if (!config_provider_resolve(root, at ? json_object_iter_key(at) : id, ret_provider)) {
        unknown_provider(root, id, text, sizeof text);
        config_check_error(checker, false, "%s", text);
        return false;
    }
    if (!*ret_provider->base_url) {
        config_check_error(checker, false, "models.providers.%s has no baseUrl to ask it at", id);
        return false;
    }
    return true;
}

static void check_fallback(struct config_checker *checker, const json_t *root,
                           const json_t *fallback, bool primary_is_paid)
{
    struct config_provider provider;
    bool object = json_is_object(fallback);
    const char *reference =
        object ? config_text(fallback, "model", NULL) : json_string_value(fallback);
    bool allowed = strcmp(config_text(fallback, "paid", "deny"), "allow") == 0;
    if (object)
        config_check_push(checker, "model", 0);
    if (check_reference(checker, root, reference, &provider) && provider.paid &&
        !primary_is_paid && !allowed)
        config_check_error(checker, false,
                           "this fallback costs money and the primary does not: write {\"model\": "
                           "\"%.96s\", \"paid\": \"allow\"}, or leave it out", reference);
    if (object)
        config_check_pop(checker);
}

/* The steps lead to the object that has `model`. */
static void check_models(struct config_checker *checker, const json_t *root, const json_t *model)
{
    struct config_provider provider;
    config_check_push(checker, "model", 0);
    if (json_is_string(model)) {
        check_reference(checker, root, json_string_value(model), &provider);
    } else {
        config_check_push(checker, "primary", 0);
        bool good = check_reference(checker, root, config_text(model, "primary", NULL), &provider);
        config_check_pop(checker);
        config_check_push(checker, "fallbacks", 0);
        size_t i;
        json_t *fallback;
        json_array_foreach(json_object_get(model, "fallbacks"), i, fallback) {
            config_check_push(checker, NULL, i);
            check_fallback(checker, root, fallback, !good || provider.paid);
            config_check_pop(checker);
        }
        config_check_pop(checker);
    }
    config_check_pop(checker);
}

static bool id_is_reserved(const char *id)
{
    /* Names of the actors every process has, and of who is no agent but speaks. */
    static const char *const reserved[] = {"control", "http",  "journal", "keeper", "main",
                                           "model",   "node",  "store",   "swarm",  "token",
                                           "user",    "system", "supervisor", "agents"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(reserved[i], id) == 0)
            return true;
    return false;
}

static void check_agent(struct config_checker *checker, const json_t *root, const char *id,
                        const json_t *agent)
{
    char text[320], near[192] = "";
    if (id_is_reserved(id))
        ERROR_AT(checker, true, "this name is the system's own: choose another", "agents",
                 "entries", id);
    if (!json_object_get(agent, "model") && !config_tree(root, "agents", "defaults", "model"))
        ERROR_AT(checker, true, "no model: give it one, or set agents.defaults.model", "agents",
                 "entries", id);
    const char *node = config_text(agent, "node", NULL);
    json_t *nodes = json_object_get(root, "nodes");
    if (node && !json_object_get(nodes, node) && (nodes || strcmp(node, "home") != 0)) {
        suggest(nodes, node, near, sizeof near);
        snprintf(text, sizeof text, "no node \"%.63s\" under nodes%s", node, near);
        ERROR_AT(checker, false, text, "agents", "entries", id, "node");
    }
    if (!json_object_get(agent, "model"))
        return;
    size_t depth = checker->depth;
    config_check_push(checker, "agents", 0);
    config_check_push(checker, "entries", 0);
    config_check_push(checker, id, 0);
    check_models(checker, root, json_object_get(agent, "model"));
    checker->depth = depth;
}

static void check_agents(struct config_checker *checker, const json_t *root)
{
    json_t *model = config_tree(root, "agents", "defaults", "model");
    if (model) {
        config_check_push(checker, "agents", 0);
        config_check_push(checker, "defaults", 0);
        check_models(checker, root, model);
        checker->depth -= 2;
    }
    const char *id;
    json_t *agent;
    json_object_foreach(config_tree(root, "agents", "entries", NULL), id, agent) {
        if (json_is_object(agent))
            check_agent(checker, root, id, agent);
    }
}

void config_check_cross(struct config_checker *checker, json_t *root)
{
    check_providers(checker, root);
    check_profiles(checker, root);
    check_orders(checker, root);
    check_agents(checker, root);
    json_t *nodes = json_object_get(root, "nodes");
    if (json_is_object(nodes) && (json_object_get(nodes, "up") || json_object_get(nodes, "keeper")))
        ERROR_AT(checker, false, "up and keeper are names of the swarm's own processes", "nodes");
    if (json_is_object(nodes) && json_object_size(nodes) == 0)
        ERROR_AT(checker, false, "at least one node is needed; leave the key out for one named "
                                 "home", "nodes");
    json_t *first = config_tree(root, "supervision", "backoffMs", NULL);
    json_t *last = config_tree(root, "supervision", "backoffMaxMs", NULL);
    if (json_is_integer(last) && json_integer_value(last) <
        (first ? json_integer_value(first) : config_key_default("supervision.backoffMs")))
        ERROR_AT(checker, false, "less than backoffMs", "supervision", "backoffMaxMs");
}
