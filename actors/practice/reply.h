/* SPDX-License-Identifier: Apache-2.0 */
/* An answer and its timetable: bytes, and when each stretch of them may leave.
 *
 * Everything this server does that takes time (a delay, a slow drip, a model that speaks word by
 * word, a connection that hangs) is one list of steps, so the server needs one way to wait. The
 * whole answer is made at once: it is scripted and small, and a stream then costs its bytes and
 * nothing else. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_NEVER UINT64_MAX

struct reply_step {
    size_t end;        /* bytes up to here ... */
    uint64_t after_ms; /* ... leave so long after the answer began */
};

struct reply {
    unsigned status;
    const char *type;    /* Content-Type, static */
    char *body;          /* malloc'd */
    size_t size;
    struct reply_step *steps; /* none: all at once */
    size_t step_count;
    size_t step_capacity;
    uint64_t delay_ms;   /* before the first byte of the head; REPLY_NEVER: hangs */
    bool drop;           /* close the connection in place of answering */
    bool reset;          /* close it after the last step, without a proper end */
    bool cut;            /* less was sent than the answer had */
    bool stream;         /* the length is not told */
    uint32_t retry_after_s;
    char *location;      /* malloc'd */
    bool out_of_memory;
};

void reply_deinit(struct reply *reply);
/* Takes over `body`. */
void reply_json(struct reply *reply, unsigned status, json_t *body);
void reply_text(struct reply *reply, unsigned status, const char *type, const char *text);
/* {"error": {"code", "message", "type"}}, as model providers and some token endpoints say it. */
void reply_error(struct reply *reply, unsigned status, const char *code, const char *type,
                 const char *message);
/* Appends bytes that leave at `after_ms`; steps are given in order of time. */
void reply_append(struct reply *reply, const char *bytes, size_t size, uint64_t after_ms);
/* Appends one server-sent event; `event` NULL: data only. Takes over `data`. */
void reply_event(struct reply *reply, const char *event, json_t *data, uint64_t after_ms);
/* A byte each `pace_ms`. */
void reply_drip(struct reply *reply, uint64_t pace_ms);
/* How many bytes may have left by now, and when the next ones may (REPLY_NEVER: none follow). */
size_t reply_released(const struct reply *reply, uint64_t elapsed_ms, uint64_t *ret_next_ms);
