/* SPDX-License-Identifier: Apache-2.0 */
/* Between struct message (in this process) and struct frame_message (on a link). Deadlines are
 * absolute inside a process and time left between processes, whose clocks need not agree. */
#pragma once

#include "frame.h"
#include "runtime/message.h"

/* Borrows the message's body and both names; NULL or "" is none. */
void frame_from_message(struct frame_message *ret_frame, const struct message *message,
                        const char *to_name, const char *from_name, uint64_t now_ns);
/* A copy with its own body. NULL without memory. */
struct message *frame_to_message(const struct frame_message *frame, uint64_t now_ns);
