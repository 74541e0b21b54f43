/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded default of `up --practice`: a practice provider in this process, a config with five
 * agents on it, and a fresh login given to the keeper. */
#pragma once

#include <stdio.h>

#include "practice/practice.h"
#include "queenright/cli/command.h"
#include "queenright/config/config.h"

/* Starts the provider and makes the config that names it. An exit code, printed. */
int practice_swarm_start(const struct practice_options *options, struct practice **ret_practice,
                         struct config **ret_config);
/* Mints a login and hands it to the keeper; *ret_generation is its first. An exit code, printed. */
int practice_swarm_login(const struct command_call *call, const struct practice *practice,
                         const char *config_path, uint64_t *ret_generation);
/* The provider's own count, held against the keeper's. True when they agree and nothing was used
 * twice. */
bool practice_swarm_report(const struct command_call *call, const struct practice *practice,
                           uint64_t first_generation, FILE *out);
