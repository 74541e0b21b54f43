/* SPDX-License-Identifier: Apache-2.0 */
/* From facts to rows. The header, the processes and the logins always have their place; agents and
 * events share the rest: every agent one row first, then events, and where the screen is tall a
 * second row for what each agent says. Widths of columns follow their contents up to a cap, so the
 * answers get whatever is left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queenright/screen/internal.h"

#define EVENTS_MIN 3
#define ROWS_SMALL 20 /* below, no blank rows, and one event must do */
#define FRESH_MS 2000

struct page {
    const struct screen_view *view;
    char **rows;
    unsigned count;
};

static struct strip strip_begin(const struct page *page)
{
    struct strip strip;
    strip_init(&strip, page->view->columns, page->view->colour, page->view->ascii);
    return strip;
}

static void page_add(struct page *page, struct strip *strip)
{
    if (page->count < page->view->rows)
        page->rows[page->count++] = strip->text ? strip->text : strdup("");
    else
        free(strip->text);
}

static void page_blank(struct page *page)
{
    if (page->view->rows < ROWS_SMALL)
        return;
    struct strip strip = strip_begin(page);
    page_add(page, &strip);
}

static enum style state_style(const char *state)
{
    static const struct {
        const char *state;
        enum style style;
    } styles[] = {
        {"idle", STYLE_DIM},        {"up", STYLE_GOOD},      {"valid", STYLE_GOOD},
        {"refreshing", STYLE_WARN}, {"starting", STYLE_WARN}, {"restarting", STYLE_WARN},
        {"uncertain", STYLE_WARN},  {"cooling", STYLE_WARN}, {"unsaved", STYLE_BAD},
        {"refused", STYLE_BAD},     {"needs_login", STYLE_BAD}, {"down", STYLE_BAD},
        {"failed", STYLE_BAD},
    };
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++)
        if (strcmp(styles[i].state, state) == 0)
            return styles[i].style;
    return STYLE_BUSY;
}

