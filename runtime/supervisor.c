/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"
const struct actor_ops supervisor_ops = {.name = "supervisor"};
