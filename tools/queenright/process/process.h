/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: this same program, started again with another command. A child says that it
 * works by one line on a pipe (the ready line); its exit before that is the reason it does not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCESS_ARGS_MAX 16

struct process_spec {
    const char *args[PROCESS_ARGS_MAX]; /* after the program's name; ends with NULL */
    const char *log_path; /* stdout and stderr are appended there; NULL: inherited */
    bool own_session;     /* setsid, no input, and no longer a child: survives who started it */
};

/* Starts it with `--ready-fd N` appended, and with no descriptors but 0 to 2 and N. *ret_ready_fd
 * is the reading end; *ret_pid is 0 with own_session. 0 or negative errno. */
int process_spawn(const struct process_spec *spec, pid_t *ret_pid, int *ret_ready_fd);

/* Waits for the ready line (without newline). 0; -ETIMEDOUT; -ECHILD when the child ended without
 * one. Closes the descriptor. */
int process_wait_ready(int ready_fd, int timeout_ms, char *ret_line, size_t size);

/* For the child: says the line and closes the descriptor; fd < 0 does nothing. */
void process_say_ready(int ready_fd, const char *line);

int process_pidfd(pid_t pid);
