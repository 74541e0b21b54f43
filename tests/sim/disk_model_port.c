/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the disk model. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk_model_inner.h"

#define NONE UINT32_MAX

/* Ports are handed round as const; this one changes. */
static struct disk_model *model_of(const struct disk_port *disk)
{
    return (struct disk_model *)(uintptr_t)disk;
}

/* What is the matter with a call. */
struct hit {
    int before, after; /* it fails before, or after, it has done something */
    bool is_short;
};

static struct hit next_call(struct disk_model *model)
{
    struct hit hit = {0};
    model->calls++;
    for (size_t i = 0; i < DISK_FAULTS_MAX; i++) {
        const struct disk_fault *fault = &model->faults[i];
        if (fault->at == 0 || model->calls < fault->at ||
            (fault->times != 0 && model->calls - fault->at >= fault->times)) {
            continue;
        }
        hit.is_short = hit.is_short || fault->late || fault->error == 0;
        *(fault->late ? &hit.after : &hit.before) = -fault->error;
    }
    return hit;
}

static void changed(struct disk_model *model, const char *call, const char *name)
{
    if (model->changed != NULL) {
        model->changed(model->arg, call, name);
    }
}

static unsigned number_of(const struct disk_model *model, int fd)
{
    assert(fd >= 0 && fd < 64 && model->fds[fd].inode != 0);
    return model->fds[fd].inode - 1;
}

static struct model_inode *inode_of(struct disk_model *model, int fd)
{
    return &model->inodes[number_of(model, fd)];
}

/* 0, or -EBADF when it was not opened for that. */
static int may(const struct disk_model *model, int fd, int mode)
{
    int opened = model->fds[fd].flags & O_ACCMODE;
    return opened == O_RDWR || opened == mode ? 0 : -EBADF;
}

static unsigned find(const struct disk_model *model, unsigned dir, unsigned name)
{
    struct model_entries entries;
    inode_entries(&model->inodes[dir], &entries);
    for (unsigned i = 0; i < entries.count; i++) {
        if (entries.list[i].name == name) {
            return entries.list[i].inode;
        }
    }
    return NONE;
}

/* One that leads there, for people. */
static const char *name_of(const struct disk_model *model, int fd)
{
    unsigned inode = number_of(model, fd);
    for (unsigned dir = 0; dir < model->inode_count; dir++) {
        struct model_entries entries = {.count = 0};
        if (model->inodes[dir].directory) {
            inode_entries(&model->inodes[dir], &entries);
        }
        for (unsigned i = 0; i < entries.count; i++) {
            if (entries.list[i].inode == inode) {
                return model->names->texts[entries.list[i].name];
            }
        }
    }
    return inode == 0 ? "/" : "?";
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length >= size && strcmp(text + length - size, end) == 0;
}

/* The directory and the last part of a path. */
static int walk(struct disk_model *model, int dir, const char *path, unsigned *ret_dir,
                char ret_name[256])
{
    unsigned at = dir == AT_FDCWD ? 0 : number_of(model, dir);
    for (;;) {
        while (*path == '/') {
            path++;
        }
        size_t length = strcspn(path, "/");
        snprintf(ret_name, 256, "%.*s", length == 0 ? 1 : (int)length, length == 0 ? "." : path);
        path += length;
        while (*path == '/') {
            path++;
        }
        if (*path == '\0') {
            *ret_dir = at;
            return 0;
        }
        at = strcmp(ret_name, ".") == 0 ? at : find(model, at, model_name(model->names, ret_name));
        if (at == NONE || !model->inodes[at].directory) {
            return at == NONE ? -ENOENT : -ENOTDIR;
        }
    }
}

/* With the record rewritten in place, what is to be renamed over it is the record itself. */
static void replant(const struct disk_model *model, char name[256])
{
    char *dot = strchr(name, '.');
    if (model->bug == BUG_REWRITTEN && dot != NULL && ends_with(name, ".next")) {
        snprintf(dot, 256 - (size_t)(dot - name), ".record");
    }
}

static bool is_late(const struct disk_model *model, const char *name)
{
    return model->bug == BUG_MADE_LATE && (ends_with(name, ".answer") || ends_with(name, ".next"));
}

