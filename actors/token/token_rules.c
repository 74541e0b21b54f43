/* SPDX-License-Identifier: Apache-2.0 */
/* Joining swarms, the provider rules of their configs, and imports.
 *
 * A credential is pinned to the token endpoint and client id it came with. A config may change how
 * that endpoint is spoken to, never where a token is sent: a rule with another origin or client is
 * for logins to come, and the operator is told. Config files are read on the store's thread. */
#include "token_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/answer.h"

static struct store_rule *find_rule(const struct token_state *state, const char *provider)
{
    for (size_t i = 0; i < state->rule_count; i++)
        if (strcmp(state->rules[i].rule.id, provider) == 0)
            return &state->rules[i];
    return NULL;
}

const char *token_api_origin(const struct token_state *state, const char *provider)
{
    const struct store_rule *rule = find_rule(state, provider);

    return rule != NULL ? rule->api_origin : "";
}

static void alarm_line(struct token_state *state, const char *line)
{
    token_act(state, &(struct token_action){.kind = ACTION_ALARM, .text = line});
}

/* ---- what a profile is pinned to ------------------------------------------------------------ */

static bool same_place(const struct profile *profile, const struct provider_rule *rule)
{
    char origin[600];

    return provider_rule_origin(rule, origin, sizeof(origin)) &&
           strcmp(profile->origin, origin) == 0 &&
           strcmp(profile->rule->client_id, rule->client_id) == 0;
}

bool token_pinned_rule(struct token_state *state, const struct credential *credential,
                       struct provider_rule *ret_rule, char *ret_origin, size_t size)
{
    const struct provider_rule *builtin = provider_builtin(credential->provider);
    char why[STEP_TEXT_MAX] = "", line[2 * STEP_TEXT_MAX];

    ret_origin[0] = '\0';
    if (credential->rule == NULL) {
        if (builtin == NULL)
            return false;
        *ret_rule = *builtin;
    } else if (provider_rule_parse(credential->provider, credential->rule, ret_rule, why,
                                   sizeof(why)) != 0) {
        snprintf(line, sizeof(line), "%s: its stored provider rule is not understood: %s",
                 credential->profile, why);
        alarm_line(state, line);
        return false;
    }
    return provider_rule_origin(ret_rule, ret_origin, size);
}

/* A config says something new of a provider: whoever is pinned to the same place follows. */
static void apply_rule(struct token_state *state, const struct provider_rule *rule)
{
    for (uint32_t i = 0; i < state->step.profile_count; i++) {
        const struct profile *profile = state->step.profiles[i];
        struct token_event event;
        char line[4 * STEP_TEXT_MAX];

        if (strcmp(profile->credential.provider, rule->id) != 0 || profile->rule == NULL)
            continue;
        if (!same_place(profile, rule)) {
            snprintf(line, sizeof(line),
                     "%s: stays pinned to %s; the config names another token endpoint or client: "
                     "log in again to move it",
                     profile->credential.profile, profile->origin);
            alarm_line(state, line);
            continue;
        }
        event = token_event(state, EVENT_RULE);
        event.profile = i;
        event.rule = rule;
        token_run(state, &event);
    }
}

static int take_rules(struct token_state *state, const struct store_job *job)
{
    for (size_t i = 0; i < job->rule_count; i++) {
        struct store_rule *known = find_rule(state, job->rules[i].rule.id);

        if (known != NULL && memcmp(known, &job->rules[i], sizeof(*known)) == 0)
            continue;
        if (known == NULL) {
            struct store_rule *rules =
                reallocarray(state->rules, state->rule_count + 1, sizeof(*rules));

            if (rules == NULL)
                return -ENOMEM;
            state->rules = rules;
            known = &rules[state->rule_count++];
        }
        *known = job->rules[i];
        apply_rule(state, &known->rule);
    }
    return 0;
}

/* ---- swarms --------------------------------------------------------------------------------- */

static void refuse(struct token_state *state, struct request_id request, const char *code,
                   const char *why, const char *remedy)
{
    token_answer(state, request.n, actor_refusal(code, why, remedy, 0, 0));
}

