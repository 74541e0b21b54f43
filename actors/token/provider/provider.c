/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in rules, and which URLs a token may be sent to at all.
 *
 * openai-codex is the Codex command line's own client: it works, and it is opt-in. Nothing here
 * makes us look like another program. anthropic has no subscription login, its terms forbid it. */
#include "token/provider.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define OPENAI_ACCOUNT_CLAIM "/https:~1~1api.openai.com~1auth/chatgpt_account_id"
/* Codes of OpenAI's session servers that end a login, besides those every provider shares. */
#define OPENAI_TERMINAL_CODES                                                                      \
    {"token_invalidated", "app_session_terminated", "account_session_expired",                     \
     "account_auth_invalidated", "account_deactivated", "account_suspended", "account_deleted"}

static const struct provider_rule builtin_rules[] = {
    {
        .id = "chatgpt",
        .token_url = "https://auth.openai.com/api/accounts/oauth/token",
        .authorize_url = "https://auth.openai.com/api/accounts/authorize",
        .issuer = "https://auth.openai.com",
        .client_id = "dynamic_agent_client", /* a first login is answered with one of our own */
        .scopes = "openid profile email offline_access resource.invoke chatgpt.tokens.use.direct",
        .encoding = ENCODING_FORM,
        .extra = "{\"resource\":\"https://api.openai.com/v1\"}",
        .rotation = ROTATION_STRICT,
        .expiry = "expires_in",
        .terminal_codes = OPENAI_TERMINAL_CODES,
        .terminal_code_count = 7,
        .account_claim = "/sub",
        .refresh_life_seconds = 30 * 86400,
    },
    {
        .id = "openai-codex",
        .token_url = "https://auth.openai.com/oauth/token",
        .authorize_url = "https://auth.openai.com/oauth/authorize",
        .device_url = "https://auth.openai.com/api/accounts/deviceauth/usercode",
        .issuer = "https://auth.openai.com",
        .client_id = "app_EMoamEEZ73f0CkXaXp7hrann",
        .scopes = "openid profile email offline_access",
        .encoding = ENCODING_JSON,
        .rotation = ROTATION_STRICT,
        .expiry = "jwt",
        .terminal_codes = OPENAI_TERMINAL_CODES,
        .terminal_code_count = 7,
        .account_claim = OPENAI_ACCOUNT_CLAIM,
    },
    {.id = "openai", .expiry = "expires_in"},
    {.id = "anthropic", .expiry = "expires_in"},
};

const struct provider_rule *provider_builtin(const char *id)
{
    for (size_t i = 0; i < sizeof(builtin_rules) / sizeof(*builtin_rules); i++) {
        if (strcmp(builtin_rules[i].id, id) == 0) {
            return &builtin_rules[i];
        }
    }
    return NULL;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

static char *url_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, 0) == CURLUE_OK ? text : NULL;
}

/* The parsed URL, or NULL with a sentence. */
static CURLU *url_open(const char *text, char *ret_why, size_t why_size)
{
    CURLU *url = curl_url();
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK) { /* NULL: no handle */
        curl_url_cleanup(url);
        snprintf(ret_why, why_size, "\"%.200s\" is not a URL; expected https://host/path", text);
        return NULL;
    }
    char *scheme = url_part(url, CURLUPART_SCHEME);
    char *host = url_part(url, CURLUPART_HOST);
    char *user = url_part(url, CURLUPART_USER);
    char *fragment = url_part(url, CURLUPART_FRAGMENT);
    const char *wrong = NULL;
    if (scheme == NULL || host == NULL) {
        wrong = "has no host";
    } else if (strcmp(scheme, "http") == 0 && !is_loopback(host)) {
        wrong = "would send tokens in the clear: use https (http is for 127.0.0.1, ::1, localhost)";
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        wrong = "is neither https nor http to a loopback host";
    } else if (user != NULL) {
        wrong = "holds a user name; leave it out";
    } else if (fragment != NULL) {
        wrong = "holds a #fragment; leave it out";
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(fragment);
    if (wrong != NULL) {
        snprintf(ret_why, why_size, "\"%.200s\" %s", text, wrong);
        curl_url_cleanup(url);
        return NULL;
    }
    return url;
}

bool provider_url_check(const char *text, char *ret_why, size_t why_size)
{
    CURLU *url = url_open(text, ret_why, why_size);
    curl_url_cleanup(url);
    return url != NULL;
}

bool provider_rule_origin(const struct provider_rule *rule, char *ret_origin, size_t size)
{
    char why[256];
    CURLU *url = rule->token_url[0] == '\0' ? NULL : url_open(rule->token_url, why, sizeof(why));
    if (url == NULL) {
        return false;
    }
    char *scheme = url_part(url, CURLUPART_SCHEME);
    char *host = url_part(url, CURLUPART_HOST);
    char *port = NULL;
    CURLUcode code = curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
    char origin[2 * sizeof(rule->token_url)] = "";
    bool known = scheme != NULL && host != NULL && (port != NULL || code == CURLUE_NO_PORT);
    if (known) {
        snprintf(origin, sizeof(origin), "%s://%s%s%s", scheme, host, port == NULL ? "" : ":",
                 port == NULL ? "" : port);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    size_t length = strlen(origin);
    if (!known || length >= size) {
        return false;
    }
    for (size_t i = 0; i <= length; i++) { /* hosts are compared, and have no case */
        ret_origin[i] = (char)tolower((unsigned char)origin[i]);
    }
    return true;
}
