/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of other programs' files share. */
#pragma once

#include "provider/answer_json.h"
#include "token/import.h"

/* Appends an empty entry; control characters of the id are shown as '?'. Valid until the next one.
 * NULL without memory. */
struct import_entry *import_add(struct import_list *list, const char *source, const char *profile);
void import_refuse(struct import_entry *entry, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Copies a text member that fits and is printable; else leaves the field empty. */
void import_text(const json_t *object, const char *key, char *ret_text, size_t size);
/* A secret member. NULL: absent, empty or no token; -ENOMEM in *ret_error without memory. */
struct secret *import_secret(const json_t *object, const char *key, int *ret_error);

/* 0 or -ENOMEM; what is in them that cannot be taken becomes refused entries. -EPROTONOSUPPORT with
 * a sentence: of a version that is not known. */
int import_openclaw(const json_t *root, const char *source, struct import_list *list, char *ret_why,
                    size_t why_size);
int import_codex(const json_t *root, const char *source, struct import_list *list);
