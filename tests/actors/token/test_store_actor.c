/* SPDX-License-Identifier: Apache-2.0 */
/* The store actor, as a TokenActor shows it: what it takes from a config. (Its calls of the store:
 * test_token_status.c; what it does without memory: test_token_jobs.c and tests/sim.) */
#include "support/token_rig.h"

static int give_rule_with_origin(void *arg, const char *config_path, token_rule_sink sink_rule,
                                 void *sink, char *ret_why, size_t why_size)
{
    const struct rig *rig = arg;

    (void)ret_why;
    (void)why_size;
    sink_rule(sink, &rig->rules[0], strcmp(config_path, "none") != 0 ? config_path : NULL);
    return 0;
}

static struct rig *rig_with_origins(struct provider_rule *rule)
{
    struct rig *rig = rig_new();

    *rule = (struct provider_rule){.id = "lab", .token_url = "https://login.example.test/token"};
    rig->rules = rule;
    rig->rule_count = 1;
    rig->config.load_rules = give_rule_with_origin;
    rig_boot(rig);
    rig_import(rig);
    return rig;
}

/* What an asker is told of where the provider's tokens are for. */
static const char *origin_after(struct rig *rig, const char *url)
{
    uint64_t tag =
        rig_ask(rig, swarm_join, .swarm = proto_text("five"), .config = proto_text(url));

    assert_int_equal(rig_answer(rig, tag)->type, MSG_done);
    tag = rig_ask(rig, token_get, .profile = proto_text("lab:me"));
    assert_token(rig, tag, "access-0");
    return rig_answer(rig, tag)->origin;
}

static void the_origin_of_an_api_is_its_scheme_host_and_port(void **s)
{
    static const char *const rows[][2] = {
        {"https://api.example.test:8443/v1", "https://api.example.test:8443"},
        {"https://api.example.test?a=/", "https://api.example.test"},
        {"http://127.0.0.1#a", "http://127.0.0.1"},
        {"api.example.test", ""},
        {"none", ""},
    };
    struct provider_rule rule;
    struct rig *rig = rig_with_origins(&rule);

    (void)s;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(origin_after(rig, rows[i][0]), rows[i][1]);
    rig_free(rig);
}

static void an_origin_that_has_no_room_is_none(void **s)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_origins(&rule);
    char fits[256], url[258];

    (void)s;
    snprintf(fits, sizeof(fits), "https://%0247d", 0);
    snprintf(url, sizeof(url), "%s/", fits);
    assert_string_equal(origin_after(rig, url), fits);
    snprintf(url, sizeof(url), "%s0/", fits);
    assert_string_equal(origin_after(rig, url), "");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_origin_of_an_api_is_its_scheme_host_and_port),
        cmocka_unit_test(an_origin_that_has_no_room_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
