/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal_file.h"
#include "support/temp_dir.h"

struct place {
    char path[TEMP_DIR_MAX];
    char root_path[96];
    int root;
};

static int place_new(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    if (!place || temp_dir_make(place->path) < 0)
        return -1;
    snprintf(place->root_path, sizeof(place->root_path), "%s/state/five", place->path);
    place->root = journal_root_open(place->root_path);
    *state = place;
    return place->root >= 0 ? 0 : -1;
}

static int place_free(void **state)
{
    struct place *place = *state;

    close(place->root);
    temp_dir_remove(place->path);
    free(place);
    return 0;
}

static int append(struct place *place, const char *path, const char *line)
{
    return journal_file_append(place->root, path, line, strlen(line));
}

/* All lines joined by '|', and what the reader says of the rest. */
static char *read_all(struct place *place, const char *path, struct journal_reader *ret_reader)
{
    char *all = calloc(1, 1 << 20);
    const char *line;
    size_t size;

    assert_int_equal(journal_reader_open(ret_reader, place->root, path), 0);
    while (journal_reader_next(ret_reader, &line, &size) > 0) {
        strncat(all, line, size);
        strncat(all, "|", 2);
    }
    return all;
}

static void expect_lines(struct place *place, const char *path, const char *lines, uint64_t torn)
{
    struct journal_reader reader;
    char *all = read_all(place, path, &reader);

    assert_string_equal(all, lines);
    assert_int_equal(reader.torn, torn);
    journal_reader_close(&reader);
    free(all);
}

