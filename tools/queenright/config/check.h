/* SPDX-License-Identifier: Apache-2.0 */
/* The checks between a text and a config: by the table of keys, then across keys. Internal to
 * the config library. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "queenright/config/errors.h"
#include "queenright/config/keys.h"
#include "queenright/config/position.h"

#define CONFIG_DEPTH_MAX 16

struct config_checker {
    const char *text; /* what was parsed, for positions */
    size_t size;
    struct config_errors *errors;
    struct config_step steps[CONFIG_DEPTH_MAX];
    size_t depth;
    bool no_memory; /* something could not be checked, or said */
};

void config_check_push(struct config_checker *checker, const char *key, size_t index);
void config_check_pop(struct config_checker *checker);
/* Reports at where the steps lead to: the value, or the key that leads to it. */
void config_check_error(struct config_checker *checker, bool of_key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Types, ranges, known keys, required keys; replaces ${VAR} and lower-cases ids in the tree. */
void config_check_keys(struct config_checker *checker, json_t *root);
/* References between keys, and what must or must not stand together. Bears any tree. */
void config_check_cross(struct config_checker *checker, json_t *root);

/* A sentence when the URL is refused, else NULL. */
const char *config_check_url(const char *url);
bool config_url_is_loopback_or_https(const char *url);
/* Replaces ${VAR}, with $${ for a plain ${. 0 and *ret_text, NULL when there was nothing to do;
 * -ENOENT or -EPERM and the variable's name. */
int config_expand(const char *text, char **ret_text, char *ret_name, size_t name_size);
/* Whether a header or field of this name, or a value like this, would be a secret. */
bool config_name_is_secret(const char *name);
bool config_value_is_secret(const char *value);
