/* SPDX-License-Identifier: Apache-2.0 */
/* Many histories, one process for each core.
 *
 * The workers take the next number from a counter that they share, so that none waits for another
 * and the histories run are the first N, however many workers there were. A worker lives as long as
 * its histories are good: one that fails a check, ends in an assertion or hangs ends its worker, is
 * printed, and with --keep-going a new worker goes on. Every 16th history runs twice, and both
 * digests must be the same.
 *
 * The parent only waits. An interrupt lets the histories at work end, and prints the command that
 * goes on where they stopped: so a soak of a million may be spread over several nights. */
#include "sim_campaign.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_S 300u       /* a history takes milliseconds; the machine may be busy */
#define CAMPAIGN_MIN 300u /* histories, for the counters to mean something */

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct campaign *campaign_new(void)
{
    void *memory = mmap(NULL, sizeof(struct campaign), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory != MAP_FAILED ? memory : NULL;
}

/* ---- one history ---------------------------------------------------------------------------- */

static bool history(struct worker *worker, const struct sim_options *options)
{
    alarm(HANG_S);
    worker->now = *options;
    worker->failed = !sim_history(options, &worker->totals, &worker->digest, worker->failure,
                                  sizeof(worker->failure));
    return !worker->failed;
}

/* The same seed gives the same history. */
static bool history_again(struct worker *worker, const struct sim_options *options)
{
    struct sim_totals counted_before = {0};
    uint64_t digest;

    alarm(HANG_S);
    if (sim_history(options, &counted_before, &digest, worker->failure,
                    sizeof(worker->failure)) &&
        digest == worker->digest)
        return true;
    snprintf(worker->failure, sizeof(worker->failure),
             "digest: %016llx, the second time %016llx", (unsigned long long)worker->digest,
             (unsigned long long)digest);
    worker->failed = true;
    return false;
}

/* ---- a worker ------------------------------------------------------------------------------- */

static void work(struct campaign *campaign, struct worker *worker)
{
    const struct plan *plan = campaign->plan;
    struct sim_options options = plan->options;

    while (!campaign->stop && (plan->seeds != 0 || now_s() < campaign->end_s)) {
        uint64_t i = campaign->taken++;

        if (plan->seeds != 0 && i >= plan->seeds)
            return;
        options.seed = plan->options.seed + i;
        if (!history(worker, &options) ||
            (i % 16 == 0 && !options.trace && !history_again(worker, &options)))
            return;
        if (plan->digests)
            printf("%llu %016llx\n", (unsigned long long)options.seed,
                   (unsigned long long)worker->digest);
    }
}

static pid_t start(struct campaign *campaign, struct worker *worker, bool quiet)
{
    pid_t process;

    worker->failed = false;
    fflush(NULL);
    process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (quiet && freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        work(campaign, worker);
        fflush(NULL);
        _exit(0); /* exit would set back the parent's place in the list it reads */
    }
    worker->process = process; /* the memory is shared: the parent's word alone */
    return process;
}

/* What the end of its process says of a worker. */
static void judge(struct worker *worker, int status)
{
    worker->process = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    worker->failed = true;
    snprintf(worker->failure, sizeof(worker->failure), "crash: the process ended by %s",
             WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "an exit");
}

bool campaign_fails(struct campaign *campaign, const struct sim_options *options, bool quiet)
{
    struct plan plan = {.options = *options, .seeds = 1};
    struct worker *worker = &campaign->workers[0];
    const struct plan *before = campaign->plan;
    int status;

    plan.options.trace &= !quiet;
    campaign->plan = &plan;
    campaign->taken = 0;
    campaign->stop = false;
    if (start(campaign, worker, quiet) > 0 &&
        waitpid(worker->process, &status, 0) == worker->process)
        judge(worker, status);
    campaign->plan = before;
    return worker->failed;
}

/* ---- the parent ----------------------------------------------------------------------------- */

static unsigned at_work(const struct campaign *campaign)
{
    unsigned count = 0;

    for (unsigned i = 0; i < campaign->plan->jobs; i++)
        count += campaign->workers[i].process > 0;
    return count;
}

static struct sim_totals totals_of(const struct campaign *campaign)
{
    struct sim_totals sum = {0};

    for (unsigned i = 0; i < JOBS_MAX; i++) {
        const uint64_t *part = (const uint64_t *)&campaign->workers[i].totals;

        for (size_t k = 0; k < sizeof(sum) / sizeof(*part); k++)
            ((uint64_t *)&sum)[k] += part[k];
    }
    return sum;
}

static void on_failure(struct campaign *campaign, struct worker *worker)
{
    const struct plan *plan = campaign->plan;

    printf("seed %llu: %s\n", (unsigned long long)worker->now.seed, worker->failure);
    print_command(plan->program, &worker->now);
    if (campaign->failures++ == 0)
        campaign->first_options = worker->now;
    if (plan->keep_going && !campaign->stop)
        start(campaign, worker, false);
    else
        campaign->stop = true;
}

static void reap(struct campaign *campaign)
{
    for (unsigned i = 0; i < campaign->plan->jobs; i++) {
        struct worker *worker = &campaign->workers[i];
        int status;

        if (worker->process <= 0 || waitpid(worker->process, &status, WNOHANG) <= 0)
            continue;
        judge(worker, status);
        if (worker->failed)
            on_failure(campaign, worker);
    }
}

static void progress(const struct campaign *campaign, double *next_s)
{
    struct sim_totals totals = totals_of(campaign);
    bool terminal = isatty(STDERR_FILENO) != 0;
    double took_s = now_s() - campaign->start_s;

    if (now_s() < *next_s || (!terminal && !campaign->plan->soak))
        return;
    *next_s = now_s() + (terminal ? 1 : 60);
    fprintf(stderr, "%s%llu histories, %.1f seeds/s, %llu failed%s", terminal ? "\r" : "",
            (unsigned long long)totals.seeds, (double)totals.seeds / took_s,
            (unsigned long long)campaign->failures, terminal ? "  " : "\n");
}

/* Waits for the workers, and for who interrupts them. */
static void attend(struct campaign *campaign, const sigset_t *signals)
{
    double next_s = now_s() + 2;

    while (at_work(campaign) > 0) {
        const struct timespec a_second = {.tv_sec = 1};
        int number = sigtimedwait(signals, NULL, &a_second);

        if (number == SIGINT || number == SIGTERM) {
            campaign->interrupted = true;
            campaign->stop = true;
        }
        reap(campaign);
        progress(campaign, &next_s);
    }
}

bool campaign_run(struct campaign *campaign, const struct plan *plan)
{
    sigset_t signals, before;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, &before);
    campaign->plan = plan;
    campaign->start_s = now_s();
    campaign->end_s = campaign->start_s + plan->seconds;
    campaign->taken = 0;
    campaign->stop = false;
    for (unsigned i = 0; i < plan->jobs; i++)
        if (start(campaign, &campaign->workers[i], false) < 0)
            campaign->failures++;
    attend(campaign, &signals);
    campaign->end_s = now_s();
    sigprocmask(SIG_SETMASK, &before, NULL);
    return campaign->failures == 0 && !campaign->interrupted;
}

