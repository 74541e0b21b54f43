/* SPDX-License-Identifier: Apache-2.0 */
/* The step in a world that does everything at random: completes, fails or loses what the step asked
 * for, in any order between profiles; asks, rejects, cools, cancels, lets time pass, crashes and
 * starts again from a disk. A model of a provider with each rotation rule judges:
 *
 *   promise 1   no gate opens while another request for the same token is in flight, or while we
 *               hold what the provider answered it with;
 *   promise 3   a login is given up only if an answer never reached us, or the provider's rule
 *               left no way;
 *   promise 9   every waiter is answered once, and after the faults have stopped, all are.
 *
 * A seed that fails is printed; run the program with it as argument. */
#include "step_fixture.h"

#include <errno.h>

#define PROFILES 2
#define WORLD_OPS 64
#define WORLD_WAITERS 4096

struct op { /* something the step waits for */
    enum token_action_kind kind;
    int profile;
    uint64_t ticket;
    uint32_t attempt;
    uint64_t generation;
    char token[64];
    enum { CONNECTING, AT_GATE, SENT } stage;
};

struct server { /* of one login */
    unsigned current;       /* number of the newest refresh token */
    uint64_t rotated_ns;    /* when it became that */
    bool dead;              /* the family was ended */
    bool lost;              /* an answer that rotated never reached us */
    bool unread;            /* one is on its way to us or in our memory */
};

struct disk { /* of one login */
    struct credential record;
    unsigned token; /* number of its refresh token */
    bool has_intent;
    struct intent intent;
    uint32_t answer_attempt;
    unsigned answer_token; /* 0: the sealed answer says no more than `outcome` */
    bool has_answer;
    enum token_outcome outcome;
};

struct world {
    struct bench *bench;
    uint64_t random;
    struct op ops[WORLD_OPS];
    size_t op_count;
    struct server servers[PROFILES];
    struct disk disks[PROFILES];
    unsigned answer[PROFILES]; /* of the answer in memory: the new token's number */
    enum token_outcome outcome[PROFILES];
    uint8_t answered[WORLD_WAITERS];
    bool calm; /* faults have stopped */
    unsigned spends, crashes, unknowns, given_up;
};

static const char *const names[PROFILES] = {"lab:one", "lab:two"};

static uint64_t draw(struct world *world, uint64_t below)
{
    world->random = world->random * 6364136223846793005ull + 1442695040888963407ull;
    return (world->random >> 33) % below;
}

static bool fault(struct world *world, unsigned percent)
{
    return !world->calm && draw(world, 100) < percent;
}

static unsigned number_of(const struct secret *token)
{
    return (unsigned)strtoul(strrchr(secret_data(token), '-') + 1, NULL, 10);
}

static struct credential credential_of(struct world *world, int profile, unsigned token,
                                       uint64_t generation)
{
    struct credential credential;
    char text[64];

    snprintf(text, sizeof(text), "%s-%u", names[profile], token);
    credential = bench_credential(world->bench, names[profile], text);
    credential.generation = generation;
    return credential;
}

/* ---- what the step does --------------------------------------------------------------------- */

/* Promise 6: a resend, where it may cost the family, waits until nothing is left to lose. */
static void check_resend(const struct world *world, const struct profile *profile)
{
    uint64_t now = world->bench->now_ns;
    int64_t age_ms = world->bench->wall_ms - profile->intent.first_wall_ms;

    if (world->bench->rule.rotation == ROTATION_NONE ||
        world->bench->rule.rotation == ROTATION_TWO_PHASE ||
        (world->bench->rule.rotation == ROTATION_GRACE && age_ms < 30000))
        return;
    assert_true(profile->access_rejected || profile->expires_ns <= now + 30000 * MS_NS);
}

static void check_spend(struct world *world, int profile, unsigned token, uint32_t attempt)
{
    const struct server *server = &world->servers[profile];

    for (size_t i = 0; i < world->op_count; i++)
        assert_false(world->ops[i].profile == profile && world->ops[i].stage == SENT &&
                     world->ops[i].kind == ACTION_EXCHANGE);
    assert_false(server->unread);
    assert_int_equal(world->disks[profile].token, token); /* promise 5: it is on disk */
    assert_true(world->disks[profile].has_intent);        /* promise 3: and that it is spent */
    assert_int_equal(world->disks[profile].intent.attempt, attempt);
    if (server->current != token)
        assert_true(server->lost);
    world->spends++;
}

