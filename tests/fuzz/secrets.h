/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in ordinary memory: many a second, and with a sanitizer's borders around them. */
#pragma once

#include "token/secret.h"

const struct secret_memory *fuzz_secret_memory(void);
struct secret *fuzz_secret(const void *bytes, size_t size);
