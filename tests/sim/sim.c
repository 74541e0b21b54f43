/* SPDX-License-Identifier: Apache-2.0 */
/* sim: runs histories (sim.h), one after another, and says what came of them.
 *
 *     sim --seed 7                 this one history
 *     sim --seeds 1000             so many, from --seed on (default 1)
 *     sim --seconds 20             as many as fit
 *     sim --soak                   a million
 *     sim --list FILE              those of a file: a seed a line, then its options
 *     --without A,B --most N --agents N    cut kinds of fault, all but the first N faults, agents
 *     --trace --digests --quick    print the history; print each digest; cut nothing down
 *
 * Each history runs in a child, so that one that ends in an assertion or hangs is a finding like
 * any other. One that fails is cut down: fewer kinds of fault, fewer faults, fewer agents, as long
 * as it fails; what is left is printed as a command. Every 16th runs twice, and both digests must
 * be the same. Of a campaign that is long enough each kind of fault must have happened. */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_S 120u        /* a history takes milliseconds */
#define CAMPAIGN_MIN 300u  /* histories, for the counters to mean something */
#define SHRINK_TRIES 200u

struct shared { /* between parent and child */
    struct sim_totals totals;
    struct sim_options now; /* the history at work */
    uint64_t digest;
    bool failed;
    char failure[512];
};

struct plan {
    struct sim_options options;
    uint64_t seeds;  /* how many; 0: until the time is over */
    double seconds;
    const char *list;
    bool digests, quick;
};

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- one history ---------------------------------------------------------------------------- */

static bool history(struct shared *shared, const struct sim_options *options)
{
    alarm(HANG_S);
    shared->now = *options;
    shared->failed = !sim_history(options, &shared->totals, &shared->digest, shared->failure,
                                  sizeof(shared->failure));
    return !shared->failed;
}

/* The same seed gives the same history. */
static bool history_again(struct shared *shared, const struct sim_options *options)
{
    uint64_t digest = shared->digest;

    if (!history(shared, options))
        return false;
    if (shared->digest == digest)
        return true;
    snprintf(shared->failure, sizeof(shared->failure), "digest: %016llx, the second time %016llx",
             (unsigned long long)digest, (unsigned long long)shared->digest);
    shared->failed = true;
    return false;
}

static void campaign(struct shared *shared, const struct plan *plan)
{
    struct sim_options options = plan->options;
    double end_s = now_s() + plan->seconds;

    for (uint64_t i = 0; plan->seeds == 0 ? now_s() < end_s : i < plan->seeds; i++) {
        options.seed = plan->options.seed + i;
        if (!history(shared, &options) ||
            (i % 16 == 0 && !options.trace && !history_again(shared, &options)))
            return;
        if (plan->digests)
            printf("%llu %016llx\n", (unsigned long long)options.seed,
                   (unsigned long long)shared->digest);
    }
}

/* ---- in a child ----------------------------------------------------------------------------- */

/* True: all was well. */
static bool in_child(struct shared *shared, const struct plan *plan, bool quiet)
{
    int status;
    pid_t child;

    shared->failed = false;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        if (quiet && freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        campaign(shared, plan);
        fflush(NULL);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        shared->failed = true;
        snprintf(shared->failure, sizeof(shared->failure), "crash: the process ended by %s",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "an exit");
    }
    return !shared->failed;
}

/* ---- cutting down --------------------------------------------------------------------------- */

static bool still_fails(struct shared *shared, const struct sim_options *options)
{
    struct plan plan = {.options = *options, .seeds = 1};

    plan.options.trace = false;

    return !in_child(shared, &plan, true);
}

static void shrink_kinds(struct shared *shared, struct sim_options *options)
{
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        struct sim_options fewer = *options;

        fewer.without |= 1ull << i;
        if (fewer.without != options->without && still_fails(shared, &fewer))
            *options = fewer;
    }
}

static void shrink_number(struct shared *shared, struct sim_options *options)
{
    uint64_t fails = 1u << 16, holds = 0;

    options->fault_limit = fails;
    if (!still_fails(shared, options)) {
        options->fault_limit = UINT64_MAX;
        return;
    }
    while (fails - holds > 1) {
        options->fault_limit = holds + (fails - holds) / 2;
        if (still_fails(shared, options))
            fails = options->fault_limit;
        else
            holds = options->fault_limit;
    }
    options->fault_limit = fails;
}

static void shrink_agents(struct shared *shared, struct sim_options *options)
{
    for (unsigned agents = 1; agents <= 8; agents++) {
        struct sim_options fewer = *options;

        fewer.agents_max = agents;
        if (still_fails(shared, &fewer)) {
            *options = fewer;
            return;
        }
    }
}

static void print_command(const char *program, const struct sim_options *options)
{
    const char *comma = " --without ";

    printf("    %s --seed %llu", program, (unsigned long long)options->seed);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        if ((options->without >> i & 1) != 0) {
            printf("%s%s", comma, sim_fault_name((enum sim_fault)i));
            comma = ",";
        }
    if (options->fault_limit != UINT64_MAX)
        printf(" --most %llu", (unsigned long long)options->fault_limit);
    if (options->agents_max != 0)
        printf(" --agents %u", options->agents_max);
    printf("\n");
}

static void report_failure(struct shared *shared, const char *program, bool quick)
{
    struct sim_options options = shared->now;

    printf("seed %llu: %s\n", (unsigned long long)options.seed, shared->failure);
    print_command(program, &options);
    if (quick || options.trace)
        return;
    shrink_agents(shared, &options);
    shrink_kinds(shared, &options);
    shrink_number(shared, &options);
    still_fails(shared, &options);
    printf("cut down: %s\n", shared->failure);
    print_command(program, &options);
}

