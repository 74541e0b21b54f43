/* SPDX-License-Identifier: Apache-2.0 */
/* A campaign: many histories, over several processes (sim_campaign.c), and cutting one that fails
 * down to what it needs to fail (sim_shrink.c). */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "sim.h"

#define JOBS_MAX 64u

struct plan {
    const char *program;
    struct sim_options options; /* of the first history; the others differ in the seed */
    uint64_t seeds;             /* how many; 0: until the time is over */
    double seconds;
    unsigned jobs;
    bool soak, digests, quick, keep_going;
};

/* One process at work, as it shows itself to the parent. */
struct worker {
    struct sim_totals totals;
    struct sim_options now; /* the history at work */
    uint64_t digest;
    bool failed;
    char failure[512];
    pid_t process; /* 0: none */
};

struct campaign { /* shared between the parent and the workers */
    _Atomic uint64_t taken; /* histories given out */
    atomic_bool stop;
    const struct plan *plan;
    double start_s, end_s;
    struct worker workers[JOBS_MAX];
    uint64_t failures;
    struct sim_options first_options; /* of the first that failed */
    bool interrupted;
};

/* NULL without memory. Lives until the process ends. */
struct campaign *campaign_new(void);
/* True: all histories that were to run ran, and nothing failed. Those that fail are printed. */
bool campaign_run(struct campaign *campaign, const struct plan *plan);
/* Totals, counters; false: a kind of fault never happened in a campaign that is long enough. */
bool campaign_report(const struct campaign *campaign);

/* Runs one history in a child. True: it fails; why is in the first worker. */
bool campaign_fails(struct campaign *campaign, const struct sim_options *options, bool quiet);
/* The options that run a history again, as words of a command. */
void print_command(const char *program, const struct sim_options *options);
/* Prints what is left of a history that fails. */
void shrink(struct campaign *campaign, const char *program, const struct sim_options *options);
