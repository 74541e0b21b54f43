/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials on their way in: one login under two names never has two owners. */
#include "step_fixture.h"

#include <errno.h>

struct wish {
    const char *name, *token, *mode;
    bool relogin;
    int64_t refreshed_at_ms, expires_later_ms;
    bool no_access;
};

static uint64_t import(struct bench *bench, struct wish wish)
{
    struct token_event event = bench_event(bench, EVENT_IMPORT);
    struct token_import_job *job = calloc(1, sizeof(*job));

    assert_non_null(job);
    job->credential = bench_credential(bench, wish.name, wish.token);
    bench_sha(&job->credential, job->sha256);
    memcpy(job->digest, job->credential.digests[0], 16);
    job->has_digest = wish.mode == NULL || strcmp(wish.mode, "api_key") != 0;
    free(job->credential.digests); /* the step notes the family itself */
    job->credential.digests = NULL;
    job->credential.digest_count = 0;
    job->credential.expires_at_ms += wish.expires_later_ms;
    if (wish.mode != NULL) {
        snprintf(job->credential.mode, sizeof(job->credential.mode), "%s", wish.mode);
        credential_set(&job->credential.refresh, NULL);
    }
    if (wish.no_access)
        credential_set(&job->credential.access, NULL);
    job->relogin = wish.relogin;
    job->take_over = wish.mode == NULL;
    job->refreshed_at_ms = wish.refreshed_at_ms;
    job->rule = malloc(sizeof(*job->rule));
    assert_non_null(job->rule);
    *job->rule = bench->rule;
    snprintf(job->origin, sizeof(job->origin), "https://login.example.test");
    event.waiter = ++bench->last_waiter;
    event.import = job;
    token_step_run(&bench->step, &event);
    return event.waiter;
}

static void saved(struct bench *bench, int error)
{
    struct token_event event = bench_event(bench, EVENT_IMPORT_SAVED);

    event.error = error;
    token_step_run(&bench->step, &event);
}

static void assert_imported(const struct bench *bench, uint64_t waiter, const char *outcome)
{
    const struct bench_action *row = bench_answer(bench, waiter);

    assert_non_null(row);
    assert_int_equal(row->kind, ACTION_IMPORTED);
    assert_string_equal(row->text, outcome);
}

static void a_new_login_is_stored_before_it_is_served(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter, get;

    (void)s;
    bench_ready(bench, 0);
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "t1"});
    assert_waiting(bench, waiter);
    get = bench_ask(bench, "lab:me", 0, false);
    assert_refused(bench, get, "unknown_profile");
    saved(bench, 0);
    assert_imported(bench, waiter, "stored");
    get = bench_ask(bench, "lab:me", 0, false);
    assert_granted(bench, get, 1);
    bench_free(bench);
}

static void a_login_that_cannot_be_stored_is_refused(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;

    (void)s;
    bench_ready(bench, 0);
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "t1"});
    saved(bench, -ENOSPC);
    assert_refused(bench, waiter, "internal");
    assert_null(token_step_find(&bench->step, "lab:me"));
    bench_free(bench);
}

static void the_same_login_under_five_names_is_one_profile_with_aliases(void **s)
{
    static const char *const names[] = {"atlas", "axon", "nova", "nexis", "lumi"};
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiters[5];

    (void)s;
    bench_ready(bench, 0);
    for (int i = 0; i < 5; i++) /* all at once: they are worked one at a time */
        waiters[i] = import(bench, (struct wish){.name = names[i], .token = "t1"});
    for (int i = 0; i < 5; i++) {
        saved(bench, 0);
        assert_imported(bench, waiters[i], i == 0 ? "stored" : "alias");
    }
    assert_int_equal(bench->step.profile_count, 1);
    assert_string_equal(bench_profile(bench, "atlas")->credential.aliases,
                        "axon,nova,nexis,lumi");
    for (int i = 0; i < 5; i++)
        bench_ask(bench, names[i], 0, true);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    waiters[0] = import(bench, (struct wish){.name = "nova", .token = "t1"});
    assert_waiting(bench, waiters[0]); /* a refresh is in flight */
    bench_refresh(bench, "atlas");
    assert_refused(bench, waiters[0], "stale_copy"); /* and by now it is an old one */
    bench_free(bench);
}

