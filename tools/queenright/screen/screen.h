/* SPDX-License-Identifier: Apache-2.0 */
/* The live screen of `up`: who runs, what the agents say, how the logins rotate, what happened.
 *
 * Facts come in by the calls below, in any order; screen_draw shows them. It draws at most ten
 * times a second and only when something differs, line by line, so that a quiet swarm writes
 * nothing but its clock. Plain ANSI; the size is asked for at each draw, so a resize needs no
 * signal. Writing never blocks: what a stopped terminal does not take is kept and sent later.
 *
 * When fd is no terminal (or TERM is dumb) events become lines and the rest is silent. All text is
 * untrusted: control characters, and with them escape sequences, never reach the terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct screen;

struct screen_login {
    const char *profile;
    const char *account;    /* may be empty */
    const char *state;      /* valid, refreshing, needs_login, ... */
    const char *reason;     /* may be empty */
    uint64_t generation;
    int64_t expires_at_ms;  /* Unix ms; 0: never */
    int64_t cooling_until_ms; /* Unix ms; 0: not cooling */
    uint64_t refreshes;     /* that succeeded */
    uint64_t waited;        /* requests that waited for the last one */
    uint64_t waiters;       /* that wait now */
};

/* fd is borrowed; -1 writes nowhere. NULL without memory. */
struct screen *screen_new(int fd, const char *swarm, bool practice);
/* Puts the cursor below the last frame, which stays visible. NULL is allowed. */
void screen_free(struct screen *screen);
/* False: lines instead of frames. */
bool screen_is_live(const struct screen *screen);

void screen_set_process(struct screen *screen, const char *name, const char *state, int pid);
/* `models` as in model_call: the first is shown. `text` is the answer so far; NULL keeps it. */
void screen_set_agent(struct screen *screen, const char *id, const char *node, const char *models,
                      const char *state, uint64_t turns, const char *text);
/* A piece of an answer; appended. */
void screen_add_agent_text(struct screen *screen, const char *id, const char *text, size_t size);
void screen_remove_agent(struct screen *screen, const char *id);
void screen_set_login(struct screen *screen, const struct screen_login *login);
void screen_event(struct screen *screen, const char *line);

/* Shows what is known at this time (Unix ms). Answers after how many ms it is worth calling again
 * though nothing was set: clocks move. */
uint64_t screen_draw(struct screen *screen, int64_t wall_ms);
/* The frame as text without colours, rows separated by newlines, malloc'd. */
char *screen_print(struct screen *screen, int64_t wall_ms, unsigned columns, unsigned rows);
