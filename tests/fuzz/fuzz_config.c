/* SPDX-License-Identifier: Apache-2.0 */
/* A config file. Input: the file.
 *
 * A refused one says why, with a line. An accepted one is whole: it can be written out and read to
 * the same config, nothing has changed from one to the other, and each provider's rule is one that
 * the keeper takes. */
#include <errno.h>

#include "fuzz.h"
#include "proto/schema.h"
#include "queenright/config/config.h"
#include "token/provider.h"

static void check_errors(const struct config_errors *errors)
{
    assert(errors->count > 0 && errors->count <= CONFIG_ERRORS_MAX);
    for (size_t i = 0; i < errors->count; i++) {
        char *line = config_error_print(errors, &errors->items[i]);
        assert(line && line[0] != '\0');
        for (const char *at = line; *at; at++)
            assert(((unsigned char)*at >= 0x20 || *at == '\n') && *at != 0x7f);
        free(line);
    }
}

static void check_agents(const struct config *config)
{
    for (size_t i = 0; i < config->agent_count; i++) {
        const struct config_agent *agent = &config->agents[i];
        assert(config_agent(config, agent->id) == agent);
        assert(config_node(config, agent->node));
        char *json = config_agent_json(agent);
        assert(json);
        free(json);
    }
}

static void check_rules(const struct config *config)
{
    for (size_t i = 0; i < config->provider_count; i++) {
        const struct config_provider *provider = &config->providers[i];
        if (!provider->oauth)
            continue;
        struct provider_rule rule;
        char why[256] = "";
        char *json = config_provider_rule_json(provider);
        assert(json);
        int error = provider_rule_parse(provider->id, json, &rule, why, sizeof(why));
        assert(error == 0 && "the keeper refuses what the config accepted");
        free(json);
    }
}

static void read_again(const struct config *config)
{
    struct config *again = NULL;
    struct config_errors errors;
    struct config_changes changes;
    char *json = config_json(config);

    assert(json);
    int error = config_parse("again.json", json, strlen(json), &again, &errors);
    assert(error == 0);
    char *json_again = config_json(again);
    assert(json_again && strcmp(json, json_again) == 0);
    free(json_again);
    assert(config_diff(config, again, &changes) == 0 && changes.count == 0);
    config_changes_deinit(&changes);
    config_errors_deinit(&errors);
    config_free(again);
    free(json);
}

static void one(const uint8_t *bytes, size_t size)
{
    struct config *config = NULL;
    struct config_errors errors;
    int error = config_parse("fuzz.json", (const char *)bytes, size, &config, &errors);

    assert(error == 0 || error == -EBADMSG);
    if (error < 0) {
        assert(!config);
        check_errors(&errors);
    } else {
        check_agents(config);
        check_rules(config);
        read_again(config);
    }
    config_errors_deinit(&errors);
    config_free(config);
}

FUZZ_TARGET(one, 1 << 20, 4096)
