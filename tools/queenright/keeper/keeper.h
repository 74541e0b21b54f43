/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper process. */
#pragma once

#include "queenright/cli/command.h"

int cmd_keeper(struct command_call *call);
