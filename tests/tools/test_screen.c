/* SPDX-License-Identifier: Apache-2.0 */
/* The screen: whole frames against files in screen/, and what the terminal must be spared, over a
 * pseudo terminal. After a wanted change of the layout: UPDATE=1 test_screen, and look at the
 * difference. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "queenright/screen/screen.h"
#include "queenright/screen/text.h"

#define T0 1700000000000 /* 22:13:20 */

static struct screen *five_agents(int fd)
{
    static const char *const ids[] = {"atlas", "axon", "nova", "nexis", "lumi"};
    struct screen *screen = screen_new(fd, "five", true);
    screen_set_process(screen, "keeper", "up", 101);
    screen_set_process(screen, "home", "up", 102);
    screen_set_process(screen, "b", "restarting", 0);
    for (size_t i = 0; i < 5; i++)
        screen_set_agent(screen, ids[i], i == 4 ? "b" : "home", "$lab/gpt-5.5\nlab/small", "idle",
                         i, "");
    screen_set_agent(screen, "atlas", "home", "lab/gpt-5.5", "idle", 1,
                     "The first words of a long answer stay, since it is complete, and the rest of "
                     "it goes where there is room for it.");
    screen_set_agent(screen, "axon", "home", "lab/gpt-5.5", "answering", 1, "");
    screen_add_agent_text(screen, "axon", "The last words of what is being said so far are shown ",
                          54);
    screen_add_agent_text(screen, "axon", "while it comes in, here.", 24);
    struct screen_login login = {.profile = "lab:me", .account = "acct-1", .state = "valid",
                                 .reason = "", .generation = 7, .expires_at_ms = T0 + 10000};
    screen_set_login(screen, &login);
    login.profile = "lab:spare";
    login.state = "needs_login";
    login.reason = "invalid_grant";
    login.expires_at_ms = T0 - 1;
    screen_set_login(screen, &login);
    screen_event(screen, "swarm five is up");
    free(screen_print(screen, T0, 80, 24));
    login = (struct screen_login){.profile = "lab:me", .account = "acct-1", .state = "valid",
                                  .reason = "", .generation = 8, .expires_at_ms = T0 + 11000,
                                  .waited = 5};
    screen_set_login(screen, &login);
    free(screen_print(screen, T0 + 1000, 80, 24));
    screen_event(screen, "lab:me rotated: gen 7 -> 8, 5 waited");
    return screen;
}

static void assert_frame(const char *name, const char *frame)
{
    char path[512], expected[32768] = "";
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/screen/%s", name);
    if (getenv("UPDATE")) {
        FILE *out = fopen(path, "we");
        fputs(frame, out);
        fclose(out);
    }
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t size = fread(expected, 1, sizeof expected - 1, file);
    expected[size] = '\0';
    fclose(file);
    if (strcmp(frame, expected) != 0)
        fprintf(stderr, "%s, got:\n%s", name, frame);
    assert_true(strcmp(frame, expected) == 0);
}

static void frames_are_laid_out_for_their_size(void **state)
{
    (void)state;
    static const struct {
        unsigned columns, rows;
        const char *name;
    } sizes[] = {{80, 24, "80x24.txt"}, {120, 40, "120x40.txt"}, {40, 12, "40x12.txt"}};
    for (size_t i = 0; i < 3; i++) {
        struct screen *screen = five_agents(-1);
        char *frame = screen_print(screen, T0 + 3500, sizes[i].columns, sizes[i].rows);
        assert_frame(sizes[i].name, frame);
        unsigned rows = 0;
        for (char *line = frame, *end; (end = strchr(line, '\n')); line = end + 1, rows++) {
            *end = '\0';
            assert_true(text_columns(line) <= sizes[i].columns);
        }
        assert_int_equal(rows, sizes[i].rows);
        free(frame);
        screen_free(screen);
    }
}

static void any_size_is_survived(void **state)
{
    (void)state;
    struct screen *screen = five_agents(-1);
    for (int i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof id, "agent%d", i);
        screen_set_agent(screen, id, "home", "", "idle", 0, "x");
    }
    for (unsigned columns = 1; columns < 60; columns += 7)
        for (unsigned rows = 1; rows < 70; rows += 3)
            free(screen_print(screen, T0, columns, rows));
    char *frame = screen_print(screen, T0, 80, 24);
    assert_non_null(strstr(frame, " more, "));
    assert_non_null(strstr(frame, "lab:me"));
    assert_non_null(strstr(frame, "5 waited"));
    free(frame);
    screen_free(screen);
}

static void text_is_cut_by_columns_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_columns("h\xc3\xb6" "flich"), 7);
    assert_int_equal(text_columns("\xe4\xbd\xa0\xe5\xa5\xbd"), 4);
    assert_int_equal(text_columns("e\xcc\x81"), 1);
    assert_int_equal(text_columns("a\n\n  b"), 3);
    assert_int_equal(text_columns("\xff\xc3"), 2);
    assert_string_equal(text_tail("ab\xe4\xbd\xa0" "c", 3), "\xe4\xbd\xa0" "c");
    assert_string_equal(text_tail("ab\xe4\xbd\xa0" "c", 2), "c");
    assert_string_equal(text_break("one two three", 8), "three");
    assert_string_equal(text_break("onetwothree", 3), "twothree");
}

