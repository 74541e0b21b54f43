/* SPDX-License-Identifier: Apache-2.0 */
/* OpenClaw's auth-profiles.json, version 1, read with the tolerance of its own loader: `mode` for
 * `type`, `apiKey` for `key`, entries it would drop become refused ones here.
 *
 * Its OAuth logins of ChatGPT stand under `openai-codex` and, since the ids were merged, under
 * `openai`; both are the same kind of login and become `openai-codex`. A login in the middle of a
 * refresh (a fence marker), one that lives in a file beside this one (oauthRef), and a secret that
 * is only named (SecretRef) cannot be taken. Nor can Anthropic's subscription logins: its terms
 * keep them to its own programs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "import_internal.h"
#include "token/answer.h"
#include "token/provider.h"

/* Of one file. More than a keeper has room for (STEP_PROFILES_MAX), for many an entry becomes no
 * login of its own there: clones, those refused here, those that it has already. Which of them are
 * too many only the keeper can tell, and it refuses each by name. A limit at all, for each is held
 * against each of the others. */
#define PROFILES_MAX 1024
#define FENCE_MARKER "openclaw-oauth-refresh-fence:"

static bool has(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value != NULL && json_typeof(value) != JSON_NULL;
}

static bool is_fenced(const struct secret *secret)
{
    return strncmp(secret_data(secret), FENCE_MARKER, strlen(FENCE_MARKER)) == 0;
}

static void map_provider(struct import_entry *entry, const char *provider, bool is_oauth)
{
    bool is_chatgpt = is_oauth && strcmp(provider, "openai") == 0;
    snprintf(entry->provider, sizeof(entry->provider), "%s",
             is_chatgpt ? "openai-codex" : provider);
}

static int read_oauth(const json_t *object, struct import_entry *entry)
{
    int error = 0;
    snprintf(entry->mode, sizeof(entry->mode), "oauth");
    entry->access = import_secret(object, "access", &error);
    entry->refresh = import_secret(object, "refresh", &error);
    entry->id_token = import_secret(object, "idToken", &error);
    if (error < 0) {
        return error;
    }
    import_text(object, "accountId", entry->account, sizeof(entry->account));
    json_time_ms(json_object_get(object, "expires"), &entry->expires_at_ms);
    if (strcmp(entry->provider, "openai-codex") == 0 && entry->account[0] == '\0') {
        token_claim(entry->access, provider_builtin("openai-codex")->account_claim, entry->account,
                    sizeof(entry->account));
    }
    if (strcmp(entry->provider, "anthropic") == 0) {
        import_refuse(entry, "provider_terms", "Anthropic keeps subscription logins to its own "
                      "programs: use an API key");
    } else if (has(object, "oauthRef")) {
        import_refuse(entry, "oauth_ref", "its tokens lie sealed in another file (oauthRef), not "
                      "in this one: log in with Codex and import that");
    } else if (is_fenced(entry->access) || is_fenced(entry->refresh)) {
        import_refuse(entry, "fence_marker", "OpenClaw was refreshing it and did not finish: its "
                      "token may be spent; log in again and import that");
    } else if (entry->refresh == NULL) {
        import_refuse(entry, "missing_refresh", "it has no refresh token: log in again and "
                      "import that");
    }
    return 0;
}

/* A key or a token that stays as it is. `other` is the tolerated second name, or NULL. */
static int read_static(const json_t *object, const char *key, const char *other, const char *ref,
                       const char *mode, struct import_entry *entry)
{
    int error = 0;
    const char *name = other != NULL && !has(object, key) ? other : key;
    snprintf(entry->mode, sizeof(entry->mode), "%s", mode);
    if (has(object, ref) || json_is_object(json_object_get(object, name))) {
        import_refuse(entry, "secret_ref", "it only names its secret (a SecretRef), it does not "
                      "hold it: import a file that has the secret itself");
        return 0;
    }
    entry->access = import_secret(object, name, &error);
    json_time_ms(json_object_get(object, "expires"), &entry->expires_at_ms);
    if (error == 0 && entry->access == NULL) {
        import_refuse(entry, "missing_secret", "its %s is missing or is no token", name);
    } else if (strncmp(secret_data(entry->access), "sk-ant-oat", 10) == 0) {
        import_refuse(entry, "provider_terms", "Anthropic keeps subscription tokens to its own "
                      "programs: use an API key");
    }
    return error;
}

static int read_profile(const json_t *object, struct import_entry *entry)
{
    char type[32] = "", provider[PROFILE_ID_MAX] = "";
    if (json_typeof(object) != JSON_OBJECT) {
        import_refuse(entry, "non_object", "it is not an object");
        return 0;
    }
    import_text(object, has(object, "type") ? "type" : "mode", type, sizeof(type));
    import_text(object, "provider", provider, sizeof(provider));
    import_text(object, "email", entry->email, sizeof(entry->email));
    if (provider[0] == '\0') {
        import_refuse(entry, "missing_provider", "it does not say its provider");
        return 0;
    }
    map_provider(entry, provider, strcmp(type, "oauth") == 0 || strcmp(type, "token") == 0);
    if (strcmp(type, "oauth") == 0) {
        return read_oauth(object, entry);
    }
    if (strcmp(type, "api_key") == 0) {
        return read_static(object, "key", "apiKey", "keyRef", "api_key", entry);
    }
    if (strcmp(type, "token") == 0) {
        return read_static(object, "token", NULL, "tokenRef", "access_only", entry);
    }
    import_refuse(entry, "invalid_type", "its type is \"%.30s\"; known are oauth, api_key and "
                  "token", type);
    return 0;
}

int import_openclaw(const json_t *root, const char *source, struct import_list *list, char *ret_why,
                    size_t why_size)
{
    const json_t *version = json_object_get(root, "version");
    if (version != NULL && json_integer_value(version) != 1) {
        snprintf(ret_why, why_size, "%s has a version of auth-profiles that is not known; known is "
                 "1", source);
        return -EPROTONOSUPPORT;
    }
    json_t *profiles = json_object_get(root, "profiles");
    if (json_typeof(profiles) != JSON_OBJECT) {
        snprintf(ret_why, why_size, "%s: profiles is not an object", source);
        return -EINVAL;
    }
    if (json_object_size(profiles) > PROFILES_MAX) {
        snprintf(ret_why, why_size, "%s has more than %d profiles", source, PROFILES_MAX);
        return -E2BIG;
    }
    const char *id;
    json_t *object;
    json_object_foreach(profiles, id, object) {
        struct import_entry *entry = import_add(list, source, id);
        int error = entry == NULL ? -ENOMEM : read_profile(object, entry);
        if (error < 0) {
            return error;
        }
        if (strcmp(entry->profile, id) != 0 || id[0] == '\0') { /* cut, or with a '?' */
            import_refuse(entry, "invalid_id", "its id is empty, longer than %d bytes or has "
                          "control characters", PROFILE_ID_MAX - 1);
        }
    }
    return 0;
}
