/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting a history that fails down: fewer agents, fewer kinds of fault, fewer faults, as long as
 * it fails. */
#include <stdio.h>

#include "sim_campaign.h"

void print_command(const char *program, const struct sim_options *options)
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

static void shrink_agents(struct campaign *campaign, struct sim_options *options)
{
    for (unsigned agents = 1; agents <= 8; agents++) {
        struct sim_options fewer = *options;

        fewer.agents_max = agents;
        if (campaign_fails(campaign, &fewer, true)) {
            *options = fewer;
            return;
        }
    }
}

static void shrink_kinds(struct campaign *campaign, struct sim_options *options)
{
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        struct sim_options fewer = *options;

        fewer.without |= 1ull << i;
        if (fewer.without != options->without && campaign_fails(campaign, &fewer, true))
            *options = fewer;
    }
}

static void shrink_number(struct campaign *campaign, struct sim_options *options)
{
    uint64_t fails = 1u << 16, holds = 0;

    options->fault_limit = fails;
    if (!campaign_fails(campaign, options, true)) {
        options->fault_limit = UINT64_MAX;
        return;
    }
    while (fails - holds > 1) {
        options->fault_limit = holds + (fails - holds) / 2;
        if (campaign_fails(campaign, options, true))
            fails = options->fault_limit;
        else
            holds = options->fault_limit;
    }
    options->fault_limit = fails;
}

void shrink(struct campaign *campaign, const char *program, const struct sim_options *options)
{
    struct sim_options left = *options;

    shrink_agents(campaign, &left);
    shrink_kinds(campaign, &left);
    shrink_number(campaign, &left);
    if (!campaign_fails(campaign, &left, true))
        return;
    printf("cut down: %s\n", campaign->workers[0].failure);
    print_command(program, &left);
}
