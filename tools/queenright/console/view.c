/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, put on the screen; without a terminal the screen prints events as lines, so what
 * a live screen shows in its tables is then said as an event. What a login did is found by
 * comparing what it says of itself with what it said before. */
#include "queenright/console/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queenright/screen/screen.h"

#define LOGINS_MAX 64

struct login_seen {
    char profile[128];
    char state[32];
    uint64_t generation;
};

struct agent_seen {
    char id[64], node[64], models[256];
    uint64_t turns;
    bool placed;
};

struct console_view {
    struct screen *screen;
    struct login_seen logins[LOGINS_MAX];
    size_t login_count;
    struct agent_seen agents[CONSOLE_AGENTS_MAX];
    size_t agent_count;
};

struct console_view *console_view_new(const struct console_options *options)
{
    struct console_view *view = calloc(1, sizeof(*view));

    if (!view)
        return NULL;
    view->screen = screen_new(options->fd,
                              options->config->swarm, options->practice);
    if (!view->screen) {
        free(view);
        return NULL;
    }
    for (size_t i = 0; i < options->config->agent_count && i < CONSOLE_AGENTS_MAX; i++) {
        const struct config_agent *agent = &options->config->agents[i];
        struct agent_seen *seen = &view->agents[view->agent_count++];

        snprintf(seen->id, sizeof(seen->id), "%s", agent->id);
        snprintf(seen->node, sizeof(seen->node), "%s", agent->node);
        snprintf(seen->models, sizeof(seen->models), "%s", agent->models);
        screen_set_agent(view->screen, seen->id, seen->node, seen->models, "idle", 0, "");
    }
    return view;
}

void console_view_free(struct console_view *view)
{
    if (view)
        screen_free(view->screen);
    free(view);
}

void console_view_event(struct console_view *view, const char *line)
{
    screen_event(view->screen, line);
}

const char *console_view_agent(const struct console_view *view, size_t i)
{
    return i < view->agent_count ? view->agents[i].id : NULL;
}

static struct agent_seen *find_agent(struct console_view *view, const char *id)
{
    for (size_t i = 0; i < view->agent_count; i++)
        if (strcmp(view->agents[i].id, id) == 0)
            return &view->agents[i];
    return NULL;
}

static void show_agent(struct console_view *view, const char *id, const char *state,
                       const char *text)
{
    const struct agent_seen *agent = find_agent(view, id);

    if (agent)
        screen_set_agent(view->screen, agent->id, agent->node, agent->models, state, agent->turns,
                         text);
}

void console_view_ask(struct console_view *view, const char *agent, const char *text)
{
    (void)text;
    show_agent(view, agent, "thinking", "");
}

void console_view_delta(struct console_view *view, const char *agent, struct proto_text text)
{
    show_agent(view, agent, "answering", NULL);
    screen_add_agent_text(view->screen, agent, text.data, text.size);
}

void console_view_answer(struct console_view *view, const char *agent, struct proto_text text,
                         struct proto_text note)
{
    struct agent_seen *seen = find_agent(view, agent);
    char line[512];

    if (!seen)
        return;
    seen->turns++;
    show_agent(view, agent, "idle", NULL);
    if (screen_is_live(view->screen) && note.size == 0)
        return;
    snprintf(line, sizeof(line), "%s: %.*s%s%.*s", agent, (int)text.size,
             text.data ? text.data : "", note.size ? " - " : "", (int)note.size,
             note.data ? note.data : "");
    screen_event(view->screen, line);
}

void console_view_failure(struct console_view *view, const char *agent, struct proto_text why)
{
    char line[512];

    snprintf(line, sizeof(line), "%s failed: %.*s", agent, (int)why.size,
             why.data ? why.data : "");
    show_agent(view, agent, "failed", NULL);
    screen_event(view->screen, line);
}

static struct login_seen *find_login(struct console_view *view, const char *profile)
{
    struct login_seen *login;

