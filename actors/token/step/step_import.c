/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials on their way in, and one login under two names.
 *
 * A lock keyed by profile name does not help when the same login lies under two names: two owners
 * spend one token. So a login is known by keyed digests of all its refresh tokens, present and
 * past. The same token again under another name becomes an alias; an older one of the family is
 * refused, for sending it would end the family. Neither ever reaches the provider.
 *
 * Imports are worked one at a time, and none is saved over a profile with a refresh in flight. A
 * profile changes only after its new record is on disk. */
#include "step_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_mode(const struct credential *credential, const char *mode)
{
    return strcmp(credential->mode, mode) == 0;
}

static struct profile *find_family(const struct token_step *step,
                                   const struct token_import_job *job)
{
    if (!job->has_digest)
        return NULL;
    for (uint32_t i = 0; i < step->profile_count; i++)
        if (credential_has_digest(&step->profiles[i]->credential, job->digest))
            return step->profiles[i];
    return NULL;
}

static bool is_newest(const struct credential *credential, const uint8_t digest[16])
{
    assert(credential->digest_count > 0); /* it was found by one of them */
    return memcmp(credential->digests[credential->digest_count - 1], digest, 16) == 0;
}

static bool same_access(const struct profile *profile, const struct token_import_job *job)
{
    return job->credential.access != NULL &&
           memcmp(profile->access_sha256, job->sha256, SECRET_SHA256_SIZE) == 0;
}

void token_import_job_free(struct token_import_job *job)
{
    if (job == NULL)
        return;
    credential_deinit(&job->credential);
    free(job->rule);
    free(job);
}

/* ---- the end of one ------------------------------------------------------------------------- */

static void pop(struct token_step *step)
{
    token_import_job_free(step->imports[0]);
    step->import_count--;
    memmove(step->imports, step->imports + 1, step->import_count * sizeof(*step->imports));
    memmove(step->import_waiters, step->import_waiters + 1,
            step->import_count * sizeof(*step->import_waiters));
}

static void finish(struct token_step *step, const struct profile *profile, const char *outcome,
                   const char *note)
{
    step_audit(step, "import profile=%s outcome=%s generation=%llu source=\"%s\"",
               profile->credential.profile, outcome,
               (unsigned long long)profile->credential.generation, step->imports[0]->source);
    step_act(step, (struct token_action){.kind = ACTION_IMPORTED, .profile = profile,
                                         .waiter = step->import_waiters[0], .text = outcome,
                                         .detail = note,
                                         .generation = profile->credential.generation});
    pop(step);
}

static void reject(struct token_step *step, const char *code, const char *why, const char *remedy)
{
    step_audit(step, "import profile=%s outcome=refused code=%s source=\"%s\"",
               step->imports[0]->credential.profile, code, step->imports[0]->source);
    step_refuse(step, step->import_waiters[0], code, why, remedy);
    pop(step);
}

static void save(struct token_step *step, struct profile *target, const char *outcome)
{
    step->import_saving = true;
    step->import_target = target;
    step->import_outcome = outcome;
    if (target != NULL)
        target->importing = true;
    step_act(step, (struct token_action){.kind = ACTION_WRITE_IMPORT, .profile = target,
                                         .credential = &step->import_result});
}

/* ---- the same login again ------------------------------------------------------------------- */

static bool add_alias(struct credential *credential, const char *name)
{
    size_t used = strlen(credential->aliases);
    size_t left = sizeof(credential->aliases) - used;
    const char *comma = used != 0 ? "," : "";

    if (strlen(comma) + strlen(name) >= left)
        return false;
    snprintf(credential->aliases + used, left, "%s%s", comma, name);
    return true;
}

static void alias(struct token_step *step, struct profile *family)
{
    const char *name = step->imports[0]->credential.profile;
    struct profile *named = token_step_find(step, name);

    if (named == family) {
        finish(step, family, "unchanged", "this login is here already");
        return;
    }
    if (named != NULL) {
        reject(step, "bad_request", "this name belongs to another login",
               "import it under a name of its own");
        return;
    }
    if (credential_copy(&family->credential, &step->import_result) != 0) {
        reject(step, "internal", "out of memory", "");
        return;
    }
    if (!add_alias(&step->import_result, name)) {
        credential_deinit(&step->import_result);
        reject(step, "too_large", "too many names for one login", "");
        return;
    }
    save(step, family, "alias");
}

/* ---- something new -------------------------------------------------------------------------- */

