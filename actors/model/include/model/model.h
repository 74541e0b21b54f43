/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "model": calls of language models, one actor on each node. Not pinned. It speaks to the
 * actors "token" and "http" of its process by name. */
#pragma once

#include "runtime/actor.h"

/* Both are JSON and borrowed by start; see model_reconfigure, which replaces them. NULL: none. */
struct model_config {
    const char *models; /* {"providers": {ID: {baseUrl, api, auth, headers, accountHeader, paid,
                         * maxConcurrent, toolNamespace, reasoning, maxTokens}}} */
    const char *auth;   /* {"profiles": {ID: {provider, mode}}, "order": {PROVIDER: [ID, ...]}} */
};

extern const struct actor_ops model_actor_ops;