static void an_older_copy_is_refused_with_the_name_of_the_fresh_one_and_never_sent(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;

    (void)s;
    bench_ready(bench, 0);
    import(bench, (struct wish){.name = "lab:me", .token = "t1"});
    saved(bench, 0);
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    for (int i = 0; i < 2; i++) {
        waiter = import(bench, (struct wish){.name = i == 0 ? "lab:old" : "lab:me", .token = "t1"});
        assert_refused(bench, waiter, "stale_copy");
        assert_non_null(strstr(bench_answer(bench, waiter)->text, "lab:me"));
    }
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "t1", .relogin = true});
    assert_refused(bench, waiter, "stale_copy");
    assert_int_equal(bench->step.profile_count, 1);
    bench_free(bench);
}

static void the_same_login_again_changes_nothing(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = import(bench, (struct wish){.name = "lab:me", .token = "lab:me"});

    (void)s;
    assert_imported(bench, waiter, "unchanged");
    assert_int_equal(bench_count(bench, ACTION_WRITE_IMPORT), 0);
    bench_free(bench);
}

static void another_login_takes_a_taken_name_only_when_it_is_fresher_or_a_new_login(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "x", .refreshed_at_ms = 5});
    assert_refused(bench, waiter, "stale_copy");
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "y",
                                         .refreshed_at_ms = bench->wall_ms + 1});
    saved(bench, 0);
    assert_imported(bench, waiter, "replaced");
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "z", .relogin = true});
    saved(bench, 0);
    assert_imported(bench, waiter, "replaced");
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 3);
    bench_free(bench);
}

static void a_new_login_ends_needs_login_and_doubt_and_generations_never_fall(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_exchanged(bench, "lab:me", EXCHANGE_UNKNOWN, 0);
    assert_state(bench, "lab:me", "uncertain");
    bench_watch(bench, "lab:me", 0, 7);
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "new", .relogin = true});
    saved(bench, 0);
    assert_imported(bench, waiter, "replaced");
    assert_state(bench, "lab:me", "valid");
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 8);
    bench_free(bench);
}

static void access_only_never_pushes_out_a_login_of_our_own(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter =
        import(bench, (struct wish){.name = "lab:me", .token = "x", .mode = "access_only"});

    (void)s;
    assert_refused(bench, waiter, "stale_copy");
    bench_free(bench);
}

static void access_only_can_be_taken_over_later_and_is_never_refreshed_before(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;

    (void)s;
    bench_ready(bench, 0);
    import(bench, (struct wish){.name = "lab:me", .token = "t1", .mode = "access_only"});
    saved(bench, 0);
    waiter = bench_ask(bench, "lab:me", 0, true);
    assert_refused(bench, waiter, "access_only");
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "t1"});
    saved(bench, 0);
    assert_imported(bench, waiter, "replaced");
    assert_string_equal(bench_profile(bench, "lab:me")->credential.mode, "oauth");
    bench_ask(bench, "lab:me", 0, true);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 1);
    bench_free(bench);
}

static void no_refresh_starts_while_an_import_is_saved_over_the_profile(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    import(bench, (struct wish){.name = "lab:me", .token = "new", .relogin = true});
    waiter = bench_ask(bench, "lab:me", 0, true);
    assert_waiting(bench, waiter);
    assert_int_equal(bench_count(bench, ACTION_RESERVE), 0);
    saved(bench, 0);
    assert_granted(bench, waiter, 2);
    bench_free(bench);
}

static void two_logins_of_one_account_live_side_by_side(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = import(bench, (struct wish){.name = "lab:spare", .token = "other"});

    (void)s;
    saved(bench, 0);
    assert_imported(bench, waiter, "stored");
    assert_int_equal(bench->step.profile_count, 2);
    bench_free(bench);
}

static void the_digests_of_a_long_family_keep_its_first_days(void **s)
{
    struct bench *bench = bench_with(ROTATION_NONE, "lab:me");
    uint64_t waiter;
    char name[32];

    (void)s;
    for (int i = 0; i < STEP_DIGESTS_MAX + 50; i++) {
        bench_pass(bench, 6000);
        bench_ask(bench, "lab:me", 0, true);
        bench_refresh(bench, "lab:me");
        bench->action_count = 0;
    }
    assert_int_equal(bench_profile(bench, "lab:me")->credential.digest_count, STEP_DIGESTS_MAX);
    waiter = import(bench, (struct wish){.name = "lab:old", .token = "lab:me"});
    assert_refused(bench, waiter, "stale_copy");
    snprintf(name, sizeof(name), "lab:me-%d", STEP_DIGESTS_MAX + 50); /* and its last days */
    waiter = import(bench, (struct wish){.name = "lab:old", .token = name});
    assert_refused(bench, waiter, "stale_copy");
    snprintf(name, sizeof(name), "lab:me-%d", STEP_DIGESTS_MAX + 51);
    waiter = import(bench, (struct wish){.name = "lab:me", .token = name});
    assert_imported(bench, waiter, "unchanged");
    bench_free(bench);
}

