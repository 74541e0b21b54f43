/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "disk_model_inner.h"

/* ---- choices -------------------------------------------------------------------------------- */

unsigned choose(struct choices *choices, unsigned limit)
{
    assert(limit > 0 && choices->used < CHOICES_MAX);
    unsigned at = choices->used++;
    if (at == choices->known) {
        choices->picks[at] = 0;
        choices->known++;
    }
    choices->limits[at] = limit;
    return choices->picks[at];
}

bool choices_next(struct choices *choices)
{
    choices->known = choices->used;
    choices->used = 0;
    while (choices->known > 0) {
        unsigned last = choices->known - 1;
        if (++choices->picks[last] < choices->limits[last]) {
            return true;
        }
        choices->known--;
    }
    return false;
}

/* ---- contents ------------------------------------------------------------------------------- */

static void *grow(void *list, size_t count, size_t size)
{
    void *grown = reallocarray(list, count, size);
    assert(grown != NULL);
    return grown;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
    return hash ^ (hash >> 29);
}

static uint64_t mix_bytes(uint64_t hash, const uint8_t *bytes, size_t size)
{
    uint64_t word = 0;
    for (; size >= 8; bytes += 8, size -= 8) {
        memcpy(&word, bytes, 8);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, bytes, size);
    return mix(hash, word);
}

struct model_content *content_new(const uint8_t *bytes, size_t used, size_t size)
{
    used = used < size ? used : size;
    while (used > 0 && bytes[used - 1] == 0) {
        used--;
    }
    struct model_content *content = grow(NULL, 1, sizeof(*content) + used);
    *content = (struct model_content){.refs = 1, .size = size, .used = used};
    if (used > 0) {
        memcpy(content->bytes, bytes, used);
    }
    content->hash = mix(mix_bytes(1, content->bytes, used), size);
    return content;
}

void content_unref(struct model_content *content)
{
    if (--content->refs == 0) {
        free(content);
    }
}

void content_read(const struct model_content *content, size_t at, uint8_t *ret_bytes, size_t size)
{
    size_t have = content->used > at ? content->used - at : 0;
    have = have < size ? have : size;
    if (have > 0) {
        memcpy(ret_bytes, content->bytes + at, have);
    }
    memset(ret_bytes + have, 0, size - have);
}

/* ---- inodes --------------------------------------------------------------------------------- */

struct model_content *inode_now(const struct model_inode *inode)
{
    return inode->versions[inode->version_count - 1];
}

void inode_push(struct model_inode *inode, struct model_content *content)
{
    if (inode->version_count > 0 && inode_now(inode)->hash == content->hash) {
        content_unref(content);
        return;
    }
    assert(inode->version_count < MODEL_VERSIONS);
    inode->versions[inode->version_count++] = content;
}

static void entries_remove(struct model_entries *entries, unsigned name, unsigned inode)
{
    for (unsigned i = 0; i < entries->count; i++) {
        if (entries->list[i].name == name && entries->list[i].inode == inode) {
            entries->list[i] = entries->list[--entries->count];
            return;
        }
    }
}

static void entries_set(struct model_entries *entries, unsigned name, unsigned inode)
{
    for (unsigned i = 0; i < entries->count; i++) {
        if (entries->list[i].name == name) {
            entries->list[i].inode = inode;
            return;
        }
    }
    assert(entries->count < MODEL_ENTRIES);
    entries->list[entries->count++] = (struct model_entry){name, inode};
}

static void apply(struct model_entries *entries, const struct model_op *op)
{
    if (op->kind != OP_LINK) {
        entries_remove(entries, op->name, op->inode);
    }
    if (op->kind != OP_UNLINK) {
        entries_set(entries, op->kind == OP_RENAME ? op->to : op->name, op->inode);
    }
}

static void durable_entries(const struct model_inode *inode, struct model_entries *ret_entries)
{
    ret_entries->count = inode->entry_count;
    if (inode->entry_count > 0) {
        memcpy(ret_entries->list, inode->entries,
               inode->entry_count * sizeof(ret_entries->list[0]));
    }
}

void inode_entries(const struct model_inode *inode, struct model_entries *ret_entries)
{
    durable_entries(inode, ret_entries);
    for (unsigned i = 0; i < inode->op_count; i++) {
        apply(ret_entries, &inode->ops[i]);
    }
}

static void set_entries(struct model_inode *inode, const struct model_entries *entries)
{
    inode->entries = grow(inode->entries, entries->count + 1, sizeof(*inode->entries));
    inode->entry_count = entries->count;
    memcpy(inode->entries, entries->list, entries->count * sizeof(entries->list[0]));
    inode->op_count = 0;
}

void inode_add_op(struct model_inode *inode, struct model_op op)
{
    inode->ops = grow(inode->ops, inode->op_count + 1, sizeof(*inode->ops));
    inode->ops[inode->op_count++] = op;
}

