/* SPDX-License-Identifier: Apache-2.0 */
/* A swarm in a bottle: real TokenActor, real proxies, real supervisors, in a simulated world.
 *
 * Everything that is not deterministic is a port, and here each port has a second implementation:
 * clocks of machines that sleep, reboot and jump; random bytes from the seed; runtimes that take a
 * turn when told; a transport with delay and loss; a store whose machine may die at any call; an
 * exchange, split at the gate, in front of OAuth servers of each rotation rule. One seed gives one
 * history, whose digest says so.
 *
 * Time goes from event to event. True time is the servers'; a machine's boot clock starts anew
 * when it reboots and its wall clock jumps. A machine that sleeps takes no turns while true time
 * goes on.
 *
 * A history has four parts: set up, chaos (faults are drawn), calm (no faults: service must return
 * within a bound, with the help of an operator who does what the remedies say), steady (every
 * request is answered soon). Which faults a history has, and how often, is drawn too: a mild one
 * reaches states that a wild one never does. Checks are made where something happens, see
 * sim_check.c; the first that fails ends the history and names itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/handler.h"
#include "proto/system.h"
#include "proto/token.h"
#include "proxy/proxy.h"
#include "runtime/runtime.h"
#include "token/credential.h"
#include "token/exchange.h"
#include "support/store_memory.h"
#include "token/token.h"

#define MS_NS 1000000ull
#define SECOND_NS 1000000000ull
#define MINUTE_NS (60 * SECOND_NS)

#define NODES_MAX 3
#define AGENTS_MAX 64
#define LOGINS_MAX 4
#define PROVIDERS_MAX 3
#define TOKENS_MAX 2048 /* refresh tokens, and access tokens, of one login */
#define REQUESTS_MAX 64 /* token requests at once */
#define ORDERS_MAX 64
#define WIRE_GETS_MAX 64 /* proxies ask one at a time for each profile */
#define CANARY "canary"
#define SIM_EPOCH_S 1800000000ull /* Unix time at true time 0 */
#define AGENT_DEADLINE_NS (10 * MINUTE_NS)
#define DRAIN_NS (60 * SECOND_NS)   /* a server lets go of a request this long after its end */
#define TIMEOUT_NS (60 * SECOND_NS) /* of an exchange */

/* Faults, and what people do. Each has a counter; in a campaign none may stay 0. */
#define SIM_FAULTS(X)                                                                              \
    X(CONNECT_FAIL, "connect_fail")   /* refused, no route: before the gate */                     \
    X(CONNECT_SLOW, "connect_slow")   /* maybe longer than the limit */                            \
    X(REQUEST_LOST, "request_lost")   /* sent, never arrived */                                    \
    X(ANSWER_LOST, "answer_lost")     /* arrived, done, the answer never came */                   \
    X(ANSWER_LATE, "answer_late")     /* done after we had gone */                                 \
    X(ANSWER_PARTIAL, "answer_partial")                                                            \
    X(ANSWER_GARBAGE, "answer_garbage")                                                            \
    X(DUPLICATE, "duplicate")         /* the network delivers the request twice */                 \
    X(HTML_4XX, "html_4xx")           /* a proxy or firewall speaks */                             \
    X(TOO_MANY, "too_many")                                                                        \
    X(SERVER_5XX, "server_5xx")                                                                    \
    X(SLOW, "slow")                                                                                \
    X(MISCONFIGURED, "misconfigured")                                                              \
    X(REVOKED, "revoked")             /* by a person, at the provider */                           \
    X(MODEL_401, "model_401")         /* the model side refuses good tokens for a while */         \
    X(MODEL_429, "model_429")                                                                      \
    X(STORE_FAIL, "store_fail")       /* one call fails; it may have had its effect */             \
    X(DISK_FULL, "disk_full")                                                                      \
    X(READ_ONLY, "read_only")                                                                      \
    X(STORE_CRASH, "store_crash")     /* the keeper dies in a store call, done or not */           \
    X(KEEPER_KILL, "keeper_kill")                                                                  \
    X(KEEPER_DRAIN, "keeper_drain")   /* an ordinary restart */                                    \
    X(NODE_KILL, "node_kill")                                                                      \
    X(AGENT_CRASH, "agent_crash")                                                                  \
    X(REBOOT, "reboot")                                                                            \
    X(LINK_LOSS, "link_loss")                                                                      \
    X(LINK_SLOW, "link_slow")                                                                      \
    X(WALL_JUMP, "wall_jump")                                                                      \
    X(SLEEP, "sleep")                                                                              \
    X(RELOAD, "reload")                                                                            \
    X(STALE_IMPORT, "stale_import")                                                                \
    X(ALIAS_IMPORT, "alias_import")                                                                \
    X(FORCE, "force")                                                                              \
    X(CANCEL, "cancel")                                                                            \
    X(BACKUP, "backup")               /* an old store is put back; nodes have seen newer ones */   \
    X(BACKUP_ALONE, "backup_alone")   /* so, and nobody has */                                     \
    X(MOVED, "moved")                 /* the store is copied elsewhere, and goes on there */       \
    X(TWIN, "twin")                   /* so, and a keeper runs on each */

