/* SPDX-License-Identifier: Apache-2.0 */
/* A provider is data. The rule says how its token endpoint is spoken to and what its answers mean;
 * a credential is pinned to the rule (token URL, client id) it came with. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rotation { ROTATION_STRICT, ROTATION_NONE, ROTATION_GRACE, ROTATION_TWO_PHASE };
enum token_encoding { ENCODING_FORM, ENCODING_JSON };

#define PROVIDER_LIST_MAX 16

struct provider_rule {
    char id[128];
    char token_url[512];
    char authorize_url[512];
    char device_url[512];
    char issuer[512];
    char client_id[256];
    char scopes[512];
    enum token_encoding encoding;
    char extra[512];        /* JSON object of strings: fields added to the token request */
    char headers[512];      /* JSON object of strings: headers added to the token request */
    enum rotation rotation;
    uint32_t grace_seconds;
    char expiry[32];        /* expires_in (default), jwt, expires_at; where expiry stands */
    char terminal_codes[PROVIDER_LIST_MAX][64]; /* besides the RFC 6749 and built-in ones */
    size_t terminal_code_count;
    char account_claim[256]; /* JSON pointer into the access token's or id token's claims */
    uint32_t refresh_life_seconds; /* of an idle refresh token; 0: unknown */
};

/* What one token answer means (outcome table, DESIGN §7.3). Pure. */
enum token_outcome {
    OUTCOME_ROTATED,     /* 200 with a refresh token: have n+1 */
    OUTCOME_KEPT,        /* 200 without one: n stays */
    OUTCOME_NOT_SPENT,   /* 429 */
    OUTCOME_CONFIG,      /* invalid_client, invalid_request, ..., 3xx: not spent, stop */
    OUTCOME_TERMINAL,    /* invalid_grant and its kin: dead for n */
    OUTCOME_UNKNOWN,     /* anything else, 200 that does not parse included */
};

/* Built-in rules by id: chatgpt, openai-codex, openai, anthropic. NULL: none of that name. The last
 * two have no token URL: API keys only. */
const struct provider_rule *provider_builtin(const char *id);
/* From the `oauth` object of the config (plus "id"): what it does not say comes from the built-in
 * rule of that id, else is strict, form, expires_in. 0, or -EINVAL with a sentence. */
int provider_rule_parse(const char *id, const char *json, struct provider_rule *ret_rule,
                        char *ret_why, size_t why_size);
/* The same object with all it holds; malloc'd. NULL without memory. */
char *provider_rule_print(const struct provider_rule *rule);
/* scheme://host[:port] of the token URL, the port only when it is not the scheme's own. False:
 * there is none, or no room. */
bool provider_rule_origin(const struct provider_rule *rule, char *ret_origin, size_t size);
/* https, or http to a loopback host; a host, no user, no fragment. Else a sentence. */
bool provider_url_check(const char *url, char *ret_why, size_t why_size);
const char *rotation_name(enum rotation rotation); /* as in the config */
