/* SPDX-License-Identifier: Apache-2.0 */
/* Agents (an actor each, under its own name), their sessions, and the journal that keeps what must
 * survive. */
#pragma once

#include "proto/schema.h"

#define AGENT_MESSAGES(X)                                                                          \
    X(0x0301, agent_ask, AGENT_ASK_FIELDS,                                                         \
      "One turn. Stream of agent_delta, then agent_answer or refusal.")                            \
    X(0x0302, agent_delta, AGENT_DELTA_FIELDS, "A piece of the answer.")                           \
    X(0x0303, agent_answer, AGENT_ANSWER_FIELDS, "The turn's answer.")                             \
    X(0x0304, agent_tell, AGENT_TELL_FIELDS,                                                       \
      "Queue a text durably for a turn of its own. Answer: done once it is on disk.")              \
    X(0x0305, agent_info, AGENT_INFO_FIELDS, "Answer: agent_state.")                               \
    X(0x0306, agent_state, AGENT_STATE_FIELDS, "One agent as it stands.")                          \
    X(0x0307, agent_reconfigure, AGENT_RECONFIGURE_FIELDS,                                         \
      "New instructions or models, from the next turn on. Answer: done.")                          \
    X(0x0308, session_state, SESSION_STATE_FIELDS,                                                 \
      "From a session to its agent, when something of this changed. In-process only.")             \
    X(0x0309, agent_drain, AGENT_DRAIN_FIELDS,                                                     \
      "Begin no turn any more, finish those at work. What is told is still queued, for the next "  \
      "start. Answer: done, when no turn is at work.")                                             \
    X(0x0310, journal_append, JOURNAL_APPEND_FIELDS,                                               \
      "Append one line and sync it. Answer: done or refusal. In-process only.")                    \
    X(0x0311, journal_load, JOURNAL_LOAD_FIELDS,                                                   \
      "Stream of journal_line parts, then journal_end or refusal. A torn last line is left out "   \
      "and cut off. A file that does not exist has no lines.")                                     \
    X(0x0312, journal_line, JOURNAL_LINE_FIELDS, "One line, without its newline.")                 \
    X(0x0313, journal_end, JOURNAL_END_FIELDS, "That was all of the file.")                        \
    X(0x0314, journal_list, JOURNAL_LIST_FIELDS,                                                   \
      "Answer: journal_names or refusal. In-process only.")                                        \
    X(0x0315, journal_names, JOURNAL_NAMES_FIELDS, "The files of a folder.")

#define AGENT_ASK_FIELDS(F)                                                                        \
    F(text, session, "session key; empty: main")                                                   \
    F(text, text, "what is said to the agent")                                                     \
    F(text, from, "who says it: user, or an agent's name")                                         \
    F(text, path, "agents that wait for this answer, comma-separated, outermost first")
#define AGENT_DELTA_FIELDS(F) F(text, text, "")
#define AGENT_ANSWER_FIELDS(F)                                                                     \
    F(text, text, "")                                                                              \
    F(text, model, "the model that answered")                                                      \
    F(text, profile, "the credential profile used")                                                \
    F(u64, turn, "number of the turn in its session, from 1")                                      \
    F(u64, input_tokens, "")                                                                       \
    F(u64, output_tokens, "")                                                                      \
    F(text, note, "e.g. that a fallback answered")
#define AGENT_TELL_FIELDS(F)                                                                       \
    F(text, session, "session key; empty: main")                                                   \
    F(text, text, "")                                                                              \
    F(text, from, "")                                                                              \
    F(text, path, "as in agent_ask")
#define AGENT_INFO_FIELDS(F) F(text, session, "empty: all")
#define AGENT_STATE_FIELDS(F)                                                                      \
    F(text, agent, "")                                                                             \
    F(text, node, "")                                                                              \
    F(text, models, "newline-separated, by preference")                                            \
    F(u64, sessions, "")                                                                           \
    F(u64, turns, "finished since start")                                                          \
    F(u64, waiting, "queued turns")                                                                \
    F(text, state, "idle, or what it is doing")                                                    \
    F(text, last_error, "")
#define AGENT_RECONFIGURE_FIELDS(F)                                                                \
    F(text, config, "the agent's entry merged with the defaults, JSON")
#define SESSION_STATE_FIELDS(F)                                                                    \
    F(text, session, "its key")                                                                    \
    F(text, state, "idle, or what it is doing")                                                    \
    F(u64, turns, "finished since start")                                                          \
    F(u64, waiting, "queued turns")                                                                \
    F(text, last_error, "of the last turn that failed; empty: none, or one went well since")
#define AGENT_DRAIN_FIELDS(F) F(text, why, "for who is refused meanwhile")
#define JOURNAL_APPEND_FIELDS(F)                                                                   \
    F(text, file, "path below the journal's root; its folders are made")                           \
    F(text, line, "one line of JSON, without newline")
#define JOURNAL_LOAD_FIELDS(F) F(text, file, "path below the journal's root")
#define JOURNAL_LINE_FIELDS(F) F(text, line, "")
#define JOURNAL_END_FIELDS(F)                                                                      \
    F(u64, lines, "that were given")                                                               \
    F(u64, torn, "bytes of a torn last line that were cut off")                                    \
    F(u64, skipped, "lines left out: not UTF-8, or too long for a message")
#define JOURNAL_LIST_FIELDS(F) F(text, folder, "path below the journal's root")
#define JOURNAL_NAMES_FIELDS(F)                                                                    \
    F(text, names, "newline-separated, last changed first, at most 256")

PROTO_DECLARE(agent, AGENT_MESSAGES)
