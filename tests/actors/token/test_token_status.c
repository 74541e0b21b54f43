/* SPDX-License-Identifier: Apache-2.0 */
/* What a TokenActor says of itself, and what it makes of a store that is not well. */
#include "support/token_rig.h"

#include "runtime/introspect.h"
#include "token_internal.h"

static uint64_t ask_status(struct rig *rig, const char *only, uint32_t credit)
{
    struct token_status status = {.profile = proto_text(only)};

    return rig_send(rig, actor_pack(token_status, &status), credit, 60000);
}

/* The last line about a profile. */
static const struct answer_row *line_of(struct rig *rig, const char *profile)
{
    uint64_t tag = ask_status(rig, "", 300);

    for (size_t i = rig->row_count; i-- > 0;)
        if (rig->rows[i].tag == tag && rig->rows[i].part &&
            strcmp(rig->rows[i].text, profile) == 0)
            return &rig->rows[i];
    fail_msg("%s is not listed", profile);
    return NULL;
}

static uint64_t force(struct rig *rig)
{
    return rig_ask(rig, token_get, .profile = proto_text("lab:me"), .who = proto_text("atlas"),
                   .force = true);
}

static void reject(struct rig *rig, const char *access)
{
    uint8_t hash[32];
    struct secret *token = secret_new(access, strlen(access));

    secret_sha256(token, hash);
    rig_ask(rig, token_rejected, .profile = proto_text("lab:me"),
            .access_sha256 = {(const char *)hash, 32});
    secret_free(token);
}

static void each_state_is_shown_with_its_reason(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    assert_string_equal(line_of(rig, "lab:me")->state, "valid");
    rig_ask(rig, quota_hit, .profile = proto_text("lab:me"), .model = proto_text("m\n1\x7f"),
            .resets_at_ms = rig_wall_ms(&rig->clock.port) + 1000);
    assert_true(rig_audit_has(rig, "quota profile=lab:me model=m?1? seconds="));
    assert_true(line_of(rig, "lab:me")->cooling_until_ms > 0);
    assert_string_equal(line_of(rig, "lab:me")->model, "m\n1\x7f");
    rig_pass(rig, 1000);
    assert_true(line_of(rig, "lab:me")->cooling_until_ms == 0); /* it is just over */
    rig_ask(rig, quota_hit, .profile = proto_text("lab:me"),
            .resets_at_ms = rig_wall_ms(&rig->clock.port) + 500);
    assert_true(line_of(rig, "lab:me")->cooling_until_ms > 0);
    rig_pass(rig, 1000);

    rig->script.auto_life_s = 600;
    reject(rig, "access-0");
    reject(rig, "access-1");
    assert_string_equal(line_of(rig, "lab:me")->state, "refused");
    assert_non_null(strstr(line_of(rig, "lab:me")->reason, "refuses"));
    uint64_t watch = rig_ask(rig, token_watch, .profile = proto_text("lab:me"));
    assert_string_equal(rig_answer(rig, watch)->text, ""); /* what is refused is not given */
    watch = rig_ask(rig, token_watch, .profile = proto_text("lab:me"),
                    .version = rig_answer(rig, watch)->version);
    rig_pass(rig, 200000);
    assert_token(rig, watch, "access-1"); /* told in the moment in which it is allowed again */

    rig->script.auto_life_s = 0;
    force(rig);
    struct script_call *call = rig_call(rig, rig->script.count - 1);
    assert_string_equal(line_of(rig, "lab:me")->state, "refreshing");
    assert_true(rig_audit_has(rig, "state profile=lab:me to=refreshing"));
    script_reach_gate(call);
    rig_run(rig);
    memory_disk_fail(rig->disk, 1, EIO, true);
    script_end(call, EXCHANGE_ANSWERED, 200,
               "{\"access_token\":\"a\",\"refresh_token\":\"r\",\"expires_in\":600}");
    rig_run(rig);
    assert_string_equal(line_of(rig, "lab:me")->state, "unsaved");
    assert_non_null(strstr(line_of(rig, "lab:me")->reason, "not on disk"));
    memory_disk_fail(rig->disk, 0, 0, false);
    rig_pass(rig, 60000);
    assert_string_equal(line_of(rig, "lab:me")->state, "valid");

    force(rig);
    call = rig_call(rig, rig->script.count - 1);
    script_reach_gate(call);
    rig_run(rig);
    script_end(call, EXCHANGE_ANSWERED, 400, "{\"error\":\"invalid_grant\"}");
    rig_run(rig);
    assert_string_equal(line_of(rig, "lab:me")->state, "needs_login");
    assert_string_equal(line_of(rig, "lab:me")->reason, "invalid_grant");
    assert_true(line_of(rig, "lab:me")->refresh_at_ms == 0);
    rig_free(rig);
}

