/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to a JSON tree. Internal to the config library. */
#pragma once

#include <jansson.h>

#include "queenright/config/errors.h"

#define CONFIG_SIZE_MAX (1 << 20)
#define CONFIG_NESTING_MAX 12

/* The whole file, malloc'd. 0 or a negative errno, told in *errors. */
int config_read_file(const char *path, char **ret_text, size_t *ret_size,
                     struct config_errors *errors);
/* Leaves out a UTF-8 byte order mark. */
void config_skip_mark(const char **text, size_t *size);
/* The tree, or NULL with at least one error. A tree may come with errors (duplicate keys). */
json_t *config_read_json(const char *text, size_t size, struct config_errors *errors);