/* ---- the report ----------------------------------------------------------------------------- */

static bool report(const struct sim_totals *totals, double seconds, bool counters)
{
    bool good = true;

    printf("%llu histories in %.1f s: %.1f seeds/s; %llu h virtual, %llu turns, %llu events\n",
           (unsigned long long)totals->seeds, seconds, (double)totals->seeds / seconds,
           (unsigned long long)totals->virtual_s / 3600, (unsigned long long)totals->steps,
           (unsigned long long)totals->events);
#define ROW(name) printf("  %-14s %llu\n", #name, (unsigned long long)totals->name)
    ROW(requests); ROW(grants); ROW(refusals); ROW(served); ROW(unauthorised); ROW(spends);
    ROW(refreshes); ROW(resends); ROW(overlaps); ROW(lost); ROW(relogins); ROW(boots);
    ROW(failed_saves);
#undef ROW
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        printf("  fault %-16s %llu\n", sim_fault_name((enum sim_fault)i),
               (unsigned long long)totals->faults[i]);
        if (counters && totals->faults[i] == 0) {
            printf("fault %s never happened\n", sim_fault_name((enum sim_fault)i));
            good = false;
        }
    }
    return good;
}

/* ---- the command line ----------------------------------------------------------------------- */

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--seed N] [--seeds N | --seconds S | --soak | --list FILE]\n"
                    "       [--without KIND,...] [--most N] [--agents N] [--trace]\n"
                    "       [--digests] [--quick]\n",
            program);
    return 64;
}

static bool read_without(const char *text, uint64_t *ret_mask)
{
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        unsigned i = 0;

        while (i < SIM_FAULT_COUNT &&
               (strlen(sim_fault_name((enum sim_fault)i)) != length ||
                strncmp(sim_fault_name((enum sim_fault)i), text, length) != 0))
            i++;
        if (i == SIM_FAULT_COUNT)
            return false;
        *ret_mask |= 1ull << i;
        text += length + (text[length] == ',');
    }
    return true;
}

/* One option and its value. How many words it took; 0: not understood. */
static int read_option(struct plan *plan, const char *name, const char *value)
{
    uint64_t number = value != NULL ? strtoull(value, NULL, 10) : 0;

    if (strcmp(name, "--trace") == 0)
        return plan->options.trace = true, 1; /* one history: nothing is cut down */
    if (strcmp(name, "--digests") == 0)
        return plan->digests = true, 1;
    if (strcmp(name, "--quick") == 0)
        return plan->quick = true, 1;
    if (strcmp(name, "--soak") == 0)
        return plan->seeds = 1000000, 1;
    if (value == NULL)
        return 0;
    if (strcmp(name, "--seed") == 0)
        plan->options.seed = number;
    else if (strcmp(name, "--seeds") == 0)
        plan->seeds = number;
    else if (strcmp(name, "--seconds") == 0)
        plan->seconds = (double)number;
    else if (strcmp(name, "--most") == 0)
        plan->options.fault_limit = number;
    else if (strcmp(name, "--agents") == 0)
        plan->options.agents_max = (unsigned)number;
    else if (strcmp(name, "--list") == 0)
        plan->list = value;
    else if (strcmp(name, "--without") != 0 || !read_without(value, &plan->options.without))
        return 0;
    return 2;
}

static bool read_words(struct plan *plan, int count, char **words)
{
    for (int i = 0; i < count;) {
        int took = read_option(plan, words[i], i + 1 < count ? words[i + 1] : NULL);

        if (took == 0)
            return false;
        i += took;
    }
    return true;
}

/* A line is what print_command printed, from --seed on; a # starts a remark. */
static bool run_list(struct shared *shared, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[1024];
    bool good = file != NULL;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        struct plan plan = {.options = {.fault_limit = UINT64_MAX}, .seeds = 1};
        char *words[32], *rest = NULL;
        int count = 0;

        line[strcspn(line, "#\n")] = '\0';
        for (char *word = strtok_r(line, " ", &rest); word != NULL && count < 32;
             word = strtok_r(NULL, " ", &rest))
            words[count++] = word;
        if (count == 0)
            continue;
        if (!read_words(&plan, count, words) || !in_child(shared, &plan, false)) {
            printf("regression, seed %llu: %s\n", (unsigned long long)plan.options.seed,
                   shared->failure);
            good = false;
        }
    }
    if (file != NULL)
        fclose(file);
    return good;
}

int main(int argc, char **argv)
{
    struct plan plan = {.options = {.seed = 1, .fault_limit = UINT64_MAX}};
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double start_s = now_s();
    bool good = true;

    if (shared == MAP_FAILED || !read_words(&plan, argc - 1, argv + 1))
        return usage(argv[0]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (plan.list != NULL)
        good = run_list(shared, plan.list);
    if (plan.list != NULL && plan.seeds == 0 && plan.seconds <= 0)
        return good ? 0 : 1;
    if (plan.seeds == 0 && plan.seconds <= 0)
        plan.seeds = 1;
    if (!in_child(shared, &plan, false)) {
        report_failure(shared, argv[0], plan.quick);
        return 1;
    }
    if (!report(&shared->totals, now_s() - start_s, shared->totals.seeds >= CAMPAIGN_MIN))
        good = false;
    return good ? 0 : 1;
}