static void the_next_refresh_is_shown_of_what_is_in_use(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    int64_t now_ms = rig_wall_ms(&rig->clock.port);

    (void)s;
    assert_true(line_of(rig, "lab:me")->refresh_at_ms == 0);
    rig_ask(rig, token_get, .profile = proto_text("lab:me"));
    assert_in_range(line_of(rig, "lab:me")->refresh_at_ms - now_ms, 30000, 33000);
    rig_free(rig);
}

static void add_keys(struct rig *rig, int count)
{
    for (int i = 0; i < count; i++) {
        char name[16];

        snprintf(name, sizeof(name), "key:%d", i);
        rig_ask(rig, token_import, .profile = proto_text(name), .provider = proto_text("openai"),
                .mode = proto_text("api_key"), .access = proto_text(name));
    }
}

static void a_key_never_ends_and_is_never_renewed(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    add_keys(rig, 1);
    uint64_t tag = rig_ask(rig, token_get, .profile = proto_text("key:0"));
    assert_token(rig, tag, "key:0");
    assert_true(rig_answer(rig, tag)->expires_at_ms == 0);
    assert_true(rig_answer(rig, tag)->renew_at_ms == 0);
    assert_true(line_of(rig, "key:0")->refresh_at_ms == 0);
    rig_free(rig);
}

static size_t parts_of(const struct rig *rig, uint64_t tag)
{
    size_t parts = 0;

    for (size_t i = 0; i < rig->row_count; i++)
        parts += rig->rows[i].tag == tag && rig->rows[i].part;
    return parts;
}

static void one_profile_can_be_asked_for_and_none_that_is_not(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    add_keys(rig, 3);
    assert_int_equal(parts_of(rig, ask_status(rig, "key:1", 16)), 1);
    assert_code(rig, ask_status(rig, "key:9", 16), "unknown_profile");
    char name[200];
    snprintf(name, sizeof(name), "%0150d", 0);
    assert_code(rig, ask_status(rig, name, 16), "unknown_profile");
    rig_free(rig);
}

static void a_list_stands_still_without_credit_and_as_many_as_there_is_room_for(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    uint64_t tags[TOKEN_STREAMS_MAX];
    struct request_id fourth = {0};

    (void)s;
    add_keys(rig, 3);
    for (size_t i = 0; i < TOKEN_STREAMS_MAX; i++) {
        tags[i] = ask_status(rig, "", 2);
        assert_int_equal(parts_of(rig, tags[i]), 2);
        assert_null(rig_answer(rig, tags[i]));
        fourth = i == 3 ? rig->last_request : fourth;
    }
    assert_code(rig, ask_status(rig, "", 2), "busy");
    rig_credit(rig, fourth, 1); /* the fourth goes on by one */
    assert_int_equal(parts_of(rig, tags[3]), 3);
    rig_credit(rig, fourth, 5);
    assert_int_equal(rig_answer(rig, tags[3])->count, 4);
    runtime_stop_actor(rig->runtime, rig->asker); /* and nobody listens to the others */
    rig_run(rig);
    rig_free(rig);
}

