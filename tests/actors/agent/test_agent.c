/* SPDX-License-Identifier: Apache-2.0 */
#include "swarm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static int begin(void **state)
{
    struct swarm *swarm = malloc(sizeof(*swarm));

    swarm_open(swarm);
    swarm_agent(swarm, "atlas", "axon,nova");
    swarm_agent(swarm, "axon", "atlas,nova");
    swarm_agent(swarm, "nova", "atlas,axon");
    swarm_run(swarm);
    *state = swarm;
    return 0;
}

static int finish(void **state)
{
    swarm_close(*state);
    free(*state);
    return 0;
}

static void restart(struct swarm *swarm)
{
    swarm_crash(swarm);
    swarm_start(swarm);
    swarm_agent(swarm, "atlas", "axon,nova");
    swarm_agent(swarm, "axon", "atlas,nova");
    swarm_agent(swarm, "nova", "atlas,axon");
    swarm_run(swarm);
}

static void expect(struct swarm *swarm, uint64_t tag, const char *kind, const char *text)
{
    const struct note *note = swarm_note(swarm, tag);

    if (!note)
        fail_msg("nothing came for %llu, %s %s expected", (unsigned long long)tag, kind, text);
    assert_string_equal(note->kind, kind);
    assert_string_equal(note->text, text);
}

static void expect_types(struct swarm *swarm, const char *agent, const char *session,
                         const char *types)
{
    char found[512];

    swarm_transcript(swarm, agent, session, found, NULL, 0);
    assert_string_equal(found, types);
}

static void an_ask_is_answered_and_written_down(void **state)
{
    struct swarm *swarm = *state;
    char types[512], lines[4096];

    swarm_ask(swarm, 1, "atlas", "hello");
    swarm_run(swarm);
    expect(swarm, 1, "answer", "echo hello");
    assert_int_equal(swarm_note(swarm, 1)->turn, 1);
    assert_string_equal(swarm->last_instructions, "be brief");
    swarm_transcript(swarm, "atlas", "main", types, lines, sizeof(lines));
    assert_string_equal(types, "turn answer ");
    assert_non_null(strstr(lines, "\"text\":\"hello\""));
    assert_non_null(strstr(lines, "\"model\":\"lab/one\""));
}

static void two_asks_at_once_are_one_after_another(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    swarm_ask(swarm, 2, "atlas", "second");
    swarm_run(swarm);
    assert_int_equal(swarm->model_calls, 1);
    assert_null(swarm_note(swarm, 1));
    assert_null(swarm_note(swarm, 2));
    swarm_release(swarm);
    expect(swarm, 1, "answer", "released");
    expect(swarm, 2, "answer", "echo second");
    assert_int_equal(swarm_note(swarm, 2)->turn, 2);
    assert_non_null(strstr(swarm->last_input, "released"));
    expect_types(swarm, "atlas", "main", "turn queued answer turn answer ");
}

static void sessions_do_not_wait_for_each_other(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    swarm_ask_as(swarm, 2, "atlas", "there", "room:7", "");
    swarm_run(swarm);
    assert_null(swarm_note(swarm, 1));
    expect(swarm, 2, "answer", "echo there");
    assert_null(strstr(swarm->last_input, "hold"));
    expect_types(swarm, "atlas", "room%3A7", "turn answer ");
}

static void over_the_limit_an_ask_is_refused_as_busy(void **state)
{
    struct swarm *swarm = *state;

    for (uint64_t tag = 1; tag <= 5; tag++) {
        swarm_ask(swarm, tag, "atlas", "hold");
        swarm_run(swarm);
    }
    expect(swarm, 5, "refusal", "busy"); /* one runs, three wait */
    assert_null(swarm_note(swarm, 4));
}

static void what_was_said_is_known_after_a_restart(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "my name is Lumi");
    swarm_run(swarm);
    restart(swarm);
    swarm_ask(swarm, 2, "atlas", "who am I");
    swarm_run(swarm);
    expect(swarm, 2, "answer", "echo who am I");
    assert_int_equal(swarm_note(swarm, 2)->turn, 2);
    assert_non_null(strstr(swarm->last_input, "my name is Lumi"));
    assert_non_null(strstr(swarm->last_input, "echo my name is Lumi"));
}

