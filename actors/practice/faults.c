/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; unsigned where; } kinds[FAULT_KINDS] = {
    [PRACTICE_OK] = { "none", 0 },
    [PRACTICE_DROP_BEFORE] = { "drop-before", FAULT_AT_TOKEN | FAULT_AT_MODEL },
    [PRACTICE_DROP_AFTER] = { "drop-after", FAULT_AT_TOKEN },
    [PRACTICE_ERROR_BEFORE] = { "500-before", FAULT_AT_TOKEN | FAULT_AT_MODEL },
    [PRACTICE_ERROR_AFTER] = { "500-after", FAULT_AT_TOKEN },
    [PRACTICE_FORBIDDEN_HTML] = { "403-html", FAULT_AT_TOKEN | FAULT_AT_MODEL },
    [PRACTICE_OK_HTML] = { "200-html", FAULT_AT_TOKEN },
    [PRACTICE_TRUNCATED] = { "truncated-json", FAULT_AT_TOKEN },
    [PRACTICE_NO_EXPIRES_IN] = { "no-expires-in", FAULT_AT_TOKEN },
    [PRACTICE_NO_REFRESH] = { "no-refresh-token", FAULT_AT_TOKEN },
    [PRACTICE_HANG] = { "hang", FAULT_AT_TOKEN | FAULT_AT_MODEL },
    [PRACTICE_DRIP] = { "drip", FAULT_AT_TOKEN | FAULT_AT_MODEL },
    [PRACTICE_HUGE_TOKEN] = { "huge-token", FAULT_AT_TOKEN },
    [PRACTICE_LIMITED] = { "429", FAULT_AT_TOKEN | FAULT_AT_MODEL },
    [PRACTICE_UNAUTHORIZED] = { "401", FAULT_AT_MODEL },
    [PRACTICE_OVERLOADED] = { "overload", FAULT_AT_MODEL },
    [PRACTICE_CUT] = { "cut", FAULT_AT_MODEL },
    [PRACTICE_RESET] = { "reset", FAULT_AT_MODEL },
};

const char *fault_name(enum practice_fault fault)
{
    return kinds[fault].name;
}

/* ":5" into a number of at least 1. */
static int part_parse(const char **text, const char *end, uint32_t *ret_number)
{
    char *stop = NULL;
    unsigned long value = strtoul(*text + 1, &stop, 10);
    if (stop == *text + 1 || stop > end || value == 0 || value > UINT32_MAX)
        return -EINVAL;
    *text = stop;
    *ret_number = (uint32_t)value;
    return 0;
}

static int rule_parse(const char *text, const char *end, unsigned where,
                      struct practice_fault_rule *ret_rule)
{
    size_t name_size = 0;
    while (text + name_size < end && text[name_size] != ':')
        name_size++;
    for (int i = 1; i < FAULT_KINDS; i++) {
        if ((kinds[i].where & where) == 0 || strlen(kinds[i].name) != name_size ||
            memcmp(kinds[i].name, text, name_size) != 0)
            continue;
        struct practice_fault_rule rule = { (enum practice_fault)i, 1, 0 };
        text += name_size;
        if (text < end && *text == ':' && part_parse(&text, end, &rule.every) < 0)
            return -EINVAL;
        if (text < end && *text == ':' && part_parse(&text, end, &rule.times) < 0)
            return -EINVAL;
        if (text != end)
            return -EINVAL;
        *ret_rule = rule;
        return 0;
    }
    return -EINVAL;
}

int faults_parse(const char *text, unsigned where, struct practice_fault_rule *ret_rules,
                 size_t *ret_count)
{
    struct practice_fault_rule rules[PRACTICE_RULES_MAX];
    size_t count = 0;
    bool more = strcmp(text, "none") != 0;
    while (more) {
        const char *end = strchrnul(text, ',');
        if (count == PRACTICE_RULES_MAX || rule_parse(text, end, where, &rules[count]) < 0)
            return -EINVAL;
        count++;
        more = *end == ',';
        text = end + 1;
    }
    memcpy(ret_rules, rules, count * sizeof(rules[0]));
    *ret_count = count;
    return 0;
}

void fault_plan_set(struct fault_plan *plan, const struct practice_fault_rule *rules, size_t count)
{
    memcpy(plan->rules, rules, count * sizeof(rules[0]));
    memset(plan->seen, 0, sizeof(plan->seen));
    memset(plan->done, 0, sizeof(plan->done));
    plan->count = count;
}

enum practice_fault fault_plan_next(struct fault_plan *plan)
{
    enum practice_fault fault = PRACTICE_OK;
    for (size_t i = 0; i < plan->count; i++) {
        const struct practice_fault_rule *rule = &plan->rules[i];
        bool due = ++plan->seen[i] % rule->every == 0 &&
                   (rule->times == 0 || plan->done[i] < rule->times);
        if (!due || fault != PRACTICE_OK)
            continue;
        plan->done[i]++;
        fault = rule->fault;
        plan->injected[fault]++;
    }
    return fault;
}
