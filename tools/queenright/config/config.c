/* SPDX-License-Identifier: Apache-2.0 */
/* From a checked tree to the structs. The tree stays: the structs borrow its text, and what is
 * composed here (an agent's models) is kept in one list beside it, so that one release frees
 * all. */
#include "queenright/config/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "queenright/config/check.h"
#include "queenright/config/providers.h"
#include "queenright/config/read.h"

static const char *keep(struct config *config, const char *text)
{
    json_t *kept = json_string(text);
    return kept && json_array_append_new(config->kept, kept) == 0 ? json_string_value(kept) : NULL;
}

/* Position of the word among a|b|c, which is the enum's value. */
static int enum_index(const char *values, const char *word)
{
    size_t length = strlen(word);
    int i = 0;
    for (const char *at = values; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL, i++)
        if (strncmp(at, word, length) == 0 && strchr("|", at[length]))
            return i;
    return 0;
}

static int enum_value(const char *path, const json_t *value)
{
    const struct config_key *key = config_key_find(path);
    return enum_index(key->values, value ? json_string_value(value) : key->fallback);
}

static unsigned int_value(const char *path, const json_t *value)
{
    return (unsigned)(value ? json_integer_value(value) : config_key_default(path));
}

/* ---- agents --------------------------------------------------------------------------------- */

/* The agent's own value, else the defaults', else NULL. `below` may be NULL. */
static json_t *agent_value(const json_t *root, const json_t *agent, const char *key,
                           const char *below)
{
    json_t *own = json_object_get(agent, key);
    json_t *common = config_tree(root, "agents", "defaults", key);
    if (below) {
        own = json_object_get(own, below);
        common = json_object_get(common, below);
    }
    return own ? own : common;
}

static bool reference_is_paid(const json_t *root, const char *reference)
{
    char id[128];
    struct config_provider provider;
    snprintf(id, sizeof id, "%.*s", (int)strcspn(reference, "/"), reference);
    return config_provider_resolve(root, id, &provider) && provider.paid;
}

/* A fallback needs `allow` to cost money, unless the primary does: then all of them may. */
static void models_print(FILE *out, const json_t *root, const json_t *model)
{
    const char *primary = json_is_string(model) ? json_string_value(model)
                                                : config_text(model, "primary", "");
    bool paid = reference_is_paid(root, primary);
    fprintf(out, "%s%s", paid ? "$" : "", primary);
    size_t i;
    json_t *fallback;
    json_array_foreach(json_object_get(model, "fallbacks"), i, fallback) {
        const char *reference = json_is_string(fallback) ? json_string_value(fallback)
                                                         : config_text(fallback, "model", "");
        bool allowed = paid || strcmp(config_text(fallback, "paid", "deny"), "allow") == 0;
        fprintf(out, "\n%s%s", allowed && reference_is_paid(root, reference) ? "$" : "", reference);
    }
}

static const char *models_keep(struct config *config, const json_t *model)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    models_print(out, config->root, model);
    fclose(out);
    const char *kept = keep(config, text);
    free(text);
    return kept;
}

static const char *tools_keep(struct config *config, json_t *value)
{
    const char *fallback = config_key_default_text("agents.defaults.tools.allow");
    json_t *list = value ? json_incref(value) : json_loads(fallback, 0, NULL);
    char text[64] = "";
    size_t i, length = 0;
    json_t *item;
    json_array_foreach(list, i, item) {
        const char *word = json_string_value(item);
        if (!strstr(text, word) && length < sizeof text)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s",
                                       length ? "," : "", word);
    }
    json_decref(list);
    return keep(config, text);
}

static const char *node_default(const struct config *config)
{
    for (size_t i = 0; i < config->node_count; i++)
        if (strcmp(config->nodes[i].name, "home") == 0)
            return "home";
    return config->nodes[0].name;
}

