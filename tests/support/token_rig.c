/* SPDX-License-Identifier: Apache-2.0 */
/* The bench itself: its clock, its runtime, and what a test does to them. */
#include "support/token_rig.h"

uint64_t rig_now_ns(const struct clock_port *clock)
{
    return ((const struct rig_clock *)clock)->now_ns;
}

int64_t rig_wall_ms(const struct clock_port *clock)
{
    const struct rig_clock *mine = (const struct rig_clock *)clock;

    return 1800000000000ll + (int64_t)(mine->now_ns / MS_NS) + mine->wall_offset_ms;
}

void rig_fill(const struct random_port *port, void *ret_bytes, size_t size)
{
    struct rig_random *random = (struct rig_random *)(uintptr_t)port;

    for (size_t i = 0; i < size; i++) {
        random->state = random->state * 6364136223846793005ull + 1442695040888963407ull;
        ((uint8_t *)ret_bytes)[i] = (uint8_t)(random->state >> 56);
    }
}

static void rig_idle(void *arg, bool drained)
{
    struct rig *rig = arg;

    rig->idles++;
    rig->drained += drained;
}

void rig_alarm(void *arg, const char *line)
{
    struct rig *rig = arg;

    rig->alarms++;
    snprintf(rig->alarm, sizeof(rig->alarm), "%s", line);
}

static int rig_load_rules(void *arg, const char *config_path, token_rule_sink sink_rule,
                          void *sink, char *ret_why, size_t why_size)
{
    struct rig *rig = arg;

    if (strcmp(config_path, "bad.json") == 0) {
        snprintf(ret_why, why_size, "line 3: expected an object");
        return -EINVAL;
    }
    for (size_t i = 0; i < rig->rule_count; i++)
        sink_rule(sink, &rig->rules[i], "https://api.example.test");
    return 0;
}

void rig_log(void *arg, int level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static int mirror_send(struct transport_port *port, unsigned peer, const char *to_name,
                       const char *from_name, struct message *message)
{
    message->from = message->to = (struct actor_id){0};
    return runtime_deliver(((struct mirror *)port)->runtime, peer, message, to_name, from_name);
}

void mirror_init(struct mirror *mirror, struct runtime *runtime)
{
    *mirror = (struct mirror){{.send = mirror_send}, runtime};
    runtime_transport_set(runtime, &mirror->port);
}

/* Each step below the one before, so a context kept beyond its turn is rubbish. False: no more. */
static bool rig_step_below(struct rig *rig, unsigned steps)
{
    char rubbish[16 << 10];

    memset(rubbish, 0xa5, sizeof(rubbish));
    __asm__ volatile("" : : "r"(rubbish) : "memory");
    return runtime_step(rig->runtime) && (steps == 1 || rig_step_below(rig, steps - 1));
}

void rig_run(struct rig *rig)
{
    do {
        while (rig_step_below(rig, 64))
            continue;
    } while (script_step(&rig->script));
}

void rig_pass(struct rig *rig, uint64_t ms)
{
    uint64_t end = rig->clock.now_ns + ms * MS_NS;

    rig_run(rig);
    while (runtime_next_timer_ns(rig->runtime) <= end) {
        uint64_t next = runtime_next_timer_ns(rig->runtime);

        if (next > rig->clock.now_ns)
            rig->clock.now_ns = next;
        rig_run(rig);
    }
    rig->clock.now_ns = end;
    rig_run(rig);
}

void rig_start_token(struct rig *rig)
{
    struct spawn_options token = {.name = rig->token_name != NULL ? rig->token_name : "token"};

    rig->config.store = store_memory_new(rig->disk);
    assert_int_equal(runtime_spawn(rig->runtime, &token_ops, &rig->config, &token, &rig->token),
                     0);
}

void rig_boot(struct rig *rig)
{
    struct runtime_options options = {.name = "keeper", .clock = &rig->clock.port,
                                      .random = &rig->random.port,
                                      .scheduler = SCHEDULER_MANUAL, .log = rig_log};
    struct spawn_options asker = {.name = "asker"};
    struct asker asker_config = {rig->rows, &rig->row_count};

    script_init(&rig->script);
    rig->config.exchange = &rig->script.port;
    assert_int_equal(runtime_new(&options, &rig->runtime), 0);
    rig_start_token(rig);
    assert_int_equal(runtime_spawn(rig->runtime, &asker_ops, &asker_config, &asker, &rig->asker),
                     0);
    rig_run(rig);
}

struct rig *rig_new(void)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->clock = (struct rig_clock){{rig_now_ns, rig_wall_ms}, 1000000000ull, 0};
    rig->random = (struct rig_random){{rig_fill}, 1};
    rig->disk = memory_disk_new();
    rig->config.load_rules = rig_load_rules;
    rig->config.idle = rig_idle;
    rig->config.alarm = rig_alarm;
    rig->config.arg = rig;
    memset(rig->config.boot_id, 3, 16);
    return rig;
}

