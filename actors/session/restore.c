/* SPDX-License-Identifier: Apache-2.0 */
#include "restore.h"

#include <string.h>

void restore_init(struct restore *restore, size_t turns_max)
{
    *restore = (struct restore){.turns_max = turns_max};
    item_queue_init(&restore->waiting);
}

static void close_turn(struct restore *restore)
{
    json_decref(restore->open_items);
    item_free(restore->open_item);
    restore->open_items = NULL;
    restore->open_item = NULL;
    restore->open_turn = 0;
    restore->open_tools = false;
}

void restore_deinit(struct restore *restore)
{
    close_turn(restore);
    history_deinit(&restore->history);
    item_queue_deinit(&restore->waiting);
}

static uint64_t number_of(const json_t *entry, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(entry, key));

    return number > 0 ? (uint64_t)number : 0;
}

static const char *text_of(const json_t *entry, const char *key)
{
    const char *text = json_string_value(json_object_get(entry, key));

    return text ? text : "";
}

static struct item *item_of(const json_t *entry)
{
    enum item_kind kind = strcmp(text_of(entry, "kind"), "tell") == 0 ? ITEM_TELL : ITEM_ASK;
    struct item *item = item_new(kind, proto_text(text_of(entry, "text")),
                                 proto_text(text_of(entry, "from")),
                                 proto_text(text_of(entry, "path")));

    if (item)
        item->id = number_of(entry, "item");
    return item;
}

static void on_queued(struct restore *restore, const json_t *entry)
{
    struct item *item = item_of(entry);

    if (!item)
        return;
    if (item->id > restore->items)
        restore->items = item->id;
    item_queue_push(&restore->waiting, item);
}

static void on_dropped(struct restore *restore, const json_t *entry)
{
    struct item *item = item_queue_find(&restore->waiting, number_of(entry, "item"));

    item_free(item_queue_remove(&restore->waiting, item));
}

static void on_turn(struct restore *restore, const json_t *entry)
{
    struct item *queued = item_queue_find(&restore->waiting, number_of(entry, "item"));

    close_turn(restore);
    item_queue_remove(&restore->waiting, queued);
    restore->open_item = queued ? queued : item_of(entry);
    restore->open_turn = number_of(entry, "turn");
    restore->open_items = json_array();
    json_array_append_new(restore->open_items,
                          history_user_item(text_of(entry, "text"), text_of(entry, "from")));
    if (restore->open_turn > restore->turns)
        restore->turns = restore->open_turn;
}

static void on_items(struct restore *restore, const json_t *entry)
{
    restore->open_tools = true;
    json_array_extend(restore->open_items, json_object_get(entry, "items"));
}

static void on_answer(struct restore *restore, const json_t *entry)
{
    json_array_extend(restore->open_items, json_object_get(entry, "items"));
    history_push(&restore->history, json_incref(restore->open_items), restore->turns_max);
    close_turn(restore);
}

static void on_failed(struct restore *restore, const json_t *entry)
{
    (void)entry;
    close_turn(restore);
}

static void on_interrupted(struct restore *restore, const json_t *entry)
{
    struct item *item = restore->open_item;

    if (item && json_is_true(json_object_get(entry, "again"))) {
        item->tries++;
        item_queue_push_front(&restore->waiting, item);
        restore->open_item = NULL;
    }
    close_turn(restore);
}

static void on_mended(struct restore *restore, const json_t *entry)
{
    (void)restore;
    (void)entry;
}

static const struct entry_reader {
    const char *type;
    bool of_turn; /* belongs to the open turn */
    void (*read)(struct restore *restore, const json_t *entry);
} readers[] = {
    {"queued", false, on_queued}, {"dropped", false, on_dropped},
    {"turn", false, on_turn},     {"calls", true, on_items},
    {"outputs", true, on_items},  {"answer", true, on_answer},
    {"failed", true, on_failed},  {"interrupted", true, on_interrupted},
    {"mended", false, on_mended},
};

void restore_line(struct restore *restore, const char *line, size_t size)
{
    json_t *entry = json_loadb(line, size, 0, NULL);
    const char *type = text_of(entry, "type");

    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        if (strcmp(readers[i].type, type) != 0)
            continue;
        bool fits = !readers[i].of_turn || (restore->open_turn > 0 &&
                                            number_of(entry, "turn") == restore->open_turn);
        if (fits)
            readers[i].read(restore, entry);
        else
            restore->unreadable++;
        json_decref(entry);
        return;
    }
    restore->unreadable++;
    json_decref(entry);
}

bool restore_interrupt(struct restore *restore, uint64_t *ret_item)
{
    struct item *item = restore->open_item;
    bool again = item && item->kind == ITEM_TELL && !restore->open_tools && item->id > 0 &&
                 item->tries + 1 < RESTORE_TRIES_MAX;

    *ret_item = item ? item->id : 0;
    if (again) {
        item->tries++;
        item_queue_push_front(&restore->waiting, item);
        restore->open_item = NULL;
    }
    close_turn(restore);
    return again;
}
