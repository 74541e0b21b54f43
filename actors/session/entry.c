/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#define I(number) ((json_int_t)(number))

/* Takes the object; `type` and `at` stand in front. */
static char *entry(const char *type, int64_t at_ms, json_t *rest)
{
    json_t *object = json_pack("{s:s, s:I}", "type", type, "at", I(at_ms));
    char *text = NULL;

    if (object && rest && json_object_update(object, rest) == 0)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    json_decref(rest);
    return text;
}

static const char *kind_name(const struct item *item)
{
    return item->kind == ITEM_ASK ? "ask" : "tell";
}

char *entry_queued(int64_t at_ms, const struct item *item)
{
    return entry("queued", at_ms,
                 json_pack("{s:I, s:s, s:s, s:s, s:s}", "item", I(item->id), "kind",
                           kind_name(item), "from", item->from, "path", item->path, "text",
                           item->text));
}

char *entry_dropped(int64_t at_ms, uint64_t item, const char *why)
{
    return entry("dropped", at_ms, json_pack("{s:I, s:s}", "item", I(item), "why", why));
}

char *entry_turn(int64_t at_ms, uint64_t turn, const struct item *item)
{
    return entry("turn", at_ms,
                 json_pack("{s:I, s:I, s:s, s:s, s:s, s:s}", "turn", I(turn), "item", I(item->id),
                           "kind", kind_name(item), "from", item->from, "path", item->path,
                           "text", item->text));
}

char *entry_items(int64_t at_ms, const char *type, uint64_t turn, json_t *items)
{
    return entry(type, at_ms, json_pack("{s:I, s:O}", "turn", I(turn), "items", items));
}

char *entry_answer(int64_t at_ms, uint64_t turn, const struct turn_result *result)
{
    return entry("answer", at_ms,
                 json_pack("{s:I, s:s, s:O, s:s, s:s, s:I, s:I, s:s}", "turn", I(turn), "text",
                           result->text, "items", result->items, "model", result->model, "profile",
                           result->profile, "input_tokens", I(result->input_tokens),
                           "output_tokens", I(result->output_tokens), "note", result->note));
}

char *entry_failed(int64_t at_ms, uint64_t turn, const char *code, const char *why)
{
    return entry("failed", at_ms,
                 json_pack("{s:I, s:s, s:s}", "turn", I(turn), "code", code, "why", why));
}

char *entry_interrupted(int64_t at_ms, uint64_t turn, uint64_t item, bool again)
{
    return entry("interrupted", at_ms,
                 json_pack("{s:I, s:I, s:b}", "turn", I(turn), "item", I(item), "again", again));
}

char *entry_mended(int64_t at_ms, uint64_t torn, uint64_t skipped)
{
    return entry("mended", at_ms, json_pack("{s:I, s:I}", "torn", I(torn), "skipped", I(skipped)));
}
