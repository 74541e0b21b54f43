/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two configs, as what has to be done about it. Compared is what takes
 * effect: an agent that gets its model from the defaults has changed when the default has, and one
 * that now writes out what it inherited has not. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queenright/config/config.h"
#include "queenright/config/providers.h"

struct diff {
    struct config_changes changes;
    int error;
};

static void change(struct diff *diff, enum config_change_kind kind, const char *subject,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

static void change(struct diff *diff, enum config_change_kind kind, const char *subject,
                   const char *format, ...)
{
    struct config_changes *changes = &diff->changes;
    struct config_change *items =
        reallocarray(changes->items, changes->count + 1, sizeof *changes->items);
    if (!items) {
        diff->error = -ENOMEM;
        return;
    }
    changes->items = items;
    struct config_change *item = &items[changes->count++];
    *item = (struct config_change){.kind = kind, .subject = strdup(subject)};
    va_list args;
    va_start(args, format);
    if (vasprintf(&item->text, format, args) < 0)
        item->text = NULL;
    va_end(args);
    if (!item->subject || !item->text)
        diff->error = -ENOMEM;
}

static void diff_nodes(struct diff *diff, const struct config *before, const struct config *after)
{
    for (size_t i = 0; i < after->node_count; i++) {
        const struct config_node *now = &after->nodes[i], *was = config_node(before, now->name);
        if (!was)
            change(diff, CHANGE_NODE_ADDED, now->name, "node %s: added", now->name);
        else if (was->workers != now->workers)
            change(diff, CHANGE_NODE, now->name, "node %s: workers %u -> %u; the node restarts",
                   now->name, was->workers, now->workers);
    }
    for (size_t i = 0; i < before->node_count; i++)
        if (!config_node(after, before->nodes[i].name))
            change(diff, CHANGE_NODE_REMOVED, before->nodes[i].name, "node %s: removed",
                   before->nodes[i].name);
}

/* The list of models on one line. */
static const char *one_line(const char *models, char *text, size_t size)
{
    size_t length = 0;
    for (; *models && length + 3 < size; models++) {
        if (*models == '$')
            continue;
        if (*models == '\n')
            text[length++] = ',';
        text[length++] = *models == '\n' ? ' ' : *models;
    }
    text[length] = '\0';
    return text;
}

/* What changed besides the node, e.g. "model a/b -> c/d, instructions"; empty: nothing. */
static void agent_words(const struct config_agent *was, const struct config_agent *now, FILE *out)
{
    char before[512], after[512];
    const char *comma = "";
    if (strcmp(was->models, now->models) != 0) {
        fprintf(out, "model %s -> %s", one_line(was->models, before, sizeof before),
                one_line(now->models, after, sizeof after));
        comma = ", ";
    }
    if (strcmp(was->instructions, now->instructions) != 0) {
        fprintf(out, "%sinstructions changed", comma);
        comma = ", ";
    }
    if (strcmp(was->tools, now->tools) != 0) {
        fprintf(out, "%stools %s -> %s", comma, *was->tools ? was->tools : "none",
                *now->tools ? now->tools : "none");
        comma = ", ";
    }
    if (was->max_tool_rounds != now->max_tool_rounds || was->max_ask_depth != now->max_ask_depth ||
        was->max_queued != now->max_queued || was->history_turns != now->history_turns ||
        was->timeout_ms != now->timeout_ms) {
        fprintf(out, "%slimits changed", comma);
        comma = ", ";
    }
    if (was->restart != now->restart)
        fprintf(out, "%srestart changed", comma);
}

static void diff_agent(struct diff *diff, const struct config_agent *was,
                       const struct config_agent *now)
{
    char *words = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&words, &size);
    if (!out) {
        diff->error = -ENOMEM;
        return;
    }
    agent_words(was, now, out);
    fclose(out);
    if (strcmp(was->node, now->node) != 0)
        change(diff, CHANGE_AGENT_MOVED, now->id, "agent %s: moved from %s to %s%s%s", now->id,
               was->node, now->node, *words ? ", " : "", words);
    else if (*words)
        change(diff, CHANGE_AGENT, now->id, "agent %s: %s", now->id, words);
    free(words);
}

