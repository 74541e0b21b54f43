/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/screen/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "queenright/screen/internal.h"

#define FRAME_MS 100       /* at most ten frames a second */
#define CLOCK_MS 1000      /* how often clocks are worth a frame */
#define CLOCK_SHORT_MS 250 /* while a token of a short life runs down */
#define SHORT_LIFE_MS 60000

static bool set_text(char *field, size_t size, const char *text)
{
    if (!text || strncmp(field, text, size - 1) == 0)
        return false;
    snprintf(field, size, "%s", text);
    return true;
}

/* 1 when it has changed; a number, so that | may join several and all are made. */
#define SET(field, text) (unsigned)set_text(field, sizeof(field), text)

/* The row whose first field, a name, is `name`; made when it is new. NULL without memory. */
static void *row_find(void **rows, size_t *count, size_t row_size, const char *name, bool make)
{
    char *bytes = *rows;
    for (size_t i = 0; i < *count; i++)
        if (strncmp(bytes + i * row_size, name, SCREEN_NAME_MAX - 1) == 0)
            return bytes + i * row_size;
    if (!make)
        return NULL;
    bytes = reallocarray(*rows, *count + 1, row_size);
    if (!bytes)
        return NULL;
    *rows = bytes;
    char *row = bytes + (*count)++ * row_size;
    memset(row, 0, row_size);
    snprintf(row, SCREEN_NAME_MAX, "%s", name);
    return row;
}

#define FIND(screen, rows, count, name, make)                                                      \
    row_find((void **)&(screen)->rows, &(screen)->count, sizeof *(screen)->rows, (name), (make))

void screen_set_process(struct screen *screen, const char *name, const char *state, int pid)
{
    struct screen_process *process = FIND(screen, processes, process_count, name, true);
    if (!process)
        return;
    screen->dirty |= SET(process->state, state) | (process->pid != pid);
    process->pid = pid;
}

/* The end is kept, cut where a character begins. */
static void agent_append(struct screen_agent *agent, const char *text, size_t size)
{
    size_t room = sizeof agent->text - 1;
    if (size > room) {
        size_t cut = size - room;
        while (cut < size && ((unsigned char)text[cut] & 0xc0) == 0x80)
            cut++;
        text += cut;
        size -= cut;
        agent->text_size = 0;
    } else if (agent->text_size + size > room) {
        size_t cut = agent->text_size + size - room;
        while (cut < agent->text_size && ((unsigned char)agent->text[cut] & 0xc0) == 0x80)
            cut++;
        memmove(agent->text, agent->text + cut, agent->text_size - cut);
        agent->text_size -= cut;
    }
    memcpy(agent->text + agent->text_size, text, size);
    agent->text_size += size;
    agent->text[agent->text_size] = '\0';
}

void screen_set_agent(struct screen *screen, const char *id, const char *node, const char *models,
                      const char *state, uint64_t turns, const char *text)
{
    struct screen_agent *agent = FIND(screen, agents, agent_count, id, true);
    if (!agent)
        return;
    char model[SCREEN_NAME_MAX];
    const char *first = models && *models == '$' ? models + 1 : models ? models : "";
    snprintf(model, sizeof model, "%.*s", (int)strcspn(first, "\n"), first);
    screen->dirty |= SET(agent->node, node) | SET(agent->model, model) |
                     SET(agent->state, state) | (agent->turns != turns);
    agent->turns = turns;
    if (text && strcmp(agent->text, text) != 0) {
        agent->text_size = 0;
        agent_append(agent, text, strlen(text));
        screen->dirty = true;
    }
}

void screen_add_agent_text(struct screen *screen, const char *id, const char *text, size_t size)
{
    struct screen_agent *agent = FIND(screen, agents, agent_count, id, false);
    if (!agent || size == 0)
        return;
    agent_append(agent, text, size);
    screen->dirty = true;
}

void screen_remove_agent(struct screen *screen, const char *id)
{
    struct screen_agent *agent = FIND(screen, agents, agent_count, id, false);
    if (!agent)
        return;
    size_t after = (size_t)(screen->agents + screen->agent_count - agent - 1);
    memmove(agent, agent + 1, after * sizeof *agent);
    screen->agent_count--;
    screen->dirty = true;
}

