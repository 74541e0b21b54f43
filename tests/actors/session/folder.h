/* SPDX-License-Identifier: Apache-2.0 */
/* A test's own folder below /tmp. */
#pragma once

/* ret_path: "/tmp/queenright-test-XXXXXX" with room for it. */
int folder_make(char ret_path[64]);
void folder_remove(const char *path); /* and all in it */