static void commands_in_text_never_pass(void **state)
{
    (void)state;
    struct screen *screen = screen_new(-1, "five\033[2J", false);
    screen_set_agent(screen, "atlas\x07", "home\x9b", "m\033", "idle\r", 0,
                     "\033]0;title\x07 a\xe2\x80\xaeo \xc2\x9b" "31m done");
    screen_event(screen, "line\033[31m\rover");
    screen_set_process(screen, "\033c", "up", 1);
    struct screen_login login = {.profile = "\033[2J", .account = "\x7f", .state = "\033c",
                                 .reason = "\033c"};
    screen_set_login(screen, &login);
    char *frame = screen_print(screen, T0, 120, 40);
    for (const char *c = frame; *c; c++)
        assert_true(*c == '\n' || (unsigned char)*c >= ' ');
    assert_null(strchr(frame, 0x7f));
    assert_null(strstr(frame, "\xc2\x9b"));
    assert_null(strstr(frame, "\xe2\x80\xae"));
    assert_non_null(strstr(frame, "done"));
    free(frame);
    screen_free(screen);
}

/* A pseudo terminal of that size; *ret_slave is for the screen. */
static int terminal(unsigned short columns, unsigned short rows, int *ret_slave)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    *ret_slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*ret_slave >= 0);
    struct winsize size = {.ws_col = columns, .ws_row = rows};
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    return master;
}

static size_t drain(int master, char *text, size_t size)
{
    size_t length = 0;
    for (ssize_t got; length + 1 < size; length += (size_t)got) {
        got = read(master, text + length, size - 1 - length);
        if (got <= 0)
            break;
    }
    text[length] = '\0';
    return length;
}

static void a_terminal_gets_only_what_changed(void **state)
{
    (void)state;
    int slave, master = terminal(80, 24, &slave);
    char text[65536];
    struct screen *screen = five_agents(slave);
    assert_true(screen_is_live(screen));
    screen_draw(screen, T0 + 2000);
    size_t whole = drain(master, text, sizeof text);
    assert_true(whole > 1000);
    assert_non_null(strstr(text, "\033[2J"));

    /* Too soon: nothing, however much was set. */
    screen_set_agent(screen, "nova", "home", "m", "answering", 9, "hm");
    assert_int_equal(screen_draw(screen, T0 + 2050), 50);
    assert_int_equal(drain(master, text, sizeof text), 0);
    assert_true(screen_draw(screen, T0 + 2100) > 0);
    size_t part = drain(master, text, sizeof text);
    assert_true(part > 0 && part < whole / 2);
    assert_non_null(strstr(text, "nova"));
    assert_null(strstr(text, "nexis"));
    assert_null(strstr(text, "\033[2J"));

    /* The same again is no change. */
    screen_set_agent(screen, "nova", "home", "m", "answering", 9, "hm");
    screen_draw(screen, T0 + 2210);
    assert_int_equal(drain(master, text, sizeof text), 0);

    struct winsize size = {.ws_col = 120, .ws_row = 40};
    ioctl(master, TIOCSWINSZ, &size);
    screen_draw(screen, T0 + 2320);
    drain(master, text, sizeof text);
    assert_non_null(strstr(text, "\033[2J"));
    assert_non_null(strstr(text, "\033[40;1H"));

    screen_free(screen);
    drain(master, text, sizeof text);
    assert_non_null(strstr(text, "\033[?25h"));
    close(slave);
    close(master);
}

static void a_stopped_terminal_blocks_nobody(void **state)
{
    (void)state;
    int slave, master = terminal(200, 100, &slave);
    struct screen *screen = five_agents(slave);
    char line[160], text[65536];
    for (int i = 0; i < 200; i++) { /* nobody reads */
        memset(line, 'a' + i % 26, sizeof line);
        line[159] = '\0';
        screen_event(screen, line);
        screen_draw(screen, T0 + 200 * i);
    }
    /* Read again: the stream goes on where it stopped, and ends with the present frame. */
    bool seen = false;
    for (int i = 0; i < 50 && !seen; i++) {
        drain(master, text, sizeof text);
        screen_draw(screen, T0 + 50000 + 1000 * i);
        seen = strstr(text, "rrrrrrrrrr") != NULL;
    }
    assert_true(seen);
    screen_free(screen);
    close(slave);
    close(master);
}

static void a_pipe_gets_lines(void **state)
{
    (void)state;
    int ends[2];
    char text[4096];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    struct screen *screen = five_agents(ends[1]);
    assert_false(screen_is_live(screen));
    screen_draw(screen, T0);
    screen_free(screen);
    drain(ends[0], text, sizeof text);
    assert_null(strchr(text, '\033'));
    const char *second = strchr(text, '\n');
    assert_non_null(second);
    assert_string_equal(second + 1 + strlen("00:00:00 "), "lab:me rotated: gen 7 -> 8, 5 waited\n");
    close(ends[0]);
    close(ends[1]);
}

static int make_the_clock_the_same_everywhere(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    unsetenv("LC_ALL");
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    tzset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_laid_out_for_their_size),
        cmocka_unit_test(any_size_is_survived),
        cmocka_unit_test(text_is_cut_by_columns_not_bytes),
        cmocka_unit_test(commands_in_text_never_pass),
        cmocka_unit_test(a_terminal_gets_only_what_changed),
        cmocka_unit_test(a_stopped_terminal_blocks_nobody),
        cmocka_unit_test(a_pipe_gets_lines),
    };
    return cmocka_run_group_tests(tests, make_the_clock_the_same_everywhere, NULL);
}