static int make_file(struct disk_model *model, unsigned parent, unsigned id, unsigned *ret_inode)
{
    if (model->full) {
        return -ENOSPC;
    }
    *ret_inode = model_add_inode(model, false);
    if (is_late(model, model->names->texts[id])) {
        model->inodes[*ret_inode].late_dir = parent + 1;
        model->inodes[*ret_inode].late_name = id;
        return 0;
    }
    inode_add_op(&model->inodes[parent],
                 (struct model_op){.kind = OP_LINK, .name = id, .inode = *ret_inode});
    return 0;
}

static int take_fd(struct disk_model *model, unsigned inode, int flags)
{
    bool is_dir = model->inodes[inode].directory;
    if (is_dir ? (flags & (O_ACCMODE | O_CREAT)) != O_RDONLY : (flags & O_DIRECTORY) != 0) {
        return is_dir ? -EISDIR : -ENOTDIR;
    }
    for (int fd = 0; fd < 64; fd++) {
        if (model->fds[fd].inode == 0) {
            model->fds[fd] = (struct model_fd){.inode = inode + 1, .flags = flags};
            return fd;
        }
    }
    return -EMFILE;
}

static int model_open(const struct disk_port *disk, int dir, const char *path, int flags,
                      mode_t mode)
{
    struct disk_model *model = model_of(disk);
    char name[256];
    unsigned parent = 0, inode;
    (void)mode;
    struct hit hit = next_call(model);
    int error = hit.before < 0 ? hit.before : walk(model, dir, path, &parent, name);
    if (error < 0) {
        return error;
    }
    replant(model, name);
    unsigned id = model_name(model->names, name);
    inode = strcmp(name, ".") == 0 ? parent : find(model, parent, id);
    bool made = inode == NONE;
    if (!made && (flags & O_EXCL) != 0 && model->bug != BUG_REWRITTEN) {
        return -EEXIST;
    }
    if (made) {
        error = (flags & O_CREAT) == 0 ? -ENOENT : make_file(model, parent, id, &inode);
        if (error < 0) {
            return error;
        }
        changed(model, "create", model->names->texts[id]);
    }
    if (hit.after < 0) {
        return hit.after;
    }
    return take_fd(model, inode, flags);
}

static int model_close(const struct disk_port *disk, int fd)
{
    struct disk_model *model = model_of(disk);
    assert(model->fds[fd].inode != 0);
    model->fds[fd] = (struct model_fd){0}; /* it is gone whatever close says */
    struct hit hit = next_call(model);
    return hit.before < 0 ? hit.before : hit.after;
}

static unsigned links_of(const struct disk_model *model, unsigned inode)
{
    unsigned count = model->inodes[inode].late_dir != 0;
    for (unsigned dir = 0; dir < model->inode_count; dir++) {
        struct model_entries entries = {.count = 0};
        if (model->inodes[dir].directory) {
            inode_entries(&model->inodes[dir], &entries);
        }
        for (unsigned i = 0; i < entries.count; i++) {
            count += entries.list[i].inode == inode;
        }
    }
    return count;
}

static int model_stat(const struct disk_port *disk, int fd, struct stat *ret_stat)
{
    struct disk_model *model = model_of(disk);
    const struct model_inode *inode = inode_of(model, fd);
    struct hit hit = next_call(model);
    if (hit.before < 0 || hit.after < 0) {
        return hit.before < 0 ? hit.before : hit.after;
    }
    *ret_stat = (struct stat){
        .st_ino = inode->ino,
        .st_uid = geteuid(),
        .st_nlink = inode->directory ? 2 : links_of(model, number_of(model, fd)),
        .st_mode = inode->directory ? S_IFDIR | 0700 : S_IFREG | 0600,
        .st_size = inode->directory ? 0 : (off_t)inode_now(inode)->size,
    };
    return 0;
}

