/* SPDX-License-Identifier: Apache-2.0 */
/* A request is taken up when the k-th allocation fails, for every k, alone and among so many that
 * the tables grow: it is refused or goes on, nothing leaks, and nothing is left half in a table. An
 * actor that cannot have its timer ends (runtime/timer.c says why), and its requests are answered
 * too. The server takes connections and never says a word. */
#include "http/http.h"
#include "proto/model.h"
#include "support/failing_memory.h"
#include "support/probe.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TRANSFERS 500

struct crowd {
    struct runtime *runtime;
    struct probe probe;
    int listener;
    char url[64];
};

static void quiet(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static void settle(struct crowd *crowd)
{
    while (runtime_step(crowd->runtime))
        ;
}

/* One request more, taken up when the k-th allocation fails. How many there were. */
static unsigned take_up(struct crowd *crowd, unsigned k)
{
    struct http_request request = {.method = proto_text("POST"), .url = proto_text(crowd->url),
                                   .body = proto_text("{}"), .bearer = proto_text("sesame")};

    settle(crowd);
    probe_send(&crowd->probe, actor_pack(http_request, &request), 4, false);
    assert_true(runtime_step(crowd->runtime)); /* the probe asks */
    memory_fail(k, false);
    memory_counts(true);
    runtime_step(crowd->runtime); /* the http actor takes it up */
    memory_counts(false);
    return memory_calls();
}

static void listen_at(struct crowd *crowd)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    crowd->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(crowd->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(crowd->listener, 16), 0);
    assert_int_equal(getsockname(crowd->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(crowd->url, sizeof(crowd->url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
}

static struct crowd *crowd_new(size_t transfers)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    struct runtime_options options = {.name = "crowd", .scheduler = SCHEDULER_MANUAL, .log = quiet};
    struct http_config config = {.host_connections = 2};
    struct actor_id id;

    assert_non_null(crowd);
    listen_at(crowd);
    assert_int_equal(runtime_new(&options, &crowd->runtime), 0);
    assert_int_equal(runtime_spawn(crowd->runtime, &http_actor_ops, &config,
                                   &(struct spawn_options){.name = "http"}, &id),
                     0);
    probe_start(&crowd->probe, crowd->runtime, "http");
    for (size_t i = 0; i < transfers; i++)
        take_up(crowd, 0);
    return crowd;
}

static void crowd_free(struct crowd *crowd)
{
    runtime_free(crowd->runtime);
    probe_deinit(&crowd->probe);
    close(crowd->listener);
    free(crowd);
}

static unsigned refused_beside(size_t transfers)
{
    unsigned refused = 0;
    bool hit = true;

    for (unsigned k = 1; hit; k++) {
        struct crowd *crowd = crowd_new(transfers);
        const struct probe_call *call = &crowd->probe.calls[transfers];

        hit = take_up(crowd, k) >= k;
        settle(crowd);
        if (call->over && call->runtime_status != STATUS_NO_MEMORY &&
            call->runtime_status != STATUS_DIED)
            fail_msg("%zu transfers, allocation %u: %s, %s", transfers, k, call->why,
                     runtime_status_name(call->runtime_status));
        refused += call->over;
        for (unsigned i = 0; i < crowd->probe.started; i++)
            if (!crowd->probe.calls[i].over)
                probe_cancel(&crowd->probe, i);
        settle(crowd);
        crowd_free(crowd);
    }
    return refused;
}

/* A table grows with some of the requests; they allocate more than the others. */
static void a_request_that_finds_no_memory_is_refused(void **state)
{
    struct crowd *crowd = crowd_new(4);
    unsigned usual = take_up(crowd, 0), grown = 0;

    (void)state;
    assert_true(refused_beside(0) > usual);
    for (size_t transfers = 5; transfers < TRANSFERS; transfers++) {
        if (take_up(crowd, 0) == usual)
            continue;
        grown++;
        assert_true(refused_beside(transfers) > usual);
    }
    print_message("%u allocations, more of them %u times\n", usual, grown);
    assert_true(grown > 6);
    crowd_free(crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_finds_no_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