static void too_many_logins_and_too_many_imports_are_refused(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;
    char name[32];

    (void)s;
    bench_ready(bench, 0);
    for (int i = 0; i < STEP_PROFILES_MAX; i++) {
        snprintf(name, sizeof(name), "key:%d", i);
        import(bench, (struct wish){.name = name, .token = name, .mode = "api_key"});
        saved(bench, 0);
    }
    waiter = import(bench, (struct wish){.name = "one", .token = "more", .mode = "api_key"});
    assert_refused(bench, waiter, "too_large");
    waiter = 0;
    for (int i = 0; i <= STEP_IMPORTS_MAX; i++)
        waiter = import(bench, (struct wish){.name = "key:1", .token = "k", .mode = "api_key"});
    assert_refused(bench, waiter, "busy");
    bench_free(bench);
}

/* What is stored under one name, then what comes, and what becomes of it. */
static void each_mode_gives_way_only_to_what_is_better(void **s)
{
    static const struct {
        struct wish stands, comes;
        const char *outcome; /* else it is refused */
    } rows[] = {
        {{.token = "a", .mode = "api_key"}, {.token = "b", .mode = "api_key"}, "replaced"},
        {{.token = "a", .mode = "api_key"}, {.token = "a", .mode = "api_key"}, "unchanged"},
        {{.token = "a", .mode = "api_key"},
         {.token = "a", .mode = "api_key", .relogin = true}, "replaced"},
        {{.token = "a", .mode = "api_key"}, {.token = "a", .mode = "access_only"}, NULL},
        {{.token = "a"}, {.token = "b", .mode = "api_key"}, NULL},
        {{.token = "a"}, {.token = "b", .no_access = true}, NULL},
        {{.token = "a"}, {.token = "b"}, NULL},
        {{.token = "a", .mode = "access_only"}, {.token = "b"}, "replaced"},
        {{.token = "a", .mode = "access_only"}, {.token = "b", .mode = "api_key"}, "replaced"},
        {{.token = "a", .mode = "access_only"},
         {.token = "b", .mode = "access_only", .expires_later_ms = 1}, "replaced"},
        {{.token = "a", .mode = "access_only"},
         {.token = "b", .mode = "access_only", .expires_later_ms = -1}, NULL},
        {{.token = "a", .mode = "access_only"},
         {.token = "a", .mode = "access_only", .expires_later_ms = 1}, "replaced"},
        {{.token = "a", .mode = "access_only"}, {.token = "a", .mode = "access_only"},
         "unchanged"},
        {{.token = "a", .mode = "access_only"},
         {.token = "a", .mode = "access_only", .expires_later_ms = -1}, "unchanged"},
        {{.token = "a", .mode = "access_only"}, {.token = "b", .mode = "access_only"},
         "replaced"},
        {{.token = "a"}, {.token = "a", .relogin = true}, "unchanged"},
        {{.token = "a"}, {.token = "b", .refreshed_at_ms = BENCH_WALL_MS}, NULL},
        {{.token = "a"}, {.token = "b", .refreshed_at_ms = BENCH_WALL_MS + 1}, "replaced"},
    };

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench *bench = bench_new(ROTATION_STRICT);
        struct wish stands = rows[i].stands, comes = rows[i].comes;
        uint64_t waiter;

        stands.name = comes.name = "lab:me";
        bench_ready(bench, 0);
        import(bench, stands);
        saved(bench, 0);
        waiter = import(bench, comes);
        if (bench->step.import_saving)
            saved(bench, 0);
        if (rows[i].outcome != NULL)
            assert_imported(bench, waiter, rows[i].outcome);
        else
            assert_refused(bench, waiter, "stale_copy");
        bench_free(bench);
    }
}

static void a_login_under_another_name_does_not_push_that_name_out(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    uint64_t waiter;

    (void)s;
    bench_ready(bench, 0);
    import(bench, (struct wish){.name = "lab:one", .token = "t1"});
    saved(bench, 0);
    import(bench, (struct wish){.name = "lab:two", .token = "t2"});
    saved(bench, 0);
    waiter = import(bench, (struct wish){.name = "lab:two", .token = "t1"});
    assert_refused(bench, waiter, "bad_request");
    import(bench, (struct wish){.name = "lab:only", .token = "t3", .mode = "access_only"});
    saved(bench, 0);
    waiter = import(bench, (struct wish){.name = "lab:else", .token = "t3"});
    assert_refused(bench, waiter, "bad_request"); /* it is taken over under its own name */
    bench_free(bench);
}

