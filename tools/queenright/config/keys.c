/* SPDX-License-Identifier: Apache-2.0 */
/* The table. Where OpenClaw has a key for a thing, its name and meaning are used, for many users
 * come from there; what it has no word for is ours. Help texts are sentences for docs/CONFIG.md. */
#include "queenright/config/keys.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (64 << 10)

/* One model reference with what to fall back to; `at` is agents.defaults or agents.entries.* */
#define MODEL_KEYS(at)                                                                             \
    {at ".model", CONFIG_OBJECT, KEY_OR_MODEL, NULL, NULL, 0, 0,                                   \
     "The model, as `provider/model` or as an object with fallbacks. A plain string means this "   \
     "model and no other."},                                                                       \
    {at ".model.primary", CONFIG_MODEL, KEY_REQUIRED, NULL, NULL, 0, 255,                          \
     "The model that is asked first, as `provider/model`, split at the first `/`."},               \
    {at ".model.fallbacks", CONFIG_LIST, 0, "[]", NULL, 0, 15,                                     \
     "Models to try in turn when all logins of the one before are used up or refused."},           \
    {at ".model.fallbacks[]", CONFIG_OBJECT, KEY_OR_MODEL, NULL, NULL, 0, 0,                       \
     "A reference, or an object when it needs `paid`."},                                           \
    {at ".model.fallbacks[].model", CONFIG_MODEL, KEY_REQUIRED, NULL, NULL, 0, 255,                \
     "The model, as `provider/model`."},                                                           \
    {at ".model.fallbacks[].paid", CONFIG_ENUM, 0, "deny", "deny|allow", 0, 0,                     \
     "A fallback that costs money where the primary does not must say `allow`."}

#define AGENT_KEYS(at)                                                                             \
    {at ".instructions", CONFIG_TEXT, 0, "", NULL, 0, TEXT_MAX,                                    \
     "System instructions: who the agent is and how it works."},                                   \
    MODEL_KEYS(at),                                                                                \
    {at ".tools", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "What the agent may do besides talking."},   \
    {at ".tools.allow", CONFIG_LIST, 0, "[\"ask\", \"tell\"]", NULL, 0, 8, "The allowed tools."},  \
    {at ".tools.allow[]", CONFIG_ENUM, 0, NULL, "ask|tell", 0, 0,                                  \
     "`ask` another agent and wait for its answer; `tell` it something and go on."},               \
    {at ".limits", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "Bounds of the agent's loop."},             \
    {at ".limits.toolRounds", CONFIG_INT, 0, "8", NULL, 1, 1000,                                  \
     "Model calls in one turn, each answering the tools of the one before."},                      \
    {at ".limits.askDepth", CONFIG_INT, 0, "4", NULL, 1, 64,                                       \
     "How many agents may wait for each other in a row. An agent never waits for itself."},        \
    {at ".limits.queuedTurns", CONFIG_INT, 0, "64", NULL, 1, 100000,                               \
     "Turns that may wait in one session."},                                                       \
    {at ".limits.historyTurns", CONFIG_INT, 0, "50", NULL, 1, 100000,                              \
     "Past turns of a session that the model is given."},                                          \
    {at ".timeoutSeconds", CONFIG_INT, 0, "600", NULL, 1, 86400, "Time for one turn."},            \
    {at ".supervision", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "What happens when it fails."},        \
    {at ".supervision.restart", CONFIG_ENUM, 0, "always", "always|on-failure|never", 0, 0,         \
     "When the agent's actor is started again."}

#define REFUSED_ROSTER                                                                             \
    "write the agents as a map instead, \"agents\": {\"entries\": {\"atlas\": {...}, "             \
    "\"axon\": {...}}}: the id becomes the key, everything else stays"
#define REFUSED_KEY                                                                                \
    "secrets live with the keeper, not in this file: remove it, store the key with "               \
    "`queenright auth import`, and name the login under auth.profiles with \"mode\": \"api_key\""

