/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with generated values, for any schema: what one seed makes is always the same. */
#pragma once

#include "proto/schema.h"

#define GENERATE_TEXT_MAX 400

struct generator {
    uint64_t seed;
    char pool[PROTO_STRUCT_MAX / 16][GENERATE_TEXT_MAX]; /* what the texts borrow from */
};

uint64_t generate_number(struct generator *generator);
/* Fills a struct of the schema's size; its texts live in the generator until the next call. */
void generate_message(struct generator *generator, const struct proto_schema *schema,
                      void *ret_message);
/* Are the two structs the same field by field? */
bool messages_equal(const struct proto_schema *schema, const void *a, const void *b);
