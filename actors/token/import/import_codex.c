/* SPDX-License-Identifier: Apache-2.0 */
/* Codex's auth.json. One file may hold a ChatGPT login, an API key and a personal access token;
 * each becomes an entry, the one in use (auth_mode) first. A refresh token that is empty is how
 * brokers hand out access-only files: such a login is taken without refreshing it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "import_internal.h"
#include "token/answer.h"
#include "token/provider.h"

static int add_login(const json_t *root, const json_t *tokens, bool is_managed, const char *source,
                     struct import_list *list)
{
    struct import_entry *entry = import_add(list, source, "openai-codex:codex");
    int error = 0;
    if (entry == NULL) {
        return -ENOMEM;
    }
    snprintf(entry->provider, sizeof(entry->provider), "openai-codex");
    entry->access = import_secret(tokens, "access_token", &error);
    entry->refresh = is_managed ? NULL : import_secret(tokens, "refresh_token", &error);
    entry->id_token = import_secret(tokens, "id_token", &error);
    if (error < 0) {
        return error;
    }
    import_text(tokens, "account_id", entry->account, sizeof(entry->account));
    if (entry->account[0] == '\0') {
        const char *claim = provider_builtin("openai-codex")->account_claim;
        if (!token_claim(entry->access, claim, entry->account, sizeof(entry->account))) {
            token_claim(entry->id_token, claim, entry->account, sizeof(entry->account));
        }
    }
    token_claim(entry->id_token, "/email", entry->email, sizeof(entry->email));
    entry->expires_at_ms = token_expiry_ms(entry->access);
    json_time_ms(json_object_get(root, "last_refresh"), &entry->refreshed_at_ms);
    snprintf(entry->mode, sizeof(entry->mode), "%s",
             entry->refresh == NULL ? "access_only" : "oauth");
    if (entry->access == NULL && entry->refresh == NULL) {
        import_refuse(entry, "missing_tokens", "the file has a tokens object without tokens: log "
                      "in with Codex again");
    } else if (entry->refresh == NULL) {
        snprintf(entry->why, sizeof(entry->why), "it has no refresh token of its own, so it ends "
                 "with its access token");
    }
    return 0;
}

static int add_static(const json_t *root, const char *key, const char *profile,
                      const char *provider, const char *mode, const char *source,
                      struct import_list *list)
{
    int error = 0;
    struct secret *secret = import_secret(root, key, &error);
    if (secret == NULL) {
        return error;
    }
    struct import_entry *entry = import_add(list, source, profile);
    if (entry == NULL) {
        secret_free(secret);
        return -ENOMEM;
    }
    entry->access = secret;
    snprintf(entry->provider, sizeof(entry->provider), "%s", provider);
    snprintf(entry->mode, sizeof(entry->mode), "%s", mode);
    return 0;
}

/* Kinds of login that are tied to a machine or to another cloud. */
static int add_unusable(const json_t *root, const char *source, struct import_list *list)
{
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, key, value) {
        bool is_identity = strcmp(key, "agent_identity") == 0;
        if ((!is_identity && strncmp(key, "bedrock_", 8) != 0) || json_typeof(value) == JSON_NULL) {
            continue;
        }
        struct import_entry *entry = import_add(list, source, "openai-codex:codex");
        if (entry == NULL) {
            return -ENOMEM;
        }
        if (is_identity) {
            import_refuse(entry, "agent_identity", "an agent identity belongs to its machine: log "
                          "in here instead");
        } else {
            import_refuse(entry, "bedrock", "%.60s is a credential of another cloud, which is not "
                          "supported", key);
        }
    }
    return 0;
}

int import_codex(const json_t *root, const char *source, struct import_list *list)
{
    const json_t *tokens = json_object_get(root, "tokens");
    char auth_mode[64] = "";
    import_text(root, "auth_mode", auth_mode, sizeof(auth_mode));
    bool is_managed = strcasecmp(auth_mode, "chatgptAuthTokens") == 0;
    bool key_first = strcasecmp(auth_mode, "apikey") == 0;
    int error = 0;
    for (int i = 0; error == 0 && i < 2; i++) {
        if ((i == 0) == key_first) {
            error = add_static(root, "OPENAI_API_KEY", "openai:codex", "openai", "api_key", source,
                               list);
        } else if (json_is_object(tokens)) {
            error = add_login(root, tokens, is_managed, source, list);
        }
    }
    error = error < 0 ? error : add_static(root, "personal_access_token", "openai-codex:pat",
                                           "openai-codex", "access_only", source, list);
    error = error < 0 ? error : add_unusable(root, source, list);
    if (error == 0 && list->count == 0) {
        struct import_entry *entry = import_add(list, source, "openai-codex:codex");
        if (entry == NULL) {
            return -ENOMEM;
        }
        import_refuse(entry, "no_credential", "the file holds no credential: Codex is logged out, "
                      "or keeps its login in the system's keyring: set "
                      "cli_auth_credentials_store = \"file\" in its config.toml, log in again");
    }
    return error;
}
