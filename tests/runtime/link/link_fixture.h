/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of links share: a directory with two endpoints, two runtimes, processes that can
 * be killed, questions with an assertion inside, and an actor that reads one stream. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/types.h>

#include "link_actors.h"
#include "runtime/introspect.h"
#include "support/temp_dir.h"

#define MS ((uint64_t)1000000)
#define SECOND (1000 * MS)

struct reader_result { /* written by the actor `reader` until its runtime ends */
    _Atomic uint32_t parts, wrong, credit, done, downs;
    _Atomic int status, reason;
    uint32_t wanted;
    const char *peer;
    uint32_t type;
};

struct fixture {
    struct reader_result results[2];
    char directory[TEMP_DIR_MAX];
    char endpoint[TEMP_DIR_MAX + 16], other[TEMP_DIR_MAX + 16];
    struct runtime *home, *b;
};

int link_setup(void **state);
int link_teardown(void **state);
#define LINK_TEST(name) cmocka_unit_test_setup_teardown(name, link_setup, link_teardown)

uint64_t now_ns(void);
void pause_ms(long ms);

struct message *text_message(uint32_t type, const char *text);
struct message *number_message(uint32_t type, uint32_t number);
uint32_t number_of(const struct message *message, size_t i);
struct message *ask(struct runtime *runtime, const char *peer, const char *name,
                    struct message *message, uint64_t timeout_ns);
/* Frees the answer. */
enum runtime_status status_of(struct message *answer);
void assert_echo(struct runtime *runtime, const char *peer);

bool link_find(struct runtime *runtime, const char *peer, struct link_info *ret_info);
void assert_state(struct runtime *runtime, const char *peer, const char *state);
/* home listens, b dials it. */
void connect_two(struct fixture *fixture);

/* The program link_process; ready when this returns. */
pid_t process_start(const char *name, const char *how, const char *endpoint, const char *peer);
void process_kill(pid_t pid);

void reader_run(struct runtime *runtime, struct reader_result *result);
void wait_until(const _Atomic uint32_t *counter, uint32_t wanted, uint64_t timeout_ns);
