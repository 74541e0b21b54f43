/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/system.h"

PROTO_DEFINE(system, SYSTEM_MESSAGES)
