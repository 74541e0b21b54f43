/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/config/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_new(const char *path, const char *text)
{
    size_t length = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;
    ssize_t written;

    if (fd < 0)
        return -errno;
    written = write(fd, text, length);
    if (written < 0)
        rc = -errno;
    else if ((size_t)written < length)
        rc = -ENOSPC;
    else if (fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

int accept_config(const struct config *config, const char *path)
{
    char next[PATH_MAX], *text = config_json(config);
    int rc = text ? 0 : -ENOMEM;

    if (rc == 0 && snprintf(next, sizeof(next), "%s.%d", path, getpid()) >= (int)sizeof(next))
        rc = -ENAMETOOLONG;
    if (rc == 0)
        rc = write_new(next, text);
    if (rc == 0 && rename(next, path) < 0)
        rc = -errno;
    if (rc < 0 && text)
        unlink(next);
    free(text);
    return rc;
}
