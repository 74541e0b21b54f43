/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_rig.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/answer.h"
#include "token/store_file.h"

#define NS_PER_MS 1000000ull
#define PROFILE "lab:atlas"
#define TURNS_MAX 400
#define TURNS_OF_A_BROKEN_DISK 40
#define PENDING_MAX 16

struct pending {
    enum token_event_kind kind;
    uint32_t profile;
    uint64_t ticket;
    int error;
    enum token_outcome outcome;
    enum exchange_end end;
    uint32_t http_status;
    struct secret *body;
    bool has_credential;
    struct credential credential;
    char text[64];
};

struct rig {
    struct crash_life *life;
    struct crash_world *world;
    struct store_port *store;
    struct token_step step;
    struct provider_rule rule;
    struct pending pending[PENDING_MAX];
    unsigned pending_count;
    unsigned loaded;
    bool answered;
    uint8_t boot_id[16], nonce[16];
};

__attribute__((format(printf, 2, 3))) static void violate(struct rig *rig, const char *format, ...)
{
    va_list list;
    if (rig->life->why[0] != '\0') {
        return; /* the first one tells most */
    }
    va_start(list, format);
    vsnprintf(rig->life->why, sizeof(rig->life->why), format, list);
    va_end(list);
}

static void outside(struct rig *rig, bool is)
{
    if (rig->life->outside != NULL) {
        rig->life->outside(rig->life->arg, is);
    }
}

static void point(struct rig *rig, const char *where)
{
    if (rig->life->at_point != NULL) {
        rig->life->at_point(rig->life->arg, where);
    }
}

/* ---- events --------------------------------------------------------------------------------- */

static struct token_event event_of(struct rig *rig, enum token_event_kind kind)
{
    return (struct token_event){.kind = kind,
                                .now_ns = rig->world->now_ns,
                                .wall_ms = rig->world->wall_ms,
                                .random = 0x5eed,
                                .nonce = rig->nonce,
                                .boot_id = rig->boot_id,
                                .name = PROFILE, .who = "atlas", .model = "", .text = ""};
}

static struct pending *pend(struct rig *rig, enum token_event_kind kind,
                            const struct token_action *action, int error)
{
    assert(rig->pending_count < PENDING_MAX);
    struct pending *pending = &rig->pending[rig->pending_count++];
    *pending = (struct pending){.kind = kind, .error = error, .ticket = action->ticket,
                                .profile = action->profile != NULL ? action->profile->index : 0};
    credential_init(&pending->credential);
    return pending;
}

static void run_pending(struct rig *rig)
{
    while (rig->pending_count > 0) {
        struct pending pending = rig->pending[0];
        memmove(rig->pending, rig->pending + 1, --rig->pending_count * sizeof(rig->pending[0]));
        struct token_event event = event_of(rig, pending.kind);
        uint8_t sha256[SECRET_SHA256_SIZE];
        event.profile = pending.profile;
        event.ticket = pending.ticket;
        event.error = pending.error;
        event.outcome = pending.outcome;
        event.end = pending.end;
        event.http_status = pending.http_status;
        event.body = pending.body;
        event.text = pending.text;
        if (pending.has_credential) {
            secret_sha256(pending.credential.access, sha256);
            event.credential = &pending.credential;
            event.sha256 = sha256;
            event.found = true;
        }
        token_step_run(&rig->step, &event);
        credential_deinit(&pending.credential);
    }
}

/* ---- the exchange --------------------------------------------------------------------------- */

/* Promises 1 and 6, at the moment a request leaves. */
static void check_spend(struct rig *rig, unsigned number)
{
    const struct crash_server *server = &rig->world->server;
    const struct crash_token *token = &server->tokens[number];
    int64_t now = rig->world->wall_ms;
    bool in_grace = server->rule == ROTATION_GRACE &&
                    now - token->first_ms < CRASH_GRACE_SECONDS * 1000;
    if (token->kept) {
        violate(rig, "refresh-%u is sent again, and its answer was durable", number);
    }
    if (token->sent == 0 || server->rule == ROTATION_NONE || server->rule == ROTATION_TWO_PHASE ||
        in_grace) {
        return;
    }
    if (now < token->access_ends_ms - 30000) {
        violate(rig, "refresh-%u is sent again while the access token lives, which may end it",
                number);
    }
    if (now < token->last_ms + 60000) {
        violate(rig, "refresh-%u is sent again while the first request may be on its way", number);
    }
}

