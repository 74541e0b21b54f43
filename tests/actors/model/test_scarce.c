/* SPDX-License-Identifier: Apache-2.0 */
/* The k-th allocation fails, for every k: a call is refused or goes on, nothing leaks, nothing is
 * left half in a table, and the next call finds all as it should be. */
#include "lane.h"
#include "stage.h"
#include "support/failing_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define AGENTS 400 /* more than a table holds that never grew */
#define CALLS 600

static void an_agent_that_finds_no_memory_is_in_no_lane(void **state)
{
    static struct lane_place places[AGENTS];
    unsigned k = 0;

    (void)state;
    do {
        struct lanes lanes = {0};
        unsigned refused = 0;

        memory_fail(++k, false);
        for (size_t i = 0; i < AGENTS; i++) {
            char agent[16];
            int rc;

            snprintf(agent, sizeof(agent), "atlas-%zu", i);
            places[i] = (struct lane_place){0};
            memory_counts(true);
            rc = lane_enter(&lanes, "lab:me", 0, agent, &places[i]);
            memory_counts(false);
            refused += rc == -ENOMEM;
            if (rc == -ENOMEM)
                rc = lane_enter(&lanes, "lab:me", 0, agent, &places[i]);
            if (rc != LANE_ENTERED)
                fail_msg("allocation %u, agent %zu: %d", k, i, rc);
        }
        assert_int_equal(refused, memory_calls() >= k);
        for (size_t i = 0; i < AGENTS; i++)
            assert_null(lane_leave(&lanes, &places[i]));
        assert_null(lanes.table);
    } while (memory_calls() >= k);
    assert_true(k > AGENTS);
}

/* A stage on which a first call hangs and the others wait in its lane, `calls` in all. */
static struct stage *crowded_stage(size_t calls)
{
    struct stage *stage = stage_new(
        "{\"providers\":{\"lab\":{\"baseUrl\":\"http://127.0.0.1:8443/v1\",\"api\":"
        "\"openai-responses\",\"auth\":\"oauth\",\"maxConcurrent\":1}}}",
        "{\"profiles\":{\"lab:me\":{\"provider\":\"lab\"}}}");

    stage_reply(stage, (struct stage_reply){.hang = true});
    for (size_t i = 0; i < calls; i++)
        stage_call(stage, "axon", "lab/gpt", 4, false);
    stage_settle(stage);
    return stage;
}

/* One call more, taken up when the k-th allocation fails. How many there were. */
static unsigned take_up(struct stage *stage, unsigned k)
{
    stage_call(stage, "atlas", "lab/gpt", 4, false);
    assert_true(runtime_step(stage->runtime)); /* the probe asks */
    memory_fail(k, false);
    memory_counts(true);
    runtime_step(stage->runtime); /* the model actor takes it up */
    memory_counts(false);
    return memory_calls();
}

static unsigned refused_beside(size_t calls)
{
    unsigned refused = 0;
    bool hit = true;

    for (unsigned k = 1; hit; k++) {
        struct stage *stage = crowded_stage(calls);
        unsigned number = stage->probe.started;
        const struct probe_call *call = &stage->probe.calls[number];

        hit = take_up(stage, k) >= k;
        stage_settle(stage);
        if (call->over && call->runtime_status != STATUS_NO_MEMORY &&
            strcmp(call->code, "internal") != 0)
            fail_msg("%zu calls, allocation %u: %s, %s", calls, k, call->code,
                     runtime_status_name(call->runtime_status));
        refused += call->over;
        probe_cancel(&stage->probe, 0);
        for (unsigned i = 1; calls > 0 && i < stage->probe.started; i++)
            probe_cancel(&stage->probe, i);
        stage_settle(stage);
        stage_free(stage);
    }
    return refused;
}

/* A table grows with some of the calls; they allocate more than the others. */
static void a_call_that_finds_no_memory_is_refused(void **state)
{
    struct stage *stage = crowded_stage(2);
    unsigned usual, grown = 0;

    (void)state;
    assert_true(refused_beside(0) > 8);
    assert_true(take_up(stage, 0) > 3); /* the first call of its agent */
    usual = take_up(stage, 0);
    for (size_t calls = 4; calls < CALLS; calls++) {
        stage_settle(stage);
        if (take_up(stage, 0) == usual)
            continue;
        grown++;
        assert_true(refused_beside(calls) > usual);
    }
    assert_true(grown > 10);
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agent_that_finds_no_memory_is_in_no_lane),
        cmocka_unit_test(a_call_that_finds_no_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