void screen_set_login(struct screen *screen, const struct screen_login *login)
{
    struct screen_login_row *row = FIND(screen, logins, login_count, login->profile, true);
    if (!row)
        return;
    bool rotated = row->generation > 0 && login->generation > row->generation;
    bool renewed = login->expires_at_ms != row->expires_at_ms;
    screen->dirty |= SET(row->account, login->account) | SET(row->state, login->state) |
                     SET(row->reason, login->reason) | rotated | renewed |
                     (row->waiters != login->waiters) | (row->waited != login->waited) |
                     (row->cooling_until_ms != login->cooling_until_ms);
    if (rotated) {
        row->generation_before = row->generation;
        row->rotated = true;
        row->rotated_ms = 0;
    }
    if (renewed)
        row->life_ms = 0; /* how long it lives shows at the next draw */
    row->generation = login->generation;
    row->refreshes = login->refreshes;
    row->waited = login->waited;
    row->waiters = login->waiters;
    row->expires_at_ms = login->expires_at_ms;
    row->cooling_until_ms = login->cooling_until_ms;
}

/* One line to a file or pipe, with the time, control characters taken out. */
static void line_write(const struct screen *screen, const char *text)
{
    struct timespec now;
    struct tm parts = {0};
    char clock[16];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    strftime(clock, sizeof clock, "%H:%M:%S ", &parts);
    struct strip strip;
    strip_init(&strip, 4096, false, screen->ascii);
    strip_put(&strip, STYLE_PLAIN, clock, 0);
    strip_put(&strip, STYLE_PLAIN, text, 0);
    strip_put(&strip, STYLE_PLAIN, "", 0);
    if (strip.text && screen->fd >= 0)
        dprintf(screen->fd, "%s\n", strip.text);
    free(strip.text);
}

void screen_event(struct screen *screen, const char *line)
{
    struct screen_event_line *event = &screen->events[screen->event_count % SCREEN_EVENTS_MAX];
    free(event->text);
    *event = (struct screen_event_line){.text = strdup(line)};
    screen->event_count++;
    screen->dirty = true;
    if (!screen->live)
        line_write(screen, line);
}

/* ---- time ----------------------------------------------------------------------------------- */

/* What was set without a time happened now. */
static void stamp(struct screen *screen, int64_t wall_ms)
{
    if (screen->started_ms == 0)
        screen->started_ms = wall_ms;
    for (size_t i = 0; i < SCREEN_EVENTS_MAX; i++)
        if (screen->events[i].text && screen->events[i].at_ms == 0)
            screen->events[i].at_ms = wall_ms;
    for (size_t i = 0; i < screen->login_count; i++) {
        struct screen_login_row *row = &screen->logins[i];
        if (row->rotated && row->rotated_ms == 0)
            row->rotated_ms = wall_ms;
        if (row->life_ms == 0)
            row->life_ms = row->expires_at_ms > wall_ms ? row->expires_at_ms - wall_ms : 1;
    }
}

static uint64_t clock_step_ms(const struct screen *screen)
{
    for (size_t i = 0; i < screen->login_count; i++)
        if (screen->logins[i].expires_at_ms != 0 && screen->logins[i].life_ms < SHORT_LIFE_MS)
            return CLOCK_SHORT_MS;
    return CLOCK_MS;
}

char *screen_print(struct screen *screen, int64_t wall_ms, unsigned columns, unsigned rows)
{
    stamp(screen, wall_ms);
    struct screen_view view = {columns, rows, false, screen->ascii, wall_ms};
    char **lines = screen_layout(screen, &view), *text = NULL;
    size_t size = 0;
    FILE *out = lines ? open_memstream(&text, &size) : NULL;
    for (unsigned i = 0; lines && i < rows; i++) {
        size_t length = strlen(lines[i]);
        while (length > 0 && lines[i][length - 1] == ' ')
            length--;
        if (out)
            fprintf(out, "%.*s\n", (int)length, lines[i]);
        free(lines[i]);
    }
    free(lines);
    if (out)
        fclose(out);
    return text;
}

/* ---- the terminal --------------------------------------------------------------------------- */

static void shown_free(struct screen *screen)
{
    for (unsigned i = 0; screen->shown && i < screen->rows; i++)
        free(screen->shown[i]);
    free(screen->shown);
    screen->shown = NULL;
}

