/* SPDX-License-Identifier: Apache-2.0 */
/* The store actor: the store's own thread (see store_actor.h).
 *
 * Takes:  struct store_job * from the TokenActor, as requests.
 * Sends:  the same pointer back, its error and results filled in.
 * Owns:   the store port, from its start to its end.
 * Rules:  one call after another, in order; a failed call is the job's error, not this actor's. */
#include "store_actor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store_state {
    struct store_actor_config config;
};

struct store_job *store_job_new(enum store_job_kind kind)
{
    struct store_job *job = calloc(1, sizeof(*job));

    if (job != NULL) {
        job->kind = kind;
        job->error = -EBUSY;
    }
    return job;
}

void store_job_free(struct store_job *job)
{
    if (job == NULL)
        return;
    credential_deinit(&job->credential);
    secret_free(job->answer.body);
    token_import_job_free(job->import);
    free(job->rules);
    free(job->text);
    free(job);
}

void store_share_unref(struct store_share *share)
{
    if (share == NULL || atomic_fetch_sub(&share->refs, 1) != 1)
        return;
    while (share->left != NULL) {
        struct store_job *next = share->left->next;

        store_job_free(share->left);
        share->left = next;
    }
    free(share);
}

/* ---- looking for a newer record ------------------------------------------------------------- */

static int look(struct store_port *store, struct store_job *job)
{
    struct credential found = {0};
    int error = store->look(store, job->credential.profile, &found);

    if (error < 0)
        return error == -ENOENT ? 0 : error;
    job->credential = found; /* in place of names and numbers, which own nothing */
    job->found = true;
    return 0;
}

/* ---- rules ---------------------------------------------------------------------------------- */

/* scheme://host[:port] of a URL; what does not fit is none. */
static void copy_origin(const char *url, char *ret_origin, size_t size)
{
    const char *host = url != NULL ? strstr(url, "://") : NULL;
    size_t length;

    ret_origin[0] = '\0';
    if (host == NULL)
        return;
    length = (size_t)(host - url) + 3 + strcspn(host + 3, "/?#");
    if (length < size)
        snprintf(ret_origin, size, "%.*s", (int)length, url);
}

static void take_rule(void *sink, const struct provider_rule *rule, const char *api_origin)
{
    struct store_job *job = sink;
    struct store_rule *rules;

    /* What is left out is an error: else its logins would only seem to have no provider. */
    if (job->rule_count == STORE_RULES_MAX) {
        snprintf(job->why, sizeof(job->why), "no room for the rule of provider %s", rule->id);
        job->error = -E2BIG;
        return;
    }
    rules = reallocarray(job->rules, job->rule_count + 1, sizeof(*rules));
    if (rules == NULL) {
        job->error = -ENOMEM;
        return;
    }
    job->rules = rules;
    rules += job->rule_count++;
    *rules = (struct store_rule){.rule = *rule}; /* they are compared as a whole */
    copy_origin(api_origin, rules->api_origin, sizeof(rules->api_origin));
}

static void digest(struct store_port *store, struct store_job *job, const struct secret *token)
{
    if (token == NULL)
        return;
    store->digest(store, token, job->digest);
    job->has_digest = true;
}

static int load_rules(struct store_state *state, struct store_job *job)
{
    if (job->import != NULL)
        digest(state->config.store, job, job->credential.refresh);
    if (job->text[0] == '\0' || state->config.load_rules == NULL)
        return 0;
    job->error = 0;
    int error = state->config.load_rules(state->config.arg, job->text, take_rule, job, job->why,
                                         sizeof(job->why));
    return error == 0 ? job->error : error;
}

/* ---- one job -------------------------------------------------------------------------------- */

/* What cannot be written is told nowhere: that would be a line, too. */
static void audit(struct store_port *store, char *lines)
{
    for (char *line = lines, *end; *line != '\0'; line = end) { /* each ends in a newline */
        end = strchr(line, '\n');
        *end++ = '\0';
        (void)store->audit(store, line);
    }
}

static int run(struct store_state *state, struct store_job *job)
{
    struct store_port *store = state->config.store;

    switch (job->kind) {
    case JOB_RESERVE:
        return store->reserve(store, &job->credential, job->attempt);
    case JOB_WRITE_INTENT:
        return store->write_intent(store, &job->credential, &job->intent);
    case JOB_WRITE_ANSWER:
        return store->write_answer(store, &job->credential, &job->answer);
    case JOB_WRITE_RECORD:
        return store->write_record(store, &job->credential);
    case JOB_RELEASE:
        return store->release(store, &job->credential, job->attempt);
    case JOB_LOOK:
        return look(store, job);
    case JOB_DIGEST:
        digest(store, job, job->credential.refresh);
        return credential_add_digest(&job->credential, job->digest);
    case JOB_ADOPT:
        return store->adopt(store);
    case JOB_AUDIT:
        audit(store, job->text);
        return 0;
    case JOB_RULES:
    default:
        return load_rules(state, job);
    }
}

static int on_job(void *state_, struct context *context, const void *body)
{
    struct store_state *state = state_;
    struct message *message = message_new(STORE_JOB_TYPE, sizeof(struct store_job *));
    struct store_job *job;

    memcpy(&job, body, sizeof(job));
    job->error = run(state, job);
    if (job->error < 0 && job->why[0] == '\0' && state->config.store->why != NULL)
        snprintf(job->why, sizeof(job->why), "%s", state->config.store->why(state->config.store));
    if (message == NULL) /* the asker has kept the address, and the job says how it went */
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    memcpy(message->body, &job, sizeof(job));
    return context_reply(context, message);
}

static int store_start(void *state_, struct context *context, const void *config)
{
    struct store_state *state = state_;

    (void)context;
    state->config = *(const struct store_actor_config *)config;
    atomic_fetch_add(&state->config.share->refs, 1);
    return 0;
}

static void store_stop(void *state_, struct context *context)
{
    struct store_state *state = state_;

    (void)context;
    if (state->config.store == NULL)
        return;
    state->config.store->close(state->config.store);
    store_share_unref(state->config.share);
}

static const struct actor_handler handlers[] = {
    {STORE_JOB_TYPE, FROM_LOCAL, "store_job", NULL, on_job},
    {0, 0, NULL, NULL, NULL},
};

const struct actor_ops store_actor_ops = {
    .name = "store",
    .state_size = sizeof(struct store_state),
    .handlers = handlers,
    .start = store_start,
    .stop = store_stop,
};
