/* SPDX-License-Identifier: Apache-2.0 */
/* What the screen knows, shared by its data side (screen.c) and its layout (layout.c). */
#pragma once

#include "queenright/screen/screen.h"
#include "queenright/screen/text.h"

#define SCREEN_EVENTS_MAX 128
#define SCREEN_NAME_MAX 96
#define SCREEN_TEXT_MAX 1024

struct screen_process {
    char name[SCREEN_NAME_MAX];
    char state[32];
    int pid;
};

struct screen_agent {
    char id[SCREEN_NAME_MAX];
    char node[SCREEN_NAME_MAX];
    char model[SCREEN_NAME_MAX];
    char state[64];
    uint64_t turns;
    char text[SCREEN_TEXT_MAX]; /* the end of the answer, when it is longer */
    size_t text_size;
};

struct screen_login_row {
    char profile[SCREEN_NAME_MAX];
    char account[SCREEN_NAME_MAX];
    char state[32];
    char reason[SCREEN_NAME_MAX];
    uint64_t generation, generation_before; /* before: 0 until it rotated once here */
    uint64_t refreshes, waited, waiters;
    int64_t expires_at_ms, cooling_until_ms;
    int64_t life_ms;    /* of the access token, as seen when it was new */
    int64_t rotated_ms; /* when we saw it; 0: the next draw says */
    bool rotated;
};

struct screen_event_line {
    int64_t at_ms; /* 0: the next draw says */
    char *text;
};

struct screen_view {
    unsigned columns, rows;
    bool colour, ascii;
    int64_t wall_ms;
};

struct screen {
    char swarm[SCREEN_NAME_MAX];
    bool practice;
    int64_t started_ms; /* first draw */
    struct screen_process *processes;
    size_t process_count;
    struct screen_agent *agents;
    size_t agent_count;
    struct screen_login_row *logins;
    size_t login_count;
    struct screen_event_line events[SCREEN_EVENTS_MAX]; /* a ring */
    size_t event_count; /* ever */

    /* How it gets out. */
    int fd;
    int out; /* our own description of the terminal, not blocking; -1: none */
    bool live, colour, ascii, dirty;
    int64_t drawn_ms; /* last frame */
    unsigned columns, rows; /* of the last frame */
    char **shown;           /* its rows */
    char *pending;          /* bytes the terminal has not taken yet */
    size_t pending_size, pending_at;
};

/* The rows of one frame: view->rows texts, malloc'd. NULL without memory. */
char **screen_layout(struct screen *screen, const struct screen_view *view);
