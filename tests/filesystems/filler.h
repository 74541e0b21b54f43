/* SPDX-License-Identifier: Apache-2.0 */
/* What fills the mounted file system to its last block. */
#pragma once

/* Data blocks first, then what directories and inodes need. 0 or negative errno. */
int filler_fill(void);
/* 0 or negative errno. Nothing to remove is fine. */
int filler_empty(void);
