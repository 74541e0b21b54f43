/* SPDX-License-Identifier: Apache-2.0 */
/* Faults by name, and which request suffers one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "practice/practice.h"

#define FAULT_AT_TOKEN 1u
#define FAULT_AT_MODEL 2u
#define FAULT_KINDS (PRACTICE_RESET + 1)

/* "drop-after:5:1,429" into rules; "none" clears. 0 or -EINVAL, then nothing is changed. */
int faults_parse(const char *text, unsigned where, struct practice_fault_rule *ret_rules,
                 size_t *ret_count);
const char *fault_name(enum practice_fault fault);

/* The rules in force at one place, with what they have counted so far. */
struct fault_plan {
    struct practice_fault_rule rules[PRACTICE_RULES_MAX];
    uint32_t seen[PRACTICE_RULES_MAX];
    uint32_t done[PRACTICE_RULES_MAX];
    size_t count;
    uint64_t injected[FAULT_KINDS];
};
void fault_plan_set(struct fault_plan *plan, const struct practice_fault_rule *rules,
                    size_t count);
/* One request came: what it suffers, if anything. */
enum practice_fault fault_plan_next(struct fault_plan *plan);