static void on_action(void *arg, const struct token_action *action)
{
    struct world *world = arg;
    int profile = action->profile != NULL ? (int)action->profile->index : 0;

    if (action->kind >= ACTION_GRANT && action->kind <= ACTION_IMPORTED) {
        assert_true(action->waiter < WORLD_WAITERS);
        assert_int_equal(world->answered[action->waiter], 1); /* asked and not answered yet */
        world->answered[action->waiter] = 2;
        return;
    }
    if (action->kind == ACTION_GATE) {
        for (size_t i = 0; i < world->op_count; i++) {
            struct op *op = &world->ops[i];

            if (op->kind != ACTION_EXCHANGE || op->profile != profile)
                continue;
            assert_int_equal(op->stage, AT_GATE);
            if (action->open) {
                if (action->profile->maybe_spent_before)
                    check_resend(world, action->profile);
                check_spend(world, profile, number_of(action->profile->credential.refresh),
                            op->attempt);
                op->stage = SENT;
            } else {
                op->stage = CONNECTING; /* may only end as not sent now */
                op->attempt = UINT32_MAX;
            }
        }
        return;
    }
    if (action->kind > ACTION_WRITE_MARK)
        return;
    assert_true(world->op_count < WORLD_OPS);
    world->ops[world->op_count] = (struct op){.kind = action->kind, .profile = profile,
                                              .ticket = action->ticket,
                                              .attempt = action->attempt};
    if (action->credential != NULL) {
        world->ops[world->op_count].generation = action->credential->generation;
        if (action->credential->refresh != NULL)
            snprintf(world->ops[world->op_count].token, 64, "%s",
                     secret_data(action->credential->refresh));
    }
    world->op_count++;
}

/* ---- the provider --------------------------------------------------------------------------- */

static enum token_outcome spend(struct world *world, int profile, unsigned token)
{
    struct server *server = &world->servers[profile];
    enum rotation rotation = world->bench->rule.rotation;
    uint64_t since_ms = (world->bench->now_ns - server->rotated_ns) / MS_NS;
    bool previous = token + 1 == server->current;

    if (server->dead)
        return OUTCOME_TERMINAL;
    if (token != server->current &&
        !(previous && rotation == ROTATION_TWO_PHASE) &&
        !(rotation == ROTATION_GRACE && previous && since_ms < 30000)) {
        assert_true(server->lost); /* or we have spent it twice knowingly */
        server->dead = true;
        return OUTCOME_TERMINAL;
    }
    if (rotation == ROTATION_NONE)
        return OUTCOME_KEPT;
    if (token == server->current) {
        server->current++;
        server->rotated_ns = world->bench->now_ns;
    }
    return OUTCOME_ROTATED;
}

/* ---- completions ---------------------------------------------------------------------------- */

static struct token_event event_of(struct world *world, const struct op *op,
                                   enum token_event_kind kind)
{
    struct token_event event = bench_event(world->bench, kind);

    event.random = draw(world, UINT32_MAX);
    event.profile = (uint32_t)op->profile;
    event.ticket = op->ticket;
    return event;
}