static void a_turn_cut_off_by_a_crash_shows_as_interrupted(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold this");
    swarm_run(swarm);
    swarm_ask(swarm, 2, "atlas", "and this waits");
    swarm_run(swarm);
    restart(swarm);
    expect_types(swarm, "atlas", "main", "turn queued interrupted dropped ");
    assert_int_equal(swarm->model_calls, 1); /* for nobody waits for it */
    swarm_ask(swarm, 3, "atlas", "again");
    swarm_run(swarm);
    expect(swarm, 3, "answer", "echo again");
    assert_null(strstr(swarm->last_input, "hold this"));
    assert_int_equal(swarm_note(swarm, 3)->turn, 2);
}

static void a_told_text_is_acknowledged_when_it_is_on_disk_and_survives(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    swarm_tell(swarm, 2, "atlas", "for later");
    swarm_run(swarm);
    expect(swarm, 2, "done", "");
    assert_int_equal(swarm->model_calls, 1);
    restart(swarm);
    assert_int_equal(swarm->model_calls, 2);
    assert_non_null(strstr(swarm->last_input, "for later"));
    expect_types(swarm, "atlas", "main", "turn queued interrupted turn answer ");
    restart(swarm); /* and is not run twice */
    assert_int_equal(swarm->model_calls, 2);
}

static void a_told_text_whose_turn_was_cut_off_is_tried_again_but_not_for_ever(void **state)
{
    struct swarm *swarm = *state;

    swarm_tell(swarm, 1, "atlas", "hold poison");
    swarm_run(swarm);
    for (int i = 0; i < 5; i++)
        restart(swarm);
    assert_int_equal(swarm->model_calls, 3);
    expect_types(swarm, "atlas", "main",
                 "queued turn interrupted turn interrupted turn interrupted ");
}

static void a_model_refusal_reaches_the_asker_and_is_no_history(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "fail cooling");
    swarm_run(swarm);
    swarm_ask(swarm, 2, "atlas", "next");
    swarm_run(swarm);
    expect(swarm, 1, "refusal", "cooling");
    assert_string_equal(swarm_note(swarm, 1)->extra, "as you say");
    expect(swarm, 2, "answer", "echo next");
    expect_types(swarm, "atlas", "main", "turn failed turn answer ");
    restart(swarm);
    swarm_ask(swarm, 3, "atlas", "more");
    swarm_run(swarm);
    assert_null(strstr(swarm->last_input, "fail cooling"));
    assert_non_null(strstr(swarm->last_input, "next"));
}

static void deltas_follow_the_askers_credit(void **state)
{
    struct swarm *swarm = *state;
    char text[512];

    swarm->credit = 2;
    swarm->give_credit = false;
    swarm_ask(swarm, 1, "atlas", "stream");
    swarm_run(swarm);
    assert_int_equal(swarm_count(swarm, 1, "delta"), 2);
    assert_null(swarm_note(swarm, 1)); /* not before all is said */
    swarm_give_credit(swarm, 1, 1);
    expect(swarm, 1, "answer",
           "piece0 piece1 piece2 piece3 piece4 piece5 piece6 piece7 piece8 piece9 ");
    swarm_deltas(swarm, 1, text, sizeof(text));
    assert_string_equal(text, swarm_note(swarm, 1)->text);
    assert_int_equal(swarm_count(swarm, 1, "delta"), 3);
}

/* One after another, each allocation that grows something fails. */
static int failing_in = -1; /* allocations until that; -1: never */

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return failing_in >= 0 && failing_in-- == 0 ? NULL : __real_realloc(memory, size);
}

static void without_memory_there_is_a_reason_and_never_half_an_answer(void **state)
{
    struct swarm *swarm = *state;
    unsigned refused = 0;
    char text[512];

    swarm->credit = 2;
    swarm->give_credit = true;
    swarm_ask(swarm, 1, "atlas", "stream"); /* so that the asker's own tables have grown */
    swarm_run(swarm);
    for (int n = 0, reached = 1; reached; n++) {
        swarm->note_count = 0;
        failing_in = n;
        swarm_ask(swarm, 1, "atlas", "stream");
        swarm_run(swarm);
        reached = failing_in < 0;
        failing_in = -1;
        const struct note *note = swarm_note(swarm, 1);
        assert_non_null(note);
        if (strcmp(note->kind, "answer") == 0) {
            expect(swarm, 1, "answer",
                   "piece0 piece1 piece2 piece3 piece4 piece5 piece6 piece7 piece8 piece9 ");
            swarm_deltas(swarm, 1, text, sizeof(text));
            assert_string_equal(text, note->text);
        } else {
            expect(swarm, 1, "refusal", "internal");
            assert_string_equal(note->extra, "no memory for the model's answer");
            refused++;
        }
    }
    assert_true(refused >= 2); /* what is streamed, and what is kept */
}

