/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor's logic as a pure step: (state, event) -> (state, actions).
 *
 * It has no clock, file, socket, thread or random source of its own: time, boot id and random
 * bytes come with each event, and all effects leave through one sink of actions. So the same code
 * runs in the keeper, in a test that enumerates crashes, and in the simulator, and a run is a
 * function of its events.
 *
 * The shape is level-triggered. An event changes facts; then settle() looks at the facts alone and
 * does what they call for: answers who can be answered, starts a refresh if one is wanted and
 * allowed, sets the one timer of the profile, tells the watchers. No decision hangs on having
 * seen an event at the right moment, so a crash, which forgets all events, loses none of them.
 *
 * Invariants, asserted:
 *   - a profile has at most one refresh in flight (phase), and its state moves along the table of
 *     edges in step_state.c only;
 *   - the gate opens only in phase INTENT, after the intent is durable;
 *   - n is spent only with nothing in flight, nothing unsaved, and, after an unknown outcome, when
 *     the provider's rule allows it (policy_resend_at);
 *   - each waiter gets exactly one answer.
 *
 * The sink must not call back into the step: what it starts comes back as a later event. Each
 * action of a refresh yields exactly one event with the same ticket, whatever happens. */
#pragma once

#include "token/credential.h"
#include "token/provider.h"
#include "token/store.h"
#include "token/token.h"

#define MS_NS 1000000ull
#define STEP_PROFILES_MAX 256
#define STEP_WAITERS_MAX 4096
#define STEP_IMPORTS_MAX 64
#define STEP_COOLINGS_MAX 8
#define STEP_DIGESTS_MAX 256      /* of one family */
#define STEP_DIGESTS_OLDEST 32    /* of these the oldest kept: copies in the wild stem from then */
#define STEP_WHO_MAX 48
#define STEP_TEXT_MAX 256

#define PROFILE_STATES(X)                                                                          \
    X(VALID, "valid")                                                                              \
    X(REFRESHING, "refreshing")                                                                    \
    X(UNCERTAIN, "uncertain")     /* n was sent, the outcome is unknown */                         \
    X(UNSAVED, "unsaved")         /* n+1 is in memory and in use, not yet on disk */               \
    X(REFUSED, "refused")         /* the model side refuses fresh tokens */                        \
    X(NEEDS_LOGIN, "needs_login") /* only a person helps */

enum profile_state {
#define X(name, text) PROFILE_##name,
    PROFILE_STATES(X)
#undef X
        PROFILE_STATE_COUNT
};

/* Where the one refresh in flight stands. */
enum refresh_phase {
    PHASE_NONE,
    PHASE_RESERVE, /* space for intent, answer and record n+1 is being reserved */
    PHASE_CONNECT, /* resolving, connecting, TLS; nothing sent */
    PHASE_INTENT,  /* at the gate; the intent is being made durable */
    PHASE_ABORT,   /* the gate was refused; waits for the exchange to end */
    PHASE_SENT,    /* the gate is open: n may be spent */
    PHASE_ANSWER,  /* the raw answer is being sealed and synced */
    PHASE_PARSE,
    PHASE_LOOK,    /* terminal code: has the store moved on? */
    PHASE_RECORD   /* record n+1 is being saved */
};

/* Why no refresh starts, or the last one failed; shown with its remedy. Not a state: a login can be
 * valid and its provider unreachable. */
enum fault {
    FAULT_NONE,
    FAULT_NETWORK,  /* provider unreachable or failing; retried with backoff */
    FAULT_STORE,    /* disk: nothing is spent until it can be saved; retried */
    FAULT_CONFIG,   /* the provider refuses the form of our request; stopped until it changes */
    FAULT_UNKNOWN,  /* outcome of the last request unknown */
    FAULT_COPIED,   /* the store is a copy */
    FAULT_RESTORED, /* somebody has seen a later generation than the store has */
    FAULT_NO_RULE   /* no provider rule known for it */
};

enum waiter_kind { WAITER_GET, WAITER_WATCH };

struct waiter {
    uint64_t id; /* the caller's request */
    enum waiter_kind kind;
    uint64_t generation;   /* GET: one above this satisfies it whatever its life */
    uint64_t min_valid_ms; /* GET */
    bool newer;            /* GET: the token at hand does not do (forced, rejected) */
    bool counted;          /* has waited for the refresh in flight */
    uint64_t version;      /* WATCH */
    char who[STEP_WHO_MAX];
};

struct cooling {
    uint64_t until_ns;
    char model[128]; /* empty: the whole account */
};

struct profile {
    uint32_t index;
    struct credential credential; /* what is handed out */
    uint8_t access_sha256[SECRET_SHA256_SIZE];
    struct provider_rule *rule; /* what it is pinned to; NULL: none known */
    char origin[600];                 /* of its token endpoint: refreshes there go one by one */

