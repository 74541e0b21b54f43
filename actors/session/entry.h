/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a transcript: JSON objects with `type` and `at` (Unix ms).
 *
 *     queued       item, kind (ask, tell), from, path, text      it waits for its turn
 *     dropped      item, why                                     it will have none
 *     turn         turn, item (0: never queued), kind, from, path, text     a turn begins
 *     calls        turn, items       what the model answered with: calls of tools
 *     outputs      turn, items       what the tools said
 *     answer       turn, text, items, model, profile, input_tokens, output_tokens, note
 *     failed       turn, code, why                               it ended without an answer
 *     interrupted  turn, item, again                             a restart cut it off
 *     mended       torn, skipped                                 what a load could not read
 *
 * A turn without answer, failed or interrupted is one that runs, or that a crash cut off. Each
 * returns malloc'd text, NULL without memory. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "item.h"

struct turn_result {
    const char *text, *model, *profile, *note;
    json_t *items;
    uint64_t input_tokens, output_tokens;
};

char *entry_queued(int64_t at_ms, const struct item *item);
char *entry_dropped(int64_t at_ms, uint64_t item, const char *why);
char *entry_turn(int64_t at_ms, uint64_t turn, const struct item *item);
char *entry_items(int64_t at_ms, const char *type, uint64_t turn, json_t *items);
char *entry_answer(int64_t at_ms, uint64_t turn, const struct turn_result *result);
char *entry_failed(int64_t at_ms, uint64_t turn, const char *code, const char *why);
char *entry_interrupted(int64_t at_ms, uint64_t turn, uint64_t item, bool again);
char *entry_mended(int64_t at_ms, uint64_t torn, uint64_t skipped);