static void who_gives_no_credit_gets_the_answer_alone(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "stream");
    swarm_run(swarm);
    assert_string_equal(swarm_note(swarm, 1)->kind, "answer");
    assert_int_equal(swarm_count(swarm, 1, "delta"), 0);
}

static void who_gives_up_ends_the_turn_and_the_next_begins(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    swarm_ask(swarm, 2, "atlas", "waits and gives up");
    swarm_ask(swarm, 3, "atlas", "third");
    swarm_run(swarm);
    swarm_give_up(swarm, 2);
    swarm_give_up(swarm, 1);
    expect(swarm, 3, "answer", "echo third");
    assert_null(swarm_note(swarm, 1));
    assert_null(swarm_note(swarm, 2));
    expect_types(swarm, "atlas", "main", "turn queued queued dropped failed turn answer ");
}

static void an_agent_asks_another_and_goes_on_with_its_answer(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "call ask axon what is up");
    swarm_run(swarm);
    expect(swarm, 1, "answer", "heard echo what is up");
    expect_types(swarm, "atlas", "main", "turn calls outputs answer ");
    expect_types(swarm, "axon", "from~atlas", "turn answer ");
    assert_non_null(strstr(swarm->last_tools, "\"axon\",\"nova\""));
    restart(swarm); /* the calls are history too, and still match their outputs */
    swarm_ask(swarm, 2, "atlas", "more");
    swarm_run(swarm);
    assert_non_null(strstr(swarm->last_input, "function_call_output"));
}

static void several_calls_run_at_once(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "call ask axon one & call ask nova two & call tell nova three");
    swarm_run(swarm);
    expect(swarm, 1, "answer", "heard Delivered.");
    assert_non_null(strstr(swarm->last_input, "echo one"));
    assert_non_null(strstr(swarm->last_input, "echo two"));
    expect_types(swarm, "nova", "main", "queued turn answer ");
}

static void a_circle_of_asks_is_refused_with_a_reason(void **state)
{
    struct swarm *swarm = *state;

    /* atlas -> axon -> atlas: axon's call is not made, its model hears why */
    swarm_ask(swarm, 1, "atlas", "call ask axon call ask atlas hi");
    swarm_run(swarm);
    assert_string_equal(swarm_note(swarm, 1)->kind, "answer");
    assert_non_null(strstr(swarm_note(swarm, 1)->text, "heard heard atlas cannot be asked"));
    /* a path that names the asked is refused whoever brings it */
    swarm_ask_as(swarm, 2, "atlas", "hi", "", "nova,atlas");
    swarm_run(swarm);
    expect(swarm, 2, "refusal", "loop");
    swarm_ask_as(swarm, 3, "atlas", "hi", "", "a,b,c,d,e");
    swarm_run(swarm);
    expect(swarm, 3, "refusal", "loop");
    swarm_ask_as(swarm, 4, "atlas", "call ask axon hi", "", "a,b,c,d");
    swarm_run(swarm);
    assert_non_null(strstr(swarm_note(swarm, 4)->text, "that is the limit"));
}

/* Each has a turn that waits for the other's answer: only sessions of their own keep them apart. */
static void two_agents_may_ask_each_other_at_once(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "call ask axon from atlas");
    swarm_ask(swarm, 2, "axon", "call ask atlas from axon");
    swarm_run(swarm);
    expect(swarm, 1, "answer", "heard echo from atlas");
    expect(swarm, 2, "answer", "heard echo from axon");
}

