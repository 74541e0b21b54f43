/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of what may stand in the config. The checker walks the file by it, the loader
 * takes its defaults from it, docs/CONFIG.md is printed from it. A new key is a new row. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum config_type {
    CONFIG_OBJECT, /* known keys only */
    CONFIG_MAP,    /* keys are ids of the operator's choice: row PATH.* says what they hold */
    CONFIG_LIST,   /* row PATH[] says what its items are */
    CONFIG_STRING, /* one line */
    CONFIG_TEXT,   /* may have lines */
    CONFIG_ID,     /* [a-z0-9_-], starts with a letter or digit, lower-cased */
    CONFIG_URL,    /* http or https, without user, password or fragment */
    CONFIG_ENUM,   /* one of `values` */
    CONFIG_INT,    /* min to max */
    CONFIG_BOOL,
    CONFIG_MODEL,  /* provider/model */
    CONFIG_SECRET, /* never allowed: secrets live with the keeper; `values` says what to do */
    CONFIG_ELSEWHERE, /* known from other programs, not here; `values` says how it is written */
};

enum config_flag {
    KEY_REQUIRED = 1 << 0,
    KEY_OR_MODEL = 1 << 1,   /* an object, or in short a model reference */
    KEY_ANY_ID = 1 << 2,     /* map of free names (header names, profile ids): no id rules */
    KEY_NO_SECRETS = 1 << 3, /* map whose names must not be those of secrets */
    KEY_LOOPBACK = 1 << 4,   /* a URL whose http form is for loopback only */
};

struct config_key {
    const char *path; /* "*" stands for any key of a map, "[]" for any item; "" is the root */
    enum config_type type;
    unsigned flags;
    const char *fallback; /* the default, as it would be written; NULL: none */
    const char *values;   /* CONFIG_ENUM: a|b|c; CONFIG_SECRET, CONFIG_ELSEWHERE: advice */
    long long min, max;   /* of an integer; max: of a text's bytes, of a list's or map's items */
    const char *help;
};

/* The i-th row; NULL at the end. The root comes first. */
const struct config_key *config_key_at(size_t i);
const struct config_key *config_key_find(const char *path);
/* The row of `key` below `parent` (of its items, with NULL). NULL: unknown. */
const struct config_key *config_key_child(const struct config_key *parent, const char *key);
/* The next child row after `before`, the first with NULL; NULL at the end. */
const struct config_key *config_key_child_after(const struct config_key *parent,
                                               const struct config_key *before);
/* Last word of the path. */
const char *config_key_name(const struct config_key *key);
/* The known key someone may have meant who wrote `key` below `parent`. NULL: nothing is near. */
const struct config_key *config_key_nearest(const struct config_key *parent, const char *key);
/* The row's default as an integer; the row must have one. */
long long config_key_default(const char *path);
const char *config_key_default_text(const char *path);
/* Edits between two words, case and `_`, `-` aside. */
size_t word_distance(const char *a, const char *b);
/* Edits up to which a word may be meant: about a third of it. */
size_t word_distance_max(const char *word);