static void more_names_than_there_is_room_for_are_refused(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter = 0;
    char name[100];

    (void)s;
    for (int i = 0; i < 10 && !bench->step.import_saving; i++) {
        snprintf(name, sizeof(name), "%090d", i);
        waiter = import(bench, (struct wish){.name = name, .token = "lab:me"});
        if (!bench->step.import_saving)
            break;
        saved(bench, 0);
        assert_imported(bench, waiter, "alias");
        assert_ptr_equal(token_step_find(&bench->step, name), bench_profile(bench, "lab:me"));
    }
    assert_refused(bench, waiter, "too_large");
    assert_null(token_step_find(&bench->step, name));
    const struct credential *credential = &bench_profile(bench, "lab:me")->credential;
    size_t left = sizeof(credential->aliases) - strlen(credential->aliases) - 1;

    for (size_t length = left; length >= left - 1; length--) { /* to the byte */
        snprintf(name, sizeof(name), "%0*d", (int)length, 7);
        waiter = import(bench, (struct wish){.name = name, .token = "lab:me"});
        if (length == left) {
            assert_refused(bench, waiter, "too_large");
            continue;
        }
        saved(bench, 0);
        assert_imported(bench, waiter, "alias");
        assert_non_null(token_step_find(&bench->step, name));
    }
    bench_free(bench);
}

static void the_same_token_does_not_bring_back_a_login_that_ended(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 400, OUTCOME_TERMINAL, "invalid_grant");
    bench_tell(bench, "lab:me", EVENT_LOOKED, 0);
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "lab:me"});
    assert_refused(bench, waiter, "stale_copy");
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "another"});
    saved(bench, 0);
    assert_imported(bench, waiter, "replaced"); /* no need to say that it is a new login */
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void an_import_waits_for_a_refresh_of_the_name_it_takes(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "new", .relogin = true});
    assert_false(bench->step.import_saving);
    bench_refresh(bench, "lab:me");
    saved(bench, 0);
    assert_imported(bench, waiter, "replaced");
    bench_free(bench);
}

static void an_import_waits_for_the_store_and_none_starts_in_a_drain(void **s)
{
    struct bench *bench = bench_new(ROTATION_STRICT);
    struct token_event event;
    uint64_t waiter, late;

    (void)s;
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "t1"});
    assert_false(bench->step.import_saving);
    bench_ready(bench, 0);
    assert_true(bench->step.import_saving);
    event = bench_event(bench, EVENT_DRAIN);
    event.waiter = ++bench->last_waiter;
    token_step_run(&bench->step, &event);
    assert_waiting(bench, event.waiter); /* the import is on its way to the disk */
    late = import(bench, (struct wish){.name = "lab:two", .token = "t2"});
    assert_refused(bench, late, "stopping");
    saved(bench, 0);
    assert_imported(bench, waiter, "stored");
    assert_non_null(bench_answer(bench, event.waiter));
    bench_free(bench);
}

static void an_unsaved_token_waits_for_the_import_over_it(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    uint64_t waiter;

    (void)s;
    bench_ask(bench, "lab:me", 0, true);
    bench_send(bench, "lab:me");
    bench_answered(bench, "lab:me", 200, OUTCOME_ROTATED, "");
    bench_tell(bench, "lab:me", EVENT_RECORD_SAVED, -EIO);
    assert_state(bench, "lab:me", "unsaved");
    waiter = import(bench, (struct wish){.name = "lab:me", .token = "new", .relogin = true});
    assert_true(bench->step.import_saving);
    bench_pass(bench, 60000);
    assert_int_equal(bench_count(bench, ACTION_WRITE_RECORD), 1);
    saved(bench, 0);
    assert_imported(bench, waiter, "replaced");
    assert_state(bench, "lab:me", "valid");
    bench_free(bench);
}

static void assert_told(const struct bench *bench, uint64_t waiter, const char *text,
                        const char *detail)
{
    const struct bench_action *row = bench_answer(bench, waiter);

    assert_non_null(row);
    assert_string_equal(row->text, text);
    assert_string_equal(row->detail, detail);
}

static void what_became_of_an_import_is_said_with_its_remedy(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    assert_told(bench, import(bench, (struct wish){.name = "lab:me", .token = "x"}),
                "lab:me is here already and not older",
                "use that profile, or import under another name");
    bench_ask(bench, "lab:me", 0, true);
    bench_refresh(bench, "lab:me");
    assert_told(bench, import(bench, (struct wish){.name = "lab:me", .token = "lab:me"}),
                "an older copy of lab:me, which holds generation 2", "use that profile");
    snprintf(bench_profile(bench, "lab:me")->credential.needs_login, 64, "invalid_grant");
    assert_told(bench, import(bench, (struct wish){.name = "lab:me", .token = "lab:me"}),
                "an older copy of lab:me, which holds generation 2", "log in again");
    import(bench, (struct wish){.name = "lab:two", .token = "t2", .mode = "access_only"});
    saved(bench, 0);
    assert_told(bench, bench->last_waiter, "stored", "access only: it is never refreshed");
    import(bench, (struct wish){.name = "lab:three", .token = "t3"});
    saved(bench, 0);
    assert_told(bench, bench->last_waiter, "stored", "");
    bench_free(bench);
}