static void a_list_that_is_not_awaited_any_more_takes_no_other_with_it(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    struct token_status status = {{0}};
    uint64_t first, second;

    (void)s;
    add_keys(rig, 2);
    first = rig_send(rig, actor_pack(token_status, &status), 1, 1000);
    second = rig_send(rig, actor_pack(token_status, &status), 1, 60000);
    rig_pass(rig, 1500);
    assert_int_equal(rig_answer(rig, first)->status, STATUS_EXPIRED);
    rig_credit(rig, rig->last_request, 5);
    assert_non_null(rig_answer(rig, second));
    assert_int_equal(rig_answer(rig, second)->count, 3);
    rig_free(rig);
}

/* ---- a store that is not well --------------------------------------------------------------- */

static struct store_port ill;
static int open_error, load_error;

static const char *ill_why(const struct store_port *store)
{
    (void)store;
    return "the disk is on fire";
}

static int ill_open(struct store_port *store)
{
    return open_error < 0 ? open_error : ill.open(store);
}

static int ill_load(struct store_port *store, void *arg,
                    void (*each)(void *arg, struct stored *stored),
                    void (*bad)(void *arg, const char *file, const char *why))
{
    int error = ill.load(store, arg, each, bad);

    bad(arg, "lab_me.record", "is torn");
    return load_error < 0 ? load_error : error;
}

static int start_ill(struct rig *rig, bool has_why)
{
    struct spawn_options options = {.name = "ill"};
    struct actor_id id;
    struct token_config config = rig->config;

    config.store = store_memory_new(rig->disk);
    ill = *config.store;
    config.store->open = ill_open;
    config.store->load = ill_load;
    config.store->why = has_why ? ill_why : NULL;
    rig->alarm[0] = '\0';
    int error = runtime_spawn(rig->runtime, &token_ops, &config, &options, &id);
    rig_run(rig);
    if (error == 0)
        runtime_stop_actor(rig->runtime, id);
    rig_run(rig);
    return error;
}

static void a_store_that_does_not_open_or_load_is_named_and_given_back(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    runtime_stop_actor(rig->runtime, rig->token); /* one store at a time */
    rig_run(rig);
    open_error = -EACCES;
    assert_int_equal(start_ill(rig, true), -EACCES);
    assert_non_null(strstr(rig->alarm, "on fire"));
    assert_int_equal(start_ill(rig, false), -EACCES);
    assert_string_equal(rig->alarm, "");
    rig->config.alarm = NULL;
    assert_int_equal(start_ill(rig, true), -EACCES);
    rig->config.alarm = rig_alarm;
    open_error = 0;
    load_error = -EIO;
    assert_int_equal(start_ill(rig, true), -EIO);
    load_error = 0;
    assert_int_equal(start_ill(rig, true), 0);
    assert_non_null(strstr(rig->alarm, "lab_me.record: left as it is: is torn"));
    rig_free(rig);
}

static int no_look(struct store_port *store, const char *profile,
                   struct credential *ret_credential)
{
    (void)store;
    (void)profile;
    (void)ret_credential;
    return -ENOENT;
}

static int ill_look(struct store_port *store, const char *profile,
                    struct credential *ret_credential)
{
    (void)store;
    (void)profile;
    (void)ret_credential;
    return -EIO;
}

static int no_audit(struct store_port *store, const char *line)
{
    (void)store;
    (void)line;
    return -ENOSPC;
}

static int no_record(struct store_port *store, const struct credential *credential)
{
    (void)store;
    (void)credential;
    return -EIO;
}

/* The rig's own keeper once more, on a store that can do without a word what is set here. */
static void restart_on(struct rig *rig, struct store_port parts)
{
    struct spawn_options options = {.name = "again"};
    struct token_config config = rig->config;

    runtime_stop_actor(rig->runtime, rig->token);
    rig_run(rig);
    config.store = store_memory_new(rig->disk);
    config.store->why = parts.why;
    if (parts.look != NULL)
        config.store->look = parts.look;
    if (parts.audit != NULL)
        config.store->audit = parts.audit;
    if (parts.write_record != NULL)
        config.store->write_record = parts.write_record;
    assert_int_equal(runtime_spawn(rig->runtime, &token_ops, &config, &options, &rig->token), 0);
    rig_run(rig);
}