static const struct config_key keys[] = {
    {"", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "The file is one JSON object."},
    {"$schema", CONFIG_STRING, 0, NULL, NULL, 0, 1024,
     "Ignored; editors use it."},
    {"swarm", CONFIG_ID, 0, "main", NULL, 0, 63,
     "Name of this swarm. Two swarms of one user share the keeper and its logins."},

    {"models", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "Where models are asked."},
    {"models.providers", CONFIG_MAP, 0, "{}", NULL, 0, 128,
     "Providers by id. `chatgpt`, `openai-codex`, `openai` and `anthropic` are built in; a key "
     "here with such an id changes only what it names."},
    {"models.providers.*", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "One provider."},
    {"models.providers.*.baseUrl", CONFIG_URL, 0, NULL, NULL, 0, 511,
     "Base of its model API, e.g. `https://api.example.test/v1`. May be left out by a provider "
     "whose tokens only other programs use."},
    {"models.providers.*.api", CONFIG_ENUM, 0, "openai-completions",
     "openai-responses|openai-completions|anthropic-messages", 0, 0, "What its API speaks."},
    {"models.providers.*.auth", CONFIG_ENUM, 0, NULL, "oauth|api-key|none", 0, 0,
     "How calls are authorised. Default: `oauth` when there is an `oauth` object, else `api-key`. "
     "`none` is for servers on your own network."},
    {"models.providers.*.apiKey", CONFIG_SECRET, 0, NULL, REFUSED_KEY, 0, 0,
     "Not allowed here: an API key is stored with the keeper."},
    {"models.providers.*.headers", CONFIG_MAP, KEY_ANY_ID | KEY_NO_SECRETS, "{}", NULL, 0, 32,
     "Headers added to each model call. Not for secrets."},
    {"models.providers.*.headers.*", CONFIG_STRING, 0, NULL, NULL, 0, 1024, "Value of the header."},
    {"models.providers.*.accountHeader", CONFIG_STRING, 0, "", NULL, 0, 63,
     "Header that carries the account id of the login."},
    {"models.providers.*.maxConcurrent", CONFIG_INT, 0, "8", NULL, 0, 10000,
     "Model calls of one account at a time, shared fairly among the agents; 0: no limit."},
    {"models.providers.*.paid", CONFIG_BOOL, 0, NULL, NULL, 0, 0,
     "Whether each call costs money. Default: true with `api-key`, else false."},
    {"models.providers.*.maxTokens", CONFIG_INT, 0, NULL, NULL, 1, 10000000,
     "The most tokens of one answer, for APIs that must be told (`anthropic-messages`)."},
    {"models.providers.*.reasoning", CONFIG_BOOL, 0, NULL, NULL, 0, 0,
     "Whether to ask for encrypted reasoning and send it back in the next turn. Default: true for "
     "ChatGPT plans, else false."},
    {"models.providers.*.toolNamespace", CONFIG_STRING, 0, NULL, NULL, 0, 63,
     "For APIs that want function tools inside a namespace: its name."},
    {"models.providers.*.oauth", CONFIG_OBJECT, 0, NULL, NULL, 0, 0,
     "How its tokens are fetched and refreshed, and how its refresh tokens rotate."},
#define OAUTH "models.providers.*.oauth."
    {OAUTH "tokenUrl", CONFIG_URL, KEY_LOOPBACK, NULL, NULL, 0, 511, "The token endpoint."},
    {OAUTH "authorizeUrl", CONFIG_URL, KEY_LOOPBACK, NULL, NULL, 0, 511,
     "The authorization endpoint, for browser logins."},
    {OAUTH "deviceUrl", CONFIG_URL, KEY_LOOPBACK, NULL, NULL, 0, 511,
     "The device authorization endpoint."},
    {OAUTH "issuer", CONFIG_URL, KEY_LOOPBACK, NULL, NULL, 0, 511,
     "Instead of the URLs: the issuer whose discovery document has them."},
    {OAUTH "clientId", CONFIG_STRING, 0, NULL, NULL, 0, 255, "The public client id."},
    {OAUTH "scopes", CONFIG_STRING, 0, "", NULL, 0, 511,
     "Scopes asked for at login, space-separated."},
    {OAUTH "encoding", CONFIG_ENUM, 0, "form", "form|json", 0, 0, "Body of the token request."},
    {OAUTH "extra", CONFIG_MAP, KEY_ANY_ID | KEY_NO_SECRETS, "{}", NULL, 0, 16,
     "Fields added to the token request. Not for secrets."},
    {OAUTH "extra.*", CONFIG_STRING, 0, NULL, NULL, 0, 255, "Value of the field."},
    {OAUTH "headers", CONFIG_MAP, KEY_ANY_ID | KEY_NO_SECRETS, "{}", NULL, 0, 16,
     "Headers added to the token request. Not for secrets."},
    {OAUTH "headers.*", CONFIG_STRING, 0, NULL, NULL, 0, 255, "Value of the header."},
    {OAUTH "rotation", CONFIG_ENUM, 0, "strict", "none|grace|two-phase|strict", 0, 0,
     "What a spent refresh token is worth. `strict`: nothing, and using it again may end the "
     "login. `grace`: it works again for `graceSeconds`. `two-phase`: it works until its successor "
     "is used. `none`: refresh tokens do not change. Decides when a refresh with an unknown "
     "outcome is sent again."},
    {OAUTH "graceSeconds", CONFIG_INT, 0, NULL, NULL, 1, 86400,
     "With `\"rotation\": \"grace\"`: how long."},
    {OAUTH "expiry", CONFIG_ENUM, 0, "expires_in", "expires_in|expires_at|jwt", 0, 0,
     "Where the access token's end stands: a field of the answer, or the token's own claim."},
    {OAUTH "terminalCodes", CONFIG_LIST, 0, "[]", NULL, 0, 16,
     "Error codes, besides the standard ones, after which only a new login helps."},
    {OAUTH "terminalCodes[]", CONFIG_STRING, 0, NULL, NULL, 0, 63, "One code."},
    {OAUTH "accountClaim", CONFIG_STRING, 0, "", NULL, 0, 255,
     "JSON pointer to the account id in the token's claims, e.g. "
     "`/https:~1~1api.example.test~1auth/account_id`."},
    {OAUTH "refreshLifeSeconds", CONFIG_INT, 0, "0", NULL, 0, 315360000,
     "How long an idle refresh token lives; 0: unknown. Idle logins are refreshed before that."},
#undef OAUTH

    {"auth", CONFIG_OBJECT, 0, NULL, NULL, 0, 0,
     "Which logins there are and in which order they are used. No secrets."},
    {"auth.profiles", CONFIG_MAP, KEY_ANY_ID, "{}", NULL, 0, 256,
     "Logins by id, usually `provider:name`. When a provider has profiles here, stored logins that "
     "are not named are not used for models."},
    {"auth.profiles.*", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "One login."},
    {"auth.profiles.*.provider", CONFIG_ID, KEY_REQUIRED, NULL, NULL, 0, 127,
     "Whose login it is."},
    {"auth.profiles.*.mode", CONFIG_ENUM, 0, "oauth", "oauth|api_key", 0, 0, "What is stored."},
    {"auth.profiles.*.email", CONFIG_STRING, 0, "", NULL, 0, 255, "For people."},
    {"auth.order", CONFIG_MAP, 0, "{}", NULL, 0, 128,
     "For a provider, its profiles by preference. A profile that an order leaves out is not used."},
    {"auth.order.*", CONFIG_LIST, 0, NULL, NULL, 0, 64, "Profile ids."},
    {"auth.order.*[]", CONFIG_STRING, 0, NULL, NULL, 0, 127,
     "A key of `auth.profiles`."},

    {"agents", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "The agents."},
    {"agents.defaults", CONFIG_OBJECT, 0, NULL, NULL, 0, 0,
     "What holds for every agent that does not say otherwise."},
    AGENT_KEYS("agents.defaults"),
    {"agents.entries", CONFIG_MAP, 0, "{}", NULL, 0, 100000, "Agents by id."},
    {"agents.entries.*", CONFIG_OBJECT, 0, NULL, NULL, 0, 0,
     "One agent. What it leaves out comes from `agents.defaults`."},
    AGENT_KEYS("agents.entries.*"),
    {"agents.entries.*.node", CONFIG_ID, 0, NULL, NULL, 0, 63,
     "The node it lives on. Default: `home` if there is one, else the first of `nodes`."},
    {"agents.list", CONFIG_ELSEWHERE, 0, NULL, REFUSED_ROSTER, 0, 0,
     "Not used here; see `agents.entries`."},

    {"nodes", CONFIG_MAP, 0, "{\"home\": {}}", NULL, 0, 1000,
     "Node processes by name. A fault that kills one leaves the others alone."},
    {"nodes.*", CONFIG_OBJECT, 0, NULL, NULL, 0, 0, "One node process on this machine."},
    {"nodes.*.workers", CONFIG_INT, 0, "0", NULL, 0, 256, "Its worker threads; 0: one a core."},

    {"supervision", CONFIG_OBJECT, 0, NULL, NULL, 0, 0,
     "How the agents of a node are started again when they fail."},
    {"supervision.strategy", CONFIG_ENUM, 0, "one_for_one", "one_for_one|one_for_all|rest_for_one",
     0, 0, "Who is started again with a failed agent: it alone, all, or those after it."},
    {"supervision.intensity", CONFIG_INT, 0, "5", NULL, 1, 10000,
     "Restarts allowed within the window; one more, and the node itself fails."},
    {"supervision.windowSeconds", CONFIG_INT, 0, "60", NULL, 1, 86400, "The window."},
    {"supervision.backoffMs", CONFIG_INT, 0, "100", NULL, 1, 3600000,
     "Wait before the first restart; doubles."},
    {"supervision.backoffMaxMs", CONFIG_INT, 0, "10000", NULL, 1, 3600000, "The longest wait."},
};