enum sim_fault {
#define X(name, text) SIM_##name,
    SIM_FAULTS(X)
#undef X
        SIM_FAULT_COUNT
};

/* What happened, besides faults. */
#define SIM_COUNTS(X)                                                                              \
    X(requests) X(grants) X(refusals) X(served) X(unauthorised) X(spends) X(refreshes) X(resends)  \
    X(overlaps) X(lost) X(relogins) X(boots) X(failed_saves) X(unsaved) X(adoptions)               \
    X(restored_seen) X(twin_answers) X(not_before) X(agents_1) X(agents_64) X(nodes_1) X(nodes_3)  \
    X(profiles_1) X(profiles_4) X(rule_none) X(rule_grace) X(rule_two_phase) X(rule_strict)

/* What a run of histories adds up to: numbers only, for they are added up. */
struct sim_totals {
    uint64_t faults[SIM_FAULT_COUNT];
    uint64_t seeds, steps, events, virtual_s;
#define X(name) uint64_t name;
    SIM_COUNTS(X)
#undef X
};

/* Which history, and what of it is cut away. */
struct sim_options {
    uint64_t seed;
    uint64_t without;     /* a bit for each fault kind that never happens */
    uint64_t fault_limit; /* only so many faults; UINT64_MAX: all */
    unsigned agents_max;  /* 0: as drawn */
    bool trace;
};

struct sim;

/* ---- sim_core.c: time, chance, events, the digest ------------------------------------------- */

struct sim_event {
    uint64_t at_ns, order;
    void (*run)(struct sim *sim, const struct sim_event *event);
    void *pointer;
    uint64_t a, b;
};

struct machine {
    struct clock_port clock; /* first: recovered by cast */
    struct sim *sim;
    uint64_t boot_ns; /* true time at which its boot clock was 0 */
    int64_t wall_offset_ms;
    uint64_t asleep_until_ns;
    uint8_t boot_id[16];
    bool jumped;
};

struct sim_random {
    struct random_port port; /* first */
    uint64_t state;
};

void sim_random_init(struct sim_random *random, uint64_t seed);
uint64_t sim_draw(struct sim *sim, uint64_t below);
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);
bool sim_fault(struct sim *sim, enum sim_fault fault);
void sim_at(struct sim *sim, uint64_t at_ns,
            void (*run)(struct sim *sim, const struct sim_event *event), void *pointer, uint64_t a,
            uint64_t b);
