/* SPDX-License-Identifier: Apache-2.0 */
/* The TokenActor's jobs and its inbox when a message cannot be made or sent: what it has not told
 * the store fails and is tried again, and what an exchange has said unheard ends with the actor.
 * And an exchange before and after its actor's end, and what is made of an answer. */
#include "support/token_rig.h"

#include "store/store_place.h"
#include "store_actor.h"
#include "token_internal.h"

static struct {
    bool jobs;  /* no job goes to the store */
    bool ways;  /* what goes to the store does not arrive */
    bool wakes; /* no exchange can wake the actor */
    bool new_job; /* one of this kind cannot be made */
    enum store_job_kind kind;
    bool copies; /* of credentials */
} refused;

int __real_context_request(struct context *context, struct actor_id to, struct message *message,
                           const struct request_options *options);
int __wrap_context_request(struct context *context, struct actor_id to, struct message *message,
                           const struct request_options *options);
struct store_job *__real_store_job_new(enum store_job_kind kind);
struct store_job *__wrap_store_job_new(enum store_job_kind kind);
int __real_credential_copy(const struct credential *credential, struct credential *ret_copy);
int __wrap_credential_copy(const struct credential *credential, struct credential *ret_copy);
struct message *__real_message_new(uint32_t type, size_t size);
struct message *__wrap_message_new(uint32_t type, size_t size);

int __wrap_context_request(struct context *context, struct actor_id to, struct message *message,
                           const struct request_options *options)
{
    bool is_job = message != NULL && message->type == STORE_JOB_TYPE;

    if (is_job && refused.ways)
        to.n += 1000;
    if (!is_job || !refused.jobs)
        return __real_context_request(context, to, message, options);
    message_free(message);
    return -ENOMEM;
}

struct store_job *__wrap_store_job_new(enum store_job_kind kind)
{
    return refused.new_job && refused.kind == kind ? NULL : __real_store_job_new(kind);
}

int __wrap_credential_copy(const struct credential *credential, struct credential *ret_copy)
{
    return refused.copies ? -ENOMEM : __real_credential_copy(credential, ret_copy);
}

struct message *__wrap_message_new(uint32_t type, size_t size)
{
    return refused.wakes && type == TOKEN_WAKE_TYPE ? NULL : __real_message_new(type, size);
}

static uint64_t get(struct rig *rig, bool force)
{
    return rig_ask(rig, token_get, .profile = proto_text("lab:me"), .who = proto_text("atlas"),
                   .force = force);
}

/* The first to fail is the audit of a grant, when its turn ends; the second finds it waiting. */
static void jobs_that_cannot_be_sent_fail_each_and_are_tried_again(void **s)
{
    (void)s;
    for (int lost = 0; lost < 2; lost++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
        uint64_t tag;

        rig->script.auto_life_s = 600;
        refused.jobs = !lost;
        refused.ways = lost;
        tag = get(rig, false);
        assert_token(rig, tag, "access-0");
        tag = get(rig, true);
        assert_null(rig_answer(rig, tag));
        assert_int_equal(rig->script.count, 0);
        refused.jobs = refused.ways = false;
        rig_pass(rig, 10000);
        assert_token(rig, tag, "access-1");
        assert_int_equal(rig->script.count, 1);
        /* The batch that failed holds up no other. */
        assert_true(rig_audit_has(rig, "spend profile=lab:me"));
        rig_free(rig);
    }
}

static void a_job_that_was_never_sent_ends_with_the_actor(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    refused.jobs = true;
    assert_token(rig, get(rig, false), "access-0"); /* its audit waits for the next turn */
    refused.jobs = false;
    runtime_stop_actor(rig->runtime, rig->token);
    rig_run(rig);
    assert_false(rig_audit_has(rig, "grant profile=lab:me"));
    rig_free(rig);
}

static void what_needs_the_store_is_refused_at_once_when_it_cannot_be_sent(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tags[2];

    (void)s;
    refused.jobs = true;
    tags[0] = rig_ask(rig, swarm_join, .swarm = proto_text("five"));
    tags[1] = rig_ask(rig, token_import, .profile = proto_text("x:1"),
                      .mode = proto_text("api_key"), .access = proto_text("a"));
    refused.jobs = false;
    for (int i = 0; i < 2; i++) {
        assert_code(rig, tags[i], "internal");
        assert_non_null(strstr(rig_answer(rig, tags[i])->text, "out of memory"));
    }
    rig_free(rig);
}

