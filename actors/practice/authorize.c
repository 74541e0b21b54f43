/* SPDX-License-Identifier: Apache-2.0 */
/* The authorization endpoint: approves at once, since there is nobody to ask. It still insists on
 * what a real one does: a loopback redirect, PKCE with S256, codes that work once and soon. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define CODE_LIFE_MS 60000

static bool is_loopback(const char *redirect)
{
    static const char *const starts[] = { "http://127.0.0.1", "http://localhost", "http://[::1]" };
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        size_t size = strlen(starts[i]);
        char next = strncmp(redirect, starts[i], size) == 0 ? redirect[size] : 'x';
        if (next == ':' || next == '/' || next == '\0')
            return true;
    }
    return false;
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == '"' || *text == '<' || *text == '>' ||
            (unsigned char)*text >= 0x7f)
            return false;
    }
    return true;
}

struct auth_code *authorize_take(struct practice *practice, const char *code)
{
    for (size_t i = 0; i < CODES_MAX; i++) {
        struct auth_code *row = &practice->codes[i];
        if (row->code[0] == '\0' || strcmp(row->code, code) != 0)
            continue;
        row->code[0] = '\0';
        return server_now_ms() < row->until_ms ? row : NULL;
    }
    return NULL;
}

bool authorize_verifies(const struct auth_code *code, const char *verifier)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char text[64];
    if (verifier == NULL || strlen(verifier) < 43 || strlen(verifier) > 128)
        return false;
    crypto_hash_sha256(hash, (const unsigned char *)verifier, strlen(verifier));
    sodium_bin2base64(text, sizeof(text), hash, sizeof(hash),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return strcmp(text, code->challenge) == 0;
}

static struct auth_code *code_add(struct practice *practice, const char *redirect,
                                  const char *challenge)
{
    struct auth_code *row = &practice->codes[practice->code_next++ % CODES_MAX];
    unsigned char random[16];
    char hex[33];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    snprintf(row->code, sizeof(row->code), "practice-code-%s", hex);
    snprintf(row->redirect, sizeof(row->redirect), "%s", redirect);
    snprintf(row->challenge, sizeof(row->challenge), "%s", challenge);
    row->until_ms = server_now_ms() + CODE_LIFE_MS;
    return row;
}

/* Percent-encoded for a query; malloc'd. */
static char *query_encode(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = malloc(strlen(text) * 3 + 1);
    char *to = out;
    for (; out != NULL && *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
            strchr("-._~", c) != NULL) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    if (out != NULL)
        *to = '\0';
    return out;
}

/* Back to the client, with a code. */
static void approve(struct practice *practice, struct request *request, const char *redirect,
                    const char *challenge, const char *state)
{
    struct auth_code *code = code_add(practice, redirect, challenge);
    char *state_text = query_encode(state ? state : "");
    char *location = NULL;
    reply_text(&request->reply, 302, "text/plain", "practice provider: approved\n");
    if (state_text == NULL ||
        asprintf(&location, "%s%ccode=%s&iss=%s%s%s", redirect, strchr(redirect, '?') ? '&' : '?',
                 code->code, practice->issuer, state ? "&state=" : "", state_text) < 0) {
        location = NULL;
        request->reply.out_of_memory = true;
    }
    request->reply.location = location;
    free(state_text);
}

static void refuse(struct request *request, const char *what)
{
    char page[256];
    snprintf(page, sizeof(page), "practice provider: this login request is not in order: %s.\n",
             what);
    reply_text(&request->reply, 400, "text/plain", page);
}

void page_authorize(struct practice *practice, struct request *request)
{
    const char *redirect = request_query(request, "redirect_uri");
    const char *client = request_query(request, "client_id");
    const char *challenge = request_query(request, "code_challenge");
    const char *method = request_query(request, "code_challenge_method");
    const char *type = request_query(request, "response_type");
    const char *state = request_query(request, "state");
    if (client == NULL || strcmp(client, practice->options.client_id) != 0)
        refuse(request, "unknown client_id");
    else if (redirect == NULL || strlen(redirect) >= 512 || !is_loopback(redirect) ||
             !is_plain(redirect))
        refuse(request, "redirect_uri is not on loopback");
    else if (type == NULL || strcmp(type, "code") != 0)
        refuse(request, "response_type is not code");
    else if (challenge == NULL || strlen(challenge) != 43 || method == NULL ||
             strcmp(method, "S256") != 0)
        refuse(request, "no PKCE challenge with S256");
    else
        approve(practice, request, redirect, challenge, state);
}

void page_discovery(struct practice *practice, struct request *request)
{
    char url[4][128];
    static const char *const paths[] = { "/oauth/authorize", "/oauth/token", "/oauth/revoke" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        snprintf(url[i], sizeof(url[i]), "%s%s", practice->issuer, paths[i]);
    reply_json(&request->reply, 200,
               json_pack("{s:s, s:s, s:s, s:s, s:[s], s:[s, s], s:[s], s:[s], s:[s, s], s:b, s:s}",
                         "issuer", practice->issuer, "authorization_endpoint", url[0],
                         "token_endpoint", url[1], "revocation_endpoint", url[2],
                         "response_types_supported", "code",
                         "grant_types_supported", "authorization_code", "refresh_token",
                         "code_challenge_methods_supported", "S256",
                         "token_endpoint_auth_methods_supported", "none",
                         "scopes_supported", "openid", "offline_access",
                         "authorization_response_iss_parameter_supported", 1, "service",
                         "practice provider"));
}
