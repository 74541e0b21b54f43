/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/model.h"

PROTO_DEFINE(model, MODEL_MESSAGES)