static void add_swarm(struct token_state *state, const struct store_job *job)
{
    struct swarm *swarm = NULL;
    char line[512];

    for (size_t i = 0; i < state->swarm_count; i++)
        if (strcmp(state->swarms[i].name, job->swarm) == 0 &&
            strcmp(state->swarms[i].peer, job->peer) == 0 &&
            (job->peer[0] != '\0' || actor_id_equal(state->swarms[i].member, job->from)))
            swarm = &state->swarms[i];
    if (swarm == NULL && state->swarm_count < TOKEN_SWARMS_MAX)
        swarm = &state->swarms[state->swarm_count++];
    if (swarm == NULL) {
        refuse(state, job->request, "busy", "too many swarms", "");
        return;
    }
    if (!actor_id_equal(swarm->member, job->from))
        context_monitor(state->context, job->from);
    snprintf(swarm->name, sizeof(swarm->name), "%s", job->swarm);
    snprintf(swarm->peer, sizeof(swarm->peer), "%s", job->peer);
    swarm->member = job->from;
    snprintf(line, sizeof(line), "join swarm=%s peer=%s", job->swarm, job->peer);
    token_audit(state, line);
    token_answer(state, job->request.n, actor_pack(done, (&(struct done){.count = 1})));
}

void token_leave(struct token_state *state, struct actor_id member)
{
    for (size_t i = state->swarm_count; i-- > 0;) {
        struct swarm *swarm = &state->swarms[i];
        char line[512];

        if (!actor_id_equal(swarm->member, member))
            continue;
        snprintf(line, sizeof(line), "leave swarm=%s peer=%s", swarm->name, swarm->peer);
        token_audit(state, line);
        *swarm = state->swarms[--state->swarm_count];
    }
}

void token_join(struct token_state *state, const struct swarm_join *message)
{
    struct store_job *job = store_job_new(JOB_RULES);
    struct request_id request = context_defer(state->context);

    if (job == NULL || (job->text = calloc(1, message->config.size + 1)) == NULL) {
        store_job_free(job);
        refuse(state, request, "internal", "out of memory", "");
        return;
    }
    job->request = request;
    job->from = context_message(state->context)->from;
    snprintf(job->peer, sizeof(job->peer), "%s", context_sender_peer(state->context));
    if (!proto_text_copy(message->swarm, job->swarm, sizeof(job->swarm)) ||
        !proto_text_copy(message->config, job->text, message->config.size + 1)) {
        store_job_free(job);
        refuse(state, request, "bad_request", "the swarm's name or path is not usable", "");
        return;
    }
    token_job_send(state, job);
}

/* ---- imports -------------------------------------------------------------------------------- */

static bool take_secret(struct proto_text text, struct secret **ret_secret)
{
    if (text.size == 0)
        return true;
    *ret_secret = secret_new(text.data, text.size);
    return *ret_secret != NULL;
}

/* A name that can stand in a list of aliases, on a command line and in a line of audit. */
static bool is_name(const char *name)
{
    if (name[0] == '\0' || name[0] == '-')
        return false;
    for (; *name != '\0'; name++)
        if ((unsigned char)*name <= ' ' || *name == ',' || *name == 127 || *name == '/')
            return false;
    return true;
}

/* NULL: fine. */
static const char *read_import(const struct token_import *message, struct token_import_job *import)
{
    struct credential *credential = &import->credential;

    if (!proto_text_copy(message->profile, credential->profile, sizeof(credential->profile)) ||
        !is_name(credential->profile))
        return "the profile's id is empty, too long, or has a blank, comma or slash";
    if (!proto_text_copy(message->provider, credential->provider, sizeof(credential->provider)) ||
        !proto_text_copy(message->mode, credential->mode, sizeof(credential->mode)) ||
        !proto_text_copy(message->account, credential->account, sizeof(credential->account)) ||
        !proto_text_copy(message->source, import->source, sizeof(import->source)))
        return "a field is too long";
    if (message->access.size >= TOKEN_MAX || message->refresh.size >= TOKEN_MAX ||
        message->id_token.size >= TOKEN_MAX)
        return "a token is too long";
    if (strcmp(credential->mode, "oauth") != 0 && strcmp(credential->mode, "api_key") != 0)
        return "the mode is neither oauth nor api_key";
    if (strcmp(credential->mode, "oauth") == 0 && message->take_over && message->refresh.size == 0)
        return "there is no refresh token to take over";
    if (message->access.size == 0 && !(message->take_over && message->refresh.size != 0))
        return "there is no access token";
    if (message->expires_at_ms < 0 || message->refreshed_at_ms < 0)
        return "a time is negative";
    return NULL;
}

static void fill_import(struct token_state *state, const struct token_import *message,
                        struct token_import_job *import)
{
    struct credential *credential = &import->credential;
    bool oauth = strcmp(credential->mode, "oauth") == 0;