/* Takes the job's credential over into import_result, as the next generation of `target`. */
static int prepare(struct token_step *step, struct token_import_job *job,
                   const struct profile *target)
{
    struct credential *result = &step->import_result;

    /* A family is replaced by itself only while it is access only, which never rotated: of its
     * digests there is but this one. */
    *result = job->credential;
    credential_init(&job->credential);
    snprintf(job->credential.profile, sizeof(job->credential.profile), "%s", result->profile);
    result->generation = 1;
    if (target != NULL) {
        uint64_t seen = target->generation_seen, last = target->credential.generation;

        result->generation = (seen > last ? seen : last) + 1;
        snprintf(result->profile, sizeof(result->profile), "%s", target->credential.profile);
        snprintf(result->aliases, sizeof(result->aliases), "%s", target->credential.aliases);
    }
    if (job->has_digest && credential_add_digest(result, job->digest) != 0)
        return -ENOMEM;
    return 0;
}

static void store(struct token_step *step, struct profile *target)
{
    if (target == NULL && step->profile_count >= STEP_PROFILES_MAX) {
        reject(step, "too_large", "too many logins", "remove one first");
        return;
    }
    if (prepare(step, step->imports[0], target) != 0) {
        credential_deinit(&step->import_result);
        reject(step, "internal", "out of memory", "");
        return;
    }
    save(step, target, target != NULL ? "replaced" : "stored");
}

/* Whether the one that comes in may take the place of what stands under its name. */
static bool may_replace(const struct profile *old, const struct token_import_job *job)
{
    const struct credential *credential = &job->credential;

    if (job->relogin || old->credential.needs_login[0] != '\0')
        return true;
    if (!is_mode(credential, "access_only"))
        return is_mode(&old->credential, "access_only") ||
               (is_mode(&old->credential, credential->mode) &&
                (is_mode(credential, "api_key") ||
                 job->refreshed_at_ms > old->credential.obtained_at_ms));
    return is_mode(&old->credential, "access_only") &&
           credential->expires_at_ms >= old->credential.expires_at_ms;
}

static void same_family(struct token_step *step, struct profile *family,
                        struct token_import_job *job)
{
    char why[2 * PROFILE_ID_MAX + 64];

    /* What was imported without the right to refresh it is now to be owned, or is fresher. */
    if (is_mode(&family->credential, "access_only") &&
        (!is_mode(&job->credential, "access_only") ||
         job->credential.expires_at_ms > family->credential.expires_at_ms)) {
        if (token_step_find(step, job->credential.profile) == family)
            store(step, family);
        else
            reject(step, "bad_request", "this login is here under another name, access only",
                   "take it over under that name");
        return;
    }
    if (job->relogin && !is_newest(&family->credential, job->digest)) {
        reject(step, "stale_copy", "this refresh token was used before", "log in again");
        return;
    }
    if (family->credential.needs_login[0] == '\0' && is_newest(&family->credential, job->digest)) {
        alias(step, family);
        return;
    }
    snprintf(why, sizeof(why), "an older copy of %s, which holds generation %llu",
             family->credential.profile, (unsigned long long)family->credential.generation);
    reject(step, "stale_copy", why,
           family->credential.needs_login[0] != '\0' ? "log in again" : "use that profile");
}

static void consider(struct token_step *step, struct token_import_job *job)
{
    struct profile *family = find_family(step, job);
    struct profile *named = token_step_find(step, job->credential.profile);
    char why[2 * PROFILE_ID_MAX + 64];

    if (family != NULL) {
        same_family(step, family, job);
        return;
    }
    if (named != NULL && same_access(named, job) && !job->relogin &&
        is_mode(&named->credential, job->credential.mode)) {
        finish(step, named, "unchanged", "this credential is here already");
        return;
    }
    if (named != NULL && !may_replace(named, job)) {
        snprintf(why, sizeof(why), "%s is here already and not older",
                 named->credential.profile);
        reject(step, "stale_copy", why, "use that profile, or import under another name");
        return;
    }
    store(step, named);
}

static bool target_busy(const struct token_step *step, const struct token_import_job *job)
{
    const struct profile *family = find_family(step, job);
    const struct profile *named = token_step_find(step, job->credential.profile);

    return (family != NULL && family->phase != PHASE_NONE) ||
           (named != NULL && named->phase != PHASE_NONE);
}

void import_next(struct token_step *step)
{
    while (step->ready && step->import_count > 0 && !step->import_saving &&
           !target_busy(step, step->imports[0]))
        consider(step, step->imports[0]);
}

