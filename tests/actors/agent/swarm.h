/* SPDX-License-Identifier: Apache-2.0 */
/* A small swarm under a runtime that is stepped by hand: a journal on a real folder, a model that
 * does as its input says, agents, and an asker that notes what it is answered.
 *
 * The model reads the last item of its input:
 *     call TOOL AGENT TEXT   answers with that call, or several, separated by " & "
 *     hold                   does not answer before swarm_release
 *     fail CODE              answers with that refusal
 *     stream                 ten deltas, then the answer
 *     (output of a tool)     "heard OUTPUT"
 *     anything else          "echo ANYTHING" */
#pragma once

#include "manual.h"
#include "agent/agent.h"
#include "support/temp_dir.h"

#define SWARM_NOTES_MAX 64

struct note {
    uint64_t tag;
    char kind[16]; /* answer, refusal, done, status, delta */
    char text[512];
    char extra[512]; /* an answer's note, a refusal's why */
    uint64_t turn;
};

struct swarm {
    struct manual manual;
    char folder[TEMP_DIR_MAX];
    struct note notes[SWARM_NOTES_MAX];
    size_t note_count;
    unsigned model_calls;
    char last_input[16384];
    char last_instructions[256];
    char last_tools[4096];
    bool journal_is_late; /* the first one: see swarm_journal */
    bool model_runs_away; /* calls a tool each time */
    uint32_t credit;      /* the asker's, for each ask */
    unsigned max_queued;  /* of each agent; 0: its default */
    bool give_credit;     /* back, for each part */
};

void swarm_open(struct swarm *swarm);  /* a new folder */
void swarm_start(struct swarm *swarm); /* the runtime and all actors */
void swarm_start_threads(struct swarm *swarm); /* the same on threads, by the real clock */
void swarm_journal(struct swarm *swarm); /* when swarm_start has left it out */
void swarm_crash(struct swarm *swarm); /* the runtime goes, the folder stays */
void swarm_close(struct swarm *swarm);

void swarm_agent(struct swarm *swarm, const char *id, const char *peers);
/* Nothing runs before swarm_run. */
void swarm_ask(struct swarm *swarm, uint64_t tag, const char *agent, const char *text);
void swarm_tell(struct swarm *swarm, uint64_t tag, const char *agent, const char *text);
void swarm_ask_as(struct swarm *swarm, uint64_t tag, const char *agent, const char *text,
                  const char *session, const char *path);
void swarm_run(struct swarm *swarm);
void swarm_release(struct swarm *swarm); /* what the model holds */
void swarm_drain(struct swarm *swarm, uint64_t tag, const char *agent);
void swarm_give_up(struct swarm *swarm, uint64_t tag);
void swarm_give_credit(struct swarm *swarm, uint64_t tag, uint32_t parts);

/* The last note of this tag that is no delta; NULL: none. */
const struct note *swarm_note(const struct swarm *swarm, uint64_t tag);
size_t swarm_count(const struct swarm *swarm, uint64_t tag, const char *kind);
/* The deltas of this tag in a row. */
void swarm_deltas(const struct swarm *swarm, uint64_t tag, char *ret_text, size_t size);
/* `type` of each transcript line, e.g. "turn answer "; the lines into ret_lines, may be NULL. */
void swarm_transcript(const struct swarm *swarm, const char *agent, const char *session,
                      char ret_types[512], char *ret_lines, size_t size);