static ssize_t model_read(const struct disk_port *disk, int fd, void *ret_bytes, size_t size,
                          off_t at)
{
    struct disk_model *model = model_of(disk);
    const struct model_content *content = inode_now(inode_of(model, fd));
    struct hit hit = next_call(model);
    if (hit.before < 0 || hit.after < 0) {
        return hit.before < 0 ? hit.before : hit.after;
    }
    if (may(model, fd, O_RDONLY) < 0) {
        return -EBADF;
    }
    size = hit.is_short && size > 1 ? size / 2 : size;
    size_t left = content->size > (size_t)at ? content->size - (size_t)at : 0;
    size = size < left ? size : left;
    content_read(content, (size_t)at, ret_bytes, size);
    return (ssize_t)size;
}

/* Whether a full disk takes it: what was allocated, and as copy on write not even that twice. */
static bool has_room(const struct disk_model *model, const struct model_content *content,
                     size_t end, size_t at)
{
    if (!model->full) {
        return true;
    }
    return end <= content->size && (!model->copy_on_write || at >= content->used);
}

static void put_bytes(struct model_inode *inode, size_t at, const void *bytes, size_t size)
{
    const struct model_content *old = inode_now(inode);
    size_t end = at + size, used = old->used > end ? old->used : end;
    uint8_t *all = calloc(1, used + 1);
    assert(all != NULL);
    content_read(old, 0, all, used);
    memcpy(all + at, bytes, size);
    inode_push(inode, content_new(all, used, old->size > end ? old->size : end));
    free(all);
}

static ssize_t model_write(const struct disk_port *disk, int fd, const void *bytes, size_t size,
                           off_t at)
{
    struct disk_model *model = model_of(disk);
    struct model_inode *inode = inode_of(model, fd);
    struct hit hit = next_call(model);
    if (hit.before < 0) {
        return hit.before;
    }
    if (may(model, fd, O_WRONLY) < 0) {
        return -EBADF;
    }
    size = hit.is_short && size > 1 ? size / 2 : size;
    at = (model->fds[fd].flags & O_APPEND) != 0 ? (off_t)inode_now(inode)->size : at;
    if (!has_room(model, inode_now(inode), (size_t)at + size, (size_t)at)) {
        return -ENOSPC;
    }
    if (inode->late_dir != 0) {
        inode_add_op(&model->inodes[inode->late_dir - 1],
                     (struct model_op){.kind = OP_LINK, .name = inode->late_name,
                                       .inode = number_of(model, fd)});
        inode->late_dir = 0;
    }
    put_bytes(inode, (size_t)at, bytes, size);
    changed(model, "write", name_of(model, fd));
    return hit.after < 0 ? hit.after : (ssize_t)size;
}

static int model_allocate(const struct disk_port *disk, int fd, off_t size)
{
    struct disk_model *model = model_of(disk);
    struct model_inode *inode = inode_of(model, fd);
    const struct model_content *old = inode_now(inode);
    struct hit hit = next_call(model);
    if (hit.before < 0 || inode->late_dir != 0 || may(model, fd, O_WRONLY) < 0) {
        return hit.before < 0 ? hit.before : may(model, fd, O_WRONLY);
    }
    if ((size_t)size > old->size) {
        if (model->full) {
            return -ENOSPC;
        }
        inode_push(inode, content_new(old->bytes, old->used, (size_t)size));
        changed(model, "allocate", name_of(model, fd));
    }
    return hit.after;
}

static int model_sync(const struct disk_port *disk, int fd)
{
    struct disk_model *model = model_of(disk);
    struct model_inode *inode = inode_of(model, fd);
    struct hit hit = next_call(model);
    if (hit.before < 0) {
        inode->spoilt = !inode->directory;
        changed(model, "failed sync", name_of(model, fd));
        return hit.before;
    }
    if (model->bug != (inode->directory ? BUG_NO_DIR_SYNC : BUG_NO_FILE_SYNC)) {
        inode_sync(inode);
    }
    changed(model, "sync", name_of(model, fd));
    return hit.after;
}