/* Sends what is pending; true when all of it is out. */
static bool flush(struct screen *screen)
{
    while (screen->pending_at < screen->pending_size) {
        ssize_t sent = write(screen->out, screen->pending + screen->pending_at,
                             screen->pending_size - screen->pending_at);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return false;
        if (sent < 0) { /* the terminal is gone: nobody looks */
            screen->live = false;
            screen->fd = -1;
            break;
        }
        screen->pending_at += (size_t)sent;
    }
    free(screen->pending);
    screen->pending = NULL;
    screen->pending_size = screen->pending_at = 0;
    return true;
}

/* Writes the rows that differ from what is shown, and keeps the new ones. Takes the rows. */
static void frame_send(struct screen *screen, char **rows, const struct screen_view *view)
{
    bool whole = !screen->shown || screen->columns != view->columns || screen->rows != view->rows;
    FILE *out = open_memstream(&screen->pending, &screen->pending_size);
    if (out) /* 2026: show it at once; terminals that do not know it ignore it */
        fputs(whole ? "\033[?2026h\033[?25l\033[2J" : "\033[?2026h", out);
    for (unsigned i = 0; out && i < view->rows; i++)
        if (whole || strcmp(rows[i], screen->shown[i]) != 0)
            fprintf(out, "\033[%u;1H\033[K%s", i + 1, rows[i]);
    if (out) {
        fputs("\033[?2026l", out);
        fclose(out);
    }
    shown_free(screen);
    screen->shown = rows;
    screen->columns = view->columns;
    screen->rows = view->rows;
    flush(screen);
}

static struct screen_view view_now(const struct screen *screen, int64_t wall_ms)
{
    struct winsize size = {0};
    struct screen_view view = {80, 24, screen->colour, screen->ascii, wall_ms};
    if (ioctl(screen->out, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        view.columns = size.ws_col;
        view.rows = size.ws_row;
    }
    return view;
}

uint64_t screen_draw(struct screen *screen, int64_t wall_ms)
{
    if (!screen->live)
        return CLOCK_MS;
    stamp(screen, wall_ms);
    int64_t since = wall_ms - screen->drawn_ms;
    struct screen_view view = view_now(screen, wall_ms);
    bool resized = view.columns != screen->columns || view.rows != screen->rows;
    uint64_t step = screen->dirty || resized ? FRAME_MS : clock_step_ms(screen);
    if (since >= 0 && since < (int64_t)step)
        return step - (uint64_t)since;
    if (!flush(screen))
        return FRAME_MS;
    char **rows = screen_layout(screen, &view);
    if (rows)
        frame_send(screen, rows, &view);
    screen->drawn_ms = wall_ms;
    screen->dirty = false;
    return clock_step_ms(screen);
}

/* Our own open file, so that not to block does not change the shell's. */
static int terminal_open(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static bool environment_has(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found && (value ? strcmp(found, value) == 0 : *found != '\0');
}

struct screen *screen_new(int fd, const char *swarm, bool practice)
{
    struct screen *screen = calloc(1, sizeof *screen);
    if (!screen)
        return NULL;
    snprintf(screen->swarm, sizeof screen->swarm, "%s", swarm);
    screen->practice = practice;
    screen->fd = fd;
    screen->live = fd >= 0 && isatty(fd) && !environment_has("TERM", "dumb");
    screen->out = screen->live ? terminal_open(fd) : -1;
    screen->live = screen->out >= 0;
    screen->colour = !environment_has("NO_COLOR", NULL);
    screen->ascii = environment_has("LC_ALL", "C") || environment_has("TERM", "linux");
    screen->dirty = true;
    return screen;
}

bool screen_is_live(const struct screen *screen)
{
    return screen->live;
}

void screen_free(struct screen *screen)
{
    if (!screen)
        return;
    if (screen->live && screen->shown) {
        flush(screen);
        dprintf(screen->out, "\033[%u;1H\033[0m\033[?25h\n", screen->rows);
    }
    shown_free(screen);
    for (size_t i = 0; i < SCREEN_EVENTS_MAX; i++)
        free(screen->events[i].text);
    if (screen->out >= 0)
        close(screen->out);
    free(screen->pending);
    free(screen->processes);
    free(screen->agents);
    free(screen->logins);
    free(screen);
}
