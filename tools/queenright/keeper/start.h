/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper as its users see it: make sure that one runs, and where it listens. */
#pragma once

#include <stddef.h>

#include "queenright/process/paths.h"
#include "runtime/link.h"

/* Adopts a living keeper of this state directory and version, drains and replaces one of another
 * version, starts one when none runs. 0 when one answers, and *ret_client is the caller's to close;
 * negative errno with a sentence in ret_why (may be NULL). */
int keeper_open(const struct paths *paths, struct link_client **ret_client, char *ret_why,
                size_t size);
/* The same for who asks nothing. */
int keeper_start(const struct paths *paths, char *ret_why, size_t size);

/* For who may not wait, and looks again later: starts one where none listens, unless the one begun
 * before is still starting. *ready_fd is the caller's to keep, -1 at first, and to close. 0, or
 * negative errno with a sentence: none could be started, or the one begun before said why not. */
int keeper_spawn(const struct paths *paths, int *ready_fd, char *ret_why, size_t size);
