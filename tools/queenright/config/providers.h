/* SPDX-License-Identifier: Apache-2.0 */
/* What is built in about providers' model APIs, and how the config lies over it. Internal to the
 * config library. Built-in OAuth rules are token/provider.h's. */
#pragma once

#include <jansson.h>

#include "queenright/config/config.h"

/* The i-th built-in id; NULL at the end. */
const char *config_builtin_id(size_t i);
/* The provider of that id as `root` makes it. False: neither built in nor configured. Its text
 * is the tree's or static. */
bool config_provider_resolve(const json_t *root, const char *id,
                             struct config_provider *ret_provider);
/* The provider as the model actor is told of it. */
json_t *config_provider_json(const struct config_provider *provider);
/* The profiles of a provider in the order they are used. */
json_t *config_order_json(const struct config *config, const struct config_provider *provider);
/* root[a][b][c]; NULL ends the path early. NULL when one is missing or no object. */
json_t *config_tree(const json_t *root, const char *a, const char *b, const char *c);
/* The string at `key`, else the default. */
const char *config_text(const json_t *object, const char *key, const char *fallback);
