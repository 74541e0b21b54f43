/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/agent.h"

PROTO_DEFINE(agent, AGENT_MESSAGES)
