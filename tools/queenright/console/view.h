/* SPDX-License-Identifier: Apache-2.0 */
/* How the console shows things, on a screen (screen.h) or as lines.
 * Keeps the last known state of each login, to see what changed. Used by the console actor only. */
#pragma once

#include "proto/token.h"
#include "queenright/console/console.h"

struct console_view;

struct console_rotation {
    uint64_t steps;  /* generations since the last look */
    uint64_t waited; /* requests that waited for the last one */
};

struct console_view *console_view_new(const struct console_options *options);
void console_view_free(struct console_view *view); /* NULL is allowed; leaves the screen tidy */

/* The i-th agent that is known; NULL: there are no more. Those of a practice swarm stay as they
 * are. */
const char *console_view_agent(const struct console_view *view, size_t i);

void console_view_event(struct console_view *view, const char *line);
void console_view_ask(struct console_view *view, const char *agent, const char *text);
void console_view_delta(struct console_view *view, const char *agent, struct proto_text text);
void console_view_answer(struct console_view *view, const char *agent, struct proto_text text,
                         struct proto_text note);
void console_view_failure(struct console_view *view, const char *agent, struct proto_text why);
/* True when its generation has moved on since the last call; then *ret_rotation says how. */
bool console_view_login(struct console_view *view, const struct token_profile *profile,
                        struct console_rotation *ret_rotation);
/* Where an agent is; a new one is added. */
void console_view_place(struct console_view *view, const char *agent, const char *node,
                        const char *models);
/* All agents have been placed: those that were not since the last call are gone. */
void console_view_placed(struct console_view *view);
void console_view_state(struct console_view *view, const char *agent, const char *state,
                        uint64_t turns, const char *last_error);
void console_view_process(struct console_view *view, const char *name, const char *state, int pid);
void console_view_draw(struct console_view *view, int64_t wall_ms);