    for (size_t i = 0; i < view->login_count; i++)
        if (strcmp(view->logins[i].profile, profile) == 0)
            return &view->logins[i];
    if (view->login_count == LOGINS_MAX)
        return NULL;
    login = &view->logins[view->login_count++];
    *login = (struct login_seen){0};
    snprintf(login->profile, sizeof(login->profile), "%s", profile);
    return login;
}

static void tell_login(struct console_view *view, struct login_seen *login,
                       const struct screen_login *now, const char *remedy)
{
    char line[512];

    if (login->generation != 0 && now->generation > login->generation) {
        snprintf(line, sizeof(line),
                 "%s: refresh token %" PRIu64 " -> %" PRIu64 ", %" PRIu64 " waited", now->profile,
                 login->generation, now->generation, now->waited);
        screen_event(view->screen, line);
    }
    if (login->state[0] && strcmp(login->state, now->state) != 0 &&
        strcmp(now->state, "valid") != 0 && strcmp(now->state, "refreshing") != 0) {
        snprintf(line, sizeof(line), "%s: %s: %s; %s", now->profile, now->state, now->reason,
                 remedy);
        screen_event(view->screen, line);
    }
}

bool console_view_login(struct console_view *view, const struct token_profile *profile,
                        struct console_rotation *ret_rotation)
{
    char id[128], account[128], state[32], reason[256], remedy[256];
    struct login_seen *login;
    uint64_t before;

    proto_text_copy(profile->profile, id, sizeof(id));
    proto_text_copy(profile->account, account, sizeof(account));
    proto_text_copy(profile->state, state, sizeof(state));
    proto_text_copy(profile->reason, reason, sizeof(reason));
    proto_text_copy(profile->remedy, remedy, sizeof(remedy));
    struct screen_login now = {
        .profile = id,
        .account = account,
        .state = state,
        .reason = reason,
        .generation = profile->generation,
        .expires_at_ms = profile->expires_at_ms,
        .cooling_until_ms = profile->cooling_until_ms,
        .refreshes = profile->refreshes,
        .waited = profile->waited,
        .waiters = profile->waiters,
    };
    screen_set_login(view->screen, &now);
    login = find_login(view, id);
    if (!login)
        return false;
    tell_login(view, login, &now, remedy);
    before = login->generation;
    login->generation = now.generation;
    snprintf(login->state, sizeof(login->state), "%s", state);
    *ret_rotation = (struct console_rotation){now.generation - before, now.waited};
    return before != 0 && now.generation > before;
}

void console_view_place(struct console_view *view, const char *agent, const char *node,
                        const char *models)
{
    struct agent_seen *seen = find_agent(view, agent);
    bool is_new = !seen;

    if (is_new) {
        if (view->agent_count == CONSOLE_AGENTS_MAX)
            return;
        seen = &view->agents[view->agent_count++];
        *seen = (struct agent_seen){0};
        snprintf(seen->id, sizeof(seen->id), "%s", agent);
    }
    snprintf(seen->node, sizeof(seen->node), "%s", node);
    snprintf(seen->models, sizeof(seen->models), "%s", models);
    seen->placed = true;
    if (is_new)
        show_agent(view, agent, "idle", "");
}

void console_view_placed(struct console_view *view)
{
    for (size_t i = 0; i < view->agent_count;) {
        struct agent_seen *seen = &view->agents[i];

        if (seen->placed) {
            seen->placed = false;
            i++;
            continue;
        }
        screen_remove_agent(view->screen, seen->id);
        *seen = view->agents[--view->agent_count];
    }
}

void console_view_state(struct console_view *view, const char *agent, const char *state,
                        uint64_t turns, const char *last_error)
{
    struct agent_seen *seen = find_agent(view, agent);

    if (!seen)
        return;
    seen->turns = turns;
    show_agent(view, agent, state, last_error);
}

void console_view_process(struct console_view *view, const char *name, const char *state, int pid)
{
    screen_set_process(view->screen, name, state, pid);
}

void console_view_draw(struct console_view *view, int64_t wall_ms)
{
    screen_draw(view->screen, wall_ms);
}
