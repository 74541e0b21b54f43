/* SPDX-License-Identifier: Apache-2.0 */
/* Providers and the order of their profiles, as the config says. A snapshot that does not change:
 * calls in flight keep the one they started with, so a reload never pulls anything from under
 * them. */
#pragma once

#include "api.h"

#include <stdbool.h>
#include <stddef.h>

#define SETTINGS_ORIGIN_MAX 300
#define SETTINGS_PROFILE_MAX 128 /* bytes with NUL */

enum provider_auth { PROVIDER_AUTH_NONE, PROVIDER_AUTH_OAUTH, PROVIDER_AUTH_KEY };

struct provider {
    char *id;
    char *url;        /* baseUrl and the API's path */
    char origin[SETTINGS_ORIGIN_MAX]; /* of baseUrl: the only place its tokens go to */
    const struct api *api;
    enum provider_auth auth;
    char *headers;    /* lines, each with its newline */
    char *account_header; /* "" for none */
    char *tool_space; /* NULL: tools are declared flat */
    bool reasoning;
    bool paid;
    unsigned concurrent_max; /* calls of one account at a time; 0: no limit */
    unsigned output_max;
    char (*profiles)[SETTINGS_PROFILE_MAX];
    size_t profile_count;
};

struct settings {
    unsigned refs;
    struct provider *providers;
    size_t count;
};

/* 0 and *ret_settings with one reference, or -EINVAL and a sentence, or -ENOMEM. */
int settings_parse(struct proto_text models, struct proto_text auth, struct settings **ret_settings,
                   char *ret_why, size_t why_size);
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings *settings); /* accepts NULL */
const struct provider *settings_provider(const struct settings *settings, const char *id,
                                         size_t id_size);
/* scheme://host[:port] of a URL, lower-case, without a port that goes without saying. False when
 * there is none, or credentials stand in it. */
bool url_origin(const char *url, char *ret_origin, size_t size);