/* Words of other programs and habits, and the key they mean here. */
static const struct {
    const char *parent, *word, *path;
} synonyms[] = {
    {"auth", "routing", "auth.order"},
    {"auth", "logins", "auth.profiles"},
    {"auth", "accounts", "auth.profiles"},
    {"", "providers", "models.providers"},
    {"", "profiles", "auth.profiles"},
    {"", "defaults", "agents.defaults"},
    {"", "name", "swarm"},
    {"models", "provider", "models.providers"},
    {"models.providers.*", "url", "models.providers.*.baseUrl"},
    {"models.providers.*", "key", "models.providers.*.apiKey"},
    {"models.providers.*", "type", "models.providers.*.api"},
    {"agents.entries.*", "systemPrompt", "agents.entries.*.instructions"},
    {"agents.entries.*", "prompt", "agents.entries.*.instructions"},
    {"agents.defaults", "systemPrompt", "agents.defaults.instructions"},
    {"agents.defaults", "prompt", "agents.defaults.instructions"},
    {"auth.profiles.*", "type", "auth.profiles.*.mode"},
};

#define KEY_COUNT (sizeof keys / sizeof keys[0])

const struct config_key *config_key_at(size_t i)
{
    return i < KEY_COUNT ? &keys[i] : NULL;
}