static void a_call_that_makes_no_sense_is_told_to_the_model(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "call ask nexis hi");
    swarm_ask(swarm, 2, "axon", "call shout atlas hi");
    swarm_ask(swarm, 3, "nova", "call ask nova hi");
    swarm_run(swarm);
    expect(swarm, 1, "answer", "heard There is no agent nexis. There are: axon, nova.");
    expect(swarm, 2, "answer", "heard There is no tool of the name shout.");
    expect(swarm, 3, "answer", "heard You are nova yourself: think about it instead.");
}

static void a_model_that_never_stops_calling_is_stopped(void **state)
{
    struct swarm *swarm = *state;

    swarm->model_runs_away = true;
    swarm_ask(swarm, 1, "atlas", "go");
    swarm_run(swarm);
    expect(swarm, 1, "refusal", "model_error");
    assert_int_equal(swarm->model_calls, 9);
    assert_string_equal(swarm->last_tools, ""); /* the last call had none */
}

static void an_ask_of_an_agent_that_fails_is_an_output(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "call ask axon fail needs_login");
    swarm_run(swarm);
    expect(swarm, 1, "answer", "heard No answer: as you say (needs_login).");
}

static void limit_file_size(rlim_t size)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = size;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void a_full_disk_refuses_turns_and_spends_nothing(void **state)
{
    struct swarm *swarm = *state;
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGXFSZ, &ignore, NULL);
    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    limit_file_size(1);
    swarm_tell(swarm, 2, "atlas", "not taken");
    swarm_ask(swarm, 3, "axon", "not begun");
    swarm_run(swarm);
    swarm_release(swarm);
    limit_file_size(RLIM_INFINITY);
    expect(swarm, 2, "refusal", "not_saved");
    expect(swarm, 3, "refusal", "not_saved");
    assert_int_equal(swarm->model_calls, 1);
    expect(swarm, 1, "answer", "released"); /* it has been paid for */
    assert_string_equal(swarm_note(swarm, 1)->extra, "not in the transcript: the answer");
    swarm_ask(swarm, 4, "axon", "now");
    swarm_run(swarm);
    expect(swarm, 4, "answer", "echo now");
}

static void a_told_text_waits_for_room_on_the_disk(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_tell(swarm, 2, "atlas", "later");
    swarm_run(swarm);
    limit_file_size(1);
    swarm_release(swarm);
    assert_int_equal(swarm->model_calls, 1);
    limit_file_size(RLIM_INFINITY);
    manual_pass(&swarm->manual, 6 * SECOND);
    assert_int_equal(swarm->model_calls, 2);
    assert_non_null(strstr(swarm->last_input, "later"));
}

static void a_session_at_rest_forgets_and_reads_again(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "remember the bees");
    swarm_run(swarm);
    manual_pass(&swarm->manual, 400 * SECOND);
    swarm_ask(swarm, 2, "atlas", "what");
    swarm_run(swarm);
    expect(swarm, 2, "answer", "echo what");
    assert_int_equal(swarm_note(swarm, 2)->turn, 2);
    assert_non_null(strstr(swarm->last_input, "remember the bees"));
}

static void a_drained_agent_finishes_its_turn_and_begins_no_other(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    swarm_ask(swarm, 2, "atlas", "waits");
    swarm_run(swarm);
    swarm_drain(swarm, 3, "atlas");
    expect(swarm, 2, "refusal", "unavailable");
    assert_null(swarm_note(swarm, 3));
    swarm_ask(swarm, 4, "atlas", "too late");
    swarm_tell(swarm, 5, "atlas", "for the next start");
    swarm_run(swarm);
    expect(swarm, 4, "refusal", "unavailable");
    expect(swarm, 5, "done", "");
    swarm_release(swarm);
    expect(swarm, 1, "answer", "released");
    expect(swarm, 3, "done", "");
    assert_int_equal(swarm->model_calls, 1);
    swarm_drain(swarm, 6, "nova"); /* has nothing to do */
    expect(swarm, 6, "done", "");
    restart(swarm);
    assert_int_equal(swarm->model_calls, 2);
    assert_non_null(strstr(swarm->last_input, "for the next start"));
}