static void exchange(struct rig *rig, const struct token_action *action)
{
    struct crash_world *world = rig->world;
    unsigned number = crash_token_number(action->profile->credential.refresh);
    struct crash_token *token = &world->server.tokens[number];
    check_spend(rig, number);
    if (token->sent == 0 || world->wall_ms - token->first_ms >= CRASH_GRACE_SECONDS * 1000) {
        token->first_ms = world->wall_ms; /* of a window */
    }
    token->last_ms = world->wall_ms;
    token->sent++;
    point(rig, "the request has left, the server has not seen it");
    if (world->server.late == 0) {
        world->server.late = (uint8_t)number;
        world->server.late_ms = world->wall_ms + 30000;
        point(rig, "the request is on its way");
        world->server.late = 0;
    }
    struct secret *body = NULL;
    outside(rig, true);
    uint32_t status = crash_server_spend(&world->server, number, world->wall_ms, &body);
    outside(rig, false);
    point(rig, "the server has answered");
    struct pending *pending = pend(rig, EVENT_EXCHANGED, action, 0);
    pending->end = EXCHANGE_ANSWERED;
    pending->http_status = status;
    pending->body = body;
    if (body == NULL) {
        pending->end = EXCHANGE_UNKNOWN;
    }
}

static void gate(struct rig *rig, const struct token_action *action)
{
    if (action->open) {
        exchange(rig, action);
        return;
    }
    struct pending *pending = pend(rig, EVENT_EXCHANGED, action, 0);
    pending->end = EXCHANGE_NOT_SENT;
    snprintf(pending->text, sizeof(pending->text), "the gate was closed");
}

/* ---- parsing, as the TokenActor does it ----------------------------------------------------- */

static int next_credential(struct rig *rig, const struct profile *profile,
                           struct token_answer *answer, struct credential *ret_next)
{
    uint8_t digest[16];
    if (credential_copy(&profile->credential, ret_next) != 0) {
        credential_init(ret_next);
        return -ENOMEM;
    }
    token_answer_apply(answer, ret_next, rig->world->wall_ms);
    rig->store->digest(rig->store, ret_next->refresh, digest);
    credential_add_digest(ret_next, digest);
    return 0;
}

static void parse(struct rig *rig, const struct token_action *action)
{
    const struct profile *profile = action->profile;
    struct token_answer answer;
    struct pending *pending = pend(rig, EVENT_PARSED, action, 0);
    pending->outcome = token_answer_parse(&rig->rule, profile->answer.http_status,
                                          profile->answer.body, rig->world->wall_ms, &answer);
    snprintf(pending->text, sizeof(pending->text), "%.60s",
             pending->outcome == OUTCOME_TERMINAL ? answer.error_code : answer.why);
    if (answer.no_memory) {
        pending->error = -ENOMEM;
    } else if (pending->outcome == OUTCOME_ROTATED || pending->outcome == OUTCOME_KEPT) {
        pending->error = next_credential(rig, profile, &answer, &pending->credential);
        pending->has_credential = pending->error == 0;
    }
    token_answer_deinit(&answer);
}

/* ---- the store ------------------------------------------------------------------------------ */

static void ignore_bad(void *arg, const char *file, const char *why)
{
    (void)arg;
    (void)file;
    (void)why;
}

static void look(struct rig *rig, const struct token_action *action)
{
    struct pending *pending = pend(rig, EVENT_LOOKED, action, 0);
    pending->error = rig->store->look(rig->store, action->profile->credential.profile,
                                      &pending->credential);
    pending->has_credential = pending->error == 0;
}

