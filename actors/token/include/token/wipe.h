/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* Makes libcurl and jansson wipe what they free, for tokens pass through both. Once, when the
 * process starts, before either is used by a second thread; harmless later. 0 or -ENOMEM. */
int wipe_install(void);

/* Memory as the two get it: wiped when it is freed, and a refusal is counted. */
void *wipe_malloc(size_t size);
void wipe_free(void *pointer);
/* How often this thread was refused, since it began. jansson does not say when memory ran out: it
 * calls a good text bad, or goes on with a character less. Who parses compares before and after. */
unsigned wipe_refusals(void);
