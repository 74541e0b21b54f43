/* SPDX-License-Identifier: Apache-2.0 */
/* A bench for the TokenActor's step: a clock that only moves when told, a record of all actions,
 * and the world's half of a refresh, one call a move. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "token/step.h"

#define MS_NS 1000000ull

#define BENCH_LIFE_MS 3600000ll
#define BENCH_WALL_MS 1800000000000ll

struct bench_action {
    enum token_action_kind kind;
    int profile;
    uint64_t ticket, waiter, at_ns, generation, retry_after_ms;
    uint32_t attempt;
    int64_t until_ms;
    bool open;
    char code[64], text[512], detail[128];
};

struct bench {
    struct token_step step;
    struct provider_rule rule;
    uint64_t now_ns;
    int64_t wall_ms;
    uint8_t boot_id[16], nonce[16];
    uint64_t last_waiter;
    struct bench_action *actions;
    size_t action_count, action_capacity;
    size_t spends; /* gates opened */
    bool endless;  /* the next credentials have no known end */
};

static inline void bench_act(void *arg, const struct token_action *action)
{
    struct bench *bench = arg;
    struct bench_action *row;

    if (bench->action_count == bench->action_capacity) {
        bench->action_capacity = bench->action_capacity * 2 + 64;
        bench->actions = realloc(bench->actions, bench->action_capacity * sizeof(*row));
        assert_non_null(bench->actions);
    }
    row = &bench->actions[bench->action_count++];
    *row = (struct bench_action){.kind = action->kind,
                                 .profile = action->profile != NULL ? (int)action->profile->index
                                                                    : -1,
                                 .ticket = action->ticket,
                                 .waiter = action->waiter,
                                 .at_ns = action->at_ns,
                                 .retry_after_ms = action->retry_after_ms,
                                 .until_ms = action->until_ms,
                                 .generation = action->credential != NULL
                                                   ? action->credential->generation
                                                   : action->generation,
                                 .attempt = action->attempt,
                                 .open = action->open};
    snprintf(row->code, sizeof(row->code), "%s", action->code != NULL ? action->code : "");
    snprintf(row->text, sizeof(row->text), "%s", action->text != NULL ? action->text : "");
    snprintf(row->detail, sizeof(row->detail), "%s",
             action->detail != NULL ? action->detail : "");
    if (action->kind == ACTION_GATE && action->open)
        bench->spends++;
}

static inline struct bench *bench_new(enum rotation rotation)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct token_tunables tunables = {0};

    assert_non_null(bench);
    bench->now_ns = 1000000ull * MS_NS;
    bench->wall_ms = BENCH_WALL_MS;
    memset(bench->boot_id, 7, 16);
    snprintf(bench->rule.id, sizeof(bench->rule.id), "lab");
    bench->rule.rotation = rotation;
    bench->rule.grace_seconds = 30;
    token_step_init(&bench->step, &tunables, bench_act, bench);
    return bench;
}

static inline void bench_free(struct bench *bench)
{
    token_step_deinit(&bench->step);
    free(bench->actions);
    free(bench);
}

static inline struct token_event bench_event(struct bench *bench, enum token_event_kind kind)
{
    return (struct token_event){.kind = kind, .now_ns = bench->now_ns, .wall_ms = bench->wall_ms,
                                .random = 0x5eed + bench->action_count, .nonce = bench->nonce,
                                .boot_id = bench->boot_id, .text = "", .who = "atlas",
                                .model = "", .name = ""};
}

/* The test's stand-in for SHA-256 and the digest: each token text has its own. */
static inline void bench_hash(const char *text, size_t size, uint8_t *ret_hash)
{
    memset(ret_hash, 0, size);
    for (size_t i = 0; text[i] != '\0'; i++)
        ret_hash[i % size] = (uint8_t)(ret_hash[i % size] * 31 + text[i]);
}

static inline struct credential bench_credential(const struct bench *bench, const char *profile,
                                                 const char *token)
{
    struct credential credential;
    char access[64];
    uint8_t digest[16];

    credential_init(&credential);
    snprintf(credential.profile, sizeof(credential.profile), "%s", profile);
    snprintf(credential.provider, sizeof(credential.provider), "lab");
    snprintf(credential.mode, sizeof(credential.mode), "oauth");
    credential.generation = 1;
    snprintf(access, sizeof(access), "access-%s", token);
    credential.access = secret_new(access, strlen(access));
    credential.refresh = secret_new(token, strlen(token));
    bench_hash(token, 16, digest);
    assert_int_equal(credential_add_digest(&credential, digest), 0);
    credential.obtained_at_ms = bench->wall_ms;
    if (!bench->endless)
        credential.expires_at_ms = bench->wall_ms + BENCH_LIFE_MS;
    return credential;
}

static inline void bench_sha(const struct credential *credential, uint8_t ret_sha[32])
{
    bench_hash(secret_data(credential->access), 32, ret_sha);
}