static void on_saved(struct token_step *step, int error)
{
    struct profile *target = step->import_target;
    struct token_import_job *job = step->imports[0];
    bool is_alias = strcmp(step->import_outcome, "alias") == 0;

    step->import_saving = false;
    if (target != NULL)
        target->importing = false;
    if (error == 0 && target == NULL) {
        target = step_add_profile(step);
        if (target == NULL)
            error = -ENOMEM; /* it is on disk, and will be there after a restart */
    }
    if (error != 0) {
        credential_deinit(&step->import_result);
        reject(step, "internal", strerrordesc_np(-error), "see the state directory");
    } else if (is_alias) {
        memcpy(target->credential.aliases, step->import_result.aliases,
               sizeof(target->credential.aliases));
        credential_deinit(&step->import_result);
        finish(step, target, step->import_outcome, "the same login under another name");
    } else {
        free(target->rule);
        target->rule = job->rule;
        job->rule = NULL;
        snprintf(target->origin, sizeof(target->origin), "%s", job->origin);
        target->rejections = 0;
        refresh_replace(step, target, &step->import_result, job->sha256);
        finish(step, target, step->import_outcome,
               is_mode(&target->credential, "access_only") ? "access only: it is never refreshed"
                                                           : "");
    }
    if (target != NULL)
        step_settle(step, target);
}

void import_event(struct token_step *step, const struct token_event *event)
{
    if (event->kind == EVENT_IMPORT_SAVED) {
        on_saved(step, event->error);
    } else if (step->draining) {
        token_import_job_free(event->import);
        step_refuse(step, event->waiter, "stopping", STOPPING_WHY, STOPPING_REMEDY);
        return;
    } else if (step->import_count >= STEP_IMPORTS_MAX) {
        token_import_job_free(event->import);
        step_refuse(step, event->waiter, "busy", "too many imports at once", "try again");
        return;
    } else {
        step->imports[step->import_count] = event->import;
        step->import_waiters[step->import_count++] = event->waiter;
    }
    import_next(step);
}

/* ---- a store that looks like a copy, or like an old backup ---------------------------------- */

static void adopt_profile(struct token_step *step, struct profile *profile)
{
    if (profile->generation_seen <= profile->credential.generation ||
        profile->phase != PHASE_NONE || profile->importing)
        return;
    step_audit(step, "adopt profile=%s generation=%llu as=%llu", profile->credential.profile,
               (unsigned long long)profile->credential.generation,
               (unsigned long long)profile->generation_seen);
    /* The intent belongs to the number that stands: in doubt it stays until that is settled. */
    if (profile->maybe_spent) {
        profile->adopted = true;
        return;
    }
    profile->credential.generation = profile->generation_seen;
    /* Saved like n+1, so that nothing is spent under the new number before it is on disk. */
    profile->unsaved = true;
    profile->retry_at_ns = 0;
}

void import_adopt(struct token_step *step, const struct token_event *event)
{
    struct profile *only = NULL;

    if (event->name[0] != '\0' && (only = token_step_find(step, event->name)) == NULL) {
        step_refuse(step, event->waiter, "unknown_profile", event->name, "");
        return;
    }
    for (uint32_t i = 0; i < step->profile_count; i++)
        if (only == NULL || only == step->profiles[i]) {
            adopt_profile(step, step->profiles[i]);
            step_settle(step, step->profiles[i]);
        }
    if (!step->copied || only != NULL) {
        step_act(step, (struct token_action){.kind = ACTION_DONE, .waiter = event->waiter});
        return;
    }
    if (step->adopting) {
        step_refuse(step, event->waiter, "busy", "the store is being adopted", "try again");
        return;
    }
    step->adopting = true;
    step->adopt_waiter = event->waiter;
    step_act(step, (struct token_action){.kind = ACTION_ADOPT_STORE});
}

void import_adopted(struct token_step *step, const struct token_event *event)
{
    step->adopting = false;
    if (event->error != 0) {
        step_refuse(step, step->adopt_waiter, "internal", strerrordesc_np(-event->error),
                    "see the state directory");
        return;
    }
    step->copied = false;
    step_audit(step, "adopt store");
    step_act(step, (struct token_action){.kind = ACTION_DONE, .waiter = step->adopt_waiter});
    for (uint32_t i = 0; i < step->profile_count; i++)
        step_settle(step, step->profiles[i]);
}