static void diff_agents(struct diff *diff, const struct config *before, const struct config *after)
{
    char models[512];
    for (size_t i = 0; i < after->agent_count; i++) {
        const struct config_agent *now = &after->agents[i], *was = config_agent(before, now->id);
        if (was)
            diff_agent(diff, was, now);
        else
            change(diff, CHANGE_AGENT_ADDED, now->id, "agent %s: added on %s with %s", now->id,
                   now->node, one_line(now->models, models, sizeof models));
    }
    for (size_t i = 0; i < before->agent_count; i++)
        if (!config_agent(after, before->agents[i].id))
            change(diff, CHANGE_AGENT_REMOVED, before->agents[i].id, "agent %s: removed",
                   before->agents[i].id);
}

static bool json_same(const json_t *a, const json_t *b)
{
    return a == b || (a && b && json_equal(a, b));
}

/* Takes both. */
static bool json_same_new(json_t *a, json_t *b)
{
    bool same = json_same(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

static bool provider_same(const struct config_provider *a, const struct config_provider *b)
{
    return json_same(a->oauth, b->oauth) &&
           json_same_new(config_provider_json(a), config_provider_json(b));
}

static void diff_providers(struct diff *diff, const struct config *before,
                           const struct config *after)
{
    for (size_t i = 0; i < after->provider_count; i++) {
        const struct config_provider *now = &after->providers[i];
        const struct config_provider *was = config_provider(before, now->id);
        if (!was)
            change(diff, CHANGE_PROVIDER, now->id, "provider %s: added", now->id);
        else if (!provider_same(was, now))
            change(diff, CHANGE_PROVIDER, now->id, "provider %s: changed", now->id);
    }
    for (size_t i = 0; i < before->provider_count; i++)
        if (!config_provider(after, before->providers[i].id))
            change(diff, CHANGE_PROVIDER, before->providers[i].id, "provider %s: removed",
                   before->providers[i].id);
}

static void diff_auth(struct diff *diff, const struct config *before, const struct config *after)
{
    if (!json_same(config_tree(before->root, "auth", "profiles", NULL),
                   config_tree(after->root, "auth", "profiles", NULL)))
        change(diff, CHANGE_AUTH, "", "auth: profiles changed");
    for (size_t i = 0; i < after->provider_count; i++) {
        const struct config_provider *now = &after->providers[i];
        const struct config_provider *was = config_provider(before, now->id);
        if (was && !json_same_new(config_order_json(before, was), config_order_json(after, now)))
            change(diff, CHANGE_AUTH, "", "auth: order of %s changed", now->id);
    }
}

static int kind_compare(const void *a, const void *b)
{
    const struct config_change *left = a, *right = b;
    return (int)left->kind - (int)right->kind;
}

int config_diff(const struct config *before, const struct config *after,
                struct config_changes *ret_changes)
{
    struct diff diff = {0};
    if (strcmp(before->swarm, after->swarm) != 0)
        change(&diff, CHANGE_SWARM, "", "swarm: renamed from %s to %s; needs down and up",
               before->swarm, after->swarm);
    diff_nodes(&diff, before, after);
    diff_agents(&diff, before, after);
    diff_providers(&diff, before, after);
    diff_auth(&diff, before, after);
    if (memcmp(&before->supervision, &after->supervision, sizeof before->supervision) != 0)
        change(&diff, CHANGE_SUPERVISION, "", "supervision: changed");
    if (diff.error < 0) {
        config_changes_deinit(&diff.changes);
        return diff.error;
    }
    if (diff.changes.count > 0)
        qsort(diff.changes.items, diff.changes.count, sizeof diff.changes.items[0], kind_compare);
    *ret_changes = diff.changes;
    return 0;
}

void config_changes_deinit(struct config_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free(changes->items[i].subject);
        free(changes->items[i].text);
    }
    free(changes->items);
    *changes = (struct config_changes){0};
}
