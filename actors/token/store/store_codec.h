/* SPDX-License-Identifier: Apache-2.0 */
/* What is sealed in a file, as bytes: a sequence of (tag, length, value). Tags are never reused;
 * one that is not known is skipped, one that is missing leaves its field zero. */
#pragma once

#include "token/secret.h"
#include "token/store.h"

struct codec_table;

extern const struct codec_table credential_codec;
extern const struct codec_table intent_codec;
extern const struct codec_table answer_codec;

/* NULL without memory. */
struct secret *codec_pack(const struct codec_table *table, const void *object,
                          const struct secret_memory *memory);
/* Into *ret_object, which is zeroed first. 0, -EBADMSG or -ENOMEM; after an error it must still be
 * freed by its own deinit. */
int codec_unpack(const struct codec_table *table, const struct secret *bytes, void *ret_object);
