/* SPDX-License-Identifier: Apache-2.0 */
/* The agents of a node, as configs come and go. */
#include "script.h"

#include "queenright/node/agents.h"

#define MANY 3000 /* some mailboxes full */

struct node {
    struct manual manual;
    struct log log;
    struct script script;
    struct actor_id supervisor;
    struct node_agents *agents;
    struct config *before, *next;
};

static struct config *config_of(unsigned first, unsigned last)
{
    struct config_errors errors;
    struct config *config;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    fprintf(out, "{\"agents\":{\"defaults\":{\"model\":\"openai/m\"},\"entries\":{");
    for (unsigned i = first; i < last; i++)
        fprintf(out, "%s\"a%u\":{}", i > first ? "," : "", i);
    fprintf(out, "}}}");
    fclose(out);
    assert_int_equal(config_parse("test", text, size, &config, &errors), 0);
    config_errors_deinit(&errors);
    free(text);
    return config;
}

static int node_setup(void **state)
{
    const struct supervisor_spec spec = {.strategy = ONE_FOR_ONE};
    const struct spawn_options options = {.name = "agents"};
    struct node *node = calloc(1, sizeof(*node));

    assert_non_null(node);
    manual_open(&node->manual);
    assert_int_equal(runtime_spawn(node->manual.runtime, &supervisor_ops, &spec, &options,
                                   &node->supervisor), 0);
    node->agents = node_agents_new("home", node->supervisor);
    node->script.extra = node;
    script_spawn(&node->manual, &node->script, &node->log, "node");
    *state = node;
    return 0;
}

static int node_teardown(void **state)
{
    struct node *node = *state;

    manual_close(&node->manual);
    node_agents_free(node->agents);
    config_free(node->before);
    config_free(node->next);
    free(node);
    return 0;
}

static int do_enter(struct script *script, struct context *context, const struct message *message)
{
    struct node *node = script->extra;

    (void)message;
    assert_int_equal(node_agents_enter(node->agents, context, node->before, node->next), 0);
    return 0;
}

static void enter(struct node *node, struct config *next)
{
    config_free(node->before);
    node->before = node->next;
    node->next = next;
    act(&node->manual, &node->script, do_enter);
}

static unsigned running(struct node *node, unsigned first, unsigned last)
{
    unsigned count = 0;
    char name[16];

    for (unsigned i = first; i < last; i++) {
        snprintf(name, sizeof(name), "a%u", i);
        count += actor_id_is_set(runtime_lookup(node->manual.runtime, name));
    }
    return count;
}

static void more_agents_than_a_mailbox_holds_are_started_at_once(void **state)
{
    struct node *node = *state;

    enter(node, config_of(0, MANY));
    assert_int_equal(running(node, 0, MANY), MANY);
    assert_int_equal(manual_drops(&node->manual, STATUS_BUSY), 0);
}

static void an_added_agent_leaves_the_others_as_they_are(void **state)
{
    struct node *node = *state;

    enter(node, config_of(0, 3));
    struct actor_id one = runtime_lookup(node->manual.runtime, "a1");
    enter(node, config_of(0, 4));
    assert_int_equal(running(node, 0, 4), 4);
    assert_true(actor_id_equal(one, runtime_lookup(node->manual.runtime, "a1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(more_agents_than_a_mailbox_holds_are_started_at_once,
                                        node_setup, node_teardown),
        cmocka_unit_test_setup_teardown(an_added_agent_leaves_the_others_as_they_are, node_setup,
                                        node_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
