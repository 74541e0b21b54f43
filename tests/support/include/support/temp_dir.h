/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test's own, and its end. */
#pragma once

#include <stddef.h>

#define TEMP_DIR_MAX 64

/* Makes it, mode 0700. 0 or negative errno. */
int temp_dir_make(char ret_path[TEMP_DIR_MAX]);
/* In memory where there is such a place: for thousands of syncs that are not the point. */
int temp_dir_make_in_memory(char ret_path[TEMP_DIR_MAX]);
/* With all that is in it, whatever the modes; symbolic links are not followed. */
void temp_dir_remove(const char *path);
