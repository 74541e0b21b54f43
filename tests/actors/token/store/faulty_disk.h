/* SPDX-License-Identifier: Apache-2.0 */
/* The real disk, but for one call or all from one call on. */
#pragma once

#include <stdbool.h>

#include "token/disk.h"

struct faulty_disk {
    struct disk_port port;
    unsigned calls;   /* so far */
    unsigned fail_at; /* number of the call that fails; 0: none */
    int error;        /* as errno */
    bool for_ever;    /* and all after it: a crash, for whoever looks at the disk next */
    bool torn;        /* a write that fails has written half */
    void (*falsify)(struct stat *stat); /* what the stat of that number says is changed by it */
    unsigned stats, falsify_at;
};

void faulty_disk_init(struct faulty_disk *faulty);
