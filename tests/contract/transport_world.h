/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes and a link between them, real or simulated, and in each an actor that says what it
 * is told to and counts what it hears. For test_transport.c. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/introspect.h"
#include "runtime/runtime.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define HELD_MAX 4096

extern const struct actor_ops voice_ops;

enum { TELL = 0x7001, ASK, ANSWER, PART, DO };

enum way { WAY_REPLY, WAY_TELL_BACK, WAY_HOLD, WAY_BUSY, WAY_STREAM }; /* to take a request */

struct voice {
    struct runtime *runtime; /* NULL: its process has ended */
    const char *peer_name;   /* of its process */
    struct actor_id self, to;
    bool first_words; /* says something as soon as a link is up */

    /* How it speaks and answers. */
    int (*act)(struct voice *voice, struct context *context);
    bool acted;
    enum way way;
    unsigned amount; /* of what it says in one act, of parts in a stream; 0: one */
    size_t size;     /* of bodies; 0: small */
    uint16_t flags;
    uint32_t credit;
    uint64_t deadline_ns; /* from now; 0: the default */
    uint32_t said;        /* the number of its last message */
    uint64_t trace;
    struct request_id asked, held[HELD_MAX], streaming;
    unsigned held_count, parts_said;

    /* What it has heard. */
    unsigned tells, asks, answers, parts, cancels, deaths, ups, downs;
    unsigned statuses[STATUS_COUNT];
    unsigned disorder; /* what came twice, too early, or not whole */
    unsigned early;    /* without a link */
    uint32_t heard, answered; /* the latest numbers */
    struct message last;      /* the header of the last tell or request */
    uint64_t left_ns;         /* of its deadline */
    uint32_t kind, retry_after_ms;
    char peer[INTROSPECT_NAME_MAX];
    enum exit_reason reason;
    int error;
};

struct place {
    const struct world *world;
    struct voice keeper, node;
    void *inner; /* the world's own */
};

/* Runs one act in the voice's process; of its transport nothing runs. */
void act(struct voice *voice, int (*what)(struct voice *voice, struct context *context));
int act_tell(struct voice *voice, struct context *context);
int act_ask(struct voice *voice, struct context *context);
int act_tell_and_ask(struct voice *voice, struct context *context);
int act_answer_held(struct voice *voice, struct context *context);
int act_tell_and_answer_held(struct voice *voice, struct context *context);
int act_credit(struct voice *voice, struct context *context); /* three more parts */
int act_cancel(struct voice *voice, struct context *context);
int act_watch(struct voice *voice, struct context *context);
int act_monitor(struct voice *voice, struct context *context);
int act_stop(struct voice *voice, struct context *context); /* fails with EIO */

/* Both processes run until a count has come to so much; fails when it does not. */
void until(struct place *place, const unsigned *count, unsigned wanted);
void until_drops(struct place *place, enum runtime_status reason, uint32_t type, unsigned wanted);
/* They run for as long as something may still come. */
void rest(struct place *place);
void pass(struct place *place, uint64_t ns); /* on all clocks */
void meet(struct place *place);              /* the link comes up at both ends */
void part(struct place *place);              /* it goes, and both processes live */
void end_node(struct place *place);
void begin_node(struct place *place);

/* What was counted as lost; type 0: whatever it was, for whatever reason. */
unsigned drops_at(struct runtime *runtime, enum runtime_status reason, uint32_t type);
unsigned drops(struct place *place, enum runtime_status reason, uint32_t type); /* at both ends */
unsigned all_statuses(const struct voice *voice);

int setup_real(void **state);
int setup_simulated(void **state);
int teardown(void **state);
