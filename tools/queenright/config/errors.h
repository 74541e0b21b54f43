/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a config file: up to CONFIG_ERRORS_MAX findings, the rest counted. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define CONFIG_ERRORS_MAX 20

struct config_error {
    unsigned line;   /* from 1; 0: about the file as a whole */
    unsigned column; /* from 1, in characters */
    char *path;      /* e.g. agents.entries.atlas.model; empty: none */
    char *message;   /* what is wrong and what was expected */
};

struct config_errors {
    char *file;
    struct config_error items[CONFIG_ERRORS_MAX];
    size_t count;
    size_t more; /* found beyond those */
};

void config_errors_init(struct config_errors *errors, const char *file);
void config_errors_deinit(struct config_errors *errors);
void config_errors_add(struct config_errors *errors, unsigned line, unsigned column,
                       const char *path, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void config_errors_addv(struct config_errors *errors, unsigned line, unsigned column,
                        const char *path, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));
/* By line and column, so that they read as the file does. */
void config_errors_sort(struct config_errors *errors);
/* FILE:LINE:COLUMN: PATH: MESSAGE, as compilers print, malloc'd. */
char *config_error_print(const struct config_errors *errors, const struct config_error *error);
/* All of them so, a line each, without a newline at the end; malloc'd, NULL without memory. */
char *config_errors_text(const struct config_errors *errors);