    import->take_over = message->take_over && oauth;
    import->relogin = message->relogin;
    import->refreshed_at_ms = message->refreshed_at_ms;
    credential->generation = 1;
    credential->expires_at_ms = message->expires_at_ms;
    credential->obtained_at_ms = message->refreshed_at_ms != 0 ? message->refreshed_at_ms
                                                              : context_wall_ms(state->context);
    if (oauth && credential->expires_at_ms == 0)
        credential->expires_at_ms = token_expiry_ms(credential->access);
    if (oauth && !import->take_over)
        snprintf(credential->mode, sizeof(credential->mode), "access_only");
    secret_sha256(credential->access, import->sha256);
}

void token_import(struct token_state *state, const struct token_import *message)
{
    struct store_job *job = store_job_new(JOB_RULES);
    struct request_id request = context_defer(state->context);
    const char *wrong = NULL;

    if (job == NULL || (job->import = calloc(1, sizeof(*job->import))) == NULL ||
        (job->text = calloc(1, message->config.size + 1)) == NULL) {
        store_job_free(job);
        refuse(state, request, "internal", "out of memory", "");
        return;
    }
    wrong = read_import(message, job->import);
    if (wrong == NULL && !proto_text_copy(message->config, job->text, message->config.size + 1))
        wrong = "the config's path is not usable";
    if (wrong != NULL) {
        store_job_free(job);
        refuse(state, request, "bad_request", wrong, "look at the file it comes from");
        return;
    }
    if (!take_secret(message->access, &job->import->credential.access) ||
        !take_secret(message->refresh, &job->credential.refresh) ||
        !take_secret(message->id_token, &job->import->credential.id_token)) {
        store_job_free(job);
        refuse(state, request, "internal", "out of memory", "");
        return;
    }
    job->request = request;
    fill_import(state, message, job->import);
    token_job_send(state, job);
}

/* The rule of the provider, as the login's own from now on. 0, -ENOENT or -ENOMEM. */
static int choose_rule(struct token_state *state, struct token_import_job *import)
{
    struct credential *credential = &import->credential;
    const struct store_rule *known = find_rule(state, credential->provider);
    const struct provider_rule *rule =
        known != NULL ? &known->rule : provider_builtin(credential->provider);

    if (rule == NULL || rule->token_url[0] == '\0')
        return import->take_over ? -ENOENT : 0;
    if (credential->account[0] == '\0' && rule->account_claim[0] != '\0' &&
        !token_claim(credential->access, rule->account_claim, credential->account,
                     sizeof(credential->account)))
        token_claim(credential->id_token, rule->account_claim, credential->account,
                    sizeof(credential->account));
    credential->rule = provider_rule_print(rule);
    provider_rule_origin(rule, import->origin, sizeof(import->origin));
    import->rule = malloc(sizeof(*import->rule));
    if (import->rule != NULL)
        *import->rule = *rule;
    return credential->rule == NULL || import->rule == NULL ? -ENOMEM : 0;
}

static void import_ready(struct token_state *state, struct store_job *job)
{
    struct token_import_job *import = job->import;
    struct token_event event = token_event(state, EVENT_IMPORT);
    int error = choose_rule(state, import);

    if (error == -ENOMEM) {
        refuse(state, job->request, "internal", "out of memory", "");
        return;
    }
    if (error < 0) {
        refuse(state, job->request, "not_configured",
               "no token endpoint is known for this provider",
               "name a config that has the provider, with its oauth object");
        return;
    }
    import->has_digest = job->has_digest;
    memcpy(import->digest, job->digest, sizeof(import->digest));
    if (import->take_over) {
        import->credential.refresh = job->credential.refresh;
        job->credential.refresh = NULL;
    }
    job->import = NULL;
    event.waiter = job->request.n;
    event.import = import;
    token_run(state, &event);
}

void token_rules_done(struct token_state *state, struct store_job *job)
{
    if (job->error < 0 && job->error != -ENOMEM) {
        refuse(state, job->request, "bad_config",
               job->why[0] != '\0' ? job->why : strerrordesc_np(-job->error),
               "run `queenright config check`");
        return;
    }
    if (job->error == -ENOMEM || take_rules(state, job) < 0)
        refuse(state, job->request, "internal", "out of memory", "");
    else if (job->import != NULL)
        import_ready(state, job);
    else
        add_swarm(state, job);
}
