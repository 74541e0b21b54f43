/* SPDX-License-Identifier: Apache-2.0 */
/* Allocators that fail on demand, put by the linker (test_failing_memory) in place of the C
 * library's, libsodium's guarded ones, and through wipe_install in place of jansson's and
 * libcurl's. */
#pragma once

#include <stdbool.h>

/* Only what is allocated while it counts can fail. */
void memory_counts(bool is);
/* From now on the k-th counted allocation fails (0: none), and all later ones when for_ever. */
void memory_fail(unsigned k, bool for_ever);
/* Counted since then. */
unsigned memory_calls(void);