static int model_rename(const struct disk_port *disk, int dir, const char *from, const char *to)
{
    struct disk_model *model = model_of(disk);
    char old[256];
    struct hit hit = next_call(model);
    if (hit.before < 0) {
        return hit.before;
    }
    snprintf(old, sizeof(old), "%s", from);
    replant(model, old);
    unsigned parent = number_of(model, dir);
    unsigned name = model_name(model->names, old), inode = find(model, parent, name);
    if (inode == NONE) {
        return -ENOENT;
    }
    inode_add_op(&model->inodes[parent],
                 (struct model_op){.kind = OP_RENAME, .name = name, .inode = inode,
                                   .to = model_name(model->names, to)});
    changed(model, "rename", model->names->texts[name]);
    return hit.after;
}

static int model_unlink(const struct disk_port *disk, int dir, const char *name)
{
    struct disk_model *model = model_of(disk);
    unsigned parent = number_of(model, dir), id = model_name(model->names, name);
    unsigned inode = find(model, parent, id);
    struct hit hit = next_call(model);
    if (hit.before < 0 || inode == NONE) {
        return hit.before < 0 ? hit.before : -ENOENT;
    }
    if (model->inodes[inode].directory) {
        return -EISDIR;
    }
    inode_add_op(&model->inodes[parent],
                 (struct model_op){.kind = OP_UNLINK, .name = id, .inode = inode});
    changed(model, "unlink", model->names->texts[id]);
    return hit.after;
}

static int model_mkdir(const struct disk_port *disk, int dir, const char *path, mode_t mode)
{
    struct disk_model *model = model_of(disk);
    char name[256];
    unsigned parent = 0;
    (void)mode;
    struct hit hit = next_call(model);
    int error = hit.before < 0 ? hit.before : walk(model, dir, path, &parent, name);
    if (error < 0) {
        return error;
    }
    unsigned id = model_name(model->names, name);
    if (find(model, parent, id) != NONE) {
        return -EEXIST;
    }
    if (model->full) {
        return -ENOSPC;
    }
    unsigned inode = model_add_inode(model, true);
    inode_add_op(&model->inodes[parent],
                 (struct model_op){.kind = OP_LINK, .name = id, .inode = inode});
    changed(model, "mkdir", model->names->texts[id]);
    return hit.after;
}

/* Of a descriptor, as flock's. */
static int model_lock(const struct disk_port *disk, int fd)
{
    struct disk_model *model = model_of(disk);
    struct hit hit = next_call(model);
    if (hit.before < 0) {
        return hit.before;
    }
    for (int other = 0; other < 64; other++) {
        if (other != fd && model->fds[other].locked &&
            model->fds[other].inode == model->fds[fd].inode) {
            return -EWOULDBLOCK;
        }
    }
    model->fds[fd].locked = true;
    return hit.after;
}

static int model_list(const struct disk_port *disk, int dir, void *arg,
                      void (*each)(void *arg, const char *name))
{
    struct disk_model *model = model_of(disk);
    struct model_entries entries;
    struct hit hit = next_call(model);
    if (hit.before < 0) {
        return hit.before;
    }
    if (!inode_of(model, dir)->directory) {
        return -ENOTDIR;
    }
    inode_entries(inode_of(model, dir), &entries);
    entries.count = hit.after < 0 ? entries.count / 2 : entries.count;
    for (unsigned i = 0; i < entries.count; i++) {
        each(arg, model->names->texts[entries.list[i].name]);
    }
    return hit.after;
}

static int64_t model_wall_ms(const struct disk_port *disk)
{
    return model_of(disk)->wall_ms;
}

static void model_machine(const struct disk_port *disk, char *ret_text, size_t size)
{
    (void)disk;
    snprintf(ret_text, size, "00000000000000000000000000000001");
}

static void model_self(const struct disk_port *disk, char *ret_text, size_t size)
{
    (void)disk;
    snprintf(ret_text, size, "the model");
}

void model_port_init(struct disk_model *model)
{
    model->port = (struct disk_port){
        .open = model_open,
        .close = model_close,
        .stat = model_stat,
        .read = model_read,
        .write = model_write,
        .allocate = model_allocate,
        .sync = model_sync,
        .rename = model_rename,
        .unlink = model_unlink,
        .mkdir = model_mkdir,
        .lock = model_lock,
        .list = model_list,
        .wall_ms = model_wall_ms,
        .machine = model_machine,
        .self = model_self,
    };
}