static void a_record_that_is_gone_when_it_is_looked_at_changes_nothing(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    restart_on(rig, (struct store_port){.look = no_look, .audit = no_audit});
    uint64_t tag = force(rig);
    struct script_call *call = rig_call(rig, rig->script.count - 1);
    script_reach_gate(call);
    rig_run(rig);
    script_end(call, EXCHANGE_ANSWERED, 400, "{\"error\":\"invalid_grant\"}");
    rig_run(rig);
    assert_code(rig, tag, "needs_login");
    rig_free(rig);
}

/* A record that is not there is no fault of the store; one that it cannot read is, and is told. */
static void a_record_that_cannot_be_looked_at_is_told_of(void **s)
{
    (void)s;
    for (int is_ill = 0; is_ill < 2; is_ill++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

        restart_on(rig, (struct store_port){.look = is_ill ? ill_look : no_look});
        uint64_t tag = force(rig);
        struct script_call *call = rig_call(rig, rig->script.count - 1);
        script_reach_gate(call);
        rig_run(rig);
        script_end(call, EXCHANGE_ANSWERED, 400, "{\"error\":\"invalid_grant\"}");
        rig_run(rig);
        assert_code(rig, tag, "needs_login");
        assert_int_equal(rig_audit_has(rig, "alarm store: "), is_ill);
        rig_free(rig);
    }
}

/* As if another keeper had refreshed. */
static int newer_look(struct store_port *store, const char *profile,
                      struct credential *ret_credential)
{
    (void)store;
    credential_init(ret_credential);
    snprintf(ret_credential->profile, sizeof(ret_credential->profile), "%s", profile);
    snprintf(ret_credential->provider, sizeof(ret_credential->provider), "lab");
    snprintf(ret_credential->mode, sizeof(ret_credential->mode), "oauth");
    ret_credential->generation = 9;
    ret_credential->access = secret_new("access-9", 8);
    ret_credential->refresh = secret_new("refresh-9", 9);
    return 0;
}

static void a_record_that_is_newer_when_it_is_looked_at_is_taken(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    restart_on(rig, (struct store_port){.look = newer_look});
    uint64_t tag = force(rig);
    struct script_call *call = rig_call(rig, 0);
    script_reach_gate(call);
    rig_run(rig);
    script_end(call, EXCHANGE_ANSWERED, 400, "{\"error\":\"invalid_grant\"}");
    rig_run(rig);
    assert_token(rig, tag, "access-9");
    rig_pass(rig, 60000);
    reject(rig, "access-9"); /* which is the one in use */
    assert_string_equal(rig_call(rig, 1)->refresh, "refresh-9");
    rig_free(rig);
}

static void a_rejected_token_is_known_after_a_restart(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

    (void)s;
    rig_crash(rig);
    rig_boot(rig);
    reject(rig, "access-0");
    assert_int_equal(rig->script.count, 1);
    rig_free(rig);
}

static void put_key(struct store_port *store, const char *name)
{
    struct credential credential;

    credential_init(&credential);
    snprintf(credential.profile, sizeof(credential.profile), "%s", name);
    snprintf(credential.provider, sizeof(credential.provider), "openai");
    snprintf(credential.mode, sizeof(credential.mode), "api_key");
    credential.generation = 1;
    credential.access = secret_new(name, strlen(name));
    assert_int_equal(store->write_record(store, &credential), 0);
    credential_deinit(&credential);
}

static void a_store_of_more_logins_than_there_is_room_for_serves_all_but_those(void **s)
{
    struct rig *rig = rig_new();
    struct store_port *store = store_memory_new(rig->disk);
    char name[16];
    unsigned served = 0;

    (void)s;
    assert_int_equal(store->open(store), STORE_FRESH);
    for (int i = 0; i < STEP_PROFILES_MAX + 1; i++) {
        snprintf(name, sizeof(name), "key:%d", i);
        put_key(store, name);
    }
    store->close(store);
    rig_boot(rig);
    assert_int_equal(rig->alarms, 1);
    for (int i = 0; i < STEP_PROFILES_MAX + 1; i++) {
        snprintf(name, sizeof(name), "key:%d", i);
        uint64_t tag = rig_ask(rig, token_get, .profile = proto_text(name));
        const struct answer_row *row = rig_answer(rig, tag);

        assert_non_null(row);
        served += row->type == MSG_token_grant && strcmp(row->text, name) == 0;
        if (row->type != MSG_token_grant) {
            assert_string_equal(row->code, "unknown_profile");
            assert_non_null(strstr(rig->alarm, name));
        }
    }
    assert_int_equal(served, STEP_PROFILES_MAX);
    rig_free(rig);
}

