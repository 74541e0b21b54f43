/* SPDX-License-Identifier: Apache-2.0 */
/* The practice provider alone, for tests of other programs:
 *   practice_main [--json] [--ready-fd N] [--end-with-fd] [--OPTION=VALUE ...]
 * with the options of practice_option_name. */
#include <stdlib.h>
#include <string.h>

#include "practice/practice.h"

static int usage(const char *why)
{
    const char *argument = NULL;
    const char *help = NULL;
    fprintf(stderr, "practice_main: %s\n  --json, --ready-fd=N, --end-with-fd\n", why);
    for (size_t i = 0; practice_option_name(i, &argument, &help) != NULL; i++)
        fprintf(stderr, "  --%s=%s  %s\n", practice_option_name(i, &argument, &help), argument,
                help);
    return 64;
}

/* "--name=value" */
static int option_read(struct practice_run_options *run, const char *text)
{
    char name[32];
    char why[512] = "not an option";
    const char *equals = strchr(text, '=');
    if (strncmp(text, "--", 2) != 0 || equals == NULL ||
        (size_t)(equals - text) - 2 >= sizeof(name))
        return usage(text);
    memcpy(name, text + 2, (size_t)(equals - text) - 2);
    name[equals - text - 2] = '\0';
    if (strcmp(name, "ready-fd") == 0) {
        run->ready_fd = (int)strtol(equals + 1, NULL, 10);
        return 0;
    }
    return practice_option_set(&run->options, name, equals + 1, why, sizeof(why)) < 0 ? usage(why)
                                                                                      : 0;
}

int main(int argc, char **argv)
{
    struct practice_run_options run = { .ready_fd = -1 };
    practice_options_init(&run.options);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            run.json = true;
        else if (strcmp(argv[i], "--end-with-fd") == 0)
            run.ends_with_fd = true;
        else if (option_read(&run, argv[i]) != 0)
            return 64;
    }
    int r = practice_run(&run, stdout);
    if (r < 0)
        fprintf(stderr, "practice_main: %s\n", strerror(-r));
    return r < 0;
}