static void write_raw(struct place *place, const char *name, const char *text)
{
    int fd = openat(place->root, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void lines_come_back_in_order(void **state)
{
    struct place *place = *state;

    assert_int_equal(append(place, "agents/atlas/main.jsonl", "{\"n\":1}"), 0);
    assert_int_equal(append(place, "agents/atlas/main.jsonl", "{\"n\":2}"), 0);
    expect_lines(place, "agents/atlas/main.jsonl", "{\"n\":1}|{\"n\":2}|", 0);
    expect_lines(place, "agents/axon/main.jsonl", "", 0);
}

static void folders_and_files_are_for_their_owner_only(void **state)
{
    struct place *place = *state;
    struct stat status;
    mode_t before = umask(0);

    assert_int_equal(append(place, "agents/atlas/main.jsonl", "x"), 0);
    umask(before);
    assert_int_equal(stat(place->root_path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(fstatat(place->root, "agents/atlas", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(fstatat(place->root, "agents/atlas/main.jsonl", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void a_torn_last_line_is_cut_off_and_counted(void **state)
{
    struct place *place = *state;

    write_raw(place, "a.jsonl", "one\ntwo\nthr");
    expect_lines(place, "a.jsonl", "one|two|", 3);
    expect_lines(place, "a.jsonl", "one|two|", 0);

    write_raw(place, "b.jsonl", "one\ntorn");
    assert_int_equal(append(place, "b.jsonl", "two"), 0);
    expect_lines(place, "b.jsonl", "one|two|", 0);

    write_raw(place, "c.jsonl", "never a newline");
    expect_lines(place, "c.jsonl", "", 15);
}

static void no_path_leads_out_of_the_root(void **state)
{
    struct place *place = *state;
    static const char *const bad[] = {"", "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b",
                                      "a/", "..", ".", "a/.."};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(append(place, bad[i], "x"), -EINVAL);
}

static void symlinks_are_not_followed(void **state)
{
    struct place *place = *state;
    struct journal_reader reader;

    assert_int_equal(symlinkat("/tmp", place->root, "out"), 0);
    assert_int_equal(symlinkat("/etc/hostname", place->root, "file"), 0);
    assert_int_equal(append(place, "out/x", "x"), -ELOOP);
    assert_int_equal(append(place, "file", "x"), -ELOOP);
    assert_int_equal(journal_reader_open(&reader, place->root, "file"), -ELOOP);
    assert_int_equal(mkfifoat(place->root, "pipe", 0600), 0);
    assert_int_equal(append(place, "pipe", "x"), -EBADF);
}

static void a_line_is_one_line(void **state)
{
    struct place *place = *state;

    assert_int_equal(append(place, "a", "two\nlines"), -EINVAL);
    assert_int_equal(append(place, "a", ""), -EINVAL);
    assert_int_equal(journal_file_append(place->root, "a", "a\0b", 3), -EINVAL);
    expect_lines(place, "a", "", 0);
}

static void a_full_disk_leaves_the_file_as_it_was(void **state)
{
    struct place *place = *state;
    struct rlimit before, tight;
    char *line = malloc(5000);

    memset(line, 'x', 4999);
    line[4999] = 0;
    assert_int_equal(append(place, "a", "first"), 0);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGXFSZ, &ignore, NULL);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 4096; /* some of the line fits, not all */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int r = append(place, "a", line);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(r, -EFBIG);
    expect_lines(place, "a", "first|", 0);
    assert_int_equal(append(place, "a", "second"), 0);
    expect_lines(place, "a", "first|second|", 0);
    free(line);
}

static void long_lines_pass_and_too_long_ones_are_counted(void **state)
{
    struct place *place = *state;
    struct journal_reader reader;
    size_t size = JOURNAL_LINE_MAX + 10, got;
    char *text = malloc(size + 100);
    const char *line;

    memset(text, 'x', size);
    memcpy(text, "first\n", 6);
    memcpy(text + size, "\nlast\n", 7);
    write_raw(place, "a", text);
    assert_int_equal(journal_reader_open(&reader, place->root, "a"), 0);
    assert_int_equal(journal_reader_next(&reader, &line, &got), 1);
    assert_int_equal(journal_reader_next(&reader, &line, &got), 1);
    assert_memory_equal(line, "last", 4);
    assert_int_equal(journal_reader_next(&reader, &line, &got), 0);
    assert_int_equal(reader.skipped, 1);
    journal_reader_close(&reader);

    memset(text, 'y', 300000);
    assert_int_equal(journal_file_append(place->root, "b", text, 300000), 0);
    assert_int_equal(append(place, "b", "after"), 0);
    assert_int_equal(journal_reader_open(&reader, place->root, "b"), 0);
    assert_int_equal(journal_reader_next(&reader, &line, &got), 1);
    assert_int_equal(got, 300000);
    assert_memory_equal(line, text, got);
    assert_int_equal(journal_reader_next(&reader, &line, &got), 1);
    assert_int_equal(got, 5);
    journal_reader_close(&reader);
    free(text);
}

static void files_are_listed_last_changed_first(void **state)
{
    struct place *place = *state;
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    char *names;

    assert_int_equal(append(place, "agents/nova/b.jsonl", "x"), 0);
    assert_int_equal(append(place, "agents/nova/a.jsonl", "x"), 0);
    assert_int_equal(append(place, "agents/nova/deep/c.jsonl", "x"), 0);
    assert_int_equal(utimensat(place->root, "agents/nova/a.jsonl", old, 0), 0);
    assert_int_equal(journal_folder_list(place->root, "agents/nova", &names), 0);
    assert_string_equal(names, "b.jsonl\na.jsonl");
    free(names);
    assert_int_equal(journal_folder_list(place->root, "agents/nobody", &names), 0);
    assert_string_equal(names, "");
    free(names);
    assert_int_equal(journal_folder_list(place->root, "../..", &names), -EINVAL);
}

/* Appends numbers from `first` and says each through the pipe once it is on disk, until killed. */
static void append_for_ever(struct place *place, uint32_t first, int pipe_end)
{
    for (uint32_t n = first;; n++) {
        char line[64];
        snprintf(line, sizeof(line), "%u and some text to tear", n);
        if (append(place, "a", line) < 0 || write(pipe_end, &n, sizeof(n)) != sizeof(n))
            _exit(1);
    }
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
    struct place *place = *state;
    uint32_t acknowledged = 0, written = 0;

    for (int round = 0; round < 8; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0)
            append_for_ever(place, written + 1, ends[1]);
        close(ends[1]);
        for (int i = 0; i < 20 + round * 7; i++)
            assert_int_equal(read(ends[0], &acknowledged, sizeof(acknowledged)),
                             sizeof(acknowledged));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(ends[0], &acknowledged, sizeof(acknowledged)) > 0)
            continue;
        close(ends[0]);

        struct journal_reader reader;
        const char *line;
        size_t size;
        written = 0;
        assert_int_equal(journal_reader_open(&reader, place->root, "a"), 0);
        while (journal_reader_next(&reader, &line, &size) > 0)
            assert_int_equal(strtoul(line, NULL, 10), ++written);
        journal_reader_close(&reader);
        assert_true(written >= acknowledged);
    }
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_new, place_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(lines_come_back_in_order),
        IN_PLACE(folders_and_files_are_for_their_owner_only),
        IN_PLACE(a_torn_last_line_is_cut_off_and_counted),
        IN_PLACE(no_path_leads_out_of_the_root),
        IN_PLACE(symlinks_are_not_followed),
        IN_PLACE(a_line_is_one_line),
        IN_PLACE(a_full_disk_leaves_the_file_as_it_was),
        IN_PLACE(long_lines_pass_and_too_long_ones_are_counted),
        IN_PLACE(files_are_listed_last_changed_first),
        IN_PLACE(what_was_acknowledged_survives_a_kill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