static void agent_build(struct config *config, const char *id, const json_t *entry,
                        struct config_agent *agent)
{
#define VALUE(key, below) agent_value(config->root, entry, key, below)
#define DEFAULTS(key) "agents.defaults." key
    json_t *instructions = VALUE("instructions", NULL);
    *agent = (struct config_agent){
        .id = id,
        .instructions = instructions ? json_string_value(instructions) : "",
        .models = models_keep(config, VALUE("model", NULL)),
        .node = config_text(entry, "node", node_default(config)),
        .tools = tools_keep(config, VALUE("tools", "allow")),
        .max_tool_rounds = int_value(DEFAULTS("limits.toolRounds"), VALUE("limits", "toolRounds")),
        .max_ask_depth = int_value(DEFAULTS("limits.askDepth"), VALUE("limits", "askDepth")),
        .max_queued = int_value(DEFAULTS("limits.queuedTurns"), VALUE("limits", "queuedTurns")),
        .history_turns = int_value(DEFAULTS("limits.historyTurns"),
                                   VALUE("limits", "historyTurns")),
        .timeout_ms =
            1000ull * int_value(DEFAULTS("timeoutSeconds"), VALUE("timeoutSeconds", NULL)),
        .restart = (enum config_restart)enum_value(DEFAULTS("supervision.restart"),
                                                   VALUE("supervision", "restart")),
    };
#undef DEFAULTS
#undef VALUE
}

/* ---- the rest ------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const struct config_agent *const *one = a, *const *other = b;
    return strcasecmp((*one)->id, (*other)->id);
}

static int build_agents(struct config *config)
{
    json_t *entries = config_tree(config->root, "agents", "entries", NULL);
    struct config_agent *agents = calloc(json_object_size(entries) + 1, sizeof *agents);
    if (!agents)
        return -ENOMEM;
    config->agents = agents;
    const char *id;
    json_t *entry;
    json_object_foreach(entries, id, entry)
        agent_build(config, id, entry, &agents[config->agent_count++]);
    config->agents_by_id = calloc(config->agent_count + 1, sizeof *config->agents_by_id);
    if (!config->agents_by_id)
        return -ENOMEM;
    for (size_t i = 0; i < config->agent_count; i++)
        config->agents_by_id[i] = &agents[i];
    qsort(config->agents_by_id, config->agent_count, sizeof *config->agents_by_id, by_id);
    return 0;
}

static int build_nodes(struct config *config)
{
    json_t *entries = json_object_get(config->root, "nodes");
    struct config_node *nodes = calloc(json_object_size(entries) + 1, sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    config->nodes = nodes;
    const char *name;
    json_t *entry;
    json_object_foreach(entries, name, entry)
        nodes[config->node_count++] = (struct config_node){
            name, int_value("nodes.*.workers", json_object_get(entry, "workers"))};
    if (config->node_count == 0)
        nodes[config->node_count++] = (struct config_node){"home", 0};
    return 0;
}

static int build_providers(struct config *config)
{
    size_t builtin_count = 0;
    while (config_builtin_id(builtin_count))
        builtin_count++;
    json_t *entries = config_tree(config->root, "models", "providers", NULL);
    struct config_provider *providers =
        calloc(json_object_size(entries) + builtin_count, sizeof *providers);
    if (!providers)
        return -ENOMEM;
    config->providers = providers;
    const char *id;
    json_t *entry;
    json_object_foreach(entries, id, entry)
        config_provider_resolve(config->root, id, &providers[config->provider_count++]);
    for (size_t i = 0; i < builtin_count; i++)
        if (!json_object_get(entries, config_builtin_id(i)))
            config_provider_resolve(config->root, config_builtin_id(i),
                                    &providers[config->provider_count++]);
    return 0;
}

static int build_profiles(struct config *config)
{
    json_t *entries = config_tree(config->root, "auth", "profiles", NULL);
    struct config_profile *profiles = calloc(json_object_size(entries) + 1, sizeof *profiles);
    if (!profiles)
        return -ENOMEM;
    config->profiles = profiles;
    const char *id;
    json_t *entry;
    json_object_foreach(entries, id, entry)
        profiles[config->profile_count++] = (struct config_profile){
            .id = id,
            .provider = config_text(entry, "provider", ""),
            .mode = strcmp(config_text(entry, "mode", "oauth"), "oauth") == 0 ? AUTH_OAUTH
                                                                              : AUTH_API_KEY,
            .email = config_text(entry, "email", "")};
    return 0;
}

static void build_supervision(struct config *config)
{
#define VALUE(key) config_tree(config->root, "supervision", key, NULL)
    config->supervision = (struct config_supervision){
        .strategy = (enum config_strategy)enum_value("supervision.strategy", VALUE("strategy")),
        .intensity = int_value("supervision.intensity", VALUE("intensity")),
        .window_ms = 1000ull * int_value("supervision.windowSeconds", VALUE("windowSeconds")),
        .backoff_ms = int_value("supervision.backoffMs", VALUE("backoffMs")),
        .backoff_max_ms = int_value("supervision.backoffMaxMs", VALUE("backoffMaxMs")),
    };
#undef VALUE
}

/* Takes the tree. */
static int config_build(const char *name, json_t *root, struct config **ret_config)
{
    struct config *config = calloc(1, sizeof *config);
    if (!config) {
        json_decref(root);
        return -ENOMEM;
    }
    config->root = root;
    config->kept = json_array();
    config->file = config->kept ? keep(config, name) : NULL;
    config->swarm = config_text(root, "swarm", config_key_default_text("swarm"));
    int error = config->file ? build_nodes(config) : -ENOMEM;
    if (error == 0)
        error = build_providers(config);
    if (error == 0)
        error = build_profiles(config);
    if (error == 0)
        error = build_agents(config);
    if (error < 0) {
        config_free(config);
        return error;
    }
    build_supervision(config);
    *ret_config = config;
    return 0;
}