/* "ended", "4.2s", "59s", "12m05s", "3h12m", "4d02h". */
static void duration_print(int64_t ms, char *text, size_t size)
{
    long long seconds = ms / 1000;
    if (ms < 0)
        snprintf(text, size, "ended");
    else if (seconds < 10)
        snprintf(text, size, "%lld.%llds", seconds, (long long)(ms % 1000 / 100));
    else if (seconds < 60)
        snprintf(text, size, "%llds", seconds);
    else if (seconds < 3600)
        snprintf(text, size, "%lldm%02llds", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(text, size, "%lldh%02lldm", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(text, size, "%lldd%02lldh", seconds / 86400, seconds / 3600 % 24);
}

static unsigned max_columns(unsigned most, const char *text, unsigned limit)
{
    unsigned columns = text_columns(text);
    columns = columns > limit ? limit : columns;
    return columns > most ? columns : most;
}

/* ---- header and processes ------------------------------------------------------------------- */

static void header_add(struct page *page, const struct screen *screen)
{
    struct strip strip = strip_begin(page);
    long long up = (page->view->wall_ms - screen->started_ms) / 1000;
    char right[96];
    uint64_t turns = 0;
    for (size_t i = 0; i < screen->agent_count; i++)
        turns += screen->agents[i].turns;
    snprintf(right, sizeof right, "%zu agents, %llu turns, up %lld:%02lld:%02lld ",
             screen->agent_count, (unsigned long long)turns, up / 3600, up / 60 % 60, up % 60);
    strip_put(&strip, STYLE_TITLE, " Queenright ", 0);
    strip_printf(&strip, STYLE_TITLE, 0, " %s ", screen->swarm);
    if (screen->practice)
        strip_put(&strip, STYLE_BADGE, " practice ", 0);
    unsigned width = text_columns(right);
    if (strip.column + width < strip.columns)
        strip_to(&strip, STYLE_TITLE, strip.columns - width);
    strip_put(&strip, STYLE_TITLE, right, 0);
    page_add(page, &strip);
}

static void processes_add(struct page *page, const struct screen *screen)
{
    struct strip strip = strip_begin(page);
    for (size_t i = 0; i < screen->process_count; i++) {
        const struct screen_process *process = &screen->processes[i];
        char pid[24] = "";
        if (process->pid > 0)
            snprintf(pid, sizeof pid, " %d", process->pid);
        unsigned width = text_columns(process->name) + text_columns(process->state) +
                         text_columns(pid) + 3;
        if (strip.column + width > strip.columns && i > 0) {
            page_add(page, &strip);
            strip = strip_begin(page);
        }
        strip_printf(&strip, STYLE_PLAIN, 0, " %s ", process->name);
        strip_put(&strip, state_style(process->state), process->state, 0);
        strip_put(&strip, STYLE_DIM, pid, 0);
        strip_put(&strip, STYLE_PLAIN, " ", 0);
    }
    page_add(page, &strip);
}

/* ---- agents --------------------------------------------------------------------------------- */

struct agent_columns {
    unsigned id, node, model, state;
};

static struct agent_columns agent_columns_of(const struct screen *screen)
{
    struct agent_columns widths = {5, 4, 5, 5};
    for (size_t i = 0; i < screen->agent_count; i++) {
        const struct screen_agent *agent = &screen->agents[i];
        widths.id = max_columns(widths.id, agent->id, 16);
        widths.node = max_columns(widths.node, agent->node, 10);
        widths.model = max_columns(widths.model, agent->model, 20);
        widths.state = max_columns(widths.state, agent->state, 16);
    }
    return widths;
}

/* The end of what is said, from the start of a word. */
static const char *agent_tail(const char *text, unsigned columns)
{
    const char *tail = text_tail(text, columns);
    const char *word = tail > text ? strchr(tail, ' ') : NULL;
    return word ? word + 1 : tail;
}

/* Who is at work shows the end of what is said so far, who rests the beginning. */
static void agent_text_add(struct page *page, struct strip *strip, const struct screen_agent *agent,
                           unsigned lines)
{
    unsigned left = strip->column, room = strip->columns > left ? strip->columns - left : 0;
    const char *text = agent->text;
    bool resting = strcmp(agent->state, "idle") == 0;
    if (!resting && room > 0)
        text = agent_tail(text, room * lines - (lines > 1 ? room / 4 : 0));
    for (unsigned i = 0; i < lines; i++) {
        const char *end = lines > 1 && i + 1 < lines ? text_break(text, room) : text + strlen(text);
        char piece[SCREEN_TEXT_MAX];
        snprintf(piece, sizeof piece, "%.*s", (int)(end - text), text);
        strip_to(strip, STYLE_PLAIN, left);
        strip_put(strip, resting ? STYLE_PLAIN : STYLE_BUSY, piece, 0);
        page_add(page, strip);
        *strip = strip_begin(page);
        text = end;
    }
}

static void agent_add(struct page *page, const struct screen_agent *agent,
                      const struct agent_columns *widths, unsigned lines)
{
    struct strip strip = strip_begin(page);
    strip_put(&strip, STYLE_PLAIN, " ", 0);
    strip_put(&strip, STYLE_BOLD, agent->id, widths->id + 1);
    strip_put(&strip, STYLE_DIM, agent->node, widths->node + 1);
    strip_put(&strip, STYLE_PLAIN, agent->model, widths->model + 1);
    strip_number(&strip, STYLE_PLAIN, agent->turns, 5);
    strip_put(&strip, STYLE_PLAIN, " ", 0);
    strip_put(&strip, state_style(agent->state), agent->state, widths->state);
    strip_put(&strip, STYLE_PLAIN, " ", 0);
    agent_text_add(page, &strip, agent, lines);
}

static void agents_more(struct page *page, const struct screen *screen, size_t shown)
{
    size_t idle = 0;
    for (size_t i = shown; i < screen->agent_count; i++)
        idle += strcmp(screen->agents[i].state, "idle") == 0;
    struct strip strip = strip_begin(page);
    strip_printf(&strip, STYLE_DIM, 0, " and %zu more, %zu of them idle",
                 screen->agent_count - shown, idle);
    page_add(page, &strip);
}

static void agents_add(struct page *page, const struct screen *screen, unsigned room)
{
    struct agent_columns widths = agent_columns_of(screen);
    struct strip strip = strip_begin(page);
    strip_put(&strip, STYLE_DIM, " AGENT", widths.id + 2);
    strip_put(&strip, STYLE_DIM, "NODE", widths.node + 1);
    strip_put(&strip, STYLE_DIM, "MODEL", widths.model + 1);
    strip_put(&strip, STYLE_DIM, "TURNS", 6);
    strip_put(&strip, STYLE_DIM, "STATE", widths.state + 1);
    strip_put(&strip, STYLE_DIM, "SAYS", 0);
    page_add(page, &strip);
    unsigned lines = screen->agent_count * 2 <= room ? 2 : 1;
    size_t shown = screen->agent_count <= room ? screen->agent_count : room > 0 ? room - 1 : 0;
    for (size_t i = 0; i < shown; i++)
        agent_add(page, &screen->agents[i], &widths, lines);
    if (shown < screen->agent_count)
        agents_more(page, screen, shown);
}

/* ---- logins --------------------------------------------------------------------------------- */

static void login_life_add(struct strip *strip, const struct screen_login_row *login,
                           int64_t wall_ms)
{
    char text[24];
    int64_t left = login->expires_at_ms - wall_ms;
    if (login->expires_at_ms == 0) {
        strip_put(strip, STYLE_DIM, "does not expire", 18);
        return;
    }
    enum style style = left * 4 > login->life_ms ? STYLE_GOOD : left > 0 ? STYLE_WARN : STYLE_BAD;
    strip_bar(strip, style, 10, left > 0 ? (uint64_t)left : 0, (uint64_t)login->life_ms);
    duration_print(left, text, sizeof text);
    strip_printf(strip, STYLE_PLAIN, 8, " %s", text);
}

/* Why it is in trouble, else what its last refresh did. */
static void login_last_add(struct strip *strip, const struct screen_login_row *login,
                           int64_t wall_ms)
{
    char text[24];
    if (login->cooling_until_ms > wall_ms) {
        duration_print(login->cooling_until_ms - wall_ms, text, sizeof text);
        strip_printf(strip, STYLE_WARN, 0, "cooling %s ", text);
    }
    if (*login->reason)
        strip_put(strip, state_style(login->state), login->reason, 0);
    else if (login->waiters > 0)
        strip_printf(strip, STYLE_WARN, 0, "%llu wait", (unsigned long long)login->waiters);
    else if (login->rotated) {
        duration_print(wall_ms - login->rotated_ms, text, sizeof text);
        strip_printf(strip, STYLE_PLAIN, 0, "gen %llu -> %llu, %llu waited, %s ago",
                     (unsigned long long)login->generation_before,
                     (unsigned long long)login->generation, (unsigned long long)login->waited,
                     text);
    } else {
        strip_put(strip, STYLE_DIM, "none yet", 0);
    }
}

static void logins_add(struct page *page, const struct screen *screen)
{
    unsigned profile = 5, account = 7;
    for (size_t i = 0; i < screen->login_count; i++) {
        profile = max_columns(profile, screen->logins[i].profile, 24);
        account = max_columns(account, screen->logins[i].account, 14);
    }
    struct strip strip = strip_begin(page);
    strip_put(&strip, STYLE_DIM, " LOGIN", profile + 2);
    strip_put(&strip, STYLE_DIM, "ACCOUNT", account + 3);
    strip_put(&strip, STYLE_DIM, "GEN", 4);
    strip_put(&strip, STYLE_DIM, "STATE", 12);
    strip_put(&strip, STYLE_DIM, "EXPIRES", 18);
    strip_put(&strip, STYLE_DIM, "LAST REFRESH", 0);
    page_add(page, &strip);
    for (size_t i = 0; i < screen->login_count; i++) {
        const struct screen_login_row *login = &screen->logins[i];
        bool fresh = login->rotated && page->view->wall_ms - login->rotated_ms < FRESH_MS;
        strip = strip_begin(page);
        strip_put(&strip, STYLE_PLAIN, " ", 0);
        strip_put(&strip, STYLE_BOLD, login->profile, profile + 1);
        strip_put(&strip, STYLE_DIM, login->account, account + 1);
        strip_number(&strip, fresh ? STYLE_FRESH : STYLE_PLAIN, login->generation, 5);
        strip_put(&strip, STYLE_PLAIN, " ", 0);
        strip_put(&strip, state_style(login->state), login->state, 12);
        login_life_add(&strip, login, page->view->wall_ms);
        login_last_add(&strip, login, page->view->wall_ms);
        page_add(page, &strip);
    }
}

/* ---- events --------------------------------------------------------------------------------- */

static void events_add(struct page *page, const struct screen *screen)
{
    struct strip strip = strip_begin(page);
    strip_put(&strip, STYLE_DIM, " EVENTS", 0);
    page_add(page, &strip);
    size_t room = page->view->rows > page->count ? page->view->rows - page->count : 0;
    size_t kept = screen->event_count < SCREEN_EVENTS_MAX ? screen->event_count : SCREEN_EVENTS_MAX;
    size_t shown = kept < room ? kept : room;
    for (size_t i = screen->event_count - shown; i < screen->event_count; i++) {
        const struct screen_event_line *event = &screen->events[i % SCREEN_EVENTS_MAX];
        time_t seconds = (time_t)(event->at_ms / 1000);
        struct tm parts = {0};
        char clock[16];
        localtime_r(&seconds, &parts);
        strftime(clock, sizeof clock, " %H:%M:%S ", &parts);
        strip = strip_begin(page);
        strip_put(&strip, STYLE_DIM, clock, 0);
        strip_put(&strip, STYLE_PLAIN, event->text ? event->text : "", 0);
        page_add(page, &strip);
    }
}

char **screen_layout(struct screen *screen, const struct screen_view *view)
{
    struct page page = {.view = view, .rows = calloc(view->rows + 1, sizeof(char *))};
    if (!page.rows)
        return NULL;
    header_add(&page, screen);
    processes_add(&page, screen);
    page_blank(&page);
    /* Besides agents: their title, blanks, title and rows of logins, title and some events. */
    bool small = view->rows < ROWS_SMALL;
    unsigned other = page.count + 3 + (unsigned)screen->login_count + (small ? 1 : 2 + EVENTS_MIN);
    if (screen->agent_count > 0)
        agents_add(&page, screen, view->rows > other ? view->rows - other : 0);
    page_blank(&page);
    if (screen->login_count > 0) {
        logins_add(&page, screen);
        page_blank(&page);
    }
    events_add(&page, screen);
    while (page.count < view->rows)
        page.rows[page.count++] = strdup("");
    return page.rows;
}
