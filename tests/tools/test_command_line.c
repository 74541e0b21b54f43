/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as a user meets it: the program is run, nothing is linked. Only commands that
 * need no running system; those that do have their tests in tests/e2e. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_MAX (256 << 10)

struct ran {
    int code; /* exit code; 1000 + signal */
    char out[OUTPUT_MAX];
    char error[OUTPUT_MAX];
};

static char *scratch; /* the group's own directory; HOME, state and run directory are in it */

/* Reads both ends until both are closed. */
static void collect(int out, int error, struct ran *ran)
{
    struct pollfd ends[] = {{out, POLLIN, 0}, {error, POLLIN, 0}};
    char *texts[] = {ran->out, ran->error};
    size_t sizes[2] = {0};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        assert_true(poll(ends, 2, 20000) > 0);
        for (int i = 0; i < 2; i++) {
            if (ends[i].fd < 0 || !ends[i].revents)
                continue;
            ssize_t got = read(ends[i].fd, texts[i] + sizes[i], OUTPUT_MAX - 1 - sizes[i]);
            if (got <= 0)
                ends[i].fd = -1;
            else
                sizes[i] += (size_t)got;
        }
    }
    ran->out[sizes[0]] = ran->error[sizes[1]] = '\0';
}

static struct ran *run_file(const char *file, const char *const *args)
{
    static struct ran ran;
    const char *argv[16] = {file};
    int out[2], error[2], status;
    for (int i = 0; args[i]; i++)
        argv[i + 1] = args[i];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(error, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        dup2(error[1], 2);
        execv(file, (char **)(uintptr_t)argv);
        _exit(127);
    }
    close(out[1]);
    close(error[1]);
    collect(out[0], error[0], &ran);
    close(out[0]);
    close(error[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    return &ran;
}

#define RUN(...) run_file(TEST_PROGRAM, (const char *const[]){__VA_ARGS__, NULL})
#define BASH(script) run_file("/bin/bash", (const char *const[]){"--norc", "-c", script, NULL})

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%.2000s", part, text);
}

/* Calls `each` with the words of every command that help lists. */
static size_t each_command(void (*each)(const char *first, const char *second))
{
    char *list = strdup(RUN("help")->out);
    size_t count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(list, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char first[32] = "", second[32] = "";
        if (strncmp(line, "  ", 2) != 0 || sscanf(line, " %31[a-z] %31[a-z]", first, second) < 1)
            continue;
        if (line[2 + strlen(first)] != ' ' || line[3 + strlen(first)] < 'a')
            *second = '\0';
        each(first, second);
        count++;
    }
    free(list);
    return count;
}

static void help_of(const char *first, const char *second)
{
    char usage[96];
    snprintf(usage, sizeof usage, "queenright %s%s%s", first, *second ? " " : "", second);
    struct ran *ran = *second ? RUN("help", first, second) : RUN("help", first);
    assert_int_equal(ran->code, 0);
    assert_has(ran->out, usage);
    ran = *second ? RUN(first, second, "--help") : RUN(first, "--help");
    assert_int_equal(ran->code, 0);
    assert_has(ran->out, usage);
    assert_string_equal(ran->error, "");
    ran = *second ? RUN(first, second, "--no-such-option") : RUN(first, "--no-such-option");
    assert_int_equal(ran->code, 64);
    assert_string_equal(ran->out, "");
}

static void every_command_explains_itself(void **state)
{
    (void)state;
    assert_true(each_command(help_of) >= 15);
}

static void an_unknown_command_is_answered_with_the_nearest(void **state)
{
    (void)state;
    struct ran *ran = RUN("statsu");
    assert_int_equal(ran->code, 64);
    assert_string_equal(ran->error,
                        "queenright: no command \"statsu\"\n  try: queenright status\n");
    ran = RUN("auth", "improt");
    assert_int_equal(ran->code, 64);
    assert_has(ran->error, "try: queenright auth import");
    ran = RUN("xyzzy", "--json");
    assert_int_equal(ran->code, 64);
    assert_has(ran->error, "try: queenright help");
    assert_string_equal(ran->out, "");
}

static void wrong_words_are_usage_errors(void **state)
{
    (void)state;
    assert_int_equal(RUN("ask")->code, 64);
    assert_int_equal(RUN("ask", "atlas")->code, 64);
    assert_int_equal(RUN("config", "diff", "a")->code, 64);
    assert_int_equal(RUN("config", "diff", "a", "b", "c")->code, 64);
    assert_int_equal(RUN("auth")->code, 64);
    assert_int_equal(RUN("completion", "tcsh")->code, 64);
    assert_int_equal(run_file(TEST_PROGRAM, (const char *const[]){NULL})->code, 64);
}

static void the_version_is_told(void **state)
{
    (void)state;
    struct ran *ran = RUN("--version");
    assert_int_equal(ran->code, 0);
    assert_int_equal(strncmp(ran->out, "queenright ", 11), 0);
}

static const char *scratch_file(const char *name, const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void config_check_tells_good_from_bad(void **state)
{
    (void)state;
    struct ran *ran = RUN("config", "check", TEST_SOURCE_DIR "/config/good/five.json");
    assert_int_equal(ran->code, 0);
    assert_has(ran->out, "swarm five, 5 agents on 2 nodes");
    ran = RUN("config", "check", TEST_SOURCE_DIR "/config/bad/unknown_keys.json");
    assert_int_equal(ran->code, 78);
    assert_string_equal(ran->out, "");
    assert_has(ran->error,
               "unknown_keys.json:3:5: auth.routing: unknown key; did you mean auth.order?");
    ran = RUN("config", "check", "--json", TEST_SOURCE_DIR "/config/bad/unknown_keys.json");
    assert_int_equal(ran->code, 78);
    assert_has(ran->out, "\"path\": \"auth.routing\"");
    ran = RUN("config", "check", "/nonexistent/queenright.json");
    assert_int_equal(ran->code, 78);
    assert_has(ran->error, "No such file");
}

static void config_is_looked_for_here_and_at_home(void **state)
{
    (void)state;
    struct ran *ran = RUN("config", "check");
    assert_int_equal(ran->code, 78);
    assert_has(ran->error, "./queenright.json, ");
    assert_has(ran->error, "/.config/queenright/queenright.json");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/.config", scratch);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(folder, sizeof folder, "%s/.config/queenright", scratch);
    assert_int_equal(mkdir(folder, 0700), 0);
    scratch_file(".config/queenright/queenright.json", "{\"swarm\": \"athome\"}");
    assert_has(RUN("config", "check")->out, "swarm athome");
    scratch_file("queenright.json", "{\"swarm\": \"here\"}");
    assert_has(RUN("config", "check")->out, "swarm here");
}

static void config_diff_says_what_would_change(void **state)
{
    (void)state;
    char *before = strdup(scratch_file("before.json", "{\"agents\": {\"entries\": {\"atlas\": "
                                                      "{\"model\": \"openai/a\"}}}}"));
    char *after = strdup(scratch_file("after.json", "{\"agents\": {\"entries\": {\"atlas\": "
                                                    "{\"model\": \"openai/b\"}}}}"));
    struct ran *ran = RUN("config", "diff", before, after);
    assert_int_equal(ran->code, 0);
    assert_has(ran->out, "agent atlas: model openai/a -> openai/b");
    ran = RUN("config", "diff", "--json", before, after);
    assert_has(ran->out, "\"subject\": \"atlas\"");
    assert_has(RUN("config", "diff", before, before)->out, "no difference");
    free(before);
    free(after);
}

static void bash_completes_what_the_table_holds(void **state)
{
    (void)state;
    static const char script[] =
        "source <(" TEST_PROGRAM " completion bash) || exit 9\n"
        "compopt() { :; }\n"
        "try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _queenright\n"
        "        echo \"${COMPREPLY[@]}\"; }\n"
        "try queenright st\n"
        "try queenright auth im\n"
        "try queenright auth import --take\n"
        "try queenright config check " TEST_SOURCE_DIR "/config/good/fi\n";
    struct ran *ran = BASH(script);
    assert_string_equal(ran->error, "");
    assert_int_equal(ran->code, 0);
    assert_string_equal(ran->out, "status\nimport\n--take-over\n" TEST_SOURCE_DIR
                                  "/config/good/five.json\n");
}

static void completion_names(const char *first, const char *second)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t i = 0; i < 3; i++) {
        struct ran *ran = RUN("completion", shells[i]);
        assert_int_equal(ran->code, 0);
        assert_has(ran->out, *second ? second : first);
    }
}

