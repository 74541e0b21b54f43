/* SPDX-License-Identifier: Apache-2.0 */
/* The disk port: every system call the file store makes. Tests replace it to fail the k-th call or
 * to enumerate what a crash may leave behind; nothing in the store goes around it.
 *
 * Each function returns a negative errno on failure. `dir` is a descriptor from open, or AT_FDCWD
 * for a path. Descriptors are the implementation's own numbers, >= 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct disk_port {
    int (*open)(const struct disk_port *disk, int dir, const char *name, int flags, mode_t mode);
    int (*close)(const struct disk_port *disk, int fd);
    int (*stat)(const struct disk_port *disk, int fd, struct stat *ret_stat);
    ssize_t (*read)(const struct disk_port *disk, int fd, void *ret_bytes, size_t size, off_t at);
    ssize_t (*write)(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                     off_t at); /* may be short; at the end for a file opened O_APPEND */
    int (*allocate)(const struct disk_port *disk, int fd, off_t size);
    int (*sync)(const struct disk_port *disk, int fd); /* a file or a directory */
    int (*rename)(const struct disk_port *disk, int dir, const char *from, const char *to);
    int (*unlink)(const struct disk_port *disk, int dir, const char *name);
    int (*mkdir)(const struct disk_port *disk, int dir, const char *name, mode_t mode);
    int (*lock)(const struct disk_port *disk, int fd); /* exclusive; -EWOULDBLOCK: someone has it */
    int (*list)(const struct disk_port *disk, int dir, void *arg,
                void (*each)(void *arg, const char *name)); /* without . and .. */
    int64_t (*wall_ms)(const struct disk_port *disk);
    /* The machine's id; "" when it has none. */
    void (*machine)(const struct disk_port *disk, char *ret_text, size_t size);
    /* Who we are, in one line: pid, start time, boot id. */
    void (*self)(const struct disk_port *disk, char *ret_text, size_t size);
};

const struct disk_port *disk_real(void);

/* Whole reads and writes, with interrupted and short ones continued. 0 or negative errno; what is
 * read may end early, *ret_size says where. */
int disk_write_all(const struct disk_port *disk, int fd, const void *bytes, size_t size, off_t at);
int disk_read_all(const struct disk_port *disk, int fd, void *ret_bytes, size_t size,
                  size_t *ret_size);
