/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/keeper/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queenright/config/config.h"
#include "token/wipe.h"

/* An API key has no token endpoint: its rule is its provider's name alone. */
static int rule_of(const struct config_provider *provider, struct provider_rule *rule,
                   char *ret_why, size_t size)
{
    char *json;
    int rc;

    if (provider->auth != AUTH_OAUTH)
        return snprintf(rule->id, sizeof(rule->id), "%s", provider->id) < 0 ? -EINVAL : 0;
    json = config_provider_rule_json(provider);
    rc = json ? provider_rule_parse(provider->id, json, rule, ret_why, size) : -ENOMEM;
    free(json);
    return rc;
}

int keeper_load_rules(void *arg, const char *path, token_rule_sink sink_rule, void *sink,
                      char *ret_why, size_t size)
{
    unsigned refusals = wipe_refusals();
    struct config_errors errors;
    struct config *config = NULL;
    int rc = config_load(path, &config, &errors);

    (void)arg;
    if (rc < 0) {
        char *text = config_errors_text(&errors);

        snprintf(ret_why, size, "%s", text ? text : strerror(-rc));
        free(text);
    }
    for (size_t i = 0; rc == 0 && i < config->provider_count; i++) {
        const struct config_provider *provider = &config->providers[i];
        struct provider_rule rule = {0};

        if (provider->auth == AUTH_NONE)
            continue;
        rc = rule_of(provider, &rule, ret_why, size);
        if (rc == 0)
            sink_rule(sink, &rule, provider->base_url);
    }
    config_errors_deinit(&errors);
    config_free(config);
    /* jansson calls it a fault of the file, or goes on with less, when memory runs out */
    return wipe_refusals() != refusals ? -ENOMEM : rc;
}