/* As an attempt left it, the first of generation 1 unless the test says otherwise. */
static inline struct intent bench_intent(const struct bench *bench, uint64_t ago_ms,
                                         uint32_t attempt)
{
    struct intent intent = {.generation = 1,
                            .attempt = attempt,
                            .wall_ms = bench->wall_ms - (int64_t)ago_ms,
                            .boot_ns = bench->now_ns - ago_ms * MS_NS};

    memcpy(intent.boot_id, bench->boot_id, 16);
    intent.first_wall_ms = intent.wall_ms;
    intent.first_boot_ns = intent.boot_ns;
    memcpy(intent.first_boot_id, intent.boot_id, 16);
    return intent;
}

static inline void bench_load_stored(struct bench *bench, struct stored *stored)
{
    struct token_event event = bench_event(bench, EVENT_LOADED);
    uint8_t sha[32];

    bench_sha(&stored->credential, sha);
    event.stored = stored;
    event.sha256 = sha;
    event.rule = &bench->rule;
    event.origin = "https://login.example.test";
    token_step_run(&bench->step, &event);
}

static inline void bench_ready(struct bench *bench, unsigned notes)
{
    struct token_event event = bench_event(bench, EVENT_READY);

    event.notes = notes;
    token_step_run(&bench->step, &event);
}

static inline void bench_load(struct bench *bench, const char *profile)
{
    struct stored stored = {.credential = bench_credential(bench, profile, profile)};

    bench_load_stored(bench, &stored);
}

/* A bench with one valid login, ready. */
static inline struct bench *bench_with(enum rotation rotation, const char *profile)
{
    struct bench *bench = bench_new(rotation);

    bench_load(bench, profile);
    bench_ready(bench, 0);
    return bench;
}

static inline struct profile *bench_profile(struct bench *bench, const char *name)
{
    struct profile *profile = token_step_find(&bench->step, name);

    assert_non_null(profile);
    return profile;
}

/* ---- what was done -------------------------------------------------------------------------- */

static inline size_t bench_count(const struct bench *bench, enum token_action_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < bench->action_count; i++)
        count += bench->actions[i].kind == kind;
    return count;
}

static inline const struct bench_action *bench_last(const struct bench *bench,
                                                    enum token_action_kind kind)
{
    for (size_t i = bench->action_count; i-- > 0;)
        if (bench->actions[i].kind == kind)
            return &bench->actions[i];
    return NULL;
}

/* The one answer a waiter got; NULL: none yet. Two are a failure. */
static inline const struct bench_action *bench_answer(const struct bench *bench, uint64_t waiter)
{
    const struct bench_action *found = NULL;

    for (size_t i = 0; i < bench->action_count; i++) {
        const struct bench_action *row = &bench->actions[i];

        if (row->waiter != waiter || row->kind < ACTION_GRANT || row->kind > ACTION_IMPORTED)
            continue;
        assert_null(found);
        found = row;
    }
    return found;
}

static inline void assert_granted(const struct bench *bench, uint64_t waiter, uint64_t generation)
{
    const struct bench_action *row = bench_answer(bench, waiter);

    assert_non_null(row);
    assert_string_equal(row->code, "");
    assert_int_equal(row->kind, ACTION_GRANT);
    assert_int_equal(row->generation, generation);
}

static inline void assert_refused(const struct bench *bench, uint64_t waiter, const char *code)
{
    const struct bench_action *row = bench_answer(bench, waiter);

    assert_non_null(row);
    assert_int_equal(row->kind, ACTION_REFUSE);
    assert_string_equal(row->code, code);
}

static inline void assert_waiting(const struct bench *bench, uint64_t waiter)
{
    assert_null(bench_answer(bench, waiter));
}

static inline void assert_state(struct bench *bench, const char *name, const char *state)
{
    assert_string_equal(profile_state_name(bench_profile(bench, name)->state), state);
}

/* ---- asking --------------------------------------------------------------------------------- */

static inline uint64_t bench_ask(struct bench *bench, const char *name, uint64_t min_valid_ms,
                                 bool force)
{
    struct token_event event = bench_event(bench, EVENT_GET);

    event.waiter = ++bench->last_waiter;
    event.name = name;
    event.min_valid_ms = min_valid_ms;
    event.force = force;
    token_step_run(&bench->step, &event);
    return event.waiter;
}

static inline uint64_t bench_reject_sha(struct bench *bench, const char *name, const uint8_t *sha)
{
    struct token_event event = bench_event(bench, EVENT_REJECTED);

    event.waiter = ++bench->last_waiter;
    event.name = name;
    event.sha256 = sha;
    token_step_run(&bench->step, &event);
    return event.waiter;
}

/* The token at hand met a 401. */
static inline uint64_t bench_reject(struct bench *bench, const char *name)
{
    uint8_t sha[32];

    bench_sha(&bench_profile(bench, name)->credential, sha);
    return bench_reject_sha(bench, name, sha);
}