static void what_is_queued_is_found_though_the_journal_comes_late(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    swarm_tell(swarm, 2, "atlas", "queued before");
    swarm_run(swarm);
    swarm->journal_is_late = true;
    restart(swarm);
    manual_pass(&swarm->manual, 5 * SECOND);
    assert_int_equal(swarm->model_calls, 1);
    swarm_ask(swarm, 3, "axon", "nothing to write on");
    swarm_run(swarm);
    expect(swarm, 3, "refusal", "unavailable");
    swarm_journal(swarm);
    manual_pass(&swarm->manual, 20 * SECOND);
    assert_int_equal(swarm->model_calls, 2);
    assert_non_null(strstr(swarm->last_input, "queued before"));
}

static void a_transcript_that_cannot_be_read_is_tried_again(void **state)
{
    struct swarm *swarm = *state;
    char path[256], aside[300];

    swarm_ask(swarm, 1, "atlas", "hold");
    swarm_run(swarm);
    swarm_tell(swarm, 2, "atlas", "queued before");
    swarm_run(swarm);
    snprintf(path, sizeof(path), "%s/state/agents/atlas/main.jsonl", swarm->folder);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink("main.jsonl.aside", path), 0);
    restart(swarm);
    swarm_ask(swarm, 3, "atlas", "who goes there");
    swarm_run(swarm);
    expect(swarm, 3, "refusal", "not_saved");
    assert_int_equal(rename(aside, path), 0);
    manual_pass(&swarm->manual, 6 * SECOND);
    assert_int_equal(swarm->model_calls, 2);
    assert_non_null(strstr(swarm->last_input, "queued before"));
}

static void a_bad_session_key_is_refused(void **state)
{
    struct swarm *swarm = *state;

    swarm_ask_as(swarm, 1, "atlas", "hi", "a\nb", "");
    swarm_ask(swarm, 2, "atlas", "");
    swarm_run(swarm);
    expect(swarm, 1, "refusal", "bad_request");
    expect(swarm, 2, "refusal", "bad_request");
    swarm_ask_as(swarm, 3, "atlas", "hi", "../../etc/x", "");
    swarm_run(swarm);
    expect(swarm, 3, "answer", "echo hi");
    expect_types(swarm, "atlas", "%2E.%2F..%2Fetc%2Fx", "turn answer ");
}

#define IN_SWARM(test) cmocka_unit_test_setup_teardown(test, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SWARM(an_ask_is_answered_and_written_down),
        IN_SWARM(two_asks_at_once_are_one_after_another),
        IN_SWARM(sessions_do_not_wait_for_each_other),
        IN_SWARM(over_the_limit_an_ask_is_refused_as_busy),
        IN_SWARM(what_was_said_is_known_after_a_restart),
        IN_SWARM(a_turn_cut_off_by_a_crash_shows_as_interrupted),
        IN_SWARM(a_told_text_is_acknowledged_when_it_is_on_disk_and_survives),
        IN_SWARM(a_told_text_whose_turn_was_cut_off_is_tried_again_but_not_for_ever),
        IN_SWARM(a_model_refusal_reaches_the_asker_and_is_no_history),
        IN_SWARM(deltas_follow_the_askers_credit),
        IN_SWARM(without_memory_there_is_a_reason_and_never_half_an_answer),
        IN_SWARM(who_gives_no_credit_gets_the_answer_alone),
        IN_SWARM(who_gives_up_ends_the_turn_and_the_next_begins),
        IN_SWARM(an_agent_asks_another_and_goes_on_with_its_answer),
        IN_SWARM(several_calls_run_at_once),
        IN_SWARM(a_circle_of_asks_is_refused_with_a_reason),
        IN_SWARM(two_agents_may_ask_each_other_at_once),
        IN_SWARM(a_call_that_makes_no_sense_is_told_to_the_model),
        IN_SWARM(a_model_that_never_stops_calling_is_stopped),
        IN_SWARM(an_ask_of_an_agent_that_fails_is_an_output),
        IN_SWARM(a_full_disk_refuses_turns_and_spends_nothing),
        IN_SWARM(a_told_text_waits_for_room_on_the_disk),
        IN_SWARM(a_session_at_rest_forgets_and_reads_again),
        IN_SWARM(a_drained_agent_finishes_its_turn_and_begins_no_other),
        IN_SWARM(what_is_queued_is_found_though_the_journal_comes_late),
        IN_SWARM(a_transcript_that_cannot_be_read_is_tried_again),
        IN_SWARM(a_bad_session_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
