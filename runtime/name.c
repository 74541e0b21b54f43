/* SPDX-License-Identifier: Apache-2.0 */
/* Names and slots. A slot is where an actor lives; it has an incarnation number that grows with
 * each actor it holds, and lies in a chunk that is never given back, so that a late sender can
 * look at it without harm.
 *
 * The slot of a named actor that ended is kept for the next actor of that name. So an old address
 * leads to the place where its successor lives, and the sender can be told "moved" and not only
 * "no such actor"; nothing else has to remember the dead. With more than NAMES_KEPT names at rest
 * the slot goes back to the free list like any other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1 /* what could not be added is not there, and we go on */
#include <uthash.h>

#include "core.h"

#define NAMES_KEPT 1024u

struct name {
    UT_hash_handle hh;
    struct actor_id id;   /* {0}: nobody at the moment */
    struct actor *parked; /* its slot, while there is nobody */
    bool alias;           /* a second name, or one of an actor elsewhere */
    char name[INTROSPECT_NAME_MAX];
};

struct names {
    pthread_mutex_t lock;
    struct name *table;
    unsigned at_rest;
};

int names_new(struct names **ret_names)
{
    struct names *names = calloc(1, sizeof *names);
    if (!names)
        return -ENOMEM;
    pthread_mutex_init(&names->lock, NULL);
    *ret_names = names;
    return 0;
}

void names_free(struct names *names)
{
    struct name *name, *next;
    if (!names)
        return;
    HASH_ITER(hh, names->table, name, next) {
        HASH_DEL(names->table, name);
        free(name);
    }
    pthread_mutex_destroy(&names->lock);
    free(names);
}

static struct actor *slot_new(struct runtime *runtime)
{
    uint32_t slot = atomic_load_explicit(&runtime->slots_used, memory_order_relaxed);
    uint32_t chunk_index = slot / CHUNK_SLOTS;

    if (slot >= SLOTS_MAX)
        return NULL;
    struct actor *chunk =
        atomic_load_explicit(&runtime->chunks[chunk_index], memory_order_relaxed);
    if (!chunk) {
        chunk = aligned_alloc(_Alignof(struct actor), CHUNK_SLOTS * sizeof *chunk);
        if (!chunk)
            return NULL;
        memset(chunk, 0, CHUNK_SLOTS * sizeof *chunk);
        for (uint32_t i = 0; i < CHUNK_SLOTS; i++) {
            mailbox_init(&chunk[i].mailbox);
            chunk[i].slot = chunk_index * CHUNK_SLOTS + i;
        }
        atomic_store_explicit(&runtime->chunks[chunk_index], chunk, memory_order_release);
    }
    atomic_store_explicit(&runtime->slots_used, slot + 1, memory_order_release);
    return &chunk[slot % CHUNK_SLOTS];
}

static struct actor *slot_pop(struct runtime *runtime)
{
    pthread_mutex_lock(&runtime->slots_lock);
    struct actor *actor = runtime->slots_free;
    if (actor)
        runtime->slots_free = actor->run_next;
    else
        actor = slot_new(runtime);
    pthread_mutex_unlock(&runtime->slots_lock);
    return actor;
}

static void slot_push(struct runtime *runtime, struct actor *actor)
{
    atomic_store_explicit(&actor->named_since, 0, memory_order_relaxed);
    pthread_mutex_lock(&runtime->slots_lock);
    actor->run_next = runtime->slots_free;
    runtime->slots_free = actor;
    pthread_mutex_unlock(&runtime->slots_lock);
}

static struct actor_id next_incarnation(struct actor *actor)
{
    actor->incarnation = actor->incarnation % ID_INCARNATION_MAX + 1;
    return id_make(0, actor->slot, actor->incarnation);
}

static struct name *name_get(struct names *names, const char *text)
{
    struct name *name;
    HASH_FIND_STR(names->table, text, name);
    return name;
}

static struct name *name_add(struct names *names, const char *text)
{
    struct name *name = calloc(1, sizeof *name);
    if (!name)
        return NULL;
    strncpy(name->name, text, sizeof name->name - 1);
    HASH_ADD_STR(names->table, name, name);
    if (name_get(names, text) != name) {
        free(name);
        return NULL;
    }
    return name;
}

