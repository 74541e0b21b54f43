/* SPDX-License-Identifier: Apache-2.0 */
/* Joining and importing when the k-th allocation of the keeper fails, for every k: whoever asked
 * is answered, nothing leaks, and with memory it is done. */
#include "support/failing_memory.h"
#include "support/token_rig.h"

/* As rig_send; memory is scarce from where the asker has asked. */
static uint64_t send_scarce(struct rig *rig, struct message *message, unsigned k)
{
    struct ask_order order = {.to = rig->token, .message = message, .tag = ++rig->tag,
                              .deadline_ns = rig->clock.now_ns + 60000 * MS_NS};
    struct message *post = message_new(ASK_TYPE, sizeof(order));

    assert_non_null(post);
    memcpy(post->body, &order, sizeof(order));
    assert_int_equal(runtime_post(rig->runtime, rig->asker, post), 0);
    assert_true(runtime_step(rig->runtime));
    memory_fail(k, false);
    memory_counts(true);
    rig_run(rig);
    memory_counts(false);
    return order.tag;
}

static struct message *ask(bool import)
{
    if (!import)
        return actor_pack(swarm_join, (&(struct swarm_join){.swarm = proto_text("five"),
                                                            .config = proto_text("good.json")}));
    return actor_pack(token_import,
                      (&(struct token_import){.profile = proto_text("x:1"),
                                              .provider = proto_text("lab"),
                                              .mode = proto_text("oauth"),
                                              .access = proto_text("access-1"),
                                              .refresh = proto_text("refresh-1"),
                                              .id_token = proto_text("e30.e30.sign"),
                                              .config = proto_text("good.json"),
                                              .take_over = true}));
}

/* The login that was taken is renewed by its rule, also after a restart. */
static void expect_pinned(struct rig *rig, unsigned k)
{
    for (size_t i = 0; i < 2; i++) {
        rig_ask(rig, token_get, .profile = proto_text("x:1"), .force = true);
        if (rig->script.count != 1)
            fail_msg("allocation %u: taken without its rule%s", k, i == 0 ? "" : " on disk");
        rig_crash(rig);
        rig_boot(rig);
    }
}

static void want_of_memory_is_answered(bool import)
{
    bool hit = true;
    unsigned k = 0, refused = 0;

    while (hit) {
        struct provider_rule rule;
        struct rig *rig = rig_with_login(&rule, ROTATION_STRICT);
        const struct answer_row *row;

        snprintf(rule.id, sizeof(rule.id), import ? "lab" : "north"); /* a new rule */
        row = rig_answer(rig, send_scarce(rig, ask(import), ++k));
        hit = memory_calls() >= k;
        if (row == NULL)
            fail_msg("allocation %u: no answer", k);
        if (row->code[0] != '\0' && strcmp(row->code, "internal") != 0)
            fail_msg("allocation %u: %s", k, row->code);
        refused += row->code[0] != '\0';
        if (import && row->code[0] == '\0')
            expect_pinned(rig, k);
        row = rig_answer(rig, rig_send(rig, ask(import), 0, 60000));
        if (row == NULL || row->code[0] != '\0')
            fail_msg("allocation %u: with memory %s", k, row != NULL ? row->code : "no answer");
        rig_free(rig);
    }
    print_message("%u allocations, %u refusals\n", k - 1, refused);
    assert_true(refused > 3);
}

static void one_who_joins_without_memory_is_answered(void **s)
{
    (void)s;
    want_of_memory_is_answered(false);
}

static void one_who_imports_without_memory_is_answered(void **s)
{
    (void)s;
    want_of_memory_is_answered(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_who_joins_without_memory_is_answered),
        cmocka_unit_test(one_who_imports_without_memory_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
