/* SPDX-License-Identifier: Apache-2.0 */
/* A file system in memory that knows what a loss of power may leave of it.
 *
 * What was not synced is kept beside what was: a file has versions, the first one durable, the last
 * one what programs see; a directory has durable entries and a list of operations since. When power
 * is lost, and nothing else is promised by POSIX,
 *
 *     each sector that differs between the versions holds any of them, or zeros;
 *     the size is that of any version, whatever the sectors say;
 *     each directory operation has happened or not, whatever came of the others.
 *
 * A sync of a file that failed is never made up for: the kernel calls the pages clean, so a later
 * one succeeds and changes nothing, while programs go on reading what the disk may not have.
 *
 * disk_model_lose_power makes one such state; driven by a struct choices, all of them, one after
 * the other. File systems in use promise more, so a program that survives here survives there.
 * When only the program is killed, what it wrote stays, synced or not (disk_model_clone).
 *
 * Besides it can be full, refuse to rewrite blocks when full as a copy-on-write system does, fail
 * given calls, and carry one planted bug, for a test must be seen to fail. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "token/disk.h"

#define CHOICES_MAX 64

/* Drives a test through all ways to choose: call choose() as often as needed, then choices_next()
 * until it says that there is no other way. */
struct choices {
    unsigned picks[CHOICES_MAX], limits[CHOICES_MAX];
    unsigned used, known;
};

unsigned choose(struct choices *choices, unsigned limit); /* 0 .. limit-1 */
bool choices_next(struct choices *choices);

enum disk_bug {
    BUG_NONE,
    BUG_NO_FILE_SYNC,   /* fsync of a file does nothing */
    BUG_NO_DIR_SYNC,    /* fsync of a directory does nothing */
    BUG_MADE_LATE,      /* answer and record are created when they are written, not reserved */
    BUG_REWRITTEN       /* the record is overwritten in place */
};

/* A run of calls that fail. */
#define DISK_FAULTS_MAX 2

struct disk_fault {
    unsigned at;    /* number of the first one; 0: none */
    unsigned times; /* so many; 0: all from there on */
    int error;      /* as errno; 0: reads and writes are short, the others work */
    bool late;      /* it has its effect (a write half of it), and fails all the same */
};

struct model_content;
struct model_inode;

struct model_fd {
    unsigned inode; /* + 1; 0: free */
    int flags;
    bool locked;
};

/* Names are the same in all copies of a disk, so they are kept once. */
struct model_names {
    char **texts;
    unsigned count;
};

struct disk_model {
    struct disk_port port; /* first */
    struct model_names *names;
    struct model_inode *inodes;
    unsigned inode_count;
    struct model_fd fds[64];
    uint64_t last_ino;
    int64_t wall_ms;

    enum disk_bug bug;
    bool full;          /* no block and no name is to be had */
    bool copy_on_write; /* a block once written needs a new one */
    bool stale;         /* an un-synced sector may also hold old bytes of somebody else */

    unsigned calls; /* so far, all kinds */
    struct disk_fault faults[DISK_FAULTS_MAX];

    void *arg;
    /* After each call that may have changed something; or NULL. */
    void (*changed)(void *arg, const char *call, const char *name);
};

struct disk_model *disk_model_new(struct model_names *names);
/* As it is, un-synced things included; without descriptors, faults and listeners. */
struct disk_model *disk_model_clone(const struct disk_model *model);
/* One of the states that may be found after a loss of power. */
struct disk_model *disk_model_lose_power(const struct disk_model *model, struct choices *choices);
/* All that is pending becomes durable. */
void disk_model_settle(struct disk_model *model);
void disk_model_free(struct disk_model *model);
unsigned disk_model_open_fds(const struct disk_model *model);
/* Equal for equal states, un-synced things included. */
void disk_model_hash(const struct disk_model *model, uint64_t ret_hash[2]);
void model_names_free(struct model_names *names);