void rig_crash(struct rig *rig)
{
    runtime_free(rig->runtime);
    rig->runtime = NULL;
    script_close(&rig->script.port);
}

void rig_boot_copied(struct rig *rig)
{
    rig_crash(rig);
    memory_disk_mark_copied(rig->disk);
    rig_boot(rig);
}

void rig_free(struct rig *rig)
{
    if (rig->runtime != NULL)
        rig_crash(rig);
    memory_disk_free(rig->disk);
    free(rig);
}

uint64_t rig_send(struct rig *rig, struct message *message, uint32_t credit,
                  uint64_t deadline_ms)
{
    struct ask_order order = {.to = rig->token, .message = message, .tag = ++rig->tag,
                              .credit = credit, .ret_request = &rig->last_request,
                              .deadline_ns = rig->clock.now_ns + deadline_ms * MS_NS};
    struct message *post = message_new(ASK_TYPE, sizeof(order));

    assert_non_null(message);
    memcpy(post->body, &order, sizeof(order));
    assert_int_equal(runtime_post(rig->runtime, rig->asker, post), 0);
    rig_run(rig);
    return order.tag;
}

void rig_credit(struct rig *rig, struct request_id request, uint32_t parts)
{
    struct credit_order order = {request, parts};
    struct message *post = message_new(CREDIT_TYPE, sizeof(order));

    assert_non_null(post);
    memcpy(post->body, &order, sizeof(order));
    assert_int_equal(runtime_post(rig->runtime, rig->asker, post), 0);
    rig_run(rig);
}

const struct answer_row *rig_answer(const struct rig *rig, uint64_t tag)
{
    const struct answer_row *found = NULL;

    for (size_t i = 0; i < rig->row_count; i++)
        if (rig->rows[i].tag == tag && !rig->rows[i].part) {
            assert_null(found);
            found = &rig->rows[i];
        }
    return found;
}

void assert_token(const struct rig *rig, uint64_t tag, const char *access)
{
    const struct answer_row *row = rig_answer(rig, tag);

    assert_non_null(row);
    assert_string_equal(row->code, "");
    assert_int_equal(row->type, MSG_token_grant);
    assert_string_equal(row->text, access);
}

void assert_code(const struct rig *rig, uint64_t tag, const char *code)
{
    const struct answer_row *row = rig_answer(rig, tag);

    assert_non_null(row);
    assert_int_equal(row->type, MSG_refusal);
    assert_string_equal(row->code, code);
}

bool rig_audit_has(const struct rig *rig, const char *words)
{
    for (size_t i = 0; memory_disk_audit(rig->disk, i) != NULL; i++)
        if (strstr(memory_disk_audit(rig->disk, i), words) != NULL)
            return true;
    return false;
}

struct script_call *rig_call(struct rig *rig, size_t i)
{
    assert_true(i < rig->script.count);
    return &rig->script.calls[i];
}

void rig_import(struct rig *rig)
{
    uint64_t tag = rig_ask(
        rig, token_import, .profile = proto_text("lab:me"), .provider = proto_text("lab"),
        .mode = proto_text("oauth"), .access = proto_text("access-0"),
        .refresh = proto_text("refresh-0"),
        .expires_at_ms = rig_wall_ms(&rig->clock.port) + 60000, .take_over = true,
        .config = proto_text("good.json"));

    assert_non_null(rig_answer(rig, tag));
    assert_string_equal(rig_answer(rig, tag)->code, "");
    assert_string_equal(rig_answer(rig, tag)->outcome, "stored");
}

struct rig *rig_with_login_as(struct provider_rule *rule, enum rotation rotation,
                              const char *token_name)
{
    struct rig *rig = rig_new();

    rig->token_name = token_name;
    memset(rule, 0, sizeof(*rule));
    snprintf(rule->id, sizeof(rule->id), "lab");
    snprintf(rule->token_url, sizeof(rule->token_url), "https://login.example.test/token");
    snprintf(rule->client_id, sizeof(rule->client_id), "lab");
    snprintf(rule->expiry, sizeof(rule->expiry), "expires_in");
    rule->rotation = rotation;
    rule->grace_seconds = 30;
    rig->rules = rule;
    rig->rule_count = 1;
    rig_boot(rig);
    rig_import(rig);
    return rig;
}

struct rig *rig_with_login(struct provider_rule *rule, enum rotation rotation)
{
    return rig_with_login_as(rule, rotation, "token");
}