static int slot_take_named(struct runtime *runtime, const char *text, struct actor **ret_actor)
{
    struct names *names = runtime->names;
    struct name *name = name_get(names, text);

    if (name && actor_id_is_set(name->id))
        return -EEXIST;
    if (!name)
        name = name_add(names, text);
    if (!name)
        return -ENOMEM;
    struct actor *actor = name->parked;
    if (actor) {
        name->parked = NULL;
        names->at_rest--;
    } else {
        actor = slot_pop(runtime);
        if (!actor) {
            HASH_DEL(names->table, name);
            free(name);
            return -ENOMEM;
        }
    }
    name->alias = false;
    name->id = next_incarnation(actor);
    if (!atomic_load_explicit(&actor->named_since, memory_order_relaxed))
        atomic_store_explicit(&actor->named_since, actor->incarnation, memory_order_relaxed);
    *ret_actor = actor;
    return 0;
}

int slot_take(struct runtime *runtime, const char *name, struct actor **ret_actor)
{
    if (name && strlen(name) >= INTROSPECT_NAME_MAX)
        return -ENAMETOOLONG;
    if (name) {
        pthread_mutex_lock(&runtime->names->lock);
        int error = slot_take_named(runtime, name, ret_actor);
        pthread_mutex_unlock(&runtime->names->lock);
        return error;
    }
    struct actor *actor = slot_pop(runtime);
    if (!actor)
        return -ENOMEM;
    next_incarnation(actor);
    *ret_actor = actor;
    return 0;
}

void slot_give(struct runtime *runtime, struct actor *actor, const char *text)
{
    struct names *names = runtime->names;

    if (!text[0]) {
        slot_push(runtime, actor);
        return;
    }
    pthread_mutex_lock(&names->lock);
    struct name *name = name_get(names, text);
    name->id = (struct actor_id){0};
    bool keep = names->at_rest < NAMES_KEPT;
    if (keep) {
        name->parked = actor;
        names->at_rest++;
    } else {
        HASH_DEL(names->table, name);
        free(name);
    }
    pthread_mutex_unlock(&names->lock);
    if (!keep)
        slot_push(runtime, actor);
}

struct actor_id name_find(struct runtime *runtime, const char *text)
{
    struct actor_id id = {0};

    pthread_mutex_lock(&runtime->names->lock);
    struct name *name = name_get(runtime->names, text);
    if (name)
        id = name->id;
    pthread_mutex_unlock(&runtime->names->lock);
    return id;
}

int runtime_register(struct runtime *runtime, const char *text, struct actor_id id)
{
    struct names *names = runtime->names;
    int error = 0;

    if (!actor_id_is_set(id) || !text[0] || strlen(text) >= INTROSPECT_NAME_MAX)
        return -EINVAL;
    pthread_mutex_lock(&names->lock);
    struct name *name = name_get(names, text);
    if (name && actor_id_is_set(name->id)) {
        error = -EEXIST;
    } else if (!name && !(name = name_add(names, text))) {
        error = -ENOMEM;
    } else {
        name->id = id;
        name->alias = true;
    }
    pthread_mutex_unlock(&names->lock);
    return error;
}

int runtime_unregister(struct runtime *runtime, const char *text)
{
    struct names *names = runtime->names;

    pthread_mutex_lock(&names->lock);
    struct name *name = name_get(names, text);
    bool found = name && name->alias;
    if (found) {
        name->id = (struct actor_id){0};
        name->alias = false;
        if (!name->parked) {
            HASH_DEL(names->table, name);
            free(name);
        }
    }
    pthread_mutex_unlock(&names->lock);
    return found ? 0 : -ENOENT;
}

void name_of(struct runtime *runtime, struct actor_id id, char *ret_name, size_t size)
{
    struct actor *actor = actor_find(runtime, id);

    ret_name[0] = '\0';
    if (id_link(id)) {
        remote_name_of(runtime, id, ret_name, size);
        return;
    }
    if (!actor)
        return;
    spin_lock(&actor->lock);
    if (atomic_load_explicit(&actor->id, memory_order_relaxed) == id.n && actor->cold)
        snprintf(ret_name, size, "%s", actor->cold->name);
    spin_unlock(&actor->lock);
}