static void all_shells_know_all_commands(void **state)
{
    (void)state;
    each_command(completion_names);
}

static void manual_names(const char *first, const char *second)
{
    char section[96];
    snprintf(section, sizeof section, ".SS queenright %s%s%s", first, *second ? " " : "", second);
    assert_has(RUN("manual", "man")->out, section);
}

static void the_manual_has_every_command(void **state)
{
    (void)state;
    each_command(manual_names);
    struct ran *ran = RUN("manual", "man");
    assert_has(ran->out, ".SH EXIT STATUS\n.TP\n0\n");
    for (const char *line = ran->out; (line = strchr(line, '\n')); line++)
        if (line[1] == '.') /* only requests we mean */
            assert_true(strncmp(line + 2, "TP", 2) == 0 || strncmp(line + 2, "SS", 2) == 0 ||
                        strncmp(line + 2, "SH", 2) == 0 || strncmp(line + 2, "PP", 2) == 0 ||
                        strncmp(line + 2, "B ", 2) == 0 || strncmp(line + 2, "I ", 2) == 0);
}

static void output_that_nobody_takes_is_a_failure(void **state)
{
    (void)state;
    struct ran *ran = BASH(TEST_PROGRAM " help > /dev/full; echo $?");
    assert_string_equal(ran->out, "1\n");
    assert_has(ran->error, "queenright: writing the output");
}

static int make_a_home(void **state)
{
    (void)state;
    char template[] = "/tmp/queenright-cli-XXXXXX";
    char state_path[512];
    assert_non_null(mkdtemp(template));
    scratch = strdup(template);
    snprintf(state_path, sizeof state_path, "%s/state", scratch);
    setenv("HOME", scratch, 1);
    setenv("QUEENRIGHT_STATE", state_path, 1);
    setenv("XDG_RUNTIME_DIR", scratch, 1);
    unsetenv("XDG_CONFIG_HOME");
    return chdir(scratch);
}

static int remove_the_home(void **state)
{
    (void)state;
    int done = chdir("/");
    run_file("/bin/rm", (const char *const[]){"-rf", scratch, NULL});
    free(scratch);
    return done;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_explains_itself),
        cmocka_unit_test(an_unknown_command_is_answered_with_the_nearest),
        cmocka_unit_test(wrong_words_are_usage_errors),
        cmocka_unit_test(the_version_is_told),
        cmocka_unit_test(config_check_tells_good_from_bad),
        cmocka_unit_test(config_is_looked_for_here_and_at_home),
        cmocka_unit_test(config_diff_says_what_would_change),
        cmocka_unit_test(bash_completes_what_the_table_holds),
        cmocka_unit_test(all_shells_know_all_commands),
        cmocka_unit_test(the_manual_has_every_command),
        cmocka_unit_test(output_that_nobody_takes_is_a_failure),
    };
    return cmocka_run_group_tests(tests, make_a_home, remove_the_home);
}