    enum profile_state state;
    enum fault fault;
    char fault_text[STEP_TEXT_MAX];

    enum refresh_phase phase;
    uint64_t ticket; /* of the refresh in flight */
    const char *cause; /* why it was started, for the audit */
    uint32_t attempt;
    bool ended_early; /* the exchange ended while the intent was being written: */
    char ended_text[STEP_TEXT_MAX];
    struct answer answer;  /* received, until n+1 is saved */
    bool answer_sealed;
    uint32_t retry_after_ms;
    char terminal[64];
    struct credential next; /* n+1, being saved */
    uint8_t next_sha256[SECRET_SHA256_SIZE];
    bool has_next;
    bool unsaved; /* the credential at hand is n+1 and not on disk */
    bool stalled; /* PARSE failed for lack of memory; tried again */

    /* n may have been spent: set when the gate opens, cleared by a definite answer only. */
    bool maybe_spent;
    bool maybe_spent_before; /* as it was before the attempt in flight */
    struct intent intent;    /* of the latest attempt that may have been sent */
    struct intent intent_before; /* as it was before the attempt in flight */
    struct intent intent_new;    /* of the attempt in flight, not yet durable */

    uint64_t ended_ns; /* when the latest request of unknown outcome had surely left our hands */

    unsigned failures;    /* in a row, for the backoff */
    uint64_t retry_at_ns; /* nothing is tried before */
    uint64_t expires_ns;  /* of the access token on the boot clock; 0: unknown or never */
    uint64_t life_ns;     /* it had when obtained; 0: unknown */
    uint64_t refresh_at_ns, keep_alive_at_ns, earliest_ns; /* 0: none */

    bool access_rejected; /* the token at hand met a 401 */
    unsigned rejections;  /* in a row, of tokens that were current; the second one refuses */
    uint64_t rejected_at_ns;
    uint64_t refused_until_ns; /* 0: not refused */

    struct cooling coolings[STEP_COOLINGS_MAX];
    size_t cooling_count;

    struct waiter *waiters;
    size_t waiter_count, waiter_capacity;

    bool importing; /* an import is being saved over it: no refresh starts */
    bool used;      /* handed out since the last refresh */
    uint64_t generation_seen; /* by the nodes */
    bool adopted; /* in doubt, and a person has said to go on from here all the same */
    uint64_t version;
    uint64_t visible; /* digest of what the version stands for */
    uint64_t timer_ns; /* as set; 0: none */

    uint64_t refreshes, waited, waited_now, grants, refreshed_ns;
    int64_t refreshed_at_ms;
};

enum token_event_kind {
    EVENT_LOADED,   /* stored (taken), sha256, rule, origin */
    EVENT_READY,    /* all loaded; notes */
    EVENT_RULE,     /* profile: rule, origin */
    EVENT_GET,      /* waiter, name, min_valid_ms, force, who */
    EVENT_REJECTED, /* waiter, name, sha256, who */
    EVENT_QUOTA,    /* waiter, name, model, until_ms, text, who */
    EVENT_WATCH,    /* waiter, name, version, generation_seen, who */
    EVENT_CANCELLED,/* waiter */
    EVENT_IMPORT,   /* waiter, import (taken) */
    EVENT_IMPORT_SAVED, /* error */
    EVENT_ADOPT,    /* waiter, name */
    EVENT_ADOPTED,  /* error: the store itself was marked as ours */
    EVENT_DRAIN,    /* waiter */
    EVENT_TIMER,    /* profile */
    /* Of a refresh: profile, ticket, error */
    EVENT_RESERVED,
    EVENT_GATE,
    EVENT_INTENT_SAVED,
    EVENT_EXCHANGED,    /* end, http_status, body (taken), retry_after_ms, text */
    EVENT_ANSWER_SAVED,
    EVENT_PARSED,       /* outcome, text (code), credential (taken) + sha256 when there is n+1 */
    EVENT_LOOKED,       /* credential (taken) + sha256, when `found` */
    EVENT_RECORD_SAVED
};

/* A credential on its way in. */
struct token_import_job {
    struct credential credential;
    uint8_t sha256[SECRET_SHA256_SIZE]; /* of its access token */
    uint8_t digest[16];                 /* of its refresh token */
    bool has_digest;                    /* it came with one, also when it is not kept */
    bool take_over, relogin;
    int64_t refreshed_at_ms;
    struct provider_rule *rule; /* owned; may be NULL */
    char origin[600];
    char source[STEP_TEXT_MAX];
};

struct token_event {
    enum token_event_kind kind;
    /* The world at this moment. */
    uint64_t now_ns;
    int64_t wall_ms;
    uint64_t random;
    const uint8_t *nonce;   /* 16 bytes */
    const uint8_t *boot_id; /* 16 bytes */