const struct config_key *config_key_find(const char *path)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].path, path) == 0)
            return &keys[i];
    return NULL;
}

/* What follows the parent's path in the key's, when the key is a direct child; else NULL. */
static const char *child_name(const struct config_key *parent, const struct config_key *key)
{
    size_t length = strlen(parent->path);
    if (key == parent || strncmp(parent->path, key->path, length) != 0)
        return NULL;
    const char *rest = key->path + length;
    if (strncmp(rest, "[]", 2) == 0)
        return rest[2] == '\0' ? rest : NULL;
    if (length > 0 && *rest++ != '.')
        return NULL;
    return strpbrk(rest, ".[") ? NULL : rest;
}

const struct config_key *config_key_child_after(const struct config_key *parent,
                                               const struct config_key *before)
{
    for (const struct config_key *key = before ? before + 1 : keys; key < keys + KEY_COUNT; key++)
        if (child_name(parent, key))
            return key;
    return NULL;
}

const struct config_key *config_key_child(const struct config_key *parent, const char *key)
{
    const struct config_key *child = NULL;
    while ((child = config_key_child_after(parent, child))) {
        const char *name = child_name(parent, child);
        if (strcmp(name, key ? key : "[]") == 0 || (key && strcmp(name, "*") == 0))
            return child;
    }
    return NULL;
}

const char *config_key_name(const struct config_key *key)
{
    const char *dot = strrchr(key->path, '.');
    return dot ? dot + 1 : key->path;
}

/* Levenshtein's distance over two rows, on letters and digits in lower case. */
static size_t plain_word(const char *word, char *ret_plain, size_t size)
{
    size_t length = 0;
    for (; *word && length + 1 < size; word++)
        if (isalnum((unsigned char)*word))
            ret_plain[length++] = (char)tolower((unsigned char)*word);
    ret_plain[length] = '\0';
    return length;
}

size_t word_distance(const char *a, const char *b)
{
    char left[48], right[48];
    size_t left_size = plain_word(a, left, sizeof left);
    size_t right_size = plain_word(b, right, sizeof right);
    size_t row[sizeof right + 1];
    for (size_t j = 0; j <= right_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= left_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= right_size; j++) {
            size_t best = diagonal + (left[i - 1] != right[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
        }
    }
    return row[right_size];
}

size_t word_distance_max(const char *word)
{
    return (strlen(word) + 1) / 3;
}

static const struct config_key *synonym_find(const struct config_key *parent, const char *word)
{
    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++)
        if (strcmp(synonyms[i].parent, parent->path) == 0 &&
            word_distance(synonyms[i].word, word) == 0)
            return config_key_find(synonyms[i].path);
    return NULL;
}

const struct config_key *config_key_nearest(const struct config_key *parent, const char *key)
{
    const struct config_key *best = synonym_find(parent, key), *child = NULL;
    if (best)
        return best;
    size_t best_distance = word_distance_max(key) + 1;
    while ((child = config_key_child_after(parent, child))) {
        size_t distance = word_distance(config_key_name(child), key);
        if (child->type != CONFIG_ELSEWHERE && distance < best_distance) {
            best_distance = distance;
            best = child;
        }
    }
    /* Else the same word in another place, first below here: one level off is a common slip. */
    for (size_t i = 1; !best && i < 2 * KEY_COUNT; i++) {
        const struct config_key *other = &keys[i % KEY_COUNT];
        bool below = strncmp(other->path, parent->path, strlen(parent->path)) == 0;
        if ((below || i > KEY_COUNT) && isalnum((unsigned char)key[0]) &&
            word_distance(config_key_name(other), key) <= (strlen(key) > 5) &&
            !strpbrk(config_key_name(other), "*["))
            best = other;
    }
    return best;
}

const char *config_key_default_text(const char *path)
{
    const struct config_key *key = config_key_find(path);
    assert(key && key->fallback);
    return key->fallback;
}

long long config_key_default(const char *path)
{
    return strtoll(config_key_default_text(path), NULL, 10);
}
