/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into and steering processes: actor "control" in every process, actor "swarm" in the
 * process that `queenright up` is. */
#pragma once

#include "proto/schema.h"

#define CONTROL_MESSAGES(X)                                                                        \
    X(0x0401, control_ls, CONTROL_LS_FIELDS, "Stream of control_actor, then done.")                \
    X(0x0402, control_actor, CONTROL_ACTOR_FIELDS, "One actor.")                                   \
    X(0x0403, control_show, CONTROL_SHOW_FIELDS,                                                   \
      "Stream of control_fact, then done; refusal when there is no such actor.")                   \
    X(0x0404, control_fact, CONTROL_FACT_FIELDS, "One fact about an actor or process.")            \
    X(0x0405, control_tap, CONTROL_TAP_FIELDS, "Stream of control_event until limit or cancel.")   \
    X(0x0406, control_event, CONTROL_EVENT_FIELDS, "One message that was seen.")                   \
    X(0x0407, control_drops, CONTROL_DROPS_FIELDS, "Stream of control_drop, then done.")           \
    X(0x0408, control_drop, CONTROL_DROP_FIELDS, "Messages that did not arrive, by reason.")       \
    X(0x0409, control_links, CONTROL_LINKS_FIELDS, "Stream of control_link, then done.")           \
    X(0x040a, control_link, CONTROL_LINK_FIELDS, "One link to another process.")                   \
    X(0x040b, control_info, CONTROL_INFO_FIELDS, "Answer: control_process.")                       \
    X(0x040c, control_process, CONTROL_PROCESS_FIELDS, "One process.")                             \
    X(0x0420, swarm_reload, SWARM_RELOAD_FIELDS,                                                   \
      "To actor swarm: check the file and apply what changed. Stream of control_fact, one a "      \
      "change; then done or refusal, and nothing has changed.")                                    \
    X(0x0421, swarm_apply, SWARM_APPLY_FIELDS,                                                     \
      "To a node's actor node: make the node as the accepted config says. Answer: done.")          \
    X(0x0422, swarm_down, SWARM_DOWN_FIELDS, "Drain and stop. Answer: done, then the end.")        \
    X(0x0423, swarm_status, SWARM_STATUS_FIELDS,                                                   \
      "To actor swarm: stream of swarm_process and swarm_agent, then done.")                       \
    X(0x0424, swarm_process, SWARM_PROCESS_FIELDS, "One process of the swarm.")                    \
    X(0x0425, swarm_agent, SWARM_AGENT_FIELDS, "Where one agent is.")

#define CONTROL_LS_FIELDS(F) F(text, pattern, "glob over names and kinds; empty: all")
#define CONTROL_ACTOR_FIELDS(F)                                                                    \
    F(text, name, "")                                                                              \
    F(text, kind, "")                                                                              \
    F(text, state, "idle, queued, running, stopping")                                              \
    F(u64, queued, "messages waiting")                                                             \
    F(u64, limit, "of the mailbox")                                                                \
    F(u64, oldest_ms, "age of the oldest waiting")                                                 \
    F(u64, handled, "messages since start")                                                        \
    F(u64, busy_us, "time in handlers since start")                                                \
    F(u64, open_in, "requests it still owes an answer")                                            \
    F(u64, open_out, "answers it waits for")                                                       \
    F(u64, restarts, "")                                                                           \
    F(text, supervisor, "")                                                                        \
    F(u64, incarnation, "")                                                                        \
    F(text, node, "process it lives in")
#define CONTROL_SHOW_FIELDS(F) F(text, actor, "name")
#define CONTROL_FACT_FIELDS(F)                                                                     \
    F(text, section, "e.g. mailbox, messages, open, ring, state")                                  \
    F(text, name, "")                                                                              \
    F(text, text, "")
