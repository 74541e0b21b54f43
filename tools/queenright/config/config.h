/* SPDX-License-Identifier: Apache-2.0 */
/* The config: one JSON file, read once into the structs below, checked against one table of keys
 * (keys.h) that docs/CONFIG.md is printed from as well.
 *
 * All errors of a file are reported together, each with line, column, what was expected and, where
 * one is near, the key that was meant. A config that loaded is whole: ids are lower case, defaults
 * are filled in, every reference names something that exists, ${VAR} is replaced. It never changes
 * afterwards, and the file is never written (promise 11).
 *
 * Text belongs to the config and lives until config_free. Functions that answer `char *` (not
 * const) answer malloc'd text, NULL only without memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queenright/config/errors.h"

struct json_t; /* jansson's; seen by config_*.c only */

enum config_auth { AUTH_NONE, AUTH_OAUTH, AUTH_API_KEY };
enum config_restart { CONFIG_RESTART_ALWAYS, CONFIG_RESTART_ON_FAILURE, CONFIG_RESTART_NEVER };
enum config_strategy { CONFIG_ONE_FOR_ONE, CONFIG_ONE_FOR_ALL, CONFIG_REST_FOR_ONE };

/* Built in or configured, or built in and changed by the config. */
struct config_provider {
    const char *id;
    bool builtin;               /* its OAuth rule may be the built-in one */
    const char *base_url;       /* empty: only for tokens, no models */
    const char *api;            /* openai-responses, openai-completions, anthropic-messages */
    enum config_auth auth;
    const char *account_header; /* empty: none */
    bool paid;                  /* each call costs money */
    unsigned max_concurrent;    /* calls of one account at a time; 0: no limit */
    struct json_t *headers;     /* object of strings */
    struct json_t *oauth;       /* the config's oauth object; NULL: none */
    struct json_t *entry;       /* the config's whole entry; NULL: none */
};

struct config_profile {
    const char *id;
    const char *provider;
    enum config_auth mode; /* AUTH_OAUTH or AUTH_API_KEY */
    const char *email;
};

struct config_node {
    const char *name;
    unsigned workers; /* 0: one a core */
};

/* One agent, merged with the defaults. */
struct config_agent {
    const char *id;
    const char *instructions;
    const char *models; /* references by preference, newline-separated; `$` before one that may
                         * cost money and is allowed to (proto/model.h, model_call) */
    const char *node;
    const char *tools;  /* comma-separated: ask, tell; empty: none */
    unsigned max_tool_rounds;
    unsigned max_ask_depth;
    unsigned max_queued;
    unsigned history_turns;
    uint64_t timeout_ms; /* of one turn */
    enum config_restart restart;
};

struct config_supervision {
    enum config_strategy strategy;
    unsigned intensity;
    uint64_t window_ms;
    uint64_t backoff_ms;
    uint64_t backoff_max_ms;
};

struct config {
    const char *file; /* as given, for messages; not made absolute */
    const char *swarm;
    struct config_provider *providers; /* configured ones, then the built-in ones */
    size_t provider_count;
    struct config_profile *profiles;
    size_t profile_count;
    struct config_node *nodes; /* at least one */
    size_t node_count;
    struct config_agent *agents; /* as the file has them */
    size_t agent_count;
    const struct config_agent **agents_by_id;
    struct config_supervision supervision; /* of the agents on each node */
    struct json_t *root; /* resolved: variables replaced, ids in lower case */
    struct json_t *kept; /* text made by the loader */
};

/* Where a config is looked for: `given`, else ./queenright.json, else
 * ~/.config/queenright/queenright.json. 0 and the path; -ENOENT and, in ret_path, the places that
 * were tried, comma-separated. */
int config_find(const char *given, char *ret_path, size_t size);

/* 0; -EBADMSG with all that is wrong in *errors; another negative errno, also told in *errors, when
 * the file cannot be read. *errors is initialised here; the caller deinits it in every case. */
int config_load(const char *path, struct config **ret_config, struct config_errors *errors);
/* The same for text; `name` stands for the file in messages. */
int config_parse(const char *name, const char *text, size_t size, struct config **ret_config,
                 struct config_errors *errors);
void config_free(struct config *config); /* NULL is allowed */

/* NULL: none of that id. Ids are compared in lower case. */
const struct config_agent *config_agent(const struct config *config, const char *id);
const struct config_provider *config_provider(const struct config *config, const char *id);
const struct config_profile *config_profile(const struct config *config, const char *id);
const struct config_node *config_node(const struct config *config, const char *name);

/* ---- as JSON, for messages ----------------------------------------------------------------- */

/* An agent's merged entry (agent_reconfigure): id, instructions, models, node, tools,
 * maxToolRounds, maxAskDepth, maxQueued, historyTurns, timeoutSeconds. */
char *config_agent_json(const struct config_agent *agent);
/* `models` for model_reconfigure: {"providers": {ID: {baseUrl, api, auth, headers, accountHeader,
 * paid, maxConcurrent}}}, defaults filled in, built-in providers included; toolNamespace,
 * reasoning and maxTokens where the file has them. */
char *config_models_json(const struct config *config);
/* `auth` for model_reconfigure: {"profiles": {...}, "order": {PROVIDER: [PROFILE, ...]}} with an
 * order for every provider: the file's, else its profiles in file order, else PROVIDER:default. */
char *config_auth_json(const struct config *config);
/* The provider's `oauth` object, input of provider_rule_parse; an object without keys when the
 * config gives none and the built-in rule stands. */
char *config_provider_rule_json(const struct config_provider *provider);
/* The whole resolved config. Loading it gives the same config again, whatever the environment. */
char *config_json(const struct config *config);

/* ---- what a reload has to do --------------------------------------------------------------- */

enum config_change_kind {
    CHANGE_SWARM,         /* the name: needs down and up */
    CHANGE_NODE_ADDED,
    CHANGE_NODE_REMOVED,
    CHANGE_NODE,          /* its own settings: the node restarts */
    CHANGE_AGENT_ADDED,
    CHANGE_AGENT_REMOVED,
    CHANGE_AGENT_MOVED,   /* to another node; may have changed otherwise too */
    CHANGE_AGENT,         /* instructions, models, limits: from the next turn on */
    CHANGE_PROVIDER,      /* added, removed or changed: model_reconfigure, swarm_join */
    CHANGE_AUTH,          /* profiles or order: model_reconfigure */
    CHANGE_SUPERVISION,
};

struct config_change {
    enum config_change_kind kind;
    char *subject; /* id of the agent, node, provider; "" for the others */
    char *text;    /* e.g. "agent lumi: moved from home to b" */
};

struct config_changes {
    struct config_change *items; /* in the order of the kinds above, then of the file */
    size_t count;
};

/* 0 or -ENOMEM. No changes: count 0. */
int config_diff(const struct config *before, const struct config *after,
                struct config_changes *ret_changes);
void config_changes_deinit(struct config_changes *changes);
