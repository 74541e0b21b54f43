/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/token.h"

PROTO_DEFINE(token, TOKEN_MESSAGES)