/* The disk does what the op says. */
static void write_disk(struct world *world, const struct op *op)
{
    struct disk *disk = &world->disks[op->profile];
    const struct profile *profile = world->bench->step.profiles[op->profile];
    unsigned token;

    switch (op->kind) {
    case ACTION_WRITE_INTENT:
        disk->has_intent = true;
        disk->intent = profile->intent_new;
        break;
    case ACTION_WRITE_ANSWER:
        disk->has_answer = profile->answer.complete;
        disk->answer_attempt = op->attempt;
        disk->answer_token = world->answer[op->profile];
        disk->outcome = world->outcome[op->profile];
        break;
    case ACTION_WRITE_RECORD:
        token = (unsigned)strtoul(strrchr(op->token, '-') + 1, NULL, 10);
        credential_deinit(&disk->record);
        disk->record = credential_of(world, op->profile, token, op->generation);
        disk->token = token;
        disk->has_intent = disk->has_answer = false;
        world->servers[op->profile].unread = false;
        break;
    case ACTION_WRITE_MARK:
        snprintf(disk->record.needs_login, sizeof(disk->record.needs_login), "terminal");
        break;
    case ACTION_RELEASE:
        if (disk->has_intent && disk->intent.attempt == op->attempt)
            disk->has_intent = false; /* earlier attempts: see below */
        if (op->attempt > 1 && !disk->has_intent &&
            profile->maybe_spent) { /* their own files stay */
            disk->has_intent = true;
            disk->intent = profile->intent;
        }
        if (disk->answer_attempt == op->attempt)
            disk->has_answer = false;
        break;
    default:
        break;
    }
}

static void end_exchange(struct world *world, struct op op)
{
    struct token_event event = event_of(world, &op, EVENT_EXCHANGED);
    struct server *server = &world->servers[op.profile];
    unsigned token = (unsigned)strtoul(strrchr(op.token, '-') + 1, NULL, 10);
    unsigned before = server->current;
    enum token_outcome outcome;

    event.text = "model";
    if (op.stage != SENT) {
        event.end = EXCHANGE_NOT_SENT;
        token_step_run(&world->bench->step, &event);
        return;
    }
    if (fault(world, 10)) { /* it never came there */
        event.end = EXCHANGE_UNKNOWN;
        world->unknowns++;
        token_step_run(&world->bench->step, &event);
        return;
    }
    outcome = fault(world, 8) ? OUTCOME_NOT_SPENT : spend(world, op.profile, token);
    if (fault(world, 20)) { /* the answer is lost, or makes no sense */
        server->lost |= outcome == OUTCOME_ROTATED && before != server->current;
        event.end = EXCHANGE_UNKNOWN;
        world->unknowns++;
        if (draw(world, 2) == 0) {
            event.end = EXCHANGE_ANSWERED;
            event.body = secret_new("<html>", 6);
            outcome = OUTCOME_UNKNOWN;
        }
    } else {
        event.end = EXCHANGE_ANSWERED;
        event.body = secret_new("{}", 2);
        if (outcome == OUTCOME_ROTATED) {
            server->unread = true;
            server->lost = false;
        }
    }
    world->outcome[op.profile] = outcome;
    world->answer[op.profile] = server->current;
    token_step_run(&world->bench->step, &event);
}

static void parse(struct world *world, struct op op)
{
    struct token_event event = event_of(world, &op, EVENT_PARSED);
    struct profile *profile = world->bench->step.profiles[op.profile];
    struct credential next;
    uint8_t sha[32];

    if (fault(world, 5))
        event.error = -ENOMEM;
    event.outcome = world->outcome[op.profile];
    event.text = "model";
    if (event.error == 0 &&
        (event.outcome == OUTCOME_ROTATED || event.outcome == OUTCOME_KEPT)) {
        next = credential_of(world, op.profile, world->answer[op.profile],
                             profile->credential.generation + 1);
        bench_sha(&next, sha);
        event.credential = &next;
        event.sha256 = sha;
    }
    token_step_run(&world->bench->step, &event);
}

static void complete(struct world *world, size_t index)
{
    static const enum token_event_kind events[] = {
        [ACTION_RESERVE] = EVENT_RESERVED,          [ACTION_WRITE_INTENT] = EVENT_INTENT_SAVED,
        [ACTION_WRITE_ANSWER] = EVENT_ANSWER_SAVED, [ACTION_LOOK] = EVENT_LOOKED,
        [ACTION_WRITE_RECORD] = EVENT_RECORD_SAVED, [ACTION_WRITE_MARK] = 0};
    struct op op = world->ops[index];
    struct token_event event;
    bool early = op.kind == ACTION_EXCHANGE && op.stage != SENT;

    if (early && op.attempt != UINT32_MAX && op.stage == CONNECTING && !fault(world, 15)) {
        world->ops[index].stage = AT_GATE;
        event = event_of(world, &op, EVENT_GATE);
        token_step_run(&world->bench->step, &event);
        return;
    }
    if (op.kind == ACTION_EXCHANGE && op.stage == AT_GATE && !fault(world, 10))
        return; /* the gate is not answered yet */
    world->ops[index] = world->ops[--world->op_count];
    if (op.kind == ACTION_EXCHANGE) {
        end_exchange(world, op);
    } else if (op.kind == ACTION_PARSE) {
        parse(world, op);
    } else {
        event = event_of(world, &op, events[op.kind]);
        event.error = fault(world, 10) ? -ENOSPC : 0;
        if (event.error == 0)
            write_disk(world, &op);
        if (op.kind != ACTION_RELEASE && op.kind != ACTION_WRITE_MARK)
            token_step_run(&world->bench->step, &event);
    }
}

