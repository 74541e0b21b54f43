/* SPDX-License-Identifier: Apache-2.0 */
/* The store port in memory, for tests and the simulator.
 *
 * A memory_disk outlives the stores opened on it, as a disk outlives processes: close a store and
 * open another one on the same disk, and that was a restart. */
#pragma once

#include "token/store.h"

struct memory_disk;

struct memory_disk *memory_disk_new(void);
void memory_disk_free(struct memory_disk *disk); /* its stores are closed before */
/* What lies on it now, its audit apart, as a disk of its own; a store may be open on it. Aborts
 * without memory. */
struct memory_disk *memory_disk_copy(const struct memory_disk *disk);
struct store_port *store_memory_new(struct memory_disk *disk);

/* The call number `at` from now (1: the next) fails with -error; with `for_ever` all later ones
 * too. A failed call changes nothing. at 0: heal. Counted are all calls that would write. */
void memory_disk_fail(struct memory_disk *disk, unsigned at, int error, bool for_ever);
unsigned memory_disk_calls(const struct memory_disk *disk); /* that would write, so far */

/* The next open reports STORE_COPIED, until adopt. */
void memory_disk_mark_copied(struct memory_disk *disk);
/* Line i of the audit log; NULL past its end. */
const char *memory_disk_audit(const struct memory_disk *disk, size_t i);
