/* SPDX-License-Identifier: Apache-2.0 */
/* sim: runs histories (sim.h), one after another, and says what came of them.
 *
 *     sim --seed 7                 this one history
 *     sim --seeds 1000             so many, from --seed on (default 1)
 *     sim --seconds 20             as many as fit
 *     sim --soak                   a million, on all cores
 *     sim --list FILE              those of a file: a seed a line, then its options
 *     --jobs N                     so many processes at a time
 *     --without A,B --most N --agents N    cut kinds of fault, all but the first N faults, agents
 *     --trace --digests --quick    print the history; print each digest; cut nothing down
 *     --keep-going                 a history that fails does not end the campaign
 *
 * Each history runs in a child, so that one that ends in an assertion or hangs is a finding like
 * any other. The first that fails is cut down, and what is left is printed as a command. In a
 * campaign of 300 or more each kind of fault must have happened.
 *
 * Exits with 0 when all was well, 1 when a check failed, 2 when it was interrupted, 64 for words
 * that it does not know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim_campaign.h"

/* ---- the command line ----------------------------------------------------------------------- */

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--seed N] [--seeds N | --seconds S | --soak | --list FILE]\n"
                    "       [--jobs N] [--without KIND,...] [--most N] [--agents N] [--trace]\n"
                    "       [--digests] [--quick] [--keep-going]\n",
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

static bool read_flag(struct plan *plan, const char *name)
{
    if (strcmp(name, "--trace") == 0)
        plan->options.trace = true; /* one history: nothing is cut down */
    else if (strcmp(name, "--digests") == 0)
        plan->digests = true;
    else if (strcmp(name, "--quick") == 0)
        plan->quick = true;
    else if (strcmp(name, "--keep-going") == 0)
        plan->keep_going = true;
    else if (strcmp(name, "--soak") == 0)
        plan->soak = true;
    else
        return false;
    return true;
}

static bool read_value(struct plan *plan, const char **ret_list, const char *name,
                       const char *value)
{
    uint64_t number = strtoull(value, NULL, 10);

    if (strcmp(name, "--seed") == 0)
        plan->options.seed = number;
    else if (strcmp(name, "--seeds") == 0)
        plan->seeds = number;
    else if (strcmp(name, "--seconds") == 0)
        plan->seconds = (double)number;
    else if (strcmp(name, "--jobs") == 0)
        plan->jobs = (unsigned)number;
    else if (strcmp(name, "--most") == 0)
        plan->options.fault_limit = number;
    else if (strcmp(name, "--agents") == 0)
        plan->options.agents_max = (unsigned)number;
    else if (strcmp(name, "--list") == 0)
        *ret_list = value;
    else if (strcmp(name, "--without") != 0 || !read_without(value, &plan->options.without))
        return false;
    return true;
}

static bool read_words(struct plan *plan, const char **ret_list, int count, char **words)
{
    for (int i = 0; i < count; i++) {
        if (read_flag(plan, words[i]))
            continue;
        if (i + 1 == count || !read_value(plan, ret_list, words[i], words[i + 1]))
            return false;
        i++;
    }
    return plan->jobs <= JOBS_MAX;
}

/* A line is what print_command printed, from --seed on; a # starts a remark. */
static bool run_list(struct campaign *campaign, const char *path)
{
    FILE *file = fopen(path, "re");
    const char *none;
    char line[1024];
    bool good = file != NULL;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        struct plan plan = {.options = {.fault_limit = UINT64_MAX}};
        char *words[32], *rest = NULL;
        int count = 0;

        line[strcspn(line, "#\n")] = '\0';
        for (char *word = strtok_r(line, " ", &rest); word != NULL && count < 32;
             word = strtok_r(NULL, " ", &rest))
            words[count++] = word;
        if (count == 0)
            continue;
        if (!read_words(&plan, &none, count, words) ||
            campaign_fails(campaign, &plan.options, false)) {
            printf("regression, seed %llu: %s\n", (unsigned long long)plan.options.seed,
                   campaign->workers[0].failure);
            good = false;
        }
    }
    if (file != NULL)
        fclose(file);
    return good;
}

/* What was not said. */
static void fill_in(struct plan *plan)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (plan->seeds == 0 && plan->seconds <= 0)
        plan->seeds = plan->soak ? 1000000 : 1;
    if (plan->jobs == 0 && plan->soak && cores > 0)
        plan->jobs = cores < (long)JOBS_MAX ? (unsigned)cores : JOBS_MAX;
    if (plan->jobs == 0)
        plan->jobs = 1;
}

int main(int argc, char **argv)
{
    struct plan plan = {.program = argv[0], .options = {.seed = 1, .fault_limit = UINT64_MAX}};
    struct campaign *campaign = campaign_new();
    const char *list = NULL;
    bool good = true;

    if (campaign == NULL || !read_words(&plan, &list, argc - 1, argv + 1))
        return usage(argv[0]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (list != NULL)
        good = run_list(campaign, list);
    if (list != NULL && plan.seeds == 0 && plan.seconds <= 0)
        return good ? 0 : 1;
    fill_in(&plan);
    good &= campaign_run(campaign, &plan);
    if (plan.keep_going || campaign->failures == 0)
        good &= campaign_report(campaign);
    if (campaign->failures != 0 && !plan.quick && !plan.options.trace)
        shrink(campaign, argv[0], &campaign->first_options);
    if (campaign->failures == 0 && campaign->interrupted)
        return 2;
    return good ? 0 : 1;
}