void inode_sync(struct model_inode *inode)
{
    if (inode->directory) {
        struct model_entries now;
        inode_entries(inode, &now);
        set_entries(inode, &now);
        return;
    }
    unsigned kept = inode->spoilt ? 1 : 0; /* the durable one, besides the last */
    while (inode->version_count > kept + 1) {
        content_unref(inode->versions[kept]);
        memmove(inode->versions + kept, inode->versions + kept + 1,
                (--inode->version_count - kept) * sizeof(inode->versions[0]));
    }
}

unsigned model_add_inode(struct disk_model *model, bool directory)
{
    unsigned index = model->inode_count++;
    model->inodes = grow(model->inodes, model->inode_count, sizeof(*model->inodes));
    model->inodes[index] = (struct model_inode){.directory = directory, .ino = ++model->last_ino};
    if (!directory) {
        inode_push(&model->inodes[index], content_new(NULL, 0, 0));
    }
    return index;
}

unsigned model_name(struct model_names *names, const char *text)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcmp(names->texts[i], text) == 0) {
            return i;
        }
    }
    names->texts = grow(names->texts, names->count + 1, sizeof(*names->texts));
    names->texts[names->count] = strdup(text);
    assert(names->texts[names->count] != NULL);
    return names->count++;
}

void model_names_free(struct model_names *names)
{
    for (unsigned i = 0; i < names->count; i++) {
        free(names->texts[i]);
    }
    free(names->texts);
    *names = (struct model_names){0};
}

/* ---- disks ---------------------------------------------------------------------------------- */

static struct disk_model *bare(struct model_names *names)
{
    struct disk_model *model = calloc(1, sizeof(*model));
    assert(model != NULL);
    model->names = names;
    model_port_init(model);
    return model;
}

struct disk_model *disk_model_new(struct model_names *names)
{
    struct disk_model *model = bare(names);
    model_add_inode(model, true);
    return model;
}

static struct disk_model *sibling(const struct disk_model *model)
{
    struct disk_model *copy = bare(model->names);
    copy->last_ino = model->last_ino;
    copy->wall_ms = model->wall_ms;
    copy->bug = model->bug;
    copy->full = model->full;
    copy->copy_on_write = model->copy_on_write;
    copy->stale = model->stale;
    return copy;
}

/* The number in the copy of an inode of the original, which is copied when it is first asked for:
 * so what nothing leads to any more is left behind, and numbers follow from the order alone. */
struct move {
    const struct disk_model *from;
    struct disk_model *to;
    unsigned *numbers; /* +1 */
};

static unsigned move_inode(struct move *move, unsigned index)
{
    if (move->numbers[index] != 0) {
        return move->numbers[index] - 1;
    }
    const struct model_inode *old = &move->from->inodes[index];
    struct disk_model *to = move->to;
    unsigned number = to->inode_count++;
    move->numbers[index] = number + 1;
    to->inodes = grow(to->inodes, to->inode_count, sizeof(*to->inodes));
    struct model_inode inode = {.directory = old->directory, .ino = old->ino,
                                .version_count = old->version_count, .spoilt = old->spoilt};
    for (unsigned i = 0; i < old->version_count; i++) {
        inode.versions[i] = old->versions[i];
        inode.versions[i]->refs++;
    }
    to->inodes[number] = inode;
    struct model_entries entries = {.count = old->entry_count};
    for (unsigned i = 0; i < old->entry_count; i++) {
        entries.list[i] = (struct model_entry){old->entries[i].name,
                                               move_inode(move, old->entries[i].inode)};
    }
    if (old->directory) {
        set_entries(&to->inodes[number], &entries);
    }
    for (unsigned i = 0; i < old->op_count; i++) {
        struct model_op op = old->ops[i];
        op.inode = move_inode(move, op.inode);
        inode_add_op(&to->inodes[number], op);
    }
    return number;
}

struct disk_model *disk_model_clone(const struct disk_model *model)
{
    struct move move = {.from = model, .to = sibling(model),
                        .numbers = calloc(model->inode_count, sizeof(unsigned))};
    assert(move.numbers != NULL);
    move_inode(&move, 0);
    free(move.numbers);
    return move.to;
}

/* ---- loss of power -------------------------------------------------------------------------- */

static size_t choose_size(const struct model_inode *inode, struct choices *choices)
{
    size_t sizes[MODEL_VERSIONS] = {inode->versions[0]->size};
    unsigned count = 1;
    for (unsigned i = 1; i < inode->version_count; i++) {
        unsigned at = 0;
        while (at < count && sizes[at] != inode->versions[i]->size) {
            at++;
        }
        if (at == count) {
            sizes[count++] = inode->versions[i]->size;
        }
    }
    return sizes[count > 1 ? choose(choices, count) : 0];
}