static void a_new_login_under_a_second_name_keeps_all_names(void **s)
{
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");
    const struct credential *credential = &bench_profile(bench, "lab:me")->credential;

    (void)s;
    import(bench, (struct wish){.name = "nova", .token = "lab:me"});
    saved(bench, 0);
    import(bench, (struct wish){.name = "nova", .token = "new", .relogin = true});
    saved(bench, 0);
    assert_imported(bench, bench->last_waiter, "replaced");
    assert_int_equal(bench->step.profile_count, 1);
    assert_string_equal(credential->profile, "lab:me");
    assert_string_equal(credential->aliases, "nova");
    assert_int_equal(credential->generation, 2);
    bench_free(bench);
}

static void an_import_that_fails_leaves_no_trace_but_in_the_audit(void **s)
{
    static const char refused_me[] =
        "import profile=lab:me outcome=refused code=internal source=\"\"";
    static const char refused_nova[] =
        "import profile=nova outcome=refused code=internal source=\"\"";
    struct bench *bench = bench_with(ROTATION_STRICT, "lab:me");

    (void)s;
    for (int i = 0; i < 3; i++) { /* nothing of the one is left for the next to lose */
        import(bench, (struct wish){.name = i == 0 ? "lab:me" : "nova",
                                    .token = i == 2 ? "lab:me" : "new", .relogin = i == 0});
        saved(bench, -EIO);
        assert_told(bench, bench->last_waiter, "Input/output error", "see the state directory");
        assert_string_equal(bench_last(bench, ACTION_AUDIT)->text,
                            i == 0 ? refused_me : refused_nova);
    }
    assert_null(token_step_find(&bench->step, "nova"));
    assert_int_equal(bench_profile(bench, "lab:me")->credential.generation, 1);
    import(bench, (struct wish){.name = "nova", .token = "new"});
    saved(bench, 0);
    assert_string_equal(bench_last(bench, ACTION_AUDIT)->text,
                        "import profile=nova outcome=stored generation=1 source=\"\"");
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_login_is_stored_before_it_is_served),
        cmocka_unit_test(a_login_that_cannot_be_stored_is_refused),
        cmocka_unit_test(the_same_login_under_five_names_is_one_profile_with_aliases),
        cmocka_unit_test(an_older_copy_is_refused_with_the_name_of_the_fresh_one_and_never_sent),
        cmocka_unit_test(the_same_login_again_changes_nothing),
        cmocka_unit_test(another_login_takes_a_taken_name_only_when_it_is_fresher_or_a_new_login),
        cmocka_unit_test(a_new_login_ends_needs_login_and_doubt_and_generations_never_fall),
        cmocka_unit_test(access_only_never_pushes_out_a_login_of_our_own),
        cmocka_unit_test(access_only_can_be_taken_over_later_and_is_never_refreshed_before),
        cmocka_unit_test(no_refresh_starts_while_an_import_is_saved_over_the_profile),
        cmocka_unit_test(two_logins_of_one_account_live_side_by_side),
        cmocka_unit_test(the_digests_of_a_long_family_keep_its_first_days),
        cmocka_unit_test(too_many_logins_and_too_many_imports_are_refused),
        cmocka_unit_test(each_mode_gives_way_only_to_what_is_better),
        cmocka_unit_test(a_login_under_another_name_does_not_push_that_name_out),
        cmocka_unit_test(more_names_than_there_is_room_for_are_refused),
        cmocka_unit_test(the_same_token_does_not_bring_back_a_login_that_ended),
        cmocka_unit_test(an_import_waits_for_a_refresh_of_the_name_it_takes),
        cmocka_unit_test(an_import_waits_for_the_store_and_none_starts_in_a_drain),
        cmocka_unit_test(an_unsaved_token_waits_for_the_import_over_it),
        cmocka_unit_test(what_became_of_an_import_is_said_with_its_remedy),
        cmocka_unit_test(a_new_login_under_a_second_name_keeps_all_names),
        cmocka_unit_test(an_import_that_fails_leaves_no_trace_but_in_the_audit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