static void what_there_is_no_memory_to_ask_of_the_store_is_tried_again(void **s)
{
    static const enum store_job_kind kinds[] = {JOB_RESERVE, JOB_WRITE_INTENT, JOB_WRITE_ANSWER,
                                                JOB_DIGEST, JOB_WRITE_RECORD};

    (void)s;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_NONE);
        uint64_t tag;

        rig->script.auto_life_s = 600;
        refused.kind = kinds[i];
        refused.new_job = true;
        tag = get(rig, true);
        refused.new_job = false;
        rig_pass(rig, 120000);
        assert_non_null(rig_answer(rig, tag));
        assert_int_equal(rig_answer(rig, tag)->generation, 2);
        rig_free(rig);
    }
}

static void without_memory_for_a_copy_an_import_is_refused_and_an_answer_read_later(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag;

    (void)s;
    rig->script.auto_life_s = 600;
    refused.copies = true;
    tag = rig_ask(rig, token_import, .profile = proto_text("key:0"),
                  .provider = proto_text("openai"), .mode = proto_text("api_key"),
                  .access = proto_text("k"));
    assert_code(rig, tag, "internal");
    tag = get(rig, true);
    assert_null(rig_answer(rig, tag));
    refused.copies = false;
    rig_pass(rig, 60000);
    assert_token(rig, tag, "access-1");
    rig_free(rig);
}

static void a_store_that_cannot_be_adopted_for_want_of_memory_says_so(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag;

    (void)s;
    rig_boot_copied(rig);
    refused.kind = JOB_ADOPT;
    refused.new_job = true;
    tag = rig_ask(rig, token_adopt, .profile = proto_text(""));
    refused.new_job = false;
    assert_code(rig, tag, "internal");
    rig_free(rig);
}

/* It is sealed as it came; whether the token was spent nobody knows. */
static void an_answer_without_a_body_is_no_want_of_memory(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    struct script_call *call;

    (void)s;
    get(rig, true);
    call = rig_call(rig, 0);
    script_reach_gate(call);
    rig_run(rig);
    script_end(call, EXCHANGE_ANSWERED, 204, NULL);
    rig_run(rig);
    assert_token(rig, get(rig, false), "access-0");
    assert_false(rig_audit_has(rig, "Cannot allocate memory"));
    rig_free(rig);
}

/* The actor is stopped before anything else makes it look into its inbox. */
static void what_an_exchange_has_said_unheard_ends_with_the_actor(void **s)
{
    (void)s;
    for (int ends = 0; ends < 3; ends++) { /* the last one with an answer that nobody reads */
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
        struct script_call *call;

        get(rig, true);
        call = rig_call(rig, 0);
        if (ends == 2) {
            script_reach_gate(call);
            rig_run(rig);
        }
        refused.wakes = true;
        if (ends == 2)
            script_end(call, EXCHANGE_ANSWERED, 200, "{}");
        else if (ends == 1)
            script_end(call, EXCHANGE_NOT_SENT, 0, NULL);
        else
            script_reach_gate(call);
        rig_run(rig);
        refused.wakes = false;
        assert_int_equal(call->gated, ends == 2); /* nobody has looked since */
        runtime_stop_actor(rig->runtime, rig->token);
        rig_run(rig);
        assert_int_equal(call->gated, ends != 1);
        assert_int_equal(call->open, ends == 2);
        rig_free(rig);
    }
}

/* n is sent once more under its stored rule; one that is not understood any more means none. */
static void an_answer_found_is_read_without_a_rule_too(void **s)
{
    struct rig *rig = rig_new();
    struct credential credential = store_credential(1);

    (void)s;
    credential.rule = strdup("{");
    store_leave_attempt(store_memory_new(rig->disk), &credential,
                        "{\"access_token\":\"a2\",\"refresh_token\":\"r2\"}");
    credential_deinit(&credential);
    rig_boot(rig);
    assert_token(rig, rig_ask(rig, token_get, .profile = proto_text("lab:me")), "a2");
    assert_true(rig->alarms > 0);
    rig_free(rig);
}

static void an_answer_without_a_refresh_token_keeps_it(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tag = get(rig, true);
    struct script_call *call = rig_call(rig, 0);

    (void)s;
    script_reach_gate(call);
    rig_run(rig);
    script_end(call, EXCHANGE_ANSWERED, 200, "{\"access_token\":\"a1\",\"expires_in\":60}");
    rig_run(rig);
    assert_token(rig, tag, "a1");
    rig_pass(rig, 50000);
    get(rig, true);
    assert_string_equal(rig_call(rig, 1)->refresh, "refresh-0");
    rig_free(rig);
}

/* The gate is reached, or the exchange ends, when the actor has been told to stop. */
static void what_comes_in_after_the_end_was_called_for_is_not_lost(void **s)
{
    (void)s;
    for (int ends = 0; ends < 2; ends++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

        get(rig, true);
        struct script_call *call = rig_call(rig, 0);
        runtime_stop_actor(rig->runtime, rig->token);
        if (ends)
            script_end(call, EXCHANGE_NOT_SENT, 0, NULL);
        else
            script_reach_gate(call);
        rig_run(rig);
        assert_true(ends || (call->gated && !call->open));
        rig_free(rig);
    }
}

