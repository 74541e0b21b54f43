/* SPDX-License-Identifier: Apache-2.0 */
/* The accepted config: what passed all checks, with variables replaced, in the state directory.
 * Nodes and the keeper read this copy and never the operator's file: so what runs is what was
 * accepted, and the keeper needs to read nothing outside its own directory. */
#pragma once

#include "queenright/config/config.h"

/* Replaces the file at `path`, durably. 0 or negative errno; the old one stays on error. */
int accept_config(const struct config *config, const char *path);