/* The answer of the token that was spent is safe from here on. */
static void note_kept(struct rig *rig, unsigned number)
{
    if (number != 0 && rig->world->server.tokens[number].spent) {
        rig->world->server.tokens[number].kept = true;
    }
}

static void write_answer(struct rig *rig, const struct token_action *action)
{
    const struct profile *profile = action->profile;
    int error = rig->store->write_answer(rig->store, &profile->credential, &profile->answer);
    if (error == 0) {
        note_kept(rig, crash_token_number(profile->credential.refresh));
    }
    pend(rig, EVENT_ANSWER_SAVED, action, error);
}

static void write_record(struct rig *rig, const struct token_action *action)
{
    const struct crash_server *server = &rig->world->server;
    unsigned number = crash_token_number(action->credential->refresh);
    int error = rig->store->write_record(rig->store, action->credential);
    if (error == 0 && number != 0) {
        note_kept(rig, server->tokens[number].parent);
    }
    if (action->kind != ACTION_WRITE_MARK) {
        pend(rig, action->kind == ACTION_WRITE_IMPORT ? EVENT_IMPORT_SAVED : EVENT_RECORD_SAVED,
             action, error);
    }
}

/* ---- what becomes known --------------------------------------------------------------------- */

static void grant(struct rig *rig, const struct token_action *action)
{
    struct crash_world *world = rig->world;
    const struct profile *profile = action->profile;
    rig->answered = true;
    rig->life->granted = true;
    if (profile->credential.generation < world->published) {
        violate(rig, "generation %llu is handed out, and %llu was before",
                (unsigned long long)profile->credential.generation,
                (unsigned long long)world->published);
    }
    crash_server_used(&world->server, crash_token_number(profile->credential.access));
    world->used_unsaved = world->used_unsaved || profile->unsaved;
    if (profile->credential.generation > world->published && !profile->unsaved) {
        world->published = profile->credential.generation;
        point(rig, "a newer token was handed out");
    }
}

static void on_action(void *arg, const struct token_action *action)
{
    struct rig *rig = arg;
    struct store_port *store = rig->store;
    switch (action->kind) {
    case ACTION_RESERVE:
        pend(rig, EVENT_RESERVED, action,
             store->reserve(store, action->credential, action->attempt));
        break;
    case ACTION_EXCHANGE:
        rig->world->disk->full = rig->world->fills || rig->world->disk->full;
        rig->world->filled = rig->world->filled || rig->world->fills;
        pend(rig, EVENT_GATE, action, 0);
        break;
    case ACTION_WRITE_INTENT:
        pend(rig, EVENT_INTENT_SAVED, action,
             store->write_intent(store, action->credential, &action->profile->intent_new));
        break;
    case ACTION_GATE:
        gate(rig, action);
        break;
    case ACTION_WRITE_ANSWER:
        write_answer(rig, action);
        break;
    case ACTION_PARSE:
        parse(rig, action);
        break;
    case ACTION_LOOK:
        look(rig, action);
        break;
    case ACTION_WRITE_RECORD:
    case ACTION_WRITE_MARK:
    case ACTION_WRITE_IMPORT:
        write_record(rig, action);
        break;
    case ACTION_RELEASE:
        store->release(store, action->credential, action->attempt);
        break;
    case ACTION_GRANT:
        grant(rig, action);
        break;
    case ACTION_REFUSE:
        rig->answered = true;
        break;
    case ACTION_AUDIT:
        if (rig->life->audits) {
            store->audit(store, action->text);
        }
        break;
    case ACTION_IMPORTED:
        rig->world->imported = true;
        point(rig, "the login was imported");
        break;
    default:
        break;
    }
}

/* ---- a life --------------------------------------------------------------------------------- */

static void on_loaded(void *arg, struct stored *stored)
{
    struct rig *rig = arg;
    struct token_event event = event_of(rig, EVENT_LOADED);
    uint8_t sha256[SECRET_SHA256_SIZE];
    secret_sha256(stored->credential.access, sha256);
    event.stored = stored;
    event.sha256 = sha256;
    event.rule = &rig->rule;
    event.origin = "https://login.example.test";
    token_step_run(&rig->step, &event);
    rig->loaded++;
}

