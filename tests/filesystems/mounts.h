/* SPDX-License-Identifier: Apache-2.0 */
/* A file system on the recorded disk, in a mount namespace of our own.
 *
 * All mounts are made where nobody else sees them, and go with this process: the namespace ends,
 * the kernel unmounts what is in it, and the loop device, which clears itself, is free. Nothing is
 * to be tidied up after a kill. */
#pragma once

#include "block_disk.h"

#define MOUNTS_REASON_MAX 200

struct filesystem {
    const char *name;     /* that of this test */
    const char *type;     /* that of the kernel */
    uint64_t size;
    size_t atomic;        /* bytes that it takes for written whole or not at all, in one write */
    bool is_mixed;        /* one space for all, so that even a rename may find it full */
    const char *mkfs[16]; /* with arguments; the file's name is put last */
    const char *options;  /* of mount */
};

struct mounts {
    const struct filesystem *filesystem;
    struct block_disk *disk;
    pid_t server;
    char loop[32];
    bool is_attached;               /* the last mount had a loop device */
    char reason[MOUNTS_REASON_MAX]; /* of the last failure */
};

#define MOUNT_POINT "/mnt/filesystem" /* in the namespace */
#define STATE_DIR MOUNT_POINT "/state"

/* NULL: there is none of that name. */
const struct filesystem *filesystem_find(const char *name);

/* Makes the namespace, the file system and the disk that it lies on. 0; or negative errno with the
 * reason: this machine does not let us. */
int mounts_open(struct mounts *mounts, const struct filesystem *filesystem);
void mounts_close(struct mounts *mounts);

/* 0 or negative errno, with the reason. */
int mounts_mount(struct mounts *mounts);
/* Unmounts; what the file system had not written before is dropped, as far as it lets us. */
int mounts_unmount(struct mounts *mounts);
