/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mounts.h"

#define MIB ((uint64_t)1 << 20)
#define ROOT "/mnt" /* a tmpfs comes over it, in our namespace only */
#define BLANK ROOT "/blank"
#define DISK_FILE ROOT "/disk"
#define LOOP_TRIES 50

/* Sizes are about the smallest that mkfs takes. The superblock of btrfs is 4 KiB, without a
 * journal: torn in a sector it leaves a file system that nobody can mount. */
static const struct filesystem filesystems[] = {
    {"ext4", "ext4", 32 * MIB, 512, false,
     {"mkfs.ext4", "-q", "-F", "-b", "4096", "-E",
      "lazy_itable_init=0,lazy_journal_init=0,nodiscard"}, ""},
    {"xfs", "xfs", 300 * MIB, 512, false, {"mkfs.xfs", "-q", "-f", "-K"}, ""},
    {"btrfs", "btrfs", 128 * MIB, 4096, false, {"mkfs.btrfs", "-q", "-f", "-K"}, ""},
    /* Not what a distribution makes; for the long form. */
    {"ext4-writeback", "ext4", 32 * MIB, 512, false,
     {"mkfs.ext4", "-q", "-F", "-b", "4096", "-E",
      "lazy_itable_init=0,lazy_journal_init=0,nodiscard"}, "data=writeback,noauto_da_alloc"},
    {"btrfs-mixed", "btrfs", 48 * MIB, 4096, true, {"mkfs.btrfs", "-q", "-f", "-K", "-M"}, ""},
};

#define FILESYSTEM_COUNT (sizeof(filesystems) / sizeof(*filesystems))

const struct filesystem *filesystem_find(const char *name)
{
    for (size_t i = 0; i < FILESYSTEM_COUNT; i++) {
        if (strcmp(filesystems[i].name, name) == 0) {
            return &filesystems[i];
        }
    }
    return NULL;
}

__attribute__((format(printf, 3, 4)))
static int fail(struct mounts *mounts, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(mounts->reason, sizeof(mounts->reason), format, arguments);
    va_end(arguments);
    snprintf(mounts->reason + length, sizeof(mounts->reason) - (size_t)length, ": %s",
             strerrordesc_np(-error));
    return error;
}

/* ---- making the file system ---- */