#define CONTROL_TAP_FIELDS(F)                                                                      \
    F(text, actor, "name; empty: all")                                                             \
    F(u64, limit, "messages; 0: until cancelled")                                                  \
    F(boolean, bodies, "show bodies too, secrets redacted")                                        \
    F(text, type, "only this message; empty: all")
#define CONTROL_EVENT_FIELDS(F)                                                                    \
    F(text, from, "")                                                                              \
    F(text, to, "")                                                                                \
    F(text, type, "message name")                                                                  \
    F(text, kind, "tell, request, answer, part, status")                                           \
    F(u64, request, "")                                                                            \
    F(u64, trace, "")                                                                              \
    F(u64, size, "bytes of body")                                                                  \
    F(u64, waited_us, "time in the mailbox, where known")                                          \
    F(u64, lost, "events not shown since the last one")                                            \
    F(text, body, "printed; empty without bodies")                                                 \
    F(i64, at_ms, "Unix ms")
#define CONTROL_DROPS_FIELDS(F) F(text, reason, "only this; empty: all")
#define CONTROL_DROP_FIELDS(F)                                                                     \
    F(text, reason, "")                                                                            \
    F(text, type, "")                                                                              \
    F(text, from, "")                                                                              \
    F(text, to, "")                                                                                \
    F(u64, count, "")                                                                              \
    F(u64, last_age_ms, "")                                                                        \
    F(text, node, "")
#define CONTROL_LINKS_FIELDS(F) F(text, peer, "only this; empty: all")
#define CONTROL_LINK_FIELDS(F)                                                                     \
    F(text, peer, "")                                                                              \
    F(text, kind, "node, keeper, client")                                                          \
    F(text, state, "")                                                                             \
    F(text, endpoint, "")                                                                          \
    F(u64, queued, "")                                                                             \
    F(u64, messages_in, "")                                                                        \
    F(u64, messages_out, "")                                                                       \
    F(u64, gaps, "")                                                                               \
    F(u64, drops, "")                                                                              \
    F(u64, reconnects, "")                                                                         \
    F(u64, rtt_us, "")                                                                             \
    F(u64, pid, "")                                                                                \
    F(text, node, "")
#define CONTROL_INFO_FIELDS(F) F(text, what, "empty")
#define CONTROL_PROCESS_FIELDS(F)                                                                  \
    F(text, name, "")                                                                              \
    F(text, kind, "keeper, node, up")                                                              \
    F(text, version, "program version")                                                            \
    F(u64, pid, "")                                                                                \
    F(i64, started_ms, "Unix ms")                                                                  \
    F(u64, actors, "")                                                                             \
    F(u64, drops, "")                                                                              \
    F(text, swarms, "that it serves, comma-separated")                                             \
    F(text, config, "the file it runs on")
#define SWARM_RELOAD_FIELDS(F) F(text, config, "path; empty: the one it was started with")
#define SWARM_APPLY_FIELDS(F)                                                                      \
    F(text, config, "path of the accepted config")                                                 \
    F(u64, step, "1: stop what no longer belongs here; 2: start and change the rest")
#define SWARM_DOWN_FIELDS(F) F(u64, drain_ms, "time turns may take to finish; 0: the default")
#define SWARM_STATUS_FIELDS(F) F(text, what, "empty")
#define SWARM_PROCESS_FIELDS(F)                                                                    \
    F(text, name, "")                                                                              \
    F(text, kind, "keeper, node, practice")                                                        \
    F(text, state, "starting, up, down, restarting")                                               \
    F(u64, pid, "")                                                                                \
    F(u64, restarts, "")                                                                           \
    F(text, endpoint, "")                                                                          \
    F(text, note, "")
#define SWARM_AGENT_FIELDS(F)                                                                      \
    F(text, agent, "")                                                                             \
    F(text, node, "")                                                                              \
    F(text, models, "newline-separated, by preference")                                            \
    F(text, endpoint, "socket of its node")

PROTO_DECLARE(control, CONTROL_MESSAGES)
