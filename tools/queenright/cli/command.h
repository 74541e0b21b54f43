/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of commands (commands.c), from which parsing, --help, `help`,
 * completion and the man page come. A new command is one row there and one function. */
#pragma once

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queenright/process/paths.h"

/* Exit codes, from sysexits.h where there is one. X(name, code, meaning) */
#define COMMAND_EXITS(X)                                                                           \
    X(EXIT_CODE_OK, 0, "done")                                                                     \
    X(EXIT_CODE_FAILED, 1, "it did not work; stderr says why")                                     \
    X(EXIT_CODE_SOON, 2, "it works, and soon will not: see what is printed")                       \
    X(EXIT_CODE_LOGIN, 3, "a new login is needed")                                                 \
    X(EXIT_CODE_USAGE, 64, "wrong words on the command line")                                      \
    X(EXIT_CODE_UNAVAILABLE, 69, "what was asked does not run or cannot be reached")               \
    X(EXIT_CODE_TEMPORARY, 75, "not now; try again later")                                         \
    X(EXIT_CODE_PERMISSION, 77, "not allowed: a file or directory has the wrong owner or mode")    \
    X(EXIT_CODE_CONFIG, 78, "the config file is refused")
enum command_exit {
#define X(name, code, meaning) name = code,
    COMMAND_EXITS(X)
#undef X
};

/* Option keys. A short option is its letter; the rest are numbered here. */
enum command_key {
    KEY_JSON = 128,
    KEY_SWARM,
    KEY_READY_FD,
    KEY_DETACH,
    KEY_PRACTICE,
    KEY_FOR,
    KEY_NODE,
    KEY_CONFIG,
    KEY_SESSION,
    KEY_TAKE_OVER,
    KEY_MIN_VALID,
    KEY_REJECTED,
    KEY_PROFILE,
    KEY_PROVIDER,
    KEY_LIMIT,
    KEY_BODIES,
    KEY_TYPE,
    KEY_DRAIN,
    KEY_LINGER,
    KEY_FORCE,
    KEY_PROGRAM, /* the first of the practice provider's own options */
    COMMAND_KEYS = KEY_PROGRAM + 32
};

#define COMMAND_ARGS_MAX 8

struct command_call {
    const struct command *command;
    struct paths paths; /* filled unless the command says no_paths */
    bool json;
    const char *args[COMMAND_ARGS_MAX];
    unsigned arg_count;
    const char *values[COMMAND_KEYS]; /* by key; "" for an option without argument; NULL: absent */
};

struct command {
    const char *name; /* words, e.g. "zmq ls" */
    const char *args; /* e.g. "AGENT TEXT" */
    unsigned args_min, args_max;
    const char *help; /* one line */
    const char *text; /* more; NULL: nothing */
    const struct argp_option *options; /* NULL: only the common ones */
    int (*run)(struct command_call *call); /* an exit code; the reason is on stderr by then */
    /* More options, known only to another table; fills at most `max` rows. NULL: none. */
    size_t (*more_options)(struct argp_option *ret_options, size_t max);
    bool hidden;   /* of the program's own processes */
    bool no_paths; /* needs no state */
    bool swarm;    /* about one swarm: takes --swarm */
    bool no_json;  /* prints text that is meant to stay text */
};

extern const struct command command_table[]; /* ends with a row without name */
/* Options of more than one command, each where it means something. Fills at most
 * COMMAND_COMMON_MAX rows; the last one is empty. */
#define COMMAND_COMMON_MAX 4
void command_common_options(const struct command *command, struct argp_option *ret_options);

/* "queenright: WHAT" and, when remedy is not NULL, "  try: REMEDY", on stderr. */
void command_error(const char *remedy, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline const char *command_value(const struct command_call *call, enum command_key key)
{
    return call->values[key];
}

/* "90", "90s", "10m", "2h", "250ms" to milliseconds; a bare number is seconds. False: none. */
bool command_duration(const char *text, uint64_t *ret_ms);

const struct command *command_find(const char *name);
/* The name nearest to a mistyped one, NULL when none is near. */
const char *command_nearest(const char *name);
int command_help(const struct command *command); /* NULL: the list of all */
