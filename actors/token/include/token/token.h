/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor: sole owner of the credentials. Spawn token_ops under the name "token" with a
 * struct token_config; everything else is messages (proto/token.h).
 *
 * The keeper gives it the file store and the curl exchange; tests and the simulator give it their
 * own. The actor opens the store in its start, so a store that is locked, torn or not ours makes
 * the spawn fail with that errno. */
#pragma once

#include "runtime/actor.h"
#include "token/exchange.h"
#include "token/provider.h"
#include "token/store.h"

/* 0 is the default of each. */
struct token_tunables {
    uint64_t connect_timeout_ms;  /* 10 s: resolve, connect, TLS */
    uint64_t exchange_timeout_ms; /* 60 s: from the opening of the gate to the whole answer */
    uint64_t drain_ms;            /* 60 s: after a send whose outcome is unknown, a strict provider
                                   * is left alone at least this long */
    uint64_t backoff_ms;          /* 500 ms: first wait after a failed refresh; doubles ... */
    uint64_t backoff_max_ms;      /* ... up to 30 s when nothing was sent; ten times that else */
    uint64_t patience_ms;         /* 5 s: waiters are kept when the next try is at most this far */
    uint64_t save_retry_ms;       /* 500 ms: first wait after a failed save of n+1, doubles ... */
    uint64_t save_retry_max_ms;   /* ... up to 30 s */
    uint64_t refused_ms;          /* 30 s: first wait after fresh ones were refused, doubles ... */
    uint64_t refused_max_ms;      /* ... up to 15 min */
    uint64_t rejected_window_ms;  /* 10 min: a 401 this soon after a refresh for a 401 refuses */
    uint64_t cooling_ms;          /* 60 s: a quota hit without a known end */
    uint64_t force_interval_ms;   /* 5 s: a forced refresh this soon after one gets that one */
    uint64_t keep_alive_max_ms;   /* 7 days: an idle login is refreshed at least this often, if the
                                   * life of its refresh token is known and longer */
    uint64_t linger_ms;           /* 60 s: idle this long, `idle` is called */
};

/* Where config parsing, which lives above, hands in what a swarm's config says of its providers. */
typedef void (*token_rule_sink)(void *sink, const struct provider_rule *rule,
                                const char *api_url);

struct token_config {
    /* Given over: the actor opens it, and closes it (which frees it) at its end, also when its
     * start fails. What was wrong with it goes to `alarm`. */
    struct store_port *store;
    struct exchange_port *exchange; /* borrowed; closed by whoever made it, after the runtime */
    struct token_tunables tunables;
    uint8_t boot_id[16];            /* token_boot_id */
    /* Reads the providers of a config file: 0, or a negative errno and a sentence. Called on the
     * store's thread; may block. NULL: swarms may join, built-in rules only. */
    int (*load_rules)(void *arg, const char *config_path, token_rule_sink rule, void *sink,
                      char *ret_why, size_t why_size);
    /* No swarm has joined, nothing is in flight, and nothing was asked for linger_ms; or a drain is
     * done (`drained`). On the actor's thread. May be NULL. */
    void (*idle)(void *arg, bool drained);
    /* A line for the operator: what needs attention. No secrets. May be NULL. */
    void (*alarm)(void *arg, const char *line);
    void *arg; /* of the three above */
};

extern const struct actor_ops token_ops;

/* This boot's id, from the kernel; zeros where it has none (then times across restarts are judged
 * by the wall clock alone). */
void token_boot_id(uint8_t ret_id[16]);