static inline uint64_t bench_watch(struct bench *bench, const char *name, uint64_t version,
                                   uint64_t generation_seen)
{
    struct token_event event = bench_event(bench, EVENT_WATCH);

    event.waiter = ++bench->last_waiter;
    event.name = name;
    event.version = version;
    event.generation_seen = generation_seen;
    token_step_run(&bench->step, &event);
    return event.waiter;
}

/* Time passes; timers fire when they are due. */
static inline void bench_pass(struct bench *bench, uint64_t ms)
{
    uint64_t end = bench->now_ns + ms * MS_NS;

    for (;;) {
        struct profile *next = NULL;
        struct token_event event;

        for (uint32_t i = 0; i < bench->step.profile_count; i++) {
            struct profile *profile = bench->step.profiles[i];

            if (profile->timer_ns != 0 && profile->timer_ns <= end &&
                (next == NULL || profile->timer_ns < next->timer_ns))
                next = profile;
        }
        if (next == NULL)
            break;
        if (next->timer_ns > bench->now_ns) {
            bench->wall_ms += (int64_t)((next->timer_ns - bench->now_ns) / MS_NS);
            bench->now_ns = next->timer_ns;
        }
        event = bench_event(bench, EVENT_TIMER);
        event.profile = next->index;
        token_step_run(&bench->step, &event);
    }
    bench->wall_ms += (int64_t)((end - bench->now_ns) / MS_NS);
    bench->now_ns = end;
}

/* ---- the world's half of a refresh ---------------------------------------------------------- */

static inline void bench_tell(struct bench *bench, const char *name, enum token_event_kind kind,
                              int error)
{
    struct token_event event = bench_event(bench, kind);
    struct profile *profile = bench_profile(bench, name);

    event.profile = profile->index;
    event.ticket = profile->ticket;
    event.error = error;
    token_step_run(&bench->step, &event);
}

static inline void bench_exchanged(struct bench *bench, const char *name, enum exchange_end end,
                                   uint32_t status)
{
    struct token_event event = bench_event(bench, EVENT_EXCHANGED);
    struct profile *profile = bench_profile(bench, name);

    event.profile = profile->index;
    event.ticket = profile->ticket;
    event.end = end;
    event.http_status = status;
    event.text = "scripted";
    if (end == EXCHANGE_ANSWERED)
        event.body = secret_new("{}", 2);
    token_step_run(&bench->step, &event);
}

static inline void bench_parsed(struct bench *bench, const char *name, enum token_outcome outcome,
                                const char *code)
{
    struct token_event event = bench_event(bench, EVENT_PARSED);
    struct profile *profile = bench_profile(bench, name);
    struct credential next;
    uint8_t sha[32];
    char token[200];

    event.profile = profile->index;
    event.ticket = profile->ticket;
    event.outcome = outcome;
    event.text = code;
    if (outcome == OUTCOME_ROTATED || outcome == OUTCOME_KEPT) {
        snprintf(token, sizeof(token), "%s-%llu", name,
                 (unsigned long long)profile->credential.generation + 1);
        next = bench_credential(bench, name, token);
        if (outcome == OUTCOME_KEPT)
            credential_set(&next.refresh, secret_copy(profile->credential.refresh));
        for (size_t i = 0; i < profile->credential.digest_count; i++) /* keeps the family */
            assert_int_equal(credential_add_digest(&next, profile->credential.digests[i]), 0);
        bench_hash(token, 16, next.digests[0]);
        uint8_t first[16];
        memcpy(first, next.digests[0], 16);
        memmove(next.digests, next.digests + 1, (next.digest_count - 1) * 16);
        memcpy(next.digests[next.digest_count - 1], first, 16);
        snprintf(next.aliases, sizeof(next.aliases), "%s", profile->credential.aliases);
        bench_sha(&next, sha);
        event.credential = &next;
        event.sha256 = sha;
    }
    token_step_run(&bench->step, &event);
}

/* From the reservation to the open gate. */
static inline void bench_send(struct bench *bench, const char *name)
{
    assert_int_equal(bench_profile(bench, name)->phase, PHASE_RESERVE);
    bench_tell(bench, name, EVENT_RESERVED, 0);
    bench_tell(bench, name, EVENT_GATE, 0);
    bench_tell(bench, name, EVENT_INTENT_SAVED, 0);
    assert_int_equal(bench_profile(bench, name)->phase, PHASE_SENT);
}

/* A complete answer, sealed, that means `outcome`. */
static inline void bench_answered(struct bench *bench, const char *name, uint32_t status,
                                  enum token_outcome outcome, const char *code)
{
    bench_exchanged(bench, name, EXCHANGE_ANSWERED, status);
    bench_tell(bench, name, EVENT_ANSWER_SAVED, 0);
    bench_parsed(bench, name, outcome, code);
}

static inline void bench_refresh(struct bench *bench, const char *name)
{
    bench_send(bench, name);
    bench_answered(bench, name, 200, OUTCOME_ROTATED, "");
    bench_tell(bench, name, EVENT_RECORD_SAVED, 0);
}