/* ---- crash and start ------------------------------------------------------------------------ */

static void boot(struct world *world)
{
    struct token_tunables tunables = {0};

    token_step_init(&world->bench->step, &tunables, on_action, world);
    for (int i = 0; i < PROFILES; i++) {
        struct disk *disk = &world->disks[i];
        struct stored stored = {.has_intent = disk->has_intent, .intent = disk->intent};

        assert_int_equal(credential_copy(&disk->record, &stored.credential), 0);
        if (disk->has_intent && disk->has_answer) {
            stored.has_answer = true;
            stored.answer = (struct answer){.generation = disk->record.generation,
                                            .attempt = disk->answer_attempt,
                                            .complete = true,
                                            .http_status = 200,
                                            .body = secret_new("{}", 2)};
            world->answer[i] = disk->answer_token;
            world->outcome[i] = disk->outcome;
        }
        bench_load_stored(world->bench, &stored);
    }
    bench_ready(world->bench, 0);
}

static void crash(struct world *world)
{
    world->crashes++;
    for (size_t i = 0; i < world->op_count; i++) {
        struct op *op = &world->ops[i];
        struct server *server = &world->servers[op->profile];
        unsigned before = server->current;

        if (op->kind == ACTION_EXCHANGE && op->stage == SENT && draw(world, 2) == 0) {
            spend(world, op->profile, (unsigned)strtoul(strrchr(op->token, '-') + 1, NULL, 10));
            server->lost |= before != server->current;
        } else if (op->kind != ACTION_EXCHANGE && op->kind != ACTION_PARSE &&
                   draw(world, 2) == 0) {
            write_disk(world, op); /* it came to the disk, and nobody heard of it */
        }
    }
    world->op_count = 0;
    token_step_deinit(&world->bench->step);
    for (int i = 0; i < PROFILES; i++) {
        struct server *server = &world->servers[i];
        struct disk *disk = &world->disks[i];

        if (server->unread && !(disk->has_intent && disk->has_answer &&
                                disk->outcome == OUTCOME_ROTATED)) {
            server->lost = true; /* it was in memory only */
            server->unread = false;
        }
    }
    for (size_t i = 0; i < WORLD_WAITERS; i++)
        world->answered[i] = 0;
    world->bench->last_waiter = 0;
    if (draw(world, 2) == 0)
        world->bench->boot_id[0]++; /* the machine, too */
    boot(world);
}

/* ---- the run -------------------------------------------------------------------------------- */

static void ask(struct world *world)
{
    const char *name = names[draw(world, PROFILES)];
    uint64_t waiter = world->bench->last_waiter + 1;

    if (waiter >= WORLD_WAITERS)
        return;
    world->answered[waiter] = 1;
    switch (draw(world, 6)) {
    case 0:
        bench_ask(world->bench, name, 0, true);
        break;
    case 1:
        bench_ask(world->bench, name, draw(world, 2 * BENCH_LIFE_MS), false);
        break;
    case 2:
        bench_reject(world->bench, name);
        break;
    default:
        bench_ask(world->bench, name, 0, false);
        break;
    }
}

static void cancel(struct world *world)
{
    struct token_event event = bench_event(world->bench, EVENT_CANCELLED);

    event.waiter = draw(world, world->bench->last_waiter + 1);
    if (world->answered[event.waiter] == 1)
        world->answered[event.waiter] = 2;
    token_step_run(&world->bench->step, &event);
}