bool sim_pop(struct sim *sim, uint64_t until_ns, struct sim_event *ret_event);
/* A line of the history: into the digest, and printed with --trace. */
void sim_note(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A check failed. The first one counts. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fails when the text has a secret in it. */
void sim_inspect(struct sim *sim, const char *where, const char *text, size_t size);
const char *sim_fault_name(enum sim_fault fault);
void machine_init(struct machine *machine, struct sim *sim);
void machine_reboot(struct machine *machine);
bool machine_asleep(const struct machine *machine);
/* Its wall clock is set forward by so much, or back. */
void machine_set(struct machine *machine, int64_t by_ms);
/* When to look again: somebody may wake it. */
uint64_t machine_wakes(const struct machine *machine);

/* ---- sim_server.c: OAuth servers and a model ------------------------------------------------ */

struct refresh_token {
    unsigned parent;      /* 0: of a login */
    unsigned family;
    bool used;            /* it was exchanged */
    uint64_t used_ns;     /* first */
    bool confirmed;       /* two-phase: it, or its access token, was used */
    bool durable;         /* our store has it, or a sealed answer with it */
    bool saved;           /* so, or it had */
    bool restored;        /* an old backup has brought it back, and knows of no request for it */
    unsigned in_memory;   /* the boot of the keeper that received it whole; 0: none */
    bool ended;           /* the server said a terminal code for it */
    bool in_doubt;        /* sent, no definite answer came */
    bool save_failed;     /* the store refused to take it */
    uint64_t earliest_ns; /* spent before, it is lost; 0: any time */
};

struct access_token {
    unsigned refresh; /* that came with it */
    unsigned family;
    uint64_t expires_ns;
    bool met_401;
};

enum end_cause { ALIVE, ENDED_BY_PERSON, ENDED_BY_DUPLICATE, ENDED_BY_REUSE, ENDED_BY_HASTE };

struct login {
    unsigned number;
    struct provider_rule *rule;
    char name[PROFILE_ID_MAX + 16], alias[PROFILE_ID_MAX + 16];
    struct refresh_token refresh[TOKENS_MAX];
    struct access_token access[TOKENS_MAX];
    unsigned refresh_count, access_count; /* the first is number 1 */
    unsigned family;
    enum end_cause ended;
    unsigned import; /* refresh token a person has and wants imported; 0: none */
    bool needs_login; /* the keeper says */
    bool aliased;
    unsigned restored_family; /* an old backup of it was put back; 0: never */
    uint64_t refusing_until_ns; /* the model side refuses all tokens */

    /* What the keeper has been told of it, and has got for it. */
    unsigned at_hand;    /* access token that it hands out; 0: not known */
    bool rejected;       /* somebody has told of a 401 since */
    unsigned quotas;     /* told, ever */
    uint64_t cooling_until_ns; /* the whole account, as the keeper has confirmed */
    uint64_t forced_ns, scoped_ns; /* the last demands: forced, with a wanted life */
    uint64_t refreshed_ns; /* the last success; 0: none by this keeper */
    uint64_t unsaved_ns;   /* n+1 is in memory only, since; 0: is not */
    uint64_t unsaved_generation, tried_ns;
    bool alarmed;          /* since then */
    uint64_t heard_generation;   /* the highest that a node has told */
    uint64_t adopted_generation; /* up to which a person said to go on */
    uint64_t recent_ns[32]; /* when token requests arrived */
    unsigned recent;
};

struct http_answer {
    long status;
    char body[512];
    unsigned refresh, access; /* issued; 0: none */
};

void server_login(struct sim *sim, struct login *login);
/* An exchange of refresh token `number` arrives. */
void server_exchange(struct sim *sim, struct login *login, unsigned number, bool duplicate,
                     struct http_answer *ret_answer);
void server_revoke(struct sim *sim, struct login *login, enum end_cause cause);
/* What a model request with this access token is answered: 200, 401 or 429. */
int server_model(struct sim *sim, const char *access);
void refresh_text(const struct login *login, unsigned number, char ret_text[64]);
void access_text(const struct login *login, unsigned number, char ret_text[64]);
/* The token in a text; false: none of ours. */
bool find_refresh(struct sim *sim, const char *text, struct login **ret_login,
                  unsigned *ret_number);
bool find_access(struct sim *sim, const char *text, struct login **ret_login,
                 unsigned *ret_number);

/* ---- sim_exchange.c ------------------------------------------------------------------------- */

struct request {
    bool used;
    uint64_t id;
    struct exchange_request ask; /* callbacks */
    unsigned boot;               /* of the keeper that sent it */
    struct login *login;
    unsigned number;
    bool at_gate, gated, open;
    bool client_done;  /* the connection has ended */
    bool server_done;  /* nothing of it is left at the server */
    bool definite;     /* the keeper got a whole answer */
    bool unspent;      /* the answer says that the token was not looked at */
    uint64_t arrives_ns;
    enum exchange_end end;
    struct http_answer answer;
    const char *raw;   /* what comes instead of the answer */
    size_t cut;        /* bytes of the answer that come; 0: all */
    uint32_t retry_after_ms;
};

/* Freed with free(), after the keeper's runtime. */
struct exchange_port *sim_exchange_new(struct sim *sim);
/* The keeper is gone: its connections end. Its requests go on. */
void exchange_keeper_gone(struct sim *sim);

/* ---- sim_store.c ---------------------------------------------------------------------------- */

struct sim_store {
    struct store_port port; /* first */
    struct store_port *inner;
    struct sim *sim;
    bool dead; /* the keeper died: nothing reaches the disk any more */
};

struct store_port *sim_store_new(struct sim *sim);
/* Each stored profile; borrowed during the call. */
void store_each(struct sim *sim, void *arg,
                void (*each)(struct sim *sim, void *arg, struct stored *stored));

/* ---- sim_backup.c, sim_twin.c: no keeper runs on the store ---------------------------------- */

void backup_take(struct sim *sim); /* at any time */
void backup_put_back(struct sim *sim);
void backup_move(struct sim *sim);
void twin_boot(struct sim *sim); /* beside the keeper */
void twin_end(struct sim *sim);

/* ---- sim_wire.c ----------------------------------------------------------------------------- */

struct wire_get {
    struct login *login; /* NULL: none */
    uint64_t request;
    unsigned node;
    bool must_not_wait;
    uint64_t cools_until_ns; /* of a quota that is told; 0: a token is asked for */
};

void wire_sent(struct sim *sim, unsigned node, bool to_keeper, const struct message *message);
void wire_delivered(struct sim *sim, unsigned node, bool to_keeper, const struct message *message);
void wire_closed(struct sim *sim, unsigned node);
/* The keeper has its end, whatever it is. */
void wire_exchange_ends(struct sim *sim, const struct login *login);

/* ---- sim_link.c ----------------------------------------------------------------------------- */

struct packet;

struct link {
    bool up;
    uint64_t up_ns; /* since */
    unsigned epoch;
    struct packet *first[2], **last[2]; /* 0: to the keeper, 1: to the node */
    uint64_t last_due_ns[2];
    unsigned begun[2]; /* tells and requests among them */
    unsigned node;
};

void link_open(struct sim *sim, unsigned node); /* when both sides live */
void link_close(struct sim *sim, unsigned node);
void link_attach(struct sim *sim, struct runtime *runtime, unsigned node, bool keeper);
void link_loss(struct sim *sim, unsigned node, uint64_t for_ns);
void link_deinit(struct sim *sim, unsigned node);

/* ---- sim_agent.c, sim_operator.c ------------------------------------------------------------ */

struct agent {
    struct sim *sim;
    unsigned number, node;
    char name[16];
    unsigned login;
    bool by_alias;
    bool pending;
    uint64_t tag, asked_ns, served_ns;
    uint64_t generation; /* highest granted */
    char access[64];
    unsigned rejections;
};

extern const struct actor_ops sim_agent_ops, sim_operator_ops;

enum order { ORDER_IMPORT = 1, ORDER_STALE, ORDER_ALIAS, ORDER_STATUS, ORDER_DRAIN, ORDER_ADOPT };

void operator_import(struct sim *sim, struct login *login, enum order order, unsigned number);
void operator_send(struct sim *sim, enum order order);
void operator_gone(struct sim *sim); /* with the keeper */

/* ---- sim_world.c ---------------------------------------------------------------------------- */

struct node {
    struct runtime *runtime; /* NULL: down */
    struct machine *machine;
    char name[16], config[32];
    unsigned boots;
    uint64_t seen[LOGINS_MAX]; /* highest generation of each login that it handed out */
    uint64_t told[LOGINS_MAX]; /* and that it could have told the keeper over this link */
    uint64_t told_ns;          /* when it last spoke to it */
};

enum sim_part { PART_SETUP, PART_CHAOS, PART_CALM, PART_STEADY };

struct sim {
    struct sim_options options;
    struct sim_totals *totals;
    uint64_t random;
    struct sim_random runtime_random;
    uint64_t now_ns; /* true time */
    uint64_t digest;
    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    uint64_t event_order;
    unsigned permille[SIM_FAULT_COUNT];
    uint64_t fault_count;
    bool failed;
    char failure[512];
    enum sim_part part;
    uint64_t part_ns; /* when it began */
    bool idle[NODES_MAX + 2]; /* a runtime that had nothing to do has nothing until an event */

    struct machine machines[NODES_MAX]; /* the keeper is on the first */
    int64_t wall_lowest_ms, wall_highest_ms; /* offsets of their clocks, ever */
    struct runtime *keeper;             /* NULL: down */
    unsigned boot;                      /* of the keeper, from 1 */
    bool keeper_dying, draining;
    struct actor_id operator;
    struct message *orders[ORDERS_MAX]; /* not yet taken by the operator */
    struct sim_store *store; /* of this boot */
    struct exchange_port *exchange;
    struct memory_disk *disk;
    struct memory_disk *backup; /* NULL: none was made */
    unsigned restored_boot;     /* of the keeper: the first on a backup that was put back */
    bool copied;                /* the disk shows that it is a copy, and nobody has adopted it */
    struct store_port *reader;
    bool disk_changed;
    uint64_t full_until_ns, read_only_until_ns;
    bool adopt; /* somebody was told that the store looks like a copy */

    struct twin *twin; /* NULL: none */
    struct runtime *twin_runtime;
    struct machine *twin_machine;
    uint64_t twin_until_ns;

    struct wire_get gets[WIRE_GETS_MAX];
    unsigned printed;
    struct node nodes[NODES_MAX];
    struct proxy_config proxies[NODES_MAX];
    struct link links[NODES_MAX];
    unsigned node_count;
    struct agent agents[AGENTS_MAX];
    unsigned agent_count;
    struct provider_rule rules[PROVIDERS_MAX];
    unsigned rule_count, rule_version;
    struct login *logins[LOGINS_MAX];
    unsigned login_count;
    struct request requests[REQUESTS_MAX];
    uint64_t request_id;
    unsigned life_s; /* of access tokens */
    unsigned not_before[PROVIDERS_MAX]; /* permille of it; 0: refreshed at any time */
};

/* Runs one history. False: a check failed, see failure. */
bool sim_history(const struct sim_options *options, struct sim_totals *totals,
                 uint64_t *ret_digest, char *ret_failure, size_t size);
/* A runtime without actors, whose log is inspected. */
struct runtime *sim_runtime(struct sim *sim, const struct machine *machine, const char *name);
void keeper_boot(struct sim *sim);
void keeper_kill(struct sim *sim);
void node_boot(struct sim *sim, unsigned node);
void node_kill(struct sim *sim, unsigned node);
void sim_run_until(struct sim *sim, uint64_t until_ns);
void sim_devil(struct sim *sim, const struct sim_event *event); /* sim_devil.c */
int sim_load_rules(void *arg, const char *config_path, token_rule_sink rule, void *sink,
                   char *ret_why, size_t why_size);

/* ---- sim_check.c ---------------------------------------------------------------------------- */

void check_gate(struct sim *sim, const struct request *request);
void check_needs_login(struct sim *sim, const struct credential *credential);
void check_disk(struct sim *sim);
void check_grant(struct sim *sim, struct agent *agent, const struct token_grant *grant);
void check_drained(struct sim *sim);
void check_rate(struct sim *sim, struct login *login);
void check_answered(struct sim *sim);
void check_deadlines(struct sim *sim); /* at any time */
void check_unsaved(struct sim *sim);
void check_refusal(struct sim *sim, const struct login *login, const struct refusal *refusal);
bool served_since(const struct sim *sim, uint64_t since_ns);
