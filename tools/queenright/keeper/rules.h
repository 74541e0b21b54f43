/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of every provider that a config names and that has credentials. */
#pragma once

#include <stddef.h>

#include "token/token.h"

/* As token_config's load_rules; -ENOMEM says nothing of the config. */
int keeper_load_rules(void *arg, const char *path, token_rule_sink sink_rule, void *sink,
                      char *ret_why, size_t size);