/* One of the versions of a sector, or zeros, or what lay there before; the durable one first. */
static void choose_sector(const struct model_inode *inode, size_t at, bool stale,
                          struct choices *choices, uint8_t ret_sector[MODEL_SECTOR])
{
    uint8_t options[MODEL_VERSIONS + 2][MODEL_SECTOR];
    unsigned count = 0;
    for (unsigned i = 0; i <= inode->version_count; i++) {
        if (i < inode->version_count) {
            content_read(inode->versions[i], at, options[count], MODEL_SECTOR);
        } else if (count > 1) {
            memset(options[count], 0, MODEL_SECTOR);
        } else {
            break;
        }
        unsigned same = 0;
        while (same < count && memcmp(options[same], options[count], MODEL_SECTOR) != 0) {
            same++;
        }
        count += same == count;
    }
    if (stale && (count > 1 || inode->versions[0]->size <= at)) {
        memset(options[count++], 0xdb, MODEL_SECTOR);
    }
    memcpy(ret_sector, options[count > 1 ? choose(choices, count) : 0], MODEL_SECTOR);
}

static struct model_content *choose_content(const struct model_inode *inode, bool stale,
                                            struct choices *choices)
{
    if (inode->version_count == 1) {
        inode->versions[0]->refs++;
        return inode->versions[0];
    }
    size_t used = 0, size = choose_size(inode, choices);
    for (unsigned i = 0; i < inode->version_count; i++) {
        used = inode->versions[i]->used > used ? inode->versions[i]->used : used;
    }
    used = stale && used == 0 ? 1 : used; /* one stands for all that nobody wrote */
    used = used < size ? used : size;
    size_t sectors = (used + MODEL_SECTOR - 1) / MODEL_SECTOR;
    uint8_t *bytes = calloc(sectors + 1, MODEL_SECTOR);
    assert(bytes != NULL);
    for (size_t i = 0; i < sectors; i++) {
        choose_sector(inode, i * MODEL_SECTOR, stale, choices, bytes + i * MODEL_SECTOR);
    }
    struct model_content *content = content_new(bytes, sectors * MODEL_SECTOR, size);
    free(bytes);
    return content;
}

static unsigned lose(const struct disk_model *from, unsigned index, struct disk_model *to,
                     struct choices *choices)
{
    const struct model_inode *old = &from->inodes[index];
    unsigned number = to->inode_count++;
    to->inodes = grow(to->inodes, to->inode_count, sizeof(*to->inodes));
    to->inodes[number] = (struct model_inode){.directory = old->directory, .ino = old->ino};
    if (!old->directory) {
        inode_push(&to->inodes[number], choose_content(old, from->stale, choices));
        return number;
    }
    struct model_entries entries;
    durable_entries(old, &entries);
    for (unsigned i = 0; i < old->op_count; i++) {
        if (choose(choices, 2) == 1) {
            apply(&entries, &old->ops[i]);
        }
    }
    for (unsigned i = 0; i < entries.count; i++) {
        entries.list[i].inode = lose(from, entries.list[i].inode, to, choices);
    }
    set_entries(&to->inodes[number], &entries);
    return number;
}

struct disk_model *disk_model_lose_power(const struct disk_model *model, struct choices *choices)
{
    struct disk_model *left = sibling(model);
    lose(model, 0, left, choices);
    return left;
}

void disk_model_settle(struct disk_model *model)
{
    for (unsigned i = 0; i < model->inode_count; i++) {
        model->inodes[i].spoilt = false;
        inode_sync(&model->inodes[i]);
    }
}

void disk_model_free(struct disk_model *model)
{
    if (model == NULL) {
        return;
    }
    for (unsigned i = 0; i < model->inode_count; i++) {
        struct model_inode *inode = &model->inodes[i];
        for (unsigned v = 0; v < inode->version_count; v++) {
            content_unref(inode->versions[v]);
        }
        free(inode->entries);
        free(inode->ops);
    }
    free(model->inodes);
    free(model);
}

unsigned disk_model_open_fds(const struct disk_model *model)
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof(model->fds) / sizeof(model->fds[0]); i++) {
        count += model->fds[i].inode != 0;
    }
    return count;
}

/* ---- hashes --------------------------------------------------------------------------------- */

static uint64_t hash_inode(const struct disk_model *model, unsigned index, uint64_t seed)
{
    const struct model_inode *inode = &model->inodes[index];
    uint64_t hash = mix(mix(seed, inode->directory), inode->spoilt), sum = 0;
    for (unsigned i = 0; i < inode->version_count; i++) {
        hash = mix(hash, inode->versions[i]->hash);
    }
    for (unsigned i = 0; i < inode->entry_count; i++) { /* in whatever order they stand */
        sum += mix(mix(seed, inode->entries[i].name),
                   hash_inode(model, inode->entries[i].inode, seed));
    }
    hash = mix(hash, sum);
    for (unsigned i = 0; i < inode->op_count; i++) {
        const struct model_op *op = &inode->ops[i];
        hash = mix(mix(mix(hash, op->kind), op->name), op->to);
        hash = mix(hash, hash_inode(model, op->inode, seed));
    }
    return hash;
}

void disk_model_hash(const struct disk_model *model, uint64_t ret_hash[2])
{
    ret_hash[0] = hash_inode(model, 0, 0x51);
    ret_hash[1] = hash_inode(model, 0, 0x7a3f);
}
