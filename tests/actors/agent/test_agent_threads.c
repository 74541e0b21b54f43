/* SPDX-License-Identifier: Apache-2.0 */
/* Agents on real threads with a journal on its own: many askers at once, each answered once. */
#include "swarm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/handler.h"
#include "proto/agent.h"

#define ASKERS 6
#define ASKS 15

struct asking {
    struct runtime *runtime;
    int number;
    int answered;
};

static void *ask_on(void *arg)
{
    struct asking *asking = arg;
    static const char *const agents[] = {"atlas", "axon", "nova"};

    for (int i = 0; i < ASKS; i++) {
        const char *agent = agents[(asking->number + i) % 3], *peer = agents[(asking->number) % 3];
        struct message *answer = NULL;
        char text[64];

        snprintf(text, sizeof(text), i % 4 == 3 && agent != peer ? "call ask %s %d" : "%s %d",
                 peer, i);
        const struct agent_ask ask = {.session = proto_text(asking->number % 2 ? "" : "room"),
                                      .text = proto_text(text)};

        runtime_ask(asking->runtime, runtime_lookup(asking->runtime, agent),
                    actor_pack(agent_ask, &ask), 30 * SECOND, &answer);
        asking->answered += answer && answer->type == MSG_agent_answer;
        message_free(answer);
    }
    return NULL;
}

static size_t count_answers(const struct swarm *swarm, const char *agent, const char *session)
{
    char types[512] = "", *lines = calloc(1, 1 << 20);
    size_t count = 0;

    swarm_transcript(swarm, agent, session, types, lines, 1 << 20);
    for (const char *at = lines; (at = strstr(at, "{\"type\":\"answer\"")); at++)
        count++;
    free(lines);
    return count;
}

static void every_ask_is_answered_once_and_is_in_a_transcript(void **state)
{
    struct swarm *swarm = calloc(1, sizeof(*swarm));
    struct asking askings[ASKERS];
    pthread_t threads[ASKERS];
    size_t answers = 0;
    static const char *const agents[] = {"atlas", "axon", "nova"};

    (void)state;
    assert_int_equal(temp_dir_make(swarm->folder), 0);
    swarm_start_threads(swarm);
    swarm_agent(swarm, "atlas", "axon,nova");
    swarm_agent(swarm, "axon", "atlas,nova");
    swarm_agent(swarm, "nova", "atlas,axon");
    for (int i = 0; i < ASKERS; i++) {
        askings[i] = (struct asking){swarm->manual.runtime, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &askings[i]), 0);
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askings[i].answered, ASKS);
    }
    for (int i = 0; i < 3; i++)
        answers += count_answers(swarm, agents[i], "main") +
                   count_answers(swarm, agents[i], "room");
    assert_int_equal(answers, ASKERS * ASKS);
    swarm_close(swarm);
    free(swarm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ask_is_answered_once_and_is_in_a_transcript)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
