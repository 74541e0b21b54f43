/* SPDX-License-Identifier: Apache-2.0 */
#include "support/temp_dir.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int temp_dir_make(char ret_path[TEMP_DIR_MAX])
{
    const char *base = getenv("TMPDIR");

    snprintf(ret_path, TEMP_DIR_MAX, "%.32s/queenright-test-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(ret_path) == NULL ? -errno : 0;
}

int temp_dir_make_in_memory(char ret_path[TEMP_DIR_MAX])
{
    if (getenv("TMPDIR") != NULL)
        return temp_dir_make(ret_path);
    snprintf(ret_path, TEMP_DIR_MAX, "/dev/shm/queenright-test-XXXXXX");
    return mkdtemp(ret_path) == NULL ? temp_dir_make(ret_path) : 0;
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *walk)
{
    (void)stat;
    (void)flag;
    (void)walk;
    remove(path);
    return 0;
}

void temp_dir_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
