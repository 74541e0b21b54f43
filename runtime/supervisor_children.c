/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor_children.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void child_spec_free(const struct child_spec *spec)
{
    if (spec->free_config)
        spec->free_config(spec->config);
}

int children_add(struct children *children, const struct child_spec *spec,
                 struct child **ret_child)
{
    if (!spec->name || !spec->name[0] || strlen(spec->name) >= INTROSPECT_NAME_MAX || !spec->ops)
        return -EINVAL;
    if (children_by_name(children, spec->name))
        return -EEXIST;
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return -ENOMEM;
    child->spec = *spec;
    child->key = children->next_key++;
    strncpy(child->name, spec->name, sizeof child->name - 1);
    HASH_ADD(by_name, children->all, name, strlen(child->name), child);
    if (!child->by_name.tbl) {
        free(child);
        return -ENOMEM;
    }
    *ret_child = child;
    return 0;
}

static struct child *child_before(const struct child *child)
{
    return child->by_name.prev;
}

void children_drop(struct children *children, struct child *child)
{
    if (children->stop_at == child)
        children->stop_at = child_before(child);
    HASH_DELETE(by_name, children->all, child);
    child_spec_free(&child->spec);
    free(child);
}

int children_started(struct children *children, struct child *child, struct actor_id id)
{
    child->id = id;
    HASH_ADD(by_id, children->running, id, sizeof child->id, child);
    if (!child->by_id.tbl) {
        child->id = (struct actor_id){0};
        return -ENOMEM;
    }
    children->stop_at = NULL;
    return 0;
}

void children_ended(struct children *children, struct child *child)
{
    HASH_DELETE(by_id, children->running, child);
    child->id = (struct actor_id){0};
}

struct child *children_by_id(const struct children *children, struct actor_id id)
{
    struct child *child;

    HASH_FIND(by_id, children->running, &id, sizeof id, child);
    return child;
}

struct child *children_by_name(const struct children *children, const char *name)
{
    struct child *child;

    HASH_FIND(by_name, children->all, name, strlen(name), child);
    return child;
}

struct child *children_first(const struct children *children)
{
    return children->all;
}

struct child *children_last(const struct children *children)
{
    const struct child *first = children->all;

    return first ? ELMT_FROM_HH(first->by_name.tbl, first->by_name.tbl->tail) : NULL;
}

struct child *child_next(const struct child *child)
{
    return child->by_name.next;
}

struct child *children_last_running(struct children *children, uint64_t first)
{
    struct child *child = children->stop_at ? children->stop_at : children_last(children);

    while (child && child->key >= first && !child_runs(child))
        child = child_before(child);
    children->stop_at = child;
    return child && child->key >= first ? child : NULL;
}

bool child_runs(const struct child *child)
{
    return actor_id_is_set(child->id);
}

unsigned children_count(const struct children *children)
{
    return HASH_CNT(by_name, children->all);
}

unsigned children_running(const struct children *children)
{
    return HASH_CNT(by_id, children->running);
}
