/* SPDX-License-Identifier: Apache-2.0 */
/* curl's multi handle on an epoll of its own.
 *
 * curl_multi_poll and curl_multi_perform look at every transfer each time; with a thousand streams
 * that trickle, that is all they would do. With curl_multi_socket_action only those that have
 * something to say cost anything. An eventfd beside the sockets lets other threads end the wait. */
#pragma once

#include <curl/curl.h>
#include <stdint.h>

struct loop {
    CURLM *multi;
    int epoll, wake;
    uint64_t due_ns; /* when curl wants to be called (CLOCK_MONOTONIC); UINT64_MAX: never */
};

/* 0 or negative errno; then deinit is to be called all the same. */
int loop_init(struct loop *loop);
void loop_deinit(struct loop *loop);
/* Waits and lets curl work; its callbacks run inside. 0 or negative errno. */
int loop_run(struct loop *loop, uint64_t timeout_ns);
/* From any thread. */
void loop_wake(struct loop *loop);