static int parse(const char *name, const char *text, size_t size, struct config **ret_config,
                 struct config_errors *errors)
{
    config_skip_mark(&text, &size);
    json_t *root = config_read_json(text, size, errors);
    struct config_checker checker = {.text = text, .size = size, .errors = errors};
    if (root) {
        config_check_keys(&checker, root);
        if (json_is_object(root))
            config_check_cross(&checker, root);
    }
    if (errors->count > 0 || checker.no_memory) {
        json_decref(root);
        config_errors_sort(errors);
        return checker.no_memory ? -ENOMEM : -EBADMSG;
    }
    return config_build(name, root, ret_config);
}

int config_parse(const char *name, const char *text, size_t size, struct config **ret_config,
                 struct config_errors *errors)
{
    config_errors_init(errors, name);
    return parse(name, text, size, ret_config, errors);
}

int config_load(const char *path, struct config **ret_config, struct config_errors *errors)
{
    config_errors_init(errors, path);
    char *text = NULL;
    size_t size = 0;
    int error = config_read_file(path, &text, &size, errors);
    if (error == 0)
        error = parse(path, text, size, ret_config, errors);
    free(text);
    return error;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    free(config->providers);
    free(config->profiles);
    free(config->nodes);
    free(config->agents);
    free(config->agents_by_id);
    json_decref(config->root);
    json_decref(config->kept);
    free(config);
}

int config_find(const char *given, char *ret_path, size_t size)
{
    static const char here[] = "./queenright.json";
    char home[4096];
    const char *base = secure_getenv("XDG_CONFIG_HOME");
    bool absolute = base && *base == '/';
    const char *user = secure_getenv("HOME");
    snprintf(home, sizeof home, "%s%s/queenright/queenright.json",
             absolute ? base : user ? user : "", absolute ? "" : "/.config");
    const char *places[] = {given ? given : here, given ? NULL : home};
    for (size_t i = 0; i < 2 && places[i]; i++)
        if (given || access(places[i], F_OK) == 0)
            return (size_t)snprintf(ret_path, size, "%s", places[i]) < size ? 0 : -ENAMETOOLONG;
    snprintf(ret_path, size, "%s, %s", here, home);
    return -ENOENT;
}

/* ---- lookups -------------------------------------------------------------------------------- */

const struct config_agent *config_agent(const struct config *config, const char *id)
{
    const struct config_agent wanted = {.id = id}, *key = &wanted;
    const struct config_agent **found = bsearch(&key, config->agents_by_id, config->agent_count,
                                                sizeof *config->agents_by_id, by_id);
    return found ? *found : NULL;
}

const struct config_provider *config_provider(const struct config *config, const char *id)
{
    for (size_t i = 0; i < config->provider_count; i++)
        if (strcasecmp(config->providers[i].id, id) == 0)
            return &config->providers[i];
    return NULL;
}

const struct config_profile *config_profile(const struct config *config, const char *id)
{
    for (size_t i = 0; i < config->profile_count; i++)
        if (strcmp(config->profiles[i].id, id) == 0)
            return &config->profiles[i];
    return NULL;
}

const struct config_node *config_node(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->node_count; i++)
        if (strcasecmp(config->nodes[i].name, name) == 0)
            return &config->nodes[i];
    return NULL;
}
