/* SPDX-License-Identifier: Apache-2.0 */
/* The token proxy: the TokenActor's stand-in on each node, under the same name, "token". Agents ask
 * it as they would ask the keeper; a valid token costs them one message inside the process. */
#pragma once

#include "runtime/actor.h"

/* Strings are copied. 0 and NULL are the defaults. */
struct proxy_config {
    const char *peer;   /* the keeper's process; NULL: in this process (tests, simulator) */
    const char *actor;  /* its name there; NULL: "token" */
    const char *swarm;  /* joined when the keeper is met, and met again; NULL: none */
    const char *config; /* absolute path of the swarm's accepted config */
    uint64_t pid;       /* of this process, for the keeper's list */
    uint64_t patience_ms; /* how long requests wait for an absent keeper; 10 s */
    uint64_t retry_ms;    /* between tries towards it; 250 ms */
};

extern const struct actor_ops proxy_ops;