static bool is_known(const char *type)
{
    char line[128], name[64];
    bool found = false;
    FILE *file = fopen("/proc/filesystems", "re");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        found = sscanf(line, "%*[^\t]\t%63s", name) == 1 || sscanf(line, "\t%63s", name) == 1;
        found = found && strcmp(name, type) == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static int run_mkfs(struct mounts *mounts)
{
    const struct filesystem *filesystem = mounts->filesystem;
    char *arguments[20], path[] = BLANK;
    size_t count = 0;
    while (filesystem->mkfs[count] != NULL) {
        arguments[count] = (char *)(uintptr_t)filesystem->mkfs[count];
        count++;
    }
    arguments[count] = path;
    arguments[count + 1] = NULL;
    static char search[] = "PATH=/usr/sbin:/sbin:/usr/bin:/bin";
    char *environment[] = {search, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    char programs[3][64];
    static const char *const folders[] = {"/usr/sbin", "/sbin", "/usr/bin"};
    int error = ENOENT, status = 0;
    pid_t pid = 0;
    for (size_t i = 0; i < 3 && error == ENOENT; i++) {
        snprintf(programs[i], sizeof(programs[i]), "%s/%s", folders[i], filesystem->mkfs[0]);
        error = posix_spawn(&pid, programs[i], &actions, NULL, arguments, environment);
    }
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        return fail(mounts, -error, "no %s here", filesystem->mkfs[0]);
    }
    if (waitpid(pid, &status, 0) < 0 || status != 0) {
        return fail(mounts, -EIO, "%s says no", filesystem->mkfs[0]);
    }
    return 0;
}

static int make_file(const char *path, uint64_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int error = fd < 0 || ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

static int enter_namespace(struct mounts *mounts)
{
    if (unshare(CLONE_NEWNS) < 0) {
        return fail(mounts, -errno, "no mount namespace of our own");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("queenright", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0 ||
        mkdir(MOUNT_POINT, 0700) < 0) {
        return fail(mounts, -errno, "no tmpfs over " ROOT);
    }
    return 0;
}

int mounts_open(struct mounts *mounts, const struct filesystem *filesystem)
{
    *mounts = (struct mounts){.filesystem = filesystem};
    if (!is_known(filesystem->type)) {
        return fail(mounts, -ENODEV, "the kernel has no %s", filesystem->type);
    }
    if (access("/dev/loop-control", R_OK | W_OK) < 0) {
        return fail(mounts, -errno, "no /dev/loop-control");
    }
    int error = enter_namespace(mounts);
    if (error < 0) {
        return error;
    }
    error = make_file(BLANK, filesystem->size);
    error = error < 0 ? error : make_file(DISK_FILE, 0);
    if (error < 0) {
        return fail(mounts, error, "cannot make files in " ROOT);
    }
    error = run_mkfs(mounts);
    if (error < 0) {
        return error;
    }
    mounts->disk = block_disk_new(filesystem->size);
    error = mounts->disk == NULL ? -ENOMEM : block_disk_load(mounts->disk, BLANK);
    unlink(BLANK);
    if (error < 0) {
        return fail(mounts, error, "cannot load the new file system");
    }
    mounts->server = block_disk_serve(mounts->disk, DISK_FILE);
    return mounts->server < 0 ? fail(mounts, mounts->server, "no FUSE mount") : 0;
}

void mounts_close(struct mounts *mounts)
{
    umount2(DISK_FILE, MNT_DETACH);
    if (mounts->server > 0) {
        kill(mounts->server, SIGKILL);
        waitpid(mounts->server, NULL, 0);
    }
    if (mounts->disk != NULL) {
        block_disk_free(mounts->disk);
    }
}

/* ---- mounting it ---- */

/* A loop device on the disk. It is cleared when the last user closes it. */
static int attach(struct mounts *mounts, int *ret_fd)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int file = open(DISK_FILE, O_RDWR | O_CLOEXEC);
    int error = control < 0 || file < 0 ? -errno : -EBUSY;
    for (int i = 0; i < LOOP_TRIES && error == -EBUSY; i++) { /* others look for a free one, too */
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(mounts->loop, sizeof(mounts->loop), "/dev/loop%d", number);
        int loop = number < 0 ? -1 : open(mounts->loop, O_RDWR | O_CLOEXEC);
        struct loop_config config = {.fd = (uint32_t)file,
                                     .info.lo_flags = LO_FLAGS_AUTOCLEAR};
        error = loop < 0 || ioctl(loop, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
        if (error == 0) {
            *ret_fd = loop;
        } else if (loop >= 0) {
            close(loop);
        }
    }
    if (control >= 0) {
        close(control);
    }
    if (file >= 0) {
        close(file);
    }
    return error < 0 ? fail(mounts, error, "no loop device") : 0;
}

int mounts_mount(struct mounts *mounts)
{
    int loop = -1;
    int error = attach(mounts, &loop);
    mounts->is_attached = error == 0;
    if (error < 0) {
        return error;
    }
    if (mount(mounts->loop, MOUNT_POINT, mounts->filesystem->type, MS_NOSUID | MS_NODEV,
              mounts->filesystem->options) < 0) {
        error = fail(mounts, -errno, "%s cannot be mounted", mounts->filesystem->name);
    }
    close(loop);
    return error;
}

int mounts_unmount(struct mounts *mounts)
{
    return umount2(MOUNT_POINT, 0) < 0 ? fail(mounts, -errno, "cannot unmount") : 0;
}