/* ---- the report ----------------------------------------------------------------------------- */

static void report_rest(const struct campaign *campaign)
{
    const struct plan *plan = campaign->plan;
    uint64_t taken = campaign->taken;

    if (!campaign->interrupted || (plan->seeds != 0 && taken >= plan->seeds))
        return;
    printf("interrupted; go on with: %s --seed %llu --jobs %u", plan->program,
           (unsigned long long)(plan->options.seed + taken), plan->jobs);
    if (plan->seeds != 0)
        printf(" --seeds %llu\n", (unsigned long long)(plan->seeds - taken));
    else
        printf(" --seconds %.0f\n", plan->seconds);
}

/* A campaign without something that it is there to try shows nothing of it. */
static bool report_count(const struct campaign *campaign, const char *kind, const char *name,
                         uint64_t count, bool wanted)
{
    bool missing = wanted && count == 0 && totals_of(campaign).seeds >= CAMPAIGN_MIN;

    printf("  %s%-*s %llu\n", kind, 24 - (int)strlen(kind), name, (unsigned long long)count);
    if (missing)
        printf("%s%s never happened\n", kind, name);
    return !missing;
}

bool campaign_report(const struct campaign *campaign)
{
    const struct sim_options *options = &campaign->plan->options;
    struct sim_totals totals = totals_of(campaign);
    double seconds = campaign->end_s - campaign->start_s;
    bool whole = options->without == 0 && options->fault_limit == UINT64_MAX &&
                 options->agents_max == 0, good = true;

    printf("%llu histories in %.1f s: %.1f seeds/s, %u at a time, %llu failed; %llu h virtual, "
           "%llu turns, %llu events\n",
           (unsigned long long)totals.seeds, seconds, (double)totals.seeds / seconds,
           campaign->plan->jobs, (unsigned long long)campaign->failures,
           (unsigned long long)totals.virtual_s / 3600, (unsigned long long)totals.steps,
           (unsigned long long)totals.events);
#define X(name) good &= report_count(campaign, "", #name, totals.name, whole);
    SIM_COUNTS(X)
#undef X
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        good &= report_count(campaign, "fault ", sim_fault_name((enum sim_fault)i),
                             totals.faults[i], (options->without >> i & 1) == 0);
    report_rest(campaign);
    return good;
}