static void a_store_that_fails_is_told_of_with_its_reason_or_the_systems(void **s)
{
    static const struct {
        const char *(*why)(const struct store_port *store);
        const char *said;
    } rows[] = {{NULL, "store: Input/output error"}, {ill_why, "store: the disk is on fire"}};

    (void)s;
    for (size_t i = 0; i < 2; i++) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);

        restart_on(rig, (struct store_port){.write_record = no_record, .why = rows[i].why});
        rig->alarm[0] = '\0';
        uint64_t tag = rig_ask(rig, token_import, .profile = proto_text("k:1"),
                               .provider = proto_text("openai"), .mode = proto_text("api_key"),
                               .access = proto_text("k"));
        assert_code(rig, tag, "internal");
        assert_string_equal(rig->alarm, rows[i].said);
        tag = rig_ask(rig, swarm_join, .swarm = proto_text("five"),
                      .config = proto_text("bad.json"));
        assert_code(rig, tag, "bad_config");
        rig_free(rig);
    }
}

static void a_tell_and_a_drain_need_nobody_who_listens(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
    struct token_get get = {.profile = proto_text("lab:me")};
    struct actor_info info;
    char text[128];

    (void)s;
    assert_int_equal(runtime_post(rig->runtime, rig->token, actor_pack(token_get, &get)), 0);
    force(rig);
    assert_int_equal(introspect_actor(rig->runtime, "token", &info, text, sizeof(text)), 0);
    assert_string_equal(text, "1 profiles, 1 refreshing, 1 waiters, 0 swarms");
    rig->config.idle = NULL;
    restart_on(rig, (struct store_port){0});
    for (int i = 0; i < 2; i++) { /* the second finds it done */
        uint64_t tag = rig_ask(rig, token_drain, .why = proto_text("down"));
        assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    }
    assert_int_equal(introspect_actor(rig->runtime, "again", &info, text, sizeof(text)), 0);
    assert_non_null(strstr(text, ", draining"));
    rig_pass(rig, 1000);
    assert_int_equal(rig->drained, 0);
    rig_free(rig);
}

static void the_id_of_this_boot_is_the_kernels(void **s)
{
    uint8_t one[16], two[16], none[16] = {0};

    (void)s;
    token_boot_id(one);
    token_boot_id(two);
    assert_memory_equal(one, two, 16);
    assert_memory_not_equal(one, none, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_is_shown_with_its_reason),
        cmocka_unit_test(the_next_refresh_is_shown_of_what_is_in_use),
        cmocka_unit_test(a_key_never_ends_and_is_never_renewed),
        cmocka_unit_test(one_profile_can_be_asked_for_and_none_that_is_not),
        cmocka_unit_test(a_list_stands_still_without_credit_and_as_many_as_there_is_room_for),
        cmocka_unit_test(a_list_that_is_not_awaited_any_more_takes_no_other_with_it),
        cmocka_unit_test(a_store_that_does_not_open_or_load_is_named_and_given_back),
        cmocka_unit_test(a_record_that_is_gone_when_it_is_looked_at_changes_nothing),
        cmocka_unit_test(a_record_that_cannot_be_looked_at_is_told_of),
        cmocka_unit_test(a_record_that_is_newer_when_it_is_looked_at_is_taken),
        cmocka_unit_test(a_rejected_token_is_known_after_a_restart),
        cmocka_unit_test(a_store_of_more_logins_than_there_is_room_for_serves_all_but_those),
        cmocka_unit_test(a_store_that_fails_is_told_of_with_its_reason_or_the_systems),
        cmocka_unit_test(a_tell_and_a_drain_need_nobody_who_listens),
        cmocka_unit_test(the_id_of_this_boot_is_the_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
