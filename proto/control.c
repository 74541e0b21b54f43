/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/control.h"

PROTO_DEFINE(control, CONTROL_MESSAGES)