static void import(struct rig *rig)
{
    struct token_import_job *job = calloc(1, sizeof(*job));
    struct token_event event = event_of(rig, EVENT_IMPORT);
    if (job == NULL) {
        return;
    }
    struct credential *credential = &job->credential;
    snprintf(credential->profile, sizeof(credential->profile), PROFILE);
    snprintf(credential->provider, sizeof(credential->provider), "lab");
    snprintf(credential->mode, sizeof(credential->mode), "oauth");
    credential->generation = 1;
    credential->access = secret_new("access-1", 8);
    credential->refresh = secret_new("refresh-1", 9);
    credential->obtained_at_ms = rig->world->wall_ms;
    credential->expires_at_ms = rig->world->server.tokens[1].access_ends_ms;
    job->rule = malloc(sizeof(*job->rule));
    if (credential->access == NULL || credential->refresh == NULL || job->rule == NULL) {
        token_import_job_free(job); /* as where it is read */
        return;
    }
    *job->rule = rig->rule;
    snprintf(job->origin, sizeof(job->origin), "https://login.example.test");
    secret_sha256(credential->access, job->sha256);
    rig->store->digest(rig->store, credential->refresh, job->digest);
    job->has_digest = job->take_over = true;
    event.import = job;
    event.waiter = 1;
    token_step_run(&rig->step, &event);
    run_pending(rig);
}

static void ask(struct rig *rig, uint64_t waiter, bool force)
{
    struct token_event event = event_of(rig, EVENT_GET);
    event.waiter = waiter;
    event.force = force;
    rig->answered = false;
    token_step_run(&rig->step, &event);
    run_pending(rig);
}

static bool at_rest(const struct rig *rig, const struct profile *profile)
{
    return profile->credential.needs_login[0] != '\0' ||
           (profile->phase == PHASE_NONE && !profile->maybe_spent && !profile->unsaved &&
            rig->answered);
}

/* Nothing else can happen: the time of the next timer comes. */
static bool pass_time(struct rig *rig, struct profile *profile)
{
    struct crash_world *world = rig->world;
    if (profile->timer_ns == 0) {
        return false;
    }
    if (profile->timer_ns > world->now_ns) {
        world->wall_ms += (int64_t)((profile->timer_ns - world->now_ns) / NS_PER_MS);
        world->now_ns = profile->timer_ns;
    }
    struct token_event event = event_of(rig, EVENT_TIMER);
    event.profile = profile->index;
    token_step_run(&rig->step, &event);
    run_pending(rig);
    return true;
}

static void check_end(struct rig *rig, const struct profile *profile)
{
    struct crash_world *world = rig->world;
    unsigned number = crash_token_number(profile->credential.refresh);
    enum rotation rule = world->server.rule;
    bool may_be_lost =
        world->answer_lost &&
        (rule == ROTATION_STRICT ||
         (rule == ROTATION_GRACE && (world->slept || world->used_unsaved || world->filled)) ||
         (rule == ROTATION_TWO_PHASE && world->used_unsaved));
    crash_server_pass(&world->server, world->wall_ms);
    if (profile->credential.generation < world->published) {
        violate(rig, "generation %llu is what is left, %llu was handed out",
                (unsigned long long)profile->credential.generation,
                (unsigned long long)world->published);
    }
    if (profile->credential.needs_login[0] != '\0') {
        if (!may_be_lost) {
            violate(rig, "the login was lost, and need not have been");
        }
        return;
    }
    if (!may_be_lost && !crash_server_takes(&world->server, number, world->wall_ms)) {
        violate(rig, "the store holds refresh-%u, which the server does not take any more", number);
    }
    if (!rig->life->granted && !rig->life->may_fail) {
        violate(rig, "nobody got a token");
    }
}