static void quota(struct world *world)
{
    struct token_event event = bench_event(world->bench, EVENT_QUOTA);

    event.waiter = world->bench->last_waiter + 1;
    if (event.waiter >= WORLD_WAITERS)
        return;
    world->bench->last_waiter++;
    world->answered[event.waiter] = 1;
    event.name = names[draw(world, PROFILES)];
    token_step_run(&world->bench->step, &event);
}

static void one_move(struct world *world)
{
    static const uint64_t spans_ms[] = {1, 300, 5000, 40000, 600000, BENCH_LIFE_MS};
    uint64_t choice = draw(world, 100);

    if (choice < 60 && world->op_count > 0)
        complete(world, draw(world, world->op_count));
    else if (choice < 78)
        bench_pass(world->bench, draw(world, spans_ms[draw(world, 6)]) + 1);
    else if (choice < 94)
        ask(world);
    else if (choice < 96)
        cancel(world);
    else if (choice < 98)
        quota(world);
    else if (fault(world, 60))
        crash(world);
}

/* The faults have stopped: everything in flight ends, everybody is answered, service is back, or a
 * state says why not. */
static void calm_down(struct world *world)
{
    world->calm = true;
    for (int round = 0; round < 300; round++) {
        while (world->op_count > 0)
            complete(world, draw(world, world->op_count));
        bench_pass(world->bench, 60000);
    }
    for (size_t i = 1; i <= world->bench->last_waiter; i++)
        assert_int_equal(world->answered[i], 2);
    for (int i = 0; i < PROFILES; i++) {
        struct profile *profile = bench_profile(world->bench, names[i]);

        if (profile->state == PROFILE_NEEDS_LOGIN) {
            world->given_up++;
            assert_true(world->servers[i].dead);
            assert_true(world->bench->rule.rotation == ROTATION_STRICT ||
                        world->bench->rule.rotation == ROTATION_GRACE);
        } else {
            uint64_t waiter = world->bench->last_waiter + 1;

            assert_int_equal(profile->state, PROFILE_VALID);
            world->answered[waiter] = 1;
            bench_ask(world->bench, names[i], 0, false);
            for (int n = 0; n < 100 && world->answered[waiter] == 1; n++) {
                while (world->op_count > 0)
                    complete(world, draw(world, world->op_count));
                bench_pass(world->bench, 1000);
            }
            assert_int_equal(world->answered[waiter], 2);
            assert_int_equal(world->disks[i].token, world->servers[i].current);
        }
    }
}

static uint64_t running_seed;

static void run_seed(uint64_t seed, enum rotation rotation, struct world *totals)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    world->random = seed * 2654435761u + 1;
    world->bench = bench_new(rotation);
    for (int i = 0; i < PROFILES; i++) {
        world->servers[i].current = 1;
        world->disks[i].token = 1;
        world->disks[i].record = credential_of(world, i, 1, 1);
    }
    boot(world);
    for (int i = 0; i < 400; i++)
        one_move(world);
    calm_down(world);
    totals->spends += world->spends;
    totals->crashes += world->crashes;
    totals->unknowns += world->unknowns;
    totals->given_up += world->given_up;
    for (int i = 0; i < PROFILES; i++)
        credential_deinit(&world->disks[i].record);
    bench_free(world->bench);
    free(world);
}

static int say_seed(void **s)
{
    (void)s;
    print_message("last seed: %llu\n", (unsigned long long)running_seed);
    return 0;
}

static uint64_t first_seed = 1, seed_count = 150;

static void a_random_world_breaks_no_promise_under_any_rule(void **s)
{
    struct world totals = {0};

    (void)s;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++)
        for (int rotation = ROTATION_STRICT; rotation <= ROTATION_TWO_PHASE; rotation++) {
            running_seed = seed;
            run_seed(seed, (enum rotation)rotation, &totals);
        }
    print_message("%u spends, %u crashes, %u unknown outcomes, %u logins given up\n",
                  totals.spends, totals.crashes, totals.unknowns, totals.given_up);
    assert_true(totals.spends > 1000 && totals.crashes > 100 && totals.unknowns > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_random_world_breaks_no_promise_under_any_rule, say_seed),
    };

    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
