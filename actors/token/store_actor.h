/* SPDX-License-Identifier: Apache-2.0 */
/* The store's own thread.
 *
 * Store calls sync files and so block; the TokenActor may not. They are made by this pinned actor,
 * one after another in the order they were sent. A job is a piece of the TokenActor's memory that
 * the store works on between request and answer; nobody touches it meanwhile, and the message
 * carries its address only, so an answer never fails for lack of memory.
 *
 * The store actor closes the store when it ends, for only it knows that no call is running; and of
 * the two actors, the one that ends last frees the jobs that are left. */
#pragma once

#include <stdatomic.h>

#include "runtime/actor.h"
#include "token/step.h"
#include "token/token.h"

#define STORE_JOB_TYPE 0x01f0u   /* in-process only; body: struct store_job * */
#define STORE_RULES_MAX 256 /* above what one config may name */

enum store_job_kind {
    JOB_RESERVE,
    JOB_WRITE_INTENT,
    JOB_WRITE_ANSWER,
    JOB_WRITE_RECORD,
    JOB_RELEASE,
    JOB_LOOK,   /* found, credential */
    JOB_DIGEST, /* of credential.refresh: into its digests */
    JOB_ADOPT,
    JOB_AUDIT,  /* text: lines */
    JOB_RULES   /* text: config path; with an import: digest of credential.refresh, too */
};

struct store_rule {
    struct provider_rule rule;
    char api_origin[256];
};

struct store_job {
    enum store_job_kind kind;
    enum token_event_kind event; /* what its end is to the step */
    bool has_event;
    uint32_t profile;
    uint64_t ticket;
    uint32_t attempt;
    struct credential credential;
    struct intent intent;
    struct answer answer;
    char *text;

    int error; /* until it has run: -EBUSY */
    char why[STEP_TEXT_MAX];
    bool found;
    uint8_t digest[16];
    bool has_digest;
    enum token_outcome outcome; /* of the parsed answer that DIGEST is for */
    struct store_rule *rules;
    size_t rule_count;

    /* JOB_RULES: for whom. */
    struct request_id request;
    struct actor_id from;
    char peer[64], swarm[128];
    struct token_import_job *import;

    struct store_job *next; /* of those in flight */
};

/* Between the TokenActor and the store actor. */
struct store_share {
    atomic_int refs;
    struct store_job *left; /* set by the TokenActor at its end */
};

struct store_actor_config {
    struct store_port *store;
    int (*load_rules)(void *arg, const char *config_path, token_rule_sink rule, void *sink,
                      char *ret_why, size_t why_size);
    void *arg;
    struct store_share *share;
};

extern const struct actor_ops store_actor_ops;

struct store_job *store_job_new(enum store_job_kind kind);
void store_job_free(struct store_job *job);
/* The last of the two to do so frees it all. NULL is fine. */
void store_share_unref(struct store_share *share);
