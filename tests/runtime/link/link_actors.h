/* SPDX-License-Identifier: Apache-2.0 */
/* Actors to talk to over a link, for the tests of it and the process they start. */
#pragma once

#include "runtime/link.h"
#include "runtime/runtime.h"

enum link_test_type {
    TEST_ECHO = 0x7001, /* answered with the same body */
    TEST_STREAM,        /* body: uint32_t; so many parts 0, 1, 2 ... of uint32_t, then an echo */
    TEST_SILENT,        /* never answered */
    TEST_FORWARD,       /* passed on to the actor echo of process b; from a node: answered */
    TEST_COUNT,         /* a tell: counted */
    TEST_COUNTED,       /* answered with the count, uint32_t */
    TEST_LARGE,         /* body: uint32_t; answered with so many bytes */
    TEST_END            /* answered, then the process ends at once */
};

/* Registered as "echo"; takes all of the above. */
extern const struct actor_ops link_echo_ops;

/* A runtime with links and an echo. */
struct runtime *link_test_runtime(const char *name, enum peer_kind kind);