    uint32_t profile;
    uint64_t ticket;
    int error; /* 0 or negative errno */
    uint64_t waiter;
    const char *name, *who, *model, *text;
    const uint8_t *sha256;
    uint64_t min_valid_ms, version, generation_seen;
    int64_t until_ms;
    bool force, found;
    unsigned notes;
    struct stored *stored;
    struct credential *credential;
    struct token_import_job *import;
    const struct provider_rule *rule; /* copied */
    const char *origin;
    enum exchange_end end;
    uint32_t http_status, retry_after_ms;
    struct secret *body;
    enum token_outcome outcome;
};

enum token_action_kind {
    /* Of a refresh; each answered by its event. */
    ACTION_RESERVE,      /* -> RESERVED */
    ACTION_EXCHANGE,     /* -> GATE, EXCHANGED; or only EXCHANGED */
    ACTION_WRITE_INTENT, /* profile->intent_new -> INTENT_SAVED */
    ACTION_GATE,         /* open */
    ACTION_WRITE_ANSWER, /* profile->answer -> ANSWER_SAVED */
    ACTION_PARSE,        /* profile->answer -> PARSED */
    ACTION_LOOK,         /* -> LOOKED */
    ACTION_WRITE_RECORD, /* credential -> RECORD_SAVED */
    /* Store calls nobody waits for. */
    ACTION_RELEASE,
    ACTION_WRITE_MARK,   /* credential: same generation, e.g. needs login */
    ACTION_WRITE_IMPORT, /* credential -> IMPORT_SAVED */
    ACTION_ADOPT_STORE,  /* -> ADOPTED */
    /* Answers to waiters. */
    ACTION_GRANT,
    ACTION_REFUSE,
    ACTION_DONE,
    ACTION_IMPORTED,     /* text is the outcome, detail the note */
    /* The rest. */
    ACTION_TIMER,        /* profile, at_ns; 0: none */
    ACTION_AUDIT,        /* text */
    ACTION_ALARM,        /* text */
    ACTION_TRACE         /* profile, text: a move of its state */
};

struct token_action {
    enum token_action_kind kind;
    const struct profile *profile; /* NULL where there is none */
    uint64_t ticket;
    uint32_t attempt;
    bool open;
    uint64_t waiter;
    const struct credential *credential; /* borrowed */
    const char *code, *text, *detail;    /* of a refusal: code, why, remedy */
    uint64_t at_ns, retry_after_ms, generation;
    int64_t until_ms;
};

struct token_step {
    struct token_tunables tunables;
    void (*act)(void *arg, const struct token_action *action);
    void *arg;
    const struct token_event *event; /* the one at work: time and random bytes */

    struct profile *profiles[STEP_PROFILES_MAX];
    uint32_t profile_count;
    size_t waiter_count;
    uint64_t last_ticket;
    bool ready, copied, draining;
    uint64_t *drains; /* requests that wait for the drain */
    size_t drain_count;
    uint64_t random_state; /* mixed from the events' random */

    struct token_import_job *imports[STEP_IMPORTS_MAX]; /* the first may be in work */
    uint64_t import_waiters[STEP_IMPORTS_MAX];
    size_t import_count;
    struct credential import_result; /* being saved */
    struct profile *import_target;   /* NULL: a new profile */
    const char *import_outcome;
    bool import_saving;
    uint64_t adopt_waiter;
    bool adopting;
};

void token_import_job_free(struct token_import_job *job);

void token_step_init(struct token_step *step, const struct token_tunables *tunables,
                     void (*act)(void *arg, const struct token_action *action), void *arg);
void token_step_deinit(struct token_step *step);
/* What the event carries as "taken" belongs to the step afterwards. */
void token_step_run(struct token_step *step, const struct token_event *event);

/* By id or alias; NULL when there is none. */
struct profile *token_step_find(const struct token_step *step, const char *name);
/* Nothing in flight that a stop of the process would harm. */
bool token_step_quiet(const struct token_step *step);

/* ---- what is shown of a profile ------------------------------------------------------------- */

/* The access token at hand may be handed out. */
bool profile_usable(const struct profile *profile, uint64_t now_ns);
/* Account-wide cooling at work, or NULL. */
const struct cooling *profile_cooling(const struct profile *profile, uint64_t now_ns);
/* When its next refresh starts, as things stand; 0: something is in the way for good. The event
 * tells the time and is not run; none is at work. */
uint64_t token_step_refresh_at(struct token_step *step, const struct profile *profile,
                               const struct token_event *look);
const char *profile_state_name(enum profile_state state);
/* For people: what to do about the state or fault; "" when all is well. */
const char *profile_remedy(const struct profile *profile);
const char *profile_reason(const struct profile *profile);
