/* SPDX-License-Identifier: Apache-2.0 */
/* Options by name: one table serves the command line, its help and POST /practice/options, so that
 * what can be set at start can also be changed while a test runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "practice/practice.h"

enum option_kind { OPTION_TIME, OPTION_TEXT, OPTION_BOOL, OPTION_ROTATION, OPTION_TOKEN_FAULTS,
                   OPTION_MODEL_FAULTS, OPTION_PORT, OPTION_COUNT };

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset;
    const char *help;
};

#define ROW(name, kind, field, help) { name, kind, offsetof(struct practice_options, field), help }
static const struct option_row rows[] = {
    ROW("port", OPTION_PORT, port, "port on 127.0.0.1; 0 picks a free one"),
    ROW("client-id", OPTION_TEXT, client_id, "the only client id it accepts"),
    ROW("access-life", OPTION_TIME, access_life_ms, "life of an access token"),
    ROW("refresh-delay", OPTION_TIME, refresh_delay_ms, "between spending a token and answering"),
    ROW("rotation", OPTION_ROTATION, rotation, "strict, grace, none or two-phase"),
    ROW("grace", OPTION_TIME, grace_ms, "with rotation grace: how long the last token still works"),
    ROW("reuse-ends-login", OPTION_BOOL, reuse_ends_login,
        "yes: a reused token ends the login, its access tokens too"),
    ROW("earliest-refresh", OPTION_TIME, earliest_refresh_ms,
        "a refresh of a token younger than this spends it and is refused"),
    ROW("token-faults", OPTION_TOKEN_FAULTS, token_faults,
        "drop-before, drop-after, 500-before, 500-after, 403-html, 200-html, truncated-json, "
        "no-expires-in, no-refresh-token, hang, drip, huge-token, 429; or none"),
    ROW("model-faults", OPTION_MODEL_FAULTS, model_faults,
        "401, 429, 500-before, overload, cut, reset, hang, drip, drop-before; or none"),
    ROW("model-delay", OPTION_TIME, model_delay_ms, "to the model's first word"),
    ROW("model-pace", OPTION_TIME, model_pace_ms, "between the model's words"),
    ROW("quota-reset", OPTION_TIME, quota_reset_ms, "how long a login stays refused after a 429"),
    ROW("max-connections", OPTION_COUNT, max_connections, "connections served at once"),
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const char *const rotation_names[] = {
    [PRACTICE_STRICT] = "strict", [PRACTICE_GRACE] = "grace",
    [PRACTICE_NONE] = "none", [PRACTICE_TWO_PHASE] = "two-phase",
};

void practice_options_init(struct practice_options *options)
{
    *options = (struct practice_options){
        .client_id = "practice",
        .access_life_ms = 5000,
        .rotation = PRACTICE_STRICT,
        .grace_ms = 30000,
        .reuse_ends_login = true,
        .model_delay_ms = 50,
        .model_pace_ms = 15,
        .quota_reset_ms = 3000,
        .max_connections = 8192,
    };
}

const char *practice_option_name(size_t index, const char **ret_argument, const char **ret_help)
{
    static const char *const arguments[] = {
        [OPTION_TIME] = "TIME", [OPTION_TEXT] = "TEXT", [OPTION_BOOL] = "yes|no",
        [OPTION_ROTATION] = "RULE", [OPTION_TOKEN_FAULTS] = "FAULT[:EVERY[:TIMES]],...",
        [OPTION_MODEL_FAULTS] = "FAULT[:EVERY[:TIMES]],...", [OPTION_PORT] = "PORT",
        [OPTION_COUNT] = "N",
    };
    if (index >= ROW_COUNT)
        return NULL;
    *ret_argument = arguments[rows[index].kind];
    *ret_help = rows[index].help;
    return rows[index].name;
}

/* "1500ms", "2s", "10m", "1h"; a bare number is seconds. */
static int time_parse(const char *text, uint64_t *ret_ms)
{
    static const struct { const char *suffix; double ms; } units[] = {
        { "ms", 1 }, { "s", 1000 }, { "", 1000 }, { "m", 60000 }, { "h", 3600000 },
    };
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || !(value >= 0) || value > 1e9)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].suffix) == 0) {
            *ret_ms = (uint64_t)(value * units[i].ms + 0.5);
            return 0;
        }
    }
    return -EINVAL;
}

static int number_parse(const char *text, unsigned long max, unsigned long *ret_number)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value > max || text[0] == '-')
        return -EINVAL;
    *ret_number = value;
    return 0;
}

static int rotation_parse(const char *text, enum practice_rotation *ret_rotation)
{
    for (size_t i = 0; i < sizeof(rotation_names) / sizeof(rotation_names[0]); i++) {
        if (strcmp(text, rotation_names[i]) == 0) {
            *ret_rotation = (enum practice_rotation)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int bool_parse(const char *text, bool *ret_bool)
{
    bool yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "no") != 0 && strcmp(text, "false") != 0)
        return -EINVAL;
    *ret_bool = yes;
    return 0;
}

static int text_parse(const char *text, char *ret_text, size_t size)
{
    if (text[0] == '\0' || strlen(text) >= size)
        return -EINVAL;
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

static int row_set(struct practice_options *options, const struct option_row *row,
                   const char *value)
{
    void *field = (char *)options + row->offset;
    unsigned long number = 0;
    int r = 0;
    switch (row->kind) {
    case OPTION_TIME: return time_parse(value, field);
    case OPTION_TEXT: return text_parse(value, field, sizeof(options->client_id));
    case OPTION_BOOL: return bool_parse(value, field);
    case OPTION_ROTATION: return rotation_parse(value, field);
    case OPTION_TOKEN_FAULTS:
        return faults_parse(value, FAULT_AT_TOKEN, field, &options->token_fault_count);
    case OPTION_MODEL_FAULTS:
        return faults_parse(value, FAULT_AT_MODEL, field, &options->model_fault_count);
    case OPTION_PORT:
        r = number_parse(value, UINT16_MAX, &number);
        if (r == 0)
            *(uint16_t *)field = (uint16_t)number;
        return r;
    case OPTION_COUNT:
        r = number_parse(value, 1000000, &number);
        if (r == 0)
            *(uint32_t *)field = (uint32_t)number;
        return r;
    }
    return -EINVAL;
}

int practice_option_set(struct practice_options *options, const char *name, const char *value,
                        char *ret_why, size_t why_size)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        const char *argument = NULL;
        const char *help = NULL;
        practice_option_name(i, &argument, &help);
        int r = row_set(options, &rows[i], value);
        if (r < 0)
            snprintf(ret_why, why_size, "%s: \"%.60s\" is not %s (%s)", name, value, argument,
                     help);
        return r;
    }
    snprintf(ret_why, why_size, "%.60s: the practice provider has no such option", name);
    return -ENOENT;
}