/* The actor goes while an exchange is somewhere on its way: nothing is sent that is not known. */
static void an_exchange_outlives_the_actor_at_each_step(void **s)
{
    (void)s;
    for (int steps = 0; steps < 40; steps++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

        get(rig, true);
        struct script_call *call = rig_call(rig, 0);
        if (steps % 2 != 0) {
            script_reach_gate(call);
            for (int i = 0; i < steps / 2; i++)
                runtime_step(rig->runtime);
        } else if (steps > 4) {
            script_end(call, EXCHANGE_NOT_SENT, 0, NULL);
        }
        runtime_free(rig->runtime);
        rig->runtime = NULL;
        if (!call->at_gate && !call->ended) {
            script_reach_gate(call); /* nobody is there to open it */
            assert_true(call->gated && !call->open);
        }
        script_close(&rig->script.port);
        rig_boot(rig);
        rig_free(rig);
    }
}

static void an_exchange_that_cannot_start_is_told_of_with_its_reason(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    rig->script.fail_start = -EMFILE;
    get(rig, true);
    assert_non_null(strstr(rig->alarm, "cannot start: Too many open files"));
    rig_free(rig);
}

/* ---- audit ---------------------------------------------------------------------------------- */

static void add_line(struct token_state *state, size_t size)
{
    char line[512];

    snprintf(line, sizeof(line), "%0*d", (int)size - 1, 0);
    token_audit(state, line);
}

/* Lines of this many bytes in all. */
static struct token_state *state_with_audit(size_t size)
{
    struct token_state *state = calloc(1, sizeof(*state));

    assert_non_null(state);
    for (; size > 512; size -= 256)
        add_line(state, 256);
    add_line(state, size);
    return state;
}

static void lines_of_audit_are_taken_up_to_the_last_byte_and_then_counted(void **s)
{
    static const struct {
        size_t size;
        bool counted;   /* and there is room to say so */
    } rows[] = {{TOKEN_AUDIT_MAX - 14, true}, {TOKEN_AUDIT_MAX - 13, false}};
    static const char said[] = "lost lines=1\n";

    (void)s;
    for (size_t i = 0; i < 2; i++) {
        struct token_state *state = state_with_audit(rows[i].size);
        size_t size = rows[i].size + (rows[i].counted ? strlen(said) : 0);
        const struct store_job *job;

        add_line(state, TOKEN_AUDIT_MAX - rows[i].size); /* the NUL has no room */
        assert_int_equal(state->audit_lost, 1);
        refused.jobs = true;
        token_audit_flush(state);
        refused.jobs = false;
        job = state->jobs_failed;
        assert_non_null(job);
        assert_int_equal(strlen(job->text), size);
        assert_int_equal(strcmp(job->text + size - strlen(said), said) == 0, rows[i].counted);
        assert_int_equal(state->audit_lost, !rows[i].counted);
        store_job_free(state->jobs_failed);
        free(state);
    }
    struct token_state *state = state_with_audit(TOKEN_AUDIT_MAX - 1);

    assert_int_equal(state->audit_lost, 0);
    assert_int_equal(state->audit_size, TOKEN_AUDIT_MAX - 1);
    refused.jobs = true;
    token_audit_flush(state);
    refused.jobs = false;
    assert_null(strstr(state->jobs_failed->text, "lost"));
    store_job_free(state->jobs_failed);
    free(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_that_cannot_be_sent_fail_each_and_are_tried_again),
        cmocka_unit_test(a_job_that_was_never_sent_ends_with_the_actor),
        cmocka_unit_test(what_needs_the_store_is_refused_at_once_when_it_cannot_be_sent),
        cmocka_unit_test(what_there_is_no_memory_to_ask_of_the_store_is_tried_again),
        cmocka_unit_test(without_memory_for_a_copy_an_import_is_refused_and_an_answer_read_later),
        cmocka_unit_test(a_store_that_cannot_be_adopted_for_want_of_memory_says_so),
        cmocka_unit_test(an_answer_without_a_body_is_no_want_of_memory),
        cmocka_unit_test(what_an_exchange_has_said_unheard_ends_with_the_actor),
        cmocka_unit_test(an_answer_found_is_read_without_a_rule_too),
        cmocka_unit_test(an_answer_without_a_refresh_token_keeps_it),
        cmocka_unit_test(what_comes_in_after_the_end_was_called_for_is_not_lost),
        cmocka_unit_test(an_exchange_outlives_the_actor_at_each_step),
        cmocka_unit_test(an_exchange_that_cannot_start_is_told_of_with_its_reason),
        cmocka_unit_test(lines_of_audit_are_taken_up_to_the_last_byte_and_then_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
