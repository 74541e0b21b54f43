/* SPDX-License-Identifier: Apache-2.0 */
/* What the auth commands and `status` share. */
#pragma once

#include "queenright/cli/command.h"

/* The table of logins; 0, EXIT_CODE_FAILED when one needs a login, EXIT_CODE_SOON when one is not
 * well. `profile` NULL: all. */
int auth_print_logins(const struct command_call *call, const char *profile);