static void live_on(struct rig *rig, struct profile *profile)
{
    bool broken = rig->life->may_fail || rig->world->fills;
    unsigned turns = broken ? TURNS_OF_A_BROKEN_DISK : TURNS_MAX;
    while (!at_rest(rig, profile) && turns-- > 0 && pass_time(rig, profile)) {
    }
}

static void live(struct rig *rig)
{
    struct profile *profile = token_step_find(&rig->step, PROFILE);
    if (profile == NULL) {
        return;
    }
    ask(rig, 2, profile->credential.generation < rig->world->goal);
    live_on(rig, profile);
    if (!at_rest(rig, profile) && rig->world->fills) { /* somebody makes room */
        if (profile->unsaved && !rig->life->granted) {
            violate(rig, "a full disk holds a rotated token back");
        }
        rig->world->fills = rig->world->disk->full = false;
        live_on(rig, profile);
    }
    if (at_rest(rig, profile)) {
        point(rig, "all is at rest");
        ask(rig, 3, false);
        check_end(rig, profile);
    } else if (profile->unsaved && !rig->life->granted) {
        violate(rig, "a rotated token is held back because it cannot be saved");
    } else if (!rig->life->may_fail) {
        violate(rig, "it hangs in phase %d, %s", (int)profile->phase, profile->fault_text);
    }
    rig->life->state = profile->state;
}

static void start(struct rig *rig)
{
    struct token_event event;
    int notes = rig->store->open(rig->store);
    if (notes < 0) {
        snprintf(rig->life->sentence, sizeof(rig->life->sentence), "%s",
                 rig->store->why(rig->store));
        if (!rig->life->may_fail) {
            violate(rig, "the store does not open: %s", rig->store->why(rig->store));
        }
        return;
    }
    if (rig->store->load(rig->store, rig, on_loaded, ignore_bad) != 0) {
        snprintf(rig->life->sentence, sizeof(rig->life->sentence), "%s",
                 rig->store->why(rig->store));
        if (!rig->life->may_fail) {
            violate(rig, "the store does not load: %s", rig->store->why(rig->store));
        }
        return;
    }
    rig->life->opened = true;
    event = event_of(rig, EVENT_READY);
    event.notes = (unsigned)notes;
    token_step_run(&rig->step, &event);
    run_pending(rig);
    if (rig->loaded == 0 && (rig->world->imported || rig->world->published > 0)) {
        violate(rig, "the login is not in the store any more");
    } else if (rig->loaded == 0) {
        import(rig);
    }
    live(rig);
}

void crash_life_run(struct crash_life *life)
{
    struct crash_world *world = life->world;
    struct rig *rig = calloc(1, sizeof(*rig));
    struct token_tunables tunables = {0};
    assert(rig != NULL);
    rig->life = life;
    rig->world = world;
    outside(rig, false);
    memset(rig->boot_id, world->boots + 1, sizeof(rig->boot_id));
    snprintf(rig->rule.id, sizeof(rig->rule.id), "lab");
    snprintf(rig->rule.expiry, sizeof(rig->rule.expiry), "expires_in");
    rig->rule.rotation = world->server.rule;
    rig->rule.grace_seconds = CRASH_GRACE_SECONDS;
    token_step_init(&rig->step, &tunables, on_action, rig);
    rig->store = store_file_new(&(struct store_file_options){
        .state_dir = life->state_dir != NULL ? life->state_dir : "/queenright",
        .disk = life->disk != NULL ? life->disk : &world->disk->port});
    if (rig->store != NULL) {
        start(rig);
        life->at_point = NULL;
        if (world->disk != NULL) {
            world->disk->changed = NULL;
            memset(world->disk->faults, 0, sizeof(world->disk->faults));
        }
        rig->store->close(rig->store);
    } else {
        snprintf(life->sentence, sizeof(life->sentence), "no memory for a store");
    }
    outside(rig, true);
    for (unsigned i = 0; i < rig->pending_count; i++) {
        secret_free(rig->pending[i].body);
        credential_deinit(&rig->pending[i].credential);
    }
    token_step_deinit(&rig->step);
    free(rig);
}
