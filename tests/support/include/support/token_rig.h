/* SPDX-License-Identifier: Apache-2.0 */
/* A TokenActor on a bench: a runtime that runs when told, a clock moved by hand, a store in memory,
 * an exchange that does what the test says, and an asker that notes every answer. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "actors/handler.h"
#include "proto/system.h"
#include "proto/token.h"
#include "runtime/runtime.h"
#include "runtime/transport.h"
#include "support/store_memory.h"
#include "token/credential.h"
#include "token/token.h"

#define MS_NS 1000000ull
#define SCRIPT_MAX 64
#define ANSWERS_MAX 512
#define ASK_TYPE 0x01f8u
#define CREDIT_TYPE 0x01f9u

/* ---- clock and random ----------------------------------------------------------------------- */

struct rig_clock {
    struct clock_port port;
    uint64_t now_ns;
    int64_t wall_offset_ms;
};

struct rig_random {
    struct random_port port;
    uint64_t state;
};

uint64_t rig_now_ns(const struct clock_port *clock);
int64_t rig_wall_ms(const struct clock_port *clock);
void rig_fill(const struct random_port *port, void *ret_bytes, size_t size);

/* ---- an exchange by script ------------------------------------------------------------------ */

struct script_call {
    struct exchange_request request;
    struct provider_rule rule;
    char refresh[256];
    uint64_t id;
    bool at_gate, gated, open, ended;
};

struct script {
    struct exchange_port port;
    struct script_call calls[SCRIPT_MAX];
    size_t count;
    int fail_start;
    /* > 0: each exchange is answered by itself, with a fresh token of that many seconds. */
    unsigned auto_life_s;
    unsigned issued;
};

void script_reach_gate(struct script_call *call);
void script_end(struct script_call *call, enum exchange_end end, long status,
                const char *body);
/* Those that run end, as with a process; the owner may have gone before. */
void script_close(struct exchange_port *port);
/* What stands still is moved on; true: something was. */
bool script_step(struct script *script);
void script_init(struct script *script); /* keeps auto_life_s and what was issued */

/* ---- the asker ------------------------------------------------------------------------------ */

struct answer_row {
    uint64_t tag;
    bool part;
    uint32_t type, status;
    char code[64], text[512], outcome[32], state[32], account[64], reason[256];
    char origin[256], model[128];
    uint64_t generation, version, count, waited;
    int64_t expires_at_ms, cooling_until_ms, renew_at_ms, refresh_at_ms;
};

struct asker { /* and its config */
    struct answer_row *rows;
    size_t *count;
};

/* What is posted to it: messages of ASK_TYPE and CREDIT_TYPE. */
struct ask_order {
    struct actor_id to;
    struct message *message;
    uint64_t tag, deadline_ns;
    uint32_t credit;
    struct request_id *ret_request;
};

struct credit_order {
    struct request_id request;
    uint32_t parts;
};

extern const struct actor_ops asker_ops; /* config: struct asker */

/* ---- a link that ends where it begins ------------------------------------------------------- */

/* What a runtime sends to any of its peers comes back to itself, as from that peer. */
struct mirror {
    struct transport_port port; /* first */
    struct runtime *runtime;
};

void mirror_init(struct mirror *mirror, struct runtime *runtime); /* links are still down */

/* ---- the rig -------------------------------------------------------------------------------- */

struct rig {
    struct rig_clock clock;
    struct rig_random random;
    struct runtime *runtime;
    struct memory_disk *disk;
    struct script script;
    struct token_config config;
    struct actor_id token, asker; /* `token` is whom rig_ask asks */
    const char *token_name;       /* NULL: "token" */
    struct answer_row rows[ANSWERS_MAX];
    size_t row_count;
    uint64_t tag;
    unsigned idles, drained, alarms;
    struct request_id last_request; /* of rig_send */
    char alarm[512];
    const struct provider_rule *rules;
    size_t rule_count;
};

void rig_alarm(void *arg, const char *line);
void rig_log(void *arg, int level, const char *line);
void rig_run(struct rig *rig);
void rig_pass(struct rig *rig, uint64_t ms);
void rig_start_token(struct rig *rig);
void rig_boot(struct rig *rig);
struct rig *rig_new(void);
/* As kill -9: the memory is gone, the disk stays. */
void rig_crash(struct rig *rig);
/* A crash, and a boot on a copy of the disk. */
void rig_boot_copied(struct rig *rig);
void rig_free(struct rig *rig);
uint64_t rig_send(struct rig *rig, struct message *message, uint32_t credit,
                  uint64_t deadline_ms);
void rig_credit(struct rig *rig, struct request_id request, uint32_t parts);
/* The one final answer to a request; NULL: none yet. */
const struct answer_row *rig_answer(const struct rig *rig, uint64_t tag);
void assert_token(const struct rig *rig, uint64_t tag, const char *access);
void assert_code(const struct rig *rig, uint64_t tag, const char *code);
bool rig_audit_has(const struct rig *rig, const char *words);
struct script_call *rig_call(struct rig *rig, size_t i);
void rig_import(struct rig *rig);
/* A provider "lab" known from the config, and one login of it, imported. */
struct rig *rig_with_login_as(struct provider_rule *rule, enum rotation rotation,
                              const char *token_name);
struct rig *rig_with_login(struct provider_rule *rule, enum rotation rotation);

#define rig_ask(rig, name, ...)                                                                    \
    rig_send(rig, actor_pack(name, (&(struct name){__VA_ARGS__})), 0, 3600000)
