/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the disk model share: disk_model.c (states), disk_model_port.c (calls). */
#pragma once

#include "disk_model.h"

#define MODEL_SECTOR 512
#define MODEL_VERSIONS 24
#define MODEL_ENTRIES 64

/* Bytes of a file at one time; never changed. Zeros follow `used` up to `size`. */
struct model_content {
    unsigned refs;
    size_t size, used;
    uint64_t hash;
    uint8_t bytes[];
};

struct model_entry {
    unsigned name;
    unsigned inode;
};

enum model_op_kind { OP_LINK, OP_RENAME, OP_UNLINK };

struct model_op {
    enum model_op_kind kind;
    unsigned name, to; /* `to` of a rename */
    unsigned inode;
};

struct model_inode {
    bool directory;
    uint64_t ino;
    struct model_content *versions[MODEL_VERSIONS]; /* of a file */
    unsigned version_count;
    bool spoilt; /* a sync of it failed */
    struct model_entry *entries; /* of a directory: durable ones */
    unsigned entry_count;
    struct model_op *ops; /* and what came since */
    unsigned op_count;
    unsigned late_dir, late_name; /* of a file that gets its name when it is written; dir + 1 */
};

struct model_entries {
    struct model_entry list[MODEL_ENTRIES];
    unsigned count;
};

void model_port_init(struct disk_model *model);

/* Takes over `bytes`' first `used` bytes by copying; trailing zeros are left out. */
struct model_content *content_new(const uint8_t *bytes, size_t used, size_t size);
void content_unref(struct model_content *content);
/* Bytes at an offset, zeros where there are none. */
void content_read(const struct model_content *content, size_t at, uint8_t *ret_bytes, size_t size);
struct model_content *inode_now(const struct model_inode *inode);
/* A new version (taken); one like the last is dropped. */
void inode_push(struct model_inode *inode, struct model_content *content);
/* What programs see in a directory. */
void inode_entries(const struct model_inode *inode, struct model_entries *ret_entries);
void inode_add_op(struct model_inode *inode, struct model_op op);
void inode_sync(struct model_inode *inode);
unsigned model_add_inode(struct disk_model *model, bool directory);
unsigned model_name(struct model_names *names, const char *text);
