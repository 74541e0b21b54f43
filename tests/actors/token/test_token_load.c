/* SPDX-License-Identifier: Apache-2.0 */
/* A TokenActor that starts on a store with logins while the k-th allocation fails, for every k: it
 * knows all of them then, or does not start. */
#include "support/failing_memory.h"
#include "support/token_rig.h"
#include "token/wipe.h"

/* Two logins: one with a rule of its own, and a key. The keeper that stored them is gone. */
static struct rig *rig_with_store(struct provider_rule *rule)
{
    struct rig *rig = rig_with_login(rule, ROTATION_STRICT);

    rig_ask(rig, token_import, .profile = proto_text("key:0"), .provider = proto_text("openai"),
            .mode = proto_text("api_key"), .access = proto_text("k"));
    runtime_stop_actor(rig->runtime, rig->token);
    rig_run(rig);
    return rig;
}

static struct {
    void (*close)(struct store_port *store);
    bool is_closed;
} port;

static void close_and_note(struct store_port *store)
{
    port.is_closed = true;
    port.close(store);
}

/* True: the k-th allocation was still reached. */
static bool starts_or_not(unsigned k)
{
    struct provider_rule rule;
    struct rig *rig = rig_with_store(&rule);
    struct spawn_options options = {.name = "again"};
    bool is_there;
    int error;

    rig->config.store = store_memory_new(rig->disk);
    port.close = rig->config.store->close;
    port.is_closed = false;
    rig->config.store->close = close_and_note;
    memory_fail(k, false);
    memory_counts(true);
    error = runtime_spawn(rig->runtime, &token_ops, &rig->config, &options, &rig->token);
    memory_counts(false);
    rig_run(rig);
    is_there = actor_id_is_set(runtime_lookup(rig->runtime, "again"));
    if (is_there) {
        assert_token(rig, rig_ask(rig, token_get, .profile = proto_text("lab:me")), "access-0");
        assert_token(rig, rig_ask(rig, token_get, .profile = proto_text("key:0")), "k");
        rig->script.auto_life_s = 600;
        assert_token(rig, rig_ask(rig, token_get, .profile = proto_text("lab:me"), .force = true),
                     "access-1"); /* so its rule is known, too */
    }
    assert_true(error == 0 || (error == -ENOMEM && !is_there));
    if (error != 0 && !port.is_closed) /* nobody was there to take it */
        port.close(rig->config.store);
    rig_free(rig);
    return memory_calls() >= k;
}

static void a_keeper_without_memory_starts_with_all_logins_or_not_at_all(void **s)
{
    unsigned k = 1;

    (void)s;
    while (starts_or_not(k))
        k++;
    print_message("%u allocations\n", k - 1);
    assert_true(k > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keeper_without_memory_starts_with_all_logins_or_not_at_all),
    };

    return wipe_install() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
