/* SPDX-License-Identifier: Apache-2.0 */
/* The real disk port with one fault planted, for a test must be seen to fail. */
#pragma once

#include "token/disk.h"

enum planted {
    PLANTED_NOTHING,
    PLANTED_NO_FILE_SYNC,   /* fsync of a file does nothing */
    PLANTED_NO_RECORD_SYNC, /* ... only of the record that is to be renamed */
    PLANTED_NO_DIR_SYNC,    /* fsync of a directory does nothing */
    PLANTED_MADE_LATE,      /* the files of an attempt are made when they are written */
    PLANTED_IN_PLACE,       /* a record is written over the old one */
    PLANTED_COUNT
};

struct planted_disk {
    struct disk_port port;
    enum planted planted;
    int late_fd[8]; /* reserved, and not made yet; 0: free */
    char late_name[8][256];
    int late_dir[8];
};

const char *planted_name(enum planted planted);
void planted_disk_init(struct planted_disk *disk, enum planted planted);
