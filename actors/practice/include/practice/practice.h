/* SPDX-License-Identifier: Apache-2.0 */
/* The practice provider: a strict OAuth server and a scripted model, both on loopback.
 *
 * It is what a first run, a demonstration and the tests talk to instead of a real provider: tokens
 * live for seconds, every refresh token can be spent once, a second use is detected and can end the
 * whole login, and faults happen on command. It counts what it saw and tells it at /stats, so that
 * a test can hold a client's own story against the provider's.
 *
 * It is plain HTTP on 127.0.0.1 and nothing else. Whatever it mints, says or shows carries the word
 * "practice", so that no answer or token of it can be taken for a real one.
 *
 *   POST /practice/login              a new login: JSON with its first tokens;
 *        ?form=openclaw&profile=P or ?form=codex: as the file those programs keep
 *   POST /oauth/token                 refresh_token and authorization_code; form or JSON
 *   POST /oauth/revoke                RFC 7009
 *   GET  /oauth/authorize             approves at once: redirects back with a code (PKCE S256)
 *   GET  /.well-known/openid-configuration
 *   POST /v1/responses                OpenAI Responses, streaming
 *   POST /v1/chat/completions         OpenAI Chat Completions, streaming or not
 *   GET  /v1/models
 *   GET  /stats                       counters, JSON
 *   POST /practice/options            changes options while it runs: {"access-life": "2s"} */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum practice_rotation {
    PRACTICE_STRICT,    /* each refresh token is good for one use */
    PRACTICE_GRACE,     /* the token before the current one answers again for grace_ms */
    PRACTICE_NONE,      /* the refresh token stays as it is; answers do not repeat it */
    PRACTICE_TWO_PHASE, /* the old one stays good until the new pair is first used */
};

/* "spent" says whether the refresh token was used up before the fault showed. */
enum practice_fault {
    PRACTICE_OK,
    PRACTICE_DROP_BEFORE,    /* connection closed, not spent */
    PRACTICE_DROP_AFTER,     /* connection closed without an answer, spent */
    PRACTICE_ERROR_BEFORE,   /* 500, not spent */
    PRACTICE_ERROR_AFTER,    /* 500, spent */
    PRACTICE_FORBIDDEN_HTML, /* 403 with HTML, as a firewall sends it, not spent */
    PRACTICE_OK_HTML,        /* 200 with HTML, spent */
    PRACTICE_TRUNCATED,      /* 200 with half of the JSON, spent */
    PRACTICE_NO_EXPIRES_IN,  /* spent */
    PRACTICE_NO_REFRESH,     /* 200 without a refresh token; the old one stays good */
    PRACTICE_HANG,           /* never answers, spent */
    PRACTICE_DRIP,           /* the answer comes a byte at a time, spent */
    PRACTICE_HUGE_TOKEN,     /* an access token of 1 MB, spent */
    PRACTICE_LIMITED,        /* 429 with Retry-After, not spent; at the model: quota used up */
    PRACTICE_UNAUTHORIZED,   /* model: 401 though the token is good */
    PRACTICE_OVERLOADED,     /* model: 200, then server_is_overloaded inside the stream */
    PRACTICE_CUT,            /* model: the stream ends without its terminal event */
    PRACTICE_RESET,          /* model: the connection drops within the stream */
};

/* Every `every`-th request (1: each) suffers `fault`; `times` 0 means without end. */
struct practice_fault_rule {
    enum practice_fault fault;
    uint32_t every;
    uint32_t times;
};
#define PRACTICE_RULES_MAX 8

struct practice_options {
    uint16_t port; /* 0: one that is free */
    char client_id[64];
    uint64_t access_life_ms;
    uint64_t refresh_delay_ms; /* between spending and answering */
    enum practice_rotation rotation;
    uint64_t grace_ms;
    bool reuse_ends_login;      /* a reused token ends its family, access tokens included */
    uint64_t earliest_refresh_ms; /* a refresh before this age spends the token and is refused */
    struct practice_fault_rule token_faults[PRACTICE_RULES_MAX];
    size_t token_fault_count;
    struct practice_fault_rule model_faults[PRACTICE_RULES_MAX];
    size_t model_fault_count;
    uint64_t model_delay_ms;  /* to the first token */
    uint64_t model_pace_ms;   /* between tokens */
    uint64_t quota_reset_ms;  /* how long a login is cooling after a 429 */
    uint32_t max_connections;
};

/* The defaults; always start from these. */
void practice_options_init(struct practice_options *options);

/* The options by name, for command lines and POST /practice/options. `index` runs from 0; NULL
 * ends. `ret_argument` is the form of the value ("TIME", "NAME[:EVERY[:TIMES]],..."). */
const char *practice_option_name(size_t index, const char **ret_argument, const char **ret_help);
/* 0, -ENOENT for an unknown name, or -EINVAL with a sentence in ret_why. */
int practice_option_set(struct practice_options *options, const char *name, const char *value,
                        char *ret_why, size_t why_size);

struct practice;

/* Serves from a thread of its own. 0 or negative errno (-EADDRINUSE: the port is taken). */
int practice_start(const struct practice_options *options, struct practice **ret_practice);
uint16_t practice_port(const struct practice *practice);
/* Open streams end at once. NULL is fine. */
void practice_stop(struct practice *practice);

struct practice_run_options {
    struct practice_options options;
    bool json;           /* the ready line as JSON */
    int ready_fd;        /* the port is written here as a line, once it serves; -1: nowhere */
    bool ends_with_fd;   /* end when the other end of ready_fd closes: the parent is gone */
    bool quiet;          /* no text for people */
};
/* Serves until SIGINT or SIGTERM. 0 or negative errno. */
int practice_run(const struct practice_run_options *run, FILE *out);
